/* Pairing nodes of two functions by structure. */
#include "ir/analysis/pairing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/parsed.h"

#define HEAD                                                                                       \
    "ebru ir 3 graph\n"                                                                            \
    "weight @w : f32[8,8] = random 1 0.2 0.0\nweight @v : f32[8,8] = random 2 0.2 0.0\n"

static const char plain[] = HEAD "func @f(%0 x : f32[4,8] step) {\n"
                                 "  %1 = linear %0, @w : f32[4,8] loc(\"m\" \"one\")\n"
                                 "  %2 = silu %1 : f32[4,8] loc(\"m\" \"one\")\n"
                                 "  %3 = linear %2, @v : f32[4,8] loc(\"m\" \"two\")\n"
                                 "  %4 = add %3, %1 : f32[4,8] loc(\"m\" \"two\")\n"
                                 "  return y = %4\n}\n";

/* The number of b's node that stands for a's node `number`; -1: removed. */
static int partner(const ir_pairing *p, uint32_t number) {
    uint32_t *a = ir_numbering(p->a), *b = ir_numbering(p->b);
    int found = -2;
    for (uint32_t i = 0; i < p->a->nodes.count; i++)
        if (a[i] == number) found = ir_ref_ok(p->to_b[i]) ? (int)b[p->to_b[i].id] : -1;
    base_free(a);
    base_free(b);
    return found;
}

/* Differences of a's node `number` and its partner. */
static uint32_t differs(const ir_pairing *p, uint32_t number) {
    uint32_t *a = ir_numbering(p->a), bits = 0;
    for (uint32_t i = 0; i < p->a->nodes.count; i++)
        if (a[i] == number) bits = ir_pair_differs(p, (ir_ref){i}, p->to_b[i]);
    base_free(a);
    return bits;
}

/* Both ways say the same, and pairs have one op. */
static void check_consistent(const ir_pairing *p) {
    for (uint32_t i = 0; i < p->a->nodes.count; i++) {
        if (!ir_ref_ok(p->to_b[i])) continue;
        assert_int_equal(p->to_a[p->to_b[i].id].id, i);
        assert_int_equal(p->a->nodes.items[i].op, ir_get(p->b, p->to_b[i])->op);
    }
    for (uint32_t i = 0; i < p->b->nodes.count; i++)
        if (ir_ref_ok(p->to_a[i])) assert_int_equal(p->to_b[p->to_a[i].id].id, i);
}

struct two {
    ir_module *a, *b;
    ir_pairing p;
};

static struct two compare(const char *a, const char *b) {
    struct two t = {parse(a), parse(b), {0}};
    t.p = ir_pair_nodes(t.a->funcs.items[0], t.b->funcs.items[0]);
    check_consistent(&t.p);
    return t;
}

static void done(struct two *t) {
    ir_pairing_free(&t->p);
    ir_module_free(t->a);
    ir_module_free(t->b);
}

static void test_same(void **state) {
    (void)state;
    struct two t = compare(plain, plain);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(partner(&t.p, i), i);
        assert_int_equal(differs(&t.p, i), 0);
    }
    done(&t);
}

/* A new node shifts every number behind it, which is no difference; who reads it is rewired. */
static void test_inserted(void **state) {
    (void)state;
    struct two t = compare(plain, HEAD "func @f(%0 x : f32[4,8] step) {\n"
                                       "  %1 = relu %0 : f32[4,8] loc(\"m\" \"new\")\n"
                                       "  %2 = linear %1, @w : f32[4,8] loc(\"m\" \"one\")\n"
                                       "  %3 = silu %2 : f32[4,8] loc(\"m\" \"one\")\n"
                                       "  %4 = linear %3, @v : f32[4,8] loc(\"m\" \"two\")\n"
                                       "  %5 = add %4, %2 : f32[4,8] loc(\"m\" \"two\")\n"
                                       "  return y = %5\n}\n");
    for (uint32_t i = 1; i < 5; i++) {
        assert_int_equal(partner(&t.p, i), i + 1);
        assert_int_equal(differs(&t.p, i), i == 1 ? IR_DIFFERS_OPERANDS : 0);
    }
    done(&t);
}

