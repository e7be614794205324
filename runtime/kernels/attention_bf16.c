/* attn_pack_k_bf16, attn_pack_v_bf16, attention_bf16.
 *
 * The products of attention_loop.h with operands rounded to bf16, by the register tiles of
 * tile_bf16.h: rows are cells of 32 channels of a key, respectively of 32 keys of a channel,
 * columns are queries in VNNI layout. Softmax is f32: the scores of a block of keys become weights
 * and, rounded, the columns of the second product; by attention_bf16_tile.h while they are in
 * registers, where the level has it. */
#include "runtime/kernels/attention.h"
#include "runtime/kernels/tile/attention_bf16_tile.h"
#include "runtime/kernels/tile/tile_bf16.h"

enum {
    WIDE = CELL_FORM == EBRU_BF16_WIDE,
    PAIR = ATTN_BF16_PAIR,
    BLOCK = 512,          /* bf16s of 32 rows in VNNI layout */
    STEP = ATTN_BF16_KEYS /* keys whose scores become weights at once */
};

typedef uint16_t v16s __attribute__((ext_vector_type(16), aligned(32)));

/* x as bf16s: hi at `to`, lo `part` further on. */
INLINE void put_parts(uint16_t *to, v16 x, int32_t parts, int64_t part) {
    const v16u hi = bf16_upper(x);
    *(v16s *)to = __builtin_convertvector(hi >> 16, v16s);
    if (parts == 2)
        *(v16s *)(to + part) = __builtin_convertvector(bf16_upper(x - (v16)hi) >> 16, v16s);
}

/* Two rows in VNNI layout: hi at `to`, lo a block further on. */
INLINE void put_vnni(uint16_t *to, v16 even, v16 odd, int32_t parts) {
    const v16u hi = bf16_vnni(even, odd);
    *(v16u *)(void *)to = hi;
    if (parts == 2)
        *(v16u *)(void *)(to + BLOCK) =
            bf16_vnni(even - (v16)(hi << 16), odd - (v16)(hi & splatu(0xffff0000)));
}

/* 2^x for a weight: with one part of bf16, 2^-9 good, an error of 7.5e-5 does not show. */
INLINE v16 weight16(v16 x, int32_t parts) {
#if defined(__AVX512DQ__)
    if (parts == 1) return exp2_coarse16(x);
#endif
    (void)parts;
    return exp2_weight16(x);
}

EBRU_KERNEL(attn_pack_k_bf16) {
    (void)scratch;
    const int64_t plane = (int64_t)p->S * 16, part = ebru_attn_k_part(p->S, p->d);
    const int32_t rows = ebru_blocks16(p->S) * 16;
    const int32_t parts = ebru_ceil_div(p->S, EBRU_ATTN_PACK_TOKENS);
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t head = task / parts, b = head / p->heads,
                      c0 = p->off + head % p->heads * p->d,
                      s0 = task % parts * EBRU_ATTN_PACK_TOKENS,
                      s1 = ebru_min_i32(s0 + EBRU_ATTN_PACK_TOKENS, p->S);
        const float *x = (const float *)buf[EBRU_ATTN_PACK_X] + b * ebru_blocks16(p->C) * plane;
        uint16_t *out = (uint16_t *)buf[EBRU_ATTN_PACK_OUT] + head * part * p->parts;
        for (int32_t c = 0; c < ebru_blocks32(p->d) * 32; c += 16) {
            uint16_t *to = out + (int64_t)(c / 32) * rows * 32 + c % 32;
            const int32_t n = ebru_min_i32(16, p->d - c);
            for (int32_t s = s0; s < ebru_blocks16(s1) * 16; s++) {
                const v16 v =
                    s < p->S && n > 0 ? channels(x + s * 16, plane, c0 + c, n) : splat16(0.0f);
                put_parts(to + (int64_t)s * 32, v, p->parts, part);
            }
        }
    }
}

