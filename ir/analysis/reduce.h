/* Steps that make a module smaller, for `ebru reduce`: each keeps it legal (what types cannot say,
 * layouts, is left to ir_verify) and none keeps what it computes. For modules whose nodes are not
 * bound to kernels yet. */
#ifndef EBRU_IR_ANALYSIS_REDUCE_H
#define EBRU_IR_ANALYSIS_REDUCE_H

#include "ir/ir.h"

/* What becomes of a node. */
typedef struct ir_cut {
    enum {
        IR_CUT_KEEP,
        IR_CUT_INPUT,  /* an input of its type stands for it, which changes as often as it did */
        IR_CUT_BYPASS, /* its operand number `operand`, of its type, stands for it */
        IR_CUT_DROP    /* its optional operand number `operand` is absent */
    } fate;
    uint32_t operand;
} ir_cut;

/* Cuts f, cuts[node id]. False, and f is as it was, when nothing is cut or a cut does not fit. */
bool ir_reduce(ir_func *f, const ir_cut *cuts);
/* Gives every extent `from` of the inputs, and of attributes that say shapes and sizes, the value
 * `to`. False, and f is as it was, when there is none or some op does not fit any more. */
bool ir_reduce_extent(ir_func *f, int64_t from, int64_t to);
/* Makes `value` the only output, under the name of the first. */
void ir_reduce_output(ir_func *f, ir_ref value);
/* Drops nodes and inputs that no output depends on, and weights that no function reads. Only for
 * modules that are printed next: lookups by name are not kept. */
void ir_drop_unused(ir_module *m);
/* Nodes that are neither inputs nor weights, of all functions. */
uint32_t ir_op_count(const ir_module *m);

#endif
