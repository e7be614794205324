/* Textual inversion: the ids and states that diffusers' loader and transformers' CLIPTokenizer and
 * CLIPTextModel make of prompts with embeddings, in every spelling of files; and files that cannot
 * be used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "frontend/embedding/embedding.h"
#include "frontend/tokenizer/tokenizer.h"
#include "runtime/text/tokenizer.h"
#include "tests/unit/frontend/golden_model.h"
#include "tests/unit/support/captured_diag.h"
#include "tests/unit/support/temp_dir.h"

#define GOLDENS EBRU_TEST_DATA "/goldens/embeddings/"
enum { LENGTH = 77, ROWS = 714 };

static const char *const plain_files[] = {
    GOLDENS "learned_embeds-1.safetensors", GOLDENS "learned_embeds-3.safetensors",
    GOLDENS "a1111-1.safetensors:easyneg", GOLDENS "a1111-3.safetensors:BadHand"};
static const char *const pickled_files[] = {
    GOLDENS "learned_embeds-1.safetensors", GOLDENS "learned_embeds-3.bin",
    GOLDENS "a1111-1.safetensors:easyneg", GOLDENS "a1111-3.pt"};
static const char *const pair_files[] = {GOLDENS "sdxl-3.safetensors:<s0>",
                                         GOLDENS "sdxl-1.safetensors:<s1>"};
static const char *const pickled_pair_files[] = {GOLDENS "sdxl-3.pt:<s0>",
                                                 GOLDENS "sdxl-1.safetensors:<s1>"};

/* ---- states ---- */

static void check_states(const char *folder, const char *io, const char *const *files,
                         uint32_t count, int outputs) {
    char model[512], path[512];
    snprintf(model, sizeof model, GOLDENS "%s", folder);
    snprintf(path, sizeof path, GOLDENS "%s.safetensors", io);
    fe_options o = {.embeddings = files, .embedding_count = count, .component = folder};
    golden_result r = golden_model_check_with(model, path, o);
    assert_int_equal(r.outputs, outputs);
    assert_true(r.worst <= 1e-5);
}

static void states(void **state) {
    (void)state;
    check_states("text_encoder", "io-prompts", plain_files, 4, 2);
    check_states("text_encoder", "io-prompts", pickled_files, 4, 2);
    check_states("text_encoder", "io-text_encoder", pair_files, 2, 2);
    check_states("text_encoder_2", "io-text_encoder_2", pair_files, 2, 3);
    check_states("text_encoder_2", "io-text_encoder_2", pickled_pair_files, 2, 3);
}

/* A config that says 2, as published ones of XL do: text_embeds are at the first end all the same, not
 * at the largest id, which is a new token's. */
static void largest_id(void **state) {
    (void)state;
    temp_dir t;
    char config[2048] = "";
    FILE *f = fopen(GOLDENS "text_encoder_2/config.json", "r");
    assert_non_null(f);
    size_t n = fread(config, 1, sizeof config - 1, f);
    fclose(f);
    char *eos = strstr(config, "713");
    assert_non_null(eos);
    memcpy(eos, "2  ", 3);
    temp_dir_begin(&t);
    temp_write(&t, "config.json", config, n);
    assert_int_equal(
        symlink(GOLDENS "text_encoder_2/model.safetensors", temp_path(&t, "model.safetensors")), 0);
    fe_options o = {.embeddings = pair_files, .embedding_count = 2, .component = "text_encoder_2"};
    golden_result r = golden_model_check_with(t.path, GOLDENS "io-text_encoder_2.safetensors", o);
    assert_int_equal(r.outputs, 3);
    assert_true(r.worst <= 1e-5);
    temp_dir_end(&t);
}

/* ---- tokens ---- */

/* A text encoder with its tokenizer, as a pipeline has them. */
static ir_module *load(base_diag *d, const char *encoder, const char *tokenizer) {
    char path[512];
    snprintf(path, sizeof path, GOLDENS "%s", encoder);
    ir_module *m = fe_load(d, path, &(fe_options){.component = encoder});
    snprintf(path, sizeof path, GOLDENS "%s", tokenizer);
    fe_dir *dir = fe_dir_open(d, path);
    assert_non_null(m);
    assert_true(fe_tokenizer_meta(d, m, tokenizer, dir, LENGTH, ROWS));
    fe_dir_close(dir);
    return m;
}

/* Row 4 of io-prompts.safetensors is of a CLIPTokenizer without ftfy, which at that version divided ".," into
 * two words. With ftfy, later, and in its fast form it goes by CLIP's pattern. */
enum { other_words = 4 };
static const int64_t pattern_words[] = {712, 518, 715, 716, 717, 13, 267, 714, 256, 713, 713};

