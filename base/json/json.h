/* Strict JSON documents (RFC 8259) whose every value knows its place in the file.
 *
 * The reader refuses what lenient parsers let through: trailing commas, comments, leading zeros, NaN, bad
 * escapes, lone surrogates, NUL characters, invalid UTF-8, byte order marks, duplicate keys, numbers beyond
 * double, nesting deeper than 64. A syntax error ends the reading; every other problem is collected.
 *
 * A front end walks the document with small value handles. Typed getters report a located error themselves
 * ("'sample_size': expected an integer, found a string") and return false or the fallback, so that a loader
 * can read on and report everything that is wrong at once. An absent value (doc == NULL) is accepted by every
 * function and stays silent: fe_json_require has reported it already.
 *
 * cJSON is not used as the DOM here: the validator has to tokenise, decode (for duplicate keys) and place
 * every value anyway, and a second parse behind it would only add a node of 80 bytes a value (F18: any 1 MiB
 * input stays below 64 MiB), a double for integers and the locale's decimal point. It is the oracle of the
 * tests. */
#ifndef EBRU_FRONTEND_JSON_H
#define EBRU_FRONTEND_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"

typedef struct fe_json fe_json;

typedef enum fe_json_kind {
    FE_JSON_NULL,
    FE_JSON_BOOL,
    FE_JSON_INT,  /* number without fraction and exponent */
    FE_JSON_REAL, /* number with fraction or exponent */
    FE_JSON_STRING,
    FE_JSON_ARRAY,
    FE_JSON_OBJECT
} fe_json_kind;

/* A value of a document; {NULL, 0} is "absent". Copied freely. */
typedef struct fe_jval {
    fe_json *doc;
    uint32_t node;
} fe_jval;

enum { FE_JSON_MAX_BYTES = 16 * 1024 * 1024 };

typedef struct fe_json_limits {
    size_t max_bytes;  /* 0: FE_JSON_MAX_BYTES */
    size_t max_values; /* 0: 4 million */
} fe_json_limits;

/* ---- documents ---- */

/* Parses a document; `limits` may be NULL. NULL after reporting. The document uses `d` (for reports and for
 * the registered text) and must be freed before it. `name` is what messages call the text. */
fe_json *fe_json_parse(ir_diag *d, const char *name, const char *text, size_t length,
                       const fe_json_limits *limits);
void fe_json_free(fe_json *doc); /* NULL is allowed */
fe_jval fe_json_root(fe_json *doc);
const ir_source *fe_json_source(const fe_json *doc);

/* ---- structure ---- */

bool fe_json_present(fe_jval v);
fe_json_kind fe_json_kind_of(fe_jval v); /* FE_JSON_NULL for an absent value */
bool fe_json_is(fe_jval v, fe_json_kind kind);
bool fe_json_is_null(fe_jval v);                  /* present and null */
const char *fe_json_kind_name(fe_json_kind kind); /* "an integer", "a string", ... */

/* Member of an object, absent when missing or when v is no object. Marks the member as known. O(log n). */
fe_jval fe_json_get(fe_jval object, const char *key);
/* Member that must exist: reports "missing key 'x'" at the object, or that `object` is not an object. */
fe_jval fe_json_require(fe_jval object, const char *key);
/* Members of an object or items of an array; 0 for anything else. */
size_t fe_json_length(fe_jval v);
fe_jval fe_json_item(fe_jval array, size_t i); /* absent out of range; O(1) */
/* Document order, for arrays and objects: for (v = fe_json_first(o); fe_json_present(v); v = fe_json_next(v))
 */
fe_jval fe_json_first(fe_jval container);
fe_jval fe_json_next(fe_jval child);
/* Key of an object's member (decoded UTF-8, lives with the document), NULL for anything else. */
const char *fe_json_key(fe_jval member);

/* True, or reports "expected ..., found ..." and returns false. Absent: false and silent. */
bool fe_json_expect(fe_jval v, fe_json_kind kind);

/* ---- typed getters: true and *out set, or false after reporting (absent: false and silent) ---- */

/* An integer token (no fraction, no exponent) within [min, max], exact to int64. */
bool fe_json_int(fe_jval v, int64_t *out, int64_t min, int64_t max);
bool fe_json_double(fe_jval v, double *out); /* any number */
bool fe_json_bool(fe_jval v, bool *out);
/* Decoded UTF-8 without NUL characters; lives with the document. */
bool fe_json_string(fe_jval v, const char **out);
/* A string that must be one of `names`; *index is its place. `what` names the kind of thing ("activation"):
 * "unknown activation 'sliu'; did you mean 'silu'?". */
bool fe_json_choice(fe_jval v, const char *what, const char *const *names, size_t n, size_t *index);
/* An array of at most `max_count` integers within [min, max]. */
bool fe_json_ints(fe_jval v, int64_t *out, size_t max_count, size_t *count, int64_t min, int64_t max);

/* ---- optional members: the fallback when the key is missing or null, and after reporting a wrong type ----
 */

int64_t fe_json_opt_int(fe_jval object, const char *key, int64_t fallback, int64_t min, int64_t max);
double fe_json_opt_double(fe_jval object, const char *key, double fallback);
bool fe_json_opt_bool(fe_jval object, const char *key, bool fallback);
const char *fe_json_opt_string(fe_jval object, const char *key, const char *fallback);

/* ---- places and reports ---- */

/* Place of a value, with its JSON path ("$.down_blocks[1].type"; in the document's arena: copy it to keep it
 * longer than the document). `source` lives as long as the ir_diag. */
ir_loc fe_json_loc(fe_jval v);
ir_loc fe_json_key_loc(fe_jval member); /* marks the key instead of the value */
ir_diag *fe_json_diag(const fe_json *doc);
/* Report at a value. */
void fe_json_error(fe_jval v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void fe_json_warning(fe_jval v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Reports each member of the object that is neither in `known` nor was asked for with fe_json_get, with the
 * nearest known name. Returns how many there were. `severity`: IR_ERROR or IR_WARNING. */
size_t fe_json_report_unknown_keys(fe_jval object, const char *const *known, size_t n, ir_severity severity);

#endif
