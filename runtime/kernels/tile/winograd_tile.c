/* The transforms of a Winograd tile; the formulas' source and their points:
 * runtime/kernels/winograd/winograd.h. */
#include "runtime/kernels/tile/winograd_tile.h"

/* ---- one dimension, M = 4 ---- */

/* Rows of B^T: the polynomials prod (x - a) over all points but one; the pairs +-a share even and
 * odd parts. */
INLINE void input4(const v16 d[6], v16 t[6]) {
    const v16 near = d[4] - 2.25f * d[2], near_odd = 0.5f * d[3] - 1.125f * d[1];
    const v16 far = d[4] - 0.25f * d[2], far_odd = 1.5f * d[3] - 0.375f * d[1];
    t[0] = d[4] - 2.5f * d[2] + 0.5625f * d[0];
    t[1] = near + near_odd;
    t[2] = near - near_odd;
    t[3] = far + far_odd;
    t[4] = far - far_odd;
    t[5] = d[5] - 2.5f * d[3] + 0.5625f * d[1];
}

INLINE void output4(const v16 s[6], v16 y[4]) {
    const v16 near = s[1] + s[2], near_odd = s[1] - s[2], far = s[3] + s[4], far_odd = s[3] - s[4];
    y[0] = s[0] + near + far;
    y[1] = 0.5f * near_odd + 1.5f * far_odd;
    y[2] = 0.25f * near + 2.25f * far;
    y[3] = 0.125f * near_odd + 3.375f * far_odd + s[5];
}

/* ---- a tile ---- */

#define WINOGRAD_DEFINE(M)                                                                         \
    __attribute__((noinline)) void EBRU_NAME(ebru_winograd_input_##M)(const float *d, int64_t row, \
                                                                      float *v, int64_t point) {   \
        v16 t[M + 2][M + 2];                                                                       \
        UNROLL for (int32_t x = 0; x < M + 2; x++) {                                               \
            v16 in[M + 2], out[M + 2];                                                             \
            UNROLL for (int32_t y = 0; y < M + 2; y++) in[y] = load16(d + y * row + x * 16);       \
            input##M(in, out);                                                                     \
            UNROLL for (int32_t y = 0; y < M + 2; y++) t[y][x] = out[y];                           \
        }                                                                                          \
        UNROLL for (int32_t y = 0; y < M + 2; y++) {                                               \
            v16 out[M + 2];                                                                        \
            input##M(t[y], out);                                                                   \
            UNROLL for (int32_t x = 0; x < M + 2; x++)                                             \
                store16(v + (y * (M + 2) + x) * point, out[x]);                                    \
        }                                                                                          \
    }                                                                                              \
    __attribute__((noinline)) void EBRU_NAME(ebru_winograd_output_##M)(const float *s,             \
                                                                       int64_t point, float *y) {  \
        v16 t[M][M + 2];                                                                           \
        UNROLL for (int32_t x = 0; x < M + 2; x++) {                                               \
            v16 in[M + 2], out[M];                                                                 \
            UNROLL for (int32_t i = 0; i < M + 2; i++) in[i] =                                     \
                load16(s + (i * (M + 2) + x) * point);                                             \
            output##M(in, out);                                                                    \
            UNROLL for (int32_t i = 0; i < M; i++) t[i][x] = out[i];                               \
        }                                                                                          \
        UNROLL for (int32_t i = 0; i < M; i++) {                                                   \
            v16 out[M];                                                                            \
            output##M(t[i], out);                                                                  \
            UNROLL for (int32_t x = 0; x < M; x++) store16(y + (i * M + x) * 16, out[x]);          \
        }                                                                                          \
    }
WINOGRAD_DEFINE(2)
WINOGRAD_DEFINE(4)
