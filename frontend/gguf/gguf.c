/* Reads and checks one GGUF file; see gguf.h.
 *
 * The file is: "GGUF", version, number of tensors, number of pairs; the pairs (key, type, value);
 * the tensors (name, dimensions, type, offset); and, at the next multiple of the alignment, the
 * data. Numbers are little-endian. Every length is held against what is left of the file before it
 * is used, so a count that the file cannot have is an error and never a loop or an allocation. */
#include "frontend/gguf/gguf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/json/json_scan.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

enum {
    MAX_PROBLEMS = 100,
    GGUF_MAX_DIMS = 4,
    ALIGNMENT = 32,            /* when the file does not say another */
    LEAST_PAIR = 8 + 4 + 1,    /* bytes */
    LEAST_TENSOR = 8 + 4 + 12, /* bytes of one without dimensions */
    LONGEST_TEXT = 65536       /* of metadata that is kept */
};

/* Types of values, by their numbers. */
enum { VALUE_U32 = 4, VALUE_I32 = 5, VALUE_STRING = 8, VALUE_ARRAY = 9, VALUE_TYPES = 13 };
/* Bytes of a value; 0: a string or an array. */
static const uint8_t value_bytes[VALUE_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

static const char SHAPE_KEY[] = "comfy.gguf.orig_shape.";

/* The shape a tensor had before it was flattened. */
typedef struct shape {
    const char *name;
    uint32_t rank;
    int64_t dims[FE_ST_MAX_RANK];
} shape;

typedef struct reader {
    fe_st *st;
    const base_source *source;
    const uint8_t *data;
    size_t size, at;
    const char *name; /* of the tensor being checked, NULL elsewhere */
    const char *key;  /* of the pair being read */
    unsigned problems;
    uint64_t alignment;
    size_t first; /* first entry of this file */
    BASE_VEC(const char *) keys;
    BASE_VEC(shape) shapes;
} reader;

/* ---- reports ---- */

/* Reports at the tensor or key being looked at, else at the byte being read; quiet after
 * MAX_PROBLEMS. Always false. */
__attribute__((format(printf, 2, 3))) static void report_fault(reader *r, const char *fmt, ...) {
    if (r->problems++ >= MAX_PROBLEMS) return;
    base_loc loc = {.source = r->source};
    const char *what = r->name ? r->name : r->key;
    loc.path = what ? base_arena_printf(r->st->arena, "%s '%s'", r->name ? "tensor" : "key",
                                        base_escape(what, strlen(what)))
                    : base_arena_printf(r->st->arena, "byte %zu", r->at);
    va_list ap;
    va_start(ap, fmt);
    base_vreport(r->st->diag, BASE_ERROR, &loc, fmt, ap);
    va_end(ap);
}
/* Reports and is false; a macro, so that static checks see it. */
#define fault(...) (report_fault(__VA_ARGS__), false)

/* ---- reading ---- */

static size_t left(const reader *r) {
    return r->size - r->at;
}

static bool take(reader *r, uint64_t bytes) {
    if (bytes > left(r))
        return fault(r, "the file is truncated: %" PRIu64 " bytes are needed, %zu are left", bytes,
                     left(r));
    r->at += (size_t)bytes;
    return true;
}

static uint64_t number_at(const uint8_t *p, unsigned bytes) {
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++) v |= (uint64_t)p[i] << 8 * i;
    return v;
}

static bool read_number(reader *r, unsigned bytes, uint64_t *out) {
    const uint8_t *p = r->data + r->at;
    if (!take(r, bytes)) return false;
    *out = number_at(p, bytes);
    return true;
}

/* A string that is a name: UTF-8 without zeros, in the table's arena. */
static bool read_name(reader *r, const char *what, const char **out) {
    uint64_t length;
    if (!read_number(r, 8, &length)) return false;
    const char *text = (const char *)r->data + r->at;
    if (!take(r, length)) return false;
    if (!length || memchr(text, 0, (size_t)length) ||
        base_utf8_check(text, (size_t)length) < length)
        return fault(r, "the name of a %s is %s", what, length ? "no text in UTF-8" : "empty");
    *out = base_arena_strndup(r->st->arena, text, (size_t)length);
    return true;
}

/* ---- metadata ---- */

static bool skip_string(reader *r, const char **text, uint64_t *length) {
    if (!read_number(r, 8, length)) return false;
    *text = (const char *)r->data + r->at;
    return take(r, *length);
}

