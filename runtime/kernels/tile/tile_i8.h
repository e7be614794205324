/* The multiply of 8-bit integers: quantized pixels by blocks of 16 columns, over a reduction of taps
 * x channels.
 *
 *   sum[n][m][:] = s[m] scale[n][:] (sum over (kh, kw, c) of a[m][..] * b[n][..][c][:]
 *                                    - z[m] total[n][:])
 *
 * Sums are 32-bit integers and exact: every way of computing them gives the same bits. a is read
 * where it lies, b is packed, [kh][kw][c-block of 64][16 c4][16 n][4] a block of columns; s and z
 * stand in the record of the window's first pixel. One function a (rows, blocks) pair, shared by
 * everything that multiplies in a module. A row is a pixel, or with matrix registers a row segment
 * of at most TILE_I8_SEGMENT of them, `a_step` apart; then the caller frames its calls in
 * tile_i8_shape and tile_i8_end. */
#ifndef EBRU_RUNTIME_KERNELS_TILE_TILE_I8_H
#define EBRU_RUNTIME_KERNELS_TILE_TILE_I8_H

#include "runtime/abi/tiles.def"
#include "runtime/kernels/tile/tile_registers.h"
#include "runtime/kernels/vector/vec.h"

struct tile_i8 {
    const uint8_t *const *a; /* a pointer a row, at the window's first pixel */
    const int8_t *b;         /* packed weights of the first block */
    const float *scale;      /* of the first block's columns */
    const float *total;      /* the sums of these columns */
    float *sum;              /* block n of row m at n * sum_step + m * 16 */
    int64_t b_step;          /* bytes from a block of 16 columns to the next */
    int64_t sum_step;
    int64_t a_step; /* bytes from a pixel of a row segment to the next */
    int64_t a_tap,
        a_row;      /* bytes from what was read of a pixel to the next tap; added after a row of
                             taps */
    int64_t b_tap;  /* bytes of a tap that no channel has */
    int32_t record; /* bytes from a pixel to its record */
    int32_t blocks; /* of TILE_I8_CHANNELS */
    int32_t kh, kw;
    struct tile_i8_rows {
        int32_t of[2];
    } pixels; /* of the row segments, 1 to 16 each */
};

/* The register tiles of the level, by the macros of tile.h's kind (see its example). */
#if defined(__AMX_INT8__)
#define TILE_I8_LIST EBRU_TILES_I8_V4_AMX
#elif defined(__AVX512F__)
#define TILE_I8_LIST EBRU_TILES_I8_V4
#elif defined(__AVX2__)
#define TILE_I8_LIST EBRU_TILES_I8_V3
#elif defined(__aarch64__)
#define TILE_I8_LIST EBRU_TILES_I8_NEON
#else
#define TILE_I8_LIST EBRU_TILES_I8_V2
#endif
#define TILE_I8_PANEL(P, nb, mr) P(nb, TILE_I8_ROWS_##mr)
#define TILE_I8_PANELS(P)        TILE_I8_LIST(TILE_I8_PANEL, P)
#define TILE_I8_ROWS_2(T, n)     T(1, n) T(2, n)
#define TILE_I8_ROWS_4(T, n)     TILE_I8_ROWS_2(T, n) T(3, n) T(4, n)
#define TILE_I8_ROWS_12(T, n)                                                                      \
    TILE_I8_ROWS_4(T, n)                                                                           \
    T(5, n) T(6, n) T(7, n) T(8, n) T(9, n) T(10, n) T(11, n) T(12, n)

/* Pixels a row, channels a step, blocks of the widest tile, the most rows of any. */
#if defined(__AMX_INT8__)
enum { TILE_I8_SEGMENT = 16, TILE_I8_CHANNELS = 64 };
#else
enum { TILE_I8_SEGMENT = 1, TILE_I8_CHANNELS = 16 };
#endif
#define TILE_I8_COUNT(a, nb, mr) +1
#define TILE_I8_FIRST(a, nb, mr) (nb) == 1 ? (mr):
enum {
    TILE_I8_BLOCKS = 0 TILE_I8_LIST(TILE_I8_COUNT, 0),
    TILE_I8_MOST_ROWS = TILE_I8_LIST(TILE_I8_FIRST, 0) 0
};

#define TILE_I8_DECLARE(m, n) void EBRU_NAME(ebru_tile_i8_##m##x##n)(const struct tile_i8 *t);
/* of all rows of a panel */
#define TILE_I8_DECLARE_ALL(n, rows) rows(TILE_I8_DECLARE, n)
TILE_I8_PANELS(TILE_I8_DECLARE_ALL)

#define TILE_I8_CASE(m, n)                                                                         \
    case m: EBRU_NAME(ebru_tile_i8_##m##x##n)(t); return;
#define TILE_I8_SWITCH(n, rows)                                                                    \
    case n:                                                                                        \
        switch (mr) { rows(TILE_I8_CASE, n) default : __builtin_unreachable(); }
/* mr <= TILE_I8_MOST_ROWS, nb <= TILE_I8_BLOCKS. */
INLINE void tile_i8_run(const struct tile_i8 *t, int32_t mr, int32_t nb) {
    switch (nb) {
        TILE_I8_PANELS(TILE_I8_SWITCH)
    default: __builtin_unreachable();
    }
}

/* Matrix registers for row segments of so many pixels, from here to the end; nothing elsewhere.
 * Registers: sums of row r, block n in 0..3 = 2r + n; rows in 4, 5; weights in 6, 7. */
INLINE void tile_i8_shape(struct tile_i8_rows pixels) {
#if defined(__AMX_INT8__)
    const uint8_t first = (uint8_t)pixels.of[0], second = (uint8_t)pixels.of[1];
    tile_registers_begin(first, first, second, second, first, second, 16, 16);
#else
    (void)pixels;
#endif
}
INLINE void tile_i8_end(void) {
#if defined(__AMX_INT8__)
    tile_registers_end();
#endif
}

#endif
