/* ebru tune: the kernels of a model, timed as native code with tiles to choose. */
#ifndef EBRU_DRIVER_TUNE_TUNE_H
#define EBRU_DRIVER_TUNE_TUNE_H

#include "base/system/clock.h"
#include "codegen/target/tiles.h"
#include "codegen/target/tuning.h"
#include "driver/cli/options.h"

/* A kernel key of the model: what is measured. */
typedef struct tune_kernel {
    const cg_kernel *kernel;
    char *key;                      /* cg_kernel_key */
    char *shape;                    /* for tables: "conv2d f32[1,320,64,64]" */
    bool overwrite;                 /* the result lies over the input */
    cg_params rules, best;          /* with the rules' tiles, with the best found */
    double rules_ns[2], best_ns[2]; /* least and median */
    double calls, tuned_calls;      /* in a picture, as lowered by the rules; by the records */
    double flops;                   /* of a call */
    uint32_t buf_count;             /* operands of the kernel, its result last */
    uint64_t bytes[CG_MAX_BUFS];    /* 0: absent */
    bool is_weight[CG_MAX_BUFS];
    uint32_t candidates; /* how many tiles were tried */
    bool known;          /* from a record; not measured now */
} tune_kernel;

typedef BASE_VEC(tune_kernel) tune_kernels;

/* tune_kernels.c: adds the keys of a lowered module that are not there yet; `counted`: their calls
 * count, as tuned_calls when `tuned`. A function that runs once a step counts as STEPS. */
enum { TUNE_STEPS = 20 };
void tune_collect(tune_kernels *all, const ir_module *m, bool counted, bool tuned);
void tune_kernels_free(tune_kernels *all);
tune_kernel *tune_find(const tune_kernels *all, const char *kernel, const char *key);

/* How often a function runs in a picture, roughly: shares of time are weighed with it. */
double tune_runs_of(const ir_func *f);

/* The model as the rules lower it, or the records. */
typedef struct tune_lowered {
    ir_module *module;
    uint64_t weights_bytes; /* packed */
} tune_lowered;
/* tune_table.c: prints what the records change in the model and what it comes to. */
void tune_print_table(const tune_kernels *all, const tune_lowered *rules, const tune_lowered *tuned,
                      const cg_machine *machine, double seconds);
/* The tiles of the best that are other than the rules'. */
void tune_choice(const tune_kernel *k, cg_record *r);

/* tune_timer.c: runs kernels on this machine's threads. */
typedef struct tune_timer tune_timer;
/* For code of `isa` (EBRU_ISA_*); `cache`: bytes of the last cache; `largest`: the most bytes of
 * weights of any kernel. NULL with diagnostics. */
tune_timer *tune_timer_new(base_diag *d, int32_t isa, int threads, uint64_t cache,
                           uint64_t largest);
void tune_timer_free(tune_timer *t);
/* Takes the operands of k; until the next call. False when there is no memory. */
bool tune_timer_load(tune_timer *t, const tune_kernel *k);
enum { TUNE_MOST_RUNS = 200 };
/* Times two sets of params of the loaded kernel in turns: ns[v][r], run r of set v; the same set
 * twice: one only. A run reads weights that were not read since they left the caches, and values
 * that the threads just wrote; it takes the time of its slowest thread, counted on the processor.
 */
void tune_time(tune_timer *t, const cg_params *const params[2], int runs,
               double ns[2][TUNE_MOST_RUNS]);
/* tune_search.c: looks for better tiles of the loaded kernel until `seconds` are over or all
 * neighbours are worse; sets k->best, k->best_ns, k->rules_ns. */
void tune_search(tune_timer *t, tune_kernel *k, int32_t isa, double seconds, bool keep_bits);
/* Least and median of the rules' tiles only, quickly. */
void tune_first_look(tune_timer *t, tune_kernel *k);
/* Whether tiles of the kernel change the order of its sums. */
bool tune_changes_bits(const char *kernel);

/* tune_check.c: compiles the model by the rules and by the records of a file, times both programs
 * in turns and prints their functions' times. False with diagnostics. */
bool tune_check(base_diag *d, const drv_options *o, const char *records);

#endif
