/* --metafile: everything the compiler knows of what it made, as one JSON object: nodes with their
 * parameters, costs, kernels, places and lifetimes, the passes, the memory plan, the weights.
 * Schema in docs/inspecting.md. */
#include "driver/analyze/analyze.h"
#include "driver/analyze/arena_lifetimes.h"
#include "driver/analyze/documents.h"
#include "driver/analyze/op_forms.h"
#include "driver/version.h"
#include "runtime/abi/meta_keys.h"

#include <string.h>

static void add_type(cJSON *to, const ir_type *t) {
    base_str s = {0};
    ir_print_type(t, &s);
    drv_json_text(to, "type", s.data);
    base_str_free(&s);
    drv_json_uint(to, "bytes", ir_type_bytes(t));
}

/* ---- nodes ---- */

struct writing {
    const ir_func *f;
    uint32_t *number;
    drv_life *lives;
    bool *constant;
    const drv_quantization *q;
    drv_json_paths *paths;
};

/* The number of a node, the name of a weight, or null. */
static void add_ref(cJSON *to, const char *key, const struct writing *w, ir_ref r) {
    if (ir_ref_ok(r) && ir_get(w->f, r)->op != IR_OP_weight) {
        drv_json_uint(to, key, w->number[r.id]);
        return;
    }
    const ir_weight *table = w->f->module->weights.items;
    drv_json_text(to, key,
                  ir_ref_ok(r) ? table[IR_ATTRS(ir_get(w->f, r), weight)->index].name : NULL);
}

/* As they stand in the text form, but for texts. */
void drv_add_attrs(cJSON *to, const char *key, ir_op op, const ir_node *node) {
    const ir_op_info *info = ir_op_get(op);
    const ir_node defaults = {.op = op, .attrs = info->attr_default};
    const ir_node *n = node ? node : &defaults;
    cJSON *o = drv_json_object(to, key);
    for (uint32_t i = 0; i < info->attr_count; i++) {
        const ir_attr_info *a = &info->attrs[i];
        const void *value = (const char *)n->attrs + a->offset;
        base_str s = {0};
        ir_print_attr(n, i, &s);
        if (a->kind == IR_ATTR_f64)
            drv_json_real(o, a->name, *(const double *)value);
        else if (a->kind == IR_ATTR_str)
            drv_json_text(o, a->name, *(const char *const *)value);
        else if (ir_attr_type_of(a->kind)->form == IR_ATTR_FORM_NAME)
            drv_json_text(o, a->name, s.data);
        else
            drv_json_put(o, a->name, cJSON_CreateRaw(s.data));
        base_str_free(&s);
    }
}

static void add_kernel(cJSON *to, const ir_binding *b) {
    if (!b) return;
    cJSON *o = drv_json_object(to, "kernel");
    drv_json_text(o, "name", b->kernel);
    drv_json_int(o, "tasks", b->tasks);
    drv_json_uint(o, "scratch_bytes", b->scratch);
    cJSON *params = drv_json_object(o, "params");
    for (uint32_t i = 0; i < b->param_count; i++) {
        const ir_param *p = &b->params[i];
        if (p->is_float)
            drv_json_real(params, p->name, p->f);
        else
            drv_json_int(params, p->name, p->i);
    }
}

static void add_place(cJSON *to, const ir_place *p) {
    static const char *const kind[] = {[IR_UNPLACED] = NULL,
                                       [IR_AT_ARENA] = "arena",
                                       [IR_AT_INPUT] = "input",
                                       [IR_AT_OUTPUT] = "output",
                                       [IR_AT_WEIGHT] = "weights"};
    if (!kind[p->kind]) return;
    cJSON *o = drv_json_object(to, "place");
    drv_json_text(o, "in", kind[p->kind]);
    drv_json_uint(o, "at", p->offset);
}

static void add_origin(cJSON *to, const ir_origin *o, drv_json_paths *paths) {
    if (o->block) drv_json_text(to, "block", o->block);
    if (!o->file) return;
    drv_json_text(to, "file", o->file);
    drv_json_uint(to, "line", o->line);
    drv_json_uint(to, "col", o->col);
    const char *path = drv_json_paths_path(paths, o->file, o->line, o->col);
    if (path) drv_json_text(to, "path", path);
}

/* Lifetimes are told in numbers of nodes that have one: weights have none. */
static uint32_t numbered(const struct writing *w, uint32_t at) {
    while (at && w->number[at] == UINT32_MAX) at--;
    return w->number[at];
}

static void add_cost(cJSON *to, const ir_cost *c) {
    drv_json_real(to, "flops", c->flops);
    drv_json_uint(to, "weight_bytes", c->weight_bytes);
    drv_json_uint(to, "moved_bytes", c->bytes);
}

