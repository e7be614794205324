/* attn_pack_k_bf16, attn_pack_v_bf16 and attention_bf16 against naive loops in double over operands
 * rounded the same way. */
#include "codegen/target/default_tiles/default_tiles.h"
#include "tests/unit/kernels/kernel_test.h"

struct shape {
    int32_t B, T, Bk, S, heads, d, C, off, causal, QB,
        KB; /* C = 0: heads * d; QB = 0: default tiles */
};

static double part_of(float x, int32_t part) {
    const float hi = ebru_bf16_value(ebru_bf16_of(x));
    return (double)(part ? ebru_bf16_value(ebru_bf16_of(x - hi)) : hi);
}
static double value_of(float x, int32_t parts) {
    return part_of(x, 0) + (parts == 2 ? part_of(x, 1) : 0);
}

static void check_packed(const struct shape *s, int32_t C, int32_t parts, const float *k,
                         const float *v, const uint16_t *kp, const uint16_t *vp) {
    const int32_t s16 = ebru_blocks16(s->S) * 16, d16 = ebru_blocks16(s->d) * 16;
    for (int32_t bh = 0; bh < s->Bk * s->heads; bh++)
        for (int32_t part = 0; part < parts; part++) {
            const int32_t b = bh / s->heads, c0 = s->off + bh % s->heads * s->d;
            for (int32_t i = 0; i < ebru_blocks32(s->d) * 32; i++)
                for (int32_t j = 0; j < s16; j++) {
                    const double want =
                        i < s->d && j < s->S ? part_of(k[kt_c16(C, s->S, b, c0 + i, j)], part) : 0;
                    const int64_t at = (bh * parts + part) * ebru_attn_k_part(s->S, s->d);
                    assert_true((double)ebru_bf16_value(
                                    kp[at + ((int64_t)(i / 32) * s16 + j) * 32 + i % 32]) == want);
                }
            for (int32_t i = 0; i < d16; i++)
                for (int32_t j = 0; j < ebru_blocks32(s->S) * 32; j++) {
                    const double want =
                        i < s->d && j < s->S ? part_of(v[kt_c16(C, s->S, b, c0 + i, j)], part) : 0;
                    const int64_t at = (bh * parts + part) * ebru_attn_v_part(s->S, s->d);
                    assert_true((double)ebru_bf16_value(
                                    vp[at + ((int64_t)(j / 32) * d16 + i) * 32 + j % 32]) == want);
                }
        }
}

