/* The kernel ABI, data half: one POD params struct a kernel, and the
 * host-side arithmetic that belongs to it (number of tasks, bytes of scratch).
 * kernels.def is the other half: names and operands.
 *
 * Rules
 *  - A params struct is declared from a field list EBRU_FIELDS_NAME(F) with rows F(type, field),
 *    type one of i32, f32, u32, so that code generation builds the constant and the IR prints it
 *    field by field. Append only.
 *  - A kernel is
 *      void ebru_k_NAME(const struct ebru_NAME_params *p, void *const *buf, float *scratch,
 *                       int32_t task_begin, int32_t task_end).
 *    It computes tasks [task_begin, task_end) of ebru_NAME_tasks(p). Tasks write disjoint elements
 *    and depend on the params only: every split gives the same bits.
 *  - buf[] holds the operand pointers in the order of the EBRU_NAME_* buffer enum; an absent
 *    optional operand is NULL.
 *  - scratch is private to the calling thread, 64-byte aligned, ebru_NAME_scratch(p) bytes (0 of
 *    most kernels); it holds nothing between calls.
 *
 * Layouts (f32 unless said)
 *  - c16 image  [B][Cb][H][W][16], Cb = ceil(C/16); tokens [B][Cb][T][16]; vectors [B][Cb][16];
 *    64-byte aligned. Lanes past C ("pad lanes") hold zero or any finite value. c16 tokens are c16
 *    images with H = 1, W = T; a c16 image is the same bytes as c16 tokens with T = H*W.
 *  - plain: row-major, 4-byte aligned.
 *  - "padded" per-channel vectors have ceil(C/16)*16 elements, the ones past C zero; 64-byte
 *    aligned.
 *  - packed weights [Nb][Cb][KH][KW][16 c][16 n], zero where n >= N or c >= C; 64-byte aligned.
 * Single tensors stay below 2^31 elements; offsets are computed in 64 bits. */
#ifndef EBRU_RUNTIME_ABI_KERNEL_ABI_H
#define EBRU_RUNTIME_ABI_KERNEL_ABI_H

#include "base/cpu/isa.h" /* EBRU_ISA_* */

#include <stdint.h>

#define EBRU_FIELD_TYPE_i32   int32_t
#define EBRU_FIELD_TYPE_u32   uint32_t
#define EBRU_FIELD_TYPE_f32   float
#define EBRU_FIELD_DECL(t, n) EBRU_FIELD_TYPE_##t n;

/* Activations of prologues and epilogues. GEGLU only as the epilogue of conv2d. */
enum {
    EBRU_ACT_NONE,
#define ACT(name, ID, formula) EBRU_ACT_##ID,
#include "base/activations.def"
    /* value * gelu(gate): neighbouring 16-column blocks (value, gate) become one */
    EBRU_ACT_GEGLU
};

static inline int32_t ebru_ceil_div(int32_t a, int32_t b) {
    return (a + b - 1) / b;
}
static inline int32_t ebru_blocks16(int32_t c) {
    return ebru_ceil_div(c, 16);
}
static inline int32_t ebru_min_i32(int32_t a, int32_t b) {
    return a < b ? a : b;
}
static inline int32_t ebru_max_i32(int32_t a, int32_t b) {
    return a > b ? a : b;
}

#include "runtime/abi/kernel_abi_conv.h" /* conv2d, feed_forward, conv2d_winograd */

/* ---- group_stats: group norm as one scale and shift a channel
 *   mean, var over the group's channels and all pixels; scale = gamma / sqrt(var + eps),
 *   shift = beta - mean * scale
 *   B, P            images, pixels an image
 *   C0, C1          channels of x0 and x1 (0: no x1); groups run over the concatenation
 *   G               groups, divides C0 + C1
 *   eps */
