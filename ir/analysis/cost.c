/* Cost model: arithmetic, weights read, activations moved. Fusion keeps the arithmetic of a
 * function: what becomes a prologue or an epilogue counts as much as it did alone.
 *
 * The column `cost` of ops.def says what an op counts: a number for each element of the result, or
 * by a function here.
 *
 *   contractions      2 M N K, padding counted as if it were read; attention 4 B heads T S d, its
 *                     softmax is not counted
 *   group, layer norm 5 an element: 1 for the mean, 2 for the variance (together: group_stats), 2 to
 *                     apply (norm_apply)
 *   softmax           4 an element: maximum, difference and exponential, sum, quotient
 *   pools             1 an element of each window
 *   elementwise ops   1 an element and function; ew: its number of functions; act and pre_act,
 *                     tbias, residual: 1
 *   what moves, packs 0
 *
 * What depends on weights only (leaves, packing, views and slices of weights) is done by the
 * compiler and costs nothing here. */
#include "ir/ir.h"

#include <string.h>

static const ir_type *operand_type(const ir_func *f, const ir_node *n, uint32_t i) {
    return i < n->operand_count && ir_ref_ok(n->operand[i]) ? ir_typeof(f, n->operand[i]) : NULL;
}

static double elements(const ir_type *t) {
    return t ? (double)ir_type_elements(t) : 0;
}

/* ---- weights ---- */

/* Through packing, views and slices to where a value comes from. */
static ir_ref constant_source(const ir_func *f, ir_ref r) {
    for (;;) {
        const ir_node *n = ir_get(f, r);
        bool through = (ir_op_get(n->op)->flags & (IR_FLAG_PACK | IR_FLAG_VIEW)) ||
                       n->op == IR_OP_slice || n->op == IR_OP_layout_cast || n->op == IR_OP_copy;
        if (!through) return r;
        r = n->operand[0];
    }
}

/* A weight or something made of weights without arithmetic; a concatenation of such things is
 * looked into once. */
static bool is_weight(const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, constant_source(f, r));
    if (n->op == IR_OP_weight) return true;
    if (n->op != IR_OP_concat) return false;
    for (uint32_t k = 0; k < n->operand_count; k++)
        if (ir_ref_ok(n->operand[k]) &&
            ir_get(f, constant_source(f, n->operand[k]))->op != IR_OP_weight)
            return false;
    return true;
}

/* Bytes of a weight operand as packed f32 (or bf16): filters in blocks of 16 by 16 channels,
 * vectors in blocks of 16. */
static uint64_t weight_operand_bytes(const ir_node *n, uint32_t i, const ir_type *t) {
    bool filter = ir_op_get(n->op)->operand_role[i] == IR_ROLE_FILTER;
    int64_t count = ir_type_elements(t);
    if (filter && (t->rank == 2 || t->rank == 4))
        count =
            count / (t->dim[0] * t->dim[1]) * ir_round_block(t->dim[0]) * ir_round_block(t->dim[1]);
    if (t->rank == 1) count = ir_round_block(count);
    if (t->dtype == IR_i8) return (uint64_t)count;
    return (uint64_t)count *
           (t->dtype == IR_bf16 && t->rank == 8 ? sizeof(uint16_t) : sizeof(float));
}

/* ---- arithmetic ---- */

/* All convolutions count as the direct sum over `taps`, so that rates compare. */
static double convolution_flops(const ir_func *f, const ir_node *n, double taps, ir_act pre_act,
                                ir_act act) {
    const ir_type *x = operand_type(f, n, IR_IN(conv2d, x)),
                  *x1 = operand_type(f, n, IR_IN(conv2d, x1));
    double y = elements(&n->type), inputs = elements(x) + elements(x1);
    double channels = (double)(x->dim[1] + (x1 ? x1->dim[1] : 0));
    double flops = 2 * y * channels * taps;
    if (operand_type(f, n, IR_IN(conv2d, norm))) flops += 2 * inputs;
    if (pre_act != IR_ACT_NONE) flops += inputs;
    if (operand_type(f, n, IR_IN(conv2d, tbias))) flops += y;
    if (operand_type(f, n, IR_IN(conv2d, residual))) flops += y;
    return act != IR_ACT_NONE ? flops + y : flops;
}