static void add_node(cJSON *list, const struct writing *w, uint32_t i) {
    const ir_node *n = &w->f->nodes.items[i];
    cJSON *o = drv_json_object(list, NULL);
    drv_json_uint(o, "id", w->number[i]);
    drv_json_text(o, "op", ir_op_get(n->op)->name);
    add_type(o, &n->type);
    cJSON *operands = drv_json_array(o, "operands");
    for (uint32_t k = 0; k < n->operand_count; k++) add_ref(operands, NULL, w, n->operand[k]);
    drv_add_attrs(o, "attrs", n->op, n);
    add_origin(o, &w->f->module->origins.items[n->origin], w->paths);
    ir_cost c = ir_node_cost(w->f, (ir_ref){i});
    if (w->constant[i])
        drv_json_bool(o, "constant", true);
    else if (c.flops > 0 || c.bytes || c.weight_bytes)
        add_cost(o, &c);
    if (ir_is_view(w->f, (ir_ref){i})) drv_json_bool(o, "view", true);
    drv_op_form form;
    if (w->f->module->level >= IR_FUSED &&
        drv_op_form_of(w->f, (ir_ref){i}, w->constant, w->q, &form))
        drv_add_op_form(o, &form);
    add_kernel(o, n->binding);
    add_place(o, &n->place);
    if (!w->lives[i].bytes) return;
    cJSON *alive = drv_json_array(o, "alive");
    drv_json_uint(alive, NULL, numbered(w, i));
    drv_json_uint(alive, NULL, numbered(w, w->lives[i].last));
}

static void add_func(cJSON *list, const ir_func *f, const drv_quantization *q,
                     drv_json_paths *paths) {
    struct writing w = {f, ir_numbering(f), drv_lives(f), ir_constants(f), q, paths};
    ir_cost c = ir_func_cost(f);
    uint64_t most;
    uint32_t peak = drv_peak(f, w.lives, &most);
    cJSON *o = drv_json_object(list, NULL);
    drv_json_text(o, "name", f->name);
    add_cost(o, &c);
    drv_json_uint(o, "arena_bytes", f->arena_bytes);
    drv_json_uint(o, "scratch_bytes", f->scratch_bytes);
    if (f->arena_bytes) {
        cJSON *p = drv_json_object(o, "peak");
        drv_json_uint(p, "node", numbered(&w, peak));
        drv_json_uint(p, "bytes", most);
    }
    cJSON *outputs = drv_json_array(o, "outputs");
    for (size_t i = 0; i < f->outputs.count; i++) {
        cJSON *output = drv_json_object(outputs, NULL);
        drv_json_text(output, "name", f->outputs.items[i].name);
        add_ref(output, "value", &w, f->outputs.items[i].value);
    }
    cJSON *nodes = drv_json_array(o, "nodes");
    for (uint32_t i = 0; i < f->nodes.count; i++)
        if (f->nodes.items[i].op != IR_OP_weight) add_node(nodes, &w, i);
    base_free(w.number);
    base_free(w.lives);
    base_free(w.constant);
}

/* ---- the module ---- */

static void add_weights(cJSON *to, const ir_module *m) {
    static const char *const source[] = {[IR_WEIGHT_UNBOUND] = NULL,
                                         [IR_WEIGHT_FILE] = "file",
                                         [IR_WEIGHT_RANDOM] = "random",
                                         [IR_WEIGHT_DATA] = "compiler"};
    cJSON *list = drv_json_array(to, "weights");
    for (size_t i = 0; i < m->weights.count; i++) {
        const ir_weight *w = &m->weights.items[i];
        cJSON *o = drv_json_object(list, NULL);
        drv_json_text(o, "name", w->name);
        add_type(o, &w->type);
        drv_json_text(o, "source", source[w->kind]);
        if (w->kind != IR_WEIGHT_FILE) continue;
        drv_json_text(o, "file", w->file);
        drv_json_text(o, "tensor", w->tensor);
    }
}

static void add_packed(cJSON *to, const pass_context *c) {
    drv_json_uint(to, "packed_weights_bytes", c->memory.weights_bytes);
    cJSON *list = drv_json_array(to, "packed_weights");
    for (size_t i = 0; i < c->memory.weights.count; i++) {
        const pass_packed_offset *p = &c->memory.weights.items[i];
        cJSON *o = drv_json_object(list, NULL);
        drv_json_text(o, "of", p->key);
        drv_json_uint(o, "at", p->offset);
        drv_json_uint(o, "bytes", p->bytes);
    }
}

cJSON *drv_metafile_document(const ir_module *m, const pass_context *c, const drv_quantization *q,
                             drv_json_paths *paths) {
    cJSON *doc = drv_json_object(NULL, NULL);
    drv_json_int(doc, "version", 1);
    drv_json_text(doc, "ebru", drv_version);
    drv_json_text(doc, "model", ir_meta_string(m, EBRU_META_MODEL_NAME.name, NULL));
    drv_json_text(doc, "level", ir_level_name[m->level]);
    drv_json_text(doc, "target", c && c->target ? c->target->level : NULL);
    drv_json_text(doc, "precision",
                  ir_meta_string(m, EBRU_META_PRECISION.name, EBRU_META_PRECISION.otherwise));
    const char *quantization = ir_meta_string(m, EBRU_META_QUANTIZATION.name, NULL);
    if (quantization) drv_json_text(doc, "quantization", quantization);
    cJSON *functions = drv_json_array(doc, "functions");
    for (size_t i = 0; i < m->funcs.count; i++) add_func(functions, m->funcs.items[i], q, paths);
    add_weights(doc, m);
    if (!c) return doc;
    add_packed(doc, c);
    drv_add_passes(doc, c);
    drv_add_plans(doc, c);
    return doc;
}

void drv_metafile(const ir_module *m, const pass_context *c, const drv_quantization *q,
                  base_str *out) {
    drv_json_paths *paths = drv_json_paths_new();
    drv_json_write(drv_metafile_document(m, c, q, paths), DRV_JSON_LINES, out);
    drv_json_paths_free(paths);
}
