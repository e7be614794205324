/* What the command line of ebru says. Which option fills which field, and which command takes it,
 * is data: options.def. */
#ifndef EBRU_DRIVER_CLI_OPTIONS_H
#define EBRU_DRIVER_CLI_OPTIONS_H

#include "base/diag.h"
#include "base/lora_slots.h"
#include "frontend/frontend.h"
#include "ir/ir.h"

enum {
    DRV_COMPILE = 1,
    DRV_OPT = 2,
    DRV_VERIFY = 4,
    DRV_INSPECT = 8,
    DRV_BENCH = 16,
    DRV_DIFF = 32,
    DRV_REPORT = 64,
    DRV_REDUCE = 128,
    DRV_TUNE = 256,
    DRV_BISECT = 512,
    DRV_QUANTIZE = 1024,
    DRV_NO_COMMAND = 1 << 13, /* ebru MODEL -o X: compile, and --version */
    DRV_COMPLETION = 1 << 14,
    DRV_HELP = 1 << 15
};

#define DRV_MAX_OPTIONS    128 /* rows of options.def */
#define DRV_MAX_DISABLED   64
#define DRV_MAX_KNOBS      64
#define DRV_MAX_LORAS      64
#define DRV_MAX_EMBEDDINGS 64
#define DRV_MAX_CONTROLS   8

/* Where messages and results go. Every command has these. */
typedef struct drv_common_options {
    const char *output, *error_format, *color;
    int64_t error_limit;
    bool json, quiet, verbose, help, version;
} drv_common_options;

/* What a model is loaded as. */
typedef struct drv_load_options {
    const char *component, *function, *prediction, *sampler, *scheduler_config, *unet;
    const char *vae, *text_encoder, *text_encoder_2; /* folders */
    const char *size;                                /* WxH; NULL: the model's */
    int64_t width, height;
    int64_t batch, clip_skip, prompt_chunks;
    bool no_image_input;
    fe_lora loras[DRV_MAX_LORAS];
    uint32_t lora_count;
    fe_lora_slot slots[BASE_LORA_SLOTS];
    uint32_t slot_count;
    const char *embeddings[DRV_MAX_EMBEDDINGS];
    uint32_t embedding_count;
    const char *controlnets[DRV_MAX_CONTROLS], *adapters[DRV_MAX_CONTROLS];
    uint32_t controlnet_count, adapter_count;
    fe_ip_adapter ip_adapters[FE_MAX_IP_ADAPTERS];
    uint32_t ip_adapter_count;
    int64_t ip_images;
    const char *image_encoder, *upscaler, *safety;
    bool random_weights; /* --weights=random:SEED */
    uint64_t random_seed;
    /* --default-...: of the program's options; below 0 and 0 (steps): not given */
    int64_t default_steps, default_noise_level;
    double default_guidance, default_strength;
} drv_load_options;

/* Which passes run, and what is seen of them. */
typedef struct drv_pass_choice {
    const char *list, *stop_after, *start_after, *fault, *plan;
    const char *disabled[DRV_MAX_DISABLED];
    uint32_t disabled_count;
    const char *knobs[DRV_MAX_KNOBS];
    uint32_t knob_count;
    int64_t bisect_limit;
    const char *print_before, *print_after, *filter, *dump_dir;
    bool print_changed, no_loc, verify_each, time_passes;
} drv_pass_choice;

/* What code is made for, and what of it. */
typedef struct drv_code_options {
    const char *emit, *target, *cpu, *tuning, *linker;
    const char *precision, *quantization;
    ir_precision products; /* --precision=, looked up */
    int64_t opt_level;
    int placement; /* of weights: cg_weights, -1 by size */
    bool poison, check_finite, no_pictures;
} drv_code_options;

/* What is shown of the compiler and of what it made. */
typedef struct drv_show_options {
    bool list_passes, list_ops, list_properties, list_cpu_levels, fusion_report, fusion_json,
        analyze;
    const char *analyze_depth, *metafile;
    int64_t depth; /* --analyze=, read: levels below the function */
} drv_show_options;

/* How a compiled program is run: verify, bench, reduce, tune. */
typedef struct drv_run_options {
    int64_t threads, runs, partition;
    const char *emulator, *op, *set;
} drv_run_options;

/* What is held against what: verify, reduce. */
typedef struct drv_verify_options {
    const char *io, *write, *tolerance;
    bool evaluator, layers, layers_passes, layers_kernels, all;
} drv_verify_options;

typedef struct drv_report_options {
    const char *by, *sort;
} drv_report_options;

typedef struct drv_reduce_options {
    const char *test;
} drv_reduce_options;

typedef struct drv_tune_options {
    int64_t budget;
    bool again, check, keep_bits;
} drv_tune_options;

typedef struct drv_quantize_options {
    const char *prompts; /* a file; NULL: ones that ebru has */
    double budget;       /* dB; 0: the default */
    int64_t samples;     /* 0: by the size of the model */
} drv_quantize_options;

typedef struct drv_manual_options {
    bool man, man_program;
} drv_manual_options;

/* A command line. A command reads the groups that hold its options, and sees the rest as zero. */
typedef struct drv_options {
    unsigned command; /* DRV_* */
    const char *model, *second, *third;
    uint32_t operands; /* how many of these three there are */
    drv_common_options common;
    drv_load_options load;
    drv_pass_choice passes;
    drv_code_options code;
    drv_show_options show;
    drv_run_options run;
    drv_verify_options verify;
    drv_reduce_options reduce;
    drv_report_options report;
    drv_tune_options tune;
    drv_quantize_options quantize;
    drv_manual_options manual;
    unsigned char given[DRV_MAX_OPTIONS]; /* how often each row of options.def was; at most 255 */
} drv_options;

/* Fills o from the command line. 0, or DRV_USAGE after a message on stderr. *done: help or version
 * was printed. */
int drv_parse(drv_options *o, int argc, char **argv, bool *done);
/* Diagnostics on stderr in the form the command line asks for. */
base_diag *drv_diag(const drv_common_options *o);
/* Of an option with a value the last counts, which is told. */
void drv_tell_repeated(base_diag *d, const drv_options *o);

#endif