static void check_ids(const char *encoder, const char *tokenizer, const char *io,
                      const char *const *files, uint32_t count, const char *const *prompts,
                      size_t prompt_count) {
    base_diag *d = base_diag_new(NULL);
    char path[512];
    ir_module *m = load(d, encoder, tokenizer);
    size_t bytes;
    rt_tokenizer t;
    snprintf(path, sizeof path, GOLDENS "%s.safetensors", io);
    fe_st *table = fe_st_open(d, path);
    assert_true(
        fe_embeddings_apply(d, m, &(fe_options){.embeddings = files, .embedding_count = count}));
    ir_verify(m, NULL);
    unsigned char *blob = fe_tokenizer_blob(d, m, tokenizer, &bytes);
    assert_int_equal(rt_tokenizer_open(&t, blob, bytes, NULL), RT_OK);
    const fe_st_tensor *want = fe_st_find(table, "in.input_ids");
    assert_int_equal(want->dims[0], prompt_count);
    for (size_t i = 0; i < prompt_count; i++) {
        int32_t ids[LENGTH];
        int64_t row[LENGTH];
        fe_st_to_i64(want, row, i * LENGTH, LENGTH);
        if (i == other_words) memcpy(row, pattern_words, sizeof pattern_words);
        assert_int_equal(
            rt_tokenizer_encode_prompt(&t, prompts[i], strlen(prompts[i]), ids, NULL, NULL, NULL),
            RT_OK);
        for (int k = 0; k < LENGTH; k++)
            if (ids[k] != row[k])
                fail_msg("'%s': id %d is %d, want %d", prompts[i], k, (int)ids[k], (int)row[k]);
    }
    base_free(blob);
    fe_st_close(table);
    ir_module_free(m);
    base_diag_free(d);
}

static void ids(void **state) {
    (void)state;
#define THE "the the the the the the the the the the "
    static const char *const prompts[] = {"a photo of <cat-toy> on a table",
                                          "a <style> painting, in the <style>",
                                          "easyneg, BadHand, the <cat-toy>",
                                          "badhand and Easyneg are not tokens",
                                          "the<style>.,<cat-toy>!",
                                          "mybadBadHandle of sand",
                                          "no embedding here",
                                          THE THE THE THE THE THE THE "the the the the <style>",
                                          "<style_1> is only text"};
#undef THE
    static const char *const pairs[] = {"a <s0> of <s1>", "<s0>", "plain"};
    check_ids("text_encoder", "tokenizer", "io-prompts", plain_files, 4, prompts, 9);
    check_ids("text_encoder", "tokenizer", "io-prompts", pickled_files, 4, prompts, 9);
    check_ids("text_encoder", "tokenizer", "io-text_encoder", pair_files, 2, pairs, 3);
    check_ids("text_encoder_2", "tokenizer_2", "io-text_encoder_2", pair_files, 2, pairs, 3);
}

/* ---- what cannot be used ---- */

/* A file of these tensors, all of zeros: "NAME F32 3,16" each. */
static const char *write_tensors(const temp_dir *t, const char *name, const char *const *texts,
                                 size_t n) {
    static const uint8_t zeros[8 * 16 * 16];
    static char path[512];
    fe_st_tensor tensors[4] = {{0}};
    char names[4][32];
    base_diag *d = base_diag_new(NULL);
    for (size_t i = 0; i < n; i++) {
        long long dims[3] = {0};
        char type[8];
        int read =
            sscanf(texts[i], "%31s %7s %lld,%lld,%lld", names[i], type, dims, dims + 1, dims + 2);
        tensors[i] = (fe_st_tensor){.name = names[i],
                                    .dtype = strcmp(type, "I64") == 0 ? FE_ST_I64 : FE_ST_F32,
                                    .rank = (uint32_t)(read - 2),
                                    .data = zeros};
        for (int k = 0; k < read - 2; k++) tensors[i].dims[k] = dims[k];
    }
    snprintf(path, sizeof path, "%s", temp_path(t, name));
    assert_true(fe_st_write(d, path, tensors, n, NULL, 0));
    base_diag_free(d);
    return path;
}

static void refuse_files(const char *const *files, uint32_t count, const char *message) {
    capture c;
    capture_begin(&c, (base_diag_options){0});
    ir_module *m = load(c.diag, "text_encoder", "tokenizer");
    if (fe_embeddings_apply(c.diag, m,
                            &(fe_options){.embeddings = files, .embedding_count = count}))
        fail_msg("accepted; expected <%s>", message);
    assert_true(base_diag_errors(c.diag) > 0);
    if (!strstr(captured(&c), message)) fail_msg("expected <%s> in <%s>", message, captured(&c));
    ir_module_free(m);
    capture_end(&c);
}

static void refuse(const char *const *tensors, size_t n, const char *token, const char *message) {
    temp_dir t;
    char value[600];
    temp_dir_begin(&t);
    snprintf(value, sizeof value, "%s%s", write_tensors(&t, "x.safetensors", tensors, n), token);
    refuse_files((const char *const[]){value}, 1, message);
    temp_dir_end(&t);
}

#define REFUSE(token, message, ...)                                                                \
    refuse((const char *const[]){__VA_ARGS__},                                                     \
           sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), token, message)

