/* canonicalize: one form for equal computations, so that later passes match one.
 *
 *   before   %1 = sigmoid %0 : f32[1,8,4,4]
 *            %2 = mul %1, %0 : f32[1,8,4,4]
 *            %3 = affine %2 {mul=2.0} : f32[1,8,4,4]
 *            %4 = affine %3 {mul=3.0} : f32[1,8,4,4]
 *   after    %1 = silu %0 : f32[1,8,4,4]
 *            %2 = affine %1 {mul=6.0} : f32[1,8,4,4]
 *
 * here    first: everything behind it relies on the forms, but for matching only; without it less
 *         fuses; idempotent
 * not     distributive laws, nor anything that changes an element's value by more than rounding
 * tests   tests/lit/passes/canonicalize/, tests/unit/passes/passes_test.c */
#include "passes/manager/match.h"

#include <math.h>

static const ir_node *def(const ir_rewrite *rw, ir_ref r) {
    return ir_get(rw->to, r);
}

/* Shape, layout and element type stay: the value may stand for the node. */
static bool same_type(const ir_rewrite *rw, ir_ref r, const ir_node *n) {
    return ir_type_equal(ir_typeof(rw->to, r), &n->type);
}

static ir_ref affine(ir_rewrite *rw, ir_ref x, double mul, double add, ir_origin_id origin) {
    struct ir_attrs_affine a = {.mul = mul, .add = add};
    return ir_op1(rw->to, IR_OP_affine, x, &a, origin);
}

/* ---- products and sums ---- */

/* x * sigmoid(x) = silu(x);  x * sigmoid(1.702 x) = quick_gelu(x) */
static ir_ref gated(ir_rewrite *rw, const ir_node *n, ir_ref x, ir_ref gate) {
    if (def(rw, gate)->op != IR_OP_sigmoid) return IR_NONE;
    ir_ref inside = def(rw, gate)->operand[0];
    if (ir_ref_eq(inside, x)) return ir_op1(rw->to, IR_OP_silu, x, NULL, n->origin);
    const ir_node *s = def(rw, inside);
    if (s->op != IR_OP_affine || !ir_ref_eq(s->operand[0], x)) return IR_NONE;
    const struct ir_attrs_affine *a = IR_ATTRS(s, affine);
    if (a->add != 0.0 || fabs(a->mul - 1.702) > 1e-9) return IR_NONE;
    return ir_op1(rw->to, IR_OP_quick_gelu, x, NULL, n->origin);
}

static ir_ref rule_mul(ir_rewrite *rw, const ir_node *n, const ir_ref *x) {
    ir_ref r = gated(rw, n, x[0], x[1]);
    return ir_ref_ok(r) ? r : gated(rw, n, x[1], x[0]);
}

/* x + -y = x - y */
static ir_ref rule_add(ir_rewrite *rw, const ir_node *n, const ir_ref *x) {
    for (int k = 0; k < 2; k++)
        if (def(rw, x[k])->op == IR_OP_neg)
            return ir_op2(rw->to, IR_OP_sub, x[1 - k], def(rw, x[k])->operand[0], NULL, n->origin);
    return IR_NONE;
}

/* x - -y = x + y */
static ir_ref rule_sub(ir_rewrite *rw, const ir_node *n, const ir_ref *x) {
    if (def(rw, x[1])->op != IR_OP_neg) return IR_NONE;
    return ir_op2(rw->to, IR_OP_add, x[0], def(rw, x[1])->operand[0], NULL, n->origin);
}

/* The operand with more elements first; then the one that was computed first. */
static ir_ref commute(ir_rewrite *rw, const ir_node *n, const ir_ref *x) {
    int64_t a = ir_type_elements(ir_typeof(rw->to, x[0])),
            b = ir_type_elements(ir_typeof(rw->to, x[1]));
    if (a > b || (a == b && x[0].id <= x[1].id)) return IR_NONE;
    return ir_op2(rw->to, n->op, x[1], x[0], NULL, n->origin);
}

/* ---- scalings ---- */

/* (x*m + a)*m' + a' = x*(m*m') + (a*m' + a');  x*1 + 0 = x;  (-x)*m + a = x*(-m) + a;  s*(a b) = (s*a b)
 */
static ir_ref rule_affine(ir_rewrite *rw, const ir_node *n, const ir_ref *x) {
    const struct ir_attrs_affine *o = IR_ATTRS(n, affine);
    const ir_node *in = def(rw, x[0]);
    if (o->mul == 1.0 && o->add == 0.0 && same_type(rw, x[0], n)) return x[0];
    if (in->op == IR_OP_affine) {
        const struct ir_attrs_affine *i = IR_ATTRS(in, affine);
        return affine(rw, in->operand[0], i->mul * o->mul, i->add * o->mul + o->add, n->origin);
    }
    if (in->op == IR_OP_neg) return affine(rw, in->operand[0], -o->mul, o->add, n->origin);
    if (in->op == IR_OP_matmul && o->add == 0.0 && rw->uses[n->operand[0].id] == 1) {
        struct ir_attrs_matmul m = *IR_ATTRS(in, matmul);
        m.scale *= o->mul;
        return ir_op2(rw->to, IR_OP_matmul, in->operand[IR_IN(matmul, a)],
                      in->operand[IR_IN(matmul, b)], &m, n->origin);
    }
    return IR_NONE;
}

