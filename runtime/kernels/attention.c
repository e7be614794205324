/* attn_pack_k, attn_pack_v, attention.
 *
 * A task is QB queries of one head. For each block of KB keys: scores [QB][KB] by the multiply of tile.h
 * (rows of queries times columns of packed keys), online softmax over the rows (Milakov, Gimelshein 2018),
 * sums [QB][d] by the same multiply over packed values. Never more than QB*KB scores exist. */
#include "runtime/kernels/tile.h"
#include "runtime/kernels/vmath.h"

EBRU_KERNEL(attn_pack_k) {
    (void)scratch;
    const int64_t plane = (int64_t)p->S * 16;
    const int32_t blocks = ebru_blocks16(p->S);
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t b = task / p->heads, c0 = p->off + task % p->heads * p->d;
        const float *x = (const float *)buf[EBRU_ATTN_PACK_X] + b * ebru_blocks16(p->C) * plane;
        float *out = (float *)buf[EBRU_ATTN_PACK_OUT] + (int64_t)task * blocks * p->d * 16;
        for (int32_t s = 0; s < blocks; s++) {
            const int32_t n = ebru_min_i32(16, p->S - s * 16);
            for (int32_t i = 0; i < p->d; i++) {
                const float *from = x + (c0 + i) / 16 * plane + (int64_t)s * 256 + (c0 + i) % 16;
                v16 v = splat16(0.0f);
                for (int32_t l = 0; l < n; l++) v[l] = from[l * 16];
                store16(out + ((int64_t)s * p->d + i) * 16, v);
            }
        }
    }
}

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

EBRU_KERNEL(attn_pack_v) {
    (void)scratch;
    const int64_t plane = (int64_t)p->S * 16;
    const int32_t blocks = ebru_blocks16(p->d);
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t b = task / p->heads, c0 = p->off + task % p->heads * p->d;
        const float *x = (const float *)buf[EBRU_ATTN_PACK_X] + b * ebru_blocks16(p->C) * plane;
        float *out = (float *)buf[EBRU_ATTN_PACK_OUT] + (int64_t)task * blocks * plane;
        for (int32_t i = 0; i < blocks; i++) {
            const int32_t n = ebru_min_i32(16, p->d - i * 16);
            for (int32_t s = 0; s < p->S; s++)
                store16(out + i * plane + (int64_t)s * 16,
                        channels(x + (int64_t)s * 16, plane, c0 + i * 16, n));
        }
    }
}

/* c[rows][columns of blocks] (+)= a[rows][k] b, b as blocks of [k][16]; row strides in floats. */
INLINE void product(float *c, int64_t c_row, const float *a, int64_t a_row, const float *b, int64_t b_step,
                    int32_t rows, int32_t blocks, int32_t k, int32_t add) {
    struct tile t;
    const float *pointers[TILE_ROWS];
    t.a = pointers;
    t.b_step = b_step;
    t.sum_step = 16;
    t.sum_row = c_row;
    t.a_row = t.a_cb = 0;
    t.cbs = k / 16;
    t.kh = t.kw = 1;
    t.rest = k % 16;
    t.add = add;
    for (int32_t n = 0, nb; n < blocks; n += nb) {
        nb = ebru_min_i32(blocks - n, TILE_MAX_BLOCKS);
        const int32_t mr = ebru_min_i32(tile_max_rows(nb), 6);
        t.b = b + n * b_step;
        t.next = t.b;
        for (int32_t m = 0; m < rows; m += mr) {
            const int32_t r = ebru_min_i32(mr, rows - m);
            for (int32_t i = 0; i < r; i++) pointers[i] = a + (m + i) * a_row;
            t.sum = c + m * c_row + n * 16;
            tile_run(&t, r, nb);
        }
    }
}

struct attend {
    float *q, *s, *o, *max, *sum; /* [QB][dp], [QB][KB], [QB][dp], [QB], [QB] */
    int32_t rows, dp;             /* queries of the task, d up to a multiple of 16 */
};

/* Keys of the block starting at j0 with n keys that query row i may see. */
INLINE int32_t visible(const struct ebru_attention_params *p, int32_t query, int32_t j0, int32_t n) {
    return p->causal ? ebru_max_i32(0, ebru_min_i32(n, query + 1 - j0)) : n;
}

