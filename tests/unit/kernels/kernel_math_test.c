/* The elementwise functions against libm in double, in units of the last place of the true value: a
 * sample of what bench/kernel_ulp.c does with every float, the neighbourhoods of special values
 * whole. */
#include "tests/unit/kernels/kernel_test.h"
#include "tests/unit/kernels/ulp.h"

typedef void (*ew)(float *, const float *);

static void held(const ulp_function *f, const ulp_result *r) {
    for (int l = 0; l < ULP_LEVELS; l++) {
        if (!ulp_level_runs(l)) {
            print_message("skipped: %s is not supported here\n", ulp_level_name[l]);
            continue;
        }
        print_message("%s %-10s %.3f ulp (at %.9g)\n", ulp_level_name[l], f->name, r[l].worst,
                      (double)ulp_float(r[l].at));
        assert_true(r[l].inputs > 0);
        if (!(r[l].worst <= f->bound))
            fail_msg("%s: %g ulp at %a", f->name, r[l].worst, (double)ulp_float(r[l].at));
        if (r[l].wrong)
            fail_msg("%s: %llu numbers for NaN or NaN for numbers, at %a", f->name,
                     (unsigned long long)r[l].wrong, (double)ulp_float(r[l].wrong_at));
    }
}

static void all_over_the_range(void **state) {
    (void)state;
    for (int i = 0; i < ulp_function_count; i++) {
        ulp_result r[ULP_LEVELS] = {0};
        ulp_scan(&ulp_functions[i], 0, (uint64_t)1 << 32, 2999, r);
        held(&ulp_functions[i], r);
    }
}

/* Around every power of two, zero, the largest floats and the first NaNs among them, and around
 * where the functions change their ways. */
static void special_neighbourhoods(void **state) {
    (void)state;
    static const float where[] = {0.625f, 1,      4,      10,     10.065f, 13.27f, 14.5f,   20,
                                  87,     87.34f, 88.03f, 88.38f, 88.73f,  89,     103.28f, 126,
                                  127,    149,    150,    151,    52.13f,  52.2f,  9.1f,    9.2f};
    for (int i = 0; i < ulp_function_count; i++) {
        ulp_result r[ULP_LEVELS] = {0};
        for (uint32_t e = 0; e < 512; e++) {
            const uint64_t at = (uint64_t)e << 23, before = at < 500 ? 0 : at - 500;
            ulp_scan(&ulp_functions[i], before, at + 500, 1, r);
        }
        for (size_t k = 0; k < sizeof where / sizeof *where; k++) {
            uint32_t bits;
            memcpy(&bits, &where[k], sizeof bits);
            ulp_scan(&ulp_functions[i], bits - 2000, bits + 2000, 1, r);
            ulp_scan(&ulp_functions[i], (bits | 0x80000000u) - 2000, (bits | 0x80000000u) + 2000, 1,
                     r);
        }
        held(&ulp_functions[i], r);
    }
}

static void limits(void **state) {
    (void)state;
    const float inf = INFINITY;
    const struct {
        const char *name;
        ew f[KT_F32_COUNT];
        float in, out;
    } cases[] = {
#define CODE(n, ID, suffix, ...) ebru_ew_##n##_##suffix,
#define L(n)                                                                                       \
    #n, {                                                                                          \
        KT_F32_LEVELS(CODE, n)                                                                     \
    }
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
        {L(gelu), -inf, 0},
        {L(gelu), 3e38f, 3e38f},
        {L(gelu), 20, 20},
        {L(mish), inf, inf},
        {L(mish), 1e30f, 1e30f},
        {L(mish), -100, 0},
        {L(mish), -3e38f, 0},
        {L(relu), -inf, 0},
        {L(quick_gelu), -1e4f, 0},
        {L(gelu_tanh), 1e9f, 1e9f},
        {L(gelu_tanh), -100, 0},
        {L(gelu_tanh), -3e38f, 0},
        {L(gelu_tanh), inf, inf},
        {L(quick_gelu), -3e38f, 0},
        {L(quick_gelu), 3e38f, 3e38f},
        {L(quick_gelu), inf, inf},
        {L(exp_neg), 0, 1},
        {L(exp_neg), -inf, 0},
        {L(exp_neg), -1e30f, 0},
        {L(exp2_neg), -3e38f, 0},
        {L(sqrt), inf, inf},
        {L(rsqrt), inf, 0},
    };
    KT_EACH_LEVEL(level) {
        float *x = kt_floats(16), *y = kt_floats(16);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            for (int32_t l = 0; l < 16; l++) x[l] = cases[i].in;
            cases[i].f[kt_i](y, x);
            for (int32_t l = 0; l < 16; l++)
                if (!(y[l] == cases[i].out))
                    fail_msg("%s %s(%g) = %g", base_isa_name(level), cases[i].name, (double)x[l],
                             (double)y[l]);
        }
        for (int r = 0; r < ulp_function_count; r++) {
            const ulp_function *f = &ulp_functions[r];
            for (int32_t l = 0; l < 16; l++) x[l] = l == 5 ? NAN : f->not_above_zero ? -0.5f : 0.5f;
            f->f[kt_i](y, x);
            for (int32_t l = 0; l < 16; l++)
                if (isnan(y[l]) != (l == 5))
                    fail_msg("%s %s: NaN in lane %d", base_isa_name(level), f->name, l);
            f->f[kt_i](x, x); /* in place */
            assert_memory_equal(x, y, 5 * sizeof(float));
        }
        kt_release();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_over_the_range),
                                       cmocka_unit_test(special_neighbourhoods),
                                       cmocka_unit_test(limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
