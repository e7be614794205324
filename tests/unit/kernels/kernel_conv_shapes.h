/* Shapes of the convolution tests: tails of channels, columns and pixels, strides, asymmetric
 * padding, concatenation across blocks, resizing, prologues, epilogues. */
#ifndef EBRU_TESTS_UNIT_KERNELS_KERNEL_CONV_SHAPES_H
#define EBRU_TESTS_UNIT_KERNELS_KERNEL_CONV_SHAPES_H

#include "runtime/abi/kernel_abi.h"

struct conv_shape {
    int32_t B, H, W, C0, C1, N, K, S, PT, PL, PB, PR, UH,
        UW; /* K, S: both axes; PB, PR: below, right */
    int32_t pro, pre, bias, tbias, residual, act;
    int32_t phases; /* 1: four filters of 2x2 on an input that is read at twice its size */
};

static inline struct ebru_conv2d_params conv_shape_params(const struct conv_shape *s) {
    struct ebru_conv2d_params p = {0};
    p.B = s->B;
    p.H = s->H;
    p.W = s->W;
    p.UH = s->UH ? s->UH : s->H;
    p.UW = s->UW ? s->UW : s->W;
    p.C0 = s->C0;
    p.C1 = s->C1;
    p.N = s->N;
    p.KH = p.KW = s->K;
    p.SH = p.SW = s->S;
    p.PT = s->PT;
    p.PL = s->PL;
    p.OH = (p.UH + s->PT + s->PB - s->K) / s->S + 1;
    p.OW = (p.UW + s->PL + s->PR - s->K) / s->S + 1;
    if (s->phases) {
        p.phases = 1;
        p.OH = 2 * s->H;
        p.OW = 2 * s->W;
    }
    p.pro_scale = s->pro;
    p.pre_act = s->pre;
    p.has_bias = s->bias;
    p.tbias = s->tbias;
    p.residual = s->residual;
    p.act = s->act;
    return p;
}

