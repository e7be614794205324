/* The files of a tokenizer's folder: which ids they give to a text, and what is refused where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "frontend/tokenizer/tokenizer.h"
#include "runtime/text/tokenizer.h"
#include "tests/unit/support/captured_diag.h"
#include "tests/unit/support/temp_dir.h"

/* Writes a folder of a small vocabulary with another file in it and reads it: the tokenizer's blob, to
 * be freed, or NULL when something is refused. A file with "merges" stands alone. */
static unsigned char *read_folder(capture *c, const char *name, const char *text, int64_t rows,
                                  size_t *bytes) {
    static const char vocab[] =
        "{\"!\": 0, \"a</w>\": 1, \"<|startoftext|>\": 2, \"<|endoftext|>\": 3}";
    temp_dir t;
    temp_dir_begin(&t);
    temp_write(&t, "vocab.json", vocab, sizeof vocab - 1);
    if (!strstr(text, "\"merges\"")) temp_write(&t, "merges.txt", "#version: 0.2\n", 14);
    temp_write(&t, name, text, strlen(text));
    ir_module *m = ir_module_new();
    fe_dir *dir = fe_dir_open(c->diag, t.path);
    bool fine = fe_tokenizer_meta(c->diag, m, "tokenizer", dir, 77, rows);
    assert_int_equal(fine, base_diag_errors(c->diag) == 0);
    unsigned char *blob = fine ? fe_tokenizer_blob(c->diag, m, "tokenizer", bytes) : NULL;
    assert_int_equal(fine, blob != NULL);
    fe_dir_close(dir);
    ir_module_free(m);
    temp_dir_end(&t);
    return blob;
}

static void refuse(const char *name, const char *text, const char *message) {
    capture c;
    size_t bytes;
    capture_begin(&c, (base_diag_options){0});
    if (read_folder(&c, name, text, 4, &bytes)) fail_msg("%s is accepted", text);
    if (!strstr(captured(&c), message)) fail_msg("expected <%s> in <%s>", message, captured(&c));
    capture_end(&c);
}

static void expect_ids(const char *name, const char *text, const char *prompt, const char *want) {
    capture c;
    char got[200] = "";
    size_t bytes, count, n = 0;
    rt_tokenizer t;
    uint32_t *ids;
    capture_begin(&c, (base_diag_options){0});
    unsigned char *blob = read_folder(&c, name, text, 10, &bytes);
    if (!blob) fail_msg("%s", captured(&c));
    assert_int_equal(rt_tokenizer_open(&t, blob, bytes, NULL), RT_OK);
    assert_int_equal(rt_tokenizer_encode(&t, prompt, strlen(prompt), &ids, &count, NULL), RT_OK);
    for (size_t i = 0; i < count; i++)
        n += (size_t)snprintf(got + n, sizeof got - n, "%s%u", i ? " " : "", (unsigned)ids[i]);
    if (strcmp(got, want) != 0) fail_msg("%s: <%s>, want <%s>", text, got, want);
    free(ids);
    base_free(blob);
    capture_end(&c);
}

/* Tokens beside the vocabulary in a folder's files: which ids they have, and what is wrong. The text
 * encoder knows four tokens, ids 0 to 3. */
static void refused_tokens(void **state) {
    (void)state;
    refuse("added_tokens.json", "{\"<dot>\": 4}",
           "added_tokens.json:1:11: error: the token '<dot>' has the id 4, and the "
           "text encoder knows 4 tokens");
    refuse("added_tokens.json", "{\"<|startoftext|>\": 1}",
           "the token '<|startoftext|>' has the id 1 here and 2 in another file");
    refuse("added_tokens.json", "{\"<dot>\": 1}",
           "vocab.json:1:19: error: the id 1 is the added token's '<dot>', too");
    refuse("added_tokens.json", "{\"<dot>\": \"4\"}",
           "added_tokens.json:1:11: error: '[\"<dot>\"]': expected an integer");
    refuse("added_tokens.json", "{\"\": 3}", "an added token has no text");
    refuse("tokenizer_config.json",
           "{\"added_tokens_decoder\": {\"4\": {\"content\": \"<dot>\"}, \"3\": "
           "{\"content\": \"<|endoftext|>\"}}}",
           "tokenizer_config.json:1:32: error: the token '<dot>' has the id 4");
    refuse("tokenizer_config.json", "{\"added_tokens_decoder\": {\"x\": {\"content\": \"<dot>\"}}}",
           "'x' is no id of a token");
    refuse("tokenizer_config.json",
           "{\"added_tokens_decoder\": {\"3\": {\"content\": \"<|endoftext|>\", "
           "\"lstrip\": 1}}}",
           "tokenizer_config.json:1:");
    refuse("tokenizer.json", "{\"added_tokens\": [{\"id\": 4, \"content\": \"<dot>\"}]}",
           "tokenizer.json:1:19: error: the token '<dot>' has the id 4");
    refuse("special_tokens_map.json", "{\"additional_special_tokens\": [\"a</w>\", \"<dot>\"]}",
           "the token '<dot>' has the id 4, and the text encoder knows 4 tokens");
    refuse("tokenizer_config.json", "{\"model_max_length\": true}",
           "tokenizer_config.json:1:22: error: 'model_max_length': expected");
    refuse("special_tokens_map.json", "{\"pad_token\": \"<pad>\"}",
           "the special token '<pad>' is not in the vocabulary");
}

