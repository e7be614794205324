/* Builds documents: events of the scanner become nodes in document order; see json.h and json_doc.h. */
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
    fe_json *doc;
    fe_jscan scan;
    size_t max_values;
    unsigned problems;
    uint32_t open;                     /* innermost open container */
    uint32_t key, key_end, key_length; /* waiting for its value */
    bool have_key;
} builder;

static void index_lines(fe_json *doc) {
    const char *text = doc->source->text, *end = text + doc->source->length;
    IR_PUSH(&doc->lines, 0u);
    for (const char *p = text; (p = memchr(p, '\n', (size_t)(end - p))) != NULL;) {
        p++;
        IR_PUSH(&doc->lines, (uint32_t)(p - text));
    }
}

ir_loc fe_json_place(fe_json *doc, size_t begin, size_t end) {
    if (!doc->lines.count) index_lines(doc);
    size_t low = 0, high = doc->lines.count; /* lines[low] <= begin < lines[high] */
    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;
        if (doc->lines.items[mid] <= begin)
            low = mid;
        else
            high = mid;
    }
    return (ir_loc){.source = doc->source,
                    .line = (uint32_t)low + 1,
                    .col = (uint32_t)(begin - doc->lines.items[low]) + 1,
                    .length = (uint32_t)(end - begin)};
}

/* True while there is room for another report: a hostile file could hold a million problems. */
static bool may_report(builder *b) {
    return b->problems++ < MAX_PROBLEMS;
}

static void decode_string(fe_json *doc, const fe_jscan *s, uint32_t *length) {
    char *out = doc->text + s->begin + 1;
    *length = (uint32_t)(s->end - s->begin - 2);
    if (s->escaped) *length = (uint32_t)fe_jscan_decode(s->text, s->begin, s->end, out);
    out[*length] = '\0';
}

/* Appends the node of the event just read and hooks it to its parent. */
static json_node *add_node(builder *b, fe_json_kind kind) {
    fe_json *doc = b->doc;
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
    IR_PUSH(&doc->nodes, n);
    return &doc->nodes.items[id];
}

/* Numbers a double cannot hold are refused; only tokens that look long or have an exponent are converted. */
static void check_number(builder *b, bool real) {
    const fe_jscan *s = &b->scan;
    size_t n = s->end - s->begin;
    if (n < LONG_NUMBER &&
        !(real && (memchr(s->text + s->begin, 'e', n) || memchr(s->text + s->begin, 'E', n)))) {
        return;
    }
    if (isfinite(fe_jscan_double(s->text, s->begin, s->end)) || !may_report(b)) return;
    ir_loc loc = fe_json_place(b->doc, s->begin, s->end);
    ir_error(b->doc->diag, &loc, "number is too large for a double");
}

static int compare_keys(const fe_json *doc, uint32_t x, uint32_t y) {
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
    fe_json *doc = b->doc;
    size_t first = 0;
    for (size_t i = 1; i < n; i++) {
        if (compare_keys(doc, sorted[first], sorted[i]) != 0) {
            first = i;
            continue;
        }
        if (!may_report(b)) return;
        const json_node *one = &doc->nodes.items[sorted[first]], *two = &doc->nodes.items[sorted[i]];
        ir_loc loc = fe_json_place(doc, two->key, two->key_end);
        ir_error(doc->diag, &loc, "duplicate key '%s'", ir_escape(json_key(doc, two), two->key_length));
        loc = fe_json_place(doc, one->key, one->key_end);
        ir_note(doc->diag, &loc, "it was first given here");
    }
}

/* Closes the innermost container: lists its children, members sorted by key. Sorting (instead of hashing) has
 * no bad case that a hostile file could aim at. */
static void close_container(builder *b) {
    fe_json *doc = b->doc;
    uint32_t id = b->open;
    json_node *c = &doc->nodes.items[id];
    c->end = (uint32_t)b->scan.end;
    c->after = (uint32_t)doc->nodes.count;
    c->order = (uint32_t)doc->order.count;
    for (uint32_t i = id + 1; i < c->after; i = doc->nodes.items[i].after) IR_PUSH(&doc->order, i);
    b->open = c->parent;
    if (c->kind == FE_JSON_OBJECT && c->count > 1) {
        uint32_t *sorted = doc->order.items + c->order;
        qsort_r(sorted, c->count, sizeof *sorted, by_key, doc);
        report_duplicates(b, sorted, c->count);
    }
}

