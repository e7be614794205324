/* A trace that an emitted program wrote with --profile (docs/inspecting.md, "Profiles"). It is
 * input from outside: whatever the file holds, it is read as described here or refused with located
 * diagnostics. */
#ifndef EBRU_DRIVER_REPORT_TRACE_H
#define EBRU_DRIVER_REPORT_TRACE_H

#include "ir/ir.h"

typedef enum drv_trace_kind {
    DRV_TRACE_RUN,
    DRV_TRACE_PHASE,
    DRV_TRACE_STEP,
    DRV_TRACE_FUNCTION,
    DRV_TRACE_OP,
    DRV_TRACE_WAIT,
    DRV_TRACE_HOST,
    DRV_TRACE_KINDS
} drv_trace_kind;
extern const char *const drv_trace_kind_name[DRV_TRACE_KINDS]; /* "run" ...: the format's `cat` */

/* An op of a function of the program, and the sums of all its calls that count. */
typedef struct drv_trace_op {
    const char *op, *kernel, *block, *result;
    uint32_t node; /* %41: its number in the text of the placed module */
    double flops;  /* of one call, on all threads together */
    double roof;   /* GFLOP/s of its kernel's products; 0: not measured */
    uint64_t bytes, weight_bytes, calls;
    double *work_us, *wait_us;                /* [threads] */
    double min_us, median_us, p99_us, max_us; /* of one thread's part of a call */
} drv_trace_op;

typedef struct drv_trace_function {
    const char *name;
    int64_t batch;
    drv_trace_op *ops;
    uint32_t op_count;
} drv_trace_function;

#define DRV_TRACE_NONE UINT32_MAX

typedef struct drv_trace_event {
    drv_trace_kind kind;
    const char *name;
    int64_t begin, duration; /* nanoseconds; begin since the start of the run */
    uint32_t parent,
        depth; /* parent: index on the track; DRV_TRACE_NONE and 0 of the first, which is the run */
    uint32_t function, op; /* of functions, ops, and waits within a function; else DRV_TRACE_NONE */
    uint32_t call;         /* function: which call of it, from 1 */
    bool counts;           /* function: it is in the sums (no warm-up) */
} drv_trace_event;

typedef struct drv_trace_track {
    const char *name;
    drv_trace_event *events; /* by begin, parents first; they nest: none ends behind its parent */
    uint32_t count;
} drv_trace_track;

typedef struct drv_trace {
    const char *program, *model, *build, *ebru, *precision, *level, *unit;
    const char **options;
    uint32_t option_count;
    int64_t wall;              /* nanoseconds */
    int64_t cpu;               /* of all threads in functions; 0: the trace does not say */
    double peak_cores;         /* share of a core that the threads had at the peak; 1: likewise */
    double gflops, memory_gbs; /* measured roofs; 0: not measured */
    double f32_gflops;         /* of products in f32; of older traces, gflops */
    const char *i8_unit;       /* of products of 8-bit integers; "" where there are none */
    double i8_gflops;          /* 0 likewise */
    uint64_t dropped_events, detailed_calls;
    uint32_t threads, function_count;
    drv_trace_function *functions;
    drv_trace_track *tracks; /* [threads]; 0 is the main thread */
    base_arena *arena;       /* holds all of it */
} drv_trace;

/* NULL after reporting. */
drv_trace *drv_trace_read(base_diag *d, const char *path);
/* The same of text; `name` stands for the file in messages. */
drv_trace *drv_trace_parse(base_diag *d, const char *name, const char *text, size_t length);
void drv_trace_free(drv_trace *t); /* NULL is allowed */

/* Whether the trace is of that program: the id in the program's file (which is read, not run).
 * Reports. */
bool drv_trace_of_program(base_diag *d, const drv_trace *t, const char *trace_path,
                          const char *program_path);
/* Whether the ops of the trace are the nodes of that module at PLACED level (of the first CPU level
 * of the program). Reports the first that is not. */
bool drv_trace_of_module(base_diag *d, const drv_trace *t, const char *trace_path,
                         const ir_module *m);

/* What the threads did for all calls of an op that count, their mean: working, and waiting behind
 * it, in seconds. */
double drv_trace_work(const drv_trace *t, const drv_trace_op *op);
double drv_trace_wait(const drv_trace *t, const drv_trace_op *op);

#endif
