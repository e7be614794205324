/* Reads and checks one safetensors file; see safetensors.h.
 *
 * The checks and their order follow the format's reference implementation (huggingface/safetensors,
 * tensor.rs): at least 8 bytes; header length n <= 100,000,000; n <= rest of the file; UTF-8; JSON;
 * then, by offset, each tensor begins where the one before ended, shape times dtype bits overflows
 * nowhere, is whole bytes and equals the span; and the last tensor ends with the file. Where the
 * reference stops at the first fault, all tensors' faults are reported; and a name given twice,
 * which the reference meets as a wrong offset, is called that. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "frontend/safetensors/safetensors.h"
#include "frontend/files/formats.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/json/json_scan.h"
#include "frontend/gguf/gguf.h"
#include "frontend/safetensors/safetensors_table.h"

enum { LENGTH_BYTES = 8, MAX_PROBLEMS = 100 };

typedef struct header {
    fe_st *st;
    const base_source *source;
    base_jscan scan;
    const char *name; /* tensor being read or checked, NULL between tensors */
    bool in_header;
    base_str token; /* decoded text of the last key or string */
    size_t first;   /* first entry of this file */
    unsigned problems;
} header;

/* ---- reports ---- */

/* Reports at the tensor being looked at, else at the header byte being read, else at the file;
 * quiet after MAX_PROBLEMS, since a hostile header can hold a million faults. Always false. */
__attribute__((format(printf, 2, 3))) static void report_fault(header *h, const char *fmt, ...) {
    if (h->problems++ >= MAX_PROBLEMS) return;
    base_loc loc = {.source = h->source};
    if (h->name) {
        loc.path =
            base_arena_printf(h->st->arena, "tensor '%s'", base_escape(h->name, strlen(h->name)));
    } else if (h->in_header) {
        loc.path = base_arena_printf(h->st->arena, "header byte %zu", h->scan.begin);
    }
    va_list ap;
    va_start(ap, fmt);
    base_vreport(h->st->diag, BASE_ERROR, &loc, fmt, ap);
    va_end(ap);
}
/* Reports and is false; a macro, so that static checks see it. */
#define fault(...) (report_fault(__VA_ARGS__), false)

/* ---- header JSON ---- */

/* Next event; a syntax error is reported here and seen by the caller as BASE_JSCAN_ERROR. */
static base_jevent next(header *h) {
    base_jevent e = base_jscan_next(&h->scan);
    if (e == BASE_JSCAN_ERROR && h->scan.message[0]) {
        h->name = NULL;
        report_fault(h, "the header is not valid JSON: %s", h->scan.message);
        h->scan.message[0] = '\0';
    }
    return e;
}

/* Decoded text of the key or string just read, valid until the next call. */
static const char *token_text(header *h) {
    const base_jscan *s = &h->scan;
    size_t n = s->end - s->begin - 2;
    h->token.len = 0;
    base_str_addn(&h->token, s->text + s->begin + 1, n);
    if (s->escaped)
        h->token.data[base_jscan_decode(s->text, s->begin, s->end, h->token.data)] = '\0';
    return h->token.data;
}

static const char *token_string(header *h) {
    return base_arena_strdup(h->st->arena, token_text(h));
}

/* Passes over the value whose first event is e; false at a syntax error. */
static bool skip_value(header *h, base_jevent e) {
    for (unsigned depth = 0;; e = next(h)) {
        if (e == BASE_JSCAN_ERROR) return false;
        if (e == BASE_JSCAN_OBJECT || e == BASE_JSCAN_ARRAY) depth++;
        if (e == BASE_JSCAN_OBJECT_END || e == BASE_JSCAN_ARRAY_END) depth--;
        if (depth == 0 && e != BASE_JSCAN_KEY) return true;
    }
}

/* Reads [i, j, ...] into out. False at a syntax error only; *fine tells whether the value is good.
 */
