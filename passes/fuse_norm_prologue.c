/* fuse_norm_prologue: group_norm (and its silu) is applied when the conv behind it loads its input.
 *
 *   before   %3 = group_norm %0, @gamma, @beta, %1 {act=silu} : f32[2,640,32,32]
 *            %4 = conv2d %3, @w, @b {pad=[1,1,1,1]} : f32[2,320,32,32]
 *   after    %3 = group_stats %0, @gamma, @beta, %1 : f32[2,2,640]
 *            %4 = conv2d %0, @w, @b, %1, %3 {pad=[1,1,1,1], pre_act=silu} : f32[2,320,32,32]
 *
 * What remains of the norm is one pass over the image that reads it (the statistics); the
 * normalised image never exists. The conv pads with zeros after the prologue, as if it had been
 * applied before.
 *
 * here    after fuse_groupnorm_silu and eliminate_concat; before fuse_upsample (no conv resizes its
 *         input and applies a norm to it)
 * not     norms that something else than a conv reads: then the image must exist; activations
 *         other than silu
 * tests   tests/lit/passes/fuse_norm_prologue/, tests/unit/passes/passes_test.c */
#include "passes/manager/match.h"

static const char PASS_NAME[] = "fuse_norm_prologue", WHAT[] = "group_norm on the conv's load";

typedef struct state {
    pass_context *c;
    bool *gone; /* norms that are applied by all their readers */
} state;

static bool can_take(const ir_node *user, base_str *why) {
    if (user->op != IR_OP_conv2d)
        return pass_no(why, "user %s is not a conv2d", ir_op_get(user->op)->name);
    bool bare = !ir_ref_ok(IR_OPERAND(user, conv2d, x1)) &&
                !ir_ref_ok(IR_OPERAND(user, conv2d, norm)) &&
                IR_ATTRS(user, conv2d)->pre_act == IR_ACT_NONE;
    return bare || pass_no(why, "user conv2d has a prologue already");
}

static bool can_go(const ir_func *f, ir_ref r, base_str *why) {
    const ir_node *n = ir_get(f, r);
    ir_act act = IR_ATTRS(n, group_norm)->act;
    if (n->type.rank != 4) return pass_no(why, "it is not over an image");
    if (act != IR_ACT_NONE && act != IR_ACT_SILU)
        return pass_no(why, "no conv kernel applies %s on the way in", ir_act_name[act]);
    return pass_readers_take(f, r, can_take, why);
}

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    const state *s = rw->user;
    const ir_node *n = ir_get(rw->from, old);
    if (n->op != IR_OP_conv2d || !s->gone[n->operand[IR_IN(conv2d, x)].id]) return IR_NONE;
    ir_node norm = rw_draft(rw, n->operand[IR_IN(conv2d, x)]);
    const struct ir_attrs_group_norm *g = IR_ATTRS(&norm, group_norm);
    struct ir_attrs_stats stats = {.groups = g->groups, .eps = g->eps};
    struct ir_attrs_conv2d a = *IR_ATTRS(n, conv2d);
    a.pre_act = g->act;
    norm.op = IR_OP_group_stats;
    norm.attrs = &stats;
    ir_node conv = rw_draft(rw, old);
    conv.attrs = &a;
    ir_set_operand(&conv, IR_IN(conv2d, x), IR_OPERAND(&norm, group_stats, x));
    ir_set_operand(&conv, IR_IN(conv2d, x1), IR_OPERAND(&norm, group_stats, x1));
    ir_set_operand(&conv, IR_IN(conv2d, norm), rw_build(rw, &norm));
    return rw_build(rw, &conv);
}

bool pass_fuse_norm_prologue(pass_context *c, ir_func *f) {
    state s = {c, base_alloc(f->nodes.count + 1)};
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        if (f->nodes.items[i].op != IR_OP_group_norm) continue;
        pass_decision d = {.c = c, .pass = PASS_NAME, .f = f, .node = {i}, .what = WHAT};
        s.gone[i] = pass_decided(&d, can_go(f, d.node, &d.why));
    }
    bool changed = ir_rewrite_apply(f, rule, &s, true);
    base_free(s.gone);
    return changed;
}
