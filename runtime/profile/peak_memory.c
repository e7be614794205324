/* The machine's own memory roof, measured: the triad of the STREAM benchmark over arrays that no
 * cache holds. */
#include "base/cpu/cpu.h"
#include "runtime/profile/profile.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 4 };

/* As wide as every level has it: one load a cycle is more than memory gives a core. */
typedef float lanes __attribute__((vector_size(16)));

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct triad {
    lanes *a, *b, *c;
    size_t count; /* of an array */
};

static void triad_thread(void *arg, int tid, int nthreads) {
    const struct triad *t = arg;
    size_t begin = t->count * (size_t)tid / (size_t)nthreads;
    size_t end = t->count * ((size_t)tid + 1) / (size_t)nthreads;
    for (size_t i = begin; i < end; i++) t->a[i] = t->b[i] + 3 * t->c[i];
}

static void touch_thread(void *arg, int tid, int nthreads) {
    const struct triad *t = arg;
    size_t begin = t->count * (size_t)tid / (size_t)nthreads;
    size_t end = t->count * ((size_t)tid + 1) / (size_t)nthreads;
    lanes *arrays[] = {t->a, t->b, t->c};
    for (int k = 0; k < 3; k++) memset(arrays[k] + begin, 0, (end - begin) * sizeof(lanes));
}

/* Bytes of one array: four times the last cache in all three, at least 16 MiB each, and no more
 * than a quarter of what is free together. */
static size_t array_bytes(void) {
    long pages = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    base_cpu cpu;
    base_cpu_detect(&cpu);
    size_t bytes = cpu.l3 / 3 * 4, least = (size_t)16 << 20, most = (size_t)512 << 20;
    if (bytes < least) bytes = least;
    if (bytes > most) bytes = most;
    size_t room = pages > 0 && page > 0 ? (size_t)pages * (size_t)page / 12 : bytes;
    if (bytes > room) bytes = room;
    return bytes / 4096 * 4096;
}

double rt_peak_memory(rt_pool *pool) {
    size_t bytes = array_bytes();
    if (!bytes) return 0;
    lanes *p = mmap(NULL, 3 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return 0;
    madvise(p, 3 * bytes, MADV_HUGEPAGE);
    size_t count = bytes / sizeof *p;
    struct triad t = {p, p + count, p + 2 * count, count};
    double best = 0;
    rt_pool_run(pool, touch_thread, &t); /* every thread its own pages */
    for (int i = 0; i < RUNS; i++) {
        double start = now();
        rt_pool_run(pool, triad_thread, &t);
        double gbs = 3.0 * (double)bytes / (now() - start) * 1e-9;
        if (gbs > best) best = gbs;
    }
    munmap(p, 3 * bytes);
    return best;
}
