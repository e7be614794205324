/* Every sampler against diffusers' own steps with the same stand-in model. What diffusers' own
 * tests print is in published_samplers_test.c. */
#include "runtime/pipeline/rng.h"
#include "runtime/samplers/samplers.h"

#include "tests/unit/support/golden_file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Class, steps, strength and settings of a golden stand in its metadata and nowhere else: what is
 * run here is what the file says it was made with. */
static const char *const goldens[] = {
    "ddim",
    "ddim-v",
    "ddpm",
    "ddpm-v",
    "euler",
    "euler-karras",
    "euler-a",
    "pndm",
    "heun",
    "lms",
    "dpmpp-2m",
    "dpmpp-2m-karras",
    "unipc",
    "lcm",
    "flow-karras",
    "pndm-runge-kutta-strength",
    "unipc-predict-x0-false",
};

static void set(rt_sampler_config *c, const char *key, const char *text, double number) {
    rt_error err;
    if (rt_sampler_config_set(c, key, text, number, &err) != RT_OK)
        fail_msg("%s: %s", key, err.message);
}

/* What the metadata says of `key`, else `otherwise`. Without that (NULL) it must say it. */
static const char *says(const golden_file *file, const char *name, const char *key,
                        const char *otherwise) {
    const char *text = golden_says(file, key);
    if (!text && !otherwise) fail_msg("%s does not say its %s", name, key);
    return text ? text : otherwise;
}

static void set_from_json(rt_sampler_config *c, base_jval v) {
    const char *text = NULL;
    double number = 0;
    bool flag = false;
    if (base_json_is(v, BASE_JSON_STRING))
        assert_true(base_json_string(v, &text));
    else if (base_json_is(v, BASE_JSON_BOOL))
        assert_true(base_json_bool(v, &flag));
    else
        assert_true(base_json_double(v, &number));
    set(c, base_json_key(v), text, flag ? 1 : number);
}

static rt_sampler_config config_of(const golden_file *file, const char *name) {
    int id = rt_sampler_by_class(says(file, name, "class", NULL));
    if (id < 0) fail_msg("%s is of no class there is", name);
    rt_sampler_config c = rt_sampler_defaults((rt_sampler_id)id);
    const char *betas = golden_says(file, "betas"), *settings = says(file, name, "kwargs", NULL);
    char schedule[32];
    double start, end;
    if (betas) {
        assert_int_equal(sscanf(betas, "%31s %lf %lf", schedule, &start, &end), 3);
        set(&c, "beta_schedule", schedule, 0);
        set(&c, "beta_start", NULL, start);
        set(&c, "beta_end", NULL, end);
        set(&c, "prediction_type", says(file, name, "prediction_type", NULL), 0);
        /* The diffusers of these (0.24) had no final_sigmas_type: solvers ended at the least
         * trained sigma. */
        if (RT_OF_SOLVERS >> id & 1) set(&c, "final_sigmas_type", "sigma_min", 0);
    }
    base_json *json = base_json_parse(file->diag, name, settings, strlen(settings), NULL);
    assert_non_null(json);
    for (base_jval v = base_json_first(base_json_root(json)); base_json_present(v);
         v = base_json_next(v))
        set_from_json(&c, v);
    base_json_free(json);
    return c;
}

static rt_sampler *make(const rt_sampler_config *c, int steps, size_t n) {
    rt_sampler *s;
    rt_error err = {"?"};
    if (rt_sampler_new(&s, c, steps, n, &err) != RT_OK) fail_msg("%s", err.message);
    return s;
}

/* The goldens' stand-in: e = 0.6 x + 0.3 sin(2 x + t / 300). */
static void stand_in(const float *x, float t, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = 0.6f * x[i] + 0.3f * sinf(2.0f * x[i] + t / 300.0f);
}

static void close_to(const char *file, int k, const float *got, const float *want, size_t n) {
    double square = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        square += (double)want[i] * (double)want[i];
        worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
        if (isnan(got[i])) worst = INFINITY;
    }
    double scale = fmax(1, sqrt(square / (double)n));
    if (!(worst <= 1e-5 * scale))
        fail_msg("%s: step %d is off by %g (rms %g)", file, k, worst, scale);
}