/* As a fusion does it: silu and add go, the linears stay with what they took over. */
static void test_fused(void **state) {
    (void)state;
    struct two t =
        compare(plain, "ebru ir 3 fused\nweight @w : f32[8,8] = random 1 0.2 0.0\n"
                       "weight @v : f32[8,8] = random 2 0.2 0.0\n"
                       "func @f(%0 x : f32[4,8] step) {\n"
                       "  %1 = linear %0, @w {act=silu} : f32[4,8] loc(\"m\" \"one\")\n"
                       "  %2 = linear %1, @v, _, %1 : f32[4,8] loc(\"m\" \"elsewhere\")\n"
                       "  return y = %2\n}\n");
    assert_int_equal(partner(&t.p, 1), 1);
    assert_int_equal(differs(&t.p, 1), IR_DIFFERS_ATTRS);
    assert_int_equal(partner(&t.p, 2), -1);
    assert_int_equal(partner(&t.p, 3), 2); /* by its weight, though the block is another */
    assert_int_equal(differs(&t.p, 3), IR_DIFFERS_OPERANDS | IR_DIFFERS_BLOCK);
    assert_int_equal(partner(&t.p, 4), -1);
    done(&t);
}

/* Of nodes that are alike each finds the one that reads the same. */
static void test_alike(void **state) {
    (void)state;
    static const char a[] = HEAD "func @f(%0 x : f32[8,8] step, %1 z : f32[8,8] step) {\n"
                                 "  %2 = transpose %0 {perm=[1,0]} : f32[8,8]\n"
                                 "  %3 = transpose %1 {perm=[1,0]} : f32[8,8]\n"
                                 "  %4 = add %2, %3 : f32[8,8]\n  return y = %4\n}\n";
    static const char b[] = HEAD "func @f(%0 x : f32[8,8] step, %1 z : f32[8,8] step) {\n"
                                 "  %2 = relu %0 : f32[8,8]\n"
                                 "  %3 = transpose %1 {perm=[1,0]} : f32[8,8]\n"
                                 "  %4 = transpose %2 {perm=[1,0]} : f32[8,8]\n"
                                 "  %5 = add %4, %3 : f32[8,8]\n  return y = %5\n}\n";
    struct two t = compare(a, b);
    assert_int_equal(partner(&t.p, 2), 4);
    assert_int_equal(partner(&t.p, 3), 3);
    assert_int_equal(differs(&t.p, 3), 0);
    assert_int_equal(differs(&t.p, 4), 0);
    done(&t);
}

/* Nothing in common but kind and order: the first with the first. */
static void test_in_order(void **state) {
    (void)state;
    struct two t = compare(HEAD "func @f(%0 x : f32[8] step, %1 z : f32[8] step) {\n"
                                "  %2 = relu %0 : f32[8]\n  %3 = relu %1 : f32[8]\n"
                                "  return y = %2, w = %3\n}\n",
                           HEAD "func @f(%0 p : f32[8] step, %1 q : f32[8] step) {\n"
                                "  %2 = relu %0 : f32[8]\n  %3 = relu %1 : f32[8]\n"
                                "  return y = %2, w = %3\n}\n");
    assert_int_equal(partner(&t.p, 0), -1);
    assert_int_equal(partner(&t.p, 2), 2);
    assert_int_equal(partner(&t.p, 3), 3);
    assert_int_equal(differs(&t.p, 3), IR_DIFFERS_OPERANDS);
    done(&t);
}

enum { ROWS = 200 };

/* relu of each of ROWS rows of x, forwards or backwards. */
static char *many(bool backwards) {
    base_str s = {0};
    base_str_addf(&s, HEAD "func @f(%%0 x : f32[%d,8] step) {\n", ROWS);
    for (int i = 0; i < ROWS; i++) {
        int row = backwards ? ROWS - 1 - i : i;
        base_str_addf(&s, "  %%s%d = slice %%0 {axis=0, start=%d, count=1} : f32[1,8]\n", row, row);
        base_str_addf(&s, "  %%r%d = relu %%s%d : f32[1,8]\n", row, row);
    }
    base_str_add(&s, "  return ");
    for (int i = 0; i < ROWS; i++) base_str_addf(&s, "%sy%d = %%r%d", i ? ", " : "", i, i);
    base_str_add(&s, "\n}\n");
    return s.data;
}

/* Hundreds of nodes that are alike in another order: no difference. */
static void test_many(void **state) {
    (void)state;
    char *a = many(false), *b = many(true);
    struct two t = compare(a, b);
    for (uint32_t i = 0; i <= 2 * ROWS; i++) {
        assert_true(partner(&t.p, i) >= 0);
        assert_int_equal(differs(&t.p, i), 0);
    }
    done(&t);
    base_free(a);
    base_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),  cmocka_unit_test(test_inserted), cmocka_unit_test(test_fused),
        cmocka_unit_test(test_alike), cmocka_unit_test(test_in_order), cmocka_unit_test(test_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
