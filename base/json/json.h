/* Strict JSON documents (RFC 8259) whose every value knows its place in the file.
 *
 * The reader refuses what lenient parsers let through: trailing commas, comments, leading zeros,
 * NaN (unless the caller asks for Python's numbers), bad escapes, lone surrogates, NUL characters, invalid UTF-8, byte order marks, duplicate
 * keys, numbers beyond double, nesting deeper than 64. A syntax error ends the reading; every other
 * problem is collected.
 *
 * A front end walks the document with small value handles. Typed getters report a located error
 * themselves ("'sample_size': expected an integer, found a string") and return false or the
 * fallback, so that a loader can read on and report everything that is wrong at once. An absent
 * value (doc == NULL) is accepted by every function and stays silent: base_json_require has
 * reported it already.
 *
 * cJSON is not used as the DOM here: the validator has to tokenise, decode (for duplicate keys) and
 * place every value anyway, and a second parse behind it would only add a node of 80 bytes a value
 * (F18: any 1 MiB input stays below 64 MiB), a double for integers and the locale's decimal point.
 * It is the oracle of the tests. */
#ifndef EBRU_BASE_JSON_JSON_H
#define EBRU_BASE_JSON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"

typedef struct base_json base_json;

typedef enum base_json_kind {
    BASE_JSON_NULL,
    BASE_JSON_BOOL,
    BASE_JSON_INT,  /* number without fraction and exponent */
    BASE_JSON_REAL, /* number with fraction or exponent */
    BASE_JSON_STRING,
    BASE_JSON_ARRAY,
    BASE_JSON_OBJECT
} base_json_kind;

/* A value of a document; {NULL, 0} is "absent". Copied freely. */
typedef struct base_jval {
    base_json *doc;
    uint32_t node;
} base_jval;

enum { BASE_JSON_MAX_BYTES = 16 * 1024 * 1024 };

typedef struct base_json_limits {
    size_t max_bytes;  /* 0: BASE_JSON_MAX_BYTES */
    size_t max_values; /* 0: 4 million */
    /* Infinity, -Infinity and NaN are numbers, as Python's json writes and reads them. They are
     * refused where a number of the file is used: by base_json_double. */
    bool python_numbers;
} base_json_limits;

/* ---- documents ---- */

/* Parses a document; `limits` may be NULL. NULL after reporting. The document uses `d` (for reports
 * and for the registered text) and must be freed before it. `name` is what messages call the text.
 */
base_json *base_json_parse(base_diag *d, const char *name, const char *text, size_t length,
                           const base_json_limits *limits);
/* The same of the bytes from `begin` to `end` of a registered text, which begin at the start of line
 * `first_line` of it: a line of a file of many documents. */
base_json *base_json_parse_part(base_diag *d, const base_source *source, size_t begin, size_t end,
                                uint32_t first_line, const base_json_limits *limits);
void base_json_free(base_json *doc); /* NULL is allowed */
base_jval base_json_root(base_json *doc);
const base_source *base_json_source(const base_json *doc);

/* ---- structure ---- */

bool base_json_present(base_jval v);
base_json_kind base_json_kind_of(base_jval v); /* BASE_JSON_NULL for an absent value */
bool base_json_is(base_jval v, base_json_kind kind);
bool base_json_is_null(base_jval v);                  /* present and null */
const char *base_json_kind_name(base_json_kind kind); /* "an integer", "a string", ... */

/* Member of an object, absent when missing or when v is no object. Marks the member as known. O(log
 * n). */
base_jval base_json_get(base_jval object, const char *key);
/* Member that must exist: reports "missing key 'x'" at the object, or that `object` is not an
 * object. */
base_jval base_json_require(base_jval object, const char *key);
/* Members of an object or items of an array; 0 for anything else. */
size_t base_json_length(base_jval v);
base_jval base_json_item(base_jval array, size_t i); /* absent out of range; O(1) */
/* Document order, for arrays and objects: for (v = base_json_first(o); base_json_present(v); v =
 * base_json_next(v)) */
base_jval base_json_first(base_jval container);
base_jval base_json_next(base_jval child);
/* Key of an object's member (decoded UTF-8, lives with the document), NULL for anything else. */
const char *base_json_key(base_jval member);

/* True, or reports "expected ..., found ..." and returns false. Absent: false and silent. */
bool base_json_expect(base_jval v, base_json_kind kind);

/* ---- typed getters ---- */

/* True and *out set, or false after reporting. Absent: false and silent. */

/* An integer token (no fraction, no exponent) within [min, max], exact to int64. */
bool base_json_int(base_jval v, int64_t *out, int64_t min, int64_t max);
bool base_json_double(base_jval v, double *out); /* any finite number */
/* The same, also Infinity, -Infinity and NaN of a document with python_numbers. */
bool base_json_any_double(base_jval v, double *out);
bool base_json_bool(base_jval v, bool *out);
/* Decoded UTF-8 without NUL characters; lives with the document. */
bool base_json_string(base_jval v, const char **out);
/* A string that must be one of `names`; *index is its place. `what` names the kind of thing
 * ("activation"): "unknown activation 'sliu'; did you mean 'silu'?". */
bool base_json_choice(base_jval v, const char *what, const char *const *names, size_t n,
                      size_t *index);
/* An array of at most `max_count` integers within [min, max]. */
bool base_json_ints(base_jval v, int64_t *out, size_t max_count, size_t *count, int64_t min,
                    int64_t max);

/* ---- optional members ---- */

/* The fallback when the key is missing or null, and after reporting a wrong type. */

int64_t base_json_opt_int(base_jval object, const char *key, int64_t fallback, int64_t min,
                          int64_t max);
double base_json_opt_double(base_jval object, const char *key, double fallback);
bool base_json_opt_bool(base_jval object, const char *key, bool fallback);
const char *base_json_opt_string(base_jval object, const char *key, const char *fallback);

/* ---- places and reports ---- */

/* Place of a value, with its JSON path ("$.down_blocks[1].type"; in the document's arena: copy it
 * to keep it longer than the document). `source` lives as long as the base_diag. */
base_loc base_json_loc(base_jval v);
base_loc base_json_key_loc(base_jval member); /* marks the key instead of the value */
base_diag *base_json_diag(const base_json *doc);
/* Report at a value. */
void base_json_error(base_jval v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void base_json_warning(base_jval v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Reports each member of the object that is neither in `known` nor was asked for with
 * base_json_get, with the nearest known name. Returns how many there were. `severity`: BASE_ERROR
 * or BASE_WARNING. */
size_t base_json_report_unknown_keys(base_jval object, const char *const *known, size_t n,
                                     base_severity severity);

#endif
