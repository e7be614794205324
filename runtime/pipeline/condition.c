#include "runtime/pipeline/condition.h"

#include <math.h>

void rt_picture_to_float(const uint8_t *pixels, size_t area, size_t channels, float *out) {
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < area; i++)
            out[c * area + i] = 2.0f * ((float)pixels[i * channels + c] / 255.0f) - 1.0f;
}

void rt_control_to_float(const uint8_t *pixels, size_t area, size_t channels, float *out) {
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < area; i++)
            out[c * area + i] = (float)pixels[i * channels + c] / 255.0f;
}

void rt_control_scales(float scale, bool rises, size_t n, float *out) {
    for (size_t k = 0; k < n; k++) {
        double exponent = n > 1 ? (double)k / (double)(n - 1) - 1 : -1;
        out[k] = rises ? (float)pow(10, exponent) * scale : scale;
    }
}

void rt_mask_to_float(const uint8_t *pixels, size_t area, float *out) {
    for (size_t i = 0; i < area; i++) out[i] = (float)pixels[i] / 255.0f >= 0.5f;
}

void rt_posterior_sample(const float *moments, const float *noise, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) {
        float logvar = moments[n + i];
        logvar = logvar < -30.0f ? -30.0f : logvar > 20.0f ? 20.0f : logvar;
        out[i] = moments[i] + expf(0.5f * logvar) * noise[i];
    }
}

void rt_mask_blend(const float *mask, size_t area, size_t channels, const float *known, float *x) {
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < area; i++) {
            size_t k = c * area + i;
            x[k] = (1.0f - mask[i]) * known[k] + mask[i] * x[k];
        }
}

bool rt_depth_normalise(float *depth, size_t n) {
    float low = depth[0], high = depth[0];
    for (size_t i = 1; i < n; i++) {
        low = depth[i] < low ? depth[i] : low;
        high = depth[i] > high ? depth[i] : high;
    }
    if (!(high > low)) return false;
    for (size_t i = 0; i < n; i++) depth[i] = 2.0f * (depth[i] - low) / (high - low) - 1.0f;
    return true;
}

void rt_guidance_embedding(double guidance, size_t width, float *out) {
    float w = (float)(guidance - 1) * 1000.0f;
    size_t half = width / 2;
    float step = half > 1 ? logf(10000.0f) / (float)(half - 1) : 0.0f;
    for (size_t i = 0; i < half; i++) {
        /* The angle is rounded to float32 as in torch; its sine is exact enough only in double, w
         * is large. */
        float angle = w * expf((float)i * -step);
        out[i] = (float)sin((double)angle);
        out[half + i] = (float)cos((double)angle);
    }
    if (width % 2) out[width - 1] = 0;
}

void rt_time_ids(size_t count, int height, int width, bool negative, float *out) {
    const float all[6] = {(float)height, (float)width, 0, 0, (float)height, (float)width};
    for (size_t i = 0; i < count; i++) out[i] = i < 6 ? all[i] : 0;
    if (count == 5) out[4] = negative ? 2.5f : 6.0f;
}

/* Of a sample: divided by n - 1. */
static double standard_deviation(const float *v, size_t n) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += v[i];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) squares += (v[i] - mean) * (v[i] - mean);
    return sqrt(squares / (double)(n - 1));
}

void rt_guide(const float *u, const float *c, size_t n, float g, float rescale, float *out) {
    for (size_t i = 0; i < n; i++) out[i] = u[i] + g * (c[i] - u[i]);
    if (!(rescale > 0)) return;
    float ratio = (float)(standard_deviation(c, n) / standard_deviation(out, n));
    for (size_t i = 0; i < n; i++) out[i] = rescale * (out[i] * ratio) + (1.0f - rescale) * out[i];
}

static double mean_of(const float *v, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += v[i];
    return sum / (double)n;
}

void rt_weigh_tokens(float *rows, const float *weights, size_t tokens, size_t width) {
    bool all_one = true;
    for (size_t t = 0; t < tokens; t++) all_one &= weights[t] == 1.0f;
    if (all_one) return;
    size_t n = tokens * width;
    double before = mean_of(rows, n);
    for (size_t i = 0; i < n; i++) rows[i] *= weights[i / width];
    double after = mean_of(rows, n);
    if (!isfinite(before / after)) return; /* weights that sum to nothing: no mean to go back to */
    for (size_t i = 0; i < n; i++) rows[i] *= (float)(before / after);
}
