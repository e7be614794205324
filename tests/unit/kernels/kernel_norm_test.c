/* group_stats, norm_apply, layer_norm and geglu against naive loops in double. */
#include "tests/unit/kernels/kernel_test.h"

static double cat_at(const float *x0, const float *x1, int32_t C0, int32_t C1, int64_t P, int32_t b,
                     int32_t c, int64_t q) {
    return c < C0 ? (double)x0[kt_c16(C0, P, b, c, q)] : (double)x1[kt_c16(C1, P, b, c - C0, q)];
}

static void groups(void **state) {
    (void)state;
    const struct ebru_group_stats_params cases[] = {
        {1, 64, 64, 0, 32, 1e-5f}, {2, 100, 320, 0, 32, 1e-5f}, {2, 35, 24, 8, 4, 1e-6f},
        {1, 70, 20, 10, 5, 1e-5f}, {3, 9, 15, 0, 3, 1e-5f},     {2, 16, 32, 32, 1, 1e-5f},
        {1, 131, 7, 0, 7, 0.1f},   {1, 64, 4, 12, 16, 1e-5f},
    };
    KT_EACH_LEVEL(level) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct ebru_group_stats_params p = cases[i];
            const int32_t C = p.C0 + p.C1, pad = ebru_blocks16(C) * 16, size = C / p.G;
            float *x0 = kt_random_c16(p.B, p.C0, p.P),
                  *x1 = p.C1 ? kt_random_c16(p.B, p.C1, p.P) : NULL;
            if (i == 1) /* a large common offset, and a first pixel far away from it */
                for (int64_t k = 0; k < kt_c16_floats(p.B, p.C0, p.P); k++)
                    x0[k] = k % (p.P * 16) < 16 ? -50.0f : x0[k] + 300.0f;
            float *gamma = i % 3 == 2 ? NULL : kt_padded(C),
                  *beta = i % 3 == 2 ? NULL : kt_padded(C);
            float *out = kt_floats(p.B * 2 * pad);
            void *buf[] = {x0, x1, gamma, beta, out};
            KT_RUN(group_stats, level, &p, buf, EBRU_GROUP_STATS_OUT, p.B * 2 * pad);
            for (int32_t b = 0; b < p.B; b++)
                for (int32_t c = 0; c < pad; c++) {
                    double a = 0, s = 0;
                    if (c < C) {
                        double sum = 0, sq = 0;
                        const int32_t c0 = c / size * size;
                        for (int32_t k = c0; k < c0 + size; k++)
                            for (int64_t q = 0; q < p.P; q++)
                                sum += cat_at(x0, x1, p.C0, p.C1, p.P, b, k, q);
                        const double mean = sum / size / p.P;
                        for (int32_t k = c0; k < c0 + size; k++)
                            for (int64_t q = 0; q < p.P; q++) {
                                const double d = cat_at(x0, x1, p.C0, p.C1, p.P, b, k, q) - mean;
                                sq += d * d;
                            }
                        a = (gamma ? (double)gamma[c] : 1) / sqrt(sq / size / p.P + (double)p.eps);
                        s = (beta ? (double)beta[c] : 0) - mean * a;
                    }
                    kt_assert_close(out[b * 2 * pad + c], a, 1e-6 * fabs(a), "v%d case %d scale %d",
                                    level, (int)i, c);
                    kt_assert_close(out[(b * 2 + 1) * pad + c], s, 1e-6 * (1 + fabs(s)),
                                    "v%d case %d shift %d", level, (int)i, c);
                }
            kt_release();
        }
    }
}

static void apply(void **state) {
    (void)state;
    const struct ebru_norm_apply_params cases[] = {{2, 10, 32, 0, EBRU_ACT_NONE},
                                                   {2, 7, 32, 16, EBRU_ACT_SILU},
                                                   {1, 9, 20, 10, EBRU_ACT_SILU},
                                                   {1, 5, 3, 0, EBRU_ACT_RELU}};
    KT_EACH_LEVEL(level) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct ebru_norm_apply_params p = cases[i];
            const int32_t C = p.C0 + p.C1, pad = ebru_blocks16(C) * 16;
            float *x0 = kt_random_c16(p.B, p.C0, p.P),
                  *x1 = p.C1 ? kt_random_c16(p.B, p.C1, p.P) : NULL;
            float *ss = kt_random_floats(p.B * 2 * pad);
            const int64_t floats = kt_c16_floats(p.B, C, p.P);
            float *out = kt_floats(floats);
            void *buf[] = {x0, x1, ss, out};
            KT_RUN(norm_apply, level, &p, buf, EBRU_NORM_APPLY_OUT, floats);
            for (int32_t b = 0; b < p.B; b++)
                for (int32_t c = 0; c < C; c++)
                    for (int64_t q = 0; q < p.P; q++) {
                        const double v = cat_at(x0, x1, p.C0, p.C1, p.P, b, c, q);
                        const double want = kt_act(v * (double)ss[b * 2 * pad + c] +
                                                       (double)ss[(b * 2 + 1) * pad + c],
                                                   p.act);
                        kt_assert_close(out[kt_c16(C, p.P, b, c, q)], want, 1e-6, "v%d case %d",
                                        level, (int)i);
                    }
            for (int64_t k = 0; k < floats; k++) assert_true(isfinite(out[k]));
            kt_release();
        }
    }
}

