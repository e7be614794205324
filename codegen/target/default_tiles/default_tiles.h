/* The tiles a kernel gets where no tuning record says better: rules of thumb from shapes, cache
 * sizes and the CPU level. Tiles decide how fast a kernel is, never what it computes (but for
 * attention_bf16's KB). Needs the kernel ABI only, so that kernel tests of any architecture and
 * the benchmarks use the same tiles as the compiler.
 *
 * Every function fills the tile fields of a params struct whose other fields are set, those of
 * bf16 kernels `form` (a result of the level) too. `isa` is an EBRU_ISA_*; `l1` and `l2` are the
 * data caches of a core in bytes, 0: common values. The results are good, not optimal. */
#ifndef EBRU_CODEGEN_TARGET_DEFAULT_TILES_H
#define EBRU_CODEGEN_TARGET_DEFAULT_TILES_H

#include <stdbool.h>

#include "runtime/abi/kernel_abi.h"

enum { CG_COMMON_L1 = 32 << 10, CG_COMMON_L2 = 1 << 20 }; /* bytes, where nobody knows */

/* register_tile.c: the register tiles that the kernels of a level have (runtime/abi/tiles.def). The
 * most pixels (MR) of a tile in a panel of `blocks` blocks of 16 columns (NB, 1 or more): panels
 * wider than the widest tile are computed in several. */
int32_t cg_most_rows(int32_t isa, int32_t blocks);
int32_t cg_most_rows_bf16(int32_t isa, int32_t blocks);
int32_t cg_most_rows_i8(int32_t isa, int32_t blocks);
/* Blocks of the widest tile without bf16 arithmetic. */
int32_t cg_widest_tile(int32_t isa);

/* conv.c */
void cg_default_tiles_conv2d(struct ebru_conv2d_params *p, int32_t isa, int64_t l1, int64_t l2);
void cg_default_tiles_feed_forward(struct ebru_feed_forward_params *p, int32_t isa, int64_t l1,
                                   int64_t l2);
void cg_default_tiles_conv2d_winograd(struct ebru_conv2d_winograd_params *p, int32_t isa,
                                      int64_t l2);
/* bf16.c */
void cg_default_tiles_conv2d_bf16(struct ebru_conv2d_bf16_params *p, int32_t isa, int64_t l1,
                                  int64_t l2);
void cg_default_tiles_conv2d_winograd_bf16(struct ebru_conv2d_winograd_bf16_params *p, int32_t isa,
                                           int64_t l2);
void cg_default_tiles_feed_forward_bf16(struct ebru_feed_forward_bf16_params *p, int32_t isa,
                                        int64_t l1, int64_t l2);
/* i8.c */
void cg_default_tiles_conv2d_i8(struct ebru_conv2d_i8_params *p, int32_t isa, int64_t l2);
/* attention.c */
void cg_default_tiles_attention(struct ebru_attention_params *p, int64_t l2);
void cg_default_tiles_attention_bf16(struct ebru_attention_bf16_params *p, int32_t isa, int64_t l2);

/* Halves a convolution's task, images first, then rows or columns; false when it cannot be smaller.
 * For scratch: a task's input becomes smaller. For threads: tasks become more, and stay large enough
 * to be worth it. */
bool cg_halve_for_scratch(int32_t *tb, int32_t *th, int32_t *tw, int32_t mr);
bool cg_halve_for_threads(int32_t *tb, int32_t *th, int32_t *tw, int32_t mr);
/* Tiles and panels of a task of a Winograd convolution, about `most` tiles. Of few tasks the panels
 * are shared out, too, so that two or four threads get equal shares. */
void cg_share_winograd(int32_t tiles, int32_t most, int32_t panels, int32_t *tt, int32_t *pg);

#endif
