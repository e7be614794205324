/* conv2d, by either kernel; linear, which is a 1x1 convolution; feed_forward, which is two.
 * Operands in c16, weights packed, vectors padded. */
#include "codegen/target/bind.h"
#include "codegen/target/default_tiles/default_tiles.h"

/* Numbers that stand for one in a kernel of bf16 arithmetic; 0 where products are f32. */
static int32_t parts_of(ir_precision p) {
    return p == IR_PRECISION_F32 ? 0 : (int32_t)ir_parts(p);
}

/* The packed weight must cover the shapes: [N/16, C/16, kh, kw, 16, 16], with parts
 * [N/16, C/32, kh, kw, parts, 16, 16, 2]. */
static bool check_weight(cg_bind *b, uint32_t operand, int32_t n, int32_t c, int32_t kh, int32_t kw,
                         int32_t parts) {
    const ir_type *w = cg_in(b, operand);
    ir_type wide =
        ir_type_make(IR_f32, 6, (int64_t[]){ebru_blocks16(n), ebru_blocks16(c), kh, kw, 16, 16});
    ir_type narrow = ir_type_make(
        IR_bf16, 8, (int64_t[]){ebru_blocks16(n), ebru_blocks32(c), kh, kw, parts, 16, 16, 2});
    if (!ir_type_equal(w, parts ? &narrow : &wide))
        return cg_refuse(b, "%s is not packed for %d output and %d input channels",
                         ir_op_get(b->node->op)->operand_name[operand], n, c);
    return true;
}

/* Tiles for a result over its input: a task has all panels of its pixels, and packs them before it
 * writes one. */
static void take_whole_pixels(struct ebru_conv2d_params *p) {
    p->pack = p->TB = 1;
    p->order = 0;
    p->PG = ebru_ceil_div(ebru_blocks16(p->N), p->NB);
}

/* Tiles for the target, and the kernel that multiplies in this precision. */
static bool done_conv2d(cg_bind *b, struct ebru_conv2d_params *p, int32_t parts, bool overwrite) {
    const int64_t l1 = (int64_t)b->target->base.l1d, l2 = (int64_t)b->target->base.l2;
    const int32_t isa = b->target->isa;
    if (parts == 0) {
        cg_default_tiles_conv2d(p, isa, l1, l2);
        if (overwrite) take_whole_pixels(p);
        return cg_done_conv2d(b, p);
    }
    struct ebru_conv2d_bf16_params q = ebru_conv2d_bf16_of(p, parts, ebru_bf16_form(isa));
    cg_default_tiles_conv2d_bf16(&q, isa, l1, l2);
    if (overwrite) {
        struct ebru_conv2d_params shape = ebru_conv2d_bf16_shape(&q);
        take_whole_pixels(&shape);
        q = ebru_conv2d_bf16_of(&shape, parts, q.form);
    }
    return cg_done_conv2d_bf16(b, &q);
}

/* A per-channel vector padded to whole blocks: [Npad] plain, or [1|B,N] c16. */
static bool check_vector(cg_bind *b, uint32_t operand, int32_t n) {
    const ir_type *t = cg_in(b, operand);
    if (!t) return true;
    uint64_t bytes = ir_type_bytes(t), row = (uint64_t)ebru_blocks16(n) * 64;
    if (t->dtype != IR_f32 || bytes % row != 0 || (t->rank > 1 && !cg_is_c16(t)))
        return cg_refuse(b, "%s is not padded to whole blocks of channels",
                         ir_op_get(b->node->op)->operand_name[operand]);
    return true;
}

/* Operands of a convolution in c16, over an image. */
static bool check_operands(cg_bind *b) {
    const ir_type *x = cg_in(b, IR_IN(conv2d, x));
    if (!cg_want_c16(b, IR_IN(conv2d, x)) || !cg_want_c16(b, UINT32_MAX) ||
        (cg_in(b, IR_IN(conv2d, x1)) && !cg_want_c16(b, IR_IN(conv2d, x1))))
        return false;
    if (x->rank != 4) return cg_refuse(b, "x is not an image");
    return !cg_in(b, IR_IN(conv2d, residual)) || cg_want_c16(b, IR_IN(conv2d, residual));
}

