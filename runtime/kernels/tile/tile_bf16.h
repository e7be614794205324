/* The multiply in bf16: rows of cells by blocks of 16 columns, over a reduction of taps x 32
 * channels.
 *
 *   sum[n][m][:] (+)= sum over (c-block, kh, kw, c) of a[m][..] * b[n][..][c][:]
 *
 * b is in VNNI layout, [c-block][kh][kw][parts][16 c2][16 n][2] a block of columns. One function a
 * (rows, blocks, parts) triple, shared by everything that multiplies in a module. A row is a pixel,
 * or with matrix registers a row segment of TILE_BF16_SEGMENT of them, `a_step` apart; then the
 * caller frames its calls in tile_bf16_begin and tile_bf16_end. */
#ifndef EBRU_RUNTIME_KERNELS_TILE_TILE_BF16_H
#define EBRU_RUNTIME_KERNELS_TILE_TILE_BF16_H

#include "runtime/abi/tiles.def"
#include "runtime/kernels/cell.h"
#include "runtime/kernels/tile/tile_registers.h"

struct tile_bf16 {
    const cell_t *const *a; /* a pointer a row, at the first c-block, top left tap */
    const uint16_t *b;      /* packed weights of the first block at the first c-block */
    const uint16_t *next;   /* weights to prefetch into L2, TILE_BF16_NEXT lines a tap and block */
    float *sum;             /* block n of pixel m at n * sum_step + m * 16 */
    /* bf16s that `next` goes on a block and tap; 0 when there is nothing to prefetch */
    int64_t next_step;
    int64_t b_step; /* bf16s from a block of 16 columns to the next */
    int64_t sum_step;
    int64_t a_row, a_cb; /* elements added after a row of taps, and after all rows of a c-block */
    int64_t a_step;      /* elements from a pixel of a row segment to the next */
    int64_t a_part;      /* elements from hi to lo, where they are apart */
    int32_t cbs, kh, kw;
    int32_t add;  /* 0: start from zero, 1: from sum */
    int32_t last; /* eighths of 32 channels that the last c-block has, see tile_bf16_last */
};

/* Groups of eight channels, 1 to 4, that the last c-block of `channels` has; the others are zero,
 * and levels that take pairs or single channels leave them out. */
INLINE int32_t tile_bf16_last(int32_t channels) {
    return (channels - 1) % CELL / 8 + 1;
}

/* Lines of `next` prefetched a tap and block. */
#if defined(__AMX_BF16__)
#define TILE_BF16_NEXT(parts) ((parts) == 2 ? 12 : 4)
#else
#define TILE_BF16_NEXT(parts) 4
#endif

/* The register tiles of the level, by the macros of tile.h's kind (see its example). */
#if defined(__AMX_BF16__)
#define TILE_BF16_LIST EBRU_TILES_BF16_V4_AMX
#elif defined(__AVX512BF16__)
#define TILE_BF16_LIST EBRU_TILES_BF16_V4_BF16
#elif defined(__AVX512F__)
#define TILE_BF16_LIST EBRU_TILES_BF16_V4
#elif defined(__AVX2__)
#define TILE_BF16_LIST EBRU_TILES_BF16_V3
#elif defined(CELL_OF_BF16)
#define TILE_BF16_LIST EBRU_TILES_BF16_NEON_BF16
#elif defined(__aarch64__)
#define TILE_BF16_LIST EBRU_TILES_BF16_NEON
#else
#define TILE_BF16_LIST EBRU_TILES_BF16_V2
#endif
#define TILE_BF16_PANEL(P, nb, mr) P(nb, TILE_BF16_ROWS_##mr)
#define TILE_BF16_PANELS(P)        TILE_BF16_LIST(TILE_BF16_PANEL, P)
#define TILE_BF16_ROWS_2(T, n)     T(1, n) T(2, n)
#define TILE_BF16_ROWS_5(T, n)     TILE_BF16_ROWS_2(T, n) T(3, n) T(4, n) T(5, n)
#define TILE_BF16_ROWS_6(T, n)     TILE_BF16_ROWS_5(T, n) T(6, n)
#define TILE_BF16_ROWS_12(T, n)                                                                    \
    TILE_BF16_ROWS_6(T, n) T(7, n) T(8, n) T(9, n) T(10, n) T(11, n) T(12, n)

/* Pixels a row, blocks of the widest tile, the most rows of any. */
#define TILE_BF16_COUNT(a, nb, mr) +1
#define TILE_BF16_FIRST(a, nb, mr) (nb) == 1 ? (mr):
enum {
    TILE_BF16_SEGMENT = CELL_FORM == EBRU_BF16_TILES ? 16 : 1,
    TILE_BF16_BLOCKS = 0 TILE_BF16_LIST(TILE_BF16_COUNT, 0),
    TILE_BF16_ROWS = TILE_BF16_LIST(TILE_BF16_FIRST, 0) 0
};

#define TILE_BF16_DECLARE(m, n)                                                                    \
    void EBRU_NAME(ebru_tile_bf16_##m##x##n)(const struct tile_bf16 *t);                           \
    void EBRU_NAME(ebru_tile_bf16x3_##m##x##n)(const struct tile_bf16 *t);
#define TILE_BF16_DECLARE_ALL(n, rows) rows(TILE_BF16_DECLARE, n)
TILE_BF16_PANELS(TILE_BF16_DECLARE_ALL)

#define TILE_BF16_CASE(m, n)                                                                       \
    case m:                                                                                        \
        if (parts == 2)                                                                            \
            EBRU_NAME(ebru_tile_bf16x3_##m##x##n)(t);                                              \
        else                                                                                       \
            EBRU_NAME(ebru_tile_bf16_##m##x##n)(t);                                                \
        return;
#define TILE_BF16_SWITCH(n, rows)                                                                  \
    case n:                                                                                        \
        switch (mr) { rows(TILE_BF16_CASE, n) default : __builtin_unreachable(); }
/* mr <= TILE_BF16_ROWS, nb <= TILE_BF16_BLOCKS. */
INLINE void tile_bf16_run(const struct tile_bf16 *t, int32_t mr, int32_t nb, int32_t parts) {
    switch (nb) {
        TILE_BF16_PANELS(TILE_BF16_SWITCH)
    default: __builtin_unreachable();
    }
}

/* Matrix registers of 16 rows of 64 bytes between begin and end; nothing elsewhere. */
INLINE void tile_bf16_begin(void) {
#if defined(__AMX_BF16__)
    tile_registers_begin(16, 16, 16, 16, 16, 16, 16, 16);
#endif
}
INLINE void tile_bf16_end(void) {
#if defined(__AMX_BF16__)
    tile_registers_end();
#endif
}

#endif
