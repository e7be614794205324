/* The form of what the block builder emits, which fusion passes count on. That the values are right
 * is components_test's business. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/build/blocks.h"
#include "tests/unit/support/captured_diag.h"

typedef struct fixture {
    capture c;
    ir_module *m;
    fe_weights *w;
    fe_builder b;
    ir_ref image, tokens, context, emb;
} fixture;

static int begin(void **state) {
    fixture *x = calloc(1, sizeof *x);
    capture_begin(&x->c, (base_diag_options){0});
    x->m = ir_module_new();
    x->w = fe_weights_random(x->c.diag, x->m, 1);
    fe_builder_init(&x->b, x->c.diag, x->m, x->w, "net");
    fe_begin(&x->b, "f");
    x->image = fe_input(&x->b, "image", IR_f32, 4, (int64_t[]){2, 32, 6, 4}, IR_STEP);
    x->tokens = fe_input(&x->b, "tokens", IR_f32, 3, (int64_t[]){2, 5, 32}, IR_STEP);
    x->context = fe_input(&x->b, "context", IR_f32, 3, (int64_t[]){2, 7, 12}, IR_PROMPT);
    x->emb = fe_input(&x->b, "emb", IR_f32, 2, (int64_t[]){1, 20}, IR_SCHEDULE);
    *state = x;
    return 0;
}

static int end(void **state) {
    fixture *x = *state;
    fe_builder_free(&x->b);
    fe_weights_free(x->w);
    ir_module_free(x->m);
    capture_end(&x->c);
    free(x);
    return 0;
}

static const ir_node *node(const fixture *x, ir_ref r) {
    if (!ir_ref_ok(r)) fail_msg("no value");
    return ir_get(x->b.f, r);
}

/* The operand `i` of a node that must be an `op`. */
static ir_ref operand(const fixture *x, ir_ref r, ir_op op, uint32_t i) {
    const ir_node *n = node(x, r);
    if (n->op != op) fail_msg("expected %s, found %s", ir_op_get(op)->name, ir_op_get(n->op)->name);
    return n->operand[i];
}

static const char *weight_name(const fixture *x, ir_ref r) {
    const ir_node *n = node(x, r);
    assert_int_equal(n->op, IR_OP_weight);
    return x->m->weights.items[IR_ATTRS(n, weight)->index].name;
}

static void res_block(void **state) {
    fixture *x = *state;
    fe_res_options o = fe_res_defaults(48, 8, 1e-5);
    ir_ref y = fe_res_block(&x->b, x->image, x->emb, "r", &o);

    ir_ref conv2 = operand(x, y, IR_OP_add, 0), shortcut = operand(x, y, IR_OP_add, 1);
    assert_string_equal(weight_name(x, operand(x, conv2, IR_OP_conv2d, 2)), "net/r.conv2.bias");
    assert_string_equal(weight_name(x, operand(x, shortcut, IR_OP_conv2d, 1)),
                        "net/r.conv_shortcut.weight");
    ir_ref norm2 = operand(x, operand(x, conv2, IR_OP_conv2d, 0), IR_OP_silu, 0);
    assert_int_equal(IR_ATTRS(node(x, norm2), group_norm)->act, IR_ACT_NONE);
    ir_ref sum = operand(x, norm2, IR_OP_group_norm, 0);
    ir_ref bias = operand(x, operand(x, sum, IR_OP_add, 1), IR_OP_reshape, 0);
    assert_memory_equal(ir_typeof(x->b.f, operand(x, sum, IR_OP_add, 1))->dim,
                        ((int64_t[]){1, 48, 1, 1}), 32);
    assert_true(ir_ref_eq(operand(x, operand(x, bias, IR_OP_linear, 0), IR_OP_silu, 0), x->emb));
    ir_ref conv1 = operand(x, sum, IR_OP_add, 0);
    assert_true(ir_ref_eq(operand(x, operand(x, operand(x, conv1, IR_OP_conv2d, 0), IR_OP_silu, 0),
                                  IR_OP_group_norm, 0),
                          x->image));
    const ir_origin *origin = &x->m->origins.items[node(x, conv1)->origin];
    assert_string_equal(origin->block, "r");
}

