/* The tokenizer of a folder: vocab.json, merges.txt, tokenizer_config.json,
 * special_tokens_map.json. Loading a model notes the files and the special tokens in the meta; the
 * blob for the program is built from them when it is needed, also for modules read from text. */
#include <stdlib.h>
#include <string.h>

#include "frontend/diffusers/diffusers.h"
#include "frontend/ldm/clip_vocabulary.h"
#include "runtime/abi/meta_keys.h"
#include "runtime/text/tokenizer_build.h"

/* CLIP's tokenizer reads that many lines of merges.txt: 49152 - 256 - 2. */
enum { MERGES_USED = 48894 };

/* Properties of a tokenizer, NAME.KEY each: TOKENIZER rows of meta_keys.def. */
typedef enum token_key {
#define TOKENIZER(ID, ...) KEY_##ID,
#include "runtime/abi/meta_keys.def"
} token_key;
static const char *const key_names[] = {
#define TOKENIZER(ID, key, ...) key,
#include "runtime/abi/meta_keys.def"
};

/* A special token; in the files it is called as its text is in the properties ("bos_token"). */
typedef struct special {
    token_key id, text;
    const char *fallback;
    char *token; /* NULL until found; base_alloc'd */
} special;

static void set_token(special *s, const char *text) {
    base_free(s->token);
    s->token = base_alloc(strlen(text) + 1);
    memcpy(s->token, text, strlen(text) + 1);
}

/* A token is a string or an object with its text in "content". */
static bool read_specials(base_jval root, special *specials, size_t n) {
    bool fine = true;
    for (size_t i = 0; i < n; i++) {
        base_jval v = base_json_get(root, key_names[specials[i].text]);
        const char *text;
        if (!base_json_present(v) || base_json_is_null(v)) continue;
        if (base_json_is(v, BASE_JSON_OBJECT)) v = base_json_require(v, "content");
        if (base_json_string(v, &text))
            set_token(&specials[i], text);
        else
            fine = false;
    }
    return fine;
}

