/* attn_pack_k, attn_pack_v and attention against naive loops in double. */
#include "codegen/target/default_tiles/default_tiles.h"
#include "tests/unit/kernels/kernel_test.h"

struct shape {
    int32_t B, T, Bk, S, heads, d, C, off, causal, QB,
        KB; /* C = 0: heads * d; QB = 0: default tiles */
};

/* rise: added to the keys' channels, times the token. */
static void check(const struct shape *s, int32_t level, float rise) {
    const int32_t C = s->C ? s->C : s->heads * s->d, CO = s->heads * s->d;
    const struct ebru_attn_pack_k_params pk = {s->Bk, s->S, s->heads, s->d, C, s->off};
    const struct ebru_attn_pack_v_params pv = {s->Bk, s->S, s->heads, s->d, C, s->off};
    struct ebru_attention_params p = {s->B, s->T,   s->Bk,     s->S, s->heads, s->d,
                                      C,    s->off, s->causal, 0,    0,        0};
    p.scale = (float)(1 / sqrt((double)s->d));
    cg_default_tiles_attention(&p, 0);
    if (s->QB) p.QB = s->QB, p.KB = s->KB;
    const double tolerance =
        rise != 0 ? 5e-4 : 4e-6; /* scores of thousands are rounded in the fourth place */
    float *q = kt_random_c16(s->B, C, s->T), *k = kt_random_c16(s->Bk, C, s->S),
          *v = kt_random_c16(s->Bk, C, s->S);
    for (int64_t i = 0; i < kt_c16_floats(s->Bk, C, s->S); i++) k[i] *= 8; /* peaks */
    for (int32_t b = 0; b < s->Bk;
         b++) /* scores that grow beyond what weights can hold without rescaling */
        for (int32_t j = 0; j < s->S; j++)
            for (int32_t c = s->off; c < s->off + s->heads * s->d; c++)
                k[kt_c16(C, s->S, b, c, j)] += rise * (float)j;
    float *kp = kt_floats(ebru_attn_pack_k_floats(&pk)),
          *vp = kt_floats(ebru_attn_pack_v_floats(&pv));
    void *kb[] = {k, kp}, *vb[] = {v, vp};
    KT_RUN(attn_pack_k, level, &pk, kb, EBRU_ATTN_PACK_OUT, ebru_attn_pack_k_floats(&pk));
    KT_RUN(attn_pack_v, level, &pv, vb, EBRU_ATTN_PACK_OUT, ebru_attn_pack_v_floats(&pv));
    for (int64_t i = 0; i < ebru_attn_pack_k_floats(&pk); i++) {
        const int32_t c = (int32_t)(i % s->d), j = (int32_t)(i / s->d % s->S),
                      bh = (int32_t)(i / s->d / s->S);
        assert_true(kp[i] ==
                    k[kt_c16(C, s->S, bh / s->heads, s->off + bh % s->heads * s->d + c, j)]);
    }
    for (int64_t i = 0; i < ebru_attn_pack_v_floats(&pv); i++) {
        const int32_t lane = (int32_t)(i % 16), c = (int32_t)(i / 16 % s->d);
        const int32_t j = (int32_t)(i / 16 / s->d % ebru_blocks16(s->S)) * 16 + lane;
        const int32_t bh = (int32_t)(i / 16 / s->d / ebru_blocks16(s->S));
        const float want =
            j < s->S ? v[kt_c16(C, s->S, bh / s->heads, s->off + bh % s->heads * s->d + c, j)] : 0;
        assert_true(vp[i] == want);
    }
    const int64_t floats = kt_c16_floats(s->B, CO, s->T);
    float *out = kt_floats(floats);
    void *buf[] = {q, kp, vp, out};
    KT_RUN(attention, level, &p, buf, EBRU_ATTENTION_OUT, floats);
    double *w = (double *)kt_alloc((size_t)s->S * sizeof(double));
    for (int32_t b = 0; b < s->B; b++)
        for (int32_t h = 0; h < s->heads; h++)
            for (int32_t i = 0; i < s->T; i++) {
                const int32_t c0 = s->off + h * s->d, n = s->causal && i + 1 < s->S ? i + 1 : s->S;
                double top = -1e300, sum = 0;
                for (int32_t j = 0; j < n; j++) {
                    w[j] = 0;
                    for (int32_t c = 0; c < s->d; c++)
                        w[j] += (double)q[kt_c16(C, s->T, b, c0 + c, i)] *
                                (double)k[kt_c16(C, s->S, b % s->Bk, c0 + c, j)];
                    w[j] *= (double)p.scale;
                    if (w[j] > top) top = w[j];
                }
                for (int32_t j = 0; j < n; j++) sum += w[j] = exp(w[j] - top);
                for (int32_t c = 0; c < s->d; c++) {
                    double want = 0;
                    for (int32_t j = 0; j < n; j++)
                        want += w[j] / sum * (double)v[kt_c16(C, s->S, b % s->Bk, c0 + c, j)];
                    kt_assert_close(out[kt_c16(CO, s->T, b, h * s->d + c, i)], want, tolerance,
                                    "v%d T %d S %d heads %d d %d QB %d KB %d [%d,%d,%d,%d]", level,
                                    s->T, s->S, s->heads, s->d, p.QB, p.KB, b, h, i, c);
                }
            }
    for (int64_t i = 0; i < floats; i++) assert_true(isfinite(out[i]));
    kt_release();
}

static void shapes(void **state) {
    (void)state;
    const struct shape s[] = {
        {1, 64, 1, 64, 4, 16, 0, 0, 0, 0, 0},    {2, 50, 2, 77, 2, 40, 0, 0, 0, 0, 0},
        {2, 17, 1, 77, 3, 40, 0, 0, 0, 16, 32},  {1, 7, 1, 5, 1, 8, 0, 0, 0, 0, 0},
        {1, 77, 1, 77, 2, 24, 0, 0, 1, 0, 0},    {1, 77, 1, 77, 2, 32, 0, 0, 1, 16, 16},
        {1, 20, 1, 300, 1, 20, 0, 0, 0, 32, 48}, {1, 33, 1, 33, 2, 16, 96, 32, 0, 0, 0},
        {1, 9, 1, 19, 2, 10, 60, 20, 0, 16, 16}, {1, 130, 1, 530, 1, 64, 0, 0, 0, 0, 0},
        {1, 1, 1, 1, 1, 3, 0, 0, 1, 0, 0},       {1, 100, 1, 100, 1, 40, 0, 0, 1, 48, 32},
    };
    KT_EACH_LEVEL(level) {
        for (size_t i = 0; i < sizeof s / sizeof *s; i++) check(&s[i], level, 0);
    }
}

/* Scores that grow, or fall, from key to key by far more than weights relative to one base can
 * hold. */
static void rising_scores(void **state) {
    (void)state;
    const struct shape s[] = {
        {1, 60, 1, 300, 2, 16, 0, 0, 0, 0, 0},
        {1, 60, 1, 300, 2, 16, 0, 0, 0, 48, 32},
        {1, 90, 1, 90, 2, 24, 0, 0, 1, 32, 16},
    };
    const float rise[] = {1, 3, -3};
    KT_EACH_LEVEL(level) {
        for (size_t i = 0; i < sizeof s / sizeof *s; i++)
            for (size_t k = 0; k < sizeof rise / sizeof *rise; k++) check(&s[i], level, rise[k]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(shapes), cmocka_unit_test(rising_scores)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
