/* The samplers against the sums that diffusers' own tests print
 * (tests/schedulers/test_scheduler_*.py): a stand-in model s t / (t + 1) on a sample of counted
 * values, sum or mean of |x| after the loop. */
#include "runtime/pipeline/rng.h"
#include "runtime/samplers/samplers.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PICTURES = 4, PICTURE = 3 * 8 * 8, ELEMENTS = PICTURES * PICTURE };

/* One loop. `keys`: settings as in scheduler_config.json, "key=value", words and numbers. `start` >
 * 0: the loop begins at that evaluation with noise added to the sample, as image to image does.
 * `mean`: the test prints the mean. */
typedef struct loop {
    rt_sampler_id id;
    int steps, start;
    const char *keys[7];
    double want;
    bool mean;
    /* not 0: the printed digits are not diffusers' own any more, or lie within float32's error */
    double loose;
} loop;

static void set(rt_sampler_config *c, const char *setting) {
    char key[64];
    rt_error err = {"?"};
    const char *value = strchr(setting, '=') + 1;
    snprintf(key, sizeof key, "%.*s", (int)(value - 1 - setting), setting);
    char *end;
    double number = strtod(value, &end);
    if (rt_sampler_config_set(c, key, *end ? value : NULL, number, &err) != RT_OK)
        fail_msg("%s: %s", setting, err.message);
}

/* The tests of the Euler family multiply the sample with init_noise_sigma before noise is added,
 * and give step() the scaled sample. */
static bool euler_family(rt_sampler_id id) {
    return id == RT_SAMPLER_EULER || id == RT_SAMPLER_EULER_A || id == RT_SAMPLER_HEUN ||
           id == RT_SAMPLER_LMS;
}

static rt_sampler *make(const loop *l) {
    rt_sampler_config c = rt_sampler_defaults(l->id);
    rt_sampler *s;
    rt_error err = {"?"};
    if (euler_family(l->id)) { /* get_scheduler_config of those tests */
        set(&c, "num_train_timesteps=1100");
        set(&c, "beta_start=0.0001");
        set(&c, "beta_end=0.02");
    }
    if (l->id == RT_SAMPLER_DPMPP_2M) set(&c, "lower_order_final=0");
    if (l->id == RT_SAMPLER_DPMPP_2M || l->id == RT_SAMPLER_UNIPC)
        set(&c, "final_sigmas_type=sigma_min");
    for (int i = 0; i < 7 && l->keys[i]; i++) set(&c, l->keys[i]);
    if (rt_sampler_new(&s, &c, l->steps, ELEMENTS, &err) != RT_OK) fail_msg("%s", err.message);
    rt_sampler_set_images(s, PICTURES);
    return s;
}

static double run(const loop *l) {
    static float x[ELEMENTS], in[ELEMENTS], out[ELEMENTS], noise[ELEMENTS];
    rt_sampler *s = make(l);
    rt_rng rng;
    rt_rng_seed(&rng, 0);
    for (int b = 0; b < PICTURES; b++)
        for (int i = 0; i < PICTURE; i++) {
            int counted = i * PICTURES + b;
            x[b * PICTURE + i] = (float)counted / (float)ELEMENTS * rt_sampler_init_noise_sigma(s);
            noise[b * PICTURE + i] = (float)(ELEMENTS - 1 - counted) / (float)ELEMENTS;
        }
    if (l->start) rt_sampler_add_noise(s, l->start, x, noise, x);
    for (int k = l->start; k < rt_sampler_evaluations(s); k++) {
        float t = rt_sampler_timesteps(s)[k];
        rt_sampler_scale_input(s, k, x, in);
        if (euler_family(l->id)) memcpy(x, in, sizeof x);
        for (int i = 0; i < ELEMENTS; i++) out[i] = in[i] * t / (t + 1);
        if (rt_sampler_needs_noise(s, k)) rt_rng_randn(&rng, noise, ELEMENTS);
        assert_int_equal(rt_sampler_step(s, k, x, out, noise, NULL), RT_OK);
    }
    rt_sampler_free(s);
    double sum = 0;
    for (int i = 0; i < ELEMENTS; i++) sum += fabs((double)x[i]);
    return l->mean ? sum / ELEMENTS : sum;
}

/* Half a unit of the last printed digit and float32's own error in sums of 768 values. diffusers
 * allows 1e-2 in a sum, 1e-3 in a mean. */
static int differs(const loop *l) {
    double got = run(l), limit = l->mean ? 1e-4 : fmax(2e-4, 2e-6 * l->want);
    if (l->loose > 0) limit = l->loose;
    bool fine = fabs(got - l->want) <= limit;
    char text[256];
    int n = snprintf(text, sizeof text, "%s", rt_sampler_name(l->id));
    for (int i = 0; i < 7 && l->keys[i]; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, " %s", l->keys[i]);
    if (l->start) snprintf(text + n, sizeof text - (size_t)n, " from evaluation %d", l->start);
    printf("  %s: %.4f, published %.4f%s\n", text, got, l->want, fine ? "" : "  <-- differs");
    return !fine;
}

