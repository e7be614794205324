/* upsample_phases: a 3x3 convolution of an input read at twice its size becomes four 2x2
 * convolutions of the input.
 *
 *   before   %2 = pack_conv_weight @w : f32[20,20,3,3,16,16]
 *            %3 = conv2d %0, %2, %1 {pad=[1,1,1,1], upsample=[64,64], n=320} : f32[1,320,64,64]:c16
 *   after    %2 = phase_filter @w : f32[1280,320,2,2]
 *            %3 = pack_conv_weight %2 : f32[80,20,2,2,16,16]
 *            %4 = conv2d_phases %0, %3, %1 {n=320} : f32[1,320,64,64]:c16
 *
 * Nearest-neighbour doubling gives each value twice in a row, so that of three taps two always read
 * the same one: their sum is a tap of its own. Which two depends on whether the output's row and
 * column are odd: four filters of 2x2 for one of 3x3, that is 16 products where there were 36, and
 * 16/9 of the weights. In lower precision the sums of taps are rounded, not the taps.
 *
 * here    after choose_winograd, which takes the convolutions that are faster still by Winograd;
 *         before kernels are selected
 * not     other factors than two; filters that are themselves computed; products in int8, which
 *         lower_int8 takes phase by phase itself
 * tests   tests/lit/passes/upsample_phases/, tests/unit/passes/passes_test.c */
#include "passes/manager/match.h"

static const char PASS_NAME[] = "upsample_phases", WHAT[] = "3x3 conv2d of a doubled input";

/* A convolution that reads its input at another size by a filter of 3x3. */
static bool is_candidate(const ir_func *f, const ir_node *n) {
    if (n->op != IR_OP_conv2d || IR_ATTRS(n, conv2d)->upsample.v[0] == 0) return false;
    const ir_type *w = ir_typeof(f, n->operand[IR_IN(conv2d, w)]);
    return w->rank >= 6 && w->dim[2] == 3 && w->dim[3] == 3;
}

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old);
    if (!is_candidate(rw->from, n)) return IR_NONE;
    pass_decision d = {.c = rw->user, .pass = PASS_NAME, .f = rw->from, .node = old, .what = WHAT};
    if (!pass_decided(&d, pass_is_doubled(rw->from, n, &d.why))) return IR_NONE;
    const struct ir_attrs_conv2d *a = IR_ATTRS(n, conv2d);
    const ir_node *pack = ir_get(rw->from, n->operand[IR_IN(conv2d, w)]);
    ir_ref w = rw_new(rw, pack->operand[IR_IN(pack_conv_weight, w)]);
    w = ir_op1(rw->to, IR_OP_phase_filter, w, NULL, pack->origin);
    w = ir_op1(rw->to, IR_OP_pack_conv_weight, w, pack->attrs, pack->origin);
    struct ir_attrs_phases at = {
        .pre_act = a->pre_act, .act = a->act, .n = a->n, .precision = a->precision};
    ir_node conv = rw_draft(rw, old);
    conv.op = IR_OP_conv2d_phases;
    conv.attrs = &at;
    ir_set_operand(&conv, IR_IN(conv2d_phases, w), w);
    return rw_build(rw, &conv);
}

bool pass_upsample_phases(pass_context *c, ir_func *f) {
    return ir_rewrite_apply(f, rule, c, true);
}
