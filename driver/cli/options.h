/* What the command line of ebru says. Which option fills which field, and which command takes it,
 * is data: options.def. */
#ifndef EBRU_DRIVER_CLI_OPTIONS_H
#define EBRU_DRIVER_CLI_OPTIONS_H

#include "base/diag.h"
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
    DRV_NO_COMMAND = 1 << 13, /* ebru MODEL -o X: compile, and --version */
    DRV_COMPLETION = 1 << 14,
    DRV_HELP = 1 << 15
};

#define DRV_MAX_DISABLED 64
#define DRV_MAX_LORAS    64

typedef struct drv_options {
    unsigned command;  /* DRV_* */
    uint32_t operands; /* model, second and third: how many there are */
    const char *model;
    const char *output, *emit, *target, *cpu, *precision, *size, *component, *function, *passes,
        *stop_after, *start_after, *print_after, *dump_dir, *plan, *linker, *emulator, *io, *write,
        *tolerance, *error_format, *color, *prediction, *op, *tuning;
    const char *second, *third; /* of commands with several operands */
    const char *print_before, *filter, *analyze_depth, *metafile, *fault, *test;
    const char *disabled[DRV_MAX_DISABLED];
    uint32_t disabled_count;
    fe_lora loras[DRV_MAX_LORAS];
    uint32_t lora_count;
    int64_t batch, threads, budget, runs, bisect_limit, error_limit, opt_level, clip_skip,
        prompt_chunks;
    bool print_changed, verify_each, time_passes, list_passes, list_ops, list_cpu_levels,
        fusion_report, fusion_json, analyze, poison, check_finite, evaluator, layers, layers_passes,
        layers_kernels, all, json, verbose, quiet, help, no_image_input, keep_bits, again, check,
        man, man_program, version;
    /* digested */
    ir_precision products; /* --precision= */
    int64_t width, height;
    bool random_weights;
    uint64_t random_seed;
    int64_t depth; /* --analyze[=DEPTH]: levels below the function */
    int placement; /* cg_weights, -1 = by size */
} drv_options;

/* Fills o from the command line. 0, or DRV_USAGE after a message on stderr. *done: help or version
 * was printed. */
int drv_parse(drv_options *o, int argc, char **argv, bool *done);
/* Diagnostics on stderr in the form the command line asks for. */
base_diag *drv_diag(const drv_options *o);

#endif
