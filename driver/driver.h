/* The ebru command line. The only folder that sees all others. Exit codes: 0 ok, 1 unusable input
 * or a failed check, 2 usage, 3 I/O, 4 CPU or target not supported, 70 internal error. */
#ifndef EBRU_DRIVER_DRIVER_H
#define EBRU_DRIVER_DRIVER_H

#include "base/output.h"
#include "codegen/codegen.h"
#include "codegen/target/tuning.h"
#include "frontend/files/files.h"
#include "frontend/frontend.h"
#include "ir/ir.h"
#include "passes/passes.h"

enum { DRV_OK = 0, DRV_INPUT = 1, DRV_USAGE = 2, DRV_IO = 3, DRV_CPU = 4, DRV_INTERNAL = 70 };
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

#define DRV_MAX_LEVELS   8
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
    bool print_changed, verify_each, time_passes, list_passes, list_ops, list_properties,
        list_cpu_levels, fusion_report, fusion_json, analyze, poison, check_finite, evaluator,
        layers, layers_passes, layers_kernels, all, json, verbose, quiet, help, no_image_input,
        keep_bits, again, check, man, man_program, version;
    /* digested */
    ir_precision products; /* --precision= */
    int64_t width, height;
    bool random_weights;
    uint64_t random_seed;
    int64_t depth; /* --analyze[=DEPTH]: levels below the function */
    int placement; /* cg_weights, -1 = by size */
} drv_options;

/* options.c: 0, or DRV_USAGE after a message on stderr. *done: help or version was printed. */
int drv_parse(drv_options *o, int argc, char **argv, bool *done);
base_diag *drv_diag(const drv_options *o);

/* tuning_file.c: the tuning records a compilation consults: the shipped ones and --tuning=FILE's, or for
 * -mcpu=native those of the cache folder; none with --tuning=none. False with diagnostics. */
typedef struct drv_tuning {
    cg_tuning *table; /* NULL: none are consulted */
    cg_tuning_log log;
    bool native;      /* code is for this machine */
    uint32_t threads; /* the program is expected to run on */
} drv_tuning;
bool drv_tuning_open(base_diag *d, const drv_options *o, drv_tuning *t);
void drv_tuning_close(drv_tuning *t);
/* `target` consulting them; `only`: the program has no other level. *owned: to be freed with
 * base_free, or NULL. It writes to t's log. */
const ir_target *drv_tuning_target(drv_tuning *t, const ir_target *target, bool only,
                                   ir_target **owned);

/* road.c: loading and lowering. */
typedef struct drv_build {
    drv_tuning tuning;
    ir_target *tuned[DRV_MAX_LEVELS]; /* targets of `levels` that consult it */
    cg_level levels[DRV_MAX_LEVELS];
    pass_context *contexts[DRV_MAX_LEVELS];
    uint32_t count;
} drv_build;
/* A module at the level it was found: the model, or IR text. NULL with diagnostics. */
ir_module *drv_load(base_diag *d, const drv_options *o, const fe_options *fe);
fe_options drv_fe_options(const drv_options *o);
bool drv_is_ir(const char *path);
/* IR text from a file or "-"; weights stay unbound. */
ir_module *drv_load_ir(base_diag *d, const char *path);
/* Runs the passes for every level asked for. `fe` as for drv_load. False with diagnostics. */
bool drv_lower(base_diag *d, const drv_options *o, const fe_options *fe, drv_build *b);
/* The same; `loaded` sees each level's module before its first pass. */
bool drv_lower_observed(base_diag *d, const drv_options *o, const fe_options *fe, drv_build *b,
                        void (*loaded)(void *user, const ir_module *m), void *user);
void drv_build_free(drv_build *b);
/* Emits a lowered model as a program (or what --emit says) to `output`. */
bool drv_emit(base_diag *d, const drv_options *o, drv_build *b, const char *output,
              cg_emit_kind kind, cg_result *result);
pass_options drv_pass_options(const drv_options *o);
/* Makes the folder of --dump-dir if it is not there. False with a diagnostic. */
bool drv_make_dump_dir(base_diag *d, const drv_options *o);

/* extract.c: node `op` ("%41", numbered as in the text form) of a module whose nodes are bound, as
 * a module of its own at KERNEL level, with one function @op; `function` names where it is, NULL:
 * the only one with such a node. *text receives its line. NULL with diagnostics. `m` must live
 * longer than the result. */
ir_module *drv_extract(base_diag *d, const ir_module *m, const char *function, const char *op,
                       base_str *text);

/* verify.c: the shapes of a file's in. tensors, for the front end; base_free. */
struct fe_st;
fe_shape *drv_io_shapes(const struct fe_st *st, uint32_t *count);

/* process.c: a program for one use: compiled into a fresh directory, removed by drv_temp_free (also
 * on signals). */
typedef struct drv_temp {
    base_temp_dir *dir;
    base_str program; /* its path */
} drv_temp;
bool drv_temp_new(base_diag *d, drv_temp *t);
void drv_temp_free(drv_temp *t);
/* Runs argv[0] with `input` on its standard input; *out (base_alloc'd) receives its standard
 * output, NULL `out`: it goes to ours. The child's exit code, or -1 with a diagnostic. */
int drv_run(base_diag *d, const char *const *argv, const void *input, size_t input_bytes,
            char **out, size_t *out_bytes);

/* The subcommands: exit code. */
int drv_compile(const drv_options *o);
int drv_opt(const drv_options *o);
int drv_verify(const drv_options *o);
int drv_layers(const drv_options *o); /* verify --layers */
int drv_reduce(const drv_options *o);
int drv_inspect(const drv_options *o);
int drv_bench(const drv_options *o);
int drv_diff(const drv_options *o);
int drv_report_run(const drv_options *o);
int drv_completion(const drv_options *o);
int drv_help(const drv_options *o);

/* inspect.c: the text of --build-info in a program's file, not terminated; NULL when there is none.
 */
const char *drv_build_info(const fe_map *map, size_t *length);
int drv_tune(const drv_options *o);

/* analyze.c, metafile.c, dot.c, ops.c. `depth`: levels shown below the function. */
void drv_analyze(const ir_module *m, uint32_t depth, base_str *out);
void drv_metafile(const ir_module *m, const pass_context *c, base_str *out);
/* fusion_report.c: what the passes decided, as text or as JSON. */
void drv_fusion_report(pass_context *c, bool json, base_str *out);
void drv_dot(const ir_module *m, base_str *out);
void drv_list_ops(base_str *out);
void drv_list_properties(base_str *out);
/* The CPU levels of the target as a table, appended to `out`; false with a diagnostic. */
bool drv_list_cpu_levels(base_diag *d, const drv_options *o, base_str *out);
/* Writes text to a path or "-" through a temporary file and rename. */
bool drv_write_text(base_diag *d, const char *path, const char *text, size_t length);

#endif
