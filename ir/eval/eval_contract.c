/* Evaluator: conv2d, linear and matmul. All three are products of rows with a matrix of columns in
 * binary64; what differs is how the matrix is filled. */
#include "ir/eval/eval.h"

/* Columns are taken in runs whose matrix stays in the cache. */
enum { PANEL_ELEMENTS = 1 << 17 };

double *ir_panels_new(int64_t k_count, int64_t cols) {
    return base_alloc((size_t)((cols + IR_PANEL - 1) / IR_PANEL * IR_PANEL * k_count) *
                      sizeof(double));
}

void ir_panels_row(double *y, const double *w, const double *x, int64_t k_count, int64_t cols) {
    for (int64_t j = 0; j < cols; j += IR_PANEL, x += k_count * IR_PANEL) {
        double sum[IR_PANEL] = {0};
        for (int64_t k = 0; k < k_count; k++)
            for (int i = 0; i < IR_PANEL; i++) sum[i] += w[k] * x[k * IR_PANEL + i];
        for (int64_t i = 0; i < IR_PANEL && j + i < cols; i++) y[j + i] = sum[i];
    }
}

static int64_t run_length(int64_t k_count, int64_t cols) {
    int64_t n = PANEL_ELEMENTS / (k_count * IR_PANEL) * IR_PANEL;
    if (n < IR_PANEL) n = IR_PANEL;
    return n < cols ? n : cols;
}

static void widen(double *to, const float *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] = (double)from[i];
}

/* One row of a filter in binary64. */
typedef struct filter_row {
    double *hi, *lo; /* lo: the second half of what hi owns */
} filter_row;

static filter_row row_new(int64_t k_count) {
    double *both = base_alloc((size_t)k_count * 2 * sizeof *both);
    return (filter_row){both, both + k_count};
}

static void row_read(const filter_row *to, const ir_filter *from, int64_t n, int64_t k_count) {
    widen(to->hi, from->hi + n * k_count, k_count);
    if (from->lo) widen(to->lo, from->lo + n * k_count, k_count);
}

/* ---- conv2d ---- */

typedef struct conv {
    const struct ir_attrs_conv2d *at;
    int64_t c, h, w; /* the input as stored, channels of x and x1 together */
    int64_t kh, kw;
    int64_t n, oh, ow; /* result */
    /* Per (tap, output index): the input row or column it reads, -1 in the padding. */
    int64_t *row, *col;
} conv;

/* The input positions along one axis, [taps][out]: output o, tap t reads o*stride + t - pad of the
 * axis resized to `size` (nearest: source = floor(i * in / size)). */
static int64_t *axis_map(int64_t taps, int64_t out, int64_t stride, int64_t pad, int64_t in,
                         int64_t size) {
    int64_t *map = base_alloc((size_t)(taps * out) * sizeof *map);
    for (int64_t t = 0; t < taps; t++)
        for (int64_t o = 0; o < out; o++) {
            int64_t i = o * stride + t - pad;
            map[t * out + o] = i < 0 || i >= size ? -1 : i * in / size;
        }
    return map;
}

void ir_eval_conv_image(const ir_eval_args *a, ir_act pre_act, int64_t b, double *image) {
    const ir_tensor *x = a->in[IR_IN(conv2d, x)], *x1 = a->in[IR_IN(conv2d, x1)],
                    *norm = a->in[IR_IN(conv2d, norm)];
    int64_t p = x->type.dim[2] * x->type.dim[3], c0 = x->type.dim[1], c1 = x1 ? x1->type.dim[1] : 0;
    for (int64_t c = 0; c < c0 + c1; c++) {
        const float *src = c < c0 ? x->data + (b * c0 + c) * p : x1->data + (b * c1 + c - c0) * p;
        double scale = 1, shift = 0;
        if (norm) ir_eval_stats(norm, b, c, &scale, &shift);
        for (int64_t i = 0; i < p; i++) {
            double value = (double)src[i];
            if (norm) value = value * scale + shift;
            image[c * p + i] = ir_eval_act(pre_act, value);
        }
    }
}

