/* What the files of ir/ share among themselves about nodes and attributes; not for other folders.
 */
#ifndef EBRU_IR_BUILD_H
#define EBRU_IR_BUILD_H

#include "ir/ir.h"

/* ops.c: attribute structs through their tables. Strings must not be NULL. */
bool ir_attr_equal(const ir_attr_info *attr, const void *a, const void *b);
uint32_t ir_attrs_hash(ir_op op, const void *attrs, uint32_t h);
/* Kernel, parameters, tasks and scratch; NULL equals NULL. */
bool ir_binding_equal(const ir_binding *a, const ir_binding *b);
void *ir_attrs_copy(base_arena *arena, ir_op op, const void *attrs);

/* node.c: adds a complete node as it is, without inference; the equal node where there is one (then
 * `node` is dropped). Attributes are copied, operands and binding are not looked at. An input is
 * also appended to f->inputs. */
ir_ref ir_node_add(ir_func *f, const ir_node *node);

/* weights.c: the elements as they are stored, without updates. */
void ir_weight_read_stored(const ir_weight *w, float *out, int64_t first, int64_t count);

/* lora_sum.c: adds the updates of w to the elements [first, first + count) that `out` holds. */
void ir_lora_apply(const ir_weight *w, float *out, int64_t first, int64_t count);

#endif
