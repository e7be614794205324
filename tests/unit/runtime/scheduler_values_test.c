/* The samplers against diffusers' schedulers on a stand-in model, for every spacing, prediction,
 * solver and setting: timesteps to 1e-6, the sample at the end to 1e-5. */
#include "runtime/samplers/samplers.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ELEMENTS = 6, PICTURES = 2, EVALUATIONS = 16, KEYS = 9 };

typedef struct value_row {
    rt_sampler_id id;
    int steps;
    double eta;
    const char *keys[KEYS];
    int evaluations;
    double timesteps[EVALUATIONS], sample[ELEMENTS];
} value_row;

#define SD "beta_schedule=scaled_linear", "beta_start=0.00085", "beta_end=0.012"
static const value_row rows[] = {
/* clang-format off */
#include "tests/unit/runtime/scheduler_values.h"
    /* clang-format on */
};

static rt_sampler *make(const value_row *r) {
    rt_sampler_config c = rt_sampler_defaults(r->id);
    rt_sampler *s;
    rt_error err = {"?"};
    c.eta = r->eta;
    for (int i = 0; i < KEYS && r->keys[i]; i++) {
        char key[64], *end;
        const char *value = strchr(r->keys[i], '=') + 1;
        snprintf(key, sizeof key, "%.*s", (int)(value - 1 - r->keys[i]), r->keys[i]);
        double number = strtod(value, &end);
        if (rt_sampler_config_set(&c, key, *end ? value : NULL, number, &err) != RT_OK)
            fail_msg("%s: %s", r->keys[i], err.message);
    }
    if (rt_sampler_new(&s, &c, r->steps, ELEMENTS, &err) != RT_OK) fail_msg("%s", err.message);
    rt_sampler_set_images(s, PICTURES);
    return s;
}

/* The largest error of the sample; INFINITY when the timesteps differ. */
static double run(const value_row *r) {
    static const float first[ELEMENTS] = {0.9f, -0.4f, 1.3f, -2.1f, 0.25f, -0.7f};
    rt_sampler *s = make(r);
    float x[ELEMENTS], in[ELEMENTS], out[ELEMENTS], noise[ELEMENTS];
    double worst = rt_sampler_evaluations(s) == r->evaluations ? 0 : INFINITY;
    for (int i = 0; i < ELEMENTS; i++) x[i] = first[i] * rt_sampler_init_noise_sigma(s);
    for (int k = 0; k < r->evaluations && isfinite(worst); k++) {
        float t = rt_sampler_timesteps(s)[k];
        if (!(fabs((double)t - r->timesteps[k]) <= 1e-6 * fmax(1, r->timesteps[k])))
            worst = INFINITY;
        rt_sampler_scale_input(s, k, x, in);
        for (int i = 0; i < ELEMENTS; i++) {
            out[i] = 0.6f * in[i] + 0.3f * sinf(2.0f * in[i] + t / 300.0f);
            noise[i] = (float)((k * 7 + i * 3) % 11 - 5) / 4.0f;
        }
        assert_int_equal(rt_sampler_step(s, k, x, out, noise, NULL), RT_OK);
    }
    rt_sampler_free(s);
    for (int i = 0; i < ELEMENTS; i++) {
        double e = fabs((double)x[i] - r->sample[i]) / fmax(1, fabs(r->sample[i]));
        if (!(e <= worst)) worst = isnan(e) ? INFINITY : e;
    }
    return worst;
}

static void as_diffusers(void **state) {
    (void)state;
    int wrong = 0;
    double largest = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double e = run(&rows[i]);
        if (isfinite(e)) largest = fmax(largest, e);
        if (e <= 1e-5) continue;
        wrong++;
        print_error("%s, %d steps, eta %g", rt_sampler_name(rows[i].id), rows[i].steps,
                    rows[i].eta);
        for (int k = 0; k < KEYS && rows[i].keys[k]; k++) print_error(", %s", rows[i].keys[k]);
        print_error(": error %g\n", e);
    }
    printf("  %zu settings, largest error %.1e\n", sizeof rows / sizeof *rows, largest);
    assert_int_equal(wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_diffusers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
