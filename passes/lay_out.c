/* lay_out: every value gets a layout; image/token changes become views.
 *
 *   before   %1 = conv2d %0, @w, @b {pad=[1,1,1,1]} : f32[1,64,8,8]
 *            %2 = reshape %1 {shape=[1,64,64]} : f32[1,64,64]
 *            %3 = transpose %2 {perm=[0,2,1]} : f32[1,64,64]
 *   after    %1 = layout_cast %0 : f32[1,4,8,8]:c16
 *            %2 = conv2d %1, @w, @b {pad=[1,1,1,1]} : f32[1,64,8,8]:c16
 *            %3 = view %2 {shape=[1,64,64]} : f32[1,64,64]:c16
 *
 * The rows of ops.def say how kernels read each operand and write the result: every op with a c16
 * kernel computes in c16; what is left (matmul, softmax, transposes, reshapes that move channels)
 * in plain. A value is cast where its user wants the other layout, once (casts are interned).
 * Inputs and outputs are plain, as the outside sees them, except values that pass between the
 * stages of a network: their layout follows from the type alone, so that both sides agree.
 * Elementwise ops become ew nodes here if no fusion made them one; group_norm becomes group_stats
 * and norm_apply.
 *
 * here    after all fusions, which match on logical shapes; before weights are packed and attention
 *         is tiled (packed weights, K and V are not c16)
 * not     a search for the cheapest assignment: with one blocked layout there is nothing to choose
 *         between neighbours
 * tests   tests/lit/passes/lay_out/, tests/unit/passes/pipeline_variations_test.c */
#include "passes/manager/match.h"

/* ---- operands as kernels read them ---- */

static ir_ref c16(ir_rewrite *rw, ir_ref old) {
    return pass_in_layout(rw->to, rw_new(rw, old), IR_C16);
}

static ir_ref plain(ir_rewrite *rw, ir_ref old) {
    return pass_in_layout(rw->to, rw_new(rw, old), IR_PLAIN);
}

/* Tokens or vectors; other ranks are seen as one row of tokens on the way. */
static ir_ref as_tokens(ir_rewrite *rw, ir_ref old, ir_origin_id origin) {
    const ir_type *t = ir_typeof(rw->from, old);
    if (t->rank == 2 || t->rank == 3) return c16(rw, old);
    int64_t last = t->dim[t->rank - 1], rows = ir_type_elements(t) / last;
    ir_ref r = pass_reshape(rw->to, plain(rw, old), 3, (int64_t[]){1, rows, last}, origin);
    return pass_in_layout(rw->to, r, IR_C16);
}

/* [B,C,...] as a c16 image; other ranks than 4 become [B,C,rest,1]. */
static ir_ref as_image(ir_rewrite *rw, ir_ref old, ir_origin_id origin) {
    const ir_type *t = ir_typeof(rw->from, old);
    if (t->rank == 4) return c16(rw, old);
    int64_t rest = ir_type_elements(t) / (t->dim[0] * t->dim[1]);
    ir_ref r =
        pass_reshape(rw->to, plain(rw, old), 4, (int64_t[]){t->dim[0], t->dim[1], rest, 1}, origin);
    return pass_in_layout(rw->to, r, IR_C16);
}

/* Operand k in its role. */
static ir_ref operand_of(ir_rewrite *rw, const ir_node *n, uint32_t k) {
    ir_ref old = n->operand[k];
    if (!ir_ref_ok(old)) return IR_NONE;
    switch (ir_op_get(n->op)->operand_role[k]) {
    case IR_ROLE_PLAIN: return plain(rw, old);
    case IR_ROLE_C16: return c16(rw, old);
    case IR_ROLE_TOKENS: return as_tokens(rw, old, n->origin);
    case IR_ROLE_IMAGE: return as_image(rw, old, n->origin);
    case IR_ROLE_ANY:
    case IR_ROLE_SAME:   /* lay_same */
    case IR_ROLE_FILTER: /* pack_weights */
    case IR_ROLE_VECTOR:
    case IR_ROLE_TABLE: break;
    }
    return rw_new(rw, old);
}

