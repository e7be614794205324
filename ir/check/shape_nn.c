/* Result types of the network ops: convolutions, contractions, normalisations, embeddings,
 * attention, packing. */
#include <math.h>

#include "ir/check/shape.h"

static int64_t blocks(int64_t n) {
    return (n + IR_BLOCK - 1) / IR_BLOCK;
}

static int64_t bf16_blocks(int64_t n) {
    return (n + IR_BF16_BLOCK - 1) / IR_BF16_BLOCK;
}

/* ---- convolution and linear ---- */

/* The filter of a conv or linear op, unpacked view: plain [n,k,kh,kw] or packed: as
 * pack_conv_weight does. */
typedef struct filter {
    int64_t n, kh, kw;
    bool packed;
} filter;

/* A weight [n,k,kh,kw] packed for products of a precision. */
static ir_type packed_filter(ir_precision p, int64_t n, int64_t k, int64_t kh, int64_t kw) {
    if (p == IR_PRECISION_F32)
        return ir_type_make(IR_f32, 6,
                            (int64_t[]){blocks(n), blocks(k), kh, kw, IR_BLOCK, IR_BLOCK});
    return ir_type_make(
        IR_bf16, 8,
        (int64_t[]){blocks(n), bf16_blocks(k), kh, kw, ir_parts(p), IR_BLOCK, IR_BLOCK, 2});
}

/* A filter for products in bf16 is packed; `n` is the attribute of that name. */
static bool read_bf16_filter(const ir_shape *s, uint32_t i, int64_t k, int64_t n, ir_precision p,
                             filter *out) {
    const ir_type *w = shape_operand(s, i);
    if (n == 0) return shape_fault(s, "attribute 'n' must be set when operand 'w' is packed");
    *out = (filter){.n = n, .kh = w->dim[2], .kw = w->dim[3], .packed = true};
    ir_type want = packed_filter(p, n, k, w->dim[2], w->dim[3]);
    return (w->rank == want.rank && ir_type_equal(w, &want)) ||
           shape_expected(s, i, "bf16[%lld,%lld,kh,kw,%lld,16,16,2], as 'precision' is %s",
                          (long long)want.dim[0], (long long)want.dim[1], (long long)want.dim[4],
                          ir_precision_name[p]);
}

/* Reads operand `i` as a filter over k input channels; `n` is the attribute of that name. */
static bool read_filter(const ir_shape *s, uint32_t i, int64_t k, int64_t n, ir_precision precision,
                        filter *out) {
    const ir_type *w = shape_operand(s, i);
    if (!shape_is_float(s, i) || !shape_in(s, "n", n, 0, IR_MAX_ELEMENTS)) return false;
    if (precision != IR_PRECISION_F32) return read_bf16_filter(s, i, k, n, precision, out);
    if (w->rank == 6) {
        if (n == 0) return shape_fault(s, "attribute 'n' must be set when operand 'w' is packed");
        *out = (filter){.n = n, .kh = w->dim[2], .kw = w->dim[3], .packed = true};
        if (w->dim[0] != blocks(n) || w->dim[1] != blocks(k) || w->dim[4] != IR_BLOCK ||
            w->dim[5] != IR_BLOCK)
            return shape_expected(s, i, "f32[%lld,%lld,kh,kw,16,16]", (long long)blocks(n),
                                  (long long)blocks(k));
        return true;
    }
    if ((w->rank != 2 && w->rank != 4) || w->dim[1] != k)
        return shape_expected(s, i, "[n,%lld] or [n,%lld,kh,kw]", (long long)k, (long long)k);
    *out = (filter){.n = w->dim[0], .kh = 1, .kw = 1};
    if (w->rank == 4) {
        out->kh = w->dim[2];
        out->kw = w->dim[3];
    }
    if (n != 0 && n != out->n)
        return shape_fault(s, "attribute 'n' is %lld, but operand 'w' has %lld rows", (long long)n,
                           (long long)out->n);
    return true;
}

/* norm operands: scale and shift [B|1, 2, channels rounded up]. */
static bool check_stats(const ir_shape *s, uint32_t i, int64_t batch, int64_t channels) {
    const ir_type *t = shape_operand(s, i);
    bool fits = t->dtype == IR_f32 && t->rank == 3 && (t->dim[0] == batch || t->dim[0] == 1) &&
                t->dim[1] == 2 && t->dim[2] == ir_round_block(channels);
    return fits || shape_expected(s, i, "f32[%lld,2,%lld]", (long long)batch,
                                  (long long)ir_round_block(channels));
}

