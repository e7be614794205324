/* --metafile: everything the compiler knows of what it made, as one JSON object: nodes with their parameters,
 * costs, kernels, places and lifetimes, the passes, the memory plan, the weights. Schema in
 * docs/inspecting.md. */
#include "base/number.h"
#include "driver/analyze/arena_lifetimes.h"
#include "driver/driver.h"
#include "driver/version.h"

#include <string.h>

static void add_type(base_str *out, const ir_type *t) {
    base_str s = {0};
    ir_print_type(t, &s);
    base_json_member(out, "type", s.data);
    base_str_free(&s);
}

/* Numbers that JSON cannot say are strings. */
static void add_number(base_str *out, double x) {
    base_str s = {0};
    base_print_f64(x, &s);
    if (x - x == 0)
        base_str_add(out, s.data);
    else
        base_json_quote(out, s.data);
    base_str_free(&s);
}

/* ---- nodes ---- */

static void add_operands(base_str *out, const ir_func *f, const uint32_t *number,
                         const ir_node *n) {
    base_str_add(out, ", \"operands\": [");
    for (uint32_t k = 0; k < n->operand_count; k++) {
        ir_ref r = n->operand[k];
        if (k) base_str_add(out, ", ");
        if (!ir_ref_ok(r))
            base_str_add(out, "null");
        else if (ir_get(f, r)->op == IR_OP_weight)
            base_json_quote(out,
                            f->module->weights.items[IR_ATTRS(ir_get(f, r), weight)->index].name);
        else
            base_str_addf(out, "%u", number[r.id]);
    }
    base_str_add(out, "]");
}

/* All attributes, those at their defaults too, as they stand in the text form. */
static void add_attrs(base_str *out, const ir_node *n) {
    const ir_op_info *info = ir_op_get(n->op);
    base_str_add(out, ", \"attrs\": {");
    for (uint32_t i = 0; i < info->attr_count; i++) {
        const ir_attr_info *a = &info->attrs[i];
        const void *value = (const char *)n->attrs + a->offset;
        base_str_addf(out, "%s\"%s\": ", i ? ", " : "", a->name);
        base_str s = {0};
        ir_print_attr(n, i, &s);
        if (a->kind == IR_ATTR_f64)
            add_number(out, *(const double *)value);
        else if (a->kind == IR_ATTR_str)
            base_json_quote(out, *(const char *const *)value);
        else if (a->kind == IR_ATTR_act || a->kind == IR_ATTR_freq || a->kind == IR_ATTR_precision)
            base_json_quote(out, s.data);
        else
            base_str_add(out, s.data);
        base_str_free(&s);
    }
    base_str_add(out, "}");
}

static void add_kernel(base_str *out, const ir_binding *b) {
    if (!b) return;
    base_str_add(out, ", \"kernel\": {\"name\": ");
    base_json_quote(out, b->kernel);
    base_str_addf(out, ", \"tasks\": %lld, \"scratch_bytes\": %llu, \"params\": {",
                  (long long)b->tasks, (unsigned long long)b->scratch);
    for (uint32_t i = 0; i < b->param_count; i++) {
        const ir_param *p = &b->params[i];
        if (i) base_str_add(out, ", ");
        base_json_quote(out, p->name);
        base_str_add(out, ": ");
        if (p->is_float)
            add_number(out, p->f);
        else
            base_str_addf(out, "%lld", (long long)p->i);
    }
    base_str_add(out, "}}");
}

static void add_place(base_str *out, const ir_place *p) {
    static const char *const kind[] = {[IR_UNPLACED] = NULL,
                                       [IR_AT_ARENA] = "arena",
                                       [IR_AT_INPUT] = "input",
                                       [IR_AT_OUTPUT] = "output",
                                       [IR_AT_WEIGHT] = "weights"};
    if (!kind[p->kind]) return;
    base_str_addf(out, ", \"place\": {\"in\": \"%s\", \"at\": %llu}", kind[p->kind],
                  (unsigned long long)p->offset);
}

static void add_origin(base_str *out, const ir_origin *o) {
    if (o->block) base_json_member(out, "block", o->block);
    if (!o->file) return;
    base_json_member(out, "file", o->file);
    base_str_addf(out, ", \"line\": %u, \"col\": %u", o->line, o->col);
}

struct writing {
    const ir_func *f;
    uint32_t *number;
    drv_life *lives;
    bool *constant;
};

/* Lifetimes are told in numbers of nodes that have one: weights have none. */
static uint32_t numbered(const struct writing *w, uint32_t at) {
    while (at && w->number[at] == UINT32_MAX) at--;
    return w->number[at];
}

static void add_node(base_str *out, const struct writing *w, uint32_t i) {
    const ir_node *n = &w->f->nodes.items[i];
    base_str_addf(out, "{\"id\": %u, \"op\": \"%s\"", w->number[i], ir_op_get(n->op)->name);
    add_type(out, &n->type);
    base_str_addf(out, ", \"bytes\": %llu", (unsigned long long)ir_type_bytes(&n->type));
    add_operands(out, w->f, w->number, n);
    add_attrs(out, n);
    add_origin(out, &w->f->module->origins.items[n->origin]);
    if (w->constant[i]) base_str_add(out, ", \"constant\": true");
    ir_cost c = ir_node_cost(w->f, (ir_ref){i});
    if (!w->constant[i] && (c.flops > 0 || c.bytes || c.weight_bytes)) {
        base_str_add(out, ", \"flops\": ");
        add_number(out, c.flops);
        base_str_addf(out, ", \"weight_bytes\": %llu, \"moved_bytes\": %llu",
                      (unsigned long long)c.weight_bytes, (unsigned long long)c.bytes);
    }
    add_kernel(out, n->binding);
    add_place(out, &n->place);
    if (w->lives[i].bytes)
        base_str_addf(out, ", \"alive\": [%u, %u]", numbered(w, i), numbered(w, w->lives[i].last));
    base_str_add(out, "}");
}