#define EBRU_FIELDS_group_stats(F) F(i32, B) F(i32, P) F(i32, C0) F(i32, C1) F(i32, G) F(f32, eps)
struct ebru_group_stats_params {
    EBRU_FIELDS_group_stats(EBRU_FIELD_DECL)
};
enum {
    EBRU_GROUP_STATS_X0,    /* c16 [B,C0,P] */
    EBRU_GROUP_STATS_X1,    /* c16 [B,C1,P], or NULL */
    EBRU_GROUP_STATS_GAMMA, /* padded [C0+C1], or NULL: 1 */
    EBRU_GROUP_STATS_BETA,  /* padded [C0+C1], or NULL: 0 */
    EBRU_GROUP_STATS_OUT,   /* [B][2][Cpad]: row 0 scale, row 1 shift; pad lanes zero */
    EBRU_GROUP_STATS_BUFS
};
/* Groups a task: the fewest whose channels end on a multiple of 16. */
static inline int32_t ebru_group_stats_unit(const struct ebru_group_stats_params *p) {
    int32_t size = (p->C0 + p->C1) / p->G, n = 1;
    while (n < p->G && n * size % 16 != 0) n++;
    return n;
}
static inline int32_t ebru_group_stats_tasks(const struct ebru_group_stats_params *p) {
    return p->B * ebru_ceil_div(p->G, ebru_group_stats_unit(p));
}

/* ---- norm_apply: y = act(concat(x0, x1) * scale + shift)
 *   B, P, C0, C1    as group_stats
 *   act             EBRU_ACT_* (not GEGLU) */
#define EBRU_FIELDS_norm_apply(F) F(i32, B) F(i32, P) F(i32, C0) F(i32, C1) F(i32, act)
struct ebru_norm_apply_params {
    EBRU_FIELDS_norm_apply(EBRU_FIELD_DECL)
};
enum {
    EBRU_NORM_APPLY_X0,          /* c16 [B,C0,P] */
    EBRU_NORM_APPLY_X1,          /* c16 [B,C1,P], or NULL */
    EBRU_NORM_APPLY_SCALE_SHIFT, /* [B][2][Cpad] */
    EBRU_NORM_APPLY_OUT,         /* c16 [B,C0+C1,P]; may be x0's buffer when C1 = 0 */
    EBRU_NORM_APPLY_BUFS
};
/* Kernels that only move or map values have small tasks, enough for any number of threads: so many
 * pixels (or tokens) of a block of channels. */
enum { EBRU_MOVE_PIXELS = 512 };
static inline int32_t ebru_norm_apply_tasks(const struct ebru_norm_apply_params *p) {
    return p->B * ebru_blocks16(p->C0 + p->C1) * ebru_ceil_div(p->P, EBRU_MOVE_PIXELS);
}

/* ---- layer_norm: over the channels of tokens
 *   B, T, C, eps */
#define EBRU_FIELDS_layer_norm(F) F(i32, B) F(i32, T) F(i32, C) F(f32, eps)
struct ebru_layer_norm_params {
    EBRU_FIELDS_layer_norm(EBRU_FIELD_DECL)
};
enum {
    EBRU_LAYER_NORM_X,     /* c16 [B,T,C] */
    EBRU_LAYER_NORM_GAMMA, /* padded [C], or NULL: 1 */
    EBRU_LAYER_NORM_BETA,  /* padded [C], or NULL: 0 */
    EBRU_LAYER_NORM_OUT,   /* c16 [B,T,C]; may be x's buffer */
    EBRU_LAYER_NORM_BUFS
};
#define EBRU_LAYER_NORM_TOKENS 16 /* tokens a task, at most; of few tokens fewer */
static inline int32_t ebru_layer_norm_tokens(const struct ebru_layer_norm_params *p) {
    return p->T >= 128 * EBRU_LAYER_NORM_TOKENS ? EBRU_LAYER_NORM_TOKENS : 4;
}
static inline int32_t ebru_layer_norm_tasks(const struct ebru_layer_norm_params *p) {
    return p->B * ebru_ceil_div(p->T, ebru_layer_norm_tokens(p));
}

/* ---- geglu: y = value * gelu(gate), unfused
 *   B, P            images or batches, pixels or tokens
 *   C               channels of the result; x has 2C: value = [0,C), gate = [C,2C) */
