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

static int32_t level(const base_cpuid *raw) {
    return base_cpu_best(base_cpu_decode(raw));
}

static void levels(void **state) {
    (void)state;
    base_cpuid raw = everything();
    assert_int_equal(base_cpu_decode(&raw), (UINT64_C(1) << BASE_CPU_FEATURE_COUNT) - 1);
    assert_int_equal(level(&raw), EBRU_ISA_V4_AMX);
    raw.leaf7_edx &= ~(1u << 25); /* AMX-INT8 */
    assert_int_equal(level(&raw), EBRU_ISA_V4_BF16);
    raw = everything();
    raw.leaf7_edx &= ~(1u << 22); /* AMX-BF16 */
    assert_int_equal(level(&raw), EBRU_ISA_V4_BF16);
    raw.leaf7_1_eax &= ~(1u << 5); /* AVX512-BF16 */
    assert_int_equal(level(&raw), EBRU_ISA_V4_VNNI);
    raw.leaf7_ecx &= ~(1u << 11); /* AVX512-VNNI */
    assert_int_equal(level(&raw), EBRU_ISA_V4);
    raw.leaf7_ebx &= ~(1u << 31); /* AVX512VL */
    assert_int_equal(level(&raw), EBRU_ISA_V3_VNNI);
    raw.leaf7_1_eax &= ~(1u << 4); /* AVX-VNNI */
    assert_int_equal(level(&raw), EBRU_ISA_V3);
    raw.leaf1_ecx &= ~(1u << 12); /* FMA */
    assert_int_equal(level(&raw), EBRU_ISA_V2);
    raw.leaf1_ecx &= ~(1u << 20); /* SSE4.2 */
    assert_int_equal(level(&raw), EBRU_ISA_NONE);
    memset(&raw, 0, sizeof raw);
    assert_int_equal(level(&raw), EBRU_ISA_NONE);
}

/* What the CPU has but the operating system does not save is not there. */
static void the_system_must_save_registers(void **state) {
    (void)state;
    base_cpuid raw = everything();
    raw.xcr0 = 0x7; /* no AVX-512 state */
    assert_int_equal(level(&raw), EBRU_ISA_V3_VNNI);
    uint64_t f = base_cpu_decode(&raw);
    assert_false(f >> BASE_CPU_BIT_AVX512VNNI & 1);
    assert_false(f >> BASE_CPU_BIT_AMX_TILE & 1);
    assert_true(f >> BASE_CPU_BIT_AVXVNNI & 1);
    raw.xcr0 = 0x67; /* one of the three parts of the AVX-512 state is missing */
    assert_int_equal(level(&raw), EBRU_ISA_V3_VNNI);
    raw.xcr0 = 0xe7;
    assert_int_equal(level(&raw), EBRU_ISA_V4_BF16);
    assert_false(base_cpu_decode(&raw) >> BASE_CPU_BIT_AMX_BF16 & 1);
    raw.xcr0 = 0x200e7; /* tile configuration without tile data */
    assert_int_equal(level(&raw), EBRU_ISA_V4_BF16);
    raw.xcr0 = 0x600e7;
    assert_int_equal(level(&raw), EBRU_ISA_V4_AMX);
    assert_true(base_cpu_decode(&raw) >> BASE_CPU_BIT_AMX_BF16 & 1);
    raw.xcr0 = 0x1;
    assert_int_equal(level(&raw), EBRU_ISA_V2);
    raw = everything();
    raw.leaf1_ecx &= ~(1u << 27); /* OSXSAVE: XCR0 means nothing then */
    assert_int_equal(level(&raw), EBRU_ISA_V2);
}

static void leaves_that_do_not_exist(void **state) {
    (void)state;
    base_cpuid raw = everything();
    raw.max_leaf = 6;
    assert_int_equal(level(&raw), EBRU_ISA_V2); /* LAHF comes from the extended leaves */
    raw.max_ext = 0x80000000u;
    assert_int_equal(level(&raw), EBRU_ISA_NONE);
}

static base_cpu cpu_of(const base_cpuid *raw) {
    base_cpu cpu = {.features = base_cpu_decode(raw)};
    cpu.isa = base_cpu_best(cpu.features);
    return cpu;
}

