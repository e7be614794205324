/* fuse_groupnorm_silu: a group_norm whose only user is an activation becomes one node.
 *
 *   before   %3 = group_norm %2, @gamma, @beta {eps=1e-05} : f32[2,320,64,64]
 *            %4 = silu %3 : f32[2,320,64,64]
 *   after    %3 = group_norm %2, @gamma, @beta {eps=1e-05, act=silu} : f32[2,320,64,64]
 *
 * here    after canonicalize (x*sigmoid(x) is silu by then), before fuse_norm_prologue, which
 *         moves both into a conv's load
 * not     group_norm with two users: the other one wants the value without activation
 * tests   tests/lit/passes/fuse_groupnorm_silu/, tests/unit/passes/passes_test.c */
#include "passes/manager/match.h"

static const char PASS_NAME[] = "fuse_groupnorm_silu";

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old);
    ir_act act = ir_op_act(n->op);
    if (act == IR_ACT_NONE) return IR_NONE;
    ir_node norm = *ir_get(rw->to, rw_new(rw, n->operand[0]));
    if (norm.op != IR_OP_group_norm) return IR_NONE;
    struct ir_attrs_group_norm a = *IR_ATTRS(&norm, group_norm);
    char what[64];
    snprintf(what, sizeof what, "group_norm + %s", ir_act_name[act]);
    pass_decision d = {.c = rw->user, .pass = PASS_NAME, .f = rw->from, .node = old, .what = what};
    bool fits = pass_sole_use(rw, n->operand[0], &d.why);
    if (fits && a.act != IR_ACT_NONE)
        fits = pass_no(&d.why, "group_norm has activation %s already", ir_act_name[a.act]);
    if (!pass_decided(&d, fits)) return IR_NONE;
    a.act = act;
    norm.attrs = &a;
    return rw_build(rw, &norm);
}

/* Norms nothing was even tried on, so that the report accounts for every one. */
static void report_others(pass_context *c, const ir_func *f) {
    bool *tried = base_alloc(f->nodes.count + 1);
    const ir_node **user = base_alloc(f->nodes.count * sizeof *user + 1);
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        if (ir_op_act(n->op) != IR_ACT_NONE) tried[n->operand[0].id] = true;
        for (uint32_t k = 0; k < n->operand_count; k++)
            if (ir_ref_ok(n->operand[k])) user[n->operand[k].id] = n;
    }
    for (uint32_t i = 0; i < f->nodes.count; i++)
        if (f->nodes.items[i].op == IR_OP_group_norm && !tried[i])
            pass_refused(c, PASS_NAME, f, (ir_ref){i}, "group_norm",
                         "no activation follows, but %s",
                         user[i] ? ir_op_get(user[i]->op)->name : "an output");
    base_free(user);
    base_free(tried);
}

bool pass_fuse_groupnorm_silu(pass_context *c, ir_func *f) {
    report_others(c, f);
    return ir_rewrite_apply(f, rule, c, true);
}
