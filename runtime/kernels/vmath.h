/* Elementary functions on sixteen floats. Polynomials are minimax fits made for this file; each bound is the
 * worst error found against libm in double (tests/unit/kernel_math_test.c holds them to it). NaN goes
 * through; infinities give the limits. Rounding mode is nearest, nothing is reassociated. */
#ifndef EBRU_KERNELS_VMATH_H
#define EBRU_KERNELS_VMATH_H

#include "runtime/kernels/vec.h"

/* p * 2^n for whole n. Without AVX-512: n from -127, which gives 0, to 127; 128 makes the factor infinite. */
INLINE v16 times_pow2(v16 p, v16 n) {
#if defined(__AVX512F__)
    typedef float zmm __attribute__((vector_size(64)));
    return (v16)__builtin_ia32_scalefps512_mask((zmm)p, (zmm)n, (zmm)p, (unsigned short)0xffff, 4);
#else
    return p * (v16)(((v16u) __builtin_convertvector(n, v16i) + splatu(127u)) << splatu(23u));
#endif
}
/* The two parts of e^x = p * 2^n: returns p in [0.7, 1.42]. */
INLINE v16 exp_parts(v16 x, v16 *n) {
    const v16 r = __builtin_elementwise_roundeven(x * splat16(1.44269504f));
    *n = r;
    v16 f = x - r * splat16(0.693359375f);
    f = f + r * splat16(2.12194440e-4f);
    v16 q = splat16(1.395060030e-03f);
    q = q * f + splat16(8.368953708e-03f);
    q = q * f + splat16(4.166620417e-02f);
    q = q * f + splat16(1.666651830e-01f);
    q = q * f + splat16(5.000000096e-01f);
    q = q * f + splat16(1.0f);
    return q * f + splat16(1.0f);
}
/* e^x within 1.5 ulp over the whole range, denormal results included. */
INLINE v16 exp16(v16 x) {
    x = select16(x < splat16(-104.0f), splat16(-104.0f), x); /* comparisons written so that NaN stays */
    x = select16(x > splat16(89.0f), splat16(89.0f), x);
    v16 n;
    const v16 p = exp_parts(x, &n);
#if defined(__AVX512F__)
    return times_pow2(p, n);
#else
    const v16 half = __builtin_elementwise_trunc(n * splat16(0.5f)); /* 2^n alone may be out of range */
    return times_pow2(times_pow2(p, half), n - half);
#endif
}
/* e^x for x <= 0: the same, but results below 2^-126 become 0. */
INLINE v16 exp16_neg(v16 x) {
    v16 n;
    const v16 p = exp_parts(select16(x < splat16(-87.0f), splat16(-87.0f), x), &n);
    return select16(x < splat16(-87.0f), splat16(0.0f), times_pow2(p, n));
}
/* 2^x for x <= 0, 1.5 ulp; exactly 1 for 0, and 0 below 2^-126 (AVX-512: below 2^-149). The softmax's
 * exponential: the change of base is in its scale. */
