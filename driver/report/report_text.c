/* The report as tables for reading. Every name in it comes from outside: printed escaped. */
#include "driver/report/report.h"

#include <string.h>

enum { MOST_OPS = 20, MOST_BLOCKS = 60, MOST_SHAPES = 40 };

static const char *shown(const char *s) {
    return base_escape(s, strlen(s));
}

static double share(double part, double whole) {
    return whole > 0 ? 100 * part / whole : 0;
}

/* Less of a core than this, and another process computed. */
static const double CORES_ENOUGH = 0.9;

/* Whose numbers are these? CPU time beside wall time. */
static void doubts(const drv_report *r, base_str *out) {
    const drv_trace *t = r->trace;
    if (t->cpu)
        base_str_addf(out, "CPU time of the threads in functions %.2f ms, working %.2f ms\n",
                      (double)t->cpu * 1e-6, drv_report_working(r) * 1e3);
    if (r->cores < CORES_ENOUGH)
        base_str_addf(out,
                      "another process had your cores: the threads had %.0f %% of the time they "
                      "worked; rates and shares of this run say little\n",
                      100 * r->cores);
    if (t->peak_cores < CORES_ENOUGH)
        base_str_addf(
            out,
            "the roof was measured while others had the cores (%.0f %% were left): shares "
            "of it say little\n",
            100 * t->peak_cores);
}

static void head(const drv_trace *t, base_str *out) {
    base_str_addf(out, "%s: model %s, ", shown(t->program), shown(t->model));
    base_str_addf(out, "precision %s, level %s, ", shown(t->precision), shown(t->level));
    base_str_addf(out, "%u threads, ebru %s, build %s\n", t->threads, shown(t->ebru),
                  shown(t->build));
    base_str_add(out, "options:");
    for (uint32_t i = 0; i < t->option_count; i++) base_str_addf(out, " %s", shown(t->options[i]));
    base_str_addf(out, "\nwall %.2f ms; roofs %.1f GFLOP/s (%s)", (double)t->wall * 1e-6, t->gflops,
                  shown(t->unit));
    if (t->f32_gflops != t->gflops) base_str_addf(out, ", %.1f GFLOP/s in f32", t->f32_gflops);
    if (t->i8_gflops > 0)
        base_str_addf(out, ", %.1f GFLOP/s in int8 (%s)", t->i8_gflops, t->i8_unit);
    base_str_addf(out, ", %.1f GB/s", t->memory_gbs);
    if (t->memory_gbs > 0)
        base_str_addf(out, ", equal at %.1f FLOP a byte", t->gflops / t->memory_gbs);
    base_str_add(out, "\n");
    if (t->dropped_events)
        base_str_addf(out, "%llu events are in the sums only: the trace is not complete\n",
                      (unsigned long long)t->dropped_events);
}

/* Phases and functions: calls and how long they took. */
static void calls(const drv_report *r, drv_report_section section, const char *title,
                  base_str *out) {
    const drv_report_rows *rows = &r->rows[section];
    bool functions = section == DRV_REPORT_FUNCTIONS;
    base_str_addf(out, "\n%-44s %7s %10s %6s %10s %10s %10s %10s", title, "calls", "ms", "%",
                  "ms a call", "min", "median", "p99");
    base_str_addf(out, functions ? " %9s %7s %9s\n" : "\n", "GFLOP/s", "% roof", "% waiting");
    for (size_t i = 0; i < rows->count; i++) {
        const drv_report_row *w = &rows->items[i];
        bool memory;
        double n = w->calls ? (double)w->calls : 1;
        base_str_addf(out, "%*s%-*.*s %7llu %10.2f %6.1f %10.3f", (int)w->depth * 2, "",
                      44 - (int)w->depth * 2, 44 - (int)w->depth * 2, shown(w->name),
                      (unsigned long long)w->calls, w->work * 1e3,
                      share(w->work, (double)r->trace->wall * 1e-9), w->work * 1e3 / n);
        if (w->most > 0)
            base_str_addf(out, " %10.3f %10.3f %10.3f", w->least * 1e3, w->median * 1e3,
                          w->p99 * 1e3);
        if (functions) {
            base_str_addf(out, " %9.1f", w->work > 0 ? w->flops / w->work * 1e-9 : 0);
            base_str_addf(out, " %7.1f %9.1f", 100 * drv_report_share(r, w, &memory),
                          share(w->wait, w->work));
        }
        base_str_add(out, "\n");
    }
}

