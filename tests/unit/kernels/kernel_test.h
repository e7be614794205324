/* Harness of the kernel tests: the native levels behind one name, guarded buffers, splits,
 * comparison. */
#ifndef EBRU_TESTS_UNIT_KERNELS_KERNEL_TEST_H
#define EBRU_TESTS_UNIT_KERNELS_KERNEL_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cpu/cpu.h"
#include "runtime/abi/kernel_abi.h"
#include "tests/emulate/emulate.h"
#include "tests/unit/kernels/kernel_levels.h"

/* Of every kernel: its code at a level, where it is compiled for those with f32 code of their own,
 * and where it is compiled for all. */
#define KT_DECLARE(kernel, ID, suffix, ...)                                                        \
    void ebru_k_##kernel##_##suffix(const struct ebru_##kernel##_params *, void *const *, float *, \
                                    int32_t, int32_t);
#define KT_CASE(kernel, ID, suffix, ...)                                                           \
    case EBRU_ISA_##ID: return ebru_k_##kernel##_##suffix;
#define KERNEL(kernel, operands, summary)                                                          \
    KT_BF16_LEVELS(KT_DECLARE, kernel)                                                             \
    typedef void kt_##kernel(const struct ebru_##kernel##_params *, void *const *, float *,        \
                             int32_t, int32_t);                                                    \
    static inline kt_##kernel *kt_f32_##kernel(int32_t isa) {                                      \
        switch (base_isa_plain(isa)) {                                                             \
            KT_F32_LEVELS(KT_CASE, kernel)                                                         \
        default: return NULL;                                                                      \
        }                                                                                          \
    }                                                                                              \
    static inline kt_##kernel *kt_bf16_##kernel(int32_t isa) {                                     \
        switch (isa) {                                                                             \
            KT_BF16_LEVELS(KT_CASE, kernel)                                                        \
        default: return NULL;                                                                      \
        }                                                                                          \
    }
#define KT_DECLARE_EW(ew, ID, suffix, ...) void ebru_ew_##ew##_##suffix(float *, const float *);
#define EW(name, summary)                  KT_F32_LEVELS(KT_DECLARE_EW, name)
#include "runtime/abi/kernels.def"

#define KT_ROW(a, ID, ...) EBRU_ISA_##ID,
static const int32_t kt_f32_isa[] = {KT_F32_LEVELS(KT_ROW, 0)};
static const int32_t kt_bf16_isa[] = {KT_BF16_LEVELS(KT_ROW, 0)};

static bool kt_emulated; /* what runs now runs slowly */

/* One of the two numbers of parts of operands in bf16, by turns, where the whole test is emulated;
 * 0: both. */
static inline int32_t kt_only_parts(void) {
#ifdef EBRU_TESTS_EMULATED
    static int32_t turn;
    return 1 + turn++ % 2;
#else
    return 0;
#endif
}

/* Can this machine run the level's code, by itself or, given AVX-512, with the emulator's help?
 * Asks the system for what the level needs. */
static inline bool kt_supported(int32_t isa) {
    static base_cpu found; /* asked once */
    if (!found.logical_cpus) base_cpu_detect(&found);
    base_cpu cpu = found;
#if defined(__aarch64__)
#ifdef EBRU_TESTS_EMULATED
    kt_emulated = true;
#endif
    return base_cpu_runs(&cpu, isa);
#else
    const uint64_t tiles = BASE_CPU_FEATURE(AMX_TILE) | BASE_CPU_FEATURE(AMX_BF16) |
                           BASE_CPU_FEATURE(AMX_INT8),
                   vectors = BASE_CPU_FEATURE(AVX512BF16) | BASE_CPU_FEATURE(AVX512VNNI) |
                             BASE_CPU_FEATURE(AVXVNNI);
    kt_emulated = !base_cpu_permit(&cpu, isa) || !base_cpu_runs(&cpu, isa);
    if (!kt_emulated) return true;
    const uint64_t missing = base_isa_needs(isa) & ~cpu.features;
    if (missing & ~(tiles | vectors)) return false;
    return missing & tiles ? emulate_tiles() : emulate_install();
#endif
}

