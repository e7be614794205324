/* The levels that the kernels' native builds of this architecture are for. */
#ifndef EBRU_TESTS_UNIT_KERNELS_KERNEL_LEVELS_H
#define EBRU_TESTS_UNIT_KERNELS_KERNEL_LEVELS_H

#include "base/cpu/levels.def"

/* X(a, ID, suffix, name, ..), columns of levels.def: the levels that kernels without bf16
 * arithmetic are compiled for, and those that kernels with it are. */
#define KT_F32_LEVELS(X, a)  EBRU_LEVELS_HERE(X, EBRU_NO_LEVEL, a)
#define KT_BF16_LEVELS(X, a) EBRU_LEVELS_HERE(X, X, a)

#define KT_ONE(a, ...) +1
enum { KT_F32_COUNT = 0 KT_F32_LEVELS(KT_ONE, 0), KT_BF16_COUNT = 0 KT_BF16_LEVELS(KT_ONE, 0) };

#endif
