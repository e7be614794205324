/* lower_precision: convolutions, linears and attention multiply in bf16, or in three products of
 * bf16.
 *
 *   before   %2 = pack_conv_weight @w : f32[20,20,3,3,16,16]
 *            %3 = conv2d %0, %2, %1 {pad=[1,1,1,1], n=320} : f32[1,320,64,64]:c16
 *   after    %2 = pack_conv_weight @w {precision=bf16} : bf16[20,10,3,3,1,16,16,2]
 *            %3 = conv2d %0, %2, %1 {pad=[1,1,1,1], n=320, precision=bf16} : f32[1,320,64,64]:c16
 *
 * Only what the two operands of a product are rounded to changes: values between ops, sums, norms,
 * softmax and residuals stay f32. With --precision=bf16 a network's error is of the class 2e-2 (rms
 * over rms), with bf16x3 1e-4 as in f32. A class allows what is above it, so what is faster in f32
 * stays in f32: convolutions whose best form is Winograd's, whatever a CPU level has no units for.
 * manager/forms.c compares the ways; choose_winograd carries out their forms.
 *
 * What stays in f32 whatever it costs: convolutions to or from fewer than 16 channels (an image,
 * its noise), whose blocks would be mostly padding and whose error nothing averages; what runs once
 * per schedule (the time embedding), whose error every op of every step would feel, for next to no
 * time. All ops that share a weight go together, because two forms of it would both be stored. And
 * what a quantization file wants in f32.
 *
 * here    after pack_weights; before choose_winograd, and before attention is tiled and
 *         feed-forwards are fused, which carry the precision on
 * not     choosing by measured error; matmuls of two computed values outside of attention
 * tests   tests/lit/passes/lower_precision/, tests/unit/passes/passes_golden_test.c */
#include "passes/manager/filters.h"
#include "passes/manager/match.h"
#include "runtime/abi/meta_keys.h"

static const char PASS_NAME[] = "lower_precision";
enum { W = IR_IN(conv2d, w) }; /* of conv2d and of linear */
_Static_assert(IR_IN(linear, x) == IR_IN(conv2d, x) && IR_IN(linear, w) == W, "filters alike");

typedef struct lowering {
    pass_filters filters; /* first */
    ir_precision to;
    const char *what;
} lowering;

static bool is_candidate(const ir_node *n) {
    if (n->op == IR_OP_conv2d) return IR_ATTRS(n, conv2d)->precision == IR_PRECISION_F32;
    if (n->op == IR_OP_linear) return IR_ATTRS(n, linear)->precision == IR_PRECISION_F32;
    if (n->op == IR_OP_attention) return IR_ATTRS(n, attention)->precision == IR_PRECISION_F32;
    return n->op == IR_OP_matmul;
}

/* ---- one op ---- */

static bool enough(const pass_filters *s, int64_t n, const char *what, base_str *why) {
    double least = pass_knob(s->c, PASS_KNOB_lower_precision_channels);
    return (double)n >= least ||
           pass_no(why, "it %s %lld channels, fewer than %.0f", what, (long long)n, least);
}

/* Channels in and out of a conv or linear. */
static bool filter_fits(const pass_filters *s, const ir_func *f, const ir_node *n, base_str *why) {
    const ir_type *x = ir_typeof(f, n->operand[IR_IN(conv2d, x)]);
    ir_ref second = n->op == IR_OP_conv2d ? IR_OPERAND(n, conv2d, x1) : IR_NONE;
    int64_t in = n->op == IR_OP_conv2d ? x->dim[1] : x->dim[x->rank - 1];
    if (ir_ref_ok(second)) in += ir_typeof(f, second)->dim[1];
    int64_t out = n->op == IR_OP_conv2d ? IR_ATTRS(n, conv2d)->n : IR_ATTRS(n, linear)->n;
    if (ir_get(f, n->operand[W])->op != IR_OP_pack_conv_weight || !s->constant[n->operand[W].id])
        return pass_no(why, "its weight is not packed by the compiler");
    return enough(s, in, "reads", why) && enough(s, out, "gives", why);
}

