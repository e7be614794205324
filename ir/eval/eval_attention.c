/* Evaluator: softmax and attention. One query at a time against all keys; the tiles of
 * attention_tiled change nothing. */
#include "ir/eval/eval.h"

#include <math.h>

/* In place: x[0..n) becomes its exponentials relative to the largest, x[n..all) zero; their sum is
 * returned. A NaN makes all NaN. */
static double exponentials(double *x, int64_t n, int64_t all) {
    double max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) max = x[i] > max || isnan(x[i]) ? x[i] : max;
    for (int64_t i = 0; i < n; i++) sum += x[i] = exp(x[i] - max);
    for (int64_t i = n; i < all; i++) x[i] = 0;
    return sum;
}

static int64_t visible(bool causal, int64_t query, int64_t keys) {
    return causal && query + 1 < keys ? query + 1 : keys;
}

void ir_eval_softmax(const ir_eval_args *a, ir_tensor *out) {
    const ir_type *t = &out->type;
    bool causal = IR_ATTRS(a->node, softmax)->causal;
    int64_t n = t->dim[t->rank - 1], rows = ir_type_elements(t) / n,
            m = t->rank > 1 ? t->dim[t->rank - 2] : 1;
    double *x = base_alloc((size_t)n * sizeof *x);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < n; i++) x[i] = (double)a->in[IR_IN(softmax, x)]->data[r * n + i];
        double sum = exponentials(x, visible(causal, r % m, n), n);
        for (int64_t i = 0; i < n; i++) out->data[r * n + i] = (float)(x[i] / sum);
    }
    base_free(x);
}

/* One head: queries and results are `t_count` rows of d numbers, `stride` apart; kt is K^T, [d][S],
 * and v [S][d]. */
typedef struct head {
    int64_t t_count, s_count, d, stride;
    ir_columns kt, v;
    double scale;
    bool causal;
} head;

static head head_new(ir_precision p, const ir_type *q, int64_t heads, int64_t s_count, double scale,
                     bool causal) {
    int64_t d = q->dim[2] / heads;
    return (head){q->dim[1],
                  s_count,
                  d,
                  q->dim[2],
                  ir_columns_new(p, d, s_count),
                  ir_columns_new(p, s_count, d),
                  scale,
                  causal};
}

static void head_free(head *h) {
    ir_columns_free(&h->kt);
    ir_columns_free(&h->v);
}

/* Splits in place: x becomes the upper parts. */
static void split_row(ir_precision p, double *x, double *lo, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = ir_eval_split(p, x[i], &lo[i]);
}

/* The weights enter their products relative to the row's largest, in 0..1, and are divided by their
 * sum, which nothing has rounded, after them. */
static void attend(const head *h, const float *q, float *y) {
    ir_precision p = h->kt.precision;
    double *query = base_alloc((size_t)h->d * 3 * sizeof *query), *sum = query + 2 * h->d;
    double *scores = base_alloc((size_t)h->s_count * 2 * sizeof *scores), *lo = scores + h->s_count;
    for (int64_t t = 0; t < h->t_count; t++) {
        for (int64_t i = 0; i < h->d; i++) query[i] = (double)q[t * h->stride + i];
        split_row(p, query, query + h->d, h->d);
        ir_columns_row(scores, query, query + h->d, &h->kt, h->s_count);
        for (int64_t s = 0; s < h->s_count; s++) scores[s] *= h->scale;
        double all = exponentials(scores, visible(h->causal, t, h->s_count), h->s_count);
        split_row(p, scores, lo, h->s_count);
        ir_columns_row(sum, scores, lo, &h->v, h->d);
        for (int64_t i = 0; i < h->d; i++) y[t * h->stride + i] = (float)(sum[i] / all);
    }
    base_free(scores);
    base_free(query);
}

/* y = softmax(scale q k^T) v per head; tokens [B,T,heads*d]. Batch b reads keys and values of batch
 * b mod theirs. */
