/* One node of a lowered module as a module of its own: what `ebru bench --op=%41` times.
 *
 *   from     func @unet.step(...) { ... %41 = conv2d %40, @w... kernel conv2d {...} ... }
 *   to       func @op(%0 x: f32[1,320,64,64]:c16 step) {
 *              %1 = conv2d %0, @w... kernel conv2d {...}
 *              return y = %1
 *            }
 *
 * Operands that depend on inputs become inputs of the same types and layouts; what depends on
 * weights only is copied down to the weights. The binding stays as it is, so that tiles changed by
 * hand in a dump are timed. */
#include "driver/commands/extract_op.h"
#include "codegen/target/target.h"
#include "runtime/abi/meta_keys.h"

#include <stdlib.h>
#include <string.h>

struct extract {
    const ir_func *from;
    ir_func *to;
    const bool *constant;
    ir_ref *map; /* nodes of `from` that are in `to` already */
};

static uint32_t copy_weight(struct extract *x, const ir_weight *w) {
    uint32_t index = ir_weight_add(x->to->module, w->name, &w->type);
    ir_weight *to = &x->to->module->weights.items[index];
    const char *name = to->name;
    *to = *w; /* data and updates are the other module's, which lives longer */
    to->name = name;
    return index;
}

static ir_ref copy(struct extract *x, ir_ref r, const char *name) {
    if (!ir_ref_ok(r)) return IR_NONE;
    if (ir_ref_ok(x->map[r.id])) return x->map[r.id];
    const ir_node *n = ir_get(x->from, r);
    ir_ref to;
    if (n->op == IR_OP_weight) {
        const ir_weight *w = &x->from->module->weights.items[IR_ATTRS(n, weight)->index];
        to = ir_weight_ref(x->to, copy_weight(x, w), 0);
    } else if (name && !x->constant[r.id]) {
        to = ir_input(x->to, name, &n->type, IR_STEP, 0);
    } else {
        ir_ref operand[IR_MAX_OPERANDS];
        const ir_op_info *op = ir_op_get(n->op);
        for (uint32_t i = 0; i < n->operand_count; i++)
            operand[i] = copy(x, n->operand[i], x->constant[r.id] ? NULL : op->operand_name[i]);
        to = ir_build(x->to, n->op, operand, n->operand_count, n->attrs, n->type.layout, 0);
    }
    x->map[r.id] = to;
    return to;
}

/* The node that a text form calls %N; IR_NONE. */
static ir_ref numbered(const ir_func *f, uint32_t number) {
    uint32_t *of = ir_numbering(f);
    ir_ref r = IR_NONE;
    for (uint32_t i = 0; i < f->nodes.count; i++)
        if (of[i] == number) r = (ir_ref){i};
    base_free(of);
    return r;
}

/* A function is named in full ("unet.step") or as it is inside its component ("step"). */
static bool is_named(const ir_func *f, const char *name) {
    const char *dot = strchr(f->name, '.');
    return !strcmp(f->name, name) || (dot && !strcmp(dot + 1, name));
}

/* The function the number is one of: `name`, or the only one that has it. */
static const ir_func *function_of(base_diag *d, const ir_module *m, const char *name,
                                  uint32_t number) {
    const ir_func *found = NULL;
    base_str others = {0};
    uint32_t count = 0;
    for (size_t i = 0; i < m->funcs.count; i++) {
        const ir_func *f = m->funcs.items[i];
        if (name ? !is_named(f, name) : !ir_ref_ok(numbered(f, number))) continue;
        base_str_addf(&others, "%s%s", count++ ? ", " : "", f->name);
        found = f;
    }
    if (!count && name) {
        base_error(d, NULL, "the lowered model has no function '%s'",
                   base_escape(name, strlen(name)));
        for (size_t i = 0; i < m->funcs.count; i++)
            base_note(d, NULL, "it has %s", m->funcs.items[i]->name);
    } else if (!count) {
        base_error(d, NULL, "no function of the lowered model has a node %%%u", number);
    } else if (count > 1) {
        base_error(d, NULL, "--op=%%%u stands for a node in each of %s", number, others.data);
        base_note(d, NULL, "name one of them with --function=");
    }
    base_str_free(&others);
    return count == 1 ? found : NULL;
}

