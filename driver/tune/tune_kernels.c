/* The kernels of a lowered module, each key once. */
#include "driver/tune/tune.h"

#include <stdlib.h>
#include <string.h>

tune_kernel *tune_find(const tune_kernels *all, const char *kernel, const char *key) {
    for (size_t i = 0; i < all->count; i++) {
        tune_kernel *k = &all->items[i];
        if (!strcmp(k->kernel->name, kernel) && !strcmp(k->key, key)) return k;
    }
    return NULL;
}

void tune_kernels_free(tune_kernels *all) {
    for (size_t i = 0; i < all->count; i++) {
        base_free(all->items[i].key);
        base_free(all->items[i].shape);
    }
    base_free(all->items);
    *all = (tune_kernels){0};
}

double tune_runs_of(const ir_func *f) {
    size_t n = strlen(f->name);
    return n > 5 && !strcmp(f->name + n - 5, ".step") ? TUNE_STEPS : 1;
}

static char *shape_of(const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    ir_type t = n->type;
    t.layout = IR_PLAIN;
    base_str s = {0};
    base_str_addf(&s, "%s ", ir_op_get(n->op)->name);
    if (n->op == IR_OP_conv2d_winograd)
        base_str_addf(&s, "F(%d) ", (int)IR_ATTRS(n, winograd)->tile);
    ir_print_type(ir_typeof(f, n->operand[0]), &s);
    s.len = strcspn(s.data, ":") < s.len ? strcspn(s.data, ":") : s.len; /* without the layout */
    base_str_addn(&s, " -> ", 4);
    ir_print_type(&t, &s);
    return s.data;
}

static void take_operands(tune_kernel *k, const ir_func *f, ir_ref r, const bool *constant) {
    const ir_node *n = ir_get(f, r);
    const cg_operands slots = cg_operand_slots(f, n);
    k->buf_count = slots.count;
    for (uint32_t i = 0; i < slots.count; i++) {
        if (slots.slot[i] == CG_SLOT_NONE) continue;
        const bool result = slots.slot[i] == CG_SLOT_RESULT;
        const ir_ref operand = result ? r : n->operand[slots.slot[i]];
        k->bytes[i] = ir_type_bytes(ir_typeof(f, operand));
        k->is_weight[i] = !result && constant[operand.id];
    }
}

void tune_collect(tune_kernels *all, const ir_module *m, bool counted, bool tuned) {
    for (size_t i = 0; i < m->funcs.count; i++) {
        const ir_func *f = m->funcs.items[i];
        bool *constant = ir_constants(f);
        for (uint32_t id = 0; id < f->nodes.count; id++) {
            const ir_node *n = &f->nodes.items[id];
            if (!n->binding || !cg_has_tiles(n->binding->kernel)) continue;
            tune_kernel k = {.kernel = cg_kernel_find(n->binding->kernel),
                             .overwrite = cg_is_overwriting(n)};
            base_str key = {0};
            cg_kernel_key(n->binding, k.overwrite, &key);
            tune_kernel *known = tune_find(all, n->binding->kernel, key.data);
            if (!known) {
                k.kernel->read(n->binding->params, &k.rules);
                k.best = k.rules;
                k.key = key.data;
                k.shape = shape_of(f, (ir_ref){id});
                k.flops = ir_node_cost(f, (ir_ref){id}).flops;
                take_operands(&k, f, (ir_ref){id}, constant);
                BASE_PUSH(all, k);
                known = &all->items[all->count - 1];
            } else {
                base_str_free(&key);
            }
            if (counted) *(tuned ? &known->tuned_calls : &known->calls) += tune_runs_of(f);
        }
        base_free(constant);
    }
}