/* x1 continues x's channels: same type but for axis 1. Adds its channels. */
static bool add_second_input(const ir_shape *s, uint32_t i, int64_t *channels) {
    const ir_type *x = shape_operand(s, IR_IN(conv2d, x)), *x1 = shape_operand(s, i);
    if (!x1) return true;
    ir_type like = *x;
    if (x1->rank == x->rank) like.dim[1] = x1->dim[1];
    if (!shape_is(s, i, &like)) return false;
    *channels += x1->dim[1];
    return true;
}

/* Zeros around and the size the input is read at. */
static bool check_input_window(const ir_shape *s, const int64_t pad[4], const int64_t upsample[2]) {
    bool fine = true;
    for (int i = 0; i < 4; i++) fine &= shape_in(s, "pad", pad[i], 0, SHAPE_WINDOW_MAX);
    for (int i = 0; i < 2; i++) fine &= shape_in(s, "upsample", upsample[i], 0, SHAPE_WINDOW_MAX);
    if ((upsample[0] == 0) != (upsample[1] == 0))
        fine = shape_fault(s, "attribute 'upsample' has one extent of 0");
    return fine;
}

/* The result of a convolution over `channels` inputs, and its operands from bias on held to it. */
static bool conv_result(const ir_shape *s, const int64_t pad[4], const int64_t upsample[2],
                        const int64_t stride[2], const filter *w, int64_t channels, ir_type *out) {
    const ir_type *x = shape_operand(s, IR_IN(conv2d, x)),
                  *tbias = shape_operand(s, IR_IN(conv2d, tbias));
    int64_t height = upsample[0] ? upsample[0] : x->dim[2], oh;
    int64_t width = upsample[1] ? upsample[1] : x->dim[3], ow;
    if (!shape_window(s, "height", height, pad[0], pad[2], w->kh, stride[0], &oh) ||
        !shape_window(s, "width", width, pad[1], pad[3], w->kw, stride[1], &ow))
        return false;
    shape_set(out, 4, (int64_t[]){x->dim[0], w->n, oh, ow});

    bool fine = true;
    if (shape_operand(s, IR_IN(conv2d, bias)))
        fine &= shape_is_vector(s, IR_IN(conv2d, bias), w->n, w->packed);
    if (shape_operand(s, IR_IN(conv2d, norm)))
        fine &= check_stats(s, IR_IN(conv2d, norm), x->dim[0], channels);
    if (tbias && (tbias->dtype == IR_i32 || tbias->rank != 2 ||
                  (tbias->dim[0] != x->dim[0] && tbias->dim[0] != 1) ||
                  (tbias->dim[1] != w->n && !(w->packed && tbias->dim[1] == ir_round_block(w->n)))))
        fine = shape_expected(s, IR_IN(conv2d, tbias), "f32[%lld,%lld]", (long long)x->dim[0],
                              (long long)w->n);
    if (shape_operand(s, IR_IN(conv2d, residual)))
        fine &= shape_is(s, IR_IN(conv2d, residual), out);
    return fine;
}

SHAPE_RULE(conv2d) {
    const struct ir_attrs_conv2d *a = SHAPE_ATTRS(s, conv2d);
    const ir_type *x = shape_operand(s, IR_IN(conv2d, x)),
                  *x1 = shape_operand(s, IR_IN(conv2d, x1));
    if (!shape_is_rank(s, IR_IN(conv2d, x), 4)) return false;
    bool fine = true;
    for (int i = 0; i < 2; i++) fine &= shape_in(s, "stride", a->stride.v[i], 1, SHAPE_WINDOW_MAX);
    fine &= check_input_window(s, a->pad.v, a->upsample.v);

    int64_t channels = x->dim[1];
    filter w = {0};
    if (!add_second_input(s, IR_IN(conv2d, x1), &channels) ||
        !read_filter(s, IR_IN(conv2d, w), channels, a->n, a->precision, &w) || !fine)
        return false;
    if (x1 && w.packed && x->dim[1] % IR_BLOCK != 0)
        fine =
            shape_expected(s, IR_IN(conv2d, x),
                           "a multiple of 16 channels, as operand 'x1' follows and 'w' is packed");
    if (shape_operand(s, IR_IN(conv2d, w))->rank == 2)
        fine = shape_expected(s, IR_IN(conv2d, w), "4 dimensions");
    return conv_result(s, a->pad.v, a->upsample.v, a->stride.v, &w, channels, out) && fine;
}