/* The node with its operands in their roles. */
static ir_node in_roles(ir_rewrite *rw, const ir_node *n, ir_layout result) {
    ir_node draft = *n;
    for (uint32_t k = 0; k < n->operand_count; k++) draft.operand[k] = operand_of(rw, n, k);
    draft.type.layout = result;
    return draft;
}

/* ---- ops ---- */

static ir_ref lay_by_roles(ir_rewrite *rw, const ir_node *n, ir_layout result) {
    ir_node draft = in_roles(rw, n, result);
    return rw_build(rw, &draft);
}

/* A result of another rank than the kernel's, back in its own. */
static ir_ref in_own_shape(ir_rewrite *rw, ir_ref y, const ir_node *n) {
    y = pass_in_layout(rw->to, y, IR_PLAIN);
    return pass_reshape(rw->to, y, n->type.rank, n->type.dim, n->origin);
}

static ir_ref lay_tokens(ir_rewrite *rw, const ir_node *n) {
    ir_ref y = lay_by_roles(rw, n, IR_C16);
    return n->type.rank == 2 || n->type.rank == 3 ? y : in_own_shape(rw, y, n);
}

static ir_ref lay_group_norm(ir_rewrite *rw, const ir_node *n) {
    const struct ir_attrs_group_norm *g = IR_ATTRS(n, group_norm);
    struct ir_attrs_stats a = {.groups = g->groups, .eps = g->eps};
    ir_node stats = in_roles(rw, n, IR_PLAIN);
    stats.op = IR_OP_group_stats;
    stats.attrs = &a;
    ir_ref x = IR_OPERAND(&stats, group_stats, x), x1 = IR_OPERAND(&stats, group_stats, x1);
    ir_ref scale = rw_build(rw, &stats);
    if (ir_ref_ok(x1)) { /* the application needs one tensor */
        struct ir_attrs_axis axis = {.axis = 1};
        ir_ref both[] = {x, x1};
        x = ir_build(rw->to, IR_OP_concat, both, 2, &axis, IR_C16, n->origin);
    }
    struct ir_attrs_act act = {.act = g->act};
    ir_ref apply[] = {[IR_IN(norm_apply, x)] = x, [IR_IN(norm_apply, stats)] = scale};
    ir_ref y = ir_build(rw->to, IR_OP_norm_apply, apply, 2, &act, IR_C16, n->origin);
    return n->type.rank == 4 ? y : in_own_shape(rw, y, n);
}

/* An op whose layout is its own affair: operands as they were. */
static ir_ref lay_kept(ir_rewrite *rw, const ir_node *n) {
    const bool *constant = rw->user; /* of the old nodes: they depend on weights only */
    ir_node draft = *n;
    for (uint32_t k = 0; k < n->operand_count; k++) {
        ir_ref old = n->operand[k];
        draft.operand[k] = rw_new(rw, old);
        if (!ir_ref_ok(old) || constant[old.id]) continue;
        if (ir_typeof(rw->to, draft.operand[k])->dtype != IR_bf16) /* which is packed */
            draft.operand[k] =
                pass_in_layout(rw->to, draft.operand[k], ir_typeof(rw->from, old)->layout);
    }
    return rw_build(rw, &draft);
}

/* ---- ops whose result lies as their operands ---- */

/* Some operand that is computed at run time lies in c16 already. */
static bool any_c16(const ir_rewrite *rw, const ir_node *n) {
    const bool *constant = rw->user;
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
    ir_node ew = *n;
    for (uint32_t k = 0; k < n->operand_count; k++)
        ew.operand[k] = blocked ? c16_operand(rw, n->operand[k], &n->type, n->origin)
                                : plain(rw, n->operand[k]);
    ew.op = IR_OP_ew;
    ew.attrs = &a;
    ew.type.layout = blocked ? IR_C16 : IR_PLAIN;
    ir_ref r = rw_build(rw, &ew);
    base_str_free(&expr);
    return r;
}

