/* The kernel ABI's rows of 8-bit integers: params structs and host arithmetic of the kernels that
 * quantize activations and multiply them. Part of kernel_abi.h, which includes it; rules and
 * layouts stand there.
 *
 * A quantized pixel (or token) is a row of ebru_i8_row(C) bytes: its channels, filled up to a
 * multiple of 64, and a record of 16 bytes: f32 scale s, i32 zero point z, zeros. A byte q stands
 * for s (q - z). Rows follow each other as pixels do, so a pixel's taps of one row of a filter are
 * one stream; the record keeps rows from being a power of two apart.
 *
 * Packed weights are signed bytes, [Nb][KH][KW][ceil(C/64)][16 c4][16 n][4]: n = block n/16, column
 * n%16; c = block c/64, four c%64/4, byte c%4; zero where n >= N or c >= C; 64-byte aligned. With
 * them go two rows of Npad floats: what column n's bytes are to be multiplied with, and their sum,
 * an integer. */
#ifndef EBRU_RUNTIME_ABI_KERNEL_ABI_I8_H
#define EBRU_RUNTIME_ABI_KERNEL_ABI_I8_H

enum { EBRU_I8_BLOCK = 64, EBRU_I8_RECORD = 16 };

static inline int32_t ebru_blocks64(int32_t c) {
    return ebru_ceil_div(c, EBRU_I8_BLOCK);
}
static inline int32_t ebru_i8_row(int32_t C) {
    return ebru_blocks64(C) * EBRU_I8_BLOCK + EBRU_I8_RECORD;
}

/* ---- channel_range: the least and the largest value of each channel of an image; NaN where one is
 * no finite number
 *   B, P, C0, C1    as group_stats */
#define EBRU_FIELDS_channel_range(F) F(i32, B) F(i32, P) F(i32, C0) F(i32, C1)
struct ebru_channel_range_params {
    EBRU_FIELDS_channel_range(EBRU_FIELD_DECL)
};
enum {
    EBRU_CHANNEL_RANGE_X0,  /* c16 [B,C0,P] */
    EBRU_CHANNEL_RANGE_X1,  /* c16 [B,C1,P], or NULL */
    EBRU_CHANNEL_RANGE_OUT, /* [B][2][Cpad]: row 0 least, row 1 largest; pad lanes zero */
    EBRU_CHANNEL_RANGE_BUFS
};
static inline int32_t ebru_channel_range_tasks(const struct ebru_channel_range_params *p) {
    return p->B * ebru_blocks16(p->C0 + p->C1);
}

/* ---- quantize: pre_act(resize(concat(x0, x1)) * scale + shift) as bytes
 *   B, H, W, UH, UW, C0, C1, pro_scale, pre_act   as conv2d
 *   PT, PL, OH, OW  zeros above and left, size of the result: reads outside are zero
 *   ranged          1: one scale and zero point an image, from the range of its channels; 0: one a
 *                   pixel
 * The scale is the least number of 8 significant bits of which 255 cover the values and zero. */
/* clang-format off */
#define EBRU_FIELDS_quantize(F) \
    F(i32, B) F(i32, H) F(i32, W) F(i32, UH) F(i32, UW) F(i32, C0) F(i32, C1) F(i32, PT) \
    F(i32, PL) F(i32, OH) F(i32, OW) F(i32, pro_scale) F(i32, pre_act) F(i32, ranged)
/* clang-format on */
struct ebru_quantize_params {
    EBRU_FIELDS_quantize(EBRU_FIELD_DECL)
};
enum {
    EBRU_QUANTIZE_X0,          /* c16 [B,C0,H,W] */
    EBRU_QUANTIZE_X1,          /* c16 [B,C1,H,W], or NULL */
    EBRU_QUANTIZE_SCALE_SHIFT, /* [B][2][Cpad], or NULL */
    EBRU_QUANTIZE_RANGE,       /* channel_range's result, or NULL */
    EBRU_QUANTIZE_OUT,         /* u8 [B][OH][OW][row] */
    EBRU_QUANTIZE_BUFS
};
enum { EBRU_QUANTIZE_PIXELS = 32 }; /* of a row, a task */
static inline int32_t ebru_quantize_tasks(const struct ebru_quantize_params *p) {
    return p->B * p->OH * ebru_ceil_div(p->OW, EBRU_QUANTIZE_PIXELS);
}

