/* Features, not names: each level's own bits. The compiler's run-time check reads CPUID and XGETBV
 * for those it knows; the tile registers are younger than the compilers that build us. */
#include "codegen/target/host.h"

#include "runtime/abi/kernel_abi.h"

#include <stdbool.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Tile data is a state a process asks the kernel for (ARCH_GET_XCOMP_SUPP: what it may ask for). */
static bool system_grants_tiles(void) {
    enum { GET_XCOMP_SUPP = 0x1021 };
    const uint64_t tiles = UINT64_C(3) << 17; /* XCR0's bits of tile configuration and data */
    uint64_t granted = 0;
    return syscall(SYS_arch_prctl, GET_XCOMP_SUPP, &granted) == 0 && (granted & tiles) == tiles;
}

static bool has_amx(void) {
    uint32_t a, b, c, d;
    const uint32_t bf16_and_tile = 1u << 22 | 1u << 24;
    bool cpu = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & bf16_and_tile) == bf16_and_tile;
    return cpu && system_grants_tiles();
}

static bool has_avx512_bf16(void) {
    uint32_t a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && a >= 1 &&
           __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
}

int32_t cg_host_level(void) {
    __builtin_cpu_init();
    bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt") &&
              __builtin_cpu_supports("ssse3");
    bool v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
              __builtin_cpu_supports("bmi2");
    bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512vl");
    bool bf16 = v4 && has_avx512_bf16(); /* the registers are AVX-512's: the system saves them */
    return bf16 && has_amx() ? EBRU_ISA_V4_AMX
           : bf16            ? EBRU_ISA_V4_BF16
           : v4              ? EBRU_ISA_V4
           : v3              ? EBRU_ISA_V3
           : v2              ? EBRU_ISA_V2
                             : 0;
}
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

int32_t cg_host_level(void) {
    return getauxval(AT_HWCAP2) & HWCAP2_BF16 ? EBRU_ISA_NEON_BF16 : EBRU_ISA_NEON;
}
#endif
