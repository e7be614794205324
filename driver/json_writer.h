/* JSON that the compiler writes: documents of cJSON, filled with the functions below and written as
 * text once they are complete. The metafile, reports, `--json` forms, tuning records and the data
 * of the HTML page are made this way.
 *
 * The layer exists for what cJSON leaves to its user: numbers are exact and do not follow the
 * locale (cJSON prints 15 digits and accepts what is close), strings are valid UTF-8 whatever bytes
 * a model's file held, and text is ASCII without markup, so that it may stand in a page.
 *
 * What a user or a program hands to ebru is read by base/json instead, also where ebru wrote it:
 * cJSON cannot say the line and column of a fault, takes repeated keys and rounds integers. */
#ifndef EBRU_DRIVER_JSON_WRITER_H
#define EBRU_DRIVER_JSON_WRITER_H

#include "base/arena.h"

#include <cjson/cJSON.h>

/* A new object or array at the end of `to`, which owns it; `key` is its name when `to` is an
 * object, NULL when that is an array. With `to` NULL: a document, for drv_json_write or
 * cJSON_Delete. Out of memory ends the process, as base_alloc does. */
cJSON *drv_json_object(cJSON *to, const char *key);
cJSON *drv_json_array(cJSON *to, const char *key);

/* A value at the end of `to`, `key` as above. Keys and texts are copied; bytes that are no UTF-8
 * become U+FFFD. */
void drv_json_text(cJSON *to, const char *key, const char *text); /* NULL is null */
void drv_json_int(cJSON *to, const char *key, int64_t value);
void drv_json_uint(cJSON *to, const char *key, uint64_t value);
/* The shortest decimal that reads back identically; what JSON cannot say is a string: "nan",
 * "inf", "-inf". */
void drv_json_real(cJSON *to, const char *key, double value);
void drv_json_bool(cJSON *to, const char *key, bool value);
/* The item itself, which `to` owns from now on. */
void drv_json_put(cJSON *to, const char *key, cJSON *item);

typedef enum drv_json_layout {
    DRV_JSON_LINE, /* one line without spaces: for JSON Lines and for scripts */
    DRV_JSON_LINES /* objects in lists begin lines of their own: for people, grep and diff */
} drv_json_layout;

/* Appends the document and a line end, and frees it. Time and memory are linear in its size. */
void drv_json_write(cJSON *document, drv_json_layout layout, base_str *out);

#endif
