/* Gather and multiply of a convolution in bf16; conv.h has what is common, and the epilogue.
 *
 *   gather    the task's input goes to scratch as cells, [parts][C/32][image][rows + halo][cols + halo][32],
 * rounded on the way
 *   multiply  as in f32, but a row of the multiply is a run of the gathered input (ebru_bf16_runs): the
 * tables have an entry a run, and one a position of it, which is -1 where the run passes over the
 * halo. A tile is finished when its last pass is multiplied, while its sums are in L1 */
#ifndef EBRU_RUNTIME_KERNELS_CONV_BF16_H
#define EBRU_RUNTIME_KERNELS_CONV_BF16_H

#include "runtime/kernels/conv.h"
#include "runtime/kernels/tile/tile_bf16.h"

struct conv_bf16 {
    struct conv c;      /* tables: a_off an entry a run, o_off one a position */
    int32_t parts, cbs; /* blocks of 32 channels */
    int32_t runs;       /* of the task's pixels */
    cell_t *gather;     /* and c.g_row, c.g_img, c.g_cb count elements of it, as does */
    int64_t g_part;     /* from hi to lo */
};

INLINE void gather_bf16(const struct conv_bf16 *k, void *const *buf) {
    const struct conv *c = &k->c;
    const struct ebru_conv2d_params *p = c->p;
    const float *ss = (const float *)buf[EBRU_CONV2D_SCALE_SHIFT];
    const int32_t rows = in_rows(c), width = in_cols(c);
    for (int32_t cb = 0; cb < k->cbs * 2; cb++) {
        const int32_t empty = cb >= c->cbs; /* the second half of the last cells */
        for (int32_t i = 0; i < c->nimg; i++) {
            const int32_t b = c->b0 + i;
            struct gather g = gather_image(c, buf, b);
            g.parts = k->parts;
            g.part = k->g_part;
            const float *block = empty ? NULL : cat_block(&g.cat, cb);
            const float *scale = p->pro_scale ? ss + ((int64_t)b * 2 * c->cbs + cb) * 16 : NULL;
            const float *shift = p->pro_scale ? scale + c->cbs * 16 : NULL;
            cell_t *to = k->gather + cb / 2 * c->g_cb + i * c->g_img + cb % 2 * 16;
            for (int32_t y = 0; y < rows; y++)
                gather_row(&g, block, cb, empty ? -1 : c->y0 * p->SH - p->PT + y,
                           c->x0 * p->SW - p->PL, width, to + y * c->g_row, scale, shift);
        }
    }
}

/* The tables of the task's pixels; output offsets count from the task's first image. */
INLINE void run_tables(struct conv_bf16 *k) {
    struct conv *c = &k->c;
    const struct ebru_conv2d_params *p = c->p;
    const int32_t out_blocks = p->act == EBRU_ACT_GEGLU ? c->nbs / 2 : c->nbs;
    struct ebru_bf16_runs r = {0, 0, 0};
    for (int32_t i = 0; i < c->nimg; i++) {
        if (p->tbias == 1) r.end = 0;
        for (int32_t y = 0; y < c->nrow; y++) {
            const int64_t in = (i * c->g_img + y * p->SH * c->g_row) / CELL;
            const int64_t out = i * out_blocks * c->out_plane + pixel_row(c, c->y0 + y);
            for (int32_t x = 0; x < c->ncol; x++) {
                const int32_t before = r.count;
                const int32_t at = ebru_bf16_cover(&r, in + x * p->SW, TILE_BF16_RUN, p->SW);
                int32_t *o = c->o_off + (r.count - 1) * TILE_BF16_RUN;
                if (r.count > before) {
                    c->a_off[before] = (int32_t)(r.start * CELL);
                    for (int32_t l = 0; l < TILE_BF16_RUN; l++) o[l] = -1;
                }
                o[at] = (int32_t)(out + x * pixel_step(c));
            }
        }
    }
    k->runs = r.count;
    c->per_image = (p->tbias == 1 ? r.count / c->nimg : r.count) * TILE_BF16_RUN;
}

/* Tile calls that it takes to fetch a pass's weights once. */
INLINE int32_t next_fetches(int32_t nb, int32_t parts) {
    const int32_t lines =
        TILE_BF16_BLOCKS * TILE_BF16_NEXT(parts); /* a tap, of 16 * parts a block */
    return (nb * 16 * parts + lines - 1) / lines;
}
/* What call number `call` of a pass fetches of the next one's weights: `fetches` of the calls,
 * evenly spread, fetch a share each, `lines` a tap and block, so that every line is asked for once
 * and at the rate it is needed. */
