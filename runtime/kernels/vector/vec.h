/* The vector header of the kernels: sixteen floats, one channel block of the c16 layout. A level
 * keeps them in one zmm, two ymm or four xmm registers; clang splits the type. Kernels are
 * freestanding and compiled by clang only. */
#ifndef EBRU_RUNTIME_KERNELS_VECTOR_VEC_H
#define EBRU_RUNTIME_KERNELS_VECTOR_VEC_H

#include "runtime/abi/kernel_abi.h"

#include <stddef.h>
#include <stdint.h>

typedef float v16 __attribute__((ext_vector_type(16)));
typedef float v16_any __attribute__((ext_vector_type(16), aligned(4)));
typedef int32_t v16i __attribute__((ext_vector_type(16)));
typedef uint32_t v16u __attribute__((ext_vector_type(16)));
typedef double v16d __attribute__((ext_vector_type(16)));

/* Everything that takes or returns a vector is inlined, so the calling convention for them does not
 * matter. */
#pragma clang diagnostic ignored "-Wpsabi"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")
/* A loop of little weight, whose length a program learns at its start: no second copy for vectors.
 */
#define ROLLED _Pragma("clang loop unroll(disable) vectorize(disable)")

/* Kernel names carry EBRU_SUFFIX in native test builds, where all levels live in one program. */
#ifdef EBRU_SUFFIX
#define EBRU_PASTE2(a, b) a##b
#define EBRU_PASTE(a, b)  EBRU_PASTE2(a, b)
#define EBRU_NAME(name)   EBRU_PASTE(name, EBRU_SUFFIX)
#else
#define EBRU_NAME(name) name
#endif

/* The head of a kernel's definition. */
#define EBRU_KERNEL(name)                                                                          \
    void EBRU_NAME(ebru_k_##name)(const struct ebru_##name##_params *, void *const *, float *,     \
                                  int32_t, int32_t);                                               \
    void EBRU_NAME(ebru_k_##name)(const struct ebru_##name##_params *p, void *const *buf,          \
                                  float *scratch, int32_t task_begin, int32_t task_end)

INLINE v16 splat16(float x) {
    return (v16)(x);
}
/* c16 data, packed weights, scratch: 64-byte aligned. */
INLINE v16 load16(const float *p) {
    return *(const v16 *)p;
}
INLINE void store16(float *p, v16 v) {
    *(v16 *)p = v;
}
/* Plain data: 4-byte aligned. */
INLINE v16 loadu16(const float *p) {
    return *(const v16_any *)p;
}
INLINE void storeu16(float *p, v16 v) {
    *(v16_any *)p = v;
}
/* The first n of 16 lanes; the others read as zero, or are not written. */
INLINE v16 load_first(const float *p, int32_t n) {
    v16 v = splat16(0.0f);
    for (int32_t i = 0; i < n; i++) v[i] = p[i];
    return v;
}
INLINE void store_first(float *p, v16 v, int32_t n) {
    for (int32_t i = 0; i < n; i++) p[i] = v[i];
}
INLINE v16u splatu(uint32_t x) {
    return (v16u)(x);
}
/* a where the mask is set (all bits), b elsewhere. clang warns of a conversion to bool that it does
 * not make. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wconversion"
INLINE v16 select16(v16i mask, v16 a, v16 b) {
    return mask ? a : b;
}
#pragma clang diagnostic pop
/* Whether all lanes are set, each all bits or none. */
INLINE int32_t all16(v16i mask) {
    return __builtin_reduce_and(mask) != 0;
}
/* Lane-wise larger value; b where the comparison is unordered. */
INLINE v16 max16(v16 a, v16 b) {
    return select16(a > b, a, b);
}
INLINE v16 min16(v16 a, v16 b) {
    return select16(a < b, a, b);
}
/* Lane numbers below n keep their value, the others become zero. */
INLINE v16 keep_first(v16 v, int32_t n) {
    const v16i lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return select16(lane < (v16i)(n), v, splat16(0.0f));
}
/* r[i] lane j and r[j] lane i change places. */
INLINE void transpose16(v16 r[16]) {
    v16 t[16];
    /* four rounds of a butterfly: lanes 8, 4, 2 and 1 apart */
#define EBRU_SWAP(from, to, d, lo, hi)                                                             \
    UNROLL for (int32_t i = 0; i < 16; i++) {                                                      \
        if (i & d) continue;                                                                       \
        to[i] = lo(from[i], from[i + d]);                                                          \
        to[i + d] = hi(from[i], from[i + d]);                                                      \
    }
#define LO8(a, b)                                                                                  \
    __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#define HI8(a, b)                                                                                  \
    __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)
#define LO4(a, b)                                                                                  \
    __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
#define HI4(a, b)                                                                                  \
    __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31)
#define LO2(a, b)                                                                                  \
    __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define HI2(a, b)                                                                                  \
    __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define LO1(a, b)                                                                                  \
    __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
#define HI1(a, b)                                                                                  \
    __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31)
    EBRU_SWAP(r, t, 8, LO8, HI8)
    EBRU_SWAP(t, r, 4, LO4, HI4)
    EBRU_SWAP(r, t, 2, LO2, HI2)
    EBRU_SWAP(t, r, 1, LO1, HI1)
#undef EBRU_SWAP
#undef LO8
#undef HI8
#undef LO4
#undef HI4
#undef LO2
#undef HI2
#undef LO1
#undef HI1
}
/* Sums and maxima across lanes, by halves: one fixed tree at every level. */
INLINE float sum16(v16 v) {
    typedef float v8 __attribute__((ext_vector_type(8)));
    typedef float v4 __attribute__((ext_vector_type(4)));
    v8 a = v.lo + v.hi;
    v4 b = a.lo + a.hi;
    return (b[0] + b[2]) + (b[1] + b[3]);
}
INLINE float max_of16(v16 v) {
    v16 a = max16(
        v, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    a = max16(a, __builtin_shufflevector(a, a, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3));
    a = max16(a, __builtin_shufflevector(a, a, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1));
    return a[0] > a[1] ? a[0] : a[1];
}

#endif
