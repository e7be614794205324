/* Accessors of JSON documents: structure, typed getters with located reports, places; see json.h. */
#include <stdarg.h>
#include <string.h>

#include "base/json/json.h"
#include "base/json/json_doc.h"
#include "base/json/json_scan.h"

static const json_node *node_of(fe_jval v) {
    return &v.doc->nodes.items[v.node];
}

static bool is_container(const json_node *n) {
    return n->kind == FE_JSON_ARRAY || n->kind == FE_JSON_OBJECT;
}

/* ---- structure ---- */

bool fe_json_present(fe_jval v) {
    return v.doc != NULL;
}

fe_json_kind fe_json_kind_of(fe_jval v) {
    return v.doc ? (fe_json_kind)node_of(v)->kind : FE_JSON_NULL;
}

bool fe_json_is(fe_jval v, fe_json_kind kind) {
    return v.doc && node_of(v)->kind == kind;
}

bool fe_json_is_null(fe_jval v) {
    return fe_json_is(v, FE_JSON_NULL);
}

const char *fe_json_kind_name(fe_json_kind kind) {
    static const char *const names[] = {"null",     "true or false", "an integer", "a number with a fraction",
                                        "a string", "an array",      "an object"};
    return names[kind];
}

/* Enough for the keys of any config; a loop over many names stops being recorded. */
enum { MISSES = 512 };

fe_jval fe_json_get(fe_jval object, const char *key) {
    if (!fe_json_is(object, FE_JSON_OBJECT) || node_of(object)->count == 0) return (fe_jval){0};
    fe_json *doc = object.doc;
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
            return (fe_jval){doc, sorted[mid]};
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    if (doc->missed.count < MISSES)
        IR_PUSH(&doc->missed, ((struct json_miss){object.node, ir_arena_strdup(doc->arena, key)}));
    return (fe_jval){0};
}

fe_jval fe_json_require(fe_jval object, const char *key) {
    if (!object.doc || !fe_json_expect(object, FE_JSON_OBJECT)) return (fe_jval){0};
    fe_jval v = fe_json_get(object, key);
    if (!v.doc) fe_json_error(object, "missing key '%s'", key);
    return v;
}

size_t fe_json_length(fe_jval v) {
    return v.doc && is_container(node_of(v)) ? node_of(v)->count : 0;
}

fe_jval fe_json_item(fe_jval array, size_t i) {
    if (!fe_json_is(array, FE_JSON_ARRAY) || i >= node_of(array)->count) return (fe_jval){0};
    return (fe_jval){array.doc, array.doc->order.items[node_of(array)->order + i]};
}

fe_jval fe_json_first(fe_jval container) {
    return fe_json_length(container) ? (fe_jval){container.doc, container.node + 1} : (fe_jval){0};
}

fe_jval fe_json_next(fe_jval child) {
    if (!child.doc || child.node == 0) return (fe_jval){0};
    const json_node *n = node_of(child);
    return n->after < child.doc->nodes.items[n->parent].after ? (fe_jval){child.doc, n->after} : (fe_jval){0};
}

const char *fe_json_key(fe_jval member) {
    return member.doc && node_of(member)->key_end ? json_key(member.doc, node_of(member)) : NULL;
}

/* ---- places ---- */

