/* conv2d_winograd: 3x3 convolution of stride 1 by Winograd, F(2x2,3x3) or F(4x4,3x3).
 *
 *   Y = A^T [ sum over c of (G g G^T) . (B^T d B) ] A
 *
 * for each tile of M x M outputs, d its (M+2)^2 inputs (Winograd 1980; Lavin and Gray,
 * arXiv:1509.09308). The filters arrive transformed, G g G^T, one matrix of [C][N] a point; here
 *
 *  - band: the rows of inputs that neighbouring tiles read, prologue applied once, zeros outside
 *  - input: B^T d B of every tile of the task to scratch, V[point][c-block][tile][16]
 *  - multiply: for each panel of NB column blocks, for each point, the register tile (tile.h) with
 *    the tiles of the task as its rows, S[point][n-block][tile][16]
 *  - output: A^T s A, then bias, per-image bias, residual, activation, store
 *
 * Points 0, 1, -1, infinity for M = 2; 0, +-1/2, +-3/2, infinity for M = 4, whose rounding error is
 * the least of the common sets (rms 1.6 times that of the direct sum, where 0, +-1, +-2 has 4
 * times). */
#include "runtime/kernels/gather.h"
#include "runtime/kernels/tile/tile.h"
#include "runtime/kernels/tile/winograd_tile.h"
#include "runtime/kernels/vector/vmath.h"

struct wino {
    const struct ebru_conv2d_winograd_params *p;
    int32_t cbs, nbs, points, TY, TX;
    float *band, *v, *s;
    int64_t v_point, s_point; /* floats of a point in v and s */
    int32_t q0, tiles;        /* the task's tiles */
};

/* Neighbouring tiles of image b: `count` from row ty, column tx on; the task's tiles t0 .. */
struct band {
    int32_t b, ty, tx, count, t0;
};

/* All c-blocks of a band's tiles. */
INLINE void input_band(const struct wino *w, void *const *buf, const struct band *n) {
    const struct ebru_conv2d_winograd_params *p = w->p;
    const int32_t m = p->M;
    const int64_t plane = (int64_t)p->H * p->W * 16;
    const float *all = (const float *)buf[EBRU_CONV2D_SCALE_SHIFT],
                *stats = p->pro_scale ? all + (int64_t)n->b * 2 * w->cbs * 16 : NULL;
    struct gather g = {
        .cat = {(const float *)buf[EBRU_CONV2D_X0] + n->b * ebru_blocks16(p->C0) * plane,
                p->C1 ? (const float *)buf[EBRU_CONV2D_X1] + n->b * ebru_blocks16(p->C1) * plane
                      : NULL,
                plane, p->C0, p->C1},
        .H = p->H,
        .W = p->W,
        .UH = p->UH,
        .UW = p->UW,
        .scaled = p->pro_scale,
        .act = p->pre_act};
    const int32_t width = n->count * m + 2;
    for (int32_t cb = 0; cb < w->cbs; cb++) {
        gather_block(&g, cb, stats, w->cbs);
        for (int32_t y = 0; y < m + 2; y++)
            gather_row(&g, n->ty * m - p->PT + y, n->tx * m - p->PL, width,
                       w->band + y * width * 16);
        for (int32_t t = 0; t < n->count; t++) {
            const float *d = w->band + t * m * 16;
            float *v = w->v + ((int64_t)cb * w->tiles + n->t0 + t) * 16;
            if (m == 2)
                EBRU_NAME(ebru_winograd_input_2)(d, width * 16, v, w->v_point);
            else
                EBRU_NAME(ebru_winograd_input_4)(d, width * 16, v, w->v_point);
        }
    }
}

INLINE void input(const struct wino *w, void *const *buf) {
    int32_t t = 0;
    while (t < w->tiles) {
        const int32_t q = w->q0 + t, b = q / (w->TY * w->TX), ty = q / w->TX % w->TY,
                      tx = q % w->TX;
        const int32_t count =
            ebru_min_i32(ebru_min_i32(w->TX - tx, w->tiles - t), EBRU_WINOGRAD_BAND_TILES);
        input_band(w, buf, &(struct band){b, ty, tx, count, t});
        t += count;
    }
}

/* ---- multiply ---- */

/* S of the panel of blocks [n0, n0 + nb): every point's [tiles][C] x [C][nb * 16]. */
INLINE void multiply(const struct wino *w, const float *u, int32_t n0, int32_t nb) {
    const int32_t mr = w->p->MR, blocks = ebru_min_i32(nb, TILE_MAX_BLOCKS);
    const int64_t u_point = (int64_t)w->nbs * w->cbs * 256;
    struct tile t;
    t.a = NULL;
    t.b_step = (int64_t)w->cbs * 256;
    t.sum_step = (int64_t)w->tiles * 16;
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
            t.line = w->v + k * w->v_point + q * 16;
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
            const float *points = w->s + ((int64_t)n * w->tiles + t) * 16;
            v16 add = base;
            if (p->tbias)
                add += load16(tbias + ((p->tbias == 1 ? (int64_t)b * w->nbs : 0) + n0 + n) * 16);
            if (m == 2)
                EBRU_NAME(ebru_winograd_output_2)(points, w->s_point, y);
            else
                EBRU_NAME(ebru_winograd_output_4)(points, w->s_point, y);
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

EBRU_KERNEL(conv2d_winograd) {
    struct wino w;
    w.p = p;
    w.cbs = ebru_blocks16(p->C0 + p->C1);
    w.nbs = ebru_blocks16(p->N);
    w.points = (p->M + 2) * (p->M + 2);
    w.TY = ebru_ceil_div(p->OH, p->M);
    w.TX = ebru_ceil_div(p->OW, p->M);
    w.band = scratch;
    w.v = scratch + ebru_conv2d_winograd_band(p);
    w.s = w.v + (int64_t)w.points * w.cbs * p->TT * 16;
    const int32_t total = p->B * w.TY * w.TX, groups = ebru_conv2d_winograd_groups(p);
    int32_t transformed = -1;
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t region = task / groups, group = task % groups;
        if (region != transformed) {
            transformed = region;
            w.q0 = region * p->TT;
            w.tiles = ebru_min_i32(p->TT, total - w.q0);
            w.v_point = (int64_t)w.cbs * w.tiles * 16;
            w.s_point = (int64_t)p->NB * w.tiles * 16;
            input(&w, buf);
        }
        for (int32_t g = 0; g < p->PG; g++) {
            const int32_t n0 = (group * p->PG + g) * p->NB, nb = ebru_min_i32(p->NB, w.nbs - n0);
            if (nb <= 0) break;
            multiply(&w, (const float *)buf[EBRU_CONV2D_WEIGHT], n0, nb);
            output(&w, buf, n0, nb);
        }
    }
}
