/* Evaluator: activations and weights quantized to 8 bits, and their products, which are exact. */
#include "ir/eval/eval.h"

#include <math.h>
#include <string.h>

/* ---- activations ---- */

void ir_eval_channel_range(const ir_eval_args *a, ir_tensor *out) {
    const ir_tensor *x = a->in[IR_IN(channel_range, x)], *x1 = a->in[IR_IN(channel_range, x1)];
    const int64_t p = x->type.dim[2] * x->type.dim[3], lanes = out->type.dim[2];
    const int64_t c0 = x->type.dim[1], c1 = x1 ? x1->type.dim[1] : 0;
    for (int64_t b = 0; b < x->type.dim[0]; b++)
        for (int64_t c = 0; c < c0 + c1; c++) {
            const float *src =
                c < c0 ? x->data + (b * c0 + c) * p : x1->data + (b * c1 + c - c0) * p;
            double lo = INFINITY, hi = -INFINITY;
            bool finite = true;
            for (int64_t i = 0; i < p; i++) {
                lo = fmin(lo, (double)src[i]);
                hi = fmax(hi, (double)src[i]);
                finite &= isfinite(src[i]);
            }
            float *to = out->data + b * 2 * lanes + c;
            to[0] = (float)(finite ? lo : NAN);
            to[lanes] = (float)(finite ? hi : NAN);
        }
}

/* The values of an interval after an activation, with zero. */
typedef struct interval {
    double lo, hi;
} interval;

#define SILU_AT    (-1.2784645427610738) /* where silu is least */
#define SILU_LEAST (-0.27846454276107374)

static void widen(interval *v, ir_act act, double lo, double hi) {
    const double y0 = ir_eval_act(act, lo), y1 = ir_eval_act(act, hi);
    if (!isfinite(y0) || !isfinite(y1)) v->lo = v->hi = NAN;
    if (isnan(v->lo)) return;
    v->lo = fmin(v->lo, fmin(y0, y1));
    v->hi = fmax(v->hi, fmax(y0, y1));
    if (act == IR_ACT_SILU && lo < SILU_AT && SILU_AT < hi) v->lo = fmin(v->lo, SILU_LEAST);
}

/* The record of values of an interval: 255 steps of the scale, which has 8 significant bits so that
 * all CPU levels have the same, cover it and zero. */
typedef struct record {
    float scale;
    int32_t zero;
} record;

static record record_of(interval v) {
    record r = {NAN, 0};
    if (isnan(v.lo)) return r;
    uint32_t bits;
    float step = (float)fmax((v.hi - v.lo) / 255, 1e-30);
    memcpy(&bits, &step, sizeof bits);
    bits = (bits + 0xffffu) & 0xffff0000u;
    memcpy(&r.scale, &bits, sizeof bits);
    r.zero = (int32_t)fmin(rint(-v.lo / (double)r.scale), 255);
    return r;
}

static float quantized(record r, double x) {
    if (isnan(r.scale) || isnan(x)) return 0;
    return (float)fmin(fmax(rint(x / (double)r.scale + r.zero), 0), 255);
}

/* A pixel's record behind its channels: the bytes of both numbers. */
static void put_record(float *row, int64_t size, record r) {
    unsigned char bytes[IR_I8_RECORD] = {0};
    memcpy(bytes, &r.scale, sizeof r.scale);
    memcpy(bytes + sizeof r.scale, &r.zero, sizeof r.zero);
    for (int i = 0; i < IR_I8_RECORD; i++) row[size - IR_I8_RECORD + i] = bytes[i];
}

static record get_record(const float *row, int64_t size) {
    unsigned char bytes[IR_I8_RECORD];
    record r;
    for (int i = 0; i < IR_I8_RECORD; i++) /* of an input that a caller made it may be anything */
        bytes[i] = (unsigned char)fmin(fmax((double)row[size - IR_I8_RECORD + i], 0), 255);
    memcpy(&r.scale, bytes, sizeof r.scale);
    memcpy(&r.zero, bytes + sizeof r.scale, sizeof r.zero);
    return r;
}

