/* The register tiles of attention.c: ATTN_ROWS keys, respectively channels, by up to
 * ATTN_MAX_BLOCKS blocks of 16 queries. Functions, one a block count, shared like tile.h's.
 *
 * attn_weights: scores that become softmax weights before they leave the registers.
 *
 *   w[n][m][:] = 2^(sum over c of k[m][c] * q[n][c][:] - max[n][:])
 *   sum[n] += w[n][0] + w[n][1] + ...
 *
 * A reduction over a head's channels is short (40 of them in the largest attention of Stable
 * Diffusion), so storing scores only to read them again for a maximum and for the exponential would
 * cost as much as half the multiply. `max` is the running maximum of each query,
 * which need not be the greatest score; see attention_loop.h.
 *
 * attn_sums: o[n][m][:] (+)= sum over keys j of v[j/16][m][j%16] * w[n][j][:]. The rows of v lie
 * side by side, so that one pointer serves them all, which tile.h's multiply cannot assume. */
#ifndef EBRU_RUNTIME_KERNELS_TILE_ATTENTION_TILE_H
#define EBRU_RUNTIME_KERNELS_TILE_ATTENTION_TILE_H

#include "runtime/kernels/vector/vec.h"

struct attn_weights {
    const float *k;   /* [rows][d] */
    const float *q;   /* [blocks][d][16], a block q_block floats from the next */
    float *w;         /* [blocks][rows][16], w_block; rows up to ATTN_ROWS are written as zeros */
    const float *max; /* [blocks][16] */
    float *sum;       /* [blocks][16] */
    int64_t q_block, w_block;
    int32_t d, rows; /* rows: 1 .. ATTN_ROWS keys */
};

struct attn_sums {
    const float *v; /* [groups][d][16] at the first of the tile's ATTN_ROWS channels */
    const float *w; /* [blocks][16 * groups][16], w_block */
    float *o;       /* [blocks][d][16] at the tile's first channel, o_block */
    int64_t w_block, o_block;
    int32_t d, groups; /* channels of the head; keys / 16 */
    int32_t add;       /* 0: start from zero, 1: from o */
};

#if defined(__AVX512F__)
#define ATTN_ROWS       8
#define ATTN_TILES(T)   T(1) T(2) T(3)
#define ATTN_MAX_BLOCKS 3
#elif defined(__AVX2__) || defined(__aarch64__)
#define ATTN_ROWS       4
#define ATTN_TILES(T)   T(1)
#define ATTN_MAX_BLOCKS 1
#else
#define ATTN_ROWS       2
#define ATTN_TILES(T)   T(1)
#define ATTN_MAX_BLOCKS 1
#endif

#define ATTN_DECLARE(n)                                                                            \
    void EBRU_NAME(ebru_attn_weights_##n)(const struct attn_weights *t);                           \
    void EBRU_NAME(ebru_attn_sums_##n)(const struct attn_sums *t);
ATTN_TILES(ATTN_DECLARE)

#define ATTN_WEIGHTS_CASE(n)                                                                       \
    case n: EBRU_NAME(ebru_attn_weights_##n)(t); return;
#define ATTN_SUMS_CASE(n)                                                                          \
    case n: EBRU_NAME(ebru_attn_sums_##n)(t); return;
INLINE void attn_weights_run(const struct attn_weights *t, int32_t blocks) {
    switch (blocks) {
        ATTN_TILES(ATTN_WEIGHTS_CASE)
    default: __builtin_unreachable();
    }
}
INLINE void attn_sums_run(const struct attn_sums *t, int32_t blocks) {
    switch (blocks) {
        ATTN_TILES(ATTN_SUMS_CASE)
    default: __builtin_unreachable();
    }
}

#endif
