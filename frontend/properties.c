/* Properties against the table of those there are; see properties.h. */
#include "frontend/properties.h"

#include "base/suggest.h"
#include "runtime/abi/meta_keys.h"

#include <string.h>

static const char *suggestion(const char *name) {
    size_t n = ebru_meta_count();
    const char **names = base_alloc(n * sizeof *names);
    for (size_t i = 0; i < n; i++) names[i] = ebru_meta_at(i)->name;
    const char *near = base_suggest(name, names, n);
    base_free(names);
    return near;
}

/* "an unknown property ..." or "the property ... must be ...": false when there is no fault. */
static bool fault(const ir_meta *e, base_str *why) {
    char list[EBRU_META_EXPECTS];
    const ebru_meta_key *key = ebru_meta_find(e->key);
    const char *name = base_escape(e->key, strlen(e->key));
    if (!key) {
        const char *near = suggestion(e->key);
        base_str_addf(why, "unknown property '%s'", name);
        if (near) base_str_addf(why, "; did you mean '%s'?", near);
        return true;
    }
    const char *expected = ebru_meta_expects(key, (ebru_meta_kind)e->kind, e->i, e->s, list);
    if (expected) base_str_addf(why, "the property '%s' must be %s", name, expected);
    return expected;
}

bool fe_properties_check(base_diag *d, const ir_module *m, const char *name, const char *text,
                         size_t length) {
    const base_source *source = NULL;
    bool fine = true;
    for (size_t i = 0; i < m->meta.count; i++) {
        const ir_meta *e = &m->meta.items[i];
        base_str why = {0};
        if (!fault(e, &why)) continue;
        if (!text) ICE("%s", why.data);
        if (!source) source = base_diag_source(d, name, text, length);
        base_error(d, &(base_loc){source, e->line, e->col, e->length, NULL}, "%s", why.data);
        base_str_free(&why);
        fine = false;
    }
    return fine;
}
