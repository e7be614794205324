/* Evaluator: ops that only move elements, and embeddings. */
#include "ir/eval/eval.h"

#include <math.h>
#include <string.h>

static void same_order(const ir_eval_args *a, ir_tensor *out) {
    memcpy(out->data, a->in[0]->data, (size_t)ir_type_elements(&out->type) * sizeof(float));
}

void ir_eval_reshape(const ir_eval_args *a, ir_tensor *out) {
    same_order(a, out);
}

void ir_eval_layout_cast(const ir_eval_args *a, ir_tensor *out) {
    same_order(a, out);
}

void ir_eval_copy(const ir_eval_args *a, ir_tensor *out) {
    same_order(a, out);
}

/* [outer][m][n] -> [outer][n][m] */
static void swap_axes(const float *x, float *y, int64_t outer, int64_t m, int64_t n) {
    for (int64_t o = 0; o < outer; o++, x += m * n, y += m * n)
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) y[j * m + i] = x[i * n + j];
}

/* Between c16 image and c16 tokens the channel axis moves, [B,C,H,W] <-> [B,H*W,C]; everything else
 * is a reshape. */
void ir_eval_view(const ir_eval_args *a, ir_tensor *out) {
    const ir_type *x = ir_typeof(a->f, a->node->operand[IR_IN(view, x)]), *y = &a->node->type;
    bool blocked = x->layout == IR_C16 && y->layout == IR_C16;
    if (blocked && x->rank == 4 && y->rank == 3)
        swap_axes(a->in[IR_IN(view, x)]->data, out->data, x->dim[0], x->dim[1],
                  x->dim[2] * x->dim[3]);
    else if (blocked && x->rank == 3 && y->rank == 4)
        swap_axes(a->in[IR_IN(view, x)]->data, out->data, x->dim[0], x->dim[1], x->dim[2]);
    else
        same_order(a, out);
}

/* Result axis i is operand axis perm[i]. */
void ir_eval_transpose(const ir_eval_args *a, ir_tensor *out) {
    const ir_type *x = &a->in[IR_IN(transpose, x)]->type, *y = &out->type;
    const ir_dims *perm = &IR_ATTRS(a->node, transpose)->perm;
    int64_t own[IR_MAX_RANK], stride[IR_MAX_RANK], index[IR_MAX_RANK] = {0}, step = 1,
                                                   n = ir_type_elements(y);
    for (uint32_t i = x->rank; i-- > 0; step *= x->dim[i]) own[i] = step;
    for (uint32_t i = 0; i < y->rank; i++) stride[i] = own[perm->v[i]];
    const float *from = a->in[IR_IN(transpose, x)]->data;
    for (int64_t e = 0; e < n; e++) {
        out->data[e] = *from;
        for (uint32_t i = y->rank; i-- > 0;) {
            from += stride[i];
            if (++index[i] < y->dim[i]) break;
            from -= stride[i] * y->dim[i];
            index[i] = 0;
        }
    }
}

/* The product of the extents of axes [first, last). */
static int64_t extent(const ir_type *t, int64_t first, int64_t last) {
    int64_t n = 1;
    for (int64_t i = first; i < last; i++) n *= t->dim[i];
    return n;
}

void ir_eval_concat(const ir_eval_args *a, ir_tensor *out) {
    int64_t axis = IR_ATTRS(a->node, axis)->axis, outer = extent(&out->type, 0, axis);
    float *to = out->data;
    for (int64_t o = 0; o < outer; o++)
        for (uint32_t k = 0; k < a->node->operand_count; k++) {
            if (!a->in[k]) continue;
            int64_t n = extent(&a->in[k]->type, axis, a->in[k]->type.rank);
            memcpy(to, a->in[k]->data + o * n, (size_t)n * sizeof *to);
            to += n;
        }
}

void ir_eval_slice(const ir_eval_args *a, ir_tensor *out) {
    const struct ir_attrs_slice *at = IR_ATTRS(a->node, slice);
    const ir_type *x = &a->in[IR_IN(slice, x)]->type;
    int64_t inner = extent(x, at->axis + 1, x->rank), n = at->count * inner;
    for (int64_t o = 0; o < extent(x, 0, at->axis); o++) {
        int64_t from = (o * x->dim[at->axis] + at->start) * inner;
        memcpy(out->data + o * n, a->in[IR_IN(slice, x)]->data + from, (size_t)n * sizeof(float));
    }
}