/* comfy.gguf.orig_shape.NAME: an array of i32. */
static bool read_shape(reader *r, const char *name, uint64_t type, uint64_t count,
                       const uint8_t *values) {
    shape s = {.name = name};
    if ((type != VALUE_I32 && type != VALUE_U32) || !count || count > FE_ST_MAX_RANK)
        return fault(r, "a shape is an array of one to %d integers of 32 bits", FE_ST_MAX_RANK);
    for (; s.rank < count; s.rank++) {
        uint64_t v = number_at(values + s.rank * 4u, 4);
        if (!v || v > INT32_MAX) return fault(r, "a dimension that is no size");
        s.dims[s.rank] = (int64_t)v;
    }
    BASE_PUSH(&r->shapes, s);
    return true;
}

static bool read_array(reader *r) {
    uint64_t type, count;
    if (!read_number(r, 4, &type) || !read_number(r, 8, &count)) return false;
    if (type == VALUE_ARRAY) return fault(r, "an array of arrays, which the format does not have");
    if (type >= VALUE_TYPES) return fault(r, "an array of the unknown type %" PRIu64, type);
    if (type == VALUE_STRING) {
        if (count > left(r) / 8)
            return fault(r, "the file is truncated: %" PRIu64 " strings are in no %zu bytes", count,
                         left(r));
        const char *text;
        uint64_t length;
        for (uint64_t i = 0; i < count; i++)
            if (!skip_string(r, &text, &length)) return false;
        return true;
    }
    const uint8_t *values = r->data + r->at;
    uint64_t bytes;
    if (__builtin_mul_overflow(count, value_bytes[type], &bytes))
        return fault(r, "an array of %" PRIu64 " values", count);
    if (!take(r, bytes)) return false;
    size_t n = sizeof SHAPE_KEY - 1;
    return strncmp(r->key, SHAPE_KEY, n) != 0 || read_shape(r, r->key + n, type, count, values);
}

/* Texts are kept: what a file says about itself. */
static bool read_text(reader *r) {
    const char *text;
    uint64_t length;
    if (!skip_string(r, &text, &length)) return false;
    if (length > LONGEST_TEXT || memchr(text, 0, (size_t)length) ||
        base_utf8_check(text, (size_t)length) < length)
        return true;
    st_pair pair = {r->key, base_arena_strndup(r->st->arena, text, (size_t)length)};
    BASE_PUSH(&r->st->metadata, pair);
    return true;
}