/* Kernels join and cut whole blocks of channels only. */
static bool keeps_blocks(const ir_node *n) {
    int axis = ir_channel_axis(&n->type);
    if (n->op == IR_OP_concat) return IR_ATTRS(n, axis)->axis == axis && n->type.dtype == IR_f32;
    const struct ir_attrs_slice *a = IR_ATTRS(n, slice);
    return n->op != IR_OP_slice || a->axis != axis || a->start % IR_BLOCK == 0;
}

static ir_ref lay_same(ir_rewrite *rw, const ir_node *n) {
    if (ir_op_get(n->op)->flags & IR_FLAG_EW) return lay_elementwise(rw, n);
    ir_node draft = *n;
    draft.type.layout = keeps_blocks(n) && any_c16(rw, n) ? IR_C16 : IR_PLAIN;
    for (uint32_t k = 0; k < n->operand_count; k++)
        if (ir_ref_ok(n->operand[k]))
            draft.operand[k] = pass_in_layout(rw->to, rw_new(rw, n->operand[k]), draft.type.layout);
    return rw_build(rw, &draft);
}

/* ---- products of stacks of matrices ---- */

enum { STACK = IR_MAX_RANK - 2 };

/* The axes of a matmul's result before its matrices, in three groups: those that both operands
 * have, those along which b repeats, those along which a does. */
typedef struct stack {
    uint32_t count, size[3], axis[3][STACK];
    int64_t product[3];
} stack;
enum { BOTH, OF_A, OF_B };

/* Extent of the operand on axis i of the result. */
static int64_t extent(const ir_type *operand, const ir_type *result, uint32_t i) {
    const uint32_t absent = result->rank - operand->rank;
    return i < absent ? 1 : operand->dim[i - absent];
}

static stack stack_of(const ir_type *a, const ir_type *b, const ir_type *y) {
    stack s = {.count = y->rank - 2, .product = {1, 1, 1}};
    for (uint32_t i = 0; i < s.count; i++) {
        const int64_t in_a = extent(a, y, i), in_b = extent(b, y, i);
        const int group = in_a == in_b ? BOTH : in_b == 1 ? OF_A : OF_B;
        s.axis[group][s.size[group]++] = i;
        s.product[group] *= y->dim[i];
    }
    return s;
}

static ir_ref transposed(ir_func *f, ir_ref x, const ir_dims *perm, ir_origin_id origin) {
    struct ir_attrs_transpose a = {.perm = *perm};
    return ir_build(f, IR_OP_transpose, &x, 1, &a, IR_PLAIN, origin);
}

/* An operand as [both, own * rows, k]: axes of both, its own ones, rows, and what is summed. */
static ir_ref stacked(ir_rewrite *rw, const ir_node *n, uint32_t operand, const stack *s, int own,
                      bool columns_first) {
    const ir_ref old = n->operand[operand];
    const ir_type *t = ir_typeof(rw->from, old);
    const uint32_t absent = n->type.rank - t->rank;
    ir_dims perm = {0};
    for (int pass = 0; pass < 2; pass++) {
        const int group = pass ? own : BOTH;
        for (uint32_t i = 0; i < s->size[group]; i++)
            if (s->axis[group][i] >= absent) perm.v[perm.n++] = s->axis[group][i] - absent;
    }
    /* axes along which it repeats have one element: they may stand anywhere */
    for (uint32_t i = 0; i < s->size[OF_A + OF_B - own]; i++) {
        const uint32_t axis = s->axis[OF_A + OF_B - own][i];
        if (axis >= absent) perm.v[perm.n++] = axis - absent;
    }
    perm.v[perm.n++] = t->rank - (columns_first ? 1 : 2);
    perm.v[perm.n++] = t->rank - (columns_first ? 2 : 1);
    const int64_t k = t->dim[perm.v[perm.n - 1]],
                  rows = ir_type_elements(t) / (s->product[BOTH] * k);
    ir_ref x = transposed(rw->to, plain(rw, old), &perm, n->origin);
    return pass_reshape(rw->to, x, 3, (int64_t[]){s->product[BOTH], rows, k}, n->origin);
}

