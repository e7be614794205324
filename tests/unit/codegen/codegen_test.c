/* Every kernel binding and the elementwise loops, compiled for each level this CPU runs, on odd
 * shapes, against the evaluator. */
#include "tests/unit/codegen/codegen_model.h"
#include "tests/unit/support/temp_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- cases: plain graphs ---- */

static void conv3x3(ir_func *f) {
    struct ir_attrs_conv2d a = IR_DEFAULTS(conv2d);
    a.pad = IR_I4(1, 1, 1, 1);
    ir_ref x = model_input(f, "x", DIMS(2, 19, 9, 7)),
           w = model_weight(f, "w", 0, 0.1, DIMS(37, 19, 3, 3));
    ir_ref b = model_weight(f, "b", 0, 1, DIMS(37));
    ir_set_output(f, "y", model_op(f, IR_OP_conv2d, &a, OPERANDS(x, w, b)));
}
static void conv_stride(ir_func *f) {
    struct ir_attrs_conv2d a = IR_DEFAULTS(conv2d);
    a.stride = IR_I2(2, 2);
    a.pad = IR_I4(0, 0, 1, 1);
    ir_ref x = model_input(f, "x", DIMS(1, 16, 8, 10)),
           w = model_weight(f, "w", 0, 0.1, DIMS(64, 16, 3, 3));
    ir_set_output(f, "y", model_op(f, IR_OP_conv2d, &a, OPERANDS(x, w)));
}
static void conv1x1(ir_func *f) {
    ir_ref x = model_input(f, "x", DIMS(3, 48, 5, 5)),
           w = model_weight(f, "w", 0, 0.1, DIMS(80, 48, 1, 1));
    ir_ref b = model_weight(f, "b", 0, 1, DIMS(80));
    ir_set_output(f, "y", model_op(f, IR_OP_conv2d, NULL, OPERANDS(x, w, b)));
}
static void linear_tokens(ir_func *f) {
    ir_ref x = model_input(f, "x", DIMS(2, 13, 40)), w = model_weight(f, "w", 0, 0.1, DIMS(70, 40));
    ir_set_output(
        f, "y",
        model_op(f, IR_OP_linear, NULL, OPERANDS(x, w, model_weight(f, "b", 0, 1, DIMS(70)))));
}
static void linear_vector(ir_func *f) {
    ir_ref x = model_input(f, "x", DIMS(5, 32)), w = model_weight(f, "w", 0, 0.1, DIMS(9, 32));
    ir_set_output(f, "y", model_op(f, IR_OP_linear, NULL, OPERANDS(x, w)));
}
static void group_norm(ir_func *f) {
    struct ir_attrs_group_norm a = IR_DEFAULTS(group_norm);
    a.groups = 3;
    ir_ref x = model_input(f, "x", DIMS(2, 21, 5, 6));
    ir_ref g = model_weight(f, "gamma", 1, 0.5, DIMS(21)),
           b = model_weight(f, "beta", 0, 0.5, DIMS(21));
    ir_ref y = model_op(f, IR_OP_group_norm, &a, OPERANDS(x, g, b));
    ir_set_output(f, "y", model_op(f, IR_OP_silu, NULL, OPERANDS(y)));
}
static void layer_norm(ir_func *f) {
    ir_ref x = model_input(f, "x", DIMS(2, 19, 40));
    ir_ref g = model_weight(f, "gamma", 1, 0.5, DIMS(40)),
           b = model_weight(f, "beta", 0, 0.5, DIMS(40));
    ir_set_output(f, "y", model_op(f, IR_OP_layer_norm, NULL, OPERANDS(x, g, b)));
}
static void geglu(ir_func *f) {
    ir_set_output(f, "y",
                  model_op(f, IR_OP_geglu, NULL, OPERANDS(model_input(f, "x", DIMS(2, 7, 48)))));
}
/* Tokens enough for one kernel, its residual dying there. */
static void feed_forward(ir_func *f) {
    ir_ref x = model_input(f, "x", DIMS(2, 250, 20)),
           w = model_weight(f, "w", 0, 0.2, DIMS(20, 20));
    ir_ref y = model_op(f, IR_OP_linear, NULL, OPERANDS(x, w));
    ir_ref w1 = model_weight(f, "w1", 0, 0.2, DIMS(64, 20)),
           b1 = model_weight(f, "b1", 0, 1, DIMS(64));
    ir_ref w2 = model_weight(f, "w2", 0, 0.2, DIMS(20, 32)),
           b2 = model_weight(f, "b2", 0, 1, DIMS(20));
    ir_ref h = model_op(f, IR_OP_geglu, NULL,
                        OPERANDS(model_op(f, IR_OP_linear, NULL, OPERANDS(x, w1, b1))));
    ir_ref z = model_op(f, IR_OP_linear, NULL, OPERANDS(h, w2, b2));
    ir_set_output(
        f, "y",
        model_op(f, IR_OP_linear, NULL, OPERANDS(model_op(f, IR_OP_add, NULL, OPERANDS(z, y)), w)));
}
static void matmul(ir_func *f) {
    struct ir_attrs_matmul a = IR_DEFAULTS(matmul);
    a.transpose_b = true;
    a.scale = 0.3;
    ir_ref x = model_input(f, "x", DIMS(2, 3, 5, 7)), y = model_input(f, "z", DIMS(2, 3, 11, 7));
    ir_ref s = model_op(f, IR_OP_matmul, &a, OPERANDS(x, y));
    ir_set_output(f, "s", s);
    ir_ref v = model_input(f, "v", DIMS(2, 3, 11, 9));
    ir_set_output(f, "y", model_op(f, IR_OP_matmul, NULL, OPERANDS(s, v)));
}
static void softmax(ir_func *f) {
    struct ir_attrs_softmax a = {.causal = true};
    ir_ref x = model_input(f, "x", DIMS(2, 9, 9));
    ir_set_output(f, "y", model_op(f, IR_OP_softmax, NULL, OPERANDS(x)));
    ir_set_output(f, "causal", model_op(f, IR_OP_softmax, &a, OPERANDS(x)));
}
static void transpose(ir_func *f) {
    struct ir_attrs_transpose a = {.perm = {4, {2, 0, 3, 1}}}, b = {.perm = {2, {1, 0}}};
    ir_set_output(
        f, "y", model_op(f, IR_OP_transpose, &a, OPERANDS(model_input(f, "x", DIMS(3, 4, 5, 6)))));
    ir_set_output(f, "t",
                  model_op(f, IR_OP_transpose, &b, OPERANDS(model_input(f, "m", DIMS(17, 33)))));
}
static void concat(ir_func *f) {
    struct ir_attrs_axis channels = {.axis = 1}, rows = {.axis = 2}, batch = {.axis = 0};
    ir_ref x = model_input(f, "x", DIMS(2, 5, 4, 3)), z = model_input(f, "z", DIMS(2, 18, 4, 3));
    ir_set_output(f, "channels", model_op(f, IR_OP_concat, &channels, OPERANDS(x, z, x)));
    ir_set_output(f, "rows", model_op(f, IR_OP_concat, &rows, OPERANDS(x, x)));
    ir_set_output(f, "batch", model_op(f, IR_OP_concat, &batch, OPERANDS(z, z)));
}
/* Between convolutions values lie in c16, so that these bind the blocked kernels. */
static ir_ref through_conv(ir_func *f, const char *name, ir_ref x, int64_t n) {
    const ir_type *t = ir_typeof(f, x);
    ir_ref w = model_weight(f, name, 0, 0.2, DIMS(n, t->dim[1], 1, 1));
    return model_op(f, IR_OP_conv2d, NULL, OPERANDS(x, w));
}
static void concat_blocked(ir_func *f) {
    struct ir_attrs_axis channels = {.axis = 1};
    ir_ref x = model_input(f, "x", DIMS(2, 5, 4, 3));
    ir_ref a = through_conv(f, "wa", x, 20), b = through_conv(f, "wb", x, 7),
           c = through_conv(f, "wc", x, 16);
    ir_set_output(f, "y", model_op(f, IR_OP_concat, &channels, OPERANDS(a, b, c)));
}
static void slice(ir_func *f) {
    struct ir_attrs_slice a = {.axis = 1, .start = 2, .count = 3},
                          b = {.axis = 1, .start = 16, .count = 9};
    ir_ref x = model_input(f, "x", DIMS(2, 6, 4, 3));
    ir_set_output(f, "plain", model_op(f, IR_OP_slice, &a, OPERANDS(x)));
    ir_set_output(f, "blocked",
                  model_op(f, IR_OP_slice, &b, OPERANDS(through_conv(f, "w", x, 40))));
    a.axis = 3;
    a.start = 1;
    a.count = 2;
    ir_set_output(f, "columns",
                  model_op(f, IR_OP_slice, &a, OPERANDS(through_conv(f, "w", x, 40))));
}
static void resize(ir_func *f) {
    struct ir_attrs_size a = {.size = IR_I2(7, 10)};
    ir_set_output(
        f, "y",
        model_op(f, IR_OP_resize_nearest, &a, OPERANDS(model_input(f, "x", DIMS(2, 18, 4, 5)))));
}
static void pools(ir_func *f) {
    struct ir_attrs_pool a = IR_DEFAULTS(pool);
    a.kernel = IR_I2(3, 2);
    a.pad = IR_I4(1, 0, 1, 1);
    ir_ref x = model_input(f, "x", DIMS(2, 18, 9, 8));
    ir_set_output(f, "max", model_op(f, IR_OP_max_pool2d, &a, OPERANDS(x)));
    ir_set_output(f, "avg", model_op(f, IR_OP_avg_pool2d, &a, OPERANDS(x)));
}
static void embedding(ir_func *f) {
    ir_ref ids = model_ids(f, "ids", DIMS(2, 7)),
           table = model_weight(f, "table", 0, 1, DIMS(10, 20));
    ir_ref position = model_weight(f, "position", 0, 1, DIMS(9, 20));
    ir_set_output(f, "y", model_op(f, IR_OP_embedding, NULL, OPERANDS(ids, table, position)));
    ir_ref label = model_ids(f, "label", DIMS(3));
    ir_set_output(f, "vector", model_op(f, IR_OP_embedding, NULL, OPERANDS(label, table)));
}
static void select_row(ir_func *f) {
    struct ir_attrs_select_row a = IR_DEFAULTS(select_row);
    ir_ref ids = model_ids(f, "ids", DIMS(2, 7)), x = model_input(f, "x", DIMS(2, 7, 20));
    ir_set_output(f, "largest", model_op(f, IR_OP_select_row, &a, OPERANDS(x, ids)));
    a.id = 3;
    ir_set_output(f, "third", model_op(f, IR_OP_select_row, &a, OPERANDS(x, ids)));
}
static void nearest(ir_func *f) {
    ir_ref x = model_input(f, "x", DIMS(2, 7, 20)),
           table = model_weight(f, "table", 0, 1, DIMS(10, 20)),
           ids = model_op(f, IR_OP_nearest, NULL, OPERANDS(x, table));
    ir_set_output(f, "y", model_op(f, IR_OP_embedding, NULL, OPERANDS(ids, table)));
}
static void timestep(ir_func *f) {
    struct ir_attrs_timestep a = IR_DEFAULTS(timestep);
    a.dim = 40;
    ir_ref t = model_input(f, "timestep", DIMS(3));
    ir_set_output(f, "y", model_op(f, IR_OP_timestep_embedding, &a, OPERANDS(t)));
    a.dim = 33;
    a.flip = true;
    a.shift = 1;
    ir_set_output(f, "z", model_op(f, IR_OP_timestep_embedding, &a, OPERANDS(t)));
}
static void copies(ir_func *f) { /* outputs that are inputs, and each other */
    ir_ref x = model_input(f, "x", DIMS(2, 1700));
    ir_set_output(f, "x", x);
    ir_ref y = model_op(f, IR_OP_neg, NULL, OPERANDS(x));
    ir_set_output(f, "y", y);
    ir_set_output(f, "z", y);
}
static void diamond(ir_func *f) { /* values that live across others: barriers and places */
    ir_ref x = model_input(f, "x", DIMS(1, 16, 12, 12)), y = x;
    for (int i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof name, "w%d", i);
        ir_ref z = through_conv(f, name, y, 16);
        y = model_op(f, IR_OP_add, NULL, OPERANDS(model_op(f, IR_OP_silu, NULL, OPERANDS(z)), y));
    }
    ir_set_output(f, "y", model_op(f, IR_OP_sub, NULL, OPERANDS(y, x)));
}