/* Kinds of ops, ops and blocks: where they stand under the roofs. */
static void work(const drv_report *r, drv_report_section section, const char *title, size_t most,
                 base_str *out) {
    const drv_report_rows *rows = &r->rows[section];
    base_str_addf(out, "\n%-58s %7s %10s %6s %9s %9s %7s %8s %6s %-7s %9s %9s", title, "calls",
                  "ms", "%", "lost ms", "GFLOP/s", "GB/s", "FLOP/B", "% roof", "bound", "us avg",
                  "min");
    base_str_add(out, section == DRV_REPORT_OPS ? "    median       p99  block\n" : "\n");
    for (size_t i = 0; i < rows->count && i < most; i++) {
        const drv_report_row *w = &rows->items[i];
        bool memory;
        double roof = drv_report_share(r, w, &memory);
        base_str_addf(out, "%*s%-*.*s %7llu %10.2f %6.1f", (int)w->depth * 2, "",
                      58 - (int)w->depth * 2, 58 - (int)w->depth * 2, shown(w->name),
                      (unsigned long long)w->calls, w->work * 1e3, share(w->work, r->in_functions));
        base_str_addf(out, " %9.2f %9.1f %7.1f %8.1f %6.1f %-7s", w->lost * 1e3,
                      w->work > 0 ? w->flops / w->work * 1e-9 : 0,
                      w->work > 0 ? w->bytes / w->work * 1e-9 : 0,
                      w->bytes > 0 ? w->flops / w->bytes : 0, 100 * roof,
                      memory ? "memory" : "compute");
        base_str_addf(out, " %9.1f %9.1f", w->calls ? w->work * 1e6 / (double)w->calls : 0,
                      w->least * 1e6);
        if (section == DRV_REPORT_OPS)
            base_str_addf(out, " %9.1f %9.1f  %s", w->median * 1e6, w->p99 * 1e6, shown(w->block));
        if (w->place) base_str_addf(out, "  %s", shown(w->place));
        base_str_add(out, "\n");
    }
    if (rows->count > most) base_str_addf(out, "(%zu more; --json has all)\n", rows->count - most);
}

static void threads(const drv_report *r, base_str *out) {
    const drv_report_rows *rows = &r->rows[DRV_REPORT_THREADS];
    double sum = 0, longest = 0;
    base_str_addf(out, "\n%-20s %10s %6s %12s %6s %18s %6s\n", "thread", "working ms", "%",
                  "waiting ms", "%", "outside functions", "%");
    for (size_t i = 0; i < rows->count; i++) {
        const drv_report_row *w = &rows->items[i];
        double wall = (double)r->trace->wall * 1e-9;
        base_str_addf(out, "%-20.20s %10.2f %6.1f %12.2f %6.1f %18.2f %6.1f\n", shown(w->name),
                      w->work * 1e3, share(w->work, wall), w->wait * 1e3, share(w->wait, wall),
                      w->outside * 1e3, share(w->outside, wall));
        sum += w->work;
        if (w->work > longest) longest = w->work;
    }
    if (rows->count && longest > 0)
        base_str_addf(out, "balance %.3f (mean of the threads' work by the longest)\n",
                      sum / (double)rows->count / longest);
}

