/* channel_range, quantize and conv2d_i8. Images and tokens in c16, quantized ones plain. */
#include "codegen/target/bind.h"
#include "codegen/target/default_tiles/default_tiles.h"

/* x and, where there is one, x1: images in c16. */
static bool check_images(cg_bind *b, uint32_t x, uint32_t x1) {
    if (!cg_want_c16(b, x) || (cg_in(b, x1) && !cg_want_c16(b, x1))) return false;
    return cg_in(b, x)->rank == 4 || cg_refuse(b, "x is not an image");
}

bool cg_bind_channel_range(cg_bind *b) {
    const ir_type *x1 = cg_in(b, IR_IN(channel_range, x1));
    if (!check_images(b, IR_IN(channel_range, x), IR_IN(channel_range, x1))) return false;
    const cg_bcp x = cg_bcp_of(cg_in(b, IR_IN(channel_range, x)));
    const struct ebru_channel_range_params p = {x.b, x.p, x.c, x1 ? cg_bcp_of(x1).c : 0};
    return cg_done_channel_range(b, &p);
}

/* Bytes of a quantized value: offsets in it are 32-bit. */
static bool check_size(cg_bind *b, const ir_type *t) {
    return ir_type_bytes(t) <= INT32_MAX ||
           cg_refuse(b, "the quantized input has 2^31 bytes or more");
}

bool cg_bind_quantize(cg_bind *b) {
    const struct ir_attrs_quantize *a = IR_ATTRS(b->node, quantize);
    const ir_type *x = cg_in(b, IR_IN(quantize, x)), *x1 = cg_in(b, IR_IN(quantize, x1)),
                  *y = &b->node->type;
    if (!cg_want_c16(b, IR_IN(quantize, x)) || !check_size(b, y)) return false;
    if (x->rank == 4 && !check_images(b, IR_IN(quantize, x), IR_IN(quantize, x1))) return false;
    const cg_bcp in = cg_bcp_of(x);
    struct ebru_quantize_params p = {
        .B = in.b,
        .H = 1,
        .W = in.p,
        .UH = 1,
        .UW = in.p,
        .C0 = in.c,
        .C1 = x1 ? cg_bcp_of(x1).c : 0,
        .OH = 1,
        .OW = in.p,
        .pro_scale = cg_in(b, IR_IN(quantize, norm)) != NULL,
        .pre_act = cg_act(a->pre_act),
        .ranged = cg_in(b, IR_IN(quantize, range)) != NULL,
    };
    /* an image without padding and resizing is one row of pixels */
    if (x->rank == 4 && (y->dim[1] != x->dim[2] || y->dim[2] != x->dim[3])) {
        p.H = (int32_t)x->dim[2];
        p.W = (int32_t)x->dim[3];
        p.UH = a->upsample.v[0] ? (int32_t)a->upsample.v[0] : p.H;
        p.UW = a->upsample.v[1] ? (int32_t)a->upsample.v[1] : p.W;
        p.PT = (int32_t)a->pad.v[0];
        p.PL = (int32_t)a->pad.v[1];
        p.OH = (int32_t)y->dim[1];
        p.OW = (int32_t)y->dim[2];
    }
    return cg_done_quantize(b, &p);
}

/* A per-channel vector padded to whole blocks. */
static bool check_vector(cg_bind *b, uint32_t operand, int32_t n) {
    const ir_type *t = cg_in(b, operand);
    if (!t) return true;
    const uint64_t bytes = ir_type_bytes(t), row = (uint64_t)ebru_blocks16(n) * 64;
    if (t->dtype != IR_f32 || bytes % row != 0 || (t->rank > 1 && !cg_is_c16(t)))
        return cg_refuse(b, "%s is not padded to whole blocks of channels",
                         ir_op_get(b->node->op)->operand_name[operand]);
    return true;
}

bool cg_bind_conv2d_i8(cg_bind *b) {
    const struct ir_attrs_conv2d_i8 *a = IR_ATTRS(b->node, conv2d_i8);
    const ir_type *x = cg_in(b, IR_IN(conv2d_i8, x)), *w = cg_in(b, IR_IN(conv2d_i8, w)),
                  *t = cg_in(b, IR_IN(conv2d_i8, tbias));
    const bool image = x->rank == 4;
    if (!cg_want_c16(b, UINT32_MAX) || !check_size(b, x)) return false;
    if (cg_in(b, IR_IN(conv2d_i8, residual)) && !cg_want_c16(b, IR_IN(conv2d_i8, residual)))
        return false;
    const cg_bcp out = cg_bcp_of(&b->node->type);
    struct ebru_conv2d_i8_params p = {
        .B = out.b,
        .H = image ? (int32_t)x->dim[1] : 1,
        .W = image ? (int32_t)x->dim[2] : out.p,
        .C = (int32_t)a->channels,
        .N = (int32_t)a->n,
        .KH = (int32_t)w->dim[1],
        .KW = (int32_t)w->dim[2],
        .SH = (int32_t)a->stride.v[0],
        .SW = (int32_t)a->stride.v[1],
        .OH = image ? (int32_t)b->node->type.dim[2] : 1,
        .OW = image ? (int32_t)b->node->type.dim[3] : out.p,
        .has_bias = cg_in(b, IR_IN(conv2d_i8, bias)) != NULL,
        .tbias = !t                       ? 0
                 : t->dim[0] == x->dim[0] ? 1
                                          : 2,
        .residual = cg_in(b, IR_IN(conv2d_i8, residual)) != NULL,
        .act = a->geglu ? EBRU_ACT_GEGLU : cg_act(a->act),
        .phases = a->phases,
    };
    if (!check_vector(b, IR_IN(conv2d_i8, bias), p.N) ||
        !check_vector(b, IR_IN(conv2d_i8, tbias), p.N))
        return false;
    cg_default_tiles_conv2d_i8(&p, b->target->isa, (int64_t)b->target->base.l2);
    return cg_done_conv2d_i8(b, &p);
}