#define EBRU_FIELDS_geglu(F) F(i32, B) F(i32, P) F(i32, C)
struct ebru_geglu_params {
    EBRU_FIELDS_geglu(EBRU_FIELD_DECL)
};
enum { EBRU_GEGLU_X /* c16 [B,2C,P] */, EBRU_GEGLU_OUT /* c16 [B,C,P] */, EBRU_GEGLU_BUFS };
static inline int32_t ebru_geglu_tasks(const struct ebru_geglu_params *p) {
    return p->B * ebru_blocks16(p->C) * ebru_ceil_div(p->P, EBRU_MOVE_PIXELS);
}

/* ---- attn_pack_k, attn_pack_v: keys and values as the attention kernel reads them
 *   B, S, heads, d  batches, tokens, heads, channels a head
 *   C               channels of x's buffer (>= heads*d)
 *   off             channel of head 0 (0 unless x holds q, k and v together) */
#define EBRU_FIELDS_attn_pack_k(F) F(i32, B) F(i32, S) F(i32, heads) F(i32, d) F(i32, C) F(i32, off)
#define EBRU_FIELDS_attn_pack_v(F) EBRU_FIELDS_attn_pack_k(F)
struct ebru_attn_pack_k_params {
    EBRU_FIELDS_attn_pack_k(EBRU_FIELD_DECL)
};
struct ebru_attn_pack_v_params {
    EBRU_FIELDS_attn_pack_v(EBRU_FIELD_DECL)
};
enum {
    EBRU_ATTN_PACK_X, /* c16 [B,S,C] */
    /* k: [B][heads][S][d]; v: [B][heads][ceil(S/16)][d][16], lanes past S zero */
    EBRU_ATTN_PACK_OUT,
    EBRU_ATTN_PACK_BUFS
};
/* A task is so many tokens of a head, whole blocks of 32. */
enum { EBRU_ATTN_PACK_TOKENS = 64 };
static inline int32_t ebru_attn_pack_k_tasks(const struct ebru_attn_pack_k_params *p) {
    return p->B * p->heads * ebru_ceil_div(p->S, EBRU_ATTN_PACK_TOKENS);
}
static inline int32_t ebru_attn_pack_v_tasks(const struct ebru_attn_pack_v_params *p) {
    return p->B * p->heads * ebru_ceil_div(p->S, EBRU_ATTN_PACK_TOKENS);
}
static inline int64_t ebru_attn_pack_k_floats(const struct ebru_attn_pack_k_params *p) {
    return (int64_t)p->B * p->heads * p->S * p->d;
}
static inline int64_t ebru_attn_pack_v_floats(const struct ebru_attn_pack_v_params *p) {
    return (int64_t)p->B * p->heads * ebru_blocks16(p->S) * p->d * 16;
}

/* ---- attention: softmax(scale q k^T) v per head, online softmax over blocks of keys
 *   B, T            query batches and tokens
 *   Bk, S           key batches and keys; query batch b reads key batch b % Bk (Bk = 1: the same
 *                   for all)
 *   heads, d        heads, channels a head
 *   C, off          channels of q's buffer (>= heads*d) and channel of head 0
 *   causal          1: query i sees keys j <= i
 *   scale           factor on the scores, usually 1/sqrt(d)
 *   QB, KB          tile: queries and keys a block, multiples of 16 */
/* clang-format off */
#define EBRU_FIELDS_attention(F) \
    F(i32, B) F(i32, T) F(i32, Bk) F(i32, S) F(i32, heads) F(i32, d) F(i32, C) F(i32, off) \
    F(i32, causal) F(f32, scale) F(i32, QB) F(i32, KB)
/* clang-format on */
struct ebru_attention_params {
    EBRU_FIELDS_attention(EBRU_FIELD_DECL)
};
enum {
    EBRU_ATTENTION_Q,   /* c16 [B,T,C] */
    EBRU_ATTENTION_K,   /* packed by attn_pack_k */
    EBRU_ATTENTION_V,   /* packed by attn_pack_v */
    EBRU_ATTENTION_OUT, /* c16 [B,T,heads*d] */
    EBRU_ATTENTION_BUFS
};
static inline int32_t ebru_attention_tasks(const struct ebru_attention_params *p) {
    return p->B * p->heads * ebru_ceil_div(p->T, p->QB);
}
/* Scratch: queries [QB/16][d][16], scores [QB/16][KB][16], sums [QB/16][d][16], three numbers a
 * query. */
