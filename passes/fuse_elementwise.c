/* fuse_elementwise: chains and trees of elementwise ops become one loop.
 *
 *   before   %2 = sigmoid %0 : f32[2,77,768]
 *            %3 = mul %2, %1 : f32[2,77,768]
 *            %4 = affine %3 {mul=0.5} : f32[2,77,768]
 *   after    %2 = ew %0, %1 {expr="mul(mul(sigmoid(a),b),0.5)"} : f32[2,77,768]
 *
 * An operand joins when it is elementwise itself, nobody else reads it, and it has the result's
 * shape (a broadcast operand would be computed again for every element).
 *
 * here    last of the fusions: takes what no conv, linear or norm took
 * not     single ops, which lay_out makes ew nodes of; more than eight operands
 * tests   tests/lit/passes/fuse_elementwise/, tests/unit/passes/passes_test.c */
#include "passes/manager/match.h"

#include <string.h>

static const char PASS_NAME[] = "fuse_elementwise";
static const char TOO_LONG[] = "more than eight operands, or too long an expression";

typedef struct state {
    pass_context *c;
    bool *constant; /* of old nodes */
} state;

/* The loop that is being put together. */
typedef struct group {
    ir_ref operand[IR_MAX_OPERANDS];
    uint32_t operands, count;
    ir_expr_step steps[IR_EXPR_MAX];
    bool joined; /* some operand's expression is in it */
} group;

static bool push(group *g, ir_expr_step s) {
    if (g->count == IR_EXPR_MAX) return false;
    g->steps[g->count++] = s;
    return true;
}

static bool push_operand(group *g, ir_ref r) {
    uint32_t k = 0;
    while (k < g->operands && !ir_ref_eq(g->operand[k], r)) k++;
    if (k == IR_MAX_OPERANDS) return false;
    if (k == g->operands) g->operand[g->operands++] = r;
    return push(g, (ir_expr_step){.kind = IR_EXPR_OPERAND, .operand = k});
}

/* Pushes the expression of node n (of the new function) with its operands. */
static bool push_node(group *g, const ir_node *n) {
    ir_expr_step steps[IR_EXPR_MAX];
    uint32_t count = ir_expr_of_node(n, steps, NULL);
    for (uint32_t i = 0; i < count; i++) {
        bool fits = steps[i].kind == IR_EXPR_OPERAND ? push_operand(g, n->operand[steps[i].operand])
                                                     : push(g, steps[i]);
        if (!fits) return false;
    }
    return true;
}

/* How deep calls nest; the parser of expressions has a limit. */
static uint32_t depth(const group *g) {
    uint32_t stack[IR_EXPR_MAX] = {0}, top = 0, most = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        uint32_t arity =
                     g->steps[i].kind == IR_EXPR_OP ? ir_op_get(g->steps[i].op)->min_operands : 0,
                 deepest = 0;
        for (uint32_t k = 0; k < arity; k++) {
            top--;
            if (stack[top] > deepest) deepest = stack[top];
        }
        stack[top++] = deepest + 1;
        if (deepest + 1 > most) most = deepest + 1;
    }
    return most;
}

static bool is_working(const ir_rewrite *rw, ir_ref old) {
    const state *s = rw->user;
    return (ir_op_get(ir_get(rw->from, old)->op)->flags & IR_FLAG_EW) && !s->constant[old.id];
}

static bool may_join(const ir_rewrite *rw, ir_ref old, const ir_node *user, base_str *why) {
    const ir_node *n = ir_get(rw->from, old);
    return pass_sole_use(rw, old, why) && (ir_shape_equal(&n->type, &user->type) ||
                                           pass_no(why, "%s is broadcast", ir_op_get(n->op)->name));
}

/* Pushes old operand x of `user`: what computes it where that may join, else its value. False when
 * the loop is full. */
static bool push_value(ir_rewrite *rw, group *g, ir_ref x, const ir_node *user, base_str *why) {
    enum { DEEPEST = 48 };
    ir_node inner = *ir_get(rw->to, rw_new(rw, x));
    if ((ir_op_get(inner.op)->flags & IR_FLAG_EW) && is_working(rw, x) &&
        may_join(rw, x, user, why)) {
        group before = *g;
        g->joined = true;
        if (push_node(g, &inner) && depth(g) < DEEPEST) return true;
        *g = before;
        if (!why->len) base_str_add(why, TOO_LONG);
    }
    if (push_operand(g, rw_new(rw, x))) return true;
    if (!why->len) base_str_add(why, TOO_LONG);
    return false;
}

/* The expression of old node n with those of its operands in it; false when nothing joins. */
static bool collect(ir_rewrite *rw, const ir_node *n, group *g, base_str *why) {
    ir_expr_step own[IR_EXPR_MAX];
    uint32_t count = ir_expr_of_node(n, own, NULL);
    for (uint32_t i = 0; i < count; i++) {
        bool fits = own[i].kind == IR_EXPR_OPERAND
                        ? push_value(rw, g, n->operand[own[i].operand], n, why)
                        : push(g, own[i]);
        if (!fits) return false;
    }
    return g->joined;
}

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    const state *s = rw->user;
    const ir_node *n = ir_get(rw->from, old);
    if (!is_working(rw, old)) return IR_NONE;
    base_str why = {0}, expr = {0};
    ir_ref joined = IR_NONE;
    group g = {0};
    if (collect(rw, n, &g, &why) && !pass_left_out(s->c, PASS_NAME, rw->from, old, &why)) {
        ir_expr_print(g.steps, g.count, &expr);
        struct ir_attrs_ew a = {.expr = expr.data};
        ir_ref r = ir_build(rw->to, IR_OP_ew, g.operand, g.operands, &a, IR_PLAIN, n->origin);
        if (ir_shape_equal(ir_typeof(rw->to, r), &n->type)) joined = r;
    }
    if (ir_ref_ok(joined))
        pass_matched(s->c, PASS_NAME, rw->from, old, expr.data);
    else if (why.len)
        pass_refused(s->c, PASS_NAME, rw->from, old, "elementwise chain", "%s", why.data);
    base_str_free(&expr);
    base_str_free(&why);
    return joined;
}

bool pass_fuse_elementwise(pass_context *c, ir_func *f) {
    state s = {c, ir_constants(f)};
    bool changed = ir_rewrite_apply(f, rule, &s, true);
    base_free(s.constant);
    return changed;
}