static bool read_sizes(header *h, const char *what, int64_t *out, size_t max, size_t *count,
                       bool *fine) {
    base_jevent e = next(h);
    *fine = false;
    *count = 0;
    if (e != BASE_JSCAN_ARRAY) {
        if (e != BASE_JSCAN_ERROR) report_fault(h, "%s must be an array of integers", what);
        return skip_value(h, e);
    }
    *fine = true;
    for (;;) {
        e = next(h);
        if (e == BASE_JSCAN_ERROR) return false;
        if (e == BASE_JSCAN_ARRAY_END) return true;
        const base_jscan *s = &h->scan;
        int64_t v = 0;
        if (e != BASE_JSCAN_INT) {
            if (*fine) report_fault(h, "%s must hold integers only", what);
            *fine = false;
            if (!skip_value(h, e)) return false;
        } else if (!base_jscan_int(s->text, s->begin, s->end, &v) || v < 0) {
            report_fault(h, "%s: %s is %s", what,
                         base_escape(s->text + s->begin, s->end - s->begin),
                         s->text[s->begin] == '-' ? "negative" : "too large");
            *fine = false;
        }
        if (*count < max)
            out[*count] = v;
        else if (*count == max && *fine) {
            *fine = fault(h, "%s has more than %zu numbers", what, max);
        }
        ++*count;
    }
}

static bool read_dtype(header *h, st_entry *t, bool *fine) {
    base_jevent e = next(h);
    *fine = false;
    if (e != BASE_JSCAN_STRING) {
        if (e != BASE_JSCAN_ERROR) report_fault(h, "dtype must be a string");
        return skip_value(h, e);
    }
    const char *name = token_text(h);
    for (size_t i = 0; i < st_dtype_count; i++) {
        if (strcmp(name, st_dtypes[i].name) != 0) continue;
        t->dtype = (uint8_t)i;
        *fine = true;
        return true;
    }
    report_fault(h, "unknown dtype '%s'", base_escape(name, strlen(name)));
    return true;
}

enum { HAS_DTYPE = 1, HAS_SHAPE = 2, HAS_OFFSETS = 4, HAS_ALL = 7 };

static void report_missing(header *h, unsigned seen) {
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    for (unsigned i = 0; i < 3; i++) {
        if (!(seen >> i & 1)) report_fault(h, "missing key '%s'", keys[i]);
    }
}

/* Reads one key and its value inside a tensor's object. */
static bool read_info_key(header *h, st_entry *t, unsigned *seen, bool *good) {
    const char *key = token_text(h);
    int64_t offsets[2] = {0};
    size_t count = 0;
    bool fine = false, alive;
    unsigned bit = !strcmp(key, "dtype")          ? HAS_DTYPE
                   : !strcmp(key, "shape")        ? HAS_SHAPE
                   : !strcmp(key, "data_offsets") ? HAS_OFFSETS
                                                  : 0;
    if (!bit || (*seen & bit)) {
        report_fault(h, "%s key '%s'", bit ? "duplicate" : "unknown",
                     base_escape(key, strlen(key)));
        *good = false;
        return skip_value(h, next(h));
    }
    *seen |= bit;
    if (bit == HAS_DTYPE) {
        alive = read_dtype(h, t, &fine);
    } else if (bit == HAS_SHAPE) {
        alive = read_sizes(h, "shape", t->t.dims, FE_ST_MAX_RANK, &count, &fine);
        t->t.rank = (uint32_t)(count < FE_ST_MAX_RANK ? count : FE_ST_MAX_RANK);
    } else {
        alive = read_sizes(h, "data_offsets", offsets, 2, &count, &fine);
        if (alive && fine && count != 2) fine = fault(h, "data_offsets must be two integers");
        if (fine) {
            t->begin = (uint64_t)offsets[0];
            t->end = (uint64_t)offsets[1];
        }
    }
    *good &= fine;
    return alive;
}

/* Reads a tensor's object and appends the entry if it is complete. False at a syntax error. */
static bool read_tensor(header *h, const char *name, size_t at) {
    st_entry t = {.at = (uint32_t)at};
    unsigned seen = 0;
    bool good = true;
    h->name = t.t.name = name;
    t.t.source = h->source;
    base_jevent e = next(h);
    if (e != BASE_JSCAN_OBJECT) {
        if (e != BASE_JSCAN_ERROR)
            report_fault(h, "expected an object with dtype, shape and data_offsets");
        h->name = NULL;
        return skip_value(h, e);
    }
    while ((e = next(h)) == BASE_JSCAN_KEY) {
        if (!read_info_key(h, &t, &seen, &good)) return false;
    }
    if (e == BASE_JSCAN_ERROR) return false;
    if (seen != HAS_ALL) report_missing(h, seen);
    h->name = NULL;
    if (good && seen == HAS_ALL) BASE_PUSH(&h->st->entries, t);
    return true;
}