/* A filter [n,channels,3,3] transformed for tiles of `m` outputs and products of a precision. */
static ir_type transformed_filter(ir_precision p, int64_t m, int64_t n, int64_t channels) {
    const int64_t points = (m + 2) * (m + 2);
    if (p == IR_PRECISION_F32)
        return ir_type_make(IR_f32, 5,
                            (int64_t[]){points, blocks(n), blocks(channels), IR_BLOCK, IR_BLOCK});
    return ir_type_make(
        IR_bf16, 7,
        (int64_t[]){points, blocks(n), bf16_blocks(channels), ir_parts(p), IR_BLOCK, IR_BLOCK, 2});
}

static bool check_transformed(const ir_shape *s, uint32_t i, const struct ir_attrs_winograd *a,
                              int64_t channels) {
    const ir_type want = transformed_filter(a->precision, a->tile, a->n, channels);
    if (ir_type_equal(shape_operand(s, i), &want)) return true;
    if (a->precision == IR_PRECISION_F32)
        return shape_expected(s, i, "f32[%lld,%lld,%lld,16,16]", (long long)want.dim[0],
                              (long long)want.dim[1], (long long)want.dim[2]);
    return shape_expected(s, i, "bf16[%lld,%lld,%lld,%lld,16,16,2], as 'precision' is %s",
                          (long long)want.dim[0], (long long)want.dim[1], (long long)want.dim[2],
                          (long long)want.dim[3], ir_precision_name[a->precision]);
}

/* F(4,3) loses too many digits of a rounded operand. */
static bool check_tile(const ir_shape *s, int64_t tile, ir_precision p) {
    if (tile == 2 || (tile == 4 && p == IR_PRECISION_F32)) return true;
    if (tile == 4)
        return shape_fault(s, "attribute 'tile' is 4: 2, as 'precision' is %s",
                           ir_precision_name[p]);
    return shape_fault(s, "attribute 'tile' is %lld: 2 or 4", (long long)tile);
}

SHAPE_RULE(conv2d_winograd) {
    const struct ir_attrs_winograd *a = SHAPE_ATTRS(s, winograd);
    const ir_type *x = shape_operand(s, IR_IN(conv2d_winograd, x)),
                  *x1 = shape_operand(s, IR_IN(conv2d_winograd, x1));
    if (!shape_is_rank(s, IR_IN(conv2d_winograd, x), 4) || !check_tile(s, a->tile, a->precision) ||
        !shape_in(s, "n", a->n, 1, IR_MAX_ELEMENTS))
        return false;
    int64_t channels = x->dim[1];
    bool fine = check_input_window(s, a->pad.v, a->upsample.v);
    if (!add_second_input(s, IR_IN(conv2d_winograd, x1), &channels) ||
        !check_transformed(s, IR_IN(conv2d_winograd, w), a, channels) || !fine)
        return false;
    if (x1 && x->dim[1] % IR_BLOCK != 0)
        fine = shape_expected(s, IR_IN(conv2d_winograd, x),
                              "a multiple of 16 channels, as operand 'x1' follows");
    return conv_result(s, a->pad.v, a->upsample.v, (int64_t[]){1, 1},
                       &(filter){.n = a->n, .kh = 3, .kw = 3, .packed = true}, channels, out) &&
           fine;
}

SHAPE_RULE(conv2d_phases) {
    const struct ir_attrs_phases *a = SHAPE_ATTRS(s, phases);
    const ir_type *x = shape_operand(s, IR_IN(conv2d_phases, x)),
                  *x1 = shape_operand(s, IR_IN(conv2d_phases, x1));
    if (!shape_is_rank(s, IR_IN(conv2d_phases, x), 4) ||
        !shape_in(s, "n", a->n, 1, IR_MAX_ELEMENTS / 4))
        return false;
    int64_t channels = x->dim[1], n = 4 * ir_round_block(a->n);
    filter w = {0};
    if (!add_second_input(s, IR_IN(conv2d_phases, x1), &channels) ||
        !read_filter(s, IR_IN(conv2d_phases, w), channels, n, a->precision, &w))
        return false;
    if (!w.packed || w.kh != 2 || w.kw != 2)
        return shape_expected(s, IR_IN(conv2d_phases, w), "packed filters of 2 by 2");
    bool fine = true;
    if (x1 && x->dim[1] % IR_BLOCK != 0)
        fine = shape_expected(s, IR_IN(conv2d_phases, x),
                              "a multiple of 16 channels, as operand 'x1' follows");
    if (x->dim[2] > SHAPE_WINDOW_MAX / 2 || x->dim[3] > SHAPE_WINDOW_MAX / 2)
        return shape_fault(s, "twice the height or width is too large");
    return conv_result(s, (int64_t[]){1, 1, 1, 1}, (int64_t[]){2 * x->dim[2], 2 * x->dim[3]},
                       (int64_t[]){1, 1}, &(filter){.n = a->n, .kh = 3, .kw = 3, .packed = true},
                       channels, out) &&
           fine;
}

