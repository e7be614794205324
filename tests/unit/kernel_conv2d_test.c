/* conv2d against naive loops in double: shapes with tails, concatenation across blocks, prologues, epilogues,
 * strides, asymmetric padding, resizing, tile sizes, every level, every split. */
#include "tests/unit/kernel_test.h"

struct shape {
    int32_t B, H, W, C0, C1, N, K, S, PT, PL, PB, PR, UH, UW;
    int32_t pro, pre, bias, tbias, residual, act;
};

struct data {
    float *x0, *x1, *ss, *w, *bias, *tbias, *res;
    double *want; /* [B][N or N/2][OH][OW] */
};

static struct ebru_conv2d_params params_of(const struct shape *s) {
    struct ebru_conv2d_params p = {0};
    p.B = s->B;
    p.H = s->H;
    p.W = s->W;
    p.UH = s->UH ? s->UH : s->H;
    p.UW = s->UW ? s->UW : s->W;
    p.C0 = s->C0;
    p.C1 = s->C1;
    p.N = s->N;
    p.KH = p.KW = s->K;
    p.SH = p.SW = s->S;
    p.PT = s->PT;
    p.PL = s->PL;
    p.OH = (p.UH + s->PT + s->PB - s->K) / s->S + 1;
    p.OW = (p.UW + s->PL + s->PR - s->K) / s->S + 1;
    p.pro_scale = s->pro;
    p.pre_act = s->pre;
    p.has_bias = s->bias;
    p.tbias = s->tbias;
    p.residual = s->residual;
    p.act = s->act;
    return p;
}

static double input_at(const struct ebru_conv2d_params *p, const struct data *d, int32_t b, int32_t c,
                       int32_t y, int32_t x) {
    if (y < 0 || y >= p->UH || x < 0 || x >= p->UW) return 0;
    const int64_t P = (int64_t)p->H * p->W, pixel = (int64_t)(y * p->H / p->UH) * p->W + x * p->W / p->UW;
    double v = c < p->C0 ? (double)d->x0[kt_c16(p->C0, P, b, c, pixel)]
                         : (double)d->x1[kt_c16(p->C1, P, b, c - p->C0, pixel)];
    const int32_t pad = ebru_blocks16(p->C0 + p->C1) * 16;
    if (p->pro_scale) v = v * (double)d->ss[b * 2 * pad + c] + (double)d->ss[(b * 2 + 1) * pad + c];
    return kt_act(v, p->pre_act);
}

static double sum_at(const struct ebru_conv2d_params *p, const struct data *d, int32_t b, int32_t n,
                     int32_t y, int32_t x) {
    double sum = p->has_bias ? (double)d->bias[n] : 0;
    for (int32_t c = 0; c < p->C0 + p->C1; c++)
        for (int32_t i = 0; i < p->KH; i++)
            for (int32_t j = 0; j < p->KW; j++)
                sum += (double)d->w[ebru_conv2d_weight_index(p, n, c, i, j)] *
                       input_at(p, d, b, c, y * p->SH - p->PT + i, x * p->SW - p->PL + j);
    if (p->tbias) sum += (double)d->tbias[(p->tbias == 1 ? b : 0) * ebru_blocks16(p->N) * 16 + n];
    return sum;
}

static int32_t out_channels(const struct ebru_conv2d_params *p) {
    return p->act == EBRU_ACT_GEGLU ? p->N / 2 : p->N;
}

