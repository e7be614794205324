/* choose_winograd: 3x3 convolutions of stride 1 are computed by Winograd where that is
 * faster.
 *
 *   before   %2 = pack_conv_weight @w : f32[20,20,3,3,16,16]
 *            %3 = conv2d %0, %2, %1 {pad=[1,1,1,1], n=320} : f32[1,320,64,64]:c16
 *   after    %2 = pack_winograd_weight @w : f32[36,20,20,16,16]
 *            %3 = conv2d_winograd %0, %2, %1 {n=320} : f32[1,320,64,64]:c16
 *
 * F(4x4,3x3) needs a quarter of the direct sum's products and four times its weights, F(2x2,3x3)
 * 4/9 and 16/9; both add transforms of inputs and outputs. So the choice is one of work against
 * weights read from memory, made for each filter once over all functions that use it: two versions
 * of a filter would both be stored. The estimate counts products, with memory and transforms in the
 * same unit; it depends on nothing but shapes and the vectors of the program's widest level, so
 * that all levels share their weights. Where the target knows from tuning records what all three
 * forms take in all uses, these times decide.
 *
 * here    after pack_weights, which says what is a filter; before kernels are selected
 * not     filters that are themselves computed (slices of one tensor, folded products); strides;
 *         what lower_precision has lowered
 * tests   tests/lit/passes/choose_winograd/, tests/unit/passes/passes_golden_test.c */
#include "passes/manager/match.h"

static const char PASS_NAME[] = "choose_winograd", WHAT[] = "conv2d by Winograd";
enum { DIRECT, F2, F4, FORMS };

/* In products: the transforms of one channel of a tile, coming and going, and below what of its peak
 * the multiply reaches. The knob `memory` is one byte of weights from memory, where a vector has 16
 * of them (with half as wide ones memory is half as dear). Fitted to the times that `ebru tune`
 * takes of 102 filters of five networks in all forms, on two cores of a Zen 4 EPYC; memory is set
 * between what it costs there (3) and what more cores on one memory make of it. */
static const double TRANSFORM_IN[FORMS] = {0, 270, 1300}, TRANSFORM_OUT[FORMS] = {0, 130, 450};
static const double EFFICIENCY = 0.87;
/* A faster form must be this much faster to be worth its larger weights, on disk and in memory. */
static double least_gain(const pass_context *c, int form) {
    return form == F2   ? 1 / pass_knob(c, PASS_KNOB_choose_winograd_f23)
           : form == F4 ? 1 / pass_knob(c, PASS_KNOB_choose_winograd_f43)
                        : 1;
}

/* Of one filter, over all uses. */
typedef struct costs {
    double estimate[FORMS], ns[FORMS];
    uint32_t uses, measured; /* uses that all forms were measured for */
    bool left_out;           /* some use: the filter would have two forms */
} costs;

typedef struct choices {
    pass_context *c;
    costs *of; /* a filter: index of the weight */
} choices;

/* Minimal filtering is for 3x3; other filters are not looked at. */
static bool is_candidate(const ir_func *f, const ir_node *n) {
    if (n->op != IR_OP_conv2d) return false;
    const ir_type *w = ir_typeof(f, n->operand[IR_IN(conv2d, w)]);
    return w->rank >= 6 && w->dim[2] == 3 && w->dim[3] == 3;
}

/* The weight that a candidate's filter is packed from; UINT32_MAX and a reason where it does not
 * fit. */
static uint32_t filter_of(const ir_func *f, const ir_node *n, base_str *why) {
    const ir_node *pack = ir_get(f, n->operand[IR_IN(conv2d, w)]);
    const struct ir_attrs_conv2d *a = IR_ATTRS(n, conv2d);
    if (a->precision != IR_PRECISION_F32) {
        base_str_addf(why, "its products are in %s, and the transforms need f32",
                      ir_precision_name[a->precision]);
    } else if (pack->op != IR_OP_pack_conv_weight ||
               ir_get(f, pack->operand[IR_IN(pack_conv_weight, w)])->op != IR_OP_weight) {
        base_str_add(why, "the filter is computed");
    } else if (a->stride.v[0] != 1 || a->stride.v[1] != 1) {
        base_str_addf(why, "the stride is %lldx%lld", (long long)a->stride.v[0],
                      (long long)a->stride.v[1]);
    } else {
        return (uint32_t)IR_ATTRS(ir_get(f, pack->operand[IR_IN(pack_conv_weight, w)]), weight)
            ->index;
    }
    return UINT32_MAX;
}

