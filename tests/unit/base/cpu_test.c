/* Feature decoding on made-up CPUs, levels, cores, and sanity of what this machine says. */
#include "runtime/engine/cpu_level.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/support/temp_dir.h"

/* A CPU that reports everything, under a system that saves everything. */
static base_cpuid everything(void) {
    return (base_cpuid){.max_leaf = 0x20,
                        .max_ext = 0x80000008u,
                        .leaf1_ecx = ~0u,
                        .leaf1_edx = ~0u,
                        .leaf7_ebx = ~0u,
                        .leaf7_ecx = ~0u,
                        .leaf7_edx = ~0u,
                        .leaf7_1_eax = ~0u,
                        .ext1_ecx = ~0u,
                        .xcr0 = ~UINT64_C(0)};
}

static int level(const base_cpuid *raw) {
    return base_cpu_level_of(base_cpu_decode(raw));
}

static void levels(void **state) {
    (void)state;
    base_cpuid raw = everything();
    assert_int_equal(base_cpu_decode(&raw), (UINT64_C(1) << BASE_CPU_FEATURE_COUNT) - 1);
    assert_int_equal(level(&raw), 6);
    raw.leaf7_edx &= ~(1u << 22); /* AMX-BF16 */
    assert_int_equal(level(&raw), 5);
    raw.leaf7_1_eax &= ~(1u << 5); /* AVX512-BF16 */
    assert_int_equal(level(&raw), 4);
    raw.leaf7_ebx &= ~(1u << 31); /* AVX512VL */
    assert_int_equal(level(&raw), 3);
    raw.leaf1_ecx &= ~(1u << 12); /* FMA */
    assert_int_equal(level(&raw), 2);
    raw.leaf1_ecx &= ~(1u << 20); /* SSE4.2 */
    assert_int_equal(level(&raw), 1);
    memset(&raw, 0, sizeof raw);
    assert_int_equal(level(&raw), 1);
}

/* What the CPU has but the operating system does not save is not there. */
static void the_system_must_save_registers(void **state) {
    (void)state;
    base_cpuid raw = everything();
    raw.xcr0 = 0x7; /* no AVX-512 state */
    assert_int_equal(level(&raw), 3);
    uint64_t f = base_cpu_decode(&raw);
    assert_false(f >> BASE_CPU_BIT_AVX512VNNI & 1);
    assert_false(f >> BASE_CPU_BIT_AMX_TILE & 1);
    assert_true(f >> BASE_CPU_BIT_AVXVNNI & 1);
    raw.xcr0 = 0x67; /* one of the three parts of the AVX-512 state is missing */
    assert_int_equal(level(&raw), 3);
    raw.xcr0 = 0xe7;
    assert_int_equal(level(&raw), 5);
    assert_false(base_cpu_decode(&raw) >> BASE_CPU_BIT_AMX_BF16 & 1);
    raw.xcr0 = 0x200e7; /* tile configuration without tile data */
    assert_int_equal(level(&raw), 5);
    raw.xcr0 = 0x600e7;
    assert_int_equal(level(&raw), 6);
    assert_true(base_cpu_decode(&raw) >> BASE_CPU_BIT_AMX_BF16 & 1);
    raw.xcr0 = 0x1;
    assert_int_equal(level(&raw), 2);
    raw = everything();
    raw.leaf1_ecx &= ~(1u << 27); /* OSXSAVE: XCR0 means nothing then */
    assert_int_equal(level(&raw), 2);
}

static void leaves_that_do_not_exist(void **state) {
    (void)state;
    base_cpuid raw = everything();
    raw.max_leaf = 6;
    assert_int_equal(level(&raw), 2); /* LAHF comes from the extended leaves */
    raw.max_ext = 0x80000000u;
    assert_int_equal(level(&raw), 1);
}

static base_cpu cpu_of(const base_cpuid *raw) {
    base_cpu cpu = {.features = base_cpu_decode(raw)};
    cpu.level = base_cpu_level_of(cpu.features);
    return cpu;
}

static void missing_features_are_named(void **state) {
    (void)state;
    char text[200];
    base_cpuid raw = everything();
    raw.leaf7_ebx &= ~(1u << 16 | 1u << 31);
    base_cpu cpu = cpu_of(&raw);
    assert_int_equal(base_cpu_missing(&cpu, 4, text, sizeof text), 2);
    assert_string_equal(text, "avx512f, avx512vl");
    assert_int_equal(base_cpu_missing(&cpu, 3, text, sizeof text), 0);
    assert_string_equal(text, "");
    assert_int_equal(base_cpu_missing(&cpu, 4, text, 6), 2);
    assert_string_equal(text, "avx51");
    assert_int_equal(base_cpu_missing(&cpu, 4, NULL, 0), 2);
}

