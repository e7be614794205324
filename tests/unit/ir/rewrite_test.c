/* The rewriting driver: what a rule replaces, what stays, and when a function counts as changed. */
#include "ir/ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/parsed.h"

static void expect_text(ir_func *f, const char *text) {
    base_str s = {0};
    ir_print_func(f, &s);
    assert_string_equal(s.data, text);
    base_str_free(&s);
    assert_true(ir_verify(f->module, NULL));
}

static const char source[] =
    "ebru ir 3 graph\n"
    "weight @w : f32[4]\n"
    "func @f(%0 x : f32[4] step, %1 unused : f32[4] prompt, %2 z : f32[4] step) {\n"
    "  %3 = neg %0 : f32[4] loc(\"m.json\":1:2 \"b\")\n"
    "  %4 = neg %3 : f32[4]\n"
    "  %5 = add %4, @w : f32[4]\n"
    "  %6 = exp %2 : f32[4]\n"
    "  return out = %5, twice = %4\n"
    "}\n";

static void identity_changes_nothing(void **state) {
    (void)state;
    ir_module *m = parse(source);
    ir_func *f = m->funcs.items[0];
    base_str before = {0};
    ir_print_func(f, &before);
    assert_false(ir_rewrite_apply(f, NULL, NULL, false));
    assert_ptr_equal(m->funcs.items[0], f);
    expect_text(f, before.data);
    base_str_free(&before);
    ir_module_free(m);
}

static void dead_nodes_go_inputs_stay(void **state) {
    (void)state;
    ir_module *m = parse(source);
    ir_func *f = m->funcs.items[0];
    assert_true(ir_rewrite_apply(f, NULL, NULL, true));
    expect_text(
        f,
        "func @f(%0 x : f32[4] step,\n    %1 unused : f32[4] prompt,\n    %2 z : f32[4] step) {\n"
        "  %3 = neg %0 : f32[4] loc(\"m.json\":1:2 \"b\")\n"
        "  %4 = neg %3 : f32[4]\n"
        "  %5 = add %4, @w : f32[4]\n"
        "  return out = %5, twice = %4\n"
        "}\n");
    assert_false(ir_rewrite_apply(f, NULL, NULL, true));
    ir_module_free(m);

    /* Equal nodes are found where they are now. */
    m = parse("ebru ir 3 graph\nfunc @f(%0 x : f32[4] step) {\n%1 = exp %0 : f32[4]\n%2 = neg %0 : "
              "f32[4]\n"
              "return y = %2\n}\n");
    f = m->funcs.items[0];
    assert_true(ir_rewrite_apply(f, NULL, NULL, true));
    assert_int_equal(ir_op1(f, IR_OP_neg, f->inputs.items[0], NULL, 0).id, 1);
    assert_int_equal(ir_op1(f, IR_OP_exp, f->inputs.items[0], NULL, 0).id, 2);
    ir_module_free(m);
}

/* neg(neg(x)) = x, counted. */
static ir_ref double_neg(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old);
    if (n->op != IR_OP_neg) return IR_NONE;
    const ir_node *inner = ir_get(rw->to, rw_new(rw, n->operand[0])); /* new nodes are matched */
    if (inner->op != IR_OP_neg) return IR_NONE;
    (*(int *)rw->user)++;
    return inner->operand[0];
}

static void rule_replaces(void **state) {
    (void)state;
    ir_module *m = parse(source);
    ir_func *f = m->funcs.items[0];
    int hits = 0;
    assert_true(ir_rewrite_apply(f, double_neg, &hits, true));
    assert_int_equal(hits, 1);
    expect_text(
        f,
        "func @f(%0 x : f32[4] step,\n    %1 unused : f32[4] prompt,\n    %2 z : f32[4] step) {\n"
        "  %3 = add %0, @w : f32[4]\n"
        "  return out = %3, twice = %0\n"
        "}\n");
    assert_false(ir_rewrite_apply(f, double_neg, &hits, true));
    ir_module_free(m);
}

/* exp -> silu: two nodes become equal and are one. */
static ir_ref unify(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old);
    if (n->op != IR_OP_exp) return IR_NONE;
    return ir_op1(rw->to, IR_OP_silu, rw_new(rw, n->operand[0]), NULL, n->origin);
}