static bool check_pre_act(cg_bind *b, ir_act act) {
    return act == IR_ACT_NONE || act == IR_ACT_SILU ||
           cg_refuse(b, "%s on the way in", ir_act_name[act]);
}

/* A convolution of this node's operands and result: all but kernel, stride, phases and tiles. Of
 * `a`: padding, resizing, activations. */
static struct ebru_conv2d_params convolution(const cg_bind *b, const struct ir_attrs_conv2d *a) {
    const ir_type *x = cg_in(b, IR_IN(conv2d, x)), *x1 = cg_in(b, IR_IN(conv2d, x1)),
                  *t = cg_in(b, IR_IN(conv2d, tbias)), *y = &b->node->type;
    const int32_t h = (int32_t)x->dim[2], w = (int32_t)x->dim[3];
    return (struct ebru_conv2d_params){
        .B = (int32_t)x->dim[0],
        .C0 = (int32_t)x->dim[1],
        .C1 = x1 ? (int32_t)x1->dim[1] : 0,
        .H = h,
        .W = w,
        .UH = a->upsample.v[0] ? (int32_t)a->upsample.v[0] : h,
        .UW = a->upsample.v[1] ? (int32_t)a->upsample.v[1] : w,
        .N = (int32_t)y->dim[1],
        .PT = (int32_t)a->pad.v[0],
        .PL = (int32_t)a->pad.v[1],
        .OH = (int32_t)y->dim[2],
        .OW = (int32_t)y->dim[3],
        .pro_scale = cg_in(b, IR_IN(conv2d, norm)) != NULL,
        .pre_act = cg_act(a->pre_act),
        .has_bias = cg_in(b, IR_IN(conv2d, bias)) != NULL,
        .tbias = !t                       ? 0
                 : t->dim[0] == x->dim[0] ? 1
                                          : 2,
        .residual = cg_in(b, IR_IN(conv2d, residual)) != NULL,
        .act = cg_act(a->act),
    };
}

/* The same 3x3 convolution of stride 1 by Winograd, with tiles of MxM outputs. */
static bool done_winograd(cg_bind *b, const struct ebru_conv2d_params *c, int32_t M,
                          int32_t parts) {
    struct ebru_conv2d_winograd_params p = {
        .B = c->B,
        .H = c->H,
        .W = c->W,
        .UH = c->UH,
        .UW = c->UW,
        .C0 = c->C0,
        .C1 = c->C1,
        .N = c->N,
        .PT = c->PT,
        .PL = c->PL,
        .OH = c->OH,
        .OW = c->OW,
        .pro_scale = c->pro_scale,
        .pre_act = c->pre_act,
        .has_bias = c->has_bias,
        .tbias = c->tbias,
        .residual = c->residual,
        .act = c->act,
        .M = M,
    };
    const int64_t l2 = (int64_t)b->target->base.l2;
    const int32_t isa = b->target->isa;
    if (parts) {
        struct ebru_conv2d_winograd_bf16_params q = ebru_conv2d_winograd_bf16_of(&p, parts, 0);
        cg_default_tiles_conv2d_winograd_bf16(&q, isa, l2);
        return cg_done_conv2d_winograd_bf16(b, &q);
    }
    cg_default_tiles_conv2d_winograd(&p, isa, l2);
    return cg_done_conv2d_winograd(b, &p);
}