static void unusable_tensors(void **state) {
    (void)state;
    REFUSE("",
           "x.safetensors: tensor '<t>': error: its vectors have 24 elements; this model's have 16",
           "<t> F32 3,24");
    REFUSE("",
           "tensor 'clip_l': error: its vectors have 24 elements; those of 'text_encoder' have 16",
           "clip_l F32 3,24", "clip_g F32 3,24");
    REFUSE("", "tensor '<t>': error: it has 3 dimensions", "<t> F32 1,3,16");
    REFUSE("", "tensor '<t>': error: it has 2 dimensions or no elements", "<t> F32 0,16");
    REFUSE("", "tensor '<t>': error: its elements are I64; they may be F32", "<t> I64 3,16");
    REFUSE("", "it has the tensors 'a', 'b'; one is expected", "a F32 16", "b F32 16");
    REFUSE("", "it has the tensors 'clip_g', 'clip_l', 't5xxl'", "clip_l F32 1,16",
           "clip_g F32 1,24", "t5xxl F32 1,32");
    REFUSE("", "error: nothing in this embedding belongs to what is compiled", "clip_g F32 1,24");
    REFUSE("", "it is a tensor without a name", "tensor F32 1,16");
}

static void unusable_tokens(void **state) {
    (void)state;
    REFUSE("", "tensor 'the': error: the tokenizer of 'text_encoder' has a token 'the' already",
           "the F32 1,16");
    REFUSE(":<|endoftext|>", "has a token '<|endoftext|>' already", "<t> F32 1,16");
    REFUSE(":", "error: the token '' is empty", "<t> F32 1,16");
    REFUSE(":a\xff", "is not UTF-8", "<t> F32 1,16");
    static const char one[] = GOLDENS "learned_embeds-1.safetensors",
                      three[] = GOLDENS "a1111-3.safetensors";
    refuse_files((const char *const[]){one, one}, 2, "has a token '<cat-toy>' already");
    /* the name of the second vector is another's, before and behind it */
    static const char first[] = GOLDENS "a1111-3.safetensors:xyz",
                      second[] = GOLDENS "a1111-1.safetensors:xyz_1",
                      third[] = GOLDENS "a1111-1.safetensors:xyz_2";
    refuse_files((const char *const[]){first, second}, 2, "has a token 'xyz_1' already");
    refuse_files((const char *const[]){second, first}, 2, "has a token 'xyz_1' already");
    refuse_files((const char *const[]){third, first}, 2, "has a token 'xyz_2' already");
    static const char alone[] = GOLDENS "a1111-1.safetensors:xyz";
    refuse_files((const char *const[]){second, alone}, 2, "has a token 'xyz_1' already");
    /* all that is wrong is told at once */
    refuse_files((const char *const[]){GOLDENS "none.bin", one, one, three}, 4, "none.bin");
    refuse_files((const char *const[]){GOLDENS "none.bin", one, one, three}, 4,
                 "has a token '<cat-toy>' already");
}

/* Names of files and tokens: what belongs to which. */
static void files_and_tokens(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    capture c;
    capture_begin(&c, (base_diag_options){0});
    char paths[4][700];
    snprintf(paths[0], sizeof paths[0], "%s",
             write_tensors(&t, "a:b.safetensors", (const char *const[]){"emb_params F32 2,16"}, 1));
    snprintf(paths[1], sizeof paths[1], "%.600s:c:d", paths[0]);
    snprintf(
        paths[2], sizeof paths[2], "%s",
        write_tensors(&t, "learned_embeds.safetensors", (const char *const[]){"<e> F32 16"}, 1));
    snprintf(paths[3], sizeof paths[3], "%s:<f>", t.path); /* a folder */
    const char *const files[] = {paths[0], paths[1], paths[2], paths[3]};
    ir_module *m = load(c.diag, "text_encoder", "tokenizer");
    if (!fe_embeddings_apply(c.diag, m, &(fe_options){.embeddings = files, .embedding_count = 4}))
        fail_msg("%s", captured(&c));
    assert_string_equal(
        ir_meta_string(m, "tokenizer.added", ""),
        "[{\"id\": 714, \"content\": \"a:b\"}, {\"id\": 715, \"content\": \"a:b_1\"}, "
        "{\"id\": 716, \"content\": \"c:d\"}, {\"id\": 717, \"content\": \"c:d_1\"}, "
        "{\"id\": 718, \"content\": \"<e>\"}, {\"id\": 719, \"content\": \"<f>\"}]");
    assert_int_equal(m->weights.items[fe_text_table(m->funcs.items[0])].type.dim[0], ROWS + 6);
    ir_module_free(m);
    capture_end(&c);
    temp_dir_end(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(largest_id),
        cmocka_unit_test(states),
        cmocka_unit_test(ids),
        cmocka_unit_test(unusable_tensors),
        cmocka_unit_test(unusable_tokens),
        cmocka_unit_test(files_and_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
