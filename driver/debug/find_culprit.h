/* Which node of a network made its results differ from those of the same network before a pass. */
#ifndef EBRU_DRIVER_DEBUG_FIND_CULPRIT_H
#define EBRU_DRIVER_DEBUG_FIND_CULPRIT_H

#include "driver/debug/eval_network.h"

typedef struct net_culprit {
    uint32_t entry; /* of `after`: the node that computes something else */
    /* entry of `before` whose value puts everything right in its place; NET_NONE: none */
    uint32_t expected;
    /* operand of `entry` without a counterpart before the pass, which may be the one; NET_NONE:
     * none */
    uint32_t suspect;
} net_culprit;

/* Both networks are evaluated on the same inputs with all values kept, and their outputs differ by
 * more than the tolerance. False when every node has a counterpart (the outputs themselves were
 * exchanged). */
bool net_locate(const net *before, const net *after, double tolerance, net_culprit *out);

#endif