bool cg_bind_conv2d_winograd(cg_bind *b) {
    const struct ir_attrs_winograd *at = IR_ATTRS(b->node, winograd);
    const struct ir_attrs_conv2d a = {
        .pad = at->pad, .upsample = at->upsample, .pre_act = at->pre_act, .act = at->act};
    if (!check_operands(b) || !check_pre_act(b, a.pre_act)) return false;
    const struct ebru_conv2d_params p = convolution(b, &a);
    const ir_type *w = cg_in(b, IR_IN(conv2d, w));
    if (w->layout != IR_PLAIN || w->dtype != (at->precision == IR_PRECISION_F32 ? IR_f32 : IR_bf16))
        return cg_refuse(b, "the weight is not packed");
    if (!check_vector(b, IR_IN(conv2d, bias), p.N) || !check_vector(b, IR_IN(conv2d, tbias), p.N))
        return false;
    return done_winograd(b, &p, (int32_t)at->tile, parts_of(at->precision));
}

/* A conv2d of 3x3 and stride 1, with its filter packed. */
static bool is_winograds(const cg_bind *b) {
    if (b->node->op != IR_OP_conv2d) return false;
    const struct ir_attrs_conv2d *a = IR_ATTRS(b->node, conv2d);
    const ir_type *w = cg_in(b, IR_IN(conv2d, w));
    return w->rank >= 6 && w->dim[2] == 3 && w->dim[3] == 3 && a->stride.v[0] == 1 &&
           a->stride.v[1] == 1;
}

bool cg_bind_as_winograd(cg_bind *b, int32_t M, ir_precision precision) {
    if (!is_winograds(b) || (precision != IR_PRECISION_F32 && M != 2)) return false;
    const struct ir_attrs_conv2d *a = IR_ATTRS(b->node, conv2d);
    const struct ebru_conv2d_params p = convolution(b, a);
    return done_winograd(b, &p, M, parts_of(precision));
}

/* The convolution that a conv2d with a packed weight is. */
static struct ebru_conv2d_params direct(const cg_bind *b) {
    const struct ir_attrs_conv2d *a = IR_ATTRS(b->node, conv2d);
    const ir_type *w = cg_in(b, IR_IN(conv2d, w));
    struct ebru_conv2d_params p = convolution(b, a);
    p.KH = (int32_t)w->dim[2];
    p.KW = (int32_t)w->dim[3];
    p.SH = (int32_t)a->stride.v[0];
    p.SW = (int32_t)a->stride.v[1];
    return p;
}

bool cg_bind_conv2d(cg_bind *b) {
    const struct ir_attrs_conv2d *a = IR_ATTRS(b->node, conv2d);
    if (!check_operands(b) || !check_pre_act(b, a->pre_act)) return false;
    if (cg_in(b, IR_IN(conv2d, w))->rank < 6) return cg_refuse(b, "the weight is not packed");
    struct ebru_conv2d_params p = direct(b);
    int32_t parts = parts_of(a->precision);
    if (!check_weight(b, IR_IN(conv2d, w), p.N, p.C0 + p.C1, p.KH, p.KW, parts) ||
        !check_vector(b, IR_IN(conv2d, bias), p.N) || !check_vector(b, IR_IN(conv2d, tbias), p.N))
        return false;
    return done_conv2d(b, &p, parts, a->overwrite);
}

/* The four filters of 2x2 on the stored input that a 3x3 one on the doubled input is. */
static struct ebru_conv2d_params phases(const cg_bind *b, ir_act pre_act, ir_act act) {
    const struct ir_attrs_conv2d a = {.pad = IR_I4(1, 1, 1, 1), .pre_act = pre_act, .act = act};
    struct ebru_conv2d_params p = convolution(b, &a);
    p.KH = p.KW = 2;
    p.SH = p.SW = p.phases = 1;
    return p;
}

bool cg_bind_conv2d_phases(cg_bind *b) {
    const struct ir_attrs_phases *a = IR_ATTRS(b->node, phases);
    if (!check_operands(b) || !check_pre_act(b, a->pre_act)) return false;
    struct ebru_conv2d_params p = phases(b, a->pre_act, a->act);
    int32_t parts = parts_of(a->precision);
    if (!check_weight(b, IR_IN(conv2d, w), 4 * ebru_blocks16(p.N) * 16, p.C0 + p.C1, 2, 2, parts) ||
        !check_vector(b, IR_IN(conv2d, bias), p.N) || !check_vector(b, IR_IN(conv2d, tbias), p.N))
        return false;
    return done_conv2d(b, &p, parts, false);
}

