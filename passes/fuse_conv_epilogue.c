/* fuse_conv_epilogue: what is added to or computed from a conv's or linear's result joins it.
 *
 *   before   %3 = conv2d %0, @w, @b {pad=[1,1,1,1]} : f32[2,64,8,8]
 *            %4 = reshape %1 {shape=[2,64,1,1]} : f32[2,64,1,1]
 *            %5 = add %3, %4 : f32[2,64,8,8]
 *            %6 = add %5, %2 : f32[2,64,8,8]
 *            %7 = relu %6 : f32[2,64,8,8]
 *   after    %3 = conv2d %0, @w, @b, _, _, %1, %2 {pad=[1,1,1,1], act=relu} : f32[2,64,8,8]
 *
 * A linear before geglu takes it in, once its columns are in the kernel's order: 16 values, their
 * 16 gates.
 *
 *   before   %3 = linear %0, @w, @b : f32[2,64,256]
 *            %4 = geglu %3 : f32[2,64,128]
 *   after    %4 = reshape @w {shape=[2,8,16,64]} : f32[2,8,16,64]
 *            %5 = transpose %4 {perm=[1,0,2,3]} : f32[8,2,16,64]
 *            %6 = reshape %5 {shape=[256,64]} : f32[256,64], %7 the same of @b
 *            %8 = linear %0, %6, %7 {geglu=true} : f32[2,64,128]
 *
 * The kernel computes act(conv + bias + tbias + residual), so a slot is filled only while no
 * activation stands yet, and each slot once. Of two convs that are added the later one takes the
 * other as its residual.
 *
 * here    before elementwise chains form
 * not     results with a second user (it wants the value before the addition); operands that
 *         broadcast any other way
 * tests   tests/lit/passes/fuse_conv_epilogue/, tests/unit/passes/passes_test.c */
#include "passes/manager/match.h"

static const char PASS_NAME[] = "fuse_conv_epilogue";
enum { BIAS = IR_IN(conv2d, bias) }; /* of conv2d and of linear */
_Static_assert(IR_IN(linear, bias) == BIAS, "hosts alike");

typedef struct state {
    pass_context *c;
    bool *constant; /* of old nodes */
} state;

static bool is_host(const ir_node *n) {
    return n->op == IR_OP_conv2d || (n->op == IR_OP_linear && !IR_ATTRS(n, linear)->geglu);
}

static ir_act act_of(const ir_node *n) {
    return n->op == IR_OP_conv2d ? IR_ATTRS(n, conv2d)->act : IR_ATTRS(n, linear)->act;
}

/* A host without an activation that nobody but `user` reads: what stands behind it may join. */
static bool is_open(const ir_rewrite *rw, const ir_node *host, ir_ref old, base_str *why) {
    return pass_sole_use(rw, old, why) &&
           (act_of(host) == IR_ACT_NONE ||
            pass_no(why, "%s has activation %s already", ir_op_get(host->op)->name,
                    ir_act_name[act_of(host)]));
}

/* ---- what is added ---- */

/* Where an addend of this shape may go: a slot of the host and the value to put there; false when
 * nowhere. */
typedef struct slot {
    uint32_t index;
    ir_ref value;
    const char *what;
} slot;

/* [B|1,N,1,1] (or without the batch) beside an image is one value a channel. */
static bool is_channel_vector(const ir_type *t, const ir_type *y) {
    if (t->rank == 3) return t->dim[0] == y->dim[1] && t->dim[1] == 1 && t->dim[2] == 1;
    return t->rank == 4 && (t->dim[0] == 1 || t->dim[0] == y->dim[0]) && t->dim[1] == y->dim[1] &&
           t->dim[2] == 1 && t->dim[3] == 1;
}

