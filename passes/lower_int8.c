/* lower_int8: convolutions and linears multiply 8-bit integers.
 *
 *   before   %2 = pack_conv_weight @w : f32[20,20,3,3,16,16]
 *            %4 = conv2d %0, %2, %1, _, %3 {pad=[1,1,1,1], pre_act=silu, n=320} :
 *                 f32[1,320,64,64]:c16
 *   after    %2 = pack_i8_weight @w : i8[20,3,3,5,16,16,4]
 *            %4 = pack_i8_scale @w : f32[2,320]
 *            %5 = channel_range %0 : f32[1,2,320]
 *            %6 = quantize %0, _, %3, %5 {pad=[1,1,1,1], pre_act=silu} : u8[1,66,66,336]
 *            %7 = conv2d_i8 %6, %2, %4, %1 {channels=320, n=320} : f32[1,320,64,64]:c16
 *
 * Weights have a scale an output channel. Activations have one an image, or one a token where no
 * window joins pixels (linears, 1x1 convolutions); it is taken from the values themselves when the
 * program runs. Ops that read one value share what quantize makes of it. With --precision=int8 a
 * network's error is of the class 5e-2 (rms over rms). A 3x3 convolution of a doubled input is four
 * of 2x2 (upsample_phases): the input is quantized at its own size, and the sums of taps are
 * rounded, with a scale an output channel and phase. What is not lowered here goes to
 * lower_precision: what another way of the class computes faster (manager/forms.c compares them),
 * or a quantization file wants more precisely; few channels, whose error nothing averages; what
 * does not run in every step, whose error every step would feel, for next to no time; ops that
 * share a weight with one of these; sums that are too long for 32 bits.
 *
 * here    after pack_weights; before lower_precision, which lowers the rest to bf16, and before the
 *         passes that choose other forms of a convolution
 * not     attention, whose weights and scores change with the keys
 * tests   tests/lit/passes/lower_int8/, tests/unit/passes/passes_golden_test.c */
#include "passes/manager/filters.h"
#include "passes/manager/match.h"

static const char PASS_NAME[] = "lower_int8";
enum { W = IR_IN(conv2d, w) }; /* of conv2d and of linear */
_Static_assert(IR_IN(linear, x) == IR_IN(conv2d, x) && IR_IN(linear, w) == W &&
                   IR_IN(linear, bias) == IR_IN(conv2d, bias),
               "operands alike");

/* An op with a filter. */
static bool is_candidate(const ir_node *n) {
    if (n->op == IR_OP_conv2d) return IR_ATTRS(n, conv2d)->precision == IR_PRECISION_F32;
    return n->op == IR_OP_linear && IR_ATTRS(n, linear)->precision == IR_PRECISION_F32;
}

/* ---- one op ---- */

static int64_t channels_in(const ir_func *f, const ir_node *n) {
    const ir_type *x = ir_typeof(f, n->operand[IR_IN(conv2d, x)]);
    if (n->op == IR_OP_linear) return x->dim[x->rank - 1];
    ir_ref x1 = IR_OPERAND(n, conv2d, x1);
    return x->dim[1] + (ir_ref_ok(x1) ? ir_typeof(f, x1)->dim[1] : 0);
}

static int64_t channels_out(const ir_node *n) {
    return n->op == IR_OP_conv2d ? IR_ATTRS(n, conv2d)->n : IR_ATTRS(n, linear)->n;
}

static bool enough(const pass_filters *s, int64_t n, const char *what, base_str *why) {
    double least = pass_knob(s->c, PASS_KNOB_lower_int8_channels);
    return (double)n >= least ||
           pass_no(why, "it %s %lld channels, fewer than %.0f", what, (long long)n, least);
}

/* Norms with a row for each image, activations that quantize knows. */
static bool prologue_fits(const ir_func *f, const ir_node *n, base_str *why) {
    if (n->op == IR_OP_linear)
        return ir_typeof(f, n->operand[0])->rank == 3 || pass_no(why, "its input is no tokens");
    const ir_act act = IR_ATTRS(n, conv2d)->pre_act;
    const ir_ref norm = IR_OPERAND(n, conv2d, norm);
    if (act != IR_ACT_NONE && act != IR_ACT_SILU)
        return pass_no(why, "%s on its way in has no range that is known", ir_act_name[act]);
    return !ir_ref_ok(norm) || ir_typeof(f, norm)->dim[0] == ir_typeof(f, n->operand[0])->dim[0] ||
           pass_no(why, "its norm is one for all images");
}

static bool filter_fits(const pass_filters *s, const ir_func *f, const ir_node *n, base_str *why) {
    const ir_node *pack = ir_get(f, n->operand[W]);
    if (pack->op != IR_OP_pack_conv_weight || !s->constant[n->operand[W].id])
        return pass_no(why, "its weight is not packed by the compiler");
    const ir_type *w = ir_typeof(f, pack->operand[0]);
    const int64_t taps = w->rank == 4 ? w->dim[2] * w->dim[3] : 1, in = channels_in(f, n);
    if (taps > IR_I8_MAX_SUM / in)
        return pass_no(why, "sums of %lld products do not fit 32 bits", (long long)(in * taps));
    return enough(s, in, "reads", why) && enough(s, channels_out(n), "gives", why);
}

/* Whether an op may be lowered, whatever becomes of others with its weight. */
static bool fits(const pass_filters *s, const ir_func *f, uint32_t i, base_str *why) {
    const ir_node *n = &f->nodes.items[i];
    if (pass_left_out(s->c, PASS_NAME, f, (ir_ref){i}, why)) return false;
    if (s->freq[i] != IR_STEP)
        return pass_no(why, "it runs once per %s, and every step feels its error",
                       ir_freq_name[s->freq[i]]);
    return filter_fits(s, f, n, why) && prologue_fits(f, n, why);
}

