/* layout: every value gets a layout, weights are packed, image/token changes become views.
 *
 *   before   %1 = conv2d %0, @w, @b {pad=[1,1,1,1]} : f32[1,64,8,8]
 *            %2 = reshape %1 {shape=[1,64,64]} : f32[1,64,64]
 *            %3 = transpose %2 {perm=[0,2,1]} : f32[1,64,64]
 *   after    %1 = layout_cast %0 : f32[1,4,8,8]:c16
 *            %2 = pack_conv_weight @w : f32[4,1,3,3,16,16]
 *            %3 = pack_vector @b : f32[64]
 *            %4 = conv2d %1, %2, %3 {pad=[1,1,1,1], n=64} : f32[1,64,8,8]:c16
 *            %5 = view %4 {shape=[1,64,64]} : f32[1,64,64]:c16
 *
 * Every op with a c16 kernel computes in c16; what is left (matmul, softmax, transposes, reshapes
 * that move channels) in plain. A value is cast where its user wants the other layout, once (casts
 * are interned). Inputs and outputs are plain, as the outside sees them, except values that pass
 * between the stages of a network: their layout follows from the type alone, so that both sides
 * agree. Elementwise ops become ew nodes here if no fusion made them one; group_norm becomes
 * group_stats and norm_apply.
 *
 * here    after all fusions, which match on logical shapes; before attention is tiled (packed K
 *         and V are not c16)
 * not     a search for the cheapest assignment: with one blocked layout there is nothing to choose
 *         between neighbours
 * tests   tests/lit/passes/layout/, tests/unit/passes/pipeline_variations_test.c */
#include "passes/manager/match.h"

typedef struct layout_state {
    pass_context *c;
    bool *constant; /* of the old nodes: they depend on weights only */
} layout_state;

/* ---- operands in the layout an op wants ---- */

static ir_ref c16(ir_rewrite *rw, ir_ref old) {
    return ir_ref_ok(old) ? pass_in_layout(rw->to, rw_new(rw, old), IR_C16) : IR_NONE;
}

static ir_ref plain(ir_rewrite *rw, ir_ref old) {
    return ir_ref_ok(old) ? pass_in_layout(rw->to, rw_new(rw, old), IR_PLAIN) : IR_NONE;
}

static ir_ref packed(ir_rewrite *rw, ir_op pack, ir_ref old) {
    if (!ir_ref_ok(old)) return IR_NONE;
    ir_ref w = rw_new(rw, old);
    const ir_node *n = ir_get(rw->to, w);
    if ((ir_op_get(n->op)->flags & IR_FLAG_PACK) || n->type.rank >= 6)
        return w; /* packed already */
    return ir_op1(rw->to, pack, w, NULL, ir_get(rw->to, w)->origin);
}

/* ---- ops ---- */

static ir_ref lay_conv2d(ir_rewrite *rw, const ir_node *n) {
    enum { X, W, BIAS, X1, NORM, TBIAS, RESIDUAL, COUNT };
    struct ir_attrs_conv2d a = *IR_ATTRS(n, conv2d);
    a.n = n->type.dim[1];
    ir_ref operand[COUNT] = {
        [X] = c16(rw, n->operand[X]),
        [W] = packed(rw, IR_OP_pack_conv_weight, n->operand[W]),
        [BIAS] = packed(rw, IR_OP_pack_vector, ir_operand(n, BIAS)),
        [X1] = c16(rw, ir_operand(n, X1)),
        [NORM] = plain(rw, ir_operand(n, NORM)),
        [TBIAS] = c16(rw, ir_operand(n, TBIAS)),
        [RESIDUAL] = c16(rw, ir_operand(n, RESIDUAL)),
    };
    return ir_build(rw->to, IR_OP_conv2d, operand, COUNT, &a, IR_C16, n->origin);
}

/* Tokens or vectors; other ranks are seen as one row of tokens on the way. `last` is the extent of
 * the last axis. */
static ir_ref as_tokens(ir_rewrite *rw, ir_ref old, int64_t last, ir_origin_id origin) {
    if (!ir_ref_ok(old)) return IR_NONE;
    const ir_type *t = ir_typeof(rw->from, old);
    if (t->rank == 2 || t->rank == 3) return c16(rw, old);
    int64_t rows = ir_type_elements(t) / last;
    ir_ref r = pass_reshape(rw->to, plain(rw, old), 3, (int64_t[]){1, rows, last}, origin);
    return pass_in_layout(rw->to, r, IR_C16);
}

