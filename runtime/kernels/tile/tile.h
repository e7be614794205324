/* The multiply: MR pixels by NB blocks of 16 columns in registers, over a reduction of taps x 16
 * channels.
 *
 *   sum[n][m][:] (+)= sum over (c-block, kh, kw, c) of a[m][..] * b[n][..][c][:]
 *
 * One function a (MR, NB) pair, shared by everything that multiplies in a module: shapes arrive in
 * the argument struct, only the unrolled inner step is code. Order "load B row, then for each m
 * broadcast and multiply over n" keeps the register allocator within MR*NB + NB + 1 registers at
 * the pairs the level lists; see tile_max_rows. */
#ifndef EBRU_RUNTIME_KERNELS_TILE_TILE_H
#define EBRU_RUNTIME_KERNELS_TILE_TILE_H

#include "runtime/abi/tiles.def"
#include "runtime/kernels/vector/vec.h"

struct tile {
    const float *const *a; /* MR pixel pointers at the first c-block, top left tap; */
    const float
        *line;      /* or the first of them, and the others follow 16 floats on each; else NULL */
    const float *b; /* packed weights of the first block at the first c-block */
    const float *next; /* weights to prefetch into L2, TILE_NEXT lines a tap */
    float *sum;        /* block n of pixel m at n * sum_step + m * sum_row */
    int64_t b_step;    /* floats from a block of 16 columns to the next */
    int64_t sum_step, sum_row;
    int64_t a_row, a_cb; /* floats added after a row of taps, and after all rows of a c-block */
    /* floats from a pixel to itself a c-block on; software prefetch brings it: the stride defeats
     * the hardware's */
    int64_t a_next;
    int32_t cbs, kh, kw;
    int32_t rest; /* reduction steps after the last whole tap */
    int32_t add;  /* 0: start from zero, 1: from sum */
};

/* Floats from the weights that are multiplied to those that software prefetch asks for: one tap, 16
 * rows. 0 where a tile reads a single stream, which the hardware follows by itself and the load
 * ports have no room to spare. */
#if defined(__AVX512F__)
#define TILE_AHEAD 256
#else
#define TILE_AHEAD 0
#endif
#define TILE_NEXT 8 /* cache lines of `next` a tap */

/* The register tiles of the level: TILE_PANELS(P) is P(NB, TILE_ROWS_MR) for each width NB, with MR
 * its most rows, and TILE_ROWS_MR(T, NB) is T(1, NB) T(2, NB) .. T(MR, NB). So for AVX-512, whose
 * list (tiles.def) is T(a, 1, 12) T(a, 2, 10) T(a, 3, 8) T(a, 4, 6),
 *
 *   TILE_PANELS(TILE_DECLARE_ALL)
 *     = TILE_DECLARE_ALL(1, TILE_ROWS_12) .. TILE_DECLARE_ALL(4, TILE_ROWS_6)
 *     = TILE_ROWS_12(TILE_DECLARE, 1) .. TILE_ROWS_6(TILE_DECLARE, 4)
 *     = TILE_DECLARE(1, 1) TILE_DECLARE(2, 1) .. TILE_DECLARE(12, 1) .. TILE_DECLARE(6, 4)
 *     = void ebru_tile_1x1(const struct tile *t); .. void ebru_tile_6x4(const struct tile *t); */
#if defined(__AVX512F__)
#define TILE_LIST EBRU_TILES_V4
#elif defined(__AVX2__)
#define TILE_LIST EBRU_TILES_V3
#elif defined(__aarch64__)
#define TILE_LIST EBRU_TILES_NEON
#else
#define TILE_LIST EBRU_TILES_V2
#endif
#define TILE_PANEL(P, nb, mr) P(nb, TILE_ROWS_##mr)
#define TILE_PANELS(P)        TILE_LIST(TILE_PANEL, P)
#define TILE_ROWS_2(T, n)     T(1, n) T(2, n)
#define TILE_ROWS_6(T, n)     TILE_ROWS_2(T, n) T(3, n) T(4, n) T(5, n) T(6, n)
#define TILE_ROWS_8(T, n)     TILE_ROWS_6(T, n) T(7, n) T(8, n)
#define TILE_ROWS_10(T, n)    TILE_ROWS_8(T, n) T(9, n) T(10, n)
#define TILE_ROWS_12(T, n)    TILE_ROWS_10(T, n) T(11, n) T(12, n)

/* Blocks of the widest tile, and the most rows of any, which the narrowest has. */
#define TILE_COUNT(a, nb, mr)    +1
#define TILE_IF_WIDTH(a, nb, mr) (a) == (nb) ? (mr):
enum { TILE_MAX_BLOCKS = 0 TILE_LIST(TILE_COUNT, 0), TILE_ROWS = TILE_LIST(TILE_IF_WIDTH, 1) 0 };
/* The most rows for nb blocks, 1 to TILE_MAX_BLOCKS. */
INLINE int32_t tile_max_rows(int32_t nb) {
    return TILE_LIST(TILE_IF_WIDTH, nb) 0;
}

/* clang-format off */
#define TILE_POINTERS(m, n) EBRU_NAME(ebru_tile_##m##x##n)
#define TILE_LINE(m, n)     EBRU_NAME(ebru_tile_line_##m##x##n)
#define TILE_DECLARE(m, n) \
    void TILE_POINTERS(m, n)(const struct tile *t); \
    void TILE_LINE(m, n)(const struct tile *t);
#define TILE_DECLARE_ALL(n, rows) rows(TILE_DECLARE, n)
TILE_PANELS(TILE_DECLARE_ALL)

/* Two switches, blocks outside: the block count is a constant after specialisation, the row count
 * need not be. */
#define TILE_CASE(m, n) \
    case m: \
        if (t->line) TILE_LINE(m, n)(t); else TILE_POINTERS(m, n)(t); \
        return;
#define TILE_SWITCH(n, rows) \
    case n: \
        switch (mr) { rows(TILE_CASE, n) default : __builtin_unreachable(); }
INLINE void tile_run(const struct tile *t, int32_t mr, int32_t nb) {
    switch (nb) {
        TILE_PANELS(TILE_SWITCH)
    default: __builtin_unreachable();
    }
}
/* clang-format on */

#endif
