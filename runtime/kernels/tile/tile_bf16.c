/* The inner loops of the multiply in bf16 (tile_bf16.h), three ways: matrix registers, dot products
 * of pairs, f32. In the first two a product of two bf16 is exact and their sums are f32; the third
 * has exact products, too, and one rounding a channel. */
#include "runtime/kernels/tile/tile_bf16.h"

#if defined(__AMX_BF16__)

/* Registers: sums of row r, block n in 0..3 = 2r + n; rows in 4, 5; weights in 6, 7. The numbers
 * are immediates. */
#define LOAD_SUM(i, r, n)                                                                          \
    if (mr > r && nb > n) __builtin_ia32_tileloadd64(i, t->sum + n * t->sum_step + r * 256, 64)
#define STORE_SUM(i, r, n)                                                                         \
    if (mr > r && nb > n) __builtin_ia32_tilestored64(i, t->sum + n * t->sum_step + r * 256, 64)
#define MULTIPLY(i, r, n)                                                                          \
    if (mr > r && nb > n) __builtin_ia32_tdpbf16ps(i, 4 + r, 6 + n)
#define LOAD_ROWS(from)                                                                            \
    __builtin_ia32_tileloadd64(4, a + (from), step);                                               \
    if (mr > 1) __builtin_ia32_tileloadd64(5, a + a1 + (from), step)
#define LOAD_WEIGHTS(from)                                                                         \
    __builtin_ia32_tileloadd64(6, b + (from), 64);                                                 \
    if (nb > 1) __builtin_ia32_tileloadd64(7, b + b1 + (from), 64)
#define KEEP_LOOP   _Pragma("clang loop unroll(disable)")
#define FETCH(line) __builtin_prefetch(next + (line) * 32, 0, 2)
#define MULTIPLY_ALL                                                                               \
    MULTIPLY(0, 0, 0);                                                                             \
    FETCH(0);                                                                                      \
    FETCH(1);                                                                                      \
    MULTIPLY(1, 0, 1);                                                                             \
    FETCH(2);                                                                                      \
    FETCH(3);                                                                                      \
    MULTIPLY(2, 1, 0);                                                                             \
    if (nb > 1) FETCH(4);                                                                          \
    if (nb > 1) FETCH(5);                                                                          \
    MULTIPLY(3, 1, 1);                                                                             \
    if (nb > 1) FETCH(6);                                                                          \
    if (nb > 1) FETCH(7);                                                                          \
    next += next_step

INLINE void tile_body(const struct tile_bf16 *t, const int32_t mr, const int32_t nb,
                      const int32_t parts) {
    const cell_t *a = t->a[0];
    const uint16_t *b = t->b, *next = t->next;
    const int64_t a1 = mr > 1 ? t->a[1] - a : 0,
                  b1 = t->b_step; /* to the second segment, the second block */
    const uint64_t step = (uint64_t)t->a_step * 2;
    const int64_t next_step = t->next_step * nb / (parts == 2 ? 3 : 1);
    const int64_t a_row = t->a_row, a_cb = t->a_cb, a_part = t->a_part;
    const int32_t kh = t->kh, kw = t->kw;
    __builtin_ia32_tilezero(0);
    __builtin_ia32_tilezero(1);
    __builtin_ia32_tilezero(2);
    __builtin_ia32_tilezero(3);
    if (t->add) {
        LOAD_SUM(0, 0, 0);
        LOAD_SUM(1, 0, 1);
        LOAD_SUM(2, 1, 0);
        LOAD_SUM(3, 1, 1);
    }
    /* unrolled, the loops only crowd the registers: sixteen cycles a multiply hide them */
    int32_t cb = t->cbs;
    KEEP_LOOP do {
        int32_t y = kh;
        KEEP_LOOP do {
            int32_t x = kw;
            KEEP_LOOP do {
                LOAD_ROWS(0);
                if (parts == 2) { /* hi by lo; hi by hi, while the rows are there; lo by hi */
                    LOAD_WEIGHTS(512);
                    MULTIPLY_ALL;
                }
                LOAD_WEIGHTS(0);
                MULTIPLY_ALL;
                if (parts == 2) {
                    LOAD_ROWS(a_part);
                    MULTIPLY_ALL;
                }
                a += CELL;
                b += parts * 512;
            }
            while (--x > 0);
            a += a_row;
        }
        while (--y > 0);
        a += a_cb;
    }
    while (--cb > 0);
    STORE_SUM(0, 0, 0);
    STORE_SUM(1, 0, 1);
    STORE_SUM(2, 1, 0);
    STORE_SUM(3, 1, 1);
}

#elif defined(__aarch64__)
#include "runtime/kernels/tile/tile_bf16_neon.h"
#else

#if defined(__AVX512BF16__)

typedef __bf16 v32bf __attribute__((ext_vector_type(32)));

enum { PAIRS = 4 }; /* of the innermost loop, as STEPS in tile.c */