static double conv2d_flops(const ir_func *f, const ir_node *n) {
    const struct ir_attrs_conv2d *a = IR_ATTRS(n, conv2d);
    const ir_type *w = operand_type(f, n, IR_IN(conv2d, w));
    return convolution_flops(f, n, (double)(w->dim[2] * w->dim[3]), a->pre_act, a->act);
}

static double winograd_flops(const ir_func *f, const ir_node *n) {
    return convolution_flops(f, n, 9, IR_ATTRS(n, winograd)->pre_act, IR_ATTRS(n, winograd)->act);
}

static double phases_flops(const ir_func *f, const ir_node *n) {
    return convolution_flops(f, n, 9, IR_ATTRS(n, phases)->pre_act, IR_ATTRS(n, phases)->act);
}

static double channel_range_flops(const ir_func *f, const ir_node *n) {
    return 2 * (elements(operand_type(f, n, IR_IN(channel_range, x))) +
                elements(operand_type(f, n, IR_IN(channel_range, x1))));
}

/* What conv2d counts of a prologue; the rounding, 2 an element, comes on top. */
static double quantize_flops(const ir_func *f, const ir_node *n) {
    const double inputs = elements(operand_type(f, n, IR_IN(quantize, x))) +
                          elements(operand_type(f, n, IR_IN(quantize, x1)));
    double each = 2;
    if (operand_type(f, n, IR_IN(quantize, norm))) each += 2;
    if (IR_ATTRS(n, quantize)->pre_act != IR_ACT_NONE) each += 1;
    return each * inputs;
}

static double conv2d_i8_flops(const ir_func *f, const ir_node *n) {
    const struct ir_attrs_conv2d_i8 *a = IR_ATTRS(n, conv2d_i8);
    const ir_type *w = operand_type(f, n, IR_IN(conv2d_i8, w));
    const double y = elements(&n->type),
                 taps = a->phases ? 9 : (double)(w->dim[1] * w->dim[2]); /* as conv2d_phases */
    double flops = 2 * y * (double)a->channels * taps * (a->geglu ? 2 : 1);
    if (a->geglu) flops += 2 * y;
    if (operand_type(f, n, IR_IN(conv2d_i8, tbias))) flops += y;
    if (operand_type(f, n, IR_IN(conv2d_i8, residual))) flops += y;
    return a->act != IR_ACT_NONE ? flops + y : flops;
}

static double linear_flops(const ir_func *f, const ir_node *n) {
    const ir_type *x = operand_type(f, n, IR_IN(linear, x));
    bool geglu = IR_ATTRS(n, linear)->geglu;
    double y = elements(&n->type), flops = 2 * y * (double)x->dim[x->rank - 1] * (geglu ? 2 : 1);
    if (geglu) flops += 2 * y;
    if (operand_type(f, n, IR_IN(linear, residual))) flops += y;
    return IR_ATTRS(n, linear)->act != IR_ACT_NONE ? flops + y : flops;
}

/* As the two linears: geglu counts 2 a hidden value. */
static double feed_forward_flops(const ir_func *f, const ir_node *n) {
    const struct ir_attrs_feed_forward *a = IR_ATTRS(n, feed_forward);
    const ir_type *x = operand_type(f, n, IR_IN(feed_forward, x));
    double c = (double)x->dim[x->rank - 1], tokens = elements(x) / c, hidden = (double)a->hidden;
    double flops = tokens * (4 * c * hidden + 2 * hidden + 2 * hidden * (double)a->n);
    return operand_type(f, n, IR_IN(feed_forward, residual)) ? flops + elements(&n->type) : flops;
}

static double matmul_flops(const ir_func *f, const ir_node *n) {
    const ir_type *a = operand_type(f, n, IR_IN(matmul, a));
    return 2 * elements(&n->type) * (double)a->dim[a->rank - 1];
}

/* 2 T S d for the scores and as much for the sums, per batch and head: heads * d is the width of q.
 */
static double attention_over(const ir_type *q, int64_t keys) {
    return 4 * elements(q) * (double)keys;
}

static double attention_flops(const ir_func *f, const ir_node *n) {
    return attention_over(operand_type(f, n, IR_IN(attention, q)),
                          operand_type(f, n, IR_IN(attention, k))->dim[1]);
}