static int by_key(const void *x, const void *y) {
    const st_pair *a = x, *b = y;
    return strcmp(a->key, b->key);
}

static void check_metadata_keys(header *h, size_t first) {
    size_t n = h->st->metadata.count - first;
    if (n < 2) return;
    st_pair *pairs = h->st->metadata.items + first;
    qsort(pairs, n, sizeof *pairs, by_key);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(pairs[i - 1].key, pairs[i].key) != 0) continue;
        report_fault(h, "duplicate key '%s' in __metadata__",
                     base_escape(pairs[i].key, strlen(pairs[i].key)));
    }
}

/* `__metadata__`: an object of strings (or null, as the reference allows). */
static bool read_metadata(header *h) {
    size_t first = h->st->metadata.count;
    base_jevent e = next(h);
    if (e == BASE_JSCAN_NULL) return true;
    if (e != BASE_JSCAN_OBJECT) {
        if (e != BASE_JSCAN_ERROR) report_fault(h, "__metadata__ must be an object of strings");
        return skip_value(h, e);
    }
    while ((e = next(h)) == BASE_JSCAN_KEY) {
        st_pair pair = {.key = token_string(h)};
        e = next(h);
        if (e != BASE_JSCAN_STRING) {
            if (e != BASE_JSCAN_ERROR) {
                report_fault(h, "__metadata__ value of '%s' must be a string",
                             base_escape(pair.key, strlen(pair.key)));
            }
            if (!skip_value(h, e)) return false;
            continue;
        }
        pair.value = token_string(h);
        BASE_PUSH(&h->st->metadata, pair);
    }
    if (e == BASE_JSCAN_ERROR) return false;
    check_metadata_keys(h, first);
    return true;
}

static bool read_header(header *h) {
    size_t metadata_at = 0;
    bool metadata_seen = false;
    base_jevent e = next(h);
    if (e != BASE_JSCAN_OBJECT) {
        return e == BASE_JSCAN_ERROR ? false : fault(h, "the header must be a JSON object");
    }
    while ((e = next(h)) == BASE_JSCAN_KEY) {
        size_t at = h->scan.begin;
        if (strcmp(token_text(h), "__metadata__") != 0) {
            if (!read_tensor(h, token_string(h), at)) return false;
            continue;
        }
        if (metadata_seen) {
            report_fault(h, "duplicate key '__metadata__'; the first is at header byte %zu",
                         metadata_at);
        }
        metadata_seen = true;
        metadata_at = at;
        if (!read_metadata(h)) return false;
    }
    return e == BASE_JSCAN_OBJECT_END && next(h) == BASE_JSCAN_END && h->problems == 0;
}

/* ---- tensors ---- */

static int by_offset(const void *x, const void *y) {
    const st_entry *a = x, *b = y;
    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    if (a->end != b->end) return a->end < b->end ? -1 : 1;
    return (a->at > b->at) - (a->at < b->at);
}

static int by_name(const void *x, const void *y) {
    const st_entry *a = x, *b = y;
    int order = strcmp(a->t.name, b->t.name);
    return order ? order : (a->at > b->at) - (a->at < b->at);
}

void st_sort_names(fe_st *st, size_t first) {
    if (st->entries.count - first > 1) {
        qsort(st->entries.items + first, st->entries.count - first, sizeof(st_entry), by_name);
    }
}

static bool check_duplicates(header *h) {
    const st_entry *e = h->st->entries.items;
    for (size_t i = h->first + 1; i < h->st->entries.count; i++) {
        if (strcmp(e[i - 1].t.name, e[i].t.name) != 0) continue;
        h->name = e[i].t.name;
        report_fault(h, "the name is given twice, at header bytes %" PRIu32 " and %" PRIu32,
                     e[i - 1].at, e[i].at);
    }
    h->name = NULL;
    return h->problems == 0;
}

