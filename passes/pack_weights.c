/* pack_weights: weights are read in the order in which kernels want them.
 *
 *   before   %2 = conv2d %1, @w, @b {pad=[1,1,1,1]} : f32[1,64,8,8]:c16
 *   after    %2 = pack_conv_weight @w : f32[4,1,3,3,16,16]
 *            %3 = pack_vector @b : f32[64]
 *            %4 = conv2d %1, %2, %3 {pad=[1,1,1,1], n=64} : f32[1,64,8,8]:c16
 *
 * The rows of ops.def say which operands are filters, vectors and tables. Packing depends on
 * weights only: the compiler does it once, and programs map the result. Two users of a weight share
 * one packed copy (nodes are interned).
 *
 * here    after lay_out, which says what runs in c16; before the passes that pack filters otherwise
 *         (lower_precision, choose_winograd, upsample_phases) or weigh by packed sizes
 * not     choosing another order than the default one
 * tests   tests/lit/passes/pack_weights/, tests/unit/passes/pipeline_variations_test.c */
#include "passes/manager/match.h"

static ir_op packing_of(ir_role role) {
    if (role == IR_ROLE_FILTER) return IR_OP_pack_conv_weight;
    return role == IR_ROLE_TABLE ? IR_OP_pack_table : IR_OP_pack_vector;
}

/* Packs operand k of the draft. A packed filter or table is padded: how much of it counts goes to
 * the attribute n. */
static void pack(ir_rewrite *rw, ir_node *draft, uint32_t k) {
    ir_ref w = draft->operand[k];
    ir_role role = ir_op_get(draft->op)->operand_role[k];
    const ir_type t = *ir_typeof(rw->to, w);
    if (role != IR_ROLE_VECTOR) {
        int64_t *n = ir_edit_attr(rw->to->module, draft, "n", IR_ATTR_i64);
        *n = t.dim[role == IR_ROLE_FILTER ? 0 : 1];
    }
    ir_set_operand(draft, k, ir_op1(rw->to, packing_of(role), w, NULL, ir_get(rw->to, w)->origin));
}

typedef struct state {
    pass_context *c;
    bool *constant; /* of the old nodes: they depend on weights only */
} state;

/* What is packed is packed by the compiler. */
static bool made_of_weights(const state *s, const ir_rewrite *rw, ir_ref old, uint32_t k) {
    const ir_node *n = ir_get(rw->from, old);
    if (s->constant[n->operand[k].id]) return true;
    pass_error(s->c, rw->from, old, "operand '%s' depends on an input; it must be made of weights",
               ir_op_get(n->op)->operand_name[k]);
    return false;
}

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    const state *s = rw->user;
    if (s->constant[old.id]) return IR_NONE;
    ir_node draft = rw_draft(rw, old);
    bool any = false;
    for (uint32_t k = 0; k < draft.operand_count; k++) {
        if (!ir_ref_ok(draft.operand[k]) || !ir_op_packs(draft.op, k) ||
            pass_is_packed(rw->to, draft.operand[k]))
            continue;
        if (!made_of_weights(s, rw, old, k)) continue;
        pack(rw, &draft, k);
        any = true;
    }
    return any ? rw_build(rw, &draft) : IR_NONE;
}

bool pass_pack_weights(pass_context *c, ir_func *f) {
    state s = {c, ir_constants(f)};
    bool changed = ir_rewrite_apply(f, rule, &s, true);
    base_free(s.constant);
    return changed;
}
