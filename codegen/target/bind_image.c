/* Resizing, pooling and embeddings. */
#include "codegen/target/bind.h"

bool cg_bind_resize_nearest(cg_bind *b) {
    const ir_type *x = cg_in(b, IR_IN(resize_nearest, x)), *y = &b->node->type;
    if (!cg_want_c16(b, IR_IN(resize_nearest, x)) || !cg_want_c16(b, UINT32_MAX)) return false;
    struct ebru_resize_nearest_params p = {(int32_t)x->dim[0], (int32_t)x->dim[1],
                                           (int32_t)x->dim[2], (int32_t)x->dim[3],
                                           (int32_t)y->dim[2], (int32_t)y->dim[3]};
    return cg_done_resize_nearest(b, &p);
}

static bool pool(cg_bind *b, struct ebru_max_pool2d_params *p) {
    const struct ir_attrs_pool *a = IR_ATTRS(b->node, pool);
    const ir_type *x = cg_in(b, IR_IN(max_pool2d, x)), *y = &b->node->type;
    if (!cg_want_c16(b, IR_IN(max_pool2d, x)) || !cg_want_c16(b, UINT32_MAX)) return false;
    *p = (struct ebru_max_pool2d_params){
        (int32_t)x->dim[0],      (int32_t)x->dim[1],      (int32_t)x->dim[2],
        (int32_t)x->dim[3],      (int32_t)a->kernel.v[0], (int32_t)a->kernel.v[1],
        (int32_t)a->stride.v[0], (int32_t)a->stride.v[1], (int32_t)a->pad.v[0],
        (int32_t)a->pad.v[1],    (int32_t)y->dim[2],      (int32_t)y->dim[3]};
    return true;
}

bool cg_bind_max_pool2d(cg_bind *b) {
    struct ebru_max_pool2d_params p = {0};
    if (!pool(b, &p)) return false;
    return cg_done_max_pool2d(b, &p);
}

bool cg_bind_avg_pool2d(cg_bind *b) {
    struct ebru_max_pool2d_params m = {0};
    if (!pool(b, &m)) return false;
    struct ebru_avg_pool2d_params p = {m.B,  m.C,  m.H,  m.W,  m.KH, m.KW,
                                       m.SH, m.SW, m.PT, m.PL, m.OH, m.OW};
    return cg_done_avg_pool2d(b, &p);
}

bool cg_bind_embedding(cg_bind *b) {
    const ir_type *ids = cg_in(b, IR_IN(embedding, ids)),
                  *table = cg_in(b, IR_IN(embedding, table)),
                  *position = cg_in(b, IR_IN(embedding, position)), *y = &b->node->type;
    if (!cg_want_c16(b, UINT32_MAX)) return false;
    if (ids->dtype != IR_i32) return cg_refuse(b, "ids are %s, not i32", ir_dtype_name[ids->dtype]);
    cg_bcp s = cg_bcp_of(y);
    struct ebru_embedding_params p = {s.b, s.p, s.c, (int32_t)table->dim[0]};
    int64_t row = ebru_blocks16(p.C) * 16;
    if (table->dtype != IR_f32 || table->layout != IR_PLAIN || table->dim[1] != row)
        return cg_refuse(b, "the table is not packed");
    if (position &&
        (position->dtype != IR_f32 || position->dim[1] != row || position->dim[0] < p.T))
        return cg_refuse(b, "the position table is not packed");
    return cg_done_embedding(b, &p);
}

bool cg_bind_select_row(cg_bind *b) {
    const ir_type *x = cg_in(b, IR_IN(select_row, x)), *ids = cg_in(b, IR_IN(select_row, ids));
    if (!cg_want_c16(b, IR_IN(select_row, x)) || !cg_want_c16(b, UINT32_MAX)) return false;
    if (ids->dtype != IR_i32) return cg_refuse(b, "ids are %s, not i32", ir_dtype_name[ids->dtype]);
    struct ebru_select_row_params p = {(int32_t)x->dim[0], (int32_t)x->dim[1], (int32_t)x->dim[2],
                                       (int32_t)IR_ATTRS(b->node, select_row)->id};
    return cg_done_select_row(b, &p);
}

bool cg_bind_nearest(cg_bind *b) {
    const ir_type *x = cg_in(b, IR_IN(nearest, x)), *table = cg_in(b, IR_IN(nearest, table));
    if (!cg_want_c16(b, IR_IN(nearest, x))) return false;
    if (b->node->type.layout != IR_PLAIN) return cg_refuse(b, "result must be plain");
    struct ebru_nearest_params p = {(int32_t)x->dim[0], (int32_t)x->dim[1], (int32_t)x->dim[2],
                                    (int32_t)table->dim[0]};
    if (table->dtype != IR_f32 || table->layout != IR_PLAIN ||
        table->dim[1] != ebru_blocks16(p.C) * 16)
        return cg_refuse(b, "the table is not packed");
    return cg_done_nearest(b, &p);
}

bool cg_bind_timestep_embedding(cg_bind *b) {
    const struct ir_attrs_timestep *a = IR_ATTRS(b->node, timestep);
    if (!cg_want_plain(b, IR_IN(timestep_embedding, t)) || !cg_want_c16(b, UINT32_MAX))
        return false;
    const ir_type *y = &b->node->type;
    struct ebru_timestep_embedding_params p = {0};
    p.B = (int32_t)y->dim[0];
    p.dim = (int32_t)y->dim[1];
    p.TN = (int32_t)ir_type_elements(cg_in(b, IR_IN(timestep_embedding, t)));
    p.flip = a->flip;
    p.shift = (float)a->shift;
    p.max_period = (float)a->max_period;
    p.scale = (float)a->scale;
    return cg_done_timestep_embedding(b, &p);
}
