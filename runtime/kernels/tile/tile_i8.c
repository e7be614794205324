/* The inner loops of the multiply of 8-bit integers (tile_i8.h). With matrix registers a step
 * multiplies 64 channels of 32 pixels with 32 columns, unsigned by signed bytes (AMX-INT8). On all
 * other levels a step multiplies four channels of a pixel, which are one 32-bit broadcast, with
 * sixteen columns of four bytes:
 *
 *   VNNI       one instruction of unsigned by signed bytes (AVX512-VNNI, AVX-VNNI)
 *   dot        AArch64's of signed by signed bytes: activations less 128, and 128 times the
 *              columns' totals behind the sums
 *   pairs      products of two 16-bit integers each: even and odd bytes, widened. (Products of
 *              bytes that saturate at 16 bits are of no use: 255 * 127 * 2 is more.)
 *   portable   the same in integers of 32 bits */
#include "runtime/kernels/tile/tile_i8.h"

typedef int32_t v16i_any __attribute__((ext_vector_type(16), aligned(64)));

INLINE int32_t load_i32(const uint8_t *p) {
    return *(const int32_t *)(const void *)p;
}

/* Columns of a block: what their bytes are multiplied with, and their totals. */
struct columns {
    v16 scale;
    v16i total;
};
INLINE struct columns columns_of(const struct tile_i8 *t, int32_t n) {
    const struct columns c = {load16(t->scale + n * 16),
                              __builtin_convertvector(load16(t->total + n * 16), v16i)};
    return c;
}
/* The result of a pixel with this record; its bytes were multiplied less `less`. */
INLINE v16 result(v16i sum, const uint8_t *record, int32_t less, const struct columns *c) {
    const int32_t zero = load_i32(record + 4) - less;
    return __builtin_convertvector(sum - (v16i)(zero)*c->total, v16) *
           (splat16(*(const float *)(const void *)record) * c->scale);
}

#if defined(__AMX_INT8__)

/* The numbers of registers are immediates. */
#define STORE_SUM(i, r, n)                                                                         \
    if (mr > r && nb > n) __builtin_ia32_tilestored64(i, t->sum + n * t->sum_step + r * 256, 64)
#define MULTIPLY(i, r, n)                                                                          \
    if (mr > r && nb > n) __builtin_ia32_tdpbusd(i, 4 + r, 6 + n)
#define KEEP_LOOP _Pragma("clang loop unroll(disable)")

INLINE void tile_body(const struct tile_i8 *t, const int32_t mr, const int32_t nb) {
    const uint8_t *a = t->a[0];
    const int8_t *b = t->b;
    const int64_t a1 = mr > 1 ? t->a[1] - a : 0,
                  b1 = t->b_step; /* to the second segment, the second block */
    const int64_t a_tap = t->a_tap, a_row = t->a_row;
    const uint64_t step = (uint64_t)t->a_step;
    const int32_t kw = t->kw, blocks = t->blocks;
    __builtin_ia32_tilezero(0);
    __builtin_ia32_tilezero(1);
    __builtin_ia32_tilezero(2);
    __builtin_ia32_tilezero(3);
    /* unrolled, the loops only crowd the registers: sixteen cycles a multiply hide them */
    int32_t y = t->kh;
    KEEP_LOOP do {
        int32_t x = kw;
        KEEP_LOOP do {
            int32_t cb = blocks;
            KEEP_LOOP do {
                __builtin_ia32_tileloadd64(4, a, step);
                if (mr > 1) __builtin_ia32_tileloadd64(5, a + a1, step);
                __builtin_ia32_tileloadd64(6, b, 64);
                if (nb > 1) __builtin_ia32_tileloadd64(7, b + b1, 64);
                MULTIPLY(0, 0, 0);
                MULTIPLY(1, 0, 1);
                MULTIPLY(2, 1, 0);
                MULTIPLY(3, 1, 1);
                a += TILE_I8_CHANNELS;
                b += TILE_I8_CHANNELS * 16;
            }
            while (--cb > 0);
            a += a_tap;
        }
        while (--x > 0);
        a += a_row;
    }
    while (--y > 0);
    STORE_SUM(0, 0, 0);
    STORE_SUM(1, 0, 1);
    STORE_SUM(2, 1, 0);
    STORE_SUM(3, 1, 1);
    /* the sums, in memory now, become the results */
    UNROLL for (int32_t r = 0; r < mr; r++) {
        UNROLL for (int32_t n = 0; n < nb; n++) {
            const struct columns c = columns_of(t, n);
            const uint8_t *record = t->a[r] + t->record;
            float *sum = t->sum + n * t->sum_step + r * 256;
            ROLLED for (int32_t l = t->pixels.of[r]; l > 0; l--) {
                store16(sum, result((v16i)load16(sum), record, 0, &c));
                record += t->a_step;
                sum += 16;
            }
        }
    }
}

