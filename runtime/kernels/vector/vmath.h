/* Elementary functions on sixteen floats. Polynomials are minimax fits made for this file; each
 * bound in ulp holds for every float at every level (bench/kernel_ulp.c; docs/accuracy.md has the
 * table, and tests/unit/kernels/kernel_math_test.c a sample of it). "Flushed" are results that come
 * out as 0 though they are not below every float. NaN goes through; infinities give the limits, but
 * x times something that is 0 at -inf (silu, gelu_tanh, quick_gelu, mish) is NaN there, as it is in
 * PyTorch. Rounding mode is nearest, nothing is reassociated. */
#ifndef EBRU_RUNTIME_KERNELS_VECTOR_VMATH_H
#define EBRU_RUNTIME_KERNELS_VECTOR_VMATH_H

#include "runtime/kernels/vector/vec.h"

/* p * 2^n for whole n (AVX-512: n rounded down). Without AVX-512: n from -127, which gives 0, to
 * 127; 128 makes the factor infinite. */
INLINE v16 times_pow2(v16 p, v16 n) {
#if defined(__AVX512F__)
    typedef float zmm __attribute__((vector_size(64)));
    return (v16)__builtin_ia32_scalefps512_mask((zmm)p, (zmm)n, (zmm)p, (unsigned short)0xffff, 4);
#else
    return p * (v16)(((v16u) __builtin_convertvector(n, v16i) + splatu(127u)) << splatu(23u));
#endif
}
/* The two parts of e^(x + low) = p * 2^n: returns p in [0.7, 1.42]. `low` is what x lacks, of the
 * size of its rounding errors. */
INLINE v16 exp_parts2(v16 x, v16 low, v16 *n) {
    const v16 r = __builtin_elementwise_roundeven(x * splat16(1.44269504f));
    *n = r;
    v16 f = x - r * splat16(0.693359375f); /* exact */
    f = f + (r * splat16(2.12194440e-4f) + low);
    v16 q = splat16(1.395060030e-03f);
    q = q * f + splat16(8.368953708e-03f);
    q = q * f + splat16(4.166620417e-02f);
    q = q * f + splat16(1.666651830e-01f);
    q = q * f + splat16(5.000000096e-01f);
    q = q * f + splat16(1.0f);
    return q * f + splat16(1.0f);
}
INLINE v16 exp_parts(v16 x, v16 *n) {
    return exp_parts2(x, splat16(-0.0f), n); /* adding -0 changes nothing, and LLVM knows */
}
/* e^x, 1.25 ulp over the whole range, denormal results included. */
INLINE v16 exp16(v16 x) {
    x = select16(x < splat16(-104.0f), splat16(-104.0f),
                 x); /* comparisons written so that NaN stays */
    x = select16(x > splat16(89.0f), splat16(89.0f), x);
    v16 n;
    const v16 p = exp_parts(x, &n);
#if defined(__AVX512F__)
    return times_pow2(p, n);
#else
    const v16 half =
        __builtin_elementwise_trunc(n * splat16(0.5f)); /* 2^n alone may be out of range */
    return times_pow2(times_pow2(p, half), n - half);
#endif
}
/* e^x for x <= 0: the same, but flushed below -87 (1.7e-38). */
INLINE v16 exp16_neg(v16 x) {
    v16 n;
    const v16 p = exp_parts(select16(x < splat16(-87.0f), splat16(-87.0f), x), &n);
    return select16(x < splat16(-87.0f), splat16(0.0f), times_pow2(p, n));
}
#if defined(__AVX512DQ__)
/* x - floor(x), exact: one instruction. */
INLINE v16 rest16(v16 x) {
    typedef float zmm __attribute__((vector_size(64)));
    enum { FLOOR = 1, NO_INEXACT = 8, CURRENT_DIRECTION = 4 };
    return (v16)__builtin_ia32_reduceps512_mask((zmm)x, FLOOR | NO_INEXACT, (zmm)x,
                                                (unsigned short)0xffff, CURRENT_DIRECTION);
}
#endif
/* 2^x for x <= 0, 1.25 ulp (AVX-512: 1.6); exactly 1 for 0. Without AVX-512 flushed below 2^-126,
 * with it denormal results are as good as others. The softmax's exponential: the change of base is
 * in its scale. */
