#include "ir/analysis/reduce.h"

#include <string.h>

static bool is_leaf(ir_op op) {
    return op == IR_OP_input || op == IR_OP_weight;
}

/* ---- cutting ---- */

static bool drop_fits(const ir_func *f, const ir_node *n, uint32_t operand) {
    ir_ref operands[IR_MAX_OPERANDS];
    uint32_t count = n->operand_count;
    ir_type t;
    base_str faults = {0};
    if (operand < ir_op_get(n->op)->min_operands || operand >= count ||
        !ir_ref_ok(n->operand[operand]))
        return false;
    memcpy(operands, n->operand, sizeof operands);
    operands[operand] = IR_NONE;
    while (count && !ir_ref_ok(operands[count - 1])) count--;
    bool fine = ir_infer(f, n->op, operands, count, n->attrs, &t, &faults) &&
                ir_shape_equal(&t, &n->type) && t.dtype == n->type.dtype;
    base_str_free(&faults);
    return fine;
}

static bool fits(const ir_func *f, uint32_t i, const ir_cut *cut) {
    const ir_node *n = &f->nodes.items[i];
    switch (cut->fate) {
    case IR_CUT_KEEP: return true;
    case IR_CUT_INPUT:
        return !is_leaf(n->op) && (n->type.dtype == IR_f32 || n->type.dtype == IR_i32);
    case IR_CUT_BYPASS:
        return cut->operand < n->operand_count && ir_ref_ok(n->operand[cut->operand]) &&
               ir_type_equal(ir_typeof(f, n->operand[cut->operand]), &n->type);
    case IR_CUT_DROP: return drop_fits(f, n, cut->operand);
    }
    return false;
}

struct cutting {
    const ir_cut *cuts;
    const ir_freq *freq;
};

static bool taken(const ir_func *f, const char *name) {
    for (size_t i = 0; i < f->inputs.count; i++)
        if (!strcmp(IR_ATTRS(ir_get(f, f->inputs.items[i]), input)->name, name)) return true;
    return false;
}

static ir_ref new_input(ir_func *f, const ir_node *n, ir_freq freq) {
    char name[32];
    uint32_t k = 0;
    do snprintf(name, sizeof name, "cut%u", k++);
    while (taken(f, name));
    return ir_input(f, base_arena_strdup(f->module->arena, name), &n->type, freq, n->origin);
}

static ir_ref cut_rule(ir_rewrite *rw, ir_ref old) {
    const struct cutting *c = rw->user;
    const ir_cut *cut = &c->cuts[old.id];
    const ir_node *n = ir_get(rw->from, old);
    if (cut->fate == IR_CUT_INPUT) return new_input(rw->to, n, c->freq[old.id]);
    if (cut->fate == IR_CUT_BYPASS) return rw_new(rw, n->operand[cut->operand]);
    if (cut->fate == IR_CUT_KEEP) return IR_NONE;
    ir_ref operand[IR_MAX_OPERANDS];
    for (uint32_t k = 0; k < n->operand_count; k++)
        operand[k] = k == cut->operand ? IR_NONE : rw_new(rw, n->operand[k]);
    return ir_build(rw->to, n->op, operand, n->operand_count, n->attrs, n->type.layout, n->origin);
}

bool ir_reduce(ir_func *f, const ir_cut *cuts) {
    bool any = false;
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        if (!fits(f, i, &cuts[i])) return false;
        any |= cuts[i].fate != IR_CUT_KEEP;
    }
    if (!any) return false;
    ir_freq *freq = ir_frequencies(f);
    struct cutting c = {cuts, freq};
    ir_rewrite_apply(f, cut_rule, &c, true);
    base_free(freq);
    return true;
}

void ir_reduce_output(ir_func *f, ir_ref value) {
    f->outputs.items[0].value = value;
    f->outputs.count = 1;
}

/* ---- extents ---- */

static bool replace(int64_t *v, uint32_t n, int64_t from, int64_t to) {
    bool any = false;
    for (uint32_t i = 0; i < n; i++)
        if (v[i] == from) {
            v[i] = to;
            any = true;
        }
    return any;
}

/* The node's attributes with other extents. */
static void *resized_attrs(ir_func *f, const ir_node *n, int64_t from, int64_t to) {
    const ir_op_info *op = ir_op_get(n->op);
    char *attrs = base_arena_alloc(f->module->arena, op->attr_size);
    memcpy(attrs, n->attrs, op->attr_size);
    for (uint32_t k = 0; k < op->attr_count; k++) {
        const ir_attr_info *a = &op->attrs[k];
        if (!strcmp(a->name, "shape")) {
            ir_dims d;
            memcpy(&d, attrs + a->offset, sizeof d);
            replace(d.v, d.n, from, to);
            memcpy(attrs + a->offset, &d, sizeof d);
        } else if (!strcmp(a->name, "size") || !strcmp(a->name, "upsample")) {
            ir_i2 s;
            memcpy(&s, attrs + a->offset, sizeof s);
            replace(s.v, 2, from, to);
            memcpy(attrs + a->offset, &s, sizeof s);
        }
    }
    return attrs;
}