/* ---- cases: elementwise ---- */

static void ew_functions(ir_func *f) {
    ir_ref x = model_input(f, "x", DIMS(3, 37));
    for (int act = IR_ACT_NONE + 1; act < IR_ACT_COUNT; act++)
        ir_set_output(f, ir_act_name[act], model_op(f, ir_act_op((ir_act)act), NULL, OPERANDS(x)));
}
/* Every op that ops.def calls elementwise, on values that all of them are defined for. */
static void ew_every_op(ir_func *f) {
    ir_ref x = model_input(f, "x", DIMS(2, 9)), y = model_input(f, "z", DIMS(2, 9));
    ir_ref a = model_op(f, IR_OP_sigmoid, NULL, OPERANDS(x)),
           b = model_op(f, IR_OP_exp, NULL, OPERANDS(y)), last = IR_NONE;
    for (int op = 0; op < IR_OP_COUNT; op++) {
        const ir_op_info *info = ir_op_get((ir_op)op);
        if (!(info->flags & IR_FLAG_EW) || !(info->levels >> IR_GRAPH & 1)) continue;
        ir_ref r = model_op(f, (ir_op)op, NULL, info->min_operands, (ir_ref[]){a, b});
        last = ir_ref_ok(last) ? model_op(f, IR_OP_add, NULL, OPERANDS(last, r)) : r;
    }
    ir_set_output(f, "sum", last);
}
static void ew_arithmetic(ir_func *f) {
    static const ir_op ops[] = {IR_OP_add, IR_OP_sub, IR_OP_mul, IR_OP_max, IR_OP_min};
    struct ir_attrs_affine a = {.mul = 2.5, .add = -0.75};
    struct ir_attrs_clamp c = {.lo = -0.5, .hi = 0.25};
    ir_ref x = model_input(f, "x", DIMS(2, 3, 7)), y = model_input(f, "z", DIMS(2, 3, 7));
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        ir_set_output(f, ir_op_get(ops[i])->name, model_op(f, ops[i], NULL, OPERANDS(x, y)));
    ir_set_output(f, "affine", model_op(f, IR_OP_affine, &a, OPERANDS(x)));
    ir_set_output(f, "clamp", model_op(f, IR_OP_clamp, &c, OPERANDS(x)));
    ir_set_output(f, "neg", model_op(f, IR_OP_neg, NULL, OPERANDS(x)));
}
static void ew_roots(ir_func *f) {
    ir_ref x = model_op(f, IR_OP_exp, NULL, OPERANDS(model_input(f, "x", DIMS(50, 41))));
    ir_set_output(f, "sqrt", model_op(f, IR_OP_sqrt, NULL, OPERANDS(x)));
    ir_set_output(
        f, "div",
        model_op(f, IR_OP_div, NULL, OPERANDS(x, model_op(f, IR_OP_sqrt, NULL, OPERANDS(x)))));
}
static void ew_broadcast_plain(ir_func *f) {
    ir_ref x = model_input(f, "x", DIMS(3, 5, 4, 6));
    ir_ref c = model_input(f, "c", DIMS(5, 1, 1)), s = model_input(f, "s", DIMS(1));
    ir_ref r = model_input(f, "r", DIMS(3, 1, 4, 1)), v = model_input(f, "v", DIMS(6));
    ir_ref y = model_op(f, IR_OP_add, NULL, OPERANDS(x, c));
    y = model_op(f, IR_OP_mul, NULL, OPERANDS(y, s));
    y = model_op(f, IR_OP_sub, NULL, OPERANDS(r, y));
    ir_set_output(f, "y", model_op(f, IR_OP_add, NULL, OPERANDS(y, v)));
    ir_set_output(f, "outer",
                  model_op(f, IR_OP_mul, NULL, OPERANDS(model_input(f, "a", DIMS(70, 1)), v)));
}
static void ew_broadcast_blocked(ir_func *f) {
    ir_ref x = through_conv(f, "w", model_input(f, "x", DIMS(2, 3, 5, 4)), 40);
    ir_ref c = model_input(f, "c", DIMS(2, 40, 1, 1)),
           w = model_weight(f, "vector", 0, 1, DIMS(1, 40, 1, 1));
    ir_ref s = model_input(f, "s", DIMS(2, 1, 1, 1)), p = model_input(f, "p", DIMS(1, 1, 5, 4));
    ir_ref y = model_op(f, IR_OP_add, NULL, OPERANDS(x, c));
    y = model_op(f, IR_OP_mul, NULL, OPERANDS(y, w));
    y = model_op(f, IR_OP_mul, NULL, OPERANDS(y, s));
    y = model_op(f, IR_OP_add, NULL, OPERANDS(y, p));
    /* Division makes NaN of padding that is not kept at zero; the next convolution would show it.
     */
    y = model_op(f, IR_OP_div, NULL, OPERANDS(y, model_op(f, IR_OP_exp, NULL, OPERANDS(x))));
    ir_set_output(f, "y", y);
    ir_set_output(f, "z", through_conv(f, "w2", model_op(f, IR_OP_div, NULL, OPERANDS(x, c)), 8));
}
static void ew_tokens(ir_func *f) {
    ir_ref w = model_weight(f, "w", 0, 0.2, DIMS(24, 12)), t = model_weight(f, "t", 0, 1, DIMS(24));
    ir_ref x = model_op(f, IR_OP_linear, NULL, OPERANDS(model_input(f, "x", DIMS(2, 9, 12)), w));
    ir_set_output(
        f, "y",
        model_op(f, IR_OP_mul, NULL, OPERANDS(model_op(f, IR_OP_gelu, NULL, OPERANDS(x)), t)));
}

