/* What passes decided, and how it is told: matches and refusals of the fusion passes, what left the
 * loop, the memory plan.
 *
 * Text: a line a pass ("fuse_groupnorm_silu: 61 matched, 0 refused"), below it every refusal with
 * the failed condition and the place in the model description (many for one reason together), and
 * what would have to be otherwise; passes over the whole module list their matches too (what left
 * the loop). Where ways to compute an op were compared, a line says what each takes. */
#include "base/hash.h"
#include "passes/manager/manager.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- collecting ---- */

static char *format(base_arena *a, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    char *text = base_arena_alloc(a, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, fmt, ap);
    return text;
}

void pass_forget_numbers(pass_context *c) {
    base_free(c->numbers.number);
    c->numbers = (struct pass_numbers){0};
}

static const uint32_t *numbers_of(pass_context *c, const ir_func *f) {
    struct pass_numbers *n = &c->numbers;
    if (n->number && n->f == f && n->nodes == f->nodes.items && n->node_count == f->nodes.count &&
        n->input_count == f->inputs.count)
        return n->number;
    base_free(n->number);
    *n = (struct pass_numbers){f, f->nodes.items, f->nodes.count, f->inputs.count, ir_numbering(f)};
    return n->number;
}

static pass_match *note(pass_context *c, const char *pass, const ir_func *f, ir_ref node,
                        const char *what) {
    base_str text = {0};
    ir_print_line(f, numbers_of(c, f), node, false, &text);
    while (text.len && text.data[text.len - 1] == '\n') text.len--;
    size_t skip = strspn(text.data, " ");
    ir_origin o = f->module->origins.items[ir_get(f, node)->origin];
    if (o.file) o.file = base_arena_strdup(c->arena, o.file);
    if (o.block) o.block = base_arena_strdup(c->arena, o.block);
    pass_match m = {.pass = pass,
                    .func = base_arena_strdup(c->arena, f->name),
                    .what = base_arena_strdup(c->arena, what),
                    .op = ir_op_get(ir_get(f, node)->op)->name,
                    .node = base_arena_strndup(c->arena, text.data + skip, text.len - skip),
                    .origin = o};
    base_str_free(&text);
    BASE_PUSH(&c->matches, m);
    return &c->matches.items[c->matches.count - 1];
}

void pass_matched(pass_context *c, const char *pass, const ir_func *f, ir_ref node,
                  const char *what) {
    note(c, pass, f, node, what);
}

void pass_refused(pass_context *c, const char *pass, const ir_func *f, ir_ref node,
                  const char *what, const char *reason, ...) {
    va_list ap;
    va_start(ap, reason);
    note(c, pass, f, node, what)->reason = format(c->arena, reason, ap);
    va_end(ap);
}

void pass_error(pass_context *c, const ir_func *f, ir_ref node, const char *message, ...) {
    c->failed = true;
    va_list ap;
    va_start(ap, message);
    const char *text = format(c->arena, message, ap);
    va_end(ap);
    if (!c->diag) ICE("%s: %s", f->name, text);
    const ir_origin *o = &f->module->origins.items[ir_ref_ok(node) ? ir_get(f, node)->origin : 0];
    base_loc loc = {.line = o->line, .col = o->col};
    if (o->file) loc.source = base_diag_source(c->diag, o->file, NULL, 0);
    base_error(c->diag, o->file ? &loc : NULL, "%s: %s", f->name, text);
    if (!ir_ref_ok(node)) return;
    base_str line = {0};
    ir_print_node(f, node, &line);
    while (line.len && line.data[line.len - 1] == '\n') line.data[--line.len] = 0;
    base_note(c->diag, NULL, "in %s%s%s", line.data + strspn(line.data, " "),
              o->block ? ", block " : "", o->block ? o->block : "");
    base_str_free(&line);
}

/* ---- text ---- */

bool pass_same_text(const char *a, const char *b) {
    for (;; a++, b++) {
        if (*a != *b) return false;
        if (!*a) return true;
        if (*a != '%') continue;
        a += strspn(a + 1, "0123456789");
        b += strspn(b + 1, "0123456789");
    }
}

static void add_place(base_str *out, const pass_match *m) {
    const ir_origin *o = &m->origin;
    if (o->block) base_str_add_shown(out, o->block);
    if (o->block && o->file) base_str_add(out, " at ");
    if (o->file) base_str_add_shown(out, o->file);
    if (o->file) base_str_addf(out, ":%u:%u", o->line, o->col);
    if (m->path) base_str_add(out, " ");
    if (m->path) base_str_add_shown(out, m->path);
    if (!o->block && !o->file) base_str_add_shown(out, m->func);
}

enum {
    MANY = 4
}; /* from so many on, refusals for one reason are told once, with all their places */

static void add_decision(base_str *out, const pass_match *m) {
    base_str_addf(out, "  %s: %s: %s%s", base_shown(m->func), m->reason ? "refused" : "moved",
                  m->what, m->reason ? ": " : "");
    if (m->reason) base_str_add_shown(out, m->reason);
    base_str_add(out, " (");
    add_place(out, m);
    base_str_add(out, ")\n      ");
    base_str_add_shown(out, m->node);
    base_str_add(out, "\n");
}

/* ---- decisions that are alike ---- */

typedef bool alike(const pass_match *a, const pass_match *b);

struct keyed {
    uint64_t hash;
    size_t index;
};

