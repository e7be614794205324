/* Offsets in the packed weights, found by the text of the expression that computes a value:
 * "pack_conv_weight(@3):f32[20,20,3,3,16,16]". Weights stand there by their index in the module's
 * table. */
#include "base/number.h"
#include "passes/memory/plan.h"

#include <string.h>

static void add_ints(base_str *out, const int64_t *v, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) base_str_addf(out, "%s%lld", i ? "," : "", (long long)v[i]);
}

static void add_attr(base_str *out, const ir_attr_info *a, const void *attrs) {
    const void *p = (const char *)attrs + a->offset;
    base_str_addf(out, ";%s=", a->name);
    switch (a->kind) {
    case IR_ATTR_i64: add_ints(out, p, 1); break;
    case IR_ATTR_f64: base_print_f64(*(const double *)p, out); break;
    case IR_ATTR_flag: base_str_add(out, *(const bool *)p ? "1" : "0"); break;
    case IR_ATTR_i2: add_ints(out, ((const ir_i2 *)p)->v, 2); break;
    case IR_ATTR_i4: add_ints(out, ((const ir_i4 *)p)->v, 4); break;
    case IR_ATTR_dims: add_ints(out, ((const ir_dims *)p)->v, ((const ir_dims *)p)->n); break;
    case IR_ATTR_str: base_str_add(out, *(const char *const *)p); break;
    case IR_ATTR_act: base_str_add(out, ir_act_name[*(const ir_act *)p]); break;
    case IR_ATTR_freq: base_str_add(out, ir_freq_name[*(const ir_freq *)p]); break;
    case IR_ATTR_precision: base_str_add(out, ir_precision_name[*(const ir_precision *)p]); break;
    }
}

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
    for (uint32_t i = 0; i < info->attr_count; i++) add_attr(out, &info->attrs[i], n->attrs);
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