/* One pixel of `channels` values, with the scale given or (NULL) its own. */
static void put_pixel(float *row, int64_t size, const double *values, int64_t channels,
                      const record *given) {
    interval own = {0, 0};
    for (int64_t c = 0; c < channels && !given; c++) widen(&own, IR_ACT_NONE, values[c], values[c]);
    const record r = given ? *given : record_of(own);
    for (int64_t c = 0; c < channels; c++) row[c] = quantized(r, values[c]);
    put_record(row, size, r);
}

static void quantize_tokens(const ir_eval_args *a, ir_tensor *out) {
    const ir_tensor *x = a->in[IR_IN(quantize, x)];
    const int64_t c_count = x->type.dim[2], rows = x->type.dim[0] * x->type.dim[1],
                  size = out->type.dim[2];
    double *values = base_alloc((size_t)c_count * sizeof *values);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < c_count; c++)
            values[c] =
                ir_eval_act(IR_ATTRS(a->node, quantize)->pre_act, (double)x->data[r * c_count + c]);
        put_pixel(out->data + r * size, size, values, c_count, NULL);
    }
    base_free(values);
}

static interval image_interval(const ir_eval_args *a, int64_t b, int64_t channels) {
    const ir_tensor *range = a->in[IR_IN(quantize, range)], *norm = a->in[IR_IN(quantize, norm)];
    const int64_t lanes = range->type.dim[2];
    const float *rows = range->data + b * 2 * lanes;
    interval v = {0, 0};
    for (int64_t c = 0; c < channels; c++) {
        double scale = 1, shift = 0;
        if (norm) ir_eval_stats(norm, b, c, &scale, &shift);
        const double y0 = (double)rows[c] * scale + shift,
                     y1 = (double)rows[lanes + c] * scale + shift;
        widen(&v, IR_ATTRS(a->node, quantize)->pre_act, fmin(y0, y1), fmax(y0, y1));
        if (isnan(y0 + y1)) v.lo = v.hi = NAN;
    }
    return v;
}

/* The channels of a stored pixel, scaled and activated. */
static void read_pixel(const ir_eval_args *a, int64_t b, int64_t p, double *values) {
    const ir_tensor *x = a->in[IR_IN(quantize, x)], *x1 = a->in[IR_IN(quantize, x1)],
                    *norm = a->in[IR_IN(quantize, norm)];
    const int64_t plane = x->type.dim[2] * x->type.dim[3], c0 = x->type.dim[1],
                  c1 = x1 ? x1->type.dim[1] : 0;
    for (int64_t c = 0; c < c0 + c1; c++) {
        double v = (double)(c < c0 ? x->data[(b * c0 + c) * plane + p]
                                   : x1->data[(b * c1 + c - c0) * plane + p]);
        if (norm) {
            double scale, shift;
            ir_eval_stats(norm, b, c, &scale, &shift);
            v = v * scale + shift;
        }
        values[c] = ir_eval_act(IR_ATTRS(a->node, quantize)->pre_act, v);
    }
}

void ir_eval_quantize(const ir_eval_args *a, ir_tensor *out) {
    const struct ir_attrs_quantize *at = IR_ATTRS(a->node, quantize);
    const ir_type *x = &a->in[IR_IN(quantize, x)]->type, *y = &out->type;
    if (x->rank == 3) {
        quantize_tokens(a, out);
        return;
    }
    const ir_tensor *x1 = a->in[IR_IN(quantize, x1)];
    const int64_t channels = x->dim[1] + (x1 ? x1->type.dim[1] : 0), size = y->dim[3];
    const int64_t h = at->upsample.v[0] ? at->upsample.v[0] : x->dim[2],
                  w = at->upsample.v[1] ? at->upsample.v[1] : x->dim[3];
    double *values = base_alloc((size_t)channels * sizeof *values);
    for (int64_t b = 0; b < y->dim[0]; b++) {
        record r = {0};
        if (a->in[IR_IN(quantize, range)]) r = record_of(image_interval(a, b, channels));
        for (int64_t i = 0; i < y->dim[1] * y->dim[2]; i++) {
            const int64_t row = i / y->dim[2] - at->pad.v[0], col = i % y->dim[2] - at->pad.v[1];
            const bool inside = row >= 0 && row < h && col >= 0 && col < w;
            if (inside)
                read_pixel(a, b, row * x->dim[2] / h * x->dim[3] + col * x->dim[3] / w, values);
            else
                memset(values, 0, (size_t)channels * sizeof *values);
            put_pixel(out->data + (b * y->dim[1] * y->dim[2] + i) * size, size, values, channels,
                      a->in[IR_IN(quantize, range)] ? &r : NULL);
        }
    }
    base_free(values);
}

