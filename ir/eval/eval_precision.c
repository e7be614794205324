/* Evaluator: products whose operands are rounded to bf16 or split into two of them. A rounded
 * number is a double like any other, so that the same sums serve all precisions; their rounding is
 * all there is here. */
#include "ir/eval/eval.h"

#include <string.h>

uint16_t ir_bf16_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u); /* a NaN stays one */
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static double to_bf16(double x) {
    uint32_t bits = (uint32_t)ir_bf16_bits((float)x) << 16;
    float rounded;
    memcpy(&rounded, &bits, sizeof rounded);
    return (double)rounded;
}

double ir_eval_split(ir_precision p, double x, double *lo) {
    *lo = 0;
    if (p == IR_PRECISION_F32) return x;
    double hi = to_bf16(x);
    if (p == IR_PRECISION_BF16X3) *lo = to_bf16((double)(float)x - hi);
    return hi;
}

void ir_eval_lower(ir_precision p, double *x, double *hi, int64_t count) {
    for (int64_t i = 0; i < count && p != IR_PRECISION_F32; i++) {
        double lo, upper = ir_eval_split(p, x[i], &lo);
        x[i] = upper + lo;
        if (p == IR_PRECISION_BF16X3) hi[i] = upper;
    }
}

ir_columns ir_columns_new(ir_precision p, int64_t k_count, int64_t cols) {
    bool split = p == IR_PRECISION_BF16X3;
    return (ir_columns){.precision = p,
                        .k_count = k_count,
                        .all = ir_panels_new(k_count, cols),
                        .hi = split ? ir_panels_new(k_count, cols) : NULL};
}

void ir_columns_free(ir_columns *c) {
    base_free(c->all);
    base_free(c->hi);
}

void ir_columns_set_parts(const ir_columns *c, int64_t at, double hi, double lo) {
    c->all[at] = hi + lo; /* exact in binary64 */
    if (c->hi) c->hi[at] = hi;
}

void ir_columns_set(const ir_columns *c, int64_t at, double x) {
    double lo, hi = ir_eval_split(c->precision, x, &lo);
    ir_columns_set_parts(c, at, hi, lo);
}

/* hi (x.hi + x.lo) + lo x.hi is hi hi + hi lo + lo hi. */
void ir_columns_row(double *y, const double *hi, const double *lo, const ir_columns *x,
                    int64_t cols) {
    ir_panels_row(y, hi, x->all, x->k_count, cols);
    for (int64_t j = 0; x->hi && j < cols; j += IR_PANEL) {
        int64_t count = cols - j < IR_PANEL ? cols - j : IR_PANEL;
        double low[IR_PANEL];
        ir_panels_row(low, lo, x->hi + ir_panel_index(x->k_count, 0, j), x->k_count, count);
        for (int64_t i = 0; i < count; i++) y[j + i] += low[i];
    }
}
