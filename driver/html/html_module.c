/* A module as JSON for the page. Nodes are columns, one array a property: short to write, quick to
 * read.
 *
 *   {level, origins: [[file, line, col, block, path]...], weights: [[name, type, source]...],
 *    types: [[text, bytes]...], ops: [[name, summary, operand names]...],
 *    funcs: [{name, arena, scratch, inputs: [node...], outputs: [[name, node]...], nodes: {COLUMN:
 * [...]...}}...]}
 *
 * Names, types and other texts are indices into the document's table, -1 for none. Of nodes: */
#include "base/number.h"
#include "driver/html/html.h"
#include "driver/analyze/json_paths.h"

#include <string.h>

struct writer {
    html_json *j;
    const ir_module *m;
    BASE_VEC(ir_type) types;
    int64_t op_of[IR_OP_COUNT]; /* index among the ops that occur, -1 */
    BASE_VEC(ir_op) ops;
};

static int64_t type_index(struct writer *w, const ir_type *t) {
    for (size_t i = w->types.count; i-- > 0;)
        if (ir_type_equal(&w->types.items[i], t)) return (int64_t)i;
    BASE_PUSH(&w->types, *t);
    return (int64_t)w->types.count - 1;
}

static int64_t op_index(struct writer *w, ir_op op) {
    if (w->op_of[op] < 0) {
        w->op_of[op] = (int64_t)w->ops.count;
        BASE_PUSH(&w->ops, op);
    }
    return w->op_of[op];
}

/* ---- columns ---- */

/* What stands in braces behind the op; of inputs the name. */
static int64_t attrs(struct writer *w, const ir_func *f, uint32_t i) {
    const ir_node *n = &f->nodes.items[i];
    if (n->op == IR_OP_weight) return IR_ATTRS(n, weight)->index; /* into the weight table */
    if (n->op == IR_OP_input) return html_string(w->j, IR_ATTRS(n, input)->name);
    base_str s = {0};
    ir_print_attrs(n, &s); /* " {a=1, b=2}" or nothing */
    if (s.len) s.data[s.len - 1] = 0;
    int64_t id = html_string(w->j, s.len ? s.data + 2 : NULL);
    base_str_free(&s);
    return id;
}

/* The kernel's parameters, "B=1, C=4"; of inputs how often they change. */
static int64_t params(struct writer *w, const ir_func *f, uint32_t i) {
    const ir_node *n = &f->nodes.items[i];
    if (n->op == IR_OP_input) return html_string(w->j, ir_freq_name[IR_ATTRS(n, input)->freq]);
    if (!n->binding) return -1;
    base_str s = {0};
    base_str_add(&s, "");
    for (uint32_t k = 0; k < n->binding->param_count; k++) {
        const ir_param *p = &n->binding->params[k];
        base_str_addf(&s, "%s%s=", k ? ", " : "", p->name);
        if (p->is_float)
            base_print_f64(p->f, &s);
        else
            base_str_addf(&s, "%lld", (long long)p->i);
    }
    int64_t id = html_string(w->j, s.data);
    base_str_free(&s);
    return id;
}

