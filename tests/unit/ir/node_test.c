/* Tables, building and interning, types, weights, analyses. */
#include "ir/ir.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/parsed.h"

static void op_table(void **state) {
    (void)state;
    const ir_op_info *conv = ir_op_get(IR_OP_conv2d);
    assert_int_equal(conv->min_operands, 2);
    assert_int_equal(conv->graph_operands, 3);
    assert_int_equal(conv->max_operands, 7);
    assert_int_equal(IR_IN(conv2d, x), 0);
    assert_string_equal(conv->operand_name[IR_IN(conv2d, bias)], "bias");
    assert_string_equal(conv->operand_name[IR_IN(conv2d, residual)], "residual");
    assert_int_equal(IR_OPERANDS(conv2d), conv->max_operands);
    assert_int_equal(IR_OPERANDS(input), 0);
    assert_int_equal(conv->flags, IR_FLAG_CONTRACT);
    assert_int_equal(conv->levels, 15);
    assert_int_equal(ir_op_get(IR_OP_attention)->levels, 1 << IR_FUSED | 1 << IR_KERNEL);
    assert_int_equal(ir_op_get(IR_OP_input)->max_operands, 0);
    assert_int_equal(ir_op_get(IR_OP_concat)->min_operands, 1);
    assert_int_equal(ir_op_get(IR_OP_concat)->max_operands, 8);
    assert_int_equal(ir_op_get(IR_OP_silu)->attr_count, 0);
    assert_int_equal(ir_op_get(IR_OP_group_norm)->attr_count, 3);
    assert_string_equal(ir_op_get(IR_OP_group_norm)->attrs[1].name, "eps");
    assert_true(
        ((const struct ir_attrs_group_norm *)ir_op_get(IR_OP_group_norm)->attr_default)->eps ==
        1e-5);
    for (int i = 0; i < IR_OP_COUNT; i++) {
        ir_op op;
        assert_true(ir_op_by_name(ir_op_get((ir_op)i)->name, &op));
        assert_int_equal(op, i);
    }
    ir_op op;
    assert_false(ir_op_by_name("nothing", &op));
}

/* The columns of ops.def that say how results and operands lie fit each other. */
static void op_columns(void **state) {
    (void)state;
    const ir_op_info *conv = ir_op_get(IR_OP_conv2d);
    assert_int_equal(conv->over, 1u << IR_IN(conv2d, residual));
    assert_int_equal(conv->operand_role[IR_IN(conv2d, w)], IR_ROLE_FILTER);
    assert_int_equal(conv->operand_role[IR_IN(conv2d, residual)], IR_ROLE_C16);
    assert_int_equal(ir_op_get(IR_OP_ew)->over, (1u << IR_OPERANDS(ew)) - 1);
    assert_true(ir_op_blocked(IR_OP_linear) && ir_op_blocked(IR_OP_conv2d_winograd));
    assert_false(ir_op_blocked(IR_OP_softmax) || ir_op_blocked(IR_OP_concat));
    assert_true(ir_op_packs(IR_OP_embedding, IR_IN(embedding, position)));
    assert_false(ir_op_packs(IR_OP_conv2d_winograd, IR_IN(conv2d_winograd, w)));
    for (int i = 0; i < IR_OP_COUNT; i++) {
        const ir_op_info *op = ir_op_get((ir_op)i);
        bool packs = false;
        for (uint32_t k = 0; k < op->max_operands; k++) {
            ir_role role = op->operand_role[k];
            packs |= ir_op_packs((ir_op)i, k);
            assert_int_equal(role == IR_ROLE_SAME, op->result == IR_RESULT_SAME);
            bool lies = role == IR_ROLE_SAME || role == IR_ROLE_TOKENS ||
                        (role == IR_ROLE_C16 && op->result == IR_RESULT_C16) ||
                        (role == IR_ROLE_PLAIN && op->result == IR_RESULT_PLAIN);
            assert_true(lies || !(op->over >> k & 1)); /* in place only as the result lies */
        }
        assert_false(packs && (op->flags & IR_FLAG_PACK));
    }
}