/* Node i of f in `out`; IR_NONE when it does not fit. */
static ir_ref resized_node(const ir_func *f, uint32_t i, ir_func *out, const ir_ref *map,
                           int64_t from, int64_t to) {
    const ir_node *n = &f->nodes.items[i];
    ir_ref operand[IR_MAX_OPERANDS], r = IR_NONE;
    base_str faults = {0};
    ir_type t;
    if (n->op == IR_OP_weight)
        return ir_weight_ref(out, (uint32_t)IR_ATTRS(n, weight)->index, n->origin);
    for (uint32_t k = 0; k < n->operand_count; k++)
        operand[k] = ir_ref_ok(n->operand[k]) ? map[n->operand[k].id] : IR_NONE;
    void *attrs = resized_attrs(out, n, from, to);
    if (ir_infer(out, n->op, operand, n->operand_count, attrs, &t, &faults)) {
        t.layout = n->type.layout;
        if (ir_type_valid(&t, NULL))
            r = ir_build(out, n->op, operand, n->operand_count, attrs, n->type.layout, n->origin);
    }
    base_str_free(&faults);
    return r;
}

static bool resize_into(const ir_func *f, ir_func *out, ir_ref *map, int64_t from, int64_t to) {
    bool any = false;
    for (size_t i = 0; i < f->inputs.count; i++) {
        const ir_node *n = ir_get(f, f->inputs.items[i]);
        ir_type t = n->type;
        any |= replace(t.dim, t.rank, from, to);
        map[f->inputs.items[i].id] = ir_input_like(out, n, &t);
    }
    for (uint32_t i = 0; any && i < f->nodes.count; i++) {
        if (f->nodes.items[i].op == IR_OP_input) continue;
        map[i] = resized_node(f, i, out, map, from, to);
        if (!ir_ref_ok(map[i])) return false;
    }
    for (size_t i = 0; any && i < f->outputs.count; i++)
        ir_set_output(out, f->outputs.items[i].name, map[f->outputs.items[i].value.id]);
    return any;
}

bool ir_reduce_extent(ir_func *f, int64_t from, int64_t to) {
    ir_func *out = ir_func_detached(f->module, f->name);
    ir_ref *map = base_alloc((f->nodes.count + 1) * sizeof *map);
    bool fine = resize_into(f, out, map, from, to);
    if (fine)
        ir_func_take(f, out);
    else
        ir_func_clear(out);
    base_free(map);
    return fine;
}

/* ---- what nobody uses ---- */

static void drop_inputs(ir_func *f) {
    uint32_t *uses = ir_use_counts(f);
    size_t kept = 0;
    for (size_t i = 0; i < f->inputs.count; i++)
        if (uses[f->inputs.items[i].id]) f->inputs.items[kept++] = f->inputs.items[i];
    f->inputs.count = kept;
    base_free(uses);
    ir_func_sweep(f);
}

static void renumber_weights(ir_func *f, const uint32_t *to) {
    for (size_t i = 0; i < f->nodes.count; i++) {
        ir_node *n = &f->nodes.items[i];
        if (n->op != IR_OP_weight) continue;
        struct ir_attrs_weight *a = base_arena_alloc(f->module->arena, sizeof *a);
        *a = *IR_ATTRS(n, weight);
        a->index = to[a->index];
        n->attrs = a;
    }
}

void ir_drop_unused(ir_module *m) {
    uint32_t *to = base_alloc((m->weights.count + 1) * sizeof *to), kept = 0;
    for (size_t i = 0; i < m->funcs.count; i++) {
        ir_func *f = m->funcs.items[i];
        ir_func_sweep(f);
        drop_inputs(f);
        for (size_t k = 0; k < f->nodes.count; k++)
            if (f->nodes.items[k].op == IR_OP_weight)
                to[IR_ATTRS(&f->nodes.items[k], weight)->index] = 1;
    }
    for (size_t i = 0; i < m->weights.count; i++) {
        if (!to[i]) continue;
        m->weights.items[kept] = m->weights.items[i];
        to[i] = kept++;
    }
    m->weights.count = kept;
    for (size_t i = 0; i < m->funcs.count; i++) renumber_weights(m->funcs.items[i], to);
    base_free(to);
}

uint32_t ir_op_count(const ir_module *m) {
    uint32_t count = 0;
    for (size_t i = 0; i < m->funcs.count; i++)
        for (size_t k = 0; k < m->funcs.items[i]->nodes.count; k++)
            count += !is_leaf(m->funcs.items[i]->nodes.items[k].op);
    return count;
}
