/* Normalisations and geglu. */
#include "codegen/target/bind.h"

static bool padded(cg_bind *b, uint32_t operand, int32_t c) {
    const ir_type *t = cg_in(b, operand);
    if (!t || (t->dtype == IR_f32 && ir_type_bytes(t) == (uint64_t)ebru_blocks16(c) * 64))
        return true;
    return cg_refuse(b, "%s is not padded to whole blocks of channels",
                     ir_op_get(b->node->op)->operand_name[operand]);
}

bool cg_bind_group_stats(cg_bind *b) {
    const struct ir_attrs_stats *a = IR_ATTRS(b->node, stats);
    const ir_type *x1 = cg_in(b, IR_IN(group_stats, x1));
    if (!cg_want_c16(b, IR_IN(group_stats, x)) || (x1 && !cg_want_c16(b, IR_IN(group_stats, x1))))
        return false;
    if (cg_in(b, IR_IN(group_stats, x))->rank != 4 && cg_in(b, IR_IN(group_stats, x))->rank != 2)
        return cg_refuse(b, "x is not an image");
    cg_bcp x = cg_bcp_of(cg_in(b, IR_IN(group_stats, x)));
    struct ebru_group_stats_params p = {
        x.b, x.p, x.c, x1 ? cg_bcp_of(x1).c : 0, (int32_t)a->groups, (float)a->eps};
    if (!padded(b, IR_IN(group_stats, gamma), p.C0 + p.C1) ||
        !padded(b, IR_IN(group_stats, beta), p.C0 + p.C1))
        return false;
    return cg_done_group_stats(b, &p);
}

bool cg_bind_norm_apply(cg_bind *b) {
    if (!cg_want_c16(b, IR_IN(norm_apply, x)) || !cg_want_c16(b, UINT32_MAX)) return false;
    cg_bcp x = cg_bcp_of(cg_in(b, IR_IN(norm_apply, x)));
    struct ebru_norm_apply_params p = {x.b, x.p, x.c, 0, cg_act(IR_ATTRS(b->node, act)->act)};
    if (ir_type_bytes(cg_in(b, IR_IN(norm_apply, stats))) !=
        (uint64_t)x.b * 2 * (uint64_t)ebru_blocks16(x.c) * 64)
        return cg_refuse(b, "stats have another number of channels");
    return cg_done_norm_apply(b, &p);
}

bool cg_bind_layer_norm(cg_bind *b) {
    if (!cg_want_c16(b, IR_IN(layer_norm, x)) || !cg_want_c16(b, UINT32_MAX)) return false;
    if (cg_in(b, IR_IN(layer_norm, x))->rank > 3)
        return cg_refuse(b, "x is neither a vector nor tokens");
    cg_bcp x = cg_bcp_of(cg_in(b, IR_IN(layer_norm, x)));
    struct ebru_layer_norm_params p = {x.b, x.p, x.c, (float)IR_ATTRS(b->node, norm)->eps};
    if (!padded(b, IR_IN(layer_norm, gamma), p.C) || !padded(b, IR_IN(layer_norm, beta), p.C))
        return false;
    return cg_done_layer_norm(b, &p);
}

bool cg_bind_geglu(cg_bind *b) {
    if (!cg_want_c16(b, IR_IN(geglu, x)) || !cg_want_c16(b, UINT32_MAX)) return false;
    if (cg_in(b, IR_IN(geglu, x))->rank > 3)
        return cg_refuse(b, "x is neither a vector nor tokens");
    cg_bcp y = cg_bcp_of(&b->node->type);
    struct ebru_geglu_params p = {y.b, y.p, y.c};
    return cg_done_geglu(b, &p);
}