/* ---- rewriting ---- */

/* What the op reads, as bytes. */
static ir_ref quantized(ir_rewrite *rw, const ir_node *n, const ir_node *w, bool phases,
                        ir_origin_id origin) {
    struct ir_attrs_quantize a = IR_DEFAULTS(quantize);
    ir_ref in[4] = {rw_new(rw, n->operand[IR_IN(conv2d, x)]), IR_NONE, IR_NONE, IR_NONE};
    if (n->op == IR_OP_linear) return ir_build(rw->to, IR_OP_quantize, in, 1, &a, IR_PLAIN, origin);
    const struct ir_attrs_conv2d *c = IR_ATTRS(n, conv2d);
    a.pad = c->pad;
    if (!phases) a.upsample = c->upsample;
    a.pre_act = c->pre_act;
    in[IR_IN(quantize, x1)] =
        ir_ref_ok(IR_OPERAND(n, conv2d, x1)) ? rw_new(rw, IR_OPERAND(n, conv2d, x1)) : IR_NONE;
    in[IR_IN(quantize, norm)] =
        ir_ref_ok(IR_OPERAND(n, conv2d, norm)) ? rw_new(rw, IR_OPERAND(n, conv2d, norm)) : IR_NONE;
    bool joins = w->type.dim[1] * w->type.dim[2] > 1;
    for (int i = 0; i < 4; i++) joins |= a.pad.v[i] != 0;
    if (joins)
        in[IR_IN(quantize, range)] =
            ir_build(rw->to, IR_OP_channel_range, in, 2, NULL, IR_PLAIN, origin);
    return ir_build(rw->to, IR_OP_quantize, in, 4, &a, IR_PLAIN, origin);
}

static ir_ref lowered(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old), *pack = ir_get(rw->from, n->operand[W]);
    ir_ref raw = rw_new(rw, pack->operand[IR_IN(pack_conv_weight, w)]);
    const bool conv = n->op == IR_OP_conv2d;
    struct ir_attrs_conv2d_i8 a = IR_DEFAULTS(conv2d_i8);
    a.channels = channels_in(rw->from, n);
    a.n = channels_out(n);
    if (conv) a.stride = IR_ATTRS(n, conv2d)->stride;
    a.act = conv ? IR_ATTRS(n, conv2d)->act : IR_ATTRS(n, linear)->act;
    a.geglu = !conv && IR_ATTRS(n, linear)->geglu;
    a.phases = pass_in_phases(((const pass_filters *)rw->user)->c, rw->from, old);
    if (a.phases) raw = ir_op1(rw->to, IR_OP_phase_filter, raw, NULL, pack->origin);
    ir_ref in[IR_OPERANDS(conv2d_i8)];
    in[IR_IN(conv2d_i8, w)] = ir_op1(rw->to, IR_OP_pack_i8_weight, raw, NULL, pack->origin);
    in[IR_IN(conv2d_i8, scale)] = ir_op1(rw->to, IR_OP_pack_i8_scale, raw, NULL, pack->origin);
    in[IR_IN(conv2d_i8, x)] =
        quantized(rw, n, ir_get(rw->to, in[IR_IN(conv2d_i8, w)]), a.phases, n->origin);
    const ir_ref rest[] = {
        IR_OPERAND(n, conv2d, bias), conv ? IR_OPERAND(n, conv2d, tbias) : IR_NONE,
        conv ? IR_OPERAND(n, conv2d, residual) : IR_OPERAND(n, linear, residual)};
    for (uint32_t i = 0; i < 3; i++)
        in[IR_IN(conv2d_i8, bias) + i] = ir_ref_ok(rest[i]) ? rw_new(rw, rest[i]) : IR_NONE;
    return ir_build(rw->to, IR_OP_conv2d_i8, in, IR_OPERANDS(conv2d_i8), &a, IR_C16, n->origin);
}

/* Whether it is as fast as what it would be computed by otherwise. */
static bool pays(const pass_filters *s, const pass_filter *filter, base_str *costs) {
    const ir_precision class = IR_PRECISION_INT8;
    pass_costs_say(s->c, &filter->costs, class, costs);
    return pass_way(pass_best_way(s->c, &filter->costs, class)).precision == class;
}

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    const pass_filters *s = rw->user;
    const ir_node *n = ir_get(rw->from, old);
    if (!is_candidate(n) || s->constant[old.id]) return IR_NONE;
    const pass_filter *filter = pass_filter_of(s, n);
    pass_decision d = {.c = s->c,
                       .pass = PASS_NAME,
                       .f = rw->from,
                       .node = old,
                       .what = "products of 8-bit integers"};
    bool match = fits(s, rw->from, old.id, &d.why) &&
                 (filter || pass_no(&d.why, "its filter is made of no weights")) &&
                 pass_filter_allows(filter, IR_PRECISION_INT8, &d.why);
    if (match && filter->kept)
        match = pass_no(&d.why, "its weight serves an op that is not lowered, too");
    if (match && !pays(s, filter, &d.costs)) match = pass_no(&d.why, "another way is faster");
    if (!pass_decided(&d, match)) return IR_NONE;
    return lowered(rw, old);
}

bool pass_lower_int8(pass_context *c, ir_module *m) {
    if (c->options->precision != IR_PRECISION_INT8) return false;
    pass_filters s;
    bool changed = false;
    pass_filters_begin(&s, c, m, is_candidate, fits);
    for (size_t i = 0; i < m->funcs.count; i++) {
        pass_filters_open(&s, m->funcs.items[i]);
        changed |= ir_rewrite_apply(m->funcs.items[i], rule, &s, true);
        pass_filters_close(&s);
    }
    pass_filters_end(&s);
    return changed;
}
