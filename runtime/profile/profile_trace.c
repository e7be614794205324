/* The trace file: Chrome's trace event format, complete events that nest, one track a thread,
 * sorted by when they begin (docs/inspecting.md, "Profiles"). What no event covers becomes one:
 * `host`, the main thread's own work between functions; `wait`, another thread's idleness
 * meanwhile. */
#include "runtime/cli/output.h"
#include "runtime/profile/profile.h"
#include "runtime/text/unicode.h"

#include <stdlib.h>
#include <string.h>

/* Shorter gaps and waits are left out, in nanoseconds: they would be most of the file and none of
 * the time. */
enum { SHORT_GAP = 1000, SHORT_WAIT = 100 };

typedef struct writer {
    FILE *f;
    const rt_profile *p;
    const rt_profile_about *about;
    bool some; /* an event has been written */
    int thread;
    uint32_t next;   /* event of the track */
    uint32_t *calls; /* of every function so far, on this track */
} writer;

/* ---- JSON ---- */

/* Names come from model files and command lines: escaped, and UTF-8 whatever they were. */
static void string(FILE *f, const char *s) {
    size_t n = strlen(s), at = 0;
    uint32_t code;
    fputc('"', f);
    while (at < n) {
        size_t begin = at;
        if (!rt_utf8_next(s, n, &at, &code)) {
            fputs("\\ufffd", f);
            at++;
        } else if (code == '"' || code == '\\') {
            fprintf(f, "\\%c", (int)code);
        } else if (code < 0x20 || code == 0x7f || code == '<' || code == 0x2028 || code == 0x2029) {
            fprintf(f, "\\u%04x", (unsigned)code);
        } else {
            fwrite(s + begin, 1, at - begin, f);
        }
    }
    fputc('"', f);
}

static void member(FILE *f, const char *key, const char *value) {
    fprintf(f, ",\"%s\":", key);
    string(f, value);
}

static void microseconds(FILE *f, int64_t ns) {
    fprintf(f, "%lld.%03d", (long long)(ns / 1000), (int)(ns % 1000));
}

/* ---- events ---- */

static void next_line(writer *w) {
    fputs(w->some ? ",\n" : "\n", w->f);
    w->some = true;
}

/* An event up to its arguments; the caller closes it. */
static void begin_event(writer *w, const char *category, const char *name, int64_t begin,
                        int64_t end) {
    next_line(w);
    fprintf(w->f, "{\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"ts\":", w->thread);
    microseconds(w->f, begin);
    fputs(",\"dur\":", w->f);
    microseconds(w->f, end - begin);
    fprintf(w->f, ",\"cat\":\"%s\",\"name\":", category);
    string(w->f, name);
}

static void plain_event(writer *w, const char *category, const char *name, int64_t begin,
                        int64_t end) {
    begin_event(w, category, name, begin, end);
    fputs("}", w->f);
}

static void gap(writer *w, int64_t begin, int64_t end) {
    if (end - begin < SHORT_GAP) return;
    if (w->thread == 0)
        plain_event(w, "host", "host", begin, end);
    else
        plain_event(w, "wait", "idle", begin, end);
}

static void op_members(FILE *f, const struct ebru_op_desc *op) {
    fprintf(f, "\"node\":\"%%%d\"", op->node);
    member(f, "op", op->name);
    member(f, "kernel", op->kernel);
    member(f, "block", op->block);
    member(f, "result", op->detail);
    fprintf(f, ",\"flops\":%.0f,\"bytes\":%llu,\"weight_bytes\":%llu", op->flops,
            (unsigned long long)op->bytes, (unsigned long long)op->weight_bytes);
}

static void op_event(writer *w, const rt_profile_event *e) {
    const struct ebru_function_desc *fn = &w->p->model->functions[e->function];
    int32_t op = e->op < 0 ? ~e->op : e->op;
    if (e->op < 0 && e->end - e->begin < SHORT_WAIT) return;
    begin_event(w, e->op < 0 ? "wait" : "op", e->op < 0 ? "barrier" : fn->ops[op].name, e->begin,
                e->end);
    fprintf(w->f, ",\"args\":{\"index\":%d,", op);
    if (e->op < 0)
        fprintf(w->f, "\"node\":\"%%%d\"", fn->ops[op].node);
    else
        op_members(w->f, &fn->ops[op]);
    if (e->part.tasks) {
        fprintf(w->f, ",\"tasks\":%d,\"cpu\":", e->part.tasks);
        microseconds(w->f, e->part.cpu);
        fputs(",\"longest\":", w->f);
        microseconds(w->f, e->part.longest);
    }
    fputs("}}", w->f);
}

