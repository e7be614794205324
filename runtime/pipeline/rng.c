/* rng: mt19937 (Matsumoto and Nishimura 1998) and torch.randn's transforms of its words.
 *
 * torch has two code paths. Tensors of 16 and more go through single-precision log and sincos in
 * blocks of 16; the functions are those of Cephes in the vector form of Pommier's avx_mathfun, and
 * torch's build contracts some of their multiply-adds. The fmaf calls below are exactly those
 * contractions: with them every bit agrees, without them many values differ in the last place.
 * Smaller tensors go through double precision, two normals a time; there our log, sin and cos
 * (fdlibm's polynomials) stand for the C library's, whose results may differ between machines in
 * the last place. This file must be compiled without further contraction (-ffp-contract=off). */
#include "runtime/pipeline/rng.h"

#include <math.h>
#include <string.h>

void rt_rng_seed(rt_rng *rng, uint64_t seed) {
    rng->mt[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < 624; i++)
        rng->mt[i] = 1812433253u * (rng->mt[i - 1] ^ (rng->mt[i - 1] >> 30)) + i;
    rng->next = 624;
    rng->has_cached = false;
    rng->cached = 0;
}

static uint32_t twist(uint32_t high, uint32_t low, uint32_t far) {
    uint32_t y = (high & 0x80000000u) | (low & 0x7fffffffu);
    return far ^ (y >> 1) ^ ((low & 1u) ? 0x9908b0dfu : 0u);
}

static void refill(uint32_t mt[624]) {
    for (unsigned i = 0; i < 227; i++) mt[i] = twist(mt[i], mt[i + 1], mt[i + 397]);
    for (unsigned i = 227; i < 623; i++) mt[i] = twist(mt[i], mt[i + 1], mt[i - 227]);
    mt[623] = twist(mt[623], mt[0], mt[396]);
}

