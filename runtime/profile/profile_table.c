/* The table at exit: kinds of ops, and the ops that take longest. Times are of all threads: their
 * mean, so that the rows and the waiting add up to the time in functions. */
#include "runtime/profile/profile.h"
#include "runtime/text/unicode.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 20 };

struct row {
    const struct ebru_op_desc *op; /* an example */
    const char *function;          /* NULL: of several */
    uint64_t calls;
    double work, flops, bytes; /* seconds, the mean of the threads */
    rt_profile_spread spread;
};

static int by_time(const void *a, const void *b) {
    double x = ((const struct row *)a)->work, y = ((const struct row *)b)->work;
    return x < y ? 1 : x > y ? -1 : 0;
}

static const char *letters(double compute, double memory) {
    return compute >= memory ? "compute" : "memory";
}

/* The roof of a row is what binds it: the least time for its multiplications or for its bytes. */
static void print_row(const struct row *r, const char *name, const char *block, double total,
                      const rt_roofs *roofs, FILE *out) {
    double gflops = r->work > 0 ? r->flops / r->work * 1e-9 : 0,
           gbs = r->work > 0 ? r->bytes / r->work * 1e-9 : 0;
    const double peak = rt_peak_of(&roofs->peak, r->op->kernel);
    double compute = peak > 0 ? gflops / peak : 0,
           memory = roofs->memory_gbs > 0 ? gbs / roofs->memory_gbs : 0;
    double calls = r->calls ? (double)r->calls : 1;
    fprintf(out, "%-32.32s %8llu %10.2f %6.1f %9.1f %7.1f %6.1f %-7s %9.1f %9.1f %9.1f %9.1f%s%s\n",
            name, (unsigned long long)r->calls, r->work * 1e3,
            total > 0 ? 100 * r->work / total : 0, gflops, gbs,
            100 * (compute > memory ? compute : memory), letters(compute, memory),
            r->work * 1e6 / calls, (double)r->spread.least * 1e-3, (double)r->spread.median * 1e-3,
            (double)r->spread.p99 * 1e-3, *block ? "  " : "", block);
}

static void print_roofs(const rt_profile *p, const rt_roofs *roofs, FILE *out) {
    const rt_peak *k = &roofs->peak;
    fprintf(out, "%d threads, %.1f ms; roofs %.1f GFLOP/s (%s), %.1f GFLOP/s in f32, ", p->threads,
            (double)p->wall * 1e-6, k->gflops, k->unit, k->f32);
    if (k->i8_unit) fprintf(out, "%.1f GFLOP/s in int8 (%s), ", k->i8, k->i8_unit);
    fprintf(out, "%.1f GB/s\n", roofs->memory_gbs);
}

static void print_head(const char *name, const char *last, FILE *out) {
    fprintf(out, "%-32s %8s %10s %6s %9s %7s %6s %-7s %9s %9s %9s %9s%s\n", name, "calls", "ms",
            "%", "GFLOP/s", "GB/s", "% roof", "bound", "us avg", "min", "median", "p99", last);
}

static void add(struct row *r, const rt_profile *p, const struct ebru_op_desc *op, uint32_t index) {
    rt_profile_total t = rt_profile_sum(p, index);
    r->op = op;
    r->calls += t.calls;
    r->work += (double)t.work * 1e-9 / p->threads;
    r->flops += op->flops * (double)t.calls;
    r->bytes += (double)(op->bytes + op->weight_bytes) * (double)t.calls;
}

static bool same_kind(const struct ebru_op_desc *a, const struct ebru_op_desc *b) {
    return !strcmp(a->name, b->name) && !strcmp(a->kernel, b->kernel);
}

