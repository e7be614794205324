/* What is near a misspelled word, and how a message says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/suggest.h"

static void suggestions(void **state) {
    (void)state;
    static const char *const names[] = {
        "CrossAttnDownBlock2D", "DownBlock2D", "silu", "gelu", "relu", "DDIM"};
    enum { N = sizeof names / sizeof *names };
    assert_string_equal(base_suggest("CrossAttnDownBlok2D", names, N), "CrossAttnDownBlock2D");
    assert_string_equal(base_suggest("DownBlock2d", names, N), "DownBlock2D");
    assert_string_equal(base_suggest("slu", names, N), "silu");
    assert_string_equal(base_suggest("silux", names, N), "silu");
    assert_string_equal(base_suggest("sliu", names, N), "silu"); /* a swap is one step */
    assert_string_equal(base_suggest("ddim", names, N), "DDIM");
    assert_null(base_suggest("tanh", names, N));
    assert_null(base_suggest("", names, N));
    assert_null(base_suggest("silu", names, 0));
    assert_null(base_suggest("sxlx", names, N)); /* two steps in four letters */
    char word[5000];
    memset(word, 'w', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    assert_null(base_suggest(word, names, N));
    const char *longer = word;
    word[129] = '\0';
    assert_null(base_suggest(word + 1, &longer, 1)); /* 128 letters, a candidate of 129 */
    assert_null(base_suggest(longer, (const char *const[]){word + 1}, 1));
    assert_ptr_equal(base_suggest(word + 2, (const char *const[]){word + 1}, 1), word + 1);
}

static void each_edit_is_one_step(void **state) {
    (void)state;
    static const char *const name = "abc"; /* three letters: one step is near, two are not */
    static const char *const near[] = {"ab", "bc", "abcd", "xabc", "axc", "bac", "acb", "ABd"},
                             *const far[] = {"cba", "a", "abcde", "xyc", "bca"};
    for (size_t i = 0; i < sizeof near / sizeof *near; i++)
        if (base_suggest(near[i], &name, 1) != name) fail_msg("%s is near", near[i]);
    for (size_t i = 0; i < sizeof far / sizeof *far; i++)
        if (base_suggest(far[i], &name, 1)) fail_msg("%s is far", far[i]);
}

static void the_nearest_wins_and_of_equals_the_first(void **state) {
    (void)state;
    static const char *const names[] = {"--threads", NULL, "--step", "--steps", "--stepz"};
    assert_string_equal(base_suggest("--stpes", names, 5), "--steps");
    assert_string_equal(base_suggest("--stepy", names, 5), "--step");
}

static void names_of_classes(void **state) {
    (void)state;
    static const char *const names[] = {"StableDiffusionPipeline",
                                        "StableDiffusionXLPipeline",
                                        "DDIMPipeline",
                                        "LCMScheduler",
                                        "UNet2DConditionModel",
                                        "AutoencoderKL"};
    enum { N = sizeof names / sizeof *names };
    static const char *const slips[][2] = {
        {"StableDifusionPipeline", "StableDiffusionPipeline"},
        {"stablediffusionpipeline", "StableDiffusionPipeline"},
        {"StableDiffusionXLPipelin", "StableDiffusionXLPipeline"},
        {"StableDiffusionXlPipeline", "StableDiffusionXLPipeline"},
        {"UNet2DConditionModl", "UNet2DConditionModel"}};
    static const char *const others[] = {"StableDiffusion3Pipeline",
                                         "StableDiffusionPAGPipeline",
                                         "StableDiffusionXLPAGPipeline",
                                         "AltDiffusionPipeline",
                                         "StableVideoDiffusionPipeline",
                                         "LDMPipeline",
                                         "SCMScheduler",
                                         "UNet3DConditionModel",
                                         "AutoencoderKLMagvit",
                                         "AutoencoderRAE"};
    for (size_t i = 0; i < sizeof slips / sizeof *slips; i++)
        assert_string_equal(base_suggest_class(slips[i][0], names, N), slips[i][1]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (base_suggest_class(others[i], names, N))
            fail_msg("%s is no %s", others[i], base_suggest_class(others[i], names, N));
}

static void hints(void **state) {
    (void)state;
    char out[BASE_HINT_MAX], longest[200];
    assert_string_equal(base_hint("silu", out), "; did you mean 'silu'?");
    assert_string_equal(base_hint(NULL, out), "");
    memset(longest, 'w', sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(strlen(base_hint(longest, out)), strlen("; did you mean ''?") + 128);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suggestions),
        cmocka_unit_test(each_edit_is_one_step),
        cmocka_unit_test(the_nearest_wins_and_of_equals_the_first),
        cmocka_unit_test(names_of_classes),
        cmocka_unit_test(hints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
