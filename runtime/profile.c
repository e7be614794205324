/* Who did what when. Every thread notes the end of its part of an op and the end of the wait that follows;
 * the file is Chrome's trace event format (complete events, one track a thread, never overlapping), which
 * Perfetto and speedscope read. Events beyond
 * a thread's budget are dropped; the table says how many. */
#include "runtime/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_EVENTS (1u << 20) /* a thread */

struct event {
    double begin, end; /* seconds since the profile began */
    int32_t function, op;
};

struct track {
    _Alignas(64) struct event *events;
    uint32_t count, cap, dropped;
    double open; /* when the work that is running began */
};

struct rt_profile {
    int threads;
    double zero;
    struct track *tracks;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

rt_status rt_profile_new(rt_profile **out, int threads, rt_error *err) {
    rt_profile *p = calloc(1, sizeof *p);
    if (p) p->tracks = aligned_alloc(64, sizeof *p->tracks * (size_t)threads);
    if (!p || !p->tracks) {
        free(p);
        return rt_fail(err, RT_ERR_SYSTEM, "out of memory for the profile");
    }
    memset(p->tracks, 0, sizeof *p->tracks * (size_t)threads);
    p->threads = threads;
    p->zero = now();
    *out = p;
    return RT_OK;
}

void rt_profile_free(rt_profile *p) {
    if (!p) return;
    for (int i = 0; i < p->threads; i++) free(p->tracks[i].events);
    free(p->tracks);
    free(p);
}

void rt_profile_begin(rt_profile *p, int thread) {
    p->tracks[thread].open = now() - p->zero;
}

void rt_profile_op(rt_profile *p, int thread, int function, int32_t op) {
    struct track *t = &p->tracks[thread];
    double end = now() - p->zero;
    if (t->count == t->cap && t->cap < MAX_EVENTS) {
        uint32_t cap = t->cap ? t->cap * 2 : 4096;
        struct event *grown = realloc(t->events, sizeof *grown * cap);
        if (grown) t->events = grown, t->cap = cap;
    }
    if (t->count < t->cap)
        t->events[t->count++] = (struct event){t->open, end, function, op};
    else
        t->dropped++;
    t->open = end;
}

void rt_profile_wait(rt_profile *p, int thread) {
    p->tracks[thread].open = now() - p->zero;
}

/* Strings in the tables come from model files: JSON-escaped here. */
static void json_string(FILE *f, const char *s) {
    fputc('"', f);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            fprintf(f, "\\%c", c);
        else if (c < 0x20 || c == 0x7f || c == '<')
            fprintf(f, "\\u%04x", c);
        else
            fputc(c, f);
    }
    fputc('"', f);
}

static void write_event(FILE *f, const struct ebru_model *t, const struct event *e, int thread, bool *first) {
    const struct ebru_function_desc *fn = &t->functions[e->function];
    const struct ebru_op_desc *op = &fn->ops[e->op];
    fputs(*first ? "\n" : ",\n", f);
    *first = false;
    fprintf(f, "{\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f,\"cat\":", thread, e->begin * 1e6,
            (e->end - e->begin) * 1e6);
    json_string(f, fn->name);
    fputs(",\"name\":", f);
    json_string(f, op->name);
    fputs(",\"args\":{\"block\":", f);
    json_string(f, op->block);
    fputs(",\"kernel\":", f);
    json_string(f, op->kernel);
    fputs(",\"result\":", f);
    json_string(f, op->detail);
    fprintf(f, ",\"flops\":%.0f,\"bytes\":%llu,\"weight_bytes\":%llu}}", op->flops,
            (unsigned long long)op->bytes, (unsigned long long)op->weight_bytes);
}

rt_status rt_profile_write(const rt_profile *p, const struct ebru_model *t, const char *path, rt_error *err) {
    FILE *f = fopen(path, "w");
    if (!f) return rt_fail(err, RT_ERR_SYSTEM, "cannot write '%s': %s", path, strerror(errno));
    bool first = true;
    fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[", f);
    for (int i = 0; i < p->threads; i++)
        for (uint32_t k = 0; k < p->tracks[i].count; k++)
            write_event(f, t, &p->tracks[i].events[k], i, &first);
    fputs("\n]}\n", f);
    bool bad = ferror(f) != 0;
    if (fclose(f) || bad) {
        remove(path);
        return rt_fail(err, RT_ERR_SYSTEM, "cannot write '%s': %s", path, strerror(errno));
    }
    return RT_OK;
}

struct row {
    const struct ebru_op_desc *op;
    double seconds, flops;
    uint64_t calls;
};

static int by_time(const void *a, const void *b) {
    double x = ((const struct row *)a)->seconds, y = ((const struct row *)b)->seconds;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Sums thread 0's track by op name and kernel: its own part of every op, waiting not counted (bench/ops
 * looks at all threads, at shapes, and at the waiting). */
void rt_profile_table(const rt_profile *p, const struct ebru_model *t, double peak_gflops, FILE *out) {
    struct row rows[64];
    int count = 0;
    double total = 0;
    const struct track *track = &p->tracks[0];
    for (uint32_t k = 0; k < track->count; k++) {
        const struct event *e = &track->events[k];
        const struct ebru_op_desc *op = &t->functions[e->function].ops[e->op];
        int r = 0;
        while (r < count &&
               (strcmp(rows[r].op->name, op->name) != 0 || strcmp(rows[r].op->kernel, op->kernel) != 0))
            r++;
        if (r == 64) continue;
        if (r == count) rows[count++] = (struct row){.op = op};
        rows[r].seconds += e->end - e->begin;
        rows[r].flops += op->flops;
        rows[r].calls++;
        total += e->end - e->begin;
    }
    qsort(rows, (size_t)count, sizeof *rows, by_time);
    fprintf(out, "%-20s %-18s %8s %10s %6s %9s %6s\n", "op", "kernel", "calls", "ms", "%", "GFLOP/s",
            "% roof");
    for (int r = 0; r < count; r++) {
        double g = rows[r].seconds > 0 ? rows[r].flops / rows[r].seconds * 1e-9 : 0;
        fprintf(out, "%-20s %-18s %8llu %10.2f %6.1f %9.1f %6.1f\n", rows[r].op->name, rows[r].op->kernel,
                (unsigned long long)rows[r].calls, rows[r].seconds * 1e3,
                total > 0 ? 100 * rows[r].seconds / total : 0, g,
                peak_gflops > 0 ? 100 * g / peak_gflops : 0);
    }
    if (track->dropped) fprintf(out, "(%u events beyond the budget are not counted)\n", track->dropped);
}
