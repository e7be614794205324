/* Elementwise functions for generated loops: sixteen floats in, sixteen out. */
#include "runtime/kernels/vector/vmath.h"

INLINE v16 rsqrt16(v16 x) {
    return splat16(1.0f) / sqrt16(x);
}
INLINE v16 exp_neg16(v16 x) {
    return exp16_neg(x);
}

#define EW(name, summary)                                                                          \
    void EBRU_NAME(ebru_ew_##name)(float *, const float *);                                        \
    void EBRU_NAME(ebru_ew_##name)(float *y, const float *x) {                                     \
        store16(y, name##16(load16(x)));                                                           \
    }
#include "runtime/abi/kernels.def"
