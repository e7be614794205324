/* attention's register tiles (attention_tile.h). */
#include "runtime/kernels/tile/attention_tile.h"

#include "runtime/kernels/vector/vmath.h"

INLINE void weights_body(const struct attn_weights *t, const int32_t nb) {
    const int32_t d = t->d, rows = t->rows;
    const int64_t q_block = t->q_block, w_block = t->w_block;
    const float *k[ATTN_ROWS], *q = t->q;
    float *w = t->w;
    v16 acc[ATTN_ROWS * ATTN_MAX_BLOCKS];
    UNROLL for (int32_t m = 0; m < ATTN_ROWS; m++) k[m] =
        t->k + (int64_t)ebru_min_i32(m, rows - 1) * d;
    UNROLL for (int32_t m = 0; m < ATTN_ROWS; m++) {
        UNROLL for (int32_t n = 0; n < nb; n++) acc[m * nb + n] = -load16(t->max + n * 16);
    }
#define EBRU_STEP(c)                                                                               \
    {                                                                                              \
        v16 x[ATTN_MAX_BLOCKS];                                                                    \
        UNROLL for (int32_t n = 0; n < nb; n++) x[n] = load16(q + n * q_block + (c) * 16);         \
        UNROLL for (int32_t m = 0; m < ATTN_ROWS; m++) {                                           \
            const v16 v = splat16(k[m][at + (c)]);                                                 \
            UNROLL for (int32_t n = 0; n < nb; n++) acc[m * nb + n] += v * x[n];                   \
        }                                                                                          \
    }
    int64_t at = 0;
    for (; at + 8 <= d; at += 8, q += 8 * 16) {
        UNROLL for (int32_t c = 0; c < 8; c++) EBRU_STEP(c)
    }
    for (; at < d; at++, q += 16) EBRU_STEP(0)
#undef EBRU_STEP
    v16 sum[ATTN_MAX_BLOCKS];
    UNROLL for (int32_t n = 0; n < nb; n++) sum[n] = load16(t->sum + n * 16);
    UNROLL for (int32_t m = 0; m < ATTN_ROWS; m++) {
        UNROLL for (int32_t n = 0; n < nb; n++) {
            v16 x = splat16(0.0f);
            if (m < rows) {
                x = exp2_weight16(acc[m * nb + n]);
                sum[n] += x;
            }
            store16(w + n * w_block + m * 16, x);
        }
    }
    UNROLL for (int32_t n = 0; n < nb; n++) store16(t->sum + n * 16, sum[n]);
}

INLINE void sums_body(const struct attn_sums *t, const int32_t nb) {
    const int64_t w_block = t->w_block, o_block = t->o_block, v_group = (int64_t)t->d * 16;
    const float *v = t->v, *w = t->w;
    float *o = t->o;
    v16 acc[ATTN_ROWS * ATTN_MAX_BLOCKS];
    UNROLL for (int32_t i = 0; i < ATTN_ROWS * nb; i++) acc[i] = splat16(0.0f);
    if (t->add) {
        UNROLL for (int32_t m = 0; m < ATTN_ROWS; m++) {
            UNROLL for (int32_t n = 0; n < nb; n++) acc[m * nb + n] =
                load16(o + n * o_block + m * 16);
        }
    }
    for (int32_t group = t->groups; group > 0; group--) {
        UNROLL for (int32_t m = 0; m < ATTN_ROWS; m++) __builtin_prefetch(v + v_group + m * 16);
        for (int32_t half = 0; half < 2; half++) { /* as STEPS of tile.c */
            UNROLL for (int32_t j = 0; j < 8; j++) {
                v16 x[ATTN_MAX_BLOCKS];
                UNROLL for (int32_t n = 0; n < nb; n++) x[n] = load16(w + n * w_block + j * 16);
                UNROLL for (int32_t m = 0; m < ATTN_ROWS; m++) {
                    const v16 c = splat16(v[m * 16 + j]);
                    UNROLL for (int32_t n = 0; n < nb; n++) acc[m * nb + n] += c * x[n];
                }
            }
            w += 8 * 16;
            v += 8;
        }
        v += v_group - 16;
    }
    UNROLL for (int32_t m = 0; m < ATTN_ROWS; m++) {
        UNROLL for (int32_t n = 0; n < nb; n++) store16(o + n * o_block + m * 16, acc[m * nb + n]);
    }
}

#define ATTN_DEFINE(n)                                                                             \
    __attribute__((noinline)) void EBRU_NAME(ebru_attn_weights_##n)(                               \
        const struct attn_weights *t) {                                                            \
        weights_body(t, n);                                                                        \
    }                                                                                              \
    __attribute__((noinline)) void EBRU_NAME(ebru_attn_sums_##n)(const struct attn_sums *t) {      \
        sums_body(t, n);                                                                           \
    }
ATTN_TILES(ATTN_DEFINE)
