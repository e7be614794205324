/* Sums a trace up: by phase, function, kind of op, op, block and thread. */
#include "driver/report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const drv_report_name[DRV_REPORT_SECTIONS] = {"phases", "functions", "kinds",
                                                          "ops",    "blocks",    "threads"};

/* Longest first. */
static int by_work(const void *a, const void *b) {
    double x = ((const drv_report_row *)a)->work, y = ((const drv_report_row *)b)->work;
    return x < y   ? 1
           : x > y ? -1
                   : strcmp(((const drv_report_row *)a)->name, ((const drv_report_row *)b)->name);
}

/* Those that lose most first. */
static int by_lost(const void *a, const void *b) {
    double x = ((const drv_report_row *)a)->lost, y = ((const drv_report_row *)b)->lost;
    return x < y ? 1 : x > y ? -1 : by_work(a, b);
}

static void sort(const drv_report *r, drv_report_rows *rows) {
    if (rows->count)
        qsort(rows->items, rows->count, sizeof *rows->items, r->choice.by_lost ? by_lost : by_work);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The least time for the multiplications of all calls of an op, in seconds: the roof is that of its
 * kernel's products. */
static double compute(const drv_trace_op *op) {
    return op->roof > 0 ? op->flops * (double)op->calls * 1e-9 / op->roof : 0;
}

/* ---- the main thread's events ---- */

typedef struct durations {
    double *items; /* seconds */
    size_t count, cap;
} durations;

static void spread(durations *d, drv_report_row *row) {
    if (!d->count) return;
    qsort(d->items, d->count, sizeof *d->items, by_value);
    row->least = d->items[0];
    row->median = d->items[d->count / 2];
    row->p99 = d->items[(d->count * 99 + 99) / 100 - 1];
    row->most = d->items[d->count - 1];
    d->count = 0;
}

/* "step 3/20" -> "step": steps of a kind are one row. */
static const char *kind_of_step(base_arena *a, const char *name) {
    size_t n = strcspn(name, " ");
    return name[n] ? base_arena_strndup(a, name, n) : name;
}

/* The steps of the phase at `i` by kind, in order; each kind's are in a row below the phase's. */
static void steps(drv_report *r, base_arena *a, uint32_t i) {
    const drv_trace_track *t = &r->trace->tracks[0];
    drv_report_rows *rows = &r->rows[DRV_REPORT_PHASES];
    durations d = {0};
    for (uint32_t k = i + 1; k < t->count; k++) {
        const drv_trace_event *e = &t->events[k];
        if (e->kind == DRV_TRACE_PHASE) break;
        if (e->kind != DRV_TRACE_STEP) continue;
        const char *name = kind_of_step(a, e->name);
        drv_report_row *last = &rows->items[rows->count - 1];
        if (!last->depth || strcmp(last->name, name) != 0) {
            if (last->depth) spread(&d, last);
            BASE_PUSH(rows, ((drv_report_row){.name = name, .depth = 1}));
            last = &rows->items[rows->count - 1];
        }
        last->calls++;
        last->work += (double)e->duration * 1e-9;
        BASE_PUSH(&d, (double)e->duration * 1e-9);
    }
    if (d.count) spread(&d, &rows->items[rows->count - 1]);
    base_free(d.items);
}

static void phases(drv_report *r, base_arena *a) {
    const drv_trace_track *t = &r->trace->tracks[0];
    for (uint32_t i = 0; i < t->count; i++) {
        const drv_trace_event *e = &t->events[i];
        if (e->kind != DRV_TRACE_PHASE) continue;
        drv_report_row row = {.name = e->name, .calls = 1, .work = (double)e->duration * 1e-9};
        BASE_PUSH(&r->rows[DRV_REPORT_PHASES], row);
        steps(r, a, i);
    }
}

static void functions(drv_report *r) {
    const drv_trace *t = r->trace;
    durations d = {0};
    for (uint32_t f = 0; f < t->function_count; f++) {
        drv_report_row row = {.name = t->functions[f].name};
        for (uint32_t i = 0; i < t->tracks[0].count; i++) {
            const drv_trace_event *e = &t->tracks[0].events[i];
            if (e->kind != DRV_TRACE_FUNCTION || e->function != f || !e->counts) continue;
            row.calls++;
            row.work += (double)e->duration * 1e-9;
            BASE_PUSH(&d, (double)e->duration * 1e-9);
        }
        spread(&d, &row);
        for (uint32_t k = 0; k < t->functions[f].op_count; k++) {
            const drv_trace_op *op = &t->functions[f].ops[k];
            row.wait += drv_trace_wait(t, op);
            row.flops += op->flops * (double)op->calls;
            row.compute += compute(op);
            row.bytes += ((double)op->bytes + (double)op->weight_bytes) * (double)op->calls;
        }
        if (row.calls) BASE_PUSH(&r->rows[DRV_REPORT_FUNCTIONS], row);
    }
    base_free(d.items);
    drv_report_rows *rows = &r->rows[DRV_REPORT_FUNCTIONS];
    if (rows->count) qsort(rows->items, rows->count, sizeof *rows->items, by_work);
}

/* ---- ops ---- */

/* What an op takes beyond the roof that binds it, in seconds. */
static double lost(const drv_trace *t, const drv_trace_op *op) {
    double calls = (double)op->calls, least = compute(op);
    double bytes = ((double)op->bytes + (double)op->weight_bytes) * calls;
    if (t->memory_gbs > 0) least = fmax(least, bytes * 1e-9 / t->memory_gbs);
    return least > 0 ? fmax(drv_trace_work(t, op) - least, 0) : 0;
}

static void add(drv_report_row *row, const drv_trace *t, const drv_trace_op *op) {
    double least = op->min_us * 1e-6, most = op->max_us * 1e-6;
    if (op->calls && (!row->calls || least < row->least)) row->least = least;
    if (most > row->most) row->most = most;
    row->calls += op->calls;
    row->work += drv_trace_work(t, op);
    row->wait += drv_trace_wait(t, op);
    row->lost += lost(t, op);
    row->flops += op->flops * (double)op->calls;
    row->compute += compute(op);
    row->bytes += ((double)op->bytes + (double)op->weight_bytes) * (double)op->calls;
}

/* The row of that name, depth and parent position, new if there is none. */
static drv_report_row *row_of(drv_report_rows *rows, const char *name) {
    for (size_t i = 0; i < rows->count; i++)
        if (!strcmp(rows->items[i].name, name)) return &rows->items[i];
    BASE_PUSH(rows, ((drv_report_row){.name = name}));
    return &rows->items[rows->count - 1];
}

/* Where the model has the op, and how it is computed. */
static void take_node(drv_report *r, base_arena *a, const ir_module *m,
                      const drv_trace_function *fn, const drv_trace_op *op, drv_report_row *row) {
    const ir_func *f = NULL;
    for (size_t i = 0; m && i < m->funcs.count; i++)
        if (!strcmp(m->funcs.items[i]->name, fn->name)) f = m->funcs.items[i];
    if (!f) return;
    uint32_t *number = ir_numbering(f);
    bool *constant = ir_constants(f);
    const ir_origin *origin = NULL;
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        if (number[i] != op->node) continue;
        origin = &m->origins.items[f->nodes.items[i].origin];
        drv_op_form_of(f, (ir_ref){i}, constant, r->choice.quantization, &row->form);
    }
    base_free(number);
    base_free(constant);
    if (row->form.weight) row->form.weight = base_arena_strdup(a, row->form.weight);
    if (origin && origin->file && origin->line)
        row->place = base_arena_printf(a, "%s:%u:%u", origin->file, origin->line, origin->col);
}

