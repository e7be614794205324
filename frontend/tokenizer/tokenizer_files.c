/* The files of a tokenizer's folder, read into properties; see tokenizer.h. */
#include <stdlib.h>
#include <string.h>

#include "frontend/diffusers/diffusers.h"
#include "frontend/tokenizer/tokenizer.h"
#include "runtime/abi/meta_keys.h"
#include "runtime/text/tokenizer_build.h"

static const char *const key_names[] = {
#define TOKENIZER(ID, key, ...) key,
#include "runtime/abi/meta_keys.def"
};

const fe_token_key fe_tokenizer_roles[FE_TOKENIZER_ROLES][2] = {{FE_TOKEN_BOS, FE_TOKEN_BOS_TOKEN},
                                                                {FE_TOKEN_EOS, FE_TOKEN_EOS_TOKEN},
                                                                {FE_TOKEN_PAD, FE_TOKEN_PAD_TOKEN},
                                                                {FE_TOKEN_UNK, FE_TOKEN_UNK_TOKEN}};

const char *fe_tokenizer_key(const ir_module *m, const char *name, fe_token_key key) {
    return base_arena_printf(m->arena, "%s.%s", name, key_names[key]);
}

void fe_tokenizer_find_files(ir_module *m, const char *text) {
    static const char *const names[] = {"tokenizer", "tokenizer_2"};
    static const fe_token_key keys[] = {FE_TOKEN_VOCAB, FE_TOKEN_MERGES};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            const char *key = fe_tokenizer_key(m, names[i], keys[k]),
                       *path = ir_meta_string(m, key, NULL);
            if (path) ir_meta_set_string(m, key, fe_path_beside(m->arena, text, path));
        }
}

/* What is known of a folder while its files are read. */
typedef struct reader {
    base_diag *d;
    ir_module *m;
    const char *name;
    fe_dir *dir;
    base_json *doc; /* vocab.json or tokenizer.json */
    base_jval vocab;
    bool fast;           /* tokenizer.json alone */
    bool lower, decoder; /* decoder: tokenizer_config.json has added_tokens_decoder */
    int64_t max_length, rows;
    /* In the files the special tokens are called as their texts are in the properties
     * ("bos_token"); NULL until found. */
    const char *role[FE_TOKENIZER_ROLES];
    fe_added_tokens added;
    fe_added_tokens special; /* without ids: additional_special_tokens */
    bool full;
} reader;

/* A list that grows no more; it is told once. */
static bool is_full(reader *r, const fe_added_tokens *a) {
    if (a->tokens.count < RT_TOKENIZER_MAX_ADDED) return false;
    if (!r->full)
        base_error(r->d, NULL, "%s: more than %d tokens are added to the vocabulary",
                   fe_dir_path(r->dir), RT_TOKENIZER_MAX_ADDED);
    r->full = true;
    return true;
}

/* ---- tokenizer_config.json, special_tokens_map.json ---- */

/* A token is a string or an object with its text in "content". */
static bool token_text(base_jval v, const char **text) {
    if (base_json_is(v, BASE_JSON_OBJECT)) v = base_json_require(v, "content");
    return base_json_string(v, text);
}

static bool read_roles(reader *r, base_jval root) {
    bool fine = true;
    for (size_t i = 0; i < FE_TOKENIZER_ROLES; i++) {
        base_jval v = base_json_get(root, key_names[fe_tokenizer_roles[i][1]]);
        const char *text;
        if (!base_json_present(v) || base_json_is_null(v)) continue;
        if (token_text(v, &text))
            r->role[i] = base_arena_strdup(r->m->arena, text);
        else
            fine = false;
    }
    return fine;
}

/* A list of tokens, or an object from names to tokens. */
static bool read_specials(reader *r, base_jval list) {
    bool fine = true;
    if (!base_json_is(list, BASE_JSON_OBJECT) && !base_json_is(list, BASE_JSON_ARRAY)) return true;
    for (base_jval v = base_json_first(list); base_json_present(v); v = base_json_next(v)) {
        const char *text;
        uint32_t flags = 0;
        bool read = token_text(v, &text);
        if (read && base_json_is(v, BASE_JSON_OBJECT)) read = fe_added_flags(v, &flags);
        if (is_full(r, &r->special)) return false;
        if (read && *text && !fe_added_find(&r->special, text))
            fe_added_push(&r->special, text, 0, flags);
        fine &= read;
    }
    return fine;
}

