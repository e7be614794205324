/* copy, concat_plain, matmul, softmax, embedding and timestep_embedding against naive loops. */
#include "tests/unit/kernels/kernel_test.h"

static void copies(void **state) {
    (void)state;
    KT_EACH_LEVEL(level) {
        /* transpose [3,4,5,6] by (2,0,3,1): result sizes and the operand's strides, permuted */
        const int32_t n[] = {5, 3, 6, 4}, s[] = {6, 120, 1, 30};
        struct ebru_copy_params p;
        ebru_copy_set(&p, 4, n, s);
        float *x = kt_random_floats(360), *out = kt_floats(360);
        void *buf[] = {x, out};
        KT_RUN(copy, level, &p, buf, 1, 360);
        for (int32_t i = 0; i < 360; i++) {
            const int32_t a = i / 72, b = i / 24 % 3, c = i / 4 % 6, d = i % 4;
            assert_true(out[i] == x[a * 6 + b * 120 + c + d * 30]);
        }
        /* slice [7,10] -> columns 3..7, and a broadcast row */
        const int32_t n2[] = {7, 5}, s2[] = {10, 1}, s3[] = {0, 1};
        ebru_copy_set(&p, 2, n2, s2);
        p.xo = 3;
        KT_RUN(copy, level, &p, buf, 1, 35);
        for (int32_t i = 0; i < 35; i++) assert_true(out[i] == x[i / 5 * 10 + 3 + i % 5]);
        ebru_copy_set(&p, 2, n2, s3);
        KT_RUN(copy, level, &p, buf, 1, 35);
        for (int32_t i = 0; i < 35; i++) assert_true(out[i] == x[i % 5]);
        /* rank 8, and rank 1 */
        const int32_t n8[] = {2, 1, 3, 2, 2, 1, 2, 3}, s8[] = {1, 9, 2, 6, 12, 5, 24, 48};
        ebru_copy_set(&p, 8, n8, s8);
        KT_RUN(copy, level, &p, buf, 1, 144);
        for (int32_t i = 0; i < 144; i++)
            assert_true(out[i] == x[i / 72 + i / 24 % 3 * 2 + i / 12 % 2 * 6 + i / 6 % 2 * 12 +
                                    i / 3 % 2 * 24 + i % 3 * 48]);
        const int32_t n1[] = {9}, s1[] = {2};
        ebru_copy_set(&p, 1, n1, s1);
        KT_RUN(copy, level, &p, buf, 1, 9);
        for (int32_t i = 0; i < 9; i++) assert_true(out[i] == x[2 * i]);
        kt_release();
    }
}

static void joined(void **state) {
    (void)state;
    KT_EACH_LEVEL(level) {
        struct ebru_concat_plain_params p = {5, 3, 0, 7, 1, 0, 0, 0, 2};
        const int32_t n[8] = {3, 0, 7, 1, 0, 0, 0, 2};
        void *buf[EBRU_CONCAT_PLAIN_BUFS] = {0};
        for (int32_t k = 0; k < 8; k++) buf[k] = n[k] ? kt_random_floats(5 * n[k]) : NULL;
        float *out = kt_floats(65);
        buf[EBRU_CONCAT_PLAIN_OUT] = out;
        KT_RUN(concat_plain, level, &p, buf, EBRU_CONCAT_PLAIN_OUT, 65);
        for (int32_t o = 0, i = 0; o < 5; o++)
            for (int32_t k = 0; k < 8; k++)
                for (int32_t j = 0; j < n[k]; j++)
                    assert_true(out[i++] == ((float *)buf[k])[o * n[k] + j]);
        /* rows of several tasks, whose ends lie within operands */
        struct ebru_concat_plain_params large = {.outer = 2, .n0 = 20000, .n1 = 30001};
        const int32_t row = 50001;
        float *a = kt_random_floats(2 * 20000), *b = kt_random_floats(2 * 30001),
              *both = kt_floats(2 * row);
        void *two[EBRU_CONCAT_PLAIN_BUFS] = {a, b};
        two[EBRU_CONCAT_PLAIN_OUT] = both;
        assert_int_equal(ebru_concat_plain_tasks(&large), 8);
        KT_RUN(concat_plain, level, &large, two, EBRU_CONCAT_PLAIN_OUT, 2 * row);
        for (int32_t o = 0; o < 2; o++) {
            assert_memory_equal(both + o * row, a + o * 20000, 20000 * sizeof(float));
            assert_memory_equal(both + o * row + 20000, b + o * 30001, 30001 * sizeof(float));
        }
        kt_release();
    }
}

