/* The generator against torch 1.13's CPU generator, to the bit. */
#include "runtime/pipeline/rng.h"

#include "tests/unit/support/golden_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* mt19937 itself: the reference implementation's first word for seed 5489, and its ten-thousandth.
 */
static void generator(void **state) {
    (void)state;
    rt_rng rng;
    rt_rng_seed(&rng, 5489);
    uint32_t word = rt_rng_u32(&rng);
    assert_int_equal(word, 3499211612u);
    for (int i = 1; i < 10000; i++) word = rt_rng_u32(&rng);
    assert_int_equal(word, 4123659995u);
}

static void only_low_bits_of_the_seed_count(void **state) {
    (void)state;
    rt_rng a, b;
    rt_rng_seed(&a, 42);
    rt_rng_seed(&b, (UINT64_C(7) << 32) + 42);
    for (int i = 0; i < 700; i++) assert_int_equal(rt_rng_u32(&a), rt_rng_u32(&b));
}

static void randn_has_torchs_bits(void **state) {
    (void)state;
    golden_file g = golden_open("torch-randn.safetensors");
    static const uint64_t seeds[] = {0, 42, UINT64_C(1234567890123)};
    static const size_t sizes[] = {3, 15, 16, 17, 64, 16384};
    for (size_t s = 0; s < 3; s++) {
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            char name[64];
            snprintf(name, sizeof name, "seed%llu.n%zu", (unsigned long long)seeds[s], sizes[k]);
            size_t n;
            const float *want = golden_f32(&g, name, &n);
            assert_non_null(want);
            assert_int_equal(n, sizes[k]);
            rt_rng rng;
            rt_rng_seed(&rng, seeds[s]);
            float *got = malloc(n * sizeof *got);
            assert_non_null(got);
            rt_rng_randn(&rng, got, n);
            for (size_t i = 0; i < n; i++)
                if (memcmp(got + i, want + i, sizeof(float)) != 0)
                    fail_msg("%s[%zu]: %.9g, torch has %.9g", name, i, (double)got[i],
                             (double)want[i]);
            free(got);
        }
    }
    golden_close(&g);
}

/* The second normal of a pair is kept for the next small draw, as torch keeps it. */
static void small_draws_continue(void **state) {
    (void)state;
    rt_rng a, b;
    rt_rng_seed(&a, 9);
    rt_rng_seed(&b, 9);
    float whole[8], parts[8];
    rt_rng_randn(&a, whole, 8);
    rt_rng_randn(&b, parts, 3);
    rt_rng_randn(&b, parts + 3, 5);
    assert_memory_equal(whole, parts, sizeof whole);
    rt_rng_randn(&a, whole, 0);
    assert_int_equal(rt_rng_u32(&a), rt_rng_u32(&b));
}

static void uniform_range(void **state) {
    (void)state;
    rt_rng rng;
    rt_rng_seed(&rng, 0);
    float u[1000];
    rt_rng_uniform(&rng, -0.5f, 0.5f, u, 1000);
    /* torch: torch.empty(3).uniform_(-.5, .5, generator=torch.Generator().manual_seed(0)) */
    const float want[3] = {-0x1.eaa8p-9f, 0x1.12a8bcp-2f, -0x1.a5662cp-2f};
    for (int i = 0; i < 3; i++) assert_true(u[i] == want[i]);
    for (int i = 0; i < 1000; i++) assert_true(u[i] >= -0.5f && u[i] < 0.5f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generator),
        cmocka_unit_test(only_low_bits_of_the_seed_count),
        cmocka_unit_test(randn_has_torchs_bits),
        cmocka_unit_test(small_draws_continue),
        cmocka_unit_test(uniform_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
