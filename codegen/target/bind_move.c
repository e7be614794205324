/* Ops that only move elements: concat, slice, transpose, layout_cast, copy. */
#include "codegen/target/bind.h"

#include <string.h>

static void row_major(uint32_t rank, const int64_t *dim, int64_t *stride) {
    int64_t s = 1;
    for (uint32_t i = rank; i-- > 0; s *= dim[i]) stride[i] = s;
}

/* Neighbouring axes that are one run in x and in out become one; axes of size 1 go. */
static uint32_t merge_axes(uint32_t rank, int64_t *n, int64_t *s, int64_t *t) {
    uint32_t m = 0;
    for (uint32_t i = 0; i < rank; i++) {
        if (n[i] == 1) continue;
        if (m > 0 && s[m - 1] == s[i] * n[i] && t[m - 1] == t[i] * n[i]) {
            n[m - 1] *= n[i];
            s[m - 1] = s[i];
            t[m - 1] = t[i];
        } else {
            n[m] = n[i];
            s[m] = s[i];
            t[m] = t[i];
            m++;
        }
    }
    return m;
}

/* One long axis is cut in two, so that there are several tasks: the outer gets the largest divisor
 * that leaves runs of at least 1024. */
static uint32_t split_run(int64_t *n, int64_t *s, int64_t *t) {
    int64_t runs = 1;
    for (int64_t d = 2; d <= 256 && n[0] / d >= 1024; d++)
        if (n[0] % d == 0) runs = d;
    if (runs == 1) return 1;
    n[1] = n[0] / runs;
    s[1] = s[0];
    t[1] = t[0];
    n[0] = runs;
    s[0] *= n[1];
    t[0] *= n[1];
    return 2;
}

bool cg_bind_strided(cg_bind *b, uint32_t rank, const int64_t *n, const int64_t *s,
                     const int64_t *t, int64_t xo) {
    int64_t nn[IR_MAX_RANK + 1], ss[IR_MAX_RANK + 1], tt[IR_MAX_RANK + 1];
    memcpy(nn, n, rank * sizeof *n);
    memcpy(ss, s, rank * sizeof *s);
    memcpy(tt, t, rank * sizeof *t);
    uint32_t m = merge_axes(rank, nn, ss, tt);
    if (m == 1) m = split_run(nn, ss, tt);
    if (m > 8) return cg_refuse(b, "more than eight axes to copy");
    /* The two outermost axes are the tasks (i0, i1); the others stand at the end, the innermost
     * last. */
    int32_t f[3][8];
    for (uint32_t k = 0; k < 8; k++) {
        f[0][k] = 1;
        f[1][k] = f[2][k] = 0;
    }
    uint32_t tasks = m > 2 ? 2 : m > 0 ? m - 1 : 0;
    for (uint32_t i = 0; i < m; i++) {
        uint32_t k = i < tasks ? i : 8 - (m - i);
        f[0][k] = (int32_t)nn[i];
        f[1][k] = (int32_t)ss[i];
        f[2][k] = (int32_t)tt[i];
    }
    struct ebru_copy_params p = {f[0][0], f[0][1], f[0][2], f[0][3],     f[0][4], f[0][5], f[0][6],
                                 f[0][7], f[1][0], f[1][1], f[1][2],     f[1][3], f[1][4], f[1][5],
                                 f[1][6], f[1][7], f[2][0], f[2][1],     f[2][2], f[2][3], f[2][4],
                                 f[2][5], f[2][6], f[2][7], (int32_t)xo, 0};
    return cg_done_copy(b, &p);
}

static bool want_words(cg_bind *b, const ir_type *t) {
    if (ir_dtype_bytes[t->dtype] != 4)
        return cg_refuse(b, "elements of %s", ir_dtype_name[t->dtype]);
    if (ir_type_bytes(t) / 4 > INT32_MAX) return cg_refuse(b, "2^31 elements or more");
    return true;
}

bool cg_bind_copy(cg_bind *b) {
    const ir_type *x = cg_in(b, IR_IN(copy, x));
    if (!want_words(b, x)) return false;
    if (x->layout != b->node->type.layout) return cg_refuse(b, "a copy does not change the layout");
    int64_t n = (int64_t)(ir_type_bytes(x) / 4), one = 1;
    return cg_bind_strided(b, 1, &n, &one, &one, 0);
}

