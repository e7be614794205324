#include "tests/unit/frontend/golden_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fe_st_tensor *tensor(const fe_st *io, const char *direction, const char *name) {
    char key[256];
    snprintf(key, sizeof key, "%s.%s", direction, name);
    return fe_st_find(io, key);
}

/* Shapes of the file's inputs; the caller frees. */
static fe_shape *input_shapes(const fe_st *io, uint32_t *count) {
    fe_shape *shapes = base_alloc((fe_st_count(io) + 1) * sizeof *shapes);
    *count = 0;
    for (size_t i = 0; i < fe_st_count(io); i++) {
        const fe_st_tensor *t = fe_st_at(io, i);
        if (strncmp(t->name, "in.", 3) != 0) continue;
        fe_shape *s = &shapes[(*count)++];
        *s = (fe_shape){.name = t->name + 3, .rank = t->rank};
        memcpy(s->dim, t->dims, t->rank * sizeof *s->dim);
    }
    return shapes;
}

static bool has_tensors(const ir_func *f, const fe_st *io) {
    for (size_t i = 0; i < f->inputs.count; i++)
        if (!tensor(io, "in", IR_ATTRS(ir_get(f, f->inputs.items[i]), input)->name)) return false;
    for (size_t i = 0; i < f->outputs.count; i++)
        if (!tensor(io, "out", f->outputs.items[i].name)) return false;
    return true;
}

static ir_tensor read_input(const ir_func *f, ir_ref r, const fe_st *io) {
    const fe_st_tensor *t = tensor(io, "in", IR_ATTRS(ir_get(f, r), input)->name);
    ir_tensor x = {.type = *ir_typeof(f, r)};
    size_t n = (size_t)ir_type_elements(&x.type);
    if (n != t->count && t->count != 1) {
        fprintf(stderr, "%s: input '%s' has another size\n", f->name, t->name);
        exit(1);
    }
    x.data = base_alloc(n * sizeof *x.data);
    fe_st_to_f32(t, x.data, 0, t->count);
    for (size_t i = t->count; i < n; i++) x.data[i] = x.data[0]; /* one value for all */
    return x;
}

static void compare(const char *name, const ir_tensor *ours, const fe_st_tensor *t,
                    golden_result *r) {
    float *theirs = base_alloc(t->count * sizeof *theirs);
    double error = 0, power = 0, largest = 0;
    fe_st_to_f32(t, theirs, 0, t->count);
    if (ir_type_elements(&ours->type) != (int64_t)t->count) {
        fprintf(stderr, "output '%s' has another size\n", name);
        exit(1);
    }
    for (size_t i = 0; i < t->count; i++) {
        double e = (double)ours->data[i] - (double)theirs[i];
        error += e * e;
        power += (double)theirs[i] * (double)theirs[i];
        if (!(fabs(e) <= largest)) largest = fabs(e); /* NaN counts as worst */
    }
    double relative = sqrt(error / power);
    printf("  %s: rms error / rms of the reference %.2e, largest error %.2e\n", name, relative,
           largest);
    r->outputs++;
    if (!(relative <= r->worst)) r->worst = relative;
    if (!(largest <= r->worst_max)) r->worst_max = largest;
    base_free(theirs);
}

static void check_function(const ir_func *f, const fe_st *io, golden_result *r) {
    ir_tensor *inputs = base_alloc((f->inputs.count + 1) * sizeof *inputs);
    ir_tensor *outputs = base_alloc((f->outputs.count + 1) * sizeof *outputs);
    for (size_t i = 0; i < f->inputs.count; i++) inputs[i] = read_input(f, f->inputs.items[i], io);
    ir_eval(f, inputs, outputs, NULL);
    for (size_t i = 0; i < f->outputs.count; i++) {
        const char *name = f->outputs.items[i].name;
        compare(name, &outputs[i], tensor(io, "out", name), r);
        ir_tensor_free(&outputs[i]);
    }
    for (size_t i = 0; i < f->inputs.count; i++) ir_tensor_free(&inputs[i]);
    base_free(inputs);
    base_free(outputs);
}

golden_result golden_model_check(const char *model, const char *io_path) {
    return golden_model_check_with(model, io_path, (fe_options){0});
}

golden_result golden_model_check_with(const char *model, const char *io_path, fe_options o) {
    golden_result r = {0};
    base_diag *d = base_diag_new(NULL);
    fe_st *io = fe_st_open(d, io_path);
    if (!io) exit(1);
    fe_shape *shapes = input_shapes(io, &o.shape_count);
    o.shapes = shapes;
    ir_module *m = fe_load(d, model, &o);
    if (!m) {
        base_diag_flush(d);
        exit(1);
    }
    printf("%s\n", model);
    for (size_t i = 0; i < m->funcs.count; i++)
        if (has_tensors(m->funcs.items[i], io)) check_function(m->funcs.items[i], io, &r);
    ir_module_free(m);
    base_free(shapes);
    fe_st_close(io);
    base_diag_free(d);
    return r;
}
