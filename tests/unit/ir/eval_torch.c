/* The evaluator against PyTorch's numbers. */
#include "tests/unit/ir/eval_torch.h"

#include "tests/unit/ir/eval_case.h"
#include "tests/unit/ir/eval_torch_values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

void conv2d_stride_and_asymmetric_padding(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref x = case_pattern(&c, T(1, 2, 5, 4), 1), w = case_pattern(&c, T(3, 2, 3, 3), 2);
    ir_ref b = case_pattern(&c, T(3), 3);
    struct ir_attrs_conv2d at = IR_DEFAULTS(conv2d);
    at.stride = IR_I2(2, 1);
    at.pad = IR_I4(0, 1, 1, 2);
    case_expect(&c, ir_op3(c.f, IR_OP_conv2d, x, w, b, &at, 0), T(1, 3, 2, 5), conv_strided);
}

void conv2d_with_all_operands(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref x = case_pattern(&c, T(2, 3, 3, 4), 1), x1 = case_pattern(&c, T(2, 5, 3, 4), 2);
    ir_ref norm = case_pattern(&c, T(2, 2, 16), 3), w = case_pattern(&c, T(3, 8, 3, 3), 4);
    ir_ref bias = case_pattern(&c, T(3), 5), tbias = case_pattern(&c, T(2, 3), 6);
    ir_ref residual = case_pattern(&c, T(2, 3, 5, 4), 7);
    struct ir_attrs_conv2d at = IR_DEFAULTS(conv2d);
    at.stride = IR_I2(1, 2);
    at.pad = IR_I4(1, 1, 1, 1);
    at.upsample = IR_I2(5, 7);
    at.pre_act = IR_ACT_SILU;
    at.act = IR_ACT_GELU;
    ir_ref y =
        ir_build(c.f, IR_OP_conv2d, REFS(x, w, bias, x1, norm, tbias, residual), &at, IR_PLAIN, 0);
    case_expect(&c, y, T(2, 3, 5, 4), conv_extended);
}

void linear_with_residual_and_activation(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref x = case_pattern(&c, T(2, 3, 5), 1), w = case_pattern(&c, T(4, 5), 2),
           b = case_pattern(&c, T(4), 3);
    ir_ref residual = case_pattern(&c, T(2, 3, 4), 4);
    struct ir_attrs_linear at = IR_DEFAULTS(linear);
    at.act = IR_ACT_QUICK_GELU;
    ir_ref y = ir_build(c.f, IR_OP_linear, REFS(x, w, b, residual), &at, IR_PLAIN, 0);
    case_expect(&c, y, T(2, 3, 4), linear_quick_gelu);
}

/* group_norm of P(1, 2,6,2,2): as one tensor, or cut into 4 and 2 channels. */
static void group_norm_of(bool cut, ir_op op, ir_type type, const float *want) {
    eval_case c = case_new();
    ir_ref x = case_pattern(&c, T(2, 6, 2, 2), 1), x1 = IR_NONE;
    ir_ref gamma = case_pattern(&c, T(6), 2), beta = case_pattern(&c, T(6), 3), y;
    if (cut) {
        struct ir_attrs_slice head = {.axis = 1, .start = 0, .count = 4},
                              tail = {.axis = 1, .start = 4, .count = 2};
        x1 = ir_op1(c.f, IR_OP_slice, x, &tail, 0);
        x = ir_op1(c.f, IR_OP_slice, x, &head, 0);
    }
    if (op == IR_OP_group_norm) {
        struct ir_attrs_group_norm at = {.groups = 3, .eps = 1e-3, .act = IR_ACT_SILU};
        y = ir_build(c.f, op, REFS(x, gamma, beta, x1), &at, IR_PLAIN, 0);
    } else {
        struct ir_attrs_stats at = {.groups = 3, .eps = 1e-3};
        y = ir_build(c.f, op, REFS(x, gamma, beta, x1), &at, IR_PLAIN, 0);
    }
    case_expect(&c, y, type, want);
}

