/* Kernels timed as they stand in the compiler, as native code of each level: not specialised for a
 * shape, as emitted code is, but with the same inner loops, threads and shares of work. */
#include "base/cpu/cpu.h"
#include "driver/tune/tune.h"
#include "runtime/engine/threads.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* ---- native code ---- */

typedef void kernel_fn(const void *p, void *const *buf, float *scratch, int32_t begin, int32_t end);

#define WRAP(name, suffix, isa)                                                                    \
    void ebru_k_##name##_##suffix(const struct ebru_##name##_params *, void *const *, float *,     \
                                  int32_t, int32_t);                                               \
    static void run_##name##_##suffix(const void *p, void *const *buf, float *scratch,             \
                                      int32_t begin, int32_t end) {                                \
        ebru_k_##name##_##suffix(p, buf, scratch, begin, end);                                     \
    }
#define ROW(name, suffix, isa) {#name, isa, run_##name##_##suffix},
/* every kernel that has tiles: at levels with f32 code of their own, at all levels */
#define F32(X, ID, suffix, ...)                                                                    \
    X(conv2d, suffix, EBRU_ISA_##ID)                                                               \
    X(conv2d_winograd, suffix, EBRU_ISA_##ID)                                                      \
    X(feed_forward, suffix, EBRU_ISA_##ID) X(attention, suffix, EBRU_ISA_##ID)
#define BF16(X, ID, suffix, ...)                                                                   \
    X(conv2d_bf16, suffix, EBRU_ISA_##ID)                                                          \
    X(conv2d_winograd_bf16, suffix, EBRU_ISA_##ID)                                                 \
    X(conv2d_i8, suffix, EBRU_ISA_##ID)                                                            \
    X(feed_forward_bf16, suffix, EBRU_ISA_##ID) X(attention_bf16, suffix, EBRU_ISA_##ID)

EBRU_LEVELS_HERE(F32, EBRU_NO_LEVEL, WRAP)
EBRU_LEVELS_HERE(BF16, BF16, WRAP)

static const struct {
    const char *kernel;
    int32_t isa;
    kernel_fn *run;
} natives[] = {EBRU_LEVELS_HERE(F32, EBRU_NO_LEVEL, ROW) EBRU_LEVELS_HERE(BF16, BF16, ROW)};

/* The code that a kernel has at a level: its own, or that of the level which it shares f32 code
 * with. */
static kernel_fn *native(const char *kernel, int32_t isa) {
    kernel_fn *shared = NULL;
    for (size_t i = 0; i < sizeof natives / sizeof *natives; i++) {
        if (strcmp(natives[i].kernel, kernel) != 0) continue;
        if (natives[i].isa == isa) return natives[i].run;
        if (natives[i].isa == base_isa_plain(isa)) shared = natives[i].run;
    }
    return shared;
}

/* ---- memory ---- */

struct block {
    char *data;
    size_t bytes;
};

static bool grow(struct block *b, size_t bytes) {
    if (bytes <= b->bytes) return true;
    if (b->data) munmap(b->data, b->bytes);
    *b = (struct block){0};
    bytes = (bytes + 4095) / 4096 * 4096;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return false;
    madvise(p, bytes, MADV_HUGEPAGE);
    *b = (struct block){p, bytes};
    return true;
}

/* Numbers in +-(1/32, 1/2), both as binary32 and as bf16: two equal halves. */
static void fill(char *data, size_t bytes) {
    uint32_t *w = (uint32_t *)(void *)data, x = 1;
    for (size_t i = 0; i < bytes / 4; i++) {
        x = x * 1664525u + 1013904223u;
        const uint32_t half = (x >> 16 & 0x81ffu) | 0x3d00u;
        w[i] = half << 16 | half;
    }
}

/* ---- the timer ---- */

struct tune_timer {
    rt_pool *pool;
    int threads;
    int32_t isa;
    struct block weights, values, scratch;
    size_t at; /* where the next run's weights begin */
    const tune_kernel *k;
    kernel_fn *run;
    void *buf[CG_MAX_BUFS];
    size_t weight_bytes;
    double *seconds; /* of a run, a thread */
};

static size_t aligned(uint64_t bytes) {
    return (size_t)((bytes + 63) / 64 * 64);
}

tune_timer *tune_timer_new(base_diag *d, int32_t isa, int threads, uint64_t cache,
                           uint64_t largest) {
    tune_timer *t = base_alloc(sizeof *t);
    rt_error err;
    base_cpu cpu;
    base_cpu_detect(&cpu);
    base_cpu_permit(&cpu, isa); /* before threads start */
    t->isa = isa;
    t->threads = threads;
    t->seconds = base_alloc((size_t)threads * sizeof *t->seconds);
    const size_t least = (size_t)96 << 20, most = (size_t)1 << 30;
    size_t turns = (size_t)(4 * cache);
    turns = turns < least ? least : turns > most ? most : turns;
    if (rt_pool_new(&t->pool, threads, &err)) {
        base_error(d, NULL, "%s", err.message);
    } else if (!grow(&t->weights, turns + (size_t)largest)) {
        base_error(d, NULL, "out of memory: %zu bytes for weights", turns + (size_t)largest);
    } else {
        fill(t->weights.data, t->weights.bytes);
        return t;
    }
    tune_timer_free(t);
    return NULL;
}

void tune_timer_free(tune_timer *t) {
    if (!t) return;
    rt_pool_free(t->pool);
    if (t->weights.data) munmap(t->weights.data, t->weights.bytes);
    if (t->values.data) munmap(t->values.data, t->values.bytes);
    if (t->scratch.data) munmap(t->scratch.data, t->scratch.bytes);
    base_free(t->seconds);
    base_free(t);
}

bool tune_timer_load(tune_timer *t, const tune_kernel *k) {
    size_t values = 0;
    t->weight_bytes = 0;
    for (uint32_t i = 0; i < k->buf_count; i++)
        *(k->is_weight[i] ? &t->weight_bytes : &values) += aligned(k->bytes[i]);
    if (!grow(&t->values, values)) return false;
    fill(t->values.data, values);
    t->k = k;
    t->run = native(k->kernel->name, t->isa);
    return t->run != NULL;
}

/* Points the operands to memory; weights to those that follow the last run's. */
static void place(tune_timer *t) {
    const tune_kernel *k = t->k;
    if (t->at + t->weight_bytes > t->weights.bytes) t->at = 0;
    size_t value = 0;
    for (uint32_t i = 0; i < k->buf_count; i++) {
        t->buf[i] = NULL;
        if (!k->bytes[i]) continue;
        size_t *at = k->is_weight[i] ? &t->at : &value;
        t->buf[i] = (k->is_weight[i] ? t->weights.data : t->values.data) + *at;
        *at += aligned(k->bytes[i]);
    }
}

struct timing {
    tune_timer *t;
    const cg_params *const *params;
    int runs, sets;
    double (*ns)[TUNE_MOST_RUNS];
};

/* A thread writes its share of the values, as the node before would have. */
static void write_values(const tune_timer *t, int thread) {
    const tune_kernel *k = t->k;
    for (uint32_t i = k->buf_count; i-- > 0;) { /* the first operand last: it is the newest */
        if (!t->buf[i] || k->is_weight[i]) continue;
        volatile float *p = t->buf[i];
        const uint64_t n = k->bytes[i] / 4, end = n * (uint64_t)(thread + 1) / (uint64_t)t->threads;
        for (uint64_t j = n * (uint64_t)thread / (uint64_t)t->threads / 16 * 16; j < end; j += 16)
            p[j] = p[j];
    }
}

static double thread_time(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void time_thread(void *arg, int thread, int threads) {
    struct timing *m = arg;
    tune_timer *t = m->t;
    float *scratch = (float *)(void *)(t->scratch.data + t->scratch.bytes / (size_t)threads / 4096 *
                                                             4096 * (size_t)thread);
    for (int r = -1; r < m->runs; r++) /* the first for pages, caches, clocks */
        for (int s = 0; s < m->sets; s++) {
            if (thread == 0) place(t);
            rt_pool_barrier(t->pool, thread);
            write_values(t, thread);
            rt_pool_barrier(t->pool, thread);
            const int64_t tasks = t->k->kernel->tasks(m->params[s]);
            const double from = thread_time();
            t->run(m->params[s], t->buf, scratch, (int32_t)(tasks * thread / threads),
                   (int32_t)(tasks * (thread + 1) / threads));
            t->seconds[thread] = thread_time() - from;
            rt_pool_barrier(t->pool, thread);
            double slowest = 0;
            for (int i = 0; i < threads && thread == 0; i++)
                if (t->seconds[i] > slowest) slowest = t->seconds[i];
            if (thread == 0 && r >= 0) m->ns[s][r] = slowest * 1e9;
        }
}

void tune_time(tune_timer *t, const cg_params *const params[2], int runs,
               double ns[2][TUNE_MOST_RUNS]) {
    struct timing m = {t, params, runs < TUNE_MOST_RUNS ? runs : TUNE_MOST_RUNS,
                       params[0] == params[1] ? 1 : 2, ns};
    int64_t scratch = 0;
    for (int s = 0; s < m.sets; s++) {
        const int64_t bytes = t->k->kernel->scratch(params[s]);
        if (bytes > scratch) scratch = bytes;
    }
    if (!grow(&t->scratch, ((size_t)scratch + 8192) / 4096 * 4096 * (size_t)t->threads)) {
        for (int s = 0; s < 2; s++)
            for (int r = 0; r < m.runs; r++) ns[s][r] = 1e18;
        return;
    }
    rt_pool_run(t->pool, time_thread, &m);
}
