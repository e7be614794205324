/* What this CPU and this operating system can run: by features, never by name. */
#ifndef EBRU_BASE_CPU_CPU_H
#define EBRU_BASE_CPU_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__aarch64__)
/* X(ID, "name as in /proc/cpuinfo, printed in messages", first level that needs it or 0) */
#define BASE_CPU_FEATURES(X)                                                                       \
    X(ASIMD, "asimd", 1)                                                                           \
    X(BF16, "bf16", 2)                                                                             \
    X(ASIMDDP, "asimddp", 0)                                                                       \
    X(I8MM, "i8mm", 0)                                                                             \
    X(SVE, "sve", 0)
/* Levels, each with all below: 1 = armv8-a, 2 = that with the instructions that multiply bf16. */
enum { BASE_CPU_HIGHEST = 2 };
#else
/* X(ID, "name as in the compilers' -m options, printed in messages", first x86-64 level that needs
 * it or 0) */
#define BASE_CPU_FEATURES(X)                                                                       \
    X(CX16, "cx16", 2)                                                                             \
    X(SAHF, "lahf/sahf", 2)                                                                        \
    X(POPCNT, "popcnt", 2)                                                                         \
    X(SSE3, "sse3", 2)                                                                             \
    X(SSSE3, "ssse3", 2)                                                                           \
    X(SSE4_1, "sse4.1", 2)                                                                         \
    X(SSE4_2, "sse4.2", 2)                                                                         \
    X(AVX, "avx", 3)                                                                               \
    X(AVX2, "avx2", 3)                                                                             \
    X(BMI1, "bmi1", 3)                                                                             \
    X(BMI2, "bmi2", 3)                                                                             \
    X(F16C, "f16c", 3)                                                                             \
    X(FMA, "fma", 3)                                                                               \
    X(LZCNT, "lzcnt", 3)                                                                           \
    X(MOVBE, "movbe", 3)                                                                           \
    X(OSXSAVE, "osxsave", 3)                                                                       \
    X(AVX512F, "avx512f", 4)                                                                       \
    X(AVX512BW, "avx512bw", 4)                                                                     \
    X(AVX512CD, "avx512cd", 4)                                                                     \
    X(AVX512DQ, "avx512dq", 4)                                                                     \
    X(AVX512VL, "avx512vl", 4)                                                                     \
    X(AVX512VNNI, "avx512vnni", 0)                                                                 \
    X(AVX512BF16, "avx512bf16", 5)                                                                 \
    X(AVX512FP16, "avx512fp16", 0)                                                                 \
    X(AVXVNNI, "avxvnni", 0)                                                                       \
    X(AMX_TILE, "amx-tile", 6)                                                                     \
    X(AMX_BF16, "amx-bf16", 6)                                                                     \
    X(AMX_INT8, "amx-int8", 0)

/* Levels, each with all below: 1 = x86-64, 2, 3, 4 = x86-64-v2 .., and v4 with the units for bf16.
 */
enum {
    BASE_CPU_V4 = 4,
    BASE_CPU_V4_BF16 = 5,
    BASE_CPU_V4_AMX = 6,
    BASE_CPU_HIGHEST = BASE_CPU_V4_AMX
};
#endif

enum {
#define X(ID, name, level) BASE_CPU_BIT_##ID,
    BASE_CPU_FEATURES(X)
#undef X
        BASE_CPU_FEATURE_COUNT
};
#define BASE_CPU_HAS(cpu, ID) (((cpu)->features >> BASE_CPU_BIT_##ID & 1u) != 0)

typedef struct base_cpu {
    uint64_t
        /* BASE_CPU_BIT_*; those whose registers the operating system does not save are left out */
        features;
    int level;          /* 1 to BASE_CPU_HIGHEST */
    size_t l1d, l2, l3; /* bytes of one such cache, 0 = unknown */
    int logical_cpus;   /* online */
    int physical_cores; /* online, 0 = unknown */
} base_cpu;

void base_cpu_detect(base_cpu *cpu);
int base_cpu_level_of(uint64_t features);

/* cpu_ARCHITECTURE.c: the features of this CPU; the levels' names, "none" first. */
uint64_t base_cpu_features(void);
extern const char *const base_cpu_level_names[BASE_CPU_HIGHEST + 1];

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

/* "x86-64" -> 1, "x86-64-v2" -> 2, .. "x86-64-v4-bf16" -> 5, "x86-64-v4-amx" -> 6, "armv8-a" -> 1
 * ..; 0 if the name is none of them. base_cpu_level_name is the inverse ("none" for 0). */
int base_cpu_level_by_name(const char *name);
const char *base_cpu_level_name(int level);

/* Comma-separated names of the features that `level` needs and the CPU lacks; returns how many
 * there are. */
int base_cpu_missing(const base_cpu *cpu, int level, char *text, size_t size);

/* Takes away the features above `level`, which the CPU must have. */
void base_cpu_lower(base_cpu *cpu, int level);

/* Asks the operating system for the registers of the tile unit, which it saves only for processes
 * that asked (and threads they start afterwards). False when it refuses; `cpu` then loses the unit
 * and its level. Levels below need no permission: true. */
bool base_cpu_permit(base_cpu *cpu, int level);

/* Distinct physical cores among CPUs 0..cpu_count-1 for which allowed[i] (NULL = all), read from
 * `root` (/sys/devices/system/cpu); 0 if that cannot be known. */
int base_cpu_physical_cores(const char *root, int cpu_count, const bool *allowed);

#endif