INLINE void next_weights(struct tile_bf16 *t, const uint16_t *next, int32_t nb, int64_t pass,
                         int32_t call, int32_t calls, int32_t fetches, int32_t lines) {
    const int64_t share = (int64_t)call * fetches / calls;
    if ((int64_t)(call + 1) * fetches / calls == share) {
        t->next = t->b; /* loaded in a moment anyway */
        t->next_step = 0;
        return;
    }
    const int64_t at = share * nb * pass / fetches, block = at / pass;
    t->next = next + block * t->b_step + (at - block * pass) / 32 * 32;
    t->next_step = lines * 32;
}

/* One pass over the runs: input blocks [k0, k1) of the panel [n0, n0 + nb). `next`: the weights of
 * the pass after this one, at its first block. */
INLINE void multiply_bf16(const struct conv_bf16 *k, void *const *buf, const uint16_t *w,
                          const uint16_t *next, int32_t n0, int32_t nb, int32_t k0, int32_t k1) {
    const struct conv *c = &k->c;
    const struct ebru_conv2d_params *p = c->p;
    const int32_t last = k1 == k->cbs,
                  single = k0 == 0 && last; /* then only one tile's sums are kept */
    const int32_t mr = p->MR / TILE_BF16_RUN;
    /* blocks finished together: value and gate are neighbours */
    const int32_t group = p->act == EBRU_ACT_GEGLU ? 2 : TILE_BF16_BLOCKS;
    const int32_t sum_step = (single ? ebru_min_i32(mr, k->runs) : k->runs) * TILE_BF16_RUN * 16;
    const int64_t block = (int64_t)c->KHW * k->parts * 512; /* weights of 32 channels, 16 columns */
    const int64_t pass = (k1 - k0) * block;
    const int32_t calls =
        (k->runs + mr - 1) / mr * ((nb + TILE_BF16_BLOCKS - 1) / TILE_BF16_BLOCKS);
    const int32_t fetches = next_fetches(nb, k->parts);
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
    t.cbs = k1 - k0;
    t.kh = p->KH;
    t.kw = p->KW;
    t.add = k0 > 0;
    for (int32_t u = 0; u < k->runs; u += mr) {
        const int32_t rows = part(k->runs, mr, u), q = u * TILE_BF16_RUN;
        for (int32_t m = 0; m < rows; m++)
            a[m] = k->gather + k0 * c->g_cb + phase_in(c, CELL) + c->a_off[u + m];
        for (int32_t g = 0; g < nb; g += group) {
            float *sums = c->sums + (single ? 0 : q * 16 + g * sum_step);
            const int32_t blocks = part(nb, group, g);
            for (int32_t n = 0; n < blocks; n += TILE_BF16_BLOCKS) {
                t.b = w + (n0 + g + n) * t.b_step + k0 * block;
                t.sum = sums + n * sum_step;
                next_weights(&t, next, nb, pass, call++, calls, fetches, TILE_BF16_NEXT(k->parts));
                tile_bf16_run(&t, rows, part(blocks, TILE_BF16_BLOCKS, n), k->parts);
            }
            if (last) finish(c, buf, sums, n0 + g, blocks, q, q + rows * TILE_BF16_RUN, sum_step);
        }
    }
}

/* All passes of the panel of blocks [n0, n0 + nb). */
INLINE void panel_bf16(const struct conv_bf16 *k, void *const *buf, int32_t n0, int32_t nb) {
    const struct conv *c = &k->c;
    const uint16_t *w = (const uint16_t *)buf[EBRU_CONV2D_WEIGHT] +
                        (int64_t)phase_block(c) * k->cbs * c->KHW * k->parts * 512;
    for (int32_t k0 = 0, k1; k0 < k->cbs; k0 = k1) {
        k1 = ebru_min_i32(k0 + c->p->KC, k->cbs);
        /* the next pass of this panel, or the first of the next panel */
        const int64_t follow = k1 < k->cbs ? (int64_t)n0 * k->cbs + k1
                                           : (n0 + nb < c->nbs ? (int64_t)(n0 + nb) * k->cbs : 0);
        multiply_bf16(k, buf, w, w + follow * c->KHW * k->parts * 512, n0, nb, k0, k1);
    }
}

#endif
