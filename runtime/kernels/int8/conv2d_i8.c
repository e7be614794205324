/* conv2d_i8: convolutions of quantized pixels, which are read where they lie; tasks and panels are
 * conv2d's. */
#include "runtime/kernels/conv.h"
#include "runtime/kernels/tile/tile_i8.h"

_Static_assert((int)TILE_I8_BLOCKS <= (int)EBRU_I8_BLOCKS, "sums have room for a tile");

struct conv_i8 {
    struct conv c; /* a_off: bytes from the task's first image to a window's first pixel */
    const struct ebru_conv2d_i8_params *p;
    void *const *buf; /* as conv.h's epilogue wants them */
};

/* The tables of the task's pixels. */
INLINE void tables_i8(const struct conv_i8 *k) {
    const struct conv *c = &k->c;
    const struct ebru_conv2d_params *p = c->p;
    const int32_t pointwise = ebru_conv2d_pointwise(p), row = ebru_i8_row(p->C0),
                  width = pointwise ? p->H * p->W : p->W;
    const int32_t out_blocks = p->act == EBRU_ACT_GEGLU ? c->nbs / 2 : c->nbs;
    int32_t q = 0;
    for (int32_t i = 0; i < c->nimg; i++)
        for (int32_t y = 0; y < c->nrow; y++) {
            const int64_t in = (int64_t)i * p->H * p->W + (int64_t)(c->y0 + y) * p->SH * width;
            const int64_t out = i * out_blocks * c->out_plane + pixel_row(c, c->y0 + y);
            for (int32_t x = 0; x < c->ncol; x++, q++) {
                c->a_off[q] = (int32_t)((in + (int64_t)(c->x0 + x) * p->SW) * row);
                c->o_off[q] = (int32_t)(out + x * pixel_step(c));
            }
        }
}

/* The panel of blocks [n0, n0 + nb). */
INLINE void panel_i8(const struct conv_i8 *k, const uint8_t *x, const int8_t *w, const float *scale,
                     int32_t n0, int32_t nb) {
    const struct conv *c = &k->c;
    const struct ebru_conv2d_params *p = c->p;
    const int32_t pixels = c->nimg * c->nrow * c->ncol, mr = p->MR, row = ebru_i8_row(p->C0);
    /* blocks finished together: value and gate are neighbours */
    const int32_t group = p->act == EBRU_ACT_GEGLU ? 2 : TILE_I8_BLOCKS;
    const uint8_t *a[TILE_I8_MOST_ROWS];
    struct tile_i8 t;
    t.a = a;
    t.b_step = ebru_conv2d_i8_block_bytes(k->p);
    t.sum_step = mr * 16;
    t.blocks = c->cbs;
    t.a_tap = row - c->cbs * 16;
    t.a_row = (int64_t)(p->W - p->KW) * row;
    t.b_tap = (ebru_blocks64(p->C0) * 4 - c->cbs) * 256;
    t.record = row - EBRU_I8_RECORD;
    t.kh = p->KH;
    t.kw = p->KW;
    for (int32_t q = 0; q < pixels; q += mr) {
        const int32_t rows = part(pixels, mr, q);
        for (int32_t m = 0; m < rows; m++) a[m] = x + c->a_off[q + m];
        for (int32_t g = 0; g < nb; g += group) {
            const int32_t blocks = part(nb, group, g);
            const struct sums done = {c->sums, n0 + g, blocks, q, q + rows, mr * 16};
            prefetch_result(c, k->buf, &done);
            for (int32_t n = 0; n < blocks; n += TILE_I8_BLOCKS) {
                t.b = w + (n0 + g + n) * t.b_step;
                t.scale = scale + (n0 + g + n) * 16;
                t.total = t.scale + c->nbs * 16;
                t.sum = c->sums + n * t.sum_step;
                tile_i8_run(&t, rows, part(blocks, TILE_I8_BLOCKS, n));
            }
            finish(c, k->buf, &done);
        }
    }
}

EBRU_KERNEL(conv2d_i8) {
    if (task_begin >= task_end) return;
    const struct ebru_conv2d_params shape = ebru_conv2d_i8_shape(p);
    void *const operands[EBRU_CONV2D_BUFS] = {[EBRU_CONV2D_BIAS] = buf[EBRU_CONV2D_I8_BIAS],
                                              [EBRU_CONV2D_TBIAS] = buf[EBRU_CONV2D_I8_TBIAS],
                                              [EBRU_CONV2D_RESIDUAL] = buf[EBRU_CONV2D_I8_RESIDUAL],
                                              [EBRU_CONV2D_OUT] = buf[EBRU_CONV2D_I8_OUT]};
    struct conv_i8 k = {.c = conv_of(&shape), .p = p, .buf = operands};
    struct conv *c = &k.c;
    c->sums = scratch;
    c->a_off = (int32_t *)(c->sums + p->MR * EBRU_I8_BLOCKS * 16);
    c->o_off = c->a_off + p->TB * p->TH * p->TW;
    const int32_t regions = regions_of(c), groups = ebru_conv2d_groups(&shape);
    const uint8_t *x = NULL;
    int32_t taken = -1;
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t region = p->order ? task % regions : task / groups;
        const int32_t group = p->order ? task / regions : task % groups;
        if (region != taken) {
            taken = region;
            take_region(c, region);
            tables_i8(&k);
            x = (const uint8_t *)buf[EBRU_CONV2D_I8_X] +
                (int64_t)c->b0 * p->H * p->W * ebru_i8_row(p->C);
        }
        for (int32_t g = 0; g < p->PG; g++) {
            const int32_t n0 = (group * p->PG + g) * p->NB;
            if (n0 < c->nbs)
                panel_i8(&k, x, (const int8_t *)buf[EBRU_CONV2D_I8_WEIGHT],
                         (const float *)buf[EBRU_CONV2D_I8_SCALE], n0, part(c->nbs, p->NB, n0));
        }
    }
}
