/* conv2d against naive loops in double: shapes with tails, concatenation across blocks, prologues, epilogues,
 * strides, asymmetric padding, resizing, tile sizes, every level, every split. */
#include "tests/unit/kernel_conv.h"

struct shape {
    int32_t B, H, W, C0, C1, N, K, S, PT, PL, PB, PR, UH, UW;
    int32_t pro, pre, bias, tbias, residual, act;
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

static float *check(const struct ebru_conv2d_params *p, const struct conv_data *d, int32_t level,
                    const char *what) {
    const int64_t floats = conv_out_floats(p);
    float *out = kt_floats(floats);
    void *buf[EBRU_CONV2D_BUFS];
    char title[160];
    conv_operands(p, d, d->w, out, buf);
    KT_RUN(conv2d, level, p, buf, EBRU_CONV2D_OUT, floats);
    /* inputs in [-1,1): sums of n products are off by about eps * sqrt(n); the bound leaves room for the
     * outliers */
    const double tolerance =
        2e-7 * (4 + sqrt((double)(p->C0 + p->C1) * p->KH * p->KW)) * (p->act == EBRU_ACT_EXP ? 20 : 4);
    snprintf(title, sizeof title, "%s, v%d, MR %d NB %d TB %d TH %d TW %d KC %d", what, level, p->MR, p->NB,
             p->TB, p->TH, p->TW, p->KC);
    conv_expect(p, d, out, tolerance, title);
    return out;
}

static void run(const struct shape *s, const char *what) {
    struct ebru_conv2d_params p = params_of(s);
    KT_EACH_LEVEL(level) {
        ebru_conv2d_default_tiles(&p, level, 0, 0);
        struct conv_data d = conv_make(&p);
        float *first = check(&p, &d, level, what);
        const size_t bytes = (size_t)kt_c16_floats(p.B, conv_out_channels(&p), p.OH * p.OW) * sizeof(float);
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
        struct conv_data d = conv_make(&p);
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
