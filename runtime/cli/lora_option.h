/* --lora NAME[:SCALE]: which slots of the program are on for this run. */
#ifndef EBRU_RUNTIME_CLI_LORA_OPTION_H
#define EBRU_RUNTIME_CLI_LORA_OPTION_H

#include "runtime/cli/options.h"
#include "runtime/engine/model.h"

/* RT_ERR_USAGE, with the program's slots, when a name is none of them, is given twice, a scale is no
 * finite number, or the program has no slots. */
rt_status rt_loras_check(const rt_options *o, const struct ebru_model *t, rt_error *err);
/* The scale of each slot, by options that were checked; 0 where nothing was said. */
void rt_loras_set(const rt_options *o, const struct ebru_model *t, float scale[BASE_LORA_SLOTS]);

#endif