static void check_golden(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "samplers/%s.safetensors", name);
    golden_file file = golden_open(path);
    rt_sampler_config c = config_of(&file, name);
    int steps = atoi(says(&file, name, "steps", NULL));
    double strength = atof(says(&file, name, "strength", "1"));
    size_t n, count, noise_count = 0, sigma_count = 0;
    const float *first = golden_f32(&file, "in.sample", &n);
    const float *timesteps = golden_f32(&file, "timesteps", &count);
    size_t all;
    const float *samples = golden_f32(&file, "out.samples", &all);
    const float *noises = golden_f32(&file, "in.noises", &noise_count);
    const float *sigmas = golden_f32(&file, "sigmas", &sigma_count);
    assert_true(first && timesteps && samples && all == n * count);
    rt_sampler *s = make(&c, steps, n);
    /* image to image: begun with in.clean noised by in.noise */
    const float *clean = golden_f32(&file, "in.clean", &all),
                *clean_noise = golden_f32(&file, "in.noise", &all);
    int start = rt_sampler_first_evaluation(s, strength);
    if (!clean != (strength >= 1)) fail_msg("%s: strength %g", name, strength);

    if ((size_t)rt_sampler_evaluations(s) != (size_t)start + count)
        fail_msg("%s: %d evaluations", name, rt_sampler_evaluations(s));
    for (size_t k = 0; k < count; k++)
        if (fabsf(rt_sampler_timesteps(s)[(size_t)start + k] - timesteps[k]) > 1e-6f * timesteps[k])
            fail_msg("%s: timestep %zu is %.9g, want %.9g", name, k,
                     (double)rt_sampler_timesteps(s)[k], (double)timesteps[k]);
    if (sigmas) {
        assert_non_null(rt_sampler_sigmas(s));
        assert_int_equal(sigma_count, count + 1);
        for (size_t k = 0; k <= count; k++)
            if (fabsf(rt_sampler_sigmas(s)[k] - sigmas[k]) > 1e-6f * sigmas[k])
                fail_msg("%s: sigma %zu is %.9g, want %.9g", name, k,
                         (double)rt_sampler_sigmas(s)[k], (double)sigmas[k]);
    }

    float *x = malloc(n * sizeof *x), *scaled = malloc(n * sizeof *x), *out = malloc(n * sizeof *x);
    assert_true(x && scaled && out);
    if (clean) {
        assert_true(clean_noise && all == n);
        rt_sampler_add_noise(s, start, clean, clean_noise, x);
        close_to(name, -1, x, first, n);
    }
    for (int round = 0; round < 2; round++) { /* twice: reset must forget everything */
        memcpy(x, first, n * sizeof *x);
        const float *noise = noises;
        for (int k = 0; k < (int)count; k++) {
            rt_sampler_scale_input(s, start + k, x, scaled);
            stand_in(scaled, timesteps[k], out, n);
            bool needs = rt_sampler_needs_noise(s, start + k);
            if (needs) assert_true(noise && noise + n <= noises + noise_count);
            assert_int_equal(rt_sampler_step(s, start + k, x, out, needs ? noise : NULL, NULL),
                             RT_OK);
            if (needs) noise += n;
            close_to(name, k, x, samples + (size_t)k * n, n);
        }
        rt_sampler_reset(s);
    }
    free(x);
    free(scaled);
    free(out);
    rt_sampler_free(s);
    golden_close(&file);
}

static void every_golden(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) check_golden(goldens[i]);
}

/* ---- properties ---- */

