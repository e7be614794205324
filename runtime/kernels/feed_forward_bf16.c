/* feed_forward_bf16: feed_forward with operands rounded to bf16, a block of tokens a task.
 *
 *   gather    the tokens to cells: a cell is 32 channels of one token (cell.h)
 *   first     its panels write value * gelu(gate) to cells, rounded, as the second multiply reads
 *             them
 *   second    its panels finish into the result, with bias and residual */
#include "runtime/kernels/conv_bf16.h"

/* One layer on the block's tokens; `gather` is where its input lies or goes. */
INLINE struct conv_bf16 layer_of(const struct ebru_conv2d_bf16_params *p,
                                 const struct ebru_conv2d_params *shape, int64_t plane,
                                 cell_t *gather) {
    struct conv_bf16 k = {.c = conv_of(shape), .parts = p->parts, .cbs = ebru_blocks32(p->C0)};
    k.c.in_plane = k.c.out_plane = plane;
    k.c.g_row = k.c.g_img = (int64_t)p->TW * CELL;
    k.c.g_cb = ebru_conv2d_bf16_plane(p) * CELL;
    k.g_part = k.cbs * k.c.g_cb;
    k.gather = gather;
    k.c.holes = TILE_BF16_SEGMENT > 1;
    k.c.nimg = k.c.nrow = 1;
    return k;
}

INLINE void layer(struct conv_bf16 *k, void *const *buf) {
    segment_tables(k);
    for (int32_t n0 = 0; n0 < k->c.nbs; n0 += k->c.p->NB)
        panel_bf16(k, buf, n0, part(k->c.nbs, k->c.p->NB, n0));
}

/* Zeros to the half cells past the last hidden channel. */
INLINE void clear_rest(const struct conv_bf16 *second) {
    if (second->c.cbs % 2 == 0) return;
    cell_t *last = second->gather + (second->cbs - 1) * second->c.g_cb + 16;
    for (int32_t t = 0; t < second->c.ncol; t++)
        cell_store(last + t * CELL, splat16(0.0f), second->parts, second->g_part);
}

EBRU_KERNEL(feed_forward_bf16) {
    if (task_begin >= task_end) return;
    struct ebru_conv2d_bf16_params p1, p2;
    ebru_feed_forward_bf16_layers(p, &p1, &p2);
    const struct ebru_conv2d_params s1 = ebru_conv2d_bf16_shape(&p1),
                                    s2 = ebru_conv2d_bf16_shape(&p2);
    const int64_t plane = (int64_t)p->T * 16;
    char *at = (char *)scratch;
    struct conv_bf16 first = layer_of(&p1, &s1, plane, (cell_t *)at);
    at += ebru_conv2d_bf16_gather_bytes(&p1);
    struct conv_bf16 second = layer_of(&p2, &s2, plane, (cell_t *)at);
    at += ebru_conv2d_bf16_gather_bytes(&p2);
    const int32_t segments = ebru_conv2d_bf16_segments(&p1);
    const int64_t sums1 = ebru_conv2d_bf16_sum_floats(&p1, segments),
                  sums2 = ebru_conv2d_bf16_sum_floats(&p2, segments);
    first.c.sums = second.c.sums = (float *)at;
    first.c.a_off = second.c.a_off = (int32_t *)(first.c.sums + (sums1 > sums2 ? sums1 : sums2));
    first.c.o_off = second.c.o_off = first.c.a_off + segments;
    first.c.cells = second.gather;
    first.c.cell_plane = second.c.g_cb;
    first.c.cell_part = p->parts == 2 ? second.g_part : 0;
    const int32_t blocks = ebru_ceil_div(p->T, p->TW);
    tile_bf16_begin();
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t b = task / blocks, t0 = task % blocks * p->TW;
        const int64_t from = b * second.c.nbs * plane + t0 * 16;
        float *x = (float *)buf[EBRU_FEED_FORWARD_X] + b * first.c.cbs * plane + t0 * 16;
        float *res = p->residual ? (float *)buf[EBRU_FEED_FORWARD_RESIDUAL] + from : NULL;
        float *out = (float *)buf[EBRU_FEED_FORWARD_OUT] + from;
        void *const buf1[EBRU_CONV2D_BUFS] = {
            x, NULL, NULL, buf[EBRU_FEED_FORWARD_W1], buf[EBRU_FEED_FORWARD_B1], NULL, NULL, NULL};
        void *const buf2[EBRU_CONV2D_BUFS] = {
            NULL, NULL, NULL, buf[EBRU_FEED_FORWARD_W2], buf[EBRU_FEED_FORWARD_B2], NULL, res, out};
        first.c.ncol = second.c.ncol = part(p->T, p->TW, t0);
        gather_bf16(&first, buf1);
        layer(&first, buf1);
        clear_rest(&second);
        layer(&second, buf2);
    }
    tile_bf16_end();
}
