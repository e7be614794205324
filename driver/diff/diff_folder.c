/* ebru diff DIR: what became of every node of the first dump of a folder, up to the last, and in
 * which passes.
 *
 *   unet: 384 nodes, of which 381 are in unet.step (318), unet.schedule (63)
 *     35 group_norm -> group_stats (unet.step): split_stages, fuse_groupnorm_silu, ...
 *   down.0.res
 *     %27 silu -> unet.step %31 conv2d_winograd: split_stages, fuse_groupnorm_silu, ...
 *
 * Nodes are followed from each dump to the next (node_fates.h). A pass is named when it took the
 * node away, into another node or another function, or when it changed what it computes. */
#include "driver/cli/write_text.h"
#include "driver/commands/lower.h"
#include "driver/diff/diff.h"
#include "driver/diff/dump_folder.h"
#include "driver/diff/node_fates.h"
#include "driver/driver.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

/* A node of the first dump on its way. Texts live in the arena. */
typedef struct traveller {
    const char *op, *block;
    uint32_t number;
    uint32_t func; /* where it is now; UINT32_MAX: gone */
    ir_ref node;
    base_str passes;     /* that did something to it, ", " between */
    const char *to_func; /* at the end; NULL: gone */
    const char *to_op;
    uint32_t to_number; /* UINT32_MAX: a weight */
    bool shown;         /* --filter= */
} traveller;

typedef struct network {
    const char *name;
    BASE_VEC(traveller) nodes;
} network;

typedef struct journey {
    base_arena *arena;
    BASE_VEC(network) funcs;
    dump_folder dumps;
    bool same;
} journey;

/* ---- following ---- */

static void begin(journey *j, const ir_module *m) {
    for (uint32_t f = 0; f < m->funcs.count; f++) {
        const ir_func *func = m->funcs.items[f];
        network n = {.name = base_arena_strdup(j->arena, func->name)};
        uint32_t *number = ir_numbering(func);
        for (uint32_t i = 0; i < func->nodes.count; i++) {
            const ir_node *node = &func->nodes.items[i];
            if (node->op == IR_OP_weight || node->op == IR_OP_input) continue;
            const char *block = m->origins.items[node->origin].block;
            traveller t = {.op = ir_op_get(node->op)->name,
                           .block = base_arena_strdup(j->arena, block ? block : ""),
                           .number = number[i],
                           .func = f,
                           .node = {i},
                           .shown = true};
            BASE_PUSH(&n.nodes, t);
        }
        base_free(number);
        BASE_PUSH(&j->funcs, n);
    }
}

static void move(traveller *t, const ir_module *a, const node_fates *fates, const char *pass) {
    if (t->func == UINT32_MAX) return;
    /* what became a weight is at its end */
    if (a->funcs.items[t->func]->nodes.items[t->node.id].op == IR_OP_weight) return;
    const node_fate *fate = &fates->of[t->func][t->node.id];
    if (!fate->same) base_str_addf(&t->passes, "%s%s", t->passes.len ? ", " : "", pass);
    t->func = fate->func;
    t->node = fate->node;
}

static void step(journey *j, const ir_module *a, const ir_module *b, const char *pass) {
    node_fates fates = drv_node_fates(a, b);
    for (size_t f = 0; f < j->funcs.count; f++)
        for (size_t i = 0; i < j->funcs.items[f].nodes.count; i++)
            move(&j->funcs.items[f].nodes.items[i], a, &fates, pass);
    drv_node_fates_free(&fates);
}

static void arrive(journey *j, const ir_module *m) {
    for (size_t f = 0; f < j->funcs.count; f++)
        for (size_t i = 0; i < j->funcs.items[f].nodes.count; i++) {
            traveller *t = &j->funcs.items[f].nodes.items[i];
            j->same &= !t->passes.len;
            if (t->func == UINT32_MAX) continue;
            const ir_func *func = m->funcs.items[t->func];
            const ir_node *n = ir_get(func, t->node);
            bool weight = n->op == IR_OP_weight;
            uint32_t *number = weight ? NULL : ir_numbering(func);
            t->to_func = base_arena_strdup(j->arena, func->name);
            t->to_op = weight ? base_arena_printf(j->arena, "@%s",
                                                  m->weights.items[IR_ATTRS(n, weight)->index].name)
                              : ir_op_get(n->op)->name;
            t->to_number = weight ? UINT32_MAX : number[t->node.id];
            base_free(number);
        }
}