/* The convolution that a linear is. */
static struct ebru_conv2d_params linear(const cg_bind *b) {
    const struct ir_attrs_linear *a = IR_ATTRS(b->node, linear);
    const cg_bcp in = cg_bcp_of(cg_in(b, IR_IN(linear, x))), out = cg_bcp_of(&b->node->type);
    struct ebru_conv2d_params p;
    ebru_conv2d_set_linear(&p, in.b, in.p, in.c, a->geglu ? 2 * out.c : out.c);
    p.has_bias = cg_in(b, IR_IN(linear, bias)) != NULL;
    p.residual = cg_in(b, IR_IN(linear, residual)) != NULL;
    p.act = a->geglu ? EBRU_ACT_GEGLU : cg_act(a->act);
    return p;
}

bool cg_bind_linear(cg_bind *b) {
    if (!cg_want_c16(b, IR_IN(linear, x)) || !cg_want_c16(b, UINT32_MAX)) return false;
    if (cg_in(b, IR_IN(linear, residual)) && !cg_want_c16(b, IR_IN(linear, residual))) return false;
    if (cg_in(b, IR_IN(linear, x))->rank > 3)
        return cg_refuse(b, "x is neither a vector nor tokens");
    struct ebru_conv2d_params p = linear(b);
    int32_t parts = parts_of(IR_ATTRS(b->node, linear)->precision);
    if (!check_weight(b, IR_IN(linear, w), p.N, p.C0, 1, 1, parts) ||
        !check_vector(b, IR_IN(linear, bias), p.N))
        return false;
    return done_conv2d(b, &p, parts, false);
}

/* Of the bytes that are made of its input: at their full size, the channels of both in one row. */
static bool done_i8(cg_bind *b, const struct ebru_conv2d_params *c, int32_t rows, int32_t columns) {
    struct ebru_conv2d_i8_params p = {
        .B = c->B,
        .H = c->UH + rows,
        .W = c->UW + columns,
        .C = c->C0 + c->C1,
        .N = c->N,
        .KH = c->KH,
        .KW = c->KW,
        .SH = c->SH,
        .SW = c->SW,
        .OH = c->OH,
        .OW = c->OW,
        .has_bias = c->has_bias,
        .tbias = c->tbias,
        .residual = c->residual,
        .act = c->act,
    };
    cg_default_tiles_conv2d_i8(&p, b->target->isa, (int64_t)b->target->base.l2);
    return cg_done_conv2d_i8(b, &p);
}

bool cg_bind_as_i8(cg_bind *b) {
    if (b->node->op == IR_OP_linear) {
        const struct ebru_conv2d_params p = linear(b);
        return done_i8(b, &p, 0, 0);
    }
    if (b->node->op != IR_OP_conv2d || cg_in(b, IR_IN(conv2d, w))->rank < 6) return false;
    const struct ir_attrs_conv2d *a = IR_ATTRS(b->node, conv2d);
    const struct ebru_conv2d_params p = direct(b);
    return done_i8(b, &p, (int32_t)(a->pad.v[0] + a->pad.v[2]),
                   (int32_t)(a->pad.v[1] + a->pad.v[3]));
}

bool cg_bind_as_direct(cg_bind *b, ir_precision precision) {
    const int32_t parts = parts_of(precision);
    if (b->node->op == IR_OP_linear) {
        struct ebru_conv2d_params p = linear(b);
        return done_conv2d(b, &p, parts, false);
    }
    if (b->node->op != IR_OP_conv2d || cg_in(b, IR_IN(conv2d, w))->rank < 6) return false;
    const struct ir_attrs_conv2d *a = IR_ATTRS(b->node, conv2d);
    const ir_type *x = cg_in(b, IR_IN(conv2d, x));
    const bool doubled = a->upsample.v[0] == 2 * x->dim[2] && a->upsample.v[1] == 2 * x->dim[3];
    struct ebru_conv2d_params p =
        doubled && is_winograds(b) ? phases(b, a->pre_act, a->act) : direct(b);
    return done_conv2d(b, &p, parts, a->overwrite);
}