INLINE v16 exp2_neg16(v16 x) {
#if defined(__AVX512DQ__)
    /* The scaling takes floor(x) of x itself; of -inf it and the rest make 0 and 0. */
    const v16 f = rest16(x);
    v16 q = splat16(2.156597184e-04f);
    q = q * f + splat16(1.248228946e-03f);
    q = q * f + splat16(9.673775174e-03f);
    q = q * f + splat16(5.548618361e-02f);
    q = q * f + splat16(2.402290851e-01f);
    q = q * f + splat16(6.931470633e-01f);
    return times_pow2(q * f + splat16(1.0f), x);
#else
    x = select16(x < splat16(-127.0f), splat16(-127.0f), x);
    const v16 n = __builtin_elementwise_roundeven(x), f = x - n;
    v16 q = splat16(1.534581201e-04f);
    q = q * f + splat16(1.339993122e-03f);
    q = q * f + splat16(9.618488957e-03f);
    q = q * f + splat16(5.550328777e-02f);
    q = q * f + splat16(2.402264689e-01f);
    q = q * f + splat16(6.931472057e-01f);
    return times_pow2(q * f + splat16(1.0f), n);
#endif
}
/* 2^x within 3.5 ulp, for the weights of a softmax, which are many and soon added up: seven
 * instructions with AVX-512. Without, flushed below 2^-126, and what is above 2^127 stays there. */
INLINE v16 exp2_weight16(v16 x) {
#if defined(__AVX512DQ__)
    const v16 f = rest16(x);
    v16 q = splat16(1.877576700e-03f);
    q = q * f + splat16(8.989340024e-03f);
    q = q * f + splat16(5.582631812e-02f);
    q = q * f + splat16(2.401536170e-01f);
    q = q * f + splat16(6.931530732e-01f);
    q = q * f + splat16(9.999999251e-01f);
    return times_pow2(q, x); /* by floor(x), which f is the rest of */
#else
    /* Adding 1.5 * 2^23 rounds to a whole number in the last bits, from where it moves to the
     * exponent. */
    const v16 shift = splat16(12582912.0f);
    x = select16(x < splat16(-127.0f), splat16(-127.0f), x);
    x = select16(x > splat16(127.0f), splat16(127.0f), x);
    const v16 n = x + shift, f = x - (n - shift);
    v16 q = splat16(1.327647217e-03f);
    q = q * f + splat16(9.675541331e-03f);
    q = q * f + splat16(5.550713273e-02f);
    q = q * f + splat16(2.402211972e-01f);
    q = q * f + splat16(6.931469671e-01f);
    q = q * f + splat16(1.000000072e+00f);
    return q * (v16)(((v16u)n + splatu(127u)) << splatu(23u));
#endif
}
#if defined(__AVX512DQ__)
/* The same with a relative error of 8e-5, for weights that are rounded to bf16: five instructions.
 */
INLINE v16 exp2_coarse16(v16 x) {
    const v16 f = rest16(x);
    v16 q = splat16(7.802452269e-02f);
    q = q * f + splat16(2.260671554e-01f);
    q = q * f + splat16(6.958335405e-01f);
    return times_pow2(q * f + splat16(9.999252186e-01f), x);
}
#endif
INLINE v16 clamp16(v16 x, float low, float high) {
    x = select16(x < splat16(low), splat16(low), x);
    return select16(x > splat16(high), splat16(high), x);
}
/* e^(x + low) where it is added to 1, for x from -87 to 89: above 88 (AVX-512: 88.7) infinity, one
 * scaling step. */
INLINE v16 exp16_plus2(v16 x, v16 low) {
    v16 n;
    const v16 p = exp_parts2(x, low, &n);
    return times_pow2(p, n);
}
/* The same for all x; below -87 some tiny number. */
INLINE v16 exp16_plus(v16 x) {
    return exp16_plus2(clamp16(x, -87.0f, 89.0f), splat16(-0.0f));
}
/* 1 / (1 + e^-x), 2.5 ulp; flushed below 6e-39. */
INLINE v16 sigmoid16(v16 x) {
    return splat16(1.0f) / (splat16(1.0f) + exp16_plus(-x));
}
/* x / (1 + e^-x), 2.5 ulp; flushed below 3.8e-37 (x < -88). */
INLINE v16 silu16(v16 x) {
    return x / (splat16(1.0f) + exp16_plus(-x));
}
#if defined(__AVX512DQ__)
/* The same with a relative error of 1.4e-4, for values that are rounded to bf16: half the
 * instructions and no division. */
