/* Reads a trace. Everything is checked before it is used: who walks a drv_trace meets only indexes
 * in range, finite numbers, and events that nest. The strict reader tells each fault with its line
 * and column and bounds what a hostile file costs; a trace comes from another program, perhaps from
 * another machine. */
#include "driver/report/trace.h"
#include "driver/cli/read_text.h"

#include "frontend/files/json_file.h"

#include <math.h>
#include <string.h>

enum { FORMAT = 1, MAX_THREADS = 1024, MAX_DEPTH = 8 };
#define MAX_BYTES  ((size_t)256 << 20)
#define MAX_VALUES ((size_t)16 << 20)
#define MAX_US     9e12 /* a hundred days */

const char *const drv_trace_kind_name[DRV_TRACE_KINDS] = {"run", "phase", "step", "function",
                                                          "op",  "wait",  "host"};

typedef struct reader {
    base_diag *d;
    unsigned before; /* errors when it began */
    drv_trace *t;
    BASE_VEC(drv_trace_event) * events; /* of every thread */
    uint32_t (*open)[MAX_DEPTH]; /* of every thread: the events that the next may be inside of */
    uint32_t *depth;
    bool *broken; /* of every thread: the rest of its track makes no sense */
} reader;

static bool failed(const reader *r) {
    return base_diag_errors(r->d) != r->before;
}

/* ---- values ---- */

static const char *text(const reader *r, base_jval object, const char *key) {
    const char *s = "";
    base_json_string(base_json_require(object, key), &s);
    return base_arena_strdup(r->t->arena, s);
}

static uint64_t whole(base_jval object, const char *key, int64_t min, int64_t max) {
    int64_t n = min;
    base_json_int(base_json_require(object, key), &n, min, max);
    return (uint64_t)n;
}

/* A number that is finite and not negative. */
static double amount(base_jval v, double max) {
    double x = 0;
    if (!base_json_double(v, &x)) return 0;
    if (x >= 0 && x <= max) return x;
    base_json_error(v, "expected a number from 0 to %g", max);
    return 0;
}

static double amount_of(base_jval object, const char *key, double max) {
    return amount(base_json_require(object, key), max);
}

static int64_t nanoseconds(base_jval object, const char *key) {
    return llround(amount_of(object, key, MAX_US) * 1000);
}

/* "%41" */
static uint32_t node_number(base_jval object) {
    const char *s;
    base_jval v = base_json_require(object, "node");
    uint64_t n = 0;
    if (!base_json_string(v, &s)) return 0;
    size_t digits = strspn(s[0] == '%' ? s + 1 : s, "0123456789");
    if (s[0] != '%' || !digits || digits > 9 || s[1 + digits]) {
        base_json_error(v, "expected a node's number, like \"%%41\"");
        return 0;
    }
    for (const char *p = s + 1; *p; p++) n = n * 10 + (uint64_t)(*p - '0');
    return (uint32_t)n;
}

/* One number a thread. */
static double *per_thread(const reader *r, base_jval object, const char *key) {
    double *out = base_arena_alloc(r->t->arena, (r->t->threads + 1) * sizeof *out);
    base_jval array = base_json_require(object, key);
    if (!base_json_expect(array, BASE_JSON_ARRAY)) return out;
    if (base_json_length(array) != r->t->threads)
        base_json_error(array, "expected %u numbers, one a thread", r->t->threads);
    else
        for (uint32_t i = 0; i < r->t->threads; i++)
            out[i] = amount(base_json_item(array, i), MAX_US);
    return out;
}

/* ---- otherData ---- */

static void read_op(const reader *r, base_jval v, drv_trace_op *op) {
    if (!base_json_expect(v, BASE_JSON_OBJECT)) return;
    op->op = text(r, v, "op");
    op->kernel = text(r, v, "kernel");
    op->block = text(r, v, "block");
    op->result = text(r, v, "result");
    op->node = node_number(v);
    op->flops = amount_of(v, "flops", 1e30);
    base_jval roof = base_json_get(v, "roof_gflops");
    op->roof = base_json_present(roof) ? amount(roof, 1e12) : /* older traces have two */
                   strstr(op->kernel, "_bf16") ? r->t->gflops
                                               : r->t->f32_gflops;
    op->bytes = whole(v, "bytes", 0, INT64_MAX);
    op->weight_bytes = whole(v, "weight_bytes", 0, INT64_MAX);
    op->calls = whole(v, "calls", 0, INT64_MAX);
    op->work_us = per_thread(r, v, "work_us");
    op->wait_us = per_thread(r, v, "wait_us");
    op->min_us = amount_of(v, "min_us", MAX_US);
    op->median_us = amount_of(v, "median_us", MAX_US);
    op->p99_us = amount_of(v, "p99_us", MAX_US);
    op->max_us = amount_of(v, "max_us", MAX_US);
}

