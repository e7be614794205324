/* What an error of a denoiser's result counts, by the step it is made in. */
#include "driver/quantize/recording.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { STEPS = 20, MOST = 2 * STEPS };

/* A straight path: each step goes as far as the others. */
static void flow_steps_count_alike(void **state) {
    (void)state;
    double w[MOST];
    rt_sampler_config c = rt_sampler_defaults(RT_SAMPLER_FLOW);
    assert_true(quant_step_weights(&c, STEPS, w));
    for (int k = 0; k < STEPS; k++) assert_true(fabs(w[k] * STEPS * STEPS - 1) < 0.1);
}

/* Where little noise is left, a step takes little of what the network says. */
static void last_steps_count_little(void **state) {
    (void)state;
    double w[MOST];
    rt_sampler_config c = rt_sampler_defaults(RT_SAMPLER_DDIM);
    assert_true(quant_step_weights(&c, STEPS, w));
    assert_true(w[STEPS - 1] < w[STEPS / 2] && w[STEPS - 1] < w[0] / 10);
    for (int k = 0; k < STEPS; k++) assert_true(w[k] > 0 && w[k] < 2);
}

/* Samplers that scale what the network sees: the error is scaled with it. */
static void all_samplers_have_weights(void **state) {
    (void)state;
    for (int id = 0; id < RT_SAMPLER_COUNT; id++) {
        rt_sampler_config c = rt_sampler_defaults((rt_sampler_id)id);
        rt_sampler *s;
        rt_error err;
        if (rt_sampler_new(&s, &c, 8, 1, &err)) continue;
        double w[64], sum = 0;
        const int count = rt_sampler_evaluations(s);
        rt_sampler_free(s);
        assert_true(count <= 64 && quant_step_weights(&c, 8, w));
        for (int k = 0; k < count; k++) {
            assert_true(w[k] >= 0 && w[k] < 20);
            sum += w[k];
        }
        assert_true(sum > 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flow_steps_count_alike),
        cmocka_unit_test(last_steps_count_little),
        cmocka_unit_test(all_samplers_have_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