/* How a level multiplies: rows of the multiply are single pixels, or with matrix registers row
 * segments of 16 neighbouring stored pixels, which may pass over those that are none of the
 * result. */
enum { EBRU_I8_PIXELS = 0, EBRU_I8_TILES = 1 };
static inline int32_t ebru_i8_form(int32_t isa) {
    return ebru_bf16_form(isa) == EBRU_BF16_TILES ? EBRU_I8_TILES : EBRU_I8_PIXELS;
}
static inline int32_t ebru_i8_segment_length(int32_t form) {
    return form == EBRU_I8_TILES ? 16 : 1;
}

/* ---- conv2d_i8: convolution and linear of quantized pixels
 *   y = act(s scale[n] (sum of q w - z sum[n]) + bias + tbias + residual)
 * with s and z of the first pixel of the window; 32-bit sums, which are exact.
 *   B, H, W         images, their stored size: padding is stored, too
 *   C, N            channels in, columns
 *   KH .. OW, has_bias, tbias, residual, act   as conv2d
 *   form            EBRU_I8_* of the level
 *   phases          1: four filters of 2x2 of an image stored with padding of one, which were a 3x3
 *                   one on its double: OH = 2 (H - 2), OW = 2 (W - 2); blocks of columns and the
 *                   rows of scales are phase by phase, phase 2r+s of output pixels (2y+r, 2x+s)
 * Tiles: MR, NB, TB, TH, TW, PG, order as conv2d's; MR counts stored pixels (form TILES: a multiple
 * of 16). There are no passes over channels: a panel's bytes are few. */
/* clang-format off */
#define EBRU_FIELDS_conv2d_i8(F) \
    F(i32, B) F(i32, H) F(i32, W) F(i32, C) F(i32, N) F(i32, KH) F(i32, KW) F(i32, SH) F(i32, SW) \
    F(i32, OH) F(i32, OW) F(i32, has_bias) F(i32, tbias) F(i32, residual) F(i32, act) \
    F(i32, MR) F(i32, NB) F(i32, TB) F(i32, TH) F(i32, TW) F(i32, PG) F(i32, order) F(i32, form) \
    F(i32, phases)
/* clang-format on */
struct ebru_conv2d_i8_params {
    EBRU_FIELDS_conv2d_i8(EBRU_FIELD_DECL)
};
enum {
    EBRU_CONV2D_I8_X,      /* u8 [B][H][W][row] */
    EBRU_CONV2D_I8_WEIGHT, /* packed weights */
    EBRU_CONV2D_I8_SCALE,  /* [2][Npad]; with phases [2][4 Npad] */
    EBRU_CONV2D_I8_BIAS,   /* as conv2d's, as are the rest */
    EBRU_CONV2D_I8_TBIAS,
    EBRU_CONV2D_I8_RESIDUAL,
    EBRU_CONV2D_I8_OUT,
    EBRU_CONV2D_I8_BUFS
};