/* Values of an attribute type are told apart by what they say. */
static void attribute_types(void **state) {
    (void)state;
    const ir_attr_type *freq = ir_attr_type_of(IR_ATTR_freq);
    assert_int_equal(freq->form, IR_ATTR_FORM_NAME);
    assert_int_equal(freq->name_count, IR_FREQ_COUNT);
    assert_int_equal(ir_attr_type_of(IR_ATTR_i4)->size, 4 * sizeof(int64_t));
    for (int k = 0; k < IR_ATTR_KIND_COUNT; k++) {
        const ir_attr_type *t = ir_attr_type_of((ir_attr_kind)k);
        assert_int_equal(t->form == IR_ATTR_FORM_NAME, t->name_count > 0);
        for (uint32_t i = 0; i < t->name_count; i++) {
            base_str s = {0};
            ir_print_value((ir_attr_kind)k, &i, &s);
            assert_string_equal(s.data, t->names[i]);
            base_str_free(&s);
        }
    }
    struct ir_attrs_ew a = {.expr = "neg(a)"}, b = {.expr = (char[]){"neg(a)"}}, c = {.expr = "a"};
    assert_true(ir_attrs_equal(IR_OP_ew, &a, &b));
    assert_false(ir_attrs_equal(IR_OP_ew, &a, &c));
    struct ir_attrs_shape x = {.shape = {1, {2, 3}}}, y = {.shape = {1, {2, 4}}};
    assert_true(ir_attrs_equal(IR_OP_reshape, &x, &y)); /* only what counts */
    y.shape.v[0] = 1;
    assert_false(ir_attrs_equal(IR_OP_reshape, &x, &y));
}

static void type_sizes(void **state) {
    (void)state;
    ir_type t = ir_type_make(IR_f32, 4, (int64_t[]){2, 20, 3, 5});
    assert_int_equal(ir_type_elements(&t), 600);
    assert_int_equal(ir_type_bytes(&t), 2400);
    assert_int_equal(ir_channel_axis(&t), 1);
    t.layout = IR_C16;
    assert_int_equal(ir_type_bytes(&t), 2 * 32 * 15 * 4);
    ir_type tokens = ir_type_make(IR_f32, 3, (int64_t[]){2, 15, 20});
    tokens.layout = IR_C16;
    assert_int_equal(ir_channel_axis(&tokens), 2);
    assert_int_equal(ir_type_bytes(&tokens), ir_type_bytes(&t));
    ir_type scalar = ir_type_make(IR_f16, 0, NULL);
    assert_int_equal(ir_type_bytes(&scalar), 2);
    assert_int_equal(ir_channel_axis(&scalar), -1);
    ir_type huge = ir_type_make(IR_f32, 3, (int64_t[]){1 << 20, 1 << 20, 1});
    assert_true(ir_type_valid(&huge, NULL));
    huge.dim[2] = 2;
    assert_false(ir_type_valid(&huge, NULL));
    huge.dim[2] = INT64_MAX;
    assert_false(ir_type_valid(&huge, NULL));
}

static void interning(void **state) {
    (void)state;
    ir_module *m = ir_module_new();
    ir_func *f = ir_func_new(m, "f");
    ir_type t = ir_type_make(IR_f32, 2, (int64_t[]){2, 16});
    ir_ref x = ir_input(f, "x", &t, IR_STEP, 0), y = ir_input(f, "y", &t, IR_STEP, 0);
    assert_false(ir_ref_eq(x, y));
    ir_ref a = ir_op2(f, IR_OP_add, x, y, NULL, 0);
    assert_true(ir_ref_eq(a, ir_op2(f, IR_OP_add, x, y, NULL, ir_origin_add(m, "f", 1, 1, NULL))));
    assert_false(ir_ref_eq(a, ir_op2(f, IR_OP_add, y, x, NULL, 0)));
    assert_false(ir_ref_eq(a, ir_op2(f, IR_OP_sub, x, y, NULL, 0)));
    assert_false(ir_ref_eq(a, ir_build(f, IR_OP_add, (ir_ref[]){x, y}, 2, NULL, IR_C16, 0)));
    struct ir_attrs_affine k = IR_DEFAULTS(affine);
    ir_ref b = ir_op1(f, IR_OP_affine, x, NULL, 0);
    assert_true(ir_ref_eq(b, ir_op1(f, IR_OP_affine, x, &k, 0)));
    k.add = -0.0; /* not 0.0 */
    assert_false(ir_ref_eq(b, ir_op1(f, IR_OP_affine, x, &k, 0)));
    char text[] = "add(a,a)";
    struct ir_attrs_ew e = {.expr = text};
    ir_ref g = ir_op1(f, IR_OP_ew, x, &e, 0);
    text[0] = 's'; /* the node has its own copy */
    assert_string_equal(IR_ATTRS(ir_get(f, g), ew)->expr, "add(a,a)");
    e.expr = "add(a,a)";
    assert_true(ir_ref_eq(g, ir_op1(f, IR_OP_ew, x, &e, 0)));
    assert_false(ir_ref_eq(ir_op1(f, IR_OP_copy, x, NULL, 0), ir_op1(f, IR_OP_copy, x, NULL, 0)));
    /* Trailing absent operands do not make another node. */
    ir_ref c = ir_build(f, IR_OP_concat, (ir_ref[]){x, y, IR_NONE, IR_NONE}, 4, NULL, IR_PLAIN, 0);
    assert_int_equal(ir_get(f, c)->operand_count, 2);
    assert_true(ir_ref_eq(c, ir_op2(f, IR_OP_concat, x, y, NULL, 0)));
    size_t count = f->nodes.count;
    for (int i = 0; i < 1000; i++) {
        k.mul = i + 2;
        assert_int_equal(ir_op1(f, IR_OP_affine, x, &k, 0).id, count + (size_t)i);
    }
    for (int i = 0; i < 1000; i++) {
        k.mul = i + 2;
        assert_int_equal(ir_op1(f, IR_OP_affine, x, &k, 0).id, count + (size_t)i);
    }
    ir_module_free(m);
}

