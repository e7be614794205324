/* One self-contained HTML page about a compilation: --emit=html, and `ebru report ... -o
 * FILE.html`.
 *
 * The page is a template (page/report.html), a style sheet and a script, embedded in ebru, and one
 * JSON document in a <script type="application/json">: the metafiles before and after the passes,
 * the decisions of the fusion report, a trace (page/data.js has the members). Everything that comes
 * from the model is in that document only, without markup; the script puts it into the page as
 * text. The Content-Security-Policy names script and style by their SHA-256 and forbids everything
 * else, so the page can neither load nor send anything. */
#ifndef EBRU_DRIVER_HTML_HTML_H
#define EBRU_DRIVER_HTML_HTML_H

#include "driver/commands/lower.h"
#include "driver/json_writer.h"

/* html_trace.c: member "trace". */
struct drv_trace;
void drv_html_trace(cJSON *page, const struct drv_trace *t);

/* html.c */
typedef struct drv_html drv_html;
drv_html *drv_html_new(void);
void drv_html_free(drv_html *h);
/* What the front end made, before passes change it. Call it at most once. */
void drv_html_before(void *html, const ir_module *m);
/* Writes the page about what `b` was lowered to: its last level. NULL `b`: a page about the trace
 * alone; NULL `t`: without one. `seconds`: what loading and lowering took. Call it at most once.
 * False with a diagnostic. */
bool drv_html_write(base_diag *d, drv_html *h, const drv_options *o, const drv_build *b,
                    const struct drv_trace *t, double seconds, const char *output);

#endif
