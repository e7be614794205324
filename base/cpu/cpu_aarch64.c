/* AArch64: features as the kernel lists them in the auxiliary vector. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/cpu/cpu.h"

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

uint64_t base_cpu_features(void) {
    uint64_t found = 0;
#define X(ID, name, word, bit)                                                                     \
    if (getauxval(word) & (bit)) found |= BASE_CPU_FEATURE(ID);
    BASE_CPU_FEATURES(X)
#undef X
    return found;
}

bool base_cpu_permit(base_cpu *cpu, int32_t isa) {
    (void)cpu, (void)isa;
    return true;
}

void base_cpu_grantable(base_cpu *cpu) {
    (void)cpu;
}
#endif