INLINE v16 silu_coarse16(v16 x) {
    typedef float zmm __attribute__((vector_size(64)));
    const v16 d = splat16(1.0f) + exp2_coarse16(x * splat16(-1.44269504f));
    return x * (v16)__builtin_ia32_rcp14ps512_mask((zmm)d, (zmm)d, (unsigned short)0xffff);
}
#endif
INLINE v16 relu16(v16 x) {
    return select16(x < splat16(0.0f), splat16(0.0f), x);
}
INLINE v16 copysign16(v16 magnitude, v16 sign) {
    return (v16)(((v16u)sign & splatu(0x80000000u)) | ((v16u)magnitude & splatu(0x7fffffffu)));
}
INLINE v16 abs16(v16 x) {
    return copysign16(x, splat16(0.0f));
}
/* x y = h + *low: the product and what its rounding lost. */
INLINE v16 product16(v16 x, v16 y, v16 *low) {
    const v16 h = x * y;
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    *low = __builtin_elementwise_fma(x, y, -h);
#else /* in halves of twelve bits, whose products are exact (Dekker) */
    const v16 xh = (v16)((v16u)x & splatu(0xfffff000u)), xl = x - xh;
    const v16 yh = (v16)((v16u)y & splatu(0xfffff000u)), yl = y - yh;
    *low = ((xh * yh - h) + (xh * yl + xl * yh)) + xl * yl;
#endif
    return h;
}
/* x + y = h + *low (Knuth). */
INLINE v16 sum_of16(v16 x, v16 y, v16 *low) {
    const v16 h = x + y, back = h - x;
    *low = (x - (h - back)) + (y - back);
    return h;
}
/* erf, 1.4 ulp. Below 1 an odd polynomial, above 1 - exp(-a q(a)). */
INLINE v16 erf16(v16 x) {
    v16 a = abs16(x), t = x * x;
    v16 s = splat16(7.853857657e-05f);
    s = s * t + splat16(-8.010192507e-04f);
    s = s * t + splat16(5.188327558e-03f);
    s = s * t + splat16(-2.685381187e-02f);
    s = s * t + splat16(1.128358515e-01f);
    s = s * t + splat16(-3.761262582e-01f);
    s = s * t + splat16(1.283791671e-01f);
    s = s * x + x;
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
/* tanh, 1.5 ulp. */
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
/* x Phi(x) = max(x, 0) - a Phi(-a), a = |x|: so nothing cancels on the left. Phi(-a) = e^(-a^2 / 2)
 * P(a) / Q(a) with positive coefficients (1e-8 relative); a^2 from its upper half, whose square is
 * exact, and the rest. 6.6 ulp (8.1 without fused multiply-add), flushed below 1.2e-38 (without
 * AVX-512). */
INLINE v16 gelu16(v16 x) {
#if defined(__AVX512F__)
    const v16 most = splat16(14.5f);
#else
    const v16 most = splat16(13.27f); /* where n is -127 */
#endif
    v16 a = abs16(x);
    a = select16(a > most, most, a);
    const v16 h = (v16)((v16u)a & splatu(0xfffff000u));
    v16 n;
    v16 e = exp_parts2(splat16(-0.5f) * h * h, (h - a) * (splat16(0.5f) * (a + h)), &n);
    v16 p = splat16(4.091617186e-03f);
    p = p * a + splat16(4.048831016e-02f);
    p = p * a + splat16(1.828370094e-01f);
    p = p * a + splat16(4.378070235e-01f);
    p = p * a + splat16(5.0e-01f);
    v16 q = splat16(1.025604364e-02f);
    q = q * a + splat16(1.014956087e-01f);
    q = q * a + splat16(4.684099853e-01f);
    q = q * a + splat16(1.200929165e+00f);
    q = q * a + splat16(1.673498869e+00f);
    q = q * a + splat16(1.0f);
    e = times_pow2(a * (e * p) / q, n);
    return select16(x < splat16(0.0f), splat16(0.0f), x) - e;
}
/* x/2 (1 + tanh u) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3); 3 ulp, so 2u is a sum of two
 * floats: its rounding alone would be worth 2u of them. */
INLINE v16 gelu_tanh16(v16 x) {
    const v16 c = clamp16(x, -10.065f, 10.0f);
    v16 square_low, cube_low, sum_low, low;
    const v16 square = product16(c, c, &square_low);
    const v16 cube = product16(square, splat16(7.13548139e-02f), &cube_low);
    const v16 sum = sum_of16(splat16(1.59576917e+00f), cube, &sum_low);
    const v16 u = product16(c, sum, &low);
    sum_low += cube_low + (square_low * splat16(7.13548139e-02f) + square * splat16(2.39883e-09f));
    low += c * (sum_low + splat16(-4.53406804e-08f));
    return x / (splat16(1.0f) + exp16_plus2(-u, -low));
}
/* x sigmoid(1.702 x), 3 ulp; the product as a sum of two floats. */
INLINE v16 quick_gelu16(v16 x) {
    v16 low;
    const v16 c = clamp16(x, -52.2f, 51.0f);
    const v16 u = product16(c, splat16(1.702f), &low);
    return x / (splat16(1.0f) + exp16_plus2(-u, c * splat16(2.19345093e-08f) - low));
}
/* x tanh(ln(1 + e^x)) = x n / (n + 2), n = e (e + 2); 5 ulp; above 20 it is x, and flushed below
 * -87 (1.5e-36). */
INLINE v16 mish16(v16 x) {
    v16 e = exp16_plus(select16(x > splat16(20.0f), splat16(20.0f), x));
    e = select16(x < splat16(-87.0f), splat16(0.0f), e);
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
#define ACT(name, ID, formula)                                                                     \
    case EBRU_ACT_##ID: return name##16(x);
#include "base/activations.def"
    default: return x;
    }
}

#endif
