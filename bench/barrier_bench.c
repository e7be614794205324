/* What a barrier costs, and handing out a run: nanoseconds, best and median of many rounds.
 *
 *   barrier_bench [THREADS]      default 2 */
#include "runtime/engine/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 301, BARRIERS = 2000 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void meet(void *arg, int tid, int nthreads) {
    (void)nthreads;
    for (int i = 0; i < BARRIERS; i++) rt_pool_barrier(arg, tid);
}

static void nothing(void *arg, int tid, int nthreads) {
    (void)arg;
    (void)tid;
    (void)nthreads;
}

static void report(const char *what, double *ns) {
    qsort(ns, ROUNDS, sizeof *ns, by_value);
    printf("%-8s %8.0f ns best, %8.0f median, %8.0f nine tenths\n", what, ns[0], ns[ROUNDS / 2],
           ns[ROUNDS * 9 / 10]);
}

int main(int argc, char **argv) {
    const int threads = argc > 1 ? atoi(argv[1]) : 2;
    rt_pool *pool;
    rt_error err;
    double barrier[ROUNDS], run[ROUNDS];
    if (rt_pool_new(&pool, threads, &err) != RT_OK) {
        fprintf(stderr, "barrier_bench: %s\n", err.message);
        return 2;
    }
    for (int r = 0; r < ROUNDS; r++) {
        double begin = now();
        rt_pool_run(pool, meet, pool);
        barrier[r] = (now() - begin) / (double)BARRIERS;
        begin = now();
        for (int i = 0; i < 100; i++) rt_pool_run(pool, nothing, NULL);
        run[r] = (now() - begin) / 100;
    }
    printf("%d threads\n", threads);
    report("barrier", barrier);
    report("run", run);
    rt_pool_free(pool);
    return 0;
}
