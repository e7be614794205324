/* group_stats, norm_apply, layer_norm, geglu. */
#include "runtime/kernels/cat.h"
#include "runtime/kernels/vector/vmath.h"

/* Mean and sum of squared deviations of each lane of one channel block. Runs of RUN pixels are
 * summed in float around their own mean and joined in double (Chan, Golub, LeVeque 1979), so a
 * large common offset costs no digits. */
#define RUN 64
struct moments {
    v16d mean, m2;
};

INLINE v16 pixel_of(const struct cat *cat, const float *block, int32_t whole, int32_t cb,
                    int32_t pixel) {
    return whole ? load16(block + (int64_t)pixel * 16) : cat_lanes(cat, cb, pixel);
}

INLINE struct moments block_moments(const struct cat *cat, int32_t whole, int32_t cb, int32_t P) {
    struct moments r = {(v16d)(0.0), (v16d)(0.0)};
    const float *block = whole ? cat_block(cat, cb) : NULL;
    for (int32_t p0 = 0; p0 < P; p0 += RUN) {
        const int32_t n = ebru_min_i32(RUN, P - p0);
        v16 s[4] = {splat16(0.0f), splat16(0.0f), splat16(0.0f), splat16(0.0f)};
        int32_t p = 0;
        for (; p + 4 <= n; p += 4) {
            UNROLL for (int32_t i = 0; i < 4; i++) s[i] +=
                pixel_of(cat, block, whole, cb, p0 + p + i);
        }
        for (; p < n; p++) s[0] += pixel_of(cat, block, whole, cb, p0 + p);
        const v16 mean = ((s[0] + s[1]) + (s[2] + s[3])) * splat16(1.0f / (float)n);
        v16 d[4] = {splat16(0.0f), splat16(0.0f), splat16(0.0f), splat16(0.0f)}, e = splat16(0.0f);
        for (p = 0; p + 4 <= n; p += 4) {
            UNROLL for (int32_t i = 0; i < 4; i++) {
                const v16 x = pixel_of(cat, block, whole, cb, p0 + p + i) - mean;
                d[i] += x * x;
                e += x;
            }
        }
        for (; p < n; p++) {
            const v16 x = pixel_of(cat, block, whole, cb, p0 + p) - mean;
            d[0] += x * x;
            e += x;
        }
        /* what the rounded mean left over */
        const v16d rest = __builtin_convertvector(e, v16d) / (v16d)((double)n);
        const v16d run_mean = __builtin_convertvector(mean, v16d) + rest;
        const v16d run_m2 = __builtin_convertvector((d[0] + d[1]) + (d[2] + d[3]), v16d) -
                            rest * rest * (v16d)((double)n);
        const v16d delta = run_mean - r.mean;
        const double seen = (double)p0, total = (double)(p0 + n);
        r.mean += delta * (v16d)((double)n / total);
        r.m2 += run_m2 + delta * delta * (v16d)(seen * (double)n / total);
    }
    return r;
}

EBRU_KERNEL(group_stats) {
    (void)scratch;
    const int32_t C = p->C0 + p->C1, cbs = ebru_blocks16(C), size = C / p->G;
    const int32_t unit = ebru_group_stats_unit(p), units = ebru_ceil_div(p->G, unit);
    const int32_t whole = p->C1 == 0 || p->C0 % 16 == 0;
    const float *gamma = (const float *)buf[EBRU_GROUP_STATS_GAMMA],
                *beta = (const float *)buf[EBRU_GROUP_STATS_BETA];
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t b = task / units, g0 = task % units * unit,
                      g1 = ebru_min_i32(g0 + unit, p->G);
        const int32_t c0 = g0 * size, c1 = g1 * size;
        const int64_t plane = (int64_t)p->P * 16;
        const struct cat cat = {
            (const float *)buf[EBRU_GROUP_STATS_X0] + b * ebru_blocks16(p->C0) * plane,
            p->C1 ? (const float *)buf[EBRU_GROUP_STATS_X1] + b * ebru_blocks16(p->C1) * plane
                  : NULL,
            plane, p->C0, p->C1};
        double sum[16], squares[16],
            m2[16]; /* a group: of channel means, of their squares, of channel m2 */
        for (int32_t g = 0; g < 16; g++) sum[g] = squares[g] = m2[g] = 0;
        for (int32_t cb = c0 / 16; cb * 16 < c1; cb++) {
            const struct moments m = block_moments(&cat, whole, cb, p->P);
            for (int32_t l = 0; l < 16 && cb * 16 + l < c1; l++) {
                const int32_t g = (cb * 16 + l) / size - g0;
                sum[g] += m.mean[l];
                squares[g] += m.mean[l] * m.mean[l];
                m2[g] += m.m2[l];
            }
        }
        float *scale = (float *)buf[EBRU_GROUP_STATS_OUT] + (int64_t)b * 2 * cbs * 16,
              *shift = scale + cbs * 16;
        for (int32_t g = 0; g < g1 - g0; g++) {
            const double mean = sum[g] / size, between = squares[g] / size - mean * mean;
            const double var = m2[g] / ((double)size * p->P) + (between > 0 ? between : 0);
            const double rstd = 1.0 / __builtin_sqrt(var + (double)p->eps);
            for (int32_t c = (g0 + g) * size; c < (g0 + g + 1) * size; c++) {
                const double a = (gamma ? (double)gamma[c] : 1.0) * rstd;
                scale[c] = (float)a;
                shift[c] = (float)((beta ? (double)beta[c] : 0.0) - mean * a);
            }
        }
        for (int32_t c = c1; c < cbs * 16 && g1 == p->G; c++) scale[c] = shift[c] = 0.0f;
    }
}

