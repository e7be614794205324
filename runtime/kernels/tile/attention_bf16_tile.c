/* attention_bf16's register tile (attention_bf16_tile.h). */
#include "runtime/kernels/tile/attention_bf16_tile.h"

#if ATTN_BF16_WEIGHTS

typedef __bf16 v32bf __attribute__((ext_vector_type(32)));

enum {
    ROWS = 8, /* keys at once: with two blocks, sixteen sums hide the latency of a product */
    PAIRS = 4 /* of channels in the innermost loop, which has one trip an eighth of a cell */
};

INLINE void weights_body(const struct attn_bf16_weights *t, const int32_t nb) {
    const int64_t q_block = t->q_block, w_block = t->w_block, next = t->k_plane - CELL;
    const int32_t cbs = t->cbs, last = t->last;
    const cell_t *rows = t->k;
    uint16_t *w = t->w;
    v16 max[ATTN_BF16_BLOCKS], even[ATTN_BF16_BLOCKS], odd[ATTN_BF16_BLOCKS];
    UNROLL for (int32_t n = 0; n < nb; n++) {
        max[n] = -load16(t->max + n * 16);
        even[n] = load16(t->sum + n * 16);
        odd[n] = splat16(0.0f);
    }
    for (int32_t j = 0; j < ATTN_BF16_KEYS; j += ROWS) {
        v16 acc[ROWS * ATTN_BF16_BLOCKS];
        const cell_t *k = rows;
        const uint16_t *q = t->q;
        UNROLL for (int32_t m = 0; m < ROWS; m++) {
            UNROLL for (int32_t n = 0; n < nb; n++) acc[m * nb + n] = max[n];
        }
        for (int32_t cb = cbs; cb > 0; cb--) {
            const int32_t groups = cb > 1 ? CELL / (2 * PAIRS) : last;
            for (int32_t i = groups; i > 0; i--) {
                UNROLL for (int32_t c = 0; c < PAIRS; c++) {
                    v32bf x[ATTN_BF16_BLOCKS];
                    UNROLL for (int32_t n = 0; n < nb; n++) x[n] =
                        *(const v32bf *)(const void *)(q + n * q_block + c * ATTN_BF16_PAIR);
                    UNROLL for (int32_t m = 0; m < ROWS; m++) {
                        const v32bf v =
                            (v32bf)splatu(*(const uint32_t *)(const void *)(k + m * CELL + c * 2));
                        UNROLL for (int32_t n = 0; n < nb; n++) acc[m * nb + n] =
                            __builtin_ia32_dpbf16ps_512(acc[m * nb + n], v, x[n]);
                    }
                }
                k += PAIRS * 2;
                q += PAIRS * ATTN_BF16_PAIR;
            }
            k += next; /* groups are less than a cell in the last one only */
        }
        UNROLL for (int32_t m = 0; m < ROWS; m += 2) {
            UNROLL for (int32_t n = 0; n < nb; n++) {
                const v16 x = exp2_coarse16(acc[m * nb + n]),
                          y = exp2_coarse16(acc[(m + 1) * nb + n]);
                *(v16u *)(void *)(w + n * w_block + m / 2 * ATTN_BF16_PAIR) = bf16_vnni(x, y);
                even[n] += x;
                odd[n] += y;
            }
        }
        rows += ROWS * CELL;
        w += ROWS / 2 * ATTN_BF16_PAIR;
    }
    UNROLL for (int32_t n = 0; n < nb; n++) store16(t->sum + n * 16, even[n] + odd[n]);
}

__attribute__((noinline)) void
EBRU_NAME(ebru_attn_bf16_weights_1)(const struct attn_bf16_weights *t) {
    weights_body(t, 1);
}
__attribute__((noinline)) void
EBRU_NAME(ebru_attn_bf16_weights_2)(const struct attn_bf16_weights *t) {
    weights_body(t, 2);
}

#endif
