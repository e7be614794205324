/* The evaluator: hand-made cases, the cases of eval_torch.c, and that every op has one. */
#include "tests/unit/ir/eval_case.h"
#include "tests/unit/ir/eval_torch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- elementwise ---- */

static void one_operand(void **state) {
    (void)state;
    static const struct {
        ir_op op;
        float x[3], y[3];
    } rows[] = {
        {IR_OP_relu, {-1, 0, 2}, {0, 0, 2}},
        {IR_OP_relu, {NAN, -INFINITY, INFINITY}, {NAN, 0, INFINITY}},
        {IR_OP_exp, {0, 1, -1}, {1, 2.718281828f, 0.3678794412f}},
        {IR_OP_sqrt, {0, 4, 2}, {0, 2, 1.414213562f}},
        {IR_OP_neg, {0, 4, -2}, {0, -4, 2}},
        {IR_OP_sigmoid, {-1000, 0, 1000}, {0, 0.5f, 1}},
        {IR_OP_mish, {-1000, 0, 1000}, {0, 0, 1000}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        eval_case c = case_new();
        ir_ref x = case_values(&c, T(3), rows[i].x);
        case_expect(&c, ir_op1(c.f, rows[i].op, x, NULL, 0), T(3), rows[i].y);
    }
}

static void two_operands(void **state) {
    (void)state;
    static const struct {
        ir_op op;
        float y[4];
    } rows[] = {
        {IR_OP_add, {4, 1, NAN, 5}},  {IR_OP_sub, {2, -5, NAN, -3}},
        {IR_OP_mul, {3, -6, NAN, 4}}, {IR_OP_div, {3, -2.f / 3, NAN, 0.25f}},
        {IR_OP_max, {3, 3, NAN, 4}},  {IR_OP_min, {1, -2, NAN, 1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        eval_case c = case_new();
        ir_ref a = case_values(&c, T(4), VALUES(3, -2, NAN, 1)),
               b = case_values(&c, T(4), VALUES(1, 3, 2, 4));
        case_expect(&c, ir_op2(c.f, rows[i].op, a, b, NULL, 0), T(4), rows[i].y);
    }
    eval_case c = case_new(); /* a NaN on the right wins too */
    ir_ref a = case_values(&c, T(1), VALUES(1)), b = case_values(&c, T(1), VALUES(NAN));
    case_expect(&c, ir_op2(c.f, IR_OP_max, a, b, NULL, 0), T(1), VALUES(NAN));
}

static void broadcasting(void **state) {
    (void)state;
    eval_case c = case_new(); /* both operands grow, and so does the rank */
    ir_ref a = case_values(&c, T(2, 1, 2), VALUES(1, 2, 3, 4)),
           b = case_values(&c, T(3, 1), VALUES(10, 20, 30));
    case_expect(&c, ir_op2(c.f, IR_OP_add, a, b, NULL, 0), T(2, 3, 2),
                VALUES(11, 12, 21, 22, 31, 32, 13, 14, 23, 24, 33, 34));
    c = case_new(); /* a scalar */
    a = case_values(&c, T(2, 2), VALUES(1, 2, 3, 4));
    b = case_values(&c, ir_type_make(IR_f32, 0, NULL), VALUES(2));
    case_expect(&c, ir_op2(c.f, IR_OP_mul, b, a, NULL, 0), T(2, 2), VALUES(2, 4, 6, 8));
    c = case_new(); /* per channel of an image */
    a = case_values(&c, T(1, 2, 1, 3), VALUES(1, 2, 3, 4, 5, 6));
    b = case_values(&c, T(1, 2, 1, 1), VALUES(1, -1));
    case_expect(&c, ir_op2(c.f, IR_OP_mul, a, b, NULL, 0), T(1, 2, 1, 3),
                VALUES(1, 2, 3, -4, -5, -6));
    c = case_new(); /* rows longer than a run */
    a = case_pattern(&c, T(2, 1000), 1);
    b = case_pattern(&c, T(1000), 2);
    ir_tensor y = case_eval(&c, ir_op2(c.f, IR_OP_sub, a, b, NULL, 0));
    for (int64_t i = 0; i < 2000; i++)
        assert_true(y.data[i] == case_pattern_at(1, i) - case_pattern_at(2, i % 1000));
    ir_tensor_free(&y);
    case_free(&c);
}

static void affine_and_clamp(void **state) {
    (void)state;
    eval_case c = case_new();
    struct ir_attrs_affine affine = {.mul = 2, .add = -1};
    ir_ref x = case_values(&c, T(4), VALUES(-1, 0, 0.5f, NAN));
    case_expect(&c, ir_op1(c.f, IR_OP_affine, x, &affine, 0), T(4), VALUES(-3, -1, 0, NAN));
    c = case_new();
    struct ir_attrs_clamp clamp = {.lo = -0.5, .hi = 2};
    x = case_values(&c, T(4), VALUES(-1, 1, 3, NAN));
    case_expect(&c, ir_op1(c.f, IR_OP_clamp, x, &clamp, 0), T(4), VALUES(-0.5f, 1, 2, NAN));
}

static void expressions(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref a = case_values(&c, T(2, 2), VALUES(1, -2, 3, 4)),
           b = case_values(&c, T(2), VALUES(1, 2));
    ir_ref d = case_values(&c, T(2, 1), VALUES(0, -1));
    struct ir_attrs_ew at = {.expr = "max(add(mul(a,b),relu(d)),sub(0.5,neg(c)))"};
    ir_ref y = ir_build(c.f, IR_OP_ew, REFS(a, b, b, d), &at, IR_PLAIN, 0);
    case_expect(&c, y, T(2, 2), VALUES(1.5f, 2.5f, 3, 8));
}

/* ---- contractions ---- */

static void conv2d_by_hand(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref x = case_values(&c, T(1, 1, 2, 3), VALUES(1, 2, 3, 4, 5, 6));
    ir_ref w = case_values(&c, T(2, 1, 1, 2), VALUES(1, 10, -1, 1));
    case_expect(&c, ir_op2(c.f, IR_OP_conv2d, x, w, NULL, 0), T(1, 2, 2, 2),
                VALUES(21, 32, 54, 65, 1, 1, 1, 1));
}

/* Packed weights, padded bias and one row of time bias for all images mean what the plain ones
 * mean. */
static void conv2d_packed(void **state) {
    (void)state;
    ir_tensor y[2];
    for (int packed = 0; packed < 2; packed++) {
        eval_case c = case_new();
        ir_ref x = case_pattern(&c, T(2, 16, 3, 2), 1), x1 = case_pattern(&c, T(2, 5, 3, 2), 2);
        ir_ref w = case_pattern(&c, T(18, 21, 3, 3), 3), bias = case_pattern(&c, T(18), 4);
        ir_ref tbias = case_pattern(&c, T(1, 18), 5), norm = case_pattern(&c, T(1, 2, 32), 6);
        struct ir_attrs_conv2d at = IR_DEFAULTS(conv2d);
        at.pad = IR_I4(1, 1, 1, 1);
        if (packed) {
            w = ir_op1(c.f, IR_OP_pack_conv_weight, w, NULL, 0);
            bias = ir_op1(c.f, IR_OP_pack_vector, bias, NULL, 0);
            at.n = 18;
        }
        y[packed] = case_eval(
            &c, ir_build(c.f, IR_OP_conv2d, REFS(x, w, bias, x1, norm, tbias), &at, IR_C16, 0));
        case_free(&c);
    }
    assert_true(ir_type_equal(&y[0].type, &y[1].type));
    assert_memory_equal(y[0].data, y[1].data, 2 * 18 * 3 * 2 * sizeof(float));
    ir_tensor_free(&y[0]);
    ir_tensor_free(&y[1]);
}

/* Minimal filtering computes the same convolution, with tails of tiles and channels and every
 * operand. */
static void conv2d_winograd_is_conv2d(void **state) {
    (void)state;
    for (int way = 0; way < 4; way++) { /* 0, 1: all operands; 2, 3: resized, no padding */
        ir_tensor y[2];
        for (int winograd = 0; winograd < 2; winograd++) {
            eval_case c = case_new();
            ir_ref x = case_pattern(&c, T(2, 16, 3, 5), 1), x1 = case_pattern(&c, T(2, 5, 3, 5), 2);
            ir_ref w = case_pattern(&c, T(18, 21, 3, 3), 3), bias = case_pattern(&c, T(18), 4);
            ir_ref tbias = case_pattern(&c, T(1, 18), 5), norm = case_pattern(&c, T(1, 2, 32), 6);
            ir_i4 pad = way < 2 ? IR_I4(1, 1, 1, 1) : IR_I4(0, 0, 0, 0);
            ir_i2 upsample = way < 2 ? IR_I2(0, 0) : IR_I2(7, 9);
            struct ir_attrs_conv2d direct = {.stride = IR_I2(1, 1),
                                             .pad = pad,
                                             .upsample = upsample,
                                             .pre_act = IR_ACT_SILU,
                                             .act = IR_ACT_TANH};
            struct ir_attrs_winograd at = {.tile = way % 2 ? 2 : 4,
                                           .pad = pad,
                                           .upsample = upsample,
                                           .pre_act = IR_ACT_SILU,
                                           .act = IR_ACT_TANH,
                                           .n = 18};
            struct ir_attrs_tile tile = {.tile = at.tile};
            ir_ref residual = case_pattern(&c, way < 2 ? T(2, 18, 3, 5) : T(2, 18, 5, 7), 7);
            if (winograd) w = ir_op1(c.f, IR_OP_pack_winograd_weight, w, &tile, 0);
            y[winograd] =
                case_eval(&c, ir_build(c.f, winograd ? IR_OP_conv2d_winograd : IR_OP_conv2d,
                                       REFS(x, w, bias, x1, norm, tbias, residual),
                                       winograd ? (void *)&at : (void *)&direct, IR_PLAIN, 0));
            case_free(&c);
        }
        assert_true(ir_type_equal(&y[0].type, &y[1].type));
        for (int64_t i = 0; i < ir_type_elements(&y[0].type);
             i++) /* filters are rounded once more */
            assert_true(fabsf(y[0].data[i] - y[1].data[i]) < 1e-5f);
        ir_tensor_free(&y[0]);
        ir_tensor_free(&y[1]);
    }
}

/* Four 2x2 filters compute what the 3x3 filter does on the doubled input, with tails of channels
 * and every operand. */
static void conv2d_phases_is_conv2d(void **state) {
    (void)state;
    ir_tensor y[2];
    for (int phases = 0; phases < 2; phases++) {
        eval_case c = case_new();
        ir_ref x = case_pattern(&c, T(2, 16, 3, 5), 1), x1 = case_pattern(&c, T(2, 5, 3, 5), 2);
        ir_ref w = case_pattern(&c, T(18, 21, 3, 3), 3), bias = case_pattern(&c, T(18), 4);
        ir_ref tbias = case_pattern(&c, T(1, 18), 5), norm = case_pattern(&c, T(1, 2, 32), 6);
        ir_ref residual = case_pattern(&c, T(2, 18, 6, 10), 7);
        struct ir_attrs_conv2d direct = {.stride = IR_I2(1, 1),
                                         .pad = IR_I4(1, 1, 1, 1),
                                         .upsample = IR_I2(6, 10),
                                         .pre_act = IR_ACT_SILU,
                                         .act = IR_ACT_TANH};
        struct ir_attrs_phases at = {.pre_act = IR_ACT_SILU, .act = IR_ACT_TANH, .n = 18};
        if (phases) {
            w = ir_op1(c.f, IR_OP_phase_filter, w, NULL, 0);
            w = ir_op1(c.f, IR_OP_pack_conv_weight, w, NULL, 0);
        }
        y[phases] = case_eval(&c, ir_build(c.f, phases ? IR_OP_conv2d_phases : IR_OP_conv2d,
                                           REFS(x, w, bias, x1, norm, tbias, residual),
                                           phases ? (void *)&at : (void *)&direct, IR_PLAIN, 0));
        case_free(&c);
    }
    assert_true(ir_type_equal(&y[0].type, &y[1].type));
    for (int64_t i = 0; i < ir_type_elements(&y[0].type); i++) /* filters are rounded once more */
        assert_true(fabsf(y[0].data[i] - y[1].data[i]) < 1e-5f);
    ir_tensor_free(&y[0]);
    ir_tensor_free(&y[1]);
}

/* One op for both layers gives what the two linears give. */
static void feed_forward_is_two_linears(void **state) {
    (void)state;
    ir_tensor y[2];
    for (int fused = 0; fused < 2; fused++) {
        eval_case c = case_new();
        ir_ref x = case_pattern(&c, T(2, 3, 20), 1), residual = case_pattern(&c, T(2, 3, 18), 6);
        ir_ref w1 = ir_op1(c.f, IR_OP_pack_conv_weight, case_pattern(&c, T(64, 20), 2), NULL, 0);
        ir_ref b1 = case_pattern(&c, T(64), 3), b2 = case_pattern(&c, T(18), 5);
        ir_ref w2 = ir_op1(c.f, IR_OP_pack_conv_weight, case_pattern(&c, T(18, 32), 4), NULL, 0);
        struct ir_attrs_feed_forward at = {.hidden = 32, .n = 18};
        struct ir_attrs_linear first = {.n = 64, .geglu = true}, second = {.n = 18};
        ir_ref out =
            fused
                ? ir_build(c.f, IR_OP_feed_forward, REFS(x, w1, w2, b1, b2, residual), &at,
                           IR_PLAIN, 0)
                : ir_build(c.f, IR_OP_linear,
                           REFS(ir_op3(c.f, IR_OP_linear, x, w1, b1, &first, 0), w2, b2, residual),
                           &second, IR_PLAIN, 0);
        y[fused] = case_eval(&c, out);
        case_free(&c);
    }
    assert_true(ir_type_equal(&y[0].type, &y[1].type));
    assert_memory_equal(y[0].data, y[1].data, 2 * 3 * 18 * sizeof(float));
    ir_tensor_free(&y[0]);
    ir_tensor_free(&y[1]);
}

static void linear_plain_and_packed(void **state) {
    (void)state;
    for (int form = 0; form < 3; form++) {
        eval_case c = case_new();
        ir_ref x = case_values(&c, T(2, 3), VALUES(1, 2, 3, 4, 5, 6));
        ir_ref w = case_values(&c, form == 1 ? T(2, 3, 1, 1) : T(2, 3), VALUES(1, 0, -1, 2, 1, 0));
        ir_ref b = case_values(&c, T(2), VALUES(0.5f, 100));
        struct ir_attrs_linear at = IR_DEFAULTS(linear);
        if (form == 2) {
            w = ir_op1(c.f, IR_OP_pack_conv_weight, w, NULL, 0);
            b = ir_op1(c.f, IR_OP_pack_vector, b, NULL, 0);
            at.n = 2;
        }
        case_expect(&c, ir_op3(c.f, IR_OP_linear, x, w, b, &at, 0), T(2, 2),
                    VALUES(-1.5f, 104, -1.5f, 113));
    }
}

/* Long sums and more columns than one run of the matrix. */
static void linear_large(void **state) {
    (void)state;
    enum { M = 45, N = 3, K = 5000 };
    eval_case c = case_new();
    ir_ref x = case_pattern(&c, T(M, K), 1), w = case_pattern(&c, T(N, K), 2);
    ir_tensor y = case_eval(&c, ir_op2(c.f, IR_OP_linear, x, w, NULL, 0));
    for (int64_t m = 0; m < M; m++)
        for (int64_t n = 0; n < N; n++) {
            double sum = 0;
            for (int64_t k = 0; k < K; k++)
                sum +=
                    (double)case_pattern_at(1, m * K + k) * (double)case_pattern_at(2, n * K + k);
            assert_true((double)y.data[m * N + n] ==
                        (double)(float)sum); /* multiples of 1/64: exact */
        }
    ir_tensor_free(&y);
    case_free(&c);
}

/* ---- data movement ---- */

static void reshapes_and_transposes(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref x = case_values(&c, T(2, 3), VALUES(1, 2, 3, 4, 5, 6));
    struct ir_attrs_shape shape = {.shape = {3, {3, 1, 2}}};
    case_expect(&c, ir_op1(c.f, IR_OP_reshape, x, &shape, 0), T(3, 1, 2), VALUES(1, 2, 3, 4, 5, 6));
    c = case_new();
    x = case_values(&c, T(2, 1, 3), VALUES(1, 2, 3, 4, 5, 6));
    struct ir_attrs_transpose perm = {.perm = {3, {2, 0, 1}}};
    case_expect(&c, ir_op1(c.f, IR_OP_transpose, x, &perm, 0), T(3, 2, 1),
                VALUES(1, 4, 2, 5, 3, 6));
}

static void joins_and_cuts(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref a = case_values(&c, T(2, 1, 2), VALUES(1, 2, 3, 4)),
           b = case_values(&c, T(2, 2, 2), VALUES(5, 6, 7, 8, 9, 10, 11, 12));
    struct ir_attrs_axis axis = {.axis = 1};
    case_expect(&c, ir_op2(c.f, IR_OP_concat, a, b, &axis, 0), T(2, 3, 2),
                VALUES(1, 2, 5, 6, 7, 8, 3, 4, 9, 10, 11, 12));
    c = case_new();
    b = case_values(&c, T(2, 3, 2), VALUES(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
    struct ir_attrs_slice slice = {.axis = 1, .start = 1, .count = 2};
    case_expect(&c, ir_op1(c.f, IR_OP_slice, b, &slice, 0), T(2, 2, 2),
                VALUES(3, 4, 5, 6, 9, 10, 11, 12));
}

static void views(void **state) {
    (void)state;
    static const float image[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};  /* [1,3,2,2] */
    static const float tokens[] = {1, 5, 9, 2, 6, 10, 3, 7, 11, 4, 8, 12}; /* [1,4,3] */
    struct ir_attrs_shape to_tokens = {.shape = {3, {1, 4, 3}}},
                          to_image = {.shape = {4, {1, 3, 2, 2}}};
    ir_type blocked_image = T(1, 3, 2, 2), blocked_tokens = T(1, 4, 3);
    blocked_image.layout = blocked_tokens.layout = IR_C16;

    eval_case c = case_new();
    ir_ref x = case_values(&c, blocked_image, image);
    case_expect(&c, ir_build(c.f, IR_OP_view, &x, 1, &to_tokens, IR_C16, 0), T(1, 4, 3), tokens);
    c = case_new();
    x = case_values(&c, blocked_tokens, tokens);
    case_expect(&c, ir_build(c.f, IR_OP_view, &x, 1, &to_image, IR_C16, 0), T(1, 3, 2, 2), image);
    c = case_new();
    x = case_values(&c, T(1, 3, 2, 2), image);
    case_expect(&c, ir_build(c.f, IR_OP_view, &x, 1, &to_tokens, IR_PLAIN, 0), T(1, 4, 3), image);
}

/* Layouts say where bytes lie, not what a value is. */
static void copies(void **state) {
    (void)state;
    ir_op ops[] = {IR_OP_layout_cast, IR_OP_copy};
    for (size_t i = 0; i < 2; i++) {
        eval_case c = case_new();
        ir_ref x = case_values(&c, T(1, 2, 1, 2), VALUES(1, 2, 3, 4));
        case_expect(&c, ir_build(c.f, ops[i], &x, 1, NULL, IR_C16, 0), T(1, 2, 1, 2),
                    VALUES(1, 2, 3, 4));
    }
}

static void embeddings(void **state) {
    (void)state;
    static const float table[] = {0, 1, 2, 10, 11, 12, 20, 21, 22};
    for (int packed = 0; packed < 2; packed++) {
        eval_case c = case_new();
        ir_ref ids = case_ids(&c, T(2, 2), VALUES(2, 0, 1, 1)), t = case_values(&c, T(3, 3), table);
        ir_ref position =
            case_values(&c, T(3, 3), VALUES(100, 100, 100, 200, 200, 200, 300, 300, 300));
        struct ir_attrs_embedding at = IR_DEFAULTS(embedding);
        if (packed) {
            t = ir_op1(c.f, IR_OP_pack_table, t, NULL, 0);
            position = ir_op1(c.f, IR_OP_pack_table, position, NULL, 0);
            at.n = 3;
        }
        case_expect(&c, ir_op3(c.f, IR_OP_embedding, ids, t, position, &at, 0), T(2, 2, 3),
                    VALUES(120, 121, 122, 200, 201, 202, 110, 111, 112, 210, 211, 212));
    }
    eval_case c = case_new(); /* ids outside the table read its ends */
    ir_ref ids = case_ids(&c, T(3), VALUES(-5, 1, 7)), t = case_values(&c, T(3, 3), table);
    case_expect(&c, ir_op2(c.f, IR_OP_embedding, ids, t, NULL, 0), T(3, 3),
                VALUES(0, 1, 2, 10, 11, 12, 20, 21, 22));
}

static void rows_by_id(void **state) {
    (void)state;
    static const float x[] = {1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60};
    eval_case c = case_new(); /* the first of the largest; the first of an id, row 0 without one */
    ir_ref ids = case_ids(&c, T(2, 3), VALUES(4, 9, 9, 9, 2, 4)),
           t = case_values(&c, T(2, 3, 2), x);
    struct ir_attrs_select_row at = IR_DEFAULTS(select_row);
    case_expect(&c, ir_op2(c.f, IR_OP_select_row, t, ids, &at, 0), T(2, 2), VALUES(3, 4, 10, 20));
    c = case_new();
    ids = case_ids(&c, T(2, 3), VALUES(4, 2, 2, 9, 9, 4));
    t = case_values(&c, T(2, 3, 2), x);
    at.id = 2;
    case_expect(&c, ir_op2(c.f, IR_OP_select_row, t, ids, &at, 0), T(2, 2), VALUES(3, 4, 10, 20));
}

static void nearest_rows(void **state) {
    (void)state;
    eval_case c = case_new(); /* the first of equally near ones */
    ir_ref x = case_values(&c, T(1, 3, 2), VALUES(0, 0.5, 3, 3, -9, 1)),
           t = case_values(&c, T(4, 2), VALUES(0, 1, 0, 0, 2, 3, -8, 1));
    case_expect(&c, ir_op2(c.f, IR_OP_nearest, x, t, NULL, 0), T(1, 3), VALUES(0, 2, 3));
}

/* ---- packing ---- */

static void packed_weights(void **state) {
    (void)state;
    enum { N = 18, C = 17, TAPS = 6 };
    eval_case c = case_new();
    ir_ref w = case_pattern(&c, T(N, C, 2, 3), 1);
    ir_tensor y = case_eval(&c, ir_op1(c.f, IR_OP_pack_conv_weight, w, NULL, 0));
    ir_type want = T(2, 2, 2, 3, 16, 16);
    assert_true(ir_shape_equal(&y.type, &want));
    for (int64_t i = 0; i < ir_type_elements(&want); i++) { /* i: nb cb tap c n */
        int64_t n = i / (2 * TAPS * 256) * 16 + i % 16, k = i / (TAPS * 256) % 2 * 16 + i / 16 % 16,
                tap = i / 256 % TAPS;
        float value = n < N && k < C ? case_pattern_at(1, (n * C + k) * TAPS + tap) : 0;
        assert_true(y.data[i] == value);
    }
    ir_tensor_free(&y);
    case_free(&c);
}

/* F(2,3)'s filter by hand: G = [-1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1], G g G^T of a g with two
 * entries. */
static void transformed_filter(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref w = case_values(&c, T(1, 1, 3, 3), VALUES(0, 4, 0, 0, 8, 0, 0, 0, 0));
    struct ir_attrs_tile tile = {.tile = 2};
    ir_tensor y = case_eval(&c, ir_op1(c.f, IR_OP_pack_winograd_weight, w, &tile, 0));
    static const float want[16] = {0, -2, 2, 0, 0, 3, -3, 0, 0, -1, 1, 0, 0, 0, 0, 0};
    for (int p = 0; p < 16; p++)
        for (int i = 0; i < 256; i++) assert_true(y.data[p * 256 + i] == (i == 0 ? want[p] : 0));
    ir_tensor_free(&y);
    case_free(&c);
}

/* By hand: g = [0 4 0; 0 8 0; 1 0 0] as phases. */
static void filter_of_phases(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref w = case_values(&c, T(1, 1, 3, 3), VALUES(0, 4, 0, 0, 8, 0, 1, 0, 0));
    ir_tensor y = case_eval(&c, ir_op1(c.f, IR_OP_phase_filter, w, NULL, 0));
    static const float want[4][4] = {{0, 4, 1, 8}, {4, 0, 9, 0}, {0, 12, 1, 0}, {12, 0, 1, 0}};
    for (int p = 0; p < 4; p++)
        for (int i = 0; i < 64; i++) assert_true(y.data[p * 64 + i] == (i < 4 ? want[p][i] : 0));
    ir_tensor_free(&y);
    case_free(&c);
}

static void packed_vectors_and_tables(void **state) {
    (void)state;
    float vector[16] = {1, 2, 3}, table[32] = {1, 2, 3};
    memcpy(table + 16, VALUES(4, 5, 6), 3 * sizeof(float));
    eval_case c = case_new();
    ir_ref v = case_values(&c, T(3), VALUES(1, 2, 3));
    case_expect(&c, ir_op1(c.f, IR_OP_pack_vector, v, NULL, 0), T(16), vector);
    c = case_new();
    v = case_values(&c, T(2, 3), VALUES(1, 2, 3, 4, 5, 6));
    case_expect(&c, ir_op1(c.f, IR_OP_pack_table, v, NULL, 0), T(2, 16), table);
}

static void packed_keys_and_values(void **state) {
    (void)state;
    enum { B = 2, S = 18, H = 2, D = 17 };
    for (int values = 0; values < 2; values++) {
        eval_case c = case_new();
        ir_ref x = case_pattern(&c, T(B, S, H * D), 1);
        struct ir_attrs_heads at = {.heads = H};
        ir_tensor y = case_eval(&c, ir_op1(c.f, values ? IR_OP_pack_v : IR_OP_pack_k, x, &at, 0));
        ir_type want = values ? T(B, H, 2, D, 16) : T(B, H, S, D);
        assert_true(ir_shape_equal(&y.type, &want));
        for (int64_t i = 0; i < ir_type_elements(&want); i++) {
            int64_t head = values ? i / (2 * D * 16) : i / (S * D);
            int64_t s = values ? i / (D * 16) % 2 * 16 + i % 16 : i / D % S,
                    d = values ? i / 16 % D : i % D;
            int64_t at_x = ((head / H) * S + s) * H * D + head % H * D + d;
            assert_true(y.data[i] == (s < S ? case_pattern_at(1, at_x) : 0));
        }
        ir_tensor_free(&y);
        case_free(&c);
    }
}

/* ---- the order of evaluation ---- */

static void leaves(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref x = case_values(&c, T(2), VALUES(1, 2));
    case_expect(&c, x, T(2), VALUES(1, 2));
    c = case_new();
    ir_ref w = case_weight(&c, "w", T(2), VALUES(3, 4));
    case_expect(&c, w, T(2), VALUES(3, 4));
}

typedef struct seen {
    uint32_t nodes, last_done, total;
    uint32_t when[16]; /* by node: position in the order, from 1 */
} seen;

static void observe(void *user, ir_ref node, const ir_tensor *value) {
    seen *s = user;
    assert_non_null(value->data);
    s->when[node.id] = ++s->nodes;
}

static void progress(void *user, uint32_t done, uint32_t total) {
    seen *s = user;
    assert_int_equal(done, s->last_done + 1);
    s->last_done = done;
    s->total = total;
}

/* Weights at the top of a function are read at their first use; dead nodes are not computed; two
 * outputs may be one value. */
static void order_and_outputs(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref x = case_values(&c, T(2), VALUES(1, 2));
    ir_ref w1 = case_weight(&c, "w1", T(2), VALUES(10, 20)),
           w2 = case_weight(&c, "w2", T(2), VALUES(5, 5));
    ir_ref folded = ir_op1(c.f, IR_OP_neg, w2, NULL, 0);
    ir_ref a = ir_op2(c.f, IR_OP_add, x, w1, NULL, 0),
           b = ir_op2(c.f, IR_OP_mul, a, folded, NULL, 0);
    ir_ref dead = ir_op1(c.f, IR_OP_exp, b, NULL, 0);
    ir_set_output(c.f, "b", b);
    ir_set_output(c.f, "again", b);
    ir_set_output(c.f, "x", x);
    ir_set_output(c.f, "folded", folded);
    seen s = {0};
    ir_tensor y[4];
    ir_eval_options options = {.observe = observe, .progress = progress, .user = &s};
    ir_eval(c.f, c.inputs, y, &options);
    check_values(y[0].data, VALUES(-55, -110), 2, 0);
    check_values(y[1].data, VALUES(-55, -110), 2, 0);
    check_values(y[2].data, VALUES(1, 2), 2, 0);
    check_values(y[3].data, VALUES(-5, -5), 2, 0);
    assert_ptr_not_equal(y[0].data, y[1].data);
    assert_int_equal(s.when[dead.id], 0);
    assert_true(s.when[w2.id] > s.when[a.id]);
    assert_int_equal(s.nodes, 6);
    assert_int_equal(s.total, 6);
    for (int i = 0; i < 4; i++) ir_tensor_free(&y[i]);
    case_free(&c);
}

static void constants(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref w = case_weight(&c, "w", T(4, 2), VALUES(1, 2, 3, 4, 5, 6, 7, 8));
    struct ir_attrs_slice rows = {.axis = 0, .start = 1, .count = 2};
    struct ir_attrs_shape flat = {.shape = {1, {4}}};
    ir_ref s = ir_op1(c.f, IR_OP_slice, w, &rows, 0);
    ir_ref v = ir_op1(c.f, IR_OP_pack_vector, ir_op1(c.f, IR_OP_reshape, s, &flat, 0), NULL, 0);
    ir_tensor y = ir_eval_constant(c.f, v);
    float want[16] = {3, 4, 5, 6};
    check_values(y.data, want, 16, 0);
    ir_tensor_free(&y);
    y = ir_eval_constant(c.f, w);
    check_values(y.data, VALUES(1, 2, 3, 4, 5, 6, 7, 8), 8, 0);
    ir_tensor_free(&y);
    case_free(&c);
}

/* A chain too long for recursion. */
static void long_chains(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref w = case_weight(&c, "w", T(1), VALUES(1)), x = case_values(&c, T(1), VALUES(1));
    for (int i = 0; i < 200000; i++) w = ir_build(c.f, IR_OP_copy, &w, 1, NULL, IR_PLAIN, 0);
    case_expect(&c, ir_op2(c.f, IR_OP_add, x, w, NULL, 0), T(1), VALUES(2));
}

/* ---- 8-bit integers ---- */

/* A range from -1 to 4 in 255 steps of 5/256, the next number of 8 bits above 5/255 being itself
 * too long: 0x1.42p-6 = 161/8192. */
#define I8_SCALE (161.0f / 8192)

static void channel_ranges(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref x = case_values(&c, T(1, 2, 1, 3), VALUES(3, -1, 2, 5, 5, 6));
    float want[64] = {-1, 5};
    want[32 - 16] = 3;
    want[32 - 15] = 6;
    case_expect(&c, ir_op1(c.f, IR_OP_channel_range, x, NULL, 0), T(1, 2, 16), want);
    c = case_new(); /* what is not finite is told */
    x = case_values(&c, T(1, 1, 1, 2), VALUES(1, INFINITY));
    ir_tensor r = case_eval(&c, ir_op1(c.f, IR_OP_channel_range, x, NULL, 0));
    assert_true(isnan(r.data[0]) && isnan(r.data[16]));
    ir_tensor_free(&r);
    case_free(&c);
}

static float scale_of(const float *record) {
    unsigned char bytes[4];
    float scale;
    for (int i = 0; i < 4; i++) bytes[i] = (unsigned char)record[i];
    memcpy(&scale, bytes, sizeof scale);
    return scale;
}

static void quantized_tokens(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref x = case_values(&c, T(1, 2, 3), VALUES(-1, 4, 0.5f, 0, 0, 0));
    ir_tensor q = case_eval(&c, ir_op1(c.f, IR_OP_quantize, x, NULL, 0));
    assert_int_equal(q.type.dim[2], 80);
    assert_true(scale_of(q.data + 64) == I8_SCALE);
    assert_true(q.data[68] == 51); /* zero: 1 / scale = 50.9 */
    assert_true(q.data[0] == 0 && q.data[1] == 255 && q.data[2] == 76);
    for (int i = 0; i < 3; i++) assert_true(q.data[80 + i] == q.data[80 + 68]);
    ir_tensor_free(&q);
    case_free(&c);
}

/* Both ends of silu, which is least between them; padding is zero; nearest neighbours. */
static void quantized_image(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref x = case_values(&c, T(1, 1, 1, 2), VALUES(-8, 4));
    ir_ref range = ir_op1(c.f, IR_OP_channel_range, x, NULL, 0);
    struct ir_attrs_quantize at = IR_DEFAULTS(quantize);
    at.pad = IR_I4(1, 0, 0, 0);
    at.upsample.v[0] = 1;
    at.upsample.v[1] = 4;
    at.pre_act = IR_ACT_SILU;
    ir_tensor q = case_eval(
        &c, ir_build(c.f, IR_OP_quantize, REFS(x, IR_NONE, IR_NONE, range), &at, IR_PLAIN, 0));
    const float scale = scale_of(q.data + 64), zero = q.data[68];
    assert_true(scale >= (3.92805516f + 0.27846454f) / 255 && scale < 4.3f / 255);
    assert_true(zero == (float)rint(0.27846454 / (double)scale));
    const float *row = q.data + 4 * 80;
    for (int i = 0; i < 4; i++) assert_true(q.data[i * 80] == zero);
    assert_true(row[0] == row[80] && row[160] == row[240]);
    assert_true(fabsf((row[160] - zero) * scale - 3.92805516f) <= scale * 0.51f);
    ir_tensor_free(&q);
    case_free(&c);
}

/* Exact but for the rounding of the operands: weights are multiples of a 127th, activations of the
 * scale. */
static void quantized_products(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref x = case_values(&c, T(1, 1, 3), VALUES(I8_SCALE * -51, I8_SCALE * 204, I8_SCALE * 3));
    ir_ref w = case_weight(&c, "w", T(2, 3), VALUES(1.27f, 0.5f, -0.01f, 0, -127, 3)),
           bias =
               case_weight(&c, "b", T(16), VALUES(1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    ir_ref q = ir_op1(c.f, IR_OP_quantize, x, NULL, 0);
    ir_ref packed = ir_op1(c.f, IR_OP_pack_i8_weight, w, NULL, 0),
           scale = ir_op1(c.f, IR_OP_pack_i8_scale, w, NULL, 0);
    ir_tensor s = case_eval(&c, scale);
    assert_true(fabsf(s.data[0] - 0.01f) < 1e-8f && s.data[1] == 1);
    assert_true(s.data[16] == 127 + 50 - 1 && s.data[17] == -127 + 3);
    ir_tensor_free(&s);
    s = case_eval(&c, packed); /* fours of channels, columns, a channel */
    assert_true(s.data[0] == 127 && s.data[1] == 50 && s.data[2] == -1 && s.data[3] == 0);
    assert_true(s.data[4] == 0 && s.data[5] == -127 && s.data[6] == 3 && s.data[8] == 0);
    ir_tensor_free(&s);
    struct ir_attrs_conv2d_i8 at = IR_DEFAULTS(conv2d_i8);
    at.channels = 3;
    at.n = 2;
    at.act = IR_ACT_RELU;
    case_expect(&c, ir_build(c.f, IR_OP_conv2d_i8, REFS(q, packed, scale, bias), &at, IR_PLAIN, 0),
                T(1, 1, 2), VALUES(I8_SCALE * 0.01f * (-51 * 127 + 204 * 50 - 3) + 1, 0));
}

/* By phases it is the convolution of the doubled image, where both are exact: activations are whole
 * steps, and every sum of taps is 0 or the largest tap. */
static void quantized_phases(void **state) {
    (void)state;
    ir_tensor y[2];
    for (int phases = 0; phases < 2; phases++) {
        eval_case c = case_new();
        float values[2 * 3 * 4], taps[3 * 2 * 9] = {0};
        for (int i = 0; i < 2 * 3 * 4; i++) values[i] = I8_SCALE * (float)(i * 11);
        values[1] = I8_SCALE * 255; /* the scale */
        for (int n = 0; n < 3; n++) {
            taps[n * 18] = taps[n * 18 + 8] = 127; /* corners, which no sum has both of */
            taps[n * 18 + 9 + 4 * n] = -127;
        }
        ir_ref x = case_values(&c, T(1, 2, 3, 4), values),
               w = case_weight(&c, "w", T(3, 2, 3, 3), taps);
        ir_ref range = ir_op1(c.f, IR_OP_channel_range, x, NULL, 0);
        struct ir_attrs_quantize q = IR_DEFAULTS(quantize);
        q.pad = IR_I4(1, 1, 1, 1);
        if (!phases) q.upsample = IR_I2(6, 8);
        struct ir_attrs_conv2d_i8 at = IR_DEFAULTS(conv2d_i8);
        at.channels = 2;
        at.n = 3;
        at.phases = phases;
        ir_ref bytes =
            ir_build(c.f, IR_OP_quantize, REFS(x, IR_NONE, IR_NONE, range), &q, IR_PLAIN, 0);
        if (phases) w = ir_op1(c.f, IR_OP_phase_filter, w, NULL, 0);
        ir_ref packed = ir_op1(c.f, IR_OP_pack_i8_weight, w, NULL, 0),
               scale = ir_op1(c.f, IR_OP_pack_i8_scale, w, NULL, 0);
        y[phases] = case_eval(
            &c, ir_build(c.f, IR_OP_conv2d_i8, REFS(bytes, packed, scale), &at, IR_PLAIN, 0));
        case_free(&c);
    }
    assert_true(ir_type_equal(&y[0].type, &y[1].type));
    double most = 0;
    for (int64_t i = 0; i < ir_type_elements(&y[0].type); i++) {
        most = fmax(most, fabs((double)y[0].data[i]));
        assert_true(fabsf(y[0].data[i] - y[1].data[i]) <= 1e-5f * fabsf(y[0].data[i]));
    }
    assert_true(most > 0);
    ir_tensor_free(&y[0]);
    ir_tensor_free(&y[1]);
}

/* Stands last. */
static void every_op_was_tested(void **state) {
    (void)state;
    int missing = 0;
    for (int op = 0; op < IR_OP_COUNT; op++)
        if (!case_tested[op]) {
            print_error("no case for '%s'\n", ir_op_get((ir_op)op)->name);
            missing++;
        }
    assert_int_equal(missing, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_operand),
        cmocka_unit_test(channel_ranges),
        cmocka_unit_test(quantized_tokens),
        cmocka_unit_test(quantized_phases),
        cmocka_unit_test(quantized_image),
        cmocka_unit_test(quantized_products),
        cmocka_unit_test(two_operands),
        cmocka_unit_test(broadcasting),
        cmocka_unit_test(affine_and_clamp),
        cmocka_unit_test(expressions),
        cmocka_unit_test(conv2d_by_hand),
        cmocka_unit_test(conv2d_packed),
        cmocka_unit_test(conv2d_winograd_is_conv2d),
        cmocka_unit_test(conv2d_phases_is_conv2d),
        cmocka_unit_test(transformed_filter),
        cmocka_unit_test(filter_of_phases),
        cmocka_unit_test(feed_forward_is_two_linears),
        cmocka_unit_test(linear_plain_and_packed),
        cmocka_unit_test(linear_large),
        cmocka_unit_test(reshapes_and_transposes),
        cmocka_unit_test(joins_and_cuts),
        cmocka_unit_test(views),
        cmocka_unit_test(copies),
        cmocka_unit_test(embeddings),
        cmocka_unit_test(rows_by_id),
        cmocka_unit_test(nearest_rows),
        cmocka_unit_test(packed_weights),
        cmocka_unit_test(packed_vectors_and_tables),
        cmocka_unit_test(packed_keys_and_values),
        cmocka_unit_test(leaves),
        cmocka_unit_test(order_and_outputs),
        cmocka_unit_test(constants),
        cmocka_unit_test(long_chains),
        cmocka_unit_test(conv2d_stride_and_asymmetric_padding),
        cmocka_unit_test(conv2d_with_all_operands),
        cmocka_unit_test(linear_with_residual_and_activation),
        cmocka_unit_test(group_norm_and_stats),
        cmocka_unit_test(norm_apply_of_stats),
        cmocka_unit_test(layer_norm_of_rows),
        cmocka_unit_test(activations),
        cmocka_unit_test(matmul_broadcasts_batches),
        cmocka_unit_test(softmax_of_rows),
        cmocka_unit_test(attention_cross_and_causal),
        cmocka_unit_test(timestep_embeddings),
        cmocka_unit_test(resize_to_odd_sizes),
        cmocka_unit_test(pools),
        cmocka_unit_test(geglu_of_halves),
        cmocka_unit_test(every_op_was_tested),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