/* Turns the block's scores into weights relative to the running maximum; rescales the running sums to it. */
INLINE void softmax_block(const struct ebru_attention_params *p, const struct attend *a, int32_t q0,
                          int32_t j0, int32_t n) {
    const v16 none = splat16(-__builtin_inff());
    for (int32_t i = 0; i < a->rows; i++) {
        float *s = a->s + (int64_t)i * p->KB;
        const int32_t seen = visible(p, q0 + i, j0, n), whole = seen / 16 * 16;
        v16 top = none;
        for (int32_t j = 0; j < whole; j += 16) top = max16(load16(s + j), top);
        if (whole < n) { /* what is not seen becomes -inf, up to the block's end */
            const v16i lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
            for (int32_t j = whole; j < n; j += 16) {
                const v16 v = select16(lane < (v16i)(seen - j), load16(s + j), none);
                store16(s + j, v);
                top = max16(v, top);
            }
        }
        const float m = max_of16(top), old = a->max[i], high = m > old ? m : old;
        v16 total = splat16(0.0f);
        for (int32_t j = 0; j < n; j += 16) {
            const v16 w = exp16_neg(load16(s + j) - splat16(high));
            store16(s + j, w);
            total += w;
        }
        if (j0 == 0) {
            a->sum[i] = sum16(total);
        } else {
            const v16 shrink = exp16_neg(splat16(old - high));
            float *o = a->o + i * a->dp;
            a->sum[i] = a->sum[i] * shrink[0] + sum16(total);
            for (int32_t c = 0; c < a->dp; c += 16) store16(o + c, load16(o + c) * shrink);
        }
        a->max[i] = high;
    }
}

EBRU_KERNEL(attention) {
    const int32_t blocks = ebru_ceil_div(p->T, p->QB), db = ebru_blocks16(p->d), sb = ebru_blocks16(p->S);
    const int32_t C = p->heads * p->d;
    const int64_t plane = (int64_t)p->T * 16;
    struct attend a;
    a.dp = db * 16;
    a.q = scratch;
    a.s = a.q + (int64_t)p->QB * a.dp;
    a.o = a.s + (int64_t)p->QB * p->KB;
    a.max = a.o + (int64_t)p->QB * a.dp;
    a.sum = a.max + (p->QB + 15) / 16 * 16;
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t b = task / (blocks * p->heads), h = task / blocks % p->heads,
                      q0 = task % blocks * p->QB;
        const int64_t head = (int64_t)(b % p->Bk) * p->heads + h;
        const float *q =
            (const float *)buf[EBRU_ATTENTION_Q] + b * ebru_blocks16(p->C) * plane + (int64_t)q0 * 16;
        const float *k = (const float *)buf[EBRU_ATTENTION_K] + head * sb * p->d * 16;
        const float *v = (const float *)buf[EBRU_ATTENTION_V] + head * db * p->S * 16;
        float *out = (float *)buf[EBRU_ATTENTION_OUT] + b * ebru_blocks16(C) * plane + (int64_t)q0 * 16;
        a.rows = ebru_min_i32(p->QB, p->T - q0);
        for (int32_t i = 0; i < a.rows; i++) {
            a.max[i] = -__builtin_inff();
            for (int32_t c = 0; c < p->d; c += 16)
                store16(a.q + i * a.dp + c,
                        splat16(p->scale) *
                            channels(q + i * 16, plane, p->off + h * p->d + c, ebru_min_i32(16, p->d - c)));
        }
        const int32_t keys = p->causal ? ebru_min_i32(p->S, q0 + a.rows) : p->S;
        for (int32_t j0 = 0; j0 < keys; j0 += p->KB) {
            const int32_t n = ebru_min_i32(p->KB, keys - j0);
            product(a.s, p->KB, a.q, a.dp, k + (int64_t)j0 * p->d, (int64_t)p->d * 16, a.rows,
                    ebru_blocks16(n), p->d, 0);
            softmax_block(p, &a, q0, j0, n);
            product(a.o, a.dp, a.s, p->KB, v + (int64_t)j0 * 16, (int64_t)p->S * 16, a.rows, db, n, j0 > 0);
        }
        for (int32_t i = 0; i < a.rows; i++) {
            const v16 over = splat16(1.0f / a.sum[i]);
            for (int32_t c = 0; c < p->d; c += 16) {
                const v16 r = load16(a.o + i * a.dp + c) * over;
                put_channels(out + i * 16, plane, h * p->d + c, ebru_min_i32(16, p->d - c), r);
            }
            if (h == p->heads - 1)
                for (int32_t c = C; c % 16 != 0; c++) out[c / 16 * plane + i * 16 + c % 16] = 0.0f;
        }
    }
}
