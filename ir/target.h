/* What passes may know of the target: filled by codegen/target/target.c from
 * runtime/abi/kernels.def, handed to the pass manager. The CPU levels of one program have `lanes`
 * and `rate` (those of the widest) in common; all else belongs to one level, and only passes that
 * decide for each level by itself see it (passes/passes.def, PASS_PER_LEVEL). */
#ifndef EBRU_IR_TARGET_H
#define EBRU_IR_TARGET_H

#include "ir/ir.h"

typedef struct ir_target ir_target;

/* Ways to compute what a laid-out node says, between which passes choose. */
typedef enum ir_form {
    IR_FORM_NONE,
    IR_FORM_DIRECT, /* conv2d: the direct sum (of a doubled input four of 2x2); linear: by itself */
    IR_FORM_WINOGRAD_2, /* conv2d by Winograd F(2x2,3x3) */
    IR_FORM_WINOGRAD_4, /* .. F(4x4,3x3) */
    IR_FORM_FUSED       /* a linear together with the geglu linear it reads: feed_forward */
} ir_form;
/* A form, and what the operands of its products are rounded to. */
typedef struct ir_way {
    ir_form form;
    ir_precision precision;
} ir_way;

struct ir_target {
    const char *level; /* "x86-64-v2", "x86-64-v3", "x86-64-v4" */
    /* the thread count tiles are balanced for; results never depend on the run's count */
    uint32_t threads;
    uint64_t l1d, l2; /* bytes a core */
    /* Binds a node to a kernel: allocates the binding in the module's arena with every field of the
     * kernel's params struct, tasks and scratch. False when no kernel fits (reason appended). */
    bool (*bind)(const ir_target *t, ir_func *f, ir_ref node, ir_binding **out, base_str *reason);
    uint64_t l3; /* bytes; 0: unknown */
    /* Nanoseconds the node takes on this target, done this way, as a tuning record says. 0: nobody
     * measured it, or the choice is not open (levels of one program share the form of their
     * weights). NULL: always 0. */
    double (*measured)(const ir_target *t, ir_func *f, ir_ref node, ir_way way);
    uint32_t lanes; /* floats of a vector register; 0: unknown */
    /* What nodes take wherever they can, whatever is faster: a tuner has to see every kernel that a
     * model might be made of. Form IR_FORM_NONE: passes choose. */
    ir_way force;
    /* Products that kernels make while they make one in f32, where their operands are at hand. 0:
     * unknown. */
    double rate[IR_PRECISION_COUNT];
};

#endif
