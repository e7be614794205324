/* What is to be emitted for one level, found out before LLVM is asked: the distinct kernels, the
 * working nodes of each function in order, and where barriers stand. Needs no LLVM. */
#ifndef EBRU_CODEGEN_LLVM_EMISSION_PLAN_H
#define EBRU_CODEGEN_LLVM_EMISSION_PLAN_H

#include "base/index.h"
#include "codegen/codegen.h"
#include "codegen/target/bind.h"
#include "codegen/target/elementwise_plan.h"

/* One kernel specialised for one set of parameters (and of present operands). */
typedef struct cg_wrapper {
    const char *key;         /* kernel, operands and parameters as text: equal keys, equal code */
    const char *name;        /* symbol: "ebru.v4.conv2d.3" */
    const ir_func *f;        /* an example */
    const ir_node *node;     /* in f */
    const cg_kernel *kernel; /* NULL for elementwise loops */
    cg_operands operands;
    uint32_t present; /* bit i: operand i of the kernel is there */
} cg_wrapper;

/* A working node of a function. */
typedef struct cg_op {
    ir_ref node;
    uint32_t wrapper;
    bool barrier; /* a barrier stands before it */
} cg_op;

/* Ops of one emitted function. The time LLVM takes for a function grows with the square of its calls,
 * so a function of the model that has more calls others in turn. */
#ifdef EBRU_HOSTILE
enum { CG_PART_OPS = 3 };
#else
enum { CG_PART_OPS = 512 };
#endif

typedef struct cg_func_plan {
    const ir_func *f;
    const char *symbol; /* "ebru.v4.unet.step"; parts are SYMBOL.0, SYMBOL.1, ... */
    BASE_VEC(cg_op) ops;
} cg_func_plan;

/* Wrappers of one kernel; NULL: of loops. */
typedef struct cg_kernel_count {
    const cg_kernel *kernel;
    uint32_t count;
} cg_kernel_count;

typedef struct cg_plan {
    base_arena *arena;
    const cg_target_info *target;
    const ir_module *module;
    uint32_t parts; /* objects the level's code is cut into; depends on the module only */
    BASE_VEC(cg_wrapper) wrappers;
    base_index by_key; /* of wrappers */
    BASE_VEC(cg_kernel_count) of_kernel;
    BASE_VEC(cg_func_plan) funcs;
} cg_plan;

/* False with diagnostics when the module is not at PLACED level or a binding does not fit its
 * kernel. */
bool cg_make_plan(base_diag *d, const cg_target_info *target, const ir_module *m, cg_plan *plan);
void cg_free_plan(cg_plan *plan);

/* Emitted functions that the ops are cut into; 1: the model's function itself. */
static inline uint32_t cg_part_count(const cg_func_plan *f) {
    return f->ops.count > CG_PART_OPS ? (uint32_t)((f->ops.count - 1) / CG_PART_OPS + 1) : 1;
}
enum { CG_SYMBOL_SIZE = 160 };
void cg_part_symbol(const cg_func_plan *f, uint32_t part, char text[CG_SYMBOL_SIZE]);

/* True for nodes that run: bound, and placed in the arena or an output. */
bool cg_node_runs(const ir_node *n);

/* annotate.c: puts comments that name the model's ops into the text of a module with the plan's
 * wrappers and functions: assembly (of x86, or of AArch64) or LLVM IR. False with the fault when
 * the file cannot be rewritten. */
bool cg_annotate(const cg_plan *plan, bool asm_text, bool x86, const char *path, base_str *fault);

/* filter_text.c: leaves in the annotated text what the options' filter means, or nothing. False
 * with the fault when the file cannot be rewritten. */
bool cg_filter_text(const cg_plan *plan, const cg_options *o, bool x86, const char *path,
                    base_str *fault);

/* barrier.c: a set of byte ranges that were read or written since the last barrier. */
typedef struct cg_range {
    ir_place_kind space;
    uint64_t index;      /* of an input or output */
    uint64_t begin, end; /* bytes */
} cg_range;
typedef struct cg_hazards {
    BASE_VEC(cg_range) read, written;
} cg_hazards;
cg_range cg_range_of(const ir_func *f, ir_ref value);
/* True when the node must wait for what runs since the last barrier; then the sets start anew. The
 * node's own ranges are added. */
bool cg_hazard(cg_hazards *h, const ir_func *f, const ir_node *node, ir_ref ref);
void cg_hazards_free(cg_hazards *h);
bool cg_ranges_overlap(const cg_range *a, const cg_range *b);

#endif