static void tables(void **state) {
    (void)state;
    ir_module *m = ir_module_new();
    ir_type t = ir_type_make(IR_f32, 1, (int64_t[]){4});
    for (uint32_t i = 0; i < 500; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%u", i);
        assert_int_equal(ir_weight_add(m, name, &t), i);
    }
    assert_int_equal(ir_weight_add(m, "w123", &t), 123);
    assert_int_equal(ir_weight_find(m, "w499"), 499);
    assert_int_equal(ir_weight_find(m, "w500"), UINT32_MAX);
    BASE_PUSH(&m->weights, ((ir_weight){.name = "pushed",
                                        .type = t})); /* entries may be added past the function */
    assert_int_equal(ir_weight_find(m, "pushed"), 500);

    ir_origin_id a = ir_origin_add(m, "f.json", 1, 2, "b"),
                 b = ir_origin_add(m, "f.json", 1, 3, "b");
    assert_int_equal(ir_origin_add(m, "f.json", 1, 2, "b"), a);
    assert_int_not_equal(a, b);
    assert_int_equal(ir_origin_add(m, NULL, 0, 0, ""), 0);
    assert_string_equal(m->origins.items[b].block, "b");

    ir_meta_set_int(m, "i", 3);
    ir_meta_set_float(m, "f", 0.5);
    ir_meta_set_string(m, "s", "text");
    ir_meta_set_int(m, "s", 4); /* replaced in place */
    assert_int_equal(m->meta.count, 3);
    assert_int_equal(ir_meta_int(m, "s", 0), 4);
    assert_string_equal(ir_meta_string(m, "s", "other"), "other");
    assert_true(ir_meta_float(m, "i", 0) == 3.0);
    assert_int_equal(ir_meta_int(m, "f", 7), 7);
    assert_null(ir_meta_get(m, "absent"));

    ir_func *f = ir_func_new(m, "f"), *g = ir_func_new(m, "g");
    assert_ptr_equal(ir_func_find(m, "g"), g);
    ir_func_remove(m, f);
    assert_null(ir_func_find(m, "f"));
    assert_int_equal(m->funcs.count, 1);
    ir_module_free(m);
}

static int closed;
static void close_owner(void *owner) {
    closed += *(int *)owner;
}

static void owners_are_closed(void **state) {
    (void)state;
    ir_module *m = ir_module_new();
    int weight = 5;
    BASE_PUSH(&m->owners, ((struct ir_owner){&weight, close_owner}));
    ir_module_free(m);
    ir_module_free(NULL);
    assert_int_equal(closed, 5);
}

