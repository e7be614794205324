/* The choice is a knapsack with one class out of three for each filter. Greedy: all filters begin
 * with their fastest class; while the sum of errors is too large, the change is made that loses the
 * least time for each unit of error it removes; what is too much then is given back. It misses the
 * best choice by less than the time of one filter, as greedy does where one item is small beside
 * the whole. */
#include "driver/quantize/choose.h"

#include <math.h>

static const ir_precision classes[] = {IR_PRECISION_F32, IR_PRECISION_BF16, IR_PRECISION_INT8};
enum { CLASSES = sizeof classes / sizeof *classes };

double quant_dB(double power) {
    return power > 0 ? -10 * log10(power) : INFINITY;
}
double quant_power(double dB) {
    return pow(10, -dB / 10);
}

static bool is_open(const quant_choice *f, ir_precision p) {
    return p == IR_PRECISION_F32 || (f->open[p] && isfinite(f->error[p]));
}

static double error_of(const quant_choice *f, ir_precision p) {
    return p == IR_PRECISION_F32 ? 0 : f->error[p];
}

/* The fastest; among equally fast ones the one of least error. */
static void begin(quant_choice *f) {
    f->chosen = IR_PRECISION_F32;
    for (int k = 0; k < CLASSES; k++) {
        const ir_precision p = classes[k], c = f->chosen;
        if (!is_open(f, p)) continue;
        if (f->cost[p] < f->cost[c] ||
            (f->cost[p] <= f->cost[c] && error_of(f, p) < error_of(f, c)))
            f->chosen = p;
    }
}

/* Recomputed, so that differences of large numbers do not stay. */
static double sum(const quant_choice *filters, size_t count, double floor) {
    double total = floor;
    for (size_t i = 0; i < count; i++) total += error_of(&filters[i], filters[i].chosen);
    return total;
}

/* Makes the change that costs least for each unit of error it removes, of what is still to be
 * removed. False: no change removes any. */
static bool improve(quant_choice *filters, size_t count, double excess) {
    quant_choice *best = NULL;
    ir_precision to = IR_PRECISION_F32;
    double least = INFINITY;
    for (size_t i = 0; i < count; i++) {
        quant_choice *f = &filters[i];
        for (int k = 0; k < CLASSES; k++) {
            const ir_precision p = classes[k];
            const double removed =
                error_of(f, f->chosen) - (is_open(f, p) ? error_of(f, p) : INFINITY);
            if (!(removed > 0)) continue;
            const double price = (f->cost[p] - f->cost[f->chosen]) / fmin(removed, excess);
            if (best && price >= least) continue;
            best = f;
            to = p;
            least = price;
        }
    }
    if (best) best->chosen = to;
    return best != NULL;
}

/* Makes the change that saves most time within the budget. False: none does. */
static bool give_back(quant_choice *filters, size_t count, double left) {
    quant_choice *best = NULL;
    ir_precision to = IR_PRECISION_F32;
    double most = 0;
    for (size_t i = 0; i < count; i++) {
        quant_choice *f = &filters[i];
        for (int k = 0; k < CLASSES; k++) {
            const ir_precision p = classes[k];
            if (!is_open(f, p) || error_of(f, p) - error_of(f, f->chosen) > left) continue;
            const double saved = f->cost[f->chosen] - f->cost[p];
            if (saved <= most) continue;
            best = f;
            to = p;
            most = saved;
        }
    }
    if (best) best->chosen = to;
    return best != NULL;
}

double quant_choose(quant_choice *filters, size_t count, double floor, double budget) {
    for (size_t i = 0; i < count; i++) begin(&filters[i]);
    double total = sum(filters, count, floor);
    while (total > budget && improve(filters, count, total - budget))
        total = sum(filters, count, floor);
    while (total <= budget && give_back(filters, count, budget - total))
        total = sum(filters, count, floor);
    return total;
}
