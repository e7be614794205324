/* conv2d_winograd against direct convolution in double: tails of tiles and channels, concatenation,
 * prologue, epilogue, resizing, padding, both tile sizes, every level, every split. */
#include "runtime/abi/kernel_abi.h"

typedef struct ebru_conv2d_winograd_params params;
#include "tests/unit/kernels/kernel_winograd.h"

/* The rows of G of F(4,3), for the points 0, +-1/2, +-3/2, infinity. */
static const double g4[6][3] = {{16.0 / 9, 0, 0},          {-1, -0.5, -0.25},
                                {-1, 0.5, -0.25},          {1.0 / 9, 1.5 / 9, 0.25},
                                {1.0 / 9, -1.5 / 9, 0.25}, {0, 0, 1}};

/* conv2d's packed filters, transformed. */
static float *transform(const params *p, const float *w) {
    const struct ebru_conv2d_params c = winograd_direct(p);
    const int32_t points = p->M + 2, C = p->C0 + p->C1;
    float *u = kt_floats(ebru_winograd_weight_floats(p->N, C, p->M));
    memset(u, 0, (size_t)ebru_winograd_weight_floats(p->N, C, p->M) * 4);
    for (int32_t n = 0; n < p->N; n++)
        for (int32_t k = 0; k < C; k++)
            for (int32_t at = 0; at < points * points; at++) {
                const double *row = p->M == 2 ? winograd_g2[at / points] : g4[at / points];
                const double *col = p->M == 2 ? winograd_g2[at % points] : g4[at % points];
                double sum = 0;
                for (int32_t y = 0; y < 3; y++)
                    for (int32_t x = 0; x < 3; x++)
                        sum +=
                            row[y] * col[x] * (double)w[ebru_conv2d_weight_index(&c, n, k, y, x)];
                u[ebru_winograd_weight_index(p->N, C, at, n, k)] = (float)sum;
            }
    return u;
}

static float *check(const params *p, const struct conv_data *d, float *u, int32_t level) {
    const struct ebru_conv2d_params c = winograd_direct(p);
    const int64_t floats = conv_out_floats(&c);
    float *out = kt_floats(floats);
    void *buf[EBRU_CONV2D_BUFS];
    char title[160];
    conv_operands(&c, d, u, out, buf);
    KT_RUN(conv2d_winograd, level, p, buf, EBRU_CONV2D_OUT, floats);
    snprintf(title, sizeof title, "v%d, M %d MR %d NB %d TT %d PG %d", level, p->M, p->MR, p->NB,
             p->TT, p->PG);
    /* inputs in [-1,1): a direct sum is off by eps * sqrt(9 C) or so, F(4,3) by a few times that */
    conv_expect(&c, d, out, 3e-6 * (4 + sqrt(9.0 * (p->C0 + p->C1))), title);
    return out;
}

static void winograd_run(params p) {
    for (p.M = 2; p.M <= 4; p.M += 2) {
        KT_EACH_LEVEL(level) {
            cg_default_tiles_conv2d_winograd(&p, level, 0);
            const struct ebru_conv2d_params c = winograd_direct(&p);
            struct conv_data d = conv_make(&c);
            float *u = transform(&p, d.w), *first = check(&p, &d, u, level);
            const size_t bytes =
                (size_t)kt_c16_floats(p.B, p.N, (int64_t)p.OH * p.OW) * sizeof(float);
            params q = p; /* odd tiles: they never change the values */
            q.NB = 3;
            q.MR = ebru_min_i32(5, cg_most_rows(level, q.NB));
            q.TT = 7;
            q.PG = 2;
            assert_memory_equal(first, check(&q, &d, u, level), bytes);
            q.MR = 1;
            q.NB = 1;
            q.TT = 1;
            q.PG = 1;
            assert_memory_equal(first, check(&q, &d, u, level), bytes);
            kt_release();
        }
    }
}

static void several_tasks(void **state) {
    (void)state;
    winograd((params){.B = 2,
                      .H = 20,
                      .W = 20,
                      .C0 = 32,
                      .N = 32,
                      .tbias = 1,
                      .has_bias = 1,
                      .pro_scale = 1,
                      .pre_act = EBRU_ACT_SILU});
}

int main(void) {
    const struct CMUnitTest tests[] = {WINOGRAD_TESTS, cmocka_unit_test(several_tasks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
