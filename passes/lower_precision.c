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
 * time. All ops that share a weight go together, because two forms of it would both be stored.
 *
 * here    after pack_weights; before choose_winograd, and before attention is tiled and
 *         feed-forwards are fused, which carry the precision on
 * not     choosing by measured error; matmuls of two computed values outside of attention
 * tests   tests/lit/passes/lower_precision/, tests/unit/passes/passes_golden_test.c */
#include "passes/manager/forms.h"
#include "passes/manager/match.h"
#include "runtime/abi/meta_keys.h"

static const char PASS_NAME[] = "lower_precision";
enum { W = IR_IN(conv2d, w) }; /* of conv2d and of linear */
_Static_assert(IR_IN(linear, x) == IR_IN(conv2d, x) && IR_IN(linear, w) == W, "filters alike");

/* Weights that go together, because one filter is made of them, are a set: a tree of indices whose
 * root stands for it. */
typedef struct weight_set {
    uint32_t parent;
    bool kept; /* some op needs it in f32 */
    pass_costs costs;
} weight_set;

typedef struct lowering {
    pass_context *c;
    ir_precision to;
    const char *what;
    weight_set *sets; /* per weight of the module */
    /* of the function at hand, per node */
    ir_freq *freq;
    bool *constant;
    uint32_t *weight; /* of a filter, and of what it is made of: one of its weights; or NONE */
} lowering;
static const uint32_t NONE = UINT32_MAX;

static bool has_filter(const ir_node *n) {
    return n->op == IR_OP_conv2d || n->op == IR_OP_linear;
}

static bool is_candidate(const ir_node *n) {
    if (n->op == IR_OP_conv2d) return IR_ATTRS(n, conv2d)->precision == IR_PRECISION_F32;
    if (n->op == IR_OP_linear) return IR_ATTRS(n, linear)->precision == IR_PRECISION_F32;
    if (n->op == IR_OP_attention) return IR_ATTRS(n, attention)->precision == IR_PRECISION_F32;
    return n->op == IR_OP_matmul;
}

/* ---- one op ---- */

static bool enough(const lowering *l, int64_t n, const char *what, base_str *why) {
    double least = pass_knob(l->c, PASS_KNOB_lower_precision_channels);
    return (double)n >= least ||
           pass_no(why, "it %s %lld channels, fewer than %.0f", what, (long long)n, least);
}

/* Channels in and out of a conv or linear. */
static bool filter_fits(const lowering *l, const ir_func *f, const ir_node *n, base_str *why) {
    const ir_type *x = ir_typeof(f, n->operand[IR_IN(conv2d, x)]);
    ir_ref second = n->op == IR_OP_conv2d ? IR_OPERAND(n, conv2d, x1) : IR_NONE;
    int64_t in = n->op == IR_OP_conv2d ? x->dim[1] : x->dim[x->rank - 1];
    if (ir_ref_ok(second)) in += ir_typeof(f, second)->dim[1];
    int64_t out = n->op == IR_OP_conv2d ? IR_ATTRS(n, conv2d)->n : IR_ATTRS(n, linear)->n;
    if (ir_get(f, n->operand[W])->op != IR_OP_pack_conv_weight || !l->constant[n->operand[W].id])
        return pass_no(why, "its weight is not packed by the compiler");
    return enough(l, in, "reads", why) && enough(l, out, "gives", why);
}

/* Whether an op may be lowered, whatever becomes of others with its weight. */
static bool fits(const lowering *l, const ir_func *f, uint32_t i, base_str *why) {
    const ir_node *n = &f->nodes.items[i];
    if (pass_left_out(l->c, PASS_NAME, f, (ir_ref){i}, why)) return false;
    if (n->op == IR_OP_matmul) return pass_no(why, "matmul has kernels in f32 only");
    if (l->freq[i] == IR_SCHEDULE)
        return pass_no(why, "it runs once per schedule, and every step feels its error");
    if (has_filter(n)) return filter_fits(l, f, n, why);
    int64_t heads = IR_ATTRS(n, attention)->heads;
    return enough(l, n->type.dim[2] / heads, "has heads of", why);
}

/* ---- sets of weights ---- */

static weight_set *set_of(const lowering *l, uint32_t weight) {
    weight_set *all = l->sets;
    while (all[weight].parent != weight)
        weight = all[weight].parent = all[all[weight].parent].parent;
    return &all[weight];
}
/* Of the filter of an op; NULL where it is made of no weights. */
static weight_set *set_of_filter(const lowering *l, const ir_node *n) {
    const uint32_t weight = has_filter(n) ? l->weight[n->operand[W].id] : NONE;
    return weight == NONE ? NULL : set_of(l, weight);
}

