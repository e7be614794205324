/* The table of properties (runtime/abi/meta_keys.def): finding keys, kinds of values, the check of a
 * program's table, and that every setting of a sampler reaches its configuration. */
#include "runtime/abi/meta_keys.h"
#include "runtime/pipeline/pipeline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void keys_are_unique(void **state) {
    (void)state;
    for (size_t i = 0; i < ebru_meta_count(); i++) {
        const ebru_meta_key *k = ebru_meta_at(i);
        const size_t n = strlen(k->name);
        char name[64];
        snprintf(name, sizeof name, "%s", k->name);
        if (n > 2 && strcmp(k->name + n - 2, ".N") == 0) name[n - 1] = '0';
        if (ebru_meta_find(name) != k) fail_msg("%s twice", k->name);
        assert_true((k->words != NULL) == (k->type == EBRU_META_TYPE_CHOICE));
    }
}

static void finding(void **state) {
    (void)state;
    assert_null(ebru_meta_find("pipeline.dekoder"));
    assert_null(ebru_meta_find("pipeline"));
    assert_null(ebru_meta_find(""));
    assert_string_equal(ebru_meta_find("sampler.beta_end")->name, "sampler.beta_end");
    assert_string_equal(ebru_meta_find("low_res.beta_end")->name, "low_res.beta_end");
    assert_false(ebru_meta_find("tokenizer_2.vocab")->in_program);
    assert_true(ebru_meta_find("tokenizer_2.bos")->in_program);
    assert_string_equal(ebru_meta_find("class.0")->name, "class.N");
    assert_string_equal(ebru_meta_find("class.127")->name, "class.N");
    static const char *const none[] = {"class.", "class.N", "class.00", "class.01", "class.1x"};
    for (size_t i = 0; i < COUNT(none); i++) assert_null(ebru_meta_find(none[i]));
    char name[64];
    ebru_meta_numbered(EBRU_META_CLASS_NAME, 41, name);
    assert_string_equal(name, "class.41");
}

static const char *expects(const char *name, ebru_meta_kind kind, int64_t i, const char *s) {
    static char out[EBRU_META_EXPECTS];
    return ebru_meta_expects(ebru_meta_find(name), kind, i, s, out);
}

static void kinds(void **state) {
    (void)state;
    const ebru_meta_kind i = EBRU_META_KIND_INT, f = EBRU_META_KIND_FLOAT,
                         s = EBRU_META_KIND_STRING;
    assert_null(expects("image.width", i, 8, NULL));
    assert_string_equal(expects("image.width", f, 0, NULL), "an integer");
    assert_null(expects("pipeline.guidance", i, 1, NULL));
    assert_string_equal(expects("pipeline.guidance", i, 2, NULL), "0 or 1");
    assert_null(expects("sampler.guidance", f, 0, NULL));
    assert_null(expects("sampler.guidance", i, 7, NULL)); /* 7 is a number, too */
    assert_string_equal(expects("sampler.guidance", s, 0, "7"), "a number");
    assert_string_equal(expects("model.name", i, 7, NULL), "a string");
    assert_null(expects("pipeline.condition", s, 0, "depth"));
    assert_string_equal(expects("pipeline.condition", s, 0, "dept"),
                        "one of none, inpaint, depth, low_resolution");
    assert_string_equal(expects("sampler.prediction_type", i, 1, NULL),
                        "one of epsilon, v_prediction, sample, flow_prediction");
    assert_null(expects("sampler.trained_betas", s, 0, "0.1 0.2"));
    assert_string_equal(expects("sampler.trained_betas", f, 0, NULL), "a string of numbers");
}

static void words(void **state) {
    (void)state;
    for (int k = 0; k < EBRU_PIPELINE_KIND_COUNT; k++)
        assert_int_equal(
            ebru_meta_choice(ebru_meta_find("pipeline.kind")->words, ebru_pipeline_kind_name[k]),
            k);
    for (int k = 0; k < EBRU_CONDITION_COUNT; k++)
        assert_int_equal(
            ebru_meta_choice(ebru_meta_find("pipeline.condition")->words, ebru_condition_name[k]),
            k);
    assert_int_equal(ebru_meta_choice("a|bc", "b"), -1);
    assert_int_equal(ebru_meta_choice("a|bc", ""), -1);
    assert_int_equal(ebru_meta_choice(NULL, "a"), -1);
}

/* ---- settings ---- */

/* A value for the row: the `n`-th word, a flag of 0 or 1, any number. */
static rt_sampler_config with(const char *key, ebru_meta_type type, const char *words, int n) {
    rt_sampler_config c = rt_sampler_defaults(RT_SAMPLER_DDIM);
    const char *text = type == EBRU_META_TYPE_NUMBERS ? (n ? "0.5" : "0.25") : NULL;
    char word[32];
    rt_error err;
    if (words) {
        if (n) words = strchr(words, '|') + 1;
        snprintf(word, sizeof word, "%.*s", (int)strcspn(words, "|"), words);
        text = word;
    }
    assert_int_equal(rt_sampler_config_set(&c, key, text, n, &err), RT_OK);
    assert_true(c.given && !(c.given & (c.given - 1)));
    return c;
}

