/* The cost model against counts made by hand. */
#include "tests/unit/ir/eval_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const float zeros[4096];

static void expect_cost(const eval_case *c, ir_ref r, double flops, uint64_t weight_bytes,
                        uint64_t bytes) {
    ir_cost got = ir_node_cost(c->f, r);
    assert_true(got.flops == flops);
    assert_int_equal(got.weight_bytes, weight_bytes);
    assert_int_equal(got.bytes, bytes);
}

static void conv2d_cost(void **state) {
    (void)state;
    for (int packed = 0; packed < 4; packed++) { /* 2, 3: in bf16, of one and two parts */
        eval_case c = case_new();
        struct ir_attrs_pack pack = {.precision = packed == 3   ? IR_PRECISION_BF16X3
                                                  : packed == 2 ? IR_PRECISION_BF16
                                                                : IR_PRECISION_F32};
        int filter = packed < 2 ? 4 * 16 * 32 * 9 : 2 * (packed - 1) * 16 * 32 * 9;
        ir_ref x = case_pattern(&c, T(2, 16, 6, 5), 1), x1 = case_pattern(&c, T(2, 3, 6, 5), 1);
        ir_ref w = case_weight(&c, "w", T(7, 19, 3, 3), zeros),
               b = case_weight(&c, "b", T(7), zeros);
        struct ir_attrs_conv2d at = IR_DEFAULTS(conv2d);
        at.pad = IR_I4(1, 1, 1, 1);
        at.stride = IR_I2(2, 1);
        if (packed) {
            w = ir_op1(c.f, IR_OP_pack_conv_weight, w, &pack, 0);
            b = ir_op1(c.f, IR_OP_pack_vector, b, NULL, 0);
            at.n = 7;
            at.precision = pack.precision;
            expect_cost(&c, w, 0, 0, 0);
        }
        ir_ref y = ir_build(c.f, IR_OP_conv2d, REFS(x, w, b, x1), &at, IR_PLAIN, 0);
        expect_cost(&c, y, 2.0 * 2 * 7 * 3 * 5 * 19 * 9, (uint64_t)filter + 4 * 16,
                    4 * (2 * 16 * 30 + 2 * 3 * 30 + 2 * 7 * 15));
        case_free(&c);
    }
}

/* As the convolution it is, with its rounding on top; weights are bytes, and their scales. */
static void conv2d_i8_cost(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref x = case_pattern(&c, T(2, 20, 6, 5), 1), w = case_weight(&c, "w", T(7, 20, 3, 3), zeros);
    ir_ref range = ir_op1(c.f, IR_OP_channel_range, x, NULL, 0);
    expect_cost(&c, range, 2.0 * 2 * 20 * 30, 0, 4 * (2 * 20 * 30 + 2 * 2 * 32));
    struct ir_attrs_quantize q = IR_DEFAULTS(quantize);
    q.pad = IR_I4(1, 1, 1, 1);
    q.pre_act = IR_ACT_SILU;
    ir_ref u = ir_build(c.f, IR_OP_quantize, REFS(x, IR_NONE, range, range), &q, IR_PLAIN, 0);
    expect_cost(&c, u, 5.0 * 2 * 20 * 30, 0, 4 * (2 * 20 * 30 + 2 * 2 * 2 * 32) + 2 * 8 * 7 * 80);
    struct ir_attrs_conv2d_i8 at = IR_DEFAULTS(conv2d_i8);
    at.channels = 20;
    at.n = 7;
    ir_ref packed = ir_op1(c.f, IR_OP_pack_i8_weight, w, NULL, 0),
           scale = ir_op1(c.f, IR_OP_pack_i8_scale, w, NULL, 0);
    expect_cost(&c, packed, 0, 0, 0);
    ir_ref y = ir_build(c.f, IR_OP_conv2d_i8, REFS(u, packed, scale), &at, IR_PLAIN, 0);
    expect_cost(&c, y, 2.0 * 2 * 7 * 30 * 20 * 9, 16 * 9 * 64 + 4 * 2 * 16,
                2 * 8 * 7 * 80 + 4 * 2 * 7 * 30);
    case_free(&c);
}

/* What becomes a prologue or an epilogue counts as much as it did alone. */
static void fusion_keeps_arithmetic(void **state) {
    (void)state;
    double flops[2];
    for (int fused = 0; fused < 2; fused++) {
        eval_case c = case_new();
        ir_ref x = case_pattern(&c, T(1, 32, 4, 4), 1),
               w = case_weight(&c, "w", T(32, 32, 1, 1), zeros);
        ir_ref v = case_weight(&c, "v", T(32), zeros), y;
        if (fused) {
            ir_ref s = ir_op3(c.f, IR_OP_group_stats, x, v, v, NULL, 0);
            struct ir_attrs_conv2d at = IR_DEFAULTS(conv2d);
            at.pre_act = at.act = IR_ACT_SILU;
            y = ir_build(c.f, IR_OP_conv2d, REFS(x, w, v, IR_NONE, s, IR_NONE, x), &at, IR_C16, 0);
        } else {
            y = ir_op3(c.f, IR_OP_group_norm, x, v, v, NULL, 0);
            y = ir_op1(c.f, IR_OP_silu, y, NULL, 0);
            y = ir_op3(c.f, IR_OP_conv2d, y, w, v, NULL, 0);
            y = ir_op1(c.f, IR_OP_silu, ir_op2(c.f, IR_OP_add, y, x, NULL, 0), NULL, 0);
        }
        ir_set_output(c.f, "y", y);
        flops[fused] = ir_func_cost(c.f).flops;
        case_free(&c);
    }
    assert_true(flops[0] == 512 * (5 + 1 + 2 * 32 + 1 + 1));
    assert_true(flops[1] == flops[0]);
}