SHAPE_RULE(linear) {
    const ir_type *x = shape_operand(s, IR_IN(linear, x));
    if (!shape_is_float(s, IR_IN(linear, x))) return false;
    if (x->rank == 0) return shape_expected(s, IR_IN(linear, x), "at least one dimension");
    filter w = {0};
    const struct ir_attrs_linear *a = SHAPE_ATTRS(s, linear);
    if (!read_filter(s, IR_IN(linear, w), x->dim[x->rank - 1], a->n, a->precision, &w))
        return false;
    bool fine = true;
    if (w.kh != 1 || w.kw != 1) fine = shape_expected(s, IR_IN(linear, w), "a filter of 1 by 1");
    bool geglu = a->geglu;
    shape_set(out, x->rank, x->dim);
    out->dim[x->rank - 1] = geglu ? w.n / 2 : w.n;
    if (geglu && w.n % (2 * IR_BLOCK) != 0)
        fine = shape_expected(s, IR_IN(linear, w), "values and gates in turns of %d columns",
                              IR_BLOCK);
    if (geglu && (shape_operand(s, IR_IN(linear, residual)) || a->act != IR_ACT_NONE))
        fine = shape_fault(s, "geglu stands without residual and without activation");
    if (shape_operand(s, IR_IN(linear, bias)))
        fine &= shape_is_vector(s, IR_IN(linear, bias), w.n, w.packed);
    if (shape_operand(s, IR_IN(linear, residual)) && fine)
        fine &= shape_is(s, IR_IN(linear, residual), out);
    return fine;
}

SHAPE_RULE(feed_forward) {
    const struct ir_attrs_feed_forward *a = SHAPE_ATTRS(s, feed_forward);
    const ir_type *x = shape_operand(s, IR_IN(feed_forward, x));
    if (!shape_is_float(s, IR_IN(feed_forward, x))) return false;
    if (x->rank == 0) return shape_expected(s, IR_IN(feed_forward, x), "at least one dimension");
    if (!shape_in(s, "hidden", a->hidden, 1, IR_MAX_ELEMENTS / 2) ||
        !shape_in(s, "n", a->n, 1, IR_MAX_ELEMENTS))
        return false;
    if (a->hidden % IR_BLOCK != 0)
        return shape_fault(s, "attribute 'hidden' is %lld: a multiple of %d", (long long)a->hidden,
                           IR_BLOCK);
    filter w1 = {0}, w2 = {0};
    if (!read_filter(s, IR_IN(feed_forward, w1), x->dim[x->rank - 1], 2 * a->hidden, a->precision,
                     &w1) ||
        !read_filter(s, IR_IN(feed_forward, w2), a->hidden, a->n, a->precision, &w2))
        return false;
    bool fine = true;
    if (!w1.packed || w1.kh != 1 || w1.kw != 1)
        fine = shape_expected(s, IR_IN(feed_forward, w1), "a packed filter of 1 by 1");
    if (!w2.packed || w2.kh != 1 || w2.kw != 1)
        fine = shape_expected(s, IR_IN(feed_forward, w2), "a packed filter of 1 by 1");
    shape_set(out, x->rank, x->dim);
    out->dim[x->rank - 1] = a->n;
    if (shape_operand(s, IR_IN(feed_forward, b1)))
        fine &= shape_is_vector(s, IR_IN(feed_forward, b1), 2 * a->hidden, true);
    if (shape_operand(s, IR_IN(feed_forward, b2)))
        fine &= shape_is_vector(s, IR_IN(feed_forward, b2), a->n, true);
    if (shape_operand(s, IR_IN(feed_forward, residual)) && fine)
        fine &= shape_is(s, IR_IN(feed_forward, residual), out);
    return fine;
}

