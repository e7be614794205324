/* conv2d_winograd against direct convolution in double: tails of tiles and channels, concatenation,
 * prologue, epilogue, resizing, padding, both tile sizes, every level, every split. */
#include "codegen/target/default_tiles/default_tiles.h"
#include "tests/unit/kernels/kernel_conv.h"

typedef struct ebru_conv2d_winograd_params params;

/* The rows of G for the points 0, 1, -1, infinity and 0, +-1/2, +-3/2, infinity. */
static const double g2[4][3] = {{-1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
static const double g4[6][3] = {{16.0 / 9, 0, 0},          {-1, -0.5, -0.25},
                                {-1, 0.5, -0.25},          {1.0 / 9, 1.5 / 9, 0.25},
                                {1.0 / 9, -1.5 / 9, 0.25}, {0, 0, 1}};

/* The same convolution as conv2d knows it. */
static struct ebru_conv2d_params direct(const params *p) {
    return (struct ebru_conv2d_params){.B = p->B,
                                       .H = p->H,
                                       .W = p->W,
                                       .UH = p->UH,
                                       .UW = p->UW,
                                       .C0 = p->C0,
                                       .C1 = p->C1,
                                       .N = p->N,
                                       .KH = 3,
                                       .KW = 3,
                                       .SH = 1,
                                       .SW = 1,
                                       .PT = p->PT,
                                       .PL = p->PL,
                                       .OH = p->OH,
                                       .OW = p->OW,
                                       .pro_scale = p->pro_scale,
                                       .pre_act = p->pre_act,
                                       .has_bias = p->has_bias,
                                       .tbias = p->tbias,
                                       .residual = p->residual,
                                       .act = p->act};
}

/* conv2d's packed filters, transformed. */
static float *transform(const params *p, const float *w) {
    const struct ebru_conv2d_params c = direct(p);
    const int32_t points = p->M + 2, C = p->C0 + p->C1;
    float *u = kt_floats(ebru_winograd_weight_floats(p->N, C, p->M));
    memset(u, 0, (size_t)ebru_winograd_weight_floats(p->N, C, p->M) * 4);
    for (int32_t n = 0; n < p->N; n++)
        for (int32_t k = 0; k < C; k++)
            for (int32_t at = 0; at < points * points; at++) {
                const double *row = p->M == 2 ? g2[at / points] : g4[at / points];
                const double *col = p->M == 2 ? g2[at % points] : g4[at % points];
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
    const struct ebru_conv2d_params c = direct(p);
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

static void run(params p) {
    if (!p.UH) p.UH = p.H, p.UW = p.W;
    if (!p.OH) p.OH = p.UH, p.OW = p.UW, p.PT = p.PL = 1;
    for (p.M = 2; p.M <= 4; p.M += 2) {
        KT_EACH_LEVEL(level) {
            cg_default_tiles_conv2d_winograd(&p, level, 0);
            const struct ebru_conv2d_params c = direct(&p);
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

static void shapes(void **state) {
    (void)state;
    run((params){.B = 1, .H = 8, .W = 8, .C0 = 32, .N = 64});
    run((params){.B = 2, .H = 5, .W = 7, .C0 = 3, .N = 20, .has_bias = 1});
    run((params){.B = 1, .H = 9, .W = 11, .C0 = 17, .N = 3, .has_bias = 1});
    run((params){.B = 3, .H = 2, .W = 1, .C0 = 16, .N = 16});
    run((params){.B = 2,
                 .H = 20,
                 .W = 20,
                 .C0 = 32,
                 .N = 32,
                 .tbias = 1,
                 .has_bias = 1,
                 .pro_scale = 1,
                 .pre_act = EBRU_ACT_SILU});                   /* several tasks */
    run((params){.B = 1, .H = 5, .W = 90, .C0 = 16, .N = 16}); /* several runs a row */
}

static void padding(void **state) {
    (void)state;
    run((params){.B = 1, .H = 8, .W = 9, .UH = 8, .UW = 9, .C0 = 16, .N = 16, .OH = 6, .OW = 7});
    run((params){
        .B = 1, .H = 6, .W = 6, .UH = 6, .UW = 6, .C0 = 16, .N = 16, .OH = 6, .OW = 5, .PT = 2});
}

static void concat_and_prologue(void **state) {
    (void)state;
    run((params){.B = 2,
                 .H = 6,
                 .W = 6,
                 .C0 = 32,
                 .C1 = 16,
                 .N = 48,
                 .pro_scale = 1,
                 .pre_act = EBRU_ACT_SILU,
                 .has_bias = 1});
    run((params){.B = 2,
                 .H = 5,
                 .W = 4,
                 .C0 = 20,
                 .C1 = 10,
                 .N = 24,
                 .pro_scale = 1,
                 .pre_act = EBRU_ACT_SILU});
    run((params){.B = 1, .H = 5, .W = 4, .C0 = 24, .N = 16, .pre_act = EBRU_ACT_SILU});
}

static void resized(void **state) {
    (void)state;
    run((params){.B = 1, .H = 4, .W = 5, .UH = 8, .UW = 10, .C0 = 16, .N = 32, .has_bias = 1});
    run((params){.B = 2, .H = 3, .W = 4, .UH = 7, .UW = 9, .C0 = 10, .C1 = 9, .N = 16});
}

static void epilogues(void **state) {
    (void)state;
    for (int32_t i = 0; i < 3; i++)
        run((params){.B = 2,
                     .H = 3,
                     .W = 5,
                     .C0 = 16,
                     .N = 20,
                     .has_bias = 1,
                     .tbias = i,
                     .residual = i != 2,
                     .act = i == 1 ? EBRU_ACT_SILU : EBRU_ACT_NONE});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),
        cmocka_unit_test(padding),
        cmocka_unit_test(concat_and_prologue),
        cmocka_unit_test(resized),
        cmocka_unit_test(epilogues),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
