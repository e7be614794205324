#include "runtime/engine/engine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void *rt_buffer(size_t bytes) {
    size_t rounded = (bytes + 63) / 64 * 64;
    if (rounded < bytes) return NULL;
    void *p = aligned_alloc(64, rounded ? rounded : 64);
    if (p) memset(p, 0, rounded ? rounded : 64);
    return p;
}

void rt_buffer_free(void *p) {
    free(p);
}

/* Untouched pages, so that an arena larger than what a run needs costs nothing, and that a page lies
 * in the memory of the node whose thread first writes to it. `huge`: huge pages where there are any;
 * `aligned`: the first begins with one. */
static char *map_pages(size_t bytes, bool huge, bool aligned) {
    const size_t spare = aligned ? EBRU_HUGE_PAGE : 0;
    if (!bytes) bytes = 64;
    char *p = mmap(NULL, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    const size_t before =
        aligned ? (EBRU_HUGE_PAGE - (uintptr_t)p % EBRU_HUGE_PAGE) % EBRU_HUGE_PAGE : 0;
    if (before) munmap(p, before);
    if (before < spare) munmap(p + before + bytes, spare - before);
    if (huge && bytes >= EBRU_HUGE_PAGE) madvise(p + before, bytes, MADV_HUGEPAGE);
    return p + before;
}

/* Bytes from a thread's scratch to the next one's. A page between them keeps threads off each
 * other's cache lines and prefetchers. Large scratch begins with a huge page, so that no page is two
 * threads' and each lies near its thread. */
static size_t scratch_stride(size_t bytes) {
    const size_t page = 4096, apart = (bytes + page - 1) / page * page + page;
    if (apart < EBRU_HUGE_PAGE) return apart;
    return (apart + EBRU_HUGE_PAGE - 1) / EBRU_HUGE_PAGE * EBRU_HUGE_PAGE;
}

/* Small scratch shares huge pages, unless there are so many threads that they may be on several
 * nodes. */
static char *map_scratch(size_t stride, int threads) {
    enum { ONE_NODE = 8 };
    const bool own = stride % EBRU_HUGE_PAGE == 0;
    return map_pages(stride * (size_t)threads, own || threads <= ONE_NODE, own);
}

rt_status rt_engine_open(rt_engine *e, rt_model *m, int threads, rt_error *err) {
    memset(e, 0, sizeof *e);
    e->model = m;
    rt_status s = rt_pool_new(&e->pool, threads, err);
    if (s) return s;
    if (!rt_shares_init(&e->shares, rt_pool_size(e->pool))) {
        rt_pool_free(e->pool);
        return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    }
    for (int32_t i = 0; i < m->tables->function_count; i++) {
        const struct ebru_function_desc *f = &m->tables->functions[i];
        if (f->arena_bytes > e->arena_bytes) e->arena_bytes = (size_t)f->arena_bytes;
        if (f->scratch_bytes > e->scratch_bytes) e->scratch_bytes = (size_t)f->scratch_bytes;
    }
    e->scratch_bytes = scratch_stride(e->scratch_bytes);
    e->arena = map_pages(e->arena_bytes, true, false);
    e->scratch = map_scratch(e->scratch_bytes, rt_pool_size(e->pool));
    if (!e->arena || !e->scratch) {
        size_t arena = e->arena_bytes, scratch = e->scratch_bytes;
        int size = rt_pool_size(e->pool);
        rt_engine_close(e);
        return rt_fail(err, RT_ERR_SYSTEM,
                       "out of memory: the arena needs %zu bytes, each of %d threads %zu", arena,
                       size, scratch);
    }
    return RT_OK;
}

void rt_engine_close(rt_engine *e) {
    if (e->arena) munmap(e->arena, e->arena_bytes ? e->arena_bytes : 64);
    if (e->scratch) munmap(e->scratch, e->scratch_bytes * (size_t)rt_pool_size(e->pool));
    rt_pool_free(e->pool);
    rt_shares_free(&e->shares);
    memset(e, 0, sizeof *e);
}

void rt_engine_partition(rt_engine *e, int threads) {
    e->shares.partition = threads;
}

struct run {
    struct ebru_call call;
    ebru_run_fn fn;
    rt_engine *engine;
};

static void run_thread(void *arg, int tid, int nthreads) {
    struct run *r = arg;
    rt_profile *p = r->engine->profile;
    rt_shares_begin(&r->engine->shares, tid);
    if (p) rt_profile_begin(p, tid, r->engine->function);
    r->fn(&r->call, tid, nthreads);
    if (p) rt_profile_end(p, tid);
}

static void tell_first(rt_engine *e) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    fprintf(stderr, "first op %.1f ms after the start of main\n",
            (double)(now.tv_sec - e->start.tv_sec) * 1e3 +
                (double)(now.tv_nsec - e->start.tv_nsec) * 1e-6);
    e->timed = false;
}

void rt_engine_run(rt_engine *e, int function, const void *const *inputs, void *const *outputs) {
    struct run r = {
        .call = {.inputs = inputs,
                 .outputs = outputs,
                 .arena = e->arena,
                 .scratch = e->scratch,
                 .scratch_stride = e->scratch_bytes,
                 .weights = e->model->weights,
                 .runtime = e,
                 .cut = ebru_cut_column(e->shares.partition ? e->shares.partition
                                                            : rt_pool_size(e->pool))},
        .fn = e->model->level->run[function],
        .engine = e,
    };
    e->function = function;
    if (e->timed) tell_first(e);
    rt_pool_run(e->pool, run_thread, &r);
    if (e->observe) e->observe(e->observer, function, &r.call);
    if (e->values) rt_values_write(e->values, &e->model->tables->functions[function], &r.call);
}

uint64_t ebru_take(const struct ebru_call *call, int32_t thread, int32_t op, int32_t tasks,
                   int32_t step) {
    rt_engine *e = call->runtime;
    return rt_shares_take(&e->shares, thread, op, tasks, step);
}

static void note_op(rt_engine *e, int32_t thread, int32_t op) {
    const struct rt_share *s = &e->shares.of[thread];
    rt_profile_part part = {0};
    if (e->shares.partition) part = (rt_profile_part){s->tasks, s->cpu, s->longest};
    rt_profile_op(e->profile, thread, op, part);
}

void ebru_mark(const struct ebru_call *call, int32_t thread, int32_t op) {
    rt_engine *e = call->runtime;
    if (e->profile) note_op(e, thread, op);
}

void ebru_barrier(const struct ebru_call *call, int32_t thread, int32_t threads, int32_t op) {
    rt_engine *e = call->runtime;
    (void)threads;
    if (e->profile) {
        note_op(e, thread, op);
        rt_pool_barrier(e->pool, thread);
        rt_profile_wait(e->profile, thread, op);
        return;
    }
    rt_pool_barrier(e->pool, thread);
}
