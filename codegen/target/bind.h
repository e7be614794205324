/* Binding of FUSED nodes to kernels: what target.c and the bind_*.c files share. Needs no LLVM. */
#ifndef EBRU_CODEGEN_TARGET_BIND_H
#define EBRU_CODEGEN_TARGET_BIND_H

#include "codegen/target/tuning.h"
#include "runtime/abi/kernel_abi.h"

#define CG_MAX_BUFS 9 /* the most operands of a kernel, its result included */

/* A target with what ir_target does not show. */
typedef struct cg_target_info {
    ir_target base;       /* first: an ir_target * of ours is one of these */
    int32_t isa;          /* EBRU_ISA_* */
    const char *cpu;      /* LLVM's name of the level */
    const char *features; /* what it has beyond `cpu`, as LLVM's feature string */
    cg_tuning_use tuning; /* whose records it consults */
} cg_target_info;

/* A params struct of some kernel. The compiler keeps the parameters of a bound node as the list of
 * its binding (ir_param), in the order of the struct's fields. The struct is made of the list where
 * a kernel's arithmetic is asked or a kernel is run. */
typedef union cg_params {
#define KERNEL(name, operands, summary) struct ebru_##name##_params name;
#include "runtime/abi/kernels.def"
} cg_params;

/* One row a kernels.def kernel: what there is to know of its parameters. */
typedef struct cg_kernel {
    const char *name;
    const char *const *field; /* names, in struct order, NULL at the end */
    const char *types;        /* 'i' or 'f' a field; each has four bytes */
    uint32_t field_count;
    void (*read)(const ir_param *list, cg_params *out); /* bytes behind the struct become zero */
    int32_t (*tasks)(const cg_params *p);
    int64_t (*scratch)(const cg_params *p);
} cg_kernel;
const cg_kernel *cg_kernel_find(const char *name); /* NULL when there is no such row */
/* Place of a field in the list and in the struct; -1 when there is none of that name. */
int cg_kernel_field(const cg_kernel *k, const char *name);
/* An integer field of a params struct of k. Where there is none of that name: 0; nothing. */
int32_t cg_params_get(const cg_kernel *k, const cg_params *p, const char *name);
void cg_params_set(const cg_kernel *k, cg_params *p, const char *name, int32_t value);

/* What a binder fills in. A binder returns false with a reason when no kernel fits. */
typedef struct cg_bind {
    const cg_target_info *target;
    ir_func *f;
    const ir_node *node;
    ir_binding *out;
    base_str *reason;
} cg_bind;
typedef bool cg_binder(cg_bind *b);

/* Which kernel operand takes which operand of the node: buf[i] is operand slot[i]; CG_SLOT_RESULT
 * the node itself, CG_SLOT_NONE absent. */
enum { CG_SLOT_RESULT = -1, CG_SLOT_NONE = -2 };
typedef struct cg_operands {
    uint32_t count;
    int slot[CG_MAX_BUFS];
} cg_operands;
/* For a bound node; ew nodes: their operands in order, then the result. */
cg_operands cg_operand_slots(const ir_func *f, const ir_node *node);

/* Helpers of the binders. */
static inline const ir_type *cg_in(const cg_bind *b, uint32_t operand) {
    bool there = operand < b->node->operand_count && ir_ref_ok(b->node->operand[operand]);
    return there ? ir_typeof(b->f, b->node->operand[operand]) : NULL;
}
bool cg_refuse(cg_bind *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* True when the bytes of t are those of its c16 form: c16, or a plain vector of whole blocks. */
bool cg_is_c16(const ir_type *t);
/* Refuses unless operand (or the result when UINT32_MAX) lies in c16 / plain order and is f32. */
bool cg_want_c16(cg_bind *b, uint32_t operand);
bool cg_want_plain(cg_bind *b, uint32_t operand);
/* Sizes of a c16-able value seen as [B,C,P]. */
typedef struct cg_bcp {
    int32_t b, c, p;
} cg_bcp;
cg_bcp cg_bcp_of(const ir_type *t);
/* Extents of the elements as they lie in memory, outermost first; returns their number (<=
 * IR_MAX_RANK + 1). */
uint32_t cg_physical(const ir_type *t, int64_t dim[IR_MAX_RANK + 1]);
/* Axis of cg_physical that holds logical axis `axis`; for the channel axis of c16 the axis of
 * blocks. */
uint32_t cg_physical_axis(const ir_type *t, int64_t axis);
/* EBRU_ACT_* of an activation. */
int32_t cg_act(ir_act act);
/* Sets the strided copy out = x for `rank` axes: sizes n, x strides s, out strides t, in elements.
 * Refuses what does not fit the kernel. */
bool cg_bind_strided(cg_bind *b, uint32_t rank, const int64_t *n, const int64_t *s,
                     const int64_t *t, int64_t xo);

/* Finishing: cg_done_NAME fills the binding from the params struct. */
#define KERNEL(name, operands, summary)                                                            \
    bool cg_done_##name(cg_bind *b, const struct ebru_##name##_params *p);
#include "runtime/abi/kernels.def"

/* bind_*.c: the binders, one an op with kernels of its own. */
#define KERNEL(name) cg_binder cg_bind_##name;
#define LOOP(name)
#define NOTHING(name)
#define OP(name, attrs, levels, flags, code, layout, cost, operands, summary) code(name)
#include "ir/ops.def"
#undef OP
#undef KERNEL
#undef LOOP
#undef NOTHING
/* elementwise_plan.c: the loop that is generated for an elementwise node. */
cg_binder cg_bind_ew;
/* bind_conv.c, bind_attention.c. Binds the node as the one that passes would make of it, with
 * products in a precision, whatever its own and its packed weight's: a conv2d to conv2d_winograd
 * with tiles of M = 2 or 4 outputs; a conv2d or linear to itself, or, of a doubled input, to
 * conv2d_phases, or to conv2d_i8; a linear that reads a geglu linear to feed_forward; an attention to
 * attention_tiled. False where they would not. */
bool cg_bind_as_winograd(cg_bind *b, int32_t M, ir_precision p);
bool cg_bind_as_direct(cg_bind *b, ir_precision p);
bool cg_bind_as_i8(cg_bind *b);
bool cg_bind_as_feed_forward(cg_bind *b, ir_precision p);
bool cg_bind_as_attention(cg_bind *b, ir_precision p);

#endif
