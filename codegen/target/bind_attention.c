/* Attention over packed keys and values, and the plain matmul and softmax for what no pass has
 * claimed. */
#include "codegen/target/bind.h"
#include "codegen/target/default_tiles/default_tiles.h"

static bool pack(cg_bind *b, struct ebru_attn_pack_k_params *p) {
    const ir_type *x = cg_in(b, IR_IN(pack_k, k));
    if (!cg_want_c16(b, IR_IN(pack_k, k))) return false;
    if (x->rank != 3) return cg_refuse(b, "x is not tokens");
    int32_t heads = (int32_t)IR_ATTRS(b->node, heads)->heads;
    *p = (struct ebru_attn_pack_k_params){(int32_t)x->dim[0],         (int32_t)x->dim[1], heads,
                                          (int32_t)x->dim[2] / heads, (int32_t)x->dim[2], 0};
    return true;
}

/* Numbers that stand for one where products are in bf16; 0 where they are in f32. */
static int32_t parts_of(ir_precision p) {
    return p == IR_PRECISION_F32 ? 0 : (int32_t)ir_parts(p);
}

bool cg_bind_pack_k(cg_bind *b) {
    struct ebru_attn_pack_k_params p = {0};
    int32_t parts = parts_of(IR_ATTRS(b->node, heads)->precision);
    if (!pack(b, &p)) return false;
    struct ebru_attn_pack_k_bf16_params q = {p.B, p.S, p.heads, p.d, p.C, p.off, parts};
    return parts ? cg_done_attn_pack_k_bf16(b, &q) : cg_done_attn_pack_k(b, &p);
}

bool cg_bind_pack_v(cg_bind *b) {
    struct ebru_attn_pack_k_params k = {0};
    int32_t parts = parts_of(IR_ATTRS(b->node, heads)->precision);
    if (!pack(b, &k)) return false;
    struct ebru_attn_pack_v_params p = {k.B, k.S, k.heads, k.d, k.C, k.off};
    struct ebru_attn_pack_v_bf16_params q = {k.B, k.S, k.heads, k.d, k.C, k.off, parts};
    return parts ? cg_done_attn_pack_v_bf16(b, &q) : cg_done_attn_pack_v(b, &p);
}

/* Keys and values packed for these shapes. */
static bool check_packed(cg_bind *b, const struct ebru_attention_params *p, int32_t parts) {
    const ir_type *k = cg_in(b, IR_IN(attention_tiled, kp)),
                  *v = cg_in(b, IR_IN(attention_tiled, vp));
    ir_type keys, values;
    if (parts) {
        int64_t s16 = ir_round_block(p->S), d16 = ir_round_block(p->d);
        keys = ir_type_make(IR_bf16, 6,
                            (int64_t[]){p->Bk, p->heads, parts, ebru_blocks32(p->d), s16, 32});
        values = ir_type_make(IR_bf16, 6,
                              (int64_t[]){p->Bk, p->heads, parts, ebru_blocks32(p->S), d16, 32});
    } else {
        keys = ir_type_make(IR_f32, 4, (int64_t[]){p->Bk, p->heads, p->S, p->d});
        values =
            ir_type_make(IR_f32, 5, (int64_t[]){p->Bk, p->heads, ebru_blocks16(p->S), p->d, 16});
    }
    return (ir_type_equal(k, &keys) && ir_type_equal(v, &values)) ||
           cg_refuse(b, "keys and values are packed for another shape");
}

static bool done_bf16(cg_bind *b, const struct ebru_attention_params *p, int32_t parts) {
    struct ebru_attention_bf16_params q = {.parts = parts};
#define COPY_FIELD(type, name) q.name = p->name;
    EBRU_FIELDS_attention(COPY_FIELD);
#undef COPY_FIELD
    cg_default_tiles_attention_bf16(&q, b->target->isa, (int64_t)b->target->base.l2);
    return cg_done_attention_bf16(b, &q);
}

static bool done_attention(cg_bind *b, struct ebru_attention_params *p, int32_t parts) {
    if (parts) return done_bf16(b, p, parts);
    cg_default_tiles_attention(p, (int64_t)b->target->base.l2);
    return cg_done_attention(b, p);
}

/* Attention of these queries over S keys of Bk images. */
static struct ebru_attention_params queries(const ir_type *q, int64_t heads, int64_t Bk,
                                            int64_t S) {
    struct ebru_attention_params p = {0};
    p.B = (int32_t)q->dim[0];
    p.T = (int32_t)q->dim[1];
    p.Bk = (int32_t)Bk;
    p.S = (int32_t)S;
    p.heads = (int32_t)heads;
    p.C = (int32_t)q->dim[2];
    p.d = p.C / p.heads;
    return p;
}

bool cg_bind_attention_tiled(cg_bind *b) {
    const struct ir_attrs_attention_tiled *a = IR_ATTRS(b->node, attention_tiled);
    const ir_type *q = cg_in(b, IR_IN(attention_tiled, q));
    int32_t parts = parts_of(a->precision);
    if (!cg_want_c16(b, IR_IN(attention_tiled, q)) || !cg_want_c16(b, UINT32_MAX)) return false;
    if (q->rank != 3) return cg_refuse(b, "q is not tokens");
    struct ebru_attention_params p =
        queries(q, a->heads, cg_in(b, IR_IN(attention_tiled, kp))->dim[0], a->kv_len);
    p.causal = a->causal;
    p.scale = (float)a->scale;
    return check_packed(b, &p, parts) && done_attention(b, &p, parts);
}

bool cg_bind_as_attention(cg_bind *b, ir_precision precision) {
    const struct ir_attrs_attention *a = IR_ATTRS(b->node, attention);
    const ir_type *q = cg_in(b, IR_IN(attention, q)), *k = cg_in(b, IR_IN(attention, k));
    if (q->rank != 3) return false;
    struct ebru_attention_params p = queries(q, a->heads, k->dim[0], k->dim[1]);
    p.causal = a->causal;
    p.scale = (float)a->scale;
    return done_attention(b, &p, parts_of(precision));
}

/* Elements from one matrix of a stack to the next: 0 when there is only one matrix. */
static bool matrix_stride(const ir_type *t, int64_t batch, int32_t *stride) {
    int64_t matrices = ir_type_elements(t) / (t->dim[t->rank - 1] * t->dim[t->rank - 2]);
    *stride = matrices == 1 ? 0 : (int32_t)(t->dim[t->rank - 1] * t->dim[t->rank - 2]);
    return matrices == 1 || matrices == batch;
}

bool cg_bind_matmul(cg_bind *b) {
    const struct ir_attrs_matmul *a = IR_ATTRS(b->node, matmul);
    const ir_type *x = cg_in(b, IR_IN(matmul, a)), *y = cg_in(b, IR_IN(matmul, b)),
                  *z = &b->node->type;
    if (!cg_want_plain(b, IR_IN(matmul, a)) || !cg_want_plain(b, IR_IN(matmul, b)) ||
        !cg_want_plain(b, UINT32_MAX))
        return false;
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
    const ir_type *x = cg_in(b, IR_IN(softmax, x));
    if (!cg_want_plain(b, IR_IN(softmax, x)) || !cg_want_plain(b, UINT32_MAX)) return false;
    int64_t n = x->dim[x->rank - 1];
    struct ebru_softmax_params p = {(int32_t)(ir_type_elements(x) / n), (int32_t)n,
                                    IR_ATTRS(b->node, softmax)->causal,
                                    x->rank > 1 ? (int32_t)x->dim[x->rank - 2] : 1};
    return cg_done_softmax(b, &p);
}
