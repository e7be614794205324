/* What rounding the operands of each filter does to its own results and to the network's. */
#ifndef EBRU_DRIVER_QUANTIZE_MEASURE_H
#define EBRU_DRIVER_QUANTIZE_MEASURE_H

#include "driver/quantize/choose.h"
#include "driver/quantize/op_network.h"

/* A filter in all its uses in one network. What is made of several weights is one filter. */
typedef struct quant_filter {
    uint32_t network;
    BASE_VEC(uint32_t) weights;               /* indices into the weights of the module */
    BASE_VEC(uint32_t) uses;                  /* entries of the network that are run */
    const char *op;                           /* of the first use: "conv2d 3x3", "linear" */
    double signal, noise[IR_PRECISION_COUNT]; /* powers of its results, and of their errors */
    const char *reason[IR_PRECISION_COUNT];   /* why a class is not open; or NULL */
    quant_choice choice;
} quant_filter;

/* A network, and what was found of all of it. Powers relative to that of the result. */
typedef struct quant_result {
    const char *name;
    quant_network *network;
    double budget;     /* what its error may be */
    double floor;      /* of what has no filter (attention), as --precision=int8 computes it */
    double everywhere; /* with the lowest class for all filters: --precision=int8 without a file */
    double expected;   /* of the choice, by adding up */
    double chosen;     /* of the choice, measured */
    /* of all filters: in f32, as chosen, in the lowest class that is open to each */
    double cost_f32, cost_chosen, cost_everywhere;
} quant_result;

typedef struct quant_measurement {
    base_diag *d;
    const ir_module *module; /* with packed weights */
    quant_codes codes;
    BASE_VEC(quant_result) networks;
    BASE_VEC(quant_filter) filters;
    bool quiet;
} quant_measurement;

/* Finds the filters of the networks. */
void quant_find_filters(quant_measurement *q);
/* Runs the samples: in f32, and with each filter in its lower classes. Progress and an estimate of
 * what is left on standard error. False with diagnostics. */
bool quant_measure(quant_measurement *q);
/* Chooses for every network by itself, so that its result holds its budget, and measures
 * the choice. Where it misses the budget, a choice by a budget that is smaller by as much is tried.
 * False with diagnostics. */
bool quant_settle(quant_measurement *q);
void quant_measurement_free(quant_measurement *q);

#endif