/* With the exact velocity of a straight path, flow sampling arrives at the data. */
static void flow_arrives(void **state) {
    (void)state;
    const float data[3] = {0.25f, -0.5f, 1.0f}, noise[3] = {1.5f, 0.75f, -2.0f};
    const rt_sampler_id ids[] = {RT_SAMPLER_FLOW, RT_SAMPLER_FLOW_EULER};
    for (int which = 0; which < 2; which++) {
        rt_sampler_config c = rt_sampler_defaults(ids[which]);
        rt_sampler *s = make(&c, 8, 3);
        float x[3], v[3];
        rt_sampler_add_noise(s, 0, data, noise, x);
        for (int i = 0; i < 3; i++) {
            assert_float_equal(x[i], noise[i], 1e-6);
            v[i] = which == 0 ? data[i] - noise[i] : noise[i] - data[i];
        }
        if (which == 0) {
            assert_true(rt_sampler_timesteps(s)[0] == 1000 && rt_sampler_timesteps(s)[7] == 125);
        }
        for (int k = 0; k < 8; k++)
            assert_int_equal(rt_sampler_step(s, k, x, v, NULL, NULL), RT_OK);
        for (int i = 0; i < 3; i++) assert_float_equal(x[i], data[i], 1e-6);
        rt_sampler_free(s);
    }
}

/* A model that knows the clean sample: every sampler ends close to it, whatever it predicts,
 * however it is spaced. */
static void all_combinations_arrive(void **state) {
    (void)state;
    enum { N = 16 };
    const char *predictions[] = {"epsilon", "v_prediction", "sample"};
    const char *spacings[] = {"linspace", "leading", "trailing"};
    rt_rng rng;
    rt_rng_seed(&rng, 3);
    for (int id = 0; id < RT_SAMPLER_COUNT; id++) {
        if (id == RT_SAMPLER_FLOW || id == RT_SAMPLER_FLOW_EULER) continue;
        for (int combination = 0; combination < 9 * 3; combination++) {
            rt_sampler_config c = rt_sampler_defaults((rt_sampler_id)id);
            set(&c, "beta_schedule", "scaled_linear", 0);
            set(&c, "beta_start", NULL, 0.00085);
            set(&c, "beta_end", NULL, 0.012);
            set(&c, "clip_sample", NULL, 0);
            set(&c, "set_alpha_to_one", NULL, 1);
            set(&c, "final_sigmas_type", combination / 9 == 2 ? "zero" : "sigma_min", 0);
            set(&c, "use_karras_sigmas", NULL, combination / 9 == 1);
            set(&c, "prediction_type", predictions[combination % 3], 0);
            set(&c, "timestep_spacing", spacings[combination / 3 % 3], 0);
            if (id == RT_SAMPLER_PNDM && combination % 3 == 2) continue; /* not defined for it */
            rt_sampler *s = make(&c, 20, N);
            float clean[N], x[N], in[N], out[N], noise[N];
            for (int i = 0; i < N; i++) clean[i] = (float)i / 8.0f - 1.0f;
            rt_rng_randn(&rng, noise, N);
            rt_sampler_add_noise(s, 0, clean, noise, x);
            for (int k = 0; k < rt_sampler_evaluations(s); k++) {
                rt_sampler_scale_input(s, k, x, in);
                float abar; /* of the level the model sees */
                const float *sigmas = rt_sampler_sigmas(s);
                if (sigmas) {
                    abar = 1 / (sigmas[k] * sigmas[k] + 1);
                } else {
                    float zero[N] = {0}, unit[N], both[N];
                    for (int i = 0; i < N; i++) unit[i] = 1;
                    rt_sampler_add_noise(s, k, unit, zero, both);
                    abar = both[0] * both[0];
                }
                float a = sqrtf(abar), b = sqrtf(1 - abar);
                for (int i = 0; i < N; i++) {
                    float e = (in[i] - a * clean[i]) / b;
                    out[i] = combination % 3 == 0   ? e
                             : combination % 3 == 1 ? a * e - b * clean[i]
                                                    : clean[i];
                }
                rt_rng_randn(&rng, noise, N);
                assert_int_equal(rt_sampler_step(s, k, x, out, noise, NULL), RT_OK);
            }
            for (int i = 0; i < N; i++)
                if (!(fabsf(x[i] - clean[i]) < 0.2f))
                    fail_msg("%s, %s, %s, %d: arrived at %g, not %g",
                             rt_sampler_name((rt_sampler_id)id), predictions[combination % 3],
                             spacings[combination / 3 % 3], combination / 9, (double)x[i],
                             (double)clean[i]);
            rt_sampler_free(s);
        }
    }
}