INLINE v16 exp2_neg16(v16 x) {
#if defined(__AVX512F__)
    const v16 least = splat16(-160.0f);
#else
    const v16 least = splat16(-127.0f);
#endif
    x = select16(x < least, least, x);
    const v16 n = __builtin_elementwise_roundeven(x), f = x - n;
    v16 q = splat16(1.534581201e-04f);
    q = q * f + splat16(1.339993122e-03f);
    q = q * f + splat16(9.618488957e-03f);
    q = q * f + splat16(5.550328777e-02f);
    q = q * f + splat16(2.402264689e-01f);
    q = q * f + splat16(6.931472057e-01f);
    return times_pow2(q * f + splat16(1.0f), n);
}
/* e^x where it is added to 1: below -87 some tiny number, above 88.3 infinity, one scaling step. */
INLINE v16 exp16_plus(v16 x) {
    x = select16(x < splat16(-87.0f), splat16(-87.0f), x);
    x = select16(x > splat16(89.0f), splat16(89.0f), x);
    v16 n;
    const v16 p = exp_parts(x, &n);
    return times_pow2(p, n);
}
/* 1 / (1 + e^-x), 2.5 ulp where the result is normal. */
INLINE v16 sigmoid16(v16 x) {
    return splat16(1.0f) / (splat16(1.0f) + exp16_plus(-x));
}
INLINE v16 silu16(v16 x) {
    return x / (splat16(1.0f) + exp16_plus(-x));
}
INLINE v16 relu16(v16 x) {
    return select16(x < splat16(0.0f), splat16(0.0f), x);
}
INLINE v16 copysign16(v16 magnitude, v16 sign) {
    return (v16)(((v16u)sign & splatu(0x80000000u)) | ((v16u)magnitude & splatu(0x7fffffffu)));
}
INLINE v16 abs16(v16 x) {
    return copysign16(x, splat16(0.0f));
}
/* erf, relative error 2e-7. Below 1 an odd polynomial, above 1 - exp(-a q(a)). */
INLINE v16 erf16(v16 x) {
    v16 a = abs16(x), t = x * x;
    v16 s = splat16(7.853857657e-05f);
    s = s * t + splat16(-8.010192507e-04f);
    s = s * t + splat16(5.188327558e-03f);
    s = s * t + splat16(-2.685381187e-02f);
    s = s * t + splat16(1.128358515e-01f);
    s = s * t + splat16(-3.761262582e-01f);
    s = s * t + splat16(1.128379166e+00f);
    s = s * x;
    v16 c = select16(a > splat16(4.0f), splat16(4.0f), a);
    v16 q = splat16(1.257922856e-05f);
    q = q * c + splat16(-3.363403301e-04f);
    q = q * c + splat16(3.697695748e-03f);
    q = q * c + splat16(-2.387934278e-02f);
    q = q * c + splat16(1.063736092e-01f);
    q = q * c + splat16(6.350682623e-01f);
    q = q * c + splat16(1.128669043e+00f);
    v16 l = splat16(1.0f) - exp16_neg(-(q * c));
    return select16(a < splat16(1.0f), s, copysign16(l, x));
}
/* tanh, relative error 2e-7. */
INLINE v16 tanh16(v16 x) {
    v16 a = abs16(x), t = x * x;
    v16 s = splat16(-5.717036562e-03f);
    s = s * t + splat16(2.065057900e-02f);
    s = s * t + splat16(-5.374349526e-02f);
    s = s * t + splat16(1.333149125e-01f);
    s = s * t + splat16(-3.333328392e-01f);
    s = x + x * (t * s);
    v16 l = splat16(1.0f) - splat16(2.0f) / (exp16_plus(a + a) + splat16(1.0f));
    return select16(a < splat16(0.625f), s, copysign16(l, x));
}
/* x Phi(x) */
INLINE v16 gelu16(v16 x) {
    return splat16(0.5f) * x * (splat16(1.0f) + erf16(x * splat16(0.707106781f)));
}
/* x/2 (1 + tanh u) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3) */
INLINE v16 gelu_tanh16(v16 x) {
    v16 u2 = x * (splat16(1.5957691216f) + splat16(0.0713548162726f) * x * x);
    return x * sigmoid16(u2);
}
INLINE v16 quick_gelu16(v16 x) {
    return x * sigmoid16(x * splat16(1.702f));
}
/* x tanh(ln(1 + e^x)) = x n / (n + 2), n = e (e + 2); above 20 it is x. */
INLINE v16 mish16(v16 x) {
    v16 e = exp16_plus(select16(x > splat16(20.0f), splat16(20.0f), x));
    v16 n = e * (e + splat16(2.0f));
    v16 y = x * (n / (n + splat16(2.0f)));
    return select16(x > splat16(20.0f), x, y);
}
INLINE v16 sqrt16(v16 x) {
    return __builtin_elementwise_sqrt(x);
}

/* EBRU_ACT_* of a constant code; GEGLU is not of this kind. */
INLINE v16 act16(v16 x, int32_t act) {
    switch (act) {
    case EBRU_ACT_SILU: return silu16(x);
    case EBRU_ACT_GELU: return gelu16(x);
    case EBRU_ACT_GELU_TANH: return gelu_tanh16(x);
    case EBRU_ACT_QUICK_GELU: return quick_gelu16(x);
    case EBRU_ACT_RELU: return relu16(x);
    case EBRU_ACT_SIGMOID: return sigmoid16(x);
    case EBRU_ACT_TANH: return tanh16(x);
    case EBRU_ACT_MISH: return mish16(x);
    case EBRU_ACT_EXP: return exp16(x);
    default: return x;
    }
}

#endif
