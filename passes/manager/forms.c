/* What each way to compute an op costs, and which is taken.
 *
 * The estimate counts products, with memory, transforms and exponentials in the same unit. It
 * depends on nothing but shapes and what the widest of the program's levels has, vectors and units
 * for low precision, so that all levels share their weights. Where the target knows from tuning
 * records what all ways of a class take in all uses, these times decide.
 *
 * A lower class is never slower than a higher one: a way of lower precision is taken where it costs
 * no more than what the filter would be computed by in a higher one. Among equals the smaller
 * weights win. */
#include "passes/manager/forms.h"
#include "passes/manager/manager.h"
#include "passes/manager/match.h"

/* In products: the transforms of one channel of a tile, coming and going, and below what of its peak
 * the multiply reaches. The knob `memory` is one byte of weights from memory, where a vector has 16
 * of them (with half as wide ones memory is half as dear). Fitted to the times that `ebru tune`
 * takes of 102 filters of five networks in all forms, on two cores of a Zen 4 EPYC; memory is set
 * between what it costs there (3) and what more cores on one memory make of it. */
static double transform_in(ir_form form) {
    return form == IR_FORM_WINOGRAD_2 ? 270 : form == IR_FORM_WINOGRAD_4 ? 1300 : 0;
}
static double transform_out(ir_form form) {
    return form == IR_FORM_WINOGRAD_2 ? 130 : form == IR_FORM_WINOGRAD_4 ? 450 : 0;
}
static const double EFFICIENCY = 0.87;
/* In products: an exponential of attention's softmax, with the maximum, the sum and the rounding
 * that go with it. */
static const double EXPONENTIAL = 9;
/* In products: a number of the input as a byte, with its prologue and the look at its range, where
 * kernels in other precisions gather it. Measured on a Zen 4 with vectors of 4, 8 and 16 lanes: 25
 * to 45. */
static const double QUANTIZE = 30;
/* Bytes of a packed weight. */
static double weight_bytes(ir_precision p) {
    return p == IR_PRECISION_F32 ? 4 : p == IR_PRECISION_INT8 ? 1 : 2 * (double)ir_parts(p);
}

ir_way pass_way(uint32_t index) {
    static const ir_way ways[] = {
#define PASS_WAY(ID, form, precision, name) {IR_FORM_##form, IR_PRECISION_##precision},
        PASS_WAYS(PASS_WAY)
#undef PASS_WAY
    };
    return ways[index];
}

const char *pass_way_name(uint32_t index) {
    static const char *const names[] = {
#define PASS_WAY(ID, form, precision, name) name,
        PASS_WAYS(PASS_WAY)
#undef PASS_WAY
    };
    return names[index];
}

/* ---- what is looked at ---- */

bool pass_has_winograd(const ir_func *f, const ir_node *n, uint32_t *weight, base_str *why) {
    const ir_node *pack = ir_get(f, n->operand[IR_IN(conv2d, w)]);
    const struct ir_attrs_conv2d *a = IR_ATTRS(n, conv2d);
    base_str none = {0};
    if (!why) why = &none;
    bool fits = false;
    if (pack->op != IR_OP_pack_conv_weight ||
        ir_get(f, pack->operand[IR_IN(pack_conv_weight, w)])->op != IR_OP_weight)
        base_str_add(why, "the filter is computed");
    else if (a->stride.v[0] != 1 || a->stride.v[1] != 1)
        base_str_addf(why, "the stride is %lldx%lld", (long long)a->stride.v[0],
                      (long long)a->stride.v[1]);
    else
        fits = true;
    if (fits)
        *weight =
            (uint32_t)IR_ATTRS(ir_get(f, pack->operand[IR_IN(pack_conv_weight, w)]), weight)->index;
    base_str_free(&none);
    return fits;
}

/* Minimal filtering is for 3x3. */
static bool is_3x3(const ir_func *f, const ir_node *n) {
    if (n->op != IR_OP_conv2d) return false;
    const ir_type *w = ir_typeof(f, n->operand[IR_IN(conv2d, w)]);
    return w->rank >= 6 && w->dim[2] == 3 && w->dim[3] == 3;
}

static double blocks(int64_t n) {
    return (double)(ir_round_block(n));
}
/* Channels as bytes are packed. */
static double i8_blocks(int64_t n) {
    return (double)((n + IR_I8_BLOCK - 1) / IR_I8_BLOCK * IR_I8_BLOCK);
}

