/* select_kernels: every working node is bound to a row of the kernel table, with every parameter of
 * the call.
 *
 *   before   %4 = conv2d %1, %2, %3 {pad=[1,1,1,1], n=64} : f32[1,64,8,8]:c16
 *   after    %4 = conv2d %1, %2, %3 {pad=[1,1,1,1], n=64} : f32[1,64,8,8]:c16
 *                   kernel conv2d {B=1, H=8, W=8, ..., MR=6, NB=4} tasks=4 scratch=12800
 *
 * The target knows its kernels (ir/target.h); this pass asks it once a node and tells the user when
 * nothing fits. Leaves, views and what depends on weights only (evaluated when the weights are
 * packed) have no kernel. An output that is an input, a view of one, or the value of another output
 * gets a copy, because each output is a buffer of its own.
 *
 * here    when the IR says what is computed and how it lies; memory is planned for what the
 *         kernels need
 * not     choosing between kernels: there is one an op and layout; tiles come from the target's
 *         rules, or from its tuning records
 * tests   tests/lit/passes/select_kernels/, tests/unit/passes/pipeline_variations_test.c */
#include "passes/manager/match.h"

/* Outputs are buffers of their own. */
static void copy_outputs(pass_context *c, ir_func *f) {
    bool *constant = ir_constants(f);
    size_t known = f->nodes.count;
    for (size_t i = 0; i < f->outputs.count; i++) {
        ir_ref value = f->outputs.items[i].value, root = ir_view_root(f, value);
        if (value.id < known && constant[value.id])
            pass_error(c, f, value, "output '%s' does not depend on any input",
                       f->outputs.items[i].name);
        bool own = ir_get(f, root)->op != IR_OP_input;
        for (size_t k = 0; k < i && own; k++)
            own = !ir_ref_eq(root, ir_view_root(f, f->outputs.items[k].value));
        if (!own)
            f->outputs.items[i].value =
                ir_build(f, IR_OP_copy, &value, 1, NULL, ir_typeof(f, value)->layout,
                         ir_get(f, value)->origin);
    }
    base_free(constant);
}

bool pass_select_kernels(pass_context *c, ir_func *f) {
    if (!c->target) {
        pass_error(c, f, IR_NONE, "no target is given to select kernels for");
        return false;
    }
    copy_outputs(c, f);
    if (c->failed) return false;
    bool *constant = ir_constants(f);
    f->scratch_bytes = 0;
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        ir_node *n = &f->nodes.items[i];
        n->binding = NULL;
        if (constant[i] || n->op == IR_OP_input || ir_is_view(f, (ir_ref){i})) continue;
        base_str reason = {0};
        ir_binding *b = NULL;
        if (c->target->bind(c->target, f, (ir_ref){i}, &b, &reason)) {
            n->binding = b;
            if (b->scratch > f->scratch_bytes) f->scratch_bytes = b->scratch;
        } else {
            pass_error(c, f, (ir_ref){i}, "%s has no kernel for this node: %s", c->target->level,
                       reason.data ? reason.data : "");
        }
        base_str_free(&reason);
    }
    base_free(constant);
    return true;
}