/* -(-x) = x;  -(x*m + a) = x*(-m) - a */
static ir_ref rule_neg(ir_rewrite *rw, const ir_node *n, const ir_ref *x) {
    const ir_node *in = def(rw, x[0]);
    if (in->op == IR_OP_neg && same_type(rw, in->operand[0], n)) return in->operand[0];
    if (in->op != IR_OP_affine) return IR_NONE;
    const struct ir_attrs_affine *i = IR_ATTRS(in, affine);
    return affine(rw, in->operand[0], -i->mul, -i->add, n->origin);
}

/* (s*a) b = s*(a b), for either operand */
static ir_ref rule_matmul(ir_rewrite *rw, const ir_node *n, const ir_ref *x) {
    struct ir_attrs_matmul m = *IR_ATTRS(n, matmul);
    ir_ref a = x[IR_IN(matmul, a)], b = x[IR_IN(matmul, b)], operand[] = {a, b};
    for (int k = 0; k < 2; k++) {
        const ir_node *in = def(rw, x[k]);
        if (in->op != IR_OP_affine || IR_ATTRS(in, affine)->add != 0.0) continue;
        m.scale *= IR_ATTRS(in, affine)->mul;
        operand[k] = in->operand[0];
    }
    if (ir_ref_eq(operand[0], a) && ir_ref_eq(operand[1], b)) return IR_NONE;
    return ir_op2(rw->to, IR_OP_matmul, operand[0], operand[1], &m, n->origin);
}

/* ---- moves ---- */

/* A reshape of a reshape is one reshape; to the shape it has, none. */
static ir_ref rule_reshape(ir_rewrite *rw, const ir_node *n, const ir_ref *x) {
    if (same_type(rw, x[0], n)) return x[0];
    const ir_node *in = def(rw, x[0]);
    if (in->op != IR_OP_reshape) return IR_NONE;
    ir_ref source = in->operand[0];
    return same_type(rw, source, n) ? source
                                    : ir_op1(rw->to, IR_OP_reshape, source, n->attrs, n->origin);
}

static bool is_identity(const ir_dims *perm) {
    for (uint32_t i = 0; i < perm->n; i++)
        if (perm->v[i] != i) return false;
    return true;
}

static ir_ref rule_transpose(ir_rewrite *rw, const ir_node *n, const ir_ref *x) {
    struct ir_attrs_transpose t = *IR_ATTRS(n, transpose);
    if (is_identity(&t.perm) && same_type(rw, x[0], n)) return x[0];
    const ir_node *in = def(rw, x[0]);
    if (in->op != IR_OP_transpose) return IR_NONE;
    const ir_dims *first = &IR_ATTRS(in, transpose)->perm;
    for (uint32_t i = 0; i < t.perm.n; i++)
        t.perm.v[i] = first->v[IR_ATTRS(n, transpose)->perm.v[i]];
    ir_ref source = in->operand[0];
    if (is_identity(&t.perm) && same_type(rw, source, n)) return source;
    return ir_op1(rw->to, IR_OP_transpose, source, &t, n->origin);
}

/* A slice of everything, a resize to the same size, a concat of one. */
static ir_ref rule_identity(ir_rewrite *rw, const ir_node *n, const ir_ref *x) {
    return same_type(rw, x[0], n) ? x[0] : IR_NONE;
}

static ir_ref rule_concat(ir_rewrite *rw, const ir_node *n, const ir_ref *x) {
    return n->operand_count == 1 && same_type(rw, x[0], n) ? x[0] : IR_NONE;
}

/* ---- the pass ---- */

static const struct {
    ir_op op;
    ir_ref (*apply)(ir_rewrite *rw, const ir_node *n, const ir_ref *x); /* x: the new operands */
} rules[] = {
    {IR_OP_mul, rule_mul},         {IR_OP_add, rule_add},
    {IR_OP_sub, rule_sub},         {IR_OP_add, commute},
    {IR_OP_mul, commute},          {IR_OP_max, commute},
    {IR_OP_min, commute},          {IR_OP_affine, rule_affine},
    {IR_OP_neg, rule_neg},         {IR_OP_matmul, rule_matmul},
    {IR_OP_reshape, rule_reshape}, {IR_OP_transpose, rule_transpose},
    {IR_OP_slice, rule_identity},  {IR_OP_resize_nearest, rule_identity},
    {IR_OP_concat, rule_concat},
};

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old);
    ir_ref x[IR_MAX_OPERANDS];
    for (uint32_t i = 0; i < n->operand_count; i++) x[i] = rw_new(rw, n->operand[i]);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (rules[i].op != n->op) continue;
        ir_ref r = rules[i].apply(rw, n, x);
        if (ir_ref_ok(r)) return r;
    }
    return IR_NONE;
}

bool pass_canonicalize(pass_context *c, ir_func *f) {
    enum { ROUNDS = 8 }; /* a rule's result may fit another rule; chains of these are short */
    (void)c;
    int rounds = 0;
    while (rounds < ROUNDS && ir_rewrite_apply(f, rule, NULL, true)) rounds++;
#ifdef EBRU_HOSTILE
    if (rounds == ROUNDS && ir_rewrite_apply(f, rule, NULL, true))
        ICE("%s is not in canonical form after %d rounds", f->name, ROUNDS);
#endif
    return rounds > 0;
}
