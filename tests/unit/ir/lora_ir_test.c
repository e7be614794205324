/* Low-rank updates: the sums against naive ones, in any range, over every kind of factor. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ir/ir.h"
#include "tests/unit/support/parsed.h"

static ir_weight random_factor(const char *name, uint64_t seed, uint32_t rank, int64_t a, int64_t b,
                               int64_t window) {
    return (ir_weight){.name = name,
                       .kind = IR_WEIGHT_RANDOM,
                       .type = ir_type_make(IR_f32, rank, (int64_t[]){a, b, window, window}),
                       .seed = seed,
                       .bound = 1.0};
}

static float *values(const ir_weight *w) {
    float *v = base_alloc((size_t)ir_type_elements(&w->type) * sizeof *v);
    ir_weight_read(w, v, 0, ir_type_elements(&w->type));
    return v;
}

/* w += scale * up * mid * down, element by element in binary64. */
static void add_naive(double *w, const ir_lora *l, int64_t n_count, int64_t k_count,
                      int64_t window) {
    float *up = values(&l->up), *down = values(&l->down),
          *mid = l->mid.type.rank ? values(&l->mid) : NULL;
    int64_t ranks = l->up.type.dim[1], inner = l->down.type.dim[0];
    for (int64_t n = 0; n < n_count; n++)
        for (int64_t k = 0; k < k_count; k++)
            for (int64_t p = 0; p < window; p++) {
                double sum = 0.0;
                for (int64_t r = 0; r < ranks; r++) {
                    double filter = 0.0;
                    for (int64_t s = 0; mid && s < inner; s++)
                        filter += (double)mid[(r * inner + s) * window + p] *
                                  (double)down[s * k_count + k];
                    if (!mid) filter = (double)down[(r * k_count + k) * window + p];
                    sum += (double)up[n * ranks + r] * filter;
                }
                w[(n * k_count + k) * window + p] += l->scale * sum;
            }
    base_free(up);
    base_free(down);
    base_free(mid);
}

/* A weight [n,k] or [n,k,side,side] with these updates, read whole and in pieces. */
static void check_sum(int64_t n, int64_t k, int64_t side, const ir_lora *updates, size_t count) {
    ir_module *m = ir_module_new();
    ir_type t = ir_type_make(IR_f32, side ? 4 : 2, (int64_t[]){n, k, side, side});
    uint32_t index = ir_weight_add(m, "w", &t);
    ir_weight *w = &m->weights.items[index];
    w->kind = IR_WEIGHT_RANDOM;
    w->seed = 5;
    w->bound = 1.0;
    int64_t elements = ir_type_elements(&t), window = side ? side * side : 1;
    float *base = values(w);
    double *want = base_alloc((size_t)elements * sizeof *want);
    for (int64_t i = 0; i < elements; i++) want[i] = (double)base[i];
    for (size_t i = 0; i < count; i++) ir_lora_add(m, index, &updates[i]);
    for (const ir_lora *l = w->loras; l; l = l->next) add_naive(want, l, n, k, window);
    assert_true(ir_verify(m, NULL));

    float *whole = values(w), *part = base_alloc((size_t)elements * sizeof *part);
    for (int64_t i = 0; i < elements; i++)
        if (fabs((double)whole[i] - want[i]) > 1e-6 * (1.0 + fabs(want[i])))
            fail_msg("element %lld: %.9g, expected %.9g", (long long)i, (double)whole[i], want[i]);
    for (int64_t step = 1; step < elements;
         step = step * 7 + 3) { /* any range gives the same bits */
        for (int64_t i = 0; i < elements; i += step)
            ir_weight_read(w, part + i, i, elements - i < step ? elements - i : step);
        assert_memory_equal(part, whole, (size_t)elements * sizeof *part);
    }
    assert_memory_not_equal(base, whole, (size_t)elements * sizeof *base);
    base_free(base);
    base_free(want);
    base_free(whole);
    base_free(part);
    ir_module_free(m);
}

static void matrices(void **state) {
    (void)state;
    const ir_lora a = {.scale = 0.75,
                       .up = random_factor("up", 1, 2, 7, 3, 0),
                       .down = random_factor("down", 2, 2, 3, 11, 0)},
                  b = {.scale = -1.5,
                       .up = random_factor("up", 3, 4, 7, 9, 1),
                       .down = random_factor("down", 4, 4, 9, 11, 1)};
    check_sum(7, 11, 0, &a, 1);
    check_sum(7, 11, 0, (ir_lora[]){a, b}, 2);
    check_sum(7, 11, 1, (ir_lora[]){b, a, b}, 3); /* a filter of 1x1 */
    const ir_lora wide = {.scale = 1.0,
                          .up = random_factor("up", 1, 2, 5, 4, 0),
                          .down = random_factor("down", 2, 2, 4, 777, 0)};
    check_sum(5, 777, 0, &wide, 1);
}