static const char *shape_text(header *h, const fe_st_tensor *t) {
    base_str s = {0};
    base_str_add(&s, "[");
    for (uint32_t i = 0; i < t->rank; i++)
        base_str_addf(&s, "%s%" PRId64, i ? ", " : "", t->dims[i]);
    base_str_add(&s, "]");
    const char *kept = base_arena_strndup(h->st->arena, s.data, s.len);
    base_str_free(&s);
    return kept;
}

/* Shape and dtype against the span; fills count and bytes. */
static bool check_size(header *h, st_entry *e) {
    const st_dtype_info *dtype = &st_dtypes[e->dtype];
    size_t count = 1, bits;
    for (uint32_t i = 0; i < e->t.rank; i++) {
        if (!base_mul_size(count, (size_t)e->t.dims[i], &count)) {
            return fault(h, "shape %s has more elements than can be counted", shape_text(h, &e->t));
        }
    }
    if (!base_mul_size(count, dtype->bits, &bits)) {
        return fault(h, "the size of shape %s in %s overflows", shape_text(h, &e->t), dtype->name);
    }
    if (bits % 8 != 0) {
        return fault(h, "shape %s in %s is not a whole number of bytes", shape_text(h, &e->t),
                     dtype->name);
    }
    if (bits / 8 != e->end - e->begin) {
        return fault(
            h,
            "shape %s in %s needs %zu bytes, data_offsets [%" PRIu64 ", %" PRIu64 "] hold %" PRIu64,
            shape_text(h, &e->t), dtype->name, bits / 8, e->begin, e->end, e->end - e->begin);
    }
    if (e->dtype > FE_ST_BOOL) {
        return fault(h, "unsupported: dtype %s; weights may be F32, F16 or BF16", dtype->name);
    }
    e->t.dtype = (fe_st_dtype)e->dtype;
    e->t.count = count;
    e->t.bytes = bits / 8;
    return true;
}

/* Where a tensor begins against where the one before it ended. */
static bool check_begin(header *h, const st_entry *e, const st_entry *before) {
    uint64_t end = before ? before->end : 0;
    if (e->end < e->begin) {
        return fault(h, "data_offsets [%" PRIu64 ", %" PRIu64 "] end before they begin", e->begin,
                     e->end);
    }
    if (e->begin == end) return true;
    const char *other = before ? base_escape(before->t.name, strlen(before->t.name)) : "";
    if (!before) return fault(h, "the first tensor begins at byte %" PRIu64 ", not at 0", e->begin);
    if (e->begin > end) {
        return fault(
            h, "%" PRIu64 " unused bytes between the end of tensor '%s' (%" PRIu64 ") and this one",
            e->begin - end, other, end);
    }
    return fault(h, "overlaps tensor '%s' by %" PRIu64 " bytes", other, end - e->begin);
}

/* All rules about spans. `rest` is the number of bytes behind the header. */
static bool check_tensors(header *h, const uint8_t *data, size_t rest) {
    size_t n = h->st->entries.count - h->first;
    st_entry *e = n ? h->st->entries.items + h->first : NULL, *before = NULL;
    if (n > 1) qsort(e, n, sizeof *e, by_offset);
    for (size_t i = 0; i < n && h->problems < MAX_PROBLEMS; i++) {
        h->name = e[i].t.name;
        if (check_begin(h, &e[i], before)) check_size(h, &e[i]);
        before = &e[i];
    }
    h->name = NULL;
    if (h->problems) return false;
    uint64_t used = before ? before->end : 0;
    if (used > rest) {
        return fault(h,
                     "the file is truncated: the tensors need %" PRIu64
                     " bytes, it has %zu (an incomplete download?)",
                     used, rest);
    }
    if (used < rest) {
        return fault(h, "%" PRIu64 " unexpected bytes after the last tensor", rest - used);
    }
    for (size_t i = 0; i < n; i++) e[i].t.data = data + e[i].begin;
    return true;
}

/* ---- files ---- */