/* Pictures a call of the function computes: the images it is given, one where there are none. Of an
 * input whose halves are equal (guidance) each half is as many. */
static double pictures(const ir_func *f) {
    int64_t least = 0;
    for (size_t i = 0; i < f->inputs.count; i++) {
        const ir_node *n = ir_get(f, f->inputs.items[i]);
        if (n->type.rank != 4) continue;
        const int64_t images = n->type.dim[0] / (IR_ATTRS(n, input)->paired ? 2 : 1);
        if (least == 0 || images < least) least = images;
    }
    return least > 0 ? (double)least : 1;
}

/* ---- estimates ---- */

/* Products of a precision in the time of one in f32. A target that does not say has units for all.
 */
static double rate(const pass_context *c, ir_precision p) {
    const double said = c->target ? c->target->rate[p] : 0;
    return said > 0                 ? said
           : p == IR_PRECISION_F32  ? 1
           : p == IR_PRECISION_INT8 ? 4
                                    : 2 / (double)(2 * ir_parts(p) - 1);
}

bool pass_in_phases(const pass_context *c, const ir_func *f, ir_ref node) {
    const ir_node *n = ir_get(f, node);
    base_str why = {0};
    const bool fits = is_3x3(f, n) && IR_ATTRS(n, conv2d)->upsample.v[0] != 0 &&
                      pass_is_doubled(f, n, &why) && !pass_is_off(c, PASS_INDEX_upsample_phases) &&
                      !pass_left_out(c, pass_get(PASS_INDEX_upsample_phases)->name, f, node, NULL);
    base_str_free(&why);
    return fits;
}

/* What it costs to make bytes of what a conv2d or linear reads, for one picture. */
static double quantization(const pass_context *c, const ir_func *f, ir_ref node) {
    const ir_node *n = ir_get(f, node);
    const ir_type *x = ir_typeof(f, n->operand[0]);
    double numbers = (double)ir_type_elements(x);
    if (n->op == IR_OP_conv2d) {
        const struct ir_attrs_conv2d *a = IR_ATTRS(n, conv2d);
        const ir_ref second = ir_operand(n, IR_IN(conv2d, x1));
        if (ir_ref_ok(second)) numbers += (double)ir_type_elements(ir_typeof(f, second));
        if (a->upsample.v[0] && !pass_in_phases(c, f, node)) /* it is quantized at its full size */
            numbers *=
                (double)(a->upsample.v[0] * a->upsample.v[1]) / (double)(x->dim[2] * x->dim[3]);
    }
    return QUANTIZE * numbers / pictures(f);
}

/* What it costs to read packed weights of so many numbers. */
static double memory(const pass_context *c, double numbers, ir_precision p) {
    uint32_t lanes = c->target ? c->target->lanes : 0;
    double byte = pass_knob(c, PASS_KNOB_choose_winograd_memory);
    return numbers * weight_bytes(p) * (lanes ? byte * lanes / 16 : byte);
}

static double convolution(const pass_context *c, const ir_func *f, ir_ref node, ir_way way) {
    const ir_node *n = ir_get(f, node);
    ir_ref second = ir_operand(n, IR_IN(conv2d, x1));
    const ir_type *x = ir_typeof(f, n->operand[IR_IN(conv2d, x)]),
                  *w = ir_typeof(f, n->operand[IR_IN(conv2d, w)]);
    const bool bytes = way.precision == IR_PRECISION_INT8;
    const int64_t more = ir_ref_ok(second) ? ir_typeof(f, second)->dim[1] : 0;
    const double in = bytes ? i8_blocks(x->dim[1] + more) : blocks(x->dim[1]) + blocks(more);
    const double out = blocks(n->type.dim[1]), batch = (double)n->type.dim[0] / pictures(f);
    const int64_t m = way.form == IR_FORM_WINOGRAD_4                                 ? 4
                      : way.form == IR_FORM_WINOGRAD_2 || pass_in_phases(c, f, node) ? 2
                                                                                     : 1;
    double taps =
        m > 1 ? (double)((m + 2) * (m + 2)) : (w->rank >= 6 ? (double)(w->dim[2] * w->dim[3]) : 1);
    double tiles =
        batch * (double)((n->type.dim[2] + m - 1) / m) * (double)((n->type.dim[3] + m - 1) / m);
    double products = taps * in * out;
    return tiles * (products / (EFFICIENCY * rate(c, way.precision)) + transform_in(way.form) * in +
                    transform_out(way.form) * out) +
           memory(c, products, way.precision) + (bytes ? quantization(c, f, node) : 0);
}

