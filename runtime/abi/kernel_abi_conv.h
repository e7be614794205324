/* The kernel ABI's rows of convolutions: params structs and host arithmetic of conv2d, feed_forward
 * and conv2d_winograd. Part of kernel_abi.h, which includes it; rules and layouts stand there. */
#ifndef EBRU_RUNTIME_ABI_KERNEL_ABI_CONV_H
#define EBRU_RUNTIME_ABI_KERNEL_ABI_CONV_H

/* ---- conv2d: convolution, 1x1 convolution, linear
 *   y = act(conv(pre_act(resize(concat(x0, x1)) * scale + shift), w) + bias + tbias + residual)
 * Linear over tokens [B,T,K] is H = 1, W = T, KH = KW = 1; over vectors [B,K] it is H = W = 1.
 *
 *   B               images
 *   H, W            stored size of x0 and x1
 *   UH, UW          the size they are read at: nearest neighbour, row y is row floor(y*H/UH);
 *                   or H, W
 *   C0, C1          channels of x0 and x1; C1 = 0: no x1. Input channel c is x0's c, then x1's
 *                   c - C0
 *   N               output channels = columns of the weight; GEGLU: twice the result's, a multiple
 *                   of 32
 *   KH, KW, SH, SW  kernel and stride
 *   PT, PL          zero padding above and left; below and right follow from OH, OW: reads outside
 *                   are zero (the zeros are inserted after the prologue)
 *   OH, OW          output size
 *   pro_scale       1: scale_shift is applied on the way in
 *   pre_act         EBRU_ACT_NONE or _SILU after it on the way in (also without pro_scale)
 *   has_bias        1: bias
 *   tbias           0: none, 1: one row an image, 2: one row for all images
 *   residual        1: a residual, added before act. Not with GEGLU
 *   act             EBRU_ACT_*
 *   phases          1: x0 and x1 are read at twice their size by a filter of 3x3, padded by one,
 *                   and that is done by four filters of 2x2 on what is stored. KH = KW = 2,
 *                   PT = PL = 1, SH = SW = 1, UH = H, UW = W, OH = 2H, OW = 2W. Output
 *                   (2y+r, 2x+s) begins at input (y-1+r, x-1+s), its weights at column (2r+s)*Npad,
 *                   Npad = N up to a 16. Tiles are tiles of x, of a phase
 *
 * Tiles. Sums always run over (c-block, kh, kw, c), so tiles never change the values:
 *   MR, NB          register tile: MR pixels by NB blocks of 16 columns
 *   TB, TH, TW      a task's output: images, rows, columns
 *   PG              panels of NB blocks in a task
 *   KC              c-blocks a pass: for each KC c-blocks of weights all pixels of the task are
 *                   visited
 *   order           0: panels vary fastest from task to task (the input is gathered once), 1:
 *                   slowest
 *   pack            1: gathered although the tensor could be read in place
 * A pointwise convolution (1x1, stride 1, no padding, not resized) is tiled as one row of OH*OW
 * pixels. */
/* clang-format off */
#define EBRU_FIELDS_conv2d(F) \
    F(i32, B) F(i32, H) F(i32, W) F(i32, UH) F(i32, UW) F(i32, C0) F(i32, C1) F(i32, N) \
    F(i32, KH) F(i32, KW) F(i32, SH) F(i32, SW) F(i32, PT) F(i32, PL) F(i32, OH) F(i32, OW) \
    F(i32, pro_scale) F(i32, pre_act) F(i32, has_bias) F(i32, tbias) F(i32, residual) \
    F(i32, act) F(i32, MR) F(i32, NB) F(i32, TB) F(i32, TH) F(i32, TW) F(i32, PG) F(i32, KC) \
    F(i32, order) F(i32, phases) F(i32, pack)
