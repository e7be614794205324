/* The HTML page about a compilation: its document, and how it is put together; see html.h. */
#include "driver/html/html.h"
#include "base/sha256.h"
#include "driver/analyze/json_paths.h"
#include "driver/report/trace.h"

#include <string.h>

/* Embedded by driver/CMakeLists.txt: files of driver/html. */
extern const char ebru_html_page[], ebru_html_page_end[], ebru_html_style[], ebru_html_style_end[],
    ebru_html_script[], ebru_html_script_end[];

struct drv_html {
    html_json *json;
    drv_json_paths *places;
    bool before;
};

drv_html *drv_html_new(void) {
    drv_html *h = base_alloc(sizeof *h);
    h->json = html_json_new();
    h->places = drv_json_paths_new();
    base_str_add(&h->json->text, "{\"version\":1");
    return h;
}

void drv_html_free(drv_html *h) {
    if (!h) return;
    html_json_free(h->json);
    drv_json_paths_free(h->places);
    base_free(h);
}

void drv_html_before(void *html, const ir_module *m) {
    drv_html *h = html;
    if (h->before) return;
    h->before = true;
    base_str_add(&h->json->text, ",\n\"before\":");
    html_add_module(h->json, m, h->places);
}

/* ---- the document ---- */

static void add_member(html_json *j, const char *name, const char *value) {
    if (value) base_str_addf(&j->text, ",\"%s\":%lld", name, (long long)html_string(j, value));
}

static void add_summary(drv_html *h, const drv_options *o, const drv_build *b, double seconds) {
    html_json *j = h->json;
    const cg_level *l = &b->levels[b->count - 1];
    const pass_context *c = b->contexts[b->count - 1];
    add_member(j, "tool", "ebru " DRV_VERSION);
    add_member(j, "model", ir_meta_string(l->module, "model.name", NULL));
    add_member(j, "input", o->model);
    add_member(j, "pipeline", ir_meta_string(l->module, "pipeline.kind", NULL));
    add_member(j, "cpu", l->target ? l->target->level : NULL);
    add_member(j, "precision", ir_meta_string(l->module, "precision", "f32"));
    add_member(j, "ignored", ir_meta_string(l->module, "pipeline.ignored", NULL));
    base_str_addf(&j->text, ",\"parameters\":%lld,\"packedWeights\":%llu,\"seconds\":",
                  (long long)ir_parameter_count(l->module), (unsigned long long)c->weights_bytes);
    html_add_number(&j->text, seconds);
    add_member(j, "randomWeights", o->random_weights ? "random" : NULL);
}

/* [name, summary, ms, nodes before, nodes after, changed, flags] of every pass that ran, in order.
 */
static void add_passes(html_json *j, const pass_context *c) {
    base_str_add(&j->text, ",\n\"passes\":[");
    for (size_t i = 0; i < c->timings.count; i++) {
        const pass_timing *t = &c->timings.items[i];
        const pass_info *p = pass_find(t->pass);
        base_str_addf(&j->text, "%s[%lld,%lld,%.3f,%u,%u,%d,%u]", i ? "," : "",
                      (long long)html_string(j, t->pass),
                      (long long)html_string(j, p ? p->summary : NULL), t->ms, t->nodes_before,
                      t->nodes_after, t->changed, p ? p->flags : 0);
    }
    base_str_add(&j->text, "]");
}

/* [pass, function, what, node, reason, block, file, line, col, path] of every decision. */
static void add_decisions(drv_html *h, const pass_context *c) {
    html_json *j = h->json;
    base_str_add(&j->text, ",\n\"decisions\":[");
    for (size_t i = 0; i < c->matches.count; i++) {
        const pass_match *m = &c->matches.items[i];
        const char *texts[] = {m->pass,   m->func,         m->what,       m->node,
                               m->reason, m->origin.block, m->origin.file};
        base_str_add(&j->text, i ? ",[" : "[");
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            base_str_addf(&j->text, "%lld,", (long long)html_string(j, texts[k]));
        const char *path =
            drv_json_paths_path(h->places, m->origin.file, m->origin.line, m->origin.col);
        base_str_addf(&j->text, "%u,%u,%lld]", m->origin.line, m->origin.col,
                      (long long)html_string(j, path));
    }
    base_str_add(&j->text, "]");
}

