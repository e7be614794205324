/* One self-contained HTML page about a compilation: --emit=html, and `ebru report ... -o
 * FILE.html`.
 *
 * The page is a template (html/report.html), a style sheet and a script, embedded in ebru, and one
 * JSON document in a <script type="application/json">. Everything that comes from the model is in
 * that document only; the script puts it into the page as text, never as markup. The
 * Content-Security-Policy names script and style by their SHA-256 and forbids everything else, so
 * the page can neither load nor send anything. */
#ifndef EBRU_DRIVER_HTML_HTML_H
#define EBRU_DRIVER_HTML_HTML_H

#include "driver/driver.h"

/* html_json.c: a JSON document whose strings stand in one table. Other values are appended to
 * `text`. */
typedef struct html_json {
    base_str text;
    BASE_VEC(const char *) strings;
    struct html_index *index; /* of the table */
    base_arena *arena;
} html_json;
html_json *html_json_new(void);
void html_json_free(html_json *j);
/* Index of the string in the table, added when new; NULL is -1. */
int64_t html_string(html_json *j, const char *s);
/* Appends a JSON string. UTF-8 stays as it is; invalid bytes, control characters and the characters
 * that change the direction or the lines of a text become \xNN and \u{NNNN}, visibly; '<', '>', '&'
 * become \u escapes, so that no text ends a <script>. */
void html_add_text(base_str *out, const char *s);
/* A number that JSON can say: inf and NaN become null. */
void html_add_number(base_str *out, double v);

/* html_module.c: a module as an object: levels, origins with JSON paths, weights, functions with
 * their nodes as columns (what the columns hold is said where they are written, and in html/data.js
 * where they are read). */
struct drv_json_paths;
void html_add_module(html_json *j, const ir_module *m, struct drv_json_paths *places);

/* html_trace.c: member "trace". */
struct drv_trace;
void drv_html_trace(html_json *j, const struct drv_trace *t);

/* html.c */
typedef struct drv_html drv_html;
drv_html *drv_html_new(void);
void drv_html_free(drv_html *h);
/* What the front end made, before passes change it. Call it at most once. */
void drv_html_before(void *html, const ir_module *m);
/* Writes the page about what `b` was lowered to: its last level. NULL `b`: a page about the trace
 * alone; NULL `t`: without one. `seconds`: what loading and lowering took. False with a diagnostic.
 */
bool drv_html_write(base_diag *d, drv_html *h, const drv_options *o, const drv_build *b,
                    const struct drv_trace *t, double seconds, const char *output);

#endif
