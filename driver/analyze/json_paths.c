/* JSON paths of places; see json_paths.h. */
#include "driver/analyze/json_paths.h"

#include "base/arena.h"
#include "frontend/files/json_file.h"

#include <stdlib.h>
#include <string.h>

struct place {
    uint32_t line, col;
    const char *path;
};

struct file {
    const char *name;
    BASE_VEC(struct place) places; /* sorted */
};

struct drv_json_paths {
    base_arena *arena;
    BASE_VEC(struct file) files;
};

drv_json_paths *drv_json_paths_new(void) {
    drv_json_paths *p = base_alloc(sizeof *p);
    p->arena = base_arena_new();
    return p;
}

void drv_json_paths_free(drv_json_paths *p) {
    if (!p) return;
    for (size_t i = 0; i < p->files.count; i++) base_free(p->files.items[i].places.items);
    base_free(p->files.items);
    base_arena_free(p->arena);
    base_free(p);
}

static int by_place(const void *x, const void *y) {
    const struct place *a = x, *b = y;
    if (a->line != b->line) return a->line < b->line ? -1 : 1;
    return (a->col > b->col) - (a->col < b->col);
}

static void add_place(drv_json_paths *p, struct file *f, base_loc at) {
    const char *path = base_arena_strdup(p->arena, at.path ? at.path : "$");
    BASE_PUSH(&f->places, ((struct place){at.line, at.col, path}));
}

/* Values and keys. Nesting is bounded by the reader. */
static void collect(drv_json_paths *p, struct file *f, base_jval v) {
    add_place(p, f, base_json_loc(v));
    for (base_jval c = base_json_first(v); base_json_present(c); c = base_json_next(c)) {
        if (base_json_is(v, BASE_JSON_OBJECT)) add_place(p, f, base_json_key_loc(c));
        collect(p, f, c);
    }
}

static void read_file(drv_json_paths *p, struct file *f) {
    size_t n = strlen(f->name);
    if (n < 5 || strcmp(f->name + n - 5, ".json") != 0) return;
    char *said = NULL;
    size_t length = 0;
    FILE *quiet = open_memstream(&said, &length);
    if (!quiet) return;
    base_diag *d = base_diag_new(&(base_diag_options){.out = quiet});
    base_json *doc = fe_json_load(d, f->name, NULL);
    if (doc) collect(p, f, base_json_root(doc));
    base_json_free(doc);
    base_diag_free(d);
    fclose(quiet);
    free(said);
    if (f->places.count) qsort(f->places.items, f->places.count, sizeof *f->places.items, by_place);
}

static struct file *file_of(drv_json_paths *p, const char *name) {
    for (size_t i = 0; i < p->files.count; i++)
        if (!strcmp(p->files.items[i].name, name)) return &p->files.items[i];
    BASE_PUSH(&p->files, ((struct file){.name = base_arena_strdup(p->arena, name)}));
    struct file *f = &p->files.items[p->files.count - 1];
    read_file(p, f);
    return f;
}

const char *drv_json_paths_path(drv_json_paths *p, const char *file, uint32_t line, uint32_t col) {
    if (!file || !*file || !line) return NULL;
    struct file *f = file_of(p, file);
    struct place key = {line, col, NULL};
    const struct place *at =
        f->places.count ? bsearch(&key, f->places.items, f->places.count, sizeof key, by_place)
                        : NULL;
    return at ? at->path : NULL;
}
