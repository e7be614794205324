/* Which nodes of two functions stand for each other: the structural comparison behind `ebru diff`.
 * Numbers and places never count; a node that only moved pairs with itself. */
#ifndef EBRU_IR_ANALYSIS_PAIRING_H
#define EBRU_IR_ANALYSIS_PAIRING_H

#include "ir/ir.h"

typedef struct ir_pairing {
    const ir_func *a, *b;
    ir_ref *to_b; /* for each node of a the node of b that took its place; IR_NONE: removed */
    ir_ref *to_a; /* the other way round; IR_NONE: added */
} ir_pairing;

/* Pairs the nodes of two functions, of two modules or of one, each with one at most and always of
 * the same op:
 *   1. inputs and weights by name;
 *   2. equal computations: op, attributes, type, block and (recursively) operands;
 *   3. equal but for operands;
 *   4. the same op on the same weight, packed or not;
 *   5. the same op in the same block.
 * Among several candidates the one with the most operands paired wins, then the first. O(n log n)
 * for what models look like. Free with ir_pairing_free. */
ir_pairing ir_pair_nodes(const ir_func *a, const ir_func *b);
void ir_pairing_free(ir_pairing *p);

/* What differs between the nodes of a pair, as bits. */
enum {
    IR_DIFFERS_ATTRS = 1,
    IR_DIFFERS_TYPE = 2,
    IR_DIFFERS_OPERANDS =
        4, /* some operand is absent on one side, or no pair of the other side's */
    IR_DIFFERS_KERNEL =
        8, /* bound on one side only, or other kernel, parameters, tasks or scratch */
    IR_DIFFERS_BLOCK = 16,
    IR_DIFFERS_PLACE = 32
};
uint32_t ir_pair_differs(const ir_pairing *p, ir_ref in_a, ir_ref in_b);
/* Operand k is absent on both sides, or a pair. */
bool ir_pair_operand_same(const ir_pairing *p, ir_ref in_a, ir_ref in_b, uint32_t k);

#endif
