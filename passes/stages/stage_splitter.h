/* The stage splitter: what split_stages and split_packing share. */
#ifndef EBRU_PASSES_STAGES_STAGE_SPLITTER_H
#define EBRU_PASSES_STAGES_STAGE_SPLITTER_H

#include "passes/passes.h"

/* Steps of a schedule that one call of a .schedule function computes, where its ops work row by
 * row: its timestep input and its outputs then have this many rows, while the .step function takes
 * one. */
enum { PASS_SCHEDULE_ROWS = 8 };

/* Splits every function of the module that has an input that changes every step; true when one was
 * split. `pass` stands in the report. First time (!again): whole networks, into functions
 * NAME.prompt, NAME.schedule and NAME.step. Again, after lay_out: functions NAME.step, extending
 * NAME.prompt; casts and transposes are work then, and nothing more leaves per schedule. */
bool pass_split_module(pass_context *c, ir_module *m, const char *pass, bool again);

/* split_rows.c: f rebuilt with PASS_SCHEDULE_ROWS rows of every input that changes with the
 * schedule, all of which have one. False when an op does not work row by row; then f is as it was.
 */
bool pass_widen_rows(ir_func *f);

#endif
