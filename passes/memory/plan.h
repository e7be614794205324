/* The parts of plan_memory.c: packed_offsets.c and first_fit.c. */
#ifndef EBRU_PASSES_MEMORY_PLAN_H
#define EBRU_PASSES_MEMORY_PLAN_H

#include "passes/passes.h"

/* The offset in the packed weights of a value that depends on weights only; the same expression has
 * one offset in all functions. New ones are appended to c->memory. */
uint64_t pass_weight_offset(pass_context *c, const ir_func *f, ir_ref r);

/* A piece of memory that one or, in place, several nodes write. */
typedef struct pass_buffer {
    uint32_t first, last; /* nodes it lives over, both included */
    uint64_t bytes, offset;
} pass_buffer;

/* Gives the buffers their offsets in the order given (`count` indices of b), each the lowest that
 * is free all its life. Returns the bytes needed. */
uint64_t pass_first_fit(pass_buffer *b, const uint32_t *order, size_t count);

#endif
