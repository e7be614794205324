/* Resampling: the algorithms of Pillow's Resample.c and of torch's upsample kernels, written from
 * their descriptions and held to their results by tests/unit/runtime/resize_test.c. */
#include "runtime/image/resize.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static rt_status no_memory(rt_error *err) {
    return rt_fail(err, RT_ERR_SYSTEM, "out of memory for resizing a picture");
}

/* ---- 8 bits, as Pillow ---- */

enum { FRACTION_BITS = 32 - 8 - 2 };

/* The weights of one direction: output i is the sum of weights[i * stride + k] * input[first[i] +
 * k]. */
struct taps {
    uint32_t *first, *count;
    int32_t *weights;
    size_t stride;
};

static double sinc(double x) {
    const double pi = 3.14159265358979323846;
    return x == 0.0 ? 1.0 : sin(x * pi) / (x * pi);
}

static double lanczos3(double x) {
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

static double cubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
}

static void free_taps(struct taps *t) {
    free(t->first);
    free(t->count);
    free(t->weights);
}

/* Output i of `outputs`: its weights in double, normalised, then rounded half away from zero. */
static void make_tap(struct taps *t, rt_resize_filter filter, uint32_t inputs, uint32_t outputs,
                     uint32_t i, double *weights) {
    double scale = (double)inputs / outputs, stretch = scale < 1.0 ? 1.0 : scale;
    double reach = (filter == RT_RESIZE_LANCZOS ? 3.0 : 2.0) * stretch;
    double centre = (i + 0.5) * scale, begin = centre - reach + 0.5, end = centre + reach + 0.5,
           sum = 0;
    uint32_t first = begin > 0 ? (uint32_t)begin : 0, last = end < inputs ? (uint32_t)end : inputs;
    for (uint32_t k = 0; k < last - first; k++) {
        double x = (k + first - centre + 0.5) * (1.0 / stretch);
        weights[k] = filter == RT_RESIZE_LANCZOS ? lanczos3(x) : cubic(x);
        sum += weights[k];
    }
    for (uint32_t k = 0; k < last - first; k++) {
        double w = sum != 0.0 ? weights[k] / sum : weights[k];
        t->weights[i * t->stride + k] = (int32_t)((w < 0 ? -0.5 : 0.5) + w * (1 << FRACTION_BITS));
    }
    t->first[i] = first;
    t->count[i] = last - first;
}

static rt_status make_taps(struct taps *t, rt_resize_filter filter, uint32_t inputs,
                           uint32_t outputs, rt_error *err) {
    double scale = (double)inputs / outputs;
    double reach = (filter == RT_RESIZE_LANCZOS ? 3.0 : 2.0) * (scale < 1.0 ? 1.0 : scale);
    t->stride = (size_t)ceil(reach) * 2 + 1;
    t->first = calloc(outputs, sizeof *t->first);
    t->count = calloc(outputs, sizeof *t->count);
    t->weights = calloc(outputs * t->stride, sizeof *t->weights);
    double *weights = calloc(t->stride, sizeof *weights);
    bool fine = t->first && t->count && t->weights && weights;
    for (uint32_t i = 0; fine && i < outputs; i++) make_tap(t, filter, inputs, outputs, i, weights);
    free(weights);
    if (fine) return RT_OK;
    free_taps(t);
    return no_memory(err);
}

