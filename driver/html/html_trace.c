/* A trace as data of the page:
 *
 *   {program, unit, threads, wall, gflops, gbs, dropped, leftOut,
 *    functions: [[name, batch, [op...]]...],
 *    tracks: [{name, kind: [...], text: [...], begin: [...], duration: [...], depth: [...],
 *              func: [...], op: [...]}...]}
 *
 * An op is [op, kernel, block, result, node, flops, bytes, weight bytes, calls, work seconds, wait
 * seconds, min, median, p99, max (microseconds), GFLOP/s that bind it]. Events are columns, for there
 * are many; `begin` is what has passed since the event before it, in nanoseconds; `text` is 0 where
 * function and op tell the name. */
#include "driver/html/html.h"
#include "driver/report/trace.h"

/* A page of at most some megabytes: ops beyond are left out, longer events stay. */
enum { MAX_EVENTS = 60000 };

static void add_op(cJSON *list, const drv_trace *t, const drv_trace_op *op) {
    const char *texts[] = {op->op, op->kernel, op->block, op->result};
    const double times[] = {drv_trace_work(t, op),
                            drv_trace_wait(t, op),
                            op->min_us,
                            op->median_us,
                            op->p99_us,
                            op->max_us,
                            op->roof};
    cJSON *row = drv_json_array(list, NULL);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) drv_json_text(row, NULL, texts[i]);
    drv_json_uint(row, NULL, op->node);
    drv_json_real(row, NULL, op->flops);
    drv_json_uint(row, NULL, op->bytes);
    drv_json_uint(row, NULL, op->weight_bytes);
    drv_json_uint(row, NULL, op->calls);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) drv_json_real(row, NULL, times[i]);
}

static void add_functions(cJSON *to, const drv_trace *t) {
    cJSON *list = drv_json_array(to, "functions");
    for (uint32_t f = 0; f < t->function_count; f++) {
        const drv_trace_function *g = &t->functions[f];
        cJSON *row = drv_json_array(list, NULL);
        drv_json_text(row, NULL, g->name);
        drv_json_int(row, NULL, g->batch);
        cJSON *ops = drv_json_array(row, NULL);
        for (uint32_t k = 0; k < g->op_count; k++) add_op(ops, t, &g->ops[k]);
    }
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

static void add_column(cJSON *to, const char *key, const drv_trace_track *k,
                       const struct kept *kept, int64_t (*value)(const drv_trace_event *e)) {
    cJSON *column = drv_json_array(to, key);
    for (uint32_t i = 0; i < kept->count; i++)
        drv_json_int(column, NULL, value(&k->events[kept->index[i]]));
}

static void add_track(cJSON *list, const drv_trace_track *k, const struct kept *kept) {
    cJSON *o = drv_json_object(list, NULL), *column;
    drv_json_text(o, "name", k->name);
    column = drv_json_array(o, "text");
    for (uint32_t i = 0; i < kept->count; i++) {
        const drv_trace_event *e = &k->events[kept->index[i]];
        if (e->kind == DRV_TRACE_OP || e->kind == DRV_TRACE_FUNCTION)
            drv_json_int(column, NULL, 0);
        else
            drv_json_text(column, NULL, e->name);
    }
    column = drv_json_array(o, "begin");
    int64_t last = 0;
    for (uint32_t i = 0; i < kept->count; i++) {
        int64_t begin = k->events[kept->index[i]].begin;
        drv_json_int(column, NULL, begin - last);
        last = begin;
    }
    add_column(o, "kind", k, kept, kind_of);
    add_column(o, "duration", k, kept, duration_of);
    add_column(o, "depth", k, kept, depth_of);
    add_column(o, "func", k, kept, function_of);
    add_column(o, "op", k, kept, op_of);
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

void drv_html_trace(cJSON *page, const drv_trace *t) {
    cJSON *o = drv_json_object(page, "trace");
    drv_json_text(o, "program", t->program);
    const bool i8 = t->i8_gflops > t->gflops; /* the roof of all is the highest */
    drv_json_text(o, "unit", i8 ? t->i8_unit : t->unit);
    drv_json_uint(o, "threads", t->threads);
    drv_json_int(o, "wall", t->wall);
    drv_json_uint(o, "dropped", t->dropped_events);
    drv_json_real(o, "gflops", i8 ? t->i8_gflops : t->gflops);
    drv_json_real(o, "gbs", t->memory_gbs);
    add_functions(o, t);
    cJSON *tracks = drv_json_array(o, "tracks");
    uint64_t left_out = 0;
    for (uint32_t i = 0; i < t->threads; i++) {
        uint32_t *index = base_alloc(t->tracks[i].count * sizeof *index + 1);
        struct kept kept = keep(&t->tracks[i], MAX_EVENTS / t->threads, index, &left_out);
        add_track(tracks, &t->tracks[i], &kept);
        base_free(index);
    }
    drv_json_uint(o, "leftOut", left_out);
}
