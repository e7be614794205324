/* conv2d_bf16 against naive loops in double that round the same way: the shapes of conv2d's test
 * and some with runs of sixteen positions and more, both numbers of parts, tile sizes, every level,
 * every split.
 *
 * Where instructions are emulated a test's time is their number: a wholly emulated test runs a
 * shape with one number of parts, and levels other than that of matrix registers, which has a
 * thirtieth of them, run each shape with two tilings in one call instead of four in all splits. */
#include "codegen/target/default_tiles/default_tiles.h"
#include "tests/unit/kernels/kernel_conv.h"
#include "tests/unit/kernels/kernel_conv_cases.h"

typedef struct ebru_conv2d_bf16_params params;

static float *pack(const params *p, const struct ebru_conv2d_params *q, const float *w) {
    uint16_t *packed = (uint16_t *)kt_alloc((size_t)ebru_conv2d_bf16_weight_elements(p) * 2);
    memset(packed, 0, (size_t)ebru_conv2d_bf16_weight_elements(p) * 2);
    for (int32_t n = 0; n < conv_columns(q); n++)
        for (int32_t c = 0; c < p->C0 + p->C1; c++)
            for (int32_t y = 0; y < p->KH; y++)
                for (int32_t x = 0; x < p->KW; x++) {
                    const float v = w[ebru_conv2d_weight_index(q, n, c, y, x)];
                    const uint16_t hi = ebru_bf16_of(v), lo = ebru_bf16_of(v - ebru_bf16_value(hi));
                    packed[ebru_conv2d_bf16_weight_index(p, 0, n, c, y, x)] = hi;
                    if (p->parts == 2) packed[ebru_conv2d_bf16_weight_index(p, 1, n, c, y, x)] = lo;
                }
    return (float *)(void *)packed;
}

static float *check(const params *p, const struct ebru_conv2d_params *q, const struct conv_data *d,
                    int32_t level, bool splits, const char *what) {
    const int64_t floats = conv_out_floats(q);
    float *out = kt_floats(floats);
    void *buf[EBRU_CONV2D_BUFS];
    char title[160];
    conv_operands(q, d, pack(p, q, d->w), out, buf);
    if (splits)
        KT_RUN_BF16(conv2d_bf16, level, p, buf, EBRU_CONV2D_OUT, floats);
    else
        KT_CALL_BF16(conv2d_bf16, level, p, buf, 1);
    /* sums in f32, as in conv2d's test; and lo * lo, 2^-18 of a product at most, where a level adds
     * it */
    const double n = (double)(p->C0 + p->C1) * p->KH * p->KW;
    double tolerance = 2e-7 * (4 + sqrt(n)) * 4 + d->slack * 2;
    if (p->parts == 2) tolerance += sqrt(n) * 8e-6;
    snprintf(title, sizeof title, "%s, level %d, parts %d, MR %d NB %d TB %d TH %d TW %d KC %d",
             what, level, p->parts, p->MR, p->NB, p->TB, p->TH, p->TW, p->KC);
    conv_expect(q, d, out, tolerance * (p->act == EBRU_ACT_GEGLU ? 5 : 1), title);
    return out;
}

static void run_parts(const struct conv_shape *s, int32_t parts, const char *what) {
    const struct ebru_conv2d_params shape = conv_shape_params(s);
    KT_EACH_BF16_LEVEL(level) {
        params p = ebru_conv2d_bf16_of(&shape, parts, 0);
        cg_default_tiles_conv2d_bf16(&p, level, 0, 0);
        struct conv_data d = conv_make_rounded(&shape, parts);
        const bool brief = kt_emulated && ebru_bf16_form(level) != EBRU_BF16_TILES;
        float *first = check(&p, &shape, &d, level, false, what);
        const size_t bytes = (size_t)conv_out_floats(&shape) * sizeof(float);
        cg_default_tiles_conv2d_bf16(&p, level, 2048, 16384); /* tiny caches: many tasks */
        if (!brief) assert_memory_equal(first, check(&p, &shape, &d, level, false, what), bytes);
        params q = p; /* odd tiles */
        q.NB = p.act == EBRU_ACT_GEGLU ? 2 : 3;
        q.MR = q.form == EBRU_BF16_TILES ? 16 : ebru_min_i32(5, cg_most_rows_bf16(level, q.NB));
        q.TB = 2;
        q.TH = ebru_min_i32(3, ebru_conv2d_rows(&shape));
        q.TW = ebru_min_i32(7, ebru_conv2d_cols(&shape));
        q.PG = 2;
        q.KC = 1;
        q.order = 1;
        assert_memory_equal(first, check(&q, &shape, &d, level, !brief, what), bytes);
        q.MR = cg_most_rows_bf16(level, q.NB);
        q.TW = ebru_conv2d_cols(&shape);
        if (!brief) assert_memory_equal(first, check(&q, &shape, &d, level, false, what), bytes);
        kt_release();
    }
}

static void run(const struct conv_shape *s, const char *what) {
    const int32_t only = kt_only_parts();
    for (int32_t parts = 1; parts <= 2; parts++)
        if (!only || parts == only) run_parts(s, parts, what);
}

