/* attn_pack_k, attn_pack_v, attention.
 *
 * A task is QB queries of one head. Everything is kept with the queries in the lanes: scores S^T =
 * K Q^T and sums O^T = V^T P^T, both by the multiply of tile.h with keys, respectively channels, as
 * its rows. So a head's d channels are rows and never padded, and the softmax over keys runs down
 * the rows, lane by lane: no sums or maxima across lanes, and what it writes is what the second
 * multiply reads.
 *
 * For each block of KB keys: scores [QB/16][KB][16], online softmax (Milakov, Gimelshein 2018),
 * sums [QB/16][d][16]. Never more than QB*KB scores exist. */
#include "runtime/kernels/attention.h"
#include "runtime/kernels/tile/attention_tile.h"
#include "runtime/kernels/tile/tile.h"
#include "runtime/kernels/vector/vmath.h"

enum { ATTN_FIRST = 4 };

EBRU_KERNEL(attn_pack_k) {
    (void)scratch;
    const int64_t plane = (int64_t)p->S * 16;
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t b = task / p->heads, c0 = p->off + task % p->heads * p->d;
        const float *x = (const float *)buf[EBRU_ATTN_PACK_X] + b * ebru_blocks16(p->C) * plane;
        float *out = (float *)buf[EBRU_ATTN_PACK_OUT] + (int64_t)task * p->S * p->d;
        for (int32_t s = 0; s < p->S; s++, out += p->d) {
            int32_t c = 0;
            for (; c + 16 <= p->d; c += 16)
                storeu16(out + c, channels(x + s * 16, plane, c0 + c, 16));
            if (c < p->d)
                store_first(out + c, channels(x + s * 16, plane, c0 + c, p->d - c), p->d - c);
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
                const int32_t n = ebru_min_i32(16, p->d - c),
                              keys = ebru_min_i32(16, p->S - s * 16);
                v16 t[16];
                UNROLL for (int32_t i = 0; i < 16; i++) t[i] =
                    i < keys ? channels(x + (s * 16 + i) * 16, plane, c0 + c, n) : splat16(0.0f);
                transpose16(t);
                for (int32_t i = 0; i < n; i++)
                    store16(out + ((int64_t)s * p->d + c + i) * 16, t[i]);
            }
    }
}

/* c[blocks][rows][16] (+)= a[rows][k] b[blocks][k][16]. a's rows are a_row floats apart; within a
 * row, 16 floats are followed by the next a_step floats on. */
INLINE void product(float *c, int64_t c_block, const float *a, int64_t a_row, int64_t a_step,
                    const float *b, int64_t b_block, int32_t rows, int32_t blocks, int32_t k,
                    int32_t add) {
    struct tile t;
    const float *pointers[TILE_ROWS];
    t.a = pointers;
    t.line = NULL;
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
    float *q, *s, *o; /* [QB/16][d][16], scores or weights [QB/16][KB][16], sums [QB/16][d][16] */
    float *base, *sum,
        *part; /* [QB] what weights are relative to, their sums, those of a block of keys */
    int32_t rows, blocks; /* queries of the task, and in blocks of 16 */
};

/* Queries of a task to lanes: [d][16] a block, times the scale and log2 e, so that weights are
 * powers of two. Lanes past the last query repeat it. */
INLINE void load_queries(const struct ebru_attention_params *p, const struct attend *a,
                         const float *q, int64_t plane, int32_t c0) {
    for (int32_t n = 0; n < a->blocks; n++)
        for (int32_t c = 0; c < p->d; c += 16) {
            const int32_t count = ebru_min_i32(16, p->d - c);
            v16 t[16];
            take_queries(t, q + n * 256, plane, c0 + c, count, a->rows - n * 16, p->scale);
            for (int32_t i = 0; i < count; i++)
                store16(a->q + ((int64_t)n * p->d + c + i) * 16, t[i]);
        }
}