static double attention_tiled_flops(const ir_func *f, const ir_node *n) {
    return attention_over(operand_type(f, n, IR_IN(attention_tiled, q)),
                          IR_ATTRS(n, attention_tiled)->kv_len);
}

static double group_norm_flops(const ir_func *f, const ir_node *n) {
    (void)f;
    return elements(&n->type) * (IR_ATTRS(n, group_norm)->act != IR_ACT_NONE ? 6 : 5);
}

static double group_stats_flops(const ir_func *f, const ir_node *n) {
    return 3 * (elements(operand_type(f, n, IR_IN(group_stats, x))) +
                elements(operand_type(f, n, IR_IN(group_stats, x1))));
}

static double norm_apply_flops(const ir_func *f, const ir_node *n) {
    (void)f;
    return elements(&n->type) * (IR_ATTRS(n, act)->act != IR_ACT_NONE ? 3 : 2);
}

static double pool_flops(const ir_func *f, const ir_node *n) {
    (void)f;
    const ir_i2 *kernel = &IR_ATTRS(n, pool)->kernel;
    return elements(&n->type) * (double)(kernel->v[0] * kernel->v[1]);
}

static double nearest_flops(const ir_func *f, const ir_node *n) {
    const ir_type *x = ir_typeof(f, n->operand[IR_IN(nearest, x)]),
                  *table = ir_typeof(f, n->operand[IR_IN(nearest, table)]);
    return 3.0 * (double)ir_type_elements(x) * (double)table->dim[0];
}

static double ew_flops(const ir_func *f, const ir_node *n) {
    (void)f;
    ir_expr_step steps[IR_EXPR_MAX];
    uint32_t count = ir_expr_parse(IR_ATTRS(n, ew)->expr, steps, NULL), functions = 0;
    for (uint32_t i = 0; i < count; i++) functions += steps[i].kind == IR_EXPR_OP;
    return functions * elements(&n->type);
}

static const struct {
    double each;
    double (*by)(const ir_func *f, const ir_node *n);
} costs[IR_OP_COUNT] = {
#define EACH(n)                                                               {n, NULL}
#define BY(name)                                                              {0, name##_flops}
#define OP(name, attrs, levels, flags, code, layout, cost, operands, summary) cost,
#include "ir/ops.def"
#undef OP
};

static double node_flops(const ir_func *f, const ir_node *n) {
    return costs[n->op].by ? costs[n->op].by(f, n) : costs[n->op].each * elements(&n->type);
}

/* ---- public ---- */

ir_cost ir_node_cost(const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    ir_cost c = {0};
    if ((ir_op_get(n->op)->flags & IR_FLAG_LEAF) || is_weight(f, r)) return c;
    c.flops = node_flops(f, n);
    if (ir_is_view(f, r)) return c;
    for (uint32_t k = 0; k < n->operand_count; k++) {
        if (!ir_ref_ok(n->operand[k])) continue;
        const ir_type *t = ir_typeof(f, n->operand[k]);
        if (!is_weight(f, n->operand[k]))
            c.bytes += ir_type_bytes(t);
        else if (n->op == IR_OP_embedding) /* a row for each id, not the table */
            c.weight_bytes += (uint64_t)ir_type_elements(&n->type) * sizeof(float);
        else
            c.weight_bytes += weight_operand_bytes(n, k, t);
    }
    c.bytes += ir_type_bytes(&n->type);
    return c;
}

ir_cost ir_func_cost(const ir_func *f) {
    ir_cost sum = {0};
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        ir_cost c = ir_node_cost(f, (ir_ref){i});
        sum.flops += c.flops;
        sum.weight_bytes += c.weight_bytes;
        sum.bytes += c.bytes;
    }
    return sum;
}

int64_t ir_parameter_count(const ir_module *m) {
    int64_t sum = 0;
    bool *seen = base_alloc(m->weights.count * sizeof *seen);
    for (size_t i = 0; i < m->funcs.count; i++) {
        const ir_func *f = m->funcs.items[i];
        for (size_t k = 0; k < f->nodes.count; k++) {
            if (f->nodes.items[k].op != IR_OP_weight) continue;
            int64_t index = IR_ATTRS(&f->nodes.items[k], weight)->index;
            if (!seen[index]) sum += ir_type_elements(&m->weights.items[index].type);
            seen[index] = true;
        }
    }
    base_free(seen);
    return sum;
}
