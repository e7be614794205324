/* What attention.c and attention_bf16.c share below their loop (attention_loop.h): channels of
 * tokens to lanes and back, causal masks, the state of the online softmax. */
#ifndef EBRU_RUNTIME_KERNELS_ATTENTION_H
#define EBRU_RUNTIME_KERNELS_ATTENTION_H

#include "runtime/kernels/vector/vmath.h"

typedef float v8 __attribute__((ext_vector_type(8)));

/* n channels from channel c of a token of c16 data (x at the token), the other lanes zero. Heads
 * usually begin at a multiple of eight, so that halves of blocks move at once. */
INLINE v16 channels(const float *x, int64_t plane, int32_t c, int32_t n) {
    if (c % 16 == 0 && n == 16) return load16(x + c / 16 * plane);
    v16 v = splat16(0.0f);
    if (c % 8 == 0 && n % 8 == 0) {
        v.lo = *(const v8 *)(x + c / 16 * plane + c % 16);
        if (n == 16) v.hi = *(const v8 *)(x + (c + 8) / 16 * plane + (c + 8) % 16);
        return v;
    }
    for (int32_t l = 0; l < n; l++) v[l] = x[(c + l) / 16 * plane + (c + l) % 16];
    return v;
}

/* The reverse: n lanes to channels c .. of a token. */
INLINE void put_channels(float *x, int64_t plane, int32_t c, int32_t n, v16 v) {
    if (c % 16 == 0 && n == 16) {
        store16(x + c / 16 * plane, v);
    } else if (c % 8 == 0 && n % 8 == 0) {
        *(v8 *)(x + c / 16 * plane + c % 16) = v.lo;
        if (n == 16) *(v8 *)(x + (c + 8) / 16 * plane + (c + 8) % 16) = v.hi;
    } else {
        for (int32_t l = 0; l < n; l++) x[(c + l) / 16 * plane + (c + l) % 16] = v[l];
    }
}

/* Up to sixteen queries to lanes: t[i] is channel c + i (zero from `count` on) times scale and log2
 * e. Lanes past the last of `rows` queries repeat it. */
INLINE void take_queries(v16 t[16], const float *q, int64_t plane, int32_t c, int32_t count,
                         int32_t rows, float scale) {
    UNROLL for (int32_t i = 0; i < 16; i++) t[i] =
        channels(q + ebru_min_i32(i, rows - 1) * 16, plane, c, count);
    transpose16(t);
    UNROLL for (int32_t i = 0; i < 16; i++) t[i] = t[i] * splat16(scale * 1.44269504f);
}

/* The reverse, over sums: o[d][16] divided by `sum` to channels c .. c+d of `rows` queries. */
INLINE void put_queries(float *out, int64_t plane, int32_t c0, int32_t d, const float *o, v16 sum,
                        int32_t rows) {
    const v16 over = splat16(1.0f) / sum;
    for (int32_t c = 0; c < d; c += 16) {
        const int32_t count = ebru_min_i32(16, d - c);
        v16 t[16];
        UNROLL for (int32_t i = 0; i < 16; i++) t[i] =
            i < count ? load16(o + (c + i) * 16) * over : splat16(0.0f);
        transpose16(t);
        for (int32_t i = 0; i < rows; i++) put_channels(out + i * 16, plane, c0 + c, count, t[i]);
    }
}

/* Keys that come after their query are not seen: -inf. `query` is lane 0's. */
INLINE void mask(float *s, int32_t query, int32_t j0, int32_t n) {
    const v16i lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int32_t j = ebru_max_i32(query + 1 - j0, 0); j < n; j++) {
        const v16i seen = lane >= (v16i)(j0 + j - query);
        store16(s + j * 16, select16(seen, load16(s + j * 16), splat16(-__builtin_inff())));
    }
}

/* The larger of `top` and n rows, lane by lane. */
INLINE v16 highest(const float *s, int32_t n, v16 top) {
    for (int32_t j = 0; j < n; j++) top = max16(load16(s + j * 16), top);
    return top;
}

/* A task and its online softmax, in scratch. */
struct attend {
    float *s;             /* scores [QB/16][KB][16] */
    float *o;             /* [QB/16][o_rows][16]: values, summed by their weights */
    float *max, *sum;     /* [QB]: running maximum, sum of the weights relative to it */
    float *part;          /* those of the present block of keys, of queries weighed together */
    int32_t o_rows;       /* channels of the head, or more */
    int32_t rows, blocks; /* queries of the task, and in blocks of 16 */
};

/* A block of keys: n of them from key j0; queries of the task begin at q0. */
struct keys {
    int32_t q0, j0, n;
};

/* Raises the running maximum of a block of queries to `top` and scales the values summed so far to
 * it. Returns the factor, which the sum of their weights has to be scaled by, too. */
INLINE v16 raise_maximum(const struct attend *a, int32_t block, v16 top) {
    float *o = a->o + (int64_t)block * a->o_rows * 16, *max = a->max + block * 16;
    const v16 shrink = exp2_neg16(load16(max) - top);
    for (int32_t c = 0; c < a->o_rows; c++) store16(o + c * 16, load16(o + c * 16) * shrink);
    store16(max, top);
    return shrink;
}

#endif