/* [both, of a * m, of b * n] as the result's type. */
static ir_ref unstacked(ir_rewrite *rw, const ir_node *n, ir_ref y, const stack *s) {
    const uint32_t rank = n->type.rank;
    int64_t dim[IR_MAX_RANK];
    uint32_t at = 0;
    ir_dims perm = {.n = rank};
    for (int group = BOTH; group <= OF_B; group++) {
        for (uint32_t i = 0; i < s->size[group]; i++) {
            perm.v[s->axis[group][i]] = at;
            dim[at++] = n->type.dim[s->axis[group][i]];
        }
        if (group == BOTH) continue;
        const uint32_t axis = group == OF_A ? rank - 2 : rank - 1;
        perm.v[axis] = at;
        dim[at++] = n->type.dim[axis];
    }
    return transposed(rw->to, pass_reshape(rw->to, y, rank, dim, n->origin), &perm, n->origin);
}

/* The kernel takes a stack of matrices or one for all. Where an operand repeats along some axes of
 * the stack only, these go into its partner's rows or columns:
 *   [4,1,M,K] x [4,8,K,N] = [4,M,K] x [4,K,8N], moved back. */
static ir_ref lay_matmul(ir_rewrite *rw, const ir_node *n) {
    const ir_type *a = ir_typeof(rw->from, n->operand[IR_IN(matmul, a)]),
                  *b = ir_typeof(rw->from, n->operand[IR_IN(matmul, b)]);
    const stack s = stack_of(a, b, &n->type);
    /* one of the two is whole, the other whole or a single matrix */
    if ((s.product[OF_A] == 1 && s.product[OF_B] == 1) ||
        (s.product[BOTH] == 1 && (s.product[OF_A] == 1 || s.product[OF_B] == 1)))
        return lay_by_roles(rw, n, IR_PLAIN);
    const struct ir_attrs_matmul *of = IR_ATTRS(n, matmul);
    const struct ir_attrs_matmul as = {.transpose_b = true, .scale = of->scale};
    const ir_ref operand[] = {
        [IR_IN(matmul, a)] = stacked(rw, n, IR_IN(matmul, a), &s, OF_A, false),
        [IR_IN(matmul, b)] = stacked(rw, n, IR_IN(matmul, b), &s, OF_B, !of->transpose_b)};
    return unstacked(rw, n, ir_build(rw->to, IR_OP_matmul, operand, 2, &as, IR_PLAIN, n->origin),
                     &s);
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
    return lay_by_roles(rw, n, IR_PLAIN);
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
    const bool *constant = rw->user;
    const ir_node *n = ir_get(rw->from, old);
    if (n->op == IR_OP_input) return lay_input(rw, n);
    if (constant[old.id]) return IR_NONE; /* computed at compile time */
    switch (ir_op_get(n->op)->result) {
    case IR_RESULT_KEEP: return lay_kept(rw, n);
    case IR_RESULT_SAME: return lay_same(rw, n);
    case IR_RESULT_PLAIN:
        return n->op == IR_OP_matmul ? lay_matmul(rw, n) : lay_by_roles(rw, n, IR_PLAIN);
    case IR_RESULT_C16: return lay_by_roles(rw, n, IR_C16);
    case IR_RESULT_TOKENS: return lay_tokens(rw, n);
    case IR_RESULT_MOVE: return lay_reshape(rw, n);
    case IR_RESULT_SPLIT: return lay_group_norm(rw, n);
    }
    return IR_NONE;
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

bool pass_lay_out(pass_context *c, ir_func *f) {
    bool *constant = ir_constants(f);
    bool changed = ir_rewrite_apply(f, rule, constant, false);
    base_free(constant);
    if (lay_outputs(f)) changed = true;
    return pass_dce(c, f) || changed;
}
