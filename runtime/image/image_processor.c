#include "runtime/image/image_processor.h"

#include <stdbool.h>
#include <stdlib.h>

enum { MOST = 65535 };

/* The size after resizing. Of the longer side the fraction is dropped, as int() does. */
static rt_status target(const rt_image_processor *p, uint32_t width, uint32_t height,
                        uint32_t *to_width, uint32_t *to_height, rt_error *err) {
    uint32_t shorter = width < height ? width : height, longer = width < height ? height : width;
    *to_width = p->width ? (uint32_t)p->width : width;
    *to_height = p->height ? (uint32_t)p->height : height;
    if (!p->shortest_edge) return RT_OK;
    uint64_t edge = (uint64_t)p->shortest_edge;
    /* in double, as Python divides */
    double grown = (double)(edge * longer) / shorter;
    if (!(grown < (double)MOST))
        return rt_fail(err, RT_ERR_INPUT, "a picture of %ux%u pixels is too long", width, height);
    *to_width = width < height ? (uint32_t)edge : (uint32_t)grown;
    *to_height = width < height ? (uint32_t)grown : (uint32_t)edge;
    return RT_OK;
}

/* Where the cut begins: the half, rounded down, also of what is missing. */
static int64_t begin_of(int64_t have, int64_t wanted) {
    int64_t twice = have - wanted;
    return twice >= 0 ? twice / 2 : -((1 - twice) / 2);
}

static void cut(const rt_image_processor *p, const uint8_t *from, int64_t width, int64_t height,
                float *out, int64_t to_width, int64_t to_height) {
    int64_t left = begin_of(width, to_width), top = begin_of(height, to_height);
    for (int c = 0; c < 3; c++)
        for (int64_t y = 0; y < to_height; y++)
            for (int64_t x = 0; x < to_width; x++) {
                int64_t sx = x + left, sy = y + top;
                bool inside = sx >= 0 && sy >= 0 && sx < width && sy < height;
                uint8_t value = inside ? from[(sy * width + sx) * 3 + c] : 0;
                float scaled = (float)(value * p->rescale);
                *out++ = (scaled - (float)p->mean[c]) / (float)p->std[c];
            }
}

rt_status rt_image_process(const rt_image_processor *p, const uint8_t *pixels, uint32_t width,
                           uint32_t height, float **out, uint32_t *out_width, uint32_t *out_height,
                           rt_error *err) {
    uint32_t w, h;
    *out = NULL;
    rt_status s = target(p, width, height, &w, &h, err);
    if (s) return s;
    *out_width = p->crop_width ? (uint32_t)p->crop_width : w;
    *out_height = p->crop_height ? (uint32_t)p->crop_height : h;
    uint8_t *resized = malloc((size_t)w * h * 3);
    *out = malloc((size_t)*out_width * *out_height * 3 * sizeof **out);
    if (!resized || !*out)
        s = rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    else
        s = rt_resize_u8(p->filter, pixels, width, height, 3, resized, w, h, err);
    if (!s) cut(p, resized, w, h, *out, *out_width, *out_height);
    free(resized);
    if (s) {
        free(*out);
        *out = NULL;
    }
    return s;
}