static bool find_slot(ir_rewrite *rw, const ir_node *host, ir_ref addend, bool constant, slot *out,
                      base_str *why) {
    ir_type t = *ir_typeof(rw->to, addend), y = host->type;
    bool conv = host->op == IR_OP_conv2d;
    int64_t n = conv ? y.dim[1] : y.dim[y.rank - 1];
    if (constant && !ir_ref_ok(ir_operand(host, BIAS)) && ir_type_elements(&t) == n &&
        (conv ? is_channel_vector(&t, &y) : t.dim[t.rank - 1] == n)) {
        *out = (slot){BIAS, pass_reshape(rw->to, addend, 1, &n, host->origin), "bias"};
        return true;
    }
    /* An image of one pixel: either slot would do; the residual needs no reshape. */
    if (ir_shape_equal(&t, &y)) {
        uint32_t index = conv ? IR_IN(conv2d, residual) : IR_IN(linear, residual);
        *out = (slot){index, addend, "residual"};
        return !ir_ref_ok(ir_operand(host, index)) ||
               pass_no(why, "%s has a residual already", ir_op_get(host->op)->name);
    }
    if (conv && is_channel_vector(&t, &y)) {
        *out = (slot){IR_IN(conv2d, tbias), IR_NONE, "time bias"};
        if (ir_ref_ok(IR_OPERAND(host, conv2d, tbias)))
            return pass_no(why, "conv2d has a time bias already");
        int64_t batch = t.rank == 4 ? t.dim[0] : 1;
        const ir_node *r = ir_get(rw->to, addend);
        ir_ref flat = r->op == IR_OP_reshape
                          ? r->operand[0]
                          : IR_NONE; /* linear's [B,N] before it became an image */
        bool is_flat = ir_ref_ok(flat) && ir_typeof(rw->to, flat)->rank == 2 &&
                       ir_typeof(rw->to, flat)->dim[0] == batch;
        out->value =
            is_flat ? flat : pass_reshape(rw->to, addend, 2, (int64_t[]){batch, n}, host->origin);
        return true;
    }
    base_str_add(why, "the other operand broadcasts: ");
    ir_print_type(&t, why);
    return false;
}

static ir_ref join_add(ir_rewrite *rw, ir_ref old, const ir_node *n) {
    const state *s = rw->user;
    ir_ref best = IR_NONE;
    base_str why = {0};
    bool seen = false;
    for (int pick = 0; pick < 2 && !ir_ref_ok(best); pick++) {
        /* The later operand first. */
        uint32_t later = n->operand[1].id > n->operand[0].id, k = pick == 0 ? later : 1 - later;
        ir_node host = *ir_get(rw->to, rw_new(rw, n->operand[k]));
        if (!is_host(&host)) continue;
        if (seen) base_str_add(&why, "; ");
        seen = true;
        slot to;
        if (!ir_shape_equal(&host.type, &n->type)) {
            base_str_addf(&why, "%s broadcasts", ir_op_get(host.op)->name);
            continue;
        }
        if (!is_open(rw, &host, n->operand[k], &why)) continue;
        if (!find_slot(rw, &host, rw_new(rw, n->operand[1 - k]), s->constant[n->operand[1 - k].id],
                       &to, &why))
            continue;
        if (pass_left_out(s->c, PASS_NAME, rw->from, old, &why)) continue;
        char what[64];
        snprintf(what, sizeof what, "%s + %s", ir_op_get(host.op)->name, to.what);
        pass_matched(s->c, PASS_NAME, rw->from, old, what);
        ir_set_operand(&host, to.index, to.value);
        best = rw_build(rw, &host);
    }
    if (seen && !ir_ref_ok(best))
        pass_refused(s->c, PASS_NAME, rw->from, old, "conv or linear + add", "%s", why.data);
    base_str_free(&why);
    return best;
}

/* ---- what is computed ---- */

static ir_ref join_act(ir_rewrite *rw, ir_ref old, const ir_node *n, ir_act act) {
    const state *s = rw->user;
    ir_node host = *ir_get(rw->to, rw_new(rw, n->operand[0]));
    if (!is_host(&host)) return IR_NONE;
    char what[64];
    snprintf(what, sizeof what, "%s + %s", ir_op_get(host.op)->name, ir_act_name[act]);
    pass_decision d = {.c = s->c, .pass = PASS_NAME, .f = rw->from, .node = old, .what = what};
    if (!pass_decided(&d, is_open(rw, &host, n->operand[0], &d.why))) return IR_NONE;
    ir_act *own = ir_edit_attr(rw->to->module, &host, "act", IR_ATTR_act);
    *own = act;
    return rw_build(rw, &host);
}

