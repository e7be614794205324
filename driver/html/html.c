/* The HTML page about a compilation: its document, and how it is put together; see html.h. */
#include "driver/html/html.h"
#include "base/sha256.h"
#include "driver/analyze/documents.h"
#include "driver/cli/write_text.h"
#include "driver/commands/lower.h"
#include "driver/report/trace.h"
#include "driver/version.h"
#include "runtime/abi/meta_keys.h"

#include <string.h>

/* Embedded by driver/CMakeLists.txt: files of driver/html. */
extern const char ebru_html_page[], ebru_html_page_end[], ebru_html_style[], ebru_html_style_end[],
    ebru_html_script[], ebru_html_script_end[];

struct drv_html {
    cJSON *data; /* NULL once it is written */
    drv_json_paths *paths;
    bool before;
};

drv_html *drv_html_new(void) {
    drv_html *h = base_alloc(sizeof *h);
    h->data = drv_json_object(NULL, NULL);
    h->paths = drv_json_paths_new();
    drv_json_int(h->data, "version", 2);
    return h;
}

void drv_html_free(drv_html *h) {
    if (!h) return;
    cJSON_Delete(h->data);
    drv_json_paths_free(h->paths);
    base_free(h);
}

void drv_html_before(void *html, const ir_module *m) {
    drv_html *h = html;
    if (h->before) return;
    h->before = true;
    drv_json_put(h->data, "before", drv_metafile_document(m, NULL, NULL, h->paths));
}

/* ---- the document ---- */

/* What ops mean, and what their attributes are where the metafile's say nothing else. */
static void add_ops(cJSON *to) {
    cJSON *ops = drv_json_object(to, "ops");
    for (int i = 0; i < IR_OP_COUNT; i++) {
        const ir_op_info *info = ir_op_get((ir_op)i);
        cJSON *o = drv_json_object(ops, info->name);
        drv_json_text(o, "summary", info->summary);
        cJSON *operands = drv_json_array(o, "operands");
        for (uint32_t k = 0; k < info->max_operands; k++)
            drv_json_text(operands, NULL, info->operand_name[k]);
        drv_add_attrs(o, "attrs", (ir_op)i, NULL);
    }
}

static void add_build(drv_html *h, const drv_options *o, const drv_build *b, double seconds) {
    const ir_module *m = b->levels[b->count - 1].module;
    const pass_context *c = b->contexts[b->count - 1];
    drv_json_put(h->data, "after", drv_metafile_document(m, c, b->quantization, h->paths));
    drv_add_decisions(h->data, c, h->paths);
    add_ops(h->data);
    drv_json_text(h->data, "input", o->model);
    drv_json_text(h->data, "ignored", ir_meta_string(m, EBRU_META_PIPELINE_IGNORED.name, NULL));
    drv_json_int(h->data, "parameters", ir_parameter_count(m));
    drv_json_bool(h->data, "random_weights", o->load.random_weights);
    drv_json_real(h->data, "seconds", seconds);
}

/* ---- the page ---- */

static void add_policy(base_str *out) {
    base_str_add(out, "default-src 'none'; script-src '");
    base_csp_hash(ebru_html_script, (size_t)(ebru_html_script_end - ebru_html_script), out);
    base_str_add(out, "'; style-src '");
    base_csp_hash(ebru_html_style, (size_t)(ebru_html_style_end - ebru_html_style), out);
    base_str_add(out, "'; base-uri 'none'; form-action 'none'");
}

static void add_part(base_str *out, const char *name, size_t n, const base_str *data) {
    static const char *const parts[] = {"policy", "style", "data", "script"};
    size_t i = 0;
    while (i < 4 && (strlen(parts[i]) != n || strncmp(name, parts[i], n) != 0)) i++;
    switch (i) {
    case 0: add_policy(out); break;
    case 1:
        base_str_addn(out, ebru_html_style, (size_t)(ebru_html_style_end - ebru_html_style));
        break;
    case 2: base_str_addn(out, data->data, data->len); break;
    case 3:
        base_str_addn(out, ebru_html_script, (size_t)(ebru_html_script_end - ebru_html_script));
        break;
    default: ICE("report.html has no part '%.*s'", (int)n, name);
    }
}

/* The template with its {{parts}} filled in. */
static void add_page(base_str *out, const base_str *data) {
    const char *p = ebru_html_page, *end = ebru_html_page_end;
    for (const char *open; (open = memmem(p, (size_t)(end - p), "{{", 2)) != NULL;) {
        const char *close = memmem(open, (size_t)(end - open), "}}", 2);
        if (!close) ICE("report.html: '{{' without '}}'");
        base_str_addn(out, p, (size_t)(open - p));
        add_part(out, open + 2, (size_t)(close - open - 2), data);
        p = close + 2;
    }
    base_str_addn(out, p, (size_t)(end - p));
}

bool drv_html_write(base_diag *d, drv_html *h, const drv_options *o, const drv_build *b,
                    const drv_trace *t, double seconds, const char *output) {
    base_str data = {0}, page = {0};
    if (b) add_build(h, o, b, seconds);
    if (t) drv_html_trace(h->data, t);
    drv_json_write(h->data, DRV_JSON_LINE, &data);
    h->data = NULL;
    add_page(&page, &data);
    bool ok = drv_write_text(d, output, page.data, page.len);
    base_str_free(&data);
    base_str_free(&page);
    return ok;
}