static void missing_features_are_named(void **state) {
    (void)state;
    char text[200];
    base_cpuid raw = everything();
    raw.leaf7_ebx &= ~(1u << 16 | 1u << 31);
    base_cpu cpu = cpu_of(&raw);
    assert_int_equal(base_cpu_missing(&cpu, EBRU_ISA_V4, text, sizeof text), 2);
    assert_string_equal(text, "avx512f, avx512vl");
    assert_int_equal(base_cpu_missing(&cpu, EBRU_ISA_V3, text, sizeof text), 0);
    assert_string_equal(text, "");
    assert_int_equal(base_cpu_missing(&cpu, EBRU_ISA_V4, text, 6), 2);
    assert_string_equal(text, "avx51");
    assert_int_equal(base_cpu_missing(&cpu, EBRU_ISA_V4, NULL, 0), 2);
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
    assert_int_equal(base_cpu_best(cpu.features), EBRU_ISA_V4_BF16);
    assert_int_equal(rt_cpu_force_level(&cpu, "x86-64-v4-amx", &err), RT_ERR_CPU);
    assert_non_null(strstr(
        err.message, "up to x86-64-v4-bf16, not x86-64-v4-amx (amx-tile, amx-bf16, amx-int8)"));
    assert_int_equal(rt_cpu_force_level(&cpu, "x86-64-v4", &err), RT_OK);
    assert_int_equal(base_cpu_best(cpu.features), EBRU_ISA_V4);
    assert_int_equal(rt_cpu_force_level(&cpu, "x86-64-v3", &err), RT_OK);
    assert_int_equal(cpu.isa, EBRU_ISA_V3);
    assert_int_equal(base_cpu_best(cpu.features), EBRU_ISA_V3);
    assert_false(BASE_CPU_HAS(&cpu, AVX512F));
    assert_false(BASE_CPU_HAS(&cpu, AMX_BF16));
    assert_int_equal(rt_cpu_force_level(&cpu, "x86-64-v4", &err), RT_ERR_CPU); /* never upwards */
    assert_non_null(strstr(err.message, "up to x86-64-v3"));
    assert_int_equal(rt_cpu_force_level(&cpu, "x86-64", &err), RT_ERR_USAGE); /* nobody's code */
    assert_ptr_equal(strstr(err.message, "unknown CPU level 'x86-64' (x86-64-v2, x86-64-v3,"),
                     err.message);
}

/* The tile registers are there only with the system's permission: granted exactly where the CPU has
 * them. */
static void tiles_need_permission(void **state) {
    (void)state;
    base_cpu here, cpu;
    base_cpu_detect(&here);
    cpu = here;
    assert_true(base_cpu_permit(&cpu, EBRU_ISA_V4_BF16)); /* nothing to ask for */
    assert_int_equal(cpu.features, here.features);
    base_cpuid raw = everything();
    cpu = cpu_of(&raw);
    if (here.isa == EBRU_ISA_V4_AMX) {
        assert_true(base_cpu_permit(&cpu, EBRU_ISA_V4_AMX));
        return;
    }
    assert_false(base_cpu_permit(&cpu, EBRU_ISA_V4_AMX));
    assert_int_equal(cpu.isa, EBRU_ISA_V4_BF16);
    assert_false(BASE_CPU_HAS(&cpu, AMX_TILE));
}

/* Whoever only asks what may be used does not get it, and asks for nothing. */
static void tiles_are_known_to_be_granted(void **state) {
    (void)state;
    base_cpuid raw = everything();
    base_cpu cpu = cpu_of(&raw), asked = cpu;
    base_cpu_grantable(&cpu);
    const bool granted = base_cpu_permit(&asked, EBRU_ISA_V4_AMX);
    assert_int_equal(BASE_CPU_HAS(&cpu, AMX_TILE), granted);
    assert_int_equal(cpu.isa, granted ? EBRU_ISA_V4_AMX : EBRU_ISA_V4_BF16);
}

/* A level needs what the one it extends needs, and is told from all others by what it needs. */
static void needs(void **state) {
    (void)state;
    static const int32_t below[EBRU_ISA_COUNT] = {
#define ROW(a, ID, suffix, name, PLAIN, plain, FORM, lanes, l1, l2, cpu, beyond, flags, BELOW,     \
            features)                                                                              \
    [EBRU_ISA_##ID] = EBRU_ISA_##BELOW,
        EBRU_LEVELS(ROW, ROW, 0)
#undef ROW
    };
#define ROW(a, ID, ...) EBRU_ISA_##ID,
    static const int32_t here[] = {EBRU_LEVELS_HERE(ROW, ROW, 0)};
#undef ROW
    for (size_t i = 0; i < EBRU_LEVEL_COUNT_HERE; i++) {
        const uint64_t needed = base_isa_needs(here[i]), under = base_isa_needs(below[here[i]]);
        assert_true(needed != under && (under & ~needed) == 0);
        assert_int_equal(base_cpu_best(needed), here[i]);
    }
    const base_cpu all = {.features = ~UINT64_C(0)};
    assert_true(base_cpu_runs(&all, EBRU_ISA_V4_AMX));
    assert_false(base_cpu_runs(&all, EBRU_ISA_NONE));
    assert_false(base_cpu_runs(&all, EBRU_ISA_NEON));
}

/* "avx512bf16, amx-tile" with `before` in front of each and `after` behind all but the last. */
static void joined(const char *list, const char *before, const char *after, char *to, size_t size) {
    char copy[200], *rest = copy;
    size_t used = 0;
    snprintf(copy, sizeof copy, "%s", list);
    to[0] = 0;
    for (char *name; (name = strtok_r(rest, ", ", &rest));)
        used += (size_t)snprintf(to + used, size - used, "%s%s%s", used ? after : "", before, name);
}

