/* feed_forward_bf16 against naive loops in double that round the same way, and bit by bit against
 * the two linears it replaces: tails, optional operands, both numbers of parts, tile sizes, in
 * place over the residual, every level, every split. */
#include "codegen/target/default_tiles/default_tiles.h"
#include "tests/unit/kernels/kernel_conv.h"

typedef struct ebru_feed_forward_bf16_params params;

struct data {
    double *w1, *w2; /* [2H][C] in the order of packed columns, [N][H] */
    float *x, *b1, *b2, *res;
    void *packed1, *packed2;
    double *want; /* [B][T][N] */
    double slack; /* what a rounding of the hidden layer the other way changes, at most */
};

static double *matrix(int32_t n) {
    double *w = (double *)kt_alloc((size_t)n * sizeof(double));
    for (int32_t i = 0; i < n; i++) w[i] = (double)(kt_random() * 0.5f);
    return w;
}

static void *pack(const double *w, int32_t N, int32_t K, int32_t parts) {
    struct ebru_conv2d_params shape;
    ebru_conv2d_set_linear(&shape, 1, 1, K, N);
    const struct ebru_conv2d_bf16_params q = ebru_conv2d_bf16_of(&shape, parts, 0);
    const size_t bytes = (size_t)ebru_conv2d_bf16_weight_elements(&q) * 2;
    uint16_t *packed = (uint16_t *)kt_alloc(bytes);
    memset(packed, 0, bytes);
    for (int32_t n = 0; n < N; n++)
        for (int32_t k = 0; k < K; k++) {
            const float v = (float)w[n * K + k];
            const uint16_t hi = ebru_bf16_of(v), lo = ebru_bf16_of(v - ebru_bf16_value(hi));
            packed[ebru_conv2d_bf16_weight_index(&q, 0, n, k, 0, 0)] = hi;
            if (parts == 2) packed[ebru_conv2d_bf16_weight_index(&q, 1, n, k, 0, 0)] = lo;
        }
    return packed;
}

static double dot(const double *w, const double *x, int32_t n, int32_t parts) {
    double sum = 0;
    for (int32_t k = 0; k < n; k++) sum += conv_product(parts, x[k], w[k]);
    return sum;
}

static struct data make(const params *p) {
    struct data d = {.x = kt_random_c16(p->B, p->C, p->T), .res = kt_random_c16(p->B, p->N, p->T)};
    d.w1 = matrix(2 * p->H * p->C);
    d.w2 = matrix(p->N * p->H);
    d.packed1 = pack(d.w1, 2 * p->H, p->C, p->parts);
    d.packed2 = pack(d.w2, p->N, p->H, p->parts);
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
                    v[gate] =
                        dot(d.w1 + n * p->C, x, p->C, p->parts) + (p->has_b1 ? (double)d.b1[n] : 0);
                }
                hidden[h] = v[0] * kt_act(v[1], EBRU_ACT_GELU);
            }
            for (int32_t n = 0; n < p->N; n++) {
                double slack = 0;
                for (int32_t h = 0; h < p->H; h++) {
                    const double off = 2e-6 * (1 + fabs(hidden[h])), w = d.w2[n * p->H + h];
                    slack += fabs(conv_product(p->parts, hidden[h] + off, w) -
                                  conv_product(p->parts, hidden[h] - off, w));
                }
                if (slack > d.slack) d.slack = slack;
                d.want[(b * p->T + t) * p->N + n] =
                    dot(d.w2 + n * p->H, hidden, p->H, p->parts) +
                    (p->has_b2 ? (double)d.b2[n] : 0) +
                    (p->residual ? (double)d.res[kt_c16(p->N, p->T, b, n, t)] : 0);
            }
        }
    return d;
}

static void operands_of(const params *p, const struct data *d, float *out,
                        void *buf[EBRU_FEED_FORWARD_BUFS]) {
    buf[EBRU_FEED_FORWARD_X] = d->x;
    buf[EBRU_FEED_FORWARD_W1] = d->packed1;
    buf[EBRU_FEED_FORWARD_B1] = p->has_b1 ? d->b1 : NULL;
    buf[EBRU_FEED_FORWARD_W2] = d->packed2;
    buf[EBRU_FEED_FORWARD_B2] = p->has_b2 ? d->b2 : NULL;
    buf[EBRU_FEED_FORWARD_RESIDUAL] = p->residual ? d->res : NULL;
    buf[EBRU_FEED_FORWARD_OUT] = out;
}