#else

enum { FOURS = 4 }; /* steps of the innermost loop: a block of 16 channels */

#if defined(__AVX512VNNI__)

typedef v16i words;
INLINE words words_of(const int8_t *b) {
    return *(const v16i_any *)(const void *)b;
}
INLINE v16i multiply(v16i sum, int32_t a, words w) {
    return __builtin_ia32_vpdpbusd512(sum, (v16i)(a), w);
}

#elif defined(__AVXVNNI__)

typedef int32_t v8i __attribute__((ext_vector_type(8)));
typedef v16i words;
INLINE words words_of(const int8_t *b) {
    return *(const v16i_any *)(const void *)b;
}
INLINE v16i multiply(v16i sum, int32_t a, words w) {
    const v8i lo = __builtin_ia32_vpdpbusd256(sum.lo, (v8i)(a), w.lo),
              hi = __builtin_ia32_vpdpbusd256(sum.hi, (v8i)(a), w.hi);
    return __builtin_shufflevector(lo, hi, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

#elif defined(__ARM_FEATURE_DOTPROD)
#define SIGNED_ACTIVATIONS

#include <arm_neon.h>

typedef v16i words;
INLINE words words_of(const int8_t *b) {
    return *(const v16i_any *)(const void *)b;
}
INLINE v16i multiply(v16i sum, int32_t a, words w) {
    typedef int32_t v4i __attribute__((ext_vector_type(4)));
    const int8x16_t x = (int8x16_t)((v4i)(a) ^ (v4i)((int32_t)0x80808080));
    const v4i q0 = (v4i)vdotq_s32((int32x4_t)sum.lo.lo, (int8x16_t)w.lo.lo, x),
              q1 = (v4i)vdotq_s32((int32x4_t)sum.lo.hi, (int8x16_t)w.lo.hi, x),
              q2 = (v4i)vdotq_s32((int32x4_t)sum.hi.lo, (int8x16_t)w.hi.lo, x),
              q3 = (v4i)vdotq_s32((int32x4_t)sum.hi.hi, (int8x16_t)w.hi.hi, x);
    v16i r;
    r.lo.lo = q0;
    r.lo.hi = q1;
    r.hi.lo = q2;
    r.hi.hi = q3;
    return r;
}

#else

/* Bytes 0 and 2, bytes 1 and 3 of each column, as pairs of 16-bit integers. */
typedef int16_t v32s __attribute__((ext_vector_type(32)));
typedef struct words {
    v32s even, odd;
} words;
INLINE words words_of(const int8_t *b) {
    const v32s w = *(const v32s *)(const void *)b;
    const words r = {(v32s)(w << 8) >> 8, w >> 8};
    return r;
}
/* Sums of the products of both halves of each 32 bits. */
INLINE v16i pairs(v32s a, v32s w) {
#if defined(__AVX512BW__)
    typedef short v32hi __attribute__((vector_size(64)));
    return (v16i)__builtin_ia32_pmaddwd512((v32hi)a, (v32hi)w);
#elif defined(__AVX2__)
    typedef short v16hi __attribute__((vector_size(32)));
    typedef int32_t v8i __attribute__((ext_vector_type(8)));
    const v8i lo = (v8i)__builtin_ia32_pmaddwd256((v16hi)a.lo, (v16hi)w.lo),
              hi = (v8i)__builtin_ia32_pmaddwd256((v16hi)a.hi, (v16hi)w.hi);
    return __builtin_shufflevector(lo, hi, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#elif defined(__SSE2__)
    typedef short v8hi __attribute__((vector_size(16)));
    typedef int32_t v4i __attribute__((ext_vector_type(4)));
    v16i r;
    r.lo.lo = (v4i)__builtin_ia32_pmaddwd128((v8hi)a.lo.lo, (v8hi)w.lo.lo);
    r.lo.hi = (v4i)__builtin_ia32_pmaddwd128((v8hi)a.lo.hi, (v8hi)w.lo.hi);
    r.hi.lo = (v4i)__builtin_ia32_pmaddwd128((v8hi)a.hi.lo, (v8hi)w.hi.lo);
    r.hi.hi = (v4i)__builtin_ia32_pmaddwd128((v8hi)a.hi.hi, (v8hi)w.hi.hi);
    return r;
#else
    const v16i x = (v16i)a, y = (v16i)w;
    return ((x << 16) >> 16) * ((y << 16) >> 16) + (x >> 16) * (y >> 16);
#endif
}
INLINE v16i multiply(v16i sum, int32_t a, words w) {
    const uint32_t u = (uint32_t)a;
    const v32s even = (v32s)splatu(u & 0x00ff00ff), odd = (v32s)splatu(u >> 8 & 0x00ff00ff);
    return sum + pairs(even, w.even) + pairs(odd, w.odd);
}

#endif

#ifdef SIGNED_ACTIVATIONS
enum { LESS = 128 };
#else
enum { LESS = 0 };
#endif

INLINE void tile_body(const struct tile_i8 *t, const int32_t mr, const int32_t nb) {
    v16i acc[24];
    const uint8_t *a[TILE_I8_MOST_ROWS];
    const int8_t *b = t->b;
    const int64_t b_step = t->b_step, a_tap = t->a_tap, a_row = t->a_row, b_tap = t->b_tap;
    const int32_t kh = t->kh, kw = t->kw, blocks = t->blocks;
    int64_t at = 0;
    UNROLL for (int32_t m = 0; m < mr; m++) a[m] = t->a[m];
    UNROLL for (int32_t i = 0; i < mr * nb; i++) acc[i] = (v16i)(0);
    for (int32_t y = kh; y > 0; y--) {
        for (int32_t x = kw; x > 0; x--) {
            for (int32_t cb = blocks; cb > 0; cb--) {
                UNROLL for (int32_t c = 0; c < FOURS; c++) {
                    words w[2];
                    UNROLL for (int32_t n = 0; n < nb; n++) w[n] =
                        words_of(b + n * b_step + c * 64);
                    UNROLL for (int32_t m = 0; m < mr; m++) {
                        const int32_t v = load_i32(a[m] + at + c * 4);
                        UNROLL for (int32_t n = 0; n < nb; n++) acc[m * nb + n] =
                            multiply(acc[m * nb + n], v, w[n]);
                    }
                }
                at += FOURS * 4;
                b += FOURS * 64;
            }
            at += a_tap;
            b += b_tap;
        }
        at += a_row;
    }
    UNROLL for (int32_t n = 0; n < nb; n++) {
        const struct columns c = columns_of(t, n);
        UNROLL for (int32_t m = 0; m < mr; m++) store16(
            t->sum + n * t->sum_step + m * 16, result(acc[m * nb + n], a[m] + t->record, LESS, &c));
    }
}

#endif

#define TILE_DEFINE(m, n)                                                                          \
    __attribute__((noinline)) void EBRU_NAME(ebru_tile_i8_##m##x##n)(const struct tile_i8 *t) {    \
        tile_body(t, m, n);                                                                        \
    }
#define TILE_DEFINE_ALL(n, rows) rows(TILE_DEFINE, n)
TILE_I8_PANELS(TILE_DEFINE_ALL)