/* clang-format off */
#define PAD(n)  .PT = n, .PL = n, .PB = n, .PR = n
static const struct conv_shape conv_plain[] = {
    {.B = 1, .H = 8, .W = 8, .C0 = 32, .N = 64, .K = 3, .S = 1, PAD(1)},
    {.B = 2, .H = 5, .W = 7, .C0 = 3, .N = 20, .K = 3, .S = 1, PAD(1), .bias = 1},
    {.B = 1, .H = 9, .W = 11, .C0 = 17, .N = 3, .K = 3, .S = 1, PAD(1), .bias = 1},
    {.B = 3, .H = 4, .W = 4, .C0 = 48, .N = 96, .K = 1, .S = 1, .bias = 1},
    {.B = 1, .H = 6, .W = 5, .C0 = 16, .N = 33, .K = 5, .S = 1, PAD(2), .bias = 1},
    {.B = 1, .H = 4, .W = 6, .C0 = 16, .N = 16, .K = 2, .S = 1},
};
static const struct conv_shape conv_stride_and_padding[] = {
    {.B = 1, .H = 8, .W = 8, .C0 = 16, .N = 32, .K = 3, .S = 2, PAD(1), .bias = 1},
    {.B = 2, .H = 8, .W = 6, .C0 = 16, .N = 32, .K = 3, .S = 2, .PB = 1, .PR = 1, .bias = 1},
    {.B = 1, .H = 9, .W = 7, .C0 = 20, .N = 16, .K = 3, .S = 2, .PT = 0, .PL = 1, .PB = 1, .PR = 0,
     .pro = 1, .pre = EBRU_ACT_SILU},
    {.B = 1, .H = 7, .W = 7, .C0 = 16, .N = 16, .K = 1, .S = 2, .bias = 1},
    {.B = 1, .H = 3, .W = 3, .C0 = 16, .N = 16, .K = 7, .S = 1, PAD(3)},
};
static const struct conv_shape conv_concat_and_prologue[] = {
    {.B = 2, .H = 6, .W = 6, .C0 = 32, .C1 = 16, .N = 48, .K = 3, .S = 1, PAD(1), .pro = 1,
     .pre = EBRU_ACT_SILU, .bias = 1},
    {.B = 2, .H = 5, .W = 4, .C0 = 20, .C1 = 10, .N = 24, .K = 3, .S = 1, PAD(1), .pro = 1,
     .pre = EBRU_ACT_SILU},
    {.B = 1, .H = 5, .W = 4, .C0 = 8, .C1 = 40, .N = 16, .K = 1, .S = 1},
    {.B = 2, .H = 5, .W = 4, .C0 = 32, .C1 = 40, .N = 64, .K = 1, .S = 1, .bias = 1},
    {.B = 1, .H = 5, .W = 4, .C0 = 32, .C1 = 32, .N = 16, .K = 1, .S = 1, .pro = 1},
    {.B = 1, .H = 5, .W = 4, .C0 = 24, .N = 16, .K = 1, .S = 1, .pre = EBRU_ACT_SILU},
};
static const struct conv_shape conv_resized[] = {
    {.B = 1, .H = 4, .W = 5, .UH = 8, .UW = 10, .C0 = 16, .N = 32, .K = 3, .S = 1, PAD(1), .bias = 1},
    {.B = 2, .H = 3, .W = 4, .UH = 7, .UW = 9, .C0 = 10, .C1 = 9, .N = 16, .K = 3, .S = 1, PAD(1)},
    {.B = 1, .H = 3, .W = 3, .UH = 6, .UW = 6, .C0 = 16, .N = 16, .K = 1, .S = 1},
};
static const struct conv_shape conv_phases[] = {
    {.B = 1, .H = 4, .W = 5, .C0 = 16, .N = 32, .K = 2, .S = 1, PAD(1), .bias = 1, .phases = 1},
    {.B = 2, .H = 3, .W = 16, .C0 = 32, .C1 = 9, .N = 20, .K = 2, .S = 1, PAD(1), .pro = 1,
     .pre = EBRU_ACT_SILU, .phases = 1},
    {.B = 2, .H = 9, .W = 7, .C0 = 40, .N = 112, .K = 2, .S = 1, PAD(1), .bias = 1, .tbias = 1,
     .residual = 1, .phases = 1},
    {.B = 1, .H = 1, .W = 1, .C0 = 3, .N = 3, .K = 2, .S = 1, PAD(1), .act = EBRU_ACT_TANH, .phases = 1},
};
static const struct conv_shape conv_epilogues[] = {
    {.B = 3, .H = 4, .W = 4, .C0 = 16, .N = 48, .K = 3, .S = 1, PAD(1), .bias = 1, .tbias = 1, .residual = 1},
    {.B = 3, .H = 4, .W = 4, .C0 = 16, .N = 48, .K = 3, .S = 1, PAD(1), .tbias = 2, .residual = 1,
     .act = EBRU_ACT_RELU},
};
static const struct conv_shape conv_linear[] = {
    {.B = 1, .H = 1, .W = 77, .C0 = 48, .N = 80, .K = 1, .S = 1, .bias = 1, .residual = 1},
    {.B = 2, .H = 1, .W = 13, .C0 = 40, .N = 64, .K = 1, .S = 1, .bias = 1, .act = EBRU_ACT_GEGLU},
    {.B = 2, .H = 1, .W = 13, .C0 = 40, .N = 96, .K = 1, .S = 1, .act = EBRU_ACT_GEGLU, .tbias = 1},
    {.B = 1, .H = 1, .W = 1, .C0 = 100, .N = 130, .K = 1, .S = 1, .bias = 1, .act = EBRU_ACT_SILU},
    {.B = 5, .H = 1, .W = 1, .C0 = 64, .N = 32, .K = 1, .S = 1, .bias = 1, .pre = EBRU_ACT_SILU},
};
#undef PAD
/* clang-format on */

/* Every activation, with the ways of a per-image bias and a residual in turns. */
static inline struct conv_shape conv_epilogue(int32_t act) {
    struct conv_shape s = {
        .B = 2, .H = 3, .W = 5, .C0 = 16, .N = 20, .K = 1, .S = 1, .bias = 1, .act = act};
    s.tbias = act % 3;
    s.residual = (act + 1) % 2;
    return s;
}

#define CONV_EACH(s, list)                                                                         \
    for (const struct conv_shape *s = list; s < list + sizeof list / sizeof *list; s++)

#endif
