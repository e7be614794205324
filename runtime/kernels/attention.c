/* attn_pack_k, attn_pack_v, attention.
 *
 * A task is QB queries of one head. Everything is kept with the queries in the lanes: scores S^T = K Q^T and
 * sums O^T = V^T P^T, both by the multiply of tile.h with keys, respectively channels, as its rows. So a
 * head's d channels are rows and never padded, and the softmax over keys runs down the rows, lane by lane: no
 * sums or maxima across lanes, and what it writes is what the second multiply reads.
 *
 * For each block of KB keys: scores [QB/16][KB][16], online softmax (Milakov, Gimelshein 2018), sums
 * [QB/16][d][16]. Never more than QB*KB scores exist. */
#include "runtime/kernels/tile.h"
#include "runtime/kernels/vmath.h"

typedef float v8 __attribute__((ext_vector_type(8)));

/* n channels from channel c of a token of c16 data (x at the token), the other lanes zero. Heads usually
 * begin at a multiple of eight, so that halves of blocks move at once. */
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

EBRU_KERNEL(attn_pack_k) {
    (void)scratch;
    const int64_t plane = (int64_t)p->S * 16;
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t b = task / p->heads, c0 = p->off + task % p->heads * p->d;
        const float *x = (const float *)buf[EBRU_ATTN_PACK_X] + b * ebru_blocks16(p->C) * plane;
        float *out = (float *)buf[EBRU_ATTN_PACK_OUT] + (int64_t)task * p->S * p->d;
        for (int32_t s = 0; s < p->S; s++, out += p->d) {
            int32_t c = 0;
            for (; c + 16 <= p->d; c += 16) storeu16(out + c, channels(x + s * 16, plane, c0 + c, 16));
            if (c < p->d) store_first(out + c, channels(x + s * 16, plane, c0 + c, p->d - c), p->d - c);
        }
    }
}

EBRU_KERNEL(attn_pack_v) {
    (void)scratch;
    const int64_t plane = (int64_t)p->S * 16;
    const int32_t blocks = ebru_blocks16(p->S);
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t b = task / p->heads, c0 = p->off + task % p->heads * p->d;
        const float *x = (const float *)buf[EBRU_ATTN_PACK_X] + b * ebru_blocks16(p->C) * plane;
        float *out = (float *)buf[EBRU_ATTN_PACK_OUT] + (int64_t)task * blocks * p->d * 16;
        for (int32_t s = 0; s < blocks; s++)
            for (int32_t c = 0; c < p->d; c += 16) {
                const int32_t n = ebru_min_i32(16, p->d - c), keys = ebru_min_i32(16, p->S - s * 16);
                v16 t[16];
                UNROLL for (int32_t i = 0; i < 16; i++) t[i] =
                    i < keys ? channels(x + (s * 16 + i) * 16, plane, c0 + c, n) : splat16(0.0f);
                transpose16(t);
                for (int32_t i = 0; i < n; i++) store16(out + ((int64_t)s * p->d + c + i) * 16, t[i]);
            }
    }
}

/* c[blocks][rows][16] (+)= a[rows][k] b[blocks][k][16]. a's rows are a_row floats apart; within a row, 16
 * floats are followed by the next a_step floats on. */
INLINE void product(float *c, int64_t c_block, const float *a, int64_t a_row, int64_t a_step, const float *b,
                    int64_t b_block, int32_t rows, int32_t blocks, int32_t k, int32_t add) {
    struct tile t;
    const float *pointers[TILE_ROWS];
    t.a = pointers;
    t.b_step = b_block;
    t.sum_step = c_block;
    t.sum_row = 16;
    t.a_row = 0;
    t.a_cb = a_step - 16;
    t.a_next = a_step;
    t.cbs = k / 16;
    t.kh = t.kw = 1;
    t.rest = k % 16;
    t.add = add;
    for (int32_t n = 0, nb; n < blocks; n += nb) {
        nb = ebru_min_i32(blocks - n, TILE_MAX_BLOCKS);
        const int32_t mr = tile_max_rows(nb);
        t.b = b + n * b_block;
        t.next = t.b;
        for (int32_t m = 0; m < rows; m += mr) {
            const int32_t r = ebru_min_i32(mr, rows - m);
            for (int32_t i = 0; i < r; i++) pointers[i] = a + (m + i) * a_row;
            t.sum = c + n * c_block + m * 16;
            tile_run(&t, r, nb);
        }
    }
}

struct attend {
    float *q, *s, *o, *max, *sum; /* [QB/16][d][16], [QB/16][KB][16], [QB/16][d][16], [QB], [QB] */
    int32_t rows, blocks;         /* queries of the task, and in blocks of 16 */
};

/* Queries of a task to lanes: [d][16] a block, times the scale and log2 e, so that weights are powers of two.
 * Lanes past the last query repeat it. */