/* [function, arena bytes, lower bound, one buffer a value] */
static void add_plans(html_json *j, const pass_context *c) {
    base_str_add(&j->text, ",\n\"plans\":[");
    for (size_t i = 0; i < c->plans.count; i++) {
        const pass_plan *p = &c->plans.items[i];
        base_str_addf(&j->text, "%s[%lld,%llu,%llu,%llu]", i ? "," : "",
                      (long long)html_string(j, p->func), (unsigned long long)p->arena_bytes,
                      (unsigned long long)p->bound, (unsigned long long)p->total);
    }
    base_str_add(&j->text, "]");
}

static void add_build(drv_html *h, const drv_options *o, const drv_build *b, double seconds) {
    html_json *j = h->json;
    const pass_context *c = b->contexts[b->count - 1];
    base_str_add(&j->text, ",\n\"after\":");
    html_add_module(j, b->levels[b->count - 1].module, h->places);
    add_summary(h, o, b, seconds);
    add_passes(j, c);
    add_decisions(h, c);
    add_plans(j, c);
}

static void add_strings(html_json *j) {
    base_str_add(&j->text, ",\n\"strings\":[");
    for (size_t i = 0; i < j->strings.count; i++) {
        base_str_add(&j->text, i ? ",\n" : "");
        html_add_text(&j->text, j->strings.items[i]);
    }
    base_str_add(&j->text, "]}");
}

/* ---- the page ---- */

static void add_policy(base_str *out) {
    base_str_add(out, "default-src 'none'; script-src '");
    base_csp_hash(ebru_html_script, (size_t)(ebru_html_script_end - ebru_html_script), out);
    base_str_add(out, "'; style-src '");
    base_csp_hash(ebru_html_style, (size_t)(ebru_html_style_end - ebru_html_style), out);
    base_str_add(out, "'; base-uri 'none'; form-action 'none'");
}

static void add_part(base_str *out, const char *name, size_t n, const drv_html *h) {
    static const char *const parts[] = {"policy", "style", "data", "script"};
    size_t i = 0;
    while (i < 4 && (strlen(parts[i]) != n || strncmp(name, parts[i], n) != 0)) i++;
    switch (i) {
    case 0: add_policy(out); break;
    case 1:
        base_str_addn(out, ebru_html_style, (size_t)(ebru_html_style_end - ebru_html_style));
        break;
    case 2: base_str_addn(out, h->json->text.data, h->json->text.len); break;
    case 3:
        base_str_addn(out, ebru_html_script, (size_t)(ebru_html_script_end - ebru_html_script));
        break;
    default: ICE("report.html has no part '%.*s'", (int)n, name);
    }
}

/* The template with its {{parts}} filled in. */
static void add_page(base_str *out, const drv_html *h) {
    const char *p = ebru_html_page, *end = ebru_html_page_end;
    for (const char *open; (open = memmem(p, (size_t)(end - p), "{{", 2)) != NULL;) {
        const char *close = memmem(open, (size_t)(end - open), "}}", 2);
        if (!close) ICE("report.html: '{{' without '}}'");
        base_str_addn(out, p, (size_t)(open - p));
        add_part(out, open + 2, (size_t)(close - open - 2), h);
        p = close + 2;
    }
    base_str_addn(out, p, (size_t)(end - p));
}

bool drv_html_write(base_diag *d, drv_html *h, const drv_options *o, const drv_build *b,
                    const drv_trace *t, double seconds, const char *output) {
    if (b) add_build(h, o, b, seconds);
    if (t) drv_html_trace(h->json, t);
    add_strings(h->json);
    base_str page = {0};
    add_page(&page, h);
    bool ok = drv_write_text(d, output, page.data, page.len);
    base_str_free(&page);
    return ok;
}
