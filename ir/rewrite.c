/* Building a changed copy of a function; see ir.h.
 *
 * Requirements on rules (the driver cannot check them): a rule keeps the value it replaces, looks
 * at operands and use counts only, and never makes the function cost more, so that applying it
 * again ends. */
#include <string.h>

#include "ir/build.h"
#include "ir/ir.h"

ir_ref rw_clone(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old);
    ir_ref r;
    if (n->op == IR_OP_input) {
        r = ir_input_like(rw->to, n, &n->type);
    } else if (n->op == IR_OP_weight) {
        r = ir_weight_ref(rw->to, (uint32_t)IR_ATTRS(n, weight)->index, n->origin);
    } else {
        ir_ref operand[IR_MAX_OPERANDS];
        for (uint32_t i = 0; i < n->operand_count; i++) operand[i] = rw_new(rw, n->operand[i]);
        r = ir_build(rw->to, n->op, operand, n->operand_count, n->attrs, n->type.layout, n->origin);
    }
    ir_node *to = &rw->to->nodes.items[r.id];
    if (!to->binding) to->binding = n->binding;
    if (to->place.kind == IR_UNPLACED) to->place = n->place;
    return r;
}

static void rewrite_node(ir_rewrite *rw, ir_rewrite_rule rule, ir_ref old) {
    ir_ref r = rule ? rule(rw, old) : IR_NONE;
    if (!ir_ref_ok(r)) r = rw_clone(rw, old);
    if (r.id >= rw->to->nodes.count)
        ICE("a rule gave a value that does not exist for %s",
            ir_op_get(ir_get(rw->from, old)->op)->name);
    rw->map[old.id] = r;
}

bool ir_rewrite_apply(ir_func *f, ir_rewrite_rule rule, void *user, bool drop_dead) {
    base_str before = {0}, after = {0};
    ir_print_func(f, &before);

    /* f stays the function everybody points to; its contents move to `from`. */
    ir_func from = *f;
    *f = (ir_func){.module = from.module,
                   .name = from.name,
                   .arena_bytes = from.arena_bytes,
                   .scratch_bytes = from.scratch_bytes};
    ir_rewrite rw = {.from = &from, .to = f, .uses = ir_use_counts(&from), .user = user};
    rw.map = base_alloc(from.nodes.count * sizeof *rw.map);
    for (size_t i = 0; i < from.nodes.count; i++) rw.map[i] = IR_NONE;

    /* Inputs first, so that their order survives whatever the rule does. */
    for (size_t i = 0; i < from.inputs.count; i++) rewrite_node(&rw, rule, from.inputs.items[i]);
    for (uint32_t i = 0; i < from.nodes.count; i++)
        if (from.nodes.items[i].op != IR_OP_input) rewrite_node(&rw, rule, (ir_ref){i});
    for (size_t i = 0; i < from.outputs.count; i++)
        BASE_PUSH(&f->outputs, ((ir_output){.name = from.outputs.items[i].name,
                                            .value = rw.map[from.outputs.items[i].value.id]}));
    if (drop_dead) ir_func_sweep(f);

    base_free(rw.uses);
    base_free(rw.map);
    ir_func_clear(&from);
    ir_print_func(f, &after);
    bool changed = before.len != after.len || memcmp(before.data, after.data, after.len) != 0;
    base_str_free(&before);
    base_str_free(&after);
    return changed;
}