static float *check(const params *p, const struct data *d, int32_t level) {
    const int64_t floats = kt_c16_floats(p->B, p->N, p->T);
    float *out = kt_floats(floats);
    char title[80];
    void *buf[EBRU_FEED_FORWARD_BUFS];
    operands_of(p, d, out, buf);
    KT_RUN_BF16(feed_forward_bf16, level, p, buf, EBRU_FEED_FORWARD_OUT, floats);
    const double tolerance =
        (p->parts == 2 ? 8e-6 : 2e-6) * (4 + sqrt((double)(p->C + p->H))) + d->slack;
    snprintf(title, sizeof title, "level %d, parts %d, NB %d %d TW %d", level, p->parts, p->NB1,
             p->NB2, p->TW);
    kt_expect_c16(out, d->want, p->B, p->N, p->T, tolerance, title);
    return out;
}

/* The two linears one after the other. */
static float *by_linears(const params *p, const struct data *d, int32_t level) {
    struct ebru_conv2d_bf16_params first, second;
    ebru_feed_forward_bf16_layers(p, &first, &second);
    first.B = second.B = p->B;
    cg_default_tiles_conv2d_bf16(&first, level, 0, 0);
    cg_default_tiles_conv2d_bf16(&second, level, 0, 0);
    float *hidden = kt_floats(kt_c16_floats(p->B, p->H, p->T));
    float *out = kt_floats(kt_c16_floats(p->B, p->N, p->T));
    void *buf1[EBRU_CONV2D_BUFS] = {d->x, NULL, NULL,  d->packed1, p->has_b1 ? d->b1 : NULL,
                                    NULL, NULL, hidden};
    void *buf2[EBRU_CONV2D_BUFS] = {
        hidden, NULL, NULL, d->packed2, p->has_b2 ? d->b2 : NULL, NULL, p->residual ? d->res : NULL,
        out};
    KT_CALL_BF16(conv2d_bf16, level, &first, buf1, 1);
    KT_CALL_BF16(conv2d_bf16, level, &second, buf2, 1);
    return out;
}

static float *in_place(const params *p, const struct data *d, int32_t level) {
    float *out = kt_floats(kt_c16_floats(p->B, p->N, p->T));
    memcpy(out, d->res, (size_t)kt_c16_floats(p->B, p->N, p->T) * sizeof(float));
    void *buf[EBRU_FEED_FORWARD_BUFS];
    operands_of(p, d, out, buf);
    buf[EBRU_FEED_FORWARD_RESIDUAL] = out;
    KT_CALL_BF16(feed_forward_bf16, level, p, buf, 3);
    return out;
}

static void run(params p) {
    KT_EACH_BF16_LEVEL(level) {
        cg_default_tiles_feed_forward_bf16(&p, level, 0, 0);
        struct data d = make(&p);
        const size_t bytes = (size_t)kt_c16_floats(p.B, p.N, p.T) * sizeof(float);
        float *first = check(&p, &d, level);
        assert_memory_equal(first, by_linears(&p, &d, level), bytes);
        if (p.residual) assert_memory_equal(first, in_place(&p, &d, level), bytes);
        params q = p; /* odd tiles: they never change the values */
        q.NB1 = 6;
        q.MR1 = q.form == EBRU_BF16_TILES ? 16 : ebru_min_i32(5, cg_most_rows_bf16(level, q.NB1));
        q.KC1 = 1;
        q.MR2 = ebru_bf16_segment_length(q.form);
        q.NB2 = 3;
        q.KC2 = 2;
        q.TW = 7;
        assert_memory_equal(first, check(&q, &d, level), bytes);
        if (kt_emulated &&
            ebru_bf16_form(level) != EBRU_BF16_TILES) { /* emulated, it would take too long */
            kt_release();
            continue;
        }
        q.NB1 = 2;
        q.NB2 = q.TW = 1;
        assert_memory_equal(first, check(&q, &d, level), bytes);
        kt_release();
    }
}

static void run_parts(params p) {
    const int32_t only = kt_only_parts();
    for (p.parts = 1; p.parts <= 2; p.parts++)
        if (!only || p.parts == only) run(p);
}

static void shapes(void **state) {
    (void)state;
    run_parts((params){
        .B = 1, .T = 64, .C = 32, .H = 128, .N = 32, .has_b1 = 1, .has_b2 = 1, .residual = 1});
    run_parts((params){
        .B = 2, .T = 13, .C = 20, .H = 48, .N = 33, .has_b1 = 1, .has_b2 = 1, .residual = 1});
    run_parts((params){.B = 3, .T = 1, .C = 5, .H = 16, .N = 3, .has_b1 = 1});
    run_parts((params){
        .B = 1, .T = 150, .C = 48, .H = 512, .N = 16, .has_b2 = 1}); /* several tasks, passes */
}

static void operands(void **state) {
    (void)state;
    for (int32_t i = 0; i < 8; i++)
        run_parts((params){.B = 2,
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