/* Takes one event; false at the end and after an error. */
static bool take_event(builder *b, fe_jevent event) {
    fe_json *doc = b->doc;
    json_node *n;
    switch (event) {
    case FE_JSCAN_OBJECT:
    case FE_JSCAN_ARRAY:
        add_node(b, event == FE_JSCAN_OBJECT ? FE_JSON_OBJECT : FE_JSON_ARRAY);
        b->open = (uint32_t)doc->nodes.count - 1;
        break;
    case FE_JSCAN_OBJECT_END:
    case FE_JSCAN_ARRAY_END: close_container(b); break;
    case FE_JSCAN_KEY:
        b->key = (uint32_t)b->scan.begin;
        b->key_end = (uint32_t)b->scan.end;
        b->have_key = true;
        decode_string(doc, &b->scan, &b->key_length);
        break;
    case FE_JSCAN_STRING:
        n = add_node(b, FE_JSON_STRING);
        decode_string(doc, &b->scan, &n->count);
        break;
    case FE_JSCAN_INT:
    case FE_JSCAN_REAL:
        add_node(b, event == FE_JSCAN_INT ? FE_JSON_INT : FE_JSON_REAL);
        check_number(b, event == FE_JSCAN_REAL);
        break;
    case FE_JSCAN_TRUE:
    case FE_JSCAN_FALSE:
        n = add_node(b, FE_JSON_BOOL);
        n->value = event == FE_JSCAN_TRUE;
        break;
    case FE_JSCAN_NULL: add_node(b, FE_JSON_NULL); break;
    case FE_JSCAN_END: return false;
    case FE_JSCAN_ERROR: {
        ir_loc loc = fe_json_place(doc, b->scan.begin, b->scan.end);
        ir_error(doc->diag, &loc, "%s", b->scan.message);
        b->problems++;
        return false;
    }
    }
    if (doc->nodes.count <= b->max_values) return true;
    ir_loc loc = {.source = doc->source};
    ir_error(doc->diag, &loc, "document has more than %zu values", b->max_values);
    b->problems++;
    return false;
}

static bool too_large(ir_diag *d, const char *name, size_t length, size_t limit) {
    if (length <= limit && length < UINT32_MAX) return false;
    ir_loc loc = {.source = ir_diag_source(d, name, NULL, 0)};
    ir_error(d, &loc, "file is too large: %zu bytes, the limit is %zu", length, limit);
    return true;
}

static size_t byte_limit(const fe_json_limits *limits) {
    return limits && limits->max_bytes ? limits->max_bytes : FE_JSON_MAX_BYTES;
}

fe_json *fe_json_parse(ir_diag *d, const char *name, const char *text, size_t length,
                       const fe_json_limits *limits) {
    if (too_large(d, name, length, byte_limit(limits))) return NULL;
    fe_json *doc = ir_alloc(sizeof *doc);
    doc->diag = d;
    doc->source = ir_diag_source(d, name, length ? text : "", length);
    doc->text = ir_alloc(length + 1);
    if (length) memcpy(doc->text, text, length);
    doc->arena = ir_arena_new();

    builder b = {.doc = doc,
                 .max_values = limits && limits->max_values ? limits->max_values : DEFAULT_MAX_VALUES};
    fe_jscan_init(&b.scan, doc->source->text, length);
    while (take_event(&b, fe_jscan_next(&b.scan))) {
    }
    if (b.problems == 0) return doc;
    fe_json_free(doc);
    return NULL;
}

void fe_json_free(fe_json *doc) {
    if (!doc) return;
    ir_free(doc->text);
    ir_free(doc->nodes.items);
    ir_free(doc->order.items);
    ir_free(doc->lines.items);
    ir_free(doc->missed.items);
    ir_arena_free(doc->arena);
    ir_free(doc);
}

fe_jval fe_json_root(fe_json *doc) {
    return (fe_jval){doc, 0};
}

const ir_source *fe_json_source(const fe_json *doc) {
    return doc->source;
}

ir_diag *fe_json_diag(const fe_json *doc) {
    return doc->diag;
}
