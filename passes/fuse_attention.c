/* fuse_attention: matmul, softmax, matmul over split heads becomes one node on tokens.
 *
 *   before   %3 = reshape %0 {shape=[2,64,8,40]} : f32[2,64,8,40]           (and %1, %2 alike)
 *            %4 = transpose %3 {perm=[0,2,1,3]} : f32[2,8,64,40]
 *            %9 = matmul %4, %6 {transpose_b=true, scale=0.158} : f32[2,8,64,77]
 *            %10 = softmax %9 : f32[2,8,64,77]
 *            %11 = matmul %10, %8 : f32[2,8,64,40]
 *            %12 = transpose %11 {perm=[0,2,1,3]} : f32[2,64,8,40]
 *            %13 = reshape %12 {shape=[2,64,320]} : f32[2,64,320]
 *   after    %3 = attention %0, %1, %2 {heads=8, scale=0.158} : f32[2,64,320]
 *
 * The match starts at the softmax and follows axes: every operand of the two products is a source
 * [B,T,H*d] (or channels first, [B,H*d,...]) whose axes B, T, H, d a reshape and transposes have
 * put in some order; the products tell which order is needed. So keys may come transposed, heads
 * may be merged with the batch ([B*H,T,d]), one head needs no splitting, and images whose channels
 * stand first are turned into tokens (a free view in c16).
 *
 * here    after canonicalize, which has made the scale the product's attribute
 * not     a mask that is an operand: nothing here has one; scores with a second user
 * tests   tests/lit/passes/fuse_attention/, tests/unit/passes/passes_test.c */
#include "passes/manager/match.h"

#include <string.h>

static const char PASS_NAME[] = "fuse_attention", WHAT[] = "softmax(q k) v";

/* A value of heads: where it comes from, and the order its axes stand in ("BHTD"). */
typedef struct heads {
    ir_ref source; /* tokens [B,T,C], or channels first [B,C,...] */
    bool channels_first;
    int64_t b, h, t, d;
    char order[5];
} heads;

typedef struct match {
    heads q, k, v;
    double scale;
    bool causal;
    bool channels_first; /* of the result */
    ir_ref softmax;
} match;

/* ---- where heads come from ---- */

static void permute(char order[5], const ir_dims *perm) {
    char old[5];
    memcpy(old, order, 5);
    for (uint32_t i = 0; i < 4; i++) order[i] = old[perm->v[i]];
}

/* The reshape that splits channels into heads. */
static bool split_of(const ir_func *f, const ir_node *n, heads *out) {
    const ir_type *s = ir_typeof(f, n->operand[0]), *y = &n->type;
    if (n->op != IR_OP_reshape || y->rank != 4 || s->rank < 3 || s->dim[0] != y->dim[0])
        return false;
    out->source = n->operand[0];
    out->b = y->dim[0];
    if (s->rank == 3 && s->dim[1] == y->dim[1]) { /* [B,T,C] -> [B,T,H,d] */
        out->channels_first = false;
        out->t = y->dim[1];
        out->h = y->dim[2];
        out->d = y->dim[3];
        memcpy(out->order, "BTHD", 5);
        return true;
    }
    if (s->dim[1] == y->dim[1] * y->dim[2]) { /* [B,C,...] -> [B,H,d,T] */
        out->channels_first = true;
        out->h = y->dim[1];
        out->d = y->dim[2];
        out->t = y->dim[3];
        memcpy(out->order, "BHDT", 5);
        return true;
    }
    return false;
}

/* Heads of rank 4, through transposes. */
static bool find_heads4(const ir_func *f, ir_ref r, heads *out) {
    const ir_node *n = ir_get(f, r);
    if (n->op == IR_OP_transpose && n->type.rank == 4 && find_heads4(f, n->operand[0], out)) {
        permute(out->order, &IR_ATTRS(n, transpose)->perm);
        return true;
    }
    return split_of(f, n, out);
}

/* Heads as an operand of a product: rank 4; rank 3 with heads merged into the batch; rank 3 of one
 * head. */
