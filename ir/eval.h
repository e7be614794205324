/* Between the files of the reference evaluator: the arguments of ir_eval_NAME and the arithmetic they share.
 *
 * ir_eval_NAME computes one node. Its operands are logical row-major f32 arrays whatever the layouts say, and
 * `out` is such an array too: allocated, zeroed, of the node's shape. Sums run in binary64, functions are
 * binary64's, each element of the result is rounded once. Operands and attributes are those of a verified
 * node. */
#ifndef EBRU_IR_EVAL_H
#define EBRU_IR_EVAL_H

#include "ir/ir.h"

typedef struct ir_eval_args {
    const ir_func *f;
    const ir_node *node;
    const ir_tensor *in[IR_MAX_OPERANDS]; /* NULL: absent operand */
} ir_eval_args;

#define OP(name, operands, attrs, levels, flags, summary)                                                    \
    void ir_eval_##name(const ir_eval_args *a, ir_tensor *out);
#include "ir/ops.def"
#undef OP

/* eval_ew.c: functions of one and two numbers. `op` is an elementwise op without attributes; y is unused by
 * unary ones. */
double ir_eval_scalar(ir_op op, double x, double y);
double ir_eval_act(ir_act act, double x);

/* eval_contract.c: products with a matrix x of K rows. x lies in panels of IR_PANEL columns,
 * [ceil(cols/IR_PANEL)][K][IR_PANEL], so that the innermost loop is short, of fixed length and contiguous;
 * columns past the last are zero. */
#define IR_PANEL 8
static inline int64_t ir_panel_index(int64_t k_count, int64_t k, int64_t col) {
    return (col / IR_PANEL * k_count + k) * IR_PANEL + col % IR_PANEL;
}
double *ir_panels_new(int64_t k_count, int64_t cols); /* zeroed; ir_free */
/* y[j] = sum over k of w[k] * x(k, j), for j < cols */
void ir_panels_row(double *y, const double *w, const double *x, int64_t k_count, int64_t cols);

/* eval_contract.c: what convolutions (operands x w bias x1 norm tbias residual) do before and after their sums.
 * Image b in binary64, [C][H][W]: x then x1, times scale plus shift of norm, pre_act. */
void ir_eval_conv_image(const ir_eval_args *a, ir_act pre_act, int64_t b, double *image);
/* + bias + tbias + residual, act: `count` pixels from `first` on of channel n of image b; sum[count]. */
void ir_eval_conv_finish(const ir_eval_args *a, ir_act act, int64_t b, int64_t n, const double *sum,
                         int64_t first, int64_t count, ir_tensor *out);

/* eval_pack.c: a conv2d or linear weight in the order [N][C][kh][kw], N and C without padding. A weight that
 * is not packed (rank other than 6) is returned as it is; otherwise the array is allocated and also stored in
 * *owned (ir_free; NULL if not). */
const float *ir_eval_plain_weight(const ir_tensor *w, int64_t n, int64_t c, float **owned);

/* eval_norm.c: scale and shift of channel c of batch b from a result of group_stats; one row may serve all
 * batches. */
void ir_eval_stats(const ir_tensor *stats, int64_t b, int64_t c, double *scale, double *shift);

#endif
