/* The kernel ABI's rows of reduced precision: params structs and host arithmetic of the kernels
 * that multiply in bf16. Part of kernel_abi.h, which includes it; rules and layouts stand there.
 *
 * Values are f32 as everywhere; the two operands of a contraction are rounded to bf16 (nearest,
 * ties to even) where they are multiplied, sums are f32.
 *   parts 1   x ~ hi, hi = bf16(x)
 *   parts 2   x ~ hi + lo, lo = bf16(x - hi); product = hi*hi + hi*lo + lo*hi ("bf16x3"); a level
 *             that computes in f32 anyway adds lo*lo
 *
 * Packed bf16 weights are in VNNI layout, the two channels of a dot product side by side:
 * [Nb][ceil(C/32)][KH][KW][parts][16 c2][16 n][2]: n = block n/16, column n%16; c = block c/32,
 * pair c2 = c%32/2, half c%2; zero where n >= N or c >= C; 64-byte aligned. */
#ifndef EBRU_RUNTIME_ABI_KERNEL_ABI_BF16_H
#define EBRU_RUNTIME_ABI_KERNEL_ABI_BF16_H

/* How a level multiplies: what a gathered element is, and how many neighbouring pixels are taken at
 * once. */
enum {
    /* f32 arithmetic: elements are f32 that hold rounded values, single pixels */
    EBRU_BF16_WIDE = 0,
    /* dot products of two bf16 each: elements are bf16, single pixels */
    EBRU_BF16_PAIRS = 1,
    /* matrix registers: elements are bf16, row segments of 16 neighbouring positions */
    EBRU_BF16_TILES = 2
};
static inline int32_t ebru_bf16_form(int32_t isa) {
    switch (isa) {
#define EBRU_LEVEL(a, ID, suffix, name, PLAIN, plain, FORM, ...)                                   \
    case EBRU_ISA_##ID: return EBRU_BF16_##FORM;
        EBRU_LEVELS(EBRU_LEVEL, EBRU_LEVEL, 0)
#undef EBRU_LEVEL
    default: return EBRU_BF16_WIDE;
    }
}
/* bf16 nearest to x, ties to even; NaN stays NaN. And back. */
union ebru_f32_bits {
    float f;
    uint32_t u;
};
static inline uint16_t ebru_bf16_of(float x) {
    const union ebru_f32_bits b = {.f = x};
    if (x != x) return (uint16_t)(b.u >> 16 | 0x40);
    return (uint16_t)((b.u + 0x7fff + (b.u >> 16 & 1)) >> 16);
}
static inline float ebru_bf16_value(uint16_t x) {
    const union ebru_f32_bits b = {.u = (uint32_t)x << 16};
    return b.f;
}
static inline int32_t ebru_blocks32(int32_t c) {
    return ebru_ceil_div(c, 32);
}

/* ---- conv2d_bf16: conv2d with both operands rounded; conv2d's fields and operands, and
 *   parts           1 or 2
 *   form            EBRU_BF16_* of the level
 * Tiles as conv2d's, but MR counts positions of the gathered input (form TILES: a multiple of 16)
 * and KC blocks of 32 channels. Sums run over (32-channel block, kh, kw, c); tiles never change the
 * values.
 *
 * A task's input is gathered always, as [parts][ceil(C/32)][plane][32], plane = [image][rows +
 * halo] [cols + halo] and some; in form WIDE parts are added up. With form TILES the multiply takes
 * row segments of 16 positions, SW apart, which may pass over the halo between rows and images. */
#define EBRU_FIELDS_conv2d_bf16(F) EBRU_FIELDS_conv2d(F) F(i32, parts) F(i32, form)
struct ebru_conv2d_bf16_params {
    EBRU_FIELDS_conv2d_bf16(EBRU_FIELD_DECL)
};

/* The f32 convolution of the same shape and tiles. */
#define EBRU_BF16_COPY(t, n) q.n = p->n;
static inline struct ebru_conv2d_params
ebru_conv2d_bf16_shape(const struct ebru_conv2d_bf16_params *p) {
    struct ebru_conv2d_params q;
    EBRU_FIELDS_conv2d(EBRU_BF16_COPY);
    return q;
}
/* A bf16 convolution of q's shape and tiles. */
static inline struct ebru_conv2d_bf16_params ebru_conv2d_bf16_of(const struct ebru_conv2d_params *p,
                                                                 int32_t parts, int32_t form) {
    struct ebru_conv2d_bf16_params q;
    EBRU_FIELDS_conv2d(EBRU_BF16_COPY);
    q.parts = parts;
    q.form = form;
    return q;
}
#undef EBRU_BF16_COPY

