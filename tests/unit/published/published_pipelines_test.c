/* The pictures that diffusers' tests of its unconditional pipelines print, from the reference
 * evaluator and the runtime's samplers. tests/e2e/published.sh has them from compiled programs. */
#include "tests/unit/published/published_pipelines.h"
#include "tests/unit/support/temp_dir.h"

#include "frontend/frontend.h"
#include "ir/ir.h"
#include "runtime/samplers/samplers.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static ir_module *load(const published_pipeline *p) {
    const char *folder = temp_path(temp_shared(), p->name);
    assert_int_equal(mkdir(folder, 0777), 0);
    published_pipeline_write(p, folder);
    base_diag *d = base_diag_new(NULL);
    fe_options o = {.component = "unet"};
    ir_module *m = fe_load(d, folder, &o);
    base_diag_flush(d);
    base_diag_free(d);
    assert_non_null(m);
    return m;
}

/* The loop of the pipeline: randn, then steps whose noise comes from the same generator. */
static void paint(const published_pipeline *p, const ir_func *f, float *x, size_t n) {
    rt_sampler_config c = rt_sampler_defaults(p->sampler);
    rt_sampler *s;
    rt_rng rng;
    float *noise = calloc(n, sizeof *noise);
    assert_non_null(noise);
    assert_int_equal(rt_sampler_new(&s, &c, p->steps, n, NULL), RT_OK);
    rt_rng_seed(&rng, 0);
    rt_rng_randn(&rng, x, n);
    for (int k = 0; k < rt_sampler_evaluations(s); k++) {
        float t = rt_sampler_timesteps(s)[k];
        ir_tensor in[2], out;
        for (int i = 0; i < 2; i++) in[i].type = *ir_typeof(f, f->inputs.items[i]);
        in[0].data = x;
        in[1].data = &t;
        ir_eval(f, in, &out, NULL);
        bool needs = rt_sampler_needs_noise(s, k);
        if (needs) rt_rng_randn(&rng, noise, n);
        assert_int_equal(rt_sampler_step(s, k, x, out.data, needs ? noise : NULL, NULL), RT_OK);
        ir_tensor_free(&out);
    }
    rt_sampler_free(s);
    free(noise);
}

static void check(const published_pipeline *p) {
    ir_module *m = load(p);
    size_t side = (size_t)p->side, n = 3 * side * side;
    float *x = calloc(n, sizeof *x);
    assert_non_null(x);
    paint(p, m->funcs.items[0], x, n);
    double worst = 0;
    for (size_t i = 0; i < 9; i++) {
        double value = (double)x[2 * side * side + (side - 3 + i / 3) * side + side - 3 + i % 3];
        worst = fmax(worst, fabs(fmin(fmax(value / 2 + 0.5, 0), 1) - p->expected[i]));
    }
    printf("  %s: largest difference %.1e\n", p->name, worst);
    assert_true(worst <= p->tolerance);
    free(x);
    ir_module_free(m);
}

static void ddim_and_ddpm(void **state) {
    (void)state;
    check(&published_pipelines[0]);
    check(&published_pipelines[1]);
}

static void pndm(void **state) {
    (void)state;
    check(&published_pipelines[2]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ddim_and_ddpm),
        cmocka_unit_test(pndm),
    };
    return cmocka_run_group_tests(tests, temp_shared_begin, temp_shared_end);
}
