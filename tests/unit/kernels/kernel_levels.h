/* The levels that the kernels' native builds of this architecture are for. */
#ifndef EBRU_TESTS_UNIT_KERNELS_KERNEL_LEVELS_H
#define EBRU_TESTS_UNIT_KERNELS_KERNEL_LEVELS_H

/* X(a, suffix of the names, EBRU_ISA_*, name): those f32 kernels are compiled for, then those of
 * kernels with bf16 arithmetic only. */
#if defined(__aarch64__)
#define KT_F32_SUFFIXES(X, a)  X(a, neon, EBRU_ISA_NEON, "armv8-a")
#define KT_BF16_SUFFIXES(X, a) X(a, neon_bf16, EBRU_ISA_NEON_BF16, "armv8-a+bf16")
#else
#define KT_F32_SUFFIXES(X, a)                                                                      \
    X(a, v2, EBRU_ISA_V2, "x86-64-v2")                                                             \
    X(a, v3, EBRU_ISA_V3, "x86-64-v3") X(a, v4, EBRU_ISA_V4, "x86-64-v4")
#define KT_BF16_SUFFIXES(X, a)                                                                     \
    X(a, v4_bf16, EBRU_ISA_V4_BF16, "x86-64-v4-bf16")                                              \
    X(a, v4_amx, EBRU_ISA_V4_AMX, "x86-64-v4-amx")
#endif
#define KT_SUFFIXES(X, a) KT_F32_SUFFIXES(X, a) KT_BF16_SUFFIXES(X, a)

#define KT_ONE(a, suffix, id, title) +1
enum { KT_F32_LEVELS = 0 KT_F32_SUFFIXES(KT_ONE, 0), KT_BF16_LEVELS = 0 KT_SUFFIXES(KT_ONE, 0) };

#endif
