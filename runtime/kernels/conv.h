/* The three parts of a convolution on a task's pixels: gather, multiply, finish. conv2d is one of
 * them, feed_forward two in a row; conv_bf16.h has the first two for operands in bf16.
 *
 *   gather     the task's input goes to scratch, the prologue applied on the way:
 *              - as [C/16][image][rows + halo][cols + halo][16] with a zero halo;
 *              - of a pointwise convolution as row segments of MR pixels, each [C/16][MR][16], so
 *                that a register tile reads one stream;
 *              - or not at all: without prologue a pointwise convolution reads the tensor in place
 *   multiply   for each panel of NB column blocks, for each pass of KC input blocks, for each MR
 *              pixels: one register tile (tile.h). Sums rest in scratch between passes, so a pass's
 *              weights are read from memory once
 *   finish     after the last pass: bias, per-image bias, residual, activation, store
 *
 * Pixels of a task are one list (image, row, column). Two tables give each one's offset in the
 * gathered input and in the output, so a tile may run across rows and images. */
#ifndef EBRU_RUNTIME_KERNELS_CONV_H
#define EBRU_RUNTIME_KERNELS_CONV_H

#include "runtime/kernels/gather.h"
#include "runtime/kernels/tile/tile.h"

struct conv {
    const struct ebru_conv2d_params *p;
    int32_t direct, cbs, nbs, OH, OW, KHW;
    int64_t in_plane, out_plane; /* floats of a block of one image */
    int64_t g_row, g_img, g_cb;  /* strides of the multiply's input in floats */
    int32_t segment;             /* pixels of a packed row segment, or 0 */
    float *gather, *sums;
    int32_t *a_off, *o_off;
    int32_t b0, y0, x0, nimg, nrow, ncol; /* the task's output */
    int32_t phase;                        /* of the output pixels, 2r+s; 0 without phases */
    int32_t per_image;                    /* entries of the tables an image */
    int32_t holes;                        /* 1: entries of o_off may be -1, not a pixel */
    cell_t *cells;                        /* the result goes to half cells instead, */
    int64_t cell_plane;                   /* 32 channels of it that far apart, */
    int64_t cell_part;                    /* and its parts */
};

/* Shapes, and nothing of a task. */
INLINE struct conv conv_of(const struct ebru_conv2d_params *p) {
    struct conv c = {.p = p};
    c.cbs = ebru_blocks16(p->C0 + p->C1);
    c.nbs = ebru_blocks16(p->N);
    c.OH = ebru_conv2d_rows(p);
    c.OW = ebru_conv2d_cols(p);
    c.KHW = p->KH * p->KW;
    c.in_plane = (int64_t)p->H * p->W * 16;
    c.out_plane = (int64_t)p->OH * p->OW * 16;
    return c;
}

/* Size of the part of `total` that begins at `at`; a constant when the parts are equal. */
INLINE int32_t part(int32_t total, int32_t size, int32_t at) {
    return total % size == 0 ? size : ebru_min_i32(size, total - at);
}

/* Rows and columns of an image that the task reads. */
INLINE int32_t in_rows(const struct conv *c) {
    return (c->nrow - 1) * c->p->SH + c->p->KH + c->p->phases;
}
INLINE int32_t in_cols(const struct conv *c) {
    return (c->ncol - 1) * c->p->SW + c->p->KW + c->p->phases;
}

/* The task's group of panels; groups of a phase follow each other. Returns the group's number in
 * its phase. */
INLINE int32_t take_group(struct conv *c, int32_t group) {
    const int32_t each = ebru_conv2d_groups(c->p) / ebru_conv2d_phases(c->p);
    c->phase = c->p->phases ? group / each : 0;
    return c->p->phases ? group % each : group;
}
/* Where a phase begins in the gathered input, whose pixels are `pixel` elements, in a block of the
 * result, and among blocks of columns of the weight. */
INLINE int64_t phase_in(const struct conv *c, int32_t pixel) {
    return c->phase / 2 * c->g_row + c->phase % 2 * pixel;
}
INLINE int64_t phase_out(const struct conv *c) {
    return (c->phase / 2 * (int64_t)c->p->OW + c->phase % 2) * 16;
}
INLINE int32_t phase_block(const struct conv *c) {
    return c->phase * c->nbs;
}
/* Offset in a block of the result of row y and the task's first column; pixels of a row lie
 * pixel_step on. */
