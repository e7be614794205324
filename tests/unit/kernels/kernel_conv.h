/* Convolutions in the kernel tests: random operands and what comes out, by naive loops in double.
 */
#ifndef EBRU_TESTS_UNIT_KERNELS_KERNEL_CONV_H
#define EBRU_TESTS_UNIT_KERNELS_KERNEL_CONV_H

#include "tests/unit/kernels/kernel_test.h"

struct conv_data {
    float *x0, *x1, *ss, *w, *bias, *tbias, *res;
    int32_t parts; /* 0: operands as they are; 1, 2: rounded to bf16, the second part the rest */
    double *want;  /* [B][N or N/2][OH][OW] */
    double slack;  /* what roundings of the prologue's results may make of a sum, at most */
};

/* A product of operands rounded as `parts` says, its parts as bf16x3 has them. */
static inline double conv_rounded(double v) {
    return (double)ebru_bf16_value(ebru_bf16_of((float)v));
}
static inline double conv_product(int32_t parts, double x, double w) {
    if (parts == 0) return x * w;
    const double x_hi = conv_rounded(x), w_hi = conv_rounded(w);
    if (parts == 1) return x_hi * w_hi;
    return x_hi * w_hi + x_hi * conv_rounded(w - w_hi) + conv_rounded(x - x_hi) * w_hi;
}
/* How far the product moves when x is off by a share of itself: the last bits of an f32; where it is
 * an activation that is rounded to bf16 next, those beyond bf16's. */
static inline double conv_product_slack(int32_t parts, double x, double w, double share) {
    const double off = fabs(x) * share;
    return parts ? fabs(conv_product(parts, x + off, w) - conv_product(parts, x - off, w)) : 0;
}

static inline double conv_input_at(const struct ebru_conv2d_params *p, const struct conv_data *d,
                                   int32_t b, int32_t c, int32_t y, int32_t x) {
    if (y < 0 || y >= p->UH || x < 0 || x >= p->UW) return 0;
    const int64_t P = (int64_t)p->H * p->W,
                  pixel = (int64_t)(y * p->H / p->UH) * p->W + x * p->W / p->UW;
    double v = c < p->C0 ? (double)d->x0[kt_c16(p->C0, P, b, c, pixel)]
                         : (double)d->x1[kt_c16(p->C1, P, b, c - p->C0, pixel)];
    const int32_t pad = ebru_blocks16(p->C0 + p->C1) * 16;
    if (p->pro_scale) v = v * (double)d->ss[b * 2 * pad + c] + (double)d->ss[(b * 2 + 1) * pad + c];
    return kt_act(v, p->pre_act);
}

/* Columns of the weight: output channels, or those of four phases. */
static inline int32_t conv_columns(const struct ebru_conv2d_params *p) {
    return p->phases ? 4 * ebru_blocks16(p->N) * 16 : p->N;
}

static inline double conv_sum_at(const struct ebru_conv2d_params *p, struct conv_data *d, int32_t b,
                                 int32_t n, int32_t y, int32_t x) {
    double sum = p->has_bias ? (double)d->bias[n] : 0, slack = 0;
    const int32_t column = p->phases ? (y % 2 * 2 + x % 2) * ebru_blocks16(p->N) * 16 + n : n;
    const int32_t top = p->phases ? y / 2 - 1 + y % 2 : y * p->SH - p->PT,
                  left = p->phases ? x / 2 - 1 + x % 2 : x * p->SW - p->PL;
    for (int32_t c = 0; c < p->C0 + p->C1; c++)
        for (int32_t i = 0; i < p->KH; i++)
            for (int32_t j = 0; j < p->KW; j++) {
                const double w = (double)d->w[ebru_conv2d_weight_index(p, column, c, i, j)],
                             v = conv_input_at(p, d, b, c, top + i, left + j);
                sum += conv_product(d->parts, v, w);
                if (p->pro_scale || p->pre_act)
                    slack += conv_product_slack(d->parts, v, w,
                                                p->pre_act && d->parts == 1 ? 2e-4 : 1e-6);
            }
    if (slack > d->slack) d->slack = slack;
    if (p->tbias) sum += (double)d->tbias[(p->tbias == 1 ? b : 0) * ebru_blocks16(p->N) * 16 + n];
    return sum;
}