void group_norm_and_stats(void **state) {
    (void)state;
    for (int cut = 0; cut < 2; cut++) {
        group_norm_of(cut, IR_OP_group_norm, T(2, 6, 2, 2), group_norm);
        group_norm_of(cut, IR_OP_group_stats, T(2, 2, 16), group_stats);
    }
}

/* group_stats and norm_apply together are group_norm. */
void norm_apply_of_stats(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref x = case_pattern(&c, T(2, 6, 2, 2), 1), gamma = case_pattern(&c, T(6), 2),
           beta = case_pattern(&c, T(6), 3);
    struct ir_attrs_stats stats = {.groups = 3, .eps = 1e-3};
    struct ir_attrs_act act = {.act = IR_ACT_SILU};
    ir_ref s = ir_op3(c.f, IR_OP_group_stats, x, gamma, beta, &stats, 0);
    case_expect(&c, ir_op2(c.f, IR_OP_norm_apply, x, s, &act, 0), T(2, 6, 2, 2), group_norm);
}

void layer_norm_of_rows(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref x = case_pattern(&c, T(2, 3, 5), 1), gamma = case_pattern(&c, T(5), 2),
           beta = case_pattern(&c, T(5), 3);
    case_expect(&c, ir_op3(c.f, IR_OP_layer_norm, x, gamma, beta, NULL, 0), T(2, 3, 5), layer_norm);
}

void activations(void **state) {
    (void)state;
    static const struct {
        ir_op op;
        ir_act act;
        const float *want;
    } rows[] = {
        {IR_OP_silu, IR_ACT_SILU, act_silu},
        {IR_OP_gelu, IR_ACT_GELU, act_gelu},
        {IR_OP_gelu_tanh, IR_ACT_GELU_TANH, act_gelu_tanh},
        {IR_OP_quick_gelu, IR_ACT_QUICK_GELU, act_quick_gelu},
        {IR_OP_sigmoid, IR_ACT_SIGMOID, act_sigmoid},
        {IR_OP_tanh, IR_ACT_TANH, act_tanh},
        {IR_OP_mish, IR_ACT_MISH, act_mish},
    };
    static const float zero[32], one[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    float scale_shift[32] = {0};
    memcpy(scale_shift, one, sizeof one);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        eval_case c = case_new();
        ir_ref x = case_values(&c, T(11), act_x);
        case_expect(&c, ir_op1(c.f, rows[i].op, x, NULL, 0), T(11), rows[i].want);
        /* and as the attribute of another op */
        c = case_new();
        x = case_values(&c, T(1, 11), act_x);
        memcpy(scale_shift + 16, zero, 16 * sizeof *zero);
        ir_ref stats = case_values(&c, T(1, 2, 16), scale_shift);
        struct ir_attrs_act at = {.act = rows[i].act};
        case_expect(&c, ir_op2(c.f, IR_OP_norm_apply, x, stats, &at, 0), T(1, 11), rows[i].want);
    }
}

void matmul_broadcasts_batches(void **state) {
    (void)state;
    for (int transposed = 0; transposed < 2; transposed++) {
        eval_case c = case_new();
        ir_ref a = case_pattern(&c, T(2, 1, 3, 4), 1), b = case_pattern(&c, T(3, 5, 4), 2);
        struct ir_attrs_transpose swap = {.perm = {3, {0, 2, 1}}};
        if (!transposed) b = ir_op1(c.f, IR_OP_transpose, b, &swap, 0);
        struct ir_attrs_matmul at = {.transpose_b = transposed, .scale = 0.5};
        case_expect(&c, ir_op2(c.f, IR_OP_matmul, a, b, &at, 0), T(2, 3, 3, 5), matmul);
    }
}

void softmax_of_rows(void **state) {
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        eval_case c = case_new();
        ir_ref x = case_pattern(&c, T(2, 3, 4), 1);
        struct ir_attrs_softmax at = {.causal = causal};
        case_expect(&c, ir_op1(c.f, IR_OP_softmax, x, &at, 0), T(2, 3, 4),
                    causal ? softmax_causal : softmax);
    }
}