static int by_hash(const void *a, const void *b) {
    const struct keyed *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Equal for decisions that are alike: numbers of nodes do not count. */
static uint64_t hash_of(const pass_match *m) {
    const char *const texts[] = {m->func, m->what, m->reason ? m->reason : "",
                                 m->costs ? m->costs : ""};
    uint64_t h = BASE_HASH64_START;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (const char *p = texts[i]; *p; p++) {
            h = base_hash64_bytes(h, p, 1);
            if (*p == '%') p += strspn(p + 1, "0123456789");
        }
    return h;
}

static bool same_refusal(const pass_match *a, const pass_match *b) {
    return a->reason && b->reason && !strcmp(a->func, b->func) && !strcmp(a->what, b->what) &&
           pass_same_text(a->reason, b->reason);
}

static bool same_costs(const pass_match *a, const pass_match *b) {
    return a->costs && b->costs && !a->reason == !b->reason && !strcmp(a->func, b->func) &&
           !strcmp(a->what, b->what) && !strcmp(a->costs, b->costs);
}

/* For each decision of a pass the next that is alike, 0 for none; base_free. There may be as many
 * decisions as nodes. `costs`: for same_costs, else for same_refusal. */
static size_t *next_alike(const pass_context *c, const pass_info *p, alike *same, bool costs) {
    const size_t n = c->matches.count;
    size_t *next = base_alloc((n + 1) * sizeof *next), count = 0;
    struct keyed *keys = base_alloc((n + 1) * sizeof *keys);
    for (size_t i = 0; i < n; i++) {
        pass_match m = c->matches.items[i];
        if (strcmp(m.pass, p->name) != 0 || !(costs ? m.costs : m.reason)) continue;
        if (costs)
            m.reason = m.reason ? "refused" : NULL;
        else
            m.costs = NULL;
        keys[count++] = (struct keyed){hash_of(&m), i};
    }
    qsort(keys, count, sizeof *keys, by_hash);
    for (size_t k = 0; k + 1 < count; k++)
        for (size_t j = k + 1; j < count && keys[j].hash == keys[k].hash; j++)
            if (same(&c->matches.items[keys[k].index], &c->matches.items[keys[j].index])) {
                next[keys[k].index] = keys[j].index;
                break;
            }
    base_free(keys);
    return next;
}

/* The decisions of a pass that are worth a line: refusals, and of `moves` passes what moved. */
static void add_decisions(const pass_context *c, const pass_info *p, bool moves, base_str *out) {
    size_t n = c->matches.count, *next = next_alike(c, p, same_refusal, false);
    bool *told = base_alloc(n + 1);
    for (size_t i = 0; i < n; i++) {
        const pass_match *m = &c->matches.items[i];
        if (told[i] || strcmp(m->pass, p->name) || !(moves || m->reason)) continue;
        add_decision(out, m);
        size_t more = 0;
        for (size_t k = next[i]; k && more < MANY; k = next[k]) more++;
        if (more + 1 < MANY) continue;
        more = 0;
        for (size_t k = next[i]; k; k = next[k]) more++;
        base_str_addf(out, "      the same at %zu more places:\n", more);
        for (size_t k = next[i]; k; k = next[k]) {
            told[k] = true;
            base_str_add(out, "        ");
            add_place(out, &c->matches.items[k]);
            base_str_add(out, "\n");
        }
    }
    base_free(next);
    base_free(told);
}

/* What a pass compared, a line for all decisions by the same costs. */
static void add_costs(const pass_context *c, const pass_info *p, base_str *out) {
    size_t n = c->matches.count, *next = next_alike(c, p, same_costs, true);
    bool *told = base_alloc(n + 1);
    for (size_t i = 0; i < n; i++) {
        const pass_match *m = &c->matches.items[i];
        if (told[i] || strcmp(m->pass, p->name) || !m->costs) continue;
        base_str_addf(out, "  %s: %s%s: %s (", base_shown(m->func), m->reason ? "not " : "",
                      m->what, m->costs);
        add_place(out, m);
        size_t more = 0;
        for (size_t k = next[i]; k; k = next[k], more++) told[k] = true;
        if (more) base_str_addf(out, " and %zu more", more);
        base_str_add(out, ")\n");
    }
    base_free(next);
    base_free(told);
}

/* How often a pass matched and refused. */
static void count(const pass_context *c, const char *pass, size_t *matched, size_t *refused) {
    *matched = *refused = 0;
    for (size_t k = 0; k < c->matches.count; k++)
        if (!strcmp(c->matches.items[k].pass, pass))
            *(c->matches.items[k].reason ? refused : matched) += 1;
}

void pass_report(const pass_context *c, base_str *out) {
    for (uint32_t i = 0; i < pass_count(); i++) {
        const pass_info *p = pass_get(i);
        bool moves = p->flags & PASS_MOVES;
        size_t matched, refused;
        count(c, p->name, &matched, &refused);
        bool ran = false;
        for (size_t k = 0; k < c->timings.count; k++)
            ran |= !strcmp(c->timings.items[k].pass, p->name);
        if (!ran || !(moves || (p->flags & PASS_FUSION) || matched || refused)) continue;
        base_str_addf(out, "%s: %zu %s, %zu refused\n", p->name, matched,
                      moves ? "moved" : "matched", refused);
        add_decisions(c, p, moves, out);
        add_costs(c, p, out);
        if (refused && p->advice) base_str_addf(out, "  to match: %s\n", p->advice);
    }
    for (size_t i = 0; i < c->memory.funcs.count; i++) {
        const pass_plan *p = &c->memory.funcs.items[i];
        base_str_addf(
            out, "plan_memory: %s: arena %llu bytes, lower bound %llu, one buffer a tensor %llu\n",
            base_shown(p->func), (unsigned long long)p->arena_bytes, (unsigned long long)p->bound,
            (unsigned long long)p->total);
    }
    if (c->memory.weights_bytes)
        base_str_addf(out, "plan_memory: packed weights %llu bytes\n",
                      (unsigned long long)c->memory.weights_bytes);
}