/* Items of an array member; *count is 0 when there is none. */
static base_jval items(base_jval object, const char *key, uint32_t *count) {
    base_jval array = base_json_require(object, key);
    *count = base_json_expect(array, BASE_JSON_ARRAY) ? (uint32_t)base_json_length(array) : 0;
    return array;
}

static void read_functions(const reader *r, base_jval other) {
    drv_trace *t = r->t;
    base_jval array = items(other, "functions", &t->function_count);
    t->functions = base_arena_alloc(t->arena, (t->function_count + 1) * sizeof *t->functions);
    for (uint32_t i = 0; i < t->function_count; i++) {
        drv_trace_function *f = &t->functions[i];
        base_jval v = base_json_item(array, i);
        f->name = "";
        if (!base_json_expect(v, BASE_JSON_OBJECT)) continue;
        f->name = text(r, v, "name");
        f->batch = (int64_t)whole(v, "batch", 0, INT64_MAX);
        base_jval ops = items(v, "ops", &f->op_count);
        f->ops = base_arena_alloc(t->arena, (f->op_count + 1) * sizeof *f->ops);
        for (uint32_t k = 0; k < f->op_count; k++) read_op(r, base_json_item(ops, k), &f->ops[k]);
    }
}

/* False when the rest cannot be understood. */
static bool read_about(const reader *r, base_jval root) {
    drv_trace *t = r->t;
    int64_t format;
    base_jval other = base_json_get(root, "otherData"), v = base_json_get(other, "format");
    if (!base_json_present(v)) {
        base_json_error(root,
                        "not a trace that a program of ebru wrote: it has no otherData.format");
        return false;
    }
    if (!base_json_int(v, &format, 0, INT64_MAX)) return false;
    if (format != FORMAT) {
        base_json_error(v, "trace format %lld; this ebru reads format %d", (long long)format,
                        FORMAT);
        return false;
    }
    t->program = text(r, other, "program");
    t->model = text(r, other, "model");
    t->build = text(r, other, "build");
    t->ebru = text(r, other, "ebru");
    t->precision = text(r, other, "precision");
    t->level = text(r, other, "level");
    t->threads = (uint32_t)whole(other, "threads", 1, MAX_THREADS);
    t->wall = nanoseconds(other, "wall_us");
    t->dropped_events = whole(other, "dropped_events", 0, INT64_MAX);
    t->detailed_calls = whole(other, "detailed_calls", 0, INT64_MAX);
    base_jval roofs = base_json_require(other, "roofs");
    t->unit = text(r, roofs, "unit");
    base_jval cpu = base_json_get(other, "cpu_us"), cores = base_json_get(roofs, "core_share");
    if (base_json_present(cpu)) t->cpu = llround(amount(cpu, MAX_US) * 1000);
    t->peak_cores = base_json_present(cores) ? amount(cores, 1) : 1;
    t->gflops = amount_of(roofs, "gflops", 1e12);
    t->memory_gbs = amount_of(roofs, "memory_gbs", 1e12);
    base_jval f32 = base_json_get(roofs, "f32_gflops");
    t->f32_gflops = base_json_present(f32) ? amount(f32, 1e12) : t->gflops;
    base_jval i8 = base_json_get(roofs, "i8_gflops");
    if (base_json_present(i8)) t->i8_gflops = amount(i8, 1e12);
    t->i8_unit = base_json_present(i8) ? text(r, roofs, "i8_unit") : "";
    base_jval options = items(other, "options", &t->option_count);
    t->options = base_arena_alloc(t->arena, (t->option_count + 1) * sizeof *t->options);
    for (uint32_t i = 0; i < t->option_count; i++) {
        const char *s = "";
        base_json_string(base_json_item(options, i), &s);
        t->options[i] = base_arena_strdup(t->arena, s);
    }
    if (failed(r)) return false;
    read_functions(r, other);
    return !failed(r);
}

/* ---- events ---- */

/* Where the events of a kind may stand. */
static bool may_stand_in(drv_trace_kind inner, drv_trace_kind outer) {
    switch (inner) {
    case DRV_TRACE_PHASE: return outer == DRV_TRACE_RUN;
    case DRV_TRACE_STEP: return outer == DRV_TRACE_PHASE;
    case DRV_TRACE_FUNCTION:
    case DRV_TRACE_HOST: return outer == DRV_TRACE_PHASE || outer == DRV_TRACE_STEP;
    case DRV_TRACE_OP: return outer == DRV_TRACE_FUNCTION;
    case DRV_TRACE_WAIT:
        return outer == DRV_TRACE_PHASE || outer == DRV_TRACE_STEP || outer == DRV_TRACE_FUNCTION;
    default: return false;
    }
}