EBRU_KERNEL(attn_pack_v_bf16) {
    (void)scratch;
    const int64_t plane = (int64_t)p->S * 16, part = ebru_attn_v_part(p->S, p->d);
    const int32_t rows = ebru_blocks16(p->d) * 16;
    const int32_t parts = ebru_ceil_div(p->S, EBRU_ATTN_PACK_TOKENS);
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t head = task / parts, b = head / p->heads,
                      c0 = p->off + head % p->heads * p->d,
                      s0 = task % parts * EBRU_ATTN_PACK_TOKENS,
                      s1 = ebru_min_i32(s0 + EBRU_ATTN_PACK_TOKENS, p->S);
        const float *x = (const float *)buf[EBRU_ATTN_PACK_X] + b * ebru_blocks16(p->C) * plane;
        uint16_t *out = (uint16_t *)buf[EBRU_ATTN_PACK_OUT] + head * part * p->parts;
        for (int32_t s = s0; s < ebru_blocks32(s1) * 32; s += 16)
            for (int32_t c = 0; c < p->d; c += 16) {
                uint16_t *to = out + ((int64_t)(s / 32) * rows + c) * 32 + s % 32;
                const int32_t n = ebru_min_i32(16, p->d - c);
                v16 t[16];
                UNROLL for (int32_t i = 0; i < 16; i++) t[i] =
                    s + i < p->S ? channels(x + (s + i) * 16, plane, c0 + c, n) : splat16(0.0f);
                transpose16(t);
                UNROLL for (int32_t i = 0; i < 16; i++)
                    put_parts(to + i * 32, t[i], p->parts, part);
            }
    }
}

typedef struct ebru_attention_bf16_params attn_params;

enum { ATTN_WEIGHED = TILE_BF16_BLOCKS };
_Static_assert(!ATTN_BF16_WEIGHTS || TILE_BF16_BLOCKS <= (int)ATTN_BF16_BLOCKS,
               "weights in registers take fewer blocks");

struct product {
    struct attend a;
    uint16_t *q, *w; /* VNNI layout [QB/16][ceil(d/32)], [QB/16][KB/32] of [parts][16][16][2] */
    float *wide_k, *wide_v; /* WIDE: cells [ceil(d/32)][KB], [KB/32][o_rows] */
    const uint16_t *k, *v;  /* packed, of the head */
    const cell_t *cells;    /* of a block of keys; */
    int64_t plane, k_part;  /* to the next 32 channels of them, to the next part */
};

/* c[blocks][rows][16] (+)= rows of cells by blocks of 16 columns, over a reduction of `length`. The
 * rows, with matrix registers a multiple of 16, lie side by side, cells of the next 32 of the
 * reduction a plane further on. */
INLINE void multiply(float *c, int64_t c_block, const cell_t *a, int64_t a_plane, int64_t a_part,
                     const uint16_t *b, int64_t b_block, int32_t rows, int32_t blocks,
                     int32_t length, int32_t parts, int32_t add) {
    struct tile_bf16 t;
    const cell_t *pointers[TILE_BF16_ROWS];
    t.a = pointers;
    t.b_step = b_block;
    t.sum_step = c_block;
    t.a_row = 0;
    t.a_cb = a_plane - CELL;
    t.a_step = CELL;
    t.next_step = 0; /* operands are in L2 */
    t.a_part = a_part;
    t.cbs = ebru_blocks32(length);
    t.last = tile_bf16_last(length);
    t.kh = t.kw = 1;
    t.add = add;
    for (int32_t n = 0, nb; n < blocks; n += nb) {
        nb = ebru_min_i32(blocks - n, TILE_BF16_BLOCKS);
        t.b = t.next = b + n * b_block;
        for (int32_t m = 0, mr; m < rows; m += mr * TILE_BF16_SEGMENT) {
            mr = ebru_min_i32((rows - m) / TILE_BF16_SEGMENT, TILE_BF16_ROWS);
            for (int32_t i = 0; i < mr; i++)
                pointers[i] = a + (int64_t)(m + i * TILE_BF16_SEGMENT) * CELL;
            t.sum = c + n * c_block + m * 16;
            tile_bf16_run(&t, mr, nb, parts);
        }
    }
}

/* Packed cells to f32 ones, their parts added up: planes of `rows`, from_plane and to_plane apart.
 */
INLINE void widen(float *to, int64_t to_plane, const uint16_t *from, int64_t from_plane,
                  int64_t part, int32_t rows, int32_t planes, int32_t parts) {
    for (int32_t k = 0; k < planes; k++)
        for (int64_t i = 0; i < (int64_t)rows * CELL; i += 16) {
            const uint16_t *x = from + k * from_plane + i;
            v16 v = (v16)(__builtin_convertvector(*(const v16s *)x, v16u) << 16);
            if (parts == 2)
                v += (v16)(__builtin_convertvector(*(const v16s *)(x + part), v16u) << 16);
            store16(to + k * to_plane + i, v);
        }
}

INLINE void product_head(const attn_params *p, struct product *x, void *const *buf, int64_t head) {
    head *= p->parts;
    x->k = (const uint16_t *)buf[EBRU_ATTENTION_K] + head * ebru_attn_k_part(p->S, p->d);
    x->v = (const uint16_t *)buf[EBRU_ATTENTION_V] + head * ebru_attn_v_part(p->S, p->d);
}

