/* --bench: every function on made-up inputs, timed; medians, and the share of the machine's own measured
 * peak. */
#include "base/suggest.h"
#include "runtime/cli/program.h"
#include "runtime/text/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Distinct values that are neither zero nor denormal, so that no kernel meets a special case. */
static void fill(const struct ebru_tensor_desc *d, void *p) {
    float *f = p;
    uint16_t *h = p;
    for (uint64_t i = 0; d->dtype == EBRU_F32 && i < d->bytes / sizeof *f; i++)
        f[i] = 0.001f * (float)(int)(i * 2654435761u % 2001u) - 1.0f;
    for (uint64_t i = 0; d->dtype == EBRU_BF16 && i < d->bytes / sizeof *h; i++) /* in +-(0.5, 2) */
        h[i] = (uint16_t)(0x3f00u | (uint32_t)i * 2654435761u >> 24 | (i & 1u) << 15);
}

struct buffers {
    void **in, **out;
    int32_t in_count, out_count;
};

static void free_buffers(struct buffers *b) {
    for (int32_t i = 0; b->in && i < b->in_count; i++) rt_buffer_free(b->in[i]);
    for (int32_t i = 0; b->out && i < b->out_count; i++) rt_buffer_free(b->out[i]);
    free(b->in);
    free(b->out);
}

static rt_status make_buffers(struct buffers *b, const struct ebru_function_desc *f,
                              rt_error *err) {
    *b = (struct buffers){calloc((size_t)f->input_count + 1, sizeof(void *)),
                          calloc((size_t)f->output_count + 1, sizeof(void *)), f->input_count,
                          f->output_count};
    bool ok = b->in && b->out;
    for (int32_t i = 0; ok && i < f->input_count; i++) {
        b->in[i] = rt_buffer((size_t)f->inputs[i].bytes);
        if (b->in[i]) fill(&f->inputs[i], b->in[i]);
        ok = b->in[i] != NULL;
    }
    for (int32_t i = 0; ok && i < f->output_count; i++)
        ok = (b->out[i] = rt_buffer((size_t)f->outputs[i].bytes)) != NULL;
    return ok ? RT_OK : rt_fail(err, RT_ERR_SYSTEM, "out of memory");
}

/* Copies of the packed weights, one behind the other, together four times the last cache (96 MiB to
 * 1 GiB): a run that takes the next one each time reads weights from memory, as a network does
 * whose other ops have used the caches since. Weights that are larger than that are cold anyway. */
struct copies {
    char *base;
    size_t stride, bytes;
    int64_t count;
};

