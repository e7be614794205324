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
 * of a filter would both be stored. It is made by the costs of manager/forms.c, by which
 * lower_precision has decided what is multiplied in which precision: here the best form in that
 * precision is carried out.
 *
 * here    after pack_weights, which says what is a filter, and lower_precision; before kernels are
 *         selected
 * not     filters that are themselves computed (slices of one tensor, folded products); strides
 * tests   tests/lit/passes/choose_winograd/, tests/unit/passes/passes_golden_test.c */
#include "base/lora_slots.h"
#include "passes/manager/forms.h"
#include "passes/manager/match.h"

static const char PASS_NAME[] = "choose_winograd", WHAT[] = "conv2d by Winograd";

typedef struct choices {
    pass_context *c;
    pass_costs *of; /* a filter: weight and precision, see costs_of */
    bool *used;     /* the same: by a function that is no twin (base/lora_slots.h) */
} choices;

/* Minimal filtering is for 3x3; other filters are not looked at. */
static bool is_candidate(const ir_func *f, const ir_node *n) {
    if (n->op != IR_OP_conv2d) return false;
    const ir_type *w = ir_typeof(f, n->operand[IR_IN(conv2d, w)]);
    return w->rank >= 6 && w->dim[2] == 3 && w->dim[3] == 3;
}

/* The costs of a candidate's filter in the precision it is packed in; NULL and a reason where
 * Winograd is not for it. */
static pass_costs *costs_of(const choices *k, const ir_func *f, const ir_node *n, base_str *why) {
    uint32_t weight;
    if (!pass_has_winograd(f, n, &weight, why)) return NULL;
    return &k->of[weight * IR_PRECISION_COUNT + IR_ATTRS(n, conv2d)->precision];
}

/* A twin has a say in filters of its own only. */
static void count_uses(const choices *k, ir_func *f, bool twin) {
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        pass_costs *costs = is_candidate(f, n) ? costs_of(k, f, n, NULL) : NULL;
        if (!costs || (twin && k->used[costs - k->of])) continue;
        k->used[costs - k->of] |= !twin;
        pass_costs_add(costs, k->c, f, (ir_ref){i});
    }
}

static ir_ref winograd(ir_rewrite *rw, ir_ref old, ir_form form) {
    const ir_node *n = ir_get(rw->from, old);
    const struct ir_attrs_conv2d *a = IR_ATTRS(n, conv2d);
    struct ir_attrs_tile tile = {.tile = form == IR_FORM_WINOGRAD_2 ? 2 : 4,
                                 .precision = a->precision};
    struct ir_attrs_winograd at = {.tile = tile.tile,
                                   .pad = a->pad,
                                   .upsample = a->upsample,
                                   .pre_act = a->pre_act,
                                   .act = a->act,
                                   .n = a->n,
                                   .precision = a->precision};
    const ir_node *pack = ir_get(rw->from, n->operand[IR_IN(conv2d, w)]);
    ir_ref w = rw_new(rw, pack->operand[IR_IN(pack_conv_weight, w)]);
    ir_node conv = rw_draft(rw, old);
    conv.op = IR_OP_conv2d_winograd;
    conv.attrs = &at;
    ir_set_operand(&conv, IR_IN(conv2d_winograd, w),
                   ir_op1(rw->to, IR_OP_pack_winograd_weight, w, &tile, pack->origin));
    return rw_build(rw, &conv);
}

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    const choices *k = rw->user;
    const ir_node *n = ir_get(rw->from, old);
    if (!is_candidate(rw->from, n)) return IR_NONE;
    pass_decision d = {.c = k->c, .pass = PASS_NAME, .f = rw->from, .node = old, .what = WHAT};
    const ir_precision p = IR_ATTRS(n, conv2d)->precision;
    const pass_costs *costs = costs_of(k, rw->from, n, &d.why);
    ir_form form = costs ? pass_way(pass_best_way_of(k->c, costs, p)).form : IR_FORM_DIRECT;
    if (costs && costs->direct_only) {
        if (!pass_left_out(k->c, PASS_NAME, rw->from, old, &d.why))
            pass_no(&d.why, "an op with the same filter is left out, and it would have two forms");
    } else if (costs && form == IR_FORM_DIRECT) {
        base_str_addf(&d.why,
                      "the direct sum is best; F(2,3) pays from %.2f of its time on down, "
                      "F(4,3) from %.2f",
                      pass_knob(k->c, PASS_KNOB_choose_winograd_f23),
                      pass_knob(k->c, PASS_KNOB_choose_winograd_f43));
    }
    if (costs) pass_costs_say(k->c, costs, p, &d.costs);
    if (!pass_decided(&d, form != IR_FORM_DIRECT)) return IR_NONE;
    return winograd(rw, old, form);
}

bool pass_choose_winograd(pass_context *c, ir_module *m) {
    choices k = {.c = c};
    k.of = base_alloc((m->weights.count * IR_PRECISION_COUNT + 1) * sizeof *k.of);
    k.used = base_alloc(m->weights.count * IR_PRECISION_COUNT + 1);
    for (int twin = 0; twin < 2; twin++)
        for (uint32_t i = 0; i < m->funcs.count; i++)
            if (base_is_lora_twin(m->funcs.items[i]->name) == (twin == 1))
                count_uses(&k, m->funcs.items[i], twin == 1);
    bool changed = false;
    for (uint32_t i = 0; i < m->funcs.count; i++)
        changed |= ir_rewrite_apply(m->funcs.items[i], rule, &k, true);
    base_free(k.of);
    base_free(k.used);
    return changed;
}