/* Scores of n keys from key j0: [QB/16][KB][16]. */
INLINE void scores(const struct ebru_attention_params *p, const struct attend *a, const float *k,
                   int32_t q0, int32_t j0, int32_t n) {
    product(a->s, (int64_t)p->KB * 16, k + (int64_t)j0 * p->d, p->d, 16, a->q, (int64_t)p->d * 16,
            n, a->blocks, p->d, 0);
    for (int32_t block = 0; block < a->blocks && p->causal; block++)
        if (j0 + n - 1 > q0 + block * 16)
            mask(a->s + (int64_t)block * p->KB * 16, q0 + block * 16, j0, n);
}

/* The base that weights start from: the greatest score of a few keys that all queries see. */
INLINE void first_base(const struct ebru_attention_params *p, const struct attend *a,
                       const float *k) {
    const int32_t n = p->causal ? 1 : ebru_min_i32(p->S, ATTN_FIRST);
    product(a->s, (int64_t)p->KB * 16, k, p->d, 16, a->q, (int64_t)p->d * 16, n, a->blocks, p->d,
            0);
    for (int32_t block = 0; block < a->blocks; block++)
        store16(a->base + block * 16,
                highest(a->s + (int64_t)block * p->KB * 16, n, splat16(-__builtin_inff())));
}

/* Weights of n keys from key j0, the slow way: the base rises to the greatest score, what has been
 * summed is rescaled to it. */
INLINE void raise_base(const struct ebru_attention_params *p, const struct attend *a,
                       const float *k, int32_t q0, int32_t j0, int32_t n) {
    scores(p, a, k, q0, j0, n);
    for (int32_t block = 0; block < a->blocks; block++) {
        float *s = a->s + (int64_t)block * p->KB * 16, *o = a->o + (int64_t)block * p->d * 16;
        const v16 old = load16(a->base + block * 16), high = highest(s, n, old);
        v16 sum = splat16(0.0f);
        int32_t j = 0;
        for (; j < n; j++) {
            const v16 w = exp2_neg16(load16(s + j * 16) - high);
            store16(s + j * 16, w);
            sum += w;
        }
        for (; j % 16 != 0; j++) store16(s + j * 16, splat16(0.0f));
        if (j0 > 0) {
            const v16 shrink = exp2_neg16(old - high);
            sum += load16(a->sum + block * 16) * shrink;
            for (int32_t c = 0; c < p->d; c++) store16(o + c * 16, load16(o + c * 16) * shrink);
        }
        store16(a->sum + block * 16, sum);
        store16(a->base + block * 16, high);
    }
}

/* Weights of n keys from key j0 relative to the base, and their sums. No maximum is looked for:
 * that every weight is small enough shows in their sum. Seldom are they not. */
INLINE void weights(const struct ebru_attention_params *p, const struct attend *a, const float *k,
                    int32_t q0, int32_t j0, int32_t n) {
    if (p->causal && j0 + n - 1 > q0) {
        raise_base(p, a, k, q0, j0, n);
        return;
    }
    struct attn_weights t;
    t.d = p->d;
    t.q_block = (int64_t)p->d * 16;
    t.w_block = (int64_t)p->KB * 16;
    for (int32_t block = 0; block < a->blocks; block++)
        store16(a->part + block * 16, splat16(0.0f));
    for (int32_t m = 0; m < n; m += ATTN_ROWS) {
        t.k = k + (int64_t)(j0 + m) * p->d;
        t.rows = ebru_min_i32(ATTN_ROWS, n - m);
        for (int32_t block = 0, nb; block < a->blocks; block += nb) {
            nb = ebru_min_i32(a->blocks - block, ATTN_MAX_BLOCKS);
            t.q = a->q + block * t.q_block;
            t.w = a->s + block * t.w_block + m * 16;
            t.base = a->base + block * 16;
            t.sum = a->part + block * 16;
            attn_weights_run(&t, nb);
        }
    }
    v16i fits = (v16i)(0) == (v16i)(0);
    for (int32_t block = 0; block < a->blocks; block++)
        fits &= load16(a->part + block * 16) <= splat16(0x1p60f);
    if (!all16(fits)) {
        raise_base(p, a, k, q0, j0, n);
        return;
    }
    for (int32_t block = 0; block < a->blocks; block++) {
        float *s = a->s + (int64_t)block * p->KB * 16;
        for (int32_t j = ebru_ceil_div(n, ATTN_ROWS) * ATTN_ROWS; j % 16 != 0; j++)
            store16(s + j * 16, splat16(0.0f));
        v16 sum = load16(a->part + block * 16);
        if (j0 > 0) sum += load16(a->sum + block * 16);
        store16(a->sum + block * 16, sum);
    }
}

