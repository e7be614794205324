/* Small things several passes need; see match.h. */
#include "passes/manager/match.h"

#include <stdarg.h>

bool pass_bcp_of(const ir_type *t, pass_bcp *out) {
    switch (t->rank) {
    case 2: *out = (pass_bcp){t->dim[0], t->dim[1], 1}; return true;
    case 3: *out = (pass_bcp){t->dim[0], t->dim[2], t->dim[1]}; return true;
    case 4: *out = (pass_bcp){t->dim[0], t->dim[1], t->dim[2] * t->dim[3]}; return true;
    default: return false;
    }
}

bool pass_flat(const ir_type *t) {
    pass_bcp s;
    return pass_bcp_of(t, &s) && s.c % IR_BLOCK == 0 && s.p == 1;
}

ir_ref pass_in_layout(ir_func *f, ir_ref r, ir_layout layout) {
    ir_type t = *ir_typeof(f, r);
    if (t.dtype == IR_i32 || ir_is_quantized(t.dtype)) return r; /* always plain */
    if (t.layout == layout && t.dtype == IR_f32) return r;
    const ir_node *n = ir_get(f, r);
    ir_origin_id origin = n->origin;
    if (n->op == IR_OP_layout_cast || n->op == IR_OP_view) { /* there and back again */
        const ir_type *from = ir_typeof(f, n->operand[0]);
        if (from->layout == layout && from->dtype == IR_f32 && ir_shape_equal(from, &t))
            return n->operand[0];
    }
    if (t.dtype == IR_f32 && pass_flat(&t)) {
        struct ir_attrs_shape a = IR_DEFAULTS(shape);
        a.shape.n = t.rank;
        for (uint32_t i = 0; i < t.rank; i++) a.shape.v[i] = t.dim[i];
        return ir_build(f, IR_OP_view, &r, 1, &a, layout, origin);
    }
    return ir_build(f, IR_OP_layout_cast, &r, 1, NULL, layout, origin);
}

bool pass_is_packed(const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    return (ir_op_get(n->op)->flags & IR_FLAG_PACK) || n->type.rank >= 6;
}

ir_ref pass_reshape(ir_func *f, ir_ref x, uint32_t rank, const int64_t *dim, ir_origin_id origin) {
    struct ir_attrs_shape a = IR_DEFAULTS(shape);
    ir_type want = ir_type_make(IR_f32, rank, dim);
    if (ir_shape_equal(ir_typeof(f, x), &want)) return x;
    a.shape.n = rank;
    for (uint32_t i = 0; i < rank; i++) a.shape.v[i] = dim[i];
    return ir_op1(f, IR_OP_reshape, x, &a, origin);
}

bool pass_used_once(const ir_func *f, const uint32_t *uses, ir_ref r, base_str *why) {
    const char *op = ir_op_get(ir_get(f, r)->op)->name;
    for (size_t i = 0; i < f->outputs.count; i++)
        if (ir_ref_eq(f->outputs.items[i].value, r)) {
            if (why) base_str_addf(why, "%s is output '%s'", op, f->outputs.items[i].name);
            return false;
        }
    if (uses[r.id] == 1) return true;
    if (why) base_str_addf(why, "%s has %u users", op, uses[r.id]);
    return false;
}

bool pass_sole_use(const ir_rewrite *rw, ir_ref old, base_str *why) {
    return pass_used_once(rw->from, rw->uses, old, why);
}

bool pass_readers_take(const ir_func *f, ir_ref r, pass_can_take *can_take, base_str *why) {
    for (size_t i = 0; i < f->outputs.count; i++)
        if (ir_ref_eq(f->outputs.items[i].value, r)) {
            base_str_addf(why, "it is output '%s'", f->outputs.items[i].name);
            return false;
        }
    for (uint32_t i = r.id + 1; i < f->nodes.count; i++) {
        const ir_node *user = &f->nodes.items[i];
        for (uint32_t k = 0; k < user->operand_count; k++) {
            if (!ir_ref_eq(user->operand[k], r)) continue;
            if (!can_take(user, why)) return false;
            if (k == 0) continue;
            const ir_op_info *op = ir_op_get(user->op);
            base_str_addf(why, "user %s reads it as operand '%s'", op->name, op->operand_name[k]);
            return false;
        }
    }
    return true;
}

bool pass_decided(pass_decision *d, bool match) {
    match = match && !pass_left_out(d->c, d->pass, d->f, d->node, &d->why);
    if (match)
        pass_matched(d->c, d->pass, d->f, d->node, d->what);
    else
        pass_refused(d->c, d->pass, d->f, d->node, d->what, "%s", d->why.data);
    if (d->costs.len)
        d->c->matches.items[d->c->matches.count - 1].costs =
            base_arena_strdup(d->c->arena, d->costs.data);
    base_str_free(&d->costs);
    base_str_free(&d->why);
    return match;
}

bool pass_no(base_str *why, const char *fmt, ...) {
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    base_str_add(why, text);
    return false;
}

ir_ref *pass_only_users(const ir_func *f) {
    uint32_t *uses = ir_use_counts(f);
    ir_ref *user = base_alloc(f->nodes.count * sizeof *user + 1);
    for (uint32_t i = 0; i < f->nodes.count; i++) user[i] = IR_NONE;
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        for (uint32_t k = 0; k < n->operand_count; k++)
            if (ir_ref_ok(n->operand[k]) && uses[n->operand[k].id] == 1)
                user[n->operand[k].id] = (ir_ref){i};
    }
    base_free(uses);
    return user;
}

bool pass_is_perm(const ir_node *n, uint32_t rank, const int64_t *perm) {
    if (n->op != IR_OP_transpose || n->type.rank != rank) return false;
    for (uint32_t i = 0; i < rank; i++)
        if (IR_ATTRS(n, transpose)->perm.v[i] != perm[i]) return false;
    return true;
}

bool pass_is_doubled(const ir_func *f, const ir_node *n, base_str *why) {
    const struct ir_attrs_conv2d *a = IR_ATTRS(n, conv2d);
    const ir_type *x = ir_typeof(f, n->operand[IR_IN(conv2d, x)]);
    const ir_node *pack = ir_get(f, n->operand[IR_IN(conv2d, w)]);
    if (a->upsample.v[0] != 2 * x->dim[2] || a->upsample.v[1] != 2 * x->dim[3])
        base_str_addf(why, "the input is read at %lldx%lld, which is not twice its size",
                      (long long)a->upsample.v[0], (long long)a->upsample.v[1]);
    else if (a->stride.v[0] != 1 || a->stride.v[1] != 1)
        base_str_addf(why, "the stride is %lldx%lld", (long long)a->stride.v[0],
                      (long long)a->stride.v[1]);
    else if (a->pad.v[0] != 1 || a->pad.v[1] != 1 || a->pad.v[2] != 1 || a->pad.v[3] != 1)
        base_str_add(why, "the padding is not one on every side");
    else if (pack->op != IR_OP_pack_conv_weight ||
             ir_get(f, pack->operand[IR_IN(pack_conv_weight, w)])->op != IR_OP_weight)
        base_str_add(why, "the filter is computed");
    return why->len == 0;
}
