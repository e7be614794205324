/* Evaluator: normalisations. Means and variances in two passes, the variance divided by the count (not count
 * - 1). */
#include "ir/eval/eval.h"

#include <math.h>

/* ---- group norm: operands x gamma beta x1?, x [B,C,...], x1 continues the channels ---- */

typedef struct groups {
    const ir_tensor *x, *x1;
    int64_t b, c, p;  /* batches, channels of x and x1 together, elements a channel */
    int64_t c0, size; /* channels of x, channels a group */
    double eps;
} groups;

static groups groups_of(const ir_eval_args *a, int64_t count, double eps) {
    groups g = {.x = a->in[IR_IN(group_norm, x)],
                .x1 = a->in[IR_IN(group_norm, x1)],
                .eps = eps,
                .b = a->in[IR_IN(group_norm, x)]->type.dim[0]};
    g.c = g.c0 = g.x->type.dim[1];
    if (g.x1) g.c += g.x1->type.dim[1];
    g.p = ir_type_elements(&g.x->type) / (g.b * g.c0);
    g.size = g.c / count;
    return g;
}

/* The elements of channel c of batch b. */
static const float *channel(const groups *g, int64_t b, int64_t c) {
    if (c < g->c0) return g->x->data + (b * g->c0 + c) * g->p;
    return g->x1->data + (b * (g->c - g->c0) + c - g->c0) * g->p;
}

static void group_moments(const groups *g, int64_t b, int64_t first, double *mean, double *rstd) {
    double sum = 0, squares = 0, n = (double)(g->size * g->p);
    for (int64_t c = first; c < first + g->size; c++)
        for (int64_t p = 0; p < g->p; p++) sum += (double)channel(g, b, c)[p];
    *mean = sum / n;
    for (int64_t c = first; c < first + g->size; c++)
        for (int64_t p = 0; p < g->p; p++) {
            double d = (double)channel(g, b, c)[p] - *mean;
            squares += d * d;
        }
    *rstd = 1 / sqrt(squares / n + g->eps);
}

/* y = act((x - mean) / sqrt(var + eps) * gamma + beta) */
void ir_eval_group_norm(const ir_eval_args *a, ir_tensor *out) {
    const struct ir_attrs_group_norm *at = IR_ATTRS(a->node, group_norm);
    groups g = groups_of(a, at->groups, at->eps);
    double mean = 0, rstd = 0;
    for (int64_t b = 0; b < g.b; b++)
        for (int64_t c = 0; c < g.c; c++) {
            if (c % g.size == 0) group_moments(&g, b, c, &mean, &rstd);
            double gamma = (double)a->in[IR_IN(group_norm, gamma)]->data[c],
                   beta = (double)a->in[IR_IN(group_norm, beta)]->data[c];
            for (int64_t p = 0; p < g.p; p++) {
                double y = ((double)channel(&g, b, c)[p] - mean) * rstd * gamma + beta;
                out->data[(b * g.c + c) * g.p + p] = (float)ir_eval_act(at->act, y);
            }
        }
}

/* The same as a scale and a shift per channel, [B,2,C rounded up to 16]: scale = gamma / sqrt(var +
 * eps), shift = beta - mean * scale; zero past C. */
void ir_eval_group_stats(const ir_eval_args *a, ir_tensor *out) {
    const struct ir_attrs_stats *at = IR_ATTRS(a->node, stats);
    groups g = groups_of(a, at->groups, at->eps);
    int64_t lanes = out->type.dim[2];
    double mean = 0, rstd = 0;
    for (int64_t b = 0; b < g.b; b++)
        for (int64_t c = 0; c < g.c; c++) {
            if (c % g.size == 0) group_moments(&g, b, c, &mean, &rstd);
            double scale = (double)a->in[IR_IN(group_stats, gamma)]->data[c] * rstd;
            out->data[2 * b * lanes + c] = (float)scale;
            out->data[(2 * b + 1) * lanes + c] =
                (float)((double)a->in[IR_IN(group_stats, beta)]->data[c] - mean * scale);
        }
}

void ir_eval_norm_apply(const ir_eval_args *a, ir_tensor *out) {
    ir_act act = IR_ATTRS(a->node, act)->act;
    int64_t batches = out->type.dim[0], channels = out->type.dim[1];
    int64_t count = ir_type_elements(&out->type) / (batches * channels);
    for (int64_t b = 0; b < batches; b++)
        for (int64_t c = 0; c < channels; c++) {
            double scale, shift;
            ir_eval_stats(a->in[IR_IN(norm_apply, stats)], b, c, &scale, &shift);
            for (int64_t p = 0; p < count; p++) {
                int64_t i = (b * channels + c) * count + p;
                out->data[i] = (float)ir_eval_act(
                    act, (double)a->in[IR_IN(norm_apply, x)]->data[i] * scale + shift);
            }
        }
}

void ir_eval_stats(const ir_tensor *stats, int64_t b, int64_t c, double *scale, double *shift) {
    int64_t lanes = stats->type.dim[2];
    const float *rows = stats->data + b % stats->type.dim[0] * 2 * lanes;
    *scale = (double)rows[c];
    *shift = (double)rows[lanes + c];
}

/* ---- layer norm ---- */

void ir_eval_layer_norm(const ir_eval_args *a, ir_tensor *out) {
    double eps = IR_ATTRS(a->node, norm)->eps;
    int64_t n = out->type.dim[out->type.rank - 1], rows = ir_type_elements(&out->type) / n;
    for (int64_t r = 0; r < rows; r++) {
        const float *x = a->in[IR_IN(layer_norm, x)]->data + r * n;
        double mean = 0, var = 0;
        for (int64_t i = 0; i < n; i++) mean += (double)x[i];
        mean /= (double)n;
        for (int64_t i = 0; i < n; i++) var += ((double)x[i] - mean) * ((double)x[i] - mean);
        double rstd = 1 / sqrt(var / (double)n + eps);
        for (int64_t i = 0; i < n; i++) {
            double y = ((double)x[i] - mean) * rstd;
            out->data[r * n + i] = (float)(y * (double)a->in[IR_IN(layer_norm, gamma)]->data[i] +
                                           (double)a->in[IR_IN(layer_norm, beta)]->data[i]);
        }
    }
}
