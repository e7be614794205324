/* Float planes to bytes, and several pictures into one. */
#include "runtime/image/png_writer.h"

#include <math.h>
#include <string.h>

rt_status rt_image_from_float(const float *planes, int channels, uint32_t height, uint32_t width,
                              uint8_t *out, rt_error *err) {
    size_t area = (size_t)height * width, depth = (size_t)channels, bad = 0, first = 0;
    for (size_t c = 0; c < depth; c++)
        for (size_t i = 0; i < area; i++) {
            float v = planes[c * area + i];
            if (!isfinite(v)) {
                if (bad++ == 0) first = c * area + i;
                out[i * depth + c] = 0;
                continue;
            }
            v = v / 2.0f + 0.5f;
            v = v < 0.0f ? 0.0f : v > 1.0f ? 1.0f : v;
            out[i * depth + c] =
                (uint8_t)rintf(v * 255.0f); /* the default rounding mode: half to even */
        }
    if (bad == 0) return RT_OK;
    return rt_fail(err, RT_ERR_INPUT,
                   "the picture has %zu values that are not numbers, the first (%s) at channel "
                   "%zu, row %zu, column %zu",
                   bad, isnan(planes[first]) ? "NaN" : "infinity", first / area,
                   first % area / width, first % width);
}

void rt_image_grid(const uint8_t *pictures, size_t count, uint32_t height, uint32_t width,
                   int channels, size_t columns, uint8_t *out) {
    size_t row = (size_t)width * (size_t)channels, rows = (count + columns - 1) / columns;
    size_t out_row = row * columns;
    memset(out, 0, out_row * height * rows);
    for (size_t k = 0; k < count; k++) {
        const uint8_t *from = pictures + k * row * height;
        uint8_t *to = out + k / columns * height * out_row + k % columns * row;
        for (uint32_t y = 0; y < height; y++) memcpy(to + y * out_row, from + y * row, row);
    }
}
