/* Reading an image of c16 blocks row by row the way convolutions do: two tensors as one, resized,
 * scaled and activated on the way, zeros outside. For f32 products pixels stay blocks of 16
 * channels; for bf16 ones two blocks become a cell, the 32 channels of a pixel that are multiplied
 * at once (cell.h). */
#ifndef EBRU_RUNTIME_KERNELS_GATHER_H
#define EBRU_RUNTIME_KERNELS_GATHER_H

#include "runtime/kernels/cat.h"
#include "runtime/kernels/cell.h"
#include "runtime/kernels/vector/vmath.h"

struct gather {
    struct cat cat; /* one image */
    int32_t H, W;   /* as stored */
    int32_t UH, UW; /* as read: nearest neighbour, row y is row floor(y * H / UH) */
    int32_t scaled; /* 1: times scale plus shift */
    int32_t act;    /* EBRU_ACT_*, then */
    int32_t parts;  /* 0: to c16 blocks; 1, 2: rounded, to half cells of that many parts */
    int64_t part;   /* elements from a part to the next */
    int32_t
        coarse; /* 1: results are rounded to bf16 soon, so that an error of 2^-12 does not show */
    /* the block of channels that is read: its number, where it lies (see cat_block), its scale and
     * shift */
    int32_t cb;
    const float *block, *scale, *shift;
};

/* Block cb of an image whose scales and shifts are `stats`, [2][blocks][16]. */
INLINE void gather_block(struct gather *g, int32_t cb, const float *stats, int32_t blocks) {
    g->cb = cb;
    g->block = cat_block(&g->cat, cb);
    g->scale = g->scaled ? stats + cb * 16 : NULL;
    g->shift = g->scaled ? g->scale + blocks * 16 : NULL;
}

/* Sixteen channels of pixel x of the row at dst. */
INLINE void gather_store(const struct gather *g, void *dst, int32_t x, v16 v) {
    if (g->parts)
        cell_store((cell_t *)dst + x * CELL, v, g->parts, g->part);
    else
        store16((float *)dst + x * 16, v);
}

INLINE v16 gather_act(const struct gather *g, v16 v) {
#if defined(__AVX512DQ__)
    if (g->coarse && g->act == EBRU_ACT_SILU) return silu_coarse16(v);
#endif
    return act16(v, g->act);
}

/* Row iy of the block, columns [left, left + width), to dst. Zeros outside the image, inserted
 * after scaling and activation. */
INLINE void gather_row(const struct gather *g, int32_t iy, int32_t left, int32_t width, void *dst) {
    int32_t lo = ebru_min_i32(ebru_max_i32(-left, 0), width);
    int32_t hi = ebru_max_i32(ebru_min_i32(g->UW - left, width), lo);
    if (iy < 0 || iy >= g->UH) lo = hi = width;
    ROLLED for (int32_t x = 0; x < lo; x++) gather_store(g, dst, x, splat16(0.0f));
    ROLLED for (int32_t x = hi; x < width; x++) gather_store(g, dst, x, splat16(0.0f));
    if (lo == hi) return;
    const int32_t whole = g->cat.C1 == 0 || g->cat.C0 % 16 == 0;
    const v16 a = g->scaled ? load16(g->scale) : splat16(1.0f),
              s = g->scaled ? load16(g->shift) : splat16(0.0f);
    const int64_t row = (int64_t)(g->UH == g->H ? iy : iy * g->H / g->UH) * g->W;
    for (int32_t x = lo; x < hi; x++) {
        const int32_t ix = left + x;
        const int64_t pixel = row + (g->UW == g->W ? ix : ix * g->W / g->UW);
        v16 v = whole ? load16(g->block + pixel * 16) : cat_lanes(&g->cat, g->cb, pixel);
        if (g->scaled) v = v * a + s;
        gather_store(g, dst, x, gather_act(g, v));
    }
}

#endif