/* clang-format on */
struct ebru_conv2d_params {
    EBRU_FIELDS_conv2d(EBRU_FIELD_DECL)
};
enum {
    EBRU_CONV2D_X0, /* c16 [B,C0,H,W] */
    EBRU_CONV2D_X1, /* c16 [B,C1,H,W], or NULL */
    /* [B][2][Cpad], Cpad = C0+C1 up to a 16; row 0 scale, row 1 shift; or NULL / */
    EBRU_CONV2D_SCALE_SHIFT,
    EBRU_CONV2D_WEIGHT,   /* packed weights of C = C0+C1 */
    EBRU_CONV2D_BIAS,     /* padded [N], or NULL */
    EBRU_CONV2D_TBIAS,    /* [B][Npad] or [1][Npad], or NULL */
    EBRU_CONV2D_RESIDUAL, /* c16 [B,N,OH,OW], or NULL */
    EBRU_CONV2D_OUT,      /* c16 [B,N,OH,OW] (GEGLU: N/2); may be the residual's buffer */
    EBRU_CONV2D_BUFS
};

/* Index of weight element (n, c, y, x) in the packed weight. */
static inline int64_t ebru_conv2d_weight_index(const struct ebru_conv2d_params *p, int32_t n,
                                               int32_t c, int32_t y, int32_t x) {
    int64_t block = (int64_t)(n / 16) * ebru_blocks16(p->C0 + p->C1) + c / 16;
    return (((block * p->KH + y) * p->KW + x) * 16 + c % 16) * 16 + n % 16;
}
static inline int32_t ebru_conv2d_phases(const struct ebru_conv2d_params *p) {
    return p->phases ? 4 : 1;
}
/* Number of floats of the packed weight. */
static inline int64_t ebru_conv2d_weight_floats(const struct ebru_conv2d_params *p) {
    return (int64_t)ebru_conv2d_phases(p) * ebru_blocks16(p->N) * ebru_blocks16(p->C0 + p->C1) *
           p->KH * p->KW * 256;
}
/* Column of the packed weight (and bias) of a GEGLU linear with `hidden` result channels: gate = 0
 * is the first half of diffusers' proj (the value), gate = 1 the second (the argument of gelu). N
 * is 2 * (hidden rounded up to 16). */
static inline int32_t ebru_geglu_column(int32_t channel, int32_t gate) {
    return (channel / 16 * 2 + gate) * 16 + channel % 16;
}
/* 1x1, stride 1, no padding, not resized: pixels are one row. */
static inline int32_t ebru_conv2d_pointwise(const struct ebru_conv2d_params *p) {
    return p->KH == 1 && p->KW == 1 && p->SH == 1 && p->SW == 1 && p->PT == 0 && p->PL == 0 &&
           p->UH == p->H && p->UW == p->W && p->OH == p->H && p->OW == p->W;
}
/* Pointwise without prologue over whole c-blocks: tensors are read in place, nothing is gathered.
 */
static inline int32_t ebru_conv2d_direct(const struct ebru_conv2d_params *p) {
    return ebru_conv2d_pointwise(p) && !p->pro_scale && p->pre_act == EBRU_ACT_NONE &&
           (p->C1 == 0 || (p->C0 % 16 == 0 && p->TB == 1)) && !p->pack;
}
static inline int32_t ebru_conv2d_rows(const struct ebru_conv2d_params *p) {
    return ebru_conv2d_pointwise(p) ? 1 : p->phases ? p->H : p->OH;
}
static inline int32_t ebru_conv2d_cols(const struct ebru_conv2d_params *p) {
    return ebru_conv2d_pointwise(p) ? p->OH * p->OW : p->phases ? p->W : p->OW;
}
static inline int32_t ebru_conv2d_groups(const struct ebru_conv2d_params *p) {
    return ebru_conv2d_phases(p) * ebru_ceil_div(ebru_blocks16(p->N), p->NB * p->PG);
}
/* Rows and columns of an image that TH rows and TW columns of the result are computed from. */
static inline int32_t ebru_conv2d_in_rows(const struct ebru_conv2d_params *p) {
    return (p->TH - 1) * p->SH + p->KH + p->phases;
}
static inline int32_t ebru_conv2d_in_cols(const struct ebru_conv2d_params *p) {
    return (p->TW - 1) * p->SW + p->KW + p->phases;
}
static inline int32_t ebru_conv2d_tasks(const struct ebru_conv2d_params *p) {
    return ebru_ceil_div(p->B, p->TB) * ebru_ceil_div(ebru_conv2d_rows(p), p->TH) *
           ebru_ceil_div(ebru_conv2d_cols(p), p->TW) * ebru_conv2d_groups(p);
}
/* Floats of the gathered input of one task (0 when direct). */
static inline int64_t ebru_conv2d_gather_floats(const struct ebru_conv2d_params *p) {
    if (ebru_conv2d_direct(p)) return 0;
    if (ebru_conv2d_pointwise(p)) /* whole row segments of MR pixels */
        return (int64_t)ebru_ceil_div(p->TB * p->TW, p->MR) * p->MR * 16 *
               ebru_blocks16(p->C0 + p->C1);
    return (int64_t)p->TB * ebru_conv2d_in_rows(p) * ebru_conv2d_in_cols(p) * 16 *
           ebru_blocks16(p->C0 + p->C1);
}
/* Scratch: the gathered input, the sums of one panel [NB][TB*TH*TW][16], two offsets a pixel. */
static inline int64_t ebru_conv2d_scratch(const struct ebru_conv2d_params *p) {
    int64_t pixels = (int64_t)p->TB * p->TH * p->TW;
    return 4 * (ebru_conv2d_gather_floats(p) + pixels * p->NB * 16 + (2 * pixels + 15) / 16 * 16);
}
/* Shapes of a linear y[B,T,N] = x[B,T,K] W^T: fills B .. OW and clears the rest. */
static inline void ebru_conv2d_set_linear(struct ebru_conv2d_params *p, int32_t B, int32_t T,
                                          int32_t K, int32_t N) {
    struct ebru_conv2d_params q = {0};
    q.B = B;
    q.H = q.UH = q.OH = 1;
    q.W = q.UW = q.OW = T;
    q.C0 = K;
    q.N = N;
    q.KH = q.KW = q.SH = q.SW = 1;
    *p = q;
}

