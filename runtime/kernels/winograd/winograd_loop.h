/* The tasks of a convolution by Winograd, over a product that stands in front (winograd.h). */
#ifndef EBRU_RUNTIME_KERNELS_WINOGRAD_LOOP_H
#define EBRU_RUNTIME_KERNELS_WINOGRAD_LOOP_H

#include "runtime/kernels/winograd/winograd.h"

/* Neighbouring tiles of image b: `count` from row ty, column tx on; the task's tiles t0 .. */
struct band {
    int32_t b, ty, tx, count, t0;
};

/* All c-blocks of a band's tiles. */
INLINE void input_band(const struct product *x, void *const *buf, const struct band *n) {
    const struct wino *w = &x->w;
    const struct ebru_conv2d_winograd_params *p = w->p;
    const int32_t m = p->M;
    const int64_t plane = (int64_t)p->H * p->W * 16;
    const float *all = (const float *)buf[EBRU_CONV2D_SCALE_SHIFT],
                *stats = p->pro_scale ? all + (int64_t)n->b * 2 * w->cbs * 16 : NULL;
    struct gather g = {
        .cat = cat_image(buf[EBRU_CONV2D_X0], buf[EBRU_CONV2D_X1], n->b, p->C0, p->C1, plane),
        .H = p->H,
        .W = p->W,
        .UH = p->UH,
        .UW = p->UW,
        .scaled = p->pro_scale,
        .act = p->pre_act,
        .coarse = w->coarse};
    const int32_t width = n->count * m + 2;
    for (int32_t cb = 0; cb < w->cbs; cb++) {
        gather_block(&g, cb, stats, w->cbs);
        for (int32_t y = 0; y < m + 2; y++)
            gather_row(&g, n->ty * m - p->PT + y, n->tx * m - p->PL, width,
                       w->band + y * width * 16);
        for (int32_t t = 0; t < n->count; t++)
            product_tile(x, w->band + t * m * 16, width * 16, cb, n->t0 + t);
    }
}

INLINE void input(const struct product *x, void *const *buf) {
    const struct wino *w = &x->w;
    int32_t t = 0;
    while (t < w->tiles) {
        const int32_t q = w->q0 + t, b = q / (w->TY * w->TX), ty = q / w->TX % w->TY,
                      tx = q % w->TX;
        const int32_t count =
            ebru_min_i32(ebru_min_i32(w->TX - tx, w->tiles - t), EBRU_WINOGRAD_BAND_TILES);
        input_band(x, buf, &(struct band){b, ty, tx, count, t});
        t += count;
    }
}

/* ---- output ---- */

INLINE void output(const struct wino *w, void *const *buf, int32_t n0, int32_t nb) {
    const struct ebru_conv2d_winograd_params *p = w->p;
    const int32_t m = p->M;
    _Alignas(64) float y[16 * 16];
    const int64_t plane = (int64_t)p->OH * p->OW * 16;
    const float *bias = (const float *)buf[EBRU_CONV2D_BIAS],
                *tbias = (const float *)buf[EBRU_CONV2D_TBIAS];
    for (int32_t n = 0; n < nb; n++) {
        const v16 base = p->has_bias ? load16(bias + (n0 + n) * 16) : splat16(0.0f);
        for (int32_t t = 0; t < w->tiles; t++) {
            const int32_t q = w->q0 + t, b = q / (w->TY * w->TX), ty = q / w->TX % w->TY,
                          tx = q % w->TX;
            const int32_t rows = ebru_min_i32(m, p->OH - ty * m),
                          cols = ebru_min_i32(m, p->OW - tx * m);
            const int64_t at =
                (b * w->nbs + n0 + n) * plane + ((int64_t)ty * m * p->OW + tx * m) * 16;
            float *out = (float *)buf[EBRU_CONV2D_OUT] + at;
            const float *res = p->residual ? (const float *)buf[EBRU_CONV2D_RESIDUAL] + at : NULL;
            const float *points = w->s + n * w->s_block + t * 16;
            v16 add = base;
            if (p->tbias)
                add += load16(tbias + ((p->tbias == 1 ? (int64_t)b * w->nbs : 0) + n0 + n) * 16);
            product_output(w, points, y);
            for (int32_t i = 0; i < rows; i++) {
                for (int32_t x = 0; x < cols; x++) {
                    const int64_t o = ((int64_t)i * p->OW + x) * 16;
                    v16 v = load16(y + (i * m + x) * 16) + add;
                    if (p->residual) v += load16(res + o);
                    store16(out + o, act16(v, p->act));
                }
            }
        }
    }
}

/* Tasks [begin, end). */
INLINE void winograd_tasks(struct product *x, void *const *buf, int32_t begin, int32_t end) {
    struct wino *w = &x->w;
    const struct ebru_conv2d_winograd_params *p = w->p;
    const int32_t total = p->B * w->TY * w->TX, groups = ebru_conv2d_winograd_groups(p);
    int32_t transformed = -1;
    for (int32_t task = begin; task < end; task++) {
        const int32_t region = task / groups, group = task % groups;
        if (region != transformed) {
            transformed = region;
            w->q0 = region * p->TT;
            w->tiles = ebru_min_i32(p->TT, total - w->q0);
            product_task(x);
            input(x, buf);
        }
        for (int32_t g = 0; g < p->PG; g++) {
            const int32_t n0 = (group * p->PG + g) * p->NB, nb = ebru_min_i32(p->NB, w->nbs - n0);
            if (nb <= 0) break;
            product_panel(x, buf, n0, nb);
            output(w, buf, n0, nb);
        }
    }
}

#endif
