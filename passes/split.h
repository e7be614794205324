/* The stage splitter: what split_stages and split_packing share. */
#ifndef EBRU_PASSES_SPLIT_H
#define EBRU_PASSES_SPLIT_H

#include "passes/passes.h"

/* Steps of a schedule that one call of a .schedule function computes, where its ops work row by row: its
 * timestep input and its outputs then have this many rows, while the .step function takes one. */
enum { PASS_SCHEDULE_ROWS = 8 };

typedef struct pass_split {
    pass_context *c;
    const char *pass; /* for the report */
    ir_func *f;       /* the function to be split; it has inputs that change every step */
    const char *base; /* name of the network: BASE.prompt, BASE.schedule, BASE.step */
    bool again;       /* after layout: casts and transposes are work, and nothing more leaves per schedule */
} pass_split;

/* Splits; false when nothing leaves the step, then the module is as it was. Functions BASE.prompt and
 * BASE.schedule that exist are extended (the function to be split takes their outputs as inputs of the same
 * name). */
bool pass_split_function(const pass_split *s);

/* split_rows.c: f rebuilt with PASS_SCHEDULE_ROWS rows of every input that changes with the schedule, all of
 * which have one. False when an op does not work row by row; then f is as it was. */
bool pass_widen_rows(ir_func *f);

#endif