/* ---- feed_forward: two linears with geglu between them, the hidden layer in scratch
 *   y = (value * gelu(gate)) W2^T + b2 + residual, (value, gate) = x W1^T + b1
 *   B, T            batches, tokens
 *   C, H, N         channels of x, of the hidden layer (a multiple of 16), of y
 *   has_b1, has_b2, residual   1: there
 * Tiles, none of which changes the values:
 *   MR1, NB1, KC1, MR2, NB2, KC2   as conv2d's, of the first and the second layer; NB1 is even
 *   TW              tokens of a task */
/* clang-format off */
#define EBRU_FIELDS_feed_forward(F) \
    F(i32, B) F(i32, T) F(i32, C) F(i32, H) F(i32, N) F(i32, has_b1) F(i32, has_b2) \
    F(i32, residual) F(i32, MR1) F(i32, NB1) F(i32, KC1) F(i32, MR2) F(i32, NB2) F(i32, KC2) \
    F(i32, TW)
/* clang-format on */
struct ebru_feed_forward_params {
    EBRU_FIELDS_feed_forward(EBRU_FIELD_DECL)
};
enum {
    EBRU_FEED_FORWARD_X,        /* c16 [B,T,C] */
    EBRU_FEED_FORWARD_W1,       /* packed [2H,C], columns as ebru_geglu_column says */
    EBRU_FEED_FORWARD_B1,       /* padded [2H], or NULL */
    EBRU_FEED_FORWARD_W2,       /* packed [N,H] */
    EBRU_FEED_FORWARD_B2,       /* padded [N], or NULL */
    EBRU_FEED_FORWARD_RESIDUAL, /* c16 [B,T,N], or NULL */
    EBRU_FEED_FORWARD_OUT,      /* c16 [B,T,N]; may be the residual's buffer */
    EBRU_FEED_FORWARD_BUFS
};
/* The two linears it is, tiles included. */
static inline void ebru_feed_forward_layers(const struct ebru_feed_forward_params *p,
                                            struct ebru_conv2d_params *first,
                                            struct ebru_conv2d_params *second) {
    ebru_conv2d_set_linear(first, p->B, p->T, p->C, 2 * p->H);
    first->has_bias = p->has_b1;
    first->act = EBRU_ACT_GEGLU;
    first->MR = p->MR1;
    first->NB = p->NB1;
    first->KC = p->KC1;
    ebru_conv2d_set_linear(second, p->B, p->T, p->H, p->N);
    second->has_bias = p->has_b2;
    second->residual = p->residual;
    second->MR = p->MR2;
    second->NB = p->NB2;
    second->KC = p->KC2;
    first->TB = second->TB = first->TH = second->TH = first->PG = second->PG = 1;
    first->TW = second->TW = p->TW;
}
static inline int32_t ebru_feed_forward_tasks(const struct ebru_feed_forward_params *p) {
    return p->B * ebru_ceil_div(p->T, p->TW);
}
/* Scratch: the hidden layer of TW tokens, the sums of one panel, two offsets a token. */
static inline int64_t ebru_feed_forward_scratch(const struct ebru_feed_forward_params *p) {
    int64_t tokens = p->TW, blocks = ebru_blocks16(p->H) + ebru_max_i32(p->NB1, p->NB2);
    return 4 * (tokens * blocks * 16 + (2 * tokens + 15) / 16 * 16);
}
/* ---- conv2d_winograd: the 3x3 convolutions of stride 1 of conv2d by Winograd; fields as there,
 * and
 *   M               outputs a tile and axis, 2 or 4: F(MxM, 3x3)
 * Tiles of a call: those of all images, row by row, in one list. Sums run over c for each point, so
 * the values depend on M and not on
 *   MR, NB          register tile: MR tiles by NB blocks of 16 columns
 *   TT              tiles a task
 *   PG              panels of NB blocks in a task
 * Operands are conv2d's (EBRU_CONV2D_*); the weight is [(M+2)^2][Nb][Cb][16 c][16 n], G g G^T at
 * each point. */
