/* conv2d: gather, multiply, finish (conv.h) of one convolution; a task is a rectangle of output
 * pixels of one or several images, and PG panels of its columns. */
#include "runtime/kernels/conv.h"

EBRU_KERNEL(conv2d) {
    struct conv c = conv_of(p);
    c.direct = ebru_conv2d_direct(p);
    c.segment = c.direct || !ebru_conv2d_pointwise(p) ? 0 : p->MR;
    c.gather = scratch;
    c.sums = scratch + ebru_conv2d_gather_floats(p);
    c.a_off = (int32_t *)(c.sums + (int64_t)p->TB * p->TH * p->TW * p->NB * 16);
    c.o_off = c.a_off + p->TB * p->TH * p->TW;
    const int32_t regions = regions_of(&c), groups = ebru_conv2d_groups(p);
    int32_t gathered = -1;
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t region = p->order ? task % regions : task / groups;
        const int32_t group = take_group(&c, p->order ? task / regions : task % groups);
        if (region != gathered) {
            gathered = region;
            take_region(&c, region);
            if (c.direct) {
                c.g_row = 0;
                c.g_cb = c.in_plane;
                c.g_img = ebru_blocks16(p->C0) * c.in_plane;
            } else if (c.segment) {
                c.g_row = c.g_img = 0;
                c.g_cb = c.segment * 16;
                gather(&c, buf);
            } else {
                c.g_row = ebru_conv2d_in_cols(p) * 16;
                c.g_img = ebru_conv2d_in_rows(p) * c.g_row;
                c.g_cb = p->TB * c.g_img;
                gather(&c, buf);
            }
            pixel_tables(&c);
        }
        for (int32_t g = 0; g < p->PG; g++) {
            const int32_t n0 = (group * p->PG + g) * p->NB;
            if (n0 < c.nbs) panel(&c, buf, n0, part(c.nbs, p->NB, n0));
        }
    }
}
