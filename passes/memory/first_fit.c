/* Buffers into one arena, each at the lowest offset that is free all its life.
 *
 * Those that have their offset stand sorted by it, in blocks of at most MOST. A block knows what
 * all of its buffers have in common, so a search steps over it at once where it can tell that
 * nothing fits: where none of them lives at the same time, and where all do and no gap between them
 * is large enough. So thousands of values that are alive at once do not cost a look at each for
 * each. */
#include "passes/memory/plan.h"

#include <string.h>

enum { MOST = 256 };

typedef struct block {
    uint32_t count;
    uint32_t *item; /* room for MOST, owned */
    uint32_t least_first, most_first, least_last, most_last;
    uint64_t start, gap, end; /* the first offset, the largest gap between two, the highest end */
} block;

typedef struct fit {
    pass_buffer *b;
    BASE_VEC(block) blocks;
} fit;

static void summarize(const fit *f, block *k) {
    k->least_first = k->least_last = UINT32_MAX;
    k->most_first = k->most_last = 0;
    k->start = f->b[k->item[0]].offset;
    k->gap = k->end = 0;
    for (uint32_t i = 0; i < k->count; i++) {
        const pass_buffer *y = &f->b[k->item[i]];
        if (i && y->offset > k->end && y->offset - k->end > k->gap) k->gap = y->offset - k->end;
        if (y->offset + y->bytes > k->end) k->end = y->offset + y->bytes;
        if (y->first < k->least_first) k->least_first = y->first;
        if (y->first > k->most_first) k->most_first = y->first;
        if (y->last < k->least_last) k->least_last = y->last;
        if (y->last > k->most_last) k->most_last = y->last;
    }
}

/* Looks for room in front of the block's buffers from *at on, which is raised over those that are
 * in the way. True when there is room at *at. */
static bool room_before(const fit *f, const block *k, const pass_buffer *x, uint64_t *at) {
    if (k->most_last < x->first || x->last < k->least_first) return false;
    bool all = k->least_last >= x->first && k->most_first <= x->last;
    if (all && *at + x->bytes <= k->start) return true;
    if (all && k->gap < x->bytes) {
        if (k->end > *at) *at = k->end;
        return false;
    }
    for (uint32_t i = 0; i < k->count; i++) {
        const pass_buffer *y = &f->b[k->item[i]];
        if (y->last < x->first || x->last < y->first) continue;
        if (*at + x->bytes <= y->offset) return true;
        if (y->offset + y->bytes > *at) *at = y->offset + y->bytes;
    }
    return false;
}

/* The block for a buffer at that offset: behind all whose offset is not greater. */
static size_t block_for(const fit *f, uint64_t at) {
    size_t low = 0, high = f->blocks.count;
    while (low + 1 < high) {
        size_t middle = (low + high) / 2;
        if (f->blocks.items[middle].start <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static block new_block(void) {
    return (block){.item = base_alloc(MOST * sizeof(uint32_t))};
}

/* The upper half of a full block becomes a block of its own. */
static void split(fit *f, size_t k) {
    BASE_PUSH(&f->blocks, new_block());
    block *low = &f->blocks.items[k], *high = low + 1, fresh = f->blocks.items[f->blocks.count - 1];
    memmove(high + 1, high, (f->blocks.count - k - 2) * sizeof *high);
    *high = fresh;
    high->count = MOST / 2;
    low->count = MOST - MOST / 2;
    memcpy(high->item, low->item + low->count, high->count * sizeof *high->item);
    summarize(f, low);
    summarize(f, high);
}

static void insert(fit *f, uint32_t item) {
    uint64_t at = f->b[item].offset;
    if (!f->blocks.count) BASE_PUSH(&f->blocks, new_block());
    size_t k = block_for(f, at);
    if (f->blocks.items[k].count == MOST) {
        split(f, k);
        k = block_for(f, at);
    }
    block *to = &f->blocks.items[k];
    uint32_t i = to->count++;
    for (; i > 0 && f->b[to->item[i - 1]].offset > at; i--) to->item[i] = to->item[i - 1];
    to->item[i] = item;
    summarize(f, to);
}

uint64_t pass_first_fit(pass_buffer *b, const uint32_t *order, size_t count) {
    fit f = {.b = b};
    uint64_t end = 0;
    for (size_t i = 0; i < count; i++) {
        pass_buffer *x = &b[order[i]];
        uint64_t at = 0;
        for (size_t k = 0; k < f.blocks.count; k++)
            if (room_before(&f, &f.blocks.items[k], x, &at)) break;
        x->offset = at;
        if (at + x->bytes > end) end = at + x->bytes;
        insert(&f, order[i]);
    }
    for (size_t k = 0; k < f.blocks.count; k++) base_free(f.blocks.items[k].item);
    base_free(f.blocks.items);
    return end;
}