static void forcing_a_level(void **state) {
    (void)state;
    rt_error err = {""};
    base_cpuid raw = everything();
    base_cpu cpu = cpu_of(&raw);
    assert_int_equal(rt_cpu_force_level(&cpu, "x86-64-v9", &err), RT_ERR_USAGE);
    assert_int_equal(rt_cpu_force_level(&cpu, "x86-64-v4-amx", &err), RT_OK);
    assert_true(BASE_CPU_HAS(&cpu, AMX_BF16));
    assert_int_equal(rt_cpu_force_level(&cpu, "x86-64-v4-bf16", &err), RT_OK);
    assert_int_equal(base_cpu_level_of(cpu.features), 5);
    assert_int_equal(rt_cpu_force_level(&cpu, "x86-64-v4-amx", &err), RT_ERR_CPU);
    assert_non_null(
        strstr(err.message, "up to x86-64-v4-bf16, not x86-64-v4-amx (amx-tile, amx-bf16)"));
    assert_int_equal(rt_cpu_force_level(&cpu, "x86-64-v4", &err), RT_OK);
    assert_int_equal(base_cpu_level_of(cpu.features), 4);
    assert_int_equal(rt_cpu_force_level(&cpu, "x86-64-v3", &err), RT_OK);
    assert_int_equal(cpu.level, 3);
    assert_int_equal(base_cpu_level_of(cpu.features), 3);
    assert_false(BASE_CPU_HAS(&cpu, AVX512F));
    assert_false(BASE_CPU_HAS(&cpu, AMX_BF16));
    assert_int_equal(rt_cpu_force_level(&cpu, "x86-64-v4", &err), RT_ERR_CPU); /* never upwards */
    assert_non_null(strstr(err.message, "up to x86-64-v3"));
    assert_int_equal(rt_cpu_force_level(&cpu, "x86-64", &err), RT_OK);
    assert_int_equal(cpu.features, 0);
}

/* The tile registers are there only with the system's permission: granted exactly where the CPU has
 * them. */
static void tiles_need_permission(void **state) {
    (void)state;
    base_cpu here, cpu;
    base_cpu_detect(&here);
    cpu = here;
    assert_true(base_cpu_permit(&cpu, BASE_CPU_V4_BF16)); /* nothing to ask for */
    assert_int_equal(cpu.features, here.features);
    base_cpuid raw = everything();
    cpu = cpu_of(&raw);
    if (here.level == BASE_CPU_V4_AMX) {
        assert_true(base_cpu_permit(&cpu, BASE_CPU_V4_AMX));
        return;
    }
    assert_false(base_cpu_permit(&cpu, BASE_CPU_V4_AMX));
    assert_int_equal(cpu.level, BASE_CPU_V4_BF16);
    assert_false(BASE_CPU_HAS(&cpu, AMX_TILE));
}

static void names(void **state) {
    (void)state;
    for (int i = 1; i <= BASE_CPU_HIGHEST; i++)
        assert_int_equal(base_cpu_level_by_name(base_cpu_level_name(i)), i);
    assert_int_equal(base_cpu_level_by_name("none"), 0);
    assert_string_equal(base_cpu_level_name(0), "none");
    assert_string_equal(base_cpu_level_name(99), "none");
}

/* ---- cores ---- */

static void put_siblings(int cpu, const char *text) {
    char path[1024];
    snprintf(path, sizeof path, "%s/cpu%d", temp_shared()->path, cpu);
    assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
    snprintf(path, sizeof path, "%s/cpu%d/topology", temp_shared()->path, cpu);
    assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
    snprintf(path, sizeof path, "%s/cpu%d/topology/thread_siblings_list", temp_shared()->path, cpu);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void cores(void **state) {
    (void)state;
    assert_int_equal(base_cpu_physical_cores(temp_shared()->path, 8, NULL), 0);
    put_siblings(0, "0,4\n");
    put_siblings(1, "1,5\n");
    put_siblings(4, "0,4\n");
    put_siblings(5, "1,5\n");
    put_siblings(6, "6-7\n");
    put_siblings(7, "6-7\n");
    assert_int_equal(base_cpu_physical_cores(temp_shared()->path, 8, NULL),
                     3); /* 2 and 3 are offline */
    bool allowed[8] = {true, false, false, false, true, true};
    assert_int_equal(base_cpu_physical_cores(temp_shared()->path, 8, allowed), 2);
    allowed[2] = true; /* allowed but unknown: no answer is better than a wrong one */
    assert_int_equal(base_cpu_physical_cores(temp_shared()->path, 8, allowed), 0);
    allowed[2] = false;
    static const char *const bad[] = {"", "x", "-1", "9999999999", "4", "0;4", "7,0"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_siblings(0, bad[i]);
        assert_int_equal(base_cpu_physical_cores(temp_shared()->path, 8, allowed), 0);
    }
    assert_int_equal(base_cpu_physical_cores(temp_shared()->path, 0, NULL), 0);
    assert_int_equal(base_cpu_physical_cores("/nonexistent", 8, NULL), 0);
}

static void this_machine(void **state) {
    (void)state;
    base_cpu cpu;
    base_cpu_detect(&cpu);
#if defined(__x86_64__)
    assert_in_range(cpu.level, 1, BASE_CPU_HIGHEST);
#if defined(__GNUC__) && !defined(__clang__)
    __builtin_cpu_init();
    assert_int_equal(BASE_CPU_HAS(&cpu, AVX2), __builtin_cpu_supports("avx2") != 0);
    assert_int_equal(BASE_CPU_HAS(&cpu, AVX512F), __builtin_cpu_supports("avx512f") != 0);
    assert_int_equal(cpu.level >= 3, __builtin_cpu_supports("x86-64-v3") != 0);
    assert_int_equal(cpu.level >= 4, __builtin_cpu_supports("x86-64-v4") != 0);
#endif
#endif
    assert_true(cpu.logical_cpus >= 1);
    assert_true(cpu.physical_cores <= cpu.logical_cpus);
    assert_true(cpu.l1d == 0 || (cpu.l1d >= 4096 && cpu.l1d <= cpu.l2));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels),
        cmocka_unit_test(the_system_must_save_registers),
        cmocka_unit_test(leaves_that_do_not_exist),
        cmocka_unit_test(missing_features_are_named),
        cmocka_unit_test(forcing_a_level),
        cmocka_unit_test(tiles_need_permission),
        cmocka_unit_test(names),
        cmocka_unit_test(cores),
        cmocka_unit_test(this_machine),
    };
    return cmocka_run_group_tests(tests, temp_shared_begin, temp_shared_end);
}