/* Keys of both files: those that do nothing for CLIP's tokenizer, and those that would. */
static bool check_keys(base_jval root) {
    /* The text is always made small and padded to the end. */
    static const char *const ignored[] = {
        "add_prefix_space", "auto_map", "backend", "clean_up_tokenization_spaces", "do_lower_case",
        "errors", "is_local", "max_length", "model_input_names", "name_or_path",
        "pad_to_multiple_of", "pad_token_type_id", "processor_class", "return_tensors",
        "special_tokens_map_file", "stride", "tokenizer_class", "tokenizer_file",
        "truncation_strategy", "use_fast",
        /* tokens of other models, which nothing inserts */
        "cls_token", "sep_token", "mask_token"};
    static const char *const unsupported[] = {"padding_side=right", "truncation_side=right"};
    bool fine = fe_config_unsupported(root, unsupported, 2);
    fe_config_unknown(root, ignored, sizeof ignored / sizeof *ignored);
    return fine;
}

static bool read_decoder(reader *r, base_jval list);

static bool read_config(reader *r, const char *file) {
    if (!fe_dir_has_file(r->dir, file)) return true;
    base_json *doc = fe_json_load_in(r->d, r->dir, file, NULL);
    if (!doc) return false;
    base_jval root = base_json_root(doc), length = base_json_get(root, "model_max_length");
    double value;
    bool fine = base_json_expect(root, BASE_JSON_OBJECT) && read_roles(r, root);
    fine &= read_specials(r, base_json_get(root, "additional_special_tokens"));
    fine &= read_specials(r, base_json_get(root, "extra_special_tokens"));
    fine &= read_decoder(r, base_json_get(root, "added_tokens_decoder"));
    fine &= check_keys(root);
    if (base_json_present(length) && !base_json_is_null(length)) {
        const bool number = base_json_double(length, &value);
        fine &= number;
        /* Unlimited is written as 1e30. */
        if (number && value >= 3 && value < (double)r->max_length) r->max_length = (int64_t)value;
    }
    base_json_free(doc);
    return fine;
}

/* ---- added tokens ---- */

/* Where two files speak of one token, the first that is read decides what it is like, and their ids
 * must agree. */
static bool add_token(reader *r, base_jval at, const char *text, int64_t id, uint32_t flags) {
    if (is_full(r, &r->added)) return false;
    const char *shown = base_escape(text, strlen(text));
    const fe_added_token *known = fe_added_find(&r->added, text);
    base_jval v = base_json_get(r->vocab, text);
    int64_t there = known ? known->id : id;
    if (!known && base_json_is(v, BASE_JSON_INT) && !base_json_int(v, &there, 0, INT32_MAX))
        return false;
    if (there != id) {
        base_json_error(at, "the token '%s' has the id %lld here and %lld in another file", shown,
                        (long long)id, (long long)there);
        return false;
    }
    if (!*text) base_json_error(at, "an added token has no text");
    if (r->rows && id >= r->rows)
        base_json_error(at,
                        "the token '%s' has the id %lld, and the text encoder knows %lld tokens",
                        shown, (long long)id, (long long)r->rows);
    if (!*text || (r->rows && id >= r->rows)) return false;
    /* CLIPTokenizer, which reads vocab.json, minds the case of all others. */
    if (!r->fast) flags &= ~(uint32_t)RT_ADDED_NORMALIZED;
    if (!r->fast && fe_added_any_case(text)) flags |= RT_ADDED_NORMALIZED;
    if (!known) fe_added_push(&r->added, text, (uint32_t)id, flags);
    return true;
}

/* A token with its text in "content" and its flags. */
static bool add_described(reader *r, base_jval v, base_jval at, int64_t id) {
    const char *text;
    uint32_t flags;
    return base_json_expect(v, BASE_JSON_OBJECT) &&
           base_json_string(base_json_require(v, "content"), &text) && fe_added_flags(v, &flags) &&
           add_token(r, at, text, id, flags);
}