/* The op that loses most, and what to type next. */
static void next(const drv_report *r, const char *model, base_str *out) {
    const drv_report_rows *rows = &r->rows[DRV_REPORT_OPS];
    const drv_report_row *worst = NULL;
    for (size_t i = 0; i < rows->count; i++)
        if (rows->items[i].lost > (worst ? worst->lost : 0)) worst = &rows->items[i];
    if (!worst) return;
    const char *number = strstr(worst->name, " %");
    if (!number) return;
    size_t func = (size_t)(number - worst->name), digits = strcspn(number + 1, " ");
    base_str_addf(out, "\nmost time beyond the roof: %s", shown(worst->name));
    base_str_addf(out, ", %s: %.2f of %.2f ms; look at it alone:\n", shown(worst->block),
                  worst->lost * 1e3, worst->work * 1e3);
    base_str_addf(out, "  ebru bench %s --op=%.*s", model ? shown(model) : "MODEL", (int)digits,
                  number + 1);
    base_str_addf(out, " --function=%s\n", base_escape(worst->name, func));
}

void drv_report_text(const drv_report *r, const char *model, base_str *out) {
    head(r->trace, out);
    doubts(r, out);
    calls(r, DRV_REPORT_PHASES, "phase", out);
    calls(r, DRV_REPORT_FUNCTIONS, "function", out);
    work(r, DRV_REPORT_KINDS, r->choice.by_shape ? "kind of op and result" : "kind of op",
         r->choice.by_shape ? MOST_SHAPES : SIZE_MAX, out);
    work(r, DRV_REPORT_OPS, "op", MOST_OPS, out);
    work(r, DRV_REPORT_BLOCKS, "block", MOST_BLOCKS, out);
    threads(r, out);
    next(r, model, out);
}

/* ---- two runs ---- */

static const drv_report_row *find(const drv_report_rows *rows, const char *name) {
    for (size_t i = 0; i < rows->count; i++)
        if (!strcmp(rows->items[i].name, name)) return &rows->items[i];
    return NULL;
}

/* Milliseconds a run; of functions a call. */
static double value(const drv_report_row *row, bool per_call) {
    if (!row) return 0;
    return row->work * 1e3 / (per_call && row->calls ? (double)row->calls : 1);
}

static void compare_row(const char *name, const drv_report_row *a, const drv_report_row *b,
                        bool per_call, base_str *out) {
    double x = value(a, per_call), y = value(b, per_call);
    base_str_addf(out, "%-58.58s %7llu %7llu %10.3f %10.3f %10.3f", shown(name),
                  a ? (unsigned long long)a->calls : 0, b ? (unsigned long long)b->calls : 0, x, y,
                  x - y);
    base_str_addf(out, x > 0 && y > 0 ? " %7.3f\n" : "\n", x > 0 ? y / x : 0);
}

static void compare(const drv_report *a, const drv_report *b, drv_report_section section,
                    const char *title, bool per_call, base_str *out) {
    const drv_report_rows *first = &a->rows[section], *second = &b->rows[section];
    base_str_addf(out, "\n%-58s %7s %7s %10s %10s %10s %7s\n", title, "calls", "now",
                  per_call ? "ms a call" : "ms", "now", "saved", "ratio");
    for (size_t i = 0; i < first->count; i++)
        compare_row(first->items[i].name, &first->items[i], find(second, first->items[i].name),
                    per_call, out);
    for (size_t i = 0; i < second->count; i++)
        if (!find(first, second->items[i].name))
            compare_row(second->items[i].name, NULL, &second->items[i], per_call, out);
}

void drv_report_compare(const drv_report *a, const drv_report *b, base_str *out) {
    head(a->trace, out);
    doubts(a, out);
    head(b->trace, out);
    doubts(b, out);
    double x = (double)a->trace->wall * 1e-6, y = (double)b->trace->wall * 1e-6;
    base_str_addf(out, "\nwall %.2f ms, now %.2f ms", x, y);
    base_str_addf(out, x > 0 ? ": %.3f of it\n" : "\n", x > 0 ? y / x : 0);
    compare(a, b, DRV_REPORT_FUNCTIONS, "function", true, out);
    compare(a, b, DRV_REPORT_KINDS, a->choice.by_shape ? "kind of op and result" : "kind of op",
            true, out);
}