static bool travel(journey *j, base_diag *d) {
    const dump *dumps = j->dumps.dumps.items;
    ir_module *at = drv_load_ir(d, dumps[0].path, NULL);
    if (at) begin(j, at);
    for (size_t i = 1; at && i < j->dumps.dumps.count; i++) {
        ir_module *next = drv_load_ir(d, dumps[i].path, NULL);
        if (next) step(j, at, next, dumps[i].pass);
        ir_module_free(at);
        at = next;
    }
    if (at) arrive(j, at);
    ir_module_free(at);
    return at != NULL;
}

static void filter(journey *j, const char *pattern) {
    regex_t regex;
    if (!pattern || regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB)) return;
    for (size_t f = 0; f < j->funcs.count; f++) {
        bool whole = !regexec(&regex, j->funcs.items[f].name, 0, NULL, 0);
        for (size_t i = 0; i < j->funcs.items[f].nodes.count; i++) {
            traveller *t = &j->funcs.items[f].nodes.items[i];
            t->shown = whole || !regexec(&regex, t->block, 0, NULL, 0) ||
                       !regexec(&regex, t->op, 0, NULL, 0);
        }
    }
    regfree(&regex);
}

/* ---- text ---- */

typedef struct group {
    base_str text;
    uint32_t count;
} group;
typedef BASE_VEC(group) groups;

static void count(groups *g, base_str *text) {
    for (size_t i = 0; i < g->count; i++)
        if (!strcmp(g->items[i].text.data, text->data)) {
            g->items[i].count++;
            base_str_free(text);
            return;
        }
    BASE_PUSH(g, ((group){*text, 1}));
    *text = (base_str){0};
}

static int by_count(const void *x, const void *y) {
    const group *a = x, *b = y;
    if (a->count != b->count) return a->count > b->count ? -1 : 1;
    return strcmp(a->text.data, b->text.data);
}

static void free_groups(groups *g) {
    for (size_t i = 0; i < g->count; i++) base_str_free(&g->items[i].text);
    base_free(g->items);
}

static void add_end(const traveller *t, bool number, base_str *out) {
    if (!t->to_func)
        base_str_add(out, "nothing");
    else if (t->to_number == UINT32_MAX)
        base_str_add(out, number ? base_escape(t->to_op, strlen(t->to_op)) : "a weight");
    else if (number)
        base_str_addf(out, "%s %%%u %s", base_escape(t->to_func, strlen(t->to_func)), t->to_number,
                      t->to_op);
    else
        base_str_addf(out, "%s in %s", t->to_op, base_escape(t->to_func, strlen(t->to_func)));
    if (t->passes.len) base_str_addf(out, ": %s", t->passes.data);
}

static void add_head(const network *n, base_str *out) {
    groups ends = {0};
    for (size_t i = 0; i < n->nodes.count; i++) {
        const traveller *t = &n->nodes.items[i];
        base_str text = {0};
        if (t->to_func)
            base_str_addf(&text, "in %s", base_escape(t->to_func, strlen(t->to_func)));
        else
            base_str_add(&text, "gone");
        count(&ends, &text);
    }
    base_str_addf(out, "%s: %zu nodes", base_escape(n->name, strlen(n->name)), n->nodes.count);
    if (ends.count) qsort(ends.items, ends.count, sizeof *ends.items, by_count);
    for (size_t i = 0; i < ends.count; i++)
        base_str_addf(out, "%s%u %s", i ? ", " : ": ", ends.items[i].count,
                      ends.items[i].text.data);
    base_str_add(out, "\n");
    free_groups(&ends);
}

enum { MOST_KINDS = 30 };

static void add_kinds(const network *n, base_str *out) {
    groups kinds = {0};
    for (size_t i = 0; i < n->nodes.count; i++) {
        base_str text = {0};
        if (!n->nodes.items[i].shown) continue;
        base_str_addf(&text, "%s -> ", n->nodes.items[i].op);
        add_end(&n->nodes.items[i], false, &text);
        count(&kinds, &text);
    }
    if (kinds.count) qsort(kinds.items, kinds.count, sizeof *kinds.items, by_count);
    for (size_t i = 0; i < kinds.count && i < MOST_KINDS; i++)
        base_str_addf(out, "  %4u %s\n", kinds.items[i].count, kinds.items[i].text.data);
    if (kinds.count > MOST_KINDS)
        base_str_addf(out, "       %zu more kinds\n", kinds.count - MOST_KINDS);
    free_groups(&kinds);
}