uint32_t rt_rng_u32(rt_rng *rng) {
    if (rng->next >= 624) {
        refill(rng->mt);
        rng->next = 0;
    }
    uint32_t y = rng->mt[rng->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

/* 24 bits in [0, 1). */
static float uniform_float(rt_rng *rng) {
    return (float)(rt_rng_u32(rng) & 0xffffffu) * 0x1p-24f;
}

/* 53 bits in [0, 1); the high word is drawn first. */
static double uniform_double(rt_rng *rng) {
    uint64_t high = rt_rng_u32(rng);
    uint64_t low = rt_rng_u32(rng);
    return (double)(((high << 32) | low) & ((UINT64_C(1) << 53) - 1)) * 0x1p-53;
}

/* ---- single precision: Cephes logf and sincosf as avx_mathfun evaluates them ---- */

/* Natural logarithm of a normal, positive x. */
static float log_f32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    float e = (float)((int)(bits >> 23) - 127 + 1);
    bits = (bits & 0x007fffffu) | 0x3f000000u; /* mantissa in [0.5, 1) */
    float m;
    memcpy(&m, &bits, sizeof m);
    if (m < 0.707106781186547524f) {
        e -= 1.0f;
        m = (m - 1.0f) + m;
    } else {
        m = m - 1.0f;
    }
    static const float p[9] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,
                               -1.2420140846e-1f, 1.4249322787e-1f,  -1.6668057665e-1f,
                               2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
    float z = m * m;
    float y = p[0];
    for (int i = 1; i < 9; i++) y = fmaf(y, m, p[i]);
    y = fmaf(y * m, z, e * -2.12194440e-4f);
    y = y - z * 0.5f;
    return (m + y) + e * 0.693359375f;
}

/* sin and cos of x >= 0, x < 8192. */
static void sincos_f32(float x, float *sine, float *cosine) {
    int octant = ((int)(x * 1.27323954473516f) + 1) & ~1; /* of pi/4, rounded to an even one */
    float q = (float)octant;
    x = x - q * 0.78515625f; /* pi/4 in three parts; the products are exact */
    x = x - q * 2.4187564849853515625e-4f;
    x = x - q * 3.77489497744594108e-8f;
    float z = x * x;
    float c = fmaf(2.443315711809948e-5f, z, -1.388731625493765e-3f);
    c = fmaf(c, z, 4.166664568298827e-2f);
    c = fmaf(c * z, z, -(z * 0.5f)) + 1.0f;
    float s = fmaf(-1.9515295891e-4f, z, 8.3321608736e-3f);
    s = fmaf(s, z, -1.6666654611e-1f);
    s = fmaf(s * z, x, x);
    bool swap = (octant & 2) != 0;
    float sin_part = swap ? c : s, cos_part = swap ? s : c;
    *sine = (octant & 4) ? -sin_part : sin_part;
    *cosine = ((octant + 2) & 4) ? -cos_part : cos_part;
}

/* 16 uniforms become 16 normals in place: Box-Muller on the pairs (j, j + 8). */
static void normal_16(float *d) {
    for (int j = 0; j < 8; j++) {
        float radius = sqrtf(-2.0f * log_f32(1.0f - d[j]));
        float sine, cosine;
        sincos_f32(6.283185307179586f * d[j + 8], &sine, &cosine);
        d[j] = radius * cosine;
        d[j + 8] = radius * sine;
    }
}

/* ---- double precision: fdlibm's kernels ---- */

/* Natural logarithm of x in (0, 1]: x = 2^k (1 + f), log(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2)), s
 * = f / (2 + f). */
static double log_f64(double x) {
    int k;
    double m = frexp(x, &k);
    if (m < 0.70710678118654752440) {
        m *= 2;
        k--;
    }
    double f = m - 1.0;
    double s = f / (2.0 + f), z = s * s, half = 0.5 * f * f, n = (double)k;
    double r = 1.479819860511658591e-01;
    r = 1.531383769920937332e-01 + z * r;
    r = 1.818357216161805012e-01 + z * r;
    r = 2.222219843214978396e-01 + z * r;
    r = 2.857142874366239149e-01 + z * r;
    r = 3.999999999940941908e-01 + z * r;
    r = 6.666666666666735130e-01 + z * r;
    r *= z;
    const double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
    return n * ln2_high - ((half - (s * (half + r) + n * ln2_low)) - f);
}

static double sin_kernel(double x) {
    double z = x * x;
    double r = 1.58969099521155010221e-10;
    r = -2.50507602534068634195e-08 + z * r;
    r = 2.75573137070700676789e-06 + z * r;
    r = -1.98412698298579493134e-04 + z * r;
    r = 8.33333333332248946124e-03 + z * r;
    r = -1.66666666666666324348e-01 + z * r;
    return x + x * z * r;
}

static double cos_kernel(double x) {
    double z = x * x;
    double r = -1.13596475577881948265e-11;
    r = 2.08757232129817482790e-09 + z * r;
    r = -2.75573143513906633035e-07 + z * r;
    r = 2.48015872894767294178e-05 + z * r;
    r = -1.38888888888741095749e-03 + z * r;
    r = 4.16666666666666019037e-02 + z * r;
    double half = 0.5 * z, w = 1.0 - half;
    return w + (((1.0 - w) - half) + z * z * r);
}

/* sin and cos of x in [0, 2 pi]. */
static void sincos_f64(double x, double *sine, double *cosine) {
    int quadrant = (int)(x * 6.36619772367581382433e-01 + 0.5);
    double n = (double)quadrant; /* pi/2 in three parts; the first products are exact for n <= 4 */
    double r = x - n * 1.57079632673412561417e+00;
    r = (r - n * 6.07710050630396597660e-11) - n * 2.02226624879595063154e-21;
    double s = sin_kernel(r), c = cos_kernel(r);
    switch (quadrant & 3) {
    case 0: *sine = s, *cosine = c; break;
    case 1: *sine = c, *cosine = -s; break;
    case 2: *sine = -s, *cosine = -c; break;
    default: *sine = -c, *cosine = s; break;
    }
}

static float normal_one(rt_rng *rng) {
    if (rng->has_cached) {
        rng->has_cached = false;
        return (float)rng->cached;
    }
    double u1 = uniform_double(rng);
    double u2 = uniform_double(rng);
    double radius = sqrt(-2.0 * log_f64(1.0 - u2)); /* 1 - u2 is exact */
    double sine, cosine;
    sincos_f64(6.28318530717958647693 * u1, &sine, &cosine);
    rng->cached = radius * sine;
    rng->has_cached = true;
    return (float)(radius * cosine);
}

void rt_rng_randn(rt_rng *rng, float *out, size_t n) {
    if (n < 16) {
        for (size_t i = 0; i < n; i++) out[i] = normal_one(rng);
        return;
    }
    for (size_t i = 0; i < n; i++) out[i] = uniform_float(rng);
    for (size_t i = 0; i + 16 <= n; i += 16) normal_16(out + i);
    if (n % 16 != 0) { /* the last 16 are drawn anew, whatever was there */
        float *last = out + (n - 16);
        for (int i = 0; i < 16; i++) last[i] = uniform_float(rng);
        normal_16(last);
    }
}

void rt_rng_uniform(rt_rng *rng, float lo, float hi, float *out, size_t n) {
    float width = hi - lo;
    for (size_t i = 0; i < n; i++) out[i] = uniform_float(rng) * width + lo;
}