EBRU_KERNEL(norm_apply) {
    (void)scratch;
    const int32_t cbs = ebru_blocks16(p->C0 + p->C1), whole = p->C1 == 0 || p->C0 % 16 == 0;
    const int64_t plane = (int64_t)p->P * 16;
    const int32_t parts = ebru_ceil_div(p->P, EBRU_MOVE_PIXELS);
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t block_at = task / parts, b = block_at / cbs, cb = block_at % cbs;
        const int32_t q0 = task % parts * EBRU_MOVE_PIXELS,
                      q1 = ebru_min_i32(q0 + EBRU_MOVE_PIXELS, p->P);
        const struct cat cat = {
            (const float *)buf[EBRU_NORM_APPLY_X0] + b * ebru_blocks16(p->C0) * plane,
            p->C1 ? (const float *)buf[EBRU_NORM_APPLY_X1] + b * ebru_blocks16(p->C1) * plane
                  : NULL,
            plane, p->C0, p->C1};
        const float *block = whole ? cat_block(&cat, cb) : NULL;
        const float *ss =
            (const float *)buf[EBRU_NORM_APPLY_SCALE_SHIFT] + ((int64_t)b * 2 * cbs + cb) * 16;
        const v16 scale = load16(ss), shift = load16(ss + cbs * 16);
        float *out = (float *)buf[EBRU_NORM_APPLY_OUT] + block_at * plane;
        for (int32_t q = q0; q < q1; q++)
            store16(out + (int64_t)q * 16,
                    act16(pixel_of(&cat, block, whole, cb, q) * scale + shift, p->act));
    }
}

EBRU_KERNEL(layer_norm) {
    (void)scratch;
    const int32_t cbs = ebru_blocks16(p->C), most = ebru_layer_norm_tokens(p),
                  tiles = ebru_ceil_div(p->T, most);
    const int32_t rest = p->C - (cbs - 1) * 16; /* lanes of the last block that count */
    const int64_t plane = (int64_t)p->T * 16;
    const float *gamma = (const float *)buf[EBRU_LAYER_NORM_GAMMA],
                *beta = (const float *)buf[EBRU_LAYER_NORM_BETA];
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t b = task / tiles, t0 = task % tiles * most;
        const int32_t n = ebru_min_i32(most, p->T - t0);
        const int64_t at = b * cbs * plane + (int64_t)t0 * 16;
        const float *x = (const float *)buf[EBRU_LAYER_NORM_X] + at;
        float *y = (float *)buf[EBRU_LAYER_NORM_OUT] + at;
        v16 acc[EBRU_LAYER_NORM_TOKENS];
        float mean[EBRU_LAYER_NORM_TOKENS], rstd[EBRU_LAYER_NORM_TOKENS];
        for (int32_t t = 0; t < n; t++)
            acc[t] = keep_first(load16(x + (cbs - 1) * plane + t * 16), rest);
        for (int32_t cb = 0; cb < cbs - 1; cb++)
            for (int32_t t = 0; t < n; t++) acc[t] += load16(x + cb * plane + t * 16);
        for (int32_t t = 0; t < n; t++) mean[t] = sum16(acc[t]) / (float)p->C;
        for (int32_t t = 0; t < n; t++) {
            const v16 d =
                keep_first(load16(x + (cbs - 1) * plane + t * 16) - splat16(mean[t]), rest);
            acc[t] = d * d;
        }
        for (int32_t cb = 0; cb < cbs - 1; cb++)
            for (int32_t t = 0; t < n; t++) {
                const v16 d = load16(x + cb * plane + t * 16) - splat16(mean[t]);
                acc[t] += d * d;
            }
        for (int32_t t = 0; t < n; t++)
            rstd[t] = 1.0f / __builtin_sqrtf(sum16(acc[t]) / (float)p->C + p->eps);
        for (int32_t cb = 0; cb < cbs; cb++) {
            const v16 g = gamma ? load16(gamma + cb * 16) : splat16(1.0f);
            const v16 h = beta ? load16(beta + cb * 16) : splat16(0.0f);
            for (int32_t t = 0; t < n; t++) {
                const v16 d =
                    (load16(x + cb * plane + t * 16) - splat16(mean[t])) * splat16(rstd[t]);
                store16(y + cb * plane + t * 16, d * g + h);
            }
        }
    }
}

EBRU_KERNEL(geglu) {
    (void)scratch;
    const int32_t cbs = ebru_blocks16(p->C);
    const int64_t plane = (int64_t)p->P * 16;
    const int32_t parts = ebru_ceil_div(p->P, EBRU_MOVE_PIXELS);
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t block = task / parts, b = block / cbs, cb = block % cbs;
        const int32_t q0 = task % parts * EBRU_MOVE_PIXELS,
                      q1 = ebru_min_i32(q0 + EBRU_MOVE_PIXELS, p->P);
        const float *x = (const float *)buf[EBRU_GEGLU_X] + b * ebru_blocks16(2 * p->C) * plane;
        float *out = (float *)buf[EBRU_GEGLU_OUT] + block * plane;
        for (int64_t q = q0; q < q1; q++) {
            const v16 value = load16(x + cb * plane + q * 16);
            v16 gate = splat16(0.0f);
            if (p->C % 16 == 0) {
                gate = load16(x + (p->C / 16 + cb) * plane + q * 16);
            } else {
                for (int32_t l = 0; l < 16 && cb * 16 + l < p->C; l++) {
                    const int32_t c = p->C + cb * 16 + l;
                    gate[l] = x[c / 16 * plane + q * 16 + c % 16];
                }
            }
            store16(out + q * 16, value * gelu16(gate));
        }
    }
}
