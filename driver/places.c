/* JSON paths of the places that decisions of passes point to: the model's files are read once more, and every
 * value whose place is a decision's gives it its path ("$.functions.unet.blocks[5].blocks[1]"). */
#include "driver/driver.h"

#include "frontend/json.h"

#include <string.h>

typedef struct search {
    pass_context *c;
    const char *file;
} search;

static void found(const search *s, const ir_loc *loc) {
    const char *kept = NULL;
    for (size_t i = 0; i < s->c->matches.count; i++) {
        pass_match *m = &s->c->matches.items[i];
        if (m->path || !m->origin.file || m->origin.line != loc->line || m->origin.col != loc->col ||
            strcmp(m->origin.file, s->file) || !loc->path)
            continue;
        if (!kept) kept = ir_arena_strdup(s->c->arena, loc->path);
        m->path = kept;
    }
}

/* Nesting is bounded by the reader. */
static void walk(const search *s, fe_jval v) {
    for (fe_jval child = fe_json_first(v); fe_json_present(child); child = fe_json_next(child)) {
        ir_loc loc = fe_json_loc(child);
        found(s, &loc);
        if (fe_json_is(v, FE_JSON_OBJECT)) {
            loc = fe_json_key_loc(child);
            found(s, &loc);
        }
        if (fe_json_is(child, FE_JSON_OBJECT) || fe_json_is(child, FE_JSON_ARRAY)) walk(s, child);
    }
}

static bool done_before(const pass_context *c, size_t upto, const char *file) {
    for (size_t i = 0; i < upto; i++)
        if (c->matches.items[i].origin.file && !strcmp(c->matches.items[i].origin.file, file)) return true;
    return false;
}

void drv_find_paths(pass_context *c) {
    FILE *sink = fopen("/dev/null", "w"); /* a file that went away since has no paths */
    if (!sink) return;
    for (size_t i = 0; i < c->matches.count; i++) {
        const char *file = c->matches.items[i].origin.file;
        size_t n = file ? strlen(file) : 0;
        if (n < 5 || strcmp(file + n - 5, ".json") || done_before(c, i, file)) continue;
        ir_diag *d = ir_diag_new(&(ir_diag_options){.out = sink});
        fe_json *doc = fe_json_load(d, file, NULL);
        search s = {c, file};
        if (doc) walk(&s, fe_json_root(doc));
        fe_json_free(doc);
        ir_diag_free(d);
    }
    fclose(sink);
}
