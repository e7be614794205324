/* The text in a picture that says what made it, in the form that AUTOMATIC1111's web UI began and
 * galleries read: prompt, negative prompt, one line of settings. */
#ifndef EBRU_RUNTIME_CLI_PAINT_PAINT_PARAMETERS_H
#define EBRU_RUNTIME_CLI_PAINT_PAINT_PARAMETERS_H

#include "runtime/cli/options.h"
#include "runtime/engine/model.h"
#include "runtime/pipeline/pipeline.h"

/* Everything a picture depends on, but for the CPU level and the program's code. */
typedef struct rt_painting {
    const struct ebru_model *tables;
    const rt_options *options;
    const rt_pipeline_info *info;
    const rt_settings *settings;
    const rt_request *requests;
    const bool *flagged; /* of each request, by the safety checker; NULL: nobody looked */
    int count;
} rt_painting;

/* The text of picture `index`, or with --grid of all pictures: then every prompt or class has a
 * block of its own. malloc'ed; NULL without memory. */
char *rt_parameters(const rt_painting *p, int index);

#endif
