/* resize_nearest, max_pool2d, avg_pool2d, concat, pack, unpack: c16 images and tokens. */
#include "runtime/kernels/vector/vec.h"

EBRU_KERNEL(resize_nearest) {
    (void)scratch;
    for (int32_t task = task_begin; task < task_end; task++) {
        const float *x =
            (const float *)buf[EBRU_RESIZE_NEAREST_X] + (int64_t)task * p->H * p->W * 16;
        float *out = (float *)buf[EBRU_RESIZE_NEAREST_OUT] + (int64_t)task * p->OH * p->OW * 16;
        for (int32_t i = 0; i < p->OH; i++) {
            const float *row = x + (int64_t)(i * p->H / p->OH) * p->W * 16;
            for (int32_t j = 0; j < p->OW; j++, out += 16)
                store16(out, load16(row + j * p->W / p->OW * 16));
        }
    }
}

/* One output of a pool: rows [y0, y1), columns [x0, x1) of the block, clipped to it. */
INLINE v16 window(const struct ebru_max_pool2d_params *p, const float *x, int32_t i, int32_t j,
                  int32_t average) {
    const int32_t y0 = i * p->SH - p->PT, x0 = j * p->SW - p->PL;
    const int32_t y1 = ebru_min_i32(y0 + p->KH, p->H), x1 = ebru_min_i32(x0 + p->KW, p->W);
    v16 v = splat16(average ? 0.0f : -__builtin_inff());
    for (int32_t y = ebru_max_i32(y0, 0); y < y1; y++) {
        for (int32_t c = ebru_max_i32(x0, 0); c < x1; c++) {
            const v16 e = load16(x + ((int64_t)y * p->W + c) * 16);
            v = average ? v + e : select16((v >= e), v, e); /* NaN wins */
        }
    }
    return average ? v / splat16((float)(p->KH * p->KW)) : v;
}

INLINE void pool(const struct ebru_max_pool2d_params *p, void *const *buf, int32_t task_begin,
                 int32_t task_end, int32_t average) {
    for (int32_t task = task_begin; task < task_end; task++) {
        const float *x = (const float *)buf[EBRU_POOL2D_X] + (int64_t)task * p->H * p->W * 16;
        float *out = (float *)buf[EBRU_POOL2D_OUT] + (int64_t)task * p->OH * p->OW * 16;
        for (int32_t i = 0; i < p->OH; i++)
            for (int32_t j = 0; j < p->OW; j++, out += 16)
                store16(out, window(p, x, i, j, average));
    }
}

EBRU_KERNEL(max_pool2d) {
    (void)scratch;
    pool(p, buf, task_begin, task_end, 0);
}

EBRU_KERNEL(avg_pool2d) {
    (void)scratch;
    const struct ebru_max_pool2d_params q = {p->B,  p->C,  p->H,  p->W,  p->KH, p->KW,
                                             p->SH, p->SW, p->PT, p->PL, p->OH, p->OW};
    pool(&q, buf, task_begin, task_end, 1);
}

EBRU_KERNEL(concat) {
    (void)scratch;
    const int32_t channels[8] = {p->C0, p->C1, p->C2, p->C3, p->C4, p->C5, p->C6, p->C7};
    const int32_t C = ebru_concat_channels(p), cbs = ebru_blocks16(C);
    const int64_t plane = (int64_t)p->P * 16;
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t b = task / cbs, cb = task % cbs;
        float *out = (float *)buf[EBRU_CONCAT_OUT] + task * plane;
        int32_t lane = 0, first = 0; /* lanes written; first channel of source k */
        for (int32_t k = 0; k < 8 && lane < 16; first += channels[k], k++) {
            int32_t c = cb * 16 + lane - first; /* the source's channel that goes to `lane` */
            if (c < 0 || c >= channels[k]) continue;
            const float *x =
                (const float *)buf[EBRU_CONCAT_X0 + k] + b * ebru_blocks16(channels[k]) * plane;
            if (lane == 0 && c % 16 == 0 && c + 16 <= channels[k]) {
                for (int64_t q = 0; q < plane; q += 16)
                    store16(out + q, load16(x + c / 16 * plane + q));
                lane = 16;
            }
            for (; lane < 16 && c < channels[k]; lane++, c++)
                for (int64_t q = 0; q < plane; q += 16)
                    out[q + lane] = x[c / 16 * plane + q + c % 16];
        }
        for (; lane < 16; lane++)
            for (int64_t q = 0; q < plane; q += 16) out[q + lane] = 0.0f;
    }
}

/* The pixels of a pack's or unpack's task, and its plane: batch entry times channel blocks plus the
 * block. */
struct part {
    int32_t b, cb, n; /* n: channels of the block */
    int64_t plane, begin, end;
};
INLINE struct part part_of(int32_t C, int32_t P, int32_t task) {
    const int32_t cbs = ebru_blocks16(C), parts = ebru_ceil_div(P, EBRU_MOVE_PIXELS),
                  plane = task / parts, begin = task % parts * EBRU_MOVE_PIXELS;
    return (struct part){plane / cbs, plane % cbs, ebru_min_i32(16, C - plane % cbs * 16),
                         plane,       begin,       ebru_min_i32(P, begin + EBRU_MOVE_PIXELS)};
}

EBRU_KERNEL(pack) {
    (void)scratch;
    for (int32_t task = task_begin; task < task_end; task++) {
        const struct part t = part_of(p->C, p->P, task);
        const float *x =
            (const float *)buf[EBRU_PACK_X] + (int64_t)t.b * p->sb + (int64_t)t.cb * 16 * p->sc;
        float *out = (float *)buf[EBRU_PACK_OUT] + t.plane * p->P * 16;
        for (int64_t q = t.begin; q < t.end; q++) {
            v16 v = splat16(0.0f);
            if (p->sc == 1 && t.n == 16)
                v = loadu16(x + q * p->sp);
            else
                for (int32_t l = 0; l < t.n; l++) v[l] = x[l * (int64_t)p->sc + q * p->sp];
            store16(out + q * 16, v);
        }
    }
}

EBRU_KERNEL(unpack) {
    (void)scratch;
    for (int32_t task = task_begin; task < task_end; task++) {
        const struct part t = part_of(p->C, p->P, task);
        const float *x = (const float *)buf[EBRU_UNPACK_X] + t.plane * p->P * 16;
        float *out =
            (float *)buf[EBRU_UNPACK_OUT] + (int64_t)t.b * p->sb + (int64_t)t.cb * 16 * p->sc;
        if (p->sc == 1 && t.n == 16) {
            for (int64_t q = t.begin; q < t.end; q++) storeu16(out + q * p->sp, load16(x + q * 16));
        } else {
            for (int32_t l = 0; l < t.n; l++)
                for (int64_t q = t.begin; q < t.end; q++)
                    out[l * (int64_t)p->sc + q * p->sp] = x[q * 16 + l];
        }
    }
}
