/* Random legal modules at GRAPH level (with 8-bit integers: at FUSED level), for comparisons of what passes and code generation make of
 * them with the reference evaluator. A seed makes one module always the same. */
#ifndef EBRU_TESTS_RANDOM_RANDOM_MODULE_H
#define EBRU_TESTS_RANDOM_RANDOM_MODULE_H

#include "ir/ir.h"

typedef struct random_options {
    uint32_t ops;          /* how many steps; most add an op or a pattern of several */
    int64_t most_elements; /* of a value */
    bool int8;             /* at FUSED level, with products of 8-bit integers among the ops */
} random_options;

#define RANDOM_OPTIONS_DEFAULT {.ops = 14, .most_elements = 3000}
/* Quantized values have a record of 16 bytes a pixel and channels in blocks of 64. */
#define RANDOM_OPTIONS_INT8 {.ops = 14, .most_elements = 12000, .int8 = true}

/* A module of a network `n` with one or two outputs and a function beside it, to be freed with
 * ir_module_free. Every op that is legal at GRAPH level comes up, with extents on both sides of
 * the blocks of 16. Values stay near 1, so that a difference of rounding does not grow: what
 * would not (exp, sqrt, div) gets operands that make it so. */
ir_module *random_module(uint64_t seed, const random_options *o);

/* ---- what a set of modules covers ---- */

/* Extents as kernels see them: a class for each way in which the last block of 16 can end. */
enum { RANDOM_SHAPE_ONE, RANDOM_SHAPE_BELOW, RANDOM_SHAPE_WHOLE, RANDOM_SHAPE_TAIL, RANDOM_SHAPES };

typedef struct random_coverage {
    uint32_t op[IR_OP_COUNT];
    uint32_t rank[IR_OP_COUNT][IR_MAX_RANK + 1];
    uint32_t shape[IR_OP_COUNT][RANDOM_SHAPES]; /* of the last axis of the result */
    uint32_t edge[IR_OP_COUNT][IR_OP_COUNT];    /* [of the operand][of the reader] */
} random_coverage;

void random_cover(random_coverage *c, const ir_module *m);
/* Whether the generator makes this op: all that are legal at GRAPH level, and for `int8` those of
 * 8-bit integers. */
bool random_makes(ir_op op, bool int8);
/* A line a measure, appended: ops, ops by rank, ops by shape, edges, each as N of M that the
 * generator makes, and the ops that never came up. */
void random_coverage_print(const random_coverage *c, bool int8, base_str *out);

#endif
