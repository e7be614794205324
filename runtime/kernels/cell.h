/* A cell is 32 channels of one pixel, next to each other, as the bf16 kernels multiply them
 * (tile_bf16.h). How a CPU level keeps the 32 elements follows from how it multiplies, EBRU_BF16_*:
 *
 *   TILES, PAIRS   bf16; with two parts, a plane of hi and one of lo
 *   WIDE           f32 that holds the rounded value; with two parts hi + lo, which is exact */
#ifndef EBRU_RUNTIME_KERNELS_CELL_H
#define EBRU_RUNTIME_KERNELS_CELL_H

#include "runtime/kernels/vector/vec.h"

#if defined(__AVX512BF16__) || defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#define CELL_OF_BF16
#endif
#if defined(__AMX_BF16__)
#define CELL_FORM EBRU_BF16_TILES
#elif defined(CELL_OF_BF16)
#define CELL_FORM EBRU_BF16_PAIRS
#else
#define CELL_FORM EBRU_BF16_WIDE
#endif

enum { CELL = 32 }; /* elements */

#if defined(CELL_OF_BF16)
typedef uint16_t cell_t;
typedef uint16_t v16h __attribute__((ext_vector_type(16), aligned(32)));
typedef __bf16 v16bf __attribute__((ext_vector_type(16)));

INLINE v16h bf16_of16(v16 x) {
    return (v16h) __builtin_convertvector(x, v16bf);
}
INLINE v16 bf16_value16(v16h h) {
    return (v16)(__builtin_convertvector(h, v16u) << 16);
}
/* Lanes of x to half a cell (16 elements from `to` on); the second part lies `part` elements on. */
INLINE void cell_store(cell_t *to, v16 x, int32_t parts, int64_t part) {
    const v16h hi = bf16_of16(x);
    *(v16h *)to = hi;
    if (parts == 2) *(v16h *)(to + part) = bf16_of16(x - bf16_value16(hi));
}
#else
typedef float cell_t;

/* The nearest bf16, ties to even; NaN stays NaN. */
INLINE v16 bf16_round16(v16 x) {
    const v16u u = (v16u)x;
    const v16 r = (v16)((u + (splatu(0x7fff) + (u >> 16 & 1))) & splatu(0xffff0000));
    return select16(x == x, r, x);
}
INLINE void cell_store(cell_t *to, v16 x, int32_t parts, int64_t part) {
    (void)part;
    v16 v = bf16_round16(x);
    if (parts == 2) v += bf16_round16(x - v);
    store16(to, v);
}
#endif

#endif
