/* A small index from 32-bit hashes (base/hash.h) to ids, shared by the node interner, the weight
 * and origin tables and the parser's labels. It stores no keys: the caller compares candidates
 * itself.
 *
 *   uint32_t at = base_index_start(x, hash), id;
 *   while (base_index_next(x, hash, &at, &id)) if (same(key, id)) return id;
 *   base_index_add(x, hash, new_id); */
#ifndef EBRU_BASE_INDEX_H
#define EBRU_BASE_INDEX_H

#include "base/arena.h"

/* The hostile test configuration starts small, so that tables grow all the time. */
#ifdef EBRU_HOSTILE
#define BASE_INDEX_START 2
#else
#define BASE_INDEX_START 64
#endif

typedef struct base_index_slot {
    uint32_t hash, id_plus_1; /* 0: empty */
} base_index_slot;

typedef struct base_index {
    base_index_slot *slots; /* a power of two of them, at most half full */
    size_t cap, count;
} base_index;

static inline void base_index_free(base_index *x) {
    base_free(x->slots);
    *x = (base_index){0};
}

static inline uint32_t base_index_start(const base_index *x, uint32_t hash) {
    return x->cap ? hash & (uint32_t)(x->cap - 1) : 0;
}

/* The next id stored under `hash`; false when there are no more. */
static inline bool base_index_next(const base_index *x, uint32_t hash, uint32_t *at, uint32_t *id) {
    if (!x->cap) return false;
    while (x->slots[*at].id_plus_1) {
        const base_index_slot *s = &x->slots[*at];
        *at = (*at + 1) & (uint32_t)(x->cap - 1);
        if (s->hash == hash) {
            *id = s->id_plus_1 - 1;
            return true;
        }
    }
    return false;
}

static inline void base_index_put(base_index *x, base_index_slot s) {
    uint32_t at = base_index_start(x, s.hash);
    while (x->slots[at].id_plus_1) at = (at + 1) & (uint32_t)(x->cap - 1);
    x->slots[at] = s;
}

static inline void base_index_add(base_index *x, uint32_t hash, uint32_t id) {
    if (2 * (x->count + 1) > x->cap) {
        base_index old = *x;
        x->cap = old.cap ? 2 * old.cap : BASE_INDEX_START;
        x->slots = base_alloc(x->cap * sizeof *x->slots);
        for (size_t i = 0; i < old.cap; i++)
            if (old.slots[i].id_plus_1) base_index_put(x, old.slots[i]);
        base_free(old.slots);
    }
    base_index_put(x, (base_index_slot){hash, id + 1});
    x->count++;
}

#endif