static inline int64_t ebru_attention_scratch(const struct ebru_attention_params *p) {
    int64_t qb = p->QB;
    return 4 * (2 * qb * p->d + qb * p->KB + 3 * qb);
}

/* ---- resize_nearest: y[.., i, j] = x[.., floor(i*H/OH), floor(j*W/OW)] */
#define EBRU_FIELDS_resize_nearest(F) F(i32, B) F(i32, C) F(i32, H) F(i32, W) F(i32, OH) F(i32, OW)
struct ebru_resize_nearest_params {
    EBRU_FIELDS_resize_nearest(EBRU_FIELD_DECL)
};
enum {
    EBRU_RESIZE_NEAREST_X /* c16 [B,C,H,W] */,
    EBRU_RESIZE_NEAREST_OUT /* c16 [B,C,OH,OW] */,
    EBRU_RESIZE_NEAREST_BUFS
};
static inline int32_t ebru_resize_nearest_tasks(const struct ebru_resize_nearest_params *p) {
    return p->B * ebru_blocks16(p->C);
}

/* ---- max_pool2d, avg_pool2d
 *   B, C, H, W, KH, KW, SH, SW, PT, PL, OH, OW   as conv2d
 *   max: outside is -inf; avg: outside is zero and counted. */
/* clang-format off */
#define EBRU_FIELDS_max_pool2d(F) \
    F(i32, B) F(i32, C) F(i32, H) F(i32, W) F(i32, KH) F(i32, KW) F(i32, SH) F(i32, SW) \
    F(i32, PT) F(i32, PL) F(i32, OH) F(i32, OW)
/* clang-format on */
#define EBRU_FIELDS_avg_pool2d(F) EBRU_FIELDS_max_pool2d(F)
struct ebru_max_pool2d_params {
    EBRU_FIELDS_max_pool2d(EBRU_FIELD_DECL)
};
struct ebru_avg_pool2d_params {
    EBRU_FIELDS_avg_pool2d(EBRU_FIELD_DECL)
};
enum { EBRU_POOL2D_X /* c16 [B,C,H,W] */, EBRU_POOL2D_OUT /* c16 [B,C,OH,OW] */, EBRU_POOL2D_BUFS };
static inline int32_t ebru_max_pool2d_tasks(const struct ebru_max_pool2d_params *p) {
    return p->B * ebru_blocks16(p->C);
}
static inline int32_t ebru_avg_pool2d_tasks(const struct ebru_avg_pool2d_params *p) {
    return p->B * ebru_blocks16(p->C);
}

/* ---- embedding: y[b,t] = table[ids[b,t]] (+ position[t])
 *   B, T, C         T = 1 for vectors (class labels)
 *   V               rows of the table; ids outside [0,V) read the nearest row */
#define EBRU_FIELDS_embedding(F) F(i32, B) F(i32, T) F(i32, C) F(i32, V)
struct ebru_embedding_params {
    EBRU_FIELDS_embedding(EBRU_FIELD_DECL)
};
enum {
    EBRU_EMBEDDING_IDS,      /* i32 plain [B,T] */
    EBRU_EMBEDDING_TABLE,    /* [V][C rounded up to 16], pad zero, 64-byte aligned */
    EBRU_EMBEDDING_POSITION, /* [>= T][C rounded up to 16], or NULL */
    EBRU_EMBEDDING_OUT,      /* c16 [B,T,C] */
    EBRU_EMBEDDING_BUFS
};
static inline int32_t ebru_embedding_tasks(const struct ebru_embedding_params *p) {
    return p->B;
}

/* ---- select_row: y[b] = x[b, t]
 *   B, T, C
 *   id              t is the first with ids[b,t] = id (0 when there is none); -1: with the largest
 *                   ids[b,t] */