bool cg_bind_slice(cg_bind *b) {
    const struct ir_attrs_slice *a = IR_ATTRS(b->node, slice);
    const ir_type *x = cg_in(b, IR_IN(slice, x)), *y = &b->node->type;
    if (!want_words(b, x)) return false;
    if (x->layout != y->layout) return cg_refuse(b, "a slice does not change the layout");
    int64_t xd[IR_MAX_RANK + 1], yd[IR_MAX_RANK + 1], xs[IR_MAX_RANK + 1], ys[IR_MAX_RANK + 1];
    uint32_t rank = cg_physical(x, xd), axis = cg_physical_axis(x, a->axis);
    cg_physical(y, yd);
    row_major(rank, xd, xs);
    row_major(rank, yd, ys);
    int64_t start = a->start;
    if (x->layout == IR_C16 && a->axis == ir_channel_axis(x)) {
        if (start % IR_BLOCK != 0)
            return cg_refuse(b, "the slice starts inside a block of channels");
        start /= IR_BLOCK;
    }
    return cg_bind_strided(b, rank, yd, xs, ys, start * xs[axis]);
}

bool cg_bind_transpose(cg_bind *b) {
    const struct ir_attrs_transpose *a = IR_ATTRS(b->node, transpose);
    const ir_type *x = cg_in(b, IR_IN(transpose, x)), *y = &b->node->type;
    if (!want_words(b, x)) return false;
    if (x->layout != IR_PLAIN || y->layout != IR_PLAIN)
        return cg_refuse(b, "transposes are computed in plain layout");
    int64_t xs[IR_MAX_RANK], ys[IR_MAX_RANK], s[IR_MAX_RANK];
    row_major(x->rank, x->dim, xs);
    row_major(y->rank, y->dim, ys);
    for (uint32_t i = 0; i < y->rank; i++) s[i] = xs[a->perm.v[i]];
    return cg_bind_strided(b, y->rank, y->dim, s, ys, 0);
}

bool cg_bind_layout_cast(cg_bind *b) {
    const ir_type *x = cg_in(b, IR_IN(layout_cast, x)), *y = &b->node->type;
    if (x->layout == y->layout) return cg_bind_copy(b);
    const ir_type *plain = x->layout == IR_PLAIN ? x : y;
    if (x->dtype != IR_f32 || y->dtype != IR_f32)
        return cg_refuse(b, "elements of %s", ir_dtype_name[x->dtype]);
    if (ir_type_bytes(x) / 4 > INT32_MAX) return cg_refuse(b, "2^31 elements or more");
    cg_bcp s = cg_bcp_of(plain);
    struct ebru_pack_params p = {s.b, s.c, s.p, s.c * s.p, s.p, 1};
    if (plain->rank == 3) { /* tokens: the channel is innermost */
        p.sc = 1;
        p.sp = s.c;
    }
    if (x->layout == IR_PLAIN) return cg_done_pack(b, &p);
    struct ebru_unpack_params u = {p.B, p.C, p.P, p.sb, p.sc, p.sp};
    return cg_done_unpack(b, &u);
}

/* Joined along an axis that is one run of memory in every operand. */
static bool concat_runs(cg_bind *b) {
    const ir_type *y = &b->node->type;
    int64_t yd[IR_MAX_RANK + 1], outer = 1, inner = 1;
    uint32_t rank = cg_physical(y, yd), axis = cg_physical_axis(y, IR_ATTRS(b->node, axis)->axis);
    for (uint32_t i = 0; i < axis; i++) outer *= yd[i];
    for (uint32_t i = axis + 1; i < rank; i++) inner *= yd[i];
    int32_t n[8] = {0};
    for (uint32_t i = 0; i < b->node->operand_count; i++) {
        int64_t xd[IR_MAX_RANK + 1];
        if (!cg_in(b, i)) continue;
        cg_physical(cg_in(b, i), xd);
        n[i] = (int32_t)(xd[axis] * inner);
    }
    struct ebru_concat_plain_params p = {(int32_t)outer, n[0], n[1], n[2], n[3],
                                         n[4],           n[5], n[6], n[7]};
    return cg_done_concat_plain(b, &p);
}

bool cg_bind_concat(cg_bind *b) {
    const ir_type *y = &b->node->type;
    if (!want_words(b, y)) return false;
    int32_t c[8] = {0};
    for (uint32_t i = 0; i < b->node->operand_count; i++) {
        const ir_type *x = cg_in(b, i);
        if (!x) continue;
        if (x->layout != y->layout) return cg_refuse(b, "operands in different layouts");
        c[i] = cg_bcp_of(x).c;
    }
    if (y->layout == IR_PLAIN || IR_ATTRS(b->node, axis)->axis != ir_channel_axis(y))
        return concat_runs(b);
    cg_bcp s = cg_bcp_of(y);
    struct ebru_concat_params p = {s.b, s.p, c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]};
    return cg_done_concat(b, &p);
}