static ir_ref from_tokens(ir_rewrite *rw, ir_ref y, const ir_node *n) {
    if (n->type.rank == 2 || n->type.rank == 3) return y;
    y = pass_in_layout(rw->to, y, IR_PLAIN);
    return pass_reshape(rw->to, y, n->type.rank, n->type.dim, n->origin);
}

static int64_t last_dim(const ir_type *t) {
    return t->dim[t->rank - 1];
}

static ir_ref lay_linear(ir_rewrite *rw, const ir_node *n) {
    enum { X, W, BIAS, RESIDUAL, COUNT };
    struct ir_attrs_linear a = *IR_ATTRS(n, linear);
    a.n = last_dim(&n->type) * (a.geglu ? 2 : 1);
    ir_ref operand[COUNT] = {
        [X] = as_tokens(rw, n->operand[X], last_dim(ir_typeof(rw->from, n->operand[X])), n->origin),
        [W] = packed(rw, IR_OP_pack_conv_weight, n->operand[W]),
        [BIAS] = packed(rw, IR_OP_pack_vector, ir_operand(n, BIAS)),
        [RESIDUAL] = as_tokens(rw, ir_operand(n, RESIDUAL), a.n, n->origin),
    };
    return from_tokens(rw, ir_build(rw->to, IR_OP_linear, operand, COUNT, &a, IR_C16, n->origin),
                       n);
}

static ir_ref lay_layer_norm(ir_rewrite *rw, const ir_node *n) {
    ir_ref operand[] = {as_tokens(rw, n->operand[0], last_dim(&n->type), n->origin),
                        packed(rw, IR_OP_pack_vector, n->operand[1]),
                        packed(rw, IR_OP_pack_vector, n->operand[2])};
    return from_tokens(
        rw, ir_build(rw->to, IR_OP_layer_norm, operand, 3, n->attrs, IR_C16, n->origin), n);
}

static ir_ref lay_geglu(ir_rewrite *rw, const ir_node *n) {
    ir_ref x = as_tokens(rw, n->operand[0], 2 * last_dim(&n->type), n->origin);
    return from_tokens(rw, ir_build(rw->to, IR_OP_geglu, &x, 1, NULL, IR_C16, n->origin), n);
}

/* [B,C,...] as a c16 image; other ranks than 4 become [B,C,rest,1]. */
static ir_ref as_image(ir_rewrite *rw, ir_ref old, ir_origin_id origin) {
    if (!ir_ref_ok(old)) return IR_NONE;
    const ir_type *t = ir_typeof(rw->from, old);
    if (t->rank == 4) return c16(rw, old);
    int64_t rest = ir_type_elements(t) / (t->dim[0] * t->dim[1]);
    ir_ref r =
        pass_reshape(rw->to, plain(rw, old), 4, (int64_t[]){t->dim[0], t->dim[1], rest, 1}, origin);
    return pass_in_layout(rw->to, r, IR_C16);
}

static ir_ref lay_group_norm(ir_rewrite *rw, const ir_node *n) {
    enum { X, GAMMA, BETA, X1, COUNT };
    const struct ir_attrs_group_norm *g = IR_ATTRS(n, group_norm);
    struct ir_attrs_stats a = IR_DEFAULTS(stats);
    a.groups = g->groups;
    a.eps = g->eps;
    ir_ref operand[COUNT] = {as_image(rw, n->operand[X], n->origin),
                             packed(rw, IR_OP_pack_vector, n->operand[GAMMA]),
                             packed(rw, IR_OP_pack_vector, n->operand[BETA]),
                             as_image(rw, ir_operand(n, X1), n->origin)};
    ir_ref stats = ir_build(rw->to, IR_OP_group_stats, operand, COUNT, &a, IR_PLAIN, n->origin);
    ir_ref x = operand[X];
    if (ir_ref_ok(operand[X1])) { /* the application needs one tensor */
        struct ir_attrs_axis axis = {.axis = 1};
        ir_ref both[] = {operand[X], operand[X1]};
        x = ir_build(rw->to, IR_OP_concat, both, 2, &axis, IR_C16, n->origin);
    }
    struct ir_attrs_act act = {.act = g->act};
    ir_ref apply[] = {x, stats};
    ir_ref y = ir_build(rw->to, IR_OP_norm_apply, apply, 2, &act, IR_C16, n->origin);
    if (n->type.rank == 4) return y;
    y = pass_in_layout(rw->to, y, IR_PLAIN);
    return pass_reshape(rw->to, y, n->type.rank, n->type.dim, n->origin);
}

