/* Evaluator: packing of weights, keys and values, and the way back. Weights may have 1e9 elements:
 * whole runs of elements are moved, with no division in the inner loops. */
#include "ir/eval/eval.h"

#include <string.h>

static int64_t blocks(int64_t n) {
    return (n + IR_BLOCK - 1) / IR_BLOCK;
}

static int64_t at_most(int64_t n, int64_t limit) {
    return n < limit ? n : limit;
}

/* How many of the items of block i are real when there are n in all. */
static int64_t in_block(int64_t n, int64_t i) {
    return at_most(n - i * IR_BLOCK, IR_BLOCK);
}

/* [N][C][taps] -> [nb][cb][taps][16 c][16 n]. One block of 16 output channels at a time: its 16
 * source rows are read side by side, its destination from beginning to end. */
static void pack_filter(const float *w, float *packed, int64_t n, int64_t c, int64_t taps) {
    for (int64_t nb = 0; nb < blocks(n); nb++) {
        int64_t lanes = in_block(n, nb);
        const float *rows = w + nb * IR_BLOCK * c * taps;
        for (int64_t cb = 0; cb < blocks(c); cb++) {
            int64_t inputs = in_block(c, cb);
            float *tile = packed + (nb * blocks(c) + cb) * taps * IR_BLOCK * IR_BLOCK;
            for (int64_t t = 0; t < taps; t++)
                for (int64_t i = 0; i < inputs; i++) {
                    const float *src = rows + (cb * IR_BLOCK + i) * taps + t;
                    float *dst = tile + (t * IR_BLOCK + i) * IR_BLOCK;
                    for (int64_t k = 0; k < lanes; k++) dst[k] = src[k * c * taps];
                }
        }
    }
}

static void unpack_filter(const float *packed, float *w, int64_t n, int64_t c, int64_t cb_count,
                          int64_t taps) {
    for (int64_t o = 0; o < n; o++)
        for (int64_t i = 0; i < c; i++) {
            int64_t tile = (o / IR_BLOCK * cb_count + i / IR_BLOCK) * taps;
            for (int64_t t = 0; t < taps; t++)
                w[(o * c + i) * taps + t] =
                    packed[((tile + t) * IR_BLOCK + i % IR_BLOCK) * IR_BLOCK + o % IR_BLOCK];
        }
}

/* Where (n, c) of tap t lies in a weight packed for bf16, [nb][cb][taps][parts][16][16 n][2]. */
static int64_t bf16_filter_index(const ir_type *packed, int64_t n, int64_t c, int64_t t) {
    int64_t taps = packed->dim[2] * packed->dim[3], pair = c % IR_BF16_BLOCK / 2;
    int64_t tile =
        ((n / IR_BLOCK * packed->dim[1] + c / IR_BF16_BLOCK) * taps + t) * packed->dim[4];
    return ((tile * IR_BLOCK + pair) * IR_BLOCK + n % IR_BLOCK) * 2 + c % 2;
}
enum { BF16_TILE = IR_BLOCK * IR_BF16_BLOCK }; /* from hi to lo */

static void pack_bf16_filter(const float *w, ir_tensor *out, int64_t n, int64_t c, ir_precision p) {
    int64_t taps = out->type.dim[2] * out->type.dim[3];
    for (int64_t o = 0; o < n; o++)
        for (int64_t i = 0; i < c; i++)
            for (int64_t t = 0; t < taps; t++, w++) {
                double lo;
                float *to = out->data + bf16_filter_index(&out->type, o, i, t);
                *to = (float)ir_eval_split(p, (double)*w, &lo);
                if (p == IR_PRECISION_BF16X3) to[BF16_TILE] = (float)lo;
            }
}

static void unpack_bf16_filter(const ir_tensor *w, float *hi, float *lo, int64_t n, int64_t c) {
    int64_t taps = w->type.dim[2] * w->type.dim[3];
    for (int64_t o = 0; o < n; o++)
        for (int64_t i = 0; i < c; i++)
            for (int64_t t = 0; t < taps; t++) {
                const float *from = w->data + bf16_filter_index(&w->type, o, i, t);
                *hi++ = *from;
                if (lo) *lo++ = from[BF16_TILE];
            }
}

void ir_eval_pack_conv_weight(const ir_eval_args *a, ir_tensor *out) {
    const ir_type *t = &a->in[IR_IN(pack_conv_weight, w)]->type;
    ir_precision p = IR_ATTRS(a->node, pack)->precision;
    int64_t taps = t->rank == 4 ? t->dim[2] * t->dim[3] : 1;
    if (p == IR_PRECISION_F32)
        pack_filter(a->in[IR_IN(pack_conv_weight, w)]->data, out->data, t->dim[0], t->dim[1], taps);
    else
        pack_bf16_filter(a->in[IR_IN(pack_conv_weight, w)]->data, out, t->dim[0], t->dim[1], p);
}

