/* conv2d_winograd_bf16 against naive loops in double that transform and round the same way: tails
 * of tiles and channels, concatenation, prologue, epilogue, resizing, both numbers of parts, every
 * level, every split. */
#include "runtime/abi/kernel_abi.h"

typedef struct ebru_conv2d_winograd_bf16_params params;
#include "tests/unit/kernels/kernel_winograd.h"

static const double bt[4][4] = {{-1, 0, 1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, -1, 0, 1}};
static const double at[2][4] = {{1, 1, 1, 0}, {0, 1, -1, 1}};

/* G g G^T at a point. */
static double filter_at(const struct ebru_conv2d_params *c, const float *w, int32_t n, int32_t k,
                        int32_t point) {
    double sum = 0;
    for (int32_t y = 0; y < 3; y++)
        for (int32_t x = 0; x < 3; x++)
            sum += winograd_g2[point / 4][y] * winograd_g2[point % 4][x] *
                   (double)w[ebru_conv2d_weight_index(c, n, k, y, x)];
    return (double)(float)sum;
}

static float *pack(const params *p, const struct ebru_conv2d_params *c, const float *w) {
    const int32_t C = p->C0 + p->C1;
    const size_t bytes = (size_t)ebru_winograd_bf16_weight_elements(p->N, C, p->parts) * 2;
    uint16_t *u = (uint16_t *)kt_alloc(bytes);
    memset(u, 0, bytes);
    for (int32_t n = 0; n < p->N; n++)
        for (int32_t k = 0; k < C; k++)
            for (int32_t i = 0; i < 16; i++) {
                const float v = (float)filter_at(c, w, n, k, i);
                const uint16_t hi = ebru_bf16_of(v);
                u[ebru_winograd_bf16_weight_index(p->N, C, p->parts, i, 0, n, k)] = hi;
                if (p->parts == 2)
                    u[ebru_winograd_bf16_weight_index(p->N, C, p->parts, i, 1, n, k)] =
                        ebru_bf16_of(v - ebru_bf16_value(hi));
            }
    return (float *)(void *)u;
}

/* B^T d B of the tile at output (y, x), channel k, and what it is off by at most when its inputs are
 * off by a share of themselves. */
static void input_tile(const struct ebru_conv2d_params *c, const struct conv_data *d, int32_t b,
                       int32_t k, int32_t y, int32_t x, double share, double v[16],
                       double off[16]) {
    double in[4][4];
    for (int32_t i = 0; i < 16; i++)
        in[i / 4][i % 4] = conv_input_at(c, d, b, k, y + i / 4 - c->PT, x + i % 4 - c->PL);
    for (int32_t i = 0; i < 16; i++) {
        v[i] = off[i] = 0;
        for (int32_t r = 0; r < 4; r++)
            for (int32_t s = 0; s < 4; s++) {
                const double term = bt[i / 4][r] * in[r][s] * bt[i % 4][s];
                v[i] += term;
                off[i] += fabs(term) * share;
            }
    }
}