static struct data make(const struct ebru_conv2d_params *p) {
    struct data d;
    const int64_t P = (int64_t)p->H * p->W, OP = (int64_t)p->OH * p->OW;
    const int32_t C = p->C0 + p->C1, pad = ebru_blocks16(C) * 16, npad = ebru_blocks16(p->N) * 16,
                  NO = out_channels(p);
    d.x0 = kt_random_c16(p->B, p->C0, P);
    d.x1 = p->C1 ? kt_random_c16(p->B, p->C1, P) : NULL;
    d.ss = kt_random_floats(p->B * 2 * pad);
    d.w = kt_floats(ebru_conv2d_weight_floats(p));
    memset(d.w, 0, (size_t)ebru_conv2d_weight_floats(p) * 4);
    for (int32_t n = 0; n < p->N; n++)
        for (int32_t c = 0; c < C; c++)
            for (int32_t y = 0; y < p->KH; y++)
                for (int32_t x = 0; x < p->KW; x++)
                    d.w[ebru_conv2d_weight_index(p, n, c, y, x)] = kt_random();
    d.bias = kt_padded(p->N);
    d.tbias = kt_random_floats(p->B * npad);
    d.res = kt_random_c16(p->B, NO, OP);
    d.want = (double *)kt_alloc((size_t)(p->B * NO * OP) * sizeof(double));
    for (int32_t b = 0; b < p->B; b++)
        for (int32_t n = 0; n < NO; n++)
            for (int32_t q = 0; q < OP; q++) {
                const int32_t y = q / p->OW, x = q % p->OW;
                double v;
                if (p->act == EBRU_ACT_GEGLU) {
                    v = sum_at(p, &d, b, ebru_geglu_column(n, 0), y, x) *
                        kt_act(sum_at(p, &d, b, ebru_geglu_column(n, 1), y, x), EBRU_ACT_GELU);
                } else {
                    const double r = (double)d.res[kt_c16(NO, OP, b, n, q)];
                    v = sum_at(p, &d, b, n, y, x) + (p->residual == 1 ? r : 0);
                    v = kt_act(v, p->act) + (p->residual == 2 ? r : 0);
                }
                d.want[((int64_t)b * NO + n) * OP + q] = v;
            }
    return d;
}

static float *check(const struct ebru_conv2d_params *p, const struct data *d, int32_t level,
                    const char *what) {
    const int64_t OP = (int64_t)p->OH * p->OW;
    const int32_t NO = out_channels(p);
    const int64_t floats = kt_c16_floats(p->B, NO, OP);
    float *out = kt_floats(floats);
    void *buf[EBRU_CONV2D_BUFS] = {d->x0,
                                   p->C1 ? d->x1 : NULL,
                                   p->pro_scale ? d->ss : NULL,
                                   d->w,
                                   p->has_bias ? d->bias : NULL,
                                   p->tbias ? d->tbias : NULL,
                                   p->residual ? d->res : NULL,
                                   out};
    KT_RUN(conv2d, level, p, buf, EBRU_CONV2D_OUT, floats);
    /* inputs in [-1,1): sums of n products are off by about eps * sqrt(n); the bound leaves room for the
     * outliers */
    const double tolerance =
        2e-7 * (4 + sqrt((double)(p->C0 + p->C1) * p->KH * p->KW)) * (p->act == EBRU_ACT_EXP ? 20 : 4);
    for (int32_t b = 0; b < p->B; b++)
        for (int32_t n = 0; n < NO; n++)
            for (int64_t q = 0; q < OP; q++) {
                const double want = d->want[((int64_t)b * NO + n) * OP + q];
                kt_assert_close(out[kt_c16(NO, OP, b, n, q)], want, tolerance * (1 + fabs(want)),
                                "%s, v%d, MR %d NB %d TB %d TH %d TW %d KC %d: [%d,%d,%d]", what, level,
                                p->MR, p->NB, p->TB, p->TH, p->TW, p->KC, b, n, (int)q);
            }
    for (int64_t i = 0; i < floats; i++) assert_true(isfinite(out[i])); /* pad lanes too */
    return out;
}

static void run(const struct shape *s, const char *what) {
    struct ebru_conv2d_params p = params_of(s);
    KT_EACH_LEVEL(level) {
        ebru_conv2d_default_tiles(&p, level, 0, 0);
        struct data d = make(&p);
        float *first = check(&p, &d, level, what);
        const size_t bytes = (size_t)kt_c16_floats(p.B, out_channels(&p), p.OH * p.OW) * sizeof(float);
        ebru_conv2d_default_tiles(&p, level, 2048, 16384); /* tiny caches: many tasks */
        assert_memory_equal(first, check(&p, &d, level, what), bytes);
        struct ebru_conv2d_params q = p; /* odd tiles */
        q.MR = 5;
        q.NB = p.act == EBRU_ACT_GEGLU ? 2 : 3;
        q.TB = 2;
        q.TH = ebru_min_i32(3, ebru_conv2d_rows(&p));
        q.TW = ebru_min_i32(7, ebru_conv2d_cols(&p));
        q.PG = 2;
        q.KC = 1;
        q.order = 1;
        assert_memory_equal(first, check(&q, &d, level, what), bytes); /* tiles never change the values */
        kt_release();
    }
}