static const model_case graph_cases[] = {
    {"conv3x3", conv3x3, IR_GRAPH, 0},
    {"conv_stride", conv_stride, IR_GRAPH, 0},
    {"conv1x1", conv1x1, IR_GRAPH, 0},
    {"linear_tokens", linear_tokens, IR_GRAPH, 0},
    {"linear_vector", linear_vector, IR_GRAPH, 0},
    {"group_norm", group_norm, IR_GRAPH, 0},
    {"layer_norm", layer_norm, IR_GRAPH, 0},
    {"geglu", geglu, IR_GRAPH, 0},
    {"feed_forward", feed_forward, IR_GRAPH, 0},
    {"matmul", matmul, IR_GRAPH, 0},
    {"softmax", softmax, IR_GRAPH, 0},
    {"transpose", transpose, IR_GRAPH, 0},
    {"concat", concat, IR_GRAPH, 0},
    {"concat_blocked", concat_blocked, IR_GRAPH, 0},
    {"slice", slice, IR_GRAPH, 0},
    {"resize", resize, IR_GRAPH, 0},
    {"pools", pools, IR_GRAPH, 0},
    {"embedding", embedding, IR_GRAPH, 0},
    {"select_row", select_row, IR_GRAPH, 0},
    {"nearest", nearest, IR_GRAPH, 0},
    {"timestep", timestep, IR_GRAPH, 2e-5},
    {"copies", copies, IR_GRAPH, 0},
    {"diamond", diamond, IR_GRAPH, 0},
    {"ew_functions", ew_functions, IR_GRAPH, 0},
    {"ew_every_op", ew_every_op, IR_GRAPH, 0},
    {"ew_arithmetic", ew_arithmetic, IR_GRAPH, 0},
    {"ew_roots", ew_roots, IR_GRAPH, 0},
    {"ew_broadcast_plain", ew_broadcast_plain, IR_GRAPH, 0},
    {"ew_broadcast_blocked", ew_broadcast_blocked, IR_GRAPH, 0},
    {"ew_tokens", ew_tokens, IR_GRAPH, 0},
};