static ir_ref lay_group_stats(ir_rewrite *rw, const ir_node *n) {
    ir_ref operand[] = {
        as_image(rw, n->operand[0], n->origin), packed(rw, IR_OP_pack_vector, n->operand[1]),
        packed(rw, IR_OP_pack_vector, n->operand[2]), as_image(rw, ir_operand(n, 3), n->origin)};
    return ir_build(rw->to, IR_OP_group_stats, operand, 4, n->attrs, IR_PLAIN, n->origin);
}

static ir_ref lay_embedding(ir_rewrite *rw, const ir_node *n) {
    struct ir_attrs_embedding a = *IR_ATTRS(n, embedding);
    a.n = last_dim(&n->type);
    ir_ref operand[] = {rw_new(rw, n->operand[0]), packed(rw, IR_OP_pack_table, n->operand[1]),
                        packed(rw, IR_OP_pack_table, ir_operand(n, 2))};
    return ir_build(rw->to, IR_OP_embedding, operand, 3, &a, IR_C16, n->origin);
}

static ir_ref lay_select_row(ir_rewrite *rw, const ir_node *n) {
    ir_ref operand[] = {c16(rw, n->operand[0]), rw_new(rw, n->operand[1])};
    return ir_build(rw->to, n->op, operand, 2, n->attrs, IR_C16, n->origin);
}

/* All float operands c16, or all plain. */
static ir_ref lay_uniform(ir_rewrite *rw, const ir_node *n, ir_layout layout, ir_layout result) {
    ir_ref operand[IR_MAX_OPERANDS];
    for (uint32_t i = 0; i < n->operand_count; i++)
        operand[i] = layout == IR_C16 ? c16(rw, n->operand[i]) : plain(rw, n->operand[i]);
    return ir_build(rw->to, n->op, operand, n->operand_count, n->attrs, result, n->origin);
}

/* Ops whose layouts are what they are about: operands as they were. */
static ir_ref lay_as_it_was(ir_rewrite *rw, const ir_node *n) {
    ir_ref operand[IR_MAX_OPERANDS];
    for (uint32_t i = 0; i < n->operand_count; i++) {
        operand[i] = rw_new(rw, n->operand[i]);
        bool computed =
            ir_ref_ok(operand[i]) && !((const layout_state *)rw->user)->constant[n->operand[i].id];
        if (computed && ir_typeof(rw->to, operand[i])->dtype != IR_bf16) /* which is packed */
            operand[i] =
                pass_in_layout(rw->to, operand[i], ir_typeof(rw->from, n->operand[i])->layout);
    }
    return ir_build(rw->to, n->op, operand, n->operand_count, n->attrs, n->type.layout, n->origin);
}

/* Some operand that is computed at run time lies in c16 already. */
static bool any_c16(const ir_rewrite *rw, const ir_node *n) {
    const bool *constant = ((const layout_state *)rw->user)->constant;
    for (uint32_t i = 0; i < n->operand_count; i++)
        if (ir_ref_ok(n->operand[i]) && !constant[n->operand[i].id] &&
            ir_typeof(rw->to, rw_new(rw, n->operand[i]))->layout == IR_C16)
            return true;
    return false;
}

/* An operand of an elementwise op in c16: of the result's rank, or one plain element. */
static ir_ref c16_operand(ir_rewrite *rw, ir_ref old, const ir_type *result, ir_origin_id origin) {
    ir_type t = *ir_typeof(rw->from, old);
    if (ir_shape_equal(&t, result)) return c16(rw, old);
    if (ir_type_elements(&t) == 1)
        return pass_reshape(rw->to, plain(rw, old), 1, (int64_t[]){1}, origin);
    if (t.rank == result->rank) return c16(rw, old);
    int64_t dim[IR_MAX_RANK];
    for (uint32_t i = 0; i < result->rank; i++)
        dim[i] = i + t.rank < result->rank ? 1 : t.dim[i + t.rank - result->rank];
    ir_ref r = pass_reshape(rw->to, plain(rw, old), result->rank, dim, origin);
    return pass_in_layout(rw->to, r, IR_C16);
}