static void ops(drv_report *r, base_arena *a, const ir_module *m) {
    const drv_trace *t = r->trace;
    drv_report_rows *rows = &r->rows[DRV_REPORT_OPS], *kinds = &r->rows[DRV_REPORT_KINDS];
    for (uint32_t f = 0; f < t->function_count; f++)
        for (uint32_t k = 0; k < t->functions[f].op_count; k++) {
            const drv_trace_op *op = &t->functions[f].ops[k];
            if (!op->calls) continue;
            drv_report_row row = {.block = op->block};
            row.name = base_arena_printf(a, "%s %%%u %s %s", t->functions[f].name, op->node,
                                         op->kernel, op->result);
            add(&row, t, op);
            row.median = op->median_us * 1e-6;
            row.p99 = op->p99_us * 1e-6;
            take_node(r, a, m, &t->functions[f], op, &row);
            BASE_PUSH(rows, row);
            bool shape = r->choice.by_shape;
            const char *kind = base_arena_printf(a, "%s (%s)%s%s", op->op, op->kernel,
                                                 shape ? " " : "", shape ? op->result : "");
            add(row_of(kinds, kind), t, op);
            r->in_functions += drv_trace_work(t, op) + drv_trace_wait(t, op);
        }
    sort(r, rows);
    sort(r, kinds);
}

/* ---- blocks ---- */

enum { BLOCK_LEVELS = 2 };

/* Length of the first `levels` parts of a block's path; a number belongs to the name in front of
 * it. */
static size_t part(const char *block, uint32_t levels) {
    size_t at = 0;
    while (levels--) {
        at += strcspn(block + at, ".");
        while (block[at] == '.' && block[at + 1] >= '0' && block[at + 1] <= '9')
            at += 1 + strcspn(block + at + 1, ".");
        if (levels && block[at] == '.') at++;
    }
    return at;
}