static void linear_and_matmul_cost(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref x = case_pattern(&c, T(2, 3, 20), 1), w = case_weight(&c, "w", T(50, 20), zeros);
    struct ir_attrs_slice half = {.axis = 0, .start = 25, .count = 25};
    ir_ref y = ir_op2(c.f, IR_OP_linear, x, ir_op1(c.f, IR_OP_slice, w, &half, 0), NULL, 0);
    expect_cost(&c, y, 2.0 * 6 * 25 * 20, 4 * 32 * 32, 4 * (120 + 150));
    struct ir_attrs_matmul at = {.transpose_b = true, .scale = 1};
    expect_cost(&c, ir_op2(c.f, IR_OP_matmul, x, x, &at, 0), 2.0 * 2 * 3 * 3 * 20, 0,
                4 * (120 + 120 + 18));
    case_free(&c);
}

static void attention_cost(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref q = case_pattern(&c, T(2, 10, 32), 1), k = case_pattern(&c, T(2, 7, 32), 1);
    struct ir_attrs_attention at = {.heads = 4, .scale = 1};
    expect_cost(&c, ir_op3(c.f, IR_OP_attention, q, k, k, &at, 0), 4.0 * 2 * 4 * 10 * 7 * 8, 0,
                4 * 2 * 32 * (10 + 7 + 7 + 10));
    struct ir_attrs_heads heads = {.heads = 4};
    struct ir_attrs_attention_tiled tiled = {.heads = 4, .scale = 1, .kv_len = 7};
    ir_ref kp = ir_op1(c.f, IR_OP_pack_k, k, &heads, 0),
           vp = ir_op1(c.f, IR_OP_pack_v, k, &heads, 0);
    assert_true(ir_node_cost(c.f, ir_op3(c.f, IR_OP_attention_tiled, q, kp, vp, &tiled, 0)).flops ==
                4.0 * 2 * 4 * 10 * 7 * 8);
    case_free(&c);
}

static void other_costs(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_type blocked = T(1, 20, 2, 2);
    blocked.layout = IR_C16;
    ir_ref x = case_pattern(&c, T(2, 6), 1), ids = case_ids(&c, T(2, 3), zeros),
           image = case_pattern(&c, blocked, 1);
    ir_ref table = case_weight(&c, "table", T(100, 8), zeros);
    struct ir_attrs_ew ew = {.expr = "add(mul(a,0.5),silu(a))"};
    struct ir_attrs_shape flat = {.shape = {1, {12}}};
    expect_cost(&c, x, 0, 0, 0);
    expect_cost(&c, table, 0, 0, 0);
    expect_cost(&c, ir_op1(c.f, IR_OP_silu, x, NULL, 0), 12, 0, 96);
    expect_cost(&c, ir_op1(c.f, IR_OP_ew, x, &ew, 0), 36, 0, 96);
    expect_cost(&c, ir_op1(c.f, IR_OP_softmax, x, NULL, 0), 48, 0, 96);
    expect_cost(&c, ir_op1(c.f, IR_OP_reshape, x, &flat, 0), 0, 0, 0);
    expect_cost(&c, ir_op2(c.f, IR_OP_embedding, ids, table, NULL, 0), 0, 4 * 48, 4 * (6 + 48));
    /* padding of the layout is moved too */
    expect_cost(&c, ir_build(c.f, IR_OP_silu, &image, 1, NULL, IR_C16, 0), 80, 0, 2 * 4 * 32 * 4);
    case_free(&c);
}

static void parameters_count_once(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref w = case_weight(&c, "w", T(5, 4), zeros);
    case_weight(&c, "v", T(3), zeros);
    ir_type unused = T(1000);
    ir_weight_add(c.m, "unused", &unused);
    ir_func *g = ir_func_new(c.m, "g");
    ir_set_output(g, "y", ir_weight_ref(g, IR_ATTRS(ir_get(c.f, w), weight)->index, 0));
    assert_int_equal(ir_parameter_count(c.m), 23);
    case_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv2d_cost),
        cmocka_unit_test(conv2d_i8_cost),
        cmocka_unit_test(fusion_keeps_arithmetic),
        cmocka_unit_test(linear_and_matmul_cost),
        cmocka_unit_test(attention_cost),
        cmocka_unit_test(other_costs),
        cmocka_unit_test(parameters_count_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