/* clang-format off */
#define EBRU_FIELDS_conv2d_winograd(F) \
    F(i32, B) F(i32, H) F(i32, W) F(i32, UH) F(i32, UW) F(i32, C0) F(i32, C1) F(i32, N) \
    F(i32, PT) F(i32, PL) F(i32, OH) F(i32, OW) F(i32, pro_scale) F(i32, pre_act) \
    F(i32, has_bias) F(i32, tbias) F(i32, residual) F(i32, act) F(i32, M) F(i32, MR) F(i32, NB) \
    F(i32, TT) F(i32, PG)
/* clang-format on */
struct ebru_conv2d_winograd_params {
    EBRU_FIELDS_conv2d_winograd(EBRU_FIELD_DECL)
};
enum { EBRU_WINOGRAD_BAND_TILES = 16 }; /* neighbouring tiles whose input rows are read at once */

/* Index of weight element (n, c) of a point in the transformed weight. */
static inline int64_t ebru_winograd_weight_index(int32_t N, int32_t C, int32_t point, int32_t n,
                                                 int32_t c) {
    int64_t block = ((int64_t)point * ebru_blocks16(N) + n / 16) * ebru_blocks16(C) + c / 16;
    return (block * 16 + c % 16) * 16 + n % 16;
}
static inline int64_t ebru_winograd_weight_floats(int32_t N, int32_t C, int32_t M) {
    return (int64_t)(M + 2) * (M + 2) * ebru_blocks16(N) * ebru_blocks16(C) * 256;
}
static inline int32_t ebru_conv2d_winograd_tiles(const struct ebru_conv2d_winograd_params *p) {
    return p->B * ebru_ceil_div(p->OH, p->M) * ebru_ceil_div(p->OW, p->M);
}
static inline int32_t ebru_conv2d_winograd_groups(const struct ebru_conv2d_winograd_params *p) {
    return ebru_ceil_div(ebru_blocks16(p->N), p->NB * p->PG);
}
static inline int32_t ebru_conv2d_winograd_tasks(const struct ebru_conv2d_winograd_params *p) {
    return ebru_ceil_div(ebru_conv2d_winograd_tiles(p), p->TT) * ebru_conv2d_winograd_groups(p);
}
/* Floats of the rows that a band of tiles reads. */
static inline int64_t ebru_conv2d_winograd_band(const struct ebru_conv2d_winograd_params *p) {
    return (int64_t)(p->M + 2) * (EBRU_WINOGRAD_BAND_TILES * p->M + 2) * 16;
}
/* Scratch: that band, the transformed input [points][Cb][TT][16], the sums of a panel
 * [points][NB][TT][16]. */
static inline int64_t ebru_conv2d_winograd_scratch(const struct ebru_conv2d_winograd_params *p) {
    int64_t points = (int64_t)(p->M + 2) * (p->M + 2);
    return 4 * (ebru_conv2d_winograd_band(p) +
                points * (ebru_blocks16(p->C0 + p->C1) + p->NB) * p->TT * 16);
}

#endif
