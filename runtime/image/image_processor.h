/* What an image encoder reads, made of a picture: transformers' CLIPImageProcessor. */
#ifndef EBRU_RUNTIME_IMAGE_IMAGE_PROCESSOR_H
#define EBRU_RUNTIME_IMAGE_IMAGE_PROCESSOR_H

#include "runtime/image/resize.h"

/* In this order: resized so that the shorter side is shortest_edge, or to height x width (0: not);
 * the middle cut out (0: not), black where the picture does not reach; times rescale; less mean,
 * over std, a colour each. */
typedef struct rt_image_processor {
    int shortest_edge, width, height, crop_width, crop_height;
    rt_resize_filter filter;
    double rescale, mean[3], std[3];
} rt_image_processor;

/* pixels[height][width][3] of 8 bits -> *out [3][*out_height][*out_width], to be freed.
 * RT_ERR_SYSTEM: out of memory. RT_ERR_INPUT: so long and thin that its longer side would be too
 * long. */
rt_status rt_image_process(const rt_image_processor *p, const uint8_t *pixels, uint32_t width,
                           uint32_t height, float **out, uint32_t *out_width, uint32_t *out_height,
                           rt_error *err);

#endif