static void products(void **state) {
    (void)state;
    const struct ebru_matmul_params cases[] = {{3, 7, 19, 13, 7 * 13, 13 * 19, 0, 1.0f},
                                               {2, 4, 32, 40, 160, 0, 0, 0.5f},
                                               {3, 5, 9, 35, 0, 9 * 35, 1, 0.25f},
                                               {1, 1, 1, 1, 0, 0, 1, 1.0f}};
    KT_EACH_LEVEL(level) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct ebru_matmul_params p = cases[i];
            float *a = kt_random_floats((int64_t)p.batch * p.M * p.K),
                  *b = kt_random_floats((int64_t)p.batch * p.N * p.K);
            const int64_t floats = (int64_t)p.batch * p.M * p.N;
            float *out = kt_floats(floats);
            void *buf[] = {a, b, out};
            KT_RUN(matmul, level, &p, buf, EBRU_MATMUL_OUT, floats);
            for (int32_t q = 0; q < floats; q++) {
                const int32_t t = q / (p.M * p.N), m = q / p.N % p.M, n = q % p.N;
                double want = 0;
                for (int32_t k = 0; k < p.K; k++)
                    want += (double)a[t * p.sa + m * p.K + k] *
                            (double)b[t * p.sb + (p.trans_b ? n * p.K + k : k * p.N + n)];
                kt_assert_close(out[q], want * (double)p.scale, 3e-6, "v%d case %d", level, (int)i);
            }
            kt_release();
        }
    }
}

static void softmaxes(void **state) {
    (void)state;
    const struct ebru_softmax_params cases[] = {
        {5, 77, 0, 5}, {20, 10, 1, 10}, {3, 1, 0, 3}, {6, 64, 0, 6}, {40, 20, 1, 20}};
    KT_EACH_LEVEL(level) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct ebru_softmax_params p = cases[i];
            float *x = kt_random_floats(p.rows * p.n), *out = kt_floats(p.rows * p.n);
            for (int32_t k = 0; k < p.rows * p.n; k++) x[k] *= 20;
            void *buf[] = {x, out};
            KT_RUN(softmax, level, &p, buf, 1, p.rows * p.n);
            for (int32_t r = 0; r < p.rows; r++) {
                const int32_t n = p.causal && r % p.M + 1 < p.n ? r % p.M + 1 : p.n;
                double top = -1e300, sum = 0;
                for (int32_t j = 0; j < n; j++) top = fmax(top, (double)x[r * p.n + j]);
                for (int32_t j = 0; j < n; j++) sum += exp((double)x[r * p.n + j] - top);
                for (int32_t j = 0; j < p.n; j++)
                    kt_assert_close(out[r * p.n + j],
                                    j < n ? exp((double)x[r * p.n + j] - top) / sum : 0, 5e-7,
                                    "v%d", level);
            }
            buf[1] = x; /* in place */
            KT_CALL(softmax, level, &p, buf, 2);
            assert_memory_equal(x, out, (size_t)(p.rows * p.n) * 4);
            kt_release();
        }
    }
}

static void rows_by_id(void **state) {
    (void)state;
    static const int32_t ids[15] = {1, 9, 9, 2, 0, 7, 3, 3, 1, 9, 2, 2, 2, 2, 2};
    static const int32_t want[2][3] = {{1, 4, 0},
                                       {0, 1, 0}}; /* the largest; 3, row 0 without one */
    KT_EACH_LEVEL(level) {
        for (int32_t with = 0; with < 2; with++) {
            struct ebru_select_row_params p = {3, 5, 20, with ? 3 : -1};
            float *x = kt_random_floats(kt_c16_floats(3, 20, 5));
            const int64_t floats = kt_c16_floats(3, 20, 1);
            float *out = kt_floats(floats);
            int32_t *own = (int32_t *)kt_alloc(sizeof ids);
            for (int32_t i = 0; i < 15; i++) own[i] = ids[i];
            void *buf[] = {x, own, out};
            KT_RUN(select_row, level, &p, buf, EBRU_SELECT_ROW_OUT, floats);
            for (int32_t b = 0; b < 3; b++)
                for (int32_t c = 0; c < 20; c++)
                    assert_true(out[kt_c16(20, 1, b, c, 0)] ==
                                x[kt_c16(20, 5, b, c, want[with][b])]);
            kt_release();
        }
    }
}

