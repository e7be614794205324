#include "tests/unit/ir/eval_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

bool case_tested[IR_OP_COUNT];

eval_case case_new(void) {
    eval_case c = {.m = ir_module_new()};
    c.m->level = IR_FUSED;
    c.f = ir_func_new(c.m, "f");
    return c;
}

static ir_ref new_input(eval_case *c, ir_type type) {
    size_t n = c->f->inputs.count;
    char name[32];
    assert_true(n < CASE_MAX_INPUTS);
    snprintf(name, sizeof name, "x%zu", n);
    c->inputs[n].type = type;
    c->inputs[n].data = base_alloc((size_t)ir_type_elements(&type) * sizeof(float));
    return ir_input(c->f, name, &type, IR_STEP, 0);
}

ir_ref case_values(eval_case *c, ir_type type, const float *values) {
    ir_ref r = new_input(c, type);
    memcpy(c->inputs[c->f->inputs.count - 1].data, values,
           (size_t)ir_type_elements(&type) * sizeof(float));
    return r;
}

float case_pattern_at(int seed, int64_t i) {
    return (float)((i * 37 + seed * 11) % 29 - 14) / 8;
}

ir_ref case_pattern(eval_case *c, ir_type type, int seed) {
    ir_ref r = new_input(c, type);
    float *data = c->inputs[c->f->inputs.count - 1].data;
    for (int64_t i = 0; i < ir_type_elements(&type); i++) data[i] = case_pattern_at(seed, i);
    return r;
}

ir_ref case_ids(eval_case *c, ir_type type, const float *values) {
    type.dtype = IR_i32;
    return case_values(c, type, values);
}

ir_ref case_weight(eval_case *c, const char *name, ir_type type, const float *values) {
    uint32_t index = ir_weight_add(c->m, name, &type);
    ir_weight *w = &c->m->weights.items[index];
    size_t bytes = (size_t)ir_type_elements(&type) * sizeof(float);
    void *data = base_arena_alloc(c->m->arena, bytes);
    memcpy(data, values, bytes);
    w->kind = IR_WEIGHT_DATA;
    w->data = data;
    return ir_weight_ref(c->f, index, 0);
}

ir_tensor case_eval(eval_case *c, ir_ref r) {
    ir_tensor outputs[8];
    assert_true(c->f->outputs.count < 8);
    ir_set_output(c->f, "y", r);
    ir_eval(c->f, c->inputs, outputs, NULL);
    for (size_t i = 0; i + 1 < c->f->outputs.count; i++) ir_tensor_free(&outputs[i]);
    case_tested[ir_get(c->f, r)->op] = true;
    return outputs[c->f->outputs.count - 1];
}

void check_values(const float *got, const float *want, int64_t count, double tolerance) {
    for (int64_t i = 0; i < count; i++) {
        double g = (double)got[i], w = (double)want[i];
        if (isnan(g) && isnan(w)) continue;
        if (g == w || fabs(g - w) <= tolerance * fmax(1, fabs(w))) continue;
        fail_msg("element %lld: got %.9g, want %.9g", (long long)i, g, w);
    }
}

void case_expect(eval_case *c, ir_ref r, ir_type type, const float *want) {
    ir_tensor y = case_eval(c, r);
    assert_true(ir_shape_equal(&y.type, &type));
    assert_int_equal(y.type.layout, IR_PLAIN);
    check_values(y.data, want, ir_type_elements(&type), 2e-6);
    ir_tensor_free(&y);
    case_free(c);
}

void case_free(eval_case *c) {
    for (size_t i = 0; i < c->f->inputs.count; i++) ir_tensor_free(&c->inputs[i]);
    ir_module_free(c->m);
}
