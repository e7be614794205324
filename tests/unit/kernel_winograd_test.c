/* conv2d_winograd against direct convolution in double: tails of tiles and channels, concatenation, prologue,
 * epilogue, resizing, padding, both tile sizes, every level, every split. */
#include "tests/unit/kernel_test.h"

typedef struct ebru_conv2d_winograd_params params;

struct data {
    float *x0, *x1, *ss, *u, *bias, *tbias, *res;
    double *want; /* [B][N][OH][OW] */
};

/* The rows of G for the points 0, 1, -1, infinity and 0, +-1/2, +-3/2, infinity. */
static const double g2[4][3] = {{-1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
static const double g4[6][3] = {{16.0 / 9, 0, 0},         {-1, -0.5, -0.25},         {-1, 0.5, -0.25},
                                {1.0 / 9, 1.5 / 9, 0.25}, {1.0 / 9, -1.5 / 9, 0.25}, {0, 0, 1}};

static void transform(const params *p, const float *w, float *u) {
    const int32_t n_points = p->M + 2, C = p->C0 + p->C1;
    memset(u, 0, (size_t)ebru_winograd_weight_floats(p->N, C, p->M) * 4);
    for (int32_t n = 0; n < p->N; n++)
        for (int32_t c = 0; c < C; c++)
            for (int32_t k = 0; k < n_points * n_points; k++) {
                const double *row = p->M == 2 ? g2[k / n_points] : g4[k / n_points];
                const double *col = p->M == 2 ? g2[k % n_points] : g4[k % n_points];
                double sum = 0;
                for (int32_t y = 0; y < 3; y++)
                    for (int32_t x = 0; x < 3; x++)
                        sum += row[y] * col[x] * (double)w[((int64_t)n * C + c) * 9 + y * 3 + x];
                u[ebru_winograd_weight_index(p->N, C, k, n, c)] = (float)sum;
            }
}

static double input_at(const params *p, const struct data *d, int32_t b, int32_t c, int32_t y, int32_t x) {
    if (y < 0 || y >= p->UH || x < 0 || x >= p->UW) return 0;
    const int64_t P = (int64_t)p->H * p->W, pixel = (int64_t)(y * p->H / p->UH) * p->W + x * p->W / p->UW;
    double v = c < p->C0 ? (double)d->x0[kt_c16(p->C0, P, b, c, pixel)]
                         : (double)d->x1[kt_c16(p->C1, P, b, c - p->C0, pixel)];
    const int32_t pad = ebru_blocks16(p->C0 + p->C1) * 16;
    if (p->pro_scale) v = v * (double)d->ss[b * 2 * pad + c] + (double)d->ss[(b * 2 + 1) * pad + c];
    return kt_act(v, p->pre_act);
}

static double output_at(const params *p, const struct data *d, const float *w, int32_t b, int32_t n,
                        int32_t y, int32_t x) {
    const int32_t C = p->C0 + p->C1;
    double sum = p->has_bias ? (double)d->bias[n] : 0;
    for (int32_t c = 0; c < C; c++)
        for (int32_t i = 0; i < 9; i++)
            sum += (double)w[((int64_t)n * C + c) * 9 + i] *
                   input_at(p, d, b, c, y - p->PT + i / 3, x - p->PL + i % 3);
    if (p->tbias) sum += (double)d->tbias[(p->tbias == 1 ? b : 0) * ebru_blocks16(p->N) * 16 + n];
    const double r = (double)d->res[kt_c16(p->N, (int64_t)p->OH * p->OW, b, n, (int64_t)y * p->OW + x)];
    sum = kt_act(sum + (p->residual == 1 ? r : 0), p->act);
    return sum + (p->residual == 2 ? r : 0);
}

static struct data make(const params *p) {
    struct data d;
    const int64_t P = (int64_t)p->H * p->W, OP = (int64_t)p->OH * p->OW;
    const int32_t C = p->C0 + p->C1, pad = ebru_blocks16(C) * 16, npad = ebru_blocks16(p->N) * 16;
    d.x0 = kt_random_c16(p->B, p->C0, P);
    d.x1 = p->C1 ? kt_random_c16(p->B, p->C1, P) : NULL;
    d.ss = kt_random_floats(p->B * 2 * pad);
    d.bias = kt_padded(p->N);
    d.tbias = kt_random_floats(p->B * npad);
    d.res = kt_random_c16(p->B, p->N, OP);
    float *w = kt_random_floats((int64_t)p->N * C * 9);
    d.u = kt_floats(ebru_winograd_weight_floats(p->N, C, p->M));
    transform(p, w, d.u);
    d.want = (double *)kt_alloc((size_t)(p->B * p->N * OP) * sizeof(double));
    for (int32_t b = 0; b < p->B; b++)
        for (int32_t n = 0; n < p->N; n++)
            for (int32_t q = 0; q < OP; q++)
                d.want[((int64_t)b * p->N + n) * OP + q] = output_at(p, &d, w, b, n, q / p->OW, q % p->OW);
    return d;
}

static float *check(const params *p, const struct data *d, int32_t level) {
    const int64_t OP = (int64_t)p->OH * p->OW, floats = kt_c16_floats(p->B, p->N, OP);
    float *out = kt_floats(floats);
    void *buf[EBRU_CONV2D_BUFS] = {d->x0,
                                   p->C1 ? d->x1 : NULL,
                                   p->pro_scale ? d->ss : NULL,
                                   d->u,
                                   p->has_bias ? d->bias : NULL,
                                   p->tbias ? d->tbias : NULL,
                                   p->residual ? d->res : NULL,
                                   out};
    KT_RUN(conv2d_winograd, level, p, buf, EBRU_CONV2D_OUT, floats);
    /* inputs in [-1,1): a direct sum is off by eps * sqrt(9 C) or so, F(4,3) by a few times that */
    const double tolerance = 3e-6 * (4 + sqrt(9.0 * (p->C0 + p->C1)));
    for (int32_t b = 0; b < p->B; b++)
        for (int32_t n = 0; n < p->N; n++)
            for (int64_t q = 0; q < OP; q++) {
                const double want = d->want[((int64_t)b * p->N + n) * OP + q];
                kt_assert_close(out[kt_c16(p->N, OP, b, n, q)], want, tolerance * (1 + fabs(want)),
                                "v%d, M %d MR %d NB %d TT %d PG %d: [%d,%d,%d]", level, p->M, p->MR, p->NB,
                                p->TT, p->PG, b, n, (int)q);
            }
    for (int64_t i = 0; i < floats; i++) assert_true(isfinite(out[i])); /* pad lanes too */
    return out;
}

static void run(params p) {
    if (!p.UH) p.UH = p.H, p.UW = p.W;
    if (!p.OH) p.OH = p.UH, p.OW = p.UW, p.PT = p.PL = 1;
    for (p.M = 2; p.M <= 4; p.M += 2) {
        KT_EACH_LEVEL(level) {
            ebru_conv2d_winograd_default_tiles(&p, level, 0);
            struct data d = make(&p);
            float *first = check(&p, &d, level);
            const size_t bytes = (size_t)kt_c16_floats(p.B, p.N, (int64_t)p.OH * p.OW) * sizeof(float);
            params q = p; /* odd tiles: they never change the values */
            q.MR = 5;
            q.NB = 3;
            q.TT = 7;
            q.PG = 2;
            assert_memory_equal(first, check(&q, &d, level), bytes);
            q.MR = 1;
            q.NB = 1;
            q.TT = 1;
            q.PG = 1;
            assert_memory_equal(first, check(&q, &d, level), bytes);
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
    run((params){.B = 4,
                 .H = 32,
                 .W = 32,
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
    run((params){.B = 1, .H = 6, .W = 6, .UH = 6, .UW = 6, .C0 = 16, .N = 16, .OH = 6, .OW = 5, .PT = 2});
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
    run((params){
        .B = 2, .H = 5, .W = 4, .C0 = 20, .C1 = 10, .N = 24, .pro_scale = 1, .pre_act = EBRU_ACT_SILU});
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
                     .residual = (i + 1) % 3,
                     .act = i == 1 ? EBRU_ACT_SILU : EBRU_ACT_NONE});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),  cmocka_unit_test(padding),   cmocka_unit_test(concat_and_prologue),
        cmocka_unit_test(resized), cmocka_unit_test(epilogues),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
