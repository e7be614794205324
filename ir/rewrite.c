/* Building a changed copy of a function; see ir.h.
 *
 * Requirements on rules (the driver cannot check them): a rule keeps the value it replaces, looks
 * at operands and use counts only, and never makes the function cost more, so that applying it
 * again ends. */
#include <string.h>

#include "ir/build.h"
#include "ir/ir.h"

ir_node rw_draft(const ir_rewrite *rw, ir_ref old) {
    ir_node draft = *ir_get(rw->from, old);
    for (uint32_t i = 0; i < draft.operand_count; i++)
        draft.operand[i] = rw_new(rw, draft.operand[i]);
    return draft;
}

ir_ref rw_build(ir_rewrite *rw, const ir_node *draft) {
    return ir_build(rw->to, draft->op, draft->operand, draft->operand_count, draft->attrs,
                    draft->type.layout, draft->origin);
}

void ir_set_operand(ir_node *draft, uint32_t k, ir_ref value) {
    while (draft->operand_count <= k) draft->operand[draft->operand_count++] = IR_NONE;
    draft->operand[k] = value;
}

void *ir_edit_attr(ir_module *m, ir_node *draft, const char *name, ir_attr_kind kind) {
    const ir_op_info *info = ir_op_get(draft->op);
    for (uint32_t i = 0; i < info->attr_count; i++) {
        if (info->attrs[i].kind != kind || strcmp(info->attrs[i].name, name) != 0) continue;
        char *attrs = ir_attrs_copy(m->arena, draft->op, draft->attrs);
        draft->attrs = attrs;
        return attrs + info->attrs[i].offset;
    }
    ICE("op %s has no attribute '%s' of this kind", info->name, name);
}

ir_ref rw_clone(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old);
    ir_ref r;
    if (n->op == IR_OP_input) {
        r = ir_input_like(rw->to, n, &n->type);
    } else if (n->op == IR_OP_weight) {
        r = ir_weight_ref(rw->to, (uint32_t)IR_ATTRS(n, weight)->index, n->origin);
    } else {
        ir_node draft = rw_draft(rw, old);
        r = rw_build(rw, &draft);
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

/* ---- what changed ---- */

/* True when the operands print alike: weights by name, other values by number. */
static bool same_operand(const ir_func *a, const ir_func *b, const uint32_t *number[2], ir_ref x,
                         ir_ref y) {
    if (!ir_ref_ok(x) || !ir_ref_ok(y)) return ir_ref_ok(x) == ir_ref_ok(y);
    const ir_node *n = ir_get(a, x), *m = ir_get(b, y);
    if (n->op != IR_OP_weight || m->op != IR_OP_weight)
        return n->op != IR_OP_weight && m->op != IR_OP_weight && number[0][x.id] == number[1][y.id];
    return IR_ATTRS(n, weight)->index == IR_ATTRS(m, weight)->index;
}

static bool same_node(const ir_func *a, const ir_func *b, const uint32_t *number[2], ir_ref x,
                      ir_ref y) {
    const ir_node *n = ir_get(a, x), *m = ir_get(b, y);
    if (n->op != m->op || n->operand_count != m->operand_count ||
        (n->op != IR_OP_weight && n->origin != m->origin) || n->place.kind != m->place.kind ||
        n->place.offset != m->place.offset || !same_operand(a, b, number, x, y) ||
        !ir_type_equal(&n->type, &m->type) || !ir_attrs_equal(n->op, n->attrs, m->attrs) ||
        !ir_binding_equal(n->binding, m->binding))
        return false;
    for (uint32_t i = 0; i < n->operand_count; i++)
        if (!same_operand(a, b, number, n->operand[i], m->operand[i])) return false;
    return true;
}

/* Inputs stand in the head of a function, and weights without a place in the module's table. */
static bool has_line(const ir_node *n) {
    return n->op != IR_OP_input && (n->op != IR_OP_weight || n->place.kind != IR_UNPLACED);
}

static uint32_t next_line(const ir_func *f, uint32_t i) {
    while (i < f->nodes.count && !has_line(&f->nodes.items[i])) i++;
    return i;
}

/* True when two functions of one module print the same text. */
static bool same_function(const ir_func *a, const ir_func *b) {
    if (a->inputs.count != b->inputs.count || a->outputs.count != b->outputs.count) return false;
    uint32_t *x = ir_numbering(a), *y = ir_numbering(b);
    const uint32_t *number[2] = {x, y};
    bool same = true;
    for (size_t i = 0; same && i < a->inputs.count; i++)
        same = same_node(a, b, number, a->inputs.items[i], b->inputs.items[i]);
    uint32_t i = next_line(a, 0), k = next_line(b, 0);
    for (; same && i < a->nodes.count && k < b->nodes.count;
         i = next_line(a, i + 1), k = next_line(b, k + 1))
        same = same_node(a, b, number, (ir_ref){i}, (ir_ref){k});
    same = same && i == a->nodes.count && k == b->nodes.count;
    for (size_t o = 0; same && o < a->outputs.count; o++)
        same = !strcmp(a->outputs.items[o].name, b->outputs.items[o].name) &&
               same_operand(a, b, number, a->outputs.items[o].value, b->outputs.items[o].value);
    base_free(x);
    base_free(y);
    return same;
}

#ifdef EBRU_HOSTILE
/* The definition of "changed", which same_function() is a quicker way to. */
static bool same_text(const ir_func *a, const ir_func *b) {
    base_str x = {0}, y = {0};
    ir_print_func(a, &x);
    ir_print_func(b, &y);
    bool same = x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
    base_str_free(&x);
    base_str_free(&y);
    return same;
}
#endif

bool ir_rewrite_apply(ir_func *f, ir_rewrite_rule rule, void *user, bool drop_dead) {
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
    bool same = same_function(&from, f);
#ifdef EBRU_HOSTILE
    if (same != same_text(&from, f)) ICE("@%s: %s", f->name, same ? "changed" : "not changed");
#endif
    ir_func_clear(&from);
    return !same;
}