/* ---- gates ---- */

/* Rows of w (or of the vector b) from values, then gates, to turns of 16. */
static ir_ref in_turns(ir_rewrite *rw, ir_ref w, ir_origin_id origin) {
    ir_type t = *ir_typeof(rw->to, w);
    int64_t rest = ir_type_elements(&t) / t.dim[0];
    int64_t apart[] = {2, t.dim[0] / 2 / IR_BLOCK, IR_BLOCK, rest};
    struct ir_attrs_transpose perm = {.perm = {4, {1, 0, 2, 3}}};
    ir_ref r = pass_reshape(rw->to, w, 4, apart, origin);
    r = ir_op1(rw->to, IR_OP_transpose, r, &perm, origin);
    return pass_reshape(rw->to, r, t.rank, t.dim, origin);
}

/* Whether linear `host` (`from` in the old function) may take in the geglu n that reads it. */
static bool takes_geglu(const ir_rewrite *rw, const ir_node *host, const ir_node *from,
                        const ir_node *n, base_str *why) {
    const bool *constant = ((const state *)rw->user)->constant;
    ir_ref bias = IR_OPERAND(from, linear, bias);
    int64_t width = n->type.dim[n->type.rank - 1];
    if (!pass_sole_use(rw, n->operand[IR_IN(geglu, x)], why)) return false;
    if (act_of(host) != IR_ACT_NONE || ir_ref_ok(IR_OPERAND(host, linear, residual)))
        return pass_no(why, "linear has a residual or an activation already");
    if (width % IR_BLOCK != 0)
        return pass_no(why, "%lld channels are no blocks of %d", (long long)width, IR_BLOCK);
    return (constant[from->operand[IR_IN(linear, w)].id] &&
            (!ir_ref_ok(bias) || constant[bias.id])) ||
           pass_no(why, "the columns are computed at run time");
}

static ir_ref join_geglu(ir_rewrite *rw, ir_ref old, const ir_node *n) {
    ir_ref x = n->operand[IR_IN(geglu, x)];
    ir_node host = *ir_get(rw->to, rw_new(rw, x));
    const ir_node *from = ir_get(rw->from, x);
    if (host.op != IR_OP_linear || from->op != IR_OP_linear) return IR_NONE;
    pass_decision d = {
        ((const state *)rw->user)->c, PASS_NAME, rw->from, old, "linear + geglu", {0}, {0}};
    if (!pass_decided(&d, takes_geglu(rw, &host, from, n, &d.why))) return IR_NONE;
    struct ir_attrs_linear a = *IR_ATTRS(&host, linear);
    a.geglu = true;
    ir_ref w = in_turns(rw, IR_OPERAND(&host, linear, w), host.origin);
    ir_ref bias = IR_OPERAND(&host, linear, bias);
    ir_set_operand(&host, IR_IN(linear, w), w);
    if (ir_ref_ok(bias)) ir_set_operand(&host, BIAS, in_turns(rw, bias, host.origin));
    host.attrs = &a;
    return rw_build(rw, &host);
}

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old);
    if (((const state *)rw->user)->constant[old.id]) return IR_NONE;
    if (n->op == IR_OP_geglu) return join_geglu(rw, old, n);
    if (n->op == IR_OP_add) return join_add(rw, old, n);
    ir_act act = ir_op_act(n->op);
    return act == IR_ACT_NONE ? IR_NONE : join_act(rw, old, n, act);
}

bool pass_fuse_conv_epilogue(pass_context *c, ir_func *f) {
    state s = {c, ir_constants(f)};
    bool changed = ir_rewrite_apply(f, rule, &s, true);
    base_free(s.constant);
    return changed;
}