void ir_eval_attention(const ir_eval_args *a, ir_tensor *out) {
    const struct ir_attrs_attention *at = IR_ATTRS(a->node, attention);
    const ir_type *tq = &a->in[IR_IN(attention, q)]->type, *tk = &a->in[IR_IN(attention, k)]->type;
    int64_t width = tq->dim[2], s_count = tk->dim[1];
    head one = head_new(at->precision, tq, at->heads, s_count, at->scale, at->causal);
    for (int64_t b = 0; b < tq->dim[0]; b++)
        for (int64_t h = 0; h < at->heads; h++) {
            int64_t from = b % tk->dim[0] * s_count * width + h * one.d;
            int64_t to = b * tq->dim[1] * width + h * one.d;
            for (int64_t s = 0; s < s_count; s++)
                for (int64_t i = 0; i < one.d; i++) {
                    int64_t x = from + s * width + i;
                    ir_columns_set(&one.kt, ir_panel_index(one.d, i, s),
                                   (double)a->in[IR_IN(attention, k)]->data[x]);
                    ir_columns_set(&one.v, ir_panel_index(s_count, s, i),
                                   (double)a->in[IR_IN(attention, v)]->data[x]);
                }
            attend(&one, a->in[IR_IN(attention, q)]->data + to, out->data + to);
        }
    head_free(&one);
}

/* One head of packed keys [S,d] and values [ceil(S/16),d,16], in f32. */
static void read_head(const head *h, const float *k, const float *v) {
    for (int64_t s = 0; s < h->s_count; s++)
        for (int64_t i = 0; i < h->d; i++) {
            int64_t in_v = (s / IR_BLOCK * h->d + i) * IR_BLOCK + s % IR_BLOCK;
            ir_columns_set(&h->kt, ir_panel_index(h->d, i, s), (double)k[s * h->d + i]);
            ir_columns_set(&h->v, ir_panel_index(h->s_count, s, i), (double)v[in_v]);
        }
}

/* One head packed for bf16, [parts] times what ir_bf16_index says; tk and tv are the whole types.
 */
static void read_bf16_head(const head *h, const float *k, const ir_type *tk, const float *v,
                           const ir_type *tv) {
    int64_t keys = tk->dim[4], channels = tv->dim[4];
    int64_t k_part = tk->dim[3] * keys * IR_BF16_BLOCK,
            v_part = tv->dim[3] * channels * IR_BF16_BLOCK;
    bool split = tk->dim[2] == 2;
    for (int64_t s = 0; s < h->s_count; s++)
        for (int64_t i = 0; i < h->d; i++) {
            const float *key = k + ir_bf16_index(keys, s, i),
                        *value = v + ir_bf16_index(channels, i, s);
            ir_columns_set_parts(&h->kt, ir_panel_index(h->d, i, s), (double)*key,
                                 split ? (double)key[k_part] : 0);
            ir_columns_set_parts(&h->v, ir_panel_index(h->s_count, s, i), (double)*value,
                                 split ? (double)value[v_part] : 0);
        }
}

/* The same over packed keys and values; S is kv_len. */
void ir_eval_attention_tiled(const ir_eval_args *a, ir_tensor *out) {
    const struct ir_attrs_attention_tiled *at = IR_ATTRS(a->node, attention_tiled);
    const ir_type *tq = &a->in[IR_IN(attention_tiled, q)]->type,
                  *tk = &a->in[IR_IN(attention_tiled, kp)]->type,
                  *tv = &a->in[IR_IN(attention_tiled, vp)]->type;
    int64_t head_k = ir_type_elements(tk) / (tk->dim[0] * at->heads);
    int64_t head_v = ir_type_elements(tv) / (tv->dim[0] * at->heads);
    head one = head_new(at->precision, tq, at->heads, at->kv_len, at->scale, at->causal);
    for (int64_t b = 0; b < tq->dim[0]; b++)
        for (int64_t h = 0; h < at->heads; h++) {
            const float *k =
                a->in[IR_IN(attention_tiled, kp)]->data + (b % tk->dim[0] * at->heads + h) * head_k;
            const float *v =
                a->in[IR_IN(attention_tiled, vp)]->data + (b % tv->dim[0] * at->heads + h) * head_v;
            if (at->precision == IR_PRECISION_F32)
                read_head(&one, k, v);
            else
                read_bf16_head(&one, k, tk, v, tv);
            int64_t at_q = b * tq->dim[1] * tq->dim[2] + h * one.d;
            attend(&one, a->in[IR_IN(attention_tiled, q)]->data + at_q, out->data + at_q);
        }
    head_free(&one);
}