static inline int32_t conv_out_channels(const struct ebru_conv2d_params *p) {
    return p->act == EBRU_ACT_GEGLU ? p->N / 2 : p->N;
}

static inline struct conv_data conv_make_rounded(const struct ebru_conv2d_params *p,
                                                 int32_t parts) {
    struct conv_data d = {.parts = parts};
    const int64_t P = (int64_t)p->H * p->W, OP = (int64_t)p->OH * p->OW;
    const int32_t C = p->C0 + p->C1, pad = ebru_blocks16(C) * 16, npad = ebru_blocks16(p->N) * 16,
                  NO = conv_out_channels(p);
    d.x0 = kt_random_c16(p->B, p->C0, P);
    d.x1 = p->C1 ? kt_random_c16(p->B, p->C1, P) : NULL;
    d.ss = kt_random_floats(p->B * 2 * pad);
    d.w = kt_floats(ebru_conv2d_weight_floats(p));
    memset(d.w, 0, (size_t)ebru_conv2d_weight_floats(p) * 4);
    for (int32_t n = 0; n < conv_columns(p); n++)
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
                    v = conv_sum_at(p, &d, b, ebru_geglu_column(n, 0), y, x) *
                        kt_act(conv_sum_at(p, &d, b, ebru_geglu_column(n, 1), y, x), EBRU_ACT_GELU);
                } else {
                    v = conv_sum_at(p, &d, b, n, y, x);
                    if (p->residual) v += (double)d.res[kt_c16(NO, OP, b, n, q)];
                    v = kt_act(v, p->act);
                }
                d.want[((int64_t)b * NO + n) * OP + q] = v;
            }
    return d;
}

static inline struct conv_data conv_make(const struct ebru_conv2d_params *p) {
    return conv_make_rounded(p, 0);
}

/* The operands as the kernels take them (EBRU_CONV2D_*), with `w` for the weight. */
static inline void conv_operands(const struct ebru_conv2d_params *p, const struct conv_data *d,
                                 float *w, float *out, void *buf[EBRU_CONV2D_BUFS]) {
    buf[EBRU_CONV2D_X0] = d->x0;
    buf[EBRU_CONV2D_X1] = p->C1 ? d->x1 : NULL;
    buf[EBRU_CONV2D_SCALE_SHIFT] = p->pro_scale ? d->ss : NULL;
    buf[EBRU_CONV2D_WEIGHT] = w;
    buf[EBRU_CONV2D_BIAS] = p->has_bias ? d->bias : NULL;
    buf[EBRU_CONV2D_TBIAS] = p->tbias ? d->tbias : NULL;
    buf[EBRU_CONV2D_RESIDUAL] = p->residual ? d->res : NULL;
    buf[EBRU_CONV2D_OUT] = out;
}

static inline int64_t conv_out_floats(const struct ebru_conv2d_params *p) {
    return kt_c16_floats(p->B, conv_out_channels(p), (int64_t)p->OH * p->OW);
}

/* `out` is what is wanted within tolerance * (1 + |wanted|), and finite in its pad lanes too. */
static inline void conv_expect(const struct ebru_conv2d_params *p, const struct conv_data *d,
                               const float *out, double tolerance, const char *what) {
    const int64_t OP = (int64_t)p->OH * p->OW;
    const int32_t NO = conv_out_channels(p);
    for (int32_t b = 0; b < p->B; b++)
        for (int32_t n = 0; n < NO; n++)
            for (int64_t q = 0; q < OP; q++) {
                const double want = d->want[((int64_t)b * NO + n) * OP + q];
                kt_assert_close(out[kt_c16(NO, OP, b, n, q)], want, tolerance * (1 + fabs(want)),
                                "%s: [%d,%d,%d]", what, b, n, (int)q);
            }
    for (int64_t i = 0; i < conv_out_floats(p); i++) assert_true(isfinite(out[i]));
}

#endif
