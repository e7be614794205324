/* Networks taken apart.
 *
 *   from     func @unet.step(...) { ... %41 = conv2d %40, pack_conv_weight @w, @bias ... }
 *   to       func @unet.step.41(%0 v40: f32[1,320,64,64]:c16 step) {
 *              %2 = conv2d %0, pack_conv_weight @w, @bias ...
 *              return y = %2
 *            }
 *
 * It is done with packed weights, before the passes that choose precisions and forms: these then
 * lower each op by itself, by the same rules as in the whole network. */
#include "driver/quantize/op_functions.h"

#include <string.h>

const char *quant_op_name(base_arena *arena, const ir_func *f, uint32_t node) {
    return base_arena_printf(arena, "%s.%u", f->name, node);
}

bool quant_is_op(const ir_func *f, const bool *constant, uint32_t node) {
    const ir_node *n = &f->nodes.items[node];
    return !constant[node] && n->op != IR_OP_input && !ir_is_view(f, (ir_ref){node});
}

bool quant_has_filter(const ir_node *n, ir_ref *w) {
    _Static_assert(IR_IN(conv2d, w) == IR_IN(linear, w), "filters alike");
    if (n->op != IR_OP_conv2d && n->op != IR_OP_linear) return false;
    *w = n->operand[IR_IN(conv2d, w)];
    return true;
}

typedef struct copying {
    const ir_func *from;
    ir_func *to;
    const bool *constant;
    const ir_freq *freq;
    ir_ref *map; /* nodes of `from` that are in `to` already */
    BASE_VEC(uint32_t) mapped;
} copying;

static ir_ref copy(copying *x, ir_ref r, bool whole) {
    if (!ir_ref_ok(r)) return IR_NONE;
    if (ir_ref_ok(x->map[r.id])) return x->map[r.id];
    const ir_node *n = ir_get(x->from, r);
    ir_ref to;
    if (n->op == IR_OP_weight) {
        to = ir_weight_ref(x->to, (uint32_t)IR_ATTRS(n, weight)->index, n->origin);
    } else if (!whole && !x->constant[r.id]) {
        const char *name = base_arena_printf(x->to->module->arena, "v%u", r.id);
        to = ir_input(x->to, name, &n->type, x->freq[r.id], n->origin);
    } else {
        ir_ref operand[IR_MAX_OPERANDS];
        for (uint32_t i = 0; i < n->operand_count; i++) operand[i] = copy(x, n->operand[i], false);
        to = ir_build(x->to, n->op, operand, n->operand_count, n->attrs, n->type.layout, n->origin);
    }
    x->map[r.id] = to;
    BASE_PUSH(&x->mapped, r.id);
    return to;
}

void quant_add_op_functions(const ir_func *f) {
    bool *constant = ir_constants(f);
    ir_freq *freq = ir_frequencies(f);
    copying x = {.from = f, .constant = constant, .freq = freq};
    x.map = base_alloc((f->nodes.count + 1) * sizeof *x.map);
    for (uint32_t i = 0; i < f->nodes.count; i++) x.map[i] = IR_NONE;
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        if (!quant_is_op(f, constant, i)) continue;
        x.to = ir_func_new(f->module, quant_op_name(f->module->arena, f, i));
        ir_set_output(x.to, "y", copy(&x, (ir_ref){i}, true));
        for (size_t k = 0; k < x.mapped.count; k++) x.map[x.mapped.items[k]] = IR_NONE;
        x.mapped.count = 0;
    }
    base_free(x.map);
    base_free(x.mapped.items);
    base_free(constant);
    base_free(freq);
}
