/* Runs emitted functions: thread pool, one arena, per-thread scratch, profile. */
#ifndef EBRU_RUNTIME_ENGINE_ENGINE_H
#define EBRU_RUNTIME_ENGINE_ENGINE_H

#include "runtime/engine/model.h"
#include "runtime/engine/shares.h"
#include "runtime/engine/threads.h"
#include "runtime/profile/profile.h"

#include <stdio.h>
#include <time.h>

typedef struct rt_engine {
    rt_model *model;
    rt_pool *pool;
    rt_shares shares;
    char *arena, *scratch;
    size_t arena_bytes, scratch_bytes; /* allocated; scratch is per thread */
    rt_profile *profile;               /* NULL: not profiling */
    int step;                          /* of the step function that runs (--check-finite), from 0 */
    FILE *values;                      /* NULL: not dumping values */
    /* sees every function's call when it is finished; NULL: nobody looks */
    void (*observe)(void *observer, int function, const struct ebru_call *call);
    void *observer;
    int function; /* the function that runs (for the profile) */
    /* the first function that runs says how long after `start` it does (standard error) */
    bool timed;
    struct timespec start; /* CLOCK_MONOTONIC */
} rt_engine;

/* Threads and memory for every function of the model. The arena is exactly as large as the tables
 * say. */
rt_status rt_engine_open(rt_engine *e, rt_model *m, int threads, rt_error *err);
void rt_engine_close(rt_engine *e);
/* From now on functions run as cut for `threads` (1 or more), whose shares the engine's threads do
 * one after another; 0: as cut for the engine's threads. */
void rt_engine_partition(rt_engine *e, int threads);

/* Runs a function. Buffers in table order, 64-byte aligned, as large as the tables say. */
void rt_engine_run(rt_engine *e, int function, const void *const *inputs, void *const *outputs);

/* A 64-byte aligned zeroed buffer, or NULL when there is no memory; freed with rt_buffer_free. */
void *rt_buffer(size_t bytes);
void rt_buffer_free(void *p);

/* values.c: what a function that has run was given, computed and gave, for --dump-values. */
void rt_values_write(FILE *f, const struct ebru_function_desc *fn, const struct ebru_call *call);

#endif