static void plain(void **state) {
    (void)state;
    const struct shape s[] = {
        {.B = 1, .H = 8, .W = 8, .C0 = 32, .N = 64, .K = 3, .S = 1, .PT = 1, .PL = 1, .PB = 1, .PR = 1},
        {.B = 2,
         .H = 5,
         .W = 7,
         .C0 = 3,
         .N = 20,
         .K = 3,
         .S = 1,
         .PT = 1,
         .PL = 1,
         .PB = 1,
         .PR = 1,
         .bias = 1},
        {.B = 1,
         .H = 9,
         .W = 11,
         .C0 = 17,
         .N = 3,
         .K = 3,
         .S = 1,
         .PT = 1,
         .PL = 1,
         .PB = 1,
         .PR = 1,
         .bias = 1},
        {.B = 3, .H = 4, .W = 4, .C0 = 48, .N = 96, .K = 1, .S = 1, .bias = 1},
        {.B = 1,
         .H = 6,
         .W = 5,
         .C0 = 16,
         .N = 33,
         .K = 5,
         .S = 1,
         .PT = 2,
         .PL = 2,
         .PB = 2,
         .PR = 2,
         .bias = 1},
        {.B = 1, .H = 4, .W = 6, .C0 = 16, .N = 16, .K = 2, .S = 1},
    };
    for (size_t i = 0; i < sizeof s / sizeof *s; i++) run(&s[i], "plain");
}

static void stride_and_padding(void **state) {
    (void)state;
    const struct shape s[] = {
        {.B = 1,
         .H = 8,
         .W = 8,
         .C0 = 16,
         .N = 32,
         .K = 3,
         .S = 2,
         .PT = 1,
         .PL = 1,
         .PB = 1,
         .PR = 1,
         .bias = 1},
        {.B = 2, .H = 8, .W = 6, .C0 = 16, .N = 32, .K = 3, .S = 2, .PB = 1, .PR = 1, .bias = 1},
        {.B = 1,
         .H = 9,
         .W = 7,
         .C0 = 20,
         .N = 16,
         .K = 3,
         .S = 2,
         .PT = 0,
         .PL = 1,
         .PB = 1,
         .PR = 0,
         .pro = 1,
         .pre = EBRU_ACT_SILU},
        {.B = 1, .H = 7, .W = 7, .C0 = 16, .N = 16, .K = 1, .S = 2, .bias = 1},
        {.B = 1, .H = 3, .W = 3, .C0 = 16, .N = 16, .K = 7, .S = 1, .PT = 3, .PL = 3, .PB = 3, .PR = 3},
    };
    for (size_t i = 0; i < sizeof s / sizeof *s; i++) run(&s[i], "stride");
}

static void concat_and_prologue(void **state) {
    (void)state;
    const struct shape s[] = {
        {.B = 2,
         .H = 6,
         .W = 6,
         .C0 = 32,
         .C1 = 16,
         .N = 48,
         .K = 3,
         .S = 1,
         .PT = 1,
         .PL = 1,
         .PB = 1,
         .PR = 1,
         .pro = 1,
         .pre = EBRU_ACT_SILU,
         .bias = 1},
        {.B = 2,
         .H = 5,
         .W = 4,
         .C0 = 20,
         .C1 = 10,
         .N = 24,
         .K = 3,
         .S = 1,
         .PT = 1,
         .PL = 1,
         .PB = 1,
         .PR = 1,
         .pro = 1,
         .pre = EBRU_ACT_SILU},
        {.B = 1, .H = 5, .W = 4, .C0 = 8, .C1 = 40, .N = 16, .K = 1, .S = 1},
        {.B = 2, .H = 5, .W = 4, .C0 = 32, .C1 = 40, .N = 64, .K = 1, .S = 1, .bias = 1},
        {.B = 1, .H = 5, .W = 4, .C0 = 32, .C1 = 32, .N = 16, .K = 1, .S = 1, .pro = 1},
        {.B = 1, .H = 5, .W = 4, .C0 = 24, .N = 16, .K = 1, .S = 1, .pre = EBRU_ACT_SILU},
    };
    for (size_t i = 0; i < sizeof s / sizeof *s; i++) run(&s[i], "concat");
}

