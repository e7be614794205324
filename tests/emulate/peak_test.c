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

static rt_peak measured(const char *kernel, const char *level, const char *precision) {
    const struct ebru_op_desc op = {.name = "conv2d", .kernel = kernel, .flops = 100};
    const struct ebru_function_desc f = {.name = "f", .op_count = 1, .ops = &op};
    const struct ebru_meta_desc meta = {
        .key = EBRU_META_PRECISION.name, .kind = EBRU_META_KIND_STRING, .s = precision};
    const struct ebru_model model = {
        .function_count = 1, .functions = &f, .meta_count = 1, .meta = &meta};
    rt_error err;
    rt_pool *pool;
    assert_int_equal(rt_pool_new(&pool, 1, &err), RT_OK);
    rt_peak peak = rt_peak_measure(pool, &model, level);
    rt_pool_free(pool);
    assert_true(peak.gflops > 0);
    /* an op in f32 beside ops in bf16 has a roof of its own */
    assert_true(rt_peak_of(&peak, "conv2d_bf16") == peak.gflops / peak.products);
    assert_true(rt_peak_of(&peak, "conv2d") == peak.f32 && peak.f32 > 0);
    assert_true((peak.f32 == peak.gflops) == !strstr(peak.unit, "bf16"));
    assert_float_equal(rt_peak_of_function(&peak, &f), rt_peak_of(&peak, kernel), 1e-6);
    return peak;
}

static const char *unit(const char *kernel, const char *level) {
    return measured(kernel, level, "bf16").unit;
}

/* A function of two kinds takes the sum of their times; bf16x3 has three products of bf16. */
static void functions(void **state) {
    (void)state;
    const rt_peak peak = {.gflops = 200, .f32 = 100, .i8 = 400, .products = 1};
    const rt_peak thrice = {.gflops = 200, .f32 = 100, .products = 3};
    const struct ebru_op_desc ops[] = {{.kernel = "conv2d", .flops = 100},
                                       {.kernel = "conv2d_i8", .flops = 400},
                                       {.kernel = "attention_bf16", .flops = 200}};
    const struct ebru_function_desc f = {.op_count = 3, .ops = ops}, none = {.op_count = 0};
    assert_float_equal(rt_peak_of_function(&peak, &f), 700.0 / 3, 1e-9);
    assert_float_equal(rt_peak_of_function(&peak, &none), 200, 1e-9);
    assert_float_equal(rt_peak_of(&thrice, "attention_bf16"), 200.0 / 3, 1e-9);
}

/* 8-bit integers: what this machine has. */
static void bytes(void **state) {
    (void)state;
    base_cpu cpu;
    base_cpu_detect(&cpu);
    static const struct {
        int32_t isa;
        const char *level, *unit;
    } rows[] = {{EBRU_ISA_V2, "x86-64-v2", "pairs of 16 bits"},
                {EBRU_ISA_V3, "x86-64-v3", "pairs of 16 bits"},
                {EBRU_ISA_V3_VNNI, "x86-64-v3-vnni", "AVX-VNNI"},
                {EBRU_ISA_V4, "x86-64-v4", "pairs of 16 bits"},
                {EBRU_ISA_V4_VNNI, "x86-64-v4-vnni", "AVX-512 VNNI"},
                {EBRU_ISA_V4_BF16, "x86-64-v4-bf16", "AVX-512 VNNI"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!base_cpu_runs(&cpu, rows[i].isa)) continue;
        const rt_peak peak = measured("conv2d_i8", rows[i].level, "int8");
        assert_string_equal(peak.i8_unit, rows[i].unit);
        assert_true(peak.i8 > 0 && rt_peak_of(&peak, "conv2d_i8") == peak.i8);
    }
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(units), cmocka_unit_test(functions),
                                       cmocka_unit_test(bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
