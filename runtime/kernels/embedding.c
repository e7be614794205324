/* embedding, select_row, nearest, timestep_embedding. */
#include "runtime/kernels/vector/vec.h"

EBRU_KERNEL(embedding) {
    (void)scratch;
    const int32_t cbs = ebru_blocks16(p->C);
    const int64_t plane = (int64_t)p->T * 16;
    for (int32_t b = task_begin; b < task_end; b++) {
        const int32_t *ids = (const int32_t *)buf[EBRU_EMBEDDING_IDS] + (int64_t)b * p->T;
        float *out = (float *)buf[EBRU_EMBEDDING_OUT] + b * cbs * plane;
        for (int32_t t = 0; t < p->T; t++) {
            const int64_t id = ebru_max_i32(0, ebru_min_i32(ids[t], p->V - 1));
            const float *row = (const float *)buf[EBRU_EMBEDDING_TABLE] + id * cbs * 16;
            const float *position = (const float *)buf[EBRU_EMBEDDING_POSITION];
            for (int32_t cb = 0; cb < cbs; cb++) {
                v16 v = load16(row + cb * 16);
                if (position) v += load16(position + ((int64_t)t * cbs + cb) * 16);
                store16(out + cb * plane + t * 16, v);
            }
        }
    }
}

/* The first t with ids[t] = id, 0 when there is none; for id -1 with the largest ids[t]. */
static int32_t chosen_row(const int32_t *ids, int32_t tokens, int32_t id) {
    int32_t row = 0;
    if (id >= 0) {
        for (int32_t t = 0; t < tokens; t++)
            if (ids[t] == id) return t;
        return 0;
    }
    for (int32_t t = 1; t < tokens; t++)
        if (ids[t] > ids[row]) row = t;
    return row;
}

EBRU_KERNEL(select_row) {
    (void)scratch;
    const int32_t cbs = ebru_blocks16(p->C);
    for (int32_t b = task_begin; b < task_end; b++) {
        const int32_t *ids = (const int32_t *)buf[EBRU_SELECT_ROW_IDS] + (int64_t)b * p->T;
        const int32_t row = chosen_row(ids, p->T, p->id);
        for (int32_t cb = 0; cb < cbs; cb++) {
            const int64_t block = (int64_t)b * cbs + cb;
            const float *x = (const float *)buf[EBRU_SELECT_ROW_X] + (block * p->T + row) * 16;
            store16((float *)buf[EBRU_SELECT_ROW_OUT] + block * 16, load16(x));
        }
    }
}

/* Sixteen tokens side by side, one a lane: their channel c is gathered once, and a row of the table
 * is compared with all of them. */
EBRU_KERNEL(nearest) {
    (void)scratch;
    const int32_t cbs = ebru_blocks16(p->C), groups = ebru_blocks16(p->T), row = cbs * 16;
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t b = task / groups, first = task % groups * 16;
        const int32_t lanes = ebru_min_i32(16, p->T - first);
        const float *x = (const float *)buf[EBRU_NEAREST_X] + (int64_t)b * cbs * p->T * 16;
        int32_t *out = (int32_t *)buf[EBRU_NEAREST_OUT] + (int64_t)b * p->T + first;
        float least[16];
        for (int32_t l = 0; l < 16; l++) least[l] = __builtin_inff();
        for (int32_t l = 0; l < lanes; l++) out[l] = 0;
        for (int32_t v = 0; v < p->V; v++) {
            const float *code = (const float *)buf[EBRU_NEAREST_TABLE] + (int64_t)v * row;
            float sum[16] = {0};
            for (int32_t c = 0; c < p->C; c++) {
                const float *from = x + ((int64_t)(c / 16) * p->T + first) * 16 + c % 16;
                for (int32_t l = 0; l < lanes; l++) {
                    const float d = from[l * 16] - code[c];
                    sum[l] += d * d;
                }
            }
            for (int32_t l = 0; l < lanes; l++)
                if (sum[l] < least[l]) {
                    least[l] = sum[l];
                    out[l] = v;
                }
        }
    }
}

/* ---- double precision for a handful of sinusoids: relative error below 1e-14 ---- */

/* e^x for |x| < 700: n = round(x / ln 2), Taylor series of degree 13 on the rest. */
static double exp_double(double x) {
    const double n = __builtin_floor(x * 1.4426950408889634 + 0.5);
    const double r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
    double s = 1.0;
    for (int32_t k = 13; k >= 1; k--) s = 1.0 + s * r / (double)k;
    union {
        uint64_t u;
        double d;
    } scale = {(uint64_t)((int64_t)n + 1023) << 52};
    return s * scale.d;
}

/* ln x for normal x > 0: Halley's iteration on e^y = x. */
static double log_double(double x) {
    union {
        double d;
        uint64_t u;
    } bits = {x};
    double y = ((double)(bits.u >> 52) - 1023.0 + 0.5) * 0.6931471805599453;
    for (int32_t k = 0; k < 5; k++) {
        const double e = exp_double(y);
        y += 2.0 * (x - e) / (x + e);
    }
    return y;
}

/* sin(x + quarter * pi/2) for |x| < 1e6: pi/2 in three parts, Taylor series on [-pi/4, pi/4]. */
static double sin_double(double x, int64_t quarter) {
    const double n = __builtin_floor(x * 0.6366197723675814 + 0.5);
    double r = x - n * 1.57079632673412561417e+00;
    r = (r - n * 6.07710050630396597660e-11) - n * 2.02226624879595063154e-21;
    const double t = r * r;
    double s = 1.0, c = 1.0;
    for (int32_t k = 9; k >= 1; k--) s = 1.0 - s * t / (double)(2 * k * (2 * k + 1));
    for (int32_t k = 9; k >= 1; k--) c = 1.0 - c * t / (double)((2 * k - 1) * (2 * k));
    switch (((int64_t)n + quarter) & 3) {
    case 0: return s * r;
    case 1: return c;
    case 2: return -s * r;
    default: return -c;
    }
}

/* Frequencies and arguments are rounded to float where PyTorch rounds them: at t = 1000 one ulp of
 * the argument is 6e-5 in the sine, so the exact argument would be further from the trained one. */
EBRU_KERNEL(timestep_embedding) {
    (void)scratch;
    const int32_t half = p->dim / 2, pad = ebru_blocks16(p->dim) * 16;
    const float slope = (float)-log_double((double)p->max_period);
    for (int32_t b = task_begin; b < task_end; b++) {
        const float t = ((const float *)buf[EBRU_TIMESTEP_EMBEDDING_T])[b % p->TN];
        float *out = (float *)buf[EBRU_TIMESTEP_EMBEDDING_OUT] + (int64_t)b * pad;
        for (int32_t i = 0; i < half; i++) {
            const float product = slope * (float)i, exponent = product / ((float)half - p->shift);
            const float frequency = (float)exp_double((double)exponent), angle = t * frequency;
            const double a = (double)(p->scale * angle);
            out[i + (p->flip ? half : 0)] = (float)sin_double(a, 0);
            out[i + (p->flip ? 0 : half)] = (float)sin_double(a, 1);
        }
        for (int32_t i = 2 * half; i < pad; i++) out[i] = 0.0f;
    }
}