INLINE v32bf pair_splat(const cell_t *a) {
    return (v32bf)splatu(*(const uint32_t *)(const void *)a);
}
INLINE v32bf pair_row(const uint16_t *b) {
    return *(const v32bf *)(const void *)b;
}
/* A pair of channels: row m's is a[m][at], the weights' rows are b + n * b_step. */
INLINE void pair(v16 *acc, const cell_t *const *a, int64_t at, int64_t a_part, const uint16_t *b,
                 int64_t b_step, const int32_t mr, const int32_t nb, const int32_t parts) {
    v32bf hi[2], lo[2];
    UNROLL for (int32_t n = 0; n < nb; n++) {
        hi[n] = pair_row(b + n * b_step);
        if (parts == 2) lo[n] = pair_row(b + n * b_step + 512);
    }
    UNROLL for (int32_t m = 0; m < mr; m++) {
        const v32bf v = pair_splat(a[m] + at);
        UNROLL for (int32_t n = 0; n < nb; n++) {
            v16 *s = &acc[m * nb + n];
            if (parts == 2) *s = __builtin_ia32_dpbf16ps_512(*s, v, lo[n]);
            *s = __builtin_ia32_dpbf16ps_512(*s, v, hi[n]);
        }
        if (parts == 2) {
            const v32bf rest = pair_splat(a[m] + at + a_part);
            UNROLL for (int32_t n = 0; n < nb; n++) acc[m * nb + n] =
                __builtin_ia32_dpbf16ps_512(acc[m * nb + n], rest, hi[n]);
        }
    }
}

#else

enum { PAIRS = 4 };

/* Sixteen columns of the first (half 0) or second channel of a pair. */
INLINE v16 widen(const uint16_t *b, int32_t half) {
    const v16u u = *(const v16u *)(const void *)b;
    return (v16)(half ? u & splatu(0xffff0000) : u << 16);
}
INLINE void pair(v16 *acc, const cell_t *const *a, int64_t at, int64_t a_part, const uint16_t *b,
                 int64_t b_step, const int32_t mr, const int32_t nb, const int32_t parts) {
    (void)a_part;
    UNROLL for (int32_t half = 0; half < 2; half++) {
        v16 w[2];
        UNROLL for (int32_t n = 0; n < nb; n++) {
            w[n] = widen(b + n * b_step, half);
            if (parts == 2) w[n] += widen(b + n * b_step + 512, half);
        }
        UNROLL for (int32_t m = 0; m < mr; m++) {
            const v16 v = splat16(a[m][at + half]);
            UNROLL for (int32_t n = 0; n < nb; n++) acc[m * nb + n] += v * w[n];
        }
    }
}

#endif

INLINE void tile_body(const struct tile_bf16 *t, const int32_t mr, const int32_t nb,
                      const int32_t parts) {
    v16 acc[24];
    const cell_t *a[TILE_BF16_ROWS];
    const uint16_t *b = t->b, *next = t->next;
    float *sum = t->sum;
    const int64_t b_step = t->b_step, sum_step = t->sum_step, a_row = t->a_row, a_cb = t->a_cb,
                  a_part = t->a_part, next_step = t->next_step * nb / (16 / PAIRS);
    const int32_t kh = t->kh, kw = t->kw, last = t->last * 4 / PAIRS;
    int64_t at = 0;
    UNROLL for (int32_t m = 0; m < mr; m++) a[m] = t->a[m];
    UNROLL for (int32_t i = 0; i < mr * nb; i++) acc[i] = splat16(0.0f);
    if (t->add) {
        UNROLL for (int32_t m = 0; m < mr; m++) {
            UNROLL for (int32_t n = 0; n < nb; n++) acc[m * nb + n] =
                load16(sum + n * sum_step + m * 16);
        }
    }
    for (int32_t cb = t->cbs; cb > 0; cb--) {
        const int32_t groups = cb > 1 ? 16 / PAIRS : last, rest = 16 / PAIRS - groups;
        for (int32_t y = kh; y > 0; y--) {
            for (int32_t x = kw; x > 0; x--) {
                for (int32_t i = groups; i > 0; i--) {
                    UNROLL for (int32_t n = 0; n < nb; n++) __builtin_prefetch(next + n * 32, 0, 2);
                    UNROLL for (int32_t c = 0; c < PAIRS; c++)
                        pair(acc, a, at + c * 2, a_part, b + c * 32, b_step, mr, nb, parts);
                    at += PAIRS * 2;
                    b += PAIRS * 32;
                    next += next_step;
                }
                at += rest * PAIRS * 2;
                b += rest * PAIRS * 32 + (parts == 2 ? 512 : 0);
            }
            at += a_row;
        }
        at += a_cb;
    }
    UNROLL for (int32_t m = 0; m < mr; m++) {
        UNROLL for (int32_t n = 0; n < nb; n++)
            store16(sum + n * sum_step + m * 16, acc[m * nb + n]);
    }
}

#endif

#define TILE_DEFINE(m, n)                                                                          \
    __attribute__((noinline)) void EBRU_NAME(ebru_tile_bf16_##m##x##n)(                            \
        const struct tile_bf16 *t) {                                                               \
        tile_body(t, m, n, 1);                                                                     \
    }                                                                                              \
    __attribute__((noinline)) void EBRU_NAME(ebru_tile_bf16x3_##m##x##n)(                          \
        const struct tile_bf16 *t) {                                                               \
        tile_body(t, m, n, 2);                                                                     \
    }
#define TILE_DEFINE_ALL(n, rows) rows(TILE_DEFINE, n)
TILE_BF16_PANELS(TILE_DEFINE_ALL)
