/* feed_forward against naive loops in double, and bit by bit against the two linears it replaces:
 * tails of tokens and channels, optional operands, tile sizes, in place over the residual, every
 * level, every split. */
#include "codegen/target/default_tiles/default_tiles.h"
#include "tests/unit/kernels/kernel_test.h"

typedef struct ebru_feed_forward_params params;

struct data {
    float *x, *w1, *b1, *w2, *b2, *res;
    double *want; /* [B][T][N] */
};

/* Packed weight of a linear of K to N, rows and columns past the end zero. */
static float *weight(int32_t N, int32_t K) {
    struct ebru_conv2d_params q;
    ebru_conv2d_set_linear(&q, 1, 1, K, N);
    float *w = kt_floats(ebru_conv2d_weight_floats(&q));
    memset(w, 0, (size_t)ebru_conv2d_weight_floats(&q) * sizeof(float));
    for (int32_t n = 0; n < N; n++)
        for (int32_t k = 0; k < K; k++)
            w[ebru_conv2d_weight_index(&q, n, k, 0, 0)] = kt_random() * 0.5f;
    return w;
}

static double dot(const float *w, const double *x, int32_t N, int32_t K, int32_t n) {
    struct ebru_conv2d_params q;
    ebru_conv2d_set_linear(&q, 1, 1, K, N);
    double sum = 0;
    for (int32_t k = 0; k < K; k++)
        sum += (double)w[ebru_conv2d_weight_index(&q, n, k, 0, 0)] * x[k];
    return sum;
}

static struct data make(const params *p) {
    struct data d;
    d.x = kt_random_c16(p->B, p->C, p->T);
    d.res = kt_random_c16(p->B, p->N, p->T);
    d.w1 = weight(2 * p->H, p->C);
    d.w2 = weight(p->N, p->H);
    d.b1 = kt_padded(2 * p->H);
    d.b2 = kt_padded(p->N);
    d.want = (double *)kt_alloc((size_t)(p->B * p->T * p->N) * sizeof(double));
    double *x = (double *)kt_alloc((size_t)p->C * sizeof(double));
    double *hidden = (double *)kt_alloc((size_t)p->H * sizeof(double));
    for (int32_t b = 0; b < p->B; b++)
        for (int32_t t = 0; t < p->T; t++) {
            for (int32_t c = 0; c < p->C; c++) x[c] = (double)d.x[kt_c16(p->C, p->T, b, c, t)];
            for (int32_t h = 0; h < p->H; h++) {
                double v[2];
                for (int32_t gate = 0; gate < 2; gate++) {
                    const int32_t n = ebru_geglu_column(h, gate);
                    v[gate] = dot(d.w1, x, 2 * p->H, p->C, n) + (p->has_b1 ? (double)d.b1[n] : 0);
                }
                hidden[h] = v[0] * kt_act(v[1], EBRU_ACT_GELU);
            }
            for (int32_t n = 0; n < p->N; n++)
                d.want[(b * p->T + t) * p->N + n] =
                    dot(d.w2, hidden, p->N, p->H, n) + (p->has_b2 ? (double)d.b2[n] : 0) +
                    (p->residual ? (double)d.res[kt_c16(p->N, p->T, b, n, t)] : 0);
        }
    return d;
}

static float *check(const params *p, const struct data *d, int32_t level) {
    const int64_t floats = kt_c16_floats(p->B, p->N, p->T);
    float *out = kt_floats(floats);
    char title[80];
    void *buf[EBRU_FEED_FORWARD_BUFS] = {d->x,
                                         d->w1,
                                         p->has_b1 ? d->b1 : NULL,
                                         d->w2,
                                         p->has_b2 ? d->b2 : NULL,
                                         p->residual ? d->res : NULL,
                                         out};
    KT_RUN(feed_forward, level, p, buf, EBRU_FEED_FORWARD_OUT, floats);
    snprintf(title, sizeof title, "v%d, NB %d %d TW %d", level, p->NB1, p->NB2, p->TW);
    kt_expect_c16(out, d->want, p->B, p->N, p->T, 2e-6 * (4 + sqrt((double)(p->C + p->H))), title);
    return out;
}