INLINE int64_t pixel_row(const struct conv *c, int32_t y) {
    const int32_t each = 1 + c->p->phases;
    return ((int64_t)y * c->OW * each + c->x0) * each * 16;
}
INLINE int32_t pixel_step(const struct conv *c) {
    return (1 + c->p->phases) * 16;
}

/* Image b as it is read. */
INLINE struct gather gather_image(const struct conv *c, void *const *buf, int32_t b) {
    const struct ebru_conv2d_params *p = c->p;
    const int32_t pointwise = ebru_conv2d_pointwise(p); /* then an image is one row */
    const struct gather g = {
        .cat = cat_image(buf[EBRU_CONV2D_X0], buf[EBRU_CONV2D_X1], b, p->C0, p->C1, c->in_plane),
        .H = pointwise ? 1 : p->H,
        .W = pointwise ? p->H * p->W : p->W,
        .UH = pointwise ? 1 : p->UH,
        .UW = pointwise ? p->H * p->W : p->UW,
        .scaled = p->pro_scale,
        .act = p->pre_act};
    return g;
}

/* The output pixels of a task's region: images, rows and columns. */
INLINE void take_region(struct conv *c, int32_t region) {
    const struct ebru_conv2d_params *p = c->p;
    const int32_t tr = ebru_ceil_div(c->OH, p->TH), tc = ebru_ceil_div(c->OW, p->TW);
    c->b0 = region / (tr * tc) * p->TB;
    c->y0 = region / tc % tr * p->TH;
    c->x0 = region % tc * p->TW;
    c->nimg = part(p->B, p->TB, c->b0);
    c->nrow = part(c->OH, p->TH, c->y0);
    c->ncol = part(c->OW, p->TW, c->x0);
    c->per_image = c->nrow * c->ncol;
}
INLINE int32_t regions_of(const struct conv *c) {
    const struct ebru_conv2d_params *p = c->p;
    return ebru_ceil_div(p->B, p->TB) * ebru_ceil_div(c->OH, p->TH) * ebru_ceil_div(c->OW, p->TW);
}

/* A block of image i of a pointwise convolution's input to the row segments of its pixels. */
INLINE void gather_packed(const struct conv *c, const struct gather *g, int32_t i) {
    const int64_t segment_floats = (int64_t)c->segment * c->cbs * 16;
    int32_t q = i * c->ncol, segment = q / c->segment, at = q % c->segment;
    for (int32_t x = 0, width; x < c->ncol; x += width, segment++, at = 0) {
        width = ebru_min_i32(c->segment - at, c->ncol - x);
        gather_row(g, 0, c->x0 + x, width,
                   c->gather + segment * segment_floats + g->cb * c->g_cb + at * 16);
    }
}

/* Scales and shifts of image b, as gather_block takes them; NULL without. */
INLINE const float *image_stats(const struct conv *c, void *const *buf, int32_t b) {
    const float *all = (const float *)buf[EBRU_CONV2D_SCALE_SHIFT];
    return c->p->pro_scale ? all + (int64_t)b * 2 * c->cbs * 16 : NULL;
}

INLINE void gather(const struct conv *c, void *const *buf) {
    const struct ebru_conv2d_params *p = c->p;
    const int32_t rows = in_rows(c), width = in_cols(c);
    for (int32_t cb = 0; cb < c->cbs; cb++) {
        for (int32_t i = 0; i < c->nimg; i++) {
            const int32_t b = c->b0 + i;
            struct gather g = gather_image(c, buf, b);
            gather_block(&g, cb, image_stats(c, buf, b), c->cbs);
            if (c->segment) gather_packed(c, &g, i);
            for (int32_t y = 0; y < rows && !c->segment; y++)
                gather_row(&g, c->y0 * p->SH - p->PT + y, c->x0 * p->SW - p->PL, width,
                           c->gather + cb * c->g_cb + i * c->g_img + y * c->g_row);
        }
    }
}

/* The offset tables of the task's pixels. Output offsets count from the task's first image. */
INLINE void pixel_tables(const struct conv *c) {
    const struct ebru_conv2d_params *p = c->p;
    const int32_t out_blocks = p->act == EBRU_ACT_GEGLU ? c->nbs / 2 : c->nbs;
    int32_t q = 0;
    for (int32_t i = 0; i < c->nimg; i++) {
        for (int32_t y = 0; y < c->nrow; y++) {
            const int64_t in = i * c->g_img + y * p->SH * c->g_row;
            const int64_t out = i * out_blocks * c->out_plane + pixel_row(c, c->y0 + y);
            ROLLED for (int32_t x = 0; x < c->ncol; x++, q++) {
                c->a_off[q] = (int32_t)(c->segment ? q / c->segment * c->segment * c->cbs * 16 +
                                                         q % c->segment * 16
                                                   : in + x * p->SW * 16);
                c->o_off[q] = (int32_t)(out + x * pixel_step(c));
            }
        }
    }
}

