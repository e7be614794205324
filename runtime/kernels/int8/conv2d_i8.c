/* conv2d_i8: convolutions of quantized pixels, which are read where they lie; tasks and panels are
 * conv2d's. With matrix registers a row of the multiply is a row segment of stored pixels, which may
 * pass over some that are none of the task's (the halo, or what a stride leaves out): the tables
 * have an entry a segment, and one a pixel of it, which is -1 there (as conv_bf16.h's). */
#include "runtime/kernels/conv.h"
#include "runtime/kernels/tile/tile_i8.h"

_Static_assert((int)TILE_I8_BLOCKS <= (int)EBRU_I8_BLOCKS, "sums have room for a tile");

struct conv_i8 {
    struct conv c; /* a_off: bytes from the task's first image to a window's first pixel */
    const struct ebru_conv2d_i8_params *p;
    void *const *buf;          /* as conv.h's epilogue wants them */
    const uint8_t *last;       /* pixel that a window may begin at */
    int32_t segments;          /* of the task's pixels */
    struct tile_i8_rows shape; /* of the matrix registers; 0: none yet */
};

/* The tables of the task's pixels. */
INLINE void tables_i8(struct conv_i8 *k) {
    struct conv *c = &k->c;
    const struct ebru_conv2d_params *p = c->p;
    const int32_t row = ebru_i8_row(p->C0);
    const int32_t out_blocks = p->act == EBRU_ACT_GEGLU ? c->nbs / 2 : c->nbs;
    struct ebru_bf16_segments r = {0, 0, 0};
    for (int32_t i = 0; i < c->nimg; i++) {
        if (p->tbias == 1) r.end = 0;
        for (int32_t y = 0; y < c->nrow; y++) {
            const int64_t in = ebru_conv2d_i8_position(k->p, i, c->y0 + y, c->x0);
            const int64_t out = i * out_blocks * c->out_plane + pixel_row(c, c->y0 + y);
            for (int32_t x = 0; x < c->ncol; x++) {
                const int32_t before = r.count;
                const int32_t at = ebru_bf16_cover(&r, in + x * p->SW, TILE_I8_SEGMENT, p->SW);
                int32_t *o = c->o_off + (r.count - 1) * TILE_I8_SEGMENT;
                if (r.count > before) {
                    c->a_off[before] = (int32_t)(r.start * row);
                    for (int32_t l = 0; l < TILE_I8_SEGMENT; l++) o[l] = -1;
                }
                o[at] = (int32_t)(out + x * pixel_step(c));
            }
        }
    }
    k->segments = r.count;
    c->per_image = (p->tbias == 1 ? r.count / c->nimg : r.count) * TILE_I8_SEGMENT;
}

/* Shapes the matrix registers for segments that begin at these pixels: no window of theirs may go
 * beyond the last stored one. */
INLINE void shape_i8(struct conv_i8 *k, struct tile_i8 *t, int32_t rows) {
    if (TILE_I8_SEGMENT == 1) return;
    struct tile_i8_rows s = {{16, 16}};
    for (int32_t m = 0; m < rows; m++) {
        const int64_t steps = (k->last - t->a[m]) / t->a_step;
        s.of[m] = (int32_t)(steps < 15 ? steps + 1 : 16);
    }
    t->pixels = s;
    if (s.of[0] == k->shape.of[0] && s.of[1] == k->shape.of[1]) return;
    tile_i8_shape(s);
    k->shape = s;
}

/* The panel of blocks [n0, n0 + nb). */
INLINE void panel_i8(struct conv_i8 *k, const uint8_t *x, const int8_t *w, const float *scale,
                     int32_t n0, int32_t nb) {
    const struct conv *c = &k->c;
    const struct ebru_conv2d_params *p = c->p;
    const int32_t mr = p->MR / TILE_I8_SEGMENT, row = ebru_i8_row(p->C0);
    const int32_t steps = ebru_ceil_div(p->C0, TILE_I8_CHANNELS); /* of a tap */
    /* blocks finished together: value and gate are neighbours */
    const int32_t group = p->act == EBRU_ACT_GEGLU ? 2 : TILE_I8_BLOCKS;
    const uint8_t *a[TILE_I8_MOST_ROWS];
    struct tile_i8 t;
    t.a = a;
    t.b_step = ebru_conv2d_i8_block_bytes(k->p);
    t.sum_step = p->MR * 16;
    t.blocks = steps;
    t.a_step = p->SW * row;
    t.a_tap = row - steps * TILE_I8_CHANNELS;
    t.a_row = (int64_t)(k->p->W - p->KW) * row;
    x += ((int64_t)(c->phase / 2) * k->p->W + c->phase % 2) * row;
    w += phase_block(c) * t.b_step;
    scale += phase_block(c) * 16;
    t.b_tap = (ebru_blocks64(p->C0) * EBRU_I8_BLOCK - steps * TILE_I8_CHANNELS) * 16;
    t.record = row - EBRU_I8_RECORD;
    t.kh = p->KH;
    t.kw = p->KW;
    for (int32_t u = 0; u < k->segments; u += mr) {
        const int32_t rows = part(k->segments, mr, u), q = u * TILE_I8_SEGMENT;
        for (int32_t m = 0; m < rows; m++) a[m] = x + c->a_off[u + m];
        shape_i8(k, &t, rows);
        for (int32_t g = 0; g < nb; g += group) {
            const int32_t blocks = part(nb, group, g);
            const struct sums done = {c->sums,   n0 + g, blocks, q, q + rows * TILE_I8_SEGMENT,
                                      p->MR * 16};
            prefetch_result(c, k->buf, &done);
            for (int32_t n = 0; n < blocks; n += TILE_I8_BLOCKS) {
                t.b = w + (n0 + g + n) * t.b_step;
                t.scale = scale + (n0 + g + n) * 16;
                t.total = t.scale + ebru_conv2d_phases(p) * c->nbs * 16;
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
    c->o_off = c->a_off + ebru_conv2d_i8_segments(p);
    c->holes = TILE_I8_SEGMENT > 1;
    const int64_t stored = (int64_t)p->B * p->H * p->W,
                  window = (int64_t)(p->KH - 1) * p->W + p->KW; /* pixels to its end */
    k.last = (const uint8_t *)buf[EBRU_CONV2D_I8_X] + (stored - window) * ebru_i8_row(p->C);
    const int32_t regions = regions_of(c), groups = ebru_conv2d_groups(&shape);
    const uint8_t *x = NULL;
    int32_t taken = -1;
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t region = p->order ? task % regions : task / groups;
        const int32_t group = take_group(c, p->order ? task / regions : task % groups);
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
    tile_i8_end();
}
