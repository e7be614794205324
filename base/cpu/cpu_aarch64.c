/* AArch64: features as the kernel lists them in the auxiliary vector. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/cpu/cpu.h"

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

const char *const base_cpu_level_names[BASE_CPU_HIGHEST + 1] = {"none", "armv8-a", "armv8-a+bf16"};

uint64_t base_cpu_features(void) {
    static const struct {
        int feature;
        unsigned long word, bit;
    } places[BASE_CPU_FEATURE_COUNT] = {
        {BASE_CPU_BIT_ASIMD, AT_HWCAP, HWCAP_ASIMD},
        {BASE_CPU_BIT_ASIMDDP, AT_HWCAP, HWCAP_ASIMDDP},
        {BASE_CPU_BIT_SVE, AT_HWCAP, HWCAP_SVE},
        {BASE_CPU_BIT_BF16, AT_HWCAP2, HWCAP2_BF16},
        {BASE_CPU_BIT_I8MM, AT_HWCAP2, HWCAP2_I8MM},
    };
    uint64_t found = 0;
    for (int i = 0; i < BASE_CPU_FEATURE_COUNT; i++)
        if (getauxval(places[i].word) & places[i].bit) found |= UINT64_C(1) << places[i].feature;
    return found;
}

bool base_cpu_permit(base_cpu *cpu, int level) {
    (void)cpu, (void)level;
    return true;
}
#endif
