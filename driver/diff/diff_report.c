/* ebru diff of two fusion reports (--fusion-report=json): which decisions appeared, vanished or
 * came out otherwise, and the counts pass by pass.
 *
 * Decisions are matched by pass, function, block, op and what was looked at, and in order among
 * equals; the numbers of nodes in texts do not count.
 *
 * Reports are read by the strict reader although ebru writes them: they are files that a user
 * names, may have edited or cut, and every fault is told with its line and column. */
#include "base/hash.h"
#include "base/index.h"
#include "driver/cli/options.h"
#include "driver/cli/write_text.h"
#include "driver/diff/diff.h"

#include "driver/driver.h"
#include "driver/json_writer.h"
#include "frontend/files/json_file.h"
#include "passes/passes.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 28 };

typedef struct decision {
    const char *pass, *func, *what, *op, *block; /* "" when the report does not say */
    const char *reason;                          /* NULL: matched */
    bool paired;
} decision;

typedef struct report {
    base_json *doc;
    BASE_VEC(decision) items;
} report;

/* A decision of one side or of both; of both only when they differ. */
typedef struct change {
    const decision *a, *b;
    size_t next; /* change of the same pass, +1 */
} change;

typedef struct pass_row {
    const char *name;
    size_t matched[2], refused[2]; /* decisions of a and b */
    size_t first, last;            /* changes, +1; 0: none */
} pass_row;

typedef struct diff_reports {
    report a, b;
    BASE_VEC(pass_row) passes; /* in the order of the reports */
    base_index by_name;        /* of passes */
    BASE_VEC(change) changes;
} diff_reports;

/* ---- reading ---- */

static bool read_decision(base_jval v, report *r) {
    decision d = {0};
    bool matched = false;
    if (!base_json_expect(v, BASE_JSON_OBJECT) ||
        !base_json_bool(base_json_require(v, "matched"), &matched) ||
        !base_json_string(base_json_require(v, "pass"), &d.pass))
        return false;
    d.func = base_json_opt_string(v, "function", "");
    d.what = base_json_opt_string(v, "what", "");
    d.op = base_json_opt_string(v, "op", "");
    d.block = base_json_opt_string(v, "block", "");
    d.reason = matched ? NULL : base_json_opt_string(v, "reason", "");
    BASE_PUSH(&r->items, d);
    return true;
}

static bool read_report(base_diag *d, const char *path, const fe_bytes *text, report *r) {
    base_json_limits limits = {.max_bytes = MOST_BYTES, .max_values = 1u << 24};
    r->doc = base_json_parse(d, path, text->data, text->size, &limits);
    if (!r->doc) return false;
    base_jval list = base_json_require(base_json_root(r->doc), "decisions");
    if (!base_json_expect(list, BASE_JSON_ARRAY)) return false;
    for (base_jval v = base_json_first(list); base_json_present(v); v = base_json_next(v))
        if (!read_decision(v, r)) return false;
    return true;
}

/* ---- comparing ---- */

static int by_key(const decision *a, const decision *b) {
    int c = strcmp(a->pass, b->pass);
    if (!c) c = strcmp(a->func, b->func);
    if (!c) c = strcmp(a->block, b->block);
    if (!c) c = strcmp(a->op, b->op);
    return c ? c : strcmp(a->what, b->what);
}

/* Pointers, so that equal decisions keep their order. */
static int by_key_then_place(const void *x, const void *y) {
    const decision *const *a = x, *const *b = y;
    int c = by_key(*a, *b);
    return c ? c : *a < *b ? -1 : *a > *b;
}

static bool same_reason(const char *a, const char *b) {
    return a && b ? pass_same_text(a, b) : a == b;
}

static decision **sorted(report *r) {
    decision **list = base_alloc((r->items.count + 1) * sizeof *list);
    for (size_t i = 0; i < r->items.count; i++) list[i] = &r->items.items[i];
    if (r->items.count) qsort(list, r->items.count, sizeof *list, by_key_then_place);
    return list;
}

static size_t group_end(decision *const *list, size_t from, size_t count) {
    size_t end = from;
    while (end < count && !by_key(list[end], list[from])) end++;
    return end;
}

/* As pass_same_text sees a reason: numbers of nodes do not count. */
static uint32_t hash_of(const char *reason) {
    uint32_t h = BASE_HASH_START;
    for (const char *s = reason ? reason : ""; *s; s++) {
        h = base_hash_bytes(h, s, 1);
        if (*s == '%') s += strspn(s + 1, "0123456789");
    }
    return base_hash_finish(h + !reason);
}

/* Decisions of b of one reason, in order. */
typedef struct reason_list {
    size_t first, last; /* place in the group, +1 */
} reason_list;