/* The columns of output pixels [first, first + count): row (c, y, x) of the matrix holds what tap
 * (y, x) of channel c reads. */
static void conv_columns(const conv *v, const double *image, double *cols, int64_t first,
                         int64_t count) {
    int64_t k_count = v->c * v->kh * v->kw;
    for (int64_t j = 0; j < count; j++) {
        int64_t oy = (first + j) / v->ow, ox = (first + j) % v->ow;
        double *to = cols + ir_panel_index(k_count, 0, j);
        for (int64_t c = 0; c < v->c; c++)
            for (int64_t y = 0; y < v->kh; y++) {
                int64_t row = v->row[y * v->oh + oy];
                const double *from = image + (c * v->h + (row < 0 ? 0 : row)) * v->w;
                for (int64_t x = 0; x < v->kw; x++, to += IR_PANEL) {
                    int64_t col = v->col[x * v->ow + ox];
                    *to = row < 0 || col < 0 ? 0 : from[col];
                }
            }
    }
}

void ir_eval_conv_finish(const ir_eval_args *a, ir_act act, int64_t b, int64_t n, const double *sum,
                         int64_t first, int64_t count, ir_tensor *out) {
    const ir_tensor *bias = a->in[IR_IN(conv2d, bias)], *tbias = a->in[IR_IN(conv2d, tbias)],
                    *residual = a->in[IR_IN(conv2d, residual)];
    const int64_t *y = out->type.dim;
    int64_t at = (b * y[1] + n) * y[2] * y[3] + first;
    double add = bias ? (double)bias->data[n] : 0;
    if (tbias) {
        int64_t row = tbias->type.dim[0] == 1 ? 0 : b;
        add += (double)tbias->data[row * tbias->type.dim[1] + n];
    }
    for (int64_t j = 0; j < count; j++) {
        double value = sum[j] + add;
        if (residual) value += (double)residual->data[at + j];
        out->data[at + j] = (float)ir_eval_act(act, value);
    }
}

void ir_eval_conv2d(const ir_eval_args *a, ir_tensor *out) {
    const ir_type *x = &a->in[IR_IN(conv2d, x)]->type, *w = &a->in[IR_IN(conv2d, w)]->type,
                  *y = &out->type;
    conv v = {.at = IR_ATTRS(a->node, conv2d),
              .c = x->dim[1],
              .h = x->dim[2],
              .w = x->dim[3],
              .kh = w->dim[2],
              .kw = w->dim[3],
              .n = y->dim[1],
              .oh = y->dim[2],
              .ow = y->dim[3]};
    if (a->in[IR_IN(conv2d, x1)]) v.c += a->in[IR_IN(conv2d, x1)]->type.dim[1];
    bool resized = v.at->upsample.v[0] > 0;
    v.row = axis_map(v.kh, v.oh, v.at->stride.v[0], v.at->pad.v[0], v.h,
                     resized ? v.at->upsample.v[0] : v.h);
    v.col = axis_map(v.kw, v.ow, v.at->stride.v[1], v.at->pad.v[1], v.w,
                     resized ? v.at->upsample.v[1] : v.w);

    ir_precision precision = v.at->precision;
    int64_t k_count = v.c * v.kh * v.kw, pixels = v.oh * v.ow, run = run_length(k_count, pixels);
    int64_t size = v.c * v.h * v.w;
    ir_filter filter = ir_eval_filter(a->in[IR_IN(conv2d, w)], v.n, v.c);
    double *image = base_alloc((size_t)size * 2 * sizeof *image), *upper = image + size;
    ir_columns cols = ir_columns_new(precision, k_count, run);
    filter_row row = row_new(k_count);
    double *sum = base_alloc((size_t)run * sizeof *sum);
    for (int64_t b = 0; b < x->dim[0]; b++) {
        ir_eval_conv_image(a, v.at->pre_act, b, image);
        ir_eval_lower(precision, image, upper, size);
        for (int64_t first = 0; first < pixels; first += run) {
            int64_t count = first + run < pixels ? run : pixels - first;
            conv_columns(&v, image, cols.all, first, count);
            if (cols.hi) conv_columns(&v, upper, cols.hi, first, count);
            for (int64_t n = 0; n < v.n; n++) {
                row_read(&row, &filter, n, k_count);
                ir_columns_row(sum, row.hi, row.lo, &cols, count);
                ir_eval_conv_finish(a, v.at->act, b, n, sum, first, count, out);
            }
        }
    }
    base_free(sum);
    base_free(row.hi);
    ir_columns_free(&cols);
    base_free(image);
    base_free(filter.owned);
    base_free(v.col);
    base_free(v.row);
}

