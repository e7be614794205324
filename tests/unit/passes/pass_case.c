#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/passes/pass_case.h"

ir_module *case_parse(const char *text) {
    base_diag *d = base_diag_new(NULL);
    ir_module *m = ir_parse(d, "case", text, strlen(text));
    base_diag_flush(d);
    if (!m) fail_msg("the case does not parse:\n%s", text);
    base_str faults = {0};
    if (!ir_verify(m, &faults)) fail_msg("the case is not legal:\n%s", faults.data);
    base_str_free(&faults);
    base_diag_free(d);
    return m;
}

/* ---- a target ---- */

static bool bind(const ir_target *t, ir_func *f, ir_ref node, ir_binding **out, base_str *reason) {
    (void)t;
    const ir_node *n = ir_get(f, node);
    if (n->op == IR_OP_matmul && n->type.rank == 2) { /* one thing it cannot do */
        base_str_add(reason, "the test target has no product of single matrices");
        return false;
    }
    ir_binding *b = base_arena_alloc(f->module->arena, sizeof *b);
    *b = (ir_binding){.kernel = ir_op_get(n->op)->name, .tasks = 1, .scratch = 64};
    *out = b;
    return true;
}

const ir_target *case_target(void) {
    static const ir_target target = {
        .level = "test", .threads = 2, .l1d = 32 << 10, .l2 = 1 << 20, .bind = bind};
    return &target;
}

/* ---- values ---- */

ir_tensor *case_find(case_values *v, const char *name) {
    for (uint32_t i = 0; i < v->count; i++)
        if (!strcmp(v->items[i].name, name)) return &v->items[i].tensor;
    return NULL;
}

ir_tensor *case_find_output(case_values *v, const char *name) {
    for (uint32_t i = v->count; i-- > 0;)
        if (!strcmp(v->items[i].name, name)) return &v->items[i].tensor;
    return NULL;
}

static ir_tensor *add_value(case_values *v, const char *name) {
    assert_true(v->count < CASE_MOST_VALUES);
    case_value *x = &v->items[v->count++];
    snprintf(x->name, sizeof x->name, "%s", name);
    return &x->tensor;
}

void case_free_values(case_values *v) {
    for (uint32_t i = 0; i < v->count; i++) ir_tensor_free(&v->items[i].tensor);
    v->count = 0;
}

static void make_input(case_values *v, const ir_node *n) {
    const char *name = IR_ATTRS(n, input)->name;
    ir_tensor *t = add_value(v, name);
    t->type = n->type;
    t->type.layout = IR_PLAIN;
    int64_t count = ir_type_elements(&n->type);
    t->data = base_alloc((size_t)count * sizeof(float));
    uint32_t seed = 1;
    for (const char *p = name; *p; p++) seed = seed * 31 + (unsigned char)*p;
    const bool paired = IR_ATTRS(n, input)->paired;
    for (int64_t i = 0; i < count; i++) {
        if (paired && i >= count / 2) {
            t->data[i] = t->data[i - count / 2];
            continue;
        }
        seed = seed * 1664525u + 1013904223u;
        t->data[i] = n->type.dtype == IR_i32 ? (float)(seed >> 16 & 3)
                                             : (float)(seed >> 8) / 8388608.0f - 1.0f;
    }
}

void case_eval(const ir_func *f, case_values *v, uint32_t row) {
    ir_tensor inputs[CASE_MOST_VALUES], outputs[CASE_MOST_VALUES] = {0};
    assert_true(f->inputs.count <= CASE_MOST_VALUES && f->outputs.count <= CASE_MOST_VALUES);
    for (size_t i = 0; i < f->inputs.count; i++) {
        const ir_node *n = ir_get(f, f->inputs.items[i]);
        const char *name = IR_ATTRS(n, input)->name;
        if (!case_find(v, name)) make_input(v, n);
        inputs[i] = *case_find(v, name);
        if (inputs[i].type.dim[0] > n->type.dim[0]) /* one row of a schedule's values */
            inputs[i].data += ir_type_elements(&inputs[i].type) / inputs[i].type.dim[0] * row;
        inputs[i].type = n->type;
    }
    ir_eval(f, inputs, outputs, NULL);
    for (size_t i = 0; i < f->outputs.count; i++)
        *add_value(v, f->outputs.items[i].name) = outputs[i];
}

void case_compare(const ir_tensor *a, const ir_tensor *b, const char *what) {
    assert_true(ir_shape_equal(&a->type, &b->type));
    double most = 0, worst = 0;
    int64_t n = ir_type_elements(&a->type);
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a->data[i]));
        worst = fmax(worst, fabs((double)a->data[i] - (double)b->data[i]));
        if (isnan(a->data[i]) != isnan(b->data[i])) fail_msg("%s: NaN on one side", what);
    }
    if (worst > 2e-5 * (most + 1e-3)) fail_msg("%s: values differ by %g of %g", what, worst, most);
}

/* ---- running ---- */

base_str case_run(ir_module *m, const char *passes) {
    base_diag *d = base_diag_new(NULL);
    pass_context *c = pass_context_new(m, case_target());
    pass_options o = PASS_OPTIONS_DEFAULT;
    o.passes = passes;
    o.verify_each = true;
    bool fine = pass_run(c, &o, d);
    base_diag_flush(d);
    assert_true(fine);
    base_str report = {0};
    pass_report(c, &report);
    pass_context_free(c);
    base_diag_free(d);
    return report;
}

static bool contains(const ir_module *m, const char *text, base_str *out) {
    ir_print(m, out);
    const char *body = strstr(out->data, "func"); /* weights are not looked at */
    return strstr(body ? body : out->data, text) != NULL;
}

void case_has(const ir_module *m, const char *text) {
    base_str s = {0};
    if (!contains(m, text, &s)) {
        const char *body = strstr(s.data, "func");
        fail_msg("not found: %s\nin\n%s", text, body ? body : s.data);
    }
    base_str_free(&s);
}

void case_has_not(const ir_module *m, const char *text) {
    base_str s = {0};
    if (contains(m, text, &s)) fail_msg("found: %s\nin\n%s", text, strstr(s.data, "func"));
    base_str_free(&s);
}

ir_module *case_same(const char *text, const char *passes, base_str *report) {
    ir_module *m = case_parse(text);
    case_values before[4] = {0}, after[4] = {0};
    assert_true(m->funcs.count <= 4);
    for (size_t i = 0; i < m->funcs.count; i++) case_eval(m->funcs.items[i], &before[i], 0);
    base_str r = case_run(m, passes);
    for (size_t i = 0; i < m->funcs.count; i++) {
        const ir_func *f = m->funcs.items[i];
        case_eval(f, &after[i], 0);
        for (size_t k = 0; k < f->outputs.count; k++) {
            const char *name = f->outputs.items[k].name;
            case_compare(case_find(&before[i], name), case_find(&after[i], name), name);
        }
        case_free_values(&before[i]);
        case_free_values(&after[i]);
    }
    if (report)
        *report = r;
    else
        base_str_free(&r);
    return m;
}