static double linear(const pass_context *c, const ir_func *f, ir_ref node, ir_way way) {
    const ir_node *n = ir_get(f, node);
    const ir_type *x = ir_typeof(f, n->operand[IR_IN(linear, x)]);
    const bool bytes = way.precision == IR_PRECISION_INT8;
    const int64_t channels = x->dim[x->rank - 1];
    const double in = bytes ? i8_blocks(channels) : blocks(channels),
                 out = blocks(IR_ATTRS(n, linear)->n);
    double rows = (double)ir_type_elements(x) / (double)x->dim[x->rank - 1] / pictures(f);
    return rows * in * out / (EFFICIENCY * rate(c, way.precision)) +
           memory(c, in * out, way.precision) + (bytes ? quantization(c, f, node) : 0);
}

static double attention(const pass_context *c, const ir_func *f, const ir_node *n, ir_way way) {
    const ir_type *q = ir_typeof(f, n->operand[IR_IN(attention, q)]),
                  *k = ir_typeof(f, n->operand[IR_IN(attention, k)]);
    double scores = (double)(q->dim[0] * q->dim[1] * k->dim[1]) / pictures(f);
    return scores * (2 * (double)q->dim[2] / (EFFICIENCY * rate(c, way.precision)) +
                     EXPONENTIAL * (double)IR_ATTRS(n, attention)->heads);
}

static double estimate(const pass_context *c, const ir_func *f, ir_ref node, ir_way way) {
    const ir_node *n = ir_get(f, node);
    if (n->op == IR_OP_conv2d) return convolution(c, f, node, way);
    return n->op == IR_OP_linear ? linear(c, f, node, way) : attention(c, f, n, way);
}

/* Records have the time of the products in int8; what makes the bytes is another op, which is
 * counted by its estimated share. */
static double measured(const pass_context *c, ir_func *f, ir_ref node, ir_way way) {
    const double ns = pass_measured(c, f, node, way);
    if (way.precision != IR_PRECISION_INT8 || !(ns > 0)) return ns;
    const double all = estimate(c, f, node, way);
    return ns * all / (all - quantization(c, f, node));
}

void pass_costs_add(pass_costs *costs, const pass_context *c, ir_func *f, ir_ref node) {
    const ir_node *n = ir_get(f, node);
    uint32_t weight;
    const bool winograd = is_3x3(f, n) && pass_has_winograd(f, n, &weight, NULL);
    costs->winograd |= winograd;
    if (winograd)
        costs->direct_only |=
            pass_left_out(c, pass_get(PASS_INDEX_choose_winograd)->name, f, node, NULL);
    costs->uses++;
    for (uint32_t i = 0; i < PASS_WAY_COUNT; i++) {
        ir_way way = pass_way(i);
        if (way.precision == IR_PRECISION_INT8 && n->op == IR_OP_attention) continue;
        if (!winograd) way.form = IR_FORM_DIRECT; /* what such a use stays */
        costs->estimate[i] += estimate(c, f, node, way);
        const double ns = measured(c, f, node, way);
        costs->ns[i] += ns;
        costs->measured[i] += ns > 0;
    }
}

/* ---- the choice ---- */

/* Whether a way is open within a class. */
static bool is_open(const pass_context *c, const pass_costs *k, uint32_t i, ir_precision class) {
    const ir_way way = pass_way(i);
    if (!pass_class_allows(class, way.precision)) return false;
    if (way.precision == IR_PRECISION_INT8 && !k->int8) return false;
    /* what int8 leaves needs a pass to become bf16 */
    if (class == IR_PRECISION_INT8 && way.precision == IR_PRECISION_BF16 &&
        pass_is_off(c, PASS_INDEX_lower_precision))
        return false;
    return way.form == IR_FORM_DIRECT ||
           (k->winograd && !k->direct_only && !pass_is_off(c, PASS_INDEX_choose_winograd));
}

