/* The model description language: what a description builds, and how it is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/description/expression.h"
#include "frontend/diffusers/diffusers.h"
#include "tests/unit/support/captured_diag.h"
#include "tests/unit/support/temp_dir.h"

/* ---- helpers ---- */

static const fe_options at_random = {.random_weights = true, .random_seed = 1};

/* A description around the blocks of one function x: f32[B,4,8,8] -> y. */
static const char *with_blocks(const char *blocks) {
    static char text[16384];
    snprintf(
        text, sizeof text,
        "{\"ebru\": 1, \"params\": {\"H\": 8, \"W\": 8, \"c\": [4, 8, 16]}, \"functions\": {\"f\": "
        "{\"inputs\": {\n"
        "\"x\": {\"shape\": [\"B\", 4, \"H\", \"W\"]}, \"t\": {\"shape\": [\"B\"], \"frequency\": "
        "\"schedule\"}},\n"
        "\"blocks\": [\n%s\n], \"outputs\": \"y\"}}}",
        blocks);
    return text;
}

static ir_module *load(capture *c, const char *text, const fe_options *o) {
    capture_begin(c, (base_diag_options){0});
    base_json *doc = base_json_parse(c->diag, "m.json", text, strlen(text), NULL);
    if (!doc) fail_msg("no JSON: %s", captured(c));
    ir_module *m = ir_module_new();
    bool fine = fe_load_description(c->diag, m, "m.json", doc, o);
    base_json_free(doc);
    if (fine != (base_diag_errors(c->diag) == 0))
        fail_msg("result %d does not agree with: %s", fine, captured(c));
    if (fine) return m;
    ir_module_free(m);
    return NULL;
}

static ir_module *accept(const char *text) {
    capture c;
    ir_module *m = load(&c, text, &at_random);
    if (!m) fail_msg("refused: %s", captured(&c));
    capture_end(&c);
    ir_verify(m, NULL);
    return m;
}

/* Every message must occur, and there must be `errors` errors. */
static void refuse(const char *text, unsigned errors, const char *const *messages, size_t n) {
    capture c;
    ir_module *m = load(&c, text, &at_random);
    if (m) fail_msg("accepted: %s", text);
    for (size_t i = 0; i < n; i++)
        if (!strstr(captured(&c), messages[i]))
            fail_msg("expected <%s> in <%s>", messages[i], captured(&c));
    if (base_diag_errors(c.diag) != errors)
        fail_msg("expected %u errors, got %u: %s", errors, base_diag_errors(c.diag), captured(&c));
    capture_end(&c);
}

static void refuse_one(const char *text, const char *message) {
    refuse(text, 1, &message, 1);
}

static void refuse_blocks(const char *blocks, const char *message) {
    refuse_one(with_blocks(blocks), message);
}

static const ir_type *result_type(const ir_module *m) {
    const ir_func *f = m->funcs.items[0];
    return ir_typeof(f, f->outputs.items[0].value);
}

static void check_result(const char *blocks, uint32_t rank, const int64_t *dim) {
    ir_module *m = accept(with_blocks(blocks));
    const ir_type *t = result_type(m);
    assert_int_equal(t->rank, rank);
    for (uint32_t i = 0; i < rank; i++) assert_int_equal(t->dim[i], dim[i]);
    ir_module_free(m);
}

#define DIMS(...)                                                                                  \
    (const int64_t[]) {                                                                            \
        __VA_ARGS__                                                                                \
    }

/* ---- expressions ---- */

static int64_t value_of(const char *text) {
    fe_variables v = {0};
    static const int64_t list[] = {3, 5, 7};
    BASE_PUSH(&v.list, ((fe_variable){.name = "i", .value = 2}));
    BASE_PUSH(&v.list, ((fe_variable){.name = "c", .values = list, .count = 3}));
    int64_t n = -999;
    base_str why = {0};
    if (!fe_arith(&v, text, strlen(text), &n, &why)) n = INT64_MIN;
    base_str_free(&why);
    base_free(v.list.items);
    return n;
}

