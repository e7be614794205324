/* Between the files of the reference evaluator: the arguments of ir_eval_NAME and the arithmetic
 * they share.
 *
 * ir_eval_NAME computes one node. Its operands are logical row-major f32 arrays whatever the
 * layouts say, and `out` is such an array too: allocated, zeroed, of the node's shape. Sums run in
 * binary64, functions are binary64's, each element of the result is rounded once. Operands and
 * attributes are those of a verified node. */
#ifndef EBRU_IR_EVAL_EVAL_H
#define EBRU_IR_EVAL_EVAL_H

#include "ir/ir.h"

typedef struct ir_eval_args {
    const ir_func *f;
    const ir_node *node;
    const ir_tensor *in[IR_MAX_OPERANDS]; /* NULL: absent operand */
} ir_eval_args;

#define OP(name, ...) void ir_eval_##name(const ir_eval_args *a, ir_tensor *out);
#include "ir/ops.def"
#undef OP

/* eval_ew.c: functions of one and two numbers. `op` is an elementwise op without attributes; y is
 * unused by unary ones. */
double ir_eval_scalar(ir_op op, double x, double y);
double ir_eval_act(ir_act act, double x);

/* eval_contract.c: products with a matrix x of K rows. x lies in panels of IR_PANEL columns,
 * [ceil(cols/IR_PANEL)][K][IR_PANEL], so that the innermost loop is short, of fixed length and
 * contiguous; columns past the last are zero. */
#define IR_PANEL 8
static inline int64_t ir_panel_index(int64_t k_count, int64_t k, int64_t col) {
    return (col / IR_PANEL * k_count + k) * IR_PANEL + col % IR_PANEL;
}
double *ir_panels_new(int64_t k_count, int64_t cols); /* zeroed; base_free */
/* y[j] = sum over k of w[k] * x(k, j), for j < cols */
void ir_panels_row(double *y, const double *w, const double *x, int64_t k_count, int64_t cols);

/* eval_precision.c: the same matrix, and rows to multiply it with, for products of a precision.
 * `all` are the values as they enter the products (of bf16x3 hi + lo), `hi` the upper parts (of
 * bf16x3; otherwise NULL). */
typedef struct ir_columns {
    ir_precision precision;
    int64_t k_count;
    double *all, *hi;
} ir_columns;
ir_columns ir_columns_new(ir_precision p, int64_t k_count,
                          int64_t cols); /* zeroed; ir_columns_free */
void ir_columns_free(ir_columns *c);
/* Element `at` (ir_panel_index): x, rounded to binary32 and then as the precision says; or parts
 * that are. */
void ir_columns_set(const ir_columns *c, int64_t at, double x);
void ir_columns_set_parts(const ir_columns *c, int64_t at, double hi, double lo);
/* x as the precision says: returns hi (f32: x as it is) and sets *lo, 0 but for bf16x3. */
double ir_eval_split(ir_precision p, double x, double *lo);
/* `count` numbers as the products take them; *hi are the upper parts (of bf16x3; untouched
 * otherwise). */
void ir_eval_lower(ir_precision p, double *x, double *hi, int64_t count);
/* y[j] = sum over k of (hi[k], lo[k]) times column j, for j < cols; lo is read for bf16x3 only. */
void ir_columns_row(double *y, const double *hi, const double *lo, const ir_columns *x,
                    int64_t cols);

/* eval_contract.c: what convolutions (operands x w bias x1 norm tbias residual) do before and after
 * their sums. Image b in binary64, [C][H][W]: x then x1, times scale plus shift of norm, pre_act.
 */
void ir_eval_conv_image(const ir_eval_args *a, ir_act pre_act, int64_t b, double *image);
/* + bias + tbias + residual, act: `count` pixels from `first` on of channel n of image b;
 * sum[count]. */
void ir_eval_conv_finish(const ir_eval_args *a, ir_act act, int64_t b, int64_t n, const double *sum,
                         int64_t first, int64_t count, ir_tensor *out);

/* eval_pack.c: a conv2d or linear weight in the order [N][C][kh][kw], N and C without padding; lo
 * is there where it is packed for bf16x3. A weight that is not packed is borrowed; others are
 * unpacked into `owned` (base_free; NULL if not). */
typedef struct ir_filter {
    const float *hi, *lo;
    float *owned;
} ir_filter;
ir_filter ir_eval_filter(const ir_tensor *w, int64_t n, int64_t c);
/* eval_pack.c: where element (row, k) lies in a head of keys or values packed for bf16: rows are
 * keys and k channels of keys, and the other way round of values. `rows` is the extent of that
 * axis, filled up. */
static inline int64_t ir_bf16_index(int64_t rows, int64_t row, int64_t k) {
    return (k / IR_BF16_BLOCK * rows + row) * IR_BF16_BLOCK + k % IR_BF16_BLOCK;
}

/* eval_norm.c: scale and shift of channel c of batch b from a result of group_stats; one row may
 * serve all batches. */
void ir_eval_stats(const ir_tensor *stats, int64_t b, int64_t c, double *scale, double *shift);

#endif