static bool done_feed_forward(cg_bind *b, struct ebru_feed_forward_params *p, int32_t parts) {
    int64_t l1 = (int64_t)b->target->base.l1d, l2 = (int64_t)b->target->base.l2;
    if (parts == 0) {
        cg_default_tiles_feed_forward(p, b->target->isa, l1, l2);
        return cg_done_feed_forward(b, p);
    }
    struct ebru_feed_forward_bf16_params q = {.parts = parts};
#define COPY_FIELD(type, name) q.name = p->name;
    EBRU_FIELDS_feed_forward(COPY_FIELD);
#undef COPY_FIELD
    cg_default_tiles_feed_forward_bf16(&q, b->target->isa, l1, l2);
    return cg_done_feed_forward_bf16(b, &q);
}

bool cg_bind_feed_forward(cg_bind *b) {
    const struct ir_attrs_feed_forward *a = IR_ATTRS(b->node, feed_forward);
    const ir_type *x = cg_in(b, IR_IN(feed_forward, x));
    if (!cg_want_c16(b, IR_IN(feed_forward, x)) || !cg_want_c16(b, UINT32_MAX)) return false;
    if (cg_in(b, IR_IN(feed_forward, residual)) && !cg_want_c16(b, IR_IN(feed_forward, residual)))
        return false;
    if (x->rank > 3) return cg_refuse(b, "x is neither a vector nor tokens");
    cg_bcp in = cg_bcp_of(x);
    struct ebru_feed_forward_params p = {.B = in.b,
                                         .T = in.p,
                                         .C = in.c,
                                         .H = (int32_t)a->hidden,
                                         .N = (int32_t)a->n,
                                         .has_b1 = cg_in(b, IR_IN(feed_forward, b1)) != NULL,
                                         .has_b2 = cg_in(b, IR_IN(feed_forward, b2)) != NULL,
                                         .residual =
                                             cg_in(b, IR_IN(feed_forward, residual)) != NULL};
    int32_t parts = parts_of(a->precision);
    if (!check_weight(b, IR_IN(feed_forward, w1), 2 * p.H, p.C, 1, 1, parts) ||
        !check_weight(b, IR_IN(feed_forward, w2), p.N, p.H, 1, 1, parts) ||
        !check_vector(b, IR_IN(feed_forward, b1), 2 * p.H) ||
        !check_vector(b, IR_IN(feed_forward, b2), p.N))
        return false;
    return done_feed_forward(b, &p, parts);
}

bool cg_bind_as_feed_forward(cg_bind *b, ir_precision precision) {
    const ir_node *first = ir_get(b->f, b->node->operand[IR_IN(linear, x)]);
    if (b->node->op != IR_OP_linear || first->op != IR_OP_linear ||
        !IR_ATTRS(first, linear)->geglu || first->type.rank != 3)
        return false;
    const cg_bcp in = cg_bcp_of(ir_typeof(b->f, first->operand[IR_IN(linear, x)]));
    struct ebru_feed_forward_params p = {.B = in.b,
                                         .T = in.p,
                                         .C = in.c,
                                         .H = (int32_t)first->type.dim[2],
                                         .N = (int32_t)b->node->type.dim[2],
                                         .has_b1 = ir_ref_ok(IR_OPERAND(first, linear, bias)),
                                         .has_b2 = cg_in(b, IR_IN(linear, bias)) != NULL,
                                         .residual = cg_in(b, IR_IN(linear, residual)) != NULL};
    return done_feed_forward(b, &p, parts_of(precision));
}