/* A row of levels.def says three times what its level has beyond the CPU that LLVM starts from: the
 * features that detection looks for, LLVM's and clang's. */
static void the_columns_of_a_row_agree(void **state) {
    (void)state;
    static const struct {
        int32_t isa;
        const char *cpu, *beyond, *flags;
    } rows[] = {
#define ROW(a, ID, suffix, name, PLAIN, plain, FORM, lanes, l1, l2, cpu, beyond, flags, ...)       \
    {EBRU_ISA_##ID, cpu, beyond, flags},
        EBRU_LEVELS_x86_64(ROW, ROW, 0)
#undef ROW
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const int32_t from = base_isa_by_name(rows[i].cpu);
        const base_cpu cpu = {.features = base_isa_needs(from), .isa = from};
        char missing[200], expected[200], options[200], flags[300];
        assert_int_not_equal(from, EBRU_ISA_NONE);
        base_cpu_missing(&cpu, rows[i].isa, missing, sizeof missing);
        joined(missing, "+", ",", expected, sizeof expected);
        assert_string_equal(rows[i].beyond, expected);
        joined(missing, " -m", "", options, sizeof options);
        snprintf(flags, sizeof flags, "-march=%s%s", rows[i].cpu, options);
        assert_string_equal(rows[i].flags, flags);
    }
}

static void names(void **state) {
    (void)state;
    for (int32_t isa = EBRU_ISA_V2; isa < EBRU_ISA_COUNT; isa++)
        assert_int_equal(base_isa_by_name(base_isa_name(isa)), isa);
    assert_int_equal(base_isa_by_name("none"), EBRU_ISA_NONE);
    assert_int_equal(base_isa_by_name("armv8-a"), EBRU_ISA_NONE); /* not of this machine */
    assert_string_equal(base_isa_name(EBRU_ISA_NEON), "armv8-a");
    assert_string_equal(base_isa_name(EBRU_ISA_NONE), "none");
    assert_string_equal(base_isa_name(99), "none");
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

/* Writes cpu0/cache/indexI/NAME. */
static void put_cache(int index, const char *name, const char *text) {
    char path[600];
    snprintf(path, sizeof path, "%s/cpu0", temp_shared()->path);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/cpu0/cache", temp_shared()->path);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/cpu0/cache/index%d", temp_shared()->path, index);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/cpu0/cache/index%d/%s", temp_shared()->path, index, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void caches(void **state) {
    (void)state;
    static const char *const rows[][3] = {{"Data\n", "1\n", "48K\n"},
                                          {"Instruction\n", "1\n", "64K\n"},
                                          {"Unified\n", "2\n", "2048K\n"},
                                          {"Unified\n", "3\n", "32M\n"}};
    const char *root = temp_shared()->path;
    base_cpu cpu = {.l3 = 7};
    assert_false(base_cpu_caches("/nonexistent", 0, &cpu));
    assert_false(base_cpu_caches(root, 1000, &cpu));
    assert_int_equal(cpu.l3, 7);
    for (int i = 0; i < 4; i++) {
        put_cache(i, "type", rows[i][0]);
        put_cache(i, "level", rows[i][1]);
        put_cache(i, "size", rows[i][2]);
    }
    assert_true(base_cpu_caches(root, 0, &cpu));
    assert_int_equal(cpu.l1d, 48 << 10);
    assert_int_equal(cpu.l2, 2 << 20);
    assert_int_equal(cpu.l3, 32 << 20);
    put_cache(3, "size", "many\n");
    assert_true(base_cpu_caches(root, 0, &cpu));
    assert_int_equal(cpu.l3, 0);
    put_cache(0, "size", "-1K\n");
    assert_false(base_cpu_caches(root, 0, &cpu));
}

static void this_machine(void **state) {
    (void)state;
    base_cpu cpu;
    base_cpu_detect(&cpu);
#if defined(__x86_64__)
    assert_true(cpu.isa == EBRU_ISA_NONE || cpu.isa >= EBRU_ISA_V2);
#if defined(__GNUC__) && !defined(__clang__)
    __builtin_cpu_init();
    assert_int_equal(BASE_CPU_HAS(&cpu, AVX2), __builtin_cpu_supports("avx2") != 0);
    assert_int_equal(BASE_CPU_HAS(&cpu, AVX512F), __builtin_cpu_supports("avx512f") != 0);
    assert_int_equal(base_cpu_runs(&cpu, EBRU_ISA_V3), __builtin_cpu_supports("x86-64-v3") != 0);
    assert_int_equal(base_cpu_runs(&cpu, EBRU_ISA_V4), __builtin_cpu_supports("x86-64-v4") != 0);
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
        cmocka_unit_test(tiles_are_known_to_be_granted),
        cmocka_unit_test(needs),
        cmocka_unit_test(the_columns_of_a_row_agree),
        cmocka_unit_test(names),
        cmocka_unit_test(cores),
        cmocka_unit_test(caches),
        cmocka_unit_test(this_machine),
    };
    return cmocka_run_group_tests(tests, temp_shared_begin, temp_shared_end);
}
