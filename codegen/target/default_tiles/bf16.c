/* Default tiles of conv2d_bf16, conv2d_winograd_bf16 and feed_forward_bf16. */
#include "codegen/target/default_tiles/default_tiles.h"

/* ---- conv2d_bf16 ---- */

/* Bytes of scratch a task may take. bf16 units multiply by a weight more than 128 times while one
 * comes from memory: where weights come from afar, a task has at least 256 pixels, though its input
 * may be in L3 then. Most reads of it are from L1. */
static int64_t scratch_budget(int32_t form, int32_t streamed, int32_t pixels, int64_t l2) {
    if (form == EBRU_BF16_WIDE) return l2 * 5 / 8;
    return streamed && pixels <= 512 ? 2 * l2 : l2 / 2;
}

/* Blocks of columns of a panel. Panels are narrow where taps read their pixels again and again from
 * L1; where each is read once a tile, wide. */
static void panel_width(struct ebru_conv2d_bf16_params *p) {
    const int32_t nb = ebru_blocks16(p->N);
    p->NB = ebru_min_i32((nb + 1) / 2 * 2, 4);
    if (p->form != EBRU_BF16_TILES || p->KH * p->KW > 1) return;
    const int32_t count = ebru_ceil_div(nb, 16); /* of one width, an even number of them */
    p->NB = ebru_ceil_div(ebru_ceil_div(nb, count > 1 ? (count + 1) / 2 * 2 : 1), 2) * 2;
}

/* Blocks of 32 channels of a pass. Its weights take a quarter of L2; where each pixel is read once
 * a tile, the pixels of a tile stay in L1 for a pass. */
static void pass_length(struct ebru_conv2d_bf16_params *p, int64_t l1, int64_t l2) {
    const int32_t cb = ebru_blocks32(p->C0 + p->C1), taps = p->KH * p->KW;
    const int64_t pixel =
        p->form == EBRU_BF16_WIDE ? 128 : 64 * p->parts; /* bytes of 32 channels */
    int64_t most = l2 / 4 / ((int64_t)taps * p->parts * 1024 * p->NB);
    if (taps == 1 && cb * pixel * p->MR > l1 * 3 / 2) {
        const int64_t fits = l1 * 3 / 4 / (pixel * p->MR);
        if (fits < most) most = fits;
    }
    if (most < 1) most = 1;
    p->KC = most >= cb ? cb : ebru_ceil_div(cb, ebru_ceil_div(cb, (int32_t)most));
}

/* The pixels of a task: as many as its scratch may hold. */
static void task_region(struct ebru_conv2d_bf16_params *p, int32_t streamed, int64_t l2) {
    const struct ebru_conv2d_params shape = ebru_conv2d_bf16_shape(p);
    p->TB = p->B;
    p->TH = ebru_conv2d_rows(&shape);
    p->TW = ebru_conv2d_cols(&shape);
    while (ebru_conv2d_bf16_scratch(p) >
           scratch_budget(p->form, streamed, p->TB * p->TH * p->TW, l2)) {
        if (!cg_halve_for_scratch(&p->TB, &p->TH, &p->TW, p->MR)) break;
    }
}

/* Few tasks: a multiple of four of them, so that two or four threads get equal shares. */
static void even_tasks(struct ebru_conv2d_bf16_params *p) {
    while (ebru_conv2d_bf16_tasks(p) < 16 && ebru_conv2d_bf16_tasks(p) % 4 != 0) {
        if (!cg_halve_for_threads(&p->TB, &p->TH, &p->TW, p->MR)) break;
    }
}

void cg_default_tiles_conv2d_bf16(struct ebru_conv2d_bf16_params *p, int32_t isa, int64_t l1,
                                  int64_t l2) {
    if (l1 <= 0) l1 = CG_COMMON_L1;
    if (l2 <= 0) l2 = CG_COMMON_L2;
    p->form = ebru_bf16_form(isa);
    panel_width(p);
    p->MR = cg_most_rows_bf16(isa, p->NB);
    pass_length(p, l1, l2);
    const int32_t streamed = ebru_conv2d_bf16_weight_elements(p) * 2 > l2;
    p->PG = 1;
    p->order = 0;
    task_region(p, streamed, l2);
    even_tasks(p);
    /* In f32, bands of one image share a panel of weights that is larger than L2 can keep for all.
     * bf16 units are too fast for that: the input would have to be gathered for every panel. */
    if (p->form == EBRU_BF16_WIDE && streamed &&
        ebru_conv2d_bf16_tasks(p) <= 4 * ebru_conv2d_bf16_groups(p))
        p->order = 1;
}

/* ---- conv2d_winograd_bf16 ---- */

/* As conv2d_winograd's: a task's tiles are as many as use each weight often enough, fewer where the
 * transformed input would grow beyond a few L2 caches. */
void cg_default_tiles_conv2d_winograd_bf16(struct ebru_conv2d_winograd_bf16_params *p, int32_t isa,
                                           int64_t l2) {
    const struct ebru_conv2d_winograd_params shape = ebru_conv2d_winograd_bf16_shape(p);
    const int32_t nb = ebru_blocks16(p->N), tiles = ebru_conv2d_winograd_tiles(&shape);
    if (l2 <= 0) l2 = CG_COMMON_L2;
    p->form = ebru_bf16_form(isa);
    p->NB = ebru_min_i32((nb + 1) / 2 * 2, 4);
    p->MR = cg_most_rows_bf16(isa, p->NB);
    p->TT = 1;
    int32_t most = (int32_t)(4 * l2 / ebru_conv2d_winograd_bf16_input_bytes(p) *
                             ebru_conv2d_winograd_bf16_rows(p));
    cg_share_winograd(tiles, most, ebru_ceil_div(nb, p->NB), &p->TT, &p->PG);
}

/* ---- feed_forward_bf16 ---- */

/* Weights are read once a task, so a task has as many tokens as its scratch may hold, but four
 * tasks there should be. */
void cg_default_tiles_feed_forward_bf16(struct ebru_feed_forward_bf16_params *p, int32_t isa,
                                        int64_t l1, int64_t l2) {
    struct ebru_conv2d_bf16_params first, second;
    p->MR1 = p->NB1 = p->KC1 = p->MR2 = p->NB2 = p->KC2 = p->TW = 1;
    p->form = ebru_bf16_form(isa);
    ebru_feed_forward_bf16_layers(p, &first, &second);
    cg_default_tiles_conv2d_bf16(&first, isa, l1, l2);
    cg_default_tiles_conv2d_bf16(&second, isa, l1, l2);
    p->MR1 = first.MR;
    p->NB1 = first.NB;
    p->KC1 = first.KC;
    p->MR2 = second.MR;
    p->NB2 = second.NB;
    p->KC2 = second.KC;
    if (l2 <= 0) l2 = CG_COMMON_L2;
    const int64_t weights =
        ebru_conv2d_bf16_weight_elements(&first) + ebru_conv2d_bf16_weight_elements(&second);
    const int32_t step = p->MR1; /* whole register tiles */
    p->TW = ebru_ceil_div(p->T, step) * step;
    while (p->TW > step && (ebru_feed_forward_bf16_tasks(p) < 4 ||
                            ebru_feed_forward_bf16_scratch(p) >
                                scratch_budget(p->form, weights * 2 > l2, p->TW, l2)))
        p->TW = ebru_ceil_div(ebru_ceil_div(p->TW, 2), step) * step;
    if (p->TW > p->T) p->TW = p->T;
}