static void arithmetic(void **state) {
    (void)state;
    assert_int_equal(value_of("1 + 2 * 3"), 7);
    assert_int_equal(value_of("(1 + 2) * 3"), 9);
    assert_int_equal(value_of("c[i] - c[0]"), 4);
    assert_int_equal(value_of("c[i - 1] / 2"), 2);
    assert_int_equal(value_of("-i + 7 % 4"), 1);
    assert_int_equal(value_of("i < 3"), 1);
    assert_int_equal(value_of("i == 3"), 0);
    assert_int_equal(value_of("i >= 2"), 1);
    static const char *const bad[] = {"",
                                      "1 +",
                                      "j",
                                      "c",
                                      "i[0]",
                                      "c[3]",
                                      "c[-1]",
                                      "1 / 0",
                                      "1 % 0",
                                      "1 / (0-1)",
                                      "2 2",
                                      "(1",
                                      "c[1",
                                      "9223372036854775808",
                                      "9223372036854775807 + 1",
                                      "9223372036854775807 * 2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (value_of(bad[i]) != INT64_MIN) fail_msg("'%s' has a value", bad[i]);
    char deep[400];
    memset(deep, '(', sizeof deep);
    deep[sizeof deep - 1] = 0;
    assert_int_equal(value_of(deep), INT64_MIN);
}

/* ---- what blocks build ---- */

static void shapes_of_blocks(void **state) {
    (void)state;
    check_result("{\"block\": \"conv\", \"prefix\": \"a\", \"out\": 6}", 4, DIMS(1, 6, 8, 8));
    check_result("{\"block\": \"conv\", \"prefix\": \"a\", \"out\": 6, \"padding\": \"valid\"}", 4,
                 DIMS(1, 6, 6, 6));
    check_result("{\"block\": \"conv\", \"prefix\": \"a\", \"out\": 6, \"kernel\": [1, 3], "
                 "\"stride\": [1, 2]}",
                 4, DIMS(1, 6, 8, 4));
    check_result("{\"block\": \"conv\", \"prefix\": \"a\", \"out\": 6, \"padding\": [0, 1, 2, 3]}",
                 4, DIMS(1, 6, 8, 10));
    check_result("{\"block\": \"downsample\", \"prefix\": \"a\"}", 4, DIMS(1, 4, 4, 4));
    check_result(
        "{\"block\": \"downsample\", \"prefix\": \"a\", \"padding\": \"after\", \"out\": 7}", 4,
        DIMS(1, 7, 4, 4));
    check_result("{\"block\": \"upsample\", \"prefix\": \"a\"}", 4, DIMS(1, 4, 16, 16));
    check_result("{\"block\": \"resize\", \"scale\": 3}", 4, DIMS(1, 4, 24, 24));
    check_result("{\"block\": \"resize\", \"height\": 5, \"width\": \"W + 1\"}", 4,
                 DIMS(1, 4, 5, 9));
    check_result("{\"block\": \"max_pool\"}", 4, DIMS(1, 4, 4, 4));
    check_result("{\"block\": \"avg_pool\", \"size\": 3, \"stride\": 1, \"padding\": 1}", 4,
                 DIMS(1, 4, 8, 8));
    check_result("\"to_tokens\", {\"block\": \"linear\", \"prefix\": \"a\", \"out\": 10, "
                 "\"activation\": \"gelu\"}",
                 3, DIMS(1, 64, 10));
    check_result(
        "\"to_tokens\", {\"block\": \"layer_norm\", \"prefix\": \"a\"}, "
        "{\"block\": \"self_attention\", \"prefix\": \"b\", \"head_dim\": 2}, "
        "{\"block\": \"feed_forward\", \"prefix\": \"c\"}, {\"block\": \"to_image\", \"height\": "
        "\"H\", \"width\": \"W\"}",
        4, DIMS(1, 4, 8, 8));
    check_result("{\"block\": \"time_embedding\", \"prefix\": \"a\", \"from\": \"t\", \"dim\": 8}",
                 2, DIMS(1, 32));
    check_result(
        "{\"block\": \"timestep_embedding\", \"from\": \"t\", \"dim\": 8, \"save\": \"s\"}, "
        "{\"block\": \"mlp\", \"prefix\": \"m\", \"out\": 8}, {\"block\": \"add\", \"with\": "
        "\"s\"}, "
        "{\"block\": \"concat\", \"with\": \"s\"}",
        2, DIMS(1, 16));
}

static void skips_and_repeats(void **state) {
    (void)state;
    check_result(
        "\"push\", {\"block\": \"repeat\", \"count\": 2, \"blocks\": ["
        "{\"block\": \"downsample\", \"prefix\": \"d.{i}\", \"out\": \"c[i + 1]\"}, \"push\"]},"
        "\"concat_pop\", {\"block\": \"upsample\", \"prefix\": \"u\"}, \"concat_pop\","
        "{\"block\": \"upsample\", \"prefix\": \"v\"}, \"concat_pop\"",
        4, DIMS(1, 44, 8, 8));
    check_result("{\"block\": \"repeat\", \"count\": 3, \"index\": \"k\", \"blocks\": [{\"block\": "
                 "\"conv\", "
                 "\"prefix\": \"a{k}\", "
                 "\"out\": 5, \"when\": \"k == 1\"}]}",
                 4, DIMS(1, 5, 8, 8));
    /* An odd size comes back through the size of the skip. */
    check_result("{\"block\": \"resize\", \"height\": 7, \"width\": 9}, \"push\", {\"block\": "
                 "\"downsample\", \"prefix\": \"d\"}, "
                 "{\"block\": \"upsample\", \"prefix\": \"u\", \"size\": \"skip\"}, \"concat_pop\"",
                 4, DIMS(1, 8, 7, 9));
}

static void origins_lead_back(void **state) {
    (void)state;
    ir_module *m = accept(with_blocks(
        "{\"block\": \"relu\"},\n  {\"block\": \"conv\", \"prefix\": \"a.b\", \"out\": 6}"));
    const ir_func *f = m->funcs.items[0];
    const ir_origin *o = &m->origins.items[ir_get(f, f->outputs.items[0].value)->origin];
    assert_string_equal(o->file, "m.json");
    assert_int_equal(o->line, 5);
    assert_int_equal(o->col, 3);
    assert_string_equal(o->block, "a.b");
    ir_module_free(m);
}

static void options_change_shapes(void **state) {
    (void)state;
    capture c;
    fe_options o = at_random;
    o.batch = 3;
    o.width = 16;
    o.shared_timestep = true;
    ir_module *m = load(&c, with_blocks("\"silu\""), &o);
    assert_non_null(m);
    assert_int_equal(result_type(m)->dim[0], 3);
    assert_int_equal(result_type(m)->dim[3], 16);
    assert_int_equal(ir_typeof(m->funcs.items[0], m->funcs.items[0]->inputs.items[1])->dim[0], 1);
    ir_module_free(m);
    capture_end(&c);

    fe_shape shape = {"x", 4, {2, 4, 5, 6}};
    o = at_random;
    o.shapes = &shape;
    o.shape_count = 1;
    m = load(&c, with_blocks("\"silu\""), &o);
    assert_non_null(m);
    assert_memory_equal(result_type(m)->dim, shape.dim, sizeof(int64_t[4]));
    ir_module_free(m);
    capture_end(&c);
}

/* ---- refusals ---- */

static void unknown_words(void **state) {
    (void)state;
    refuse_blocks("{\"block\": \"res_blok\", \"prefix\": \"a\", \"out\": 4}",
                  "m.json:4:11: error: unknown block 'res_blok'; did you mean 'res_block'?");
    refuse_blocks("{\"block\": \"conv\", \"prefix\": \"a\", \"out\": 4, \"kernal\": 3}",
                  "m.json:4:44: error: unknown key 'kernal'; did you mean 'kernel'?");
    refuse_blocks("{\"block\": \"conv\", \"prefix\": \"a\", \"out\": 4, \"activation\": \"sliu\"}",
                  "unknown activation 'sliu'; did you mean 'silu'?");
    refuse_blocks(
        "{\"block\": \"res_block\", \"prefix\": \"a\", \"out\": 4, \"emb\": null, \"names\": "
        "{\"norm3\": \"x\"}}",
        "unknown key 'norm3'; did you mean 'norm1'?");
    refuse_blocks("{\"block\": \"add\", \"with\": \"tt\"}",
                  "there is no value 'tt'; did you mean 't'?");
    refuse_blocks("{\"block\": \"conv\", \"prefix\": \"a\", \"out\": \"cc[0]\"}",
                  "'cc[0]': there is no parameter 'cc'; did you mean 'c'?");
    refuse_one("{\"ebru\": 2, \"functions\": {}}", "'ebru': 2 is out of range");
    static const char *const messages[] = {"unknown key 'function'; did you mean 'functions'?",
                                           "missing key 'functions'"};
    refuse("{\"ebru\": 1, \"function\": {}}", 2, messages, 2);
}

static void all_faults_at_once(void **state) {
    (void)state;
    static const char *const messages[] = {"unknown block 'convv'", "unknown key 'otu'",
                                           "missing key 'count'", "block 'linear' needs a 'prefix'",
                                           "needs keys"};
    refuse(
        with_blocks("{\"block\": \"convv\"}, {\"block\": \"conv\", \"prefix\": \"a\", \"otu\": 4}, "
                    "{\"block\": \"repeat\", \"blocks\": []}, {\"block\": \"linear\", \"out\": 3}, "
                    "\"conv\""),
        5, messages, 5);
    static const char *const later[] = {"block 'conv' needs a key 'out'",
                                        "3 groups do not divide 4 channels"};
    refuse(with_blocks(
               "{\"block\": \"conv\", \"prefix\": \"a\"}, {\"block\": \"group_norm\", \"prefix\": "
               "\"n\", \"from\": \"x\", "
               "\"groups\": 3}"),
           2, later, 2);
}

static void stack_faults(void **state) {
    (void)state;
    refuse_blocks("\"push\", \"concat_pop\", \"concat_pop\"",
                  "m.json:4:23: error: the skip stack is empty");
    static const char *const left[] = {"function 'f' ends with 2 values left on the skip stack",
                                       "m.json:4:9: note: the last one was pushed here"};
    refuse(with_blocks("\"push\", \"push\""), 1, left, 2);
    static const char *const sizes[] = {"f32[1,4,4,4] cannot be joined with the skip f32[1,4,8,8]",
                                        "m.json:4:1: note: it was pushed here"};
    refuse(with_blocks("\"push\",\n\"max_pool\",\n\"concat_pop\""), 1, sizes, 2);
}

static void shape_faults(void **state) {
    (void)state;
    refuse_blocks("{\"block\": \"res_block\", \"prefix\": \"r\", \"out\": 4, \"emb\": null}",
                  "r: group_norm 'r.norm1': 32 groups do not divide 4 channels");
    refuse_blocks("{\"block\": \"conv\", \"prefix\": \"a\", \"out\": 4, \"from\": \"t\"}",
                  "a: a convolution needs an image [B,C,H,W], its input is f32[1]");
    refuse_blocks("{\"block\": \"attention\", \"prefix\": \"a\", \"heads\": 3, \"groups\": 2}",
                  "3 heads do not divide 4 channels");
    refuse_blocks("{\"block\": \"attention\", \"prefix\": \"a\", \"heads\": 3, \"head_dim\": 2, "
                  "\"groups\": 2}",
                  "3 heads of width 2 do not make the 4 channels");
    refuse_blocks("{\"block\": \"conv\", \"prefix\": \"a\", \"out\": 4, \"kernel\": 9, "
                  "\"padding\": \"valid\"}",
                  "the window of 9 does not fit");
    refuse_blocks("{\"block\": \"add\", \"with\": \"t\"}, \"to_tokens\", {\"block\": \"mul\", "
                  "\"with\": \"x\"}",
                  "mul: operand 'b'");
    refuse_blocks("{\"block\": \"to_image\", \"height\": 2, \"width\": 2}", "needs tokens");
    refuse_blocks(
        "{\"block\": \"conv\", \"prefix\": \"a\", \"out\": 4}, {\"block\": \"conv\", \"prefix\": "
        "\"a\", \"out\": 5}",
        "two shapes: 'a.bias' is used as [4] and as [5]");
    refuse_blocks("{\"block\": \"res_block\", \"prefix\": \"r\", \"out\": 4, \"groups\": 2}",
                  "there is no value 'emb'");
}

/* Nothing in a description makes the compiler work without bound. */
static void limits(void **state) {
    (void)state;
    refuse_blocks("{\"block\": \"conv\", \"prefix\": \"a\", \"out\": 2000000}", "is out of range");
    refuse_blocks("{\"block\": \"conv\", \"prefix\": \"a\", \"out\": 1000000, \"kernel\": 64}",
                  "too many elements");
    refuse_blocks("{\"block\": \"repeat\", \"count\": 100000, \"blocks\": []}", "is out of range");
    refuse_blocks(
        "{\"block\": \"repeat\", \"count\": 4000, \"blocks\": [{\"block\": \"repeat\", \"count\": "
        "4000, \"blocks\": [\"push\"]}]}",
        "more than 100000 blocks");
    refuse_blocks("{\"block\": \"repeat\", \"count\": 100, \"blocks\": [{\"block\": \"resize\", "
                  "\"scale\": 2}]}",
                  "is larger than");
    char deep[4096] = "";
    for (int i = 0; i < 20; i++)
        strcat(deep, "{\"block\": \"repeat\", \"count\": 2, \"blocks\": [");
    for (int i = 0; i < 20; i++) strcat(deep, "]}");
    refuse_blocks(deep, "nested more than");
}

/* A denoiser of 4 channels with `extra` more to look at, and an autoencoder. */
static const char *conditioned(int extra, const char *more_inputs, const char *pipeline) {
    static char text[4096];
    snprintf(text, sizeof text,
             "{\"ebru\": 1, \"functions\": {"
             "\"unet\": {\"inputs\": {\"sample\": {\"shape\": [\"B\", %d, 8, 8]}, \"timestep\": "
             "{\"shape\": "
             "[\"B\"]}%s}, \"blocks\": [{\"block\": \"conv\", \"prefix\": \"c\", \"out\": 4}], "
             "\"outputs\": "
             "\"sample\"}, "
             "\"vae.decode\": {\"inputs\": {\"latent\": {\"shape\": [\"B\", 4, 8, 8]}}, "
             "\"blocks\": [{\"block\": "
             "\"conv\", \"prefix\": \"d\", \"out\": 3}], \"outputs\": \"image\"}, "
             "\"vae.encode\": {\"inputs\": {\"image\": {\"shape\": [\"B\", 3, 8, 8]}}, \"blocks\": "
             "[{\"block\": "
             "\"conv\", \"prefix\": \"e\", \"out\": 8}], \"outputs\": \"moments\"}}, "
             "\"pipeline\": {\"kind\": \"unconditional\", \"sampler\": {\"class\": \"ddpm\"%s}}",
             4 + extra, more_inputs, pipeline);
    return text;
}

static void pictures(void **state) {
    (void)state;
    ir_module *m = accept(conditioned(0, "", "}"));
    assert_string_equal(ir_meta_string(m, "pipeline.encoder", ""), "vae.encode");
    assert_int_equal(ir_meta_int(m, "pipeline.image_input", 0), 1);
    assert_true(ir_meta_float(m, "sampler.strength", 0) == 0.8);
    assert_null(ir_meta_get(m, "pipeline.condition"));
    ir_module_free(m);
    m = accept(conditioned(5, "", ", \"strength\": 0.5}, \"condition\": \"inpaint\""));
    assert_string_equal(ir_meta_string(m, "pipeline.condition", ""), "inpaint");
    assert_int_equal(ir_meta_int(m, "latent.channels", 0), 4);
    assert_true(ir_meta_float(m, "sampler.strength", 0) == 0.5);
    ir_module_free(m);
    m = accept(conditioned(5, "", "}, \"condition\": \"inpaint\""));
    assert_true(ir_meta_float(m, "sampler.strength", 0) == 1.0);
    ir_module_free(m);
    m = accept(conditioned(1, "", "}, \"condition\": \"depth\""));
    assert_string_equal(ir_meta_string(m, "pipeline.condition", ""), "depth");
    ir_module_free(m);
    static const char
        labels[] = ", \"class_labels\": {\"shape\": [\"B\"], \"dtype\": \"i32\"}",
        noise[] = "}, \"condition\": \"low_resolution\", \"low_res\": {\"class\": \"ddpm\", "
                  "\"beta_end\": 0.5, \"max_noise_level\": 10}";
    m = accept(conditioned(3, labels, noise));
    assert_string_equal(ir_meta_string(m, "low_res.class", ""), "ddpm");
    assert_int_equal(ir_meta_int(m, "low_res.noise_level", 0), 10);
    assert_true(ir_meta_float(m, "low_res.beta_end", 0) == 0.5);
    assert_null(ir_meta_get(m, "pipeline.encoder"));
    ir_module_free(m);

    refuse_one(conditioned(3, "", noise), "function 'unet' needs an input 'class_labels'");
    refuse_one(conditioned(5, "", "}"), "the denoiser's result has another shape than its sample");
    refuse_one(conditioned(4, "", "}, \"condition\": \"inpaint\""),
               "has 5 channels more than its result");
    refuse_one(conditioned(5, "", "}, \"condition\": \"inpain\""), "did you mean 'inpaint'?");
    refuse_one(conditioned(0, "", ", \"strength\": 2}"), "'strength' is above 0 and at most 1");
    refuse_one(conditioned(0, "", "}, \"encoder\": \"vae.decode\""),
               "the encoder must make 'moments' or 'latent'");
    refuse_one(conditioned(0, "", "}, \"low_res\": {\"class\": \"ddpm\"}"),
               "is for the condition 'low_resolution'");

    fe_options o = at_random;
    o.no_image_input = true;
    capture c;
    m = load(&c, conditioned(0, "", "}"), &o);
    assert_non_null(m);
    assert_null(ir_meta_get(m, "pipeline.image_input"));
    assert_null(ir_func_find(m, "vae.encode"));
    ir_module_free(m);
    capture_end(&c);
    o = (fe_options){.random_weights = true, .clip_skip = 1};
    assert_null(load(&c, conditioned(0, "", "}"), &o));
    assert_non_null(strstr(captured(&c), "--clip-skip: a description writes its text encoder out"));
    capture_end(&c);
    o = (fe_options){.random_weights = true, .no_image_input = true};
    assert_null(load(&c, conditioned(1, "", "}, \"condition\": \"depth\""), &o));
    assert_non_null(
        strstr(captured(&c), "--no-image-input: this model cannot do without a picture"));
    capture_end(&c);
}

static void pipelines(void **state) {
    (void)state;
    static const char head[] =
        "{\"ebru\": 1, \"functions\": {\"unet\": {\"inputs\": {\"sample\": {\"shape\": [\"B\", 4, "
        "8, 8]}, "
        "\"timestep\": {\"shape\": [\"B\"]}}, \"blocks\": [\"silu\"], \"outputs\": \"sample\"}}, "
        "\"pipeline\": ";
    char text[2048];
    snprintf(
        text, sizeof text,
        "%s{\"kind\": \"unconditional\", \"sampler\": {\"class\": \"ddpm\", \"beta_start\": 0.5, "
        "\"steps\": 7}}}",
        head);
    ir_module *m = accept(text);
    assert_string_equal(ir_meta_string(m, "pipeline.kind", ""), "unconditional");
    assert_string_equal(ir_meta_string(m, "sampler.class", ""), "ddpm");
    assert_int_equal(ir_meta_int(m, "sampler.steps", 0), 7);
    assert_int_equal(ir_meta_int(m, "latent.channels", 0), 4);
    assert_int_equal(ir_meta_int(m, "image.width", 0), 8);
    assert_true(ir_meta_float(m, "sampler.beta_start", 0) == 0.5);
    ir_module_free(m);

    snprintf(
        text, sizeof text,
        "%s{\"kind\": \"unconditional\", \"sampler\": {\"class\": \"ddpm\", \"beta_stat\": 0.5}}}",
        head);
    refuse_one(text, "unknown key 'beta_stat'; did you mean 'beta_start'?");
    snprintf(text, sizeof text,
             "%s{\"kind\": \"unconditional\", \"sampler\": {\"class\": \"ddpq\"}}}", head);
    refuse_one(text, "unknown sampler 'ddpq'; did you mean 'ddpm'?");
    snprintf(
        text, sizeof text,
        "%s{\"kind\": \"class_to_image\", \"classes\": 10, \"sampler\": {\"class\": \"ddpm\"}}}",
        head);
    refuse_one(text, "function 'unet' needs an input 'class_labels'");
    snprintf(text, sizeof text,
             "%s{\"kind\": \"text_to_image\", \"sampler\": {\"class\": \"ddpm\"}}}", head);
    refuse_one(text, "the text_encoder 'text_encoder' is not among the functions");
    snprintf(text, sizeof text, "%s{\"kind\": \"none\", \"sampler\": {}, \"speed\": 1}}", head);
    refuse_one(text, "unknown key 'speed'");
}

static void weights_beside(void **state) {
    (void)state;
    capture c;
    fe_options o = {0};
    assert_null(load(&c, with_blocks("\"silu\""), &o));
    assert_non_null(strstr(captured(&c), "the description names no weights"));
    capture_end(&c);
    static const char *const names[] = {"../x.safetensors", "/etc/passwd", "absent.safetensors",
                                        ".hidden"};
    static const char *const expected[] = {"weight file", "weight file", "there is no weight file",
                                           "weight file"};
    for (size_t i = 0; i < 4; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "{\"ebru\": 1, \"weights\": \"%s\", \"functions\": {\"f\": {\"inputs\": {\"x\": "
                 "{\"shape\": "
                 "[1]}}, \"blocks\": [], "
                 "\"outputs\": \"y\"}}}",
                 names[i]);
        assert_null(load(&c, text, &o));
        if (!strstr(captured(&c), expected[i])) fail_msg("%s: %s", names[i], captured(&c));
        capture_end(&c);
    }
}

