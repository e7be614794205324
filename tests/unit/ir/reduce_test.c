/* The steps of `ebru reduce`: what each makes of a function, and what it refuses. */
#include "ir/analysis/reduce.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/parsed.h"

static const char source[] = "ebru ir 3 graph\n"
                             "weight @unread : f32[4]\n"
                             "weight @w : f32[8,8]\n"
                             "weight @b : f32[8]\n"
                             "func @f(%0 x : f32[2,8] prompt, %1 z : f32[2,8] step) {\n"
                             "  %2 = linear %0, @w, @b : f32[2,8]\n"
                             "  %3 = neg %2 : f32[2,8]\n"
                             "  %4 = add %3, %1 : f32[2,8]\n"
                             "  return y = %4, also = %2\n"
                             "}\n";

/* The node of that op. */
static uint32_t find(const ir_func *f, ir_op op) {
    for (uint32_t i = 0; i < f->nodes.count; i++)
        if (f->nodes.items[i].op == op) return i;
    fail_msg("no %s", ir_op_get(op)->name);
    return 0;
}

static bool cut(ir_func *f, ir_op op, ir_cut one) {
    ir_cut *cuts = base_alloc(f->nodes.count * sizeof *cuts);
    cuts[find(f, op)] = one;
    bool fine = ir_reduce(f, cuts);
    base_free(cuts);
    return fine;
}

static void expect(ir_module *m, const char *text) {
    base_str s = {0};
    ir_drop_unused(m);
    assert_true(ir_verify(m, NULL));
    ir_print(m, &s);
    assert_string_equal(s.data, text);
    base_str_free(&s);
    ir_module_free(m);
}

static void an_input_stands_for_a_node(void **state) {
    (void)state;
    ir_module *m = parse(source);
    ir_func *f = m->funcs.items[0];
    assert_int_equal(ir_op_count(m), 3);
    ir_reduce_output(f, f->outputs.items[0].value);
    assert_true(cut(f, IR_OP_neg, (ir_cut){IR_CUT_INPUT, 0}));
    assert_int_equal(ir_op_count(m), 1);
    /* neg depended on the prompt only, and so does what stands for it */
    expect(m, "ebru ir 3 graph\n\n"
              "func @f(%0 z : f32[2,8] step, %1 cut0 : f32[2,8] prompt) {\n"
              "  %2 = add %1, %0 : f32[2,8]\n"
              "  return y = %2\n"
              "}\n");
}

static void an_operand_stands_for_a_node(void **state) {
    (void)state;
    ir_module *m = parse(source);
    assert_true(cut(m->funcs.items[0], IR_OP_add, (ir_cut){IR_CUT_BYPASS, 1}));
    expect(m, "ebru ir 3 graph\n"
              "weight @w : f32[8,8]\nweight @b : f32[8]\n\n"
              "func @f(%0 x : f32[2,8] prompt, %1 z : f32[2,8] step) {\n"
              "  %2 = linear %0, @w, @b : f32[2,8]\n"
              "  return y = %1, also = %2\n"
              "}\n");
}

static void an_optional_operand_goes(void **state) {
    (void)state;
    ir_module *m = parse(source);
    ir_func *f = m->funcs.items[0];
    assert_true(cut(f, IR_OP_linear, (ir_cut){IR_CUT_DROP, 2}));
    ir_reduce_output(f, f->outputs.items[1].value);
    expect(m, "ebru ir 3 graph\n"
              "weight @w : f32[8,8]\n\n"
              "func @f(%0 x : f32[2,8] prompt) {\n"
              "  %1 = linear %0, @w : f32[2,8]\n"
              "  return y = %1\n"
              "}\n");
}

static void what_does_not_fit_changes_nothing(void **state) {
    (void)state;
    ir_module *m = parse(source);
    ir_func *f = m->funcs.items[0];
    base_str before = {0}, after = {0};
    ir_print(m, &before);
    assert_false(cut(f, IR_OP_linear, (ir_cut){IR_CUT_DROP, 1}));   /* the weight is not optional */
    assert_false(cut(f, IR_OP_linear, (ir_cut){IR_CUT_DROP, 3}));   /* is absent already */
    assert_false(cut(f, IR_OP_linear, (ir_cut){IR_CUT_BYPASS, 2})); /* of another type */
    assert_false(cut(f, IR_OP_add, (ir_cut){IR_CUT_BYPASS, 2}));    /* there is no such operand */
    assert_false(cut(f, IR_OP_input, (ir_cut){IR_CUT_INPUT, 0}));   /* is one */
    assert_false(cut(f, IR_OP_add, (ir_cut){IR_CUT_KEEP, 0}));
    ir_print(m, &after);
    assert_string_equal(before.data, after.data);
    base_str_free(&before);
    base_str_free(&after);
    ir_module_free(m);
}

static void new_inputs_have_names_of_their_own(void **state) {
    (void)state;
    ir_module *m =
        parse("ebru ir 3 graph\nfunc @f(%0 cut0 : f32[4] step) {\n%1 = exp %0 : f32[4]\n"
              "%2 = neg %0 : f32[4]\n%3 = add %1, %2 : f32[4]\n%4 = mul %3, %0 : f32[4]\n"
              "return y = %4\n}\n");
    ir_func *f = m->funcs.items[0];
    ir_cut cuts[5] = {[1] = {IR_CUT_INPUT, 0}, [2] = {IR_CUT_INPUT, 0}};
    assert_true(ir_reduce(f, cuts));
    expect(
        m,
        "ebru ir 3 graph\n\n"
        "func @f(%0 cut0 : f32[4] step,\n    %1 cut1 : f32[4] step,\n    %2 cut2 : f32[4] step) {\n"
        "  %3 = add %1, %2 : f32[4]\n  %4 = mul %3, %0 : f32[4]\n  return y = %4\n}\n");
}

static void extents_shrink(void **state) {
    (void)state;
    ir_module *m =
        parse("ebru ir 3 graph\nweight @w : f32[4,4,1,1]\n"
              "func @f(%0 x : f32[2,4,6,6] step) {\n%1 = conv2d %0, @w : f32[2,4,6,6]\n"
              "%2 = resize_nearest %1 {size=[12,12]} : f32[2,4,12,12]\n"
              "%3 = reshape %1 {shape=[2,24,6]} : f32[2,24,6]\nreturn y = %2, z = %3\n}\n");
    ir_func *f = m->funcs.items[0];
    assert_false(ir_reduce_extent(f, 5, 1)); /* there is none */
    assert_false(ir_reduce_extent(f, 4, 2)); /* the weight has 4 channels */
    assert_false(ir_reduce_extent(f, 6, 3)); /* 24 is 4 x 6 */
    assert_true(ir_reduce_extent(f, 2, 1));
    assert_int_equal(m->funcs.count, 1);
    ir_reduce_output(f, f->outputs.items[0].value);
    ir_func_sweep(f);
    assert_true(ir_reduce_extent(f, 6, 3));
    expect(m, "ebru ir 3 graph\nweight @w : f32[4,4,1,1]\n\n"
              "func @f(%0 x : f32[1,4,3,3] step) {\n  %1 = conv2d %0, @w : f32[1,4,3,3]\n"
              "  %2 = resize_nearest %1 {size=[12,12]} : f32[1,4,12,12]\n  return y = %2\n}\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_input_stands_for_a_node),
        cmocka_unit_test(an_operand_stands_for_a_node),
        cmocka_unit_test(an_optional_operand_goes),
        cmocka_unit_test(what_does_not_fit_changes_nothing),
        cmocka_unit_test(new_inputs_have_names_of_their_own),
        cmocka_unit_test(extents_shrink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