/* The calls of functions from `begin` to `end`, and what is between them. */
static void calls(writer *w, int64_t begin, int64_t end) {
    const rt_profile_track *t = &w->p->tracks[w->thread];
    int64_t at = begin;
    while (w->next < t->count && t->events[w->next].begin < end) {
        const rt_profile_event *e = &t->events[w->next++];
        uint32_t number = ++w->calls[e->function];
        bool whole = number > (uint32_t)w->about->calls;
        gap(w, at, e->begin);
        begin_event(w, "function", w->p->model->functions[e->function].name, e->begin, e->end);
        fprintf(w->f, ",\"args\":{\"call\":%u,\"counts\":%s}}", number,
                e->op == RT_PROFILE_CALL ? "true" : "false");
        at = e->end;
        for (; w->next < t->count && t->events[w->next].op > RT_PROFILE_WARM; w->next++)
            if (!whole) op_event(w, &t->events[w->next]);
    }
    gap(w, at, end);
}

/* All tracks show the phases: what another thread waits for. */
static void track(writer *w) {
    const rt_profile *p = w->p;
    w->next = 0;
    memset(w->calls, 0, (size_t)p->model->function_count * sizeof *w->calls);
    plain_event(w, "run", w->about->program, 0, p->wall);
    for (uint32_t i = 0; i < p->span_count;) {
        const rt_profile_span *phase = &p->spans[i++];
        int64_t at = phase->begin;
        plain_event(w, "phase", phase->name, phase->begin, phase->end);
        for (; i < p->span_count && p->spans[i].step; i++) {
            const rt_profile_span *step = &p->spans[i];
            calls(w, at, step->begin);
            plain_event(w, "step", step->name, step->begin, step->end);
            calls(w, step->begin, step->end);
            at = step->end;
        }
        calls(w, at, phase->end);
    }
}

static void names(writer *w) {
    next_line(w);
    fputs("{\"ph\":\"M\",\"pid\":1,\"tid\":0,\"name\":\"process_name\",\"args\":{\"name\":", w->f);
    string(w->f, w->about->program);
    fputs("}}", w->f);
    for (int i = 0; i < w->p->threads; i++) {
        next_line(w);
        fprintf(w->f,
                "{\"ph\":\"M\",\"pid\":1,\"tid\":%d,\"name\":\"thread_name\",\"args\":{\"name\":\"",
                i);
        fprintf(w->f, i ? "worker %d\"}}" : "main\"}}", i);
        next_line(w);
        fprintf(w->f, "{\"ph\":\"M\",\"pid\":1,\"tid\":%d,\"name\":\"thread_sort_index\",", i);
        fprintf(w->f, "\"args\":{\"sort_index\":%d}}", i);
    }
}

/* ---- what the run was, and its sums ---- */

static void about_run(const writer *w) {
    const rt_profile_about *a = w->about;
    const struct ebru_model *m = w->p->model;
    const char *build = strstr(m->build_info ? m->build_info : "", "\nbuild: ");
    fprintf(w->f, "\"format\":1,\"program\":");
    string(w->f, a->program);
    member(w->f, "model", rt_meta_string(m, EBRU_META_MODEL_NAME));
    fprintf(w->f, ",\"build\":\"%.*s\"", build ? (int)strcspn(build + 8, "\n") : 0,
            build ? build + 8 : "");
    member(w->f, "ebru", rt_meta_string(m, EBRU_META_EBRU_VERSION));
    member(w->f, "precision", rt_meta_string(m, EBRU_META_PRECISION));
    member(w->f, "level", a->level);
    fprintf(w->f, ",\"threads\":%d,\"wall_us\":", w->p->threads);
    microseconds(w->f, w->p->wall);
    fputs(",\"cpu_us\":", w->f);
    microseconds(w->f, rt_profile_cpu(w->p));
    fputs(",\"options\":[", w->f);
    for (int i = 1; i < a->argc; i++) {
        if (i > 1) fputc(',', w->f);
        string(w->f, a->argv[i]);
    }
    fputs("],\"roofs\":{\"unit\":", w->f);
    string(w->f, a->roofs.peak.unit);
    fprintf(w->f, ",\"gflops\":%.3f,\"f32_gflops\":%.3f,\"core_share\":%.3f,\"memory_gbs\":%.3f",
            a->roofs.peak.gflops, a->roofs.peak.f32, a->roofs.peak.cores, a->roofs.memory_gbs);
    if (a->roofs.peak.i8_unit) {
        fputs(",\"i8_unit\":", w->f);
        string(w->f, a->roofs.peak.i8_unit);
        fprintf(w->f, ",\"i8_gflops\":%.3f", a->roofs.peak.i8);
    }
    fprintf(w->f, "},\"dropped_events\":%llu,\"detailed_calls\":%d",
            (unsigned long long)rt_profile_dropped(w->p), a->calls);
}