static rt_status copy_weights(struct copies *c, const rt_model *m, rt_error *err) {
    const size_t least = (size_t)96 << 20, most = (size_t)1 << 30;
    size_t wanted = 4 * m->cpu.l3;
    wanted = wanted < least ? least : wanted > most ? most : wanted;
    *c = (struct copies){.stride = ((size_t)m->tables->weights_bytes + 63) / 64 * 64};
    if (!c->stride || c->stride > wanted) return RT_OK;
    c->count = (int64_t)(wanted / c->stride + 1);
    c->bytes = c->stride * (size_t)c->count;
    void *p = mmap(NULL, c->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return rt_fail(err, RT_ERR_SYSTEM, "out of memory: cold weights need %zu bytes", c->bytes);
    c->base = p;
    madvise(p, c->bytes, MADV_HUGEPAGE);
    for (int64_t i = 0; i < c->count; i++)
        memcpy(c->base + (size_t)i * c->stride, m->weights, (size_t)m->tables->weights_bytes);
    return RT_OK;
}

/* Times that a thread of the process lost its core to another process. */
static long involuntary_switches(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_nivcsw;
}

static long peak_rss(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss * 1024;
}

/* What was measured of a function: its runs, ascending, and the share of their time that the threads
 * had a core. */
struct timing {
    double *ms, cores;
    int runs;
    bool disturbed; /* other processes had the cores, not only some thread nothing to do */
};

/* The largest share of the peak that a function can reach: Winograd F(4,3) does with a quarter of
 * the multiplications that are counted. A little more may be the clock's. */
static double most_share(const struct ebru_function_desc *f) {
    for (int32_t i = 0; i < f->op_count; i++)
        if (strstr(f->ops[i].kernel, "winograd")) return 4 * 1.05;
    return 1.05;
}

static double rate_of(const struct ebru_function_desc *f, const struct timing *t) {
    double flops = 0, median = t->ms[t->runs / 2];
    for (int32_t i = 0; i < f->op_count; i++) flops += f->ops[i].flops;
    return median > 0 ? flops * 1e-6 / median : 0;
}

/* A peak below what a function reached was disturbed: measured again, the larger counts. */
static void correct_peak(const rt_engine *e, const struct ebru_function_desc *f,
                         const struct timing *t, rt_peak *peak) {
    enum { TRIES = 3 };
    for (int i = 0; i < TRIES && rate_of(f, t) > rt_peak_of_function(peak, f) * most_share(f);
         i++) {
        rt_peak again = rt_peak_measure(e->pool, e->model->tables, e->model->level->name);
        if (rt_peak_of_function(&again, f) > rt_peak_of_function(peak, f)) *peak = again;
    }
}

/* Numbers that cannot be trusted are called so, beside the table. */
static void print_doubts(const struct ebru_function_desc *f, const struct timing *t,
                         const rt_peak *peak) {
    fflush(stdout);
    if (t->disturbed)
        fprintf(stderr,
                "%s: the threads had a core %.0f %% of the time: other processes had your cores\n",
                f->name, 100 * t->cores);
    if (rate_of(f, t) > rt_peak_of_function(peak, f) * most_share(f))
        fprintf(stderr,
                "%s: more than the unit can do: the peak was measured while other processes had "
                "your cores\n",
                f->name);
}

static void print_row(const rt_engine *e, const struct ebru_function_desc *f,
                      const struct timing *t, const rt_peak *of, bool json, const char *where) {
    const double *ms = t->ms, peak = rt_peak_of_function(of, f);
    const int runs = t->runs;
    double flops = 0;
    uint64_t weights = 0;
    for (int32_t i = 0; i < f->op_count; i++)
        flops += f->ops[i].flops, weights += f->ops[i].weight_bytes;
    double median = ms[runs / 2], gflop = flops * 1e-9,
           rate = median > 0 ? gflop / median * 1e3 : 0;
    const char *dot = strchr(f->name, '.');
    int component = dot ? (int)(dot - f->name) : (int)strlen(f->name);
    if (!json) {
        char name[2 * RT_PRINTABLE_MAX], shown[RT_PRINTABLE_MAX];
        rt_printable(f->name, shown);
        snprintf(name, sizeof name, "%s%s%s", shown, *where ? ", weights " : "", where);
        printf("%-28.*s %9.3f %9.3f %9.2f %9.1f %6.1f %10.1f %10.1f\n",
               *where ? 28 : RT_PRINTABLE_MAX, name, median, ms[0], gflop, rate,
               peak > 0 ? 100 * rate / peak : 0, (double)f->arena_bytes / 1048576.0,
               (double)weights / 1048576.0);
        print_doubts(f, t, of);
        return;
    }
    char cut[32] = "";
    if (e->shares.partition) snprintf(cut, sizeof cut, "\"partition\":%d,", e->shares.partition);
    printf(
        "{\"component\":\"%.*s\",\"function\":\"%s\",%s%s%s\"precision\":\"%s\",\"level\":\"%s\","
        "\"threads\":%d,%s"
        "\"batch\":%d,\"median_ms\":%.4f,\"min_ms\":%.4f,\"gflop\":%.4f,\"peak_gflops\":%.1f,"
        "\"share_of_"
        "peak\":%.4f,\"core_share\":%.3f,\"peak_core_share\":%.3f,"
        "\"arena_bytes\":%llu,\"weight_bytes\":%llu,\"peak_rss_bytes\":%ld}\n",
        component, f->name, dot ? dot + 1 : f->name, *where ? "\"weights\":\"" : "", where,
        *where ? "\"," : "", rt_meta_string(e->model->tables, EBRU_META_PRECISION),
        e->model->level->name, rt_pool_size(e->pool), cut, f->batch, median, ms[0], gflop, peak,
        peak > 0 ? rate / peak : 0, t->cores, of->cores, (unsigned long long)f->arena_bytes,
        (unsigned long long)weights, peak_rss());
}

/* Times t->runs runs; with copies each takes the next one's weights. */
static void time_runs(rt_engine *e, int index, const struct buffers *b, struct timing *t,
                      const struct copies *c) {
    const char *weights = e->model->weights;
    double *ms = t->ms, wall = 0, cpu = 0;
    const long switches = involuntary_switches();
    const int runs = t->runs;
    rt_profile_phase(e->profile, e->model->tables->functions[index].name);
    for (int r = -1; r < runs; r++) { /* the first for pages, caches, clocks */
        rt_profile_warm(e->profile, r < 0);
        if (r < 0)
            rt_profile_step(e->profile, "warm-up");
        else
            rt_profile_step(e->profile, "run %d/%d", r + 1, runs);
        if (c->base) e->model->weights = c->base + (size_t)((r + 1) % c->count) * c->stride;
        double start = now(), used = rt_cpu_seconds();
        rt_engine_run(e, index, (const void *const *)b->in, b->out);
        if (r < 0) continue;
        ms[r] = (now() - start) * 1e3;
        wall += ms[r] * 1e-3;
        cpu += rt_cpu_seconds() - used;
    }
    /* threads that wait for others sleep of their own will; others take the core for milliseconds */
    t->disturbed = cpu < RT_CORES_ENOUGH * wall * rt_pool_size(e->pool) &&
                   3e-3 * (double)(involuntary_switches() - switches) > 0.1 * wall;
    t->cores = wall > 0 ? cpu / (wall * rt_pool_size(e->pool)) : 1;
    if (t->cores > 1) t->cores = 1;
    e->model->weights = weights;
    rt_profile_phase(e->profile, "report");
    qsort(ms, (size_t)runs, sizeof *ms, by_value);
}

static rt_status bench_function(rt_engine *e, int index, const rt_options *o, rt_peak *peak,
                                const struct copies *c, rt_error *err) {
    const struct ebru_function_desc *f = &e->model->tables->functions[index];
    struct buffers b = {0};
    struct timing t = {calloc((size_t)o->bench_runs, sizeof *t.ms), 1, o->bench_runs, false};
    rt_status s = t.ms ? make_buffers(&b, f, err) : rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    if (!s && o->bench_cold) {
        time_runs(e, index, &b, &t, c);
        correct_peak(e, f, &t, peak);
        print_row(e, f, &t, peak, o->bench_json, "cold");
    }
    if (!s) {
        time_runs(e, index, &b, &t, &(struct copies){0});
        correct_peak(e, f, &t, peak);
        print_row(e, f, &t, peak, o->bench_json, o->bench_cold ? "warm" : "");
    }
    free(t.ms);
    free_buffers(&b);
    return s;
}

/* NAME stands for itself and, when it is split into stages, for NAME.prompt, NAME.schedule and
 * NAME.step. */
static bool is_wanted(const char *function, const char *wanted) {
    size_t n = wanted ? strlen(wanted) : 0;
    return n == 0 || (!strncmp(function, wanted, n) && (!function[n] || function[n] == '.'));
}

static rt_status unknown_function(const struct ebru_model *t, const char *name, rt_error *err) {
    const char **names = calloc((size_t)t->function_count + 1, sizeof *names);
    char hint[BASE_HINT_MAX] = "";
    for (int32_t i = 0; names && i < t->function_count; i++) names[i] = t->functions[i].name;
    if (names && name) base_hint(base_suggest(name, names, (size_t)t->function_count), hint);
    free(names);
    return rt_fail(err, RT_ERR_USAGE, "this program has no function '%.100s'%s", name ? name : "",
                   *hint ? hint : "; see --build-info");
}

rt_status rt_program_bench(rt_engine *e, const rt_options *o, rt_error *err) {
    const struct ebru_model *t = e->model->tables;
    bool found = false;
    for (int32_t i = 0; i < t->function_count; i++)
        found |= is_wanted(t->functions[i].name, o->bench_function);
    if (!found) return unknown_function(t, o->bench_function, err);
    rt_peak peak = rt_peak_measure(e->pool, t, e->model->level->name);
    if (!o->bench_json) {
        char cut[48] = "";
        if (o->bench_partition) snprintf(cut, sizeof cut, ", work cut for %d", o->bench_partition);
        printf("%s, %d threads%s, %s peak %.1f GFLOP/s, ", e->model->level->name,
               rt_pool_size(e->pool), cut, peak.unit, peak.gflops);
        if (peak.i8_unit) printf("%s peak %.1f GFLOP/s, ", peak.i8_unit, peak.i8);
        printf("%d runs\n", o->bench_runs);
        if (peak.cores < RT_CORES_ENOUGH)
            fprintf(stderr,
                    "peak: the threads had a core %.0f %% of the time: other processes had your "
                    "cores, and shares of the peak mean little\n",
                    100 * peak.cores);
    }
    rt_engine_partition(e, o->bench_partition);
    struct copies c = {0};
    rt_status s = o->bench_cold ? copy_weights(&c, e->model, err) : RT_OK;
    for (int32_t i = 0; i < t->function_count && !s; i++) {
        if (!is_wanted(t->functions[i].name, o->bench_function)) continue;
        s = bench_function(e, i, o, &peak, &c, err);
        fflush(stdout);
    }
    if (c.base) munmap(c.base, c.bytes);
    return s;
}