/* ---- weights: rows of [N][C][taps], symmetric ---- */

/* The largest of a row over 127; 0 of zeros. */
static float row_scale(const float *row, int64_t count) {
    double most = 0;
    for (int64_t i = 0; i < count; i++) most = fmax(most, fabs((double)row[i]));
    return (float)(most / IR_I8_WEIGHT);
}

static double row_quantized(float scale, float x) {
    if (!(scale > 0)) return 0;
    return fmin(fmax(rint((double)x / (double)scale), -IR_I8_WEIGHT), IR_I8_WEIGHT);
}

/* Where (n, c) of tap t lies in [nb][taps][cb][16 c4][16 n][4]. */
static int64_t filter_index(const ir_type *w, int64_t n, int64_t c, int64_t t) {
    const int64_t taps = w->dim[1] * w->dim[2], cbs = w->dim[3];
    const int64_t block = (n / IR_BLOCK * taps + t) * cbs + c / IR_I8_BLOCK;
    return ((block * IR_BLOCK + c % IR_I8_BLOCK / 4) * IR_BLOCK + n % IR_BLOCK) * 4 + c % 4;
}

void ir_eval_pack_i8_weight(const ir_eval_args *a, ir_tensor *out) {
    const ir_tensor *w = a->in[IR_IN(pack_i8_weight, w)];
    const int64_t c_count = w->type.dim[1], taps = out->type.dim[1] * out->type.dim[2];
    for (int64_t n = 0; n < w->type.dim[0]; n++) {
        const float *row = w->data + n * c_count * taps, scale = row_scale(row, c_count * taps);
        for (int64_t c = 0; c < c_count; c++)
            for (int64_t t = 0; t < taps; t++)
                out->data[filter_index(&out->type, n, c, t)] =
                    (float)row_quantized(scale, row[c * taps + t]);
    }
}

void ir_eval_pack_i8_scale(const ir_eval_args *a, ir_tensor *out) {
    const ir_tensor *w = a->in[IR_IN(pack_i8_scale, w)];
    const int64_t count = ir_type_elements(&w->type) / w->type.dim[0], lanes = out->type.dim[1];
    for (int64_t n = 0; n < w->type.dim[0]; n++) {
        const float *row = w->data + n * count, scale = row_scale(row, count);
        double sum = 0;
        for (int64_t i = 0; i < count; i++) sum += row_quantized(scale, row[i]);
        out->data[n] = scale;
        out->data[lanes + n] = (float)sum;
    }
}

/* ---- products ---- */

typedef struct product {
    const struct ir_attrs_conv2d_i8 *at;
    const ir_eval_args *a;
    const ir_tensor *x;
    int64_t h, w, kh, kw, row; /* of x (tokens: one row), of the filter; bytes of a pixel */
    int8_t *filter;            /* [N][taps][C] */
} product;

/* The sum of the window that begins at (y, x) of image b for row n of the filter, scaled. */
static double product_at(const product *p, int64_t b, int64_t y, int64_t x, int64_t n) {
    const float *scales = p->a->in[IR_IN(conv2d_i8, scale)]->data;
    const int64_t lanes = p->a->in[IR_IN(conv2d_i8, scale)]->type.dim[1], c = p->at->channels;
    int64_t sum = 0;
    const float *first = p->x->data + ((b * p->h + y) * p->w + x) * p->row;
    const int8_t *f = p->filter + n * p->kh * p->kw * c;
    for (int64_t i = 0; i < p->kh; i++)
        for (int64_t j = 0; j < p->kw; j++, f += c) {
            const float *pixel = first + (i * p->w + j) * p->row;
            for (int64_t k = 0; k < c; k++) sum += (int64_t)pixel[k] * f[k];
        }
    const record r = get_record(first, p->row);
    sum -= r.zero * (int64_t)scales[lanes + n];
    return (double)(float)sum * (double)r.scale * (double)scales[n];
}

