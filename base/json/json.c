/* Builds documents: events of the scanner become nodes in document order; see json.h and
 * json_doc.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/json/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json/json_doc.h"
#include "base/json/json_scan.h"

enum { DEFAULT_MAX_VALUES = 4 * 1000 * 1000, MAX_PROBLEMS = 100, LONG_NUMBER = 300 };

typedef struct builder {
    base_json *doc;
    base_jscan scan;
    size_t max_values;
    unsigned problems;
    uint32_t open;                     /* innermost open container */
    uint32_t key, key_end, key_length; /* waiting for its value */
    bool have_key;
} builder;

static void index_lines(base_json *doc) {
    const char *text = doc->original, *end = text + doc->length;
    BASE_PUSH(&doc->lines, 0u);
    for (const char *p = text; (p = memchr(p, '\n', (size_t)(end - p))) != NULL;) {
        p++;
        BASE_PUSH(&doc->lines, (uint32_t)(p - text));
    }
}

base_loc base_json_place(base_json *doc, size_t begin, size_t end) {
    if (!doc->lines.count) index_lines(doc);
    size_t low = 0, high = doc->lines.count; /* lines[low] <= begin < lines[high] */
    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;
        if (doc->lines.items[mid] <= begin)
            low = mid;
        else
            high = mid;
    }
    return (base_loc){.source = doc->source,
                      .line = (uint32_t)low + doc->first_line,
                      .col = (uint32_t)(begin - doc->lines.items[low]) + 1,
                      .length = (uint32_t)(end - begin)};
}

/* True while there is room for another report: a hostile file could hold a million problems. */
static bool may_report(builder *b) {
    return b->problems++ < MAX_PROBLEMS;
}

static void decode_string(base_json *doc, const base_jscan *s, uint32_t *length) {
    char *out = doc->text + s->begin + 1;
    *length = (uint32_t)(s->end - s->begin - 2);
    if (s->escaped) *length = (uint32_t)base_jscan_decode(s->text, s->begin, s->end, out);
    out[*length] = '\0';
}

/* Appends the node of the event just read and hooks it to its parent. */
static json_node *add_node(builder *b, base_json_kind kind) {
    base_json *doc = b->doc;
    uint32_t id = (uint32_t)doc->nodes.count;
    json_node n = {.begin = (uint32_t)b->scan.begin,
                   .end = (uint32_t)b->scan.end,
                   .after = id + 1,
                   .parent = b->open,
                   .kind = (uint8_t)kind};
    if (b->have_key) {
        n.key = b->key;
        n.key_end = b->key_end;
        n.key_length = b->key_length;
        b->have_key = false;
    }
    if (id > 0) doc->nodes.items[b->open].count++;
    BASE_PUSH(&doc->nodes, n);
    return &doc->nodes.items[id];
}

/* Numbers a double cannot hold are refused; only tokens that look long or have an exponent are
 * converted. */
static void check_number(builder *b, bool real) {
    const base_jscan *s = &b->scan;
    size_t n = s->end - s->begin;
    if (n < LONG_NUMBER &&
        !(real && (memchr(s->text + s->begin, 'e', n) || memchr(s->text + s->begin, 'E', n)))) {
        return;
    }
    if (isfinite(base_jscan_double(s->text, s->begin, s->end)) || !may_report(b)) return;
    base_loc loc = base_json_place(b->doc, s->begin, s->end);
    base_error(b->doc->diag, &loc, "number is too large for a double");
}

static int compare_keys(const base_json *doc, uint32_t x, uint32_t y) {
    const json_node *a = &doc->nodes.items[x], *b = &doc->nodes.items[y];
    size_t n = a->key_length < b->key_length ? a->key_length : b->key_length;
    int order = memcmp(json_key(doc, a), json_key(doc, b), n);
    return order ? order : (a->key_length > b->key_length) - (a->key_length < b->key_length);
}

static int by_key(const void *x, const void *y, void *context) {
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    int order = compare_keys(context, a, b);
    return order ? order : (a > b) - (a < b);
}

static void report_duplicates(builder *b, const uint32_t *sorted, size_t n) {
    base_json *doc = b->doc;
    size_t first = 0;
    for (size_t i = 1; i < n; i++) {
        if (compare_keys(doc, sorted[first], sorted[i]) != 0) {
            first = i;
            continue;
        }
        if (!may_report(b)) return;
        const json_node *one = &doc->nodes.items[sorted[first]],
                        *two = &doc->nodes.items[sorted[i]];
        base_loc loc = base_json_place(doc, two->key, two->key_end);
        base_error(doc->diag, &loc, "duplicate key '%s'",
                   base_escape(json_key(doc, two), two->key_length));
        loc = base_json_place(doc, one->key, one->key_end);
        base_note(doc->diag, &loc, "it was first given here");
    }
}

/* Closes the innermost container: lists its children, members sorted by key. Sorting (instead of
 * hashing) has no bad case that a hostile file could aim at. */
