/* The command line of an emitted program: one table for base/options.h gives parsing, --help and
 * suggestions. */
#ifndef EBRU_RUNTIME_CLI_OPTIONS_H
#define EBRU_RUNTIME_CLI_OPTIONS_H

#include "base/options.h"
#include "runtime/cli/progress.h"
#include "runtime/engine/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct rt_options {
    const char **prompts; /* in the order given; "@file" and "-" not yet read */
    int prompt_count;
    const char *negative; /* NULL: none given */
    const char *output;   /* NULL: output.png, never overwriting */
    int steps;            /* 0: the model's */
    double cfg_scale;     /* negative: the model's */
    bool seed_random;
    uint64_t seed;
    int width, height;                     /* 0: as compiled */
    int threads;                           /* 0: what the machine allows */
    int count;                             /* pictures for each prompt or class */
    const char *sampler;                   /* NULL: the model's */
    double eta;                            /* negative: the model's */
    const char *classes;                   /* NULL, or a list "0,3,5-9" or names */
    int grid;                              /* 0: one file a picture; else columns of one picture */
    const char *init_image, *mask, *depth; /* PNG files, or NULL */
    double strength;                       /* negative: the model's; else 0..1 */
    double guidance_rescale;               /* 0..1 */
    int noise_level;                       /* negative: the model's */
    const char *profile;
    /* calls of a function that the trace holds op by op; 0: 2, or all of --bench */
    int profile_steps;
    const char *cpu_level; /* NULL, or a level not above the CPU's unless no_cpu_check */
    const char *call;      /* NULL, or a function to run on tensors from stdin */
    const char *dump_values;
    const char *bench_function;
    int bench_runs;
    bool no_cpu_check, bench, bench_json, bench_cold, build_info, help, version, quiet, verbose,
        no_metadata, weights;
    rt_progress_mode progress;
} rt_options;

/* Parses argv. RT_ERR_USAGE with a sentence (and a suggestion for unknown options). */
rt_status rt_options_parse(rt_options *o, int argc, char **argv, rt_error *err);
void rt_options_free(rt_options *o);
/* The table, for the manual page and shells' completions. */
extern const base_option_table rt_option_table;
/* The option list of --help. */
void rt_options_print(FILE *out);

#endif
