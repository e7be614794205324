/* The multiply of tile.h for AArch64, included by tile.c: MR pixels by 16 columns, MR up to 6.
 *
 * 24 of the 32 registers hold sums, 6 the pixels and 2 the weights. A pixel's channels are loaded
 * four at a time and multiplied by lane (fmla by element), so that 96 multiplies need 6 + 16 loads;
 * the weights' quarters are the outer loop, so that only the one in use and the next are held. With
 * four channels a round LLVM 19 keeps all of it in registers; with eight it spills. */
#ifndef EBRU_RUNTIME_KERNELS_TILE_TILE_NEON_H
#define EBRU_RUNTIME_KERNELS_TILE_TILE_NEON_H

#include "runtime/kernels/tile/tile.h"

typedef float v4 __attribute__((ext_vector_type(4)));
typedef float v4_any __attribute__((ext_vector_type(4), aligned(4)));

/* Sums of four channels. */
INLINE void tile_four(v4 *acc, const float *const *a, const float *b, const int32_t mr) {
    v4 x[TILE_ROWS];
    UNROLL for (int32_t m = 0; m < mr; m++) x[m] = *(const v4_any *)a[m];
    UNROLL for (int32_t c = 0; c < 4; c++) {
        UNROLL for (int32_t j = 0; j < 4; j++) {
            const v4 w = *(const v4 *)(b + c * 16 + j * 4);
            UNROLL for (int32_t m = 0; m < mr; m++) acc[m * 4 + j] += w * (v4)(x[m][c]);
        }
    }
}

INLINE void tile_advance(const float **a, const int32_t mr, int64_t floats) {
    UNROLL for (int32_t m = 0; m < mr; m++) a[m] += floats;
}

INLINE void tile_body(const struct tile *t, const int32_t mr, const int32_t nb,
                      const int32_t line) {
    v4 acc[TILE_ROWS * 4];
    const float *a[TILE_ROWS];
    const float *b = t->b, *next = t->next;
    float *sum = t->sum;
    const int64_t sum_row = t->sum_row, a_row = t->a_row, a_cb = t->a_cb, a_next = t->a_next;
    const int32_t kh = t->kh, kw = t->kw;
    (void)nb; /* 1 */
    UNROLL for (int32_t m = 0; m < mr; m++) a[m] = line ? t->line + m * 16 : t->a[m];
    UNROLL for (int32_t i = 0; i < mr * 4; i++) acc[i] = (v4)(0.0f);
    if (t->add) {
        UNROLL for (int32_t i = 0; i < mr * 4; i++) acc[i] =
            *(const v4 *)(sum + i / 4 * sum_row + i % 4 * 4);
    }
    for (int32_t cb = t->cbs; cb > 0; cb--) {
        for (int32_t y = kh; y > 0; y--) {
            for (int32_t x = kw * 4; x > 0; x--) {
                UNROLL for (int32_t m = 0; m < mr; m++) __builtin_prefetch(a[m] + a_next);
                UNROLL for (int32_t i = 0; i < TILE_NEXT / 4; i++)
                    __builtin_prefetch(next + i * 16, 0, 2);
                tile_four(acc, a, b, mr);
                tile_advance(a, mr, 4);
                b += 64;
                next += TILE_NEXT * 4;
            }
            tile_advance(a, mr, a_row);
        }
        tile_advance(a, mr, a_cb);
    }
    int32_t rest = t->rest;
    for (; rest >= 4; rest -= 4, b += 64) {
        tile_four(acc, a, b, mr);
        tile_advance(a, mr, 4);
    }
    for (int32_t c = 0; c < rest; c++, b += 16) {
        UNROLL for (int32_t i = 0; i < mr * 4; i++) acc[i] +=
            *(const v4 *)(b + i % 4 * 4) * (v4)(a[i / 4][c]);
    }
    UNROLL for (int32_t i = 0; i < mr * 4; i++) * (v4 *)(sum + i / 4 * sum_row + i % 4 * 4) =
        acc[i];
}

#endif
