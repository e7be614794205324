/* Expressions of ew nodes: parsing, printing, faults. */
#include "ir/ir.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void parses_to_postfix(void **state) {
    (void)state;
    ir_expr_step s[IR_EXPR_MAX];
    assert_int_equal(ir_expr_parse("add( mul(a, 0.5) ,silu(h))", s, NULL), 6);
    assert_int_equal(s[0].kind, IR_EXPR_OPERAND);
    assert_int_equal(s[0].operand, 0);
    assert_int_equal(s[1].kind, IR_EXPR_NUMBER);
    assert_true(s[1].number == 0.5);
    assert_int_equal(s[2].kind, IR_EXPR_OP);
    assert_int_equal(s[2].op, IR_OP_mul);
    assert_int_equal(s[3].operand, 7);
    assert_int_equal(s[4].op, IR_OP_silu);
    assert_int_equal(s[5].op, IR_OP_add);
    assert_int_equal(ir_expr_parse("min(max(a,-1),1)", s, NULL), 5);
    assert_int_equal(s[2].op, IR_OP_max);
    assert_true(s[1].number == -1.0);
    assert_int_equal(ir_expr_parse("a", s, NULL), 1);
}

static void prints_identically(void **state) {
    (void)state;
    static const char *const texts[] = {"a",
                                        "-1.5",
                                        "inf",
                                        "-inf",
                                        "add(a,b)",
                                        "sub(div(a,b),mul(c,1e-05))",
                                        "gelu_tanh(neg(quick_gelu(add(add(a,b),add(c,d)))))",
                                        "max(min(a,1.0),nan)"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ir_expr_step s[IR_EXPR_MAX];
        base_str out = {0};
        uint32_t n = ir_expr_parse(texts[i], s, NULL);
        assert_true(n > 0);
        ir_expr_print(s, n, &out);
        assert_string_equal(out.data, texts[i]);
        base_str_free(&out);
    }
}

static void faults(void **state) {
    (void)state;
    static const struct {
        const char *text, *fault;
    } wrong[] = {
        {"", "expected an operand, a number or a function at character 1"},
        {"add(a)", "expected ',' at character 6"},
        {"add(a,b", "expected ')' at character 8"},
        {"silu(a,b)", "expected ')' at character 7"},
        {"silu a", "expected '(' at character 6"},
        {"i", "unknown operand"},
        {"A", "expected an operand"},
        {"affine(a)", "unknown function"},
        {"clamp(a)", "unknown function"},
        {"conv2d(a,b)", "unknown function"},
        {"ew(a)", "unknown function"},
        {"averyveryveryveryverylongfunctionname(a)", "unknown function"},
        {"add(a,1.2.3)", "malformed number at character 7"},
        {"a b", "unexpected text after the expression at character 3"},
        {"add(a,b))", "unexpected text"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ir_expr_step s[IR_EXPR_MAX];
        base_str fault = {0};
        assert_int_equal(ir_expr_parse(wrong[i].text, s, &fault), 0);
        if (!strstr(fault.data, wrong[i].fault)) fail_msg("'%s': %s", wrong[i].text, fault.data);
        base_str_free(&fault);
    }
}

/* Depth and length are limited; what is just inside the limits parses. */
static void limits(void **state) {
    (void)state;
    ir_expr_step s[IR_EXPR_MAX];
    base_str fault = {0}, deep = {0}, wide = {0};
    for (int i = 0; i < 100000; i++) base_str_add(&deep, "neg(");
    assert_int_equal(ir_expr_parse(deep.data, s, &fault), 0);
    assert_non_null(strstr(fault.data, "nested too deeply"));
    fault.len = 0;
    for (int i = 0; i < 50; i++) base_str_add(&wide, "add(a,");
    base_str_add(&wide, "a");
    for (int i = 0; i < 50; i++) base_str_add(&wide, ")");
    assert_int_equal(ir_expr_parse(wide.data, s, &fault), 101);
    base_str both = {0};
    base_str_addf(&both, "add(%s,%s)", wide.data, wide.data);
    assert_int_equal(ir_expr_parse(both.data, s, &fault), 0);
    assert_non_null(strstr(fault.data, "too many steps"));
    base_str_free(&fault);
    base_str_free(&deep);
    base_str_free(&wide);
    base_str_free(&both);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_to_postfix),
        cmocka_unit_test(prints_identically),
        cmocka_unit_test(faults),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
