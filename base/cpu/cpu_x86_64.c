/* x86-64: features from CPUID and XGETBV, tile registers from the operating system. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/cpu/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *const base_cpu_level_names[BASE_CPU_HIGHEST + 1] = {
    "none", "x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4-bf16", "x86-64-v4-amx"};

enum { LEAF1_ECX, LEAF7_EBX, LEAF7_ECX, LEAF7_EDX, LEAF7_1_EAX, EXT1_ECX, REGISTERS };

/* Where CPUID reports a feature, and the XCR0 bits without which the operating system does not save
 * its registers. */
#define XCR0_AVX    0x6u
#define XCR0_AVX512 0xe6u
#define XCR0_AMX    0x60000u
static const struct {
    int feature, reg, bit;
    uint64_t xcr0;
} places[BASE_CPU_FEATURE_COUNT] = {
    {BASE_CPU_BIT_SSE3, LEAF1_ECX, 0, 0},
    {BASE_CPU_BIT_SSSE3, LEAF1_ECX, 9, 0},
    {BASE_CPU_BIT_FMA, LEAF1_ECX, 12, XCR0_AVX},
    {BASE_CPU_BIT_CX16, LEAF1_ECX, 13, 0},
    {BASE_CPU_BIT_SSE4_1, LEAF1_ECX, 19, 0},
    {BASE_CPU_BIT_SSE4_2, LEAF1_ECX, 20, 0},
    {BASE_CPU_BIT_MOVBE, LEAF1_ECX, 22, 0},
    {BASE_CPU_BIT_POPCNT, LEAF1_ECX, 23, 0},
    {BASE_CPU_BIT_OSXSAVE, LEAF1_ECX, 27, 0},
    {BASE_CPU_BIT_AVX, LEAF1_ECX, 28, XCR0_AVX},
    {BASE_CPU_BIT_F16C, LEAF1_ECX, 29, XCR0_AVX},
    {BASE_CPU_BIT_BMI1, LEAF7_EBX, 3, 0},
    {BASE_CPU_BIT_AVX2, LEAF7_EBX, 5, XCR0_AVX},
    {BASE_CPU_BIT_BMI2, LEAF7_EBX, 8, 0},
    {BASE_CPU_BIT_AVX512F, LEAF7_EBX, 16, XCR0_AVX512},
    {BASE_CPU_BIT_AVX512DQ, LEAF7_EBX, 17, XCR0_AVX512},
    {BASE_CPU_BIT_AVX512CD, LEAF7_EBX, 28, XCR0_AVX512},
    {BASE_CPU_BIT_AVX512BW, LEAF7_EBX, 30, XCR0_AVX512},
    {BASE_CPU_BIT_AVX512VL, LEAF7_EBX, 31, XCR0_AVX512},
    {BASE_CPU_BIT_AVX512VNNI, LEAF7_ECX, 11, XCR0_AVX512},
    {BASE_CPU_BIT_AMX_BF16, LEAF7_EDX, 22, XCR0_AMX},
    {BASE_CPU_BIT_AVX512FP16, LEAF7_EDX, 23, XCR0_AVX512},
    {BASE_CPU_BIT_AMX_TILE, LEAF7_EDX, 24, XCR0_AMX},
    {BASE_CPU_BIT_AMX_INT8, LEAF7_EDX, 25, XCR0_AMX},
    {BASE_CPU_BIT_AVXVNNI, LEAF7_1_EAX, 4, XCR0_AVX},
    {BASE_CPU_BIT_AVX512BF16, LEAF7_1_EAX, 5, XCR0_AVX512},
    {BASE_CPU_BIT_SAHF, EXT1_ECX, 0, 0},
    {BASE_CPU_BIT_LZCNT, EXT1_ECX, 5, 0},
};

uint64_t base_cpu_decode(const base_cpuid *raw) {
    bool leaf7 = raw->max_leaf >= 7, ext1 = raw->max_ext >= 0x80000001u;
    uint32_t registers[REGISTERS] = {
        [LEAF1_ECX] = raw->max_leaf >= 1 ? raw->leaf1_ecx : 0,
        [LEAF7_EBX] = leaf7 ? raw->leaf7_ebx : 0,
        [LEAF7_ECX] = leaf7 ? raw->leaf7_ecx : 0,
        [LEAF7_EDX] = leaf7 ? raw->leaf7_edx : 0,
        [LEAF7_1_EAX] = leaf7 ? raw->leaf7_1_eax : 0,
        [EXT1_ECX] = ext1 ? raw->ext1_ecx : 0,
    };
    bool xsave = registers[LEAF1_ECX] >> 27 & 1;
    uint64_t saved = xsave ? raw->xcr0 : 0, found = 0;
    for (int i = 0; i < BASE_CPU_FEATURE_COUNT; i++)
        if ((registers[places[i].reg] >> places[i].bit & 1) &&
            (saved & places[i].xcr0) == places[i].xcr0)
            found |= UINT64_C(1) << places[i].feature;
    return found;
}

static uint64_t read_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

uint64_t base_cpu_features(void) {
    base_cpuid raw = {0};
    uint32_t a, b, c, d;
    raw.max_leaf = __get_cpuid_max(0, NULL);
    raw.max_ext = __get_cpuid_max(0x80000000u, NULL);
    if (__get_cpuid(1, &a, &b, &c, &d)) {
        raw.leaf1_ecx = c;
        raw.leaf1_edx = d;
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        raw.leaf7_ebx = b;
        raw.leaf7_ecx = c;
        raw.leaf7_edx = d;
        if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) raw.leaf7_1_eax = a;
    }
    if (__get_cpuid(0x80000001u, &a, &b, &c, &d)) raw.ext1_ecx = c;
    if (raw.leaf1_ecx >> 27 & 1) raw.xcr0 = read_xcr0();
    return base_cpu_decode(&raw);
}

bool base_cpu_permit(base_cpu *cpu, int level) {
    if (level < BASE_CPU_V4_AMX) return true;
    enum { REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 }; /* XCR0's bit of the tiles */
    if (syscall(SYS_arch_prctl, REQ_XCOMP_PERM, TILE_DATA) == 0) return true;
    cpu->features &= ~(UINT64_C(1) << BASE_CPU_BIT_AMX_TILE | UINT64_C(1) << BASE_CPU_BIT_AMX_BF16 |
                       UINT64_C(1) << BASE_CPU_BIT_AMX_INT8);
    cpu->level = base_cpu_level_of(cpu->features);
    return false;
}
#endif