/* Batch axes broadcast as in numpy. */
SHAPE_RULE(matmul) {
    const ir_type *a = shape_operand(s, IR_IN(matmul, a)), *b = shape_operand(s, IR_IN(matmul, b));
    bool fine = shape_is_float(s, IR_IN(matmul, a));
    fine &= shape_is_float(s, IR_IN(matmul, b));
    if (a->rank < 2) fine = shape_expected(s, IR_IN(matmul, a), "at least 2 dimensions");
    if (b->rank < 2) fine = shape_expected(s, IR_IN(matmul, b), "at least 2 dimensions");
    if (!fine) return false;
    bool transposed = SHAPE_ATTRS(s, matmul)->transpose_b;
    int64_t m = a->dim[a->rank - 2], k = a->dim[a->rank - 1];
    int64_t bk = b->dim[b->rank - (transposed ? 1 : 2)], n = b->dim[b->rank - (transposed ? 2 : 1)];
    if (bk != k)
        return shape_expected(s, IR_IN(matmul, b), transposed ? "[...,n,%lld]" : "[...,%lld,n]",
                              (long long)k);
    uint32_t rank = a->rank > b->rank ? a->rank : b->rank;
    *out = (ir_type){.dtype = IR_f32, .rank = rank};
    for (uint32_t i = 0; i + 2 < rank; i++) {
        uint32_t from_end = rank - i;
        int64_t da = from_end <= a->rank ? a->dim[a->rank - from_end] : 1;
        int64_t db = from_end <= b->rank ? b->dim[b->rank - from_end] : 1;
        if (da != db && da != 1 && db != 1)
            return shape_expected(s, IR_IN(matmul, b),
                                  "batch axes that broadcast with operand 'a'");
        out->dim[i] = da == 1 ? db : da;
    }
    out->dim[rank - 2] = m;
    out->dim[rank - 1] = n;
    return true;
}

SHAPE_RULE(softmax) {
    const ir_type *x = shape_operand(s, IR_IN(softmax, x));
    uint32_t least = SHAPE_ATTRS(s, softmax)->causal ? 2 : 1;
    if (!shape_is_float(s, IR_IN(softmax, x))) return false;
    if (x->rank < least)
        return shape_expected(s, IR_IN(softmax, x), "at least %u dimensions", least);
    shape_set(out, x->rank, x->dim);
    return true;
}

/* ---- normalisation ---- */

static bool check_eps(const ir_shape *s, double eps) {
    return (eps >= 0.0 && isfinite(eps)) ||
           shape_fault(s, "attribute 'eps' is negative or not finite");
}

/* Operands x gamma beta x1? of group_norm and group_stats; the number of channels. */
static bool check_groups(const ir_shape *s, int64_t groups, double eps, bool padded,
                         int64_t *channels) {
    const ir_type *x = shape_operand(s, IR_IN(group_norm, x));
    if (!shape_is_float(s, IR_IN(group_norm, x))) return false;
    if (x->rank < 2) return shape_expected(s, IR_IN(group_norm, x), "[B,C,...]");
    *channels = x->dim[1];
    if (!add_second_input(s, IR_IN(group_norm, x1), channels)) return false;
    bool fine = check_eps(s, eps);
    if (groups < 1 || *channels % groups != 0)
        fine = shape_fault(s, "attribute 'groups' is %lld, which does not divide %lld channels",
                           (long long)groups, (long long)*channels);
    fine &= shape_is_vector(s, IR_IN(group_norm, gamma), *channels, padded);
    fine &= shape_is_vector(s, IR_IN(group_norm, beta), *channels, padded);
    return fine;
}

SHAPE_RULE(group_norm) {
    const struct ir_attrs_group_norm *a = SHAPE_ATTRS(s, group_norm);
    const ir_type *x = shape_operand(s, IR_IN(group_norm, x));
    int64_t channels = 0;
    if (!check_groups(s, a->groups, a->eps, false, &channels)) return false;
    shape_set(out, x->rank, x->dim);
    out->dim[1] = channels;
    return true;
}

SHAPE_RULE(group_stats) {
    const struct ir_attrs_stats *a = SHAPE_ATTRS(s, stats);
    int64_t channels = 0;
    if (!check_groups(s, a->groups, a->eps, true, &channels)) return false;
    shape_set(
        out, 3,
        (int64_t[]){shape_operand(s, IR_IN(group_stats, x))->dim[0], 2, ir_round_block(channels)});
    return true;
}

SHAPE_RULE(norm_apply) {
    const ir_type *x = shape_operand(s, IR_IN(norm_apply, x));
    if (!shape_is_float(s, IR_IN(norm_apply, x))) return false;
    if (x->rank < 2) return shape_expected(s, IR_IN(norm_apply, x), "[B,C,...]");
    shape_set(out, x->rank, x->dim);
    return check_stats(s, IR_IN(norm_apply, stats), x->dim[0], x->dim[1]);
}

SHAPE_RULE(layer_norm) {
    const ir_type *x = shape_operand(s, IR_IN(layer_norm, x));
    if (!shape_is_float(s, IR_IN(layer_norm, x))) return false;
    if (x->rank < 1) return shape_expected(s, IR_IN(layer_norm, x), "at least one dimension");
    shape_set(out, x->rank, x->dim);
    int64_t n = x->dim[x->rank - 1];
    bool fine = check_eps(s, SHAPE_ATTRS(s, norm)->eps);
    fine &= shape_is_vector(s, IR_IN(layer_norm, gamma), n, true);
    fine &= shape_is_vector(s, IR_IN(layer_norm, beta), n, true);
    return fine;
}

