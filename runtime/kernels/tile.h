/* The multiply: MR pixels by NB blocks of 16 columns in registers, over a reduction of taps x 16 channels.
 *
 *   sum[n][m][:] (+)= sum over (c-block, kh, kw, c) of a[m][..] * b[n][..][c][:]
 *
 * One function a (MR, NB) pair, shared by everything that multiplies in a module: shapes arrive in the
 * argument struct, only the unrolled inner step is code. Order "load B row, then for each m broadcast and
 * multiply over n" keeps the register allocator within MR*NB + NB + 1 registers at the pairs the level lists;
 * see tile_max_rows. */
#ifndef EBRU_KERNELS_TILE_H
#define EBRU_KERNELS_TILE_H

#include "runtime/kernels/vec.h"

struct tile {
    const float *const *a; /* MR pixel pointers at the first c-block, top left tap */
    const float *b;        /* packed weights of the first block at the first c-block */
    const float *next;     /* weights to fetch into L2 on the way, TILE_NEXT lines a tap */
    float *sum;            /* block n of pixel m at n * sum_step + m * sum_row */
    int64_t b_step;        /* floats from a block of 16 columns to the next */
    int64_t sum_step, sum_row;
    int64_t a_row, a_cb; /* floats added after a row of taps, and after all rows of a c-block */
    int32_t cbs, kh, kw;
    int32_t rest; /* reduction steps after the last whole tap */
    int32_t add;  /* 0: start from zero, 1: from sum */
};

/* Floats ahead of the multiply that weights are fetched at: one tap, 16 rows. */
#define TILE_AHEAD 256
#define TILE_NEXT  8  /* cache lines of `next` a tap */
#define TILE_ROWS  16 /* most pixels of any pair */

#define TILE_DECLARE(m, n) void EBRU_NAME(ebru_tile_##m##x##n)(const struct tile *t);
#define TILE_CASE(m, n)                                                                                      \
    case n * 16 + m: EBRU_NAME(ebru_tile_##m##x##n)(t); return;

/* The pairs of a level: every row count up to the largest that stays in registers. */
/* clang-format off */
#if defined(__AVX512F__)
#define TILE_MAX_BLOCKS 4
#define TILE_PAIRS(T) \
    T(1, 1) T(2, 1) T(3, 1) T(4, 1) T(5, 1) T(6, 1) T(7, 1) T(8, 1) T(9, 1) T(10, 1) T(11, 1) T(12, 1) \
    T(1, 2) T(2, 2) T(3, 2) T(4, 2) T(5, 2) T(6, 2) T(7, 2) T(8, 2) T(9, 2) T(10, 2) \
    T(1, 3) T(2, 3) T(3, 3) T(4, 3) T(5, 3) T(6, 3) T(7, 3) T(8, 3) \
    T(1, 4) T(2, 4) T(3, 4) T(4, 4) T(5, 4) T(6, 4)
#elif defined(__AVX2__)
#define TILE_MAX_BLOCKS 1
#define TILE_PAIRS(T) T(1, 1) T(2, 1) T(3, 1) T(4, 1) T(5, 1) T(6, 1)
#else
#define TILE_MAX_BLOCKS 1
#define TILE_PAIRS(T) T(1, 1) T(2, 1)
#endif
/* clang-format on */

TILE_PAIRS(TILE_DECLARE)

/* The largest row count for nb blocks. */
INLINE int32_t tile_max_rows(int32_t nb) {
#if defined(__AVX512F__)
    return nb == 1 ? 12 : nb == 2 ? 10 : nb == 3 ? 8 : 6;
#elif defined(__AVX2__)
    return nb >= 1 ? 6 : 0;
#else
    return nb >= 1 ? 2 : 0;
#endif
}

INLINE void tile_run(const struct tile *t, int32_t mr, int32_t nb) {
    switch (nb * 16 + mr) {
        TILE_PAIRS(TILE_CASE)
    default: __builtin_unreachable();
    }
}

#endif