ir_filter ir_eval_filter(const ir_tensor *w, int64_t n, int64_t c) {
    if (w->type.rank != 6 && w->type.rank != 8) return (ir_filter){.hi = w->data};
    int64_t taps = w->type.dim[2] * w->type.dim[3], count = n * c * taps;
    int64_t parts = w->type.rank == 8 ? w->type.dim[4] : 1;
    float *owned = base_alloc((size_t)(parts * count) * sizeof *owned),
          *lo = parts == 2 ? owned + count : NULL;
    if (w->type.rank == 8)
        unpack_bf16_filter(w, owned, lo, n, c);
    else
        unpack_filter(w->data, owned, n, c, w->type.dim[1], taps);
    return (ir_filter){owned, lo, owned};
}

void ir_eval_pack_vector(const ir_eval_args *a, ir_tensor *out) {
    memcpy(out->data, a->in[IR_IN(pack_vector, v)]->data,
           (size_t)a->in[IR_IN(pack_vector, v)]->type.dim[0] * sizeof(float));
}

void ir_eval_pack_table(const ir_eval_args *a, ir_tensor *out) {
    const ir_type *t = &a->in[IR_IN(pack_table, t)]->type;
    for (int64_t v = 0; v < t->dim[0]; v++)
        memcpy(out->data + v * out->type.dim[1], a->in[IR_IN(pack_table, t)]->data + v * t->dim[1],
               (size_t)t->dim[1] * sizeof(float));
}

/* Keys or values for bf16: [B,heads,parts] times blocks of 32 of [rows][32], see ir_bf16_index. */
static void pack_tokens_bf16(const ir_eval_args *a, ir_tensor *out, bool keys) {
    const struct ir_attrs_heads *at = IR_ATTRS(a->node, heads);
    const ir_type *t = &a->in[IR_IN(pack_k, k)]->type, *y = &out->type;
    int64_t s_count = t->dim[1], d = t->dim[2] / at->heads, rows = y->dim[4];
    int64_t part = y->dim[3] * rows * IR_BF16_BLOCK;
    float *dst = out->data;
    for (int64_t b = 0; b < t->dim[0]; b++)
        for (int64_t h = 0; h < at->heads; h++, dst += y->dim[2] * part)
            for (int64_t s = 0; s < s_count; s++)
                for (int64_t i = 0; i < d; i++) {
                    double lo, x = (double)a->in[IR_IN(pack_k, k)]
                                       ->data[((b * s_count + s) * at->heads + h) * d + i];
                    int64_t to = keys ? ir_bf16_index(rows, s, i) : ir_bf16_index(rows, i, s);
                    dst[to] = (float)ir_eval_split(at->precision, x, &lo);
                    if (y->dim[2] == 2) dst[part + to] = (float)lo;
                }
}

/* keys [B,S,heads*d] -> [B,heads,S,d] */
void ir_eval_pack_k(const ir_eval_args *a, ir_tensor *out) {
    if (IR_ATTRS(a->node, heads)->precision != IR_PRECISION_F32) {
        pack_tokens_bf16(a, out, true);
        return;
    }
    const ir_type *t = &a->in[IR_IN(pack_k, k)]->type;
    int64_t heads = IR_ATTRS(a->node, heads)->heads, s_count = t->dim[1], d = t->dim[2] / heads;
    float *dst = out->data;
    for (int64_t b = 0; b < t->dim[0]; b++)
        for (int64_t h = 0; h < heads; h++)
            for (int64_t s = 0; s < s_count; s++, dst += d)
                memcpy(dst, a->in[IR_IN(pack_k, k)]->data + ((b * s_count + s) * heads + h) * d,
                       (size_t)d * sizeof *dst);
}

/* values [B,S,heads*d] -> [B,heads,ceil(S/16),d,16] */
void ir_eval_pack_v(const ir_eval_args *a, ir_tensor *out) {
    if (IR_ATTRS(a->node, heads)->precision != IR_PRECISION_F32) {
        pack_tokens_bf16(a, out, false);
        return;
    }
    const ir_type *t = &a->in[IR_IN(pack_v, v)]->type;
    int64_t heads = IR_ATTRS(a->node, heads)->heads, s_count = t->dim[1], d = t->dim[2] / heads;
    float *dst = out->data;
    for (int64_t b = 0; b < t->dim[0]; b++)
        for (int64_t h = 0; h < heads; h++)
            for (int64_t sb = 0; sb < blocks(s_count); sb++)
                for (int64_t i = 0; i < d; i++, dst += IR_BLOCK) {
                    const float *src = a->in[IR_IN(pack_v, v)]->data +
                                       ((b * s_count + sb * IR_BLOCK) * heads + h) * d + i;
                    for (int64_t k = 0; k < in_block(s_count, sb); k++) dst[k] = src[k * heads * d];
                }
}