/* Puts the event under the one it is inside of. */
static bool place(reader *r, base_jval v, uint32_t tid, drv_trace_event *e) {
    uint32_t count = (uint32_t)r->events[tid].count, depth = r->depth[tid];
    const drv_trace_event *all = r->events[tid].items;
    if (count && e->begin < all[count - 1].begin) {
        base_json_error(v, "begins before the event in front of it on its track");
        return false;
    }
    while (depth &&
           e->begin >= all[r->open[tid][depth - 1]].begin + all[r->open[tid][depth - 1]].duration)
        depth--;
    e->parent = depth ? r->open[tid][depth - 1] : DRV_TRACE_NONE;
    e->depth = depth;
    if (!depth != !count || (!depth && e->kind != DRV_TRACE_RUN)) {
        base_json_error(v, count ? "lies outside of the run" : "a track begins with the run");
        return false;
    }
    if (depth) {
        const drv_trace_event *outer = &all[e->parent];
        if (e->begin + e->duration > outer->begin + outer->duration) {
            base_json_error(v, "ends behind the event that it begins in ('%s')", outer->name);
            return false;
        }
        if (!may_stand_in(e->kind, outer->kind)) {
            base_json_error(v, "'%s' within '%s'", drv_trace_kind_name[e->kind],
                            drv_trace_kind_name[outer->kind]);
            return false;
        }
        e->function = outer->function;
    }
    r->open[tid][depth] = count;
    r->depth[tid] = depth + 1;
    return true;
}

static bool read_call(const reader *r, base_jval v, base_jval args, drv_trace_event *e) {
    e->call = (uint32_t)whole(args, "call", 1, UINT32_MAX);
    e->counts = true;
    base_json_bool(base_json_require(args, "counts"), &e->counts);
    for (uint32_t i = 0; i < r->t->function_count; i++)
        if (!strcmp(r->t->functions[i].name, e->name)) e->function = i;
    if (e->function != DRV_TRACE_NONE) return true;
    base_json_error(v, "otherData has no function of this name");
    return false;
}

static bool read_index(const reader *r, base_jval args, drv_trace_event *e) {
    int64_t index;
    const drv_trace_function *f = &r->t->functions[e->function];
    base_jval v = base_json_require(args, "index");
    if (!base_json_int(v, &index, 0, INT64_MAX)) return false;
    if (index >= f->op_count) {
        base_json_error(v, "%s has %u ops", f->name, f->op_count);
        return false;
    }
    e->op = (uint32_t)index;
    return true;
}

/* Most events have one of few names. */
static const char *keep_name(const reader *r, const char *name) {
    static const char *const common[] = {"barrier", "idle", "host"};
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        if (!strcmp(name, common[i])) return common[i];
    return base_arena_strdup(r->t->arena, name);
}

static void read_event(reader *r, base_jval v, uint32_t tid) {
    size_t kind;
    const char *name;
    drv_trace_event e = {.function = DRV_TRACE_NONE, .op = DRV_TRACE_NONE};
    if (!base_json_choice(base_json_require(v, "cat"), "kind of event", drv_trace_kind_name,
                          DRV_TRACE_KINDS, &kind) ||
        !base_json_string(base_json_require(v, "name"), &name))
        return;
    e.kind = (drv_trace_kind)kind;
    e.begin = nanoseconds(v, "ts");
    e.duration = nanoseconds(v, "dur");
    e.name = name; /* until it is known whose */
    base_jval args = base_json_get(v, "args");
    if (e.kind == DRV_TRACE_FUNCTION && !read_call(r, v, base_json_require(v, "args"), &e)) return;
    uint32_t function = e.function;
    if (r->broken[tid] || (r->broken[tid] = !place(r, v, tid, &e))) return;
    if (e.kind == DRV_TRACE_FUNCTION) e.function = function;
    bool in_function =
        e.kind == DRV_TRACE_OP || (e.kind == DRV_TRACE_WAIT && e.function != DRV_TRACE_NONE);
    if (in_function && (r->broken[tid] = !read_index(r, args, &e))) return;
    e.name = keep_name(r, name);
    if (e.kind == DRV_TRACE_OP) {
        const drv_trace_function *f = &r->t->functions[e.function];
        if (strcmp(name, f->ops[e.op].op) != 0)
            base_json_error(v, "op %u of %s is '%s'", e.op, f->name, f->ops[e.op].op);
        e.name = f->ops[e.op].op;
    }
    BASE_PUSH(&r->events[tid], e);
}