static void bad_settings_are_errors(void **state) {
    (void)state;
    rt_sampler *s;
    rt_error err;
    rt_sampler_config c = rt_sampler_defaults(RT_SAMPLER_DDIM);
    assert_int_equal(rt_sampler_new(&s, &c, 0, 4, &err), RT_ERR_INPUT);
    assert_null(s);
    assert_int_equal(rt_sampler_new(&s, &c, 1001, 4, &err), RT_ERR_INPUT);
    assert_int_equal(rt_sampler_new(&s, &c, 1000, 4, &err), RT_OK);
    rt_sampler_free(s);
    c.steps_offset = 1; /* 1000 steps reach timestep 1000, which was never trained */
    assert_int_equal(rt_sampler_new(&s, &c, 1000, 4, &err), RT_ERR_INPUT);
    assert_non_null(strstr(err.message, "1000"));
    c.steps_offset = -5;
    assert_int_equal(rt_sampler_new(&s, &c, 10, 4, &err), RT_ERR_INPUT);
    c = rt_sampler_defaults(RT_SAMPLER_DDIM);
    c.sampler = 99;
    assert_int_equal(rt_sampler_new(&s, &c, 10, 4, &err), RT_ERR_INPUT);
    c = rt_sampler_defaults(RT_SAMPLER_DDIM);
    c.beta_end = (double)NAN;
    assert_int_equal(rt_sampler_new(&s, &c, 10, 4, &err), RT_ERR_INPUT);
    c = rt_sampler_defaults(RT_SAMPLER_LCM);
    assert_int_equal(rt_sampler_new(&s, &c, 51, 4, &err), RT_ERR_INPUT);

    c = rt_sampler_defaults(RT_SAMPLER_DPMPP_2M);
    set(&c, "use_karras_sigmas", NULL, 1);
    set(&c, "use_beta_sigmas", NULL, 1);
    assert_int_equal(rt_sampler_new(&s, &c, 10, 4, &err), RT_ERR_INPUT);
    c = rt_sampler_defaults(RT_SAMPLER_DPMPP_2M);
    set(&c, "algorithm_type", "dpmsolver", 0);
    assert_int_equal(rt_sampler_new(&s, &c, 10, 4, &err), RT_ERR_INPUT); /* ends at sigma 0 */
    c = rt_sampler_defaults(RT_SAMPLER_DDIM);
    set(&c, "num_train_timesteps", NULL, 3);
    set(&c, "trained_betas", "0.1 0.2", 0);
    assert_int_equal(rt_sampler_new(&s, &c, 2, 4, &err), RT_ERR_INPUT);
    set(&c, "trained_betas", "0.1 0.2 0.3 0.4", 0);
    assert_int_equal(rt_sampler_new(&s, &c, 2, 4, &err), RT_ERR_INPUT);
    set(&c, "trained_betas", "0.1 0.2 1.5", 0);
    assert_int_equal(rt_sampler_new(&s, &c, 2, 4, &err), RT_ERR_INPUT);
    set(&c, "trained_betas", "0.1 0.2 0.3", 0);
    set(&c, "sample_max_value", NULL, 0);
    assert_int_equal(rt_sampler_new(&s, &c, 2, 4, &err), RT_ERR_INPUT);
    set(&c, "sample_max_value", NULL, 1);
    set(&c, "sigma_min", NULL, 2);
    set(&c, "sigma_max", NULL, 1);
    assert_int_equal(rt_sampler_new(&s, &c, 2, 4, &err), RT_OK); /* no keys of DDIM's */
    rt_sampler_free(s);
    c = rt_sampler_switch(&c, RT_SAMPLER_EULER);
    assert_int_equal(rt_sampler_new(&s, &c, 2, 4, &err), RT_ERR_INPUT);
    c = rt_sampler_defaults(RT_SAMPLER_UNIPC);
    set(&c, "predict_x0", NULL, 0);
    assert_int_equal(rt_sampler_new(&s, &c, 10, 4, &err), RT_ERR_INPUT); /* ends at sigma 0 */
    c = rt_sampler_defaults(RT_SAMPLER_DDIM);
    set(&c, "beta_schedule", "sigmoid", 0); /* DDPM's alone */
    assert_int_equal(rt_sampler_config_check(&c, &err), RT_ERR_INPUT);
    assert_non_null(strstr(err.message, "DDIMScheduler has no beta_schedule 'sigmoid'"));
    c = rt_sampler_switch(&c, RT_SAMPLER_DDPM);
    assert_int_equal(rt_sampler_config_check(&c, &err), RT_OK);
    c = rt_sampler_defaults(RT_SAMPLER_FLOW_EULER);
    set(&c, "shift_terminal", NULL, 0.1);
    assert_int_equal(rt_sampler_new(&s, &c, 1, 4, &err), RT_ERR_INPUT); /* its last is its first */
    assert_int_equal(rt_sampler_new(&s, &c, 2, 4, &err), RT_OK);
    rt_sampler_free(s);
    c = rt_sampler_defaults(RT_SAMPLER_DPMPP_2M);
    set(&c, "lambda_min_clipped", NULL, 20);
    assert_int_equal(rt_sampler_new(&s, &c, 10, 4, &err), RT_ERR_INPUT);

    assert_int_equal(rt_sampler_config_set(&c, "beta_schedule", "cosine", 0, &err), RT_ERR_INPUT);
    assert_int_equal(rt_sampler_config_set(&c, "use_dynamic_shifting", NULL, 0, &err),
                     RT_ERR_INPUT);
    assert_int_equal(rt_sampler_config_set(&c, "algorithm_type", "dpmsolver+++", 0, &err),
                     RT_ERR_INPUT);
    assert_int_equal(rt_sampler_config_set(&c, "variance_type", "fixed_large_log", 0, &err),
                     RT_ERR_INPUT);
    assert_int_equal(rt_sampler_config_set(&c, "steps_offset", NULL, 0.5, &err), RT_ERR_INPUT);
    assert_int_equal(rt_sampler_config_set(&c, "steps_offset", "1", 0, &err), RT_ERR_INPUT);
}

