/* share_halves: what both halves of a paired batch compute alike is computed once.
 *
 *   before   func @unet(%0 sample : f32[2,4,64,64] step paired,
 *                       %1 context : f32[2,77,768] prompt) {
 *              %2 = conv2d %0, @conv_in.weight : f32[2,320,64,64]
 *              ...                                             (nothing of the context so far)
 *              %9 = linear %8, @to_q.weight : f32[2,4096,320]
 *   after      %2 = slice %0 {axis=0, start=0, count=1} : f32[1,4,64,64]
 *              %3 = conv2d %2, @conv_in.weight : f32[1,320,64,64]
 *              ...
 *              %10 = linear %9, @to_q.weight : f32[1,4096,320]
 *              %11 = concat %10, %10 {axis=0} : f32[2,4096,320]
 *
 * Guidance evaluates a network on the same sample twice, with the prompt and without it. Up to the
 * first op that looks at the prompt both halves hold the same numbers: in Stable Diffusion 1.5 the
 * first convolution, the first residual block and the first self-attention, which is the largest of
 * all. A value is equal in both halves when it is made of such values, row by row of the first
 * axis, and of values that all rows share.
 *
 * here    first of all that looks at whole functions: the stages and fusions then see ordinary
 *         ops. Doubling comes after changes of shape (heads of attention) only where fusion does
 *         not look for them: views are repeated on the doubled value instead
 * not     networks whose first op already differs (classes in the time embedding): too little
 *         would be saved
 * tests   tests/lit/passes/share_halves/, tests/unit/passes/passes_test.c */
#include "passes/manager/match.h"

static const char PASS_NAME[] = "share_halves", WHAT[] = "ops on equal halves";

/* Of a value: all rows see the same (and it has no rows of its own), halves are equal, halves may
 * differ. */
typedef enum kind { SHARED, EQUAL, DIFFERENT } kind;

typedef struct halves {
    const ir_func *from;
    ir_func *to;
    kind *kind;
    bool *used;   /* EQUAL: some op reads both halves */
    ir_ref *half; /* EQUAL: the first half of the value; SHARED: the value */
    ir_ref *full; /* the whole value */
} halves;

static bool is_view(const ir_node *n) {
    return n->op == IR_OP_reshape || n->op == IR_OP_transpose;
}

/* Attributes of n for half the rows; the shape of a reshape in *shape. */
static const void *half_attrs(const ir_node *n, struct ir_attrs_shape *shape) {
    if (n->op != IR_OP_reshape) return n->attrs;
    *shape = *IR_ATTRS(n, shape);
    shape->shape.v[0] = n->type.dim[0] / 2;
    return shape;
}

/* True when the op works on the halves of its first axis apart. The types are checked by half_node.
 */
static bool by_rows(const halves *h, const ir_node *n) {
    bool pure = (ir_op_get(n->op)->flags & IR_FLAG_ROWS) || n->op == IR_OP_conv2d ||
                n->op == IR_OP_reshape || n->op == IR_OP_resize_nearest ||
                n->op == IR_OP_max_pool2d || n->op == IR_OP_avg_pool2d;
    if (n->type.rank < 2 || n->type.dim[0] % 2 != 0) return false;
    if (n->op == IR_OP_transpose) return IR_ATTRS(n, transpose)->perm.v[0] == 0;
    if (n->op == IR_OP_concat) return IR_ATTRS(n, axis)->axis != 0;
    if (n->op == IR_OP_slice) return IR_ATTRS(n, slice)->axis != 0;
    if (n->op == IR_OP_softmax) return true;
    if (n->op ==
        IR_OP_matmul) /* rows of the first axis are matrices of their own when both have it */
        return n->type.rank > 2 && h->kind[n->operand[IR_IN(matmul, a)].id] == EQUAL &&
               h->kind[n->operand[IR_IN(matmul, b)].id] == EQUAL;
    if (!pure) return false;
    for (uint32_t k = 0; k < n->operand_count;
         k++) { /* broadcasting must leave the first axis alone */
        if (!ir_ref_ok(n->operand[k]) || h->kind[n->operand[k].id] != EQUAL) continue;
        if ((ir_op_get(n->op)->flags & IR_FLAG_EW) &&
            ir_typeof(h->from, n->operand[k])->rank != n->type.rank)
            return false;
    }
    return true;
}

/* The node over the first half of the rows; IR_NONE when its type is not that of half the rows. */
static ir_ref half_node(halves *h, const ir_node *n) {
    ir_ref operand[IR_MAX_OPERANDS];
    for (uint32_t k = 0; k < n->operand_count; k++)
        operand[k] = ir_ref_ok(n->operand[k]) ? h->half[n->operand[k].id] : IR_NONE;
    struct ir_attrs_shape shape;
    const void *attrs = half_attrs(n, &shape);
    ir_type want = n->type, got;
    want.dim[0] /= 2;
    base_str faults = {0};
    bool fits = ir_infer(h->to, n->op, operand, n->operand_count, attrs, &got, &faults) &&
                ir_type_equal(&got, &want);
    base_str_free(&faults);
    return fits
               ? ir_build(h->to, n->op, operand, n->operand_count, attrs, n->type.layout, n->origin)
               : IR_NONE;
}

static ir_ref full_value(halves *h, uint32_t id);