/* grow: keys are this much larger; rise: added to them, times the token. */
static void check(const struct shape *s, int32_t level, int32_t parts, float grow, float rise) {
    const int32_t C = s->C ? s->C : s->heads * s->d, CO = s->heads * s->d;
    const struct ebru_attn_pack_k_bf16_params pk = {s->Bk, s->S, s->heads, s->d, C, s->off, parts};
    const struct ebru_attn_pack_v_bf16_params pv = {s->Bk, s->S, s->heads, s->d, C, s->off, parts};
    struct ebru_attention_bf16_params p = {.B = s->B,
                                           .T = s->T,
                                           .Bk = s->Bk,
                                           .S = s->S,
                                           .heads = s->heads,
                                           .d = s->d,
                                           .C = C,
                                           .off = s->off,
                                           .causal = s->causal,
                                           .parts = parts};
    p.scale = (float)(1 / sqrt((double)s->d));
    cg_default_tiles_attention_bf16(&p, level, 0);
    if (s->QB) p.QB = s->QB, p.KB = s->KB;
    float *q = kt_random_c16(s->B, C, s->T), *k = kt_random_c16(s->Bk, C, s->S),
          *v = kt_random_c16(s->Bk, C, s->S);
    for (int32_t b = 0; b < s->Bk; b++)
        for (int32_t j = 0; j < s->S; j++)
            for (int32_t c = 0; c < C; c++) {
                float *x = &k[kt_c16(C, s->S, b, c, j)];
                *x = *x * grow + rise * (float)j;
            }
    uint16_t *kp = (uint16_t *)kt_alloc((size_t)ebru_attn_pack_k_bf16_elements(&pk) * 2);
    uint16_t *vp = (uint16_t *)kt_alloc((size_t)ebru_attn_pack_v_bf16_elements(&pv) * 2);
    void *kb[] = {k, kp}, *vb[] = {v, vp};
    KT_RUN_BF16(attn_pack_k_bf16, level, &pk, kb, EBRU_ATTN_PACK_OUT,
                ebru_attn_pack_k_bf16_elements(&pk) / 2);
    KT_RUN_BF16(attn_pack_v_bf16, level, &pv, vb, EBRU_ATTN_PACK_OUT,
                ebru_attn_pack_v_bf16_elements(&pv) / 2);
    check_packed(s, C, parts, k, v, kp, vp);
    const int64_t floats = kt_c16_floats(s->B, CO, s->T);
    float *out = kt_floats(floats);
    void *buf[] = {q, kp, vp, out};
    KT_RUN_BF16(attention_bf16, level, &p, buf, EBRU_ATTENTION_OUT, floats);
    double *w = (double *)kt_alloc((size_t)s->S * sizeof(double));
    for (int32_t b = 0; b < s->B; b++)
        for (int32_t h = 0; h < s->heads; h++)
            for (int32_t i = 0; i < s->T; i++) {
                const int32_t c0 = s->off + h * s->d, n = s->causal && i + 1 < s->S ? i + 1 : s->S;
                double top = -1e300, sum = 0;
                for (int32_t j = 0; j < n; j++) {
                    w[j] = 0;
                    for (int32_t c = 0; c < s->d; c++) {
                        const float x = q[kt_c16(C, s->T, b, c0 + c, i)] * (p.scale * 1.44269504f);
                        w[j] += value_of(x, parts) *
                                value_of(k[kt_c16(C, s->S, b % s->Bk, c0 + c, j)], parts);
                    }
                    if (w[j] > top) top = w[j];
                }
                for (int32_t j = 0; j < n; j++) sum += w[j] = exp2(w[j] - top);
                for (int32_t c = 0; c < s->d; c++) {
                    double want = 0;
                    for (int32_t j = 0; j < n; j++)
                        want +=
                            w[j] / sum * value_of(v[kt_c16(C, s->S, b % s->Bk, c0 + c, j)], parts);
                    /* weights carry half a unit of bf16; in two parts products of two rests are
                     * left out */
                    const double tolerance = parts == 1 ? 0x1p-8 : rise != 0 ? 2e-3 : 1e-4;
                    kt_assert_close(
                        out[kt_c16(CO, s->T, b, h * s->d + c, i)], want, tolerance,
                        "level %d parts %d T %d S %d heads %d d %d QB %d KB %d [%d,%d,%d,%d]",
                        level, parts, s->T, s->S, s->heads, s->d, p.QB, p.KB, b, h, i, c);
                }
            }
    for (int64_t i = 0; i < floats; i++) assert_true(isfinite(out[i]));
    kt_release();
}

static void shapes(void **state) {
    (void)state;
    const struct shape s[] = {
        {1, 64, 1, 64, 2, 16, 0, 0, 0, 0, 0},    {2, 50, 2, 77, 2, 40, 0, 0, 0, 0, 0},
        {2, 17, 1, 77, 3, 40, 0, 0, 0, 16, 32},  {1, 7, 1, 5, 1, 8, 0, 0, 0, 0, 0},
        {1, 77, 1, 77, 2, 24, 0, 0, 1, 0, 0},    {1, 77, 1, 77, 2, 32, 0, 0, 1, 16, 32},
        {1, 20, 1, 300, 1, 80, 0, 0, 0, 32, 64}, {1, 33, 1, 33, 2, 16, 96, 32, 0, 0, 0},
        {1, 9, 1, 19, 2, 10, 60, 20, 0, 16, 32}, {1, 40, 1, 150, 1, 160, 0, 0, 0, 0, 0},
        {1, 1, 1, 1, 1, 3, 0, 0, 1, 0, 0},       {1, 100, 1, 100, 1, 40, 0, 0, 1, 48, 32},
        {1, 17, 1, 40, 1, 512, 0, 0, 0, 0, 0},   {1, 130, 1, 33, 1, 64, 0, 0, 0, 0, 0},
    };
    KT_EACH_BF16_LEVEL(level) {
        for (size_t i = 0; i < sizeof s / sizeof *s; i++)
            for (int32_t parts = 1; parts <= 2; parts++) check(&s[i], level, parts, 8, 0);
    }
}

/* Scores that grow, or fall, from key to key by far more than weights relative to one base can
 * hold. */
static void rising_scores(void **state) {
    (void)state;
    const struct shape s[] = {
        {1, 40, 1, 300, 1, 16, 0, 0, 0, 0, 0},
        {1, 20, 1, 200, 2, 16, 0, 0, 0, 16, 32},
        {1, 90, 1, 90, 1, 24, 0, 0, 1, 32, 32},
    };
    const float rise[] = {1, -2};
    KT_EACH_BF16_LEVEL(level) {
        for (size_t i = 0; i < sizeof s / sizeof *s; i++)
            for (size_t k = 0; k < sizeof rise / sizeof *rise; k++)
                for (int32_t parts = 1; parts <= 2; parts++) check(&s[i], level, parts, 1, rise[k]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(shapes), cmocka_unit_test(rising_scores)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