/* Index (in bf16) of weight element (n, c, y, x) of a part in the packed weight, and its number of
 * bf16. */
static inline int64_t ebru_conv2d_bf16_weight_index(const struct ebru_conv2d_bf16_params *p,
                                                    int32_t part, int32_t n, int32_t c, int32_t y,
                                                    int32_t x) {
    int64_t block = (int64_t)(n / 16) * ebru_blocks32(p->C0 + p->C1) + c / 32;
    int64_t tile = ((block * p->KH + y) * p->KW + x) * p->parts + part;
    return (tile * 16 + c % 32 / 2) * 32 + n % 16 * 2 + c % 2;
}
static inline int64_t ebru_conv2d_bf16_weight_elements(const struct ebru_conv2d_bf16_params *p) {
    return (int64_t)(p->phases ? 4 : 1) * ebru_blocks16(p->N) * ebru_blocks32(p->C0 + p->C1) *
           p->KH * p->KW * p->parts * 512;
}
static inline int32_t ebru_conv2d_bf16_groups(const struct ebru_conv2d_bf16_params *p) {
    const struct ebru_conv2d_params q = ebru_conv2d_bf16_shape(p);
    return ebru_conv2d_groups(&q);
}
static inline int32_t ebru_conv2d_bf16_tasks(const struct ebru_conv2d_bf16_params *p) {
    const struct ebru_conv2d_params q = ebru_conv2d_bf16_shape(p);
    return ebru_conv2d_tasks(&q);
}
/* Positions a row, and rows, of a gathered image. */
static inline int32_t ebru_conv2d_bf16_pitch(const struct ebru_conv2d_bf16_params *p) {
    const struct ebru_conv2d_params q = ebru_conv2d_bf16_shape(p);
    return ebru_conv2d_in_cols(&q);
}
static inline int32_t ebru_conv2d_bf16_height(const struct ebru_conv2d_bf16_params *p) {
    const struct ebru_conv2d_params q = ebru_conv2d_bf16_shape(p);
    return ebru_conv2d_in_rows(&q);
}
/* Positions of a plane: what a segment may read past the last pixel included; an odd multiple of
 * 16, so that neighbouring blocks of channels do not share their sets of the caches. */
static inline int64_t ebru_conv2d_bf16_plane(const struct ebru_conv2d_bf16_params *p) {
    int64_t n = (int64_t)p->TB * ebru_conv2d_bf16_height(p) * ebru_conv2d_bf16_pitch(p);
    if (p->form == EBRU_BF16_TILES) n += 15 * p->SW;
    return ((n + 15) / 16 | 1) * 16;
}
static inline int64_t ebru_conv2d_bf16_gather_bytes(const struct ebru_conv2d_bf16_params *p) {
    return ebru_conv2d_bf16_plane(p) * ebru_blocks32(p->C0 + p->C1) *
           (p->form == EBRU_BF16_WIDE ? 128 : 64 * p->parts);
}

/* Output pixels are covered by row segments of `length` positions, `step` apart, in the order of
 * the pixels: a segment begins at the first pixel that none before it covers. */
