/* Every option of a program beside every kind of model: it has an effect there, is refused, or is
 * told to have none. An option without a row here fails the test. */
#include "runtime/cli/option_effects.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define LATENT .image_input = true
static const struct model {
    const char *name;
    rt_pipeline_info info;
    double guidance;
    rt_sampler_id sampler;
} models[] = {
    {"text", {.kind = EBRU_PIPELINE_TEXT, .guidance_pair = true, LATENT}, 7.5, RT_SAMPLER_DDIM},
    {"text, guidance 1",
     {.kind = EBRU_PIPELINE_TEXT, .guidance_pair = true, LATENT},
     1,
     RT_SAMPLER_EULER},
    {"text, no pictures",
     {.kind = EBRU_PIPELINE_TEXT, .guidance_pair = true},
     7.5,
     RT_SAMPLER_DDIM},
    {"guidance embedded",
     {.kind = EBRU_PIPELINE_TEXT, .guidance_embedding = true, LATENT},
     8.5,
     RT_SAMPLER_LCM},
    {"unguided text", {.kind = EBRU_PIPELINE_TEXT, LATENT}, 8.5, RT_SAMPLER_LCM},
    {"classes", {.kind = EBRU_PIPELINE_CLASS, LATENT}, 1, RT_SAMPLER_DDIM},
    {"classes by flow", {.kind = EBRU_PIPELINE_CLASS, LATENT}, 1, RT_SAMPLER_FLOW},
    {"unconditional", {.kind = EBRU_PIPELINE_UNCONDITIONAL, LATENT}, 1, RT_SAMPLER_DDPM},
    {"inpaint",
     {.kind = EBRU_PIPELINE_TEXT,
      .guidance_pair = true,
      .condition = EBRU_CONDITION_INPAINT,
      LATENT},
     7.5,
     RT_SAMPLER_DDIM},
    {"depth",
     {.kind = EBRU_PIPELINE_TEXT, .guidance_pair = true, .condition = EBRU_CONDITION_DEPTH, LATENT},
     7.5,
     RT_SAMPLER_DDIM},
    {"upscaler",
     {.kind = EBRU_PIPELINE_TEXT,
      .guidance_pair = true,
      .condition = EBRU_CONDITION_LOW_RESOLUTION,
      LATENT},
     7.5,
     RT_SAMPLER_DDIM},
};
enum { MODELS = sizeof models / sizeof *models };

/* In the order of the models: + has an effect, r is refused, n is told to have none. */
static const struct expected {
    const char *name, *verdicts;
} expected[] = {
    {"--prompt", "+++++rrr+++"},
    {"--negative-prompt", "+n+nnrrr+++"},
    {"--prompt-weights", "+++++rrr+++"},
    {"--class", "rrrrr++rrrr"},
    {"--output", "+++++++++++"},
    {"--steps", "+++++++++++"},
    {"--cfg-scale", "++++rrrr+++"},
    {"--guidance-rescale", "+n+rrrrr+++"},
    {"--init-img", "++r++++++++"},
    {"--strength", "++r+++++++r"},
    {"--mask", "++r++++++rr"},
    {"--depth", "rrrrrrrrr+r"},
    {"--noise-level", "rrrrrrrrrr+"},
    {"--control", "rrrrrrrrrrr"}, /* see controls */
    {"--control-canny", "rrrrrrrrrrr"},
    {"--guess-mode", "rrrrrrrrrrr"},
    {"--ip-image", "rrrrrrrrrrr"},
    {"--no-upscale", "rrrrrrrrrrr"},
    {"--seed", "+++++++++++"},
    {"--batch-count", "+++++++++++"},
    {"--grid", "+++++++++++"},
    {"--width", "+++++++++++"},
    {"--height", "+++++++++++"},
    {"--sampling-method", "+++++++++++"},
    {"--eta", "+n+nn+nn+++"},
    {"--threads", "+++++++++++"},
    {"--cpu-level", "+++++++++++"},
    {"--no-cpu-check", "+++++++++++"},
    {"--profile", "+++++++++++"},
    {"--profile-steps", "+++++++++++"},
    {"--bench", "+++++++++++"},
    {"--function", "rrrrrrrrrrr"},
    {"--cold", "rrrrrrrrrrr"},
    {"--runs", "rrrrrrrrrrr"},
    {"--partition", "rrrrrrrrrrr"},
    {"--call", "+++++++++++"},
    {"--dump-values", "rrrrrrrrrrr"},
    {"--build-info", "+++++++++++"},
    {"--no-metadata", "+++++++++++"},
    {"--lora", "+++++++++++"}, /* which programs have slots says lora_option.c */
    {"--progress", "+++++++++++"},
    {"--quiet", "+++++++++++"},
    {"--verbose", "+++++++++++"},
    {"--help", "+++++++++++"},
    {"--version", "+++++++++++"},
    {"--man", "+++++++++++"}, /* refused when the line is read */
};

static size_t row_of(const char *name) {
    for (size_t i = 0; i < rt_option_table.count; i++)
        if (!strcmp(rt_option_table.rows[i].name, name)) return i;
    fail_msg("there is no option %s", name);
    return 0;
}