/* ---- cases: composite ops ---- */

static void conv_everything(ir_func *f) {
    struct ir_attrs_conv2d a = IR_DEFAULTS(conv2d);
    struct ir_attrs_stats s = {.groups = 6, .eps = 1e-5};
    a.pad = IR_I4(1, 1, 1, 1);
    a.pre_act = IR_ACT_SILU;
    a.act = IR_ACT_GELU;
    a.upsample = IR_I2(12, 10);
    ir_ref x = model_input(f, "x", DIMS(2, 32, 6, 5)), x1 = model_input(f, "x1", DIMS(2, 10, 6, 5));
    ir_ref gamma = model_weight(f, "gamma", 1, 0.5, DIMS(42)),
           beta = model_weight(f, "beta", 0, 0.5, DIMS(42));
    ir_ref norm = model_op(f, IR_OP_group_stats, &s, OPERANDS(x, gamma, beta, x1));
    ir_ref w = model_weight(f, "w", 0, 0.1, DIMS(24, 42, 3, 3)),
           bias = model_weight(f, "b", 0, 1, DIMS(24));
    ir_ref tbias = model_input(f, "t", DIMS(2, 24)),
           residual = model_input(f, "r", DIMS(2, 24, 12, 10));
    ir_set_output(f, "y",
                  model_op(f, IR_OP_conv2d, &a, OPERANDS(x, w, bias, x1, norm, tbias, residual)));
}
static void conv_shared_tbias(ir_func *f) {
    struct ir_attrs_conv2d a = IR_DEFAULTS(conv2d);
    a.act = IR_ACT_QUICK_GELU;
    ir_ref x = model_input(f, "x", DIMS(2, 16, 6, 5)),
           w = model_weight(f, "w", 0, 0.1, DIMS(33, 16, 1, 1));
    ir_ref tbias = model_input(f, "t", DIMS(1, 33));
    ir_set_output(f, "y",
                  model_op(f, IR_OP_conv2d, &a, OPERANDS(x, w, IR_NONE, IR_NONE, IR_NONE, tbias)));
}
static void linear_residual(ir_func *f) {
    struct ir_attrs_linear a = IR_DEFAULTS(linear);
    a.act = IR_ACT_SILU;
    ir_ref x = model_input(f, "x", DIMS(1, 21, 64)), w = model_weight(f, "w", 0, 0.1, DIMS(64, 64));
    ir_ref h = model_op(f, IR_OP_linear, &a, OPERANDS(x, w));
    ir_ref w2 = model_weight(f, "w2", 0, 0.1, DIMS(64, 64)),
           b = model_weight(f, "b", 0, 1, DIMS(64));
    ir_set_output(f, "y", model_op(f, IR_OP_linear, NULL, OPERANDS(h, w2, b, x)));
}
static void stats_apply(ir_func *f) {
    struct ir_attrs_stats s = {.groups = 2, .eps = 1e-6};
    struct ir_attrs_act a = {.act = IR_ACT_SILU};
    ir_ref x = model_input(f, "x", DIMS(2, 34, 6, 5));
    ir_ref gamma = model_weight(f, "gamma", 1, 0.5, DIMS(34)),
           beta = model_weight(f, "beta", 0, 0.5, DIMS(34));
    ir_ref norm = model_op(f, IR_OP_group_stats, &s, OPERANDS(x, gamma, beta));
    ir_set_output(f, "y", model_op(f, IR_OP_norm_apply, &a, OPERANDS(x, norm)));
}
static void attention(ir_func *f) {
    struct ir_attrs_attention a = {.heads = 3, .scale = 0.35};
    ir_ref q = model_input(f, "q", DIMS(2, 70, 60)), k = model_input(f, "k", DIMS(2, 45, 60));
    ir_ref v = model_input(f, "v", DIMS(2, 45, 60));
    ir_set_output(f, "y", model_op(f, IR_OP_attention, &a, OPERANDS(q, k, v)));
}
static void attention_causal(ir_func *f) {
    struct ir_attrs_attention a = {.heads = 2, .scale = 0.25, .causal = true};
    ir_ref q = model_input(f, "q", DIMS(1, 37, 32));
    ir_set_output(f, "y", model_op(f, IR_OP_attention, &a, OPERANDS(q, q, q)));
}
static void attention_shared(ir_func *f) {
    struct ir_attrs_attention a = {.heads = 2, .scale = 0.25};
    ir_ref q = model_input(f, "q", DIMS(3, 20, 16)), k = model_input(f, "k", DIMS(1, 7, 16));
    ir_set_output(f, "y", model_op(f, IR_OP_attention, &a, OPERANDS(q, k, k)));
}
static void ew_group(ir_func *f) {
    struct ir_attrs_ew a = {.expr = "add(mul(a,b),silu(min(max(c,-0.5),0.5)))"};
    ir_ref x = model_input(f, "x", DIMS(2, 33, 9, 5)), b = model_input(f, "b", DIMS(2, 33, 1, 1));
    ir_ref c = model_input(f, "c", DIMS(2, 33, 9, 5));
    ir_set_output(f, "y", model_op(f, IR_OP_ew, &a, OPERANDS(x, b, c)));
    a.expr = "div(1,add(1.5,mul(a,a)))";
    ir_set_output(f, "z", model_op(f, IR_OP_ew, &a, OPERANDS(x)));
}

