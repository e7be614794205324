/* Result types of the ops of 8-bit integers: quantizing activations and weights, and their
 * products. */
#include "ir/check/shape.h"

static int64_t blocks(int64_t n) {
    return (n + IR_BLOCK - 1) / IR_BLOCK;
}

static int64_t i8_blocks(int64_t n) {
    return (n + IR_I8_BLOCK - 1) / IR_I8_BLOCK;
}

/* Images of the same type but for their channels; the channels of both. */
static bool two_images(const ir_shape *s, uint32_t x, uint32_t x1, int64_t *channels) {
    const ir_type *first = shape_operand(s, x), *second = shape_operand(s, x1);
    *channels = first->dim[1];
    if (!second) return true;
    ir_type like = *first;
    if (second->rank == first->rank) like.dim[1] = second->dim[1];
    if (!shape_is(s, x1, &like)) return false;
    *channels += second->dim[1];
    return true;
}

/* Two rows a batch, of channels rounded up. */
static bool check_rows(const ir_shape *s, uint32_t i, int64_t batch, int64_t channels) {
    const ir_type *t = shape_operand(s, i);
    bool fits = !t || (t->dtype == IR_f32 && t->rank == 3 && t->dim[0] == batch && t->dim[1] == 2 &&
                       t->dim[2] == ir_round_block(channels));
    return fits || shape_expected(s, i, "f32[%lld,2,%lld]", (long long)batch,
                                  (long long)ir_round_block(channels));
}

SHAPE_RULE(channel_range) {
    int64_t channels;
    if (!shape_is_rank(s, IR_IN(channel_range, x), 4) ||
        !two_images(s, IR_IN(channel_range, x), IR_IN(channel_range, x1), &channels))
        return false;
    shape_set(out, 3,
              (int64_t[]){shape_operand(s, IR_IN(channel_range, x))->dim[0], 2,
                          ir_round_block(channels)});
    return true;
}

static bool check_pre_act(const ir_shape *s, ir_act act) {
    return act == IR_ACT_NONE || act == IR_ACT_SILU ||
           shape_fault(s, "attribute 'pre_act' is %s: none or silu", ir_act_name[act]);
}

/* Tokens: a record for each. */
static bool quantized_tokens(const ir_shape *s, const struct ir_attrs_quantize *a, ir_type *out) {
    const ir_type *x = shape_operand(s, IR_IN(quantize, x));
    bool plain = a->upsample.v[0] == 0 && a->upsample.v[1] == 0;
    for (int i = 0; i < 4; i++) plain &= a->pad.v[i] == 0;
    for (uint32_t k = IR_IN(quantize, x1); k < s->count; k++) plain &= !shape_operand(s, k);
    if (!plain) return shape_fault(s, "tokens are quantized without padding and other operands");
    *out = ir_type_make(IR_u8, 3, (int64_t[]){x->dim[0], x->dim[1], ir_i8_row(x->dim[2])});
    return true;
}

SHAPE_RULE(quantize) {
    const struct ir_attrs_quantize *a = SHAPE_ATTRS(s, quantize);
    const ir_type *x = shape_operand(s, IR_IN(quantize, x));
    if (!shape_is_float(s, IR_IN(quantize, x)) || !check_pre_act(s, a->pre_act)) return false;
    if (x->rank == 3) return quantized_tokens(s, a, out);
    int64_t channels;
    if (!shape_is_rank(s, IR_IN(quantize, x), 4) ||
        !two_images(s, IR_IN(quantize, x), IR_IN(quantize, x1), &channels))
        return false;
    bool fine = true, padded = false;
    for (int i = 0; i < 4; i++) {
        fine &= shape_in(s, "pad", a->pad.v[i], 0, SHAPE_WINDOW_MAX);
        padded |= a->pad.v[i] != 0;
    }
    for (int i = 0; i < 2; i++)
        fine &= shape_in(s, "upsample", a->upsample.v[i], 0, SHAPE_WINDOW_MAX);
    if ((a->upsample.v[0] == 0) != (a->upsample.v[1] == 0))
        fine = shape_fault(s, "attribute 'upsample' has one extent of 0");
    if (shape_operand(s, IR_IN(quantize, x1)) && x->dim[1] % IR_BLOCK != 0)
        fine = shape_expected(s, IR_IN(quantize, x),
                              "a multiple of 16 channels, as operand 'x1' follows");
    fine &= check_rows(s, IR_IN(quantize, norm), x->dim[0], channels);
    fine &= check_rows(s, IR_IN(quantize, range), x->dim[0], channels);
    if (padded && !shape_operand(s, IR_IN(quantize, range)))
        fine = shape_fault(s, "what is padded has one scale an image: operand 'range' is missing");
    if (!fine) return false;
    int64_t h = a->upsample.v[0] ? a->upsample.v[0] : x->dim[2],
            w = a->upsample.v[1] ? a->upsample.v[1] : x->dim[3];
    *out = ir_type_make(IR_u8, 4,
                        (int64_t[]){x->dim[0], h + a->pad.v[0] + a->pad.v[2],
                                    w + a->pad.v[1] + a->pad.v[3], ir_i8_row(channels)});
    return true;
}