/* Rows of the table by id, ids outside it read the nearest row; + row t of position. Tables may be
 * padded on the right. */
void ir_eval_embedding(const ir_eval_args *a, ir_tensor *out) {
    const ir_tensor *ids = a->in[IR_IN(embedding, ids)], *table = a->in[IR_IN(embedding, table)],
                    *position = a->in[IR_IN(embedding, position)];
    int64_t n = out->type.dim[out->type.rank - 1], rows = ir_type_elements(&ids->type);
    int64_t tokens = ids->type.rank > 1 ? ids->type.dim[ids->type.rank - 1] : 1;
    double last = (double)(table->type.dim[0] - 1);
    for (int64_t r = 0; r < rows; r++) {
        double id = (double)ids->data[r];
        int64_t row = (int64_t)(id > 0 ? fmin(id, last) : 0); /* NaN, which is no id, reads row 0 */
        const float *from = table->data + row * table->type.dim[1];
        const float *add = position ? position->data + r % tokens * position->type.dim[1] : NULL;
        for (int64_t i = 0; i < n; i++)
            out->data[r * n + i] = add ? (float)((double)from[i] + (double)add[i]) : from[i];
    }
}

/* One row of tokens for each first index: see attrs.def. */
void ir_eval_select_row(const ir_eval_args *a, ir_tensor *out) {
    const ir_tensor *x = a->in[IR_IN(select_row, x)], *ids = a->in[IR_IN(select_row, ids)];
    int64_t wanted = IR_ATTRS(a->node, select_row)->id, tokens = x->type.dim[1], n = x->type.dim[2];
    for (int64_t b = 0; b < x->type.dim[0]; b++) {
        const float *id = ids->data + b * tokens;
        int64_t row = 0;
        for (int64_t t = tokens; wanted >= 0 && t-- > 0;)
            if (id[t] == (float)wanted) row = t;
        for (int64_t t = 1; wanted < 0 && t < tokens; t++)
            if (id[t] > id[row]) row = t;
        memcpy(out->data + b * n, x->data + (b * tokens + row) * n, (size_t)n * sizeof(float));
    }
}

/* The row with the least sum of squared differences. A distance that is no number is not nearer. */
void ir_eval_nearest(const ir_eval_args *a, ir_tensor *out) {
    const ir_tensor *x = a->in[IR_IN(nearest, x)], *table = a->in[IR_IN(nearest, table)];
    int64_t tokens = ir_type_elements(&out->type), n = x->type.dim[2], rows = table->type.dim[0];
    for (int64_t t = 0; t < tokens; t++) {
        double least = INFINITY;
        out->data[t] = 0;
        for (int64_t v = 0; v < rows; v++) {
            double sum = 0;
            for (int64_t i = 0; i < n; i++) {
                double d =
                    (double)x->data[t * n + i] - (double)table->data[v * table->type.dim[1] + i];
                sum += d * d;
            }
            if (!(sum < least)) continue;
            least = sum;
            out->data[t] = (float)v;
        }
    }
}

/* Sinusoids of t (see attrs.def). Here the steps are rounded to binary32 one by one, in the order
 * in which networks are trained with them: t reaches 1000, so that the rounding of an angle, not of
 * its sine, is what shows in the result. */
void ir_eval_timestep_embedding(const ir_eval_args *a, ir_tensor *out) {
    const struct ir_attrs_timestep *at = IR_ATTRS(a->node, timestep);
    int64_t half = at->dim / 2,
            count = ir_type_elements(&a->in[IR_IN(timestep_embedding, t)]->type);
    int64_t sines = at->flip ? half : 0, cosines = at->flip ? 0 : half;
    for (int64_t b = 0; b < out->type.dim[0]; b++)
        for (int64_t i = 0; i < half; i++) {
            float exponent = (float)-log(at->max_period) * (float)i;
            exponent = exponent / (float)((double)half - at->shift);
            float angle =
                a->in[IR_IN(timestep_embedding, t)]->data[b % count] * (float)exp((double)exponent);
            angle = (float)at->scale * angle;
            out->data[b * at->dim + sines + i] = (float)sin((double)angle);
            out->data[b * at->dim + cosines + i] = (float)cos((double)angle);
        }
}
