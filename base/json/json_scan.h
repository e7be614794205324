/* Pull reader of strict JSON (with Python's three words for numbers, if asked): checks the whole grammar of RFC 8259 and hands out one event after
 * another, in constant memory. Under the documents of json.h and the headers of safetensors files.
 */
#ifndef EBRU_BASE_JSON_JSON_SCAN_H
#define EBRU_BASE_JSON_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BASE_JSCAN_MAX_DEPTH = 64 };

typedef enum base_jevent {
    BASE_JSCAN_ERROR, /* `message` and `begin` say what and where; the scan is over */
    BASE_JSCAN_END,   /* the document is complete and nothing but white space follows */
    BASE_JSCAN_OBJECT,
    BASE_JSCAN_OBJECT_END,
    BASE_JSCAN_ARRAY,
    BASE_JSCAN_ARRAY_END,
    BASE_JSCAN_KEY,
    BASE_JSCAN_STRING,
    BASE_JSCAN_INT,
    BASE_JSCAN_REAL,
    BASE_JSCAN_TRUE,
    BASE_JSCAN_FALSE,
    BASE_JSCAN_NULL
} base_jevent;

typedef struct base_jscan {
    const char *text;
    size_t length, at;
    size_t begin, end; /* bytes of the last event's token; strings include their quotes */
    bool escaped;      /* the last string or key contains a backslash */
    /* set after base_jscan_init: Infinity, -Infinity and NaN are numbers (BASE_JSCAN_REAL) */
    bool python_numbers;
    char message[160]; /* after BASE_JSCAN_ERROR; printable */
    /* private */
    unsigned depth;
    uint64_t objects; /* bit i: nesting level i+1 is an object */
    uint8_t expect;
} base_jscan;

/* `text` need not end in NUL and must outlive the scan. */
void base_jscan_init(base_jscan *s, const char *text, size_t length);
base_jevent base_jscan_next(base_jscan *s);
/* Decodes the string token text[begin, end) (with quotes, as accepted by the scanner) into `out`,
 * which may be the token itself and needs end-begin-2 bytes. Returns the decoded length; writes no
 * NUL. */
size_t base_jscan_decode(const char *text, size_t begin, size_t end, char *out);
/* Offset of the first byte that is not well-formed UTF-8, or `length`. */
size_t base_utf8_check(const char *text, size_t length);
/* Exact value of an integer token; false when it does not fit. */
bool base_jscan_int(const char *text, size_t begin, size_t end, int64_t *out);
/* Value of any number token, correctly rounded in every locale; infinite when it is beyond double.
 */
double base_jscan_double(const char *text, size_t begin, size_t end);

#endif
