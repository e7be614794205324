/* Attention by online softmax (Milakov, Gimelshein 2018): the loop that attention.c and
 * attention_bf16.c have in common, over a product that each of them brings.
 *
 * A task is QB queries of one head, one query per SIMD lane: scores S^T = K Q^T and sums O^T = V^T
 * P^T are products with keys, respectively channels, as their rows. So the softmax over keys runs
 * down the rows, lane by lane: no sums or maxima across lanes, and what it writes is what the
 * second product reads. Keys go by in blocks of KB; never more than QB * KB scores exist.
 *
 * Weights are powers of two relative to a running maximum of their query. It need not be the
 * greatest score: any number near it gives the same quotients. So the first keys set it, and the
 * weights of a block are computed relative to it at once, without a look at their scores. That all
 * are small enough shows in their sum. Where they are not, which is seldom, the maximum is raised
 * to the greatest score, what has been summed is scaled to it, and the weights are computed again.
 *
 * In front of this header stand
 *   attn_params      the kernel's params
 *   struct product   the operands, with `struct attend a` (attention.h) in it
 *   ATTN_WEIGHED     blocks of queries that product_weigh is given at once, at most
 *   product_head     takes the keys and the values of a head
 *   product_queries  brings the queries of a task to lanes
 *   product_keys     gets a block of keys ready
 *   product_weigh    weights of a block of keys relative to the running maxima, which it sets at
 *                    the first block, and their sums to a.part. 0: there are none yet,
 *                    product_raise is to make them
 *   product_raise    the same of `count` blocks of queries from `first` on, relative to raised
 *                    maxima
 *   product_values   adds the values of a block of keys, by their weights, to the sums */
#ifndef EBRU_RUNTIME_KERNELS_ATTENTION_LOOP_H
#define EBRU_RUNTIME_KERNELS_ATTENTION_LOOP_H

#include "runtime/kernels/attention.h"

/* Whether a block of queries has sums of weights that later sums may be added to. */
INLINE int32_t small_enough(const float *part) {
    return all16(load16(part) <= splat16(0x1p60f));
}

/* Weights of a block of keys for all queries of the task, and their sums. */
INLINE void softmax_block(const attn_params *p, const struct product *x, const struct keys *k) {
    const struct attend *a = &x->a;
    for (int32_t block = 0, nb; block < a->blocks; block += nb) {
        nb = ebru_min_i32(a->blocks - block, ATTN_WEIGHED);
        const int32_t weighed = product_weigh(p, x, k, block, nb);
        /* Each block of queries for itself: how many are in a task must not show in the bits. */
        if (!weighed) product_raise(p, x, k, block, nb, a->part);
        for (int32_t i = 0; weighed && i < nb; i++)
            if (!small_enough(a->part + i * 16))
                product_raise(p, x, k, block + i, 1, a->part + i * 16);
        for (int32_t i = 0; i < nb; i++) {
            float *sum = a->sum + (block + i) * 16;
            v16 all = load16(a->part + i * 16);
            if (k->j0 > 0) all += load16(sum);
            store16(sum, all);
        }
    }
}

/* The kernel's tasks [begin, end). */
INLINE void attend_tasks(const attn_params *p, struct product *x, void *const *buf, int32_t begin,
                         int32_t end) {
    const int32_t tiles = ebru_ceil_div(p->T, p->QB), C = p->heads * p->d;
    const int64_t plane = (int64_t)p->T * 16;
    struct attend *a = &x->a;
    for (int32_t task = begin; task < end; task++) {
        const int32_t b = task / (tiles * p->heads), h = task / tiles % p->heads,
                      q0 = task % tiles * p->QB;
        const float *q = (const float *)buf[EBRU_ATTENTION_Q] + b * ebru_blocks16(p->C) * plane +
                         (int64_t)q0 * 16;
        float *out =
            (float *)buf[EBRU_ATTENTION_OUT] + b * ebru_blocks16(C) * plane + (int64_t)q0 * 16;
        a->rows = ebru_min_i32(p->QB, p->T - q0);
        a->blocks = ebru_blocks16(a->rows);
        product_head(p, x, buf, (int64_t)(b % p->Bk) * p->heads + h);
        product_queries(p, x, q, plane, p->off + h * p->d);
        const int32_t keys = p->causal ? ebru_min_i32(p->S, q0 + a->rows) : p->S;
        for (int32_t j0 = 0; j0 < keys; j0 += p->KB) {
            const struct keys k = {q0, j0, ebru_min_i32(p->KB, keys - j0)};
            product_keys(p, x, &k);
            softmax_block(p, x, &k);
            product_values(p, x, &k);
        }
        for (int32_t n = 0; n < a->blocks; n++)
            put_queries(out + n * 256, plane, h * p->d, p->d, a->o + (int64_t)n * a->o_rows * 16,
                        load16(a->sum + n * 16), ebru_min_i32(16, a->rows - n * 16));
        for (int32_t i = 0; i < a->rows && h == p->heads - 1; i++)
            for (int32_t c = C; c % 16 != 0; c++) out[c / 16 * plane + i * 16 + c % 16] = 0.0f;
    }
}

#endif