static bool read_number(base_diag *d, const char *op, uint32_t *number) {
    char *end;
    const char *digits = op + (*op == '%');
    unsigned long n = strtoul(digits, &end, 10);
    *number = (uint32_t)n;
    if (*digits >= '0' && *digits <= '9' && !*end && n < UINT32_MAX) return true;
    base_error(d, NULL, "--op expects a node of the lowered model, as %%41, not '%s'",
               base_escape(op, strlen(op)));
    base_note(d, NULL, "ebru compile MODEL --emit=ir -o - prints them");
    return false;
}

/* Builds @op around node r of `from`. */
static ir_module *around(const ir_func *from, ir_ref r) {
    ir_module *m = ir_module_new();
    m->level = IR_KERNEL;
    ir_meta_set_string(m, EBRU_META_MODEL_NAME.name, "op");
    ir_meta_set_string(
        m, EBRU_META_PRECISION.name,
        ir_meta_string(from->module, EBRU_META_PRECISION.name, EBRU_META_PRECISION.otherwise));
    const ir_node *n = ir_get(from, r);
    bool *constant = ir_constants(from);
    struct extract x = {from, ir_func_new(m, "op"), constant,
                        base_alloc(from->nodes.count * sizeof(ir_ref))};
    for (uint32_t i = 0; i < from->nodes.count; i++) x.map[i] = IR_NONE;
    ir_ref y = copy(&x, r, NULL);
    x.to->nodes.items[y.id].binding = n->binding;
    x.to->scratch_bytes = n->binding->scratch;
    ir_set_output(x.to, "y", y);
    base_free(x.map);
    base_free(constant);
    return m;
}

/* The module's one op with other tiles. */
static bool set_tiles(base_diag *d, ir_module *m, const ir_target *target, const char *set,
                      base_str *text) {
    ir_func *f = m->funcs.items[0];
    const ir_ref r = f->outputs.items[0].value;
    base_str why = {0};
    const bool fine = cg_set_tiles(target, f, r, set, &why);
    const ir_binding *b = ir_get(f, r)->binding;
    if (!fine)
        base_error(d, NULL, "--set=%s: %s", base_escape(set, strlen(set)), why.data);
    else
        base_str_addf(text, "with %s: tasks=%lld scratch=%llu\n", set, (long long)b->tasks,
                      (unsigned long long)b->scratch);
    base_str_free(&why);
    return fine;
}

bool drv_find_op(base_diag *d, const ir_module *m, const char *function, const char *op,
                 const ir_func **f, ir_ref *node) {
    uint32_t number;
    *f = read_number(d, op, &number) ? function_of(d, m, function, number) : NULL;
    if (!*f) return false;
    *node = numbered(*f, number);
    if (!ir_ref_ok(*node)) {
        base_error(d, NULL, "%s has no node %%%u", (*f)->name, number);
        return false;
    }
    const ir_node *n = ir_get(*f, *node);
    if (n->binding) return true;
    base_error(d, NULL, "%s: %%%u %s has no kernel: %s", (*f)->name, number, ir_op_get(n->op)->name,
               n->op == IR_OP_input ? "it is an input"
                                    : "it is a view, or computed from weights when they are "
                                      "packed");
    return false;
}

ir_module *drv_extract(base_diag *d, const ir_module *m, const ir_target *target,
                       const char *function, const char *op, const char *set, base_str *text) {
    const ir_func *f;
    ir_ref r;
    if (!drv_find_op(d, m, function, op, &f, &r)) return NULL;
    base_str_addf(text, "%s: ", f->name);
    ir_print_node(f, r, text);
    base_str_addf(text, "\n");
    ir_module *alone = around(f, r);
    if (!set || set_tiles(d, alone, target, set, text)) return alone;
    ir_module_free(alone);
    return NULL;
}