static uint8_t to_byte(int64_t sum) {
    sum = (sum + (1 << (FRACTION_BITS - 1))) >>
          FRACTION_BITS; /* rounds towards minus infinity, as Pillow */
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* in[lines][.][channels] -> out[lines][outputs][channels] */
static void along_rows(const struct taps *t, const uint8_t *in, size_t lines, size_t inputs,
                       size_t outputs, size_t channels, uint8_t *out) {
    for (size_t y = 0; y < lines; y++, in += inputs * channels)
        for (size_t x = 0; x < outputs; x++)
            for (size_t c = 0; c < channels; c++) {
                const uint8_t *from = in + t->first[x] * channels + c;
                const int32_t *w = t->weights + x * t->stride;
                int64_t sum = 0;
                for (size_t k = 0; k < t->count[x]; k++) sum += (int64_t)w[k] * from[k * channels];
                *out++ = to_byte(sum);
            }
}

/* in[.][row] -> out[outputs][row] */
static void along_columns(const struct taps *t, const uint8_t *in, size_t row, size_t outputs,
                          uint8_t *out) {
    for (size_t y = 0; y < outputs; y++)
        for (size_t x = 0; x < row; x++) {
            const uint8_t *from = in + t->first[y] * row + x;
            const int32_t *w = t->weights + y * t->stride;
            int64_t sum = 0;
            for (size_t k = 0; k < t->count[y]; k++) sum += (int64_t)w[k] * from[k * row];
            *out++ = to_byte(sum);
        }
}

rt_status rt_resize_u8(rt_resize_filter filter, const uint8_t *in, uint32_t width, uint32_t height,
                       int channels, uint8_t *out, uint32_t out_width, uint32_t out_height,
                       rt_error *err) {
    size_t depth = (size_t)channels, row = out_width * depth;
    struct taps t;
    uint8_t *between = NULL;
    if (out_width != width) {
        uint8_t *to = out;
        if (out_height != height) to = between = malloc(row * height);
        if (!to) return no_memory(err);
        rt_status status = make_taps(&t, filter, width, out_width, err);
        if (status != RT_OK) {
            free(between);
            return status;
        }
        along_rows(&t, in, height, width, out_width, depth, to);
        free_taps(&t);
        in = to;
    }
    if (out_height != height) {
        rt_status status = make_taps(&t, filter, height, out_height, err);
        if (status == RT_OK) {
            along_columns(&t, in, row, out_height, out);
            free_taps(&t);
        }
        free(between);
        return status;
    }
    if (in != out) memcpy(out, in, row * height);
    return RT_OK;
}

/* ---- float planes, as torch ---- */

/* Four neighbours of one output position. */
struct cubic_tap {
    uint32_t index[4];
    float weight[4];
};

static struct cubic_tap cubic_tap_at(uint32_t i, uint32_t inputs, uint32_t outputs) {
    const float a = -0.75f;
    struct cubic_tap tap;
    double real = (double)((float)inputs / (float)outputs) * (i + 0.5) - 0.5, whole = floor(real);
    float t = (float)(real - whole), s = 1.0f - t;
    tap.weight[0] = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a;
    tap.weight[1] = ((a + 2) * t - (a + 3)) * t * t + 1;
    tap.weight[2] = ((a + 2) * s - (a + 3)) * s * s + 1;
    tap.weight[3] = ((a * (s + 1) - 5 * a) * (s + 1) + 8 * a) * (s + 1) - 4 * a;
    for (int k = 0; k < 4; k++) {
        int64_t at = (int64_t)whole - 1 + k;
        tap.index[k] = at < 0 ? 0 : at >= inputs ? inputs - 1 : (uint32_t)at;
    }
    return tap;
}

rt_status rt_resize_bicubic_f32(const float *in, uint32_t width, uint32_t height, float *out,
                                uint32_t out_width, uint32_t out_height, rt_error *err) {
    float *between = malloc((size_t)out_width * height * sizeof *between);
    if (!between) return no_memory(err);
    for (uint32_t x = 0; x < out_width; x++) {
        struct cubic_tap tap = cubic_tap_at(x, width, out_width);
        for (uint32_t y = 0; y < height; y++) {
            const float *row = in + (size_t)y * width;
            float sum = 0;
            for (int k = 0; k < 4; k++) sum += row[tap.index[k]] * tap.weight[k];
            between[(size_t)y * out_width + x] = sum;
        }
    }
    for (uint32_t y = 0; y < out_height; y++) {
        struct cubic_tap tap = cubic_tap_at(y, height, out_height);
        for (uint32_t x = 0; x < out_width; x++) {
            float sum = 0;
            for (int k = 0; k < 4; k++)
                sum += between[(size_t)tap.index[k] * out_width + x] * tap.weight[k];
            *out++ = sum;
        }
    }
    free(between);
    return RT_OK;
}

static uint32_t nearest(uint32_t i, uint32_t inputs, uint32_t outputs) {
    uint32_t from = (uint32_t)floorf((float)i * ((float)inputs / (float)outputs));
    return from < inputs ? from : inputs - 1;
}

void rt_resize_nearest_f32(const float *in, uint32_t width, uint32_t height, float *out,
                           uint32_t out_width, uint32_t out_height) {
    for (uint32_t y = 0; y < out_height; y++) {
        const float *row = in + (size_t)nearest(y, height, out_height) * width;
        for (uint32_t x = 0; x < out_width; x++) *out++ = row[nearest(x, width, out_width)];
    }
}
