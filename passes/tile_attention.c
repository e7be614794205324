/* tile_attention: attention reads packed keys and values, tile by tile.
 *
 *   before   %4 = attention %1, %2, %3 {heads=8, scale=0.158} : f32[2,4096,320]:c16
 *   after    %4 = pack_k %2 {heads=8} : f32[2,8,4096,40]
 *            %5 = pack_v %3 {heads=8} : f32[2,8,256,40,16]
 *            %6 = attention_tiled %1, %4, %5 {heads=8, scale=0.158, kv_len=4096}
 *                   : f32[2,4096,320]:c16
 *
 * A tile is a block of queries scored against a block of keys. The running softmax (Milakov and
 * Gimelshein 2018; FlashAttention's forward pass) keeps one maximum and one sum a query, so no T x
 * S matrix exists.
 *
 * here    after lay_out (q, k, v are c16 tokens); before split_packing, which moves packs of
 *         unchanging keys out of the step
 * not     choosing the tiles' sizes: that is done for every kernel when it is bound
 * tests   tests/lit/passes/tile_attention/, tests/unit/passes/pipeline_variations_test.c */
#include "passes/manager/match.h"

static const char PASS_NAME[] = "tile_attention";

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    pass_context *c = rw->user;
    const ir_node *n = ir_get(rw->from, old);
    if (n->op != IR_OP_attention) return IR_NONE;
    const struct ir_attrs_attention *a = IR_ATTRS(n, attention);
    int64_t length = ir_typeof(rw->from, n->operand[IR_IN(attention, k)])->dim[1];

    struct ir_attrs_heads heads = {.heads = a->heads, .precision = a->precision};
    ir_ref k = rw_new(rw, n->operand[IR_IN(attention, k)]),
           v = rw_new(rw, n->operand[IR_IN(attention, v)]);
    ir_ref operand[] = {
        [IR_IN(attention_tiled, q)] = rw_new(rw, n->operand[IR_IN(attention, q)]),
        [IR_IN(attention_tiled, kp)] =
            ir_op1(rw->to, IR_OP_pack_k, k, &heads, ir_get(rw->to, k)->origin),
        [IR_IN(attention_tiled, vp)] =
            ir_op1(rw->to, IR_OP_pack_v, v, &heads, ir_get(rw->to, v)->origin),
    };

    struct ir_attrs_attention_tiled t = IR_DEFAULTS(attention_tiled);
    t.heads = a->heads;
    t.scale = a->scale;
    t.causal = a->causal;
    t.precision = a->precision;
    t.kv_len = length;
    pass_matched(c, PASS_NAME, rw->from, old, "attention in tiles, over packed keys and values");
    return ir_build(rw->to, IR_OP_attention_tiled, operand, IR_OPERANDS(attention_tiled), &t,
                    n->type.layout, n->origin);
}

bool pass_tile_attention(pass_context *c, ir_func *f) {
    return ir_rewrite_apply(f, rule, c, true);
}