bool st_add_file(fe_st *st, const char *shown, const uint8_t *data, size_t size) {
    header h = {
        .st = st, .source = base_diag_source(st->diag, shown, NULL, 0), .first = st->entries.count};
    if (fe_format_refuse(st->diag, shown, data, size)) return false;
    if (fe_format_of(data, size, NULL) == FE_FORMAT_GGUF)
        return gguf_add_file(st, shown, data, size);
    if (size < LENGTH_BYTES) return fault(&h, "too short for a safetensors file: %zu bytes", size);
    uint64_t length = 0;
    for (unsigned i = 0; i < LENGTH_BYTES; i++) length |= (uint64_t)data[i] << (8 * i);
    if (length > FE_ST_MAX_HEADER)
        return fault(&h,
                     "not a safetensors file: header length %" PRIu64 ", at most %d are allowed",
                     length, FE_ST_MAX_HEADER);
    if (length > size - LENGTH_BYTES) {
        return fault(&h, "the file is truncated: a header of %" PRIu64 " bytes, %zu bytes left",
                     length, size - LENGTH_BYTES);
    }
    h.in_header = true;
    base_jscan_init(&h.scan, (const char *)data + LENGTH_BYTES, (size_t)length);
    h.scan.begin = base_utf8_check(h.scan.text, h.scan.length);
    if (h.scan.begin < h.scan.length) return fault(&h, "the header is not valid UTF-8");
    bool fine = read_header(&h);
    h.in_header = false;
    base_str_free(&h.token);
    if (!fine) return false;
    st_sort_names(st, h.first);
    const uint8_t *tensors = data + LENGTH_BYTES + h.scan.length;
    if (!check_duplicates(&h) || !check_tensors(&h, tensors, size - LENGTH_BYTES - h.scan.length))
        return false;
    st_sort_names(st, h.first);
    return true;
}

fe_st *st_new(base_diag *d, const char *path) {
    fe_st *st = base_alloc(sizeof *st);
    st->diag = d;
    st->arena = base_arena_new();
    st->path = base_arena_strdup(st->arena, path);
    return st;
}

fe_st *fe_st_open_memory(base_diag *d, const char *name, const void *data, size_t size) {
    fe_st *st = st_new(d, name);
    if (st_add_file(st, name, data, size)) return st;
    fe_st_close(st);
    return NULL;
}

fe_st *fe_st_open(base_diag *d, const char *path) {
    fe_map map;
    if (!fe_file_map(d, path, &map)) return NULL;
    fe_st *st = st_new(d, path);
    BASE_PUSH(&st->maps, map);
    if (st_add_file(st, path, map.data, map.size)) return st;
    fe_st_close(st);
    return NULL;
}

void fe_st_close(fe_st *st) {
    if (!st) return;
    for (size_t i = 0; i < st->maps.count; i++) fe_unmap(&st->maps.items[i]);
    base_free(st->maps.items);
    base_free(st->entries.items);
    base_free(st->metadata.items);
    base_arena_free(st->arena);
    base_free(st);
}

/* ---- lookup ---- */

size_t fe_st_count(const fe_st *st) {
    return st->entries.count;
}

const fe_st_tensor *fe_st_at(const fe_st *st, size_t i) {
    return &st->entries.items[i].t;
}

const fe_st_tensor *fe_st_find(const fe_st *st, const char *name) {
    size_t low = 0, high = st->entries.count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strcmp(st->entries.items[mid].t.name, name);
        if (order == 0) return &st->entries.items[mid].t;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const char *fe_st_metadata(const fe_st *st, const char *key) {
    for (size_t i = 0; i < st->metadata.count; i++) {
        if (strcmp(st->metadata.items[i].key, key) == 0) return st->metadata.items[i].value;
    }
    return NULL;
}

size_t fe_st_metadata_count(const fe_st *st) {
    return st->metadata.count;
}

const char *fe_st_metadata_at(const fe_st *st, size_t i, const char **key) {
    *key = st->metadata.items[i].key;
    return st->metadata.items[i].value;
}

const char *fe_st_path(const fe_st *st) {
    return st->path;
}

base_loc fe_st_loc(fe_st *st, const fe_st_tensor *t) {
    const char *place =
        base_arena_printf(st->arena, "tensor '%s'", base_escape(t->name, strlen(t->name)));
    return (base_loc){.source = t->source, .path = place};
}
