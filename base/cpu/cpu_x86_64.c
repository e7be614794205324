/* x86-64: features from CPUID and XGETBV, tile registers from the operating system. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/cpu/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LEAF1_ECX, LEAF7_EBX, LEAF7_ECX, LEAF7_EDX, LEAF7_1_EAX, EXT1_ECX, REGISTERS };

/* Bits of XCR0: the registers that the operating system saves. */
#define XCR0_NONE   0x0u
#define XCR0_AVX    0x6u
#define XCR0_AVX512 0xe6u
#define XCR0_AMX    0x60000u

/* Where CPUID reports a feature, and the XCR0 bits that must be there. */
static const struct {
    int reg, bit;
    uint64_t xcr0;
} places[BASE_CPU_FEATURE_COUNT] = {
#define X(ID, name, reg, bit, saved) {reg, bit, XCR0_##saved},
    BASE_CPU_FEATURES(X)
#undef X
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
            found |= UINT64_C(1) << i;
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

/* ---- the tile unit ---- */

enum { GET_XCOMP_SUPP = 0x1021, REQ_XCOMP_PERM = 0x1023 }; /* of arch_prctl */
enum { TILE_DATA = 18 };                                   /* XCR0's bit of the tiles */

static void lose_tiles(base_cpu *cpu) {
    cpu->features &=
        ~(BASE_CPU_FEATURE(AMX_TILE) | BASE_CPU_FEATURE(AMX_BF16) | BASE_CPU_FEATURE(AMX_INT8));
    cpu->isa = base_cpu_best(cpu->features);
}

bool base_cpu_permit(base_cpu *cpu, int32_t isa) {
    if (!(base_isa_needs(isa) & BASE_CPU_FEATURE(AMX_TILE))) return true;
    if (syscall(SYS_arch_prctl, REQ_XCOMP_PERM, TILE_DATA) == 0) return true;
    lose_tiles(cpu);
    return false;
}

void base_cpu_grantable(base_cpu *cpu) {
    uint64_t granted = 0;
    if (syscall(SYS_arch_prctl, GET_XCOMP_SUPP, &granted) != 0 || (granted & XCR0_AMX) != XCR0_AMX)
        lose_tiles(cpu);
}
#endif