static void add_blocks(const network *n, base_str *out) {
    size_t all = n->nodes.count;
    bool *done = base_alloc(all + 1);
    for (size_t i = 0; i < all; i++) {
        const traveller *first = &n->nodes.items[i];
        if (done[i] || !first->shown) continue;
        base_str_addf(out, "  %s\n",
                      *first->block ? base_escape(first->block, strlen(first->block))
                                    : "(no block)");
        for (size_t k = i; k < all; k++) {
            const traveller *t = &n->nodes.items[k];
            if (done[k] || !t->shown || strcmp(t->block, first->block) != 0) continue;
            done[k] = true;
            base_str_addf(out, "    %%%u %s -> ", t->number, t->op);
            add_end(t, true, out);
            base_str_add(out, "\n");
        }
    }
    base_free(done);
}

static void write_text(const journey *j, bool brief, base_str *out) {
    const dump *first = &j->dumps.dumps.items[0], *last = first + (j->dumps.dumps.count - 1);
    base_str_addf(out, "--- %s\n", base_escape(first->path, strlen(first->path)));
    base_str_addf(out, "+++ %s\n", base_escape(last->path, strlen(last->path)));
    for (size_t f = 0; f < j->funcs.count; f++) {
        add_head(&j->funcs.items[f], out);
        if (brief)
            add_kinds(&j->funcs.items[f], out);
        else
            add_blocks(&j->funcs.items[f], out);
    }
}

/* ---- JSON ---- */

static void add_passes(cJSON *to, const char *passes) {
    cJSON *list = drv_json_array(to, "passes");
    for (const char *p = passes; p && *p;) {
        char name[64];
        size_t n = strcspn(p, ",");
        snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), p);
        drv_json_text(list, NULL, name);
        p += n + (p[n] ? 2 : 0);
    }
}

static void add_node(cJSON *list, const network *n, const traveller *t) {
    cJSON *o = drv_json_object(list, NULL);
    drv_json_text(o, "function", n->name);
    drv_json_uint(o, "node", t->number);
    drv_json_text(o, "op", t->op);
    drv_json_text(o, "block", *t->block ? t->block : NULL);
    if (!t->to_func) {
        drv_json_text(o, "to", NULL);
    } else {
        cJSON *to = drv_json_object(o, "to");
        drv_json_text(to, "function", t->to_func);
        if (t->to_number != UINT32_MAX) drv_json_uint(to, "node", t->to_number);
        drv_json_text(to, t->to_number != UINT32_MAX ? "op" : "weight",
                      t->to_op + (t->to_number == UINT32_MAX));
    }
    add_passes(o, t->passes.data);
}

static void write_json(const journey *j, base_str *out) {
    cJSON *doc = drv_json_object(NULL, NULL);
    drv_json_bool(doc, "same", j->same);
    drv_json_text(doc, "a", j->dumps.dumps.items[0].path);
    drv_json_text(doc, "b", j->dumps.dumps.items[j->dumps.dumps.count - 1].path);
    cJSON *nodes = drv_json_array(doc, "nodes");
    for (size_t f = 0; f < j->funcs.count; f++)
        for (size_t i = 0; i < j->funcs.items[f].nodes.count; i++)
            if (j->funcs.items[f].nodes.items[i].shown)
                add_node(nodes, &j->funcs.items[f], &j->funcs.items[f].nodes.items[i]);
    drv_json_write(doc, DRV_JSON_LINES, out);
}

int drv_diff_folder(base_diag *d, const drv_options *o) {
    journey j = {.arena = base_arena_new(), .same = true};
    int code = DRV_USAGE;
    if (drv_dump_folder_read(d, o->model, 2, &j.dumps) && travel(&j, d)) {
        base_str text = {0};
        filter(&j, o->passes.filter);
        if (o->common.json)
            write_json(&j, &text);
        else
            write_text(&j, o->common.quiet, &text);
        code = !drv_write_text(d, "-", text.data, text.len) ? DRV_USAGE : j.same ? 0 : 1;
        base_str_free(&text);
    }
    for (size_t f = 0; f < j.funcs.count; f++) {
        network *n = &j.funcs.items[f];
        for (size_t i = 0; i < n->nodes.count; i++) base_str_free(&n->nodes.items[i].passes);
        base_free(n->nodes.items);
    }
    base_free(j.funcs.items);
    drv_dump_folder_free(&j.dumps);
    base_arena_free(j.arena);
    return code;
}
