/* Runs emitted functions: thread pool, one arena, per-thread scratch, profile. */
#ifndef EBRU_RUNTIME_ENGINE_H
#define EBRU_RUNTIME_ENGINE_H

#include "runtime/model.h"
#include "runtime/threads.h"

#include <stdio.h>
#include <time.h>

typedef struct rt_profile rt_profile;

typedef struct rt_engine {
    rt_model *model;
    rt_pool *pool;
    char *arena, *scratch;
    size_t arena_bytes, scratch_bytes; /* allocated; scratch is per thread */
    rt_profile *profile;               /* NULL: not profiling */
    int function;                      /* the function that runs (for the profile) */
    bool timed; /* the first function that runs says how long after `start` it does (standard error) */
    struct timespec start; /* CLOCK_MONOTONIC */
} rt_engine;

/* Threads and memory for every function of the model. The arena is exactly as large as the tables say. */
rt_status rt_engine_open(rt_engine *e, rt_model *m, int threads, rt_error *err);
void rt_engine_close(rt_engine *e);

/* Runs a function. Buffers in table order, 64-byte aligned, as large as the tables say. */
void rt_engine_run(rt_engine *e, int function, const void *const *inputs, void *const *outputs);

/* A 64-byte aligned zeroed buffer, or NULL when there is no memory; freed with rt_buffer_free. */
void *rt_buffer(size_t bytes);
void rt_buffer_free(void *p);

/* profile.c: what every thread did when, in Chrome's trace event format, and a table of the ops. */
rt_status rt_profile_new(rt_profile **out, int threads, rt_error *err);
void rt_profile_free(rt_profile *p);
void rt_profile_begin(rt_profile *p, int thread); /* a function begins on this thread */
void rt_profile_op(rt_profile *p, int thread, int function,
                   int32_t op);                  /* work up to and with `op` is done */
void rt_profile_wait(rt_profile *p, int thread); /* the barrier after it was passed */
rt_status rt_profile_write(const rt_profile *p, const struct ebru_model *t, const char *path, rt_error *err);
void rt_profile_table(const rt_profile *p, const struct ebru_model *t, double peak_gflops, FILE *out);

/* peak.c: GFLOP/s of an in-register loop on all threads of the pool, of what the program multiplies with at
 * this level: the unit for bf16 when the program has such kernels and the level such a unit, else FMA
 * (multiply and add where the level has no FMA). bf16x3 takes three of the products a multiply-add is counted
 * as. */
typedef struct rt_peak {
    const char *unit; /* "FMA", "AMX bf16" .. */
    double gflops;
} rt_peak;
rt_peak rt_peak_measure(rt_pool *pool, const struct ebru_model *t, const char *level);

#endif