INLINE void product_queries(const attn_params *p, const struct product *x, const float *q,
                            int64_t plane, int32_t c0) {
    for (int32_t n = 0; n < x->a.blocks; n++)
        for (int32_t c = 0; c < ebru_blocks32(p->d) * 32; c += 16) {
            uint16_t *to = x->q + ((int64_t)n * ebru_blocks32(p->d) + c / 32) * BLOCK * p->parts;
            v16 t[16];
            if (c < p->d)
                take_queries(t, q + n * 256, plane, c0 + c, ebru_min_i32(16, p->d - c),
                             x->a.rows - n * 16, p->scale);
            else
                for (int32_t i = 0; i < 16; i++) t[i] = splat16(0.0f);
            UNROLL for (int32_t i = 0; i < 16; i += 2)
                put_vnni(to + (c % 32 + i) / 2 * PAIR, t[i], t[i + 1], p->parts);
        }
}

INLINE void product_keys(const attn_params *p, struct product *x, const struct keys *k) {
    const int64_t plane = (int64_t)ebru_blocks16(p->S) * 16 * CELL;
    const void *packed = x->k + (int64_t)k->j0 * CELL, *wide = x->wide_k;
    x->k_part = ebru_attn_k_part(p->S, p->d);
    x->plane = WIDE ? (int64_t)p->KB * CELL : plane;
    x->cells = (const cell_t *)(WIDE ? wide : packed);
    if (WIDE)
        widen(x->wide_k, x->plane, x->k + (int64_t)k->j0 * CELL, plane, x->k_part,
              ebru_blocks16(k->n) * 16, ebru_blocks32(p->d), p->parts);
}

/* Scores of nb blocks of queries and the 32 keys from the block's j-th on. */
INLINE void scores(const attn_params *p, const struct product *x, const struct keys *k,
                   int32_t block, int32_t nb, int32_t j) {
    const int32_t cbs = ebru_blocks32(p->d), n = ebru_min_i32(k->n - j, STEP);
    const int64_t s_block = (int64_t)p->KB * 16, q_block = (int64_t)cbs * BLOCK * p->parts;
    float *s = x->a.s + block * s_block + j * 16;
    multiply(s, s_block, x->cells + (int64_t)j * CELL, x->plane, x->k_part, x->q + block * q_block,
             q_block, ebru_blocks16(n) * 16, nb, p->d, p->parts, 0);
    for (int32_t i = 0; i < nb && p->causal; i++) {
        const int32_t query = k->q0 + (block + i) * 16;
        if (k->j0 + j + n - 1 > query) mask(s + i * s_block, query, k->j0 + j, n);
    }
}

/* Scores of up to 32 keys to weights relative to `max`, in VNNI layout; returns their sums. What is
 * missing to 32 becomes zero. */
INLINE v16 weigh(uint16_t *w, const float *s, v16 max, int32_t n, int32_t parts) {
    v16 even = splat16(0.0f), odd = splat16(0.0f);
    int32_t j = 0;
    for (; j + 1 < n; j += 2) {
        const v16 x = weight16(load16(s + j * 16) - max, parts),
                  y = weight16(load16(s + j * 16 + 16) - max, parts);
        put_vnni(w + j / 2 * PAIR, x, y, parts);
        even += x;
        odd += y;
    }
    for (; j < STEP; j += 2) {
        const v16 x = j < n ? weight16(load16(s + j * 16) - max, parts) : splat16(0.0f);
        put_vnni(w + j / 2 * PAIR, x, splat16(0.0f), parts);
        even += x;
    }
    return even + odd;
}

/* Scores of 32 keys, the block's from the j-th on, become weights in registers. */
INLINE void weigh_in_registers(const attn_params *p, const struct product *x, int32_t block,
                               int32_t nb, int32_t j, v16 *sum) {
    struct attn_bf16_weights t;
    t.cbs = ebru_blocks32(p->d);
    t.last = tile_bf16_last(p->d);
    t.k = x->cells + (int64_t)j * CELL;
    t.k_plane = x->plane;
    t.q_block = (int64_t)t.cbs * BLOCK;
    t.w_block = (int64_t)p->KB * 16;
    t.q = x->q + block * t.q_block;
    t.w = x->w + block * t.w_block + (int64_t)j * 16;
    t.max = x->a.max + block * 16;
    t.sum = (float *)sum;
    attn_bf16_weights_run(&t, nb);
}

/* Whether scores become weights before they leave the registers: not where some keys are masked. */
INLINE int32_t in_registers(const attn_params *p) {
    return ATTN_BF16_WEIGHTS && p->parts == 1 && !p->causal;
}

/* The scores of the next 32 keys are begun before the weights of these, so that matrix registers
 * work beside vectors. The first keys of all set the maxima, so their scores are stored to be
 * looked at. */
