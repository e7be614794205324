/* What conv2d_winograd and conv2d_winograd_bf16 have in common:
 *
 *   Y = A^T [ sum over c of (G g G^T) . (B^T d B) ] A
 *
 * for each tile of M x M outputs, d its (M+2)^2 inputs (Winograd 1980; Lavin and Gray,
 * arXiv:1509.09308). The filters arrive transformed, G g G^T, one matrix of [C][N] a point; here
 *
 *  - band: the rows of inputs that neighbouring tiles read, prologue applied once, zeros outside
 *  - input: B^T d B of every tile of the task to scratch
 *  - multiply: for each panel of NB column blocks, for each point, the register tile with the tiles
 *    of the task as its rows, S[point][n-block][tile][16]
 *  - output: A^T s A, then bias, per-image bias, residual, activation, store
 *
 * Points 0, 1, -1, infinity for M = 2; 0, +-1/2, +-3/2, infinity for M = 4, whose rounding error is
 * the least of the common sets (rms 1.6 times that of the direct sum, where 0, +-1, +-2 has 4
 * times).
 *
 * In front of winograd_loop.h, which has the tasks, stand
 *   struct product    the operands of the multiply, with `struct wino w` in it
 *   product_task      gets ready for the tiles that w has
 *   product_tile      transforms tile t of the task: its inputs of c-block cb are at d, rows `row`
 *                     floats apart
 *   product_panel     S of the panel of blocks [n0, n0 + nb)
 *   product_output    A^T s A of a tile's sums, y[M][M][16] */
#ifndef EBRU_RUNTIME_KERNELS_WINOGRAD_H
#define EBRU_RUNTIME_KERNELS_WINOGRAD_H

#include "runtime/kernels/gather.h"
#include "runtime/kernels/tile/winograd_tile.h"
#include "runtime/kernels/vector/vmath.h"

struct wino {
    const struct ebru_conv2d_winograd_params *p;
    int32_t cbs, nbs, points, TY, TX;
    int32_t coarse; /* see gather.h */
    float *band, *s;
    int64_t s_point, s_block; /* floats of a point in s, and of a block of columns in that */
    int32_t q0, tiles;        /* the task's tiles */
};

INLINE struct wino wino_of(const struct ebru_conv2d_winograd_params *p, float *scratch) {
    struct wino w;
    w.p = p;
    w.cbs = ebru_blocks16(p->C0 + p->C1);
    w.nbs = ebru_blocks16(p->N);
    w.points = (p->M + 2) * (p->M + 2);
    w.TY = ebru_ceil_div(p->OH, p->M);
    w.TX = ebru_ceil_div(p->OW, p->M);
    w.coarse = 0;
    w.band = scratch;
    return w;
}

#endif