/* Every SETTING row changes the configuration, and its bit says so; nothing else is a setting. */
static void settings(void **state) {
    (void)state;
    static const struct {
        const char *name;
        ebru_meta_type type;
        const char *words;
    } rows[] = {
#define SETTING(ID, key, TYPE, least, most, words, CLASSES, place, doc)                            \
    {key, EBRU_META_TYPE_##TYPE, words},
#include "runtime/abi/meta_keys.def"
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_true(rt_sampler_config_knows(rows[i].name));
        rt_sampler_config a = with(rows[i].name, rows[i].type, rows[i].words, 0),
                          b = with(rows[i].name, rows[i].type, rows[i].words, 1);
        if (!memcmp(&a, &b, sizeof a)) fail_msg("%s changes nothing", rows[i].name);
    }
    static const char *const others[] = {"class", "steps", "guidance", "strength", "noise_level"};
    for (size_t i = 0; i < COUNT(others); i++) assert_false(rt_sampler_config_knows(others[i]));
}

/* ---- a program's table ---- */

static struct ebru_meta_desc text(const char *key, const char *s) {
    return (struct ebru_meta_desc){.key = key, .kind = EBRU_META_KIND_STRING, .s = s};
}
static struct ebru_meta_desc integer(const char *key, int64_t i) {
    return (struct ebru_meta_desc){.key = key, .kind = EBRU_META_KIND_INT, .i = i};
}

/* Reads `n` properties in any order; the message of a failure is in *err. */
static rt_status read_info(rt_pipeline_info *info, struct ebru_meta_desc *meta, size_t n,
                           rt_error *err) {
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0 && strcmp(meta[k - 1].key, meta[k].key) > 0; k--) {
            struct ebru_meta_desc swap = meta[k];
            meta[k] = meta[k - 1];
            meta[k - 1] = swap;
        }
    const struct ebru_model t = {.meta = meta, .meta_count = (int32_t)n};
    return rt_pipeline_read(info, &t, err);
}

static void a_program_reads_its_table(void **state) {
    (void)state;
    rt_pipeline_info info;
    rt_error err = {{0}};
    struct ebru_meta_desc meta[] = {
        text("pipeline.kind", "unconditional"),
        text("pipeline.denoiser", "unet"),
        integer("image.width", 32),
        integer("image.height", 16),
        integer("sampler.steps", 7),
        integer("sampler.steps_offset", 1),
        text("sampler.class", "ddpm"),
        integer("sampler.num_train_timesteps", 500),
        integer("low_res.num_train_timesteps", 3),
    };
    assert_int_equal(read_info(&info, meta, COUNT(meta), &err), RT_OK);
    assert_int_equal(info.kind, EBRU_PIPELINE_UNCONDITIONAL);
    assert_int_equal(info.condition, EBRU_CONDITION_NONE);
    assert_int_equal(info.default_steps, 7);
    assert_int_equal(info.latent_width, 32);
    assert_int_equal(info.latent_height, 16);
    assert_int_equal(info.sampler.sampler, RT_SAMPLER_DDPM);
    assert_int_equal(info.sampler.steps_offset, 1);
    assert_int_equal(info.sampler.num_train_timesteps, 500);
    assert_true(info.sampler.given == (RT_GIVEN(STEPS_OFFSET) | RT_GIVEN(NUM_TRAIN_TIMESTEPS)));
    assert_true(info.default_strength == 0.8 && info.default_guidance == 1.0);
}

/* What the older programs took for a setting or for absent is refused by name. */
static void a_program_tells_an_unknown_key(void **state) {
    (void)state;
    rt_pipeline_info info;
    rt_error err = {{0}};
    struct ebru_meta_desc misspelt[] = {text("pipeline.dekoder", "vae.decode")};
    assert_int_equal(read_info(&info, misspelt, 1, &err), RT_ERR_INTERNAL);
    assert_non_null(strstr(err.message, "no property 'pipeline.dekoder'; did you mean "
                                        "'pipeline.decoder'?"));
    struct ebru_meta_desc setting[] = {integer("sampler.shuft", 1)};
    assert_int_equal(read_info(&info, setting, 1, &err), RT_ERR_INTERNAL);
    assert_non_null(strstr(err.message, "'sampler.shuft'; did you mean 'sampler.shift'?"));
    struct ebru_meta_desc compiler[] = {text("tokenizer.vocab", "/home")};
    assert_int_equal(read_info(&info, compiler, 1, &err), RT_ERR_INTERNAL);
    struct ebru_meta_desc kind[] = {text("image.width", "32")};
    assert_int_equal(read_info(&info, kind, 1, &err), RT_ERR_INTERNAL);
    assert_string_equal(err.message, "the property 'image.width' must be an integer");
    struct ebru_meta_desc word[] = {text("pipeline.kind", "sound")};
    assert_int_equal(read_info(&info, word, 1, &err), RT_ERR_INTERNAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_unique),
        cmocka_unit_test(finding),
        cmocka_unit_test(kinds),
        cmocka_unit_test(words),
        cmocka_unit_test(settings),
        cmocka_unit_test(a_program_reads_its_table),
        cmocka_unit_test(a_program_tells_an_unknown_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