/* {"49408": {"content": "<dot>", ...}, ...} */
static bool read_decoder(reader *r, base_jval list) {
    bool fine = true;
    if (!base_json_present(list) || base_json_is_null(list)) return true;
    if (!base_json_expect(list, BASE_JSON_OBJECT)) return false;
    r->decoder = true;
    for (base_jval v = base_json_first(list); base_json_present(v); v = base_json_next(v)) {
        const char *key = base_json_key(v);
        char *end;
        long long id = *key >= '0' && *key <= '9' ? strtoll(key, &end, 10) : -1;
        if (id < 0 || *end || id > INT32_MAX) {
            base_json_error(v, "'%s' is no id of a token", base_escape(key, strlen(key)));
            fine = false;
        } else {
            fine &= add_described(r, v, v, id);
        }
    }
    return fine;
}

/* added_tokens.json: {"<dot>": 49408, ...} */
static bool read_encoder(reader *r) {
    static const char file[] = "added_tokens.json";
    if (!fe_dir_has_file(r->dir, file)) return true;
    base_json *doc = fe_json_load_in(r->d, r->dir, file, NULL);
    if (!doc) return false;
    bool fine = base_json_expect(base_json_root(doc), BASE_JSON_OBJECT);
    for (base_jval v = base_json_first(base_json_root(doc)); base_json_present(v);
         v = base_json_next(v)) {
        int64_t id;
        fine &= base_json_int(v, &id, 0, INT32_MAX) &&
                add_token(r, v, base_json_key(v), id, RT_ADDED_NORMALIZED);
    }
    base_json_free(doc);
    return fine;
}

static bool read_list(reader *r, base_jval list) {
    bool fine = true;
    if (!base_json_present(list) || base_json_is_null(list)) return true;
    if (!base_json_expect(list, BASE_JSON_ARRAY)) return false;
    for (base_jval v = base_json_first(list); base_json_present(v); v = base_json_next(v)) {
        int64_t id;
        fine &= base_json_expect(v, BASE_JSON_OBJECT) &&
                base_json_int(base_json_require(v, "id"), &id, 0, INT32_MAX) &&
                add_described(r, v, v, id);
    }
    return fine;
}

/* The added tokens of a tokenizer.json, which CLIPTokenizer reads, too, where tokenizer_config.json
 * has none. */
static bool read_fast(reader *r) {
    static const char file[] = "tokenizer.json", key[] = "added_tokens";
    if (r->fast) return read_list(r, base_json_get(base_json_root(r->doc), key));
    if (r->decoder || !fe_dir_has_file(r->dir, file)) return true;
    base_json *doc = fe_json_load_in(r->d, r->dir, file, NULL);
    bool fine = doc && base_json_expect(base_json_root(doc), BASE_JSON_OBJECT) &&
                read_list(r, base_json_get(base_json_root(doc), key));
    base_json_free(doc);
    return fine;
}

/* Ids of the vocabulary are all ids below: 0 when there are none. */
static int64_t vocabulary_size(base_jval vocab) {
    int64_t most = -1, id;
    for (base_jval v = base_json_first(vocab); base_json_present(v); v = base_json_next(v))
        if (base_json_is(v, BASE_JSON_INT) && base_json_int(v, &id, 0, INT32_MAX) && id > most)
            most = id;
    return most + 1;
}

static int64_t token_count(const reader *r) {
    int64_t count = vocabulary_size(r->vocab);
    for (size_t i = 0; i < r->added.tokens.count; i++)
        if (r->added.tokens.items[i].id >= count) count = (int64_t)r->added.tokens.items[i].id + 1;
    return count;
}

/* Special tokens without an id have one already, or get the next, as transformers gives it. */
static bool number_specials(reader *r) {
    bool fine = true;
    for (size_t i = 0; i < r->special.tokens.count; i++) {
        const fe_added_token *t = &r->special.tokens.items[i];
        base_jval v = base_json_get(r->vocab, t->text);
        int64_t id;
        if (fe_added_find(&r->added, t->text)) continue;
        if (!base_json_present(v))
            id = token_count(r);
        else if (!base_json_int(v, &id, 0, INT32_MAX))
            return false;
        fine &= add_token(r, r->vocab, t->text, id, t->flags);
    }
    return fine;
}