/* ---- embeddings ---- */

/* A table [rows, n], its columns padded up to whole blocks if `padded`. */
static bool check_table(const ir_shape *s, uint32_t i, int64_t least_rows, int64_t n, bool padded) {
    const ir_type *t = shape_operand(s, i);
    bool fits = t->dtype != IR_i32 && t->rank == 2 && t->dim[0] >= least_rows &&
                (t->dim[1] == n || (padded && t->dim[1] == ir_round_block(n)));
    return fits || shape_expected(s, i, "a table of %lld or more rows of %lld",
                                  (long long)least_rows, (long long)n);
}

SHAPE_RULE(embedding) {
    const ir_type *ids = shape_operand(s, IR_IN(embedding, ids)),
                  *table = shape_operand(s, IR_IN(embedding, table));
    int64_t n = SHAPE_ATTRS(s, embedding)->n;
    if (ids->dtype != IR_i32 || ids->rank < 1 || ids->rank > 2)
        return shape_expected(s, IR_IN(embedding, ids), "i32[B] or i32[B,T]");
    if (table->rank != 2) return shape_expected(s, IR_IN(embedding, table), "[V,C]");
    if (!shape_in(s, "n", n, 0, table->dim[1])) return false;
    bool padded = n != 0;
    if (!padded) n = table->dim[1];
    bool fine = check_table(s, IR_IN(embedding, table), 1, n, padded);
    if (shape_operand(s, IR_IN(embedding, position))) {
        if (ids->rank != 2)
            fine = shape_expected(s, IR_IN(embedding, ids), "i32[B,T], as there are positions");
        fine &= check_table(s, IR_IN(embedding, position), ids->dim[ids->rank - 1], n, padded);
    }
    shape_set(out, ids->rank, ids->dim);
    out->dim[out->rank++] = n;
    return fine;
}

SHAPE_RULE(select_row) {
    const ir_type *x = shape_operand(s, IR_IN(select_row, x)),
                  *ids = shape_operand(s, IR_IN(select_row, ids));
    if (!shape_is_rank(s, IR_IN(select_row, x), 3) ||
        !shape_in(s, "id", SHAPE_ATTRS(s, select_row)->id, -1, INT32_MAX))
        return false;
    if (ids->dtype != IR_i32 || ids->rank != 2 || ids->dim[0] != x->dim[0] ||
        ids->dim[1] != x->dim[1])
        return shape_expected(s, IR_IN(select_row, ids), "i32[%lld,%lld]", (long long)x->dim[0],
                              (long long)x->dim[1]);
    shape_set(out, 2, (int64_t[]){x->dim[0], x->dim[2]});
    return true;
}

SHAPE_RULE(nearest) {
    const ir_type *x = shape_operand(s, IR_IN(nearest, x));
    int64_t n = SHAPE_ATTRS(s, embedding)->n;
    if (!shape_is_rank(s, IR_IN(nearest, x), 3)) return false;
    if (n != 0 && !shape_in(s, "n", n, x->dim[2], x->dim[2])) return false;
    bool fine = check_table(s, IR_IN(nearest, table), 1, x->dim[2], n != 0);
    shape_set(out, 2, x->dim);
    out->dtype = IR_i32;
    return fine;
}

SHAPE_RULE(timestep_embedding) {
    const struct ir_attrs_timestep *a = SHAPE_ATTRS(s, timestep);
    if (!shape_is_rank(s, IR_IN(timestep_embedding, t), 1) ||
        !shape_in(s, "dim", a->dim, 2, SHAPE_WINDOW_MAX))
        return false;
    if (!((double)(a->dim / 2) - a->shift > 0.0))
        return shape_fault(s, "attribute 'shift' is not below dim / 2");
    if (!(a->max_period > 0.0)) return shape_fault(s, "attribute 'max_period' is not positive");
    shape_set(out, 2, (int64_t[]){shape_operand(s, IR_IN(timestep_embedding, t))->dim[0], a->dim});
    return true;
}

/* ---- images ---- */

SHAPE_RULE(resize_nearest) {
    const ir_i2 *size = &SHAPE_ATTRS(s, size)->size;
    const ir_type *x = shape_operand(s, IR_IN(resize_nearest, x));
    if (!shape_is_rank(s, IR_IN(resize_nearest, x), 4) ||
        !shape_in(s, "size", size->v[0], 1, SHAPE_WINDOW_MAX) ||
        !shape_in(s, "size", size->v[1], 1, SHAPE_WINDOW_MAX))
        return false;
    shape_set(out, 4, (int64_t[]){x->dim[0], x->dim[1], size->v[0], size->v[1]});
    return true;
}