static const model_case fused_cases[] = {
    {"conv_everything", conv_everything, IR_FUSED, 0},
    {"conv_shared_tbias", conv_shared_tbias, IR_FUSED, 0},
    {"linear_residual", linear_residual, IR_FUSED, 0},
    {"stats_apply", stats_apply, IR_FUSED, 0},
    {"attention", attention, IR_FUSED, 0},
    {"attention_causal", attention_causal, IR_FUSED, 0},
    {"attention_shared", attention_shared, IR_FUSED, 0},
    {"ew_group", ew_group, IR_FUSED, 0},
};
#define COUNT(a) ((uint32_t)(sizeof(a) / sizeof *(a)))

/* ---- cases: random shapes and broadcasts ---- */

static uint32_t next_random(uint32_t *state, uint32_t below) {
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % below;
}

/* A sum of products of operands that repeat along random axes; the number in the function's name is
 * the seed. Of every two functions one computes in blocks of channels. */
static void random_broadcast(ir_func *f) {
    static const int64_t sizes[] = {1, 2, 3, 5, 16, 17, 33, 48};
    uint32_t seed = (uint32_t)atoi(f->name + strlen("random")), state = seed * 7919u + 1;
    bool blocked = seed % 2;
    uint32_t rank = blocked ? 2 + next_random(&state, 3) : 1 + next_random(&state, 5);
    int64_t dim[8];
    for (uint32_t i = 0; i < rank; i++) dim[i] = sizes[next_random(&state, 8)];
    dim[0] = 1 + dim[0] % 3;
    ir_ref y = model_input(f, "x", rank, dim);
    if (blocked && rank == 4)
        y = through_conv(f, "w", y, dim[1]);
    else if (blocked)
        y = model_op(f, IR_OP_linear, NULL,
                     OPERANDS(y, model_weight(f, "w", 0, 0.3, DIMS(dim[rank - 1], dim[rank - 1]))));
    for (int k = 0; k < 3; k++) {
        char name[16];
        int64_t d[8];
        uint32_t cut = blocked ? 0 : next_random(&state, rank); /* missing leading axes */
        for (uint32_t i = cut; i < rank; i++) d[i - cut] = next_random(&state, 3) ? dim[i] : 1;
        snprintf(name, sizeof name, "p%d", k);
        ir_ref operand = model_input(f, name, rank - cut, d);
        y = model_op(f, k % 2 ? IR_OP_mul : IR_OP_sub, NULL, 2,
                     next_random(&state, 2) ? (ir_ref[]){y, operand} : (ir_ref[]){operand, y});
    }
    ir_set_output(f, "y", model_op(f, IR_OP_tanh, NULL, OPERANDS(y)));
}

