/* ebru diff --json: one object; schema in docs/inspecting.md. */
#include "driver/diff/diff.h"
#include "runtime/abi/meta_keys.h"

static void add_side(cJSON *to, const char *key, const char *path, const ir_module *m) {
    cJSON *o = drv_json_object(to, key);
    drv_json_text(o, "level", ir_level_name[m->level]);
    drv_json_text(o, "path", path);
    drv_json_text(o, "after", ir_meta_string(m, EBRU_META_PASSES_AFTER.name, NULL));
}

void drv_diff_json_counts(cJSON *to, const diff_counts *c) {
    drv_json_uint(to, "removed", c->removed);
    drv_json_uint(to, "added", c->added);
    drv_json_uint(to, "changed", c->changed);
    drv_json_uint(to, "rewired", c->rewired);
    drv_json_uint(to, "moved", c->moved);
}

/* One thing with its two values; `key` is what names it. */
static void add_change(cJSON *list, const char *key, const char *what, const char *from,
                       const char *to) {
    cJSON *o = drv_json_object(list, NULL);
    drv_json_text(o, key, what);
    drv_json_text(o, "from", from);
    drv_json_text(o, "to", to);
}

static void add_details(cJSON *to, const char *key, const diff_detail *details, size_t count) {
    cJSON *list = drv_json_array(to, key);
    for (size_t i = 0; i < count; i++)
        add_change(list, "what", details[i].what, details[i].from, details[i].to);
}

static void add_entry(cJSON *list, const diff_func *f, const diff_entry *e) {
    bool a = ir_ref_ok(e->a), b = ir_ref_ok(e->b);
    cJSON *o = drv_json_object(list, NULL);
    drv_json_text(o, "kind", a && b ? "changed" : a ? "removed" : "added");
    drv_json_text(o, "op", e->op);
    drv_json_text(o, "block", *e->block ? e->block : NULL);
    if (a) drv_json_uint(o, "a", f->number_a[e->a.id]);
    if (b) drv_json_uint(o, "b", f->number_b[e->b.id]);
    if (a && b) {
        add_details(o, "changes", e->details, e->detail_count);
        return;
    }
    base_str line = {0};
    ir_print_line(a ? f->a : f->b, a ? f->number_a : f->number_b, a ? e->a : e->b, false, &line);
    drv_json_text(o, "text", line.data);
    base_str_free(&line);
}

static void add_pair(cJSON *to, const char *key, uint64_t a, uint64_t b) {
    cJSON *pair = drv_json_array(to, key);
    drv_json_uint(pair, NULL, a);
    drv_json_uint(pair, NULL, b);
}

static void add_func(cJSON *list, const diff_func *f) {
    cJSON *o = drv_json_object(list, NULL);
    bool both = f->a && f->b;
    drv_json_text(o, "name", f->name);
    drv_json_text(o, "status", f->same ? "same" : both ? "changed" : f->a ? "removed" : "added");
    if (!both || f->same) return;
    drv_diff_json_counts(o, &f->counts);
    add_pair(o, "arena", f->a->arena_bytes, f->b->arena_bytes);
    add_pair(o, "scratch", f->a->scratch_bytes, f->b->scratch_bytes);
    add_details(o, "outputs", f->outputs.items, f->outputs.count);
    cJSON *nodes = drv_json_array(o, "nodes");
    for (size_t i = 0; i < f->entries.count; i++) add_entry(nodes, f, &f->entries.items[i]);
}

static void add_rows(cJSON *to, const char *key, const diff_row *rows, size_t count) {
    cJSON *list = drv_json_array(to, key);
    for (size_t i = 0; i < count; i++)
        add_change(list, "name", rows[i].name, rows[i].from, rows[i].to);
}

cJSON *drv_diff_json(const diff *d) {
    cJSON *doc = drv_json_object(NULL, NULL);
    drv_json_bool(doc, "same", d->same);
    add_side(doc, "a", d->path_a, d->a);
    add_side(doc, "b", d->path_b, d->b);
    drv_diff_json_counts(doc, &d->counts);
    cJSON *functions = drv_json_array(doc, "functions");
    for (size_t i = 0; i < d->funcs.count; i++) add_func(functions, &d->funcs.items[i]);
    add_rows(doc, "weights", d->weights.items, d->weights.count);
    add_rows(doc, "properties", d->meta.items, d->meta.count);
    return doc;
}