struct ebru_bf16_segments {
    int64_t start, end; /* of the last one; its end is that of its last position and one step */
    int32_t count;
};
static inline int32_t ebru_bf16_segment_length(int32_t form) {
    return form == EBRU_BF16_TILES ? 16 : 1;
}
/* Adds the pixel at position `at`; returns its number in the last segment. */
static inline int32_t ebru_bf16_cover(struct ebru_bf16_segments *r, int64_t at, int32_t length,
                                      int32_t step) {
    if (r->count == 0 || at >= r->end || (at - r->start) % step != 0) {
        r->start = at;
        r->end = at + (int64_t)length * step;
        r->count++;
    }
    return (int32_t)((at - r->start) / step);
}
/* Row segments of a whole task. Where images have a bias each (tbias 1) none has pixels of two. */
static inline int32_t ebru_conv2d_bf16_segments(const struct ebru_conv2d_bf16_params *p) {
    const int32_t length = ebru_bf16_segment_length(p->form), pitch = ebru_conv2d_bf16_pitch(p);
    if (length == 1) return p->TB * p->TH * p->TW;
    struct ebru_bf16_segments r = {0, 0, 0};
    for (int32_t i = 0; i < p->TB; i++) {
        if (p->tbias == 1) r.end = 0;
        for (int32_t y = 0; y < p->TH; y++) {
            const int64_t row = ((int64_t)i * ebru_conv2d_bf16_height(p) + y * p->SH) * pitch;
            for (int32_t x = 0; x < p->TW;)
                x += length - ebru_bf16_cover(&r, row + x * p->SW, length, p->SW);
        }
    }
    return r.count;
}
/* Columns of tiles that are finished together: a tile's, at least a pair with GEGLU. */
enum { EBRU_BF16_BLOCKS = 2 };
/* Floats of the sums: of one tile, or with several passes of all positions and blocks of a panel.
 */
static inline int64_t ebru_conv2d_bf16_sum_floats(const struct ebru_conv2d_bf16_params *p,
                                                  int32_t segments) {
    const int32_t length = ebru_bf16_segment_length(p->form),
                  single = p->KC >= ebru_blocks32(p->C0 + p->C1);
    const int32_t rows = ebru_min_i32(p->MR / length, segments); /* of a tile */
    return 16 * length * (single ? (int64_t)rows * EBRU_BF16_BLOCKS : (int64_t)segments * p->NB);
}
/* Scratch: the gathered input, the sums, offsets of the segments and of their positions. */
static inline int64_t ebru_conv2d_bf16_scratch(const struct ebru_conv2d_bf16_params *p) {
    const int32_t segments = ebru_conv2d_bf16_segments(p),
                  length = ebru_bf16_segment_length(p->form);
    return ebru_conv2d_bf16_gather_bytes(p) + 4 * ebru_conv2d_bf16_sum_floats(p, segments) +
           ((int64_t)segments * (length + 1) * 4 + 63) / 64 * 64;
}
/* ---- conv2d_winograd_bf16: conv2d_winograd with M = 2 and both operands of its products rounded:
 * the transformed inputs and the transformed filters. conv2d_winograd's fields and operands, and
 * parts and form as conv2d_bf16. The weight is [16][Nb][ceil(C/32)][parts][16 c2][16 n][2]. Tiles
 * never change the values; with form TILES MR is a multiple of 16. */
#define EBRU_FIELDS_conv2d_winograd_bf16(F)                                                        \
    EBRU_FIELDS_conv2d_winograd(F) F(i32, parts) F(i32, form)