/* Whether an op may be lowered, whatever becomes of others with its weight. */
static bool fits(const pass_filters *s, const ir_func *f, uint32_t i, base_str *why) {
    const ir_node *n = &f->nodes.items[i];
    if (pass_left_out(s->c, PASS_NAME, f, (ir_ref){i}, why)) return false;
    if (n->op == IR_OP_matmul) return pass_no(why, "matmul has kernels in f32 only");
    if (s->freq[i] == IR_SCHEDULE)
        return pass_no(why, "it runs once per schedule, and every step feels its error");
    if (pass_has_filter(n)) return filter_fits(s, f, n, why);
    int64_t heads = IR_ATTRS(n, attention)->heads;
    return enough(s, n->type.dim[2] / heads, "has heads of", why);
}

/* ---- rewriting ---- */

static ir_ref lowered(ir_rewrite *rw, ir_ref old, ir_precision p) {
    ir_node n = rw_draft(rw, old);
    ir_precision *own = ir_edit_attr(rw->to->module, &n, "precision", IR_ATTR_precision);
    *own = p;
    if (pass_has_filter(&n)) {
        const ir_node *pack = ir_get(rw->from, ir_get(rw->from, old)->operand[W]);
        struct ir_attrs_pack as = {.precision = p};
        ir_ref w = rw_new(rw, pack->operand[IR_IN(pack_conv_weight, w)]);
        ir_set_operand(&n, W, ir_op1(rw->to, IR_OP_pack_conv_weight, w, &as, pack->origin));
    }
    return rw_build(rw, &n);
}

/* Whether the best way to compute the op, with all that share its weights, is in lower precision;
 * what the ways cost is appended to `costs`. */
static bool pays(const lowering *l, ir_func *f, ir_ref node, base_str *costs) {
    const ir_precision class = l->to;
    const pass_filter *filter = pass_filter_of(&l->filters, ir_get(f, node));
    pass_costs own = {0};
    if (!filter) pass_costs_add(&own, l->filters.c, f, node);
    const pass_costs *k = filter ? &filter->costs : &own;
    pass_costs_say(l->filters.c, k, class, costs);
    return pass_way(pass_best_way(l->filters.c, k, class)).precision == class;
}

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    const lowering *l = rw->user;
    const pass_filters *s = &l->filters;
    const ir_node *n = ir_get(rw->from, old);
    if (!is_candidate(n) || s->constant[old.id]) return IR_NONE;
    const pass_filter *filter = pass_filter_of(s, n);
    pass_decision d = {.c = s->c, .pass = PASS_NAME, .f = rw->from, .node = old, .what = l->what};
    bool match = fits(s, rw->from, old.id, &d.why) && pass_filter_allows(filter, l->to, &d.why);
    if (match && filter && filter->kept)
        match = pass_no(&d.why, "its weight serves an op in f32, too");
    if (match && !pays(l, rw->from, old, &d.costs)) match = pass_no(&d.why, "f32 is faster");
    if (!pass_decided(&d, match)) return IR_NONE;
    return lowered(rw, old, l->to);
}

bool pass_lower_precision(pass_context *c, ir_module *m) {
    if (c->options->precision == IR_PRECISION_F32) return false;
    /* of the class int8, what lower_int8 has left */
    const bool rest = c->options->precision == IR_PRECISION_INT8;
    lowering l = {.to = rest ? IR_PRECISION_BF16 : c->options->precision};
    l.what = base_arena_printf(c->arena, "products in %s", ir_precision_name[l.to]);
    pass_filters_begin(&l.filters, c, m, is_candidate, fits);
    bool changed = false;
    for (size_t i = 0; i < m->funcs.count; i++) {
        pass_filters_open(&l.filters, m->funcs.items[i]);
        changed |= ir_rewrite_apply(m->funcs.items[i], rule, &l, true);
        pass_filters_close(&l.filters);
    }
    pass_filters_end(&l.filters);
    if (changed || !ir_meta_get(m, EBRU_META_PRECISION.name))
        ir_meta_set_string(m, EBRU_META_PRECISION.name, ir_precision_name[c->options->precision]);
    return changed;
}