static void equal_nodes_are_one(void **state) {
    (void)state;
    ir_module *m = parse("ebru ir 3 graph\nfunc @f(%0 x : f32[4] step) {\n%1 = silu %0 : "
                         "f32[4]\n%2 = exp %0 : f32[4]\n"
                         "%3 = add %1, %2 : f32[4]\nreturn y = %3\n}\n");
    assert_true(ir_rewrite_apply(m->funcs.items[0], unify, NULL, false));
    expect_text(
        m->funcs.items[0],
        "func @f(%0 x : f32[4] step) {\n  %1 = silu %0 : f32[4]\n  %2 = add %1, %1 : f32[4]\n"
        "  return y = %2\n}\n");
    ir_module_free(m);
}

/* Types follow when operands change: a rule doubles the batch of the input. */
static ir_ref double_batch(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old);
    if (n->op != IR_OP_input) return IR_NONE;
    ir_type t = n->type;
    t.dim[0] *= 2;
    return ir_input(rw->to, IR_ATTRS(n, input)->name, &t, IR_ATTRS(n, input)->freq, n->origin);
}

static void types_follow(void **state) {
    (void)state;
    ir_module *m = parse(
        "ebru ir 3 fused\nfunc @f(%0 x : f32[1,20] step) {\n"
        "%1 = layout_cast %0 : f32[1,20]:c16\n%2 = silu %1 : f32[1,20]:c16\nreturn y = %2\n}\n");
    assert_true(ir_rewrite_apply(m->funcs.items[0], double_batch, NULL, false));
    expect_text(m->funcs.items[0],
                "func @f(%0 x : f32[2,20] step) {\n  %1 = layout_cast %0 : f32[2,20]:c16\n"
                "  %2 = silu %1 : f32[2,20]:c16\n  return y = %2\n}\n");
    ir_module_free(m);
}

/* Clones keep bindings and places; copies are never merged. */
static void annotations_stay(void **state) {
    (void)state;
    ir_module *m =
        parse("ebru ir 3 placed\nweight @w : f32[16]\n"
              "func @f(%0 x : f32[16] step at input+0) arena=128 scratch=32 {\n"
              "  weight @w at weights+64\n"
              "  %1 = add %0, @w : f32[16] kernel ew {n=16, s=0.5} tasks=2 scratch=32 at arena+64\n"
              "  %2 = copy %1 : f32[16] kernel copy {} tasks=1 scratch=0 at output+0\n"
              "  %3 = copy %1 : f32[16] kernel copy {} tasks=1 scratch=0 at output+1\n"
              "  return a = %2, b = %3\n}\n");
    assert_int_equal(m->funcs.items[0]->nodes.count, 5);
    assert_false(ir_rewrite_apply(m->funcs.items[0], NULL, NULL, true));
    assert_int_equal(m->funcs.items[0]->arena_bytes, 128);
    assert_int_equal(m->funcs.items[0]->scratch_bytes, 32);
    assert_true(ir_verify(m, NULL));
    ir_module_free(m);
}

/* A rule sees the use counts of the old function, outputs counted. */
static ir_ref count_uses(ir_rewrite *rw, ir_ref old) {
    if (ir_get(rw->from, old)->op == IR_OP_neg) ((uint32_t *)rw->user)[old.id] = rw->uses[old.id];
    return IR_NONE;
}

static void uses_are_counted(void **state) {
    (void)state;
    ir_module *m = parse(source);
    uint32_t uses[16] = {0};
    ir_rewrite_apply(m->funcs.items[0], count_uses, uses, false);
    assert_int_equal(uses[3], 1);
    assert_int_equal(uses[4], 2);
    ir_module_free(m);
}

/* ---- what counts as changed: another text ---- */

/* Every op as it is, but built anew. */
static ir_ref rebuild(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old);
    if (n->op != IR_OP_affine) return IR_NONE;
    struct ir_attrs_affine a = *IR_ATTRS(n, affine);
    return ir_op1(rw->to, IR_OP_affine, rw_new(rw, n->operand[0]), &a, n->origin);
}

static ir_ref another_attribute(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old);
    if (n->op != IR_OP_affine) return IR_NONE;
    struct ir_attrs_affine a = *IR_ATTRS(n, affine);
    a.mul = -a.mul; /* 0 becomes -0 */
    return ir_op1(rw->to, IR_OP_affine, rw_new(rw, n->operand[0]), &a, n->origin);
}

static ir_ref another_origin(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old);
    if (n->op != IR_OP_neg) return IR_NONE;
    return ir_op1(rw->to, IR_OP_neg, rw_new(rw, n->operand[0]), NULL, 0);
}

