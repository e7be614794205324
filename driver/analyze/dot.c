/* --emit=dot: the functions as Graphviz clusters. Everything that comes from the model is escaped.
 */
#include "base/diag.h"
#include "driver/analyze/analyze.h"

#include <string.h>

static void add_escaped(base_str *out, const char *text) {
    base_str shown = {0};
    base_str_add_shown(&shown, text);
    for (const char *s = shown.data; *s; s++) {
        if (*s == '"' || *s == '\\') base_str_add(out, "\\");
        base_str_addn(out, s, 1);
    }
    base_str_free(&shown);
}

static void add_node(const ir_func *f, size_t fi, uint32_t id, base_str *out) {
    const ir_node *n = &f->nodes.items[id];
    base_str type = {0};
    ir_print_type(&n->type, &type);
    base_str_addf(out, "    n%zu_%u [label=\"", fi, id);
    if (n->op == IR_OP_input)
        add_escaped(out, IR_ATTRS(n, input)->name);
    else
        base_str_add(out, ir_op_get(n->op)->name);
    const char *block = f->module->origins.items[n->origin].block;
    base_str_add(out, "\\n");
    add_escaped(out, type.data);
    if (block && *block) {
        base_str_add(out, "\\n");
        add_escaped(out, block);
    }
    base_str_addf(out, "\"%s];\n", n->op == IR_OP_input ? ", shape=ellipse" : "");
    for (uint32_t k = 0; k < n->operand_count; k++) {
        ir_ref r = n->operand[k];
        if (ir_ref_ok(r) && ir_get(f, r)->op != IR_OP_weight &&
            !(ir_op_get(ir_get(f, r)->op)->flags & IR_FLAG_PACK))
            base_str_addf(out, "    n%zu_%u -> n%zu_%u;\n", fi, r.id, fi, id);
    }
    base_str_free(&type);
}

void drv_dot(const ir_module *m, base_str *out) {
    base_str_add(out,
                 "digraph ebru {\n  node [shape=box, fontname=\"sans-serif\", fontsize=10];\n");
    for (size_t i = 0; i < m->funcs.count; i++) {
        const ir_func *f = m->funcs.items[i];
        base_str_addf(out, "  subgraph cluster_%zu {\n    label=\"", i);
        add_escaped(out, f->name);
        base_str_add(out, "\";\n");
        for (uint32_t k = 0; k < f->nodes.count; k++)
            if (f->nodes.items[k].op != IR_OP_weight &&
                !(ir_op_get(f->nodes.items[k].op)->flags & IR_FLAG_PACK))
                add_node(f, i, k, out);
        for (size_t k = 0; k < f->outputs.count; k++) {
            base_str_addf(out, "    o%zu_%zu [shape=ellipse, label=\"", i, k);
            add_escaped(out, f->outputs.items[k].name);
            base_str_addf(out, "\"];\n    n%zu_%u -> o%zu_%zu;\n", i, f->outputs.items[k].value.id,
                          i, k);
        }
        base_str_add(out, "  }\n");
    }
    base_str_add(out, "}\n");
}
