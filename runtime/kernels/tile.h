/* The multiply: MR pixels by NB blocks of 16 columns in registers, over a reduction of `taps` x 16 channels.
 *
 *   sum[n][m][:] (+)= sum over (c-block, kh, kw, c) of a[m][..] * b[n][..][c][:]
 *
 * One function a (MR, NB) pair, shared by every convolution of a module: shapes arrive in the argument
 * struct, only the unrolled inner step is code. Order "load B row, then for each m broadcast and multiply
 * over n" keeps the register allocator within MR*NB + NB + 1 registers at the pairs the level lists; see
 * tile_max_rows. */
#ifndef EBRU_KERNELS_TILE_H
#define EBRU_KERNELS_TILE_H

#include "runtime/kernels/vec.h"

struct tile {
    const float *const *a; /* MR pixel pointers at the first c-block, top left tap */
    const float *b;        /* packed weights of the first block at the first c-block */
    const float *next;     /* weights to fetch into L2 on the way, TILE_NEXT lines a tap */
    float *sum;            /* [n][sum_step floats], pixel m at m * 16 */
    int64_t b_step;        /* floats from a block of 16 columns to the next */
    int64_t sum_step;
    int64_t a_row, a_cb; /* floats added after a row of taps, and after all rows of a c-block */
    int32_t cbs, kh, kw;
    int32_t add; /* 0: start from zero, 1: from sum */
};

/* Floats ahead of the multiply that weights are fetched at: one tap, 16 rows. */
#define TILE_AHEAD 256
#define TILE_NEXT  8  /* cache lines of `next` a tap */
#define TILE_ROWS  16 /* most pixels of any pair */

INLINE void tile_body(const struct tile *t, const int32_t mr, const int32_t nb) {
    v16 acc[32];
    const float *a[TILE_ROWS];
    const float *b = t->b, *next = t->next;
    float *sum = t->sum;
    const int64_t b_step = t->b_step, sum_step = t->sum_step, a_row = t->a_row, a_cb = t->a_cb;
    const int32_t kh = t->kh, kw = t->kw;
    int64_t at = 0;
    UNROLL for (int32_t m = 0; m < mr; m++) a[m] = t->a[m];
    UNROLL for (int32_t i = 0; i < mr * nb; i++) acc[i] = splat16(0.0f);
    if (t->add) {
        UNROLL for (int32_t m = 0; m < mr; m++) {
            UNROLL for (int32_t n = 0; n < nb; n++) acc[m * nb + n] = load16(sum + n * sum_step + m * 16);
        }
    }
    for (int32_t cb = t->cbs; cb > 0; cb--) {
        for (int32_t y = kh; y > 0; y--) {
            for (int32_t x = kw; x > 0; x--) {
                UNROLL for (int32_t c = 0; c < 16; c++) {
                    v16 w[8];
                    if (c % (16 / TILE_NEXT) == 0) __builtin_prefetch(next + c / (16 / TILE_NEXT) * 16, 0, 2);
                    UNROLL for (int32_t n = 0; n < nb; n++) {
                        w[n] = load16(b + n * b_step + c * 16);
                        __builtin_prefetch(b + n * b_step + c * 16 + TILE_AHEAD);
                    }
                    UNROLL for (int32_t m = 0; m < mr; m++) {
                        v16 v = splat16(a[m][at + c]);
                        UNROLL for (int32_t n = 0; n < nb; n++) acc[m * nb + n] += v * w[n];
                    }
                }
                at += 16;
                b += 256;
                next += TILE_NEXT * 16;
            }
            at += a_row;
        }
        at += a_cb;
    }
    UNROLL for (int32_t m = 0; m < mr; m++) {
        UNROLL for (int32_t n = 0; n < nb; n++) store16(sum + n * sum_step + m * 16, acc[m * nb + n]);
    }
}

#define TILE_DEFINE(m, n)                                                                                    \
    static __attribute__((noinline)) void EBRU_NAME(tile_##m##x##n)(const struct tile *t) {                  \
        tile_body(t, m, n);                                                                                  \
    }
#define TILE_CASE(m, n)                                                                                      \
    case n * 16 + m: EBRU_NAME(tile_##m##x##n)(t); return;

/* The pairs of a level: every row count up to the largest that stays in registers. */
#if defined(__AVX512F__)
#define TILE_MAX_BLOCKS 4
#define TILE_PAIRS(T)                                                                                        \
    T(1, 1)                                                                                                  \
    T(2, 1)                                                                                                  \
    T(3, 1)                                                                                                  \
    T(4, 1) T(5, 1) T(6, 1) T(7, 1) T(8, 1) T(9, 1) T(10, 1) T(11, 1) T(12, 1) T(1, 2) T(2, 2) T(3, 2)       \
        T(4, 2) T(5, 2) T(6, 2) T(7, 2) T(8, 2) T(9, 2) T(10, 2) T(1, 3) T(2, 3) T(3, 3) T(4, 3) T(5, 3)     \
            T(6, 3) T(7, 3) T(8, 3) T(1, 4) T(2, 4) T(3, 4) T(4, 4) T(5, 4) T(6, 4)
#elif defined(__AVX2__)
#define TILE_MAX_BLOCKS 1
#define TILE_PAIRS(T)   T(1, 1) T(2, 1) T(3, 1) T(4, 1) T(5, 1) T(6, 1)
#else
#define TILE_MAX_BLOCKS 1
#define TILE_PAIRS(T)   T(1, 1) T(2, 1)
#endif

TILE_PAIRS(TILE_DEFINE)

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
