/* Between plan_memory.c and packed_offsets.c. */
#ifndef EBRU_PASSES_MEMORY_PLAN_H
#define EBRU_PASSES_MEMORY_PLAN_H

#include "passes/passes.h"

/* The offset in the packed weights of a value that depends on weights only; the same expression has
 * one offset in all functions. New ones are appended to c->memory. */
uint64_t pass_weight_offset(pass_context *c, const ir_func *f, ir_ref r);

#endif
