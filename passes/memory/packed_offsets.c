/* Offsets in the packed weights, found by the text of the expression that computes a value:
 * "pack_conv_weight(@3):f32[20,20,3,3,16,16]". Weights stand there by their index in the module's
 * table. */
#include "passes/memory/plan.h"

#include <string.h>

static void add_key(base_str *out, const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    if (n->op == IR_OP_weight) {
        base_str_addf(out, "@%lld", (long long)IR_ATTRS(n, weight)->index);
        return;
    }
    const ir_op_info *info = ir_op_get(n->op);
    base_str_addf(out, "%s(", info->name);
    for (uint32_t i = 0; i < n->operand_count; i++) {
        if (i) base_str_add(out, ",");
        if (ir_ref_ok(n->operand[i])) add_key(out, f, n->operand[i]);
    }
    for (uint32_t i = 0; i < info->attr_count; i++) {
        base_str_addf(out, ";%s=", info->attrs[i].name);
        ir_print_attr(n, i, out);
    }
    base_str_add(out, "):");
    ir_print_type(&n->type, out);
}

uint64_t pass_weight_offset(pass_context *c, const ir_func *f, ir_ref r) {
    pass_memory_plan *plan = &c->memory;
    base_str key = {0};
    add_key(&key, f, r);
    for (size_t i = 0; i < plan->weights.count; i++)
        if (!strcmp(plan->weights.items[i].key, key.data)) {
            base_str_free(&key);
            return plan->weights.items[i].offset;
        }
    pass_packed_offset w = {.key = base_arena_strdup(c->arena, key.data),
                            .offset = plan->weights_bytes,
                            .bytes = ir_type_bytes(ir_typeof(f, r))};
    base_str_free(&key);
    BASE_PUSH(&plan->weights, w);
    plan->weights_bytes += (w.bytes + IR_ARENA_ALIGN - 1) / IR_ARENA_ALIGN * IR_ARENA_ALIGN;
    return w.offset;
}