static void read_events(reader *r, base_jval root) {
    drv_trace *t = r->t;
    base_jval events = base_json_require(root, "traceEvents");
    if (!base_json_expect(events, BASE_JSON_ARRAY)) return;
    for (base_jval v = base_json_first(events); base_json_present(v); v = base_json_next(v)) {
        const char *phase;
        int64_t tid;
        if (!base_json_expect(v, BASE_JSON_OBJECT) ||
            !base_json_string(base_json_require(v, "ph"), &phase))
            continue;
        if (strcmp(phase, "X") != 0 && strcmp(phase, "M") != 0) {
            base_json_error(base_json_get(v, "ph"),
                            "expected complete events (X) and metadata (M)");
            continue;
        }
        if (!base_json_int(base_json_require(v, "tid"), &tid, 0, t->threads - 1)) continue;
        if (*phase == 'X')
            read_event(r, v, (uint32_t)tid);
        else if (!strcmp(base_json_opt_string(v, "name", ""), "thread_name"))
            t->tracks[tid].name = text(r, base_json_require(v, "args"), "name");
    }
    for (uint32_t i = 0; i < t->threads && !failed(r); i++) {
        t->tracks[i].count = (uint32_t)r->events[i].count;
        t->tracks[i].events =
            base_arena_alloc(t->arena, (r->events[i].count + 1) * sizeof *t->tracks[i].events);
        if (r->events[i].count)
            memcpy(t->tracks[i].events, r->events[i].items,
                   r->events[i].count * sizeof *t->tracks[i].events);
        if (!t->tracks[i].name) t->tracks[i].name = base_arena_printf(t->arena, "thread %u", i);
        if (!r->events[i].count)
            base_json_error(events, "thread %u has no events", i);
        else if (t->tracks[i].events[0].begin || t->tracks[i].events[0].duration != t->wall)
            base_json_error(events, "the run of thread %u is not as long as wall_us", i);
    }
}

/* ---- the file ---- */

static const base_json_limits limits = {.max_bytes = MAX_BYTES, .max_values = MAX_VALUES};

/* Frees the document, which may be NULL. */
static drv_trace *read_document(base_diag *d, base_json *doc) {
    if (!doc) return NULL;
    base_arena *arena = base_arena_new();
    drv_trace *t = base_arena_alloc(arena, sizeof *t);
    t->arena = arena;
    reader r = {.d = d, .before = base_diag_errors(d), .t = t};
    if (read_about(&r, base_json_root(doc))) {
        t->tracks = base_arena_alloc(arena, t->threads * sizeof *t->tracks);
        r.events = base_alloc(t->threads * sizeof *r.events);
        r.open = base_alloc(t->threads * sizeof *r.open);
        r.depth = base_alloc(t->threads * sizeof *r.depth);
        r.broken = base_alloc(t->threads * sizeof *r.broken);
        read_events(&r, base_json_root(doc));
        for (uint32_t i = 0; i < t->threads; i++) base_free(r.events[i].items);
        base_free(r.events);
        base_free(r.open);
        base_free(r.depth);
        base_free(r.broken);
    }
    base_json_free(doc);
    if (!failed(&r)) return t;
    drv_trace_free(t);
    return NULL;
}

drv_trace *drv_trace_parse(base_diag *d, const char *name, const char *text, size_t length) {
    return read_document(d, base_json_parse(d, name, text, length, &limits));
}

drv_trace *drv_trace_read(base_diag *d, const char *path) {
    fe_bytes text;
    if (!drv_read_text(d, path, MAX_BYTES, &text)) return NULL;
    drv_trace *t = drv_trace_parse(d, path, text.data, text.size);
    fe_bytes_free(&text);
    return t;
}

void drv_trace_free(drv_trace *t) {
    if (t) base_arena_free(t->arena);
}

double drv_trace_work(const drv_trace *t, const drv_trace_op *op) {
    double sum = 0;
    for (uint32_t i = 0; i < t->threads; i++) sum += op->work_us[i];
    return sum / t->threads * 1e-6;
}

double drv_trace_wait(const drv_trace *t, const drv_trace_op *op) {
    double sum = 0;
    for (uint32_t i = 0; i < t->threads; i++) sum += op->wait_us[i];
    return sum / t->threads * 1e-6;
}