/* Block n of the result at offset `at` of a c16 plane, to its half of a cell. */
INLINE void finish_cell(const struct conv *c, int32_t n, int32_t at, v16 v) {
    cell_store(c->cells + n / 2 * c->cell_plane + at * (CELL / 16) + n % 2 * 16, v,
               c->cell_part ? 2 : 1, c->cell_part);
}

/* Sums of pixels [q0, q1) and blocks [n0, n0 + nb): `at` is block n0's at pixel q0, a block lies
 * `step` floats from the next. */
struct sums {
    const float *at;
    int32_t n0, nb, q0, q1, step;
};

/* Epilogue of these sums. */
INLINE void finish(const struct conv *c, void *const *buf, const struct sums *s) {
    const struct ebru_conv2d_params *p = c->p;
    const int32_t geglu = p->act == EBRU_ACT_GEGLU, out_blocks = geglu ? c->nbs / 2 : c->nbs;
    const int32_t stepn = geglu ? 2 : 1, n0 = s->n0, q0 = s->q0, q1 = s->q1;
    const float *bias = (const float *)buf[EBRU_CONV2D_BIAS],
                *tbias = (const float *)buf[EBRU_CONV2D_TBIAS];
    for (int32_t n = 0; n < s->nb; n += stepn) {
        const int64_t at =
            c->b0 * out_blocks * c->out_plane + (n0 + n) / stepn * c->out_plane + phase_out(c);
        float *out = (float *)buf[EBRU_CONV2D_OUT] + at;
        const float *res = p->residual ? (const float *)buf[EBRU_CONV2D_RESIDUAL] + at : NULL;
        const float *sum = s->at + n * s->step, *gate = sum + s->step;
        const v16 base = p->has_bias ? load16(bias + (n0 + n) * 16) : splat16(0.0f);
        const v16 gate_base =
            geglu && p->has_bias ? load16(bias + (n0 + n + 1) * 16) : splat16(0.0f);
        int32_t q = q0;
        while (q < q1) {
            v16 add = base, gate_add = gate_base;
            int32_t end = q1;
            if (p->tbias) {
                const int32_t i = q / c->per_image;
                const float *t =
                    tbias + ((p->tbias == 1 ? (int64_t)(c->b0 + i) * c->nbs : 0) + n0 + n) * 16;
                end = ebru_min_i32(q1, (i + 1) * c->per_image);
                add += load16(t);
                if (geglu) gate_add += load16(t + 16);
            }
            for (; q < end; q++) {
                if (c->holes && c->o_off[q] < 0) continue;
                v16 v = load16(sum + (q - q0) * 16) + add;
                if (geglu) {
                    v = v * gelu16(load16(gate + (q - q0) * 16) + gate_add);
                } else {
                    if (p->residual) v += load16(res + c->o_off[q]);
                    v = act16(v, p->act);
                }
                if (c->cells)
                    finish_cell(c, (n0 + n) / stepn, c->o_off[q], v);
                else
                    store16(out + c->o_off[q], v);
            }
        }
    }
}

/* Software prefetch of what finish will touch: the lines of the result and of the residual. */
INLINE void prefetch_result(const struct conv *c, void *const *buf, const struct sums *s) {
    const int32_t stepn = c->p->act == EBRU_ACT_GEGLU ? 2 : 1;
    if (c->cells || c->holes) return;
    for (int32_t n = 0; n < s->nb; n += stepn) {
        const int64_t at =
            (c->b0 * (c->nbs / stepn) + (s->n0 + n) / stepn) * c->out_plane + phase_out(c);
        ROLLED for (int32_t q = s->q0; q < s->q1; q++) {
            __builtin_prefetch((const float *)buf[EBRU_CONV2D_OUT] + at + c->o_off[q], 1);
            if (c->p->residual)
                __builtin_prefetch((const float *)buf[EBRU_CONV2D_RESIDUAL] + at + c->o_off[q]);
        }
    }
}

/* A pass over the pixels: input blocks [k0, k1) of one tensor by the panel of column blocks
 * [n0, n0 + nb). */