static char verdict(size_t row, const rt_option_context *c) {
    bool refused = false;
    const char *why = rt_option_idle(row, c, &refused);
    return !why ? '+' : refused ? 'r' : 'n';
}

/* Of a program with a ControlNet, without and with a picture for it. */
static void controls(void **state) {
    (void)state;
    static const char *const names[] = {"--control", "--control-canny", "--guess-mode"};
    const rt_pipeline_info info = {.kind = EBRU_PIPELINE_TEXT,
                                   .control_count = 1,
                                   .controls = {{.every_step = true}},
                                   LATENT},
                           adapter = {.kind = EBRU_PIPELINE_TEXT, .control_count = 1, LATENT};
    const rt_options with = {.control_count = 1}, without = {.quiet = true};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const rt_option_context on = {&with, &info, 7.5, RT_SAMPLER_DDIM},
                                off = {&without, &info, 7.5, RT_SAMPLER_DDIM};
        assert_int_equal(verdict(row_of(names[i]), &on), '+');
        assert_int_equal(verdict(row_of(names[i]), &off), i ? 'r' : '+');
        const rt_option_context once = {&with, &adapter, 7.5, RT_SAMPLER_DDIM};
        assert_int_equal(verdict(row_of(names[i]), &once), i == 2 ? 'r' : '+');
    }
}

static void every_option_beside_every_model(void **state) {
    (void)state;
    const rt_options painting = {.init_image = "a.png", .cpu_level = "l", .profile = "p"};
    assert_int_equal(rt_option_table.count, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        size_t row = row_of(expected[i].name);
        for (int k = 0; k < MODELS; k++) {
            const rt_option_context c = {&painting, &models[k].info, models[k].guidance,
                                         models[k].sampler};
            char found = verdict(row, &c);
            if (found != expected[i].verdicts[k])
                fail_msg("%s of '%s' is %c, not %c", expected[i].name, models[k].name, found,
                         expected[i].verdicts[k]);
        }
    }
}

/* What paints does nothing where nothing is painted, what measures nothing where it is. */
static void modes(void **state) {
    (void)state;
    static const char *const everywhere[] = {
        "--threads", "--cpu-level",  "--no-cpu-check", "--profile", "--profile-steps",
        "--bench",   "--build-info", "--quiet",        "--verbose", "--help",
        "--version", "--progress",   "--no-metadata",  "--man"};
    const rt_options bench = {.bench = true, .call = "f", .profile = "p", .cpu_level = "l"},
                     call = {.call = "f", .profile = "p", .cpu_level = "l"};
    for (size_t row = 0; row < rt_option_table.count; row++) {
        const char *name = rt_option_table.rows[row].name;
        bool free = false, of_bench = strstr("--function --cold --runs --partition", name),
             of_call = !strcmp(name, "--dump-values"),
             is_call = !strcmp(name, "--call") || !strcmp(name, "--lora");
        for (size_t i = 0; i < sizeof everywhere / sizeof *everywhere; i++)
            free |= !strcmp(everywhere[i], name);
        char in_bench = verdict(row, &(rt_option_context){.options = &bench}),
             in_call = verdict(row, &(rt_option_context){.options = &call});
        if (in_bench != (free || of_bench ? '+' : 'r')) fail_msg("%s with --bench", name);
        if (in_call != (free || of_call || is_call ? '+' : 'r')) fail_msg("%s with --call", name);
    }
    const rt_options none = {0};
    const rt_option_context c = {.options = &none};
    assert_int_equal(verdict(row_of("--profile-steps"), &c), 'r');
    assert_int_equal(verdict(row_of("--no-cpu-check"), &c), 'r');
}

static void a_picture_to_begin_from(void **state) {
    (void)state;
    const rt_options none = {0};
    for (int k = 0; k < MODELS; k++) {
        const rt_option_context c = {&none, &models[k].info, models[k].guidance, models[k].sampler};
        bool needs = !models[k].info.condition; /* else its absence is told first */
        bool larger = models[k].info.condition == EBRU_CONDITION_LOW_RESOLUTION;
        assert_int_equal(verdict(row_of("--strength"), &c), needs || larger ? 'r' : '+');
    }
}

/* All that is refused is named in one message. */
static void all_at_once(void **state) {
    (void)state;
    const char *argv[] = {"prog", "--mask", "m.png", "--noise-level=3", "--class=1", "-q"};
    rt_options o;
    rt_error err = {""};
    assert_int_equal(rt_options_parse(&o, 6, (char **)argv, &err), RT_OK);
    rt_option_context c = {&o, &models[0].info, 7.5, RT_SAMPLER_DDIM};
    assert_int_equal(rt_options_check(&c, &err), RT_ERR_USAGE);
    assert_non_null(strstr(err.message, "--mask needs a picture"));
    assert_non_null(strstr(err.message, "--noise-level is for models that"));
    assert_non_null(strstr(err.message, "--class: this model has no classes"));
    c.info = NULL; /* the model is not known: nothing can be said */
    assert_int_equal(rt_options_check(&c, &err), RT_OK);
    rt_options_free(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(controls), cmocka_unit_test(every_option_beside_every_model),
        cmocka_unit_test(modes), cmocka_unit_test(a_picture_to_begin_from),
        cmocka_unit_test(all_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
