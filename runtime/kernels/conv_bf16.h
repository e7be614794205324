/* Gather and multiply of a convolution in bf16; conv.h has what is common, and the epilogue.
 *
 *   gather     the task's input goes to scratch as cells,
 *              [parts][C/32][image][rows + halo][cols + halo][32], rounded on the way
 *   multiply   as in f32, but a row of the multiply is a row segment of the gathered input
 *              (ebru_bf16_segments): the tables have an entry a segment, and one a position of it,
 *              which is -1 where the segment passes over the halo. A tile is finished when its last
 *              pass is multiplied, while its sums are in L1 */
#ifndef EBRU_RUNTIME_KERNELS_CONV_BF16_H
#define EBRU_RUNTIME_KERNELS_CONV_BF16_H

#include "runtime/kernels/conv.h"
#include "runtime/kernels/tile/tile_bf16.h"

struct conv_bf16 {
    struct conv c;      /* tables: a_off an entry a segment, o_off one a position */
    int32_t parts, cbs; /* blocks of 32 channels */
    int32_t segments;   /* of the task's pixels */
    cell_t *gather;     /* and c.g_row, c.g_img, c.g_cb count elements of it, as does */
    int64_t g_part;     /* from hi to lo */
};

INLINE void gather_bf16(const struct conv_bf16 *k, void *const *buf) {
    const struct conv *c = &k->c;
    const struct ebru_conv2d_params *p = c->p;
    const int32_t rows = in_rows(c), width = in_cols(c);
    for (int32_t cb = 0; cb < k->cbs * 2; cb++) {
        const int32_t empty = cb >= c->cbs; /* the second half of the last cells */
        for (int32_t i = 0; i < c->nimg; i++) {
            const int32_t b = c->b0 + i;
            struct gather g = gather_image(c, buf, b);
            g.parts = k->parts;
            g.coarse = k->parts == 1;
            g.part = k->g_part;
            if (!empty) gather_block(&g, cb, image_stats(c, buf, b), c->cbs);
            cell_t *to = k->gather + cb / 2 * c->g_cb + i * c->g_img + cb % 2 * 16;
            for (int32_t y = 0; y < rows; y++)
                gather_row(&g, empty ? -1 : c->y0 * p->SH - p->PT + y, c->x0 * p->SW - p->PL, width,
                           to + y * c->g_row);
        }
    }
}

/* The tables of the task's pixels; output offsets count from the task's first image. */
INLINE void segment_tables(struct conv_bf16 *k) {
    struct conv *c = &k->c;
    const struct ebru_conv2d_params *p = c->p;
    const int32_t out_blocks = p->act == EBRU_ACT_GEGLU ? c->nbs / 2 : c->nbs;
    struct ebru_bf16_segments r = {0, 0, 0};
    for (int32_t i = 0; i < c->nimg; i++) {
        if (p->tbias == 1) r.end = 0;
        for (int32_t y = 0; y < c->nrow; y++) {
            const int64_t in = (i * c->g_img + y * p->SH * c->g_row) / CELL;
            const int64_t out = i * out_blocks * c->out_plane + pixel_row(c, c->y0 + y);
            for (int32_t x = 0; x < c->ncol; x++) {
                const int32_t before = r.count;
                const int32_t at = ebru_bf16_cover(&r, in + x * p->SW, TILE_BF16_SEGMENT, p->SW);
                int32_t *o = c->o_off + (r.count - 1) * TILE_BF16_SEGMENT;
                if (r.count > before) {
                    c->a_off[before] = (int32_t)(r.start * CELL);
                    for (int32_t l = 0; l < TILE_BF16_SEGMENT; l++) o[l] = -1;
                }
                o[at] = (int32_t)(out + x * pixel_step(c));
            }
        }
    }
    k->segments = r.count;
    c->per_image = (p->tbias == 1 ? r.count / c->nimg : r.count) * TILE_BF16_SEGMENT;
}

/* A pass over the segments: input blocks [k0, k1) by the panel of column blocks [n0, n0 + nb). */
struct pass_bf16 {
    int32_t n0, nb, k0, k1;
    const uint16_t *w;    /* all weights of the phase */
    const uint16_t *next; /* those of the pass after this one, at its first block */
    int64_t block;        /* bf16s of a block's weights in this pass */
    int32_t calls;        /* of tiles */
    int32_t prefetches;   /* those of them that prefetch a share of `next` */
};

/* What call number `call` prefetches of the next pass's weights: the calls that do are evenly
 * spread and have a share each, `lines` a tap and block, so that every line is asked for once and
 * at the rate it is needed. */