#define EBRU_FIELDS_select_row(F) F(i32, B) F(i32, T) F(i32, C) F(i32, id)
struct ebru_select_row_params {
    EBRU_FIELDS_select_row(EBRU_FIELD_DECL)
};
enum {
    EBRU_SELECT_ROW_X,   /* c16 [B,T,C] */
    EBRU_SELECT_ROW_IDS, /* i32 plain [B,T] */
    EBRU_SELECT_ROW_OUT, /* c16 [B,C] */
    EBRU_SELECT_ROW_BUFS
};
static inline int32_t ebru_select_row_tasks(const struct ebru_select_row_params *p) {
    return p->B;
}

/* ---- nearest: y[b,t] = the v with the least |x[b,t] - table[v]|, the first of equal ones
 *   B, T, C
 *   V               rows of the table
 * A task is up to 16 tokens. */
#define EBRU_FIELDS_nearest(F) F(i32, B) F(i32, T) F(i32, C) F(i32, V)
struct ebru_nearest_params {
    EBRU_FIELDS_nearest(EBRU_FIELD_DECL)
};
enum {
    EBRU_NEAREST_X,     /* c16 [B,T,C] */
    EBRU_NEAREST_TABLE, /* [V][C rounded up to 16], pad zero, 64-byte aligned */
    EBRU_NEAREST_OUT,   /* i32 plain [B,T] */
    EBRU_NEAREST_BUFS
};
static inline int32_t ebru_nearest_tasks(const struct ebru_nearest_params *p) {
    return p->B * ebru_blocks16(p->T);
}

/* ---- timestep_embedding: [sin(a), cos(a)],
 *      a_i = scale * t * exp(-ln(max_period) * i / (dim/2 - shift))
 *   B, dim          results, their channels; an odd dim ends in a zero
 *   TN              elements of t: result b reads t[b % TN]
 *   flip            1: [cos, sin]
 *   shift, max_period, scale */
/* clang-format off */
#define EBRU_FIELDS_timestep_embedding(F) \
    F(i32, B) F(i32, dim) F(i32, TN) F(i32, flip) F(f32, shift) F(f32, max_period) F(f32, scale)
/* clang-format on */
struct ebru_timestep_embedding_params {
    EBRU_FIELDS_timestep_embedding(EBRU_FIELD_DECL)
};
enum {
    EBRU_TIMESTEP_EMBEDDING_T,   /* plain [TN] */
    EBRU_TIMESTEP_EMBEDDING_OUT, /* c16 [B,dim] */
    EBRU_TIMESTEP_EMBEDDING_BUFS
};
static inline int32_t
ebru_timestep_embedding_tasks(const struct ebru_timestep_embedding_params *p) {
    return p->B;
}

/* ---- concat: channels of up to eight c16 tensors, unfused
 *   B, P            images or batches, pixels or tokens
 *   C0 .. C7        channels of each; 0: absent */
/* clang-format off */
#define EBRU_FIELDS_concat(F) \
    F(i32, B) F(i32, P) F(i32, C0) F(i32, C1) F(i32, C2) F(i32, C3) F(i32, C4) F(i32, C5) \
    F(i32, C6) F(i32, C7)
/* clang-format on */
struct ebru_concat_params {
    EBRU_FIELDS_concat(EBRU_FIELD_DECL)
};
enum {
    EBRU_CONCAT_X0 = 0 /* .. X7 = 7: c16 [B,Ci,P], or NULL */,
    EBRU_CONCAT_OUT = 8 /* c16 [B,sum,P] */,
    EBRU_CONCAT_BUFS
};
static inline int32_t ebru_concat_channels(const struct ebru_concat_params *p) {
    return p->C0 + p->C1 + p->C2 + p->C3 + p->C4 + p->C5 + p->C6 + p->C7;
}
static inline int32_t ebru_concat_tasks(const struct ebru_concat_params *p) {
    return p->B * ebru_blocks16(ebru_concat_channels(p));
}

