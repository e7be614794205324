/* Which class of precision each filter of a network gets, so that the network is as fast as a
 * budget of error allows. */
#ifndef EBRU_DRIVER_QUANTIZE_CHOOSE_H
#define EBRU_DRIVER_QUANTIZE_CHOOSE_H

#include "ir/ir.h"

/* A filter to choose for. Arrays by class; those that are not open are not looked at. f32 always
 * is, and its error is 0. */
typedef struct quant_choice {
    bool open[IR_PRECISION_COUNT];
    double cost[IR_PRECISION_COUNT];  /* time, in any unit */
    double error[IR_PRECISION_COUNT]; /* power of the result's error relative to the result's own,
                                         when only this filter is so */
    ir_precision chosen;
} quant_choice;

/* Chooses, and returns the power of error that is expected: errors of different ops are
 * independent, so powers add. `floor` is what is there whatever is chosen, `budget` what the sum
 * may be. When the floor alone is above it, all filters get the class of the least error. */
double quant_choose(quant_choice *filters, size_t count, double floor, double budget);

/* A power ratio as dB of signal to noise, and back; no noise is infinite. */
double quant_dB(double power);
double quant_power(double dB);

#endif
