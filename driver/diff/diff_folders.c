/* ebru diff DIR DIR: two folders of dumps, pass by pass, and the first pass whose dumps differ in
 * full.
 *
 *   00-input                   the same
 *   07-fuse_attention          1 of 3 functions differ: 66 nodes removed, 6 added, 6 rewired
 *   16-choose_winograd         only in a/
 *
 * Dumps are paired by pass, so a pass that is new or was left out shifts nothing. */
#include "driver/cli/write_text.h"
#include "driver/commands/lower.h"
#include "driver/diff/diff.h"
#include "driver/diff/dump_folder.h"
#include "driver/driver.h"

#include <string.h>

typedef struct folders {
    base_diag *d;
    const drv_options *o;
    dump_folder a, b;
    base_str table, first; /* texts */
    cJSON *passes, *first_json;
    const char *first_name;
    bool same;
} folders;

static const dump *find_pass(const dump_folder *f, const char *pass) {
    for (size_t i = 0; i < f->dumps.count; i++)
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): there are `count` */
        if (!strcmp(f->dumps.items[i].pass, pass)) return &f->dumps.items[i];
    return NULL;
}

static void add_pair(folders *f, const dump *a, const dump *b, const diff *d) {
    const dump *some = a ? a : b;
    cJSON *o = drv_json_object(f->passes, NULL);
    drv_json_text(o, "pass", some->pass);
    drv_json_text(o, "a", a ? a->path : NULL);
    drv_json_text(o, "b", b ? b->path : NULL);
    drv_json_bool(o, "same", d && d->same);
    if (d) drv_diff_json_counts(o, &d->counts);
    base_str_addf(&f->table, "%-26s ", base_escape(some->name, strlen(some->name)));
    if (!d) {
        const char *where = a ? f->o->model : f->o->second;
        base_str_addf(&f->table, "only in %s\n", base_escape(where, strlen(where)));
        return;
    }
    if (d->same) {
        base_str_add(&f->table, "the same\n");
        return;
    }
    size_t differ = 0, rows = d->meta.count + d->weights.count;
    for (size_t i = 0; i < d->funcs.count; i++) differ += !d->funcs.items[i].same;
    base_str_addf(&f->table, "%zu of %zu functions differ", differ, d->funcs.count);
    drv_diff_add_counts(&d->counts, "nodes removed", &f->table);
    if (rows) base_str_addf(&f->table, "; %zu of properties and weights", rows);
    base_str_add(&f->table, "\n");
}

/* Two dumps behind one pass; the first pair that differs is kept in full. False with diagnostics.
 */
static bool compare(folders *f, const dump *a, const dump *b) {
    ir_module *x = drv_load_ir(f->d, a->path, NULL), *y = drv_load_ir(f->d, b->path, NULL);
    if (x && y) {
        diff d = drv_diff_compare(x, a->path, y, b->path);
        add_pair(f, a, b, &d);
        if (!d.same && !f->first_name) {
            f->first_name = a->name;
            drv_diff_filter(&d, f->o->passes.filter);
            drv_diff_text(&d, f->o->common.quiet, &f->first);
            f->first_json = drv_diff_json(&d);
        }
        f->same &= d.same;
        drv_diff_free(&d);
    }
    ir_module_free(x);
    ir_module_free(y);
    return x && y;
}

/* In the order of the passes: what only b has stands in front of the first with a larger number. */
static bool compare_all(folders *f) {
    bool fine = true;
    size_t at = 0;
    for (size_t i = 0; i <= f->a.dumps.count; i++) {
        const dump *a = i < f->a.dumps.count ? &f->a.dumps.items[i] : NULL;
        for (; at < f->b.dumps.count; at++) {
            const dump *b = &f->b.dumps.items[at];
            if (a && b->number >= a->number) break;
            if (find_pass(&f->a, b->pass)) continue;
            add_pair(f, NULL, b, NULL);
            f->same = false;
        }
        const dump *other = a ? find_pass(&f->b, a->pass) : NULL;
        if (a && !other) add_pair(f, a, NULL, NULL);
        f->same &= !a || other;
        if (other) fine &= compare(f, a, other);
    }
    return fine;
}

static void write_text(const folders *f, base_str *out) {
    const char *a = f->o->model, *b = f->o->second;
    base_str_addf(out, "--- %s\n", base_escape(a, strlen(a)));
    base_str_addf(out, "+++ %s\n%s", base_escape(b, strlen(b)), f->table.data);
    if (f->first_name)
        base_str_addf(out, "\nthe first that differ are %s:\n%s",
                      base_escape(f->first_name, strlen(f->first_name)), f->first.data);
}

static void write_json(folders *f, cJSON *doc, base_str *out) {
    drv_json_bool(doc, "same", f->same);
    if (f->first_json)
        drv_json_put(doc, "first", f->first_json);
    else
        drv_json_text(doc, "first", NULL);
    drv_json_write(doc, DRV_JSON_LINES, out);
}

int drv_diff_folders(base_diag *d, const drv_options *o) {
    cJSON *doc = drv_json_object(NULL, NULL);
    folders f = {.d = d, .o = o, .same = true};
    drv_json_text(doc, "a", o->model);
    drv_json_text(doc, "b", o->second);
    f.passes = drv_json_array(doc, "passes");
    bool a = drv_dump_folder_read(d, o->model, 1, &f.a),
         b = drv_dump_folder_read(d, o->second, 1, &f.b);
    int code = DRV_USAGE;
    if (a && b && compare_all(&f)) {
        base_str text = {0};
        if (o->common.json) {
            write_json(&f, doc, &text);
            doc = f.first_json = NULL;
        } else {
            write_text(&f, &text);
        }
        code = !drv_write_text(d, "-", text.data, text.len) ? DRV_USAGE : f.same ? 0 : 1;
        base_str_free(&text);
    }
    cJSON_Delete(doc);
    cJSON_Delete(f.first_json);
    base_str_free(&f.table);
    base_str_free(&f.first);
    drv_dump_folder_free(&f.a);
    drv_dump_folder_free(&f.b);
    return code;
}
