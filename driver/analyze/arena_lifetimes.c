/* Lifetimes of values in the arena; see memory.h. The planner's own view of them ends with its
 * pass; this one is read off the placed IR, so that it holds for IR text, too. */
#include "driver/analyze/arena_lifetimes.h"

static bool in_arena(const ir_node *n) {
    return n->place.kind == IR_AT_ARENA;
}

drv_life *drv_lives(const ir_func *f) {
    size_t n = f->nodes.count;
    drv_life *lives = base_alloc(n * sizeof *lives + 1);
    uint32_t *last = ir_last_uses(f);
    for (uint32_t i = 0; i < n; i++) {
        const ir_node *node = &f->nodes.items[i];
        bool own = !ir_is_view(f, (ir_ref){i}) && in_arena(node);
        uint32_t end = last[i] < n ? last[i] : (uint32_t)n - 1; /* outputs: to the end */
        lives[i] = (drv_life){i, end, own ? ir_type_bytes(&node->type) : 0};
    }
    for (uint32_t i = 0; i < n; i++) {
        const ir_node *a = &f->nodes.items[i], *b = &f->nodes.items[lives[i].last];
        if (lives[i].bytes && lives[i].last > i && lives[lives[i].last].bytes &&
            a->place.offset == b->place.offset)
            lives[i].last--;
    }
    base_free(last);
    return lives;
}

uint32_t drv_peak(const ir_func *f, const drv_life *lives, uint64_t *bytes) {
    size_t n = f->nodes.count;
    uint64_t *dies = base_alloc((n + 1) * sizeof *dies), alive = 0;
    uint32_t at = 0;
    *bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        dies[lives[i].last] += lives[i].bytes;
        alive += lives[i].bytes;
        if (alive > *bytes) {
            *bytes = alive;
            at = i;
        }
        alive -= dies[i];
    }
    base_free(dies);
    return at;
}