/* Pairs decisions of equal reasons, the first with the first. */
static void pair_equal(decision **a, size_t na, decision **b, size_t nb) {
    if (!na || !nb) return;
    BASE_VEC(reason_list) reasons = {0};
    base_index index = {0};
    size_t *next = base_alloc(nb * sizeof *next);
    for (size_t side = 0; side < 2; side++)
        for (size_t i = 0; i < (side ? na : nb); i++) {
            const char *reason = (side ? a : b)[i]->reason;
            const uint32_t hash = hash_of(reason);
            uint32_t at = base_index_start(&index, hash), id;
            reason_list *found = NULL;
            while (!found && base_index_next(&index, hash, &at, &id))
                /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): what has an id is there */
                if (same_reason(b[reasons.items[id].last - 1]->reason, reason))
                    found = &reasons.items[id];
            if (!side && found) {
                found->last = next[found->last - 1] = i + 1;
            } else if (!side) {
                base_index_add(&index, hash, (uint32_t)reasons.count);
                BASE_PUSH(&reasons, ((reason_list){i + 1, i + 1}));
            } else if (found && found->first) {
                a[i]->paired = b[found->first - 1]->paired = true;
                found->first = next[found->first - 1];
            }
        }
    base_index_free(&index);
    base_free(reasons.items);
    base_free(next);
}

/* Decisions of one key: equal ones first, then what is left in order. */
static void compare_group(diff_reports *d, decision **a, size_t na, decision **b, size_t nb) {
    pair_equal(a, na, b, nb);
    size_t i = 0, k = 0;
    for (;;) {
        while (i < na && a[i]->paired) i++;
        while (k < nb && b[k]->paired) k++;
        if (i == na && k == nb) return;
        change c = {i < na ? a[i++] : NULL, k < nb ? b[k++] : NULL, 0};
        BASE_PUSH(&d->changes, c);
    }
}

static int by_place(const void *x, const void *y) {
    const change *p = x, *q = y;
    if (p->a && q->a) return p->a < q->a ? -1 : p->a > q->a;
    if (p->b && q->b) return p->b < q->b ? -1 : p->b > q->b;
    return p->a ? -1 : 1; /* what vanished before what appeared */
}

static void compare_reports(diff_reports *d) {
    decision **a = sorted(&d->a), **b = sorted(&d->b);
    size_t na = d->a.items.count, nb = d->b.items.count, i = 0, k = 0;
    while (i < na || k < nb) {
        int c = i == na ? 1 : k == nb ? -1 : by_key(a[i], b[k]);
        size_t end_a = c <= 0 ? group_end(a, i, na) : i, end_b = c >= 0 ? group_end(b, k, nb) : k;
        compare_group(d, a + i, end_a - i, b + k, end_b - k);
        i = end_a;
        k = end_b;
    }
    base_free(a);
    base_free(b);
    if (d->changes.count)
        qsort(d->changes.items, d->changes.count, sizeof *d->changes.items, by_place);
}

/* The row of a pass, new at the end. */
static pass_row *row_of(diff_reports *d, const char *name) {
    const uint32_t hash = base_hash_text(name);
    uint32_t at = base_index_start(&d->by_name, hash), id;
    while (base_index_next(&d->by_name, hash, &at, &id))
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): what has an id is there */
        if (!strcmp(d->passes.items[id].name, name)) return &d->passes.items[id];
    base_index_add(&d->by_name, hash, (uint32_t)d->passes.count);
    BASE_PUSH(&d->passes, (pass_row){.name = name});
    return &d->passes.items[d->passes.count - 1];
}

static void count_decisions(diff_reports *d, const report *r, int side) {
    for (size_t i = 0; i < r->items.count; i++) {
        pass_row *row = row_of(d, r->items.items[i].pass);
        *(r->items.items[i].reason ? &row->refused[side] : &row->matched[side]) += 1;
    }
}

/* The passes of the default order, then others that a report names; the changes of each. */
static void list_passes(diff_reports *d) {
    for (uint32_t i = 0; i < pass_count(); i++) row_of(d, pass_get(i)->name);
    count_decisions(d, &d->a, 0);
    count_decisions(d, &d->b, 1);
    for (size_t i = 0; i < d->changes.count; i++) {
        const change *c = &d->changes.items[i];
        pass_row *row = row_of(d, (c->a ? c->a : c->b)->pass);
        if (row->last)
            d->changes.items[row->last - 1].next = i + 1;
        else
            row->first = i + 1;
        row->last = i + 1;
    }
}

/* ---- writing ---- */

static const char *shown(const char *s) {
    return base_escape(s, strlen(s));
}

static void add_outcome(const decision *d, base_str *out) {
    base_str_addf(out, d->reason ? "refused: %s" : "matched%s", d->reason ? shown(d->reason) : "");
}

