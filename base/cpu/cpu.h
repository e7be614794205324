/* What this CPU and this operating system can run: by features, never by name. */
#ifndef EBRU_BASE_CPU_CPU_H
#define EBRU_BASE_CPU_CPU_H

#include "base/cpu/isa.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(ID, "name as in messages", where the machine reports it ...): columns behind the name are for
 * cpu_ARCHITECTURE.c. Which level needs which features stands in levels.def. */
#if defined(__aarch64__)
/* names as in /proc/cpuinfo; word of the auxiliary vector, its bit */
#define BASE_CPU_FEATURES(X)                                                                       \
    X(ASIMD, "asimd", AT_HWCAP, HWCAP_ASIMD)                                                       \
    X(BF16, "bf16", AT_HWCAP2, HWCAP2_BF16)                                                        \
    X(ASIMDDP, "asimddp", AT_HWCAP, HWCAP_ASIMDDP)                                                 \
    X(I8MM, "i8mm", AT_HWCAP2, HWCAP2_I8MM)                                                        \
    X(SVE, "sve", AT_HWCAP, HWCAP_SVE)
#else
/* names as in the compilers' -m options; register of CPUID, its bit, the registers that the
 * operating system must save for it */
#define BASE_CPU_FEATURES(X)                                                                       \
    X(CX16, "cx16", LEAF1_ECX, 13, NONE)                                                           \
    X(SAHF, "lahf/sahf", EXT1_ECX, 0, NONE)                                                        \
    X(POPCNT, "popcnt", LEAF1_ECX, 23, NONE)                                                       \
    X(SSE3, "sse3", LEAF1_ECX, 0, NONE)                                                            \
    X(SSSE3, "ssse3", LEAF1_ECX, 9, NONE)                                                          \
    X(SSE4_1, "sse4.1", LEAF1_ECX, 19, NONE)                                                       \
    X(SSE4_2, "sse4.2", LEAF1_ECX, 20, NONE)                                                       \
    X(AVX, "avx", LEAF1_ECX, 28, AVX)                                                              \
    X(AVX2, "avx2", LEAF7_EBX, 5, AVX)                                                             \
    X(BMI1, "bmi1", LEAF7_EBX, 3, NONE)                                                            \
    X(BMI2, "bmi2", LEAF7_EBX, 8, NONE)                                                            \
    X(F16C, "f16c", LEAF1_ECX, 29, AVX)                                                            \
    X(FMA, "fma", LEAF1_ECX, 12, AVX)                                                              \
    X(LZCNT, "lzcnt", EXT1_ECX, 5, NONE)                                                           \
    X(MOVBE, "movbe", LEAF1_ECX, 22, NONE)                                                         \
    X(OSXSAVE, "osxsave", LEAF1_ECX, 27, NONE)                                                     \
    X(AVX512F, "avx512f", LEAF7_EBX, 16, AVX512)                                                   \
    X(AVX512BW, "avx512bw", LEAF7_EBX, 30, AVX512)                                                 \
    X(AVX512CD, "avx512cd", LEAF7_EBX, 28, AVX512)                                                 \
    X(AVX512DQ, "avx512dq", LEAF7_EBX, 17, AVX512)                                                 \
    X(AVX512VL, "avx512vl", LEAF7_EBX, 31, AVX512)                                                 \
    X(AVX512VNNI, "avx512vnni", LEAF7_ECX, 11, AVX512)                                             \
    X(AVX512BF16, "avx512bf16", LEAF7_1_EAX, 5, AVX512)                                            \
    X(AVX512FP16, "avx512fp16", LEAF7_EDX, 23, AVX512)                                             \
    X(AVXVNNI, "avxvnni", LEAF7_1_EAX, 4, AVX)                                                     \
    X(AMX_TILE, "amx-tile", LEAF7_EDX, 24, AMX)                                                    \
    X(AMX_BF16, "amx-bf16", LEAF7_EDX, 22, AMX)                                                    \
    X(AMX_INT8, "amx-int8", LEAF7_EDX, 25, AMX)