struct ebru_conv2d_winograd_bf16_params {
    EBRU_FIELDS_conv2d_winograd_bf16(EBRU_FIELD_DECL)
};
#define EBRU_BF16_COPY(t, n) q.n = p->n;
/* The f32 convolution of the same shape and tiles; and back. */
static inline struct ebru_conv2d_winograd_params
ebru_conv2d_winograd_bf16_shape(const struct ebru_conv2d_winograd_bf16_params *p) {
    struct ebru_conv2d_winograd_params q;
    EBRU_FIELDS_conv2d_winograd(EBRU_BF16_COPY);
    return q;
}
static inline struct ebru_conv2d_winograd_bf16_params
ebru_conv2d_winograd_bf16_of(const struct ebru_conv2d_winograd_params *p, int32_t parts,
                             int32_t form) {
    struct ebru_conv2d_winograd_bf16_params q;
    EBRU_FIELDS_conv2d_winograd(EBRU_BF16_COPY);
    q.parts = parts;
    q.form = form;
    return q;
}
#undef EBRU_BF16_COPY
/* Index (in bf16) of weight element (n, c) of a point and part, and their number. */
static inline int64_t ebru_winograd_bf16_weight_index(int32_t N, int32_t C, int32_t parts,
                                                      int32_t point, int32_t part, int32_t n,
                                                      int32_t c) {
    const int64_t block = ((int64_t)point * ebru_blocks16(N) + n / 16) * ebru_blocks32(C) + c / 32;
    return ((block * parts + part) * 16 + c % 32 / 2) * 32 + n % 16 * 2 + c % 2;
}
static inline int64_t ebru_winograd_bf16_weight_elements(int32_t N, int32_t C, int32_t parts) {
    return (int64_t)16 * ebru_blocks16(N) * ebru_blocks32(C) * parts * 512;
}
static inline int32_t
ebru_conv2d_winograd_bf16_tasks(const struct ebru_conv2d_winograd_bf16_params *p) {
    const struct ebru_conv2d_winograd_params q = ebru_conv2d_winograd_bf16_shape(p);
    return ebru_conv2d_winograd_tasks(&q);
}
/* Rows of the multiply: the tiles of a task, up to whole segments. */
static inline int64_t
ebru_conv2d_winograd_bf16_rows(const struct ebru_conv2d_winograd_bf16_params *p) {
    const int32_t length = ebru_bf16_segment_length(p->form);
    return (int64_t)ebru_ceil_div(p->TT, length) * length;
}
/* Bytes of the transformed input [16][parts][ceil(C/32)][rows][32]. */
static inline int64_t
ebru_conv2d_winograd_bf16_input_bytes(const struct ebru_conv2d_winograd_bf16_params *p) {
    return 16 * ebru_conv2d_winograd_bf16_rows(p) * ebru_blocks32(p->C0 + p->C1) *
           (p->form == EBRU_BF16_WIDE ? 128 : 64 * p->parts);
}
/* Scratch: the band, the transformed input, the sums of a panel [16][NB][rows][16]. */
static inline int64_t
ebru_conv2d_winograd_bf16_scratch(const struct ebru_conv2d_winograd_bf16_params *p) {
    const struct ebru_conv2d_winograd_params q = ebru_conv2d_winograd_bf16_shape(p);
    return 4 * ebru_conv2d_winograd_band(&q) + ebru_conv2d_winograd_bf16_input_bytes(p) +
           4 * 16 * p->NB * ebru_conv2d_winograd_bf16_rows(p) * 16;
}
/* ---- feed_forward_bf16: feed_forward with the operands of both linears rounded; feed_forward's
 * fields and operands, parts and form as conv2d_bf16. The hidden layer is in scratch as the second
 * multiply reads it. */
#define EBRU_FIELDS_feed_forward_bf16(F) EBRU_FIELDS_feed_forward(F) F(i32, parts) F(i32, form)
struct ebru_feed_forward_bf16_params {
    EBRU_FIELDS_feed_forward_bf16(EBRU_FIELD_DECL)
};
/* The two linears it is, tiles included. */
#define EBRU_BF16_COPY(t, n) f.n = p->n;
static inline void ebru_feed_forward_bf16_layers(const struct ebru_feed_forward_bf16_params *p,
                                                 struct ebru_conv2d_bf16_params *first,
                                                 struct ebru_conv2d_bf16_params *second) {
    struct ebru_feed_forward_params f;
    struct ebru_conv2d_params a, b;
    EBRU_FIELDS_feed_forward(EBRU_BF16_COPY);
    ebru_feed_forward_layers(&f, &a, &b);
    *first = ebru_conv2d_bf16_of(&a, p->parts, p->form);
    *second = ebru_conv2d_bf16_of(&b, p->parts, p->form);
    /* one task at a time: what its sizes depend on */
    first->B = second->B = 1;
}
#undef EBRU_BF16_COPY
static inline int32_t ebru_feed_forward_bf16_tasks(const struct ebru_feed_forward_bf16_params *p) {
    return p->B * ebru_ceil_div(p->T, p->TW);
}
/* Scratch: the gathered tokens, the hidden layer of them, the sums, offsets of segments and
 * positions. */
static inline int64_t
ebru_feed_forward_bf16_scratch(const struct ebru_feed_forward_bf16_params *p) {
    struct ebru_conv2d_bf16_params first, second;
    ebru_feed_forward_bf16_layers(p, &first, &second);
    const int64_t a = ebru_conv2d_bf16_scratch(&first) - ebru_conv2d_bf16_gather_bytes(&first),
                  b = ebru_conv2d_bf16_scratch(&second) - ebru_conv2d_bf16_gather_bytes(&second);
    return ebru_conv2d_bf16_gather_bytes(&first) + ebru_conv2d_bf16_gather_bytes(&second) +
           (a > b ? a : b);
}
/* ---- attn_pack_k_bf16, attn_pack_v_bf16: keys and values of attention_bf16; the f32 kernels'
 * fields and operands, and parts. Their results are bf16:
 *   k   [B][heads][parts][ceil(d/32)][ceil(S/16)*16][32 channels]
 *   v   [B][heads][parts][ceil(S/32)][ceil(d/16)*16][32 keys]
 * zero past d and S; 64-byte aligned. The same for all levels. */