/* The packed filter of n results, rounded up to whole blocks, over `c` channels and the scales of
 * it. */
static bool check_filter(const ir_shape *s, int64_t n, int64_t c) {
    const ir_type *w = shape_operand(s, IR_IN(conv2d_i8, w)),
                  *scale = shape_operand(s, IR_IN(conv2d_i8, scale));
    bool fine = w->dtype == IR_i8 && w->rank == 7 && w->dim[0] == blocks(n) &&
                w->dim[3] == i8_blocks(c) && w->dim[4] == IR_BLOCK && w->dim[5] == IR_BLOCK &&
                w->dim[6] == 4;
    if (!fine)
        return shape_expected(s, IR_IN(conv2d_i8, w), "i8[%lld,kh,kw,%lld,16,16,4]",
                              (long long)blocks(n), (long long)i8_blocks(c));
    if (w->dim[1] > SHAPE_WINDOW_MAX || w->dim[2] > SHAPE_WINDOW_MAX ||
        w->dim[1] * w->dim[2] > IR_I8_MAX_SUM / c)
        return shape_fault(s, "sums of more than %lld products do not fit 32 bits",
                           (long long)IR_I8_MAX_SUM);
    fine = scale->dtype == IR_f32 && scale->rank == 2 && scale->dim[0] == 2 &&
           scale->dim[1] == ir_round_block(n);
    return fine ||
           shape_expected(s, IR_IN(conv2d_i8, scale), "f32[2,%lld]", (long long)ir_round_block(n));
}

/* Result of an image: windows without padding. */
static bool image_result(const ir_shape *s, const struct ir_attrs_conv2d_i8 *a, ir_type *out) {
    const ir_type *x = shape_operand(s, IR_IN(conv2d_i8, x)),
                  *w = shape_operand(s, IR_IN(conv2d_i8, w)),
                  *tbias = shape_operand(s, IR_IN(conv2d_i8, tbias));
    int64_t oh, ow;
    if (a->geglu) return shape_fault(s, "attribute 'geglu' is for tokens");
    for (int i = 0; i < 2; i++)
        if (!shape_in(s, "stride", a->stride.v[i], 1, SHAPE_WINDOW_MAX)) return false;
    if (!shape_window(s, "height", x->dim[1], 0, 0, w->dim[1], a->stride.v[0], &oh) ||
        !shape_window(s, "width", x->dim[2], 0, 0, w->dim[2], a->stride.v[1], &ow))
        return false;
    if (a->phases) { /* each phase leaves out the last or the first window of an axis */
        if (w->dim[1] != 2 || w->dim[2] != 2 || a->stride.v[0] != 1 || a->stride.v[1] != 1)
            return shape_fault(s, "phases have filters of 2 by 2 and stride 1");
        if (oh < 2 || ow < 2) return shape_fault(s, "phases need an image inside its padding");
        oh = 2 * (oh - 1);
        ow = 2 * (ow - 1);
    }
    shape_set(out, 4, (int64_t[]){x->dim[0], a->n, oh, ow});
    bool fits = !tbias || (ir_is_float(tbias->dtype) && tbias->rank == 2 &&
                           (tbias->dim[0] == x->dim[0] || tbias->dim[0] == 1) &&
                           (tbias->dim[1] == a->n || tbias->dim[1] == ir_round_block(a->n)));
    return fits || shape_expected(s, IR_IN(conv2d_i8, tbias), "f32[%lld,%lld]",
                                  (long long)x->dim[0], (long long)a->n);
}

