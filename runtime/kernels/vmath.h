/* Elementary functions on sixteen floats. Polynomials are minimax fits made for this file; each bound is the
 * worst error found against libm in double (tests/unit/kernel_math_test.c holds them to it). NaN goes
 * through; infinities give the limits. Rounding mode is nearest, nothing is reassociated. */
#ifndef EBRU_KERNELS_VMATH_H
#define EBRU_KERNELS_VMATH_H

#include "runtime/kernels/vec.h"

/* 2^n for n in [-126, 127]; infinity for 128. */
INLINE v16 pow2i(v16i n) {
    return (v16)(((v16u)n + splatu(127u)) << splatu(23u));
}
/* x rounded to an integer, as float and as int; |x| < 2^22. */
INLINE v16i round16(v16 x, v16 *r) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: the sum's low mantissa bits are the integer */
    v16 t = x + splat16(magic);
    *r = t - splat16(magic);
    return (v16i)((v16u)t - splatu(0x4b400000u));
}
/* The two parts of e^x = p * 2^n: returns p in [0.7, 1.42]. */
INLINE v16 exp_parts(v16 x, v16i *n) {
    v16 r;
    *n = round16(x * splat16(1.44269504f), &r);
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
    v16i n;
    v16 p = exp_parts(x, &n);
    v16i half = n >> 1;
    return p * pow2i(half) * pow2i(n - half);
}
/* e^x for x <= 0: the same, but results below 2^-126 become 0. */
INLINE v16 exp16_neg(v16 x) {
    v16i n;
    v16 c = select16(x < splat16(-87.0f), splat16(-87.0f), x);
    v16 p = exp_parts(c, &n) * pow2i(n);
    return select16(x < splat16(-87.0f), splat16(0.0f), p);
}
/* e^x where it is added to 1: below -87 some tiny number, above 88.3 infinity, one scaling step. */
INLINE v16 exp16_plus(v16 x) {
    x = select16(x < splat16(-87.0f), splat16(-87.0f), x);
    x = select16(x > splat16(89.0f), splat16(89.0f), x);
    v16i n;
    v16 p = exp_parts(x, &n);
    return p * pow2i(n); /* n = 128 makes the factor infinite */
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
