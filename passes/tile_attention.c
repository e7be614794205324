/* tile_attention: attention reads packed keys and values, tile by tile.
 *
 *   before   %4 = attention %1, %2, %3 {heads=8, scale=0.158} : f32[2,4096,320]:c16
 *   after    %4 = pack_k %2 {heads=8} : f32[2,8,4096,40]
 *            %5 = pack_v %3 {heads=8} : f32[2,8,256,40,16]
 *            %6 = attention_tiled %1, %4, %5
 *                   {heads=8, scale=0.158, kv_len=4096, q_block=48, kv_block=256}
 *                   : f32[2,4096,320]:c16
 *
 * Tiles: a block of queries is scored against a block of keys, and the running softmax (Milakov and
 * Gimelshein 2018; FlashAttention's forward pass) keeps one maximum and one sum a query, so no T x
 * S matrix exists. 48 queries are a multiple of every level's register tile; the block of keys is
 * as long as K, V and the scores of a tile fit half of L2.
 *
 * here    after lay_out (q, k, v are c16 tokens); before split_packing, which moves packs of
 *         unchanging keys out of the step
 * not     choosing between tiles by measurement: a tuning record's replace these when the kernel
 *         is bound
 * tests   tests/lit/passes/tile_attention/, tests/unit/passes/pipeline_variations_test.c */
#include "passes/manager/match.h"

static const char PASS_NAME[] = "tile_attention";
enum { Q_BLOCK = 48, KV_BLOCK = 256, KV_LEAST = 32 };

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Bytes of a tile's keys, values and scores. */
static int64_t tile_bytes(int64_t q, int64_t kv, int64_t width) {
    return kv * width * 2 * 4 + q * kv * 4;
}

static void set_tiles(struct ir_attrs_attention_tiled *t, int64_t queries, int64_t width,
                      int64_t l2) {
    t->q_block = smaller(queries, Q_BLOCK);
    t->kv_block = smaller(ir_round_block(t->kv_len), KV_BLOCK);
    while (t->kv_block > KV_LEAST && tile_bytes(t->q_block, t->kv_block, width) > l2 / 2)
        t->kv_block = ir_round_block(t->kv_block / 2);
}

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    pass_context *c = rw->user;
    const ir_node *n = ir_get(rw->from, old);
    if (n->op != IR_OP_attention) return IR_NONE;
    const struct ir_attrs_attention *a = IR_ATTRS(n, attention);
    int64_t length = ir_typeof(rw->from, n->operand[IR_IN(attention, k)])->dim[1],
            width = n->type.dim[2] / a->heads;
    int64_t l2 = c->target && c->target->l2 ? (int64_t)c->target->l2 : 1 << 20;

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
    if (t.precision == IR_PRECISION_F32)
        set_tiles(&t, n->type.dim[1], width, l2); /* bf16: the kernel's own */
    pass_matched(c, PASS_NAME, rw->from, old,
                 t.kv_block ? base_arena_printf(c->arena,
                                                "attention in tiles of %lld queries and %lld keys",
                                                (long long)t.q_block, (long long)t.kv_block)
                            : "attention in the kernel's own tiles");
    return ir_build(rw->to, IR_OP_attention_tiled, operand, IR_OPERANDS(attention_tiled), &t,
                    n->type.layout, n->origin);
}

bool pass_tile_attention(pass_context *c, ir_func *f) {
    return ir_rewrite_apply(f, rule, c, true);
}