/* ---- linear ---- */

/* One row of values and gates, in turns of 16, to half as many results. */
static void join_gates(const float *row, float *out, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        const float *value = row + i / IR_BLOCK * 2 * IR_BLOCK + i % IR_BLOCK;
        out[i] = (float)((double)value[0] * ir_eval_act(IR_ACT_GELU, (double)value[IR_BLOCK]));
    }
}

/* y[m, n] = act(sum over k of x[m, k] w[n, k] + bias[n] + residual[m, n]), n < n_count; the columns
 * of the product are rows of x. */
static void linear_rows(const float *x, int64_t rows, int64_t k_count, ir_precision precision,
                        const ir_tensor *weight, int64_t n_count, const ir_tensor *bias,
                        const ir_tensor *residual, ir_act act, float *result) {
    int64_t run = run_length(k_count, rows);
    ir_filter filter = ir_eval_filter(weight, n_count, k_count);
    ir_columns cols = ir_columns_new(precision, k_count, run);
    filter_row row = row_new(k_count);
    double *sum = base_alloc((size_t)run * sizeof *sum);
    for (int64_t first = 0; first < rows; first += run) {
        int64_t count = first + run < rows ? run : rows - first;
        for (int64_t j = 0; j < count; j++) {
            const float *from = x + (first + j) * k_count;
            for (int64_t k = 0; k < k_count; k++)
                ir_columns_set(&cols, ir_panel_index(k_count, k, j), (double)from[k]);
        }
        for (int64_t n = 0; n < n_count; n++) {
            row_read(&row, &filter, n, k_count);
            ir_columns_row(sum, row.hi, row.lo, &cols, count);
            for (int64_t j = 0; j < count; j++) {
                int64_t i = (first + j) * n_count + n;
                double y = sum[j] + (bias ? (double)bias->data[n] : 0);
                if (residual) y += (double)residual->data[i];
                result[i] = (float)ir_eval_act(act, y);
            }
        }
    }
    base_free(sum);
    base_free(row.hi);
    ir_columns_free(&cols);
    base_free(filter.owned);
}

/* A linear that takes geglu in: [rows, k] to [rows, width]. */
static void geglu_rows(const float *x, int64_t rows, int64_t k_count, ir_precision precision,
                       const ir_tensor *w, const ir_tensor *bias, int64_t width, float *out) {
    float *both = base_alloc((size_t)(rows * 2 * width) * sizeof *both);
    linear_rows(x, rows, k_count, precision, w, 2 * width, bias, NULL, IR_ACT_NONE, both);
    for (int64_t m = 0; m < rows; m++) join_gates(both + m * 2 * width, out + m * width, width);
    base_free(both);
}

void ir_eval_linear(const ir_eval_args *a, ir_tensor *out) {
    const ir_tensor *x = a->in[IR_IN(linear, x)];
    const struct ir_attrs_linear *at = IR_ATTRS(a->node, linear);
    int64_t k_count = x->type.dim[x->type.rank - 1], width = out->type.dim[out->type.rank - 1];
    int64_t rows = ir_type_elements(&x->type) / k_count;
    if (at->geglu)
        geglu_rows(x->data, rows, k_count, at->precision, a->in[IR_IN(linear, w)],
                   a->in[IR_IN(linear, bias)], width, out->data);
    else
        linear_rows(x->data, rows, k_count, at->precision, a->in[IR_IN(linear, w)], width,
                    a->in[IR_IN(linear, bias)], a->in[IR_IN(linear, residual)], at->act, out->data);
}