/* Loops over the levels that can be run here; says which it skips. kt_i counts all. */
#define KT_EACH_OF(level, levels, count)                                                           \
    for (int32_t kt_i = 0, level; kt_i < (count) && (level = (levels)[kt_i], true); kt_i++)        \
        if (!kt_supported(level))                                                                  \
            print_message("skipped: %s is not supported here\n", base_isa_name(level));            \
        else
#define KT_EACH_LEVEL(level) KT_EACH_OF(level, kt_f32_isa, KT_F32_COUNT)
#define KT_EACH_BF16_LEVEL(level)                                                                  \
    KT_EACH_OF(level, kt_bf16_isa, KT_BF16_COUNT) /* for kernels with bf16 arithmetic */

/* Buffers: 64-byte aligned, the end (rounded up to 64 bytes) against an unreadable page. */
struct kt_block {
    void *base;
    size_t bytes;
};
static struct kt_block kt_blocks[256];
static size_t kt_block_count;

static inline void *kt_alloc(size_t bytes) {
    const size_t page = 4096, used = (bytes + 63) / 64 * 64, body = (used + page - 1) / page * page;
    char *base = (char *)mmap(NULL, body + 2 * page, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED || kt_block_count == 256) abort();
    mprotect(base, page, PROT_NONE);
    mprotect(base + page + body, page, PROT_NONE);
    kt_blocks[kt_block_count].base = base;
    kt_blocks[kt_block_count++].bytes = body + 2 * page;
    char *p = base + page + body - used;
    for (size_t i = 0; i < used / 4; i++)
        ((uint32_t *)(void *)p)[i] = 0x7fa00000u; /* unwritten elements are NaN */
    return p;
}
static inline void kt_release(void) {
    while (kt_block_count > 0) {
        kt_block_count--;
        munmap(kt_blocks[kt_block_count].base, kt_blocks[kt_block_count].bytes);
    }
}
static inline float *kt_floats(int64_t n) {
    return (float *)kt_alloc((size_t)n * sizeof(float));
}

static uint64_t kt_state = 1;
/* Uniform in [-1, 1). */
static inline float kt_random(void) {
    kt_state = kt_state * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(kt_state >> 40) / 8388608.0 - 1.0);
}
static inline float *kt_random_floats(int64_t n) {
    float *p = kt_floats(n);
    for (int64_t i = 0; i < n; i++) p[i] = kt_random();
    return p;
}
/* A per-channel vector with zeros up to a multiple of 16. */
static inline float *kt_padded(int32_t n) {
    float *p = kt_floats(ebru_blocks16(n) * 16);
    for (int32_t i = 0; i < ebru_blocks16(n) * 16; i++) p[i] = i < n ? kt_random() : 0.0f;
    return p;
}
/* Index of (b, c, pixel) in c16 with C channels and P pixels. */
static inline int64_t kt_c16(int32_t C, int64_t P, int32_t b, int32_t c, int64_t pixel) {
    return (((int64_t)b * ebru_blocks16(C) + c / 16) * P + pixel) * 16 + c % 16;
}
static inline int64_t kt_c16_floats(int32_t B, int32_t C, int64_t P) {
    return (int64_t)B * ebru_blocks16(C) * P * 16;
}
/* Random c16 data; pad lanes hold a finite value that must not matter. */
static inline float *kt_random_c16(int32_t B, int32_t C, int64_t P) {
    float *x = kt_floats(kt_c16_floats(B, C, P));
    for (int64_t i = 0; i < kt_c16_floats(B, C, P); i++) x[i] = 3.0f;
    for (int32_t b = 0; b < B; b++)
        for (int32_t c = 0; c < C; c++)
            for (int64_t p = 0; p < P; p++) x[kt_c16(C, P, b, c, p)] = kt_random();
    return x;
}

#define KT_F32_CODE(name, level)  kt_f32_##name(level)
#define KT_BF16_CODE(name, level) kt_bf16_##name(level)

