/* Accessors of JSON documents: structure, typed getters with located reports, places; see json.h.
 */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/json/json.h"
#include "base/json/json_doc.h"
#include "base/json/json_scan.h"
#include "base/suggest.h"

static const json_node *node_of(base_jval v) {
    return &v.doc->nodes.items[v.node];
}

static bool is_container(const json_node *n) {
    return n->kind == BASE_JSON_ARRAY || n->kind == BASE_JSON_OBJECT;
}

/* ---- structure ---- */

bool base_json_present(base_jval v) {
    return v.doc != NULL;
}

base_json_kind base_json_kind_of(base_jval v) {
    return v.doc ? (base_json_kind)node_of(v)->kind : BASE_JSON_NULL;
}

bool base_json_is(base_jval v, base_json_kind kind) {
    return v.doc && node_of(v)->kind == kind;
}

bool base_json_is_null(base_jval v) {
    return base_json_is(v, BASE_JSON_NULL);
}

const char *base_json_kind_name(base_json_kind kind) {
    static const char *const names[] = {
        "null",     "true or false", "an integer", "a number with a fraction",
        "a string", "an array",      "an object"};
    return names[kind];
}

/* Enough for the keys of any config; a loop over many names stops being recorded. */
enum { MISSES = 512 };

base_jval base_json_get(base_jval object, const char *key) {
    if (!base_json_is(object, BASE_JSON_OBJECT) || node_of(object)->count == 0)
        return (base_jval){0};
    base_json *doc = object.doc;
    const json_node *o = node_of(object);
    const uint32_t *sorted = doc->order.items + o->order;
    size_t length = strlen(key), low = 0, high = o->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        json_node *m = &doc->nodes.items[sorted[mid]];
        size_t n = m->key_length < length ? m->key_length : length;
        int order = memcmp(json_key(doc, m), key, n);
        if (!order) order = (m->key_length > length) - (m->key_length < length);
        if (!order) {
            m->known = true;
            return (base_jval){doc, sorted[mid]};
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    if (doc->missed.count < MISSES)
        BASE_PUSH(&doc->missed,
                  ((struct json_miss){object.node, base_arena_strdup(doc->arena, key)}));
    return (base_jval){0};
}

base_jval base_json_require(base_jval object, const char *key) {
    if (!object.doc || !base_json_expect(object, BASE_JSON_OBJECT)) return (base_jval){0};
    base_jval v = base_json_get(object, key);
    if (!v.doc) base_json_error(object, "missing key '%s'", key);
    return v;
}

size_t base_json_length(base_jval v) {
    return v.doc && is_container(node_of(v)) ? node_of(v)->count : 0;
}

base_jval base_json_item(base_jval array, size_t i) {
    if (!base_json_is(array, BASE_JSON_ARRAY) || i >= node_of(array)->count) return (base_jval){0};
    return (base_jval){array.doc, array.doc->order.items[node_of(array)->order + i]};
}

base_jval base_json_first(base_jval container) {
    return base_json_length(container) ? (base_jval){container.doc, container.node + 1}
                                       : (base_jval){0};
}

base_jval base_json_next(base_jval child) {
    if (!child.doc || child.node == 0) return (base_jval){0};
    const json_node *n = node_of(child);
    return n->after < child.doc->nodes.items[n->parent].after ? (base_jval){child.doc, n->after}
                                                              : (base_jval){0};
}

const char *base_json_key(base_jval member) {
    return member.doc && node_of(member)->key_end ? json_key(member.doc, node_of(member)) : NULL;
}

/* ---- places ---- */

static bool plain_key(const char *key) {
    if (!*key || (*key >= '0' && *key <= '9')) return false;
    for (; *key; key++) {
        char c = *key;
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_'))
            return false;
    }
    return true;
}

/* Index of an array's child: its place in the (ascending) list of children. */
static size_t index_in(const base_json *doc, const json_node *array, uint32_t child) {
    const uint32_t *items = doc->order.items + array->order;
    size_t low = 0, high = array->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (items[mid] < child)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static const char *json_path(base_json *doc, uint32_t id) {
    uint32_t chain[BASE_JSCAN_MAX_DEPTH + 1];
    size_t n = 0;
    for (; id != 0; id = doc->nodes.items[id].parent) chain[n++] = id;
    base_str path = {0};
    base_str_add(&path, "$");
    while (n > 0) {
        const json_node *v = &doc->nodes.items[chain[--n]];
        const json_node *parent = &doc->nodes.items[v->parent];
        if (parent->kind == BASE_JSON_ARRAY) {
            base_str_addf(&path, "[%zu]", index_in(doc, parent, chain[n]));
        } else if (plain_key(json_key(doc, v))) {
            base_str_addf(&path, ".%s", json_key(doc, v));
        } else {
            base_str_addf(&path, "[\"%s\"]", json_key(doc, v));
        }
    }
    const char *kept = base_arena_strndup(doc->arena, path.data, path.len);
    base_str_free(&path);
    return kept;
}

base_loc base_json_loc(base_jval v) {
    if (!v.doc) return (base_loc){0};
    const json_node *n = node_of(v);
    /* A container is marked at its bracket: its end may be a thousand lines away. */
    base_loc loc = base_json_place(v.doc, n->begin, is_container(n) ? n->begin + 1 : n->end);
    loc.path = json_path(v.doc, v.node);
    return loc;
}

base_loc base_json_key_loc(base_jval member) {
    if (!member.doc || !node_of(member)->key_end) return base_json_loc(member);
    base_loc loc = base_json_place(member.doc, node_of(member)->key, node_of(member)->key_end);
    loc.path = json_path(member.doc, member.node);
    return loc;
}

void base_json_error(base_jval v, const char *fmt, ...) {
    if (!v.doc) return;
    base_loc loc = base_json_loc(v);
    va_list ap;
    va_start(ap, fmt);
    base_vreport(v.doc->diag, BASE_ERROR, &loc, fmt, ap);
    va_end(ap);
}

void base_json_warning(base_jval v, const char *fmt, ...) {
    if (!v.doc) return;
    base_loc loc = base_json_loc(v);
    va_list ap;
    va_start(ap, fmt);
    base_vreport(v.doc->diag, BASE_WARNING, &loc, fmt, ap);
    va_end(ap);
}

/* ---- typed getters ---- */

/* "'down_blocks[1].type': " for messages, empty for the root. */
static const char *subject(base_jval v, char *buffer, size_t size) {
    const char *path = json_path(v.doc, v.node);
    if (!path[1]) return "";
    path += path[1] == '.' ? 2 : 1;
    snprintf(buffer, size, "'%s': ", base_escape(path, strlen(path)));
    return buffer;
}

static bool wrong_kind(base_jval v, const char *expected) {
    char buffer[256];
    if (v.doc) {
        base_json_error(v, "%sexpected %s, found %s", subject(v, buffer, sizeof buffer), expected,
                        base_json_kind_name(base_json_kind_of(v)));
    }
    return false;
}

bool base_json_expect(base_jval v, base_json_kind kind) {
    return base_json_is(v, kind) || wrong_kind(v, base_json_kind_name(kind));
}

bool base_json_int(base_jval v, int64_t *out, int64_t min, int64_t max) {
    if (!base_json_is(v, BASE_JSON_INT)) return wrong_kind(v, "an integer");
    const json_node *n = node_of(v);
    int64_t value;
    if (base_jscan_int(v.doc->original, n->begin, n->end, &value) && value >= min && value <= max) {
        *out = value;
        return true;
    }
    char buffer[256];
    const char *token = base_escape(v.doc->original + n->begin, n->end - n->begin);
    const char *who = subject(v, buffer, sizeof buffer);
    if (max == INT64_MAX && min > INT64_MIN) {
        base_json_error(v, "%s%s is out of range (at least %lld)", who, token, (long long)min);
    } else {
        base_json_error(v, "%s%s is out of range (%lld to %lld)", who, token, (long long)min,
                        (long long)max);
    }
    return false;
}

bool base_json_any_double(base_jval v, double *out) {
    if (!base_json_is(v, BASE_JSON_INT) && !base_json_is(v, BASE_JSON_REAL))
        return wrong_kind(v, "a number");
    *out = base_jscan_double(v.doc->original, node_of(v)->begin, node_of(v)->end);
    return true;
}

bool base_json_double(base_jval v, double *out) {
    double number;
    if (!base_json_any_double(v, &number)) return false;
    if (isfinite(number)) {
        *out = number;
        return true;
    }
    char buffer[256];
    const json_node *n = node_of(v);
    const char *token = base_escape(v.doc->original + n->begin, n->end - n->begin);
    base_json_error(v, "%sexpected a finite number, found %s", subject(v, buffer, sizeof buffer),
                    token);
    return false;
}

bool base_json_bool(base_jval v, bool *out) {
    if (!base_json_expect(v, BASE_JSON_BOOL)) return false;
    *out = node_of(v)->value;
    return true;
}

bool base_json_string(base_jval v, const char **out) {
    if (!base_json_expect(v, BASE_JSON_STRING)) return false;
    *out = v.doc->text + node_of(v)->begin + 1;
    return true;
}

bool base_json_choice(base_jval v, const char *what, const char *const *names, size_t n,
                      size_t *index) {
    const char *word;
    if (!base_json_string(v, &word)) return false;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(word, names[i]) == 0) {
            *index = i;
            return true;
        }
    }
    char hint[BASE_HINT_MAX];
    const char *near = base_suggest(word, names, n);
    base_json_error(v, "unknown %s '%s'%s", what, base_escape(word, strlen(word)),
                    base_hint(near, hint));
    if (!near && n > 0 && n <= 16) {
        base_str list = {0};
        for (size_t i = 0; i < n; i++) base_str_addf(&list, "%s%s", i ? ", " : "", names[i]);
        base_note(v.doc->diag, NULL, "known: %s", list.data);
        base_str_free(&list);
    }
    return false;
}

