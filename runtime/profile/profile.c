/* Recording. Nothing here is shared between threads while a function runs; what a thread's budget
 * of events cannot hold is counted, and still summed up. */
#include "runtime/profile/profile.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MAX_EVENTS (1u << 20) /* a thread */
#define MAX_SPANS  (1u << 20)

static int64_t now(const rt_profile *p) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)(t.tv_sec - p->zero.tv_sec) * 1000000000 + (t.tv_nsec - p->zero.tv_nsec);
}

rt_status rt_profile_new(rt_profile **out, const struct ebru_model *model, int threads,
                         const struct timespec *zero, rt_error *err) {
    rt_profile *p = calloc(1, sizeof *p);
    bool ok = p != NULL;
    if (ok) {
        p->model = model;
        p->zero = *zero;
        p->first = calloc((size_t)model->function_count + 1, sizeof *p->first);
        p->tracks = aligned_alloc(64, sizeof *p->tracks * (size_t)threads);
        ok = p->first && p->tracks;
    }
    for (int32_t i = 0; ok && i < model->function_count; i++) {
        p->first[i] = p->op_count;
        p->op_count += (uint32_t)model->functions[i].op_count;
    }
    if (ok) memset(p->tracks, 0, sizeof *p->tracks * (size_t)threads);
    for (; ok && p->threads < threads; p->threads++) {
        p->tracks[p->threads].totals = calloc((size_t)p->op_count + 1, sizeof(rt_profile_total));
        ok = p->tracks[p->threads].totals != NULL;
    }
    if (!ok) {
        rt_profile_free(p);
        return rt_fail(err, RT_ERR_SYSTEM, "out of memory for the profile");
    }
    rt_profile_phase(p, "start");
    if (p->span_count) p->spans[0].begin = 0;
    *out = p;
    return RT_OK;
}

void rt_profile_free(rt_profile *p) {
    if (!p) return;
    for (int i = 0; p->tracks && i < p->threads; i++) {
        free(p->tracks[i].events);
        free(p->tracks[i].totals);
    }
    free(p->tracks);
    free(p->first);
    free(p->spans);
    free(p);
}

/* ---- the main thread's phases ---- */

/* Ends the step, and with `phases` the phase, that is open: the last of their kind. */
static void close_spans(rt_profile *p, int64_t time, bool phases) {
    if (!p->span_count) return;
    rt_profile_span *last = &p->spans[p->span_count - 1];
    if (last->step) last->end = time;
    if (phases) p->spans[p->phase].end = time;
}

static void open_span(rt_profile *p, bool step, const char *name) {
    int64_t time = now(p);
    close_spans(p, time, !step);
    if (p->span_count == p->span_cap && p->span_cap < MAX_SPANS) {
        uint32_t cap = p->span_cap ? p->span_cap * 2 : 64;
        rt_profile_span *grown = realloc(p->spans, sizeof *grown * cap);
        if (grown) p->spans = grown, p->span_cap = cap;
    }
    if (p->span_count == p->span_cap) {
        p->spans_dropped++;
        return;
    }
    rt_profile_span *s = &p->spans[p->span_count++];
    *s = (rt_profile_span){.begin = time, .end = -1, .step = step};
    if (!step) p->phase = p->span_count - 1;
    snprintf(s->name, sizeof s->name, "%s", name);
}

void rt_profile_phase(rt_profile *p, const char *name) {
    if (p) open_span(p, false, name);
}

void rt_profile_step(rt_profile *p, const char *format, ...) {
    char name[sizeof p->spans->name];
    va_list ap;
    if (!p) return;
    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    open_span(p, true, name);
}

void rt_profile_warm(rt_profile *p, bool on) {
    if (p) p->warm = on;
}

void rt_profile_stop(rt_profile *p) {
    p->wall = now(p);
    close_spans(p, p->wall, true);
}

/* ---- every thread's events ---- */

/* False when the budget is spent. */
static bool push(rt_profile_track *t, rt_profile_event e) {
    if (t->count == t->cap && t->cap < MAX_EVENTS) {
        uint32_t cap = t->cap ? t->cap * 2 : 4096;
        rt_profile_event *grown = realloc(t->events, sizeof *grown * cap);
        if (grown) t->events = grown, t->cap = cap;
    }
    if (t->count == t->cap || t->lost) {
        t->dropped++;
        return false;
    }
    t->events[t->count++] = e;
    return true;
}