/* Replaces what is wanted by what the rounded transforms give. */
static void want(const params *p, const struct ebru_conv2d_params *c, struct conv_data *d) {
    const int32_t C = p->C0 + p->C1;
    const int64_t OP = (int64_t)p->OH * p->OW;
    const double share = p->pre_act && p->parts == 1 ? 2e-4 : 1e-6;
    double *u = (double *)kt_alloc((size_t)C * 16 * sizeof(double)), v[16], off[16];
    for (int32_t n = 0; n < p->N; n++) {
        for (int32_t i = 0; i < C * 16; i++) u[i] = filter_at(c, d->w, n, i / 16, i % 16);
        for (int32_t tile = 0; tile < p->B * ((p->OH + 1) / 2) * ((p->OW + 1) / 2); tile++) {
            const int32_t tx = (p->OW + 1) / 2, ty = (p->OH + 1) / 2, b = tile / (tx * ty),
                          y = tile / tx % ty * 2, x = tile % tx * 2;
            double s[16] = {0}, slack = 0;
            for (int32_t k = 0; k < C; k++) {
                input_tile(c, d, b, k, y, x, share, v, off);
                for (int32_t i = 0; i < 16; i++) {
                    const double w = u[k * 16 + i];
                    s[i] += conv_product(p->parts, v[i], w);
                    slack += fabs(conv_product(p->parts, v[i] + off[i], w) -
                                  conv_product(p->parts, v[i] - off[i], w));
                }
            }
            if (slack > d->slack) d->slack = slack;
            for (int32_t i = 0; i < 4; i++) {
                if (y + i / 2 >= p->OH || x + i % 2 >= p->OW) continue;
                const int64_t q = (int64_t)(y + i / 2) * p->OW + x + i % 2;
                double sum = p->has_bias ? (double)d->bias[n] : 0;
                for (int32_t k = 0; k < 16; k++) sum += at[i / 2][k / 4] * s[k] * at[i % 2][k % 4];
                if (p->tbias)
                    sum += (double)d->tbias[(p->tbias == 1 ? b : 0) * ebru_blocks16(p->N) * 16 + n];
                if (p->residual) sum += (double)d->res[kt_c16(p->N, OP, b, n, q)];
                d->want[((int64_t)b * p->N + n) * OP + q] = kt_act(sum, p->act);
            }
        }
    }
}

static float *check(const params *p, const struct conv_data *d, float *u, int32_t level,
                    bool splits) {
    const struct ebru_conv2d_params c = winograd_direct(p);
    const int64_t floats = conv_out_floats(&c);
    float *out = kt_floats(floats);
    void *buf[EBRU_CONV2D_BUFS];
    char title[160];
    conv_operands(&c, d, u, out, buf);
    if (splits)
        KT_RUN_BF16(conv2d_winograd_bf16, level, p, buf, EBRU_CONV2D_OUT, floats);
    else
        KT_CALL_BF16(conv2d_winograd_bf16, level, p, buf, 1);
    snprintf(title, sizeof title, "level %d, parts %d, MR %d NB %d TT %d PG %d", level, p->parts,
             p->MR, p->NB, p->TT, p->PG);
    const double n = 9.0 * (p->C0 + p->C1);
    double tolerance = 3e-6 * (4 + sqrt(n)) + d->slack * 2;
    if (p->parts == 2) tolerance += sqrt(n) * 2e-5; /* lo * lo, which some levels add */
    conv_expect(&c, d, out, tolerance, title);
    return out;
}

static void run_parts(params p, int32_t parts) {
    p.parts = parts;
    const struct ebru_conv2d_params c = winograd_direct(&p);
    KT_EACH_BF16_LEVEL(level) {
        cg_default_tiles_conv2d_winograd_bf16(&p, level, 0);
        struct conv_data d = conv_make(&c);
        float *u = pack(&p, &c, d.w);
        want(&p, &c, &d);
        const bool brief = kt_emulated && p.form != EBRU_BF16_TILES;
        float *first = check(&p, &d, u, level, !brief);
        const size_t bytes = (size_t)conv_out_floats(&c) * sizeof(float);
        params q = p; /* odd tiles: they never change the values */
        q.NB = 2;
        q.MR = ebru_bf16_segment_length(q.form) * (q.form == EBRU_BF16_TILES ? 1 : 2);
        q.TT = 7;
        q.PG = 2;
        assert_memory_equal(first, check(&q, &d, u, level, false), bytes);
        q.TT = 1;
        q.PG = 1;
        if (!brief) assert_memory_equal(first, check(&q, &d, u, level, false), bytes);
        kt_release();
    }
}

static void winograd_run(params p) {
    p.M = 2;
    const int32_t only = kt_only_parts();
    for (int32_t parts = 1; parts <= 2; parts++)
        if (!only || parts == only) run_parts(p, parts);
}

int main(void) {
    const struct CMUnitTest tests[] = {WINOGRAD_TESTS};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
