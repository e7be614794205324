/* attn_pack_k, attn_pack_v, attention.
 *
 * The products of attention_loop.h in f32, by the register tiles of tile.h and attention_tile.h. A
 * head's d channels are rows and never padded. */
#include "runtime/kernels/attention.h"
#include "runtime/kernels/tile/attention_tile.h"
#include "runtime/kernels/tile/tile.h"

EBRU_KERNEL(attn_pack_k) {
    (void)scratch;
    const int64_t plane = (int64_t)p->S * 16;
    const int32_t parts = ebru_ceil_div(p->S, EBRU_ATTN_PACK_TOKENS);
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t head = task / parts, b = head / p->heads,
                      c0 = p->off + head % p->heads * p->d,
                      s0 = task % parts * EBRU_ATTN_PACK_TOKENS,
                      s1 = ebru_min_i32(s0 + EBRU_ATTN_PACK_TOKENS, p->S);
        const float *x = (const float *)buf[EBRU_ATTN_PACK_X] + b * ebru_blocks16(p->C) * plane;
        float *out = (float *)buf[EBRU_ATTN_PACK_OUT] + ((int64_t)head * p->S + s0) * p->d;
        for (int32_t s = s0; s < s1; s++, out += p->d) {
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
    const int32_t parts = ebru_ceil_div(p->S, EBRU_ATTN_PACK_TOKENS);
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t head = task / parts, b = head / p->heads,
                      c0 = p->off + head % p->heads * p->d,
                      s0 = task % parts * EBRU_ATTN_PACK_TOKENS,
                      s1 = ebru_min_i32(s0 + EBRU_ATTN_PACK_TOKENS, p->S);
        const float *x = (const float *)buf[EBRU_ATTN_PACK_X] + b * ebru_blocks16(p->C) * plane;
        float *out = (float *)buf[EBRU_ATTN_PACK_OUT] + (int64_t)head * blocks * p->d * 16;
        for (int32_t s = s0 / 16; s * 16 < s1; s++)
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
INLINE void multiply(float *c, int64_t c_block, const float *a, int64_t a_row, int64_t a_step,
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

typedef struct ebru_attention_params attn_params;

enum {
    ATTN_FIRST = 4,          /* keys that set the running maximum */
    ATTN_WEIGHED = INT32_MAX /* all queries of a task */
};

struct product {
    struct attend a;    /* scores become weights in place */
    float *q;           /* [QB/16][d][16] */
    const float *k, *v; /* of the head */
};

INLINE void product_head(const attn_params *p, struct product *x, void *const *buf, int64_t head) {
    x->k = (const float *)buf[EBRU_ATTENTION_K] + head * p->S * p->d;
    x->v = (const float *)buf[EBRU_ATTENTION_V] + head * ((int64_t)ebru_blocks16(p->S) * p->d * 16);
}

/* [d][16] a block, times the scale and log2 e, so that weights are powers of two. Lanes past the
 * last query repeat it. */
INLINE void product_queries(const attn_params *p, const struct product *x, const float *q,
                            int64_t plane, int32_t c0) {
    for (int32_t n = 0; n < x->a.blocks; n++)
        for (int32_t c = 0; c < p->d; c += 16) {
            const int32_t count = ebru_min_i32(16, p->d - c);
            v16 t[16];
            take_queries(t, q + n * 256, plane, c0 + c, count, x->a.rows - n * 16, p->scale);
            for (int32_t i = 0; i < count; i++)
                store16(x->q + ((int64_t)n * p->d + c + i) * 16, t[i]);
        }
}

INLINE void product_keys(const attn_params *p, const struct product *x, const struct keys *k) {
    (void)p, (void)x, (void)k; /* they are read as they lie */
}

/* Scores of n keys from key j0, of `count` blocks of queries. */
INLINE void scores(const attn_params *p, const struct product *x, int32_t j0, int32_t n,
                   int32_t first, int32_t count) {
    const int64_t s_block = (int64_t)p->KB * 16, q_block = (int64_t)p->d * 16;
    multiply(x->a.s + first * s_block, s_block, x->k + (int64_t)j0 * p->d, p->d, 16,
             x->q + first * q_block, q_block, n, count, p->d, 0);
}

/* The greatest score of a few keys that all queries see. */
INLINE void first_maximum(const attn_params *p, const struct product *x) {
    const int32_t n = p->causal ? 1 : ebru_min_i32(p->S, ATTN_FIRST);
    scores(p, x, 0, n, 0, x->a.blocks);
    for (int32_t block = 0; block < x->a.blocks; block++)
        store16(x->a.max + block * 16,
                highest(x->a.s + (int64_t)block * p->KB * 16, n, splat16(-__builtin_inff())));
}

/* Scores become weights before they leave the registers; not where some keys are masked. The
 * `count` blocks of queries are all of the task. */
INLINE int32_t product_weigh(const attn_params *p, const struct product *x, const struct keys *k,
                             int32_t first, int32_t count) {
    const struct attend *a = &x->a;
    (void)first; /* 0 */
    if (k->j0 == 0) first_maximum(p, x);
    if (p->causal && k->j0 + k->n - 1 > k->q0) return 0;
    struct attn_weights t;
    t.d = p->d;
    t.q_block = (int64_t)p->d * 16;
    t.w_block = (int64_t)p->KB * 16;
    for (int32_t block = 0; block < count; block++) store16(a->part + block * 16, splat16(0.0f));
    for (int32_t m = 0; m < k->n; m += ATTN_ROWS) {
        t.k = x->k + (int64_t)(k->j0 + m) * p->d;
        t.rows = ebru_min_i32(ATTN_ROWS, k->n - m);
        for (int32_t block = 0, nb; block < count; block += nb) {
            nb = ebru_min_i32(count - block, ATTN_MAX_BLOCKS);
            t.q = x->q + block * t.q_block;
            t.w = a->s + block * t.w_block + m * 16;
            t.max = a->max + block * 16;
            t.sum = a->part + block * 16;
            attn_weights_run(&t, nb);
        }
    }
    for (int32_t block = 0; block < count; block++)
        for (int32_t j = ebru_ceil_div(k->n, ATTN_ROWS) * ATTN_ROWS; j % 16 != 0; j++)
            store16(a->s + ((int64_t)block * p->KB + j) * 16, splat16(0.0f));
    return 1;
}

/* The slow way: all scores first. `part` gets the sum of all weights so far. */
INLINE void product_raise(const attn_params *p, const struct product *x, const struct keys *k,
                          int32_t first, int32_t count, float *part) {
    const struct attend *a = &x->a;
    scores(p, x, k->j0, k->n, first, count);
    for (int32_t block = first; block < first + count; block++) {
        float *s = a->s + (int64_t)block * p->KB * 16;
        const int32_t query = k->q0 + block * 16;
        if (p->causal && k->j0 + k->n - 1 > query) mask(s, query, k->j0, k->n);
        const v16 top = highest(s, k->n, load16(a->max + block * 16));
        v16 sum = splat16(0.0f);
        int32_t j = 0;
        for (; j < k->n; j++) {
            const v16 w = exp2_neg16(load16(s + j * 16) - top);
            store16(s + j * 16, w);
            sum += w;
        }
        for (; j % 16 != 0; j++) store16(s + j * 16, splat16(0.0f));
        if (k->j0 > 0) {
            const v16 shrink = raise_maximum(a, block, top);
            sum += load16(a->sum + block * 16) * shrink;
            store16(a->sum + block * 16, splat16(0.0f));
        } else {
            store16(a->max + block * 16, top);
        }
        store16(part + (block - first) * 16, sum);
    }
}

INLINE void product_values(const attn_params *p, const struct product *x, const struct keys *k) {
    const struct attend *a = &x->a;
    const int32_t whole = p->d / ATTN_ROWS * ATTN_ROWS, groups = ebru_blocks16(k->n);
    const int64_t o_block = (int64_t)p->d * 16, w_block = (int64_t)p->KB * 16;
    const float *v = x->v + (int64_t)k->j0 * p->d;
    struct attn_sums t;
    t.w_block = w_block;
    t.o_block = o_block;
    t.d = p->d;
    t.groups = groups;
    t.add = k->j0 > 0;
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
        multiply(a->o + whole * 16, o_block, v + whole * 16, 16, o_block, a->s, w_block,
                 p->d - whole, a->blocks, groups * 16, k->j0 > 0);
}

#include "runtime/kernels/attention_loop.h"

EBRU_KERNEL(attention) {
    struct product x = {.q = scratch};
    x.a.s = x.q + (int64_t)p->QB * p->d;
    x.a.o = x.a.s + (int64_t)p->QB * p->KB;
    x.a.max = x.a.o + (int64_t)p->QB * p->d;
    x.a.sum = x.a.max + p->QB;
    x.a.part = x.a.sum + p->QB;
    x.a.o_rows = p->d;
    attend_tasks(p, &x, buf, task_begin, task_end);
}
