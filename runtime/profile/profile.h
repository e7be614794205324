/* Who did what when: every thread notes its part of each op and its waiting at each barrier, the
 * main thread the phases of the run. Times are nanoseconds since the start of main(). Written as a
 * Chrome trace (profile_trace.c) and summed up as a table (profile_table.c). */
#ifndef EBRU_RUNTIME_PROFILE_PROFILE_H
#define EBRU_RUNTIME_PROFILE_PROFILE_H

#include "runtime/engine/model.h"
#include "runtime/engine/threads.h"

#include <stdio.h>
#include <time.h>

/* What an event is: the work of an op (its index), the wait at the barrier behind it (~index), or a
 * call of a function, whose events follow it; warm: one that does not count. */
enum { RT_PROFILE_CALL = INT32_MIN, RT_PROFILE_WARM };

/* Of an op under --partition: its tasks, all threads', and nanoseconds of CPU time that this
 * thread's shares took, and the longest of them; otherwise zeros. */
typedef struct rt_profile_part {
    int32_t tasks;
    int64_t cpu, longest;
} rt_profile_part;

typedef struct rt_profile_event {
    int64_t begin, end;
    int32_t function, op;
    rt_profile_part part;
} rt_profile_event;

typedef struct rt_profile_total {
    uint64_t calls;
    int64_t work, wait;
} rt_profile_total;

typedef struct rt_profile_track {
    _Alignas(64) rt_profile_event *events; /* by begin */
    uint32_t count, cap, call;             /* call: the event of the running one */
    int32_t function;                      /* that runs */
    bool lost;                             /* its events are not kept */
    int64_t open;                          /* when the work that is running began */
    int64_t cpu_open, cpu; /* the thread's CPU time when the call began, and in all calls */
    uint64_t dropped;
    rt_profile_total *totals; /* of every op, one function after another */
} rt_profile_track;

/* A phase of the run, or a step of the phase before it. */
typedef struct rt_profile_span {
    int64_t begin, end;
    bool step;
    char name[56];
} rt_profile_span;

typedef struct rt_profile {
    const struct ebru_model *model;
    int threads;
    struct timespec zero;
    int64_t wall;              /* once it has ended */
    bool warm;                 /* what runs now does not count */
    uint32_t *first, op_count; /* index of a function's first op among all */
    rt_profile_track *tracks;
    rt_profile_span *spans;
    uint32_t span_count, span_cap, phase; /* phase: the last one */
    uint64_t spans_dropped;
} rt_profile;

/* zero: the start of main(). A phase "start" is open. */
rt_status rt_profile_new(rt_profile **out, const struct ebru_model *model, int threads,
                         const struct timespec *zero, rt_error *err);
void rt_profile_free(rt_profile *p);

/* On the main thread, between calls of functions; p NULL: nothing happens. A phase ends the one
 * before, a step the one before it in the phase. */
void rt_profile_phase(rt_profile *p, const char *name);
void rt_profile_step(rt_profile *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void rt_profile_warm(rt_profile *p, bool on);
/* The end of the run. */
void rt_profile_stop(rt_profile *p);

/* On every thread: a function begins; its part of `op` is done; the barrier behind it was passed;
 * the function has ended. */
void rt_profile_begin(rt_profile *p, int thread, int function);
void rt_profile_op(rt_profile *p, int thread, int32_t op, rt_profile_part part);
void rt_profile_wait(rt_profile *p, int thread, int32_t op);
void rt_profile_end(rt_profile *p, int thread);

/* peak.c: GFLOP/s of in-register loops on all threads of the pool, of what the program multiplies
 * with at this level. */
typedef struct rt_peak {
    const char *unit; /* of floats: "AMX bf16" or "AVX-512 bf16", where the program has kernels of
                       * bf16 and the level a unit for them, else "FMA" or "multiply and add" */
    double gflops;
    double cores;        /* share of the best run that its threads had a core, 0 to 1 */
    double f32;          /* GFLOP/s of products in f32: gflops, where that is the unit */
    const char *i8_unit; /* of 8-bit integers; NULL where the program has no such kernels */
    double i8;           /* multiply-adds count twice here, too; 0 likewise */
    int32_t products;    /* of bf16 that a multiply-add takes: bf16x3 has three */
} rt_peak;
/* The GFLOP/s that bind a kernel: programs mix products of several kinds. */
double rt_peak_of(const rt_peak *peak, const char *kernel);
/* And a function: what it would reach if each of its ops reached its own. Of a function without
 * operations, `gflops`. */
double rt_peak_of_function(const rt_peak *peak, const struct ebru_function_desc *f);
/* Less of a core than this: another process computes, and rates say little of this one. The peak
 * is measured again and again then, for up to 40 runs. */
#define RT_CORES_ENOUGH 0.9
/* CPU time of all threads of the process. */
double rt_cpu_seconds(void);
rt_peak rt_peak_measure(rt_pool *pool, const struct ebru_model *t, const char *level);
/* peak_memory.c: GB/s of a[i] = b[i] + s * c[i] on all threads over arrays beyond the caches: 12
 * bytes an element, the line that a store fetches first not counted. 0 when there is no memory for
 * them. */
double rt_peak_memory(rt_pool *pool);

typedef struct rt_roofs {
    rt_peak peak;
    double memory_gbs;
} rt_roofs;

/* Least, median, 99th percentile and largest of what a group of ops took: parts of single threads
 * in nanoseconds, of the calls whose events were kept. */
typedef struct rt_profile_spread {
    int64_t least, median, p99, most;
} rt_profile_spread;
/* group[op_count] of every op, below `groups`; out[groups]. */
rt_status rt_profile_spreads(const rt_profile *p, const uint32_t *group, uint32_t groups,
                             rt_profile_spread *out, rt_error *err);
/* What all threads did for an op together: calls, and the sums of their nanoseconds. */
rt_profile_total rt_profile_sum(const rt_profile *p, uint32_t op);
uint64_t rt_profile_dropped(const rt_profile *p);
/* Nanoseconds of CPU time that all threads together had in the calls that count. Less than their
 * work took: another process had a core. */
int64_t rt_profile_cpu(const rt_profile *p);

/* What the trace says about the run. */
typedef struct rt_profile_about {
    const char *program, *level;
    int argc;
    char **argv;
    int calls; /* of each function are written op by op, the others as a whole */
    rt_roofs roofs;
} rt_profile_about;
rt_status rt_profile_write(const rt_profile *p, const rt_profile_about *about, const char *path,
                           rt_error *err);
rt_status rt_profile_table(const rt_profile *p, const rt_roofs *roofs, FILE *out, rt_error *err);

#endif