/* ---- the models that come with ebru ---- */

static ir_module *load_model(const char *name) {
    char path[512];
    snprintf(path, sizeof path, EBRU_TEST_DATA "/../models/%s", name);
    capture c;
    capture_begin(&c, (base_diag_options){0});
    ir_module *m = fe_load(c.diag, path, &at_random);
    if (!m) fail_msg("%s", captured(&c));
    capture_end(&c);
    return m;
}

static void parameter_counts(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int64_t parameters;
    } models[] = {{"sd-v1-unet.json", 859520964},
                  {"sd-v2-unet.json", 865910724},
                  {"class-unet-32.json", 15776643},
                  {"autoencoder-256.json", 11011}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        ir_module *m = load_model(models[i].name);
        assert_int_equal(ir_parameter_count(m), models[i].parameters);
        ir_module_free(m);
    }
}

/* A description written block by block and the config of the same network give the same function,
 * node by node. */
static void same_as_config(const char *model, const char *config) {
    temp_dir t;
    temp_dir_begin(&t);
    temp_write(&t, "config.json", config, strlen(config));
    capture c;
    capture_begin(&c, (base_diag_options){0});
    ir_module *theirs = fe_load(c.diag, t.path, &at_random);
    if (!theirs) fail_msg("%s", captured(&c));
    ir_module *ours = load_model(model);
    const ir_func *f = ours->funcs.items[0], *g = theirs->funcs.items[0];
    assert_int_equal(f->nodes.count, g->nodes.count);
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        base_str a = {0}, b = {0};
        ir_print_node(f, (ir_ref){i}, &a);
        ir_print_node(g, (ir_ref){i}, &b);
        assert_string_equal(a.data, b.data);
        base_str_free(&a);
        base_str_free(&b);
    }
    ir_module_free(ours);
    ir_module_free(theirs);
    capture_end(&c);
    temp_dir_end(&t);
}

static void described_and_configured(void **state) {
    (void)state;
    same_as_config("sd-v1-unet.json", "{\"_class_name\": \"UNet2DConditionModel\", "
                                      "\"sample_size\": 64, \"cross_attention_dim\": 768}");
    same_as_config("sd-v2-unet.json",
                   "{\"_class_name\": \"UNet2DConditionModel\", \"sample_size\": 64, "
                   "\"cross_attention_dim\": 1024, "
                   "\"attention_head_dim\": [5, 10, 20, 20], \"use_linear_projection\": true}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic),
        cmocka_unit_test(shapes_of_blocks),
        cmocka_unit_test(skips_and_repeats),
        cmocka_unit_test(origins_lead_back),
        cmocka_unit_test(options_change_shapes),
        cmocka_unit_test(unknown_words),
        cmocka_unit_test(all_faults_at_once),
        cmocka_unit_test(stack_faults),
        cmocka_unit_test(shape_faults),
        cmocka_unit_test(limits),
        cmocka_unit_test(pipelines),
        cmocka_unit_test(pictures),
        cmocka_unit_test(weights_beside),
        cmocka_unit_test(parameter_counts),
        cmocka_unit_test(described_and_configured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