/* A window lies at least partly on the image, so that a maximum is never over nothing. */
static bool pool(const ir_shape *s, ir_type *out) {
    const struct ir_attrs_pool *a = SHAPE_ATTRS(s, pool);
    const ir_type *x = shape_operand(s, IR_IN(max_pool2d, x));
    bool fine = shape_is_rank(s, IR_IN(max_pool2d, x), 4);
    for (int i = 0; i < 2; i++) {
        fine &= shape_in(s, "kernel", a->kernel.v[i], 1, SHAPE_WINDOW_MAX);
        fine &= shape_in(s, "stride", a->stride.v[i], 1, SHAPE_WINDOW_MAX);
    }
    for (int i = 0; fine && i < 4; i++)
        fine &= shape_in(s, "pad", a->pad.v[i], 0, a->kernel.v[i % 2] - 1);
    int64_t oh, ow;
    if (!fine ||
        !shape_window(s, "height", x->dim[2], a->pad.v[0], a->pad.v[2], a->kernel.v[0],
                      a->stride.v[0], &oh) ||
        !shape_window(s, "width", x->dim[3], a->pad.v[1], a->pad.v[3], a->kernel.v[1],
                      a->stride.v[1], &ow))
        return false;
    shape_set(out, 4, (int64_t[]){x->dim[0], x->dim[1], oh, ow});
    return true;
}

SHAPE_RULE(max_pool2d) {
    return pool(s, out);
}

SHAPE_RULE(avg_pool2d) {
    return pool(s, out);
}

/* ---- attention ---- */

/* Tokens [B,T,C] with C a multiple of heads. */
static bool check_tokens(const ir_shape *s, uint32_t i, int64_t heads) {
    const ir_type *t = shape_operand(s, i);
    if (!shape_is_rank(s, i, 3)) return false;
    return (heads >= 1 && t->dim[2] % heads == 0) ||
           shape_fault(
               s,
               "attribute 'heads' is %lld, which does not divide the %lld channels of operand '%s'",
               (long long)heads, (long long)t->dim[2], s->info->operand_name[i]);
}

SHAPE_RULE(attention) {
    const ir_type *q = shape_operand(s, IR_IN(attention, q)),
                  *k = shape_operand(s, IR_IN(attention, k));
    if (!check_tokens(s, IR_IN(attention, q), SHAPE_ATTRS(s, attention)->heads)) return false;
    bool fine = true;
    int64_t length = k->rank == 3 ? k->dim[1] : 0;
    for (uint32_t i = IR_IN(attention, k); i <= IR_IN(attention, v); i++) {
        const ir_type *t = shape_operand(s, i);
        if (t->dtype == IR_i32 || t->rank != 3 || (t->dim[0] != q->dim[0] && t->dim[0] != 1) ||
            t->dim[1] != length || t->dim[2] != q->dim[2])
            fine = shape_expected(s, i, "f32[%lld,%lld,%lld]", (long long)q->dim[0],
                                  (long long)length, (long long)q->dim[2]);
    }
    shape_set(out, 3, q->dim);
    return fine;
}

/* Keys [b,s,heads*d] packed for a precision: rows of d channels a key; in bf16 blocks of 32
 * channels, the keys filled up to whole tiles of 16. */
static ir_type packed_keys(ir_precision p, int64_t b, int64_t heads, int64_t s, int64_t d) {
    if (p == IR_PRECISION_F32) return ir_type_make(IR_f32, 4, (int64_t[]){b, heads, s, d});
    return ir_type_make(
        IR_bf16, 6,
        (int64_t[]){b, heads, ir_parts(p), bf16_blocks(d), ir_round_block(s), IR_BF16_BLOCK});
}

/* Values: channels of 16 keys; in bf16 of 32, the channels filled up to whole tiles of 16. */
static ir_type packed_values(ir_precision p, int64_t b, int64_t heads, int64_t s, int64_t d) {
    if (p == IR_PRECISION_F32)
        return ir_type_make(IR_f32, 5, (int64_t[]){b, heads, blocks(s), d, IR_BLOCK});
    return ir_type_make(
        IR_bf16, 6,
        (int64_t[]){b, heads, ir_parts(p), bf16_blocks(s), ir_round_block(d), IR_BF16_BLOCK});
}

SHAPE_RULE(pack_k) {
    const ir_type *k = shape_operand(s, IR_IN(pack_k, k));
    const struct ir_attrs_heads *a = SHAPE_ATTRS(s, heads);
    if (!check_tokens(s, IR_IN(pack_k, k), a->heads)) return false;
    *out = packed_keys(a->precision, k->dim[0], a->heads, k->dim[1], k->dim[2] / a->heads);
    return true;
}