static void close_container(builder *b) {
    base_json *doc = b->doc;
    uint32_t id = b->open;
    json_node *c = &doc->nodes.items[id];
    c->end = (uint32_t)b->scan.end;
    c->after = (uint32_t)doc->nodes.count;
    c->order = (uint32_t)doc->order.count;
    for (uint32_t i = id + 1; i < c->after; i = doc->nodes.items[i].after)
        BASE_PUSH(&doc->order, i);
    b->open = c->parent;
    if (c->kind == BASE_JSON_OBJECT && c->count > 1) {
        uint32_t *sorted = doc->order.items + c->order;
        qsort_r(sorted, c->count, sizeof *sorted, by_key, doc);
        report_duplicates(b, sorted, c->count);
    }
}

/* Takes one event; false at the end and after an error. */
static bool take_event(builder *b, base_jevent event) {
    base_json *doc = b->doc;
    json_node *n;
    switch (event) {
    case BASE_JSCAN_OBJECT:
    case BASE_JSCAN_ARRAY:
        add_node(b, event == BASE_JSCAN_OBJECT ? BASE_JSON_OBJECT : BASE_JSON_ARRAY);
        b->open = (uint32_t)doc->nodes.count - 1;
        break;
    case BASE_JSCAN_OBJECT_END:
    case BASE_JSCAN_ARRAY_END: close_container(b); break;
    case BASE_JSCAN_KEY:
        b->key = (uint32_t)b->scan.begin;
        b->key_end = (uint32_t)b->scan.end;
        b->have_key = true;
        decode_string(doc, &b->scan, &b->key_length);
        break;
    case BASE_JSCAN_STRING:
        n = add_node(b, BASE_JSON_STRING);
        decode_string(doc, &b->scan, &n->count);
        break;
    case BASE_JSCAN_INT:
    case BASE_JSCAN_REAL:
        add_node(b, event == BASE_JSCAN_INT ? BASE_JSON_INT : BASE_JSON_REAL);
        check_number(b, event == BASE_JSCAN_REAL);
        break;
    case BASE_JSCAN_TRUE:
    case BASE_JSCAN_FALSE:
        n = add_node(b, BASE_JSON_BOOL);
        n->value = event == BASE_JSCAN_TRUE;
        break;
    case BASE_JSCAN_NULL: add_node(b, BASE_JSON_NULL); break;
    case BASE_JSCAN_END: return false;
    case BASE_JSCAN_ERROR: {
        base_loc loc = base_json_place(doc, b->scan.begin, b->scan.end);
        base_error(doc->diag, &loc, "%s", b->scan.message);
        b->problems++;
        return false;
    }
    }
    if (doc->nodes.count <= b->max_values) return true;
    base_loc loc = {.source = doc->source};
    base_error(doc->diag, &loc, "document has more than %zu values", b->max_values);
    b->problems++;
    return false;
}

static bool too_large(base_diag *d, const char *name, size_t length, size_t limit) {
    if (length <= limit && length < UINT32_MAX) return false;
    base_loc loc = {.source = base_diag_source(d, name, NULL, 0)};
    base_error(d, &loc, "file is too large: %zu bytes, the limit is %zu", length, limit);
    return true;
}

static size_t byte_limit(const base_json_limits *limits) {
    return limits && limits->max_bytes ? limits->max_bytes : BASE_JSON_MAX_BYTES;
}

base_json *base_json_parse(base_diag *d, const char *name, const char *text, size_t length,
                           const base_json_limits *limits) {
    if (too_large(d, name, length, byte_limit(limits))) return NULL;
    const base_source *source = base_diag_source(d, name, length ? text : "", length);
    return base_json_parse_part(d, source, 0, length, 1, limits);
}

base_json *base_json_parse_part(base_diag *d, const base_source *source, size_t begin, size_t end,
                                uint32_t first_line, const base_json_limits *limits) {
    const size_t length = end - begin;
    if (too_large(d, source->path, length, byte_limit(limits))) return NULL;
    base_json *doc = base_alloc(sizeof *doc);
    doc->diag = d;
    doc->source = source;
    doc->original = source->text + begin;
    doc->length = length;
    doc->first_line = first_line;
    doc->text = base_alloc(length + 1);
    if (length) memcpy(doc->text, doc->original, length);
    doc->arena = base_arena_new();

    builder b = {.doc = doc,
                 .max_values =
                     limits && limits->max_values ? limits->max_values : DEFAULT_MAX_VALUES};
    base_jscan_init(&b.scan, doc->original, length);
    b.scan.python_numbers = limits && limits->python_numbers;
    while (take_event(&b, base_jscan_next(&b.scan))) {
    }
    if (b.problems == 0) return doc;
    base_json_free(doc);
    return NULL;
}

void base_json_free(base_json *doc) {
    if (!doc) return;
    base_free(doc->text);
    base_free(doc->nodes.items);
    base_free(doc->order.items);
    base_free(doc->lines.items);
    base_free(doc->missed.items);
    base_arena_free(doc->arena);
    base_free(doc);
}

base_jval base_json_root(base_json *doc) {
    return (base_jval){doc, 0};
}

const base_source *base_json_source(const base_json *doc) {
    return doc->source;
}

base_diag *base_json_diag(const base_json *doc) {
    return doc->diag;
}