/* The two linears one after the other. */
static float *by_linears(const params *p, const struct data *d, int32_t level) {
    struct ebru_conv2d_params first, second;
    ebru_feed_forward_layers(p, &first, &second);
    cg_default_tiles_conv2d(&first, level, 0, 0);
    cg_default_tiles_conv2d(&second, level, 0, 0);
    float *hidden = kt_floats(kt_c16_floats(p->B, p->H, p->T));
    float *out = kt_floats(kt_c16_floats(p->B, p->N, p->T));
    void *buf1[EBRU_CONV2D_BUFS] = {d->x, NULL, NULL,  d->w1, p->has_b1 ? d->b1 : NULL,
                                    NULL, NULL, hidden};
    void *buf2[EBRU_CONV2D_BUFS] = {
        hidden, NULL, NULL, d->w2, p->has_b2 ? d->b2 : NULL, NULL, p->residual ? d->res : NULL,
        out};
    KT_CALL(conv2d, level, &first, buf1, 1);
    KT_CALL(conv2d, level, &second, buf2, 1);
    return out;
}

static float *in_place(const params *p, const struct data *d, int32_t level) {
    float *out = kt_floats(kt_c16_floats(p->B, p->N, p->T));
    memcpy(out, d->res, (size_t)kt_c16_floats(p->B, p->N, p->T) * sizeof(float));
    void *buf[EBRU_FEED_FORWARD_BUFS] = {
        d->x, d->w1, p->has_b1 ? d->b1 : NULL, d->w2, p->has_b2 ? d->b2 : NULL, out, out};
    KT_CALL(feed_forward, level, p, buf, 3);
    return out;
}

static void run(params p) {
    KT_EACH_LEVEL(level) {
        cg_default_tiles_feed_forward(&p, level, 0, 0);
        struct data d = make(&p);
        const size_t bytes = (size_t)kt_c16_floats(p.B, p.N, p.T) * sizeof(float);
        float *first = check(&p, &d, level);
        assert_memory_equal(first, by_linears(&p, &d, level), bytes);
        if (p.residual) assert_memory_equal(first, in_place(&p, &d, level), bytes);
        params q = p; /* odd tiles: they never change the values */
        q.NB1 = 6;
        q.MR1 = ebru_min_i32(5, cg_most_rows(level, q.NB1));
        q.KC1 = 1;
        q.MR2 = 1;
        q.NB2 = 3;
        q.KC2 = 2;
        q.TW = 7;
        assert_memory_equal(first, check(&q, &d, level), bytes);
        q.NB1 = 2;
        q.NB2 = q.TW = 1;
        assert_memory_equal(first, check(&q, &d, level), bytes);
        kt_release();
    }
}

static void shapes(void **state) {
    (void)state;
    run((params){
        .B = 1, .T = 64, .C = 32, .H = 128, .N = 32, .has_b1 = 1, .has_b2 = 1, .residual = 1});
    run((params){
        .B = 2, .T = 13, .C = 20, .H = 48, .N = 33, .has_b1 = 1, .has_b2 = 1, .residual = 1});
    run((params){.B = 3, .T = 1, .C = 5, .H = 16, .N = 3, .has_b1 = 1});
    run((params){
        .B = 1, .T = 300, .C = 48, .H = 1024, .N = 16, .has_b2 = 1}); /* several tasks and passes */
}

static void operands(void **state) {
    (void)state;
    for (int32_t i = 0; i < 8; i++)
        run((params){.B = 2,
                     .T = 9,
                     .C = 16,
                     .H = 32,
                     .N = 48,
                     .has_b1 = i & 1,
                     .has_b2 = i >> 1 & 1,
                     .residual = i >> 2});
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(shapes), cmocka_unit_test(operands)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
