/* conv2d_winograd: 3x3 convolution of stride 1 by Winograd, F(2x2,3x3) or F(4x4,3x3), in f32;
 * winograd.h says how. The transformed input is V[point][c-block][tile][16]. */
#include "runtime/kernels/winograd/winograd.h"
#include "runtime/kernels/tile/tile.h"

struct product {
    struct wino w;
    float *v;
    int64_t v_point; /* floats of a point in it */
};

INLINE void product_task(struct product *x) {
    x->v_point = (int64_t)x->w.cbs * x->w.tiles * 16;
    x->w.s_block = (int64_t)x->w.tiles * 16;
    x->w.s_point = x->w.p->NB * x->w.s_block;
}

INLINE void product_tile(const struct product *x, const float *d, int64_t row, int32_t cb,
                         int32_t t) {
    float *v = x->v + ((int64_t)cb * x->w.tiles + t) * 16;
    if (x->w.p->M == 2)
        EBRU_NAME(ebru_winograd_input_2)(d, row, v, x->v_point);
    else
        EBRU_NAME(ebru_winograd_input_4)(d, row, v, x->v_point);
}

INLINE void product_output(const struct wino *w, const float *s, float *y) {
    if (w->p->M == 2)
        EBRU_NAME(ebru_winograd_output_2)(s, w->s_point, y);
    else
        EBRU_NAME(ebru_winograd_output_4)(s, w->s_point, y);
}

/* S of the panel of blocks [n0, n0 + nb): every point's [tiles][C] x [C][nb * 16]. */
INLINE void product_panel(const struct product *x, void *const *buf, int32_t n0, int32_t nb) {
    const struct wino *w = &x->w;
    const float *u = (const float *)buf[EBRU_CONV2D_WEIGHT];
    const int32_t mr = w->p->MR, blocks = ebru_min_i32(nb, TILE_MAX_BLOCKS);
    const int64_t u_point = (int64_t)w->nbs * w->cbs * 256;
    struct tile t;
    t.a = NULL;
    t.b_step = (int64_t)w->cbs * 256;
    t.sum_step = w->s_block;
    t.sum_row = 16;
    t.rest = 0;
    t.a_row = 0;
    t.a_cb = (int64_t)(w->tiles - 1) * 16;
    t.a_next = (int64_t)w->tiles * 16;
    t.cbs = w->cbs;
    t.kh = t.kw = 1;
    t.add = 0;
    for (int32_t k = 0; k < w->points; k++) {
        const float *b = u + k * u_point + n0 * t.b_step;
        const float *next =
            k + 1 < w->points ? b + u_point : u + (n0 + nb < w->nbs ? n0 + nb : 0) * t.b_step;
        int32_t call = 0;
        for (int32_t q = 0; q < w->tiles; q += mr) {
            const int32_t rows = ebru_min_i32(mr, w->tiles - q);
            t.line = x->v + k * x->v_point + q * 16;
            for (int32_t n = 0; n < nb; n += blocks, call++) {
                /* each call prefetches half a block of the next point's weights */
                t.next = next + ebru_min_i32(call, 2 * nb - 1) * (t.b_step / 2);
                t.b = b + n * t.b_step;
                t.sum = w->s + k * w->s_point + n * t.sum_step + q * 16;
                tile_run(&t, rows, ebru_min_i32(blocks, nb - n));
            }
        }
    }
}

#include "runtime/kernels/winograd/winograd_loop.h"

EBRU_KERNEL(conv2d_winograd) {
    struct product x = {.w = wino_of(p, scratch)};
    x.v = scratch + ebru_conv2d_winograd_band(p);
    x.w.s = x.v + (int64_t)x.w.points * x.w.cbs * p->TT * 16;
    winograd_tasks(&x, buf, task_begin, task_end);
}
