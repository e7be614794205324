/* The transforms of one Winograd tile F(MxM, 3x3), one function an M: no model
 * specialises them, so they are compiled once a level, like the register tiles. All data 64-byte
 * aligned, sixteen channels a pixel. */
#ifndef EBRU_RUNTIME_KERNELS_TILE_WINOGRAD_TILE_H
#define EBRU_RUNTIME_KERNELS_TILE_WINOGRAD_TILE_H

#include "runtime/kernels/vector/vec.h"

/* Along one axis, M = 2: B^T d and A^T s. */
INLINE void input2(const v16 d[4], v16 t[4]) {
    t[0] = d[2] - d[0];
    t[1] = d[1] + d[2];
    t[2] = d[2] - d[1];
    t[3] = d[3] - d[1];
}

INLINE void output2(const v16 s[4], v16 y[2]) {
    y[0] = s[0] + s[1] + s[2];
    y[1] = s[1] - s[2] + s[3];
}

/* B^T d B: the (M+2)^2 pixels at d, rows `row` floats apart, to (M+2)^2 points `point` floats
 * apart. */
void EBRU_NAME(ebru_winograd_input_2)(const float *d, int64_t row, float *v, int64_t point);
void EBRU_NAME(ebru_winograd_input_4)(const float *d, int64_t row, float *v, int64_t point);
/* A^T s A: the points at s to M rows of M pixels, y[M][M][16]. */
void EBRU_NAME(ebru_winograd_output_2)(const float *s, int64_t point, float *y);
void EBRU_NAME(ebru_winograd_output_4)(const float *s, int64_t point, float *y);

#endif
