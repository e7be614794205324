/* How a kernel's work is cut into tasks for a number of threads: rules of thumb beside those of
 * default_tiles.h, from the kernel ABI only. A kernel's tiles are of two kinds. Some decide which
 * code runs and in which order (MR, NB, KC ...): constants of a program. The others, its cut, only
 * say which part of the result is a task: a program has several and takes one when it starts. A cut
 * changes no bit. */
#ifndef EBRU_CODEGEN_TARGET_DEFAULT_TILES_CUTS_H
#define EBRU_CODEGEN_TARGET_DEFAULT_TILES_CUTS_H

#include "runtime/abi/kernel_abi.h"

enum { CG_CUT_FIELDS = 4, CG_MOST_CUTS = 256 };

/* One way to cut, with what its tasks take: in multiply-adds of a vector of 16 lanes, roughly. */
typedef struct cg_cut {
    int32_t field[CG_CUT_FIELDS]; /* the cut's fields, in the order of EBRU_CUT_NAME */
    int32_t tasks;
    int32_t step; /* neighbours that share what they read; 1: none do */
    double task;  /* a task, without that */
    double again; /* what `step` tasks share */
} cg_cut;

/* The cut fields of each kernel that has some. */
#define EBRU_CUT_conv2d(F)               F(TB) F(TH) F(TW) F(PG)
#define EBRU_CUT_conv2d_bf16(F)          EBRU_CUT_conv2d(F)
#define EBRU_CUT_conv2d_i8(F)            EBRU_CUT_conv2d(F)
#define EBRU_CUT_conv2d_winograd(F)      F(TT) F(PG)
#define EBRU_CUT_conv2d_winograd_bf16(F) EBRU_CUT_conv2d_winograd(F)
#define EBRU_CUT_feed_forward(F)         F(TW)
#define EBRU_CUT_feed_forward_bf16(F)    F(TW)
#define EBRU_CUT_attention(F)            F(QB)
#define EBRU_CUT_attention_bf16(F)       F(QB)
#define EBRU_CUT_KERNELS(K)                                                                        \
    K(conv2d)                                                                                      \
    K(conv2d_bf16)                                                                                 \
    K(conv2d_i8)                                                                                   \
    K(conv2d_winograd)                                                                             \
    K(conv2d_winograd_bf16) K(feed_forward) K(feed_forward_bf16) K(attention) K(attention_bf16)

/* Ways to cut a kernel's work, the one of its params first; returns their number. */
#define CG_CUTS(name)                                                                              \
    int32_t cg_cuts_##name(const struct ebru_##name##_params *p, cg_cut list[CG_MOST_CUTS]);
EBRU_CUT_KERNELS(CG_CUTS)
#undef CG_CUTS

/* Tasks that share what they read; 1: none do. */
int32_t cg_step_conv2d(const struct ebru_conv2d_params *p);
int32_t cg_step_conv2d_bf16(const struct ebru_conv2d_bf16_params *p);
int32_t cg_step_conv2d_winograd(const struct ebru_conv2d_winograd_params *p);

/* Number of the way that takes least on so many threads. The first is left only for a clear gain:
 * it was chosen with caches in view, of which the others know little. */
int32_t cg_best_cut(const cg_cut *list, int32_t count, int32_t threads);
/* What the longest share of a cut takes. */
double cg_cut_time(const cg_cut *c, int32_t threads);

#endif