/* ---- the check ---- */

static void emit(const cg_level *levels, uint32_t count, cg_options options, const char *path) {
    base_diag *d = base_diag_new(NULL);
    cg_result result;
    options.output = path;
    if (!options.kind) options.kind = CG_LIB;
    bool fine = cg_emit(d, levels, count, &options, &result);
    base_diag_flush(d);
    assert_true(fine);
    assert_true(result.output_bytes > 0);
    base_diag_free(d);
}

/* Runs every function on one, two and five threads, and cut for more than there are: near the evaluator, and the same bits. */
static void compare(const model_loaded *l, int level, const model_data *data,
                    const model_case *cases) {
    int wrong = 0;
    for (uint32_t i = 0; i < data->count; i++) {
        const struct ebru_function_desc *f = &l->tables->functions[i];
        static const int threads[] = {1, 2, 5, 2, 3}, cut[] = {0, 0, 0, 16, 128};
        void *first[MODEL_MOST_VALUES];
        for (size_t t = 0; t < COUNT(threads); t++) {
            void *out[MODEL_MOST_VALUES];
            data->values[i].cut = cut[t];
            model_run(l, level, (int)i, threads[t], &data->values[i], t ? out : first);
            for (int k = 0; k < f->output_count; k++) {
                double e = t ? 0 : model_error(&f->outputs[k], first[k], &data->values[i].out[k]);
                double limit = cases[i].tolerance > 0 ? cases[i].tolerance : 3e-6;
                bool same =
                    !t || memcmp(first[k], out[k],
                                 (size_t)ir_type_elements(&data->values[i].out[k].type) * 4) == 0;
                if (e > limit || !same) {
                    print_error("%s %s.%s: error %g%s\n", l->tables->levels[level].name, f->name,
                                f->outputs[k].name, e, same ? "" : ", depends on threads");
                    wrong++;
                }
                if (t) free(out[k]);
            }
        }
        for (int k = 0; k < f->output_count; k++) free(first[k]);
    }
    assert_int_equal(wrong, 0);
}