bool base_json_ints(base_jval v, int64_t *out, size_t max_count, size_t *count, int64_t min,
                    int64_t max) {
    if (!base_json_is(v, BASE_JSON_ARRAY)) return wrong_kind(v, "an array of integers");
    size_t n = base_json_length(v);
    if (n > max_count) {
        char buffer[256];
        base_json_error(v, "%sarray of %zu items, at most %zu are allowed",
                        subject(v, buffer, sizeof buffer), n, max_count);
        return false;
    }
    bool fine = true;
    for (size_t i = 0; i < n; i++) fine &= base_json_int(base_json_item(v, i), &out[i], min, max);
    if (fine) *count = n;
    return fine;
}

/* ---- optional members ---- */

static base_jval optional(base_jval object, const char *key) {
    base_jval v = base_json_get(object, key);
    return base_json_is_null(v) ? (base_jval){0} : v;
}

int64_t base_json_opt_int(base_jval object, const char *key, int64_t fallback, int64_t min,
                          int64_t max) {
    int64_t value;
    return base_json_int(optional(object, key), &value, min, max) ? value : fallback;
}

double base_json_opt_double(base_jval object, const char *key, double fallback) {
    double value;
    return base_json_double(optional(object, key), &value) ? value : fallback;
}

bool base_json_opt_bool(base_jval object, const char *key, bool fallback) {
    bool value;
    return base_json_bool(optional(object, key), &value) ? value : fallback;
}

