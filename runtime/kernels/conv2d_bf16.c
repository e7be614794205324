/* conv2d_bf16: conv2d with operands rounded to bf16; tasks and panels are conv2d's. The input is
 * gathered to cells: a cell is 32 channels of one pixel (cell.h). */
#include "runtime/kernels/conv_bf16.h"

EBRU_KERNEL(conv2d_bf16) {
    if (task_begin >= task_end) return;
    const struct ebru_conv2d_params shape = ebru_conv2d_bf16_shape(p);
    const int32_t segments = ebru_conv2d_bf16_segments(p);
    struct conv_bf16 k = {
        .c = conv_of(&shape), .parts = p->parts, .cbs = ebru_blocks32(p->C0 + p->C1)};
    struct conv *c = &k.c;
    c->g_row = (int64_t)ebru_conv2d_bf16_pitch(p) * CELL;
    c->g_img = ebru_conv2d_bf16_height(p) * c->g_row;
    c->g_cb = ebru_conv2d_bf16_plane(p) * CELL;
    k.g_part = k.cbs * c->g_cb;
    k.gather = (cell_t *)scratch;
    c->sums = scratch + ebru_conv2d_bf16_gather_bytes(p) / 4;
    c->a_off = (int32_t *)(c->sums + ebru_conv2d_bf16_sum_floats(p, segments));
    c->o_off = c->a_off + segments;
    c->holes = TILE_BF16_SEGMENT > 1;
    const int32_t regions = regions_of(c), groups = ebru_conv2d_bf16_groups(p);
    int32_t gathered = -1;
    tile_bf16_begin();
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t region = p->order ? task % regions : task / groups;
        const int32_t group = take_group(c, p->order ? task / regions : task % groups);
        if (region != gathered) {
            gathered = region;
            take_region(c, region);
            gather_bf16(&k, buf);
            segment_tables(&k);
        }
        for (int32_t g = 0; g < p->PG; g++) {
            const int32_t n0 = (group * p->PG + g) * p->NB;
            if (n0 < c->nbs) panel_bf16(&k, buf, n0, part(c->nbs, p->NB, n0));
        }
    }
    tile_bf16_end();
}