static void attention_of(bool tiled, bool causal, int64_t queries, int64_t keys,
                         int64_t key_batches, double scale, const float *want) {
    eval_case c = case_new();
    ir_ref q = case_pattern(&c, T(2, queries, 6), 1);
    ir_ref k = case_pattern(&c, T(key_batches, keys, 6), 2),
           v = case_pattern(&c, T(key_batches, keys, 6), 3), y;
    if (tiled) {
        struct ir_attrs_heads heads = {.heads = 2};
        struct ir_attrs_attention_tiled at = {
            .heads = 2, .scale = scale, .causal = causal, .kv_len = keys};
        k = ir_op1(c.f, IR_OP_pack_k, k, &heads, 0);
        v = ir_op1(c.f, IR_OP_pack_v, v, &heads, 0);
        y = ir_op3(c.f, IR_OP_attention_tiled, q, k, v, &at, 0);
    } else {
        struct ir_attrs_attention at = {.heads = 2, .scale = scale, .causal = causal};
        y = ir_op3(c.f, IR_OP_attention, q, k, v, &at, 0);
    }
    case_expect(&c, y, T(2, queries, 6), want);
}

void attention_cross_and_causal(void **state) {
    (void)state;
    for (int tiled = 0; tiled < 2; tiled++) {
        attention_of(tiled, false, 3, 5, 1, 0.5, attention_cross);
        attention_of(tiled, true, 4, 4, 2, 0.75, attention_causal);
    }
}

void timestep_embeddings(void **state) {
    (void)state;
    static const struct {
        struct ir_attrs_timestep at;
        const float *want;
    } rows[] = {
        {{.dim = 6, .shift = 1, .max_period = 10000, .scale = 1}, timestep_sin_cos},
        {{.dim = 8, .flip = true, .max_period = 10000, .scale = 1}, timestep_cos_sin},
        {{.dim = 7, .flip = true, .max_period = 1000, .scale = 2}, timestep_odd},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        eval_case c = case_new();
        ir_ref t = case_values(&c, T(4), timestep_x);
        ir_ref y = ir_op1(c.f, IR_OP_timestep_embedding, t, &rows[i].at, 0);
        case_expect(&c, y, T(4, rows[i].at.dim), rows[i].want);
    }
}

void resize_to_odd_sizes(void **state) {
    (void)state;
    eval_case c = case_new();
    struct ir_attrs_size up = {.size = IR_I2(5, 7)}, down = {.size = IR_I2(2, 3)};
    ir_ref x = case_pattern(&c, T(1, 2, 3, 4), 1);
    case_expect(&c, ir_op1(c.f, IR_OP_resize_nearest, x, &up, 0), T(1, 2, 5, 7), resize_up);
    c = case_new();
    x = case_pattern(&c, T(1, 2, 5, 7), 1);
    case_expect(&c, ir_op1(c.f, IR_OP_resize_nearest, x, &down, 0), T(1, 2, 2, 3), resize_down);
}

void pools(void **state) {
    (void)state;
    struct ir_attrs_pool at = {
        .kernel = IR_I2(3, 3), .stride = IR_I2(2, 2), .pad = IR_I4(1, 1, 1, 1)};
    eval_case c = case_new();
    struct ir_attrs_affine lower = {.mul = 1, .add = -3}; /* all negative: padding must not win */
    ir_ref x = ir_op1(c.f, IR_OP_affine, case_pattern(&c, T(1, 2, 5, 4), 1), &lower, 0);
    case_expect(&c, ir_op1(c.f, IR_OP_max_pool2d, x, &at, 0), T(1, 2, 3, 2), max_pool);
    c = case_new();
    x = case_pattern(&c, T(1, 2, 5, 4), 1);
    case_expect(&c, ir_op1(c.f, IR_OP_avg_pool2d, x, &at, 0), T(1, 2, 3, 2), avg_pool);
}

void geglu_of_halves(void **state) {
    (void)state;
    eval_case c = case_new();
    ir_ref x = case_pattern(&c, T(2, 3, 8), 1);
    case_expect(&c, ir_op1(c.f, IR_OP_geglu, x, NULL, 0), T(2, 3, 4), geglu);
}
