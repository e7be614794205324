/* The FMA peak: 24 independent chains of fused multiply-adds in registers (on v2 a multiply and an
 * add each). */
#include "runtime/kernels/vector/vec.h"

void EBRU_NAME(ebru_peak)(int32_t n);
#if defined(__AVX512F__)
typedef float vec __attribute__((ext_vector_type(16)));
#elif defined(__AVX2__)
typedef float vec __attribute__((ext_vector_type(8)));
#else
typedef float vec __attribute__((ext_vector_type(4)));
#endif

/* n rounds of 24 vector multiply-adds (12 twice). */
void EBRU_NAME(ebru_peak)(int32_t n) {
    vec a[12], x = (vec)(0.999f), y = (vec)(0.001f);
    __asm__ volatile("" : "+x"(x), "+x"(y));
    UNROLL for (int32_t i = 0; i < 12; i++) a[i] = (vec)((float)i);
    for (int32_t k = 0; k < 2 * n; k++) {
        UNROLL for (int32_t i = 0; i < 12; i++) a[i] = a[i] * x + y;
        UNROLL for (int32_t i = 0; i < 12; i++) __asm__ volatile("" : "+x"(a[i]));
    }
}