static void check_lowered(const model_case *cases, uint32_t count, cg_options options,
                          uint32_t first_level, ir_precision precision) {
    for (uint32_t t = first_level; t < cg_target_count(); t++) {
        if (!model_runs(cg_target_name(t))) continue;
        ir_module *m = model_build(cases, count);
        model_data data = model_reference(m);
        cg_level level = {cg_target(NULL, cg_target_name(t)), m};
        model_lower(m, level.target, cases[0].level, precision);
        emit(&level, 1, options, temp_path(temp_shared(), "model.so"));
        model_loaded l = model_load(temp_path(temp_shared(), "model.so"));
        compare(&l, 0, &data, cases);
        model_unload(&l);
        model_data_free(&data);
        ir_module_free(m);
    }
}

static void check_cases(const model_case *cases, uint32_t count, cg_options options,
                        uint32_t first_level) {
    check_lowered(cases, count, options, first_level, IR_PRECISION_F32);
}

/* The highest level that runs here. */
static uint32_t best_level(void) {
    uint32_t best = cg_target_count() - 1;
    while (!model_runs(cg_target_name(best))) best--;
    return best;
}

static const cg_options special = {.opt_level = 2}; /* kernels specialised for every shape */

static void graph_ops(void **state) {
    (void)state;
    check_cases(graph_cases, COUNT(graph_cases), special, 0);
}
static void fused_ops(void **state) {
    (void)state;
    check_cases(fused_cases, COUNT(fused_cases), special, 0);
}
/* Everything that has kernels in bf16, in both precisions, and in 8-bit integers. The error is that of rounded operands;
 * that of the kernels is measured in their own tests. */
