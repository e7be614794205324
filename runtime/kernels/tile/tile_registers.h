/* AMX's matrix registers: 0 to 7 of up to 16 rows of 64 bytes. Intel's Software Developer's Manual,
 * volume 1, on AMX. */
#ifndef EBRU_KERNELS_TILE_REGISTERS_H
#define EBRU_KERNELS_TILE_REGISTERS_H

#include "runtime/kernels/vector/vec.h"

#if defined(__AMX_TILE__)
/* From here to tile_registers_end each register has the rows that are named for it. */
INLINE void tile_registers_begin(uint8_t r0, uint8_t r1, uint8_t r2, uint8_t r3, uint8_t r4,
                                 uint8_t r5, uint8_t r6, uint8_t r7) {
    /* palette 1; bytes a row from byte 16 on, rows from byte 48 on */
    struct {
        uint8_t palette, start_row, zero[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config __attribute__((aligned(64))) = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
        .rows = {r0, r1, r2, r3, r4, r5, r6, r7},
    };
    __builtin_ia32_tile_loadconfig(&config);
}
INLINE void tile_registers_end(void) {
    __builtin_ia32_tilerelease();
}
#endif

#endif