/* Rows of whole runs, rows that runs cross, images that they cross or must not, both strides. */
static void runs(void **state) {
    (void)state;
    /* clang-format off */
    const struct conv_shape shapes[] = {
        {.B = 1, .H = 3, .W = 32, .C0 = 48, .N = 48, .K = 3, .S = 1, .PT = 1, .PL = 1, .PB = 1, .PR = 1, .bias = 1},
        {.B = 2, .H = 8, .W = 8, .C0 = 64, .N = 32, .K = 3, .S = 1, .PT = 1, .PL = 1, .PB = 1, .PR = 1, .residual = 1},
        {.B = 2, .H = 8, .W = 8, .C0 = 32, .N = 32, .K = 3, .S = 1, .PT = 1, .PL = 1, .PB = 1, .PR = 1, .tbias = 1},
        {.B = 3, .H = 3, .W = 3, .C0 = 40, .N = 80, .K = 1, .S = 1, .tbias = 1},
        {.B = 3, .H = 3, .W = 3, .C0 = 40, .N = 80, .K = 1, .S = 1, .tbias = 2},
        {.B = 1, .H = 6, .W = 40, .C0 = 32, .N = 16, .K = 3, .S = 2, .PT = 1, .PL = 1, .PB = 1, .PR = 1},
        {.B = 2, .H = 9, .W = 33, .C0 = 16, .N = 16, .K = 3, .S = 2, .PB = 1, .PR = 1},
    };
    /* clang-format on */
    CONV_EACH(s, shapes) run(s, "runs");
}

/* Every pixel is covered once, in order, and none by more runs than the task's estimate. */
static void covering(void **state) {
    (void)state;
    struct ebru_conv2d_params shape = {
        .B = 2, .KH = 3, .KW = 3, .SH = 1, .SW = 1, .C0 = 32, .N = 16};
    shape.TB = 2;
    shape.TH = 8;
    shape.TW = 8;
    shape.MR = 32;
    shape.NB = 2;
    params p = ebru_conv2d_bf16_of(&shape, 1, EBRU_BF16_TILES);
    assert_int_equal(ebru_conv2d_bf16_segments(&p),
                     10); /* 2 x 8 rows of 8 in rows of 10: 78 positions an image */
    p.tbias = 1;
    assert_int_equal(ebru_conv2d_bf16_segments(&p), 10);
    p.TB = 1;
    p.TW = 48;
    assert_int_equal(ebru_conv2d_bf16_segments(&p), 24);
    p.SH = p.SW = 2;
    p.TW = 24;
    assert_int_equal(ebru_conv2d_bf16_segments(&p), 16);
    p.form = EBRU_BF16_PAIRS;
    assert_int_equal(ebru_conv2d_bf16_segments(&p), 192);
}

/* NaN stays NaN, infinity stays itself, the middle between two goes to the even one. */
static void rounding(void **state) {
    (void)state;
    assert_int_equal(ebru_bf16_of(1.0f), 0x3f80);
    assert_int_equal(ebru_bf16_of(1.00390625f), 0x3f80);
    assert_int_equal(ebru_bf16_of(1.01171875f), 0x3f82);
    assert_int_equal(ebru_bf16_of(1.00390637f), 0x3f81);
    assert_int_equal(ebru_bf16_of(INFINITY), 0x7f80);
    const union ebru_f32_bits nan = {.u = 0x7fffffff};
    assert_true(isnan(ebru_bf16_value(ebru_bf16_of(nan.f))));
    const union ebru_f32_bits low = {.u = 0x7f800001};
    assert_true(isnan(ebru_bf16_value(ebru_bf16_of(low.f))));
    struct ebru_conv2d_params shape;
    ebru_conv2d_set_linear(&shape, 1, 4, 1, 1);
    KT_EACH_BF16_LEVEL(level) {
        params p = ebru_conv2d_bf16_of(&shape, 1, 0);
        cg_default_tiles_conv2d_bf16(&p, level, 0, 0);
        float *x = kt_floats(4 * 16), *w = kt_floats(256), *out = kt_floats(4 * 16);
        memset(x, 0, 4 * 16 * sizeof(float));
        memset(w, 0, 256 * sizeof(float));
        x[0] = 1.00390637f;
        x[16] = nan.f;
        x[32] = INFINITY;
        x[48] = -1.01171875f;
        w[ebru_conv2d_weight_index(&shape, 0, 0, 0, 0)] = 1;
        void *buf[EBRU_CONV2D_BUFS] = {x, NULL, NULL, pack(&p, &shape, w), NULL, NULL, NULL, out};
        KT_CALL_BF16(conv2d_bf16, level, &p, buf, 1);
        assert_true(out[0] == 1.0078125f);
        assert_true(isnan(out[16]));
        assert_true(isinf(out[32]));
        assert_true(out[48] == -1.015625f);
        kt_release();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CONV_CASES,
        cmocka_unit_test(runs),
        cmocka_unit_test(covering),
        cmocka_unit_test(rounding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