#endif

enum {
#define X(ID, ...) BASE_CPU_BIT_##ID,
    BASE_CPU_FEATURES(X)
#undef X
        BASE_CPU_FEATURE_COUNT
};
#define BASE_CPU_FEATURE(ID)  (UINT64_C(1) << BASE_CPU_BIT_##ID)
#define BASE_CPU_HAS(cpu, ID) (((cpu)->features & BASE_CPU_FEATURE(ID)) != 0)

typedef struct base_cpu {
    /* BASE_CPU_FEATURE(..): without those whose registers the operating system does not save */
    uint64_t features;
    int32_t isa;        /* the highest level that it runs, or EBRU_ISA_NONE */
    size_t l1d, l2, l3; /* bytes of one such cache as a core sees it, 0 = unknown or absent */
    int logical_cpus;   /* online */
    int physical_cores; /* online, 0 = unknown */
} base_cpu;

void base_cpu_detect(base_cpu *cpu);
/* The highest level of this architecture that a CPU with these features runs, or EBRU_ISA_NONE. */
int32_t base_cpu_best(uint64_t features);

/* cpu_ARCHITECTURE.c: the features of this CPU. */
uint64_t base_cpu_features(void);

#if defined(__x86_64__)
/* Raw answers of CPUID and XGETBV, so that decoding can be tested on any machine. */
typedef struct base_cpuid {
    uint32_t max_leaf, max_ext;
    uint32_t leaf1_ecx, leaf1_edx;
    uint32_t leaf7_ebx, leaf7_ecx, leaf7_edx, leaf7_1_eax;
    uint32_t ext1_ecx;
    uint64_t xcr0; /* 0 if the OS does not enable XSAVE */
} base_cpuid;
uint64_t base_cpu_decode(const base_cpuid *raw);
#endif

/* Levels of this architecture by name ("x86-64-v3"); EBRU_ISA_NONE if it is none of them. The
 * inverse knows the levels of all architectures, and gives "none" for all other numbers. */
int32_t base_isa_by_name(const char *name);
const char *base_isa_name(int32_t isa);
/* The level as names of symbols and files have it: "v4_bf16". */
const char *base_isa_suffix(int32_t isa);

/* The features that a level of this architecture needs, those of the levels below included; 0 for
 * another architecture's. */
uint64_t base_isa_needs(int32_t isa);

/* Whether the CPU runs a level's code; no for EBRU_ISA_NONE and another architecture's. */
bool base_cpu_runs(const base_cpu *cpu, int32_t isa);

/* Comma-separated names of the features that a level needs and the CPU lacks; returns how many
 * there are. */
int base_cpu_missing(const base_cpu *cpu, int32_t isa, char *text, size_t size);

/* Takes away the features that a level, which the CPU must run, does not need. */
void base_cpu_lower(base_cpu *cpu, int32_t isa);

/* Asks the operating system for the registers of the tile unit, which it saves only for processes
 * that asked (and threads they start afterwards). False when it refuses; `cpu` then loses the unit
 * and its levels. Levels that do not use it need no permission: true. */
bool base_cpu_permit(base_cpu *cpu, int32_t isa);
/* Takes the tile unit away where base_cpu_permit would be refused, and asks for nothing: for a
 * process that only wants to know what others may use. */
void base_cpu_grantable(base_cpu *cpu);

/* Distinct physical cores among CPUs 0..cpu_count-1 for which allowed[i] (NULL = all), read from
 * `root` (/sys/devices/system/cpu); 0 if that cannot be known. */
int base_cpu_physical_cores(const char *root, int cpu_count, const bool *allowed);

/* The data caches of CPU `index` as the kernel describes them in `root` (/sys/devices/system/cpu).
 * False, with `cpu` as it was, where it does not. */
bool base_cpu_caches(const char *root, int index, base_cpu *cpu);

#endif
