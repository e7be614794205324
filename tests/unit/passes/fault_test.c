/* Planted faults: the module verifies and computes something else; without a place for it nothing
 * happens. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/passes/pass_case.h"

static bool run(ir_module *m, const char *passes, const char *fault) {
    base_diag *d = base_diag_new(NULL);
    pass_context *c = pass_context_new(m, case_target());
    pass_options o = PASS_OPTIONS_DEFAULT;
    o.passes = passes;
    o.verify_each = true;
    o.fault = fault;
    o.quiet = true;
    bool fine = pass_run(c, &o, d);
    pass_context_free(c);
    base_diag_free(d);
    return fine;
}

/* Whether the function's first output is another one after the passes, with a fault. */
static bool differs(const char *text, const char *passes, const char *fault) {
    ir_module *m = case_parse(text);
    case_values before = {0}, after = {0};
    case_eval(m->funcs.items[0], &before, 0);
    assert_true(run(m, passes, fault));
    assert_true(ir_verify(m, NULL));
    case_eval(m->funcs.items[0], &after, 0);
    const char *name = m->funcs.items[0]->outputs.items[0].name;
    const ir_tensor *x = case_find(&before, name), *y = case_find(&after, name);
    double worst = 0;
    for (int64_t i = 0; i < ir_type_elements(&x->type); i++)
        worst = fmax(worst, fabs((double)x->data[i] - (double)y->data[i]));
    case_free_values(&before);
    case_free_values(&after);
    ir_module_free(m);
    return worst > 1e-3;
}

static const char residual[] =
    HEAD("graph") "func @f(%0 x : f32[1,8,5,5] step, %1 r : f32[1,8,5,5] step) {\n"
                  "%2 = conv2d %0, @w8x8, @v8 {pad=[1,1,1,1]} : f32[1,8,5,5]\n"
                  "%3 = add %2, %1 : f32[1,8,5,5]\n"
                  "%4 = conv2d %3, @w8x8b, @v8 {pad=[1,1,1,1]} : f32[1,8,5,5]\n"
                  "%5 = add %4, %3 : f32[1,8,5,5]\n"
                  "%6 = relu %5 : f32[1,8,5,5]\n"
                  "return y = %6\n}\n";

static void each_pass_can_be_made_wrong(void **state) {
    (void)state;
    static const char norm[] =
        HEAD("graph") "func @f(%0 x : f32[1,8,5,5] step) {\n"
                      "%1 = group_norm %0, @v8, @u8 {groups=2} : f32[1,8,5,5]\n"
                      "%2 = silu %1 : f32[1,8,5,5]\nreturn y = %2\n}\n";
    static const char chain[] =
        HEAD("graph") "func @f(%0 x : f32[4,8] step, %1 z : f32[4,8] step) {\n"
                      "%2 = exp %0 : f32[4,8]\n%3 = mul %2, %1 : f32[4,8]\n"
                      "%4 = tanh %3 : f32[4,8]\nreturn y = %4\n}\n";
    assert_true(differs(residual, "fuse_conv_epilogue", "fuse_conv_epilogue"));
    assert_true(differs(norm, "fuse_groupnorm_silu", "fuse_groupnorm_silu"));
    assert_true(differs(chain, "fuse_elementwise", "fuse_elementwise"));
    assert_true(differs(residual, "fuse_conv_epilogue,lay_out,pack_weights", "lay_out"));
}

/* The second conv of `residual` loses its residual, the first keeps it. */
static void a_number_says_which(void **state) {
    (void)state;
    ir_module *m = case_parse(residual);
    assert_true(run(m, "fuse_conv_epilogue", "fuse_conv_epilogue:2"));
    case_has(m, "%2 = conv2d %0, @w8x8, @v8, _, _, _, %1 {pad=[1,1,1,1]}");
    case_has(m, "%3 = conv2d %2, @w8x8b, @v8 {pad=[1,1,1,1], act=relu}");
    ir_module_free(m);
}

static void no_place_no_fault(void **state) {
    (void)state;
    assert_false(differs(residual, "fuse_conv_epilogue", "fuse_conv_epilogue:3"));
    assert_false(differs(residual, "fuse_conv_epilogue", "fuse_attention"));
    assert_false(differs(residual, "fuse_attention", "fuse_attention"));
    assert_false(differs(residual, "fuse_conv_epilogue", NULL));
}

/* Behind kernel selection the IR stays right and a kernel's parameter is not. */
static void kernels_parameters(void **state) {
    (void)state;
    assert_false(differs(residual,
                         "fuse_conv_epilogue,lay_out,pack_weights,tile_attention,select_kernels",
                         "select_kernels"));
}

static void malformed(void **state) {
    (void)state;
    static const char *const wrong[] = {"", "dce:", "dce:0", "dce:-1", "dce:1x", "dcd", ":1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ir_module *m = case_parse(residual);
        assert_false(run(m, "dce", wrong[i]));
        ir_module_free(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pass_can_be_made_wrong),
        cmocka_unit_test(a_number_says_which),
        cmocka_unit_test(no_place_no_fault),
        cmocka_unit_test(kernels_parameters),
        cmocka_unit_test(malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