static bool plain_key(const char *key) {
    if (!*key || (*key >= '0' && *key <= '9')) return false;
    for (; *key; key++) {
        char c = *key;
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    return true;
}

/* Index of an array's child: its place in the (ascending) list of children. */
static size_t index_in(const fe_json *doc, const json_node *array, uint32_t child) {
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

static const char *json_path(fe_json *doc, uint32_t id) {
    uint32_t chain[FE_JSCAN_MAX_DEPTH + 1];
    size_t n = 0;
    for (; id != 0; id = doc->nodes.items[id].parent) chain[n++] = id;
    ir_str path = {0};
    ir_str_add(&path, "$");
    while (n > 0) {
        const json_node *v = &doc->nodes.items[chain[--n]];
        const json_node *parent = &doc->nodes.items[v->parent];
        if (parent->kind == FE_JSON_ARRAY) {
            ir_str_addf(&path, "[%zu]", index_in(doc, parent, chain[n]));
        } else if (plain_key(json_key(doc, v))) {
            ir_str_addf(&path, ".%s", json_key(doc, v));
        } else {
            ir_str_addf(&path, "[\"%s\"]", json_key(doc, v));
        }
    }
    const char *kept = ir_arena_strndup(doc->arena, path.data, path.len);
    ir_str_free(&path);
    return kept;
}

ir_loc fe_json_loc(fe_jval v) {
    if (!v.doc) return (ir_loc){0};
    const json_node *n = node_of(v);
    /* A container is marked at its bracket: its end may be a thousand lines away. */
    ir_loc loc = fe_json_place(v.doc, n->begin, is_container(n) ? n->begin + 1 : n->end);
    loc.path = json_path(v.doc, v.node);
    return loc;
}

ir_loc fe_json_key_loc(fe_jval member) {
    if (!member.doc || !node_of(member)->key_end) return fe_json_loc(member);
    ir_loc loc = fe_json_place(member.doc, node_of(member)->key, node_of(member)->key_end);
    loc.path = json_path(member.doc, member.node);
    return loc;
}

void fe_json_error(fe_jval v, const char *fmt, ...) {
    if (!v.doc) return;
    ir_loc loc = fe_json_loc(v);
    va_list ap;
    va_start(ap, fmt);
    ir_vreport(v.doc->diag, IR_ERROR, &loc, fmt, ap);
    va_end(ap);
}

void fe_json_warning(fe_jval v, const char *fmt, ...) {
    if (!v.doc) return;
    ir_loc loc = fe_json_loc(v);
    va_list ap;
    va_start(ap, fmt);
    ir_vreport(v.doc->diag, IR_WARNING, &loc, fmt, ap);
    va_end(ap);
}

/* ---- typed getters ---- */

/* "'down_blocks[1].type': " for messages, empty for the root. */
static const char *subject(fe_jval v, char *buffer, size_t size) {
    const char *path = json_path(v.doc, v.node);
    if (!path[1]) return "";
    path += path[1] == '.' ? 2 : 1;
    snprintf(buffer, size, "'%s': ", ir_escape(path, strlen(path)));
    return buffer;
}

static bool wrong_kind(fe_jval v, const char *expected) {
    char buffer[256];
    if (v.doc) {
        fe_json_error(v, "%sexpected %s, found %s", subject(v, buffer, sizeof buffer), expected,
                      fe_json_kind_name(fe_json_kind_of(v)));
    }
    return false;
}

bool fe_json_expect(fe_jval v, fe_json_kind kind) {
    return fe_json_is(v, kind) || wrong_kind(v, fe_json_kind_name(kind));
}

bool fe_json_int(fe_jval v, int64_t *out, int64_t min, int64_t max) {
    if (!fe_json_is(v, FE_JSON_INT)) return wrong_kind(v, "an integer");
    const json_node *n = node_of(v);
    int64_t value;
    if (fe_jscan_int(v.doc->source->text, n->begin, n->end, &value) && value >= min && value <= max) {
        *out = value;
        return true;
    }
    char buffer[256];
    const char *token = ir_escape(v.doc->source->text + n->begin, n->end - n->begin);
    const char *who = subject(v, buffer, sizeof buffer);
    if (max == INT64_MAX && min > INT64_MIN) {
        fe_json_error(v, "%s%s is out of range (at least %lld)", who, token, (long long)min);
    } else {
        fe_json_error(v, "%s%s is out of range (%lld to %lld)", who, token, (long long)min, (long long)max);
    }
    return false;
}

bool fe_json_double(fe_jval v, double *out) {
    if (!fe_json_is(v, FE_JSON_INT) && !fe_json_is(v, FE_JSON_REAL)) return wrong_kind(v, "a number");
    *out = fe_jscan_double(v.doc->source->text, node_of(v)->begin, node_of(v)->end);
    return true;
}

bool fe_json_bool(fe_jval v, bool *out) {
    if (!fe_json_expect(v, FE_JSON_BOOL)) return false;
    *out = node_of(v)->value;
    return true;
}

bool fe_json_string(fe_jval v, const char **out) {
    if (!fe_json_expect(v, FE_JSON_STRING)) return false;
    *out = v.doc->text + node_of(v)->begin + 1;
    return true;
}

bool fe_json_choice(fe_jval v, const char *what, const char *const *names, size_t n, size_t *index) {
    const char *word;
    if (!fe_json_string(v, &word)) return false;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(word, names[i]) == 0) {
            *index = i;
            return true;
        }
    }
    const char *near = ir_suggest(word, names, n);
    fe_json_error(v, "unknown %s '%s'%s%s%s", what, ir_escape(word, strlen(word)),
                  near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    if (!near && n > 0 && n <= 16) {
        ir_str list = {0};
        for (size_t i = 0; i < n; i++) ir_str_addf(&list, "%s%s", i ? ", " : "", names[i]);
        ir_note(v.doc->diag, NULL, "known: %s", list.data);
        ir_str_free(&list);
    }
    return false;
}

bool fe_json_ints(fe_jval v, int64_t *out, size_t max_count, size_t *count, int64_t min, int64_t max) {
    if (!fe_json_is(v, FE_JSON_ARRAY)) return wrong_kind(v, "an array of integers");
    size_t n = fe_json_length(v);
    if (n > max_count) {
        char buffer[256];
        fe_json_error(v, "%sarray of %zu items, at most %zu are allowed", subject(v, buffer, sizeof buffer),
                      n, max_count);
        return false;
    }
    bool fine = true;
    for (size_t i = 0; i < n; i++) fine &= fe_json_int(fe_json_item(v, i), &out[i], min, max);
    if (fine) *count = n;
    return fine;
}

/* ---- optional members ---- */

static fe_jval optional(fe_jval object, const char *key) {
    fe_jval v = fe_json_get(object, key);
    return fe_json_is_null(v) ? (fe_jval){0} : v;
}

int64_t fe_json_opt_int(fe_jval object, const char *key, int64_t fallback, int64_t min, int64_t max) {
    int64_t value;
    return fe_json_int(optional(object, key), &value, min, max) ? value : fallback;
}

double fe_json_opt_double(fe_jval object, const char *key, double fallback) {
    double value;
    return fe_json_double(optional(object, key), &value) ? value : fallback;
}

bool fe_json_opt_bool(fe_jval object, const char *key, bool fallback) {
    bool value;
    return fe_json_bool(optional(object, key), &value) ? value : fallback;
}

const char *fe_json_opt_string(fe_jval object, const char *key, const char *fallback) {
    const char *value;
    return fe_json_string(optional(object, key), &value) ? value : fallback;
}

/* ---- unknown keys ---- */

static bool is_one_of(const char *word, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(word, names[i]) == 0) return true;
    }
    return false;
}

