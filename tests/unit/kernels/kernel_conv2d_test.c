/* conv2d against naive loops in double: shapes with tails, concatenation across blocks, prologues,
 * epilogues, strides, asymmetric padding, resizing, tile sizes, every level, every split. */
#include "codegen/target/default_tiles/default_tiles.h"
#include "tests/unit/kernels/kernel_conv.h"
#include "tests/unit/kernels/kernel_conv_cases.h"

static float *check(const struct ebru_conv2d_params *p, const struct conv_data *d, int32_t level,
                    const char *what) {
    const int64_t floats = conv_out_floats(p);
    float *out = kt_floats(floats);
    void *buf[EBRU_CONV2D_BUFS];
    char title[160];
    conv_operands(p, d, d->w, out, buf);
    KT_RUN(conv2d, level, p, buf, EBRU_CONV2D_OUT, floats);
    /* inputs in [-1,1): sums of n products are off by about eps * sqrt(n); the bound leaves room
     * for the outliers */
    const double tolerance = 8e-7 * (4 + sqrt((double)(p->C0 + p->C1) * p->KH * p->KW));
    snprintf(title, sizeof title, "%s, v%d, MR %d NB %d TB %d TH %d TW %d KC %d", what, level,
             p->MR, p->NB, p->TB, p->TH, p->TW, p->KC);
    conv_expect(p, d, out, tolerance, title);
    return out;
}

static void run(const struct conv_shape *s, const char *what) {
    struct ebru_conv2d_params p = conv_shape_params(s);
    KT_EACH_LEVEL(level) {
        cg_default_tiles_conv2d(&p, level, 0, 0);
        struct conv_data d = conv_make(&p);
        float *first = check(&p, &d, level, what);
        const size_t bytes =
            (size_t)kt_c16_floats(p.B, conv_out_channels(&p), p.OH * p.OW) * sizeof(float);
        cg_default_tiles_conv2d(&p, level, 2048, 16384); /* tiny caches: many tasks */
        assert_memory_equal(first, check(&p, &d, level, what), bytes);
        struct ebru_conv2d_params q = p; /* odd tiles */
        q.NB = p.act == EBRU_ACT_GEGLU ? 2 : 3;
        q.MR = ebru_min_i32(5, cg_most_rows(level, q.NB));
        q.TB = 2;
        q.TH = ebru_min_i32(3, ebru_conv2d_rows(&p));
        q.TW = ebru_min_i32(7, ebru_conv2d_cols(&p));
        q.PG = 2;
        q.KC = 1;
        q.order = 1;
        assert_memory_equal(first, check(&q, &d, level, what),
                            bytes); /* tiles never change the values */
        q.pack = 1;
        assert_memory_equal(first, check(&q, &d, level, what), bytes);
        q.TB = p.B;
        q.TW = 7;
        assert_memory_equal(first, check(&q, &d, level, what), bytes);
        kt_release();
    }
}

/* The residual's buffer may be the result's. */
static void residual_in_place(void **state) {
    (void)state;
    const struct conv_shape s = {.B = 2,
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
    struct ebru_conv2d_params p = conv_shape_params(&s);
    KT_EACH_LEVEL(level) {
        cg_default_tiles_conv2d(&p, level, 0, 0);
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
        CONV_CASES,
        cmocka_unit_test(residual_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