/* ---- pack, unpack: plain <-> c16
 *   B, C, P         batches, channels, pixels (or tokens; 1 for vectors)
 *   sb, sc, sp      strides of the plain side in elements: NCHW (C*P, P, 1);
 *                   tokens [B,T,C] (P*C, 1, C) */
#define EBRU_FIELDS_pack(F)   F(i32, B) F(i32, C) F(i32, P) F(i32, sb) F(i32, sc) F(i32, sp)
#define EBRU_FIELDS_unpack(F) EBRU_FIELDS_pack(F)
struct ebru_pack_params {
    EBRU_FIELDS_pack(EBRU_FIELD_DECL)
};
struct ebru_unpack_params {
    EBRU_FIELDS_unpack(EBRU_FIELD_DECL)
};
enum { EBRU_PACK_X /* plain */, EBRU_PACK_OUT /* c16 [B,C,P], pad lanes zero */, EBRU_PACK_BUFS };
enum { EBRU_UNPACK_X /* c16 [B,C,P] */, EBRU_UNPACK_OUT /* plain */, EBRU_UNPACK_BUFS };
static inline int32_t ebru_pack_tasks(const struct ebru_pack_params *p) {
    return p->B * ebru_blocks16(p->C) * ebru_ceil_div(p->P, EBRU_MOVE_PIXELS);
}
static inline int32_t ebru_unpack_tasks(const struct ebru_unpack_params *p) {
    return p->B * ebru_blocks16(p->C) * ebru_ceil_div(p->P, EBRU_MOVE_PIXELS);
}

/* ---- copy: strided copy of plain elements (4 bytes each): slice, transpose, broadcast
 *   out[oo + sum i_k * t_k] = x[xo + sum i_k * s_k] for i_k in [0, n_k)
 *   n0 .. n7        sizes, outermost first (1 where unused)
 *   s0 .. s7        strides of x in elements (0 broadcasts)
 *   t0 .. t7        strides of out in elements
 *   xo, oo          offsets in elements */
/* clang-format off */
#define EBRU_FIELDS_copy(F) \
    F(i32, n0) F(i32, n1) F(i32, n2) F(i32, n3) F(i32, n4) F(i32, n5) F(i32, n6) F(i32, n7) \
    F(i32, s0) F(i32, s1) F(i32, s2) F(i32, s3) F(i32, s4) F(i32, s5) F(i32, s6) F(i32, s7) \
    F(i32, t0) F(i32, t1) F(i32, t2) F(i32, t3) F(i32, t4) F(i32, t5) F(i32, t6) F(i32, t7) \
    F(i32, xo) F(i32, oo)
/* clang-format on */
struct ebru_copy_params {
    EBRU_FIELDS_copy(EBRU_FIELD_DECL)
};
enum { EBRU_COPY_X, EBRU_COPY_OUT, EBRU_COPY_BUFS };
/* A task is one pair (i_0, i_1): the other six axes are its loops. */
static inline int32_t ebru_copy_tasks(const struct ebru_copy_params *p) {
    return p->n0 * p->n1;
}
/* Fills p for out = x with sizes n[rank] (1 <= rank <= 8), x strides s[rank], out dense row-major;
 * offsets zero. Slice: x's row-major strides and xo = start * stride; transpose: sizes and strides
 * permuted. The first two of three and more axes become the tasks. */
static inline void ebru_copy_set(struct ebru_copy_params *p, int32_t rank, const int32_t *n,
                                 const int32_t *s) {
    int32_t nn[8] = {1, 1, 1, 1, 1, 1, 1, 1}, ss[8] = {0}, tt[8] = {0}, dense = 1;
    for (int32_t a = rank - 1; a >= 0; a--) {
        int32_t k = a < 2 && a < rank - 1 ? a : 8 - rank + a;
        nn[k] = n[a];
        ss[k] = s[a];
        tt[k] = dense;
        dense *= n[a];
    }
    struct ebru_copy_params q = {nn[0], nn[1], nn[2], nn[3], nn[4], nn[5], nn[6], nn[7], ss[0],
                                 ss[1], ss[2], ss[3], ss[4], ss[5], ss[6], ss[7], tt[0], tt[1],
                                 tt[2], tt[3], tt[4], tt[5], tt[6], tt[7], 0,     0};
    *p = q;
}

