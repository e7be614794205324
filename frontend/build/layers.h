/* What blocks.c needs of layers.c beside blocks.h: nodes and weights with checks. */
#ifndef EBRU_FRONTEND_BUILD_LAYERS_H
#define EBRU_FRONTEND_BUILD_LAYERS_H

#include "frontend/build/blocks.h"

/* What is built from here on belongs to the block `prefix`: for single layers; without effect
 * inside a block. */
void fe_enter(fe_builder *b, const char *prefix);
/* A block of several layers: what is built until fe_close belongs to it. fe_close restores what
 * fe_open returned and passes the block's result on. */
const char *fe_open(fe_builder *b, const char *prefix);
ir_ref fe_close(fe_builder *b, const char *outer, ir_ref result);
/* PREFIX.NAME, or the other when one is empty. */
const char *fe_sub(fe_builder *b, const char *prefix, const char *name);
/* The type of a value as text, for messages. */
const char *fe_type_text(fe_builder *b, ir_ref x);
/* Whether x is a float tensor of this rank; its type. False after reporting that `what` needs one
 * (silent for IR_NONE). */
bool fe_of_rank(fe_builder *b, ir_ref x, uint32_t rank, const char *what, ir_type *type);

/* Adds a node after checking it. `attrs` NULL: defaults. */
ir_ref fe_emit(fe_builder *b, ir_op op, const ir_ref *operands, uint32_t count, const void *attrs);
ir_ref fe_emit1(fe_builder *b, ir_op op, ir_ref x, const void *attrs);
ir_ref fe_emit2(fe_builder *b, ir_op op, ir_ref x, ir_ref y, const void *attrs);
ir_ref fe_reshape(fe_builder *b, ir_ref x, uint32_t rank, const int64_t *dim);
ir_ref fe_transpose(fe_builder *b, ir_ref x, uint32_t rank, const int64_t *perm);

/* Declares a tensor (the scope is filled in) and refers to it. */
ir_ref fe_weight(fe_builder *b, fe_tensor_spec *spec);
ir_ref fe_bias(fe_builder *b, const char *prefix, int64_t n, int64_t fan_in);
ir_ref fe_table(fe_builder *b, const char *prefix, int64_t count, int64_t width);
/* fe_linear without entering a block; `old_prefix` (or NULL): where older files have the tensors.
 */
ir_ref fe_linear_named(fe_builder *b, ir_ref x, const char *prefix, const char *old_prefix,
                       const fe_linear_options *o);

#endif