static int64_t thread_cpu(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void rt_profile_begin(rt_profile *p, int thread, int function) {
    rt_profile_track *t = &p->tracks[thread];
    t->cpu_open = thread_cpu();
    t->function = function;
    t->call = t->count;
    t->open = now(p);
    t->lost = false;
    t->lost =
        !push(t, (rt_profile_event){
                     t->open, t->open, function, p->warm ? RT_PROFILE_WARM : RT_PROFILE_CALL, {0}});
}

static void note(rt_profile *p, int thread, int32_t event, int64_t *sum, rt_profile_part part) {
    rt_profile_track *t = &p->tracks[thread];
    int64_t end = now(p);
    push(t, (rt_profile_event){t->open, end, t->function, event, part});
    if (!p->warm) *sum += end - t->open;
    t->open = end;
}

void rt_profile_op(rt_profile *p, int thread, int32_t op, rt_profile_part part) {
    rt_profile_track *t = &p->tracks[thread];
    rt_profile_total *total = &t->totals[p->first[t->function] + (uint32_t)op];
    note(p, thread, op, &total->work, part);
    total->calls += !p->warm;
}

void rt_profile_wait(rt_profile *p, int thread, int32_t op) {
    rt_profile_track *t = &p->tracks[thread];
    note(p, thread, ~op, &t->totals[p->first[t->function] + (uint32_t)op].wait,
         (rt_profile_part){0});
}

void rt_profile_end(rt_profile *p, int thread) {
    rt_profile_track *t = &p->tracks[thread];
    if (!t->lost) t->events[t->call].end = t->open; /* the last barrier was passed */
    if (!p->warm) t->cpu += thread_cpu() - t->cpu_open;
}

/* ---- sums ---- */

int64_t rt_profile_cpu(const rt_profile *p) {
    int64_t sum = 0;
    for (int i = 0; i < p->threads; i++) sum += p->tracks[i].cpu;
    return sum;
}

rt_profile_total rt_profile_sum(const rt_profile *p, uint32_t op) {
    rt_profile_total sum = {.calls = p->tracks[0].totals[op].calls};
    for (int i = 0; i < p->threads; i++) {
        sum.work += p->tracks[i].totals[op].work;
        sum.wait += p->tracks[i].totals[op].wait;
    }
    return sum;
}

uint64_t rt_profile_dropped(const rt_profile *p) {
    uint64_t dropped = p->spans_dropped;
    for (int i = 0; i < p->threads; i++) dropped += p->tracks[i].dropped;
    return dropped;
}

/* Calls visit(user, group, nanoseconds) for every part of an op that counts. */
static void each_part(const rt_profile *p, const uint32_t *group,
                      void (*visit)(void *, uint32_t, int64_t), void *user) {
    for (int i = 0; i < p->threads; i++) {
        const rt_profile_track *t = &p->tracks[i];
        bool counts = true;
        for (uint32_t k = 0; k < t->count; k++) {
            const rt_profile_event *e = &t->events[k];
            if (e->op == RT_PROFILE_CALL || e->op == RT_PROFILE_WARM)
                counts = e->op == RT_PROFILE_CALL;
            if (e->op < 0 || !counts) continue;
            visit(user, group[p->first[e->function] + (uint32_t)e->op], e->end - e->begin);
        }
    }
}

struct parts {
    size_t *end; /* of a group's values; while they are counted, of the group behind it */
    int64_t *values;
};

static void count_part(void *user, uint32_t group, int64_t ns) {
    (void)ns;
    ((struct parts *)user)->end[group + 1]++;
}

static void keep_part(void *user, uint32_t group, int64_t ns) {
    struct parts *s = user;
    s->values[s->end[group]++] = ns;
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

rt_status rt_profile_spreads(const rt_profile *p, const uint32_t *group, uint32_t groups,
                             rt_profile_spread *out, rt_error *err) {
    struct parts s = {.end = calloc((size_t)groups + 2, sizeof *s.end)};
    if (s.end) {
        each_part(p, group, count_part, &s);
        for (uint32_t g = 0; g < groups; g++) s.end[g + 1] += s.end[g];
        s.values = malloc((s.end[groups] + 1) * sizeof *s.values);
    }
    if (!s.end || !s.values) {
        free(s.end);
        free(s.values);
        return rt_fail(err, RT_ERR_SYSTEM, "out of memory for the profile");
    }
    each_part(p, group, keep_part, &s);
    for (uint32_t g = 0; g < groups; g++) {
        size_t begin = g ? s.end[g - 1] : 0, n = s.end[g] - begin;
        int64_t *v = s.values + begin;
        out[g] = (rt_profile_spread){0};
        if (!n) continue;
        qsort(v, n, sizeof *v, by_value);
        out[g] = (rt_profile_spread){v[0], v[n / 2], v[(n * 99 + 99) / 100 - 1], v[n - 1]};
    }
    free(s.end);
    free(s.values);
    return RT_OK;
}