/* Rows of all kinds; group[] receives the row of every op. Their number. */
static uint32_t kinds(const rt_profile *p, struct row *rows, uint32_t *group) {
    uint32_t count = 0;
    for (int32_t i = 0; i < p->model->function_count; i++)
        for (int32_t k = 0; k < p->model->functions[i].op_count; k++) {
            const struct ebru_op_desc *op = &p->model->functions[i].ops[k];
            uint32_t r = 0, index = p->first[i] + (uint32_t)k;
            while (r < count && !same_kind(rows[r].op, op)) r++;
            count += r == count;
            add(&rows[r], p, op, index);
            group[index] = r;
        }
    return count;
}

static uint32_t single_ops(const rt_profile *p, struct row *rows, uint32_t *group) {
    for (int32_t i = 0; i < p->model->function_count; i++)
        for (int32_t k = 0; k < p->model->functions[i].op_count; k++) {
            uint32_t index = p->first[i] + (uint32_t)k;
            add(&rows[index], p, &p->model->functions[i].ops[k], index);
            rows[index].function = p->model->functions[i].name;
            group[index] = index;
        }
    return p->op_count;
}

static void print_rows(struct row *rows, uint32_t count, uint32_t most, double total,
                       const rt_roofs *roofs, FILE *out) {
    qsort(rows, count, sizeof *rows, by_time);
    for (uint32_t r = 0; r < count && r < most && rows[r].calls; r++) {
        char name[2 * RT_PRINTABLE_MAX], function[RT_PRINTABLE_MAX], block[RT_PRINTABLE_MAX];
        const struct ebru_op_desc *op = rows[r].op;
        if (rows[r].function)
            snprintf(name, sizeof name, "%s %%%d %s", rt_printable(rows[r].function, function),
                     op->node, op->kernel);
        else
            snprintf(name, sizeof name, "%s (%s)", op->name, op->kernel);
        print_row(&rows[r], name, rows[r].function ? rt_printable(op->block, block) : "", total,
                  roofs, out);
    }
}

static void print_sum(const char *name, double seconds, double total, FILE *out) {
    fprintf(out, "%-32s %8s %10.2f %6.1f\n", name, "", seconds * 1e3,
            total > 0 ? 100 * seconds / total : 0);
}

rt_status rt_profile_table(const rt_profile *p, const rt_roofs *roofs, FILE *out, rt_error *err) {
    size_t room = (size_t)p->op_count + 1;
    struct row *rows = calloc(room, sizeof *rows);
    rt_profile_spread *spreads = calloc(room, sizeof *spreads);
    uint32_t *group = calloc(room, sizeof *group);
    rt_status s = rows && spreads && group
                      ? RT_OK
                      : rt_fail(err, RT_ERR_SYSTEM, "out of memory for the profile");
    double work = 0, wait = 0;
    for (uint32_t i = 0; !s && i < p->op_count; i++) {
        rt_profile_total t = rt_profile_sum(p, i);
        work += (double)t.work * 1e-9 / p->threads;
        wait += (double)t.wait * 1e-9 / p->threads;
    }
    for (int ops = 0; !s && ops < 2; ops++) {
        memset(rows, 0, room * sizeof *rows);
        uint32_t count = ops ? single_ops(p, rows, group) : kinds(p, rows, group);
        s = rt_profile_spreads(p, group, count, spreads, err);
        for (uint32_t r = 0; r < count; r++) rows[r].spread = spreads[r];
        if (s) break;
        if (!ops) print_roofs(p, roofs, out);
        print_head(ops ? "op" : "kind of op", ops ? "  block" : "", out);
        print_rows(rows, count, ops ? MOST_ROWS : count, work + wait, roofs, out);
        if (ops) continue;
        print_sum("waiting for other threads", wait, work + wait, out);
        print_sum("in functions", work + wait, work + wait, out);
        fputc('\n', out);
    }
    uint64_t dropped = rt_profile_dropped(p);
    if (!s && dropped)
        fprintf(out, "(%llu events beyond the budget are summed up, but not in the trace)\n",
                (unsigned long long)dropped);
    free(rows);
    free(spreads);
    free(group);
    return s;
}
