/* A fixed pool for SPMD code: every thread runs the same function, barriers order its parts. */
#ifndef EBRU_RUNTIME_ENGINE_THREADS_H
#define EBRU_RUNTIME_ENGINE_THREADS_H

#include "runtime/engine/status.h"

#include <stddef.h>
#include <stdint.h>

#define RT_MAX_THREADS 1024

typedef struct rt_pool rt_pool;
typedef void rt_task(void *arg, int tid, int nthreads);

/* 1..RT_MAX_THREADS threads including the caller. Workers run with the default floating-point
 * environment (round to nearest, no flush to zero), so results do not depend on the thread.
 * RT_ERR_SYSTEM if threads cannot start. */
rt_status rt_pool_new(rt_pool **out, int nthreads, rt_error *err);
void rt_pool_free(rt_pool *pool); /* NULL is allowed */
int rt_pool_size(const rt_pool *pool);

/* Runs fn(arg, tid, nthreads) once on every thread, the caller being tid 0; returns when all have
 * returned. Not reentrant. */
void rt_pool_run(rt_pool *pool, rt_task *fn, void *arg);
/* To be called by every thread inside rt_pool_run, with its tid. */
void rt_pool_barrier(rt_pool *pool, int tid);

/* Where the default thread count comes from; -1 = unknown or unlimited. */
typedef struct rt_thread_limits {
    int affinity;       /* CPUs this process may run on */
    double cgroup;      /* CPU quota of its cgroup and those above, in CPUs */
    int physical_cores; /* among those it may run on, as far as known */
} rt_thread_limits;

/* min(affinity, floor(cgroup) but at least 1, physical cores), at least 1. `reason` (may be NULL)
 * receives a sentence: "2 threads: 4 CPUs allowed, cgroup limit 2.50, 8 physical cores". */
int rt_threads_default(char *reason, size_t size);
rt_thread_limits rt_thread_limits_now(void);
int rt_threads_choose(const rt_thread_limits *limits, char *reason, size_t size);

/* CPU quota for a process: `proc_cgroup` is the path of a /proc/PID/cgroup file, `mount` of /sys/fs/cgroup
 * (cgroup v2, or v1 with its cpu or cpu,cpuacct directory). The smallest quota from its group up to the root;
 * -1 if none. Hostile contents: -1. */
double rt_cgroup_cpu_limit(const char *proc_cgroup, const char *mount);

#endif