static void filters(void **state) {
    (void)state;
    const ir_lora plain = {.scale = 0.5,
                           .up = random_factor("up", 1, 4, 6, 2, 1),
                           .down = random_factor("down", 2, 4, 2, 40, 3)},
                  inner = {.scale = 0.5,
                           .up = random_factor("up", 1, 4, 6, 3, 1),
                           .down = random_factor("down", 2, 4, 5, 40, 1),
                           .mid = random_factor("mid", 3, 4, 3, 5, 3)};
    check_sum(6, 40, 3, &plain, 1);
    check_sum(6, 40, 3, &inner, 1);
    check_sum(6, 40, 3, (ir_lora[]){plain, inner}, 2);
}

/* Two updates cancel exactly: nothing is rounded in between. */
static void rounded_once(void **state) {
    (void)state;
    ir_module *m = ir_module_new();
    ir_type t = ir_type_make(IR_f32, 2, (int64_t[]){8, 300});
    uint32_t index = ir_weight_add(m, "w", &t);
    ir_weight *w = &m->weights.items[index];
    w->kind = IR_WEIGHT_RANDOM;
    w->bound = 1e-3;
    float *before = values(w);
    ir_lora l = {.scale = 1000.0,
                 .up = random_factor("up", 1, 2, 8, 4, 0),
                 .down = random_factor("down", 2, 2, 4, 300, 0)};
    ir_lora_add(m, index, &l);
    l.scale = -1000.0;
    ir_lora_add(m, index, &l);
    float *after = values(w);
    for (int i = 0; i < 8 * 300; i++) assert_true(fabs((double)(before[i] - after[i])) < 1e-9);
    base_free(before);
    base_free(after);
    ir_module_free(m);
}

/* Whoever evaluates sees the sum; f16 and bf16 factors; factors without elements make a weight
 * unbound. */
static void from_text(void **state) {
    (void)state;
    static const char text[] =
        "ebru ir 3 graph\n"
        "weight @w : f16[2,2] = data \"003c000000000040\"\n"                     /* 1 0; 0 2 */
        "  + lora 0.5 f16[2,1] data \"003c0040\", bf16[1,2] data \"803f8040\"\n" /* (1 2)' (1 4) */
        "weight @file : f32[2,2] = random 1 1.0 0.0\n"
        "  + lora 1.0 f32[2,1] file \"f\" \"a\", f32[1,2] random 1 1.0 0.0\n"
        "func @f(%0 x: f32[1] step) {\n  return w = @w\n}\n";
    ir_module *m = parse(text);
    assert_true(ir_weight_bound(&m->weights.items[0]));
    assert_false(ir_weight_bound(&m->weights.items[1]));
    ir_tensor v = ir_eval_constant(m->funcs.items[0], m->funcs.items[0]->outputs.items[0].value);
    assert_memory_equal(v.data, ((float[]){1.5f, 2.0f, 1.0f, 6.0f}), 4 * sizeof(float));
    ir_tensor_free(&v);
    ir_module_free(m);
}

/* Updates of all methods behind each other: any range gives the same bits; each changes the weight;
 * what is printed reads back. */
