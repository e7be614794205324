/* What the tests of Winograd's kernels have in common, whatever they multiply: the convolution as
 * conv2d knows it, and the shapes. A test defines `params` before it includes this, and
 * winograd_run behind. */
#ifndef EBRU_TESTS_KERNEL_WINOGRAD_H
#define EBRU_TESTS_KERNEL_WINOGRAD_H
#include "codegen/target/default_tiles/default_tiles.h"
#include "tests/unit/kernels/kernel_conv.h"

/* The rows of G of F(2,3), for the points 0, 1, -1, infinity. */
static const double winograd_g2[4][3] = {{-1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};

/* The same convolution as conv2d knows it. */
static struct ebru_conv2d_params winograd_direct(const params *p) {
    return (struct ebru_conv2d_params){.B = p->B,
                                       .H = p->H,
                                       .W = p->W,
                                       .UH = p->UH,
                                       .UW = p->UW,
                                       .C0 = p->C0,
                                       .C1 = p->C1,
                                       .N = p->N,
                                       .KH = 3,
                                       .KW = 3,
                                       .SH = 1,
                                       .SW = 1,
                                       .PT = p->PT,
                                       .PL = p->PL,
                                       .OH = p->OH,
                                       .OW = p->OW,
                                       .pro_scale = p->pro_scale,
                                       .pre_act = p->pre_act,
                                       .has_bias = p->has_bias,
                                       .tbias = p->tbias,
                                       .residual = p->residual,
                                       .act = p->act};
}

/* Runs one shape in everything that the kernel has: levels, tile sizes, parts, splits. */
static void winograd_run(params p);

/* Sizes that are not said: no resizing, and as many outputs as inputs. */
static void winograd(params p) {
    if (!p.UH) p.UH = p.H, p.UW = p.W;
    if (!p.OH) p.OH = p.UH, p.OW = p.UW, p.PT = p.PL = 1;
    winograd_run(p);
}

static void shapes(void **state) {
    (void)state;
    winograd((params){.B = 1, .H = 8, .W = 8, .C0 = 32, .N = 48});
    winograd((params){.B = 2, .H = 5, .W = 7, .C0 = 3, .N = 20, .has_bias = 1});
    winograd((params){.B = 1, .H = 9, .W = 11, .C0 = 33, .N = 3, .has_bias = 1});
    winograd((params){.B = 3, .H = 2, .W = 1, .C0 = 16, .N = 16});
    winograd((params){.B = 1, .H = 3, .W = 90, .C0 = 16, .N = 16}); /* several runs a row */
}

static void padding(void **state) {
    (void)state;
    winograd(
        (params){.B = 1, .H = 8, .W = 9, .UH = 8, .UW = 9, .C0 = 16, .N = 16, .OH = 6, .OW = 7});
    winograd((params){
        .B = 1, .H = 6, .W = 6, .UH = 6, .UW = 6, .C0 = 16, .N = 16, .OH = 6, .OW = 5, .PT = 2});
}

static void concat_and_prologue(void **state) {
    (void)state;
    winograd((params){.B = 2,
                      .H = 6,
                      .W = 6,
                      .C0 = 32,
                      .C1 = 16,
                      .N = 48,
                      .pro_scale = 1,
                      .pre_act = EBRU_ACT_SILU,
                      .has_bias = 1});
    winograd((params){.B = 2, .H = 5, .W = 4, .C0 = 20, .C1 = 10, .N = 24, .pro_scale = 1});
    winograd((params){.B = 1, .H = 5, .W = 4, .C0 = 24, .N = 16, .pre_act = EBRU_ACT_SILU});
}

static void resized(void **state) {
    (void)state;
    winograd((params){.B = 1, .H = 4, .W = 5, .UH = 8, .UW = 10, .C0 = 16, .N = 32, .has_bias = 1});
    winograd((params){.B = 2, .H = 3, .W = 4, .UH = 7, .UW = 9, .C0 = 10, .C1 = 9, .N = 16});
}

static void epilogues(void **state) {
    (void)state;
    for (int32_t i = 0; i < 3; i++)
        winograd((params){.B = 2,
                          .H = 3,
                          .W = 5,
                          .C0 = 16,
                          .N = 20,
                          .has_bias = 1,
                          .tbias = i,
                          .residual = i != 2,
                          .act = i == 1 ? EBRU_ACT_SILU : EBRU_ACT_NONE});
}

#define WINOGRAD_TESTS                                                                             \
    cmocka_unit_test(shapes), cmocka_unit_test(padding), cmocka_unit_test(concat_and_prologue),    \
        cmocka_unit_test(resized), cmocka_unit_test(epilogues)

#endif
