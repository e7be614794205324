/* The reference evaluator: order of evaluation and lifetime of values. What the ops mean is in
 * eval_*.c, one function ir_eval_NAME for each row of ops.def, pasted together here: a missing one
 * is a link error.
 *
 * Only nodes that the outputs need are computed. What depends on weights alone is computed just
 * before its first use, not where it stands in the function, so that no more weights are held in
 * memory than the node at hand needs; every value is freed at its last use. */
#include "ir/eval/eval.h"

#include <stdlib.h>
#include <string.h>

typedef void eval_fn(const ir_eval_args *, ir_tensor *);
static eval_fn *const eval_table[IR_OP_COUNT] = {
#define OP(name, ...) ir_eval_##name,
#include "ir/ops.def"
#undef OP
};

void ir_tensor_free(ir_tensor *t) {
    base_free(t->data);
    t->data = NULL;
}

/* ---- order ---- */

typedef struct plan {
    const ir_func *f;
    BASE_VEC(uint32_t) order; /* nodes in the order of evaluation */
    uint32_t *uses;           /* uses by nodes of `order` and by outputs that are still to come */
    bool *planned;
} plan;

static int by_id(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Appends `root` and everything it needs that is not planned yet. Operands come before their users
 * in a function, so ascending order is an order of evaluation. A worklist, not recursion: chains
 * may be long. */
static void plan_add(plan *p, ir_ref root) {
    size_t first = p->order.count;
    if (p->planned[root.id]) return;
    p->planned[root.id] = true;
    BASE_PUSH(&p->order, root.id);
    for (size_t i = first; i < p->order.count; i++) {
        const ir_node *n = ir_get(p->f, (ir_ref){p->order.items[i]});
        for (uint32_t k = 0; k < n->operand_count; k++) {
            ir_ref r = n->operand[k];
            if (!ir_ref_ok(r)) continue;
            p->uses[r.id]++;
            if (p->planned[r.id]) continue;
            p->planned[r.id] = true;
            BASE_PUSH(&p->order, r.id);
        }
    }
    qsort(p->order.items + first, p->order.count - first, sizeof *p->order.items, by_id);
}

static plan plan_new(const ir_func *f) {
    plan p = {.f = f};
    p.uses = base_alloc(f->nodes.count * sizeof *p.uses);
    p.planned = base_alloc(f->nodes.count * sizeof *p.planned);
    return p;
}

static void plan_free(plan *p) {
    base_free(p->order.items);
    base_free(p->uses);
    base_free(p->planned);
}

/* Everything the outputs need: the nodes that depend on inputs in their order, each preceded by the
 * constants it needs. */
static plan plan_function(const ir_func *f) {
    plan p = plan_new(f);
    bool *live = base_alloc(f->nodes.count * sizeof *live);
    for (size_t i = 0; i < f->outputs.count; i++) live[f->outputs.items[i].value.id] = true;
    for (size_t i = f->nodes.count; i-- > 0;) {
        const ir_node *n = &f->nodes.items[i];
        for (uint32_t k = 0; live[i] && k < n->operand_count; k++)
            if (ir_ref_ok(n->operand[k])) live[n->operand[k].id] = true;
    }
    bool *constant = ir_constants(f);
    for (uint32_t i = 0; i < f->nodes.count; i++)
        if (live[i] && !constant[i]) plan_add(&p, (ir_ref){i});
    for (size_t i = 0; i < f->outputs.count; i++) {
        plan_add(&p, f->outputs.items[i].value);
        p.uses[f->outputs.items[i].value.id]++;
    }
    base_free(constant);
    base_free(live);
    return p;
}

/* ---- evaluation ---- */

static ir_type logical_type(const ir_type *t) {
    ir_type r = *t;
    r.layout = IR_PLAIN;
    if (r.dtype != IR_i32) r.dtype = IR_f32;
    return r;
}

static ir_tensor tensor_new(const ir_type *t) {
    ir_tensor r = {.type = logical_type(t)};
    r.data = base_alloc((size_t)ir_type_elements(t) * sizeof *r.data);
    return r;
}

static ir_tensor tensor_copy(const ir_tensor *t) {
    ir_tensor r = tensor_new(&t->type);
    memcpy(r.data, t->data, (size_t)ir_type_elements(&t->type) * sizeof *r.data);
    return r;
}

/* There is no memory for the value of node r: names the weight it is, or is made of. */
_Noreturn static void no_memory(const ir_func *f, ir_ref r, size_t bytes) {
    base_str what = {0};
    ir_ref of = r;
    while (ir_get(f, of)->operand_count && ir_ref_ok(ir_get(f, of)->operand[0]))
        of = ir_get(f, of)->operand[0];
    const ir_node *n = ir_get(f, of);
    if (n->op == IR_OP_weight) {
        const ir_weight *w = &f->module->weights.items[IR_ATTRS(n, weight)->index];
        base_str_addf(&what, "%sweight '%s' : ", ir_ref_eq(of, r) ? "" : "what is made of ",
                      base_escape(w->name, strlen(w->name)));
        ir_print_type(&w->type, &what);
    } else {
        ir_print_node(f, r, &what);
    }
    base_out_of_memory(bytes, what.data);
}

static ir_tensor tensor_of(const ir_func *f, ir_ref r) {
    ir_tensor t = {.type = logical_type(ir_typeof(f, r))};
    size_t bytes = (size_t)ir_type_elements(&t.type) * sizeof *t.data;
    t.data = base_try_alloc(bytes);
    if (!t.data) no_memory(f, r, bytes);
    return t;
}

ir_tensor ir_eval_node(const ir_func *f, ir_ref r, const ir_tensor *const in[IR_MAX_OPERANDS]) {
    const ir_node *n = ir_get(f, r);
    ir_eval_args a = {.f = f, .node = n};
    for (uint32_t k = 0; k < n->operand_count; k++)
        if (ir_ref_ok(n->operand[k])) a.in[k] = in[k];
    ir_tensor t = tensor_of(f, r);
    eval_table[n->op](&a, &t);
    return t;
}

static void eval_node(const plan *p, ir_tensor *values, ir_ref r) {
    const ir_node *n = ir_get(p->f, r);
    const ir_tensor *in[IR_MAX_OPERANDS] = {NULL};
    for (uint32_t k = 0; k < n->operand_count; k++)
        if (ir_ref_ok(n->operand[k])) in[k] = &values[n->operand[k].id];
    values[r.id] = ir_eval_node(p->f, r, in);
}

/* One use of r is over: at the last the value is freed, unless it is the caller's. */
static void release(plan *p, ir_tensor *values, ir_ref r) {
    if (--p->uses[r.id] == 0 && ir_get(p->f, r)->op != IR_OP_input) ir_tensor_free(&values[r.id]);
}

static void run(plan *p, ir_tensor *values, const ir_eval_options *o) {
    for (size_t i = 0; i < p->order.count; i++) {
        ir_ref r = {p->order.items[i]};
        const ir_node *n = ir_get(p->f, r);
        if (n->op != IR_OP_input) eval_node(p, values, r);
        if (o && o->observe) o->observe(o->user, r, &values[r.id]);
        if (o && o->progress) o->progress(o->user, (uint32_t)(i + 1), (uint32_t)p->order.count);
        for (uint32_t k = 0; k < n->operand_count; k++)
            if (ir_ref_ok(n->operand[k])) release(p, values, n->operand[k]);
    }
}

void ir_eval(const ir_func *f, const ir_tensor *inputs, ir_tensor *outputs,
             const ir_eval_options *options) {
    plan p = plan_function(f);
    ir_tensor *values = base_alloc(f->nodes.count * sizeof *values);
    for (size_t i = 0; i < f->inputs.count; i++) {
        const ir_type *t = ir_typeof(f, f->inputs.items[i]);
        if (!ir_shape_equal(t, &inputs[i].type))
            ICE("ir_eval: input %zu of '%s' has another shape", i, f->name);
        values[f->inputs.items[i].id] = (ir_tensor){logical_type(t), inputs[i].data};
    }
    run(&p, values, options);
    for (size_t i = 0; i < f->outputs.count; i++) {
        ir_ref r = f->outputs.items[i].value;
        outputs[i] = tensor_copy(&values[r.id]);
        release(&p, values, r);
    }
    base_free(values);
    plan_free(&p);
}

ir_tensor ir_eval_constant(const ir_func *f, ir_ref r) {
    plan p = plan_new(f);
    plan_add(&p, r);
    for (size_t i = 0; i < p.order.count; i++)
        if (ir_get(f, (ir_ref){p.order.items[i]})->op == IR_OP_input)
            ICE("ir_eval_constant: the value depends on an input of '%s'", f->name);
    ir_tensor *values = base_alloc(f->nodes.count * sizeof *values);
    p.uses[r.id]++;
    run(&p, values, NULL);
    ir_tensor result = values[r.id];
    base_free(values);
    plan_free(&p);
    return result;
}

/* ---- leaves ---- */

void ir_eval_input(const ir_eval_args *a, ir_tensor *out) {
    (void)out;
    ICE("input '%s' has no value", IR_ATTRS(a->node, input)->name);
}

void ir_eval_weight(const ir_eval_args *a, ir_tensor *out) {
    const ir_weight *w = &a->f->module->weights.items[IR_ATTRS(a->node, weight)->index];
    ir_weight_read(w, out->data, 0, ir_type_elements(&out->type));
}
