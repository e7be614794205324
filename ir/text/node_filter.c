#include "ir/text/node_filter.h"

bool ir_filter_text(const regex_t *r, const char *text) {
    return text && !regexec(r, text, 0, NULL, 0);
}

bool ir_filter_node(const regex_t *r, const ir_func *f, const ir_node *n) {
    if (ir_filter_text(r, f->module->origins.items[n->origin].block)) return true;
    base_str text = {0};
    base_str_add(&text, n->op == IR_OP_input ? IR_ATTRS(n, input)->name : ir_op_get(n->op)->name);
    if (n->op != IR_OP_input) ir_print_attrs(n, &text);
    base_str_add(&text, " : ");
    ir_print_type(&n->type, &text);
    if (n->binding) base_str_addf(&text, " kernel %s", n->binding->kernel);
    bool match = ir_filter_text(r, text.data);
    base_str_free(&text);
    return match;
}