static int by_id(const void *a, const void *b) {
    const fe_added_token *const *x = a, *const *y = b;
    return (*x)->id<(*y)->id ? -1 : (*x)->id>(*y)->id;
}

/* An id of two tokens. */
static bool check_ids(reader *r) {
    const size_t n = r->added.tokens.count;
    const fe_added_token **sorted = base_alloc((n + 1) * sizeof *sorted), *pointer;
    bool fine = true;
    for (size_t i = 0; i < n; i++) sorted[i] = &r->added.tokens.items[i];
    qsort(sorted, n, sizeof *sorted, by_id);
    for (size_t i = 1; i < n; i++) {
        const char *a = sorted[i - 1]->text, *b = sorted[i]->text;
        if (sorted[i - 1]->id != sorted[i]->id) continue;
        base_error(r->d, NULL, "%s: the tokens '%s' and '%s' have one id, %u", fe_dir_path(r->dir),
                   base_escape(a, strlen(a)), base_escape(b, strlen(b)), (unsigned)sorted[i]->id);
        fine = false;
    }
    for (base_jval v = base_json_first(r->vocab); n && base_json_present(v);
         v = base_json_next(v)) {
        int64_t id;
        if (!base_json_is(v, BASE_JSON_INT) || !base_json_int(v, &id, 0, INT32_MAX)) continue;
        const fe_added_token key = {.id = (uint32_t)id};
        pointer = &key;
        const fe_added_token *const *hit = bsearch(&pointer, sorted, n, sizeof *sorted, by_id);
        const char *text = base_json_key(v);
        if (!hit || strcmp((*hit)->text, text) == 0) continue;
        base_json_error(v, "the id %lld is the added token's '%s', too", (long long)id,
                        base_escape((*hit)->text, strlen((*hit)->text)));
        fine = false;
    }
    base_free(sorted);
    return fine;
}

/* ---- the properties ---- */

static bool role_id(reader *r, const char *text, int64_t *id) {
    const fe_added_token *added = fe_added_find(&r->added, text);
    base_jval v = base_json_get(r->vocab, text);
    if (base_json_present(v)) return base_json_int(v, id, 0, INT32_MAX);
    if (added) *id = added->id;
    if (!added)
        base_json_error(r->vocab, "the special token '%s' is not in the vocabulary",
                        base_escape(text, strlen(text)));
    return added != NULL;
}

static bool set_roles(reader *r) {
    bool fine = true;
    for (size_t i = 0; fine && i < FE_TOKENIZER_ROLES; i++) {
        const char *fallback = i ? "<|endoftext|>" : "<|startoftext|>";
        const char *text = r->role[i] ? r->role[i] : fallback;
        int64_t id;
        fine = role_id(r, text, &id);
        ir_meta_set_string(r->m, fe_tokenizer_key(r->m, r->name, fe_tokenizer_roles[i][1]), text);
        if (fine)
            ir_meta_set_int(r->m, fe_tokenizer_key(r->m, r->name, fe_tokenizer_roles[i][0]), id);
    }
    return fine;
}

/* Start, end, padding and unknown stand in properties of their own, unless they are unlike the rule
 * for these. */
static bool is_plain_role(const reader *r, const fe_added_token *t) {
    uint32_t flags = fe_added_any_case(t->text) ? RT_ADDED_NORMALIZED : 0;
    for (size_t i = 0; i < FE_TOKENIZER_ROLES; i++) {
        const char *key = fe_tokenizer_key(r->m, r->name, fe_tokenizer_roles[i][1]);
        if (strcmp(ir_meta_string(r->m, key, ""), t->text) == 0) return t->flags == flags;
    }
    return false;
}

static void set_added(reader *r) {
    fe_added_tokens kept = fe_added_new();
    for (size_t i = 0; i < r->added.tokens.count; i++) {
        const fe_added_token *t = &r->added.tokens.items[i];
        if (!is_plain_role(r, t)) fe_added_push(&kept, t->text, t->id, t->flags);
    }
    fe_added_write(r->m, r->name, &kept);
    fe_added_free(&kept);
}