static void steps_come_in_order(void **state) {
    (void)state;
    rt_sampler_config c = rt_sampler_defaults(RT_SAMPLER_EULER_A);
    rt_sampler *s = make(&c, 4, 2);
    float x[2] = {1, 2}, out[2] = {0, 0}, noise[2] = {0, 0};
    assert_int_equal(rt_sampler_step(s, 4, x, out, noise, NULL), RT_ERR_USAGE);
    assert_int_equal(rt_sampler_step(s, -1, x, out, noise, NULL), RT_ERR_USAGE);
    assert_int_equal(rt_sampler_step(s, 0, x, out, NULL, NULL),
                     RT_ERR_USAGE); /* noise is missing */
    assert_int_equal(rt_sampler_step(s, 0, x, out, noise, NULL), RT_OK);
    assert_int_equal(rt_sampler_step(s, 2, x, out, noise, NULL), RT_ERR_USAGE);
    assert_int_equal(rt_sampler_step(s, 1, x, out, noise, NULL), RT_OK);
    rt_sampler_reset(s);
    assert_int_equal(rt_sampler_step(s, 2, x, out, noise, NULL),
                     RT_OK); /* image to image begins anywhere */
    rt_sampler_free(s);
}

static void strength(void **state) {
    (void)state;
    rt_sampler_config c = rt_sampler_defaults(RT_SAMPLER_DDIM);
    rt_sampler *s = make(&c, 50, 1);
    assert_int_equal(rt_sampler_first_evaluation(s, 1.0), 0);
    assert_int_equal(rt_sampler_first_evaluation(s, 0.8), 10);
    assert_int_equal(rt_sampler_first_evaluation(s, 0.01), 50);
    assert_int_equal(rt_sampler_first_evaluation(s, 0.0), 50);
    rt_sampler_free(s);
    c = rt_sampler_defaults(RT_SAMPLER_HEUN);
    s = make(&c, 10, 1);
    assert_int_equal(rt_sampler_first_evaluation(s, 0.5), 10); /* two evaluations a step */
    rt_sampler_free(s);

    /* diffusers: LCMScheduler().set_timesteps(4, strength=0.5).timesteps */
    static const float lcm[4] = {499, 379, 259, 139};
    c = rt_sampler_defaults(RT_SAMPLER_LCM);
    c.strength = 0.5;
    s = make(&c, 4, 1);
    for (int k = 0; k < 4; k++) assert_true(rt_sampler_timesteps(s)[k] == lcm[k]);
    rt_sampler_free(s);
    rt_error err;
    assert_int_equal(rt_sampler_new(&s, &c, 26, 1, &err), RT_ERR_INPUT);
}