/* Same width: no shortcut convolution; a scale other than 1 becomes one affine. */
static void res_block_options(void **state) {
    fixture *x = *state;
    fe_res_options o = fe_res_defaults(32, 8, 1e-5);
    ir_ref y = fe_res_block(&x->b, x->image, IR_NONE, "r", &o);
    assert_true(ir_ref_eq(operand(x, y, IR_OP_add, 1), x->image));
    o.output_scale = 2.0;
    y = fe_res_block(&x->b, x->image, IR_NONE, "r", &o);
    operand(x, y, IR_OP_affine, 0);
    assert_true(IR_ATTRS(node(x, y), affine)->mul == 0.5);
}

/* [B,T,C] -> [B,H,T,d]; returns what was split. */
static ir_ref split(const fixture *x, ir_ref r) {
    assert_memory_equal(IR_ATTRS(node(x, r), transpose)->perm.v, ((int64_t[]){0, 2, 1, 3}), 32);
    return operand(x, operand(x, r, IR_OP_transpose, 0), IR_OP_reshape, 0);
}

static void attention(void **state) {
    fixture *x = *state;
    fe_attention_options o = fe_attention_defaults(4);
    o.causal = true;
    ir_ref y = fe_attention(&x->b, x->tokens, x->context, "a", &o);
    assert_string_equal(weight_name(x, operand(x, y, IR_OP_linear, 2)), "net/a.to_out.0.bias");
    ir_ref joined = operand(x, operand(x, y, IR_OP_linear, 0), IR_OP_reshape, 0);
    ir_ref pv = operand(x, joined, IR_OP_transpose, 0), soft = operand(x, pv, IR_OP_matmul, 0);
    assert_true(IR_ATTRS(node(x, soft), softmax)->causal);
    ir_ref qk = operand(x, soft, IR_OP_softmax, 0);
    assert_true(IR_ATTRS(node(x, qk), matmul)->transpose_b);
    assert_true(IR_ATTRS(node(x, qk), matmul)->scale > 0.3535 &&
                IR_ATTRS(node(x, qk), matmul)->scale < 0.3536);
    ir_ref q = split(x, operand(x, qk, IR_OP_matmul, 0)),
           k = split(x, operand(x, qk, IR_OP_matmul, 1));
    ir_ref v = split(x, operand(x, pv, IR_OP_matmul, 1));
    assert_true(ir_ref_eq(operand(x, q, IR_OP_linear, 0), x->tokens));
    assert_int_equal(node(x, q)->operand_count, 2); /* no bias */
    assert_true(ir_ref_eq(operand(x, k, IR_OP_linear, 0), x->context));
    assert_string_equal(weight_name(x, operand(x, v, IR_OP_linear, 1)), "net/a.to_v.weight");
}

/* One fused tensor: three linear layers on slices of it. */
static void fused_projections(void **state) {
    fixture *x = *state;
    fe_image_attention_options o = fe_image_attention_defaults(4, 8, 1e-5);
    o.attention.qkv = "qkv";
    o.attention.conv_weight = true;
    o.attention.out = "proj";
    o.norm = "norm";
    ir_ref y = fe_image_attention(&x->b, x->image, "a", &o);
    ir_ref sum = operand(x, operand(x, y, IR_OP_reshape, 0), IR_OP_transpose,
                         0); /* the residual is added on tokens */
    ir_ref out = operand(x, sum, IR_OP_add, 0), old = operand(x, sum, IR_OP_add, 1);
    assert_true(
        ir_ref_eq(operand(x, operand(x, old, IR_OP_transpose, 0), IR_OP_reshape, 0), x->image));
    assert_int_equal(ir_typeof(x->b.f, operand(x, out, IR_OP_linear, 1))->rank, 4);
    ir_ref pv = operand(x, operand(x, operand(x, out, IR_OP_linear, 0), IR_OP_reshape, 0),
                        IR_OP_transpose, 0);
    ir_ref v = split(x, operand(x, pv, IR_OP_matmul, 1));
    ir_ref w = operand(x, v, IR_OP_linear, 1), bias = operand(x, v, IR_OP_linear, 2);
    assert_string_equal(weight_name(x, operand(x, w, IR_OP_slice, 0)), "net/a.qkv.weight");
    assert_string_equal(weight_name(x, operand(x, bias, IR_OP_slice, 0)), "net/a.qkv.bias");
    assert_int_equal(IR_ATTRS(node(x, w), slice)->start, 64);
    assert_int_equal(IR_ATTRS(node(x, w), slice)->count, 32);
}