#define EBRU_FIELDS_attn_pack_k_bf16(F) EBRU_FIELDS_attn_pack_k(F) F(i32, parts)
#define EBRU_FIELDS_attn_pack_v_bf16(F) EBRU_FIELDS_attn_pack_k_bf16(F)
struct ebru_attn_pack_k_bf16_params {
    EBRU_FIELDS_attn_pack_k_bf16(EBRU_FIELD_DECL)
};
struct ebru_attn_pack_v_bf16_params {
    EBRU_FIELDS_attn_pack_v_bf16(EBRU_FIELD_DECL)
};
static inline int32_t ebru_attn_pack_k_bf16_tasks(const struct ebru_attn_pack_k_bf16_params *p) {
    return p->B * p->heads * ebru_ceil_div(p->S, EBRU_ATTN_PACK_TOKENS);
}
static inline int32_t ebru_attn_pack_v_bf16_tasks(const struct ebru_attn_pack_v_bf16_params *p) {
    return p->B * p->heads * ebru_ceil_div(p->S, EBRU_ATTN_PACK_TOKENS);
}
/* Numbers of bf16 of a part of a head, and of the results. */
static inline int64_t ebru_attn_k_part(int32_t S, int32_t d) {
    return (int64_t)ebru_blocks32(d) * ebru_blocks16(S) * 512;
}
static inline int64_t ebru_attn_v_part(int32_t S, int32_t d) {
    return (int64_t)ebru_blocks32(S) * ebru_blocks16(d) * 512;
}
static inline int64_t ebru_attn_pack_k_bf16_elements(const struct ebru_attn_pack_k_bf16_params *p) {
    return (int64_t)p->B * p->heads * p->parts * ebru_attn_k_part(p->S, p->d);
}
static inline int64_t ebru_attn_pack_v_bf16_elements(const struct ebru_attn_pack_v_bf16_params *p) {
    return (int64_t)p->B * p->heads * p->parts * ebru_attn_v_part(p->S, p->d);
}

/* ---- attention_bf16: attention with the operands of both products rounded: queries (times scale
 * and log2 e) and keys, weights and values. attention's fields and operands, keys and values packed
 * as above, and
 *   parts           1 or 2
 *   form            EBRU_BF16_* of the level
 * QB is a multiple of 16, KB of 32. Weights are relative to a base a query that follows from the
 * keys seen so far, and rounded relative to it, so KB is part of what the values depend on; nothing
 * else is. */
#define EBRU_FIELDS_attention_bf16(F) EBRU_FIELDS_attention(F) F(i32, parts) F(i32, form)
struct ebru_attention_bf16_params {
    EBRU_FIELDS_attention_bf16(EBRU_FIELD_DECL)
};
static inline int32_t ebru_attention_bf16_tasks(const struct ebru_attention_bf16_params *p) {
    return p->B * p->heads * ebru_ceil_div(p->T, p->QB);
}
/* Scratch: sums f32 [QB/16][d][16] (d up to a multiple of 16), two numbers a query, scores f32
 * [QB/16][KB][16]; queries [QB/16][ceil(d/32)] and weights [QB/16][KB/32] in VNNI layout
 * [parts][16][16][2]; with form WIDE a block of keys and one of values as f32. */
static inline int64_t ebru_attention_bf16_scratch(const struct ebru_attention_bf16_params *p) {
    const int64_t qb = p->QB, kb = p->KB, d16 = ebru_blocks16(p->d) * 16,
                  d32 = ebru_blocks32(p->d) * 32;
    return 4 * (qb * d16 + 2 * qb + qb * kb) + 2 * p->parts * qb * (d32 + kb) +
           (p->form == EBRU_BF16_WIDE ? 4 * kb * (d32 + d16) : 0);
}

#endif