static ir_ref swapped(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old);
    if (n->op != IR_OP_add) return IR_NONE;
    return ir_op2(rw->to, IR_OP_add, rw_new(rw, n->operand[1]), rw_new(rw, n->operand[0]), NULL,
                  n->origin);
}

static ir_ref other_weight(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old);
    if (n->op != IR_OP_weight) return IR_NONE;
    return ir_weight_ref(rw->to, 1 - (uint32_t)IR_ATTRS(n, weight)->index, n->origin);
}

/* A node that nobody uses, which sweeping removes again. */
static ir_ref dead_end(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old);
    if (n->op == IR_OP_add) {
        ir_weight_ref(rw->to, 1, 0);
        ir_op1(rw->to, IR_OP_exp, rw_new(rw, n->operand[0]), NULL, n->origin);
    }
    return IR_NONE;
}

static void changed_is_another_text(void **state) {
    (void)state;
    static const struct {
        ir_rewrite_rule rule;
        bool drop_dead, changed;
    } cases[] = {
        {rebuild, false, false}, {another_attribute, false, true}, {another_origin, false, true},
        {swapped, false, true},  {other_weight, false, true},      {dead_end, true, false},
        {dead_end, false, true}, {double_batch, false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ir_module *m = parse("ebru ir 3 graph\nweight @w : f32[4]\nweight @v : f32[4]\n"
                             "func @f(%0 x : f32[2,4] step) {\n"
                             "  %1 = neg %0 : f32[2,4] loc(\"m.json\":1:2 \"b\")\n"
                             "  %2 = affine %1 {mul=0} : f32[2,4]\n"
                             "  %3 = add %2, @w : f32[2,4]\n"
                             "  return y = %3\n}\n");
        base_str before = {0}, after = {0};
        ir_print_func(m->funcs.items[0], &before);
        bool changed = ir_rewrite_apply(m->funcs.items[0], cases[i].rule, NULL, cases[i].drop_dead);
        ir_print_func(m->funcs.items[0], &after);
        if (changed != cases[i].changed) fail_msg("case %zu", i);
        assert_int_equal(strcmp(before.data, after.data) != 0, changed);
        base_str_free(&before);
        base_str_free(&after);
        ir_module_free(m);
    }
}

/* Another op with one attribute changed; another op with an operand more than before. */
static ir_ref drafts(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old);
    ir_node draft = rw_draft(rw, old);
    if (n->op == IR_OP_exp) {
        draft.op = IR_OP_affine;
        draft.attrs = &IR_DEFAULTS(affine);
        double *mul = ir_edit_attr(rw->to->module, &draft, "mul", IR_ATTR_f64);
        *mul = 2;
        assert_true(((const struct ir_attrs_affine *)draft.attrs)->add == 0);
        return rw_build(rw, &draft);
    }
    if (n->op != IR_OP_add) return IR_NONE;
    draft.op = IR_OP_concat;
    draft.attrs = &IR_DEFAULTS(axis);
    ir_set_operand(&draft, IR_IN(concat, c), draft.operand[IR_IN(concat, a)]);
    ir_set_operand(&draft, IR_IN(concat, b), IR_NONE);
    assert_int_equal(draft.operand_count, 3);
    return rw_build(rw, &draft);
}

static void drafts_are_built(void **state) {
    (void)state;
    ir_module *m = parse(source);
    ir_func *f = m->funcs.items[0];
    assert_true(ir_rewrite_apply(f, drafts, NULL, false));
    expect_text(f, "func @f(%0 x : f32[4] step,\n    %1 unused : f32[4] prompt,\n    %2 z : "
                   "f32[4] step) {\n"
                   "  %3 = neg %0 : f32[4] loc(\"m.json\":1:2 \"b\")\n"
                   "  %4 = neg %3 : f32[4]\n"
                   "  %5 = concat %4, _, %4 : f32[8]\n"
                   "  %6 = affine %2 {mul=2.0} : f32[4]\n"
                   "  return out = %5, twice = %4\n"
                   "}\n");
    ir_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity_changes_nothing),
        cmocka_unit_test(dead_nodes_go_inputs_stay),
        cmocka_unit_test(rule_replaces),
        cmocka_unit_test(equal_nodes_are_one),
        cmocka_unit_test(types_follow),
        cmocka_unit_test(annotations_stay),
        cmocka_unit_test(uses_are_counted),
        cmocka_unit_test(changed_is_another_text),
        cmocka_unit_test(drafts_are_built),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
