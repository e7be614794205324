/* Fuzz entry: the files of a tokenizer (vocab.json and merges.txt, or tokenizer.json;
 * added_tokens.json, tokenizer_config.json, special_tokens_map.json), each behind a line "== NAME",
 * and a prompt behind "== prompt". A blob that is built from them is one that the program opens, all
 * ids it makes are in it, and the properties that say it can be written down and read back; what is
 * refused has a reason. */
#include "tests/fuzz/fuzz.h"

#include "frontend/tokenizer/tokenizer.h"
#include "runtime/text/prompt_tokens.h"

static void encode(const rt_tokenizer *t, const char *text, size_t length) {
    rt_error err = {""};
    int32_t *ids = base_alloc(t->max_length * sizeof *ids);
    size_t used = 0, cut = 0;
    if (rt_tokenizer_encode_prompt(t, text, length, ids, &used, &cut, &err) == RT_OK) {
        PROMISE(used >= 2 && used <= t->max_length);
        for (uint32_t i = 0; i < t->max_length; i++)
            PROMISE(ids[i] >= 0 && (uint32_t)ids[i] < t->id_count);
    } else {
        PROMISE(err.message[0]);
    }
    base_free(ids);
    rt_token_list list = {0};
    err.message[0] = '\0';
    const rt_status status = rt_prompt_tokens(t, text, length, true, &list, &err);
    PROMISE(status == RT_OK || err.message[0]);
    rt_token_list_free(&list);
}

static void use(const unsigned char *blob, size_t bytes, const char *text, size_t length) {
    rt_tokenizer t;
    rt_error err = {""};
    PROMISE(rt_tokenizer_open(&t, blob, bytes, &err) == RT_OK);
    PROMISE(t.bos < t.id_count && t.eos < t.id_count && t.pad < t.id_count);
    encode(&t, text, length);
    encode(&t, "a cat", 5);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_part parts[FUZZ_MOST_PARTS];
    const size_t count = fuzz_split(data, size, "vocab.json", parts);
    base_diag *d = fuzz_diag(size % 2);
    ir_module *m = ir_module_new();
    fe_dir *dir = fe_dir_open(d, fuzz_write_parts(parts, count));
    PROMISE(dir != NULL);
    const bool fine = fe_tokenizer_meta(d, m, "tokenizer", dir, 77, 0);
    PROMISE(fine == (base_diag_errors(d) == 0));
    size_t bytes = 0, length;
    unsigned char *blob = fine ? fe_tokenizer_blob(d, m, "tokenizer", &bytes) : NULL;
    PROMISE((blob != NULL) == (base_diag_errors(d) == 0));
    const char *prompt = fuzz_part_text(parts, count, "prompt", &length);
    if (blob) use(blob, bytes, prompt, length);
    base_free(blob);
    fe_dir_close(dir);
    ir_module_free(m);
    base_diag_free(d);
    return 0;
}