static void add_outputs(base_str *out, const struct writing *w) {
    base_str_add(out, ", \"outputs\": [");
    for (size_t i = 0; i < w->f->outputs.count; i++) {
        const ir_output *o = &w->f->outputs.items[i];
        base_str_add(out, i ? ", {\"name\": " : "{\"name\": ");
        base_json_quote(out, o->name);
        if (w->number[o->value.id] == UINT32_MAX)
            base_str_add(out, ", \"value\": null}");
        else
            base_str_addf(out, ", \"value\": %u}", w->number[o->value.id]);
    }
    base_str_add(out, "]");
}

static void add_func(base_str *out, const ir_func *f) {
    struct writing w = {f, ir_numbering(f), drv_lives(f), ir_constants(f)};
    ir_cost c = ir_func_cost(f);
    uint64_t most;
    uint32_t peak = drv_peak(f, w.lives, &most);
    base_str_add(out, "\n  {\"name\": ");
    base_json_quote(out, f->name);
    base_str_add(out, ", \"flops\": ");
    add_number(out, c.flops);
    base_str_addf(out,
                  ", \"weight_bytes\": %llu, \"moved_bytes\": %llu, \"arena_bytes\": %llu, "
                  "\"scratch_bytes\": %llu",
                  (unsigned long long)c.weight_bytes, (unsigned long long)c.bytes,
                  (unsigned long long)f->arena_bytes, (unsigned long long)f->scratch_bytes);
    if (f->arena_bytes)
        base_str_addf(out, ", \"peak\": {\"node\": %u, \"bytes\": %llu}", numbered(&w, peak),
                      (unsigned long long)most);
    add_outputs(out, &w);
    base_str_add(out, ", \"nodes\": [");
    bool first = true;
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        if (f->nodes.items[i].op == IR_OP_weight) continue;
        base_str_add(out, first ? "\n    " : ",\n    ");
        add_node(out, &w, i);
        first = false;
    }
    base_str_add(out, "]}");
    base_free(w.number);
    base_free(w.lives);
    base_free(w.constant);
}

/* ---- the module ---- */

static void add_weights(base_str *out, const ir_module *m) {
    base_str_add(out, "],\n \"weights\": [");
    for (size_t i = 0; i < m->weights.count; i++) {
        const ir_weight *w = &m->weights.items[i];
        base_str_add(out, i ? ",\n  {\"name\": " : "\n  {\"name\": ");
        base_json_quote(out, w->name);
        add_type(out, &w->type);
        base_str_addf(out, ", \"bytes\": %llu", (unsigned long long)ir_type_bytes(&w->type));
        if (w->kind == IR_WEIGHT_FILE) {
            base_json_member(out, "file", w->file);
            base_json_member(out, "tensor", w->tensor);
        }
        base_str_add(out, "}");
    }
}

static void add_packed(base_str *out, const pass_context *c) {
    base_str_addf(out, "],\n \"packed_weights_bytes\": %llu,\n \"packed_weights\": [",
                  (unsigned long long)c->memory.weights_bytes);
    for (size_t i = 0; i < c->memory.weights.count; i++) {
        const pass_packed_offset *p = &c->memory.weights.items[i];
        base_str_add(out, i ? ",\n  {\"of\": " : "\n  {\"of\": ");
        base_json_quote(out, p->key);
        base_str_addf(out, ", \"at\": %llu, \"bytes\": %llu}", (unsigned long long)p->offset,
                      (unsigned long long)p->bytes);
    }
}

static void add_passes(base_str *out, const pass_context *c) {
    base_str_add(out, "],\n \"passes\": [");
    for (size_t i = 0; i < c->timings.count; i++) {
        const pass_timing *t = &c->timings.items[i];
        base_str_addf(
            out,
            "%s\n  {\"pass\": \"%s\", \"ms\": %.3f, \"nodes_before\": %u, \"nodes_after\": %u, "
            "\"changed\": %s}",
            i ? "," : "", t->pass, t->ms, t->nodes_before, t->nodes_after,
            t->changed ? "true" : "false");
    }
    base_str_add(out, "],\n \"plans\": [");
    for (size_t i = 0; i < c->memory.funcs.count; i++) {
        const pass_plan *p = &c->memory.funcs.items[i];
        base_str_add(out, i ? ",\n  {\"function\": " : "\n  {\"function\": ");
        base_json_quote(out, p->func);
        base_str_addf(out, ", \"arena_bytes\": %llu, \"bound\": %llu, \"total\": %llu}",
                      (unsigned long long)p->arena_bytes, (unsigned long long)p->bound,
                      (unsigned long long)p->total);
    }
}

void drv_metafile(const ir_module *m, const pass_context *c, base_str *out) {
    base_str_add(out, "{\"version\": 1");
    base_json_member(out, "ebru", drv_version);
    base_json_member(out, "model", ir_meta_string(m, "model.name", NULL));
    base_json_member(out, "level", ir_level_name[m->level]);
    base_json_member(out, "target", c->target ? c->target->level : NULL);
    base_json_member(out, "precision", ir_meta_string(m, "precision", "f32"));
    base_str_add(out, ",\n \"functions\": [");
    for (size_t i = 0; i < m->funcs.count; i++) {
        if (i) base_str_add(out, ",");
        add_func(out, m->funcs.items[i]);
    }
    add_weights(out, m);
    add_packed(out, c);
    add_passes(out, c);
    base_str_add(out, "]}\n");
}
