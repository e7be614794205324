/* copy, concat_plain, matmul, softmax: row-major tensors, for graphs whose layout or fusion passes
 * are off. */
#include "runtime/kernels/vector/vmath.h"

EBRU_KERNEL(copy) {
    (void)scratch;
    const uint32_t *x = (const uint32_t *)buf[EBRU_COPY_X] + p->xo;
    uint32_t *out = (uint32_t *)buf[EBRU_COPY_OUT] + p->oo;
    for (int32_t task = task_begin; task < task_end; task++) {
        const int64_t i0 = task / p->n1, i1 = task % p->n1;
        const uint32_t *x1 = x + i0 * p->s0 + i1 * p->s1;
        uint32_t *o1 = out + i0 * p->t0 + i1 * p->t1;
        for (int64_t i2 = 0; i2 < p->n2; i2++) {
            for (int64_t i3 = 0; i3 < p->n3; i3++) {
                for (int64_t i4 = 0; i4 < p->n4; i4++) {
                    for (int64_t i5 = 0; i5 < p->n5; i5++) {
                        const uint32_t *x5 = x1 + i2 * p->s2 + i3 * p->s3 + i4 * p->s4 + i5 * p->s5;
                        uint32_t *o5 = o1 + i2 * p->t2 + i3 * p->t3 + i4 * p->t4 + i5 * p->t5;
                        for (int64_t i6 = 0; i6 < p->n6; i6++)
                            for (int64_t i7 = 0; i7 < p->n7; i7++)
                                o5[i6 * p->t6 + i7 * p->t7] = x5[i6 * p->s6 + i7 * p->s7];
                    }
                }
            }
        }
    }
}

EBRU_KERNEL(concat_plain) {
    (void)scratch;
    const int32_t n[8] = {p->n0, p->n1, p->n2, p->n3, p->n4, p->n5, p->n6, p->n7};
    const int64_t row = ebru_concat_plain_row(p);
    const int32_t chunks = ebru_concat_plain_tasks(p) / p->outer;
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t index = task / chunks;
        const int64_t begin = (int64_t)(task % chunks) * EBRU_CONCAT_PLAIN_CHUNK;
        const int64_t end =
            row - begin < EBRU_CONCAT_PLAIN_CHUNK ? row : begin + EBRU_CONCAT_PLAIN_CHUNK;
        uint32_t *out = (uint32_t *)buf[EBRU_CONCAT_PLAIN_OUT] + index * row;
        int64_t base = 0; /* where operand k begins in the row */
        for (int32_t k = 0; k < 8; base += n[k], k++) {
            const uint32_t *x =
                (const uint32_t *)buf[EBRU_CONCAT_PLAIN_X0 + k] + (int64_t)index * n[k];
            const int64_t from = begin > base ? begin : base,
                          to = end < base + n[k] ? end : base + n[k];
            for (int64_t i = from; i < to; i++) out[i] = x[i - base];
        }
    }
}

#define MATMUL_ROWS 4 /* rows a task, as ebru_matmul_tasks has it */

/* rows x 16 columns from column n, b row-major [K,N]; `lanes` columns exist. */
INLINE void columns(const struct ebru_matmul_params *p, const float *a, const float *b, float *out,
                    int32_t rows, int32_t n, int32_t lanes) {
    v16 acc[MATMUL_ROWS];
    UNROLL for (int32_t m = 0; m < MATMUL_ROWS; m++) acc[m] = splat16(0.0f);
    for (int64_t k = 0; k < p->K; k++) {
        const float *bk = b + k * p->N + n;
        const v16 w = lanes == 16 ? loadu16(bk) : load_first(bk, lanes);
        UNROLL for (int32_t m = 0; m < MATMUL_ROWS; m++) acc[m] +=
            splat16(a[(m < rows ? m : 0) * (int64_t)p->K + k]) * w;
    }
    UNROLL for (int32_t m = 0; m < MATMUL_ROWS; m++) {
        if (m < rows) store_first(out + (int64_t)m * p->N + n, acc[m] * splat16(p->scale), lanes);
    }
}

INLINE float dot(const float *a, const float *b, int32_t K) {
    v16 acc = splat16(0.0f);
    int32_t k = 0;
    for (; k + 16 <= K; k += 16) acc += loadu16(a + k) * loadu16(b + k);
    if (k < K) acc += load_first(a + k, K - k) * load_first(b + k, K - k);
    return sum16(acc);
}

EBRU_KERNEL(matmul) {
    (void)scratch;
    const int32_t tiles = ebru_ceil_div(p->M, MATMUL_ROWS);
    for (int32_t task = task_begin; task < task_end; task++) {
        const int64_t batch = task / tiles, m0 = (int64_t)(task % tiles) * MATMUL_ROWS;
        const int32_t rows = ebru_min_i32(MATMUL_ROWS, p->M - (int32_t)m0);
        const float *a = (const float *)buf[EBRU_MATMUL_A] + batch * p->sa + m0 * p->K;
        const float *b = (const float *)buf[EBRU_MATMUL_B] + batch * p->sb;
        float *out = (float *)buf[EBRU_MATMUL_OUT] + (batch * p->M + m0) * p->N;
        if (p->trans_b) {
            for (int64_t m = 0; m < rows; m++)
                for (int64_t n = 0; n < p->N; n++)
                    out[m * p->N + n] = p->scale * dot(a + m * p->K, b + n * p->K, p->K);
        } else {
            for (int32_t n = 0; n < p->N; n += 16)
                columns(p, a, b, out, rows, n, ebru_min_i32(16, p->N - n));
        }
    }
}

EBRU_KERNEL(softmax) {
    (void)scratch;
    for (int32_t task = task_begin; task < task_end; task++) {
        const float *x = (const float *)buf[EBRU_SOFTMAX_X] + (int64_t)task * p->n;
        float *out = (float *)buf[EBRU_SOFTMAX_OUT] + (int64_t)task * p->n;
        const int32_t n = p->causal ? ebru_min_i32(p->n, task % p->M + 1) : p->n,
                      whole = n / 16 * 16;
        float top = -__builtin_inff();
        for (int32_t j = 0; j < n; j++) top = x[j] > top ? x[j] : top;
        v16 total = splat16(0.0f);
        for (int32_t j = 0; j < whole; j += 16) {
            const v16 w = exp16_neg(loadu16(x + j) - splat16(top));
            storeu16(out + j, w);
            total += w;
        }
        if (whole < n) {
            const v16 w =
                keep_first(exp16_neg(load_first(x + whole, n - whole) - splat16(top)), n - whole);
            store_first(out + whole, w, n - whole);
            total += w;
        }
        const float over = 1.0f / sum16(total);
        for (int32_t j = 0; j < n; j++) out[j] *= over;
        for (int32_t j = n; j < p->n; j++) out[j] = 0.0f;
    }
}
