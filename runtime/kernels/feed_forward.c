/* feed_forward: two linears, geglu between them, on a block of tokens a task.
 *
 *   first     reads the input in place; its panels write value * gelu(gate) to scratch,
 *             [H/16][tokens][16]
 *   second    its panels read that and finish into the result, with bias and residual
 *
 * The hidden layer exists for one block of tokens a thread; the price is that each block reads the
 * weights of both layers. Sums run in conv2d's order, so the values are those of the two linears.
 */
#include "runtime/kernels/conv.h"

/* All panels of one layer over the block's tokens. */
INLINE void layer(const struct conv *c, void *const *buf) {
    pixel_tables(c);
    for (int32_t n0 = 0; n0 < c->nbs; n0 += c->p->NB) panel(c, buf, n0, part(c->nbs, c->p->NB, n0));
}

/* One layer of one batch; blocks of input channels lie `in_plane`, of output channels `out_plane`
 * floats apart. */
INLINE struct conv layer_of(const struct ebru_conv2d_params *p, int64_t in_plane,
                            int64_t out_plane) {
    struct conv c = conv_of(p);
    c.in_plane = in_plane;
    c.out_plane = out_plane;
    c.g_row = c.g_img = 0;
    c.g_cb = in_plane;
    c.nimg = c.nrow = 1;
    c.b0 = c.y0 = c.x0 = 0; /* the pointers begin at the block */
    return c;
}

EBRU_KERNEL(feed_forward) {
    struct ebru_conv2d_params p1, p2;
    ebru_feed_forward_layers(p, &p1, &p2);
    const int64_t plane = (int64_t)p->T * 16, block = (int64_t)p->TW * 16;
    struct conv first = layer_of(&p1, plane, block), second = layer_of(&p2, block, plane);
    first.direct = 1;
    second.direct = 0;
    first.gather = second.gather = scratch; /* the hidden layer */
    first.sums = second.sums = scratch + second.cbs * block;
    first.a_off = second.a_off = (int32_t *)(first.sums + block * ebru_max_i32(p->NB1, p->NB2));
    first.o_off = second.o_off = first.a_off + p->TW;
    const int32_t blocks = ebru_ceil_div(p->T, p->TW);
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t b = task / blocks, t0 = task % blocks * p->TW;
        const int64_t at = b * second.nbs * plane + t0 * 16;
        float *x = (float *)buf[EBRU_FEED_FORWARD_X] + b * first.cbs * plane + t0 * 16;
        float *res = p->residual ? (float *)buf[EBRU_FEED_FORWARD_RESIDUAL] + at : NULL;
        float *out = (float *)buf[EBRU_FEED_FORWARD_OUT] + at;
        void *const buf1[EBRU_CONV2D_BUFS] = {
            x,    NULL, NULL,   buf[EBRU_FEED_FORWARD_W1], buf[EBRU_FEED_FORWARD_B1],
            NULL, NULL, scratch};
        void *const buf2[EBRU_CONV2D_BUFS] = {
            NULL, NULL, NULL, buf[EBRU_FEED_FORWARD_W2], buf[EBRU_FEED_FORWARD_B2], NULL, res, out};
        first.ncol = second.ncol = first.per_image = second.per_image = part(p->T, p->TW, t0);
        layer(&first, buf1);
        layer(&second, buf2);
    }
}