/* Sums of values by the weights of `groups` times 16 keys. */
INLINE void sums(const struct ebru_attention_params *p, const struct attend *a, const float *v,
                 int32_t groups, int32_t add) {
    const int32_t whole = p->d / ATTN_ROWS * ATTN_ROWS;
    const int64_t o_block = (int64_t)p->d * 16, w_block = (int64_t)p->KB * 16;
    struct attn_sums t;
    t.w_block = w_block;
    t.o_block = o_block;
    t.d = p->d;
    t.groups = groups;
    t.add = add;
    for (int32_t block = 0, nb; block < a->blocks; block += nb) {
        nb = ebru_min_i32(a->blocks - block, ATTN_MAX_BLOCKS);
        t.w = a->s + block * w_block;
        for (int32_t c = 0; c < whole; c += ATTN_ROWS) {
            t.v = v + c * 16;
            t.o = a->o + block * o_block + c * 16;
            attn_sums_run(&t, nb);
        }
    }
    if (whole < p->d)
        product(a->o + whole * 16, o_block, v + whole * 16, 16, o_block, a->s, w_block,
                p->d - whole, a->blocks, groups * 16, add);
}

/* The sums over the weights' sums, back to channels of tokens. */
INLINE void store_result(const struct ebru_attention_params *p, const struct attend *a, float *out,
                         int64_t plane, int32_t c0) {
    for (int32_t n = 0; n < a->blocks; n++)
        put_queries(out + n * 256, plane, c0, p->d, a->o + (int64_t)n * p->d * 16,
                    load16(a->sum + n * 16), ebru_min_i32(16, a->rows - n * 16));
}

EBRU_KERNEL(attention) {
    const int32_t tiles = ebru_ceil_div(p->T, p->QB), C = p->heads * p->d;
    const int64_t plane = (int64_t)p->T * 16, head_v = (int64_t)ebru_blocks16(p->S) * p->d * 16;
    struct attend a;
    a.q = scratch;
    a.s = a.q + (int64_t)p->QB * p->d;
    a.o = a.s + (int64_t)p->QB * p->KB;
    a.base = a.o + (int64_t)p->QB * p->d;
    a.sum = a.base + p->QB;
    a.part = a.sum + p->QB;
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t b = task / (tiles * p->heads), h = task / tiles % p->heads,
                      q0 = task % tiles * p->QB;
        const int64_t head = (int64_t)(b % p->Bk) * p->heads + h;
        const float *q = (const float *)buf[EBRU_ATTENTION_Q] + b * ebru_blocks16(p->C) * plane +
                         (int64_t)q0 * 16;
        const float *k = (const float *)buf[EBRU_ATTENTION_K] + head * p->S * p->d;
        const float *v = (const float *)buf[EBRU_ATTENTION_V] + head * head_v;
        float *out =
            (float *)buf[EBRU_ATTENTION_OUT] + b * ebru_blocks16(C) * plane + (int64_t)q0 * 16;
        a.rows = ebru_min_i32(p->QB, p->T - q0);
        a.blocks = ebru_blocks16(a.rows);
        load_queries(p, &a, q, plane, p->off + h * p->d);
        first_base(p, &a, k);
        const int32_t keys = p->causal ? ebru_min_i32(p->S, q0 + a.rows) : p->S;
        for (int32_t j0 = 0; j0 < keys; j0 += p->KB) {
            const int32_t n = ebru_min_i32(p->KB, keys - j0);
            weights(p, &a, k, q0, j0, n);
            sums(p, &a, v + (int64_t)j0 * p->d, ebru_blocks16(n), j0 > 0);
        }
        store_result(p, &a, out, plane, h * p->d);
        for (int32_t i = 0; i < a.rows && h == p->heads - 1; i++)
            for (int32_t c = C; c % 16 != 0; c++) out[c / 16 * plane + i * 16 + c % 16] = 0.0f;
    }
}
