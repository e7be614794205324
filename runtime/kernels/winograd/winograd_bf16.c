/* conv2d_winograd_bf16: 3x3 convolution of stride 1 by Winograd, F(2x2,3x3), with products in bf16;
 * winograd.h says how. Transforms are f32; their results are rounded, or split into two parts, as
 * cells of 32 channels of a tile (cell.h): V[point][part][c-block of 32][tile][32]. Filters were
 * rounded after their transform. Rows of the multiply are tiles, or with matrix registers segments
 * of 16 tiles, the last of which may have some that nobody reads. */
#include "runtime/kernels/tile/tile_bf16.h"
#include "runtime/kernels/winograd/winograd.h"

struct product {
    struct wino w;
    cell_t *v;
    int32_t parts, cells, rows; /* blocks of 32 channels; tiles, up to whole segments */
    int64_t v_cb, v_part, v_point;
};

INLINE void product_task(struct product *x) {
    x->rows = ebru_ceil_div(x->w.tiles, TILE_BF16_SEGMENT) * TILE_BF16_SEGMENT;
    x->v_cb = (int64_t)x->rows * CELL;
    x->v_part = x->cells * x->v_cb;
    x->v_point = x->v_part * (CELL_FORM == EBRU_BF16_WIDE ? 1 : x->parts);
    x->w.s_block = (int64_t)x->rows * 16;
    x->w.s_point = x->w.p->NB * x->w.s_block;
    if (x->w.cbs % 2 == 0) return;
    /* the second half of the last cells */
    for (int32_t k = 0; k < x->w.points; k++)
        for (int32_t t = 0; t < x->w.tiles; t++)
            cell_store(x->v + k * x->v_point + (x->cells - 1) * x->v_cb + t * CELL + 16,
                       splat16(0.0f), x->parts, x->v_part);
}

INLINE void product_tile(const struct product *x, const float *d, int64_t row, int32_t cb,
                         int32_t t) {
    cell_t *v = x->v + cb / 2 * x->v_cb + (int64_t)t * CELL + cb % 2 * 16;
    v16 columns[4][4];
    UNROLL for (int32_t i = 0; i < 4; i++) {
        const v16 in[4] = {load16(d + i * 16), load16(d + row + i * 16),
                           load16(d + 2 * row + i * 16), load16(d + 3 * row + i * 16)};
        v16 out[4];
        input2(in, out);
        UNROLL for (int32_t y = 0; y < 4; y++) columns[y][i] = out[y];
    }
    UNROLL for (int32_t y = 0; y < 4; y++) {
        v16 out[4];
        input2(columns[y], out);
        UNROLL for (int32_t i = 0; i < 4; i++)
            cell_store(v + (y * 4 + i) * x->v_point, out[i], x->parts, x->v_part);
    }
}

INLINE void product_output(const struct wino *w, const float *s, float *y) {
    v16 rows[2][4];
    UNROLL for (int32_t i = 0; i < 4; i++) {
        const v16 in[4] = {load16(s + i * w->s_point), load16(s + (4 + i) * w->s_point),
                           load16(s + (8 + i) * w->s_point), load16(s + (12 + i) * w->s_point)};
        v16 out[2];
        output2(in, out);
        rows[0][i] = out[0];
        rows[1][i] = out[1];
    }
    UNROLL for (int32_t i = 0; i < 2; i++) {
        v16 out[2];
        output2(rows[i], out);
        store16(y + i * 32, out[0]);
        store16(y + i * 32 + 16, out[1]);
    }
}

/* The panel's S at a point, two blocks of columns after the other: their weights stay in L1 while
 * all tiles go by. `next`: the weights of the panel's next point, of which each call prefetches a
 * share. */
INLINE void point(const struct product *x, int32_t k, const uint16_t *b, const uint16_t *next,
                  int32_t nb) {
    const int32_t mr = x->w.p->MR / TILE_BF16_SEGMENT, segments = x->rows / TILE_BF16_SEGMENT,
                  lines = TILE_BF16_NEXT(x->parts), shares = ebru_ceil_div(16 * x->parts, lines);
    const cell_t *a[TILE_BF16_ROWS], *v = x->v + k * x->v_point;
    struct tile_bf16 t;
    t.a = a;
    t.b_step = (int64_t)x->cells * x->parts * 512;
    t.sum_step = x->w.s_block;
    t.a_row = 0;
    t.a_cb = x->v_cb - CELL;
    t.a_step = CELL;
    t.a_part = x->v_part;
    t.cbs = x->cells;
    t.kh = t.kw = 1;
    t.add = 0;
    t.last = tile_bf16_last(x->w.cbs * 16);
    for (int32_t n = 0, blocks; n < nb; n += blocks) {
        blocks = ebru_min_i32(TILE_BF16_BLOCKS, nb - n);
        t.b = b + n * t.b_step;
        for (int32_t q = 0, share = 0; q < segments; q += mr, share++) {
            const int32_t rows = ebru_min_i32(mr, segments - q);
            for (int32_t i = 0; i < rows; i++)
                a[i] = v + (int64_t)(q + i) * TILE_BF16_SEGMENT * CELL;
            t.next_step = share < shares ? lines * 32 : 0;
            t.next = share < shares
                         ? next + n * t.b_step + share * blocks * (int64_t)x->cells * lines * 32
                         : t.b;
            t.sum = x->w.s + k * x->w.s_point + n * t.sum_step + q * TILE_BF16_SEGMENT * 16;
            tile_bf16_run(&t, rows, blocks, x->parts);
        }
    }
}

INLINE void product_panel(const struct product *x, void *const *buf, int32_t n0, int32_t nb) {
    const uint16_t *u = (const uint16_t *)buf[EBRU_CONV2D_WEIGHT];
    const int64_t block = (int64_t)x->cells * x->parts * 512, all = x->w.nbs * block;
    for (int32_t k = 0; k < x->w.points; k++) {
        const uint16_t *b = u + k * all + n0 * block;
        const int32_t after = n0 + nb < x->w.nbs ? n0 + nb : 0; /* the panel after this one */
        point(x, k, b, k + 1 < x->w.points ? b + all : u + after * block, nb);
    }
}

#include "runtime/kernels/winograd/winograd_loop.h"

EBRU_KERNEL(conv2d_winograd_bf16) {
    const struct ebru_conv2d_winograd_params shape = ebru_conv2d_winograd_bf16_shape(p);
    struct product x = {.w = wino_of(&shape, scratch), .parts = p->parts};
    x.w.coarse = p->parts == 1;
    x.cells = ebru_blocks32(p->C0 + p->C1);
    x.v = (cell_t *)(scratch + ebru_conv2d_winograd_band(&shape));
    x.w.s =
        scratch + ebru_conv2d_winograd_band(&shape) + ebru_conv2d_winograd_bf16_input_bytes(p) / 4;
    tile_bf16_begin();
    winograd_tasks(&x, buf, task_begin, task_end);
    tile_bf16_end();
}