INLINE void next_weights_bf16(struct tile_bf16 *t, const struct pass_bf16 *s, int32_t call,
                              int32_t lines) {
    const int64_t share = (int64_t)call * s->prefetches / s->calls;
    if ((int64_t)(call + 1) * s->prefetches / s->calls == share) {
        t->next = t->b; /* loaded in a moment anyway */
        t->next_step = 0;
        return;
    }
    const int64_t at = share * s->nb * s->block / s->prefetches, block = at / s->block;
    t->next = s->next + block * t->b_step + (at - block * s->block) / 32 * 32;
    t->next_step = lines * 32;
}

INLINE void multiply_bf16(const struct conv_bf16 *k, void *const *buf, struct pass_bf16 *s) {
    const struct conv *c = &k->c;
    const struct ebru_conv2d_params *p = c->p;
    const int32_t last = s->k1 == k->cbs,
                  single = s->k0 == 0 && last; /* then only one tile's sums are kept */
    const int32_t mr = p->MR / TILE_BF16_SEGMENT;
    /* blocks finished together: value and gate are neighbours */
    const int32_t group = p->act == EBRU_ACT_GEGLU ? 2 : TILE_BF16_BLOCKS;
    const int32_t sum_step =
        (single ? ebru_min_i32(mr, k->segments) : k->segments) * TILE_BF16_SEGMENT * 16;
    const int64_t block = (int64_t)c->KHW * k->parts * 512; /* weights of 32 channels, 16 columns */
    const int32_t lines = TILE_BF16_BLOCKS * TILE_BF16_NEXT(k->parts); /* of a tap, of a call */
    s->block = (s->k1 - s->k0) * block;
    s->calls = ebru_ceil_div(k->segments, mr) * ebru_ceil_div(s->nb, TILE_BF16_BLOCKS);
    s->prefetches = ebru_ceil_div(s->nb * 16 * k->parts, lines);
    int32_t call = 0;
    struct tile_bf16 t;
    const cell_t *a[TILE_BF16_ROWS];
    t.a = a;
    t.b_step = k->cbs * block;
    t.sum_step = sum_step;
    t.a_row = c->g_row - p->KW * CELL;
    t.a_cb = c->g_cb - p->KH * c->g_row;
    t.a_step = p->SW * CELL;
    t.a_part = k->g_part;
    t.cbs = s->k1 - s->k0;
    t.kh = p->KH;
    t.kw = p->KW;
    t.add = s->k0 > 0;
    t.last = last ? tile_bf16_last(c->cbs * 16) : 4;
    for (int32_t u = 0; u < k->segments; u += mr) {
        const int32_t rows = part(k->segments, mr, u), q = u * TILE_BF16_SEGMENT;
        for (int32_t m = 0; m < rows; m++)
            a[m] = k->gather + s->k0 * c->g_cb + phase_in(c, CELL) + c->a_off[u + m];
        for (int32_t g = 0; g < s->nb; g += group) {
            float *sums = c->sums + (single ? 0 : q * 16 + g * sum_step);
            const int32_t blocks = part(s->nb, group, g);
            const struct sums done = {sums,    s->n0 + g, blocks, q, q + rows * TILE_BF16_SEGMENT,
                                      sum_step};
            for (int32_t n = 0; n < blocks; n += TILE_BF16_BLOCKS) {
                t.b = s->w + (s->n0 + g + n) * t.b_step + s->k0 * block;
                t.sum = sums + n * sum_step;
                next_weights_bf16(&t, s, call++, TILE_BF16_NEXT(k->parts));
                tile_bf16_run(&t, rows, part(blocks, TILE_BF16_BLOCKS, n), k->parts);
            }
            if (last) finish(c, buf, &done);
        }
    }
}

/* All passes of the panel of blocks [n0, n0 + nb). */
INLINE void panel_bf16(const struct conv_bf16 *k, void *const *buf, int32_t n0, int32_t nb) {
    const struct conv *c = &k->c;
    struct pass_bf16 s = {.n0 = n0, .nb = nb};
    s.w = (const uint16_t *)buf[EBRU_CONV2D_WEIGHT] +
          (int64_t)phase_block(c) * k->cbs * c->KHW * k->parts * 512;
    for (; s.k0 < k->cbs; s.k0 = s.k1) {
        s.k1 = ebru_min_i32(s.k0 + c->p->KC, k->cbs);
        /* the next pass of this panel, or the first of the next panel */
        const int64_t follow = s.k1 < k->cbs ? (int64_t)n0 * k->cbs + s.k1
                                             : (n0 + nb < c->nbs ? (int64_t)(n0 + nb) * k->cbs : 0);
        s.next = s.w + follow * c->KHW * k->parts * 512;
        multiply_bf16(k, buf, &s);
    }
}

#endif