#define V "prediction_type=v_prediction"
static const loop loops[] = {
    {RT_SAMPLER_DDIM, 10, 0, {NULL}, 172.0067, false, 0},
    {RT_SAMPLER_DDIM, 10, 0, {V}, 52.5302, false, 0},
    {RT_SAMPLER_DDIM, 10, 0, {"beta_start=0.01", "set_alpha_to_one=1"}, 149.8295, false, 0},
    {RT_SAMPLER_DDIM, 10, 0, {"beta_start=0.01", "set_alpha_to_one=0"}, 149.0784, false, 0},
    {RT_SAMPLER_DDIM, 10, 8, {NULL}, 354.5418, false, 0},
    {RT_SAMPLER_DDPM, 1000, 0, {NULL}, 258.9606, false, 0},
    {RT_SAMPLER_DDPM, 1000, 0, {V}, 202.0296, false, 0},
    {RT_SAMPLER_DDPM, 1000, 998, {NULL}, 387.9466, false, 0},
    {RT_SAMPLER_PNDM, 10, 0, {NULL}, 198.1318, false, 0},
    {RT_SAMPLER_PNDM, 10, 0, {V}, 67.3986, false, 0},
    {RT_SAMPLER_PNDM, 10, 0, {"beta_start=0.01", "set_alpha_to_one=1"}, 230.0399, false, 1e-2},
    {RT_SAMPLER_PNDM, 10, 0, {"beta_start=0.01", "set_alpha_to_one=0"}, 186.9482, false, 1e-2},
    {RT_SAMPLER_EULER, 10, 0, {NULL}, 10.0807, false, 0},
    {RT_SAMPLER_EULER, 10, 0, {V}, 0.0002, false, 0},
    {RT_SAMPLER_EULER, 10, 0, {"use_karras_sigmas=1"}, 124.52299499511719, false, 1e-3},
    {RT_SAMPLER_EULER, 10, 8, {NULL}, 57062.9297, false, 0},
    {RT_SAMPLER_EULER_A, 10, 0, {NULL}, 152.3192, false, 0},
    {RT_SAMPLER_EULER_A, 10, 0, {V}, 108.4439, false, 0},
    {RT_SAMPLER_EULER_A, 10, 8, {NULL}, 56163.0508, false, 0},
    {RT_SAMPLER_HEUN, 10, 0, {NULL}, 0.1233, false, 0},
    {RT_SAMPLER_HEUN, 10, 0, {V}, 4.6934e-07, false, 0},
    {RT_SAMPLER_HEUN, 10, 0, {"use_karras_sigmas=1"}, 0.00015, false, 0},
    {RT_SAMPLER_HEUN, 10, 16, {NULL}, 75074.8906, false, 0},
    {RT_SAMPLER_LMS, 10, 0, {NULL}, 1006.388, false, 0},
    {RT_SAMPLER_LMS, 10, 0, {V}, 0.0017, false, 0},
    {RT_SAMPLER_LMS, 10, 0, {"use_karras_sigmas=1"}, 3812.9927, false, 0},
    {RT_SAMPLER_LMS, 10, 8, {NULL}, 27663.6895, false, 0},
    {RT_SAMPLER_DPMPP_2M, 10, 0, {NULL}, 0.3301, true, 0},
    {RT_SAMPLER_DPMPP_2M, 10, 0, {V}, 0.2251, true, 0},
    {RT_SAMPLER_DPMPP_2M, 10, 0, {V, "use_karras_sigmas=1"}, 0.2096, true, 1e-3},
    {RT_SAMPLER_DPMPP_2M, 10, 0, {V, "use_lu_lambdas=1"}, 0.1554, true, 0},
    {RT_SAMPLER_DPMPP_2M,
     10,
     0,
     {"thresholding=1", "dynamic_thresholding_ratio=0.87", "sample_max_value=0.5"},
     1.1364,
     true,
     0},
    {RT_SAMPLER_DPMPP_2M, 10, 5, {NULL}, 318.4111, false, 0},
    {RT_SAMPLER_UNIPC, 10, 0, {NULL}, 0.2464, true, 0},
    {RT_SAMPLER_UNIPC, 10, 0, {V}, 0.1014, true, 0},
    {RT_SAMPLER_UNIPC, 10, 0, {"use_karras_sigmas=1"}, 0.2925, true, 0},
    {RT_SAMPLER_UNIPC, 10, 0, {V, "use_karras_sigmas=1"}, 0.1966, true, 1e-3},
    {RT_SAMPLER_UNIPC, 10, 8, {NULL}, 315.5757, false, 0},
    {RT_SAMPLER_LCM, 1, 0, {NULL}, 18.7097, false, 0},
    {RT_SAMPLER_LCM, 10, 0, {NULL}, 197.7616, false, 0},
};

static void published_sums(void **state) {
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++) wrong += differs(&loops[i]);
    assert_int_equal(wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