/* Ties go to the first row; what fills up the last block of channels does not count. */
static void nearest_rows(void **state) {
    (void)state;
    enum { B = 2, T = 19, C = 20, V = 23 };
    KT_EACH_LEVEL(level) {
        struct ebru_nearest_params p = {B, T, C, V};
        float *x = kt_random_floats(kt_c16_floats(B, C, T)), *table = kt_random_floats(V * 32);
        for (int32_t i = 0; i < 32; i++) table[7 * 32 + i] = table[3 * 32 + i];
        for (int32_t c = 0; c < C; c++) x[kt_c16(C, T, 1, c, 5)] = table[3 * 32 + c];
        int32_t *out = (int32_t *)kt_alloc(B * T * 4);
        void *buf[] = {x, table, out};
        KT_RUN(nearest, level, &p, buf, EBRU_NEAREST_OUT, B * T);
        for (int32_t b = 0; b < B; b++)
            for (int32_t t = 0; t < T; t++) {
                int32_t best = 0;
                double least = 1e30;
                for (int32_t v = 0; v < V; v++) {
                    double sum = 0;
                    for (int32_t c = 0; c < C; c++) {
                        double d = (double)x[kt_c16(C, T, b, c, t)] - (double)table[v * 32 + c];
                        sum += d * d;
                    }
                    if (sum < least) least = sum, best = v;
                }
                assert_int_equal(out[b * T + t], best);
            }
        assert_int_equal(out[T + 5], 3);
        kt_release();
    }
}

static void lookups(void **state) {
    (void)state;
    KT_EACH_LEVEL(level) {
        for (int32_t with = 0; with < 2; with++) {
            struct ebru_embedding_params p = {3, 5, 20, 11};
            int32_t *ids = (int32_t *)kt_alloc(15 * 4);
            for (int32_t i = 0; i < 15; i++) ids[i] = i * 7 % 11;
            ids[4] = -1; /* outside: the nearest row, never another address */
            ids[5] = 1 << 30;
            float *table = kt_random_floats(11 * 32), *position = kt_random_floats(5 * 32);
            const int64_t floats = kt_c16_floats(3, 20, 5);
            float *out = kt_floats(floats);
            void *buf[] = {ids, table, with ? position : NULL, out};
            KT_RUN(embedding, level, &p, buf, EBRU_EMBEDDING_OUT, floats);
            for (int32_t i = 0; i < 15; i++)
                for (int32_t c = 0; c < 20; c++) {
                    const int32_t id = ids[i] < 0 ? 0 : ids[i] > 10 ? 10 : ids[i];
                    const float want =
                        with ? table[id * 32 + c] + position[i % 5 * 32 + c] : table[id * 32 + c];
                    assert_true(out[kt_c16(20, 5, i / 5, c, i % 5)] == want);
                }
            kt_release();
        }
    }
}

static void timesteps(void **state) {
    (void)state;
    const struct ebru_timestep_embedding_params cases[] = {{4, 320, 4, 1, 0.0f, 10000.0f, 1.0f},
                                                           {3, 64, 1, 0, 1.0f, 10000.0f, 1.0f},
                                                           {2, 33, 2, 0, 0.0f, 100.0f, 1000.0f}};
    KT_EACH_LEVEL(level) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct ebru_timestep_embedding_params p = cases[i];
            const int32_t half = p.dim / 2, pad = ebru_blocks16(p.dim) * 16;
            float *t = kt_floats(p.TN), *out = kt_floats(p.B * pad);
            for (int32_t k = 0; k < p.TN; k++)
                t[k] = i == 2 ? 0.37f * (float)k : (float)(999 - 333 * k);
            void *buf[] = {t, out};
            KT_RUN(timestep_embedding, level, &p, buf, EBRU_TIMESTEP_EMBEDDING_OUT, p.B * pad);
            for (int32_t b = 0; b < p.B; b++)
                for (int32_t c = 0; c < pad; c++) {
                    double want = 0, slack = 1e-7;
                    if (c < 2 * half) {
                        const int32_t k = c % half, cosine = (c >= half) != (p.flip != 0);
                        const double a =
                            (double)p.scale * (double)t[b % p.TN] *
                            exp(-log((double)p.max_period) * k / (half - (double)p.shift));
                        want = cosine ? cos(a) : sin(a);
                        slack += a * 1e-6; /* frequencies and arguments are floats, as in PyTorch */
                    }
                    kt_assert_close(out[b * pad + c], want, slack, "v%d case %d [%d,%d]", level,
                                    (int)i, b, c);
                }
            kt_release();
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(copies),     cmocka_unit_test(joined),
                                       cmocka_unit_test(products),   cmocka_unit_test(softmaxes),
                                       cmocka_unit_test(rows_by_id), cmocka_unit_test(nearest_rows),
                                       cmocka_unit_test(lookups),    cmocka_unit_test(timesteps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