static int64_t column_op(struct writer *w, const ir_func *f, uint32_t i) {
    return op_index(w, f->nodes.items[i].op);
}
static int64_t column_type(struct writer *w, const ir_func *f, uint32_t i) {
    return type_index(w, &f->nodes.items[i].type);
}
static int64_t column_origin(struct writer *w, const ir_func *f, uint32_t i) {
    (void)w;
    return f->nodes.items[i].origin;
}
static int64_t column_kernel(struct writer *w, const ir_func *f, uint32_t i) {
    const ir_binding *b = f->nodes.items[i].binding;
    return b ? html_string(w->j, b->kernel) : -1;
}
static int64_t column_tasks(struct writer *w, const ir_func *f, uint32_t i) {
    (void)w;
    const ir_binding *b = f->nodes.items[i].binding;
    return b ? b->tasks : 0;
}
static int64_t column_scratch(struct writer *w, const ir_func *f, uint32_t i) {
    (void)w;
    const ir_binding *b = f->nodes.items[i].binding;
    return b ? (int64_t)b->scratch : 0;
}
static int64_t column_place(struct writer *w, const ir_func *f, uint32_t i) {
    (void)w;
    return f->nodes.items[i].place.kind;
}
static int64_t column_offset(struct writer *w, const ir_func *f, uint32_t i) {
    (void)w;
    return (int64_t)f->nodes.items[i].place.offset;
}
static int64_t column_flops(struct writer *w, const ir_func *f, uint32_t i) {
    (void)w;
    return (int64_t)ir_node_cost(f, (ir_ref){i}).flops;
}
static int64_t column_weights(struct writer *w, const ir_func *f, uint32_t i) {
    (void)w;
    return (int64_t)ir_node_cost(f, (ir_ref){i}).weight_bytes;
}
static int64_t column_moved(struct writer *w, const ir_func *f, uint32_t i) {
    (void)w;
    return (int64_t)ir_node_cost(f, (ir_ref){i}).bytes;
}
static int64_t column_view(struct writer *w, const ir_func *f, uint32_t i) {
    (void)w;
    return ir_is_view(f, (ir_ref){i});
}

static const struct column {
    const char *name;
    int64_t (*value)(struct writer *w, const ir_func *f, uint32_t i);
    bool placed; /* only from KERNEL on; left out before */
} columns[] = {
    {"op", column_op, false},         /* into ops */
    {"type", column_type, false},     /* into types */
    {"origin", column_origin, false}, /* into origins */
    {"attrs", attrs, false},
    {"flops", column_flops, false},
    {"weights", column_weights, false}, /* bytes read, as packed */
    {"moved", column_moved, false},     /* bytes of activations */
    {"view", column_view, false},       /* 1: no bytes of its own */
    {"params", params, false},
    {"kernel", column_kernel, true},
    {"tasks", column_tasks, true},
    {"scratch", column_scratch, true}, /* bytes a thread */
    {"place", column_place, true},     /* ir_place_kind: none, arena, input, output, weights */
    {"offset", column_offset, true},
};

/* ---- functions ---- */

static void add_operands(const ir_func *f, base_str *out) {
    base_str_add(out, "\"operands\":[");
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        base_str_add(out, i ? ",[" : "[");
        for (uint32_t k = 0; k < n->operand_count; k++)
            base_str_addf(out, k ? ",%lld" : "%lld",
                          ir_ref_ok(n->operand[k]) ? (long long)n->operand[k].id : -1LL);
        base_str_add(out, "]");
    }
    base_str_add(out, "]");
}

static void add_func(struct writer *w, const ir_func *f) {
    base_str *out = &w->j->text;
    base_str_addf(out, "{\"name\":%lld,\"arena\":%llu,\"scratch\":%llu,\"inputs\":[",
                  (long long)html_string(w->j, f->name), (unsigned long long)f->arena_bytes,
                  (unsigned long long)f->scratch_bytes);
    for (size_t i = 0; i < f->inputs.count; i++)
        base_str_addf(out, i ? ",%u" : "%u", f->inputs.items[i].id);
    base_str_add(out, "],\"outputs\":[");
    for (size_t i = 0; i < f->outputs.count; i++)
        base_str_addf(out, "%s[%lld,%u]", i ? "," : "",
                      (long long)html_string(w->j, f->outputs.items[i].name),
                      f->outputs.items[i].value.id);
    base_str_add(out, "],\"nodes\":{");
    add_operands(f, out);
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
        if (columns[c].placed && w->m->level < IR_KERNEL) continue;
        base_str_addf(out, ",\"%s\":[", columns[c].name);
        for (uint32_t i = 0; i < f->nodes.count; i++)
            base_str_addf(out, i ? ",%lld" : "%lld", (long long)columns[c].value(w, f, i));
        base_str_add(out, "]");
    }
    base_str_add(out, "}}");
}