static double blocks(int64_t n) {
    return (double)(ir_round_block(n));
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

/* Adds the three forms' costs of one use, for one picture. */
static void add_cost(const pass_context *context, const ir_func *f, const ir_node *n,
                     double cost[FORMS]) {
    uint32_t lanes = context->target ? context->target->lanes : 0;
    double memory = pass_knob(context, PASS_KNOB_choose_winograd_memory);
    if (lanes) memory = memory * lanes / 16;
    ir_ref second = ir_operand(n, IR_IN(conv2d, x1));
    double c = blocks(ir_typeof(f, n->operand[IR_IN(conv2d, x)])->dim[1]);
    if (ir_ref_ok(second)) c += blocks(ir_typeof(f, second)->dim[1]);
    double out = blocks(n->type.dim[1]), batch = (double)n->type.dim[0] / pictures(f);
    const struct ir_attrs_conv2d *a = IR_ATTRS(n, conv2d);
    const ir_type *x = ir_typeof(f, n->operand[IR_IN(conv2d, x)]);
    /* a doubled input is four filters of 2x2 for 2x2 outputs (upsample_phases) */
    bool doubled = a->upsample.v[0] == 2 * x->dim[2] && a->upsample.v[1] == 2 * x->dim[3];
    for (int form = DIRECT; form < FORMS; form++) {
        int64_t m = form == F4 ? 4 : form == F2 || doubled ? 2 : 1;
        double products = (double)((m + 2) * (m + 2)) * c * out;
        double tiles =
            batch * (double)((n->type.dim[2] + m - 1) / m) * (double)((n->type.dim[3] + m - 1) / m);
        cost[form] +=
            tiles * (products / EFFICIENCY + TRANSFORM_IN[form] * c + TRANSFORM_OUT[form] * out) +
            products * 4 * memory;
    }
}

/* Adds what the three forms were measured to take. */
static void add_measured(const pass_context *c, ir_func *f, uint32_t node, costs *k) {
    static const ir_form forms[FORMS] = {IR_FORM_DIRECT, IR_FORM_WINOGRAD_2, IR_FORM_WINOGRAD_4};
    double ns[FORMS] = {0};
    bool all = true;
    for (int form = DIRECT; form < FORMS && all; form++) {
        ns[form] = pass_measured(c, f, (ir_ref){node}, forms[form]);
        all = ns[form] > 0;
    }
    k->uses++;
    k->measured += all;
    for (int form = DIRECT; form < FORMS && all; form++) k->ns[form] += ns[form];
}

static bool is_measured(const costs *k) {
    return k->measured == k->uses;
}
/* The times or estimates that decide. */
static const double *deciding(const costs *k) {
    return is_measured(k) ? k->ns : k->estimate;
}

static int best_form(const pass_context *c, const costs *k) {
    const double *cost = deciding(k);
    const ir_form forced = pass_forced_form(c);
    if (forced == IR_FORM_DIRECT) return DIRECT;
    if (forced == IR_FORM_WINOGRAD_2) return F2;
    if (forced == IR_FORM_WINOGRAD_4) return F4;
    int best = DIRECT;
    for (int form = F2; form < FORMS; form++)
        if (cost[form] * least_gain(c, form) < cost[best] * least_gain(c, best)) best = form;
    return best;
}

static void count_uses(choices *k, ir_func *f) {
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        if (!is_candidate(f, n)) continue;
        base_str why = {0};
        uint32_t w = filter_of(f, n, &why);
        base_str_free(&why);
        if (w == UINT32_MAX) continue;
        k->of[w].left_out |= pass_left_out(k->c, PASS_NAME, f, (ir_ref){i}, NULL);
        add_cost(k->c, f, n, k->of[w].estimate);
        add_measured(k->c, f, i, &k->of[w]);
    }
}

/* Neither form is worth its weights. */
static void say_why_not(const pass_context *c, const costs *of, base_str *why) {
    const double *cost = deciding(of);
    int best = cost[F2] * least_gain(c, F2) < cost[F4] * least_gain(c, F4) ? F2 : F4;
    base_str_addf(why,
                  "F(%d,3) %s at %.2f of the direct sum's time; weights of %s the size pay from "
                  "%.2f on down",
                  best == F2 ? 2 : 4, is_measured(of) ? "was measured" : "is estimated",
                  cost[best] / cost[DIRECT], best == F2 ? "16/9" : "four times",
                  1 / least_gain(c, best));
}

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    choices *k = rw->user;
    const ir_node *n = ir_get(rw->from, old);
    if (!is_candidate(rw->from, n)) return IR_NONE;
    pass_decision d = {k->c, PASS_NAME, rw->from, old, WHAT, {0}};
    uint32_t index = filter_of(rw->from, n, &d.why);
    const costs *of = index == UINT32_MAX ? NULL : &k->of[index];
    int form = of ? best_form(k->c, of) : DIRECT;
    if (of && of->left_out) {
        form = DIRECT;
        if (!pass_left_out(k->c, PASS_NAME, rw->from, old, &d.why))
            pass_no(&d.why, "an op with the same filter is left out, and it would have two forms");
    } else if (of && form == DIRECT) {
        say_why_not(k->c, of, &d.why);
    }
    if (!pass_decided(&d, form != DIRECT)) return IR_NONE;
    const struct ir_attrs_conv2d *a = IR_ATTRS(n, conv2d);
    struct ir_attrs_tile tile = {.tile = form == F2 ? 2 : 4};
    struct ir_attrs_winograd at = {.tile = tile.tile,
                                   .pad = a->pad,
                                   .upsample = a->upsample,
                                   .pre_act = a->pre_act,
                                   .act = a->act,
                                   .n = a->n};
    const ir_node *pack = ir_get(rw->from, n->operand[IR_IN(conv2d, w)]);
    ir_ref w = rw_new(rw, pack->operand[IR_IN(pack_conv_weight, w)]);
    ir_node conv = rw_draft(rw, old);
    conv.op = IR_OP_conv2d_winograd;
    conv.attrs = &at;
    ir_set_operand(&conv, IR_IN(conv2d_winograd, w),
                   ir_op1(rw->to, IR_OP_pack_winograd_weight, w, &tile, pack->origin));
    return rw_build(rw, &conv);
}

bool pass_choose_winograd(pass_context *c, ir_module *m) {
    choices k = {.c = c, .of = base_alloc((m->weights.count + 1) * sizeof(costs))};
    for (uint32_t i = 0; i < m->funcs.count; i++) count_uses(&k, m->funcs.items[i]);
    bool changed = false;
    for (uint32_t i = 0; i < m->funcs.count; i++)
        changed |= ir_rewrite_apply(m->funcs.items[i], rule, &k, true);
    base_free(k.of);
    return changed;
}
