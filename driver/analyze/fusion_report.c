/* --fusion-report: what the passes decided, and what the memory plan costs, as text (which the pass
 * manager writes) or as JSON. */
#include "driver/analyze/analyze.h"
#include "driver/analyze/documents.h"
#include "driver/analyze/op_forms.h"

#include <math.h>
#include <string.h>

/* The JSON path of the place that a decision was about; NULL where the file is gone. */
static const char *path_of(const pass_match *m, drv_json_paths *paths) {
    return drv_json_paths_path(paths, m->origin.file, m->origin.line, m->origin.col);
}

static void add_known(cJSON *to, const char *key, const char *text) {
    if (text) drv_json_text(to, key, text);
}

void drv_add_decisions(cJSON *to, const pass_context *c, drv_json_paths *paths) {
    cJSON *list = drv_json_array(to, "decisions");
    for (size_t i = 0; i < c->matches.count; i++) {
        const pass_match *m = &c->matches.items[i];
        cJSON *o = drv_json_object(list, NULL);
        drv_json_bool(o, "matched", !m->reason);
        add_known(o, "pass", m->pass);
        add_known(o, "function", m->func);
        add_known(o, "what", m->what);
        add_known(o, "op", m->op);
        add_known(o, "node", m->node);
        add_known(o, "reason", m->reason);
        add_known(o, "costs", m->costs);
        add_known(o, "block", m->origin.block);
        if (!m->origin.file) continue;
        drv_json_text(o, "file", m->origin.file);
        drv_json_uint(o, "line", m->origin.line);
        drv_json_uint(o, "col", m->origin.col);
        add_known(o, "path", path_of(m, paths));
    }
}

static void add_pass(cJSON *list, const pass_context *c, const pass_timing *t) {
    const pass_info *p = pass_find(t->pass);
    uint32_t matched = 0, refused = 0;
    for (size_t i = 0; i < c->matches.count; i++)
        if (!strcmp(c->matches.items[i].pass, t->pass))
            *(c->matches.items[i].reason ? &refused : &matched) += 1;
    cJSON *o = drv_json_object(list, NULL);
    drv_json_text(o, "pass", t->pass);
    if (p) drv_json_text(o, "summary", p->summary);
    drv_json_real(o, "ms", round(t->ms * 1000) / 1000);
    drv_json_uint(o, "nodes_before", t->nodes_before);
    drv_json_uint(o, "nodes_after", t->nodes_after);
    drv_json_bool(o, "changed", t->changed);
    drv_json_uint(o, "matched", matched);
    drv_json_uint(o, "refused", refused);
    if (refused) add_known(o, "advice", pass_find(t->pass)->advice);
}

void drv_add_passes(cJSON *to, const pass_context *c) {
    cJSON *list = drv_json_array(to, "passes");
    for (size_t i = 0; i < c->timings.count; i++) add_pass(list, c, &c->timings.items[i]);
}

void drv_add_plans(cJSON *to, const pass_context *c) {
    cJSON *list = drv_json_array(to, "plans");
    for (size_t i = 0; i < c->memory.funcs.count; i++) {
        const pass_plan *p = &c->memory.funcs.items[i];
        cJSON *o = drv_json_object(list, NULL);
        drv_json_text(o, "function", p->func);
        drv_json_uint(o, "arena_bytes", p->arena_bytes);
        drv_json_uint(o, "bound", p->bound);
        drv_json_uint(o, "total", p->total);
    }
}

/* ---- what became of the ops ---- */

static void add_ops_of(cJSON *list, const ir_func *f, const drv_quantization *q) {
    uint32_t *number = ir_numbering(f);
    bool *constant = ir_constants(f);
    drv_op_form form;
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        if (constant[i] || !drv_op_form_of(f, (ir_ref){i}, constant, q, &form)) continue;
        cJSON *o = drv_json_object(list, NULL);
        drv_json_text(o, "function", f->name);
        drv_json_uint(o, "node", number[i]);
        drv_json_text(o, "op", ir_op_get(n->op)->name);
        add_known(o, "block", f->module->origins.items[n->origin].block);
        drv_add_op_form(o, &form);
    }
    base_free(number);
    base_free(constant);
}

static void say_ops_of(base_str *out, const ir_func *f, const drv_quantization *q) {
    uint32_t *number = ir_numbering(f);
    bool *constant = ir_constants(f);
    drv_op_form form;
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        const char *block = f->module->origins.items[n->origin].block;
        if (constant[i] || !drv_op_form_of(f, (ir_ref){i}, constant, q, &form)) continue;
        base_str_addf(out, "  %s %%%u %s: ", base_shown(f->name), number[i],
                      ir_op_get(n->op)->name);
        base_str_addf(out, "%s in %s", form.form, ir_precision_name[form.precision]);
        if (!isnan(form.signal_to_noise_dB))
            base_str_addf(out, ", signal to noise %.1f dB", form.signal_to_noise_dB);
        if (block) base_str_addf(out, " (%s)", base_shown(block));
        base_str_add(out, "\n");
    }
    base_free(number);
    base_free(constant);
}

static void write_json(const pass_context *c, const drv_quantization *q, drv_json_paths *paths,
                       base_str *out) {
    cJSON *doc = drv_json_object(NULL, NULL);
    drv_add_decisions(doc, c, paths);
    drv_add_passes(doc, c);
    drv_add_plans(doc, c);
    cJSON *list = drv_json_array(doc, "ops");
    for (size_t i = 0; i < c->module->funcs.count && c->module->level >= IR_FUSED; i++)
        add_ops_of(list, c->module->funcs.items[i], q);
    drv_json_uint(doc, "weights_bytes", c->memory.weights_bytes);
    drv_json_write(doc, DRV_JSON_LINES, out);
}

/* The text names paths, too: the pass manager knows places only. */
static void write_text(pass_context *c, const drv_quantization *q, drv_json_paths *paths,
                       base_str *out) {
    for (size_t i = 0; i < c->matches.count; i++) {
        pass_match *m = &c->matches.items[i];
        const char *path = path_of(m, paths);
        if (path) m->path = base_arena_strdup(c->arena, path);
    }
    pass_report(c, out);
    if (c->module->level < IR_FUSED) return;
    base_str_add(out, "ops that multiply, as they are computed:\n");
    for (size_t i = 0; i < c->module->funcs.count; i++)
        say_ops_of(out, c->module->funcs.items[i], q);
}

void drv_fusion_report(pass_context *c, const drv_quantization *q, bool json, base_str *out) {
    drv_json_paths *paths = drv_json_paths_new();
    if (json)
        write_json(c, q, paths, out);
    else
        write_text(c, q, paths, out);
    drv_json_paths_free(paths);
}
