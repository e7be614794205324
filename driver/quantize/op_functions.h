/* Networks taken apart: a function for each op, so that a network can be run op by op, and an op in
 * another precision than its neighbours. */
#ifndef EBRU_DRIVER_QUANTIZE_OP_FUNCTIONS_H
#define EBRU_DRIVER_QUANTIZE_OP_FUNCTIONS_H

#include "ir/ir.h"

/* "unet.step.41": the function of one node, by the node's place in its function. */
const char *quant_op_name(base_arena *arena, const ir_func *f, uint32_t node);
/* True for a node that is computed when the program runs: no input, no view, nothing that depends
 * on weights only. `constant` is ir_constants(f). */
bool quant_is_op(const ir_func *f, const bool *constant, uint32_t node);
/* True for a conv2d or linear; *w is what it reads as its filter. */
bool quant_has_filter(const ir_node *n, ir_ref *w);

/* Adds a function for each op of f (see quant_is_op) to its module. Operands that depend on inputs
 * become inputs "v12" by their place in f, of the same type, layout and frequency, each once, in
 * the order of the operands; what depends on weights only is copied. The result is the only
 * output. */
void quant_add_op_functions(const ir_func *f);

#endif