static int8_t *read_filter(const ir_tensor *w, int64_t n_count, int64_t c_count) {
    const int64_t taps = w->type.dim[1] * w->type.dim[2];
    int8_t *f = base_alloc((size_t)(n_count * taps * c_count)), *to = f;
    for (int64_t n = 0; n < n_count; n++)
        for (int64_t t = 0; t < taps; t++)
            for (int64_t c = 0; c < c_count; c++)
                *to++ = (int8_t)w->data[filter_index(&w->type, n, c, t)];
    return f;
}

/* Before the activation: bias and tbias of channel n of image b. */
static double added(const ir_eval_args *a, int64_t b, int64_t n) {
    const ir_tensor *bias = a->in[IR_IN(conv2d_i8, bias)], *tbias = a->in[IR_IN(conv2d_i8, tbias)];
    double y = bias ? (double)bias->data[n] : 0;
    if (tbias) {
        int64_t row = tbias->type.dim[0] == 1 ? 0 : b;
        y += (double)tbias->data[row * tbias->type.dim[1] + n];
    }
    return y;
}

static void image_products(const product *p, ir_tensor *out) {
    const ir_tensor *residual = p->a->in[IR_IN(conv2d_i8, residual)];
    const int64_t *y = out->type.dim;
    for (int64_t i = 0; i < y[0] * y[1] * y[2] * y[3]; i++) {
        const int64_t b = i / (y[1] * y[2] * y[3]), n = i / (y[2] * y[3]) % y[1],
                      row = i / y[3] % y[2], col = i % y[3];
        double v;
        if (p->at->phases) /* rows and columns 2i + r begin at i + r of the padded image */
            v = product_at(p, b, row / 2 + row % 2, col / 2 + col % 2,
                           (row % 2 * 2 + col % 2) * ir_round_block(p->at->n) + n);
        else
            v = product_at(p, b, row * p->at->stride.v[0], col * p->at->stride.v[1], n);
        v += added(p->a, b, n);
        if (residual) v += (double)residual->data[i];
        out->data[i] = (float)ir_eval_act(p->at->act, v);
    }
}

static void token_products(const product *p, ir_tensor *out) {
    const ir_tensor *residual = p->a->in[IR_IN(conv2d_i8, residual)];
    const int64_t tokens = out->type.dim[1], width = out->type.dim[2];
    for (int64_t i = 0; i < out->type.dim[0] * tokens * width; i++) {
        const int64_t b = i / (tokens * width), t = i / width % tokens, n = i % width;
        if (p->at->geglu) {
            const int64_t at = n / IR_BLOCK * 2 * IR_BLOCK + n % IR_BLOCK, gate = at + IR_BLOCK;
            const double value = product_at(p, b, 0, t, at) + added(p->a, b, at);
            out->data[i] = (float)(value * ir_eval_act(IR_ACT_GELU, product_at(p, b, 0, t, gate) +
                                                                        added(p->a, b, gate)));
            continue;
        }
        double v = product_at(p, b, 0, t, n) + added(p->a, b, n);
        if (residual) v += (double)residual->data[i];
        out->data[i] = (float)ir_eval_act(p->at->act, v);
    }
}

void ir_eval_conv2d_i8(const ir_eval_args *a, ir_tensor *out) {
    const ir_tensor *x = a->in[IR_IN(conv2d_i8, x)], *w = a->in[IR_IN(conv2d_i8, w)];
    const bool image = x->type.rank == 4;
    product p = {.at = IR_ATTRS(a->node, conv2d_i8),
                 .a = a,
                 .x = x,
                 .h = image ? x->type.dim[1] : 1,
                 .w = image ? x->type.dim[2] : x->type.dim[1],
                 .kh = w->type.dim[1],
                 .kw = w->type.dim[2],
                 .row = x->type.dim[x->type.rank - 1]};
    p.filter = read_filter(w, p.at->phases ? 4 * ir_round_block(p.at->n) : p.at->n, p.at->channels);
    if (image)
        image_products(&p, out);
    else
        token_products(&p, out);
    base_free(p.filter);
}
