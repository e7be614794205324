#include <string.h>

#include "frontend/embedding/embedding.h"

static bool is_input_ids(const ir_func *f, ir_ref r) {
    const ir_node *n = ir_ref_ok(r) ? ir_get(f, r) : NULL;
    return n && n->op == IR_OP_input && strcmp(IR_ATTRS(n, input)->name, "input_ids") == 0;
}

uint32_t fe_text_table(const ir_func *f) {
    for (size_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        if (n->op != IR_OP_embedding || !is_input_ids(f, IR_OPERAND(n, embedding, ids))) continue;
        ir_ref table = IR_OPERAND(n, embedding, table);
        const ir_node *t = ir_ref_ok(table) ? ir_get(f, table) : NULL;
        if (t && t->op == IR_OP_weight) return (uint32_t)IR_ATTRS(t, weight)->index;
    }
    return UINT32_MAX;
}
