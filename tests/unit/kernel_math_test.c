/* The elementwise functions against libm in double, in units of the last place of the true value. */
#include "tests/unit/kernel_test.h"

typedef void (*ew)(float *, const float *);

static double ref_exp(double x) {
    return exp(x);
}
static double ref_exp2_neg(double x) {
    return exp2(x);
}
static double ref_sigmoid(double x) {
    return kt_act(x, EBRU_ACT_SIGMOID);
}
static double ref_silu(double x) {
    return kt_act(x, EBRU_ACT_SILU);
}
static double ref_gelu(double x) {
    return 0.5 * x * erfc(-x / sqrt(2.0));
}
static double ref_gelu_tanh(double x) {
    return kt_act(x, EBRU_ACT_GELU_TANH);
}
static double ref_quick_gelu(double x) {
    return kt_act(x, EBRU_ACT_QUICK_GELU);
}
static double ref_relu(double x) {
    return x > 0 ? x : 0;
}
static double ref_tanh(double x) {
    return tanh(x);
}
static double ref_erf(double x) {
    return erf(x);
}
static double ref_mish(double x) {
    return x > 40 ? x : kt_act(x, EBRU_ACT_MISH);
}
static double ref_sqrt(double x) {
    return sqrt(x);
}
static double ref_rsqrt(double x) {
    return 1 / sqrt(x);
}

struct row {
    const char *name;
    ew f[3];
    double (*ref)(double);
    double lo, hi;
    double ulp;      /* bound in ulp of the true value ... */
    double absolute; /* ... or this absolute error, whichever is larger */
};
#define F(n) #n, {ebru_ew_##n##_v2, ebru_ew_##n##_v3, ebru_ew_##n##_v4 }, ref_##n
static const struct row rows[] = {
    {F(exp), -103.5, 88.7, 1.5, 0}, {F(exp2_neg), -126, 0, 1.5, 0},     {F(sigmoid), -86, 90, 2.5, 0},
    {F(silu), -86, 90, 3, 0},       {F(gelu), -9, 9, 2, 3e-7}, /* absolute: 1 + erf cancels below zero, as it
                                                                  does in PyTorch */
    {F(gelu_tanh), -6, 9, 8, 2e-7}, {F(quick_gelu), -50, 50, 100, 0}, /* the rounding of 1.702 x, times its
                                                                         size */
    {F(relu), -10, 10, 0, 0},       {F(tanh), -12, 12, 3, 0},         {F(erf), -6, 6, 3, 0},
    {F(mish), -80, 90, 5, 1e-30},   {F(sqrt), 0, 1e6, 0.5, 0},        {F(rsqrt), 1e-6, 1e6, 1.5, 0},
};

static double ulp_of(double v) {
    int e;
    frexp(v, &e);
    return ldexp(1.0, (e < -125 ? -125 : e) - 24);
}

static void accuracy(void **state) {
    (void)state;
    KT_EACH_LEVEL(level) {
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            const struct row *row = &rows[r];
            double worst = 0, worst_abs = 0;
            float at = 0;
            float *x = kt_floats(16), *y = kt_floats(16);
            for (int32_t i = 0; i < 20000; i++) {
                for (int32_t l = 0; l < 16; l++) {
                    const double t = (double)kt_random() * 0.5 + 0.5;
                    /* half of the samples near zero */
                    const double v = row->lo + (row->hi - row->lo) * t, near = ldexp(v, -(int)(i % 24));
                    x[l] = (float)(i % 2 || near < row->lo || near > row->hi ? v : near);
                }
                row->f[level - 2](y, x);
                for (int32_t l = 0; l < 16; l++) {
                    const double want = row->ref((double)x[l]), error = fabs((double)y[l] - want);
                    if (!(error <= row->absolute) && !(error / ulp_of(want) <= worst)) {
                        worst = error / ulp_of(want);
                        at = x[l];
                    }
                    if (!(error <= worst_abs)) worst_abs = error;
                }
            }
            print_message("v%d %-10s %.2f ulp (at %g), absolute %.2g\n", level, row->name, worst, (double)at,
                          worst_abs);
            if (!(worst <= row->ulp + 0.001)) fail_msg("%s: %g ulp at %a", row->name, worst, (double)at);
            kt_release();
        }
    }
}

static void limits(void **state) {
    (void)state;
    const float inf = INFINITY;
    const struct {
        const char *name;
        ew f[3];
        float in, out;
    } cases[] = {
#define L(n) #n, {ebru_ew_##n##_v2, ebru_ew_##n##_v3, ebru_ew_##n##_v4 }
        {L(exp), inf, inf},
        {L(exp), -inf, 0},
        {L(exp), 200, inf},
        {L(exp), -200, 0},
        {L(exp), 0, 1},
        {L(exp2_neg), 0, 1},
        {L(exp2_neg), -INFINITY, 0},
        {L(exp2_neg), -1e4f, 0},
        {L(exp2_neg), -1, 0.5f},
        {L(sigmoid), inf, 1},
        {L(sigmoid), -inf, 0},
        {L(silu), inf, inf},
        {L(silu), 0, 0},
        {L(silu), -1e4f, 0},
        {L(tanh), inf, 1},
        {L(tanh), -inf, -1},
        {L(erf), inf, 1},
        {L(erf), -inf, -1},
        {L(gelu), inf, inf},
        {L(gelu), -20, 0},
        {L(mish), inf, inf},
        {L(mish), 1e30f, 1e30f},
        {L(relu), -inf, 0},
        {L(quick_gelu), -1e4f, 0},
        {L(gelu_tanh), 1e9f, 1e9f},
        {L(gelu_tanh), -100, 0},
        {L(sqrt), inf, inf},
        {L(rsqrt), inf, 0},
    };
    KT_EACH_LEVEL(level) {
        float *x = kt_floats(16), *y = kt_floats(16);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            for (int32_t l = 0; l < 16; l++) x[l] = cases[i].in;
            cases[i].f[level - 2](y, x);
            for (int32_t l = 0; l < 16; l++)
                if (!(y[l] == cases[i].out))
                    fail_msg("v%d %s(%g) = %g", level, cases[i].name, (double)x[l], (double)y[l]);
        }
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            for (int32_t l = 0; l < 16; l++) x[l] = l == 5 ? NAN : 0.5f;
            rows[r].f[level - 2](y, x);
            for (int32_t l = 0; l < 16; l++)
                if (isnan(y[l]) != (l == 5)) fail_msg("v%d %s: NaN in lane %d", level, rows[r].name, l);
            rows[r].f[level - 2](x, x); /* in place */
            assert_memory_equal(x, y, 5 * sizeof(float));
        }
        kt_release();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(accuracy), cmocka_unit_test(limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
