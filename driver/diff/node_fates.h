/* What became of the nodes of a module in the module behind a pass (or several). */
#ifndef EBRU_DRIVER_DIFF_NODE_FATES_H
#define EBRU_DRIVER_DIFF_NODE_FATES_H

#include "ir/analysis/pairing.h"

typedef struct node_fate {
    uint32_t func; /* of the later module; UINT32_MAX: nothing there stands for the node */
    ir_ref node;
    bool pair; /* the node itself is there; else what took its place, or took it in */
    bool same; /* a pair that computes the same of the same number of operands, in its function */
} node_fate;

typedef struct node_fates {
    node_fate **of; /* by function and node of the earlier module */
    uint32_t count; /* functions */
} node_fates;

/* IR does not record what a node absorbed, so it is found:
 *   1. nodes pair within functions of one name (ir/analysis/pairing.h);
 *   2. what is left pairs over functions, where op, attributes, block and weights are equal, and
 *      the type if there is a choice: passes move nodes to other stages;
 *   3. a node that is gone is what its readers read in its place. Where that was there before, it
 *      or the reader took the node in: the one that reads what the node read, else the one that
 *      changed;
 *   4. a node whose readers are gone is the new node that reads its weights; where there is none,
 *      it goes where its readers went.
 * Free with drv_node_fates_free. */
node_fates drv_node_fates(const ir_module *a, const ir_module *b);
void drv_node_fates_free(node_fates *f);

#endif