void ir_eval_feed_forward(const ir_eval_args *a, ir_tensor *out) {
    const ir_tensor *x = a->in[IR_IN(feed_forward, x)];
    const struct ir_attrs_feed_forward *at = IR_ATTRS(a->node, feed_forward);
    int64_t k_count = x->type.dim[x->type.rank - 1], rows = ir_type_elements(&x->type) / k_count;
    float *hidden = base_alloc((size_t)(rows * at->hidden) * sizeof *hidden);
    geglu_rows(x->data, rows, k_count, at->precision, a->in[IR_IN(feed_forward, w1)],
               a->in[IR_IN(feed_forward, b1)], at->hidden, hidden);
    linear_rows(hidden, rows, at->hidden, at->precision, a->in[IR_IN(feed_forward, w2)], at->n,
                a->in[IR_IN(feed_forward, b2)], a->in[IR_IN(feed_forward, residual)], IR_ACT_NONE,
                out->data);
    base_free(hidden);
}

/* ---- matmul ---- */

/* Which matrix of t belongs to batch `index` of the result: the axes before the last two broadcast
 * as in numpy. */
static int64_t batch_of(const ir_type *t, const ir_type *out, int64_t index) {
    int64_t result = 0, step = 1;
    for (uint32_t i = 3; i <= out->rank; i++) {
        int64_t extent = out->dim[out->rank - i], k = index % extent;
        index /= extent;
        if (i > t->rank) continue;
        int64_t own = t->dim[t->rank - i];
        if (own > 1) result += k * step;
        step *= own;
    }
    return result;
}

/* scale * a b, or a b^T; a [..., M, K], b [..., K, N] ([..., N, K]). */
void ir_eval_matmul(const ir_eval_args *a, ir_tensor *out) {
    const ir_type *ta = &a->in[IR_IN(matmul, a)]->type, *tb = &a->in[IR_IN(matmul, b)]->type,
                  *ty = &out->type;
    const struct ir_attrs_matmul *at = IR_ATTRS(a->node, matmul);
    int64_t m_count = ty->dim[ty->rank - 2], n_count = ty->dim[ty->rank - 1],
            k_count = ta->dim[ta->rank - 1];
    int64_t batches = ir_type_elements(ty) / (m_count * n_count);
    int64_t step_k = at->transpose_b ? 1 : n_count, step_n = at->transpose_b ? k_count : 1;
    double *cols = ir_panels_new(k_count, n_count);
    double *row = base_alloc((size_t)k_count * sizeof *row),
           *sum = base_alloc((size_t)n_count * sizeof *sum);
    for (int64_t i = 0; i < batches; i++) {
        const float *ma = a->in[IR_IN(matmul, a)]->data + batch_of(ta, ty, i) * m_count * k_count;
        const float *mb = a->in[IR_IN(matmul, b)]->data + batch_of(tb, ty, i) * k_count * n_count;
        float *my = out->data + i * m_count * n_count;
        for (int64_t k = 0; k < k_count; k++)
            for (int64_t n = 0; n < n_count; n++)
                cols[ir_panel_index(k_count, k, n)] = (double)mb[k * step_k + n * step_n];
        for (int64_t m = 0; m < m_count; m++) {
            widen(row, ma + m * k_count, k_count);
            ir_panels_row(sum, row, cols, k_count, n_count);
            for (int64_t n = 0; n < n_count; n++) my[m * n_count + n] = (float)(sum[n] * at->scale);
        }
    }
    base_free(sum);
    base_free(row);
    base_free(cols);
}
