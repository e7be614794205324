/* fold_constants: small values that depend on weights only are computed now.
 *
 *   before   %1 = exp @log_scale : f32[1]
 *            %2 = mul %0, %1 : f32[2,77,768]
 *   after    weight @folded/0 : f32[1] = data "..."
 *            %1 = mul %0, @folded/0 : f32[2,77,768]
 *
 * Only where constants meet values that are computed at run time; inner nodes of a constant
 * expression go with it. Slices and reshapes of weights that feed weight operands (the thirds of a
 * fused qkv) stay symbolic: packing them reads the weight once anyway, and a copy of it would only
 * make the module heavier. Whatever is not folded is computed when weights are packed, so the
 * budget bounds the size of the IR's text, not what can be compiled.
 *
 * here    after canonicalize, which makes constants; before the passes that match, which then see
 *         fewer nodes
 * not     results above 64 KiB or above 16 MiB in all; expressions over weights whose bytes are
 *         not there (IR text that names files); expressions that read more than 16 Mi elements
 *         (the limits are knobs of passes.def)
 * tests   tests/lit/passes/fold_constants/, tests/unit/passes/passes_test.c */
#include "passes/manager/match.h"

#include <string.h>

static const char PASS_NAME[] = "fold_constants";

typedef struct state {
    pass_context *c;
    bool *fold;   /* nodes that become weights */
    size_t bytes; /* of the results so far */
} state;

static bool is_move(ir_op op) {
    return op == IR_OP_slice || op == IR_OP_reshape || op == IR_OP_transpose;
}

/* A weight behind nothing but moves. */
static bool is_moved_weight(const ir_func *f, ir_ref r) {
    while (is_move(ir_get(f, r)->op)) r = ir_get(f, r)->operand[0];
    return ir_get(f, r)->op == IR_OP_weight;
}

/* Everything the value depends on is there, and it is not too much to read. */
static bool can_compute(const state *s, const ir_func *f, ir_ref r, int64_t *read, base_str *why) {
    const ir_node *n = ir_get(f, r);
    *read += ir_type_elements(&n->type);
    if ((double)*read > pass_knob(s->c, PASS_KNOB_fold_constants_read))
        return pass_no(why, "it reads too much");
    if (n->op == IR_OP_weight) {
        const ir_weight *w = &f->module->weights.items[IR_ATTRS(n, weight)->index];
        return ir_weight_bound(w) || pass_no(why, "weight @%s is not bound", w->name);
    }
    for (uint32_t k = 0; k < n->operand_count; k++)
        if (ir_ref_ok(n->operand[k]) && !can_compute(s, f, n->operand[k], read, why)) return false;
    return true;
}

static bool should_fold(state *s, const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    size_t bytes = (size_t)ir_type_elements(&n->type) * sizeof(float);
    if (n->op == IR_OP_weight || n->type.dtype != IR_f32) return false;
    pass_decision d = {s->c, PASS_NAME, f, r, ir_op_get(n->op)->name, {0}, {0}};
    int64_t read = 0;
    bool fine = (double)bytes <= pass_knob(s->c, PASS_KNOB_fold_constants_result) &&
                (double)(s->bytes + bytes) <= pass_knob(s->c, PASS_KNOB_fold_constants_total);
    if (!fine) pass_no(&d.why, "its %zu bytes are beyond the budget", bytes);
    fine = fine && can_compute(s, f, r, &read, &d.why);
    if (fine) s->bytes += bytes;
    return pass_decided(&d, fine);
}

/* A weight of the module with these elements, under a name no other has. */
static uint32_t add_weight(ir_module *m, const ir_tensor *t) {
    base_str name = {0};
    for (size_t i = m->weights.count;; i++) {
        name.len = 0;
        base_str_addf(&name, "folded/%zu", i);
        if (ir_weight_find(m, name.data) == UINT32_MAX) break;
    }
    ir_type type = t->type;
    type.layout = IR_PLAIN;
    uint32_t index = ir_weight_add(m, name.data, &type);
    base_str_free(&name);
    size_t bytes = (size_t)ir_type_elements(&type) * sizeof(float);
    void *data = base_arena_alloc(m->arena, bytes);
    memcpy(data, t->data, bytes);
    m->weights.items[index].kind = IR_WEIGHT_DATA;
    m->weights.items[index].data = data;
    return index;
}

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    const state *s = rw->user;
    if (!s->fold[old.id]) return IR_NONE;
    ir_tensor t = ir_eval_constant(rw->from, old);
    uint32_t index = add_weight(rw->to->module, &t);
    ir_tensor_free(&t);
    return ir_weight_ref(rw->to, index, ir_get(rw->from, old)->origin);
}

bool pass_fold_constants(pass_context *c, ir_func *f) {
    state s = {.c = c, .fold = base_alloc(f->nodes.count + 1)};
    bool *constant = ir_constants(f), *seen = base_alloc(f->nodes.count + 1), any = false;
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        for (uint32_t k = 0; !constant[i] && k < n->operand_count; k++) {
            ir_ref x = n->operand[k];
            if (!ir_ref_ok(x) || !constant[x.id] || seen[x.id]) continue;
            if (ir_op_packs(n->op, k) && is_moved_weight(f, x)) continue;
            seen[x.id] = true;
            s.fold[x.id] = should_fold(&s, f, x);
            any |= s.fold[x.id];
        }
    }
    bool changed = any && ir_rewrite_apply(f, rule, &s, true);
    base_free(seen);
    base_free(constant);
    base_free(s.fold);
    return changed;
}