static void set_files(reader *r) {
    ir_module *m = r->m;
    const char *vocab = r->fast ? "tokenizer.json" : "vocab.json";
    ir_meta_set_string(m, fe_tokenizer_key(m, r->name, FE_TOKEN_VOCAB),
                       fe_path_absolute(m->arena, fe_dir_join(r->dir, vocab)));
    if (!r->fast)
        ir_meta_set_string(m, fe_tokenizer_key(m, r->name, FE_TOKEN_MERGES),
                           fe_path_absolute(m->arena, fe_dir_join(r->dir, "merges.txt")));
    ir_meta_set_int(m, fe_tokenizer_key(m, r->name, FE_TOKEN_MAX_LENGTH), r->max_length);
    ir_meta_set_int(m, fe_tokenizer_key(m, r->name, FE_TOKEN_LOWER_CASE), r->lower);
}

/* ---- the folder ---- */

/* vocab.json and merges.txt, or where one is missing tokenizer.json. */
static bool open_vocabulary(reader *r) {
    static const char *const needed[] = {"vocab.json", "merges.txt"};
    static const char fast[] = "tokenizer.json";
    bool both = true, fine = true;
    /* by name alone: a link to nowhere is told when it is opened */
    for (int i = 0; i < 2; i++) both &= fe_dir_has_name(r->dir, needed[i]);
    r->fast = !both && fe_dir_has_name(r->dir, fast);
    for (int i = 0; i < 2 && !r->fast; i++) {
        if (fe_dir_has_name(r->dir, needed[i])) continue;
        base_error_missing(r->d, NULL, "%s: there is no '%s'", fe_dir_path(r->dir), needed[i]);
        fine = false;
    }
    if (!fine) {
        base_note(r->d, NULL, "a tokenizer is these two files, or tokenizer.json");
        return false;
    }
    r->doc = fe_json_load_in(r->d, r->dir, r->fast ? fast : needed[0], NULL);
    if (!r->doc) return false;
    r->vocab = base_json_root(r->doc);
    if (!r->fast) return base_json_expect(r->vocab, BASE_JSON_OBJECT);
    fine = fe_tokenizer_json_check(r->vocab, &r->lower);
    r->vocab = fe_tokenizer_json_vocabulary(r->vocab);
    return fine;
}

static void warn_of_rows(const reader *r) {
    int64_t known = token_count(r);
    base_loc loc = {.source = base_diag_source(r->d, fe_dir_path(r->dir), NULL, 0)};
    if (r->rows > known)
        base_warning(r->d, &loc,
                     "the text encoder knows %lld tokens, its tokenizer has %lld; nothing leads to "
                     "the others",
                     (long long)r->rows, (long long)known);
}

static bool read_folder(reader *r) {
    bool fine = open_vocabulary(r);
    if (!r->doc || !base_json_present(r->vocab)) return false;
    /* special_tokens_map.json wins: it is what transformers reads last (Stable Diffusion 2's two
     * files differ). */
    fine &= read_config(r, "tokenizer_config.json");
    fine &= read_config(r, "special_tokens_map.json");
    fine &= read_encoder(r);
    fine &= read_fast(r);
    fine = fine && number_specials(r) && check_ids(r) && set_roles(r);
    if (!fine) return false;
    set_added(r);
    set_files(r);
    warn_of_rows(r);
    return fe_tokenizer_check(r->d, r->m, r->name);
}

bool fe_tokenizer_meta(base_diag *d, ir_module *m, const char *name, fe_dir *dir,
                       int64_t max_length, int64_t rows) {
    reader r = {.d = d,
                .m = m,
                .name = name,
                .dir = dir,
                .lower = true,
                .max_length = max_length,
                .rows = rows,
                .added = fe_added_new(),
                .special = fe_added_new()};
    bool fine = read_folder(&r);
    fe_added_free(&r.added);
    fe_added_free(&r.special);
    base_json_free(r.doc);
    return fine;
}
