#include "tests/unit/published/published.h"

#include "tests/unit/support/temp_dir.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- inputs ---- */

static ir_tensor *next_input(published *p, uint32_t rank, const int64_t *dim) {
    assert_true(p->inputs < PUBLISHED_INPUTS);
    ir_tensor *t = &p->in[p->inputs++];
    t->type = ir_type_make(IR_f32, rank, dim);
    t->data = base_alloc((size_t)ir_type_elements(&t->type) * sizeof *t->data);
    return t;
}

void published_input(published *p, uint32_t rank, const int64_t *dim, const float *values) {
    ir_tensor *t = next_input(p, rank, dim);
    memcpy(t->data, values, (size_t)ir_type_elements(&t->type) * sizeof *values);
}

void published_randn(published *p, uint32_t rank, const int64_t *dim) {
    int64_t first[IR_MAX_RANK] = {1};
    memcpy(first + 1, dim + 1, (rank - 1) * sizeof *dim);
    ir_tensor *t = next_input(p, rank, first);
    size_t one = (size_t)ir_type_elements(&t->type);
    float *all = base_alloc(one * (size_t)dim[0] * sizeof *all);
    rt_rng_randn(&p->init.rng, all, one * (size_t)dim[0]);
    memcpy(t->data, all, one * sizeof *all);
    base_free(all);
}

/* ---- one case ---- */

static void build(ir_module *m, base_diag *d, published *p, const published_case *c) {
    char name[32];
    fe_weights *weights;
    if (p->init.count) {
        const char *path = temp_path(temp_shared(), c->name);
        torch_init_write(&p->init, path);
        fe_st *table = fe_st_open(d, path);
        assert_non_null(table);
        weights = fe_weights_table(d, m, table);
    } else {
        weights = fe_weights_random(d, m, 0);
    }
    fe_builder b;
    ir_ref in[PUBLISHED_INPUTS];
    fe_builder_init(&b, d, m, weights, c->name);
    fe_begin(&b, c->name);
    for (uint32_t i = 0; i < p->inputs; i++) {
        snprintf(name, sizeof name, "in%u", i);
        in[i] = fe_input(&b, name, IR_f32, p->in[i].type.rank, p->in[i].type.dim, IR_STEP);
    }
    fe_result(&b, "out", c->build(&b, in, c));
    bool fine = fe_end(&b) && fe_weights_check(weights); /* none missing, none left over */
    base_diag_flush(d);
    if (!fine || base_diag_errors(d)) fail_msg("%s was not built", c->name);
    fe_builder_free(&b);
    fe_weights_free(weights);
}

double published_difference(const float *image, int64_t channels, int64_t height, int64_t width,
                            const double *expected) {
    double worst = 0;
    for (int64_t i = 0; i < PUBLISHED_VALUES; i++) {
        int64_t y = height - 3 + i / 3, x = width - 3 + i % 3;
        double e = fabs((double)image[((channels - 1) * height + y) * width + x] - expected[i]);
        if (!(e <= worst)) worst = e; /* NaN, too */
    }
    return worst;
}

/* Half a unit of the last of the four printed digits, and a little for float32. diffusers itself is
 * content with 1e-3 (layers) and 5e-3 (blocks). */
static const double tolerance = 6e-5;

static bool within(const published_case *c, const char *how, const ir_type *t, const float *image) {
    double e = published_difference(image, t->dim[1], t->dim[2], t->dim[3], c->expected);
    printf("  %-28s %-9s largest difference %.1e\n", c->name, how, e);
    return e <= tolerance;
}

/* ---- compiled ---- */

published_code published_compile(ir_module *m, const char *file) {
    published_code code;
    cg_level level = {cg_target(NULL, "native"), m};
    cg_options o = {.kind = CG_LIB, .opt_level = 1};
    cg_result result;
    base_diag *d = base_diag_new(NULL);
    snprintf(code.path, sizeof code.path, "%s", temp_path(temp_shared(), file));
    o.output = code.path;
    model_passes(m, level.target, IR_GRAPH);
    bool fine = cg_emit(d, &level, 1, &o, &result);
    base_diag_flush(d);
    base_diag_free(d);
    assert_true(fine);
    code.loaded = model_load(code.path);
    return code;
}

void published_unload(published_code *c) {
    model_unload(&c->loaded);
    remove(c->path);
}

static int function_named(const struct ebru_model *tables, const char *name) {
    for (int i = 0; i < tables->function_count; i++)
        if (!strcmp(tables->functions[i].name, name)) return i;
    fail_msg("no function %s", name);
    return -1;
}

void published_check(const published_case *cases, uint32_t count) {
    int wrong = 0;
    ir_module *m = ir_module_new();
    base_diag *d = base_diag_new(NULL);
    published *drawn = calloc(count, sizeof *drawn);
    ir_type *types = calloc(count, sizeof *types);
    assert_true(drawn && types);
    for (uint32_t i = 0; i < count; i++) {
        torch_init_begin(&drawn[i].init, 0);
        cases[i].draw(&drawn[i], &cases[i]);
        build(m, d, &drawn[i], &cases[i]);
        ir_tensor out;
        ir_eval(m->funcs.items[i], drawn[i].in, &out, NULL);
        types[i] = out.type;
        wrong += !within(&cases[i], "evaluator", &out.type, out.data);
        ir_tensor_free(&out);
    }
    published_code code = published_compile(m, "published.so");
    for (uint32_t i = 0; i < count; i++) {
        struct model_values v = {.inputs = drawn[i].inputs};
        void *out[MODEL_MOST_VALUES];
        memcpy(v.in, drawn[i].in, sizeof drawn[i].in);
        int function = function_named(code.loaded.tables, cases[i].name);
        assert_int_equal(code.loaded.tables->functions[function].outputs[0].layout, EBRU_PLAIN);
        model_run(&code.loaded, 0, function, 2, &v, out);
        wrong += !within(&cases[i], "compiled", &types[i], out[0]);
        free(out[0]);
        for (uint32_t k = 0; k < drawn[i].inputs; k++) ir_tensor_free(&drawn[i].in[k]);
        torch_init_end(&drawn[i].init);
    }
    published_unload(&code);
    free(drawn);
    free(types);
    base_diag_free(d);
    ir_module_free(m);
    assert_int_equal(wrong, 0);
}