static void resized(void **state) {
    (void)state;
    const struct shape s[] = {
        {.B = 1,
         .H = 4,
         .W = 5,
         .UH = 8,
         .UW = 10,
         .C0 = 16,
         .N = 32,
         .K = 3,
         .S = 1,
         .PT = 1,
         .PL = 1,
         .PB = 1,
         .PR = 1,
         .bias = 1},
        {.B = 2,
         .H = 3,
         .W = 4,
         .UH = 7,
         .UW = 9,
         .C0 = 10,
         .C1 = 9,
         .N = 16,
         .K = 3,
         .S = 1,
         .PT = 1,
         .PL = 1,
         .PB = 1,
         .PR = 1},
        {.B = 1, .H = 3, .W = 3, .UH = 6, .UW = 6, .C0 = 16, .N = 16, .K = 1, .S = 1},
    };
    for (size_t i = 0; i < sizeof s / sizeof *s; i++) run(&s[i], "resized");
}

static void epilogues(void **state) {
    (void)state;
    for (int32_t act = EBRU_ACT_NONE; act <= EBRU_ACT_EXP; act++) {
        struct shape s = {.B = 2, .H = 3, .W = 5, .C0 = 16, .N = 20, .K = 1, .S = 1, .bias = 1, .act = act};
        s.tbias = act % 3;
        s.residual = (act + 1) % 3;
        run(&s, "epilogue");
    }
    const struct shape s[] = {
        {.B = 3,
         .H = 4,
         .W = 4,
         .C0 = 16,
         .N = 48,
         .K = 3,
         .S = 1,
         .PT = 1,
         .PL = 1,
         .PB = 1,
         .PR = 1,
         .bias = 1,
         .tbias = 1,
         .residual = 1},
        {.B = 3,
         .H = 4,
         .W = 4,
         .C0 = 16,
         .N = 48,
         .K = 3,
         .S = 1,
         .PT = 1,
         .PL = 1,
         .PB = 1,
         .PR = 1,
         .tbias = 2,
         .residual = 2,
         .act = EBRU_ACT_RELU},
    };
    for (size_t i = 0; i < sizeof s / sizeof *s; i++) run(&s[i], "epilogue");
}

static void linear(void **state) {
    (void)state;
    const struct shape s[] = {
        {.B = 1, .H = 1, .W = 77, .C0 = 48, .N = 80, .K = 1, .S = 1, .bias = 1, .residual = 1},
        {.B = 2, .H = 1, .W = 13, .C0 = 40, .N = 64, .K = 1, .S = 1, .bias = 1, .act = EBRU_ACT_GEGLU},
        {.B = 2, .H = 1, .W = 13, .C0 = 40, .N = 96, .K = 1, .S = 1, .act = EBRU_ACT_GEGLU, .tbias = 1},
        {.B = 1, .H = 1, .W = 1, .C0 = 100, .N = 130, .K = 1, .S = 1, .bias = 1, .act = EBRU_ACT_SILU},
        {.B = 5, .H = 1, .W = 1, .C0 = 64, .N = 32, .K = 1, .S = 1, .bias = 1, .pre = EBRU_ACT_SILU},
    };
    for (size_t i = 0; i < sizeof s / sizeof *s; i++) run(&s[i], "linear");
}

/* The residual's buffer may be the result's. */
static void residual_in_place(void **state) {
    (void)state;
    const struct shape s = {.B = 2,
                            .H = 4,
                            .W = 5,
                            .C0 = 16,
                            .N = 32,
                            .K = 3,
                            .S = 1,
                            .PT = 1,
                            .PL = 1,
                            .PB = 1,
                            .PR = 1,
                            .residual = 1};
    struct ebru_conv2d_params p = params_of(&s);
    KT_EACH_LEVEL(level) {
        ebru_conv2d_default_tiles(&p, level, 0, 0);
        struct data d = make(&p);
        const int64_t floats = kt_c16_floats(p.B, p.N, p.OH * p.OW);
        float *apart = kt_floats(floats);
        void *buf[EBRU_CONV2D_BUFS] = {d.x0, NULL, NULL, d.w, NULL, NULL, d.res, apart};
        KT_CALL(conv2d, level, &p, buf, 2);
        buf[EBRU_CONV2D_OUT] = d.res;
        KT_CALL(conv2d, level, &p, buf, 2);
        assert_memory_equal(apart, d.res, (size_t)floats * 4);
        kt_release();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),
        cmocka_unit_test(stride_and_padding),
        cmocka_unit_test(concat_and_prologue),
        cmocka_unit_test(resized),
        cmocka_unit_test(epilogues),
        cmocka_unit_test(linear),
        cmocka_unit_test(residual_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
