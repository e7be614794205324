/* Pictures and planes to other sizes, as the libraries do it whose results a program has to meet:
 * Pillow for 8-bit pictures, torch for float planes. */
#ifndef EBRU_RUNTIME_IMAGE_RESIZE_H
#define EBRU_RUNTIME_IMAGE_RESIZE_H

#include "runtime/engine/status.h"

#include <stddef.h>
#include <stdint.h>

/* Filters of Pillow's Image.resize: Lanczos of 3 lobes (diffusers' default for pictures and masks),
 * cubic convolution with a = -0.5 (diffusers' x4 upscaler). */
typedef enum rt_resize_filter { RT_RESIZE_LANCZOS, RT_RESIZE_BICUBIC } rt_resize_filter;

/* in[height][width][channels] -> out[out_height][out_width][channels], channels 1 to 4, each by
 * itself, bit for bit as Pillow: antialiased (when shrinking, the filter is stretched by the scale), normalised double
 * weights in fixed point with 32 - 8 - 2 fraction bits, first along rows into bytes, then along
 * columns; a direction whose size stays is left alone. All sizes are 1 .. 65535; in and out do not
 * overlap. RT_ERR_SYSTEM: out of memory. */
rt_status rt_resize_u8(rt_resize_filter filter, const uint8_t *in, uint32_t width, uint32_t height,
                       int channels, uint8_t *out, uint32_t out_width, uint32_t out_height,
                       rt_error *err);

/* One plane in[height][width] -> out[out_height][out_width] as torch's interpolate(mode="bicubic",
 * align_corners=False): cubic convolution with a = -0.75 around (x + 0.5) * width / out_width -
 * 0.5, the border repeated, no antialiasing, values may overshoot. RT_ERR_SYSTEM: out of memory. */
rt_status rt_resize_bicubic_f32(const float *in, uint32_t width, uint32_t height, float *out,
                                uint32_t out_width, uint32_t out_height, rt_error *err);

/* One plane in[height][width] -> out[out_height][out_width] as torch's interpolate(mode="nearest"):
 * the source of x is floor(x * width / out_width), computed in float. Masks to latent size. */
void rt_resize_nearest_f32(const float *in, uint32_t width, uint32_t height, float *out,
                           uint32_t out_width, uint32_t out_height);

#endif