static ir_ref lay_elementwise(ir_rewrite *rw, const ir_node *n) {
    ir_expr_step steps[IR_EXPR_MAX];
    uint32_t count = ir_expr_of_node(n, steps, NULL);
    base_str expr = {0};
    ir_expr_print(steps, count, &expr);
    struct ir_attrs_ew a = {.expr = expr.data};
    bool blocked = any_c16(rw, n) && n->type.rank >= 2 && n->type.rank <= 4;
    ir_ref operand[IR_MAX_OPERANDS];
    for (uint32_t i = 0; i < n->operand_count; i++)
        operand[i] = blocked ? c16_operand(rw, n->operand[i], &n->type, n->origin)
                             : plain(rw, n->operand[i]);
    ir_ref r = ir_build(rw->to, IR_OP_ew, operand, n->operand_count, &a,
                        blocked ? IR_C16 : IR_PLAIN, n->origin);
    base_str_free(&expr);
    return r;
}

static ir_ref lay_concat(ir_rewrite *rw, const ir_node *n) {
    bool channels = IR_ATTRS(n, axis)->axis == ir_channel_axis(&n->type) && n->type.dtype == IR_f32;
    ir_layout l = channels && any_c16(rw, n) ? IR_C16 : IR_PLAIN;
    return lay_uniform(rw, n, l, l);
}

static ir_ref lay_slice(ir_rewrite *rw, const ir_node *n) {
    const struct ir_attrs_slice *a = IR_ATTRS(n, slice);
    bool whole = a->axis != ir_channel_axis(&n->type) || a->start % IR_BLOCK == 0;
    ir_layout l = whole && any_c16(rw, n) ? IR_C16 : IR_PLAIN;
    return lay_uniform(rw, n, l, l);
}

/* ---- changes of shape ---- */

static ir_ref view_as(ir_rewrite *rw, ir_ref x, const ir_node *n) {
    struct ir_attrs_shape a = IR_DEFAULTS(shape);
    a.shape.n = n->type.rank;
    for (uint32_t i = 0; i < n->type.rank; i++) a.shape.v[i] = n->type.dim[i];
    return ir_build(rw->to, IR_OP_view, &x, 1, &a, IR_C16, n->origin);
}

/* A reshape and a transpose that together turn an image into its tokens, or back: the source, else
 * IR_NONE. */
static ir_ref image_tokens(const ir_func *f, const ir_node *n) {
    static const int64_t swap[] = {0, 2, 1}, to_last[] = {0, 2, 3, 1}, from_last[] = {0, 3, 1, 2};
    const ir_node *in = ir_get(f, n->operand[0]);
    if (in->op != IR_OP_reshape && in->op != IR_OP_transpose) return IR_NONE;
    ir_ref source = in->operand[0];
    const ir_type *s = ir_typeof(f, source), *y = &n->type;
    pass_bcp a, b;
    if (s->dtype != IR_f32 || !pass_bcp_of(s, &a) || !pass_bcp_of(y, &b)) return IR_NONE;
    if (a.b != b.b || a.c != b.c || a.p != b.p) return IR_NONE;
    if (s->rank == 4 && y->rank == 3) {
        if (in->op == IR_OP_reshape && in->type.rank == 3 && pass_is_perm(n, 3, swap))
            return source;
        if (pass_is_perm(in, 4, to_last) && n->op == IR_OP_reshape) return source;
    }
    if (s->rank == 3 && y->rank == 4) {
        if (pass_is_perm(in, 3, swap) && n->op == IR_OP_reshape) return source;
        if (in->op == IR_OP_reshape && in->type.rank == 4 && pass_is_perm(n, 4, from_last))
            return source;
    }
    return IR_NONE;
}

/* A reshape that leaves batch and channels where they are. */
static bool keeps_channels(const ir_type *from, const ir_type *to) {
    pass_bcp a, b;
    if (!pass_bcp_of(from, &a) || !pass_bcp_of(to, &b) || a.b != b.b || a.c != b.c || a.p != b.p)
        return false;
    return (from->rank == 3) == (to->rank == 3) || a.p == 1;
}