static void spatial_transformer(void **state) {
    fixture *x = *state;
    fe_transformer_options o = {
        .heads = 3, .depth = 2, .groups = 8, .eps = 1e-6, .linear_projection = true};
    ir_ref y = fe_spatial_transformer(&x->b, x->image, x->context, "t", &o);
    ir_ref out =
        operand(x, operand(x, operand(x, y, IR_OP_reshape, 0), IR_OP_transpose, 0), IR_OP_add, 0);
    ir_ref last = operand(x, out, IR_OP_linear, 0);
    assert_int_equal(ir_typeof(x->b.f, last)->dim[2], 30); /* three heads of ten */
    ir_ref ff = operand(x, last, IR_OP_add, 0);
    operand(x, operand(x, ff, IR_OP_linear, 0), IR_OP_geglu, 0);
    assert_int_not_equal(ir_weight_find(x->m, "net/t.transformer_blocks.1.attn2.to_k.weight"),
                         UINT32_MAX);
}

static void sampling(void **state) {
    fixture *x = *state;
    ir_ref down = fe_downsample(&x->b, x->image, "d", 32, true);
    assert_memory_equal(IR_ATTRS(node(x, down), conv2d)->pad.v, ((int64_t[]){0, 0, 1, 1}), 32);
    ir_ref up = fe_upsample(&x->b, down, "u", 16, 6, 4);
    operand(x, operand(x, up, IR_OP_conv2d, 0), IR_OP_resize_nearest, 0);
    fe_push(&x->b, x->image);
    ir_ref joined = fe_concat_pop(&x->b, up);
    assert_true(
        ir_ref_eq(operand(x, joined, IR_OP_concat, 0), up)); /* the value first, then the skip */
    assert_true(fe_end(&x->b));
}

/* One mistake, one message: what depends on it is silent. */
static void silent_after_a_fault(void **state) {
    fixture *x = *state;
    fe_res_options o = fe_res_defaults(48, 5, 1e-5);
    ir_ref y = fe_res_block(&x->b, x->image, x->emb, "r", &o);
    assert_false(ir_ref_ok(y));
    fe_transformer_options t = {.heads = 4, .depth = 1, .groups = 8, .eps = 1e-6};
    y = fe_spatial_transformer(&x->b, y, x->context, "t", &t);
    fe_push(&x->b, y);
    assert_false(ir_ref_ok(fe_concat_pop(&x->b, x->image)));
    assert_int_equal(base_diag_errors(x->c.diag), 1);
    assert_non_null(strstr(captured(&x->c), "5 groups do not divide 32 channels"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(res_block, begin, end),
        cmocka_unit_test_setup_teardown(res_block_options, begin, end),
        cmocka_unit_test_setup_teardown(attention, begin, end),
        cmocka_unit_test_setup_teardown(fused_projections, begin, end),
        cmocka_unit_test_setup_teardown(spatial_transformer, begin, end),
        cmocka_unit_test_setup_teardown(sampling, begin, end),
        cmocka_unit_test_setup_teardown(silent_after_a_fault, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