/* ---- tables ---- */

static void add_origins(struct writer *w, drv_json_paths *places) {
    base_str *out = &w->j->text;
    base_str_add(out, ",\"origins\":[");
    for (size_t i = 0; i < w->m->origins.count; i++) {
        const ir_origin *o = &w->m->origins.items[i];
        base_str_addf(
            out, "%s[%lld,%u,%u,%lld,%lld]", i ? "," : "", (long long)html_string(w->j, o->file),
            o->line, o->col, (long long)html_string(w->j, o->block),
            (long long)html_string(w->j, drv_json_paths_path(places, o->file, o->line, o->col)));
    }
    base_str_add(out, "]");
}

static const char *source_of(const ir_weight *t, base_str *buffer) {
    switch (t->kind) {
    case IR_WEIGHT_UNBOUND: return NULL;
    case IR_WEIGHT_RANDOM: return "random";
    case IR_WEIGHT_DATA: return "computed by the compiler";
    case IR_WEIGHT_FILE: break;
    }
    base_str_addf(buffer, "%s: %s", t->file, t->tensor);
    return buffer->data;
}

static void add_weights(struct writer *w) {
    base_str *out = &w->j->text;
    base_str_add(out, ",\"weights\":[");
    for (size_t i = 0; i < w->m->weights.count; i++) {
        const ir_weight *t = &w->m->weights.items[i];
        base_str source = {0};
        base_str_addf(out, "%s[%lld,%lld,%lld]", i ? "," : "",
                      (long long)html_string(w->j, t->name), (long long)type_index(w, &t->type),
                      (long long)html_string(w->j, source_of(t, &source)));
        base_str_free(&source);
    }
    base_str_add(out, "]");
}

static void add_types(struct writer *w) {
    base_str *out = &w->j->text;
    base_str_add(out, ",\"types\":[");
    for (size_t i = 0; i < w->types.count; i++) {
        base_str text = {0};
        ir_print_type(&w->types.items[i], &text);
        base_str_addf(out, "%s[%lld,%llu]", i ? "," : "", (long long)html_string(w->j, text.data),
                      (unsigned long long)ir_type_bytes(&w->types.items[i]));
        base_str_free(&text);
    }
    base_str_add(out, "]");
}

static void add_ops(struct writer *w) {
    base_str *out = &w->j->text;
    base_str_add(out, ",\"ops\":[");
    for (size_t i = 0; i < w->ops.count; i++) {
        const ir_op_info *op = ir_op_get(w->ops.items[i]);
        base_str_addf(out, "%s[%lld,%lld,[", i ? "," : "", (long long)html_string(w->j, op->name),
                      (long long)html_string(w->j, op->summary));
        for (uint32_t k = 0; k < op->max_operands; k++)
            base_str_addf(out, "%s%lld", k ? "," : "",
                          (long long)html_string(w->j, op->operand_name[k]));
        base_str_add(out, "]]");
    }
    base_str_add(out, "]");
}

void html_add_module(html_json *j, const ir_module *m, drv_json_paths *places) {
    struct writer w = {.j = j, .m = m};
    memset(w.op_of, -1, sizeof w.op_of);
    base_str_addf(&j->text, "{\"level\":\"%s\",\"funcs\":[", ir_level_name[m->level]);
    for (size_t i = 0; i < m->funcs.count; i++) {
        if (i) base_str_add(&j->text, ",");
        add_func(&w, m->funcs.items[i]);
    }
    base_str_add(&j->text, "]");
    add_origins(&w, places);
    add_weights(&w);
    add_types(&w);
    add_ops(&w);
    base_str_add(&j->text, "}");
    base_free(w.types.items);
    base_free(w.ops.items);
}