static void stored_weights(void **state) {
    (void)state;
    /* One byte off, as a mapped file may be. */
    unsigned char bytes[64];
    static const uint16_t half[] = {0x0000, 0x8000, 0x3c00, 0xc000, 0x0001, 0x83ff,
                                    0x0400, 0x7bff, 0x7c00, 0xfc00, 0x7e01, 0x3555};
    static const float want[] = {0.0f,     -0.0f,       1.0f,     -2.0f,
                                 0x1p-24f, -0x3ffp-24f, 0x1p-14f, 65504.0f,
                                 INFINITY, -INFINITY,   NAN,      0.333251953125f};
    float got[12];
    memcpy(bytes + 1, half, sizeof half);
    ir_weight w = {.name = "w",
                   .kind = IR_WEIGHT_FILE,
                   .data = bytes + 1,
                   .type = ir_type_make(IR_f16, 1, (int64_t[]){12})};
    ir_weight_read(&w, got, 0, 12);
    for (int i = 0; i < 12; i++) {
        if (isnan(want[i]))
            assert_true(isnan(got[i]));
        else
            assert_memory_equal(&got[i], &want[i], sizeof(float));
    }
    ir_weight_read(&w, got, 7, 1);
    assert_true(got[0] == 65504.0f);

    static const uint16_t brain[] = {0x3f80, 0xc000, 0x0001, 0x7f80};
    static const float brain_want[] = {1.0f, -2.0f, 0x1p-133f, INFINITY};
    memcpy(bytes + 1, brain, sizeof brain);
    w.type = ir_type_make(IR_bf16, 1, (int64_t[]){4});
    ir_weight_read(&w, got, 0, 4);
    assert_memory_equal(got, brain_want, sizeof brain_want);

    static const float single[] = {1.5f, -0.1f};
    memcpy(bytes + 1, single, sizeof single);
    w.type = ir_type_make(IR_f32, 1, (int64_t[]){2});
    ir_weight_read(&w, got, 0, 2);
    assert_memory_equal(got, single, sizeof single);

    static const int32_t ints[] = {-3, 49407};
    memcpy(bytes + 1, ints, sizeof ints);
    w.type = ir_type_make(IR_i32, 1, (int64_t[]){2});
    ir_weight_read(&w, got, 1, 1);
    assert_true(got[0] == 49407.0f);
}

static void random_weights(void **state) {
    (void)state;
    enum { N = 10000 };
    static float all[N], part[N], other[N];
    ir_weight w = {.name = "w",
                   .kind = IR_WEIGHT_RANDOM,
                   .seed = 1,
                   .bound = 0.5,
                   .center = 2.0,
                   .type = ir_type_make(IR_f16, 1, (int64_t[]){N})};
    ir_weight_read(&w, all, 0, N);
    for (int64_t first = 0; first < N; first += 777) /* any range, any order */
        ir_weight_read(&w, part + first, first, N - first < 777 ? N - first : 777);
    assert_memory_equal(all, part, sizeof all);
    double sum = 0.0, squares = 0.0;
    for (int i = 0; i < N; i++) {
        assert_true(all[i] >= 1.5f && all[i] <= 2.5f);
        sum += all[i] - 2.0;
        squares += (all[i] - 2.0) * (all[i] - 2.0);
    }
    assert_true(fabs(sum / N) < 0.01);                   /* mean of the uniform distribution */
    assert_true(fabs(squares / N - 0.25 / 3.0) < 0.002); /* its variance: bound^2 / 3 */
    w.name = "v";
    ir_weight_read(&w, other, 0, N);
    assert_memory_not_equal(all, other, sizeof all);
    w.name = "w";
    w.seed = 2;
    ir_weight_read(&w, other, 0, N);
    assert_memory_not_equal(all, other, sizeof all);
}

static void analyses(void **state) {
    (void)state;
    ir_module *m =
        parse("ebru ir 3 graph\nweight @w : f32[4]\n"
              "func @f(%0 s : f32[4] step, %1 p : f32[4] prompt, %2 c : f32[4] program) {\n"
              "%3 = add %1, @w : f32[4]\n%4 = exp @w : f32[4]\n%5 = add %3, %3 : f32[4]\n%6 = add "
              "%5, %0 : f32[4]\n"
              "%7 = neg %2 : f32[4]\nreturn a = %6, b = %3, c = %4, d = %7\n}\n");
    ir_func *f = m->funcs.items[0];
    uint32_t *number = ir_numbering(f), *uses = ir_use_counts(f);
    ir_freq *freq = ir_frequencies(f);
    bool *constant = ir_constants(f);
    static const ir_freq want_freq[] = {IR_STEP,    IR_PROMPT, IR_PROGRAM, IR_PROMPT,
                                        IR_PROGRAM, IR_PROMPT, IR_STEP,    IR_PROGRAM};
    static const uint32_t want_uses[] = {1, 1, 1, 3, 1, 1, 1, 1};
    for (size_t i = 0; i < f->nodes.count; i++) {
        if (f->nodes.items[i].op == IR_OP_weight) {
            assert_true(constant[i] && uses[i] == 2 && number[i] == UINT32_MAX);
            continue;
        }
        assert_int_equal(freq[i], want_freq[number[i]]);
        assert_int_equal(uses[i], want_uses[number[i]]);
        assert_int_equal(constant[i], number[i] == 4);
    }
    base_free(number);
    base_free(uses);
    base_free(freq);
    base_free(constant);
    ir_module_free(m);
}