static void write_text(const diff_reports *d, const drv_options *o, base_str *out) {
    if (!d->changes.count) {
        base_str_addf(out, "the same: %zu decisions\n", d->a.items.count);
        return;
    }
    base_str_addf(out, "--- %s\n", shown(o->model));
    base_str_addf(out, "+++ %s\n", shown(o->second));
    size_t vanished = 0, appeared = 0, changed = 0;
    for (size_t p = 0; p < d->passes.count; p++) {
        const pass_row *row = &d->passes.items[p];
        if (row->first)
            base_str_addf(out, "%s: matched %zu -> %zu, refused %zu -> %zu\n", shown(row->name),
                          row->matched[0], row->matched[1], row->refused[0], row->refused[1]);
        for (size_t i = row->first; i; i = d->changes.items[i - 1].next) {
            const change *c = &d->changes.items[i - 1];
            const decision *x = c->a ? c->a : c->b;
            *(!c->b ? &vanished : !c->a ? &appeared : &changed) += 1;
            if (o->common.quiet) continue;
            /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a change has one side or both */
            base_str_addf(out, "  %c %s", !c->b ? '-' : !c->a ? '+' : '~', shown(x->func));
            if (*x->block) base_str_addf(out, " %s", shown(x->block));
            base_str_addf(out, ": %s: ", shown(x->what));
            add_outcome(x, out);
            if (c->a && c->b) {
                base_str_add(out, " -> ");
                add_outcome(c->b, out);
            }
            base_str_add(out, "\n");
        }
    }
    base_str_addf(out, "%zu decisions vanished, %zu appeared, %zu came out otherwise\n", vanished,
                  appeared, changed);
}

static const char *or_null(const char *s) {
    return s && *s ? s : NULL;
}

static void add_json_outcome(cJSON *to, const char *key, const decision *d) {
    if (!d) {
        drv_json_text(to, key, NULL);
        return;
    }
    cJSON *o = drv_json_object(to, key);
    drv_json_bool(o, "matched", !d->reason);
    if (d->reason) drv_json_text(o, "reason", or_null(d->reason));
}

static void add_pass_counts(cJSON *list, const pass_row *row) {
    const size_t *matched = row->matched, *refused = row->refused;
    if (!matched[0] && !matched[1] && !refused[0] && !refused[1]) return;
    cJSON *o = drv_json_object(list, NULL), *pair;
    drv_json_text(o, "pass", row->name);
    pair = drv_json_array(o, "matched");
    for (int i = 0; i < 2; i++) drv_json_uint(pair, NULL, matched[i]);
    pair = drv_json_array(o, "refused");
    for (int i = 0; i < 2; i++) drv_json_uint(pair, NULL, refused[i]);
}

static void write_json(const diff_reports *d, base_str *out) {
    cJSON *doc = drv_json_object(NULL, NULL), *list;
    drv_json_bool(doc, "same", !d->changes.count);
    list = drv_json_array(doc, "passes");
    for (size_t i = 0; i < d->passes.count; i++) add_pass_counts(list, &d->passes.items[i]);
    list = drv_json_array(doc, "changes");
    for (size_t i = 0; i < d->changes.count; i++) {
        const change *c = &d->changes.items[i];
        const decision *x = c->a ? c->a : c->b;
        if (!x) ICE("a change of no decision");
        cJSON *o = drv_json_object(list, NULL);
        drv_json_text(o, "kind", !c->b ? "vanished" : !c->a ? "appeared" : "changed");
        drv_json_text(o, "pass", or_null(x->pass));
        drv_json_text(o, "function", or_null(x->func));
        drv_json_text(o, "block", or_null(x->block));
        drv_json_text(o, "op", or_null(x->op));
        drv_json_text(o, "what", or_null(x->what));
        add_json_outcome(o, "from", c->a);
        add_json_outcome(o, "to", c->b);
    }
    drv_json_write(doc, DRV_JSON_LINES, out);
}

int drv_diff_reports(base_diag *diag, const drv_options *o, const fe_bytes texts[2]) {
    diff_reports d = {0};
    int code = DRV_USAGE;
    bool a = read_report(diag, o->model, &texts[0], &d.a),
         b = read_report(diag, o->second, &texts[1], &d.b);
    if (a && b) {
        compare_reports(&d);
        list_passes(&d);
        base_str text = {0};
        if (o->common.json)
            write_json(&d, &text);
        else
            write_text(&d, o, &text);
        code = !drv_write_text(diag, "-", text.data, text.len) ? DRV_USAGE
               : d.changes.count                               ? 1
                                                               : 0;
        base_str_free(&text);
    }
    base_free(d.a.items.items);
    base_free(d.b.items.items);
    base_free(d.passes.items);
    base_index_free(&d.by_name);
    base_free(d.changes.items);
    base_json_free(d.a.doc);
    base_json_free(d.b.doc);
    return code;
}
