/* The inner loops of the multiply of 8-bit integers (tile_i8.h). A step multiplies four channels of
 * a pixel, which are one 32-bit broadcast, with sixteen columns of four bytes:
 *
 *   VNNI       one instruction of unsigned by signed bytes (AVX512-VNNI, AVX-VNNI)
 *   dot        AArch64's of signed by signed bytes: activations less 128, and 128 times the
 *              columns' totals behind the sums
 *   pairs      products of two 16-bit integers each: even and odd bytes, widened. (Products of
 *              bytes that saturate at 16 bits are of no use: 255 * 127 * 2 is more.)
 *   portable   the same in integers of 32 bits */
#include "runtime/kernels/tile/tile_i8.h"

typedef int32_t v16i_any __attribute__((ext_vector_type(16), aligned(64)));

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

INLINE int32_t load_i32(const uint8_t *p) {
    return *(const int32_t *)(const void *)p;
}

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
        const v16 scale = load16(t->scale + n * 16);
        const v16i total = __builtin_convertvector(load16(t->total + n * 16), v16i);
        UNROLL for (int32_t m = 0; m < mr; m++) {
            const uint8_t *record = a[m] + t->record;
            int32_t zero = load_i32(record + 4);
#ifdef SIGNED_ACTIVATIONS
            zero -= 128;
#endif
            const v16i sum = acc[m * nb + n] - (v16i)(zero)*total;
            store16(t->sum + n * t->sum_step + m * 16,
                    __builtin_convertvector(sum, v16) *
                        (splat16(*(const float *)(const void *)record) * scale));
        }
    }
}

#define TILE_DEFINE(m, n)                                                                          \
    __attribute__((noinline)) void EBRU_NAME(ebru_tile_i8_##m##x##n)(const struct tile_i8 *t) {    \
        tile_body(t, m, n);                                                                        \
    }
#define TILE_DEFINE_ALL(n, rows) rows(TILE_DEFINE, n)
TILE_I8_PANELS(TILE_DEFINE_ALL)
