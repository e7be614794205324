/* The command line of an emitted program. */
#include "runtime/cli/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static rt_status parse(rt_options *o, rt_error *err, int argc, const char **argv) {
    return rt_options_parse(o, argc, (char **)argv, err);
}
#define PARSE(o, err, ...)                                                                         \
    parse((o), (err), (int)(sizeof((const char *[]){"prog", __VA_ARGS__}) / sizeof(char *)),       \
          (const char *[]){"prog", __VA_ARGS__})

static void test_values(void **state) {
    (void)state;
    rt_options o;
    rt_error err;
    assert_int_equal(PARSE(&o, &err, "-p", "a cat", "-p@file", "-n", "dog", "--steps=7",
                           "--cfg-scale", "2.5", "-s", "12345678901234", "-t2", "-b", "3",
                           "--grid=2", "-W", "128", "--bench=json"),
                     RT_OK);
    assert_int_equal(o.prompt_count, 2);
    assert_string_equal(o.prompts[0], "a cat");
    assert_string_equal(o.prompts[1], "@file");
    assert_string_equal(o.negative, "dog");
    assert_int_equal(o.steps, 7);
    assert_true(o.cfg_scale == 2.5);
    assert_true(o.seed == 12345678901234u && !o.seed_random);
    assert_int_equal(o.threads, 2);
    assert_int_equal(o.count, 3);
    assert_int_equal(o.grid, 2);
    assert_int_equal(o.width, 128);
    assert_true(o.bench && o.bench_json);
    rt_options_free(&o);
}

static void test_pictures(void **state) {
    (void)state;
    rt_options o;
    rt_error err;
    assert_int_equal(PARSE(&o, &err, "-i", "a.png", "--mask=m.png", "--depth", "d.png",
                           "--strength", "0.25", "--noise-level=0", "--guidance-rescale", "1",
                           "--prompt-weights"),
                     RT_OK);
    assert_string_equal(o.init_image, "a.png");
    assert_string_equal(o.mask, "m.png");
    assert_string_equal(o.depth, "d.png");
    assert_true(o.strength == 0.25 && o.guidance_rescale == 1 && o.noise_level == 0 && o.weights);
    assert_int_equal(PARSE(&o, &err, "--init-img=b.png", "--strength=0"), RT_OK);
    assert_string_equal(o.init_image, "b.png");
    assert_true(o.strength == 0 && o.guidance_rescale == 0 && o.noise_level < 0 && !o.weights &&
                !o.mask);
}

static void test_defaults(void **state) {
    (void)state;
    rt_options o;
    rt_error err;
    assert_int_equal(PARSE(&o, &err, "-s", "-1"), RT_OK);
    assert_true(o.seed_random);
    assert_int_equal(PARSE(&o, &err, "-p", "-"), RT_OK);
    assert_string_equal(o.prompts[0], "-");
    assert_true(o.seed == 42 && o.cfg_scale < 0 && o.count == 1 && o.threads == 0);
    assert_true(!o.negative && !o.init_image && o.strength < 0 && o.noise_level < 0 && !o.weights);
    rt_options_free(&o);
}

static void test_errors(void **state) {
    (void)state;
    rt_options o;
    rt_error err;
    static const struct {
        const char *a, *b, *says;
    } cases[] = {
        {"--stesp", "3", "did you mean '--steps'"},
        {"--steps", "0", "--steps expects"},
        {"--steps", "3x", "--steps expects a whole number from 1 on, not '3x'"},
        {"-t", "1025", "--threads expects a whole number from 1 to 1024"},
        {"--man", NULL, "man ebru-program"},
        {"--steps", NULL, "expects a value"},
        {"cat", NULL, "unexpected argument"},
        {"-s", "-2", "--seed expects"},
        {"--cfg-scale", "nan", "expects a number"},
        {"--help=1", NULL, "takes no value"},
        {"--progress", "loud", "auto, bar"},
        {"-t", "99999999999", "expects a whole"},
        {"--strength", "1.5", "a number from 0 to 1,"},
        {"--strength", "x", "--strength expects"},
        {"--noise-level", "-1", "from 0 on"},
        {"--guidance-rescale", "-1", "a number from 0 to 1,"},
        {"--bench=xml", NULL, "nothing or =json"},
        {"-x", NULL, "unknown option"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *argv[] = {"prog", cases[i].a, cases[i].b};
        assert_int_equal(parse(&o, &err, cases[i].b ? 3 : 2, argv), RT_ERR_USAGE);
        if (!strstr(err.message, cases[i].says))
            fail_msg("'%s' lacks '%s'", err.message, cases[i].says);
        rt_options_free(&o);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
