/* Runs while the compiler is built: compiles the functions of a level's kernels that no model specialises
 * (the register tiles) into the object that every program of the level links. Usage: make_shared TRIPLE LEVEL
 * OUT.o
 */
#include "codegen/cg.h"

int main(int argc, char **argv) {
    ir_str fault = {0};
    ir_diag *d = ir_diag_new(NULL);
    const cg_arch *arch = argc == 4 ? cg_arch_find(d, argv[1]) : NULL;
    const ir_target *target = arch ? cg_arch_target(d, arch, argv[2]) : NULL;
    bool fine = false;
    cg c = {0};
    if (target) {
        fine = cg_open(&c, arch, (const cg_target_info *)target, "kernels", &fault) &&
               cg_optimize(&c, CG_SHARED, 2) && cg_write(&c, CG_OBJ, argv[3]);
        cg_close(&c);
    }
    if (!fine)
        fprintf(stderr, "make_shared: %s\n",
                fault.data ? fault.data : "usage: make_shared TRIPLE LEVEL OUT.o");
    ir_diag_flush(d);
    ir_diag_free(d);
    ir_str_free(&fault);
    return fine ? 0 : 1;
}