static void lowered_ops(void **state) {
    (void)state;
    static const struct {
        ir_precision precision;
        double tolerance;
    } classes[] = {
        {IR_PRECISION_BF16, 1e-2}, {IR_PRECISION_BF16X3, 2e-5}, {IR_PRECISION_INT8, 3e-2}};
    for (size_t k = 0; k < COUNT(classes); k++)
        for (int level = IR_GRAPH; level <= IR_FUSED; level++) {
            static const model_case graph[] = {{"conv_stride", conv_stride, IR_GRAPH, 0},
                                               {"conv1x1", conv1x1, IR_GRAPH, 0},
                                               {"linear_tokens", linear_tokens, IR_GRAPH, 0},
                                               {"feed_forward", feed_forward, IR_GRAPH, 0}};
            static const model_case fused[] = {
                {"conv_everything", conv_everything, IR_FUSED, 0},
                {"conv_shared_tbias", conv_shared_tbias, IR_FUSED, 0},
                {"linear_residual", linear_residual, IR_FUSED, 0},
                {"attention", attention, IR_FUSED, 0}};
            model_case cases[COUNT(graph)];
            memcpy(cases, level == IR_GRAPH ? graph : fused, sizeof cases);
            for (size_t i = 0; i < COUNT(graph); i++) cases[i].tolerance = classes[k].tolerance;
            check_lowered(cases, COUNT(graph), special, best_level(), classes[k].precision);
            check_lowered(cases, COUNT(graph), (cg_options){0}, 0, classes[k].precision);
        }
}
static void random_broadcasts(void **state) {
    (void)state;
    enum { CASES = 48 };
    static model_case cases[CASES];
    static char names[CASES][16];
    for (int i = 0; i < CASES; i++) {
        snprintf(names[i], sizeof names[i], "random%d", i);
        cases[i] = (model_case){names[i], random_broadcast, IR_GRAPH, 0};
    }
    check_cases(cases, CASES, special, best_level());
}

/* Kernels as they are, at every level; those of graphs at the best one, below. */
static void called_kernels(void **state) {
    (void)state;
    check_cases(fused_cases, COUNT(fused_cases), (cg_options){0}, 0);
}

/* The levels differ in tiles and code, not in places: one of them will do. */
static void poisoned(void **state) {
    (void)state;
    check_cases(fused_cases, COUNT(fused_cases), (cg_options){.poison = true}, best_level());
    check_cases(graph_cases, COUNT(graph_cases), (cg_options){.poison = true}, best_level());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(graph_ops),      cmocka_unit_test(fused_ops),
        cmocka_unit_test(lowered_ops),    cmocka_unit_test(random_broadcasts),
        cmocka_unit_test(called_kernels), cmocka_unit_test(poisoned),
    };
    return cmocka_run_group_tests(tests, temp_shared_begin, temp_shared_end);
}
