/* The register tile of attention_bf16.c on levels with dot products of pairs in vector registers:
 * scores of 32 keys by one or two blocks of 16 queries, which become softmax weights before they
 * leave the registers. Matrix registers have no way to do that, and the other levels are bound by
 * their products.
 *
 *   x[m]  = sum over c of k[m][c] * q[c][:] - max[:]
 *   w     = 2^x rounded to bf16, two keys in VNNI layout
 *   sum  += 2^x of all 32 keys
 *
 * A reduction over a head's channels is short (20 pairs in the largest attention of Stable
 * Diffusion), so that storing and reading scores took a tenth of the products. `max` is the running
 * maximum of each query, which need not be the greatest score; see attention_loop.h. */
#ifndef EBRU_RUNTIME_KERNELS_TILE_ATTENTION_BF16_TILE_H
#define EBRU_RUNTIME_KERNELS_TILE_ATTENTION_BF16_TILE_H

#include "runtime/kernels/cell.h"
#include "runtime/kernels/vector/vmath.h"

#if defined(__AVX512BF16__) && !defined(__AMX_BF16__)
#define ATTN_BF16_WEIGHTS 1
#else
#define ATTN_BF16_WEIGHTS 0
#endif

enum {
    ATTN_BF16_KEYS = 32,  /* a call */
    ATTN_BF16_BLOCKS = 2, /* of queries, at most */
    ATTN_BF16_PAIR = 32   /* bf16s of two rows in VNNI layout */
};

struct attn_bf16_weights {
    const cell_t *k;   /* cells of 32 channels of the keys; those of the next 32, k_plane on */
    const uint16_t *q; /* [blocks][cbs] of [16][16][2], a block q_block bf16s from the next */
    uint16_t *w;       /* [blocks][16][16][2], w_block */
    const float *max;  /* [blocks][16] */
    float *sum;        /* [blocks][16] */
    int64_t k_plane, q_block, w_block;
    int32_t cbs, last; /* of 32 channels; eighths of the last of them (tile_bf16_last) */
};

void EBRU_NAME(ebru_attn_bf16_weights_1)(const struct attn_bf16_weights *t);
void EBRU_NAME(ebru_attn_bf16_weights_2)(const struct attn_bf16_weights *t);
/* 1 or 2 blocks of queries. */
INLINE void attn_bf16_weights_run(const struct attn_bf16_weights *t, int32_t blocks) {
    if (blocks == 2)
        EBRU_NAME(ebru_attn_bf16_weights_2)(t);
    else
        EBRU_NAME(ebru_attn_bf16_weights_1)(t);
}

/* Values rounded to bf16, in the upper halves. */
INLINE v16u bf16_upper(v16 x) {
#if defined(CELL_OF_BF16)
    return __builtin_convertvector(bf16_of16(x), v16u) << 16;
#else
    return (v16u)bf16_round16(x);
#endif
}
/* Two rows rounded to bf16, in VNNI layout. */
INLINE v16u bf16_vnni(v16 even, v16 odd) {
#if defined(__AVX512BF16__)
    typedef __bf16 pairs __attribute__((ext_vector_type(32)));
    const pairs x = __builtin_ia32_cvtne2ps2bf16_512(odd, even);
    return (v16u)__builtin_shufflevector(x, x, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7,
                                         23, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30,
                                         15, 31);
#else
    return bf16_upper(even) >> 16 | bf16_upper(odd);
#endif
}

#endif
