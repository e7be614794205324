/* Analyses over a function, recomputed when needed; see ir.h. */
#include "ir/ir.h"

uint32_t *ir_use_counts(const ir_func *f) {
    uint32_t *uses = base_alloc(f->nodes.count * sizeof *uses);
    for (size_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        for (uint32_t k = 0; k < n->operand_count; k++)
            if (ir_ref_ok(n->operand[k])) uses[n->operand[k].id]++;
    }
    for (size_t i = 0; i < f->outputs.count; i++) uses[f->outputs.items[i].value.id]++;
    return uses;
}

ir_freq *ir_frequencies(const ir_func *f) {
    ir_freq *freq = base_alloc(f->nodes.count * sizeof *freq);
    for (size_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        freq[i] = n->op == IR_OP_input ? IR_ATTRS(n, input)->freq : IR_PROGRAM;
        for (uint32_t k = 0; k < n->operand_count; k++)
            if (ir_ref_ok(n->operand[k]) && freq[n->operand[k].id] > freq[i])
                freq[i] = freq[n->operand[k].id];
    }
    return freq;
}

bool *ir_constants(const ir_func *f) {
    bool *constant = base_alloc(f->nodes.count * sizeof *constant);
    for (size_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        constant[i] = n->op != IR_OP_input;
        for (uint32_t k = 0; k < n->operand_count; k++)
            if (ir_ref_ok(n->operand[k]) && !constant[n->operand[k].id]) constant[i] = false;
    }
    return constant;
}

/* True when a value's bytes are in row-major order: plain, or c16 without padding and with nothing
 * inside a channel. */
static bool is_row_major(const ir_type *t) {
    if (t->layout == IR_PLAIN) return true;
    int axis = ir_channel_axis(t);
    for (uint32_t i = 1; i < t->rank; i++)
        if ((int)i == axis ? t->dim[i] % IR_BLOCK != 0 : t->dim[i] != 1) return false;
    return true;
}

/* The permutation only moves axes of extent 1. */
static bool keeps_order(const ir_node *n, const ir_type *from) {
    const ir_dims *perm = &IR_ATTRS(n, transpose)->perm;
    int64_t last = -1;
    for (uint32_t i = 0; i < perm->n; i++) {
        if (from->dim[perm->v[i]] == 1) continue;
        if (perm->v[i] < last) return false;
        last = perm->v[i];
    }
    return true;
}

bool ir_is_view(const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    if (n->op == IR_OP_view) return true;
    if (n->op != IR_OP_reshape && n->op != IR_OP_transpose && n->op != IR_OP_layout_cast)
        return false;
    const ir_type *from = ir_typeof(f, n->operand[0]);
    if (!is_row_major(from) || !is_row_major(&n->type)) return false;
    return n->op != IR_OP_transpose || keeps_order(n, from);
}

ir_ref ir_view_root(const ir_func *f, ir_ref r) {
    while (ir_is_view(f, r)) r = ir_get(f, r)->operand[0];
    return r;
}

uint32_t *ir_view_roots(const ir_func *f) {
    uint32_t *root = base_alloc(f->nodes.count * sizeof *root + 1);
    for (uint32_t i = 0; i < f->nodes.count; i++)
        root[i] = ir_is_view(f, (ir_ref){i}) ? root[f->nodes.items[i].operand[0].id] : i;
    return root;
}

uint32_t *ir_last_uses(const ir_func *f) {
    uint32_t *root = ir_view_roots(f), *last = base_alloc(f->nodes.count * sizeof *last + 1);
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        last[i] = i;
        for (uint32_t k = 0; k < n->operand_count; k++)
            if (ir_ref_ok(n->operand[k])) last[root[n->operand[k].id]] = i;
    }
    for (size_t i = 0; i < f->outputs.count; i++)
        last[root[f->outputs.items[i].value.id]] = (uint32_t)f->nodes.count;
    base_free(root);
    return last;
}

/* conv2d {overwrite}: the planes of the result lie over the first ones of x, pixel over pixel. */
static bool overwrites_input(const ir_func *f, const ir_node *n) {
    if (n->op != IR_OP_conv2d || !IR_ATTRS(n, conv2d)->overwrite) return false;
    const ir_type *x = ir_typeof(f, n->operand[IR_IN(conv2d, x)]), *y = &n->type;
    return x->layout == IR_C16 && y->layout == IR_C16 && y->dim[0] == 1 && y->dim[2] == x->dim[2] &&
           y->dim[3] == x->dim[3] && ir_type_bytes(y) <= ir_type_bytes(x);
}

uint32_t ir_overwritable(const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    uint32_t candidates = ir_op_get(n->op)->over, bits = 0;
    for (uint32_t k = 0; k < n->operand_count; k++)
        if ((candidates >> k & 1) && ir_ref_ok(n->operand[k]) &&
            ir_type_equal(ir_typeof(f, n->operand[k]), &n->type))
            bits |= 1u << k;
    return overwrites_input(f, n) ? bits | 1u << IR_IN(conv2d, x) : bits;
}
