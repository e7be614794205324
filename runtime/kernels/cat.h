/* Channel concatenation of two c16 tensors, read block by block. */
#ifndef EBRU_RUNTIME_KERNELS_CAT_H
#define EBRU_RUNTIME_KERNELS_CAT_H

#include "runtime/kernels/vector/vec.h"

struct cat {
    const float *x0, *x1; /* one image each */
    int64_t plane;        /* floats from a block to the next: 16 * pixels */
    int32_t C0, C1;
};

/* Image b of c16 tensors of C0 and C1 channels, planes of so many floats; without x1 C1 is 0. */
INLINE struct cat cat_image(const void *x0, const void *x1, int32_t b, int32_t C0, int32_t C1,
                            int64_t plane) {
    return (struct cat){(const float *)x0 + b * ebru_blocks16(C0) * plane,
                        C1 ? (const float *)x1 + b * ebru_blocks16(C1) * plane : NULL, plane, C0,
                        C1};
}

/* The tensor and offset of block cb when the block lies in one tensor, lane for lane; NULL
 * otherwise. */
INLINE const float *cat_block(const struct cat *c, int32_t cb) {
    if (c->C1 == 0 || cb * 16 + 16 <= c->C0) return c->x0 + cb * c->plane;
    if (c->C0 % 16 == 0) return c->x1 + (cb - c->C0 / 16) * c->plane;
    return NULL;
}

/* Block cb at a pixel where the seam falls inside blocks: lane by lane. */
INLINE v16 cat_lanes(const struct cat *c, int32_t cb, int64_t pixel) {
    v16 v = splat16(0.0f);
    for (int32_t l = 0; l < 16; l++) {
        int32_t ch = cb * 16 + l;
        if (ch < c->C0)
            v[l] = c->x0[ch / 16 * c->plane + pixel * 16 + ch % 16];
        else if ((ch -= c->C0) < c->C1)
            v[l] = c->x1[ch / 16 * c->plane + pixel * 16 + ch % 16];
    }
    return v;
}

#endif