/* The f32 convolution of the same shape and tiles. */
static inline struct ebru_conv2d_params
ebru_conv2d_i8_shape(const struct ebru_conv2d_i8_params *p) {
    struct ebru_conv2d_params q = {0};
    q.B = p->B;
    q.H = q.UH = p->phases ? p->OH / 2 : p->H;
    q.W = q.UW = p->phases ? p->OW / 2 : p->W;
    q.C0 = p->C;
    q.N = p->N;
    q.KH = p->KH;
    q.KW = p->KW;
    q.SH = p->SH;
    q.SW = p->SW;
    q.OH = p->OH;
    q.OW = p->OW;
    q.has_bias = p->has_bias;
    q.tbias = p->tbias;
    q.residual = p->residual;
    q.act = p->act;
    q.MR = p->MR;
    q.NB = p->NB;
    q.TB = p->TB;
    q.TH = p->TH;
    q.TW = p->TW;
    q.PG = p->PG;
    q.KC = ebru_blocks16(p->C);
    q.order = p->order;
    q.phases = p->phases;
    return q;
}
static inline int32_t ebru_conv2d_i8_tasks(const struct ebru_conv2d_i8_params *p) {
    const struct ebru_conv2d_params q = ebru_conv2d_i8_shape(p);
    return ebru_conv2d_tasks(&q);
}
/* Index of weight element (n, c, y, x), n = phase * Npad + column with phases; bytes of a block of columns and of the weight. */
static inline int64_t ebru_conv2d_i8_weight_index(const struct ebru_conv2d_i8_params *p, int32_t n,
                                                  int32_t c, int32_t y, int32_t x) {
    const int64_t tap = ((int64_t)(n / 16) * p->KH + y) * p->KW + x;
    return (((tap * ebru_blocks64(p->C) + c / 64) * 16 + c % 64 / 4) * 16 + n % 16) * 4 + c % 4;
}
static inline int64_t ebru_conv2d_i8_block_bytes(const struct ebru_conv2d_i8_params *p) {
    return (int64_t)p->KH * p->KW * ebru_blocks64(p->C) * 1024;
}
static inline int64_t ebru_conv2d_i8_weight_bytes(const struct ebru_conv2d_i8_params *p) {
    return (int64_t)(p->phases ? 4 : 1) * ebru_blocks16(p->N) * ebru_conv2d_i8_block_bytes(p);
}
/* Bytes of x that a task reads. */
static inline int64_t ebru_conv2d_i8_input_bytes(const struct ebru_conv2d_i8_params *p) {
    const struct ebru_conv2d_params q = ebru_conv2d_i8_shape(p);
    return (int64_t)p->TB * ebru_conv2d_in_rows(&q) * ebru_conv2d_in_cols(&q) * ebru_i8_row(p->C);
}
/* Where the window of an output pixel (row y, column x of image i) begins, in stored pixels; with
 * phases, of the first. Pointwise convolutions have one row. */
static inline int64_t ebru_conv2d_i8_position(const struct ebru_conv2d_i8_params *p, int32_t i,
                                              int32_t y, int32_t x) {
    return ((int64_t)i * p->H + (int64_t)y * p->SH) * p->W + (int64_t)x * p->SW;
}
/* Rows of the multiply that a whole task has: its pixels, or the row segments that cover them.
 * Where images have a bias each (tbias 1) no segment has pixels of two. */
static inline int32_t ebru_conv2d_i8_segments(const struct ebru_conv2d_i8_params *p) {
    const int32_t length = ebru_i8_segment_length(p->form);
    if (length == 1) return p->TB * p->TH * p->TW;
    struct ebru_bf16_segments r = {0, 0, 0};
    for (int32_t i = 0; i < p->TB; i++) {
        if (p->tbias == 1) r.end = 0;
        for (int32_t y = 0; y < p->TH; y++)
            for (int32_t x = 0; x < p->TW;)
                x += length -
                     ebru_bf16_cover(&r, ebru_conv2d_i8_position(p, i, y, x), length, p->SW);
    }
    return r.count;
}
enum { EBRU_I8_BLOCKS = 2 }; /* columns of tiles that are finished together, at least */
/* Scratch: the sums of the tiles that are finished together, offsets of the rows and of their
 * pixels. */
static inline int64_t ebru_conv2d_i8_scratch(const struct ebru_conv2d_i8_params *p) {
    const int64_t offsets =
        (int64_t)ebru_conv2d_i8_segments(p) * (1 + ebru_i8_segment_length(p->form));
    return 4 * ((int64_t)p->MR * EBRU_I8_BLOCKS * 16 + (offsets + 15) / 16 * 16);
}

#endif
