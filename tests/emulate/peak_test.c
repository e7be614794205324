/* The measured roof is of the unit that multiplies: FMA for f32 at every level, the units for bf16
 * where a program has bf16 kernels. Their loops run here by the emulator where the CPU cannot. */
#include "runtime/engine/engine.h"
#include "tests/emulate/emulate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *unit(const char *kernel, const char *level) {
    const struct ebru_op_desc op = {.name = "conv2d", .kernel = kernel};
    const struct ebru_function_desc f = {.name = "f", .op_count = 1, .ops = &op};
    const struct ebru_model model = {.function_count = 1, .functions = &f};
    rt_error err;
    rt_pool *pool;
    assert_int_equal(rt_pool_new(&pool, 1, &err), RT_OK);
    rt_peak peak = rt_peak_measure(pool, &model, level);
    rt_pool_free(pool);
    assert_true(peak.gflops > 0);
    /* an op in f32 beside ops in bf16 has a roof of its own */
    assert_true(rt_peak_of(&peak, "conv2d_bf16") == peak.gflops);
    assert_true(rt_peak_of(&peak, "conv2d") == peak.f32 && peak.f32 > 0);
    assert_true((peak.f32 == peak.gflops) == !strcmp(peak.unit, "FMA"));
    return peak.unit;
}

static void units(void **state) {
    (void)state;
    base_cpu cpu;
    base_cpu_detect(&cpu);
    if (!base_cpu_runs(&cpu, EBRU_ISA_V4) || !emulate_install()) skip();
    base_cpu_permit(&cpu, EBRU_ISA_V4_AMX);
    assert_string_equal(unit("conv2d", "x86-64-v4"), "FMA");
    assert_string_equal(unit("conv2d", "x86-64-v4-amx"), "FMA");
    assert_string_equal(unit("conv2d_bf16", "x86-64-v4"), "FMA");
    assert_string_equal(unit("conv2d_bf16", "x86-64-v3"), "FMA");
    uint64_t before = emulate_count(EM_VDPBF16PS);
    assert_string_equal(unit("conv2d_bf16", "x86-64-v4-bf16"), "AVX-512 bf16");
    assert_true(base_cpu_runs(&cpu, EBRU_ISA_V4_BF16) || emulate_count(EM_VDPBF16PS) > before);
    if (!base_cpu_runs(&cpu, EBRU_ISA_V4_AMX) && !emulate_tiles()) return;
    before = emulate_count(EM_TDPBF16PS);
    assert_string_equal(unit("feed_forward_bf16", "x86-64-v4-amx"), "AMX bf16");
    assert_true(base_cpu_runs(&cpu, EBRU_ISA_V4_AMX) || emulate_count(EM_TDPBF16PS) > before);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(units)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
