/* The CPU levels as numbers, and what is so of each; levels.def has the rows. */
#ifndef EBRU_BASE_CPU_ISA_H
#define EBRU_BASE_CPU_ISA_H

#include "base/cpu/levels.def"

#include <stdint.h>

/* AArch64's are numbered below x86-64's, so that asking whether a level is at least one of x86-64
 * says no to them. */
enum {
    EBRU_ISA_NONE = -1,
#define BASE_ISA_ROW(a, ID, ...) EBRU_ISA_##ID,
    EBRU_LEVELS(BASE_ISA_ROW, BASE_ISA_ROW, 0) EBRU_ISA_COUNT
#undef BASE_ISA_ROW
};

/* How many levels an architecture has. */
#define BASE_ISA_ROW(a, ID, ...) +1
enum {
    EBRU_LEVEL_COUNT_aarch64 = 0 EBRU_LEVELS_aarch64(BASE_ISA_ROW, BASE_ISA_ROW, 0),
    EBRU_LEVEL_COUNT_x86_64 = 0 EBRU_LEVELS_x86_64(BASE_ISA_ROW, BASE_ISA_ROW, 0),
    EBRU_LEVEL_COUNT_HERE = 0 EBRU_LEVELS_HERE(BASE_ISA_ROW, BASE_ISA_ROW, 0)
};
#undef BASE_ISA_ROW

/* The level whose kernels without bf16 arithmetic run at `isa`, which may be itself. */
static inline int32_t base_isa_plain(int32_t isa) {
    switch (isa) {
#define BASE_ISA_ROW(a, ID, suffix, name, PLAIN, ...)                                              \
    case EBRU_ISA_##ID: return EBRU_ISA_##PLAIN;
        EBRU_LEVELS(BASE_ISA_ROW, BASE_ISA_ROW, 0)
#undef BASE_ISA_ROW
    default: return EBRU_ISA_NONE;
    }
}

/* Floats of a vector register. */
static inline int32_t base_isa_lanes(int32_t isa) {
    switch (isa) {
#define BASE_ISA_ROW(a, ID, suffix, name, PLAIN, plain, FORM, lanes, ...)                          \
    case EBRU_ISA_##ID: return lanes;
        EBRU_LEVELS(BASE_ISA_ROW, BASE_ISA_ROW, 0)
#undef BASE_ISA_ROW
    default: return 0;
    }
}

#endif