/* What node i of the function is made of goes together, and is known by one of the weights. */
static void join_operands(const lowering *l, const ir_func *f, uint32_t i) {
    const ir_node *n = &f->nodes.items[i];
    if (n->op == IR_OP_weight) l->weight[i] = (uint32_t)IR_ATTRS(n, weight)->index;
    for (uint32_t k = 0; k < n->operand_count; k++) {
        if (!ir_ref_ok(n->operand[k]) || l->weight[n->operand[k].id] == NONE) continue;
        const uint32_t other = l->weight[n->operand[k].id];
        if (l->weight[i] == NONE) l->weight[i] = other;
        set_of(l, other)->parent = set_of(l, l->weight[i])->parent;
    }
}

static void open_function(lowering *l, const ir_func *f) {
    const size_t count = f->nodes.count;
    l->freq = ir_frequencies(f);
    l->constant = ir_constants(f);
    l->weight = base_alloc(count * sizeof *l->weight + 1);
    bool *mark = base_alloc(count + 1); /* filters, and what they are made of */
    for (uint32_t i = (uint32_t)count; i-- > 0;) {
        const ir_node *n = &f->nodes.items[i];
        l->weight[i] = NONE;
        if (is_candidate(n) && has_filter(n)) mark[n->operand[W].id] = true;
        for (uint32_t k = 0; k < n->operand_count && mark[i] && l->constant[i]; k++)
            if (ir_ref_ok(n->operand[k])) mark[n->operand[k].id] = true;
    }
    for (uint32_t i = 0; i < count; i++)
        if (mark[i] && l->constant[i]) join_operands(l, f, i);
    base_free(mark);
}

static void close_function(const lowering *l) {
    base_free(l->freq);
    base_free(l->constant);
    base_free(l->weight);
}

/* Adds what the function's ops cost to their weights' sets, and keeps those of ops that cannot be
 * lowered. */
static void count_uses(const lowering *l, ir_func *f) {
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        weight_set *set = is_candidate(n) ? set_of_filter(l, n) : NULL;
        if (!set) continue;
        base_str why = {0};
        set->kept |= !fits(l, f, i, &why);
        base_str_free(&why);
        pass_costs_add(&set->costs, l->c, f, (ir_ref){i});
    }
}

/* ---- rewriting ---- */

static ir_ref lowered(ir_rewrite *rw, ir_ref old, ir_precision p) {
    ir_node n = rw_draft(rw, old);
    ir_precision *own = ir_edit_attr(rw->to->module, &n, "precision", IR_ATTR_precision);
    *own = p;
    if (has_filter(&n)) {
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
    const weight_set *set = set_of_filter(l, ir_get(f, node));
    pass_costs own = {0};
    if (!set) pass_costs_add(&own, l->c, f, node);
    const pass_costs *k = set ? &set->costs : &own;
    pass_costs_say(l->c, k, class, costs);
    return pass_way(pass_best_way(l->c, k, class)).precision == class;
}

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    const lowering *l = rw->user;
    const ir_node *n = ir_get(rw->from, old);
    if (!is_candidate(n) || l->constant[old.id]) return IR_NONE;
    pass_decision d = {.c = l->c, .pass = PASS_NAME, .f = rw->from, .node = old, .what = l->what};
    bool match = fits(l, rw->from, old.id, &d.why);
    if (match && set_of_filter(l, n) && set_of_filter(l, n)->kept)
        match = pass_no(&d.why, "its weight serves an op in f32, too");
    if (match && !pays(l, rw->from, old, &d.costs)) match = pass_no(&d.why, "f32 is faster");
    if (!pass_decided(&d, match)) return IR_NONE;
    return lowered(rw, old, l->to);
}

bool pass_lower_precision(pass_context *c, ir_module *m) {
    if (c->options->precision == IR_PRECISION_F32) return false;
    /* of the class int8, what lower_int8 has left */
    const bool rest = c->options->precision == IR_PRECISION_INT8;
    lowering l = {.c = c,
                  .to = rest ? IR_PRECISION_BF16 : c->options->precision,
                  .sets = base_alloc((m->weights.count + 1) * sizeof *l.sets)};
    l.what = base_arena_printf(c->arena, "products in %s", ir_precision_name[l.to]);
    for (uint32_t i = 0; i < m->weights.count; i++) l.sets[i].parent = i;
    for (int counting = 0; counting < 2;
         counting++) /* all sets are joined before the first count */
        for (size_t i = 0; i < m->funcs.count; i++) {
            open_function(&l, m->funcs.items[i]);
            if (counting) count_uses(&l, m->funcs.items[i]);
            close_function(&l);
        }
    bool changed = false;
    for (size_t i = 0; i < m->funcs.count; i++) {
        open_function(&l, m->funcs.items[i]);
        changed |= ir_rewrite_apply(m->funcs.items[i], rule, &l, true);
        close_function(&l);
    }
    base_free(l.sets);
    if (changed || !ir_meta_get(m, EBRU_META_PRECISION.name))
        ir_meta_set_string(m, EBRU_META_PRECISION.name, ir_precision_name[c->options->precision]);
    return changed;
}
