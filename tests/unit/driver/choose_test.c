/* Choosing classes of precision for filters by a budget of error. */
#include "driver/quantize/choose.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { F32 = IR_PRECISION_F32, BF16 = IR_PRECISION_BF16, INT8 = IR_PRECISION_INT8 };

/* A filter whose classes take 4, 2 and 1 times `work`, and whose error in int8 is `error`, in bf16
 * a hundredth of it. */
static quant_choice filter(double work, double error) {
    quant_choice f = {.open = {[F32] = true, [BF16] = true, [INT8] = true}};
    f.cost[F32] = 4 * work;
    f.cost[BF16] = 2 * work;
    f.cost[INT8] = work;
    f.error[BF16] = error / 100;
    f.error[INT8] = error;
    return f;
}

static double cost_of(const quant_choice *f, size_t count) {
    double cost = 0;
    for (size_t i = 0; i < count; i++) cost += f[i].cost[f[i].chosen];
    return cost;
}

static double error_of(const quant_choice *f, size_t count, double floor) {
    for (size_t i = 0; i < count; i++)
        floor += f[i].chosen == IR_PRECISION_F32 ? 0 : f[i].error[f[i].chosen];
    return floor;
}

static void the_fastest_where_the_budget_is_large(void **state) {
    (void)state;
    quant_choice f[] = {filter(1, 1e-4), filter(2, 1e-3)};
    assert_true(fabs(quant_choose(f, 2, 1e-5, 1) - (1e-5 + 1.1e-3)) < 1e-12);
    assert_int_equal(f[0].chosen, INT8);
    assert_int_equal(f[1].chosen, INT8);
}

/* bf16 is the fastest where int8 has no units, and the nearer of two that are equally fast. */
static void int8_is_not_always_the_fastest(void **state) {
    (void)state;
    quant_choice f[] = {filter(1, 1e-4), filter(1, 1e-4), filter(1, 1e-4)};
    f[0].cost[INT8] = 3;
    f[1].cost[INT8] = f[1].cost[BF16];
    f[2].cost[INT8] = f[2].cost[BF16] = 5; /* than f32: neither is worth an error */
    quant_choose(f, 3, 0, 1);
    assert_int_equal(f[0].chosen, BF16);
    assert_int_equal(f[1].chosen, BF16);
    assert_int_equal(f[2].chosen, F32);
}

static void powers_add_up(void **state) {
    (void)state;
    quant_choice f[] = {filter(1, 1e-4), filter(1, 2e-4), filter(1, 4e-4)};
    const double expected = quant_choose(f, 3, 5e-5, 6e-4);
    assert_true(fabs(expected - error_of(f, 3, 5e-5)) < 1e-15);
    assert_true(expected <= 6e-4);
    assert_int_equal(f[0].chosen,
                     INT8); /* its error is too small to help; one of the others is enough */
    assert_int_equal((f[1].chosen == IR_PRECISION_INT8) + (f[2].chosen == IR_PRECISION_INT8), 1);
}

/* Of two equal errors the one that costs less time to remove goes. */
static void time_lost_by_error_removed(void **state) {
    (void)state;
    quant_choice f[] = {filter(10, 1e-3), filter(1, 1e-3)};
    quant_choose(f, 2, 0, 1.5e-3);
    assert_int_equal(f[0].chosen, INT8);
    assert_int_equal(f[1].chosen, BF16);
}

/* What was raised early is given back, when what was raised later had made room for it. */
static void room_is_given_back(void **state) {
    (void)state;
    quant_choice f[] = {filter(1, 1e-4), filter(100, 1e-2)};
    f[1].open[BF16] = false;
    assert_true(quant_choose(f, 2, 0, 5e-4) <= 5e-4);
    assert_int_equal(f[0].chosen, INT8);
    assert_int_equal(f[1].chosen, F32);
}

static void what_is_not_open_is_not_chosen(void **state) {
    (void)state;
    quant_choice f[] = {filter(1, 1e-3), filter(1, 1e-3), filter(1, 1e-3)};
    f[0].open[INT8] = false;
    f[1].open[INT8] = f[1].open[BF16] = false;
    f[2].error[INT8] = NAN; /* the result was no number */
    quant_choose(f, 3, 0, 1);
    assert_int_equal(f[0].chosen, BF16);
    assert_int_equal(f[1].chosen, F32);
    assert_int_equal(f[2].chosen, BF16);
}

static void out_of_reach(void **state) {
    (void)state;
    quant_choice f[] = {filter(1, 1e-3), filter(5, 1e-2)};
    assert_true(quant_choose(f, 2, 1e-2, 1e-4) >= 1e-2);
    assert_int_equal(f[0].chosen, F32);
    assert_int_equal(f[1].chosen, F32);
    assert_true(quant_choose(NULL, 0, 1e-2, 1) >= 1e-2);
}

/* Beside the best of all choices, for small sets drawn at random. */
static void near_the_best(void **state) {
    (void)state;
    static const int classes[] = {F32, BF16, INT8};
    uint64_t x = 7;
    for (int round = 0; round < 200; round++) {
        enum { N = 7, ALL = 2187 };
        quant_choice f[N];
        double largest = 0, best = INFINITY;
        for (int i = 0; i < N; i++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            const double work = 1 + (double)(x >> 60);
            f[i] = filter(work, pow(10, -3 - (double)(x >> 50 & 15) / 8));
            largest = fmax(largest, 3 * work);
        }
        const double budget = 2e-4;
        quant_choose(f, N, 0, budget);
        const double found = cost_of(f, N);
        assert_true(error_of(f, N, 0) <= budget);
        for (int all = 0; all < ALL; all++) {
            quant_choice g[N];
            for (int i = 0, left = all; i < N; i++, left /= 3) {
                g[i] = f[i];
                g[i].chosen = (ir_precision)classes[left % 3];
            }
            if (error_of(g, N, 0) <= budget) best = fmin(best, cost_of(g, N));
        }
        if (found > best + largest) fail_msg("round %d: %g, the best is %g", round, found, best);
    }
}

static void decibels(void **state) {
    (void)state;
    assert_true(fabs(quant_dB(1e-4) - 40) < 1e-12);
    assert_true(fabs(quant_power(40) - 1e-4) < 1e-18);
    assert_true(isinf(quant_dB(0)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fastest_where_the_budget_is_large),
        cmocka_unit_test(int8_is_not_always_the_fastest),
        cmocka_unit_test(powers_add_up),
        cmocka_unit_test(time_lost_by_error_removed),
        cmocka_unit_test(room_is_given_back),
        cmocka_unit_test(what_is_not_open_is_not_chosen),
        cmocka_unit_test(out_of_reach),
        cmocka_unit_test(near_the_best),
        cmocka_unit_test(decibels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
