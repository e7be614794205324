/* resize_nearest, pools, concat, pack and unpack against index arithmetic and naive loops. */
#include "tests/unit/kernels/kernel_test.h"

static void resize(void **state) {
    (void)state;
    const struct ebru_resize_nearest_params cases[] = {
        {2, 20, 3, 4, 6, 8}, {1, 16, 5, 7, 8, 9}, {1, 3, 8, 8, 3, 5}};
    KT_EACH_LEVEL(level) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct ebru_resize_nearest_params p = cases[i];
            const int32_t P = p.H * p.W, OP = p.OH * p.OW;
            float *x = kt_random_c16(p.B, p.C, P), *out = kt_floats(kt_c16_floats(p.B, p.C, OP));
            void *buf[] = {x, out};
            KT_RUN(resize_nearest, level, &p, buf, 1, kt_c16_floats(p.B, p.C, OP));
            for (int32_t b = 0; b < p.B; b++)
                for (int32_t c = 0; c < p.C; c++)
                    for (int32_t q = 0; q < OP; q++) {
                        const int32_t from = q / p.OW * p.H / p.OH * p.W + q % p.OW * p.W / p.OW;
                        assert_true(out[kt_c16(p.C, OP, b, c, q)] == x[kt_c16(p.C, P, b, c, from)]);
                    }
            kt_release();
        }
    }
}

static void pools(void **state) {
    (void)state;
    const struct ebru_max_pool2d_params cases[] = {{2, 20, 6, 8, 2, 2, 2, 2, 0, 0, 3, 4},
                                                   {1, 16, 7, 5, 3, 3, 2, 2, 1, 1, 4, 3},
                                                   {1, 5, 4, 4, 4, 4, 1, 1, 0, 0, 1, 1},
                                                   {1, 5, 5, 4, 3, 2, 1, 2, 0, 1, 4, 3}};
    KT_EACH_LEVEL(level) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const struct ebru_max_pool2d_params p = cases[i];
            const struct ebru_avg_pool2d_params a = {p.B,  p.C,  p.H,  p.W,  p.KH, p.KW,
                                                     p.SH, p.SW, p.PT, p.PL, p.OH, p.OW};
            const int32_t P = p.H * p.W, OP = p.OH * p.OW;
            float *x = kt_random_c16(p.B, p.C, P);
            float *max = kt_floats(kt_c16_floats(p.B, p.C, OP)),
                  *avg = kt_floats(kt_c16_floats(p.B, p.C, OP));
            void *mb[] = {x, max}, *ab[] = {x, avg};
            KT_RUN(max_pool2d, level, &p, mb, 1, kt_c16_floats(p.B, p.C, OP));
            KT_RUN(avg_pool2d, level, &a, ab, 1, kt_c16_floats(p.B, p.C, OP));
            for (int32_t b = 0; b < p.B; b++)
                for (int32_t c = 0; c < p.C; c++)
                    for (int32_t q = 0; q < OP; q++) {
                        double top = -INFINITY, sum = 0;
                        for (int32_t k = 0; k < p.KH * p.KW; k++) {
                            const int32_t y = q / p.OW * p.SH - p.PT + k / p.KW,
                                          z = q % p.OW * p.SW - p.PL + k % p.KW;
                            if (y < 0 || y >= p.H || z < 0 || z >= p.W) continue;
                            const double v = (double)x[kt_c16(p.C, P, b, c, y * p.W + z)];
                            top = v > top ? v : top;
                            sum += v;
                        }
                        assert_true((double)max[kt_c16(p.C, OP, b, c, q)] == top);
                        kt_assert_close(avg[kt_c16(p.C, OP, b, c, q)], sum / (p.KH * p.KW), 3e-7,
                                        "v%d", level);
                    }
            kt_release();
        }
    }
}

static void joined(void **state) {
    (void)state;
    const struct ebru_concat_params cases[] = {{2, 6, 32, 16, 0, 0, 0, 0, 0, 0},
                                               {2, 5, 3, 4, 20, 16, 7, 1, 1, 33},
                                               {1, 4, 16, 5, 16, 0, 0, 0, 0, 0},
                                               {1, 7, 9, 0, 0, 0, 0, 0, 0, 0}};
    KT_EACH_LEVEL(level) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct ebru_concat_params p = cases[i];
            const int32_t n[8] = {p.C0, p.C1, p.C2, p.C3, p.C4, p.C5, p.C6, p.C7},
                          C = ebru_concat_channels(&p);
            void *buf[EBRU_CONCAT_BUFS] = {0};
            for (int32_t k = 0; k < 8; k++) buf[k] = n[k] ? kt_random_c16(p.B, n[k], p.P) : NULL;
            const int64_t floats = kt_c16_floats(p.B, C, p.P);
            float *out = kt_floats(floats);
            buf[EBRU_CONCAT_OUT] = out;
            KT_RUN(concat, level, &p, buf, EBRU_CONCAT_OUT, floats);
            for (int32_t b = 0; b < p.B; b++)
                for (int32_t q = 0; q < p.P; q++) {
                    int32_t c = 0;
                    for (int32_t k = 0; k < 8; k++)
                        for (int32_t j = 0; j < n[k]; j++, c++)
                            assert_true(out[kt_c16(C, p.P, b, c, q)] ==
                                        ((float *)buf[k])[kt_c16(n[k], p.P, b, j, q)]);
                    for (; c % 16 != 0; c++) assert_true(out[kt_c16(C, p.P, b, c, q)] == 0.0f);
                }
            kt_release();
        }
    }
}

static void packing(void **state) {
    (void)state;
    const int32_t shapes[][3] = {{2, 20, 15}, {1, 32, 7}, {3, 3, 16}, {2, 17, 1}, {2, 18, 2500}};
    KT_EACH_LEVEL(level) {
        for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
            const int32_t B = shapes[i / 2][0], C = shapes[i / 2][1], P = shapes[i / 2][2],
                          tokens = i % 2;
            const struct ebru_pack_params p = {B, C, P, C * P, tokens ? 1 : P, tokens ? C : 1};
            const struct ebru_unpack_params u = {p.B, p.C, p.P, p.sb, p.sc, p.sp};
            float *x = kt_random_floats(B * C * P), *back = kt_floats(B * C * P);
            const int64_t floats = kt_c16_floats(B, C, P);
            float *out = kt_floats(floats);
            void *buf[] = {x, out}, *ub[] = {out, back};
            KT_RUN(pack, level, &p, buf, 1, floats);
            for (int64_t k = 0; k < floats; k++) {
                const int32_t b = (int32_t)(k / 16 / P / ebru_blocks16(C)),
                              q = (int32_t)(k / 16 % P);
                const int32_t c = (int32_t)(k / 16 / P % ebru_blocks16(C) * 16 + k % 16);
                assert_true(out[k] == (c < C ? x[b * p.sb + c * p.sc + q * p.sp] : 0.0f));
            }
            KT_RUN(unpack, level, &u, ub, 1, B * C * P);
            assert_memory_equal(x, back, (size_t)(B * C * P) * 4);
            kt_release();
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(resize), cmocka_unit_test(pools),
                                       cmocka_unit_test(joined), cmocka_unit_test(packing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