/* Keys of both files: those that do nothing for CLIP's tokenizer, and those that would. */
static bool check_keys(base_jval root) {
    /* The text is always made small and padded to the end; what is added to the vocabulary stands in
     * other keys. */
    static const char *const ignored[] = {
        "add_prefix_space", "added_tokens_decoder", "additional_special_tokens", "auto_map",
        "backend", "clean_up_tokenization_spaces", "do_lower_case", "errors",
        "extra_special_tokens", "is_local", "max_length", "model_input_names", "name_or_path",
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

static bool read_file(base_diag *d, fe_dir *dir, const char *name, special *specials, size_t n,
                      int64_t *max_length) {
    if (!fe_dir_has_file(dir, name)) return true;
    base_json *doc = fe_json_load_in(d, dir, name, NULL);
    if (!doc) return false;
    base_jval root = base_json_root(doc), length = base_json_get(root, "model_max_length");
    double value;
    bool fine = base_json_expect(root, BASE_JSON_OBJECT) && read_specials(root, specials, n);
    fine = check_keys(root) && fine;
    /* Unlimited is written as 1e30. */
    if (base_json_present(length) && base_json_double(length, &value) && value >= 3 &&
        value < (double)*max_length)
        *max_length = (int64_t)value;
    base_json_free(doc);
    return fine;
}

static bool token_id(base_jval vocab, const char *token, int64_t *id) {
    base_jval v = base_json_get(vocab, token);
    if (base_json_present(v)) return base_json_int(v, id, 0, INT32_MAX);
    base_json_error(vocab, "the special token '%s' is not in the vocabulary",
                    base_escape(token, strlen(token)));
    return false;
}

/* Text of "NAME.KEY", from the module's arena. */
static const char *meta_key(const ir_module *m, const char *name, token_key key) {
    return base_arena_printf(m->arena, "%s.%s", name, key_names[key]);
}

static bool set_meta(base_diag *d, ir_module *m, const char *name, fe_dir *dir, special *specials,
                     size_t n) {
    base_json *doc = fe_json_load_in(d, dir, "vocab.json", NULL);
    if (!doc) return false;
    bool fine = base_json_expect(base_json_root(doc), BASE_JSON_OBJECT);
    for (size_t i = 0; fine && i < n; i++) {
        const char *token = specials[i].token ? specials[i].token : specials[i].fallback;
        int64_t id;
        fine = token_id(base_json_root(doc), token, &id);
        ir_meta_set_string(m, meta_key(m, name, specials[i].text), token);
        if (fine) ir_meta_set_int(m, meta_key(m, name, specials[i].id), id);
    }
    base_json_free(doc);
    return fine;
}

/* With `warns` what is odd is told, too. */
static unsigned char *make_blob(base_diag *d, const ir_module *m, const char *name, bool warns,
                                size_t *bytes);

/* The program's tokenizer is made at the end of the work; its faults are told before. */
static bool check_build(base_diag *d, const ir_module *m, const char *name) {
    size_t bytes;
    unsigned char *blob = make_blob(d, m, name, true, &bytes);
    base_free(blob);
    return blob != NULL;
}

bool fe_tokenizer_meta(base_diag *d, ir_module *m, const char *name, fe_dir *dir,
                       int64_t max_length) {
    special specials[] = {{KEY_BOS, KEY_BOS_TOKEN, "<|startoftext|>", NULL},
                          {KEY_EOS, KEY_EOS_TOKEN, "<|endoftext|>", NULL},
                          {KEY_PAD, KEY_PAD_TOKEN, "<|endoftext|>", NULL},
                          {KEY_UNK, KEY_UNK_TOKEN, "<|endoftext|>", NULL}};
    enum { COUNT = 4 };
    bool fine = true;
    for (int i = 0; i < 2; i++) {
        static const char *const needed[] = {"vocab.json", "merges.txt"};
        if (fe_dir_has_name(dir, needed[i])) continue; /* a link to nowhere is told when opened */
        base_error_missing(d, NULL, "%s: there is no '%s'", fe_dir_path(dir), needed[i]);
        fine = false;
    }
    if (!fine && fe_dir_has_file(dir, "tokenizer.json"))
        base_note(d, NULL,
                  "'tokenizer.json' is there, and is not read; in Python, "
                  "CLIPTokenizerFast.from_pretrained(FOLDER).save_vocabulary(FOLDER) writes the "
                  "two files from it");
    /* special_tokens_map.json wins: it is what transformers reads last (Stable Diffusion 2's two
     * files differ). */
    fine &= read_file(d, dir, "tokenizer_config.json", specials, COUNT, &max_length);
    fine &= read_file(d, dir, "special_tokens_map.json", specials, COUNT, &max_length);
    if (fine) fine = set_meta(d, m, name, dir, specials, COUNT);
    if (fine) {
        ir_meta_set_string(m, meta_key(m, name, KEY_VOCAB),
                           fe_path_absolute(m->arena, fe_dir_join(dir, "vocab.json")));
        ir_meta_set_string(m, meta_key(m, name, KEY_MERGES),
                           fe_path_absolute(m->arena, fe_dir_join(dir, "merges.txt")));
        ir_meta_set_int(m, meta_key(m, name, KEY_MAX_LENGTH), max_length);
        ir_meta_set_int(m, meta_key(m, name, KEY_LOWER_CASE), 1);
        fine = check_build(d, m, name);
    }
    for (int i = 0; i < COUNT; i++) base_free(specials[i].token);
    return fine;
}

void fe_tokenizer_find_files(ir_module *m, const char *text) {
    static const char *const names[] = {"tokenizer", "tokenizer_2"};
    static const token_key keys[] = {KEY_VOCAB, KEY_MERGES};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            const char *key = meta_key(m, names[i], keys[k]), *path = ir_meta_string(m, key, NULL);
            if (path) ir_meta_set_string(m, key, fe_path_beside(m->arena, text, path));
        }
}

/* ---- tokens that were added ---- */

enum { ADDED_SHOWN = 5 };

/* Tokens beside the vocabulary, as the files name them. */
typedef struct added {
    base_jval vocab;
    base_str names; /* "'<dot>', '<style>'" */
    size_t count;
} added;

static void add_token(added *a, const char *text) {
    base_str quoted = {0};
    if (base_json_present(base_json_get(a->vocab, text))) return;
    base_str_addf(&quoted, "'%s'", base_escape(text, strlen(text)));
    if (!a->names.data || !strstr(a->names.data, quoted.data)) {
        if (a->count++ < ADDED_SHOWN)
            base_str_addf(&a->names, "%s%s", a->names.len ? ", " : "", quoted.data);
    }
    base_str_free(&quoted);
}

/* An object from texts to ids (added_tokens.json), or a list or an object of objects with a text
 * (tokenizer.json, tokenizer_config.json). */
static void add_tokens(added *a, base_jval list) {
    for (base_jval v = base_json_first(list); base_json_present(v); v = base_json_next(v)) {
        base_jval content = base_json_get(v, "content");
        const char *text;
        if (base_json_is(v, BASE_JSON_INT))
            add_token(a, base_json_key(v));
        else if (base_json_is(content, BASE_JSON_STRING) && base_json_string(content, &text))
            add_token(a, text);
    }
}

/* The value `key` of the file, or with NULL all of it. */
static bool scan_file(base_diag *d, fe_dir *dir, const char *name, const char *key, added *a) {
    if (!fe_dir_has_file(dir, name)) return true;
    base_json *doc = fe_json_load_in(d, dir, name, NULL);
    if (!doc) return false;
    base_jval list = base_json_root(doc);
    if (key) list = base_json_get(list, key);
    if (base_json_is(list, BASE_JSON_ARRAY) || base_json_is(list, BASE_JSON_OBJECT))
        add_tokens(a, list);
    base_json_free(doc);
    return true;
}

static int64_t vocabulary_size(base_jval vocab) {
    int64_t most = -1, id;
    for (base_jval v = base_json_first(vocab); base_json_present(v); v = base_json_next(v))
        if (base_json_is(v, BASE_JSON_INT) && base_json_int(v, &id, 0, INT32_MAX) && id > most)
            most = id;
    return most + 1;
}

bool fe_tokenizer_added(base_diag *d, fe_dir *dir, int64_t rows) {
    base_json *doc = fe_json_load_in(d, dir, "vocab.json", NULL);
    if (!doc) return false;
    added a = {.vocab = base_json_root(doc)};
    int64_t known = vocabulary_size(a.vocab);
    bool fine = scan_file(d, dir, "added_tokens.json", NULL, &a) &&
                scan_file(d, dir, "tokenizer_config.json", "added_tokens_decoder", &a);
    if (rows > known) fine = fine && scan_file(d, dir, "tokenizer.json", "added_tokens", &a);
    base_loc loc = {.source = base_diag_source(d, fe_dir_path(dir), NULL, 0)};
    if (a.count)
        base_warning(
            d, &loc,
            "tokens that were added to the vocabulary are not read: %s%s; in a prompt they "
            "are plain text",
            a.names.data, a.count > ADDED_SHOWN ? " and more" : "");
    else if (rows > known)
        base_warning(d, &loc,
                     "the text encoder knows %lld tokens, vocab.json has %lld; nothing leads to "
                     "the others",
                     (long long)rows, (long long)known);
    base_str_free(&a.names);
    base_json_free(doc);
    return fine;
}

/* ---- the blob ---- */

typedef BASE_VEC(rt_vocab_entry) vocabulary;

static bool read_vocabulary(base_jval root, vocabulary *v) {
    bool fine = base_json_expect(root, BASE_JSON_OBJECT);
    for (base_jval e = base_json_first(root); fine && base_json_present(e); e = base_json_next(e)) {
        int64_t id;
        const char *text = base_json_key(e);
        fine = base_json_int(e, &id, 0, INT32_MAX);
        if (fine) BASE_PUSH(v, ((rt_vocab_entry){text, strlen(text), (uint32_t)id}));
    }
    return fine;
}

static uint32_t meta_id(const ir_module *m, const char *name, token_key token) {
    return (uint32_t)ir_meta_int(m, meta_key(m, name, token), 0);
}

/* The special tokens of the meta, each text once. */
static size_t special_tokens(const ir_module *m, const char *name, rt_vocab_entry out[4]) {
    static const token_key names[][2] = {{KEY_BOS, KEY_BOS_TOKEN},
                                         {KEY_EOS, KEY_EOS_TOKEN},
                                         {KEY_PAD, KEY_PAD_TOKEN},
                                         {KEY_UNK, KEY_UNK_TOKEN}};
    size_t n = 0;
    for (int i = 0; i < 4; i++) {
        const char *text = ir_meta_string(m, meta_key(m, name, names[i][1]), NULL);
        bool seen = !text;
        for (size_t k = 0; k < n && !seen; k++) seen = strcmp(out[k].text, text) == 0;
        if (!seen) out[n++] = (rt_vocab_entry){text, strlen(text), meta_id(m, name, names[i][0])};
    }
    return n;
}

/* Is it a token that merging must make: of more than one character of the byte alphabet, and not
 * taken whole, as "<|endoftext|>" and "<concept>" are? "</w>" belongs to the character before it. */
static bool is_merged(const rt_vocab_entry *t) {
    static const char end[] = "</w>";
    const size_t n = strlen(end);
    if (t->length > 1 && t->text[0] == '<' && t->text[t->length - 1] == '>') return false;
    size_t length = t->length, characters = 0;
    if (length > n && memcmp(t->text + length - n, end, n) == 0) length -= n;
    for (size_t i = 0; i < length; i++) characters += (t->text[i] & 0xc0) != 0x80;
    return characters > 1;
}

/* A file that was cut makes fewer tokens than there are. Where it makes none it is refused. */
static bool check_merges(base_diag *d, const vocabulary *v, const fe_bytes *merges,
                         const char *path, bool warns) {
    const char *at = (const char *)merges->data, *stop = at + merges->size;
    size_t needed = 0, lines = 0;
    for (size_t i = 0; i < v->count; i++) needed += is_merged(&v->items[i]);
    for (const char *end; at < stop; at = end + 1) {
        end = memchr(at, '\n', (size_t)(stop - at));
        if (!end) end = stop;
        const bool head = at == (const char *)merges->data && end - at >= 8 &&
                          memcmp(at, "#version", 8) == 0; /* "# #" is a merge */
        lines += !head && memchr(at, ' ', (size_t)(end - at));
    }
    if (lines >= needed) return true;
    base_loc loc = {.source = base_diag_source(d, path, NULL, 0)};
    if (lines) {
        if (warns)
            base_warning(d, &loc,
                         "has %zu merges for %zu tokens of the vocabulary; is it complete?", lines,
                         needed);
        return true;
    }
    base_error(d, &loc, "has no merges; the vocabulary has %zu tokens that need one", needed);
    return false;
}

/* Reports at the file that the fault is in. `root` is vocab.json, in the order of the entries. */
static void report(base_diag *d, const ir_module *m, const char *name, base_jval root,
                   const fe_bytes *merges, const rt_tokenizer_fault *fault, const char *message) {
    const char *path = ir_meta_string(m, meta_key(m, name, KEY_MERGES), "");
    base_loc loc = {0};
    switch (fault->where) {
    case RT_TOKENIZER_OPTIONS: base_error(d, NULL, "%s: %s", name, message); return;
    case RT_TOKENIZER_VOCABULARY: {
        base_jval v = base_json_first(root);
        for (size_t i = 0; i < fault->entry && base_json_present(v); i++) v = base_json_next(v);
        base_json_error(base_json_present(v) ? v : root, "%s", message);
        return;
    }
    case RT_TOKENIZER_MERGES:
        loc.source = base_diag_source(d, path, merges->data, merges->size);
        loc.line = (uint32_t)fault->line;
        loc.col = fault->line ? 1 : 0;
        base_error(d, &loc, "%s", message);
        return;
    }
}

static unsigned char *build(base_diag *d, const ir_module *m, const char *name, base_jval root,
                            const vocabulary *v, const fe_bytes *merges, size_t *bytes) {
    rt_vocab_entry specials[4];
    rt_tokenizer_options o = {
        .bos = meta_id(m, name, KEY_BOS),
        .eos = meta_id(m, name, KEY_EOS),
        .pad = meta_id(m, name, KEY_PAD),
        .unk = meta_id(m, name, KEY_UNK),
        .max_length = (uint32_t)ir_meta_int(m, meta_key(m, name, KEY_MAX_LENGTH),
                                            EBRU_META_TOKENIZER_MAX_LENGTH.otherwise),
        .lower_case = ir_meta_int(m, meta_key(m, name, KEY_LOWER_CASE),
                                  EBRU_META_TOKENIZER_LOWER_CASE.otherwise) != 0,
        .specials = specials,
        .special_count = special_tokens(m, name, specials),
    };
    rt_error why = {{0}};
    rt_tokenizer_fault fault;
    void *blob = NULL;
    size_t size = 0;
    rt_status status = rt_tokenizer_build_blob(v->items, v->count, merges->data, merges->size,
                                               MERGES_USED, &o, &blob, &size, &fault, &why);
    if (status != RT_OK) {
        report(d, m, name, root, merges, &fault, why.message);
        return NULL;
    }
    unsigned char *copy = base_alloc(size);
    memcpy(copy, blob, size);
    free(blob);
    *bytes = size;
    return copy;
}

/* A file of the meta: on disk, or built in. */
static bool read_text(base_diag *d, const char *path, fe_bytes *out) {
    const fe_clip_file *built_in = fe_clip_file_find(path);
    if (!built_in) return fe_file_read(d, path, 0, out);
    size_t size = (size_t)(built_in->end - built_in->data);
    *out = (fe_bytes){base_alloc(size + 1), size};
    memcpy(out->data, built_in->data, size);
    return true;
}

static base_json *load_vocabulary(base_diag *d, const char *path) {
    const fe_clip_file *built_in = fe_clip_file_find(path);
    if (!built_in) return fe_json_load(d, path, NULL);
    size_t size = (size_t)(built_in->end - built_in->data);
    return base_json_parse(d, path, (const char *)built_in->data, size, NULL);
}

static unsigned char *make_blob(base_diag *d, const ir_module *m, const char *name, bool warns,
                                size_t *bytes) {
    const char *vocab_path = ir_meta_string(m, meta_key(m, name, KEY_VOCAB), NULL);
    const char *merges_path = ir_meta_string(m, meta_key(m, name, KEY_MERGES), NULL);
    *bytes = 0;
    if (!vocab_path || !merges_path) return NULL;
    fe_bytes merges = {0};
    base_json *doc = load_vocabulary(d, vocab_path);
    bool fine = read_text(d, merges_path, &merges) && doc;
    vocabulary v = {0};
    unsigned char *blob = NULL;
    fine = fine && read_vocabulary(base_json_root(doc), &v);
    if (fine && check_merges(d, &v, &merges, merges_path, warns))
        blob = build(d, m, name, base_json_root(doc), &v, &merges, bytes);
    base_free(v.items);
    fe_bytes_free(&merges);
    base_json_free(doc);
    return blob;
}

bool fe_tokenizers_check(base_diag *d, const ir_module *m) {
    static const char *const names[] = {"tokenizer", "tokenizer_2"};
    bool fine = true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *vocab = meta_key(m, names[i], KEY_VOCAB),
                   *merges = meta_key(m, names[i], KEY_MERGES);
        const bool has_vocab = ir_meta_get(m, vocab), has_merges = ir_meta_get(m, merges);
        if (has_vocab != has_merges) {
            base_error(d, NULL, "the model has the property '%s' without '%s'",
                       has_vocab ? vocab : merges, has_vocab ? merges : vocab);
            fine = false;
        }
        if (has_vocab && has_merges) fine &= check_build(d, m, names[i]);
    }
    return fine;
}

unsigned char *fe_tokenizer_blob(base_diag *d, const ir_module *m, const char *name,
                                 size_t *bytes) {
    return make_blob(d, m, name, false, bytes);
}
