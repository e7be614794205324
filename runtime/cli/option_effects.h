/* Whether what was given on the command line does anything: for this mode of the program, this
 * model and these settings. Nothing that was asked for is dropped without a word. */
#ifndef EBRU_RUNTIME_CLI_OPTION_EFFECTS_H
#define EBRU_RUNTIME_CLI_OPTION_EFFECTS_H

#include "runtime/cli/options.h"
#include "runtime/pipeline/pipeline.h"

/* What options are held against. */
typedef struct rt_option_context {
    const rt_options *options;
    const rt_pipeline_info *info; /* NULL: the model is not known yet */
    double guidance;              /* of the run; read with `info` only, as is the next */
    rt_sampler_id sampler;
} rt_option_context;

/* Why the option of this row of rt_option_table does nothing, as what follows its name in a
 * sentence; NULL when it does something, or when nothing can be said without the model. *refused:
 * no settings of the run could change that, so that the option is a mistake; else it is told. */
const char *rt_option_idle(size_t row, const rt_option_context *c, bool *refused);

/* Holds all options that were given against what they need. RT_ERR_USAGE names every one that is
 * refused. Otherwise those without effect are told on standard error (unless --quiet). Without a
 * model: also those of which only the last counts. */
rt_status rt_options_check(const rt_option_context *c, rt_error *err);

#endif
