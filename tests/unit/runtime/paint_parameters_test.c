/* The text in a picture: two pictures that may differ have two texts. */
#include "runtime/cli/paint/paint_parameters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* Everything a text is made of; the properties in order of their keys. */
struct scene {
    struct ebru_meta_desc meta[8];
    struct ebru_model tables;
    rt_options options;
    rt_pipeline_info info;
    rt_settings settings;
    rt_request requests[4];
    uint8_t pixels[12];
    rt_painting painting;
};

static void set_up(struct scene *s) {
    *s = (struct scene){.meta = {{"ebru.version", 2, 0, 0, 0, "1.2"},
                                 {"model.digest", 2, 0, 0, 0, "0123456789abcdef"},
                                 {"model.loras", 2, 0, 0, 0, "style:0.5, detail:1"},
                                 {"model.name", 2, 0, 0, 0, "shapes"},
                                 {"sampler.beta_end", 1, 0, 0, 0.012, NULL},
                                 {"sampler.trained_betas", 2, 0, 0, 0, "0.1 0.2 0.3"},
                                 {"sampler.use_karras_sigmas", 0, 0, 1, 0, NULL},
                                 {"text.clip_skip", 0, 0, 1, 0, NULL}},
                        .info = {.kind = EBRU_PIPELINE_TEXT,
                                 .guidance_pair = true,
                                 .width = 2,
                                 .height = 2,
                                 .channels = 3,
                                 .latent_width = 1,
                                 .latent_height = 1},
                        .settings = {.steps = 20,
                                     .guidance = 7.5,
                                     .strength = 0.5,
                                     .sampler = {.sampler = RT_SAMPLER_DDIM}},
                        .requests = {{"a red\tcircle", "blurry", 12, 6, 0, 7}}};
    s->tables = (struct ebru_model){.meta = s->meta, .meta_count = (int32_t)COUNT(s->meta)};
    s->painting =
        (rt_painting){&s->tables, &s->options, &s->info, &s->settings, s->requests, NULL, 1};
}

static void expect(struct scene *s, const char *wanted) {
    char *text = rt_parameters(&s->painting, 0);
    assert_string_equal(text, wanted);
    free(text);
}

static void whole_text(void **state) {
    (void)state;
    struct scene s;
    set_up(&s);
    expect(&s, "a red\tcircle\nNegative prompt: blurry\n"
               "Steps: 20, Sampler: DDIM, CFG scale: 7.5, Scheduler settings: beta_end=0.012 "
               "trained_betas=#cdf007ce33f0b239 use_karras_sigmas=1, Clip skip: 2, "
               "LoRA: \"style:0.5, detail:1\", Weights: 0123456789abcdef, Seed: 7, Size: 2x2, "
               "Model: shapes, RNG: torch-cpu, Version: ebru 1.2");
}

static void change(struct scene *s, int what) {
    static float depth[] = {1};
    s->settings.pictures.init = s->pixels;
    switch (what) {
    case 0: break;
    case 1: s->requests[0].prompt_length = 5; break;
    case 2: s->requests[0].negative_length = 3; break;
    case 3: s->settings.steps = 21; break;
    case 4: s->settings.guidance = 7; break;
    case 5: s->settings.sampler.eta = 0.5; break;
    case 6: s->settings.sampler.sampler = RT_SAMPLER_EULER; break;
    case 7: s->settings.guidance_rescale = 0.5; break;
    case 8: s->settings.weighted = true; break;
    case 9: s->settings.strength = 0.75; break;
    case 10: s->pixels[3] = 1; break;
    case 11: s->settings.pictures.mask = s->pixels; break;
    case 12: s->settings.pictures.depth = depth; break;
    case 13: s->requests[0].seed = 8; break;
    case 14: s->meta[1].s = "0123456789abcdee"; break;
    case 15: s->meta[2].s = "style:0.6"; break;
    case 16: s->meta[3].s = "forms"; break;
    case 17: s->meta[4].f = 0.0125; break;
    case 18: s->meta[5].s = "0.1 0.2 0.4"; break;
    case 19: s->meta[6].i = 0; break;
    case 20: s->meta[7].i = 2; break;
    case 21: s->meta[0].s = "1.3"; break;
    case 22: s->requests[0].negative = NULL; break;
    default: s->info.force_zeros = true; s->requests[0].negative_length = 0;
    }
}

static void whatever_changes_the_picture(void **state) {
    (void)state;
    enum { CHANGES = 24 };
    char *texts[CHANGES];
    for (int i = 0; i < CHANGES; i++) {
        struct scene s;
        set_up(&s);
        change(&s, i);
        texts[i] = rt_parameters(&s.painting, 0);
        for (int k = 0; k < i; k++)
            if (!strcmp(texts[i], texts[k])) fail_msg("changes %d and %d: %s", k, i, texts[i]);
    }
    for (int i = 0; i < CHANGES; i++) free(texts[i]);
}

/* What does nothing is not said. */
static void without_effect(void **state) {
    (void)state;
    struct scene s;
    set_up(&s);
    s.settings.guidance = 1;
    s.settings.sampler = (rt_sampler_config){.sampler = RT_SAMPLER_EULER, .eta = 0.5};
    char *text = rt_parameters(&s.painting, 0);
    assert_null(strstr(text, "Negative prompt"));
    assert_null(strstr(text, "Eta"));
    free(text);
}

static void grids(void **state) {
    (void)state;
    struct scene s;
    set_up(&s);
    s.options.grid = 2;
    s.painting.count = 4;
    for (int i = 0; i < 4; i++) {
        s.requests[i] = s.requests[0];
        s.requests[i].seed = 7 + (uint64_t)i % 2;
        if (i > 1) s.requests[i].prompt = "a blue circle";
    }
    char *text = rt_parameters(&s.painting, 0);
    assert_non_null(strstr(text, "a red\tcircle\n"));
    assert_non_null(strstr(text, "Grid: pictures 1 to 2 of 4 in 2 columns with seeds 7 to 8\n\n"));
    assert_non_null(strstr(text, "\n\na blue circl\nNegative"));
    assert_non_null(strstr(text, "Grid: pictures 3 to 4 of 4 in 2 columns with seeds 7 to 8"));
    free(text);
}

static void names_in_quotes(void **state) {
    (void)state;
    struct scene s;
    set_up(&s);
    s.meta[3].s = "a, \"b\": 1";
    char *text = rt_parameters(&s.painting, 0);
    assert_non_null(strstr(text, "Model: \"a, \\\"b\\\": 1\", RNG"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(whole_text),
                                       cmocka_unit_test(whatever_changes_the_picture),
                                       cmocka_unit_test(without_effect), cmocka_unit_test(grids),
                                       cmocka_unit_test(names_in_quotes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