static bool is_measured(const pass_context *c, const pass_costs *k, ir_precision class) {
    for (uint32_t i = 0; i < PASS_WAY_COUNT; i++)
        if (is_open(c, k, i, class) && k->measured[i] < k->uses) return false;
    return true;
}
/* The times or estimates that decide. */
static const double *deciding(const pass_context *c, const pass_costs *k, ir_precision class) {
    return is_measured(c, k, class) ? k->ns : k->estimate;
}

/* A faster form must be this much faster to be worth its larger weights, on disk and in memory. */
static double least_gain(const pass_context *c, ir_form form) {
    return form == IR_FORM_WINOGRAD_2   ? 1 / pass_knob(c, PASS_KNOB_choose_winograd_f23)
           : form == IR_FORM_WINOGRAD_4 ? 1 / pass_knob(c, PASS_KNOB_choose_winograd_f43)
                                        : 1;
}

/* The best of a precision, at most of cost `limit`; `best` where there is none that is better. */
static uint32_t improve(const pass_context *c, const pass_costs *k, ir_precision class,
                        ir_precision p, uint32_t best, double limit) {
    const double *cost = deciding(c, k, class);
    for (uint32_t i = 0; i < PASS_WAY_COUNT; i++) {
        const ir_way way = pass_way(i);
        if (way.precision != p || !is_open(c, k, i, class) || cost[i] > limit) continue;
        if (best == PASS_WAY_COUNT ||
            cost[i] * least_gain(c, way.form) < cost[best] * least_gain(c, pass_way(best).form))
            best = i;
    }
    return best;
}

/* What is asked for, where the op has it. */
static uint32_t forced(const pass_context *c, const pass_costs *k, ir_precision class) {
    const ir_way way = pass_forced(c);
    uint32_t direct = PASS_WAY_COUNT;
    if (way.form == IR_FORM_NONE) return PASS_WAY_COUNT;
    for (uint32_t i = 0; i < PASS_WAY_COUNT; i++) {
        const ir_way w = pass_way(i);
        if (w.precision != way.precision || !is_open(c, k, i, class)) continue;
        if (w.form == way.form) return i;
        if (w.form == IR_FORM_DIRECT) direct = i;
    }
    return direct;
}

uint32_t pass_best_way(const pass_context *c, const pass_costs *k, ir_precision class) {
    const uint32_t asked = forced(c, k, class);
    if (asked < PASS_WAY_COUNT) return asked;
    const double *cost = deciding(c, k, class);
    uint32_t best = improve(c, k, class, IR_PRECISION_F32, PASS_WAY_COUNT, 1 / 0.0);
    for (uint32_t i = 0; i < PASS_WAY_COUNT; i++) { /* a precision's first way stands for it */
        const ir_precision p = pass_way(i).precision;
        if (pass_way(i).form != IR_FORM_DIRECT || p == IR_PRECISION_F32) continue;
        const double longer = p == IR_PRECISION_INT8 ? pass_knob(c, PASS_KNOB_lower_int8_time) : 1;
        const uint32_t first = improve(c, k, class, p, PASS_WAY_COUNT, longer * cost[best]);
        if (first < PASS_WAY_COUNT) best = first;
    }
    return best;
}

uint32_t pass_best_way_of(const pass_context *c, const pass_costs *k, ir_precision precision) {
    const uint32_t best = pass_best_way(c, k, precision);
    if (pass_way(best).precision == precision) return best;
    return improve(c, k, precision, precision, PASS_WAY_COUNT, 1 / 0.0);
}

void pass_costs_say(const pass_context *c, const pass_costs *k, ir_precision class, base_str *out) {
    const bool times = is_measured(c, k, class);
    const double *cost = deciding(c, k, class);
    ir_precision last = IR_PRECISION_COUNT;
    base_str_add(out, times ? "measured" : "estimated");
    for (uint32_t i = 0; i < PASS_WAY_COUNT; i++) {
        const ir_way way = pass_way(i);
        if (!is_open(c, k, i, class)) continue;
        if (way.precision != last)
            base_str_addf(out, "%s %s", last == IR_PRECISION_COUNT ? "" : ";",
                          ir_precision_name[way.precision]);
        base_str_addf(out, "%s %s ", way.precision == last ? "," : "", pass_way_name(i));
        if (times)
            base_str_addf(out, "%.3f ms", cost[i] * 1e-6);
        else
            base_str_addf(out, "%.2f", cost[i] / cost[PASS_WAY_DIRECT]);
        last = way.precision;
    }
}