INLINE void load_queries(const struct ebru_attention_params *p, const struct attend *a, const float *q,
                         int64_t plane, int32_t c0) {
    for (int32_t n = 0; n < a->blocks; n++)
        for (int32_t c = 0; c < p->d; c += 16) {
            const int32_t count = ebru_min_i32(16, p->d - c);
            v16 t[16];
            UNROLL for (int32_t i = 0; i < 16; i++) t[i] =
                channels(q + ebru_min_i32(n * 16 + i, a->rows - 1) * 16, plane, c0 + c, count);
            transpose16(t);
            for (int32_t i = 0; i < count; i++)
                store16(a->q + ((int64_t)n * p->d + c + i) * 16, t[i] * splat16(p->scale * 1.44269504f));
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

/* Turns a block's scores into weights relative to the running maximum; rescales the running sums to it. The
 * rows from n up to a multiple of 16 become zero. */
INLINE void softmax_block(const struct ebru_attention_params *p, const struct attend *a, int32_t q0,
                          int32_t j0, int32_t n) {
    for (int32_t block = 0; block < a->blocks; block++) {
        float *s = a->s + (int64_t)block * p->KB * 16, *o = a->o + (int64_t)block * p->d * 16;
        if (p->causal && j0 + n - 1 > q0 + block * 16) mask(s, q0 + block * 16, j0, n);
        v16 top[4], total[4]; /* four chains, so that each waits for itself only */
        UNROLL for (int32_t i = 0; i < 4; i++) top[i] = splat16(-__builtin_inff()), total[i] = splat16(0.0f);
        int32_t j = 0;
        for (; j + 4 <= n; j += 4) {
            UNROLL for (int32_t i = 0; i < 4; i++) top[i] = max16(load16(s + (j + i) * 16), top[i]);
        }
        for (; j < n; j++) top[0] = max16(load16(s + j * 16), top[0]);
        const v16 old = load16(a->max + block * 16);
        const v16 high = max16(max16(max16(top[0], top[1]), max16(top[2], top[3])), old);
        for (j = 0; j + 4 <= n; j += 4) {
            UNROLL for (int32_t i = 0; i < 4; i++) {
                const v16 w = exp2_neg16(load16(s + (j + i) * 16) - high);
                store16(s + (j + i) * 16, w);
                total[i] += w;
            }
        }
        for (; j < n; j++) {
            const v16 w = exp2_neg16(load16(s + j * 16) - high);
            store16(s + j * 16, w);
            total[0] += w;
        }
        for (; j % 16 != 0; j++) store16(s + j * 16, splat16(0.0f));
        v16 sum = (total[0] + total[1]) + (total[2] + total[3]);
        if (j0 > 0) {
            const v16 shrink = exp2_neg16(old - high);
            sum += load16(a->sum + block * 16) * shrink;
            for (int32_t c = 0; c < p->d; c++) store16(o + c * 16, load16(o + c * 16) * shrink);
        }
        store16(a->sum + block * 16, sum);
        store16(a->max + block * 16, high);
    }
}

/* The sums over the weights' sums, back to channels of tokens. */
INLINE void store_result(const struct ebru_attention_params *p, const struct attend *a, float *out,
                         int64_t plane, int32_t c0) {
    for (int32_t n = 0; n < a->blocks; n++) {
        const v16 over = splat16(1.0f) / load16(a->sum + n * 16);
        for (int32_t c = 0; c < p->d; c += 16) {
            const int32_t count = ebru_min_i32(16, p->d - c), rows = ebru_min_i32(16, a->rows - n * 16);
            v16 t[16];
            UNROLL for (int32_t i = 0; i < 16; i++) t[i] =
                i < count ? load16(a->o + ((int64_t)n * p->d + c + i) * 16) * over : splat16(0.0f);
            transpose16(t);
            for (int32_t i = 0; i < rows; i++)
                put_channels(out + (n * 16 + i) * 16, plane, c0 + c, count, t[i]);
        }
    }
}

EBRU_KERNEL(attention) {
    const int32_t tiles = ebru_ceil_div(p->T, p->QB), C = p->heads * p->d;
    const int64_t plane = (int64_t)p->T * 16, head_v = (int64_t)ebru_blocks16(p->S) * p->d * 16;
    struct attend a;
    a.q = scratch;
    a.s = a.q + (int64_t)p->QB * p->d;
    a.o = a.s + (int64_t)p->QB * p->KB;
    a.max = a.o + (int64_t)p->QB * p->d;
    a.sum = a.max + p->QB;
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t b = task / (tiles * p->heads), h = task / tiles % p->heads, q0 = task % tiles * p->QB;
        const int64_t head = (int64_t)(b % p->Bk) * p->heads + h;
        const float *q =
            (const float *)buf[EBRU_ATTENTION_Q] + b * ebru_blocks16(p->C) * plane + (int64_t)q0 * 16;
        const float *k = (const float *)buf[EBRU_ATTENTION_K] + head * p->S * p->d;
        const float *v = (const float *)buf[EBRU_ATTENTION_V] + head * head_v;
        float *out = (float *)buf[EBRU_ATTENTION_OUT] + b * ebru_blocks16(C) * plane + (int64_t)q0 * 16;
        a.rows = ebru_min_i32(p->QB, p->T - q0);
        a.blocks = ebru_blocks16(a.rows);
        for (int32_t i = 0; i < a.blocks * 16; i += 16) store16(a.max + i, splat16(-__builtin_inff()));
        load_queries(p, &a, q, plane, p->off + h * p->d);
        const int32_t keys = p->causal ? ebru_min_i32(p->S, q0 + a.rows) : p->S;
        for (int32_t j0 = 0; j0 < keys; j0 += p->KB) {
            const int32_t n = ebru_min_i32(p->KB, keys - j0);
            product(a.s, (int64_t)p->KB * 16, k + (int64_t)j0 * p->d, p->d, 16, a.q, (int64_t)p->d * 16, n,
                    a.blocks, p->d, 0);
            softmax_block(p, &a, q0, j0, n);
            product(a.o, (int64_t)p->d * 16, v + (int64_t)j0 * p->d, 16, (int64_t)p->d * 16, a.s,
                    (int64_t)p->KB * 16, p->d, a.blocks, ebru_blocks16(n) * 16, j0 > 0);
        }
        store_result(p, &a, out, plane, h * p->d);
        for (int32_t i = 0; i < a.rows && h == p->heads - 1; i++)
            for (int32_t c = C; c % 16 != 0; c++) out[c / 16 * plane + i * 16 + c % 16] = 0.0f;
    }
}
