/* The multiply of tile_bf16.h for AArch64, included by tile_bf16.c: MR pixels by 16 columns as in
 * tile_neon.h, four registers of sums a pixel, the weights' quarters outside. With the instructions
 * for bf16, dot products of pairs by lane (bfdot), whose products are exact and whose sums are
 * rounded to odd, then to f32; without, f32. */
#ifndef EBRU_RUNTIME_KERNELS_TILE_TILE_BF16_NEON_H
#define EBRU_RUNTIME_KERNELS_TILE_TILE_BF16_NEON_H

#include "runtime/kernels/tile/tile_bf16.h"

/* Loads stay on their side: weights needed twice are read twice, and none early; the compiler would
 * run out of registers. */
#define FORGET __asm__ volatile("" ::: "memory")

#if defined(CELL_OF_BF16)
#include <arm_neon.h>

typedef float32x4_t v4;

/* Eight channels of every row, four pairs of them in a register: sums += a * b. Lanes are splat as
 * f32, which is how LLVM knows bfdot's form by element. */
INLINE void four_pairs(v4 *acc, const v4 *x, const uint16_t *b, const int32_t mr) {
    UNROLL for (int32_t c = 0; c < 4; c++) {
        UNROLL for (int32_t j = 0; j < 4; j++) {
            const bfloat16x8_t w = *(const bfloat16x8_t *)(const void *)(b + c * 32 + j * 8);
            UNROLL for (int32_t m = 0; m < mr; m++) {
                const float lane = x[m][c];
                acc[m * 4 + j] =
                    vbfdotq_f32(acc[m * 4 + j], w, (bfloat16x8_t)(v4){lane, lane, lane, lane});
            }
        }
    }
}

enum { CHANNELS = 8 }; /* a step of the innermost loop: one load a pixel */

/* Eight channels of every row, the small products first. */
INLINE void step(v4 *acc, const cell_t *const *a, int64_t a_part, const uint16_t *b,
                 const int32_t mr, const int32_t parts) {
    v4 x[TILE_BF16_ROWS];
    if (parts == 2) {
        UNROLL for (int32_t m = 0; m < mr; m++) x[m] = *(const v4 *)(const void *)(a[m] + a_part);
        four_pairs(acc, x, b, mr);
        FORGET;
    }
    UNROLL for (int32_t m = 0; m < mr; m++) x[m] = *(const v4 *)(const void *)a[m];
    if (parts == 2) {
        four_pairs(acc, x, b + 512, mr);
        FORGET;
    }
    four_pairs(acc, x, b, mr);
}

#else

typedef float v4 __attribute__((ext_vector_type(4)));
typedef uint32_t v4u __attribute__((ext_vector_type(4)));

enum { CHANNELS = 4 };

/* Four columns of the first (half 0) or second channel of pairs. */
INLINE v4 widen(v4u pairs, int32_t half) {
    return (v4)(half ? pairs & (v4u)(0xffff0000u) : pairs << 16);
}

/* Four channels of every row. */
INLINE void step(v4 *acc, const cell_t *const *a, int64_t a_part, const uint16_t *b,
                 const int32_t mr, const int32_t parts) {
    v4 x[TILE_BF16_ROWS];
    (void)a_part;
    UNROLL for (int32_t m = 0; m < mr; m++) x[m] = *(const v4 *)a[m];
    UNROLL for (int32_t i = 0; i < 8; i++) { /* pairs of channels, quarters of the columns */
        const uint16_t *at = b + i / 4 * 32 + i % 4 * 8;
        const v4u hi = *(const v4u *)(const void *)at,
                  lo = *(const v4u *)(const void *)(at + (parts - 1) * 512);
        UNROLL for (int32_t half = 0; half < 2; half++) {
            v4 w = widen(hi, half);
            if (parts == 2) w += widen(lo, half);
            UNROLL for (int32_t m = 0; m < mr; m++) acc[m * 4 + i % 4] +=
                w * (v4)(x[m][i / 4 * 2 + half]);
        }
        if (parts == 2) FORGET;
    }
}

#endif

INLINE void tile_body(const struct tile_bf16 *t, const int32_t mr, const int32_t nb,
                      const int32_t parts) {
    v4 acc[TILE_BF16_ROWS * 4];
    const cell_t *a[TILE_BF16_ROWS];
    const uint16_t *b = t->b, *next = t->next;
    float *sum = t->sum;
    const int64_t a_row = t->a_row, a_cb = t->a_cb, a_part = t->a_part;
    const int32_t kh = t->kh, kw = t->kw;
    (void)nb; /* 1 */
    UNROLL for (int32_t m = 0; m < mr; m++) a[m] = t->a[m];
    UNROLL for (int32_t i = 0; i < mr * 4; i++) acc[i] = (v4){0.0f, 0.0f, 0.0f, 0.0f};
    if (t->add) {
        UNROLL for (int32_t i = 0; i < mr * 4; i++) acc[i] = *(const v4 *)(sum + i * 4);
    }
    for (int32_t cb = t->cbs; cb > 0; cb--) {
        for (int32_t y = kh; y > 0; y--) {
            for (int32_t x = kw; x > 0; x--) {
                UNROLL for (int32_t i = 0; i < TILE_BF16_NEXT(parts); i++)
                    __builtin_prefetch(next + i * 32, 0, 2);
                next += t->next_step;
                for (int32_t i = CELL / CHANNELS; i > 0; i--) {
                    step(acc, a, a_part, b, mr, parts);
                    UNROLL for (int32_t m = 0; m < mr; m++) a[m] += CHANNELS;
                    b += CHANNELS * 16;
                }
                if (parts == 2) b += 512;
            }
            UNROLL for (int32_t m = 0; m < mr; m++) a[m] += a_row;
        }
        UNROLL for (int32_t m = 0; m < mr; m++) a[m] += a_cb;
    }
    UNROLL for (int32_t i = 0; i < mr * 4; i++) * (v4 *)(sum + i * 4) = acc[i];
}

#endif