/* Runs a kernel over all tasks in `parts` calls of the code. */
#define KT_CALL_CODE(name, code, p, buf, parts)                                                    \
    do {                                                                                           \
        const int32_t kt_n = ebru_##name##_tasks(p);                                               \
        float *kt_scratch = kt_floats(ebru_##name##_scratch(p) / 4);                               \
        for (int32_t kt_t = 0; kt_t < (parts); kt_t++) {                                           \
            const int32_t kt_a = kt_n * kt_t / (parts), kt_b = kt_n * (kt_t + 1) / (parts);        \
            (code)(p, buf, kt_scratch, kt_a, kt_b);                                                \
        }                                                                                          \
    } while (0)

/* Runs it into buf[out] with 1, 2, 3 and 7 parts (emulated: 1 and 2); the bits must agree. */
#define KT_RUN_CODE(name, code, p, buf, out, floats)                                               \
    do {                                                                                           \
        float *kt_first = (float *)(buf)[out];                                                     \
        KT_CALL_CODE(name, code, p, buf, 1);                                                       \
        const int32_t kt_parts[] = {2, 3, 7};                                                      \
        for (int32_t kt_k = 0; kt_k < (kt_emulated ? 1 : 3); kt_k++) {                             \
            (buf)[out] = kt_floats(floats);                                                        \
            KT_CALL_CODE(name, code, p, buf, kt_parts[kt_k]);                                      \
            assert_memory_equal(kt_first, (buf)[out], (size_t)(floats) * sizeof(float));           \
        }                                                                                          \
        (buf)[out] = kt_first;                                                                     \
    } while (0)

#define KT_CALL(name, level, p, buf, parts)                                                        \
    KT_CALL_CODE(name, KT_F32_CODE(name, level), p, buf, parts)
#define KT_RUN(name, level, p, buf, out, floats)                                                   \
    KT_RUN_CODE(name, KT_F32_CODE(name, level), p, buf, out, floats)
#define KT_CALL_BF16(name, level, p, buf, parts)                                                   \
    KT_CALL_CODE(name, KT_BF16_CODE(name, level), p, buf, parts)
#define KT_RUN_BF16(name, level, p, buf, out, floats)                                              \
    KT_RUN_CODE(name, KT_BF16_CODE(name, level), p, buf, out, floats)

static inline double kt_act(double x, int32_t act) {
    switch (act) {
    case EBRU_ACT_SILU: return x / (1.0 + exp(-x));
    case EBRU_ACT_GELU: return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    case EBRU_ACT_GELU_TANH:
        return 0.5 * x *
               (1.0 + tanh(sqrt(2.0 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case EBRU_ACT_QUICK_GELU: return x / (1.0 + exp(-1.702 * x));
    case EBRU_ACT_RELU: return x > 0 ? x : 0;
    case EBRU_ACT_SIGMOID: return 1.0 / (1.0 + exp(-x));
    case EBRU_ACT_TANH: return tanh(x);
    case EBRU_ACT_MISH: return x * tanh(log1p(exp(x)));
    default: return x;
    }
}

/* Fails when the value is not within tolerance * scale of the reference, NaN included. */
#define kt_assert_close(got, want, tolerance, ...)                                                 \
    do {                                                                                           \
        const double kt_g = (double)(got), kt_w = (double)(want);                                  \
        if (!(fabs(kt_g - kt_w) <= (tolerance))) {                                                 \
            print_error(__VA_ARGS__);                                                              \
            fail_msg(": got %.9g, want %.9g", kt_g, kt_w);                                         \
        }                                                                                          \
    } while (0)

/* Fails where a c16 result [B,C,P] is not within tolerance * (1 + |want|) of want, which is plain
 * [B][P][C], or where a pad lane is not finite. */
static inline void kt_expect_c16(const float *out, const double *want, int32_t B, int32_t C,
                                 int32_t P, double tolerance, const char *title) {
    for (int32_t b = 0; b < B; b++)
        for (int32_t i = 0; i < P; i++)
            for (int32_t c = 0; c < C; c++) {
                const double w = want[(b * P + i) * C + c];
                kt_assert_close(out[kt_c16(C, P, b, c, i)], w, tolerance * (1 + fabs(w)),
                                "%s: [%d,%d,%d]", title, b, i, c);
            }
    for (int64_t i = 0; i < kt_c16_floats(B, C, P); i++) assert_true(isfinite(out[i]));
}

#endif