/* ---- concat_plain: up to eight plain tensors along one axis (4-byte elements)
 *   outer           product of the axes before it
 *   n0 .. n7        elements of each operand after `outer`: its size on the axis times the axes
 *                   behind */
/* clang-format off */
#define EBRU_FIELDS_concat_plain(F) \
    F(i32, outer) F(i32, n0) F(i32, n1) F(i32, n2) F(i32, n3) F(i32, n4) F(i32, n5) F(i32, n6) \
    F(i32, n7)
/* clang-format on */
struct ebru_concat_plain_params {
    EBRU_FIELDS_concat_plain(EBRU_FIELD_DECL)
};
enum {
    EBRU_CONCAT_PLAIN_X0 = 0 /* .. X7 = 7 */,
    EBRU_CONCAT_PLAIN_OUT = 8,
    EBRU_CONCAT_PLAIN_BUFS
};
/* A task is so many elements of one outer index's: there may be one index and much behind it (a
 * batch put together). */
enum { EBRU_CONCAT_PLAIN_CHUNK = 16384 };
static inline int64_t ebru_concat_plain_row(const struct ebru_concat_plain_params *p) {
    return (int64_t)p->n0 + p->n1 + p->n2 + p->n3 + p->n4 + p->n5 + p->n6 + p->n7;
}
static inline int32_t ebru_concat_plain_tasks(const struct ebru_concat_plain_params *p) {
    const int64_t row = ebru_concat_plain_row(p);
    return p->outer * (int32_t)((row + EBRU_CONCAT_PLAIN_CHUNK - 1) / EBRU_CONCAT_PLAIN_CHUNK);
}

/* ---- matmul: plain, y[b] = scale * a[b] b[b], for what no pass has claimed
 *   batch, M, N, K
 *   sa, sb          elements from batch to batch of a and b (0: the same matrix); y is dense
 *   trans_b         0: b is [K,N]; 1: b is [N,K]
 *   scale */
/* clang-format off */
#define EBRU_FIELDS_matmul(F) \
    F(i32, batch) F(i32, M) F(i32, N) F(i32, K) F(i32, sa) F(i32, sb) F(i32, trans_b) \
    F(f32, scale)
/* clang-format on */
struct ebru_matmul_params {
    EBRU_FIELDS_matmul(EBRU_FIELD_DECL)
};
enum { EBRU_MATMUL_A, EBRU_MATMUL_B, EBRU_MATMUL_OUT, EBRU_MATMUL_BUFS };
static inline int32_t ebru_matmul_tasks(const struct ebru_matmul_params *p) {
    return p->batch * ebru_ceil_div(p->M, 4);
}

/* ---- softmax: plain, over the last axis
 *   rows, n         product of the leading axes, length of the last
 *   causal          1: row i of each [M,n] matrix sees columns j <= i (others become 0)
 *   M               rows a matrix (for causal) */
#define EBRU_FIELDS_softmax(F) F(i32, rows) F(i32, n) F(i32, causal) F(i32, M)
struct ebru_softmax_params {
    EBRU_FIELDS_softmax(EBRU_FIELD_DECL)
};
enum { EBRU_SOFTMAX_X, EBRU_SOFTMAX_OUT /* may be x's buffer */, EBRU_SOFTMAX_BUFS };
static inline int32_t ebru_softmax_tasks(const struct ebru_softmax_params *p) {
    return p->rows;
}

#include "runtime/abi/kernel_abi_bf16.h"
#include "runtime/abi/kernel_abi_i8.h"

/* Kernels that need no scratch. */
#define KERNEL(name, operands, summary)                                                            \
    static inline int64_t ebru_##name##_scratch(const struct ebru_##name##_params *p) {            \
        (void)p;                                                                                   \
        return 0;                                                                                  \
    }
#define KERNEL_WITH_SCRATCH(name, operands, summary)
#include "runtime/abi/kernels.def"

#endif
