/* Evaluator: softmax and attention. One query at a time against all keys; the tiles of attention_tiled change
 * nothing. */
#include "ir/eval.h"

#include <math.h>

/* In place: x[0..n) becomes its softmax, x[n..all) zero. A NaN makes the row NaN. */
static void softmax_row(double *x, int64_t n, int64_t all) {
    double max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) max = x[i] > max || isnan(x[i]) ? x[i] : max;
    for (int64_t i = 0; i < n; i++) sum += x[i] = exp(x[i] - max);
    for (int64_t i = 0; i < n; i++) x[i] /= sum;
    for (int64_t i = n; i < all; i++) x[i] = 0;
}

static int64_t visible(bool causal, int64_t query, int64_t keys) {
    return causal && query + 1 < keys ? query + 1 : keys;
}

void ir_eval_softmax(const ir_eval_args *a, ir_tensor *out) {
    const ir_type *t = &out->type;
    bool causal = IR_ATTRS(a->node, softmax)->causal;
    int64_t n = t->dim[t->rank - 1], rows = ir_type_elements(t) / n,
            m = t->rank > 1 ? t->dim[t->rank - 2] : 1;
    double *x = ir_alloc((size_t)n * sizeof *x);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < n; i++) x[i] = (double)a->in[0]->data[r * n + i];
        softmax_row(x, visible(causal, r % m, n), n);
        for (int64_t i = 0; i < n; i++) out->data[r * n + i] = (float)x[i];
    }
    ir_free(x);
}

/* One head: queries and results are `t_count` rows of d numbers, `stride` apart; kt is K^T, [d][S], and v
 * [S][d], in panels. */
typedef struct head {
    int64_t t_count, s_count, d, stride;
    const double *kt, *v;
    double scale;
    bool causal;
} head;

static void attend(const head *h, const float *q, float *y) {
    double *query = ir_alloc((size_t)h->d * sizeof *query), *sum = ir_alloc((size_t)h->d * sizeof *sum);
    double *scores = ir_alloc((size_t)h->s_count * sizeof *scores);
    for (int64_t t = 0; t < h->t_count; t++) {
        for (int64_t i = 0; i < h->d; i++) query[i] = (double)q[t * h->stride + i];
        ir_panels_row(scores, query, h->kt, h->d, h->s_count);
        for (int64_t s = 0; s < h->s_count; s++) scores[s] *= h->scale;
        softmax_row(scores, visible(h->causal, t, h->s_count), h->s_count);
        ir_panels_row(sum, scores, h->v, h->s_count, h->d);
        for (int64_t i = 0; i < h->d; i++) y[t * h->stride + i] = (float)sum[i];
    }
    ir_free(scores);
    ir_free(sum);
    ir_free(query);
}

/* y = softmax(scale q k^T) v per head; tokens [B,T,heads*d]. Batch b reads keys and values of batch b mod
 * theirs. */
void ir_eval_attention(const ir_eval_args *a, ir_tensor *out) {
    const struct ir_attrs_attention *at = IR_ATTRS(a->node, attention);
    const ir_type *tq = &a->in[0]->type, *tk = &a->in[1]->type;
    int64_t width = tq->dim[2], d = width / at->heads, s_count = tk->dim[1];
    double *kt = ir_panels_new(d, s_count), *v = ir_panels_new(s_count, d);
    head one = {tq->dim[1], s_count, d, width, kt, v, at->scale, at->causal};
    for (int64_t b = 0; b < tq->dim[0]; b++)
        for (int64_t h = 0; h < at->heads; h++) {
            int64_t from = b % tk->dim[0] * s_count * width + h * d, to = b * tq->dim[1] * width + h * d;
            for (int64_t s = 0; s < s_count; s++)
                for (int64_t i = 0; i < d; i++) {
                    kt[ir_panel_index(d, i, s)] = (double)a->in[1]->data[from + s * width + i];
                    v[ir_panel_index(s_count, s, i)] = (double)a->in[2]->data[from + s * width + i];
                }
            attend(&one, a->in[0]->data + to, out->data + to);
        }
    ir_free(v);
    ir_free(kt);
}

/* The same over packed keys [B,heads,S,d] and values [B,heads,ceil(S/16),d,16]; S is kv_len. */
void ir_eval_attention_tiled(const ir_eval_args *a, ir_tensor *out) {
    const struct ir_attrs_attention_tiled *at = IR_ATTRS(a->node, attention_tiled);
    const ir_type *tq = &a->in[0]->type, *tk = &a->in[1]->type, *tv = &a->in[2]->type;
    int64_t width = tq->dim[2], d = width / at->heads, s_count = at->kv_len;
    int64_t head_k = tk->dim[2] * tk->dim[3], head_v = tv->dim[2] * tv->dim[3] * tv->dim[4];
    double *kt = ir_panels_new(d, s_count), *v = ir_panels_new(s_count, d);
    head one = {tq->dim[1], s_count, d, width, kt, v, at->scale, at->causal};
    for (int64_t b = 0; b < tq->dim[0]; b++)
        for (int64_t h = 0; h < at->heads; h++) {
            const float *pk = a->in[1]->data + (b % tk->dim[0] * at->heads + h) * head_k;
            const float *pv = a->in[2]->data + (b % tv->dim[0] * at->heads + h) * head_v;
            for (int64_t s = 0; s < s_count; s++)
                for (int64_t i = 0; i < d; i++) {
                    int64_t in_v = (s / IR_BLOCK * d + i) * IR_BLOCK + s % IR_BLOCK;
                    kt[ir_panel_index(d, i, s)] = (double)pk[s * d + i];
                    v[ir_panel_index(s_count, s, i)] = (double)pv[in_v];
                }
            int64_t at_q = b * tq->dim[1] * width + h * d;
            attend(&one, a->in[0]->data + at_q, out->data + at_q);
        }
    ir_free(v);
    ir_free(kt);
}
