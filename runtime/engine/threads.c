/* Fixed pool. Workers sleep in the barrier between runs: a run is the barrier that
 * hands out the task, the task, and the barrier that ends it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime/engine/threads.h"

#include "runtime/engine/barrier.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <fenv.h>
#endif

#define SPIN_SECONDS 60e-6
#define STACK_BYTES  ((size_t)8 << 20)

enum { STARTING, RUNNING, ABANDONED };

struct worker {
    rt_pool *pool;
    pthread_t thread;
    int tid;
};

struct rt_pool {
    rt_barrier barrier;
    _Atomic uint32_t phase; /* workers wait for all to be created */
    int size, created;
    rt_task *fn; /* NULL tells the workers to end */
    void *arg;
    struct worker *workers; /* [size - 1] */
};

/* Round to nearest, all exceptions masked, no flush to zero. Returns what was set before. */
#if defined(__x86_64__)
typedef unsigned fp_state;
static fp_state fp_default(void) {
    fp_state old = _mm_getcsr();
    _mm_setcsr(0x1f80);
    return old;
}
static void fp_restore(fp_state s) {
    _mm_setcsr(s);
}
#else
typedef fenv_t fp_state;
static fp_state fp_default(void) {
    fp_state old;
    fegetenv(&old);
    fesetenv(FE_DFL_ENV);
    return old;
}
static void fp_restore(fp_state s) {
    fesetenv(&s);
}
#endif

static void *work(void *arg) {
    const struct worker *w = arg;
    rt_pool *pool = w->pool;
    uint32_t phase;
    while ((phase = atomic_load(&pool->phase)) == STARTING) rt_futex_wait(&pool->phase, STARTING);
    if (phase == ABANDONED) return NULL;
    fp_default();
    for (;;) {
        rt_barrier_wait(&pool->barrier, (uint32_t)w->tid);
        if (!pool->fn) return NULL;
        pool->fn(pool->arg, w->tid, pool->size);
        rt_barrier_wait(&pool->barrier, (uint32_t)w->tid);
    }
}

/* Pauses that take about SPIN_SECONDS; a pause is 10 to 150 cycles, depending on the CPU. */
static uint32_t calibrate_spins(void) {
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < 500; i++) rt_pause();
    clock_gettime(CLOCK_MONOTONIC, &b);
    double seconds = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
    double spins = 500 * SPIN_SECONDS / (seconds > 1e-7 ? seconds : 1e-7);
    return spins > 50000 ? 50000 : spins < 50 ? 50 : (uint32_t)spins;
}

static void set_phase(rt_pool *pool, uint32_t phase) {
    atomic_store(&pool->phase, phase);
    rt_futex_wake_all(&pool->phase);
}

static int start_workers(rt_pool *pool) {
    pthread_attr_t attr;
    sigset_t all, old;
    int failed = pthread_attr_init(&attr);
    if (failed) return failed;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* a thread's own faults: weights that cannot be read, */
    sigdelset(&all, SIGILL); /* instructions that an emulator performs */
    pthread_sigmask(SIG_SETMASK, &all, &old); /* the rest is the main thread's */
    for (int i = 0; i < pool->size - 1 && !failed; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].tid = i + 1;
        failed = pthread_create(&pool->workers[i].thread, &attr, work, &pool->workers[i]);
        if (!failed) pool->created++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return failed;
}

static void free_pool(rt_pool *pool) {
    for (int i = 0; i < pool->created; i++) pthread_join(pool->workers[i].thread, NULL);
    rt_barrier_free(&pool->barrier);
    free(pool->workers);
    free(pool);
}

rt_status rt_pool_new(rt_pool **out, int nthreads, rt_error *err) {
    *out = NULL;
    if (nthreads < 1 || nthreads > RT_MAX_THREADS)
        return rt_fail(err, RT_ERR_USAGE, "%d threads: 1 to %d are possible", nthreads,
                       RT_MAX_THREADS);
    void *place = NULL;
    if (posix_memalign(&place, _Alignof(rt_pool), sizeof(rt_pool)) != 0)
        return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    rt_pool *pool = memset(place, 0, sizeof *pool);
    pool->size = nthreads;
    pool->workers = calloc((size_t)nthreads, sizeof *pool->workers);
    if (!pool->workers || !rt_barrier_init(&pool->barrier, (uint32_t)nthreads)) {
        free_pool(pool);
        return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    }
    int cpus = rt_thread_limits_now().affinity;
    pool->barrier.spins = cpus > 0 && nthreads > cpus ? 0 : calibrate_spins();
    int failed = start_workers(pool);
    set_phase(pool, failed ? ABANDONED : RUNNING);
    if (failed) {
        int started = pool->created;
        free_pool(pool);
        return rt_fail(err, RT_ERR_SYSTEM, "cannot start thread %d of %d: %s", started + 2,
                       nthreads, strerror(failed));
    }
    *out = pool;
    return RT_OK;
}

void rt_pool_free(rt_pool *pool) {
    if (!pool) return;
    pool->fn = NULL;
    rt_barrier_wait(&pool->barrier, 0);
    free_pool(pool);
}

int rt_pool_size(const rt_pool *pool) {
    return pool->size;
}

void rt_pool_run(rt_pool *pool, rt_task *fn, void *arg) {
    fp_state saved = fp_default();
    pool->fn = fn;
    pool->arg = arg;
    rt_barrier_wait(&pool->barrier, 0);
    fn(arg, 0, pool->size);
    rt_barrier_wait(&pool->barrier, 0);
    fp_restore(saved);
}

void rt_pool_barrier(rt_pool *pool, int tid) {
    rt_barrier_wait(&pool->barrier, (uint32_t)tid);
}
