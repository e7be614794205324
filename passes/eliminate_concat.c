/* eliminate_concat: a concat of channels becomes two inputs of those who read it.
 *
 *   before   %3 = concat %0, %1 {axis=1} : f32[2,640,32,32]
 *            %4 = group_norm %3, @gamma, @beta {act=silu} : f32[2,640,32,32]
 *            %5 = conv2d %3, @w, @b : f32[2,320,32,32]
 *   after    %3 = group_norm %0, @gamma, @beta, %1 {act=silu} : f32[2,640,32,32]
 *            %4 = conv2d %0, @w, @b, %1 : f32[2,320,32,32]
 *
 * here    before fuse_norm_prologue, which then moves the two inputs of the group_norm into its
 *         conv
 * not     a concat with another reader, which must exist in memory anyway; a first part that does
 *         not fill its last block of 16 channels (packed weights count channels in blocks); more
 *         than two parts
 * tests   tests/lit/passes/eliminate_concat/, tests/unit/passes/passes_test.c */
#include "passes/manager/match.h"

static const char PASS_NAME[] = "eliminate_concat", WHAT[] = "concat as two inputs";
/* Of conv2d and of group_norm. */
enum { X = IR_IN(conv2d, x), X1 = IR_IN(conv2d, x1) };
_Static_assert(IR_IN(group_norm, x) == X && IR_IN(group_norm, x1) == X1, "two inputs alike");

typedef struct state {
    pass_context *c;
    bool *gone; /* concats that no node reads any more */
} state;

static bool can_take(const ir_node *user, base_str *why) {
    const char *name = ir_op_get(user->op)->name;
    if (user->op != IR_OP_conv2d && user->op != IR_OP_group_norm)
        return pass_no(why, "user %s takes one input", name);
    return !ir_ref_ok(ir_operand(user, X1)) || pass_no(why, "user %s has two inputs already", name);
}

static bool can_go(const ir_func *f, ir_ref r, base_str *why) {
    const ir_node *n = ir_get(f, r);
    if (n->type.rank != 4 || IR_ATTRS(n, axis)->axis != 1)
        return pass_no(why, "it does not join channels of images");
    if (n->operand_count != 2) return pass_no(why, "it has %u parts", n->operand_count);
    int64_t first = ir_typeof(f, n->operand[IR_IN(concat, a)])->dim[1];
    if (first % IR_BLOCK != 0)
        return pass_no(why, "the first part has %lld channels, not a multiple of %d",
                       (long long)first, IR_BLOCK);
    return pass_readers_take(f, r, can_take, why);
}

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    const state *s = rw->user;
    const ir_node *n = ir_get(rw->from, old);
    if (n->op != IR_OP_conv2d && n->op != IR_OP_group_norm) return IR_NONE;
    if (!s->gone[n->operand[X].id]) return IR_NONE;
    const ir_node *concat = ir_get(rw->from, n->operand[X]);
    ir_node user = rw_draft(rw, old);
    ir_set_operand(&user, X, rw_new(rw, concat->operand[IR_IN(concat, a)]));
    ir_set_operand(&user, X1, rw_new(rw, concat->operand[IR_IN(concat, b)]));
    return rw_build(rw, &user);
}

bool pass_eliminate_concat(pass_context *c, ir_func *f) {
    state s = {c, ir_constants(f)}; /* constant concats are none of ours */
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        bool constant = s.gone[i];
        s.gone[i] = false;
        if (constant || f->nodes.items[i].op != IR_OP_concat) continue;
        pass_decision d = {.c = c, .pass = PASS_NAME, .f = f, .node = {i}, .what = WHAT};
        s.gone[i] = pass_decided(&d, can_go(f, d.node, &d.why));
    }
    bool changed = ir_rewrite_apply(f, rule, &s, true);
    base_free(s.gone);
    return changed;
}