static void views(void **state) {
    (void)state;
    ir_module *m = parse(
        "ebru ir 3 fused\nfunc @f(%0 a : f32[2,20,3,4]:c16 step, %1 b : f32[1,4] step, %2 c : "
        "f32[2,32]:c16 "
        "step) {\n"
        "%3 = view %0 {shape=[2,12,20]} : f32[2,12,20]:c16\n"
        "%4 = view %3 {shape=[2,20,12,1]} : f32[2,20,12,1]:c16\n"
        /* could be one, is not taken as one */
        "%5 = reshape %0 {shape=[2,20,12,1]} : f32[2,20,12,1]:c16\n"
        "%6 = transpose %1 {perm=[1,0]} : f32[4,1]\n"
        "%7 = transpose %0 {perm=[0,2,3,1]} : f32[2,3,4,20]\n"
        "%8 = layout_cast %2 : f32[2,32]\n%9 = layout_cast %0 : f32[2,20,3,4]\n"
        "%10 = reshape %2 {shape=[64]} : f32[64]\n"
        "return d = %4, e = %5, f = %6, g = %7, h = %8, i = %9, j = %10\n}\n");
    ir_func *f = m->funcs.items[0];
    static const bool want[] = {false, false, false, true,  true, false,
                                true,  false, true,  false, true};
    for (uint32_t i = 0; i < f->nodes.count; i++)
        assert_int_equal(ir_is_view(f, (ir_ref){i}), want[i]);
    assert_int_equal(ir_view_root(f, (ir_ref){4}).id, 0);
    assert_int_equal(ir_view_root(f, (ir_ref){7}).id, 7);
    ir_module_free(m);
}

static void last_uses(void **state) {
    (void)state;
    ir_module *m = parse("ebru ir 3 fused\nfunc @f(%0 a : f32[2,3] step, %1 b : f32[2,3] step) {\n"
                         "%2 = exp %0 : f32[2,3]\n"
                         "%3 = view %2 {shape=[3,2]} : f32[3,2]\n"
                         "%4 = neg %1 : f32[2,3]\n"
                         "%5 = exp %3 : f32[3,2]\n"
                         "%6 = neg %4 : f32[2,3]\n"
                         "%7 = view %6 {shape=[6]} : f32[6]\n"
                         "return y = %7, z = %5\n}\n");
    ir_func *f = m->funcs.items[0];
    /* of 6 the view 7 is an output; of 2 the view 3 is read by 5; nobody reads views themselves */
    static const uint32_t want[] = {2, 4, 5, 3, 6, 8, 8, 7}, roots[] = {0, 1, 2, 2, 4, 5, 6, 6};
    uint32_t *last = ir_last_uses(f), *root = ir_view_roots(f);
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        assert_int_equal(last[i], want[i]);
        assert_int_equal(root[i], roots[i]);
        assert_int_equal(ir_view_root(f, (ir_ref){i}).id, roots[i]);
    }
    base_free(last);
    base_free(root);
    ir_module_free(m);
}

/* A function that the module does not list, and what becomes of it. */
static void detached(void **state) {
    (void)state;
    ir_module *m = parse(
        "ebru ir 3 graph\nfunc @f(%0 a : f32[4] step) { %1 = exp %0 : f32[4] return y = %1 }");
    ir_func *f = m->funcs.items[0], *g = ir_func_detached(m, "g");
    assert_int_equal(m->funcs.count, 1);
    assert_null(ir_func_find(m, "g"));
    ir_set_output(g, "z", ir_input(g, "b", ir_typeof(f, (ir_ref){0}), IR_STEP, 0));
    ir_func_take(f, g);
    assert_ptr_equal(ir_func_find(m, "g"), f);
    assert_int_equal(f->nodes.count, 1);
    assert_string_equal(f->outputs.items[0].name, "z");
    assert_int_equal(g->nodes.count, 0);
    assert_true(ir_verify(m, NULL));
    ir_set_output(g, "z", ir_input(g, "b", ir_typeof(f, (ir_ref){0}), IR_STEP, 0));
    ir_func_clear(g);
    assert_int_equal(g->nodes.count + g->outputs.count + g->inputs.count, 0);
    ir_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(op_table),
        cmocka_unit_test(op_columns),
        cmocka_unit_test(attribute_types),
        cmocka_unit_test(type_sizes),
        cmocka_unit_test(interning),
        cmocka_unit_test(tables),
        cmocka_unit_test(owners_are_closed),
        cmocka_unit_test(stored_weights),
        cmocka_unit_test(random_weights),
        cmocka_unit_test(analyses),
        cmocka_unit_test(views),
        cmocka_unit_test(last_uses),
        cmocka_unit_test(detached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