/* Function, block, block inside it: names are full paths while they are summed, so that sorting
 * them by time within their parent needs nothing else. */
static void blocks_of(drv_report *r, base_arena *a, const drv_trace_function *fn) {
    const drv_trace *t = r->trace;
    drv_report_rows all[BLOCK_LEVELS] = {{0}};
    drv_report_row top = {.name = fn->name};
    for (uint32_t k = 0; k < fn->op_count; k++) {
        const drv_trace_op *op = &fn->ops[k];
        if (!op->calls) continue;
        add(&top, t, op);
        for (uint32_t l = 0; l < BLOCK_LEVELS; l++) {
            size_t n = part(op->block, l + 1);
            if (l && n == part(op->block, l)) break; /* the block itself works */
            const char *name = *op->block ? base_arena_strndup(a, op->block, n) : "(none)";
            add(row_of(&all[l], name), t, op);
        }
    }
    if (top.calls) BASE_PUSH(&r->rows[DRV_REPORT_BLOCKS], top);
    for (uint32_t l = 0; l < BLOCK_LEVELS; l++) sort(r, &all[l]);
    for (size_t i = 0; i < all[0].count; i++) {
        drv_report_row *outer = &all[0].items[i];
        size_t n = strlen(outer->name);
        outer->depth = 1;
        BASE_PUSH(&r->rows[DRV_REPORT_BLOCKS], *outer);
        for (size_t k = 0; k < all[1].count; k++) {
            drv_report_row inner = all[1].items[k];
            if (strncmp(inner.name, outer->name, n) != 0 || inner.name[n] != '.') continue;
            inner.depth = 2;
            BASE_PUSH(&r->rows[DRV_REPORT_BLOCKS], inner);
        }
    }
    for (uint32_t l = 0; l < BLOCK_LEVELS; l++) base_free(all[l].items);
}

/* ---- threads ---- */

static void threads(drv_report *r) {
    const drv_trace *t = r->trace;
    for (uint32_t i = 0; i < t->threads; i++) {
        drv_report_row row = {.name = t->tracks[i].name, .outside = (double)t->wall * 1e-9};
        for (uint32_t f = 0; f < t->function_count; f++)
            for (uint32_t k = 0; k < t->functions[f].op_count; k++) {
                row.work += t->functions[f].ops[k].work_us[i] * 1e-6;
                row.wait += t->functions[f].ops[k].wait_us[i] * 1e-6;
            }
        for (uint32_t k = 0; k < t->tracks[i].count; k++) {
            const drv_trace_event *e = &t->tracks[i].events[k];
            if (e->kind != DRV_TRACE_FUNCTION) continue;
            row.calls++;
            row.outside -= (double)e->duration * 1e-9;
        }
        BASE_PUSH(&r->rows[DRV_REPORT_THREADS], row);
    }
}

/* ---- all of it ---- */

void drv_report_make(drv_report *r, drv_trace *t, const ir_module *m, drv_report_choice choice) {
    *r = (drv_report){.trace = t, .choice = choice};
    phases(r, t->arena);
    functions(r);
    ops(r, t->arena, m);
    for (uint32_t i = 0; i < r->rows[DRV_REPORT_FUNCTIONS].count; i++)
        for (uint32_t f = 0; f < t->function_count; f++)
            if (!strcmp(t->functions[f].name, r->rows[DRV_REPORT_FUNCTIONS].items[i].name))
                blocks_of(r, t->arena, &t->functions[f]);
    threads(r);
    r->cores = 1;
    if (t->cpu > 0 && (double)t->cpu * 1e-9 < drv_report_working(r))
        r->cores = (double)t->cpu * 1e-9 / drv_report_working(r);
}

double drv_report_working(const drv_report *r) {
    double working = 0;
    for (size_t i = 0; i < r->rows[DRV_REPORT_THREADS].count; i++)
        working += r->rows[DRV_REPORT_THREADS].items[i].work;
    return working;
}

void drv_report_free(drv_report *r) {
    for (int i = 0; i < DRV_REPORT_SECTIONS; i++) base_free(r->rows[i].items);
    *r = (drv_report){0};
}

double drv_report_share(const drv_report *r, const drv_report_row *row, bool *memory) {
    const double arithmetic = row->work > 0 ? row->compute / row->work : 0;
    double bytes = 0;
    if (row->work > 0 && r->trace->memory_gbs > 0)
        bytes = row->bytes / row->work * 1e-9 / r->trace->memory_gbs;
    *memory = bytes > arithmetic;
    return bytes > arithmetic ? bytes : arithmetic;
}