__attribute__((format(printf, 4, 5))) static void report(ir_diag *d, ir_severity severity, const ir_loc *loc,
                                                         const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    ir_vreport(d, severity, loc, fmt, ap);
    va_end(ap);
}

size_t fe_json_report_unknown_keys(fe_jval object, const char *const *known, size_t n, ir_severity severity) {
    size_t found = 0, candidates = 0;
    if (!fe_json_is(object, FE_JSON_OBJECT)) return 0;
    const char **meant = ir_alloc((n + MISSES) * sizeof *meant);
    for (size_t i = 0; i < n; i++) meant[candidates++] = known[i];
    for (size_t i = 0; i < object.doc->missed.count; i++)
        if (object.doc->missed.items[i].object == object.node)
            meant[candidates++] = object.doc->missed.items[i].key;
    for (fe_jval m = fe_json_first(object); fe_json_present(m); m = fe_json_next(m)) {
        const char *key = fe_json_key(m);
        if (node_of(m)->known || is_one_of(key, known, n)) continue;
        found++;
        ir_loc loc = fe_json_key_loc(m);
        const char *near = ir_suggest(key, meant, candidates);
        report(m.doc->diag, severity, &loc, "unknown key '%s'%s%s%s", ir_escape(key, strlen(key)),
               near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    ir_free(meant);
    return found;
}
