/* The command line of an emitted program: one table for base/options.h gives parsing, --help and
 * suggestions. */
#ifndef EBRU_RUNTIME_CLI_OPTIONS_H
#define EBRU_RUNTIME_CLI_OPTIONS_H

#include "base/lora_slots.h"
#include "base/options.h"
#include "runtime/cli/progress.h"
#include "runtime/engine/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { RT_OPTION_ROWS_MAX = 64, RT_OPTION_CONTROLS_MAX = 8 };

/* What an option needs to do anything (column NEEDS of the table); all bits must hold. */
enum {
    RT_NEEDS_NOTHING = 0,
    /* other options */
    RT_NEEDS_PAINTING = 1u << 0, /* neither --bench nor --call */
    RT_NEEDS_BENCH = 1u << 1,
    RT_NEEDS_CALL = 1u << 2,
    RT_NEEDS_PROFILE = 1u << 3,
    RT_NEEDS_CPU_LEVEL = 1u << 4,
    RT_NEEDS_INIT = 1u << 5,
    /* the model */
    RT_NEEDS_PROMPT = 1u << 6,
    RT_NEEDS_CLASSES = 1u << 7,
    RT_NEEDS_PICTURES = 1u << 8,
    RT_NEEDS_MASKS = 1u << 9,
    RT_NEEDS_DEPTH = 1u << 10,
    RT_NEEDS_SMALL = 1u << 11,    /* a picture that is painted larger */
    RT_NEEDS_STRENGTH = 1u << 12, /* a picture that is painted anew */
    RT_NEEDS_GUIDANCE = 1u << 13, /* of any kind */
    RT_NEEDS_PAIR = 1u << 14,     /* guidance by an unconditional half */
    /* without these the option is told, not refused: of the model, then of the run's settings */
    RT_NEEDS_NEGATIVE = 1u << 18, /* an unconditional half that a negative prompt is read for */
    RT_NEEDS_GUIDED = 1u << 15,   /* a guidance above 1 */
    RT_NEEDS_ETA = 1u << 16,      /* a sampler that reads it */
    RT_NEEDS_NO_BENCH = 1u << 17,
    RT_OPTION_REPEATS = 1u << 19,   /* no need: each time it is given counts */
    RT_NEEDS_CONTROLS = 1u << 20,   /* of the model: networks that a picture controls */
    RT_NEEDS_CONTROL = 1u << 21,    /* such a picture */
    RT_NEEDS_GUESSING = 1u << 22,   /* of these networks one that runs at every step */
    RT_NEEDS_REFERENCES = 1u << 23, /* of the model: it looks at pictures beside the prompt */
    RT_NEEDS_LOOP = 1u << 24,       /* a model that paints; others only enlarge */
    RT_NEEDS_UPSCALER = 1u << 25    /* an upscaler behind what paints */
};

/* --control FILE[:SCALE[:START:STOP]] */
typedef struct rt_control_option {
    char *file;
    bool scaled; /* else the model's scale */
    double scale, start, stop;
    bool canny; /* its edges are the control picture, by these thresholds */
    double low, high;
} rt_control_option;

typedef struct rt_options {
    const char **prompts; /* in the order given; "@file" and "-" not yet read */
    int prompt_count;
    const char **references; /* FILE[:SCALE], in the order given */
    int reference_count;
    const char *negative;               /* NULL: none given; "@file" and "-" not yet read */
    const char *loras[BASE_LORA_SLOTS]; /* NAME[:SCALE] */
    int lora_count;
    const char *output; /* NULL: output.png, never overwriting */
    int steps;          /* 0: the model's */
    double cfg_scale;   /* negative: the model's */
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
    rt_control_option controls[RT_OPTION_CONTROLS_MAX];
    int control_count;
    /* --control-canny before the first --control */
    bool canny_first;
    double canny_low, canny_high;
    bool guess_mode;
    double strength;         /* negative: the model's; else 0..1 */
    double guidance_rescale; /* 0..1 */
    int noise_level;         /* negative: the model's */
    const char *profile;
    /* calls of a function that the trace holds op by op; 0: 2, or all of --bench */
    int profile_steps;
    const char *cpu_level; /* NULL, or a level not above the CPU's unless no_cpu_check */
    const char *call;      /* NULL, or a function to run on tensors from stdin */
    const char *dump_values;
    const char *bench_function;
    int bench_runs;
    int bench_partition; /* 0: cut for the threads there are */
    bool no_cpu_check, bench, bench_json, bench_cold, build_info, help, version, quiet, verbose,
        no_metadata, weights, no_upscale;
    rt_progress_mode progress;
    unsigned char given[RT_OPTION_ROWS_MAX]; /* how often each row of the table was; at most 255 */
} rt_options;

/* Parses argv. RT_ERR_USAGE with a sentence (and a suggestion for unknown options). */
rt_status rt_options_parse(rt_options *o, int argc, char **argv, rt_error *err);
void rt_options_free(rt_options *o);
/* The table, for the manual page and shells' completions. */
extern const base_option_table rt_option_table;
/* The option list of --help. */
void rt_options_print(FILE *out);

#endif
