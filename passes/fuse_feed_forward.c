/* fuse_feed_forward: the two linears of a gated feed-forward become one op; the layer between them
 * is not stored.
 *
 *   before   %3 = linear %0, %w1, %b1 {n=2560, geglu=true} : f32[2,4096,1280]:c16
 *            %4 = linear %3, %w2, %b2, %r {n=320} : f32[2,4096,320]:c16
 *   after    %3 = feed_forward %0, %w1, %w2, %b1, %b2, %r {hidden=1280, n=320}
 *                   : f32[2,4096,320]:c16
 *
 * The hidden layer is the largest value of a transformer block, four times its input. The kernel
 * keeps it in scratch, a block of tokens a thread, and so reads both weights once a block: half of
 * L2 holds about a hundred tokens of 1280 hidden channels, where a linear's tasks have several
 * hundred. So it is asked that the hidden layer of one picture be at least twice the weights: then
 * weights are small beside what is saved, and tokens are at least six times the channels. Measured
 * on AVX-512, one thread, 4096 tokens: 320->1280->320 89.6 ms, apart 96.3; 640->2560->640 365 ms,
 * apart 387 (kernel_bench v4 5 =feed_forward). The batch does not count: functions of one network
 * choose alike. Where the target knows from tuning records what the two linears take and what the
 * one op, these times decide.
 *
 * here    after pack_weights; before kernels are selected and memory is planned
 * not     other activations between the layers: those networks have few tokens
 * tests   tests/lit/passes/fuse_feed_forward/, tests/unit/kernels/kernel_feed_forward_test.c,
 *         eval_test.c */
#include "passes/manager/match.h"

static const char PASS_NAME[] = "fuse_feed_forward", WHAT[] = "linear, geglu, linear";

/* Whether it was measured to be faster, or asked for: 1 yes, 0 no, and why not, -1 nobody says. */
static int measured(const pass_context *c, ir_func *f, ir_ref first, ir_ref second, base_str *why) {
    const ir_form forced = pass_forced(c).form;
    const ir_precision p = IR_ATTRS(ir_get(f, second), linear)->precision;
    const ir_way fused_way = {IR_FORM_FUSED, p}, direct = {IR_FORM_DIRECT, p};
    if (forced == IR_FORM_FUSED) return 1;
    if (forced == IR_FORM_DIRECT) {
        base_str_add(why, "two linears are asked for");
        return 0;
    }
    double fused = pass_measured(c, f, second, fused_way), a = pass_measured(c, f, first, direct),
           b = pass_measured(c, f, second, direct);
    if (!(fused > 0 && a > 0 && b > 0)) return -1;
    if (fused < a + b) return 1;
    base_str_addf(why, "it was measured at %.2f of the two linears' time", fused / (a + b));
    return 0;
}

/* Whether the second linear of tokens and the first, which it reads, may be one; else why not. */
static bool fits(const ir_rewrite *rw, ir_ref old, ir_ref from, base_str *why) {
    const ir_node *second = ir_get(rw->from, old);
    const ir_node *first = ir_get(rw->from, from);
    const struct ir_attrs_linear *a = IR_ATTRS(second, linear);
    if (a->geglu || a->act != IR_ACT_NONE)
        return pass_no(why, "the second linear has an activation");
    if (first->type.rank != 3) return pass_no(why, "the hidden layer is not of tokens");
    if (a->precision != IR_ATTRS(first, linear)->precision)
        return pass_no(why, "the linears have two precisions");
    if (!pass_sole_use(rw, from, why)) return false;
    const int faster = measured(rw->user, rw->from, from, old, why);
    if (faster >= 0) return faster == 1;
    int64_t hidden = first->type.dim[1] * first->type.dim[2] * 4;
    int64_t weights =
        (int64_t)(ir_type_bytes(ir_typeof(rw->from, first->operand[IR_IN(linear, w)])) +
                  ir_type_bytes(ir_typeof(rw->from, second->operand[IR_IN(linear, w)])));
    double ratio = pass_knob(rw->user, PASS_KNOB_fuse_feed_forward_ratio);
    return (double)hidden >= ratio * (double)weights ||
           pass_no(why,
                   "a picture's hidden layer has %lld KiB, less than %g times the weights' %lld "
                   "KiB",
                   (long long)hidden / 1024, ratio, (long long)weights / 1024);
}

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old);
    if (n->op != IR_OP_linear) return IR_NONE;
    ir_ref x = n->operand[IR_IN(linear, x)];
    if (ir_get(rw->from, x)->op != IR_OP_linear || !IR_ATTRS(ir_get(rw->from, x), linear)->geglu)
        return IR_NONE;
    pass_decision d = {.c = rw->user, .pass = PASS_NAME, .f = rw->from, .node = old, .what = WHAT};
    if (!pass_decided(&d, fits(rw, old, x, &d.why))) return IR_NONE;
    ir_node first = rw_draft(rw, x), second = rw_draft(rw, old);
    struct ir_attrs_feed_forward a = {.hidden = first.type.dim[2],
                                      .n = second.type.dim[2],
                                      .precision = IR_ATTRS(n, linear)->precision};
    ir_node both = {
        .op = IR_OP_feed_forward,
        .operand_count = IR_OPERANDS(feed_forward),
        .operand = {[IR_IN(feed_forward, x)] = IR_OPERAND(&first, linear, x),
                    [IR_IN(feed_forward, w1)] = IR_OPERAND(&first, linear, w),
                    [IR_IN(feed_forward, w2)] = IR_OPERAND(&second, linear, w),
                    [IR_IN(feed_forward, b1)] = IR_OPERAND(&first, linear, bias),
                    [IR_IN(feed_forward, b2)] = IR_OPERAND(&second, linear, bias),
                    [IR_IN(feed_forward, residual)] = IR_OPERAND(&second, linear, residual)},
        .attrs = &a,
        .type = second.type,
        .origin = second.origin};
    return rw_build(rw, &both);
}

bool pass_fuse_feed_forward(pass_context *c, ir_func *f) {
    return ir_rewrite_apply(f, rule, c, true);
}