const char *base_json_opt_string(base_jval object, const char *key, const char *fallback) {
    const char *value;
    return base_json_string(optional(object, key), &value) ? value : fallback;
}

/* ---- unknown keys ---- */

static bool is_one_of(const char *word, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(word, names[i]) == 0) return true;
    }
    return false;
}

__attribute__((format(printf, 4, 5))) static void
report(base_diag *d, base_severity severity, const base_loc *loc, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    base_vreport(d, severity, loc, fmt, ap);
    va_end(ap);
}

size_t base_json_report_unknown_keys(base_jval object, const char *const *known, size_t n,
                                     base_severity severity) {
    size_t found = 0, candidates = 0;
    if (!base_json_is(object, BASE_JSON_OBJECT)) return 0;
    const char **meant = base_alloc((n + MISSES) * sizeof *meant);
    for (size_t i = 0; i < n; i++) meant[candidates++] = known[i];
    for (size_t i = 0; i < object.doc->missed.count; i++)
        if (object.doc->missed.items[i].object == object.node)
            meant[candidates++] = object.doc->missed.items[i].key;
    for (base_jval m = base_json_first(object); base_json_present(m); m = base_json_next(m)) {
        const char *key = base_json_key(m);
        if (node_of(m)->known || is_one_of(key, known, n)) continue;
        found++;
        base_loc loc = base_json_key_loc(m);
        char hint[BASE_HINT_MAX];
        const char *near = base_suggest(key, meant, candidates);
        report(m.doc->diag, severity, &loc, "unknown key '%s'%s", base_escape(key, strlen(key)),
               base_hint(near, hint));
    }
    base_free(meant);
    return found;
}