static void sums(const writer *w, uint32_t op, const rt_profile_spread *s, bool waiting) {
    for (int i = 0; i < w->p->threads; i++) {
        const rt_profile_total *t = &w->p->tracks[i].totals[op];
        if (i) fputc(',', w->f);
        microseconds(w->f, waiting ? t->wait : t->work);
    }
    if (waiting) return;
    const int64_t values[] = {s->least, s->median, s->p99, s->most};
    static const char *const keys[] = {"min_us", "median_us", "p99_us", "max_us"};
    fputc(']', w->f);
    for (int i = 0; i < 4; i++) {
        fprintf(w->f, ",\"%s\":", keys[i]);
        microseconds(w->f, values[i]);
    }
    fputs(",\"wait_us\":[", w->f);
}

static void functions(const writer *w, const rt_profile_spread *spreads) {
    const rt_profile *p = w->p;
    fputs(",\"functions\":[", w->f);
    for (int32_t i = 0; i < p->model->function_count; i++) {
        const struct ebru_function_desc *fn = &p->model->functions[i];
        fprintf(w->f, "%s{\"name\":", i ? ",\n" : "\n");
        string(w->f, fn->name);
        fprintf(w->f, ",\"batch\":%d,\"ops\":[", fn->batch);
        for (int32_t k = 0; k < fn->op_count; k++) {
            uint32_t op = p->first[i] + (uint32_t)k;
            fputs(k ? ",\n{" : "\n{", w->f);
            op_members(w->f, &fn->ops[k]);
            fprintf(w->f, ",\"roof_gflops\":%.3f,\"calls\":%llu,\"work_us\":[",
                    rt_peak_of(&w->about->roofs.peak, fn->ops[k].kernel),
                    (unsigned long long)p->tracks[0].totals[op].calls);
            sums(w, op, &spreads[op], false);
            sums(w, op, &spreads[op], true);
            fputs("]}", w->f);
        }
        fputs("]}", w->f);
    }
    fputs("]", w->f);
}

static void write_all(writer *w, const rt_profile_spread *spreads) {
    fputs("{\"displayTimeUnit\":\"ms\",\"otherData\":{", w->f);
    about_run(w);
    functions(w, spreads);
    fputs("},\n\"traceEvents\":[", w->f);
    names(w);
    for (w->thread = 0; w->thread < w->p->threads; w->thread++) track(w);
    fputs("\n]}\n", w->f);
}

rt_status rt_profile_write(const rt_profile *p, const rt_profile_about *about, const char *path,
                           rt_error *err) {
    uint32_t *group = calloc((size_t)p->op_count + 1, sizeof *group);
    rt_profile_spread *spreads = calloc((size_t)p->op_count + 1, sizeof *spreads);
    writer w = {.p = p, .about = about};
    rt_output out;
    w.calls = calloc((size_t)p->model->function_count + 1, sizeof *w.calls);
    bool ok = group && spreads && w.calls;
    for (uint32_t i = 0; ok && i < p->op_count; i++) group[i] = i;
    rt_status s = ok ? rt_profile_spreads(p, group, p->op_count, spreads, err)
                     : rt_fail(err, RT_ERR_SYSTEM, "out of memory for the profile");
    if (!s) s = rt_output_begin(&out, path, err);
    if (!s) {
        w.f = out.file;
        write_all(&w, spreads);
        s = rt_output_commit(&out, err);
    }
    free(group);
    free(spreads);
    free(w.calls);
    return s;
}