static ir_ref whole_node(halves *h, const ir_node *n) {
    ir_ref operand[IR_MAX_OPERANDS];
    for (uint32_t k = 0; k < n->operand_count; k++)
        operand[k] = ir_ref_ok(n->operand[k]) ? full_value(h, n->operand[k].id) : IR_NONE;
    return ir_build(h->to, n->op, operand, n->operand_count, n->attrs, n->type.layout, n->origin);
}

/* A value for those who read both halves. */
static ir_ref full_value(halves *h, uint32_t id) {
    if (ir_ref_ok(h->full[id])) return h->full[id];
    const ir_node *n = &h->from->nodes.items[id];
    if (is_view(n)) {
        h->full[id] = whole_node(h, n);
    } else {
        struct ir_attrs_axis axis = {.axis = 0};
        h->full[id] = ir_op2(h->to, IR_OP_concat, h->half[id], h->half[id], &axis, n->origin);
        h->used[id] = true;
    }
    return h->full[id];
}

static kind operands_kind(const halves *h, const ir_node *n) {
    kind most = SHARED;
    for (uint32_t k = 0; k < n->operand_count; k++)
        if (ir_ref_ok(n->operand[k]) && h->kind[n->operand[k].id] > most)
            most = h->kind[n->operand[k].id];
    return most;
}

static void input(halves *h, uint32_t id) {
    const ir_node *n = &h->from->nodes.items[id];
    h->full[id] = ir_input_like(h->to, n, &n->type);
    if (IR_ATTRS(n, input)->paired) {
        struct ir_attrs_slice a = {.axis = 0, .start = 0, .count = n->type.dim[0] / 2};
        h->half[id] = ir_op1(h->to, IR_OP_slice, h->full[id], &a, n->origin);
        h->kind[id] = EQUAL;
    } else {
        h->half[id] = h->full[id];
        h->kind[id] = n->type.rank == 0 || n->type.dim[0] == 1 ? SHARED : DIFFERENT;
    }
}

static void node(halves *h, uint32_t id) {
    const ir_node *n = &h->from->nodes.items[id];
    if (n->op == IR_OP_weight) {
        h->half[id] = h->full[id] =
            ir_weight_ref(h->to, (uint32_t)IR_ATTRS(n, weight)->index, n->origin);
        return;
    }
    h->kind[id] = operands_kind(h, n);
    if (h->kind[id] == EQUAL) {
        h->half[id] = by_rows(h, n) ? half_node(h, n) : IR_NONE;
        if (!ir_ref_ok(h->half[id])) h->kind[id] = DIFFERENT;
    }
    if (h->kind[id] == EQUAL) return;
    h->full[id] = whole_node(h, n);
    h->half[id] = h->full[id];
}

/* Multiply-adds that are not done twice any more, and numbers that are copied for it. */
static double saved(const halves *h, double *copied) {
    double work = 0;
    *copied = 1;
    for (uint32_t i = 0; i < h->from->nodes.count; i++) {
        if (h->kind[i] != EQUAL) continue;
        work += ir_node_cost(h->from, (ir_ref){i}).flops / 4;
        if (h->used[i]) *copied += (double)ir_type_elements(&h->from->nodes.items[i].type);
    }
    return work;
}

/* The last value that only one half needed: where the report points. */
static ir_ref last_equal(const halves *h) {
    ir_ref last = {0};
    for (uint32_t i = 0; i < h->from->nodes.count; i++)
        if (h->kind[i] == EQUAL) last.id = i;
    return last;
}

static void rebuild(halves *h) {
    const ir_func *from = h->from;
    for (size_t i = 0; i < from->inputs.count; i++) input(h, from->inputs.items[i].id);
    for (uint32_t i = 0; i < from->nodes.count; i++)
        if (from->nodes.items[i].op != IR_OP_input) node(h, i);
    for (size_t i = 0; i < from->outputs.count; i++)
        ir_set_output(h->to, from->outputs.items[i].name,
                      full_value(h, from->outputs.items[i].value.id));
}

static bool has_pair(const ir_func *f) {
    for (size_t i = 0; i < f->inputs.count; i++)
        if (IR_ATTRS(ir_get(f, f->inputs.items[i]), input)->paired) return true;
    return false;
}

bool pass_share_halves(pass_context *c, ir_func *f) {
    if (!has_pair(f)) return false;
    ir_func *shared = ir_func_detached(f->module, f->name);
    size_t n = f->nodes.count;
    halves h = {.from = f, .to = shared};
    h.kind = base_alloc(n * sizeof *h.kind);
    h.used = base_alloc(n);
    h.half = base_alloc(n * sizeof *h.half);
    h.full = base_alloc(n * sizeof *h.full);
    for (size_t i = 0; i < n; i++) h.half[i] = h.full[i] = IR_NONE;
    rebuild(&h);
    double copied, work = saved(&h, &copied);
    pass_decision d = {c, PASS_NAME, f, last_equal(&h), WHAT, {0}, {0}};
    bool fits = work >= pass_knob(c, PASS_KNOB_share_halves_saved) * copied ||
                pass_no(&d.why, "%.3g multiply-adds are saved for %.3g numbers that are copied",
                        work, copied);
    pass_decided(&d, fits);
    if (fits) {
        ir_func_take(f, shared);
        ir_func_sweep(f);
    } else {
        ir_func_clear(shared);
    }
    base_free(h.kind);
    base_free(h.used);
    base_free(h.half);
    base_free(h.full);
    return fits;
}
