/* The passes on the components the goldens describe: real networks at toy widths, real weights. The
 * evaluator's values after every pass that changed something are those before the first. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/frontend.h"
#include "tests/unit/passes/pass_case.h"

static ir_module *load(const char *golden, bool shared, int64_t batch) {
    base_str path = {0};
    base_str_addf(&path, "%s/goldens/%s", EBRU_TEST_DATA, golden);
    base_diag *d = base_diag_new(NULL);
    fe_options o = {.batch = batch, .shared_timestep = shared};
    ir_module *m = fe_load(d, path.data, &o);
    base_diag_flush(d);
    assert_non_null(m);
    base_diag_free(d);
    base_str_free(&path);
    return m;
}

/* All functions in order: stages stand before those that take their values. Values of different
 * networks do not mix. */
static void run_all(const ir_module *m, case_values *v) {
    for (size_t i = 0; i < m->funcs.count; i++) {
        const ir_func *f = m->funcs.items[i];
        bool part =
            strstr(f->name, ".prompt") || strstr(f->name, ".schedule") || strstr(f->name, ".step");
        if (part || m->funcs.count == 1) {
            case_eval(f, v, 0);
            continue;
        }
        case_values own = {0};
        case_eval(f, &own, 0);
        for (size_t k = 0; k < f->outputs.count; k++) { /* under the function's name */
            ir_tensor *t = case_find_output(&own, f->outputs.items[k].name);
            case_value *to = &v->items[v->count++];
            snprintf(to->name, sizeof to->name, "%s/%s", f->name, f->outputs.items[k].name);
            to->tensor = *t;
            *t = (ir_tensor){.type = t->type};
        }
        case_free_values(&own);
    }
}

/* `want` may have been made with more or fewer rows of the schedule: the first one counts. */
static void compare(case_values *want, case_values *got, const ir_module *original,
                    const char *when) {
    for (size_t i = 0; i < original->funcs.count; i++) {
        const ir_func *f = original->funcs.items[i];
        for (size_t k = 0; k < f->outputs.count; k++) {
            char name[300];
            bool alone = original->funcs.count == 1;
            snprintf(name, sizeof name, "%s%s%s", alone ? "" : f->name, alone ? "" : "/",
                     f->outputs.items[k].name);
            assert_non_null(case_find_output(got, name));
            case_compare(case_find_output(want, name), case_find_output(got, name), when);
        }
    }
}

static void check(const char *golden, bool shared, int64_t batch, bool every) {
    static case_values want, got;
    ir_module *original = load(golden, shared, batch), *m = load(golden, shared, batch);
    run_all(original, &want);
    pass_context *c = pass_context_new(m, case_target());
    base_diag *d = base_diag_new(NULL);
    for (uint32_t p = 0; p < pass_count(); p++) {
        pass_options o = PASS_OPTIONS_DEFAULT;
        o.verify_each = true;
        o.stop_after = pass_get(p)->name;
        size_t before = c->timings.count;
        assert_true(pass_run(c, &o, d));
        bool changed = c->timings.count > before && c->timings.items[c->timings.count - 1].changed;
        if (!(every && changed) && p + 1 < pass_count()) continue;
        run_all(m, &got);
        compare(&want, &got, original, pass_get(p)->name);
        case_free_values(&got);
    }
    assert_int_equal(m->level, IR_PLACED);
    case_free_values(&want);
    base_diag_free(d);
    pass_context_free(c);
    ir_module_free(m);
    ir_module_free(original);
}

/* ---- lower precision: the values of the lowered module are those of the model within the class ----
 */

static void compare_class(const ir_tensor *want, const ir_tensor *got, double most,
                          const char *name) {
    double error = 0, all = 0;
    assert_true(ir_shape_equal(&want->type, &got->type));
    for (int64_t i = 0; i < ir_type_elements(&want->type); i++) {
        double d = (double)got->data[i] - (double)want->data[i];
        error += d * d;
        all += (double)want->data[i] * (double)want->data[i];
    }
    double relative = sqrt(error / all);
    if (!(relative <= most)) fail_msg("%s: rms error %g of rms", name, relative);
    if (relative < most * 1e-3) fail_msg("%s: rms error %g: nothing was lowered", name, relative);
}

static void check_class(const char *golden, ir_precision precision, double most) {
    static case_values want, got;
    ir_module *original = load(golden, true, 1), *m = load(golden, true, 1);
    run_all(original, &want);
    pass_context *c = pass_context_new(m, case_target());
    base_diag *d = base_diag_new(NULL);
    pass_options o = PASS_OPTIONS_DEFAULT;
    o.verify_each = true;
    o.precision = precision;
    assert_true(pass_run(c, &o, d));
    run_all(m, &got);
    for (size_t i = 0; i < original->funcs.count; i++) {
        const ir_func *f = original->funcs.items[i];
        bool alone = original->funcs.count == 1;
        for (size_t k = 0; k < f->outputs.count; k++) {
            char name[300];
            snprintf(name, sizeof name, "%s%s%s", alone ? "" : f->name, alone ? "" : "/",
                     f->outputs.items[k].name);
            compare_class(case_find_output(&want, name), case_find_output(&got, name), most, name);
        }
    }
    case_free_values(&want);
    case_free_values(&got);
    base_diag_free(d);
    pass_context_free(c);
    ir_module_free(m);
    ir_module_free(original);
}

static void test_bf16(void **state) {
    (void)state;
    check_class("unet-sd1", IR_PRECISION_BF16, 2e-2);
    check_class("vae-kl", IR_PRECISION_BF16, 2e-2);
    check_class("text-gelu", IR_PRECISION_BF16, 2e-2);
}
static void test_int8(void **state) {
    (void)state;
    check_class("unet-sd1", IR_PRECISION_INT8, 5e-2);
    check_class("unet2d-class", IR_PRECISION_INT8, 5e-2);
    check_class("vae-kl", IR_PRECISION_INT8, 5e-2);
}
static void test_bf16x3(void **state) {
    (void)state;
    check_class("unet-sd1", IR_PRECISION_BF16X3, 1e-4);
}

static void test_unet_sd1(void **state) {
    (void)state;
    check("unet-sd1", true, 1, true);
}
static void test_unet_sd2_batch(void **state) {
    (void)state;
    check("unet-sd2", false, 2, false);
}
static void test_unet_class(void **state) {
    (void)state;
    check("unet2d-class", true, 2, false);
    check("unet2d-class", true, 1, false);
}
static void test_unet_cifar(void **state) {
    (void)state;
    check("unet2d-cifar", true, 1, false);
}
static void test_vae(void **state) {
    (void)state;
    check("vae-kl", false, 1, true);
}
static void test_text(void **state) {
    (void)state;
    check("text-quickgelu", false, 2, true);
    check("text-gelu", false, 1, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unet_sd1),   cmocka_unit_test(test_unet_sd2_batch),
        cmocka_unit_test(test_unet_class), cmocka_unit_test(test_unet_cifar),
        cmocka_unit_test(test_vae),        cmocka_unit_test(test_text),
        cmocka_unit_test(test_bf16),       cmocka_unit_test(test_int8),
        cmocka_unit_test(test_bf16x3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
