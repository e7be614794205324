/* Planted faults, for tests of the tools that find faults (pass_options.fault; docs/extending.md):
 * after the named pass has run, one node that it produced is made to compute something else in a
 * way that still verifies.
 *
 * What a pass produced: the nodes whose op, attributes, weights, type and layout (and kernel and
 * place) occur more often behind it than before. What is changed, the first of these that the node
 * has:
 *   - at KERNEL level and beyond: a number of its kernel's parameters, so that the IR is right and the
 *     program is not
 *   - an optional operand is dropped: residual, bias, norm ...
 *   - another activation
 *   - another scale, eps or limit
 *   - two operands of one type change places
 *   - 0.5 is added to an elementwise expression */
#include "base/hash.h"
#include "passes/manager/manager.h"

#include <stdlib.h>
#include <string.h>

/* ---- what a pass produced ---- */

/* Hash of the node's text without the numbers of nodes. */
static uint64_t signature(const ir_func *f, uint32_t i) {
    base_str s = {0};
    uint64_t h = BASE_HASH64_START;
    ir_print_node(f, (ir_ref){i}, &s);
    for (const char *p = s.data; *p; p++) {
        h = base_hash64_bytes(h, p, 1);
        if (*p == '%') p += strspn(p + 1, "0123456789");
    }
    base_str_free(&s);
    return h;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void pass_fault_look(pass_fault *fault, const ir_module *m) {
    fault->seen.count = 0;
    for (size_t i = 0; i < m->funcs.count; i++)
        for (uint32_t k = 0; k < m->funcs.items[i]->nodes.count; k++)
            BASE_PUSH(&fault->seen, signature(m->funcs.items[i], k));
    if (fault->seen.count)
        qsort(fault->seen.items, fault->seen.count, sizeof *fault->seen.items, by_value);
}

/* Takes one occurrence of h out of what was seen; false when there is none left. */
static bool seen_before(pass_fault *fault, bool *taken, uint64_t h) {
    size_t low = 0, high = fault->seen.count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (fault->seen.items[mid] < h)
            low = mid + 1;
        else
            high = mid;
    }
    for (; low < fault->seen.count && fault->seen.items[low] == h; low++)
        if (!taken[low]) return taken[low] = true;
    return false;
}

/* ---- what is made of a node ---- */

/* A node in the making: alike but for operands and attributes. */
typedef struct altered {
    ir_ref operand[IR_MAX_OPERANDS];
    uint32_t count;
    void *attrs;
} altered;

static bool fits(const ir_func *f, const ir_node *n, const altered *a) {
    ir_type t;
    base_str faults = {0};
    uint32_t count = a->count;
    while (count && !ir_ref_ok(a->operand[count - 1])) count--;
    bool fine = ir_infer(f, n->op, a->operand, count, a->attrs, &t, &faults) &&
                ir_shape_equal(&t, &n->type);
    base_str_free(&faults);
    return fine;
}

static altered start(const ir_func *f, const ir_node *n) {
    altered a = {.count = n->operand_count};
    memcpy(a.operand, n->operand, sizeof a.operand);
    a.attrs = base_arena_alloc(f->module->arena, ir_op_get(n->op)->attr_size);
    memcpy(a.attrs, n->attrs, ir_op_get(n->op)->attr_size);
    return a;
}

static bool drop_operand(const ir_func *f, const ir_node *n, altered *a) {
    for (uint32_t k = n->operand_count; k-- > ir_op_get(n->op)->min_operands;) {
        if (!ir_ref_ok(n->operand[k])) continue;
        *a = start(f, n);
        a->operand[k] = IR_NONE;
        if (fits(f, n, a)) return true;
    }
    return false;
}

static double other_number(double x) {
    return x > -1e-2 && x < 1e-2 ? x + 0.1 : x * 1.5;
}

static bool change_attribute(const ir_func *f, const ir_node *n, ir_attr_kind kind, altered *a) {
    const ir_op_info *op = ir_op_get(n->op);
    for (uint32_t k = 0; k < op->attr_count; k++) {
        if (op->attrs[k].kind != kind || op->attrs[k].level > f->module->level) continue;
        *a = start(f, n);
        char *at = (char *)a->attrs + op->attrs[k].offset;
        if (kind == IR_ATTR_act) {
            ir_act act;
            memcpy(&act, at, sizeof act);
            act = act == IR_ACT_RELU ? IR_ACT_SILU : IR_ACT_RELU;
            memcpy(at, &act, sizeof act);
        } else {
            double x;
            memcpy(&x, at, sizeof x);
            x = other_number(x);
            memcpy(at, &x, sizeof x);
        }
        if (fits(f, n, a)) return true;
    }
    return false;
}

static bool swap_operands(const ir_func *f, const ir_node *n, altered *a) {
    if (n->op == IR_OP_add || n->op == IR_OP_mul || n->op == IR_OP_max || n->op == IR_OP_min)
        return false;
    for (uint32_t k = 0; k + 1 < n->operand_count; k++) {
        ir_ref x = n->operand[k], y = n->operand[k + 1];
        if (!ir_ref_ok(x) || !ir_ref_ok(y) || ir_ref_eq(x, y) ||
            !ir_type_equal(ir_typeof(f, x), ir_typeof(f, y)))
            continue;
        *a = start(f, n);
        a->operand[k] = y, a->operand[k + 1] = x;
        if (fits(f, n, a)) return true;
    }
    return false;
}

