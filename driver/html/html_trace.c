/* A trace as JSON for the page:
 *
 *   {program, model, level, precision, unit, threads, wall, gflops, gbs, dropped, detailed, leftOut,
 *    functions: [[name, batch, [[op, kernel, block, result, node, flops, bytes, weight bytes, calls,
 *                                work seconds, wait seconds, min, median, p99, max (microseconds)]...]]...],
 *    tracks: [{name, kind: [...], text: [...], begin: [...], duration: [...], depth: [...], func: [...], op:
 * [...]}...]}
 *
 * Texts are indices into the document's table. Events are columns; `begin` is what has passed since
 * the event before it, in nanoseconds; `text` is -1 where function and op tell the name. */
#include "driver/html/html.h"
#include "driver/report/trace.h"

/* A page of at most some megabytes: ops beyond are left out, longer events stay. */
enum { MAX_EVENTS = 60000 };

static void add_op(html_json *j, const drv_trace *t, const drv_trace_op *op) {
    const char *texts[] = {op->op, op->kernel, op->block, op->result};
    base_str_add(&j->text, "[");
    for (size_t i = 0; i < 4; i++)
        base_str_addf(&j->text, "%lld,", (long long)html_string(j, texts[i]));
    base_str_addf(&j->text, "%u,", op->node);
    html_add_number(&j->text, op->flops);
    base_str_addf(&j->text, ",%llu,%llu,%llu", (unsigned long long)op->bytes,
                  (unsigned long long)op->weight_bytes, (unsigned long long)op->calls);
    double times[] = {drv_trace_work(t, op),
                      drv_trace_wait(t, op),
                      op->min_us,
                      op->median_us,
                      op->p99_us,
                      op->max_us};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        base_str_add(&j->text, ",");
        html_add_number(&j->text, times[i]);
    }
    base_str_add(&j->text, "]");
}

static void add_functions(html_json *j, const drv_trace *t) {
    base_str_add(&j->text, ",\"functions\":[");
    for (uint32_t f = 0; f < t->function_count; f++) {
        const drv_trace_function *g = &t->functions[f];
        base_str_addf(&j->text, "%s[%lld,%lld,[", f ? "," : "", (long long)html_string(j, g->name),
                      (long long)g->batch);
        for (uint32_t k = 0; k < g->op_count; k++) {
            if (k) base_str_add(&j->text, ",");
            add_op(j, t, &g->ops[k]);
        }
        base_str_add(&j->text, "]]");
    }
    base_str_add(&j->text, "]");
}

/* ---- tracks ---- */

struct kept {
    const uint32_t *index; /* of the events that are written */
    uint32_t count;
};

static int64_t kind_of(const drv_trace_event *e) {
    return e->kind;
}
static int64_t duration_of(const drv_trace_event *e) {
    return e->duration;
}
static int64_t depth_of(const drv_trace_event *e) {
    return e->depth;
}
static int64_t function_of(const drv_trace_event *e) {
    return e->function == DRV_TRACE_NONE ? -1 : (int64_t)e->function;
}
static int64_t op_of(const drv_trace_event *e) {
    return e->op == DRV_TRACE_NONE ? -1 : (int64_t)e->op;
}

static void add_column(html_json *j, const drv_trace_track *k, const struct kept *kept,
                       const char *name, int64_t (*value)(const drv_trace_event *e)) {
    base_str_addf(&j->text, ",\"%s\":[", name);
    for (uint32_t i = 0; i < kept->count; i++)
        base_str_addf(&j->text, i ? ",%lld" : "%lld", (long long)value(&k->events[kept->index[i]]));
    base_str_add(&j->text, "]");
}

static void add_track(html_json *j, const drv_trace_track *k, const struct kept *kept) {
    base_str_addf(&j->text, "{\"name\":%lld,\"text\":[", (long long)html_string(j, k->name));
    for (uint32_t i = 0; i < kept->count; i++) {
        const drv_trace_event *e = &k->events[kept->index[i]];
        bool told = e->kind == DRV_TRACE_OP || e->kind == DRV_TRACE_FUNCTION;
        base_str_addf(&j->text, i ? ",%lld" : "%lld",
                      (long long)(told ? -1 : html_string(j, e->name)));
    }
    base_str_add(&j->text, "],\"begin\":[");
    int64_t last = 0;
    for (uint32_t i = 0; i < kept->count; i++) {
        int64_t begin = k->events[kept->index[i]].begin;
        base_str_addf(&j->text, i ? ",%lld" : "%lld", (long long)(begin - last));
        last = begin;
    }
    base_str_add(&j->text, "]");
    add_column(j, k, kept, "kind", kind_of);
    add_column(j, k, kept, "duration", duration_of);
    add_column(j, k, kept, "depth", depth_of);
    add_column(j, k, kept, "func", function_of);
    add_column(j, k, kept, "op", op_of);
    base_str_add(&j->text, "}");
}

/* Events with a name stay; of ops and waits each track has its share of what a page holds, first
 * come. */
static struct kept keep(const drv_trace_track *k, uint32_t most, uint32_t *index,
                        uint64_t *left_out) {
    struct kept kept = {index, 0};
    uint32_t fine = 0;
    for (uint32_t i = 0; i < k->count; i++) {
        const drv_trace_event *e = &k->events[i];
        bool leaf =
            e->kind == DRV_TRACE_OP || e->kind == DRV_TRACE_WAIT || e->kind == DRV_TRACE_HOST;
        if (leaf && fine++ >= most)
            ++*left_out;
        else
            index[kept.count++] = i;
    }
    return kept;
}

void drv_html_trace(html_json *j, const drv_trace *t) {
    const char *names[] = {"program", "model", "level", "precision", "unit"};
    const char *values[] = {t->program, t->model, t->level, t->precision, t->unit};
    base_str_add(&j->text, ",\n\"trace\":{\"version\":1");
    for (size_t i = 0; i < 5; i++)
        base_str_addf(&j->text, ",\"%s\":%lld", names[i], (long long)html_string(j, values[i]));
    base_str_addf(&j->text,
                  ",\"threads\":%u,\"wall\":%lld,\"dropped\":%llu,\"detailed\":%llu,\"gflops\":",
                  t->threads, (long long)t->wall, (unsigned long long)t->dropped_events,
                  (unsigned long long)t->detailed_calls);
    html_add_number(&j->text, t->gflops);
    base_str_add(&j->text, ",\"gbs\":");
    html_add_number(&j->text, t->memory_gbs);
    add_functions(j, t);
    base_str_add(&j->text, ",\"tracks\":[");
    uint64_t left_out = 0;
    for (uint32_t i = 0; i < t->threads; i++) {
        uint32_t *index = base_alloc(t->tracks[i].count * sizeof *index + 1);
        struct kept kept = keep(&t->tracks[i], MAX_EVENTS / t->threads, index, &left_out);
        if (i) base_str_add(&j->text, ",");
        add_track(j, &t->tracks[i], &kept);
        base_free(index);
    }
    base_str_addf(&j->text, "],\"leftOut\":%llu}", (unsigned long long)left_out);
}
