/* The loop nest of an elementwise node: how its elements are visited in vectors of 16 lanes, and
 * how the work is cut into tasks. Computed by the binder (tasks) and again by the emitter (loops),
 * from the node alone. */
#ifndef EBRU_CODEGEN_TARGET_ELEMENTWISE_PLAN_H
#define EBRU_CODEGEN_TARGET_ELEMENTWISE_PLAN_H

#include "ir/ir.h"

#define CG_EW_AXES (IR_MAX_RANK + 1)

/* How an operand (or the result) moves, in elements. */
typedef struct cg_ew_stream {
    int64_t outer[CG_EW_AXES]; /* a step of each outer axis */
    int64_t vector;            /* from one vector to the next */
    bool splat;                /* one element for all 16 lanes; else 16 consecutive ones */
    bool aligned;              /* vectors start on multiples of 64 bytes */
} cg_ew_stream;

/* for o in outer axes: for v in [0, vectors): 16 lanes. */
typedef struct cg_ew_plan {
    uint32_t axes;              /* outer axes, outermost first */
    int64_t extent[CG_EW_AXES]; /* of each outer axis */
    int64_t outer;              /* their product */
    int64_t vectors;            /* full vectors of the inner loop */
    uint32_t tail;              /* plain: elements after the last full vector */
    uint32_t lanes; /* c16: real lanes of the last block of channels; 16 = all of every block */
    /* lanes < 16: outer axis that counts blocks; -1 = there is only one block */
    int32_t block_axis;
    int64_t chunk;  /* vectors a task, of one outer index */
    int64_t chunks; /* tasks an outer index */
    int64_t group;  /* outer indices a task (1 when chunks > 1) */
    int64_t tasks;
    uint32_t operands;
    cg_ew_stream in[IR_MAX_OPERANDS], out;
    uint32_t step_count; /* the expression */
    ir_expr_step steps[IR_EXPR_MAX];
} cg_ew_plan;

/* False with a reason when the operands' layouts do not allow a loop. */
bool cg_ew_make_plan(const ir_func *f, const ir_node *node, cg_ew_plan *plan, base_str *reason);

#endif