static bool change_expression(const ir_func *f, const ir_node *n, altered *a) {
    if (n->op != IR_OP_ew) return false;
    *a = start(f, n);
    struct ir_attrs_ew *e = a->attrs;
    e->expr = base_arena_printf(f->module->arena, "add(%s,0.5)", e->expr);
    return fits(f, n, a);
}

static bool alter(const ir_func *f, const ir_node *n, altered *a) {
    return drop_operand(f, n, a) || change_attribute(f, n, IR_ATTR_act, a) ||
           change_attribute(f, n, IR_ATTR_f64, a) || swap_operands(f, n, a) ||
           change_expression(f, n, a);
}

/* The kernel's first fraction that is not 0, or its activation; -1 when it has neither. */
static int alterable_param(const ir_node *n) {
    for (uint32_t k = 0; n->binding && k < n->binding->param_count; k++) {
        const ir_param *p = &n->binding->params[k];
        bool act = !p->is_float && (!strcmp(p->name, "act") || !strcmp(p->name, "pre_act"));
        if (act || (p->is_float && p->f != 0)) return (int)k;
    }
    return -1;
}

/* Another value for that parameter, in a binding of the node's own. */
static void alter_binding(const ir_func *f, ir_node *n) {
    ir_binding *b = base_arena_alloc(f->module->arena, sizeof *b);
    *b = *n->binding;
    b->params = base_arena_alloc(f->module->arena, b->param_count * sizeof *b->params);
    memcpy(b->params, n->binding->params, b->param_count * sizeof *b->params);
    ir_param *p = &b->params[alterable_param(n)];
    if (p->is_float)
        p->f = (double)(float)other_number(p->f);
    else
        p->i = p->i == IR_ACT_RELU ? IR_ACT_SILU : IR_ACT_RELU;
    n->binding = b;
}

/* ---- planting ---- */

struct planting {
    ir_ref at;
    const altered *node;
};

static ir_ref plant_rule(ir_rewrite *rw, ir_ref old) {
    const struct planting *p = rw->user;
    if (!ir_ref_eq(old, p->at)) return IR_NONE;
    const ir_node *n = ir_get(rw->from, old);
    ir_ref operand[IR_MAX_OPERANDS];
    for (uint32_t k = 0; k < p->node->count; k++) operand[k] = rw_new(rw, p->node->operand[k]);
    return ir_build(rw->to, n->op, operand, p->node->count, p->node->attrs, n->type.layout,
                    n->origin);
}

static void tell(const pass_fault *fault, const ir_func *f, uint32_t i, FILE *log) {
    const ir_origin *o = &f->module->origins.items[f->nodes.items[i].origin];
    base_str was = {0};
    if (!log) return;
    ir_print_node(f, (ir_ref){i}, &was);
    fprintf(log, "planted fault: after %s, function %s: %s%s%s\n", fault->pass, f->name, was.data,
            o->block && *o->block ? ", block " : "", o->block ? o->block : "");
    base_str_free(&was);
}

/* Alters node i if it can be and its turn has come. */
static bool plant_at(pass_fault *fault, ir_func *f, uint32_t i, FILE *log) {
    altered a;
    ir_node *n = &f->nodes.items[i];
    bool bound = f->module->level >= IR_KERNEL;
    if (bound ? alterable_param(n) < 0 : !alter(f, n, &a)) return false;
    if (--fault->number > 0) return false;
    tell(fault, f, i, log);
    struct planting p = {{i}, &a};
    if (bound)
        alter_binding(f, n);
    else
        ir_rewrite_apply(f, plant_rule, &p, true);
    return true;
}

static bool plant_in(pass_fault *fault, bool *taken, ir_func *f, FILE *log) {
    bool *constant = ir_constants(f), planted = false;
    for (uint32_t i = 0; i < f->nodes.count && !planted; i++)
        if (!seen_before(fault, taken, signature(f, i)) && !constant[i])
            planted = plant_at(fault, f, i, log);
    base_free(constant);
    return planted;
}

void pass_fault_plant(pass_fault *fault, ir_module *m, FILE *log) {
    bool *taken = base_alloc(fault->seen.count + 1);
    bool planted = false;
    for (size_t i = 0; i < m->funcs.count && !planted; i++)
        planted = plant_in(fault, taken, m->funcs.items[i], log);
    base_free(taken);
    if (planted) fault->pass = NULL;
}

bool pass_fault_read(pass_fault *fault, const char *text, char *name, size_t room) {
    size_t n = strcspn(text, ":");
    char *end = "";
    fault->number = text[n] ? strtol(text + n + 1, &end, 10) : 1;
    snprintf(name, room, "%.*s", (int)n, text);
    return n < room && fault->number >= 1 && !*end;
}

void pass_fault_free(pass_fault *fault) {
    base_free(fault->seen.items);
}
