/* Attention over packed keys and values, and the plain matmul and softmax for what no pass has claimed. */
#include "codegen/bind.h"

static bool pack(cg_bind *b, struct ebru_attn_pack_k_params *p) {
    const ir_type *x = cg_in(b, 0);
    if (!cg_want_c16(b, 0)) return false;
    if (x->rank != 3) return cg_refuse(b, "x is not tokens");
    int32_t heads = (int32_t)IR_ATTRS(b->node, heads)->heads;
    *p = (struct ebru_attn_pack_k_params){(int32_t)x->dim[0],         (int32_t)x->dim[1], heads,
                                          (int32_t)x->dim[2] / heads, (int32_t)x->dim[2], 0};
    return true;
}

bool cg_bind_pack_k(cg_bind *b) {
    struct ebru_attn_pack_k_params p = {0};
    if (!pack(b, &p)) return false;
    return cg_done_attn_pack_k(b, &p);
}

bool cg_bind_pack_v(cg_bind *b) {
    struct ebru_attn_pack_k_params k = {0};
    if (!pack(b, &k)) return false;
    struct ebru_attn_pack_v_params p = {k.B, k.S, k.heads, k.d, k.C, k.off};
    return cg_done_attn_pack_v(b, &p);
}

bool cg_bind_attention_tiled(cg_bind *b) {
    const struct ir_attrs_attention_tiled *a = IR_ATTRS(b->node, attention_tiled);
    const ir_type *q = cg_in(b, 0), *k = cg_in(b, 1), *v = cg_in(b, 2);
    if (!cg_want_c16(b, 0) || !cg_want_c16(b, UINT32_MAX)) return false;
    if (q->rank != 3 || k->rank != 4 || v->rank != 5) return cg_refuse(b, "keys and values are not packed");
    struct ebru_attention_params p = {0};
    p.B = (int32_t)q->dim[0];
    p.T = (int32_t)q->dim[1];
    p.Bk = (int32_t)k->dim[0];
    p.S = (int32_t)a->kv_len;
    p.heads = (int32_t)a->heads;
    p.C = (int32_t)q->dim[2];
    p.d = p.C / p.heads;
    p.causal = a->causal;
    p.scale = (float)a->scale;
    if (k->dim[1] != p.heads || k->dim[2] != p.S || k->dim[3] != p.d || v->dim[0] != p.Bk ||
        v->dim[1] != p.heads || v->dim[2] != ebru_blocks16(p.S) || v->dim[3] != p.d)
        return cg_refuse(b, "keys and values are packed for another shape");
    ebru_attention_default_tiles(&p, b->target->isa, (int64_t)b->target->base.l1d,
                                 (int64_t)b->target->base.l2);
    if (a->q_block > 0) p.QB = ebru_min_i32((int32_t)ir_round_block(a->q_block), ebru_blocks16(p.T) * 16);
    if (a->kv_block > 0) p.KB = ebru_min_i32((int32_t)ir_round_block(a->kv_block), ebru_blocks16(p.S) * 16);
    return cg_done_attention(b, &p);
}

/* Elements from one matrix of a stack to the next: 0 when there is only one matrix. */
static bool matrix_stride(const ir_type *t, int64_t batch, int32_t *stride) {
    int64_t matrices = ir_type_elements(t) / (t->dim[t->rank - 1] * t->dim[t->rank - 2]);
    *stride = matrices == 1 ? 0 : (int32_t)(t->dim[t->rank - 1] * t->dim[t->rank - 2]);
    return matrices == 1 || matrices == batch;
}

bool cg_bind_matmul(cg_bind *b) {
    const struct ir_attrs_matmul *a = IR_ATTRS(b->node, matmul);
    const ir_type *x = cg_in(b, 0), *y = cg_in(b, 1), *z = &b->node->type;
    if (!cg_want_plain(b, 0) || !cg_want_plain(b, 1) || !cg_want_plain(b, UINT32_MAX)) return false;
    if (x->rank < 2 || y->rank < 2) return cg_refuse(b, "operands are not matrices");
    struct ebru_matmul_params p = {0};
    p.M = (int32_t)z->dim[z->rank - 2];
    p.N = (int32_t)z->dim[z->rank - 1];
    p.K = (int32_t)x->dim[x->rank - 1];
    p.batch = (int32_t)(ir_type_elements(z) / ((int64_t)p.M * p.N));
    p.trans_b = a->transpose_b;
    p.scale = (float)a->scale;
    if (!matrix_stride(x, p.batch, &p.sa) || !matrix_stride(y, p.batch, &p.sb))
        return cg_refuse(b, "one operand repeats along part of the batch");
    return cg_done_matmul(b, &p);
}

bool cg_bind_softmax(cg_bind *b) {
    const ir_type *x = cg_in(b, 0);
    if (!cg_want_plain(b, 0) || !cg_want_plain(b, UINT32_MAX)) return false;
    int64_t n = x->dim[x->rank - 1];
    struct ebru_softmax_params p = {(int32_t)(ir_type_elements(x) / n), (int32_t)n,
                                    IR_ATTRS(b->node, softmax)->causal,
                                    x->rank > 1 ? (int32_t)x->dim[x->rank - 2] : 1};
    return cg_done_softmax(b, &p);
}