static ir_ref lay_reshape(ir_rewrite *rw, const ir_node *n) {
    ir_ref source = image_tokens(rw->from, n);
    if (ir_ref_ok(source)) return view_as(rw, c16(rw, source), n);
    ir_ref x = rw_new(rw, n->operand[0]);
    const ir_type *t = ir_typeof(rw->to, x);
    if (n->op == IR_OP_reshape && t->layout == IR_C16 && keeps_channels(t, &n->type))
        return view_as(rw, x, n);
    return lay_uniform(rw, n, IR_PLAIN, IR_PLAIN);
}

/* ---- the pass ---- */

/* What passes between stages: images of whole blocks, tokens and vectors lie in c16. */
static ir_layout internal_layout(const ir_type *t) {
    if (t->dtype != IR_f32 || t->rank < 2 || t->rank > 4) return IR_PLAIN;
    return t->rank == 4 && t->dim[1] % IR_BLOCK != 0 ? IR_PLAIN : IR_C16;
}

static ir_ref lay_input(ir_rewrite *rw, const ir_node *n) {
    const struct ir_attrs_input *a = IR_ATTRS(n, input);
    ir_type t = n->type;
    if (pass_is_internal(a->name) && t.layout == IR_PLAIN) t.layout = internal_layout(&t);
    return ir_input_like(rw->to, n, &t);
}

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    const layout_state *s = rw->user;
    const ir_node *n = ir_get(rw->from, old);
    if (n->op == IR_OP_input) return lay_input(rw, n);
    if (s->constant[old.id]) return IR_NONE; /* computed at compile time */
    if (ir_op_get(n->op)->flags & IR_FLAG_EW) return lay_elementwise(rw, n);
    switch (n->op) {
    case IR_OP_conv2d: return lay_conv2d(rw, n);
    case IR_OP_linear: return lay_linear(rw, n);
    case IR_OP_layer_norm: return lay_layer_norm(rw, n);
    case IR_OP_geglu: return lay_geglu(rw, n);
    case IR_OP_group_norm: return lay_group_norm(rw, n);
    case IR_OP_group_stats: return lay_group_stats(rw, n);
    case IR_OP_embedding: return lay_embedding(rw, n);
    case IR_OP_select_row: return lay_select_row(rw, n);
    case IR_OP_attention:
    case IR_OP_resize_nearest:
    case IR_OP_max_pool2d:
    case IR_OP_avg_pool2d: return lay_uniform(rw, n, IR_C16, IR_C16);
    case IR_OP_timestep_embedding: return lay_uniform(rw, n, IR_PLAIN, IR_C16);
    case IR_OP_norm_apply: {
        ir_ref operand[] = {c16(rw, n->operand[0]), plain(rw, n->operand[1])};
        return ir_build(rw->to, n->op, operand, 2, n->attrs, IR_C16, n->origin);
    }
    case IR_OP_concat: return lay_concat(rw, n);
    case IR_OP_slice: return lay_slice(rw, n);
    case IR_OP_reshape:
    case IR_OP_transpose: return lay_reshape(rw, n);
    case IR_OP_matmul:
    case IR_OP_softmax: return lay_uniform(rw, n, IR_PLAIN, IR_PLAIN);
    default: return lay_as_it_was(rw, n);
    }
}

/* Outputs lie as their readers expect them. */
static bool lay_outputs(ir_func *f) {
    bool changed = false;
    for (size_t i = 0; i < f->outputs.count; i++) {
        ir_ref value = f->outputs.items[i].value;
        const ir_type *t = ir_typeof(f, value);
        ir_layout l = pass_is_internal(f->outputs.items[i].name) ? internal_layout(t) : IR_PLAIN;
        ir_ref cast = pass_in_layout(f, value, l);
        changed |= !ir_ref_eq(cast, value);
        f->outputs.items[i].value = cast;
    }
    return changed;
}

bool pass_layout(pass_context *c, ir_func *f) {
    layout_state s = {.c = c, .constant = ir_constants(f)};
    bool changed = ir_rewrite_apply(f, rule, &s, false);
    base_free(s.constant);
    if (lay_outputs(f)) changed = true;
    return pass_dce(c, f) || changed;
}