static void layers(void **state) {
    (void)state;
    const struct ebru_layer_norm_params cases[] = {
        {2, 77, 48, 1e-5f}, {1, 16, 320, 1e-5f}, {3, 5, 10, 1e-6f}, {1, 1, 33, 1e-5f}};
    KT_EACH_LEVEL(level) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct ebru_layer_norm_params p = cases[i];
            const int64_t floats = kt_c16_floats(p.B, p.C, p.T);
            float *x = kt_random_c16(p.B, p.C, p.T), *out = kt_floats(floats);
            for (int64_t k = 0; k < floats; k++) x[k] += 5.0f;
            float *gamma = i == 2 ? NULL : kt_padded(p.C), *beta = i == 2 ? NULL : kt_padded(p.C);
            void *buf[] = {x, gamma, beta, out};
            KT_RUN(layer_norm, level, &p, buf, EBRU_LAYER_NORM_OUT, floats);
            for (int32_t b = 0; b < p.B; b++)
                for (int32_t t = 0; t < p.T; t++) {
                    double mean = 0, var = 0;
                    for (int32_t c = 0; c < p.C; c++)
                        mean += (double)x[kt_c16(p.C, p.T, b, c, t)] / p.C;
                    for (int32_t c = 0; c < p.C; c++)
                        var += pow((double)x[kt_c16(p.C, p.T, b, c, t)] - mean, 2) / p.C;
                    for (int32_t c = 0; c < p.C; c++) {
                        const double n = ((double)x[kt_c16(p.C, p.T, b, c, t)] - mean) /
                                         sqrt(var + (double)p.eps);
                        const double want =
                            n * (gamma ? (double)gamma[c] : 1) + (beta ? (double)beta[c] : 0);
                        kt_assert_close(out[kt_c16(p.C, p.T, b, c, t)], want, 5e-6,
                                        "v%d case %d [%d,%d,%d]", level, (int)i, b, t, c);
                    }
                }
            for (int64_t k = 0; k < floats; k++) assert_true(isfinite(out[k]));
            buf[EBRU_LAYER_NORM_OUT] = x; /* in place */
            KT_CALL(layer_norm, level, &p, buf, 3);
            assert_memory_equal(x, out, (size_t)floats * 4);
            kt_release();
        }
    }
}

static void gated(void **state) {
    (void)state;
    const struct ebru_geglu_params cases[] = {{2, 13, 32}, {1, 7, 10}, {2, 3, 40}};
    KT_EACH_LEVEL(level) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct ebru_geglu_params p = cases[i];
            const int64_t floats = kt_c16_floats(p.B, p.C, p.P);
            float *x = kt_random_c16(p.B, 2 * p.C, p.P), *out = kt_floats(floats);
            void *buf[] = {x, out};
            KT_RUN(geglu, level, &p, buf, EBRU_GEGLU_OUT, floats);
            for (int32_t b = 0; b < p.B; b++)
                for (int32_t c = 0; c < p.C; c++)
                    for (int64_t q = 0; q < p.P; q++) {
                        const double want =
                            (double)x[kt_c16(2 * p.C, p.P, b, c, q)] *
                            kt_act((double)x[kt_c16(2 * p.C, p.P, b, p.C + c, q)], EBRU_ACT_GELU);
                        kt_assert_close(out[kt_c16(p.C, p.P, b, c, q)], want, 5e-7, "v%d case %d",
                                        level, (int)i);
                    }
            for (int64_t k = 0; k < floats; k++) assert_true(isfinite(out[k]));
            kt_release();
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(groups), cmocka_unit_test(apply),
                                       cmocka_unit_test(layers), cmocka_unit_test(gated)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