/* PNDM has an evaluation more than steps, and with Runge-Kutta nine: where the strength leaves no
 * step, diffusers still runs the rest of its list. */
static void strength_of_less_than_a_step(void **state) {
    (void)state;
    static const struct {
        rt_sampler_id id;
        int runge_kutta, steps, left;
        double strength;
    } rows[] = {
        {RT_SAMPLER_PNDM, 0, 3, 1, 0.31},  {RT_SAMPLER_PNDM, 0, 3, 2, 0.34},
        {RT_SAMPLER_PNDM, 0, 3, 1, 0},     {RT_SAMPLER_PNDM, 0, 1, 0, 0.5},
        {RT_SAMPLER_PNDM, 1, 10, 9, 0.05}, {RT_SAMPLER_HEUN, 0, 3, 0, 0.31},
        {RT_SAMPLER_EULER, 0, 3, 0, 0.31}, {RT_SAMPLER_UNIPC, 0, 3, 0, NAN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rt_sampler_config c = rt_sampler_defaults(rows[i].id);
        if (!rows[i].runge_kutta) set(&c, "skip_prk_steps", NULL, 1);
        rt_sampler *s = make(&c, rows[i].steps, 1);
        int first = rt_sampler_first_evaluation(s, rows[i].strength);
        if (rt_sampler_evaluations(s) - first != rows[i].left)
            fail_msg("row %zu: %d left", i, rt_sampler_evaluations(s) - first);
        rt_sampler_free(s);
    }
}

/* What the table says of eta is what it does: new noise in a step that had none. */
static void eta_is_read_where_the_table_says(void **state) {
    (void)state;
    for (int id = 0; id < RT_SAMPLER_COUNT; id++) {
        bool needs[2];
        for (int eta = 0; eta < 2; eta++) {
            rt_sampler_config c = rt_sampler_defaults((rt_sampler_id)id);
            c.eta = eta;
            rt_sampler *s = make(&c, 5, 1);
            needs[eta] = rt_sampler_needs_noise(s, 1);
            rt_sampler_free(s);
        }
        if ((needs[0] != needs[1]) != rt_sampler_reads_eta((rt_sampler_id)id))
            fail_msg("%s", rt_sampler_name((rt_sampler_id)id));
    }
}

static void switching_keeps_what_was_given(void **state) {
    (void)state;
    rt_sampler_config c = rt_sampler_defaults(RT_SAMPLER_DDIM);
    set(&c, "beta_schedule", "scaled_linear", 0);
    set(&c, "prediction_type", "v_prediction", 0);
    set(&c, "steps_offset", NULL, 1);
    set(&c, "clip_sample", NULL, 0);
    rt_sampler_config e = rt_sampler_switch(&c, RT_SAMPLER_EULER);
    assert_int_equal(e.sampler, RT_SAMPLER_EULER);
    assert_int_equal(e.beta_schedule, RT_BETA_SCALED_LINEAR);
    assert_int_equal(e.prediction_type, RT_PREDICT_V);
    assert_int_equal(e.steps_offset, 1);
    assert_int_equal(e.timestep_spacing, RT_SPACING_LINSPACE); /* not given: Euler's own */
    rt_sampler_config d = rt_sampler_switch(&e, RT_SAMPLER_DDIM);
    assert_int_equal(d.flags,
                     RT_SAMPLER_SET_ALPHA_TO_ONE); /* not given: DDIM's own; clip_sample was */
    assert_int_equal(d.timestep_spacing, RT_SPACING_LEADING);
}

/* Settings that the new class does not have do nothing, and come back with the old one. */
static void switching_leaves_out_foreign_keys(void **state) {
    (void)state;
    static const rt_sampler_id without[] = {RT_SAMPLER_HEUN, RT_SAMPLER_LMS, RT_SAMPLER_PNDM};
    rt_sampler_config c = rt_sampler_defaults(RT_SAMPLER_DDIM);
    set(&c, "beta_schedule", "scaled_linear", 0);
    set(&c, "skip_prk_steps", NULL, 1);
    rt_sampler_config plain = c;
    set(&c, "rescale_betas_zero_snr", NULL, 1);
    set(&c, "use_lu_lambdas", NULL, 1);
    for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
        rt_sampler_config one = rt_sampler_switch(&c, without[i]),
                          two = rt_sampler_switch(&plain, without[i]);
        rt_sampler *a = make(&one, 10, 1), *b = make(&two, 10, 1);
        assert_true(rt_sampler_init_noise_sigma(a) == rt_sampler_init_noise_sigma(b));
        float clean = 0.5f, noise = 1, x, y;
        rt_sampler_add_noise(a, 0, &clean, &noise, &x);
        rt_sampler_add_noise(b, 0, &clean, &noise, &y);
        assert_true(x == y);
        rt_sampler_config back = rt_sampler_switch(&one, RT_SAMPLER_DDIM);
        assert_true(back.flags == c.flags && back.given == c.given);
        rt_sampler_free(a);
        rt_sampler_free(b);
    }
}