static void ids_of_added_tokens(void **state) {
    (void)state;
#define FAST(more)                                                                                 \
    "{\"added_tokens\": [{\"id\": 2, \"content\": \"<|startoftext|>\", \"special\": true}, "       \
    "{\"id\": 3, \"content\": \"<|endoftext|>\", \"special\": true}, {\"id\": 7, \"content\": "    \
    "\"Dot\", \"normalized\": true}, {\"id\": 8, \"content\": \"Cat\", \"normalized\": "           \
    "false}], " more "\"model\": {\"type\": \"BPE\", \"end_of_word_suffix\": \"</w>\", "           \
    "\"vocab\": {\"!\": 0, \"a</w>\": 1, \"<|startoftext|>\": 2, \"<|endoftext|>\": 3, \"a\": 4, " \
    "\"aa</w>\": 5, \"aaa</w>\": 6}, \"merges\": [\"a a</w>\", [\"a\", \"aa</w>\"]]}}"
    static const char *const cases[][4] = {
        {"added_tokens.json", "{\"<Dot>\": 4, \"<Dot>_1\": 5}", "a <Dot>a", "1 4 5 1"},
        {"added_tokens.json", "{\"<dot>\": 9}", "a<dot>a", "1 9 1"},
        /* in a folder of vocab.json the case counts, whatever `normalized` says */
        {"tokenizer_config.json",
         "{\"added_tokens_decoder\": {\"4\": {\"content\": \"<Dot>\", \"normalized\": true}, "
         "\"5\": "
         "{\"content\": \"b\", \"single_word\": true}}, \"extra_special_tokens\": {\"x\": \"a\"}}",
         "<Dot>a bb b", "4 6 3 3 5"},
        {"special_tokens_map.json",
         "{\"additional_special_tokens\": [\"zz\", {\"content\": \"<|endoftext|>\"}], "
         "\"pad_token\": \"!\"}",
         "zz !<|EndOfText|>", "4 0 3"},
        {"tokenizer.json", "{\"added_tokens\": [{\"id\": 5, \"content\": \"Dot\"}]}", "aDot a",
         "1 5 1"},
        /* alone, it says itself whether the case counts */
        {"tokenizer.json", FAST(""), "aaa AA dot Dot Cat", "6 5 7 7 8"},
        {"tokenizer.json",
         FAST("\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}, "
              "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"\\\\s+\"}, \"content\": \" \"}, "
              "{\"type\": \"Lowercase\"}]}, \"pre_tokenizer\": {\"type\": \"Sequence\", "
              "\"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": "
              "\"'s|'t|'re|'ve|'m|'ll|'d|[\\\\p{L}]+|[\\\\p{N}]|[^\\\\s\\\\p{L}\\\\p{N}]+\"}, "
              "\"behavior\": \"Removed\", \"invert\": true}, {\"type\": \"ByteLevel\", "
              "\"add_prefix_space\": false, \"trim_offsets\": true}]}, "),
         "aaa AA cat", "6 5 3 4 3"},
        {"tokenizer.json", FAST("\"normalizer\": {\"type\": \"NFC\"}, "), "aa Aa", "5 3 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_ids(cases[i][0], cases[i][1], cases[i][2], cases[i][3]);
#undef FAST
}

/* What tokenizer.json can describe beside CLIP's tokenizer, named at its place. */
static void other_tokenizers(void **state) {
    (void)state;
#define MODEL(more)                                                                                \
    "{\"model\": {\"vocab\": {}, \"merges\": [], \"end_of_word_suffix\": \"</w>\"" more "}"
#define WITH(key, value) MODEL("") ", \"" key "\": " value "}"
#define SPLIT(more)                                                                                \
    "{\"type\": \"Split\", \"pattern\": {\"Regex\": "                                              \
    "\"'s|'t|'re|'ve|'m|'ll|'d|[\\\\p{L}]+|[\\\\p{N}]|[^\\\\s\\\\p{L}\\\\p{N}]+\"}" more "}"
    static const char file[] = "tokenizer.json";
    static const char *const cases[][2] = {
        {"{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 0.5]], \"merges\": []}}",
         "tokenizer.json:1:20: error: unsupported: model 'Unigram' of a tokenizer; CLIP's is BPE"},
        {"{\"model\": {\"type\": 5, \"merges\": []}}", "unsupported: model without a type of"},
        {"{\"merges\": []}", "tokenizer.json:1:1: error: missing key 'model'"},
        {"{\"model\": {\"merges\": []}}", "missing key 'vocab'"},
        {"{\"model\": {\"vocab\": {}, \"merges\": []}}", "missing key 'end_of_word_suffix'"},
        {"{\"model\": {\"vocab\": {}, \"merges\": [], \"end_of_word_suffix\": \"@@\"}}",
         "'end_of_word_suffix' is '@@'; CLIP's tokenizer has '</w>'"},
        {MODEL(", \"continuing_subword_prefix\": \"##\"") "}",
         "'continuing_subword_prefix' is '##'"},
        {MODEL(", \"byte_fallback\": true") "}", "unsupported: 'byte_fallback'"},
        {MODEL(", \"dropout\": 0.1") "}", "unsupported: 'dropout'"},
        {WITH("normalizer", "{\"type\": \"BertNormalizer\"}"),
         "unsupported: normalizer 'BertNormalizer' of a tokenizer; CLIP's is NFC"},
        {WITH("normalizer", "{\"type\": \"Lowercase\"}"), "a normalizer without NFC"},
        {WITH("normalizer", "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}, "
                            "{\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}, "
                            "\"content\": \"b\"}]}"),
         "unsupported: normalizer 'Replace'"},
        {WITH("pre_tokenizer", "{\"type\": \"ByteLevel\"}"),
         "unsupported: pre-tokenizer 'ByteLevel' of a tokenizer; CLIP's is a Split into words"},
        {WITH("pre_tokenizer", "{\"type\": \"Whitespace\"}"),
         "unsupported: pre-tokenizer 'Whitespace'"},
        {WITH("pre_tokenizer", SPLIT("")), "a Split that is not inverted"},
        {WITH("pre_tokenizer", SPLIT(", \"invert\": true, \"behavior\": \"Isolated\"")),
         "'behavior' is 'Isolated'"},
        {WITH("pre_tokenizer", SPLIT(", \"invert\": true, \"behavior\": \"Removed\"")),
         "an unfinished pre-tokenizer"},
        {WITH("pre_tokenizer", "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", "
                               "\"pattern\": {\"Regex\": \"\\\\w+\"}}]}"),
         "divides text into other words than CLIP's"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse(file, cases[i][0], cases[i][1]);
#define MERGES(list)                                                                               \
    "{\"model\": {\"vocab\": {\"<|startoftext|>\": 2, \"<|endoftext|>\": 3, \"a\": 0, "            \
    "\"aa</w>\": 1}, \"end_of_word_suffix\": \"</w>\",\n\"merges\": [" list "]}}"
    refuse(file, MERGES("\"a\""), "tokenizer.json:2:12: error: 'a' is not a pair");
    refuse(file, MERGES("\"a b c\""), "'a b c' is not a pair");
    refuse(file, MERGES("[\"a\"]"), "a merge is a pair, not a list of 1");
    refuse(file, MERGES("[\"a\", \"\"]"), "'' is no symbol of a merge");
    refuse(file, MERGES("[\"a\", 3]"), "expected a string");
    refuse(file, MERGES("\"a a\", \"a b\""), "tokenizer.json:2:12: error: 'aa' is not in the");
    refuse(file, MERGES("\"a b\", \"a a\""), "tokenizer.json:2:12: error: 'b' is not in the");
    refuse(file, MERGES("") ",", "tokenizer.json:2:");
#undef MERGES
#undef SPLIT
#undef WITH
#undef MODEL
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_tokens),
        cmocka_unit_test(ids_of_added_tokens),
        cmocka_unit_test(other_tokenizers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