static bool read_value(reader *r) {
    uint64_t type, value = 0;
    if (!read_number(r, 4, &type)) return false;
    if (type >= VALUE_TYPES) return fault(r, "a value of the unknown type %" PRIu64, type);
    bool alignment = strcmp(r->key, "general.alignment") == 0;
    if (alignment && type != VALUE_U32) return fault(r, "the alignment is no number of 32 bits");
    if (type == VALUE_STRING) return read_text(r);
    if (type == VALUE_ARRAY) return read_array(r);
    if (!read_number(r, value_bytes[type], &value)) return false;
    if (!alignment) return true;
    if (!value || value & (value - 1))
        return fault(r, "an alignment of %" PRIu64 ", which is no power of two", value);
    r->alignment = value;
    return true;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool read_pairs(reader *r, uint64_t count) {
    bool fine = true;
    for (uint64_t i = 0; i < count; i++) {
        const char *key;
        if (!read_name(r, "key", &key)) return false;
        r->key = key;
        fine = read_value(r);
        r->key = NULL;
        if (!fine) return false;
        BASE_PUSH(&r->keys, key);
    }
    if (r->keys.count > 1) qsort(r->keys.items, r->keys.count, sizeof *r->keys.items, by_text);
    for (size_t i = 1; i < r->keys.count; i++) {
        if (strcmp(r->keys.items[i - 1], r->keys.items[i]) != 0) continue;
        r->key = r->keys.items[i];
        fine = fault(r, "the key is given twice");
    }
    r->key = NULL;
    return fine;
}

/* ---- tensors ---- */

static const struct {
    uint32_t number;
    const char *name;
    int dtype; /* -1: refused */
} types[] = {
#define GGUF_TYPE(number, name, dtype) {number, name, dtype},
#define GGUF_OTHER(number, name)       {number, name, -1},
#include "frontend/gguf/gguf_types.def"
};

static bool find_type(reader *r, uint64_t number, fe_st_dtype *out) {
    for (size_t i = 0; i < COUNT(types); i++) {
        if (types[i].number != number) continue;
        if (types[i].dtype < 0) return fault(r, "unsupported: elements of type %s", types[i].name);
        *out = (fe_st_dtype)types[i].dtype;
        return true;
    }
    return fault(r, "unsupported: elements of the unknown type %" PRIu64, number);
}

static const char *shape_text(reader *r, uint32_t rank, const int64_t *dims) {
    base_str s = {0};
    base_str_add(&s, "[");
    for (uint32_t i = 0; i < rank; i++) base_str_addf(&s, "%s%" PRId64, i ? ", " : "", dims[i]);
    base_str_add(&s, "]");
    const char *kept = base_arena_strdup(r->st->arena, s.data);
    base_str_free(&s);
    return kept;
}

static bool count_elements(uint32_t rank, const int64_t *dims, size_t *count) {
    *count = 1;
    for (uint32_t i = 0; i < rank; i++)
        if (!base_mul_size(*count, (size_t)dims[i], count)) return false;
    return *count <= INT64_MAX;
}

/* Type and dimensions, of which the innermost is whole blocks, give count and bytes. */
static bool check_size(reader *r, fe_st_tensor *t, uint64_t type) {
    if (!find_type(r, type, &t->dtype)) return false;
    if (!count_elements(t->rank, t->dims, &t->count))
        return fault(r, "shape %s has more elements than can be counted",
                     shape_text(r, t->rank, t->dims));
    ir_stored form = fe_st_stored(t->dtype);
    if (form == IR_STORED_PLAIN) {
        if (base_mul_size(t->count, fe_st_dtype_size(t->dtype), &t->bytes)) return true;
        return fault(r, "the size of shape %s in %s overflows", shape_text(r, t->rank, t->dims),
                     fe_st_dtype_name(t->dtype));
    }
    int64_t inner = t->rank ? t->dims[t->rank - 1] : 1;
    if (inner % ir_stored_block(form))
        return fault(r, "rows of shape %s are no whole blocks of %s, which are %d elements",
                     shape_text(r, t->rank, t->dims), fe_st_dtype_name(t->dtype),
                     ir_stored_block(form));
    t->bytes = (size_t)ir_stored_bytes(form, t->count); /* fewer than elements times 2 */
    return true;
}

/* One tensor; false when nothing behind it can be read. */
static bool read_tensor(reader *r) {
    st_entry e = {.t = {.source = r->source, .gguf = true}};
    uint64_t rank, type, dims[GGUF_MAX_DIMS], offset;
    if (!read_name(r, "tensor", &e.t.name)) return false;
    r->name = e.t.name;
    if (!read_number(r, 4, &rank)) return false;
    if (rank > GGUF_MAX_DIMS)
        return fault(r, "%" PRIu64 " dimensions; there can be %d", rank, GGUF_MAX_DIMS);
    for (uint64_t i = 0; i < rank; i++)
        if (!read_number(r, 8, &dims[i])) return false;
    if (!read_number(r, 4, &type) || !read_number(r, 8, &offset)) return false;
    bool fine = true;
    e.t.rank = (uint32_t)rank;
    for (uint64_t i = 0; i < rank && fine; i++) {
        if (dims[i] > INT64_MAX) fine = fault(r, "a dimension of %" PRIu64, dims[i]);
        e.t.dims[rank - 1 - i] = (int64_t)dims[i];
    }
    fine = fine && check_size(r, &e.t, type);
    if (fine && offset % r->alignment)
        fine = fault(r, "offset %" PRIu64 " is no multiple of the alignment %" PRIu64, offset,
                     r->alignment);
    e.begin = offset;
    if (fine && __builtin_add_overflow(offset, e.t.bytes, &e.end))
        fine = fault(r, "offset %" PRIu64 " and %zu bytes overflow", offset, e.t.bytes);
    if (fine) BASE_PUSH(&r->st->entries, e);
    r->name = NULL;
    return true;
}

static int by_offset(const void *x, const void *y) {
    const st_entry *a = x, *b = y;
    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

/* All lie inside the data, and none over another. */
static void check_offsets(reader *r, const uint8_t *data, size_t size) {
    size_t n = r->st->entries.count - r->first;
    st_entry *e = n ? r->st->entries.items + r->first : NULL, *before = NULL;
    if (n > 1) qsort(e, n, sizeof *e, by_offset);
    for (size_t i = 0; i < n; i++) {
        r->name = e[i].t.name;
        if (before && e[i].begin < before->end)
            report_fault(r, "overlaps tensor '%s' by %" PRIu64 " bytes",
                         base_escape(before->t.name, strlen(before->t.name)),
                         before->end - e[i].begin);
        if (e[i].end > size)
            report_fault(r,
                         "the file is truncated: the tensor ends at byte %" PRIu64
                         " of the data, which has %zu (an incomplete download?)",
                         e[i].end, size);
        else
            e[i].t.data = data + e[i].begin;
        if (!before || e[i].end > before->end) before = &e[i];
    }
    r->name = NULL;
}

static void check_names(reader *r) {
    st_sort_names(r->st, r->first);
    for (size_t i = r->first + 1; i < r->st->entries.count; i++) {
        const char *name = r->st->entries.items[i].t.name;
        if (strcmp(r->st->entries.items[i - 1].t.name, name) != 0) continue;
        r->name = name;
        report_fault(r, "the name is given twice");
    }
    r->name = NULL;
}

static int by_shape_name(const void *x, const void *y) {
    return strcmp(((const shape *)x)->name, ((const shape *)y)->name);
}

/* Tensors that were flattened get their shapes back. */
static void restore_shapes(reader *r) {
    if (!r->shapes.count) return;
    qsort(r->shapes.items, r->shapes.count, sizeof *r->shapes.items, by_shape_name);
    for (size_t i = r->first; i < r->st->entries.count; i++) {
        fe_st_tensor *t = &r->st->entries.items[i].t;
        const shape key = {.name = t->name}, *s;
        s = bsearch(&key, r->shapes.items, r->shapes.count, sizeof key, by_shape_name);
        size_t count;
        if (!s) continue;
        r->name = t->name;
        if (!count_elements(s->rank, s->dims, &count) || count != t->count)
            report_fault(r, "is %s, which '%s' says was %s: not as many elements",
                         shape_text(r, t->rank, t->dims), SHAPE_KEY,
                         shape_text(r, s->rank, s->dims));
        t->rank = s->rank;
        memcpy(t->dims, s->dims, sizeof t->dims);
    }
    r->name = NULL;
}

static bool read_tensors(reader *r, uint64_t count) {
    for (uint64_t i = 0; i < count && r->problems < MAX_PROBLEMS; i++)
        if (!read_tensor(r)) return false;
    if (r->problems) return false;
    size_t padding = (size_t)(-(uint64_t)r->at & (r->alignment - 1));
    size_t start = padding < left(r) ? r->at + padding : r->size;
    check_offsets(r, r->data + start, r->size - start);
    check_names(r);
    restore_shapes(r);
    return !r->problems;
}

/* ---- the file ---- */

static bool check_version(reader *r, uint64_t version) {
    if (version == 2 || version == 3) return true;
    if (version && !(version & 0xffff))
        return fault(r, "a big-endian GGUF file; only little-endian ones are read");
    if (version == 1)
        return fault(r, "a GGUF file of version 1; convert the model again: 2 and 3 are read");
    return fault(r, "a GGUF file of version %" PRIu64 "; 2 and 3 are read", version);
}

static bool read_file(reader *r) {
    uint64_t version, tensors, pairs;
    r->at = 4; /* the magic, which the caller saw */
    if (!read_number(r, 4, &version) || !check_version(r, version) ||
        !read_number(r, 8, &tensors) || !read_number(r, 8, &pairs))
        return false;
    if (pairs > left(r) / LEAST_PAIR)
        return fault(r, "%" PRIu64 " keys are more than the file can have", pairs);
    if (!read_pairs(r, pairs)) return false;
    if (tensors > left(r) / LEAST_TENSOR)
        return fault(r, "%" PRIu64 " tensors are more than the file can have", tensors);
    return read_tensors(r, tensors);
}

bool gguf_add_file(fe_st *st, const char *shown, const uint8_t *data, size_t size) {
    reader r = {.st = st,
                .source = base_diag_source(st->diag, shown, NULL, 0),
                .data = data,
                .size = size,
                .alignment = ALIGNMENT,
                .first = st->entries.count};
    bool fine = read_file(&r);
    base_free(r.keys.items);
    base_free(r.shapes.items);
    return fine;
}
