/* A .schedule function for several steps at once: the timestep input gets rows, and so does
 * everything that depends on it. One GEMM over all steps reads the weights of the time MLP and the
 * time projections once. */
#include "passes/manager/match.h"
#include "passes/stages/stage_splitter.h"

static bool depends(const ir_node *n, const bool *rows) {
    for (uint32_t k = 0; k < n->operand_count; k++)
        if (ir_ref_ok(n->operand[k]) && rows[n->operand[k].id]) return true;
    return false;
}

/* Builds node n with its new operands if its result only gets more rows; IR_NONE when not. An
 * operand with rows must have the result's rank: broadcasting would take its rows for another axis.
 */
static ir_ref widen_node(ir_func *to, const ir_node *n, const ir_ref *map, const bool *rows) {
    ir_ref operand[IR_MAX_OPERANDS];
    bool broadcasts = ir_op_get(n->op)->flags & IR_FLAG_EW;
    for (uint32_t k = 0; k < n->operand_count; k++) {
        operand[k] = ir_ref_ok(n->operand[k]) ? map[n->operand[k].id] : IR_NONE;
        if (broadcasts && ir_ref_ok(operand[k]) && rows[n->operand[k].id] &&
            ir_typeof(to, operand[k])->rank != n->type.rank)
            return IR_NONE;
    }
    ir_type want = n->type, got;
    if (!(ir_op_get(n->op)->flags & (IR_FLAG_ROWS | IR_FLAG_VIEW)) || n->op == IR_OP_transpose)
        return IR_NONE;
    if (want.rank == 0 || want.dim[0] != 1) return IR_NONE;
    want.dim[0] = PASS_SCHEDULE_ROWS;
    want.layout = IR_PLAIN;
    const void *attrs = n->attrs;
    struct ir_attrs_shape shape;
    if (n->op == IR_OP_reshape || n->op == IR_OP_view) {
        shape = *IR_ATTRS(n, shape);
        shape.shape.v[0] = PASS_SCHEDULE_ROWS;
        attrs = &shape;
    }
    base_str faults = {0};
    bool fits = ir_infer(to, n->op, operand, n->operand_count, attrs, &got, &faults) &&
                ir_type_equal(&got, &want);
    base_str_free(&faults);
    return fits ? ir_build(to, n->op, operand, n->operand_count, attrs, n->type.layout, n->origin)
                : IR_NONE;
}

static bool widen(ir_func *to, const ir_func *f, ir_ref *map, bool *rows) {
    for (size_t i = 0; i < f->inputs.count; i++) {
        uint32_t id = f->inputs.items[i].id;
        const ir_node *n = &f->nodes.items[id];
        const struct ir_attrs_input *a = IR_ATTRS(n, input);
        ir_type t = n->type;
        if (a->freq == IR_SCHEDULE) {
            if (t.rank == 0 || t.dim[0] != 1) return false;
            t.dim[0] = PASS_SCHEDULE_ROWS;
            rows[id] = true;
        }
        map[id] = ir_input_like(to, n, &t);
    }
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        if (n->op == IR_OP_input) continue;
        if (n->op == IR_OP_weight) {
            map[i] = ir_weight_ref(to, (uint32_t)IR_ATTRS(n, weight)->index, n->origin);
        } else if (depends(n, rows)) {
            rows[i] = true;
            map[i] = widen_node(to, n, map, rows);
            if (!ir_ref_ok(map[i])) return false;
        } else {
            ir_ref operand[IR_MAX_OPERANDS];
            for (uint32_t k = 0; k < n->operand_count; k++)
                operand[k] = ir_ref_ok(n->operand[k]) ? map[n->operand[k].id] : IR_NONE;
            map[i] =
                ir_build(to, n->op, operand, n->operand_count, n->attrs, n->type.layout, n->origin);
        }
    }
    for (size_t i = 0; i < f->outputs.count; i++) {
        if (!rows[f->outputs.items[i].value.id]) return false;
        ir_set_output(to, f->outputs.items[i].name, map[f->outputs.items[i].value.id]);
    }
    return true;
}

bool pass_widen_rows(ir_func *f) {
    ir_func *wide = ir_func_detached(f->module, f->name);
    ir_ref *map = base_alloc(f->nodes.count * sizeof *map + 1);
    bool *rows = base_alloc(f->nodes.count + 1);
    bool fits = widen(wide, f, map, rows);
    base_free(rows);
    base_free(map);
    if (fits)
        ir_func_take(f, wide);
    else
        ir_func_clear(wide);
    return fits;
}