static bool find_heads(const ir_func *f, ir_ref r, heads *out) {
    const ir_node *n = ir_get(f, r);
    if (n->type.rank == 4) return find_heads4(f, r, out);
    if (n->type.rank != 3) return false;
    if (n->op == IR_OP_reshape && ir_typeof(f, n->operand[0])->rank == 4) {
        const ir_type *in = ir_typeof(f, n->operand[0]);
        if (in->dim[0] * in->dim[1] == n->type.dim[0] && find_heads4(f, n->operand[0], out) &&
            !memcmp(out->order, "BH", 2))
            return true;
    }
    if (n->op == IR_OP_transpose) {
        const ir_dims *perm = &IR_ATTRS(n, transpose)->perm;
        if (perm->v[0] != 0 || !find_heads(f, n->operand[0], out)) return false;
        if (perm->v[1] == 2) {
            char swap = out->order[2];
            out->order[2] = out->order[3];
            out->order[3] = swap;
        }
        return true;
    }
    *out =
        (heads){.source = r, .b = n->type.dim[0], .h = 1, .t = n->type.dim[1], .d = n->type.dim[2]};
    memcpy(out->order, "BHTD", 5);
    return true;
}

static bool in_order(const heads *h, const char *order) {
    return !memcmp(h->order, order, 4);
}

/* ---- the match, from the softmax to both sides ---- */

typedef struct matcher {
    const ir_func *f;
    const ir_ref *user; /* pass_only_users */
    base_str *why;
} matcher;

static bool no(const matcher *m, const char *text) {
    return pass_no(m->why, "%s", text);
}

/* The only user of r when it is `op`; else IR_NONE with a reason. */
static ir_ref next(const matcher *m, ir_ref r, const char *role) {
    ir_ref u = m->user[r.id];
    if (!ir_ref_ok(u)) base_str_addf(m->why, "%s have several users or are an output", role);
    return u;
}

/* q k^T, scaled */
static bool match_scores(const matcher *m, ir_ref scores, match *out) {
    const ir_node *n = ir_get(m->f, scores);
    if (n->op != IR_OP_matmul) return no(m, "the operand of softmax is not a matmul");
    if (!ir_ref_ok(next(m, scores, "the scores"))) return false;
    const struct ir_attrs_matmul *a = IR_ATTRS(n, matmul);
    out->scale = a->scale;
    if (!find_heads(m->f, n->operand[IR_IN(matmul, a)], &out->q) || !in_order(&out->q, "BHTD"))
        return no(m, "queries are not tokens with split heads");
    if (!find_heads(m->f, n->operand[IR_IN(matmul, b)], &out->k) ||
        !in_order(&out->k, a->transpose_b ? "BHTD" : "BHDT"))
        return no(m, "keys are not tokens with split heads");
    return true;
}

/* The product with v; `order` is that of its result. */
static bool match_values(const matcher *m, ir_ref softmax, match *out, ir_ref *product,
                         char order[5]) {
    ir_ref u = next(m, softmax, "the weights");
    if (!ir_ref_ok(u)) return false;
    const ir_node *n = ir_get(m->f, u);
    if (n->op != IR_OP_matmul) return no(m, "the user of softmax is not a matmul");
    const struct ir_attrs_matmul *a = IR_ATTRS(n, matmul);
    bool left = ir_ref_eq(n->operand[IR_IN(matmul, a)], softmax); /* p v, else v p^T */
    if (a->scale != 1.0) return no(m, "the product with v is scaled");
    if (!left && !a->transpose_b)
        return no(m, "v stands before the weights, which are not transposed");
    const char *needed = left && !a->transpose_b ? "BHTD" : "BHDT";
    if (!find_heads(m->f, n->operand[left ? IR_IN(matmul, b) : IR_IN(matmul, a)], &out->v) ||
        !in_order(&out->v, needed))
        return no(m, "values are not tokens with split heads");
    memcpy(order, left ? "BHTD" : "BHDT", 5);
    *product = u;
    return true;
}

/* From the product to the node where heads are joined again. */
static bool match_join(const matcher *m, ir_ref product, char order[5], match *out, ir_ref *root) {
    const ir_func *f = m->f;
    ir_ref r = product;
    if (ir_typeof(f, r)->rank == 3 && out->q.h == 1 && in_order(&out->q, "BHTD") &&
        !memcmp(order, "BHTD", 4) &&
        ir_typeof(f, r)->dim[0] == out->q.b) { /* one head: joined as it is */
        *root = r;
        return true;
    }
    if (ir_typeof(f, r)->rank == 3) { /* heads leave the batch */
        r = next(m, r, "the results of the heads");
        if (!ir_ref_ok(r)) return false;
        const ir_node *n = ir_get(f, r);
        if (n->op != IR_OP_reshape || n->type.rank != 4 || n->type.dim[0] != out->q.b ||
            n->type.dim[1] != out->q.h)
            return no(m, "heads in the batch are not split off again");
    }
    for (int i = 0; i < 3; i++) {
        r = next(m, r, "the results of the heads");
        if (!ir_ref_ok(r)) return false;
        const ir_node *n = ir_get(f, r);
        if (n->op == IR_OP_transpose) {
            permute(order, &IR_ATTRS(n, transpose)->perm);
            continue;
        }
        if (n->op != IR_OP_reshape || n->type.dim[0] != out->q.b) break;
        int64_t width = out->q.h * out->q.d;
        out->channels_first = !memcmp(order, "BHDT", 4);
        bool tokens = !memcmp(order, "BTHD", 4) && n->type.rank == 3 && n->type.dim[2] == width;
        bool image = out->channels_first && n->type.rank >= 3 && n->type.dim[1] == width;
        if (!tokens && !image) break;
        *root = r;
        return true;
    }
    return no(m, "the heads are not joined to tokens");
}

