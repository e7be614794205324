/* Sums of products after the operation sections of TDPBF16PS, TDPBUSD, VDPBF16PS, VPDPBUSD and
 * VCVTNEPS2BF16 in Intel's manual. */
#include "tests/emulate/perform.h"

#include <immintrin.h>

#define AVX512 __attribute__((noinline, target("avx512f"))) /* not moved across changes of MXCSR */
enum { DAZ_FTZ_NEAREST = 0x9fc0 };                          /* all exceptions masked */

AVX512 static void dot_tile(const struct em_dot *d) {
    const __m512i high = _mm512_set1_epi32((int)0xffff0000u);
    for (unsigned m = 0; m < d->rows; m++) {
        __m512 even = _mm512_setzero_ps(), odd = even, c = _mm512_loadu_ps(d->c + m * 16);
        for (unsigned k = 0; k < d->depth; k++) {
            const __m512i a = _mm512_set1_epi32((int)d->a[m * 16 + k]);
            const __m512i b = _mm512_loadu_si512(d->b + k * 16);
            even = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(a, 16)),
                                   _mm512_castsi512_ps(_mm512_slli_epi32(b, 16)), even);
            odd = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(a, high)),
                                  _mm512_castsi512_ps(_mm512_and_si512(b, high)), odd);
        }
        _mm512_storeu_ps(d->c + m * 16, _mm512_add_ps(c, _mm512_add_ps(even, odd)));
    }
}

void em_dot_tile(const struct em_dot *d) {
    unsigned before = _mm_getcsr();
    _mm_setcsr(DAZ_FTZ_NEAREST);
    dot_tile(d);
    _mm_setcsr(before);
}

AVX512 static void dot_vector(float *c, const uint32_t *a, const uint32_t *b) {
    const __m512i high = _mm512_set1_epi32((int)0xffff0000u);
    const __m512i va = _mm512_loadu_si512(a), vb = _mm512_loadu_si512(b);
    __m512 sum =
        _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(va, high)),
                        _mm512_castsi512_ps(_mm512_and_si512(vb, high)), _mm512_loadu_ps(c));
    sum = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(va, 16)),
                          _mm512_castsi512_ps(_mm512_slli_epi32(vb, 16)), sum);
    _mm512_storeu_ps(c, sum);
}

void em_dot_vector(float *c, const uint32_t *a, const uint32_t *b) {
    unsigned before = _mm_getcsr();
    _mm_setcsr(DAZ_FTZ_NEAREST);
    dot_vector(c, a, b);
    _mm_setcsr(before);
}

uint32_t em_dot_bytes(uint32_t c, uint32_t a, uint32_t b) {
    for (unsigned shift = 0; shift < 32; shift += 8) { /* without saturation */
        const int32_t byte = (int8_t)(b >> shift & 0xff);
        c += (a >> shift & 0xff) * (uint32_t)byte;
    }
    return c;
}

uint16_t em_to_bf16(uint32_t x) {
    uint32_t exponent = x >> 23 & 0xff;
    if (exponent == 0) return (uint16_t)(x >> 16 & 0x8000); /* zero or denormal */
    if (exponent == 0xff && (x & 0x7fffff)) return (uint16_t)(x >> 16 | 0x40); /* a quiet NaN */
    return (uint16_t)((x + 0x7fff + (x >> 16 & 1)) >> 16);                     /* nearest even */
}
