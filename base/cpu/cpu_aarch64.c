/* AArch64: features as the kernel lists them in the auxiliary vector. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/cpu/cpu.h"

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

const char *const rt_cpu_level_names[RT_CPU_HIGHEST + 1] = {"none", "armv8-a", "armv8-a+bf16"};

uint64_t rt_cpu_features(void) {
    static const struct {
        int feature;
        unsigned long word, bit;
    } places[RT_CPU_FEATURE_COUNT] = {
        {RT_CPU_BIT_ASIMD, AT_HWCAP, HWCAP_ASIMD}, {RT_CPU_BIT_ASIMDDP, AT_HWCAP, HWCAP_ASIMDDP},
        {RT_CPU_BIT_SVE, AT_HWCAP, HWCAP_SVE},     {RT_CPU_BIT_BF16, AT_HWCAP2, HWCAP2_BF16},
        {RT_CPU_BIT_I8MM, AT_HWCAP2, HWCAP2_I8MM},
    };
    uint64_t found = 0;
    for (int i = 0; i < RT_CPU_FEATURE_COUNT; i++)
        if (getauxval(places[i].word) & places[i].bit) found |= UINT64_C(1) << places[i].feature;
    return found;
}

bool rt_cpu_permit(rt_cpu *cpu, int level) {
    (void)cpu, (void)level;
    return true;
}
#endif
