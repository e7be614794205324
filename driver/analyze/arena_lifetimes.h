/* When values of a placed function lie in its arena: for --analyze, --metafile and reports. */
#ifndef EBRU_DRIVER_ANALYZE_ARENA_LIFETIMES_H
#define EBRU_DRIVER_ANALYZE_ARENA_LIFETIMES_H

#include "ir/ir.h"

/* Of a node that has bytes of its own in the arena: from the node that writes them to the last that
 * reads them, both included, as indices of f->nodes; one less where that node writes over them.
 * bytes 0: a view, a constant, an input or an output of the function, or a module that is not
 * placed. */
typedef struct drv_life {
    uint32_t first, last;
    uint64_t bytes;
} drv_life;

/* One entry a node; base_free. */
drv_life *drv_lives(const ir_func *f);
/* The node (index) at which most bytes are alive, the first of them; their number in *bytes. */
uint32_t drv_peak(const ir_func *f, const drv_life *lives, uint64_t *bytes);

#endif
