#include "runtime/pipeline/upscale.h"

#include "runtime/image/png_writer.h"

#include <stdlib.h>
#include <string.h>

/* Pixels around a piece that are computed with it and left out, where the picture goes on. */
enum { OVERLAP = 16 };

rt_status rt_upscaler_open(rt_network **net, rt_engine *e, const rt_pipeline_info *info,
                           rt_error *err) {
    rt_status s = rt_network_open(net, e, info->upscaler, err);
    if (s) return s;
    const struct ebru_tensor_desc *in = rt_network_input(*net, "image"),
                                  *out = rt_network_output(*net, "image");
    bool fits = in && out && in->rank == 4 && out->rank == 4 && in->dim[0] == 1 &&
                in->dim[1] == info->channels && out->dim[1] == info->channels &&
                in->dim[2] == info->height && in->dim[3] == info->width &&
                out->dim[2] == in->dim[2] * info->upscale &&
                out->dim[3] == in->dim[3] * info->upscale;
    return fits ? RT_OK
                : rt_fail(err, RT_ERR_INTERNAL, "the upscaler is not what the properties say");
}

static int clamped(int v, int most) {
    return v < 0 ? 0 : v > most ? most : v;
}

/* The piece whose first pixel is (left, top), out of a picture. */
static void take(float *to, const rt_pipeline_info *info, const uint8_t *pixels, int width,
                 int height, int left, int top) {
    for (int c = 0; c < info->channels; c++)
        for (int y = 0; y < info->height; y++)
            for (int x = 0; x < info->width; x++) {
                size_t at = (size_t)clamped(top + y, height - 1) * (size_t)width +
                            (size_t)clamped(left + x, width - 1);
                *to++ = (float)pixels[at * (size_t)info->channels + (size_t)c] / 255.0f;
            }
}

/* Where pieces of `side` begin that cover `length`: piece i of *count. */
static int begin_of(int i, int length, int side) {
    int overlap = 2 * OVERLAP < side / 2 ? OVERLAP : side / 8, step = side - 2 * overlap;
    int last = length - side, at = i * step;
    return last <= 0 ? 0 : at < last ? at : last;
}

static int pieces(int length, int side) {
    int n = 1;
    while (begin_of(n - 1, length, side) < length - side) n++;
    return n;
}

/* What of piece i is kept begins here, in pixels of the picture: half of the overlap with the one
 * before. */
static int kept_from(int i, int length, int side) {
    if (!i) return 0;
    return (begin_of(i, length, side) + begin_of(i - 1, length, side) + side) / 2;
}

static rt_status piece(rt_network *net, const rt_pipeline_info *info, const uint8_t *pixels,
                       int width, int height, const int at[2], const int count[2], uint8_t *room,
                       uint8_t *out, rt_error *err) {
    int left = begin_of(at[0], width, info->width), top = begin_of(at[1], height, info->height);
    size_t scale = (size_t)info->upscale, depth = (size_t)info->channels,
           side = (size_t)info->width * scale;
    take(rt_network_input_buffer(net, "image"), info, pixels, width, height, left, top);
    rt_status s = rt_network_begin(net, NULL, 1, err);
    if (s) return s;
    rt_network_step(net, 0);
    float *planes = (float *)(uintptr_t)rt_network_output_buffer(net, "image");
    size_t n = side * (size_t)info->height * scale * depth;
    for (size_t i = 0; i < n; i++) planes[i] = 2 * planes[i] - 1;
    s = rt_image_from_float(planes, info->channels, (uint32_t)info->height * (uint32_t)scale,
                            (uint32_t)side, room, err);
    if (s) return s;
    int from[2] = {kept_from(at[0], width, info->width), kept_from(at[1], height, info->height)};
    int to[2] = {at[0] + 1 < count[0] ? kept_from(at[0] + 1, width, info->width) : width,
                 at[1] + 1 < count[1] ? kept_from(at[1] + 1, height, info->height) : height};
    for (size_t y = (size_t)from[1] * scale; y < (size_t)to[1] * scale; y++)
        memcpy(out + (y * (size_t)width * scale + (size_t)from[0] * scale) * depth,
               room + ((y - (size_t)top * scale) * side + (size_t)(from[0] - left) * scale) * depth,
               (size_t)(to[0] - from[0]) * scale * depth);
    return RT_OK;
}

rt_status rt_upscale(rt_network *net, const rt_pipeline_info *info, const uint8_t *pixels,
                     int width, int height, uint8_t *out, rt_error *err) {
    int count[2] = {pieces(width, info->width), pieces(height, info->height)}, at[2];
    size_t scale = (size_t)info->upscale;
    uint8_t *room =
        malloc((size_t)info->width * (size_t)info->height * scale * scale * (size_t)info->channels);
    rt_status s = room ? RT_OK : rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    for (at[1] = 0; !s && at[1] < count[1]; at[1]++)
        for (at[0] = 0; !s && at[0] < count[0]; at[0]++)
            s = piece(net, info, pixels, width, height, at, count, room, out, err);
    free(room);
    return s;
}
