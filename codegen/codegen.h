/* Code generation: a module at PLACED level becomes LLVM modules (one a CPU level), objects, and a
 * linked program. The only folder that sees LLVM. LLVM aborts and exits on its own errors, so
 * everything here that calls it runs in a forked child (cg_emit does that itself). */
#ifndef EBRU_CODEGEN_CODEGEN_H
#define EBRU_CODEGEN_CODEGEN_H

#include "codegen/target/target.h"
#include "ir/ir.h"

/* EXE: a program, the runtime included. LIB: a shared object that exports `ebru_model`
 * (runtime/abi/abi.h) and calls its host's ebru_barrier and ebru_mark (and ebru_check_finite, with
 * check_finite). OBJ: one relocatable object of the same contents. ASM, LLVM_IR: one level as text,
 * after optimisation. */
typedef enum cg_emit_kind { CG_EXE, CG_OBJ, CG_LIB, CG_ASM, CG_LLVM_IR } cg_emit_kind;
typedef enum cg_weights { CG_WEIGHTS_EMBED, CG_WEIGHTS_APPEND, CG_WEIGHTS_EXTERNAL } cg_weights;

/* One CPU level of the program with the module planned for it (passes run once a level: tiles and
 * scratch differ; functions, inputs, outputs and packed weights are the same). */
typedef struct cg_level {
    const ir_target *target;
    ir_module *module;
} cg_level;

typedef struct cg_options {
    cg_emit_kind kind;
    const char *output; /* path; "-" = stdout for asm and llvm-ir */
    cg_weights weights;
    /* 1..3 of LLVM's pipeline for kernels specialised by shape; 0: kernels called as they are / */
    int opt_level;
    const unsigned char *tokenizer, *tokenizer_2; /* NULL: none */
    size_t tokenizer_bytes, tokenizer_2_bytes;
    const char *build_info; /* lines of text; "build: ID", what program it is, becomes the third */
    /* asm and llvm-ir: only functions whose symbol matches this POSIX extended expression or that
     * compute an op it means (ir/text/node_filter.h), or only those that compute one node; with
     * what they call. NULL: all */
    const char *filter;
    const ir_func *only_function;
    ir_ref only_node;
    /* more lines, behind the end of that text: for who reads the file, not for the program */
    const char *functions;
    const char *linker; /* NULL = the architecture's */
    bool verbose;       /* prints the link command to stderr */
    /* fill every buffer with signalling NaN when it is allocated and released (plan oracle) */
    bool poison;
    /* end with a message at the first op whose result holds a NaN or an infinity */
    bool check_finite;
    bool networks_only; /* nobody will ask the program for pictures */
    void (*progress)(void *user, const char *phase, uint32_t done, uint32_t total);
    void *user;
} cg_options;

/* Result figures for the compile summary. */
typedef struct cg_result {
    uint64_t weights_bytes, output_bytes, kernels, arena_bytes_max;
    bool unmatched; /* also when nothing was emitted: the filter means nothing of the text */
} cg_result;

/* Emits. False with diagnostics; then no output file exists. levels: lowest first. */
bool cg_emit(base_diag *d, const cg_level *levels, uint32_t level_count, const cg_options *options,
             cg_result *result);

#endif