SHAPE_RULE(pack_v) {
    const ir_type *v = shape_operand(s, IR_IN(pack_v, v));
    const struct ir_attrs_heads *a = SHAPE_ATTRS(s, heads);
    if (!check_tokens(s, IR_IN(pack_v, v), a->heads)) return false;
    *out = packed_values(a->precision, v->dim[0], a->heads, v->dim[1], v->dim[2] / a->heads);
    return true;
}

/* A packed operand: of the wanted type, or with 1 for the batch. */
static bool check_packed(const ir_shape *s, uint32_t i, ir_type want) {
    const ir_type *t = shape_operand(s, i);
    int64_t batch = want.dim[0];
    if (ir_type_equal(t, &want)) return true;
    want.dim[0] = 1;
    if (ir_type_equal(t, &want)) return true;
    want.dim[0] = batch;
    base_str text = {0};
    ir_print_type(&want, &text);
    shape_expected(s, i, "%s", text.data);
    base_str_free(&text);
    return false;
}

SHAPE_RULE(attention_tiled) {
    const struct ir_attrs_attention_tiled *a = SHAPE_ATTRS(s, attention_tiled);
    const ir_type *q = shape_operand(s, IR_IN(attention_tiled, q));
    if (!check_tokens(s, IR_IN(attention_tiled, q), a->heads) ||
        !shape_in(s, "kv_len", a->kv_len, 1, IR_MAX_ELEMENTS))
        return false;
    int64_t width = q->dim[2] / a->heads;
    bool fine = check_packed(s, IR_IN(attention_tiled, kp),
                             packed_keys(a->precision, q->dim[0], a->heads, a->kv_len, width));
    fine &= check_packed(s, IR_IN(attention_tiled, vp),
                         packed_values(a->precision, q->dim[0], a->heads, a->kv_len, width));
    shape_set(out, 3, q->dim);
    return fine;
}

/* ---- weight packing ---- */

SHAPE_RULE(pack_conv_weight) {
    const ir_type *w = shape_operand(s, IR_IN(pack_conv_weight, w));
    if (!shape_is_float(s, IR_IN(pack_conv_weight, w))) return false;
    if (w->rank != 2 && w->rank != 4)
        return shape_expected(s, IR_IN(pack_conv_weight, w), "[N,K] or [N,C,kh,kw]");
    int64_t kh = w->rank == 4 ? w->dim[2] : 1, kw = w->rank == 4 ? w->dim[3] : 1;
    *out = packed_filter(SHAPE_ATTRS(s, pack)->precision, w->dim[0], w->dim[1], kh, kw);
    return true;
}

SHAPE_RULE(pack_winograd_weight) {
    const ir_type *w = shape_operand(s, IR_IN(pack_winograd_weight, w));
    const struct ir_attrs_tile *a = SHAPE_ATTRS(s, tile);
    if (!shape_is_float(s, IR_IN(pack_winograd_weight, w)) || !check_tile(s, a->tile, a->precision))
        return false;
    if (w->rank != 4 || w->dim[2] != 3 || w->dim[3] != 3)
        return shape_expected(s, IR_IN(pack_winograd_weight, w), "[N,C,3,3]");
    *out = transformed_filter(a->precision, a->tile, w->dim[0], w->dim[1]);
    return true;
}

SHAPE_RULE(phase_filter) {
    const ir_type *w = shape_operand(s, IR_IN(phase_filter, w));
    if (!shape_is_float(s, IR_IN(phase_filter, w))) return false;
    if (w->rank != 4 || w->dim[2] != 3 || w->dim[3] != 3)
        return shape_expected(s, IR_IN(phase_filter, w), "[N,C,3,3]");
    shape_set(out, 4, (int64_t[]){4 * ir_round_block(w->dim[0]), w->dim[1], 2, 2});
    return true;
}

SHAPE_RULE(pack_vector) {
    if (!shape_is_rank(s, IR_IN(pack_vector, v), 1)) return false;
    shape_set(out, 1, (int64_t[]){ir_round_block(shape_operand(s, IR_IN(pack_vector, v))->dim[0])});
    return true;
}

SHAPE_RULE(pack_table) {
    const ir_type *t = shape_operand(s, IR_IN(pack_table, t));
    if (!shape_is_rank(s, IR_IN(pack_table, t), 2)) return false;
    shape_set(out, 2, (int64_t[]){t->dim[0], ir_round_block(t->dim[1])});
    return true;
}