static bool match_attention(const matcher *m, ir_ref softmax, match *out, ir_ref *root) {
    char order[5];
    ir_ref product = IR_NONE;
    out->softmax = softmax;
    out->causal = IR_ATTRS(ir_get(m->f, softmax), softmax)->causal;
    if (!match_scores(m, ir_get(m->f, softmax)->operand[0], out) ||
        !match_values(m, softmax, out, &product, order) ||
        !match_join(m, product, order, out, root))
        return false;
    const heads *q = &out->q, *k = &out->k, *v = &out->v;
    if (k->h != q->h || v->h != q->h || k->d != q->d || v->d != q->d || v->t != k->t)
        return no(m, "q, k and v have different heads");
    if ((k->b != q->b && k->b != 1) || (v->b != q->b && v->b != 1))
        return no(m, "q, k and v have different batches");
    return true;
}

/* ---- the rewrite ---- */

typedef struct state {
    pass_context *c;
    match *matches; /* by root node */
    bool *is_root;
} state;

static ir_ref tokens_of(ir_rewrite *rw, const heads *h, ir_origin_id origin) {
    ir_ref x = rw_new(rw, h->source);
    if (!h->channels_first) return x;
    x = pass_reshape(rw->to, x, 3, (int64_t[]){h->b, h->h * h->d, h->t}, origin);
    struct ir_attrs_transpose swap = {.perm = {3, {0, 2, 1}}};
    return ir_op1(rw->to, IR_OP_transpose, x, &swap, origin);
}

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    const state *s = rw->user;
    if (!s->is_root[old.id]) return IR_NONE;
    const match *m = &s->matches[old.id];
    const ir_node *n = ir_get(rw->from, old);
    ir_origin_id origin = ir_get(rw->from, m->softmax)->origin;
    struct ir_attrs_attention a = {.heads = m->q.h, .scale = m->scale, .causal = m->causal};
    ir_ref q = tokens_of(rw, &m->q, origin), k = tokens_of(rw, &m->k, origin),
           v = tokens_of(rw, &m->v, origin);
    ir_ref y = ir_op3(rw->to, IR_OP_attention, q, k, v, &a, origin);
    if (!m->channels_first) return y;
    struct ir_attrs_transpose swap = {.perm = {3, {0, 2, 1}}};
    y = ir_op1(rw->to, IR_OP_transpose, y, &swap, origin);
    return pass_reshape(rw->to, y, n->type.rank, n->type.dim, origin);
}

bool pass_fuse_attention(pass_context *c, ir_func *f) {
    state s = {.c = c,
               .matches = base_alloc(f->nodes.count * sizeof *s.matches + 1),
               .is_root = base_alloc(f->nodes.count + 1)};
    ir_ref *user = pass_only_users(f);
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        if (f->nodes.items[i].op != IR_OP_softmax) continue;
        base_str why = {0};
        matcher m = {f, user, &why};
        match found = {0};
        ir_ref root = IR_NONE;
        if (match_attention(&m, (ir_ref){i}, &found, &root) &&
            !pass_left_out(c, PASS_NAME, f, root, &why)) {
            s.matches[root.id] = found;
            s.is_root[root.id] = true;
            pass_matched(c, PASS_NAME, f, root, WHAT);
        } else {
            pass_refused(c, PASS_NAME, f, (ir_ref){i}, WHAT, "%s", why.data ? why.data : "");
        }
        base_str_free(&why);
    }
    bool changed = ir_rewrite_apply(f, rule, &s, true);
    base_free(user);
    base_free(s.matches);
    base_free(s.is_root);
    return changed;
}