struct pass {
    int32_t n0, nb, k0, k1;
    const float *in;   /* block k0's first pixel */
    const float *w;    /* all weights of the phase */
    const float *next; /* those that the pass after this one begins with */
};

/* The weights that tile number i of `tiles` prefetches into L2: its share of the next pass's. */
INLINE const float *next_weights(const struct pass *s, int64_t b_step, int64_t block, int32_t i,
                                 int32_t tiles) {
    const int32_t share = i * s->nb / tiles; /* block of the panel */
    return s->next + share * b_step + block * (i * s->nb - share * tiles) / tiles / 16 * 16;
}

INLINE void multiply(const struct conv *c, void *const *buf, const struct pass *s) {
    const struct ebru_conv2d_params *p = c->p;
    const int32_t pixels = c->nimg * c->nrow * c->ncol, last = s->k1 == c->cbs, mr = p->MR;
    const int32_t blocks = ebru_min_i32(s->nb, TILE_MAX_BLOCKS);
    const int32_t single = s->k0 == 0 && last; /* then the sums of one tile are all there is */
    const int32_t sum_step = (single ? ebru_min_i32(mr, pixels) : pixels) * 16,
                  tiles = (pixels + mr - 1) / mr;
    const int64_t block = (int64_t)(s->k1 - s->k0) * c->KHW * 256; /* floats of its weights */
    struct tile t;
    const float *a[TILE_ROWS];
    t.a = a;
    t.b_step = (int64_t)c->cbs * c->KHW * 256;
    t.sum_step = sum_step;
    t.sum_row = 16;
    t.rest = 0;
    t.a_row = c->g_row - p->KW * 16;
    t.a_cb = c->g_cb - p->KH * c->g_row;
    t.a_next = c->g_cb;
    t.cbs = s->k1 - s->k0;
    t.kh = p->KH;
    t.kw = p->KW;
    t.add = s->k0 > 0;
    for (int32_t q = 0, i = 0; q < pixels; q += mr, i++) {
        const int32_t rows = part(pixels, mr, q);
        float *sums = c->sums + (single ? 0 : q * 16);
        const struct sums done = {sums, s->n0, s->nb, q, q + rows, sum_step};
        ROLLED for (int32_t m = 0; m < rows; m++) a[m] = s->in + c->a_off[q + m];
        t.line = c->a_off[q + rows - 1] - c->a_off[q] == (rows - 1) * 16 ? a[0] : NULL;
        t.next = next_weights(s, t.b_step, block, i, tiles);
        if (last) prefetch_result(c, buf, &done);
        for (int32_t n = 0; n < s->nb; n += blocks) {
            t.b = s->w + (s->n0 + n) * t.b_step + (int64_t)s->k0 * c->KHW * 256;
            t.sum = sums + n * sum_step;
            tile_run(&t, rows, part(s->nb, blocks, n));
        }
        if (last) finish(c, buf, &done);
    }
}

/* All passes of the panel of blocks [n0, n0 + nb). */
INLINE void panel(const struct conv *c, void *const *buf, int32_t n0, int32_t nb) {
    const struct ebru_conv2d_params *p = c->p;
    struct pass s = {.n0 = n0, .nb = nb};
    s.w = (const float *)buf[EBRU_CONV2D_WEIGHT] + (int64_t)phase_block(c) * c->cbs * c->KHW * 256;
    const int32_t seam = c->direct && p->C1 ? p->C0 / 16 : c->cbs;
    for (; s.k0 < c->cbs; s.k0 = s.k1) {
        s.k1 = ebru_min_i32(s.k0 + p->KC, s.k0 < seam ? seam : c->cbs);
        s.in = c->gather + s.k0 * c->g_cb + phase_in(c, 16);
        if (c->direct) {
            const int32_t second = s.k0 >= seam, blocks = ebru_blocks16(second ? p->C1 : p->C0);
            s.in = (const float *)buf[second ? EBRU_CONV2D_X1 : EBRU_CONV2D_X0] +
                   ((int64_t)c->b0 * blocks + s.k0 - (second ? seam : 0)) * c->g_cb + c->x0 * 16;
        }
        /* the next pass of this panel, or the first of the next panel */
        const int64_t follow = s.k1 < c->cbs ? (int64_t)n0 * c->cbs + s.k1
                                             : (n0 + nb < c->nbs ? (int64_t)(n0 + nb) * c->cbs : 0);
        s.next = s.w + follow * c->KHW * 256;
        multiply(c, buf, &s);
    }
}

#endif
