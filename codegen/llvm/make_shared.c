/* Runs while the compiler is built: compiles the functions that a level's kernels call and no model
 * specialises (the register tiles) into the object that every program of the level links, and the
 * kernels as they are into that of programs compiled with -O0. Usage: make_shared TRIPLE LEVEL
 * TILES.o KERNELS.o */
#include "codegen/llvm/cg.h"

static bool make(const cg_arch *arch, const ir_target *target, cg_role role, const char *to,
                 base_str *fault) {
    cg c;
    bool fine = cg_open(&c, arch, (const cg_target_info *)target, role, 2, "kernels", fault) &&
                cg_optimize(&c) && cg_write(&c, CG_OBJ, to);
    cg_close(&c);
    return fine;
}

int main(int argc, char **argv) {
    base_str fault = {0};
    base_diag *d = base_diag_new(NULL);
    const cg_arch *arch = argc == 5 ? cg_arch_find(d, argv[1]) : NULL;
    const ir_target *target = arch ? cg_arch_target(d, arch, argv[2]) : NULL;
    bool fine = target && make(arch, target, CG_TILES, argv[3], &fault) &&
                make(arch, target, CG_KERNELS, argv[4], &fault);
    if (!fine)
        fprintf(stderr, "make_shared: %s\n",
                fault.data ? fault.data : "usage: make_shared TRIPLE LEVEL TILES.o KERNELS.o");
    base_diag_flush(d);
    base_diag_free(d);
    base_str_free(&fault);
    return fine ? 0 : 1;
}