static void all_methods(void **state) {
    (void)state;
    static const char *const updates[] = {
        "lora 0.5 f32[6,2] random 1 1.0 0.0, f32[2,10,3,3] random 1 1.0 0.0, "
        "magnitude_in f32[1,10,1,1] random 1 1.0 2.0",
        "loha -0.5 w1_a f32[6,2] random 1 1.0 0.0, w1_b f32[2,90] random 1 1.0 0.0, "
        "w2_a f32[6,1] random 1 1.0 0.0, w2_b f32[1,90] random 1 1.0 0.0, "
        "magnitude f16[6] data \"003c003c003c003c003c003c\"",
        "loha 0.5 w1_a f32[2,6] random 1 1.0 0.0, w1_b f32[3,10] random 1 1.0 0.0, t1 "
        "f32[2,3,3,3] random 1 1.0 0.0, w2_a f32[2,6] random 1 1.0 0.0, w2_b f32[2,10] random 1 "
        "1.0 0.0, t2 f32[2,2,3,3] random 1 1.0 0.0",
        "lokr 0.5 w1 f32[3,2] random 1 1.0 0.0, w2 f32[2,5,3,3] random 1 1.0 0.0",
        "lokr 0.5 w1_a f32[3,1] random 1 1.0 0.0, w1_b f32[1,2] random 1 1.0 0.0, w2_a f32[4,2] "
        "random 1 1.0 0.0, w2_b f32[3,5] random 1 1.0 0.0, t2 f32[4,3,3,3] random 1 1.0 0.0",
        "diff 2.0 diff f32[6,10,3,3] random 1 1.0 0.0",
        "gain 0.5 gain f32[6] random 1 1.0 0.0",
        "gain_in 0.5 gain_in f32[1,10,1,1] random 1 1.0 0.0",
    };
    enum { N = 6 * 10 * 9 };
    base_str text = {0};
    base_str_add(&text, "ebru ir 3 graph\nweight @w : f32[6,10,3,3] = random 1 1.0 0.0");
    float before[N], whole[N], part[N];
    for (size_t u = 0; u < sizeof updates / sizeof *updates; u++) {
        base_str_addf(&text, "\n  + %s", updates[u]);
        ir_module *m = parse(text.data);
        assert_true(ir_verify(m, NULL));
        const ir_weight *w = &m->weights.items[0];
        ir_weight_read(w, whole, 0, N);
        assert_true(!u || memcmp(before, whole, sizeof whole) != 0);
        for (int step = 1; step < N; step = step * 7 + 3) {
            for (int i = 0; i < N; i += step)
                ir_weight_read(w, part + i, i, N - i < step ? N - i : step);
            assert_memory_equal(part, whole, sizeof part);
        }
        base_str printed = {0}, again = {0};
        ir_print(m, &printed);
        ir_module *back = parse(printed.data);
        ir_print(back, &again);
        assert_string_equal(printed.data, again.data);
        base_str_free(&printed);
        base_str_free(&again);
        ir_module_free(back);
        memcpy(before, whole, sizeof before);
        ir_module_free(m);
    }
    base_str_free(&text);
}

/* Rows behind a weight: any range reads them, updates are of the stored ones, and each has its own
 * element type; a weight is bound when all of them are. */
static void rows_behind(void **state) {
    (void)state;
    static const char text[] =
        "ebru ir 3 graph\n"
        "weight @w : f32[5,2] = random 1 1.0 0.0 + lora 1.0 f32[2,1] data \"0000803f00000040\",\n"
        "  f32[1,2] data \"0000803f0000803f\"\n" /* (1 2)' (1 1) */
        "  + rows f16[1,2] data \"003c0040\" + rows f32[2,2] random 1 1.0 0.0\n"
        "weight @stored : f32[2,2] = random 1 1.0 0.0\n"
        "weight @file : f32[3,2] = random 1 1.0 0.0 + rows f32[1,2] file \"f\" \"a\"\n"
        "func @f(%0 x: f32[1] step) {\n  return w = @w\n}\n";
    ir_module *m = parse(text);
    const ir_weight *w = &m->weights.items[0];
    float all[10], part[10], rows[4];
    assert_true(ir_weight_bound(w));
    assert_false(ir_weight_bound(&m->weights.items[2]));
    ir_weight_read(w, all, 0, 10);
    ir_weight_read(&w->rows->next->values, rows, 0, 4);
    assert_true(all[4] == 1.0f && all[5] == 2.0f);
    assert_memory_equal(all + 6, rows, sizeof rows);
    for (int64_t first = 0; first < 10; first++)
        for (int64_t count = 0; count <= 10 - first; count++) {
            ir_weight_read(w, part, first, count);
            assert_memory_equal(part, all + first, (size_t)count * sizeof *part);
        }
    ir_weight plain = *w;
    plain.rows = NULL;
    plain.loras = NULL;
    plain.type = ir_weight_stored_type(w);
    assert_int_equal(plain.type.dim[0], 2);
    ir_weight_read(&plain, part, 0, 4);
    for (int i = 0; i < 4; i++) assert_true(fabsf(all[i] - part[i] - (i < 2 ? 1 : 2)) < 1e-6f);
    ir_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrices),  cmocka_unit_test(filters),     cmocka_unit_test(rounded_once),
        cmocka_unit_test(from_text), cmocka_unit_test(all_methods), cmocka_unit_test(rows_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