/* A sampler runs only denoisers of its family. */
static void families(void **state) {
    (void)state;
    rt_error err;
    rt_sampler_config ddim = rt_sampler_defaults(RT_SAMPLER_DDIM),
                      flow = rt_sampler_defaults(RT_SAMPLER_FLOW),
                      flow_euler = rt_sampler_defaults(RT_SAMPLER_FLOW_EULER);
    for (int i = 0; i < RT_SAMPLER_COUNT; i++) {
        rt_sampler_id id = (rt_sampler_id)i;
        bool noise = id != RT_SAMPLER_FLOW && id != RT_SAMPLER_FLOW_EULER;
        assert_int_equal(rt_sampler_fits(&ddim, id, &err) == RT_OK, noise);
        assert_int_equal(rt_sampler_fits(&flow, id, &err) == RT_OK, id == RT_SAMPLER_FLOW);
        assert_int_equal(rt_sampler_fits(&flow_euler, id, &err) == RT_OK,
                         id == RT_SAMPLER_FLOW_EULER);
    }
    /* UniPC of a flow model: the other solver and Euler fit, too */
    rt_sampler_config solver = rt_sampler_defaults(RT_SAMPLER_UNIPC);
    set(&solver, "use_flow_sigmas", NULL, 1);
    set(&solver, "prediction_type", "flow_prediction", 0);
    assert_int_equal(rt_sampler_fits(&solver, RT_SAMPLER_DPMPP_2M, &err), RT_OK);
    assert_int_equal(rt_sampler_fits(&solver, RT_SAMPLER_FLOW_EULER, &err), RT_OK);
    assert_int_equal(rt_sampler_fits(&solver, RT_SAMPLER_EULER, &err), RT_ERR_INPUT);
    /* a word that the other class has not */
    set(&ddim, "prediction_type", "sample", 0);
    assert_int_equal(rt_sampler_fits(&ddim, RT_SAMPLER_PNDM, &err), RT_ERR_INPUT);
}

static void names(void **state) {
    (void)state;
    for (int i = 0; i < RT_SAMPLER_COUNT; i++)
        assert_int_equal(rt_sampler_by_name(rt_sampler_name((rt_sampler_id)i)), i);
    assert_int_equal(rt_sampler_by_class("EulerAncestralDiscreteScheduler"), RT_SAMPLER_EULER_A);
    assert_int_equal(rt_sampler_by_name("none"), -1);
    assert_int_equal(rt_sampler_by_class(""), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_golden),
        cmocka_unit_test(flow_arrives),
        cmocka_unit_test(all_combinations_arrive),
        cmocka_unit_test(bad_settings_are_errors),
        cmocka_unit_test(steps_come_in_order),
        cmocka_unit_test(strength),
        cmocka_unit_test(strength_of_less_than_a_step),
        cmocka_unit_test(eta_is_read_where_the_table_says),
        cmocka_unit_test(switching_keeps_what_was_given),
        cmocka_unit_test(switching_leaves_out_foreign_keys),
        cmocka_unit_test(families),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