INLINE int32_t product_weigh(const attn_params *p, const struct product *x, const struct keys *k,
                             int32_t block, int32_t nb) {
    const struct attend *a = &x->a;
    const int64_t s_block = (int64_t)p->KB * 16, w_block = (int64_t)p->KB * 16 * p->parts;
    const int32_t registers = in_registers(p);
    v16 sum[ATTN_WEIGHED];
    if (!registers || k->j0 == 0) scores(p, x, k, block, nb, 0);
    for (int32_t i = 0; i < nb; i++) {
        sum[i] = splat16(0.0f);
        if (k->j0 > 0) continue;
        store16(a->max + (block + i) * 16,
                highest(a->s + (block + i) * s_block, ebru_min_i32(k->n, STEP),
                        splat16(-__builtin_inff())));
    }
    for (int32_t j = 0; j < k->n; j += STEP) {
        const int32_t first = k->j0 + j == 0, n = ebru_min_i32(k->n - j, STEP);
        if (registers && !first && n == STEP) {
            weigh_in_registers(p, x, block, nb, j, sum);
            continue;
        }
        if (registers && !first) scores(p, x, k, block, nb, j);
        if (!registers && j + STEP < k->n) scores(p, x, k, block, nb, j + STEP);
        for (int32_t i = 0; i < nb; i++)
            sum[i] += weigh(x->w + (block + i) * w_block + (int64_t)j * 16 * p->parts,
                            a->s + (block + i) * s_block + j * 16,
                            load16(a->max + (block + i) * 16), n, p->parts);
    }
    for (int32_t i = 0; i < nb; i++) store16(a->part + i * 16, sum[i]);
    return 1;
}

/* Where the scores of the block of keys are not there still, they are computed once more. */
INLINE void product_raise(const attn_params *p, const struct product *x, const struct keys *k,
                          int32_t block, int32_t count, float *part) {
    const struct attend *a = &x->a;
    (void)count; /* 1, as there are weights always */
    const float *s = a->s + (int64_t)block * p->KB * 16;
    for (int32_t j = 0; j < k->n && in_registers(p); j += STEP) scores(p, x, k, block, 1, j);
    uint16_t *w = x->w + (int64_t)block * p->KB * 16 * p->parts;
    const v16 top = highest(s, k->n, load16(a->max + block * 16));
    if (k->j0 > 0) {
        const v16 shrink = raise_maximum(a, block, top);
        store16(a->sum + block * 16, load16(a->sum + block * 16) * shrink);
    } else {
        store16(a->max + block * 16, top);
    }
    v16 sum = splat16(0.0f);
    for (int32_t j = 0; j < k->n; j += STEP)
        sum += weigh(w + (int64_t)j * 16 * p->parts, s + j * 16, top, ebru_min_i32(k->n - j, STEP),
                     p->parts);
    store16(part, sum);
}

INLINE void product_values(const attn_params *p, const struct product *x, const struct keys *k) {
    const int32_t rows = x->a.o_rows, cbs = ebru_blocks32(k->n),
                  used = TILE_BF16_SEGMENT == 1 ? p->d : rows;
    const int64_t plane = (int64_t)rows * CELL, part = ebru_attn_v_part(p->S, p->d);
    const uint16_t *v = x->v + k->j0 / 32 * plane;
    const void *packed = v, *wide = x->wide_v;
    if (WIDE) widen(x->wide_v, plane, v, plane, part, rows, cbs, p->parts);
    multiply(x->a.o, (int64_t)rows * 16, (const cell_t *)(WIDE ? wide : packed), plane, part, x->w,
             (int64_t)p->KB / 32 * BLOCK * p->parts, used, x->a.blocks, k->n, p->parts, k->j0 > 0);
}

#include "runtime/kernels/attention_loop.h"

EBRU_KERNEL(attention_bf16) {
    const int32_t d16 = ebru_blocks16(p->d) * 16, d32 = ebru_blocks32(p->d) * 32;
    v16 part[ATTN_WEIGHED];
    struct product x = {.a.o = scratch, .a.part = (float *)part, .a.o_rows = d16};
    x.a.max = x.a.o + (int64_t)p->QB * d16;
    x.a.sum = x.a.max + p->QB;
    x.a.s = x.a.sum + p->QB;
    x.q = (uint16_t *)(x.a.s + (int64_t)p->QB * p->KB);
    x.w = x.q + (int64_t)p->QB * d32 * p->parts;
    x.wide_k = (float *)(void *)(x.w + (int64_t)p->QB * p->KB * p->parts);
    x.wide_v = x.wide_k + (int64_t)p->KB * d32;
    tile_bf16_begin();
    attend_tasks(p, &x, buf, task_begin, task_end);
    tile_bf16_end();
}
