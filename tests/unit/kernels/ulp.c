#include "tests/unit/kernels/ulp.h"

#include "base/cpu/cpu.h"

#include <math.h>
#include <string.h>

#define DECLARE(name, ID, suffix, ...) void ebru_ew_##name##_##suffix(float *, const float *);
#define EW(name, summary)              KT_F32_LEVELS(DECLARE, name)
#include "runtime/abi/kernels.def"

/* ---- the true values ---- */

static double ref_exp(double x) {
    return exp(x);
}
static double ref_exp_neg(double x) {
    return exp(x);
}
static double ref_exp2_neg(double x) {
    return exp2(x);
}
static double ref_exp2_weight(double x) {
    return exp2(x);
}
static double ref_sigmoid(double x) {
    return 1 / (1 + exp(-x));
}
static double ref_silu(double x) {
    return x / (1 + exp(-x));
}
static double ref_gelu(double x) {
    return 0.5 * x * erfc(-x * 0.70710678118654752440);
}
/* The multiplier is PyTorch's, sqrt(2 / pi), twice. */
static double ref_gelu_tanh(double x) {
    return x / (1 + exp(-2 * 0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}
static double ref_quick_gelu(double x) {
    return x / (1 + exp(-1.702 * x));
}
static double ref_relu(double x) {
    return x > 0 ? x : x < 0 ? 0 : x;
}
static double ref_tanh(double x) {
    return tanh(x);
}
static double ref_erf(double x) {
    return erf(x);
}
static double ref_mish(double x) {
    return x > 40 ? x : x * tanh(log1p(exp(x)));
}
static double ref_sqrt(double x) {
    return sqrt(x);
}
static double ref_rsqrt(double x) {
    return 1 / sqrt(x);
}

#define CODE(n, ID, suffix, ...) ebru_ew_##n##_##suffix,
#define F(n)                     #n, {KT_F32_LEVELS(CODE, n)}, ref_##n
const ulp_function ulp_functions[] = {
    {F(exp), 1.5, 0, false},
    {F(exp_neg), 1.5, 1.7e-38, true},
    {F(exp2_neg), 1.75, 1.2e-38, true},
    {F(sigmoid), 2.5, 4.2e-39, false},
    {F(exp2_weight), 3.5, 1.2e-38, true},
    {F(silu), 2.5, 3.8e-37, false},
    {F(gelu), 8.5, 1.2e-38, false},
    {F(gelu_tanh), 4, 4.5e-38, false},
    {F(quick_gelu), 4, 2.3e-37, false},
    {F(mish), 5, 1.5e-36, false},
    {F(tanh), 1.5, 0, false},
    {F(erf), 1.5, 0, false},
    {F(relu), 0, 0, false},
    {F(sqrt), 0.5, 0, false},
    {F(rsqrt), 1.5, 0, false},
};
const int ulp_function_count = sizeof ulp_functions / sizeof *ulp_functions;

#define TITLE(a, ID, suffix, title, ...) title,
const char *const ulp_level_name[ULP_LEVELS] = {KT_F32_LEVELS(TITLE, 0)};

bool ulp_level_runs(int level) {
    static base_cpu cpu; /* asked once: the scans call this for every few thousand floats */
    if (!cpu.logical_cpus) base_cpu_detect(&cpu);
    return base_cpu_runs(&cpu, base_isa_by_name(ulp_level_name[level]));
}

/* ---- the comparison ---- */

float ulp_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* A power of two for an exponent that a double has. */
static double power_of_two(int e) {
    const uint64_t bits = (uint64_t)(1023 + e) << 52;
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

/* 1 / (unit of the last place of a float at this value). */
static double units(double want) {
    uint64_t bits;
    memcpy(&bits, &want, sizeof bits);
    int e = (int)(bits >> 52 & 0x7ff) - 1023;
    if (e < -126) e = -126; /* denormal results share one unit */
    if (e > 127) e = 127;
    return power_of_two(23 - e);
}

/* What overflows counts as 2^128, the value next to the largest float. */
static double capped(double v) {
    return v > 0x1p128 ? 0x1p128 : v < -0x1p128 ? -0x1p128 : v;
}

/* A result that is not the true value's nearest float, or no number. */
static void look(const ulp_function *f, float x, double want, float got, ulp_result *r) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (isnan(want) || isnan(got)) {
        if (!isnan(want) || !isnan(got)) r->wrong++, r->wrong_at = bits;
        return;
    }
    r->inputs++;
    if (got == 0 && fabs(want) < f->flushed) {
        if (fabs(want) > r->largest_flushed) r->largest_flushed = fabs(want);
        r->flushed++;
        return;
    }
    const double w = isinf((float)want) ? copysign(0x1p128, want) : want;
    const double error = fabs(capped((double)got) - w) * units(w);
    if (error > r->worst) r->worst = error, r->at = bits;
}

static void compare(const ulp_function *f, const float *x, const double *want, const float *got,
                    int n, ulp_result *r) {
    int correct = 0;
    for (int i = 0; i < n; i++) correct += got[i] == (float)want[i];
    r->inputs += (uint64_t)correct;
    r->correct += (uint64_t)correct;
    if (correct == n) return;
    for (int i = 0; i < n; i++)
        if (!(got[i] == (float)want[i])) look(f, x[i], want[i], got[i], r);
}

void ulp_scan(const ulp_function *f, uint64_t first, uint64_t end, uint64_t stride,
              ulp_result out[ULP_LEVELS]) {
    enum { BATCH = 512 };
    _Alignas(64) float x[BATCH], y[BATCH];
    double want[BATCH];
    bool runs[ULP_LEVELS];
    for (int l = 0; l < ULP_LEVELS; l++) runs[l] = ulp_level_runs(l);
    for (uint64_t bits = first; bits < end;) {
        int n = 0;
        for (; n < BATCH && bits < end; bits += stride) {
            const float v = ulp_float((uint32_t)bits);
            if (isinf(v) || (f->not_above_zero && v > 0)) continue;
            x[n] = v;
            want[n++] = isnan(v) ? (double)v : f->ref((double)v);
        }
        for (int i = n; i % 16 != 0; i++) x[i] = 0;
        for (int l = 0; l < ULP_LEVELS; l++) {
            if (!runs[l]) continue;
            for (int i = 0; i < n; i += 16) f->f[l](y + i, x + i);
            compare(f, x, want, y, n, &out[l]);
        }
    }
}

void ulp_join(ulp_result *a, const ulp_result *b) {
    if (b->worst > a->worst || (b->worst == a->worst && b->at < a->at))
        a->worst = b->worst, a->at = b->at;
    a->inputs += b->inputs;
    a->correct += b->correct;
    a->flushed += b->flushed;
    if (b->largest_flushed > a->largest_flushed) a->largest_flushed = b->largest_flushed;
    if (b->wrong) a->wrong_at = b->wrong_at;
    a->wrong += b->wrong;
}