static bool tokens_result(const ir_shape *s, const struct ir_attrs_conv2d_i8 *a, ir_type *out) {
    const ir_type *x = shape_operand(s, IR_IN(conv2d_i8, x)),
                  *w = shape_operand(s, IR_IN(conv2d_i8, w));
    if (w->dim[1] != 1 || w->dim[2] != 1 || a->stride.v[0] != 1 || a->stride.v[1] != 1)
        return shape_fault(s, "tokens are multiplied by filters of 1 by 1 and stride 1");
    if (shape_operand(s, IR_IN(conv2d_i8, tbias)))
        return shape_fault(s, "tokens have no operand 'tbias'");
    if (a->phases) return shape_fault(s, "attribute 'phases' is for images");
    if (a->geglu && (shape_operand(s, IR_IN(conv2d_i8, residual)) || a->act != IR_ACT_NONE))
        return shape_fault(s, "geglu stands without residual and without activation");
    if (a->geglu && a->n % (2 * IR_BLOCK) != 0)
        return shape_fault(s, "geglu takes values and gates in turns of %d columns", IR_BLOCK);
    shape_set(out, 3, (int64_t[]){x->dim[0], x->dim[1], a->geglu ? a->n / 2 : a->n});
    return true;
}

SHAPE_RULE(conv2d_i8) {
    const struct ir_attrs_conv2d_i8 *a = SHAPE_ATTRS(s, conv2d_i8);
    const ir_type *x = shape_operand(s, IR_IN(conv2d_i8, x));
    if (!shape_in(s, "n", a->n, 1, IR_MAX_ELEMENTS) ||
        !shape_in(s, "channels", a->channels, 1, IR_I8_MAX_SUM))
        return false;
    if (x->dtype != IR_u8 || (x->rank != 3 && x->rank != 4) ||
        x->dim[x->rank - 1] != ir_i8_row(a->channels))
        return shape_expected(s, IR_IN(conv2d_i8, x), "u8[B,H,W,%lld] or u8[B,T,%lld]",
                              (long long)ir_i8_row(a->channels), (long long)ir_i8_row(a->channels));
    if (!check_filter(s, a->phases ? 4 * ir_round_block(a->n) : a->n, a->channels) ||
        !(x->rank == 4 ? image_result(s, a, out) : tokens_result(s, a, out)))
        return false;
    bool fine = true;
    if (shape_operand(s, IR_IN(conv2d_i8, bias)))
        fine &= shape_is_vector(s, IR_IN(conv2d_i8, bias), a->n, true);
    if (shape_operand(s, IR_IN(conv2d_i8, residual)))
        fine &= shape_is(s, IR_IN(conv2d_i8, residual), out);
    return fine;
}

/* ---- weights ---- */

static bool read_filter(const ir_shape *s, uint32_t i, int64_t *kh, int64_t *kw) {
    const ir_type *w = shape_operand(s, i);
    if (!shape_is_float(s, i)) return false;
    if (w->rank != 2 && w->rank != 4) return shape_expected(s, i, "[N,K] or [N,C,kh,kw]");
    *kh = w->rank == 4 ? w->dim[2] : 1;
    *kw = w->rank == 4 ? w->dim[3] : 1;
    return true;
}

SHAPE_RULE(pack_i8_weight) {
    const ir_type *w = shape_operand(s, IR_IN(pack_i8_weight, w));
    int64_t kh, kw;
    if (!read_filter(s, IR_IN(pack_i8_weight, w), &kh, &kw)) return false;
    *out = ir_type_make(
        IR_i8, 7,
        (int64_t[]){blocks(w->dim[0]), kh, kw, i8_blocks(w->dim[1]), IR_BLOCK, IR_BLOCK, 4});
    return true;
}

SHAPE_RULE(pack_i8_scale) {
    int64_t kh, kw;
    if (!read_filter(s, IR_IN(pack_i8_scale, w), &kh, &kw)) return false;
    shape_set(out, 2,
              (int64_t[]){2, ir_round_block(shape_operand(s, IR_IN(pack_i8_scale, w))->dim[0])});
    return true;
}
