/* ebru diff --json: one object; schema in docs/inspecting.md. */
#include "driver/diff/diff.h"

static void add_side(const char *name, const char *path, const ir_module *m, base_str *out) {
    base_str_addf(out, "\"%s\": {\"level\": \"%s\"", name, ir_level_name[m->level]);
    base_json_member(out, "path", path);
    base_json_member(out, "after", ir_meta_string(m, "passes.after", NULL));
    base_str_add(out, "}");
}

static void add_counts(const diff_counts *c, base_str *out) {
    base_str_addf(out,
                  "\"removed\": %u, \"added\": %u, \"changed\": %u, \"rewired\": %u, \"moved\": %u",
                  c->removed, c->added, c->changed, c->rewired, c->moved);
}

/* One thing with its two values, as an object whose first member is KEY. */
static void add_change(const char *key, const char *what, const char *from, const char *to,
                       base_str *out) {
    base_str_addf(out, "{\"%s\": ", key);
    base_json_quote(out, what);
    base_json_member(out, "from", from);
    base_json_member(out, "to", to);
    base_str_add(out, "}");
}

static void add_details(const diff_detail *details, size_t count, base_str *out) {
    base_str_add(out, "[");
    for (size_t i = 0; i < count; i++) {
        if (i) base_str_add(out, ", ");
        add_change("what", details[i].what, details[i].from, details[i].to, out);
    }
    base_str_add(out, "]");
}

static void add_entry(const diff_func *f, const diff_entry *e, base_str *out) {
    bool a = ir_ref_ok(e->a), b = ir_ref_ok(e->b);
    base_str_addf(out, "{\"kind\": \"%s\", \"op\": \"%s\"",
                  a && b ? "changed"
                  : a    ? "removed"
                         : "added",
                  e->op);
    base_json_member(out, "block", *e->block ? e->block : NULL);
    if (a) base_str_addf(out, ", \"a\": %u", f->number_a[e->a.id]);
    if (b) base_str_addf(out, ", \"b\": %u", f->number_b[e->b.id]);
    if (a && b) {
        base_str_add(out, ", \"changes\": ");
        add_details(e->details, e->detail_count, out);
    } else {
        base_str line = {0};
        ir_print_line(a ? f->a : f->b, a ? f->number_a : f->number_b, a ? e->a : e->b, false,
                      &line);
        base_json_member(out, "text", line.data);
        base_str_free(&line);
    }
    base_str_add(out, "}");
}

static void add_func(const diff_func *f, base_str *out) {
    base_str_add(out, "\n  {\"name\": ");
    base_json_quote(out, f->name);
    bool both = f->a && f->b;
    base_json_member(out, "status",
                     f->same ? "same"
                     : both  ? "changed"
                     : f->a  ? "removed"
                             : "added");
    if (both && !f->same) {
        base_str_add(out, ", ");
        add_counts(&f->counts, out);
        base_str_addf(out, ", \"arena\": [%llu, %llu]", (unsigned long long)f->a->arena_bytes,
                      (unsigned long long)f->b->arena_bytes);
        base_str_addf(out, ", \"scratch\": [%llu, %llu], \"outputs\": ",
                      (unsigned long long)f->a->scratch_bytes,
                      (unsigned long long)f->b->scratch_bytes);
        add_details(f->outputs.items, f->outputs.count, out);
        base_str_add(out, ", \"nodes\": [");
        for (size_t i = 0; i < f->entries.count; i++) {
            base_str_add(out, i ? ",\n    " : "\n    ");
            add_entry(f, &f->entries.items[i], out);
        }
        base_str_add(out, "]");
    }
    base_str_add(out, "}");
}

static void add_rows(const char *name, const diff_row *rows, size_t count, base_str *out) {
    base_str_addf(out, ",\n \"%s\": [", name);
    for (size_t i = 0; i < count; i++) {
        base_str_add(out, i ? ",\n  " : "\n  ");
        add_change("name", rows[i].name, rows[i].from, rows[i].to, out);
    }
    base_str_add(out, "]");
}

void drv_diff_json(const diff *d, base_str *out) {
    base_str_addf(out, "{\"same\": %s, ", d->same ? "true" : "false");
    add_side("a", d->path_a, d->a, out);
    base_str_add(out, ", ");
    add_side("b", d->path_b, d->b, out);
    base_str_add(out, ",\n ");
    add_counts(&d->counts, out);
    base_str_add(out, ",\n \"functions\": [");
    for (size_t i = 0; i < d->funcs.count; i++) {
        if (i) base_str_add(out, ",");
        add_func(&d->funcs.items[i], out);
    }
    base_str_add(out, "]");
    add_rows("weights", d->weights.items, d->weights.count, out);
    add_rows("properties", d->meta.items, d->meta.count, out);
    base_str_add(out, "}\n");
}
