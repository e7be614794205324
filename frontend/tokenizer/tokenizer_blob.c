/* The blob of a tokenizer, from the files and tokens that properties name; see tokenizer.h and
 * runtime/text/tokenizer.h. */
#include <stdlib.h>
#include <string.h>

#include "frontend/ldm/clip_vocabulary.h"
#include "frontend/tokenizer/tokenizer.h"
#include "runtime/abi/meta_keys.h"
#include "runtime/text/tokenizer_build.h"

/* CLIP's tokenizer reads that many lines of merges.txt: 49152 - 256 - 2. */
enum { MERGES_USED = 48894 };

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

static uint32_t meta_id(const ir_module *m, const char *name, fe_token_key token) {
    return (uint32_t)ir_meta_int(m, fe_tokenizer_key(m, name, token), 0);
}

/* The added tokens and the special ones of the properties, each text once. False after reporting.
 * */
static bool added_tokens(base_diag *d, const ir_module *m, const char *name, fe_added_tokens *a) {
    if (!fe_added_read(d, m, name, a)) return false;
    for (int i = 0; i < FE_TOKENIZER_ROLES; i++) {
        const char *text =
            ir_meta_string(m, fe_tokenizer_key(m, name, fe_tokenizer_roles[i][1]), NULL);
        if (text && !fe_added_find(a, text))
            fe_added_push(a, text, meta_id(m, name, fe_tokenizer_roles[i][0]),
                          fe_added_any_case(text) ? RT_ADDED_NORMALIZED : 0);
    }
    return true;
}

/* Is it a token that merging must make: of more than one character of the byte alphabet, and not
 * taken whole, as "<|endoftext|>" and "<concept>" are? "</w>" belongs to the character before it.
 * */
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

/* What a blob is built from. */
typedef struct source {
    base_diag *d;
    const ir_module *m;
    const char *name;
    base_json *doc;
    base_jval vocab;
    const char *merges_path; /* NULL: the merges are in doc, a tokenizer.json */
    fe_bytes merges;         /* as lines of merges.txt */
    vocabulary entries;
    fe_added_tokens added;
} source;

/* Item k of an array or object; of others and behind the last: the value itself. */
static base_jval item(base_jval list, size_t k) {
    base_jval v = base_json_first(list);
    for (size_t i = 0; i < k && base_json_present(v); i++) v = base_json_next(v);
    return base_json_present(v) ? v : list;
}

/* Reports at the file that the fault is in. */
static void report(const source *s, const rt_tokenizer_fault *fault, const char *message) {
    base_loc loc = {0};
    switch (fault->where) {
    case RT_TOKENIZER_OPTIONS: base_error(s->d, NULL, "%s: %s", s->name, message); return;
    case RT_TOKENIZER_VOCABULARY:
        base_json_error(item(s->vocab, fault->entry), "%s", message);
        return;
    case RT_TOKENIZER_MERGES:
        if (!s->merges_path) {
            base_jval model = base_json_get(base_json_root(s->doc), "model");
            base_json_error(item(base_json_get(model, "merges"), fault->line - 2), "%s", message);
            return;
        }
        loc.source = base_diag_source(s->d, s->merges_path, s->merges.data, s->merges.size);
        loc.line = (uint32_t)fault->line;
        loc.col = fault->line ? 1 : 0;
        base_error(s->d, &loc, "%s", message);
        return;
    }
}

static unsigned char *build(source *s, size_t *bytes) {
    const ir_module *m = s->m;
    const char *name = s->name;
    size_t count = s->added.tokens.count;
    rt_added_token *added = base_alloc((count + 1) * sizeof *added);
    for (size_t i = 0; i < count; i++) {
        const fe_added_token *t = &s->added.tokens.items[i];
        added[i] = (rt_added_token){t->text, strlen(t->text), t->id, t->flags};
    }
    rt_tokenizer_options o = {
        .bos = meta_id(m, name, FE_TOKEN_BOS),
        .eos = meta_id(m, name, FE_TOKEN_EOS),
        .pad = meta_id(m, name, FE_TOKEN_PAD),
        .unk = meta_id(m, name, FE_TOKEN_UNK),
        .max_length = (uint32_t)ir_meta_int(m, fe_tokenizer_key(m, name, FE_TOKEN_MAX_LENGTH),
                                            EBRU_META_TOKENIZER_MAX_LENGTH.otherwise),
        .lower_case = ir_meta_int(m, fe_tokenizer_key(m, name, FE_TOKEN_LOWER_CASE),
                                  EBRU_META_TOKENIZER_LOWER_CASE.otherwise) != 0,
        .added = added,
        .added_count = count,
    };
    rt_error why = {{0}};
    rt_tokenizer_fault fault;
    void *blob = NULL;
    rt_status status =
        rt_tokenizer_build_blob(s->entries.items, s->entries.count, s->merges.data, s->merges.size,
                                s->merges_path ? MERGES_USED : 0, &o, &blob, bytes, &fault, &why);
    base_free(added);
    if (status != RT_OK) {
        report(s, &fault, why.message);
        *bytes = 0;
        return NULL;
    }
    unsigned char *copy = base_alloc(*bytes);
    memcpy(copy, blob, *bytes);
    free(blob);
    return copy;
}

/* A file of the properties: on disk, or built in. */
static bool read_text(base_diag *d, const char *path, fe_bytes *out) {
    const fe_clip_file *built_in = fe_clip_file_find(path);
    if (!built_in) return fe_file_read(d, path, 0, out);
    size_t size = (size_t)(built_in->end - built_in->data);
    *out = (fe_bytes){base_alloc(size + 1), size};
    memcpy(out->data, built_in->data, size);
    return true;
}

static base_json *load_document(base_diag *d, const char *path) {
    const fe_clip_file *built_in = fe_clip_file_find(path);
    if (!built_in) return fe_json_load(d, path, NULL);
    size_t size = (size_t)(built_in->end - built_in->data);
    return base_json_parse(d, path, (const char *)built_in->data, size, NULL);
}

base_json *fe_tokenizer_vocabulary(base_diag *d, const ir_module *m, const char *name,
                                   base_jval *vocab) {
    const char *path = ir_meta_string(m, fe_tokenizer_key(m, name, FE_TOKEN_VOCAB), NULL);
    const char *merges = ir_meta_string(m, fe_tokenizer_key(m, name, FE_TOKEN_MERGES), NULL);
    base_json *doc = path ? load_document(d, path) : NULL;
    bool lower, fine = doc && (merges || fe_tokenizer_json_check(base_json_root(doc), &lower));
    if (fine)
        *vocab = merges ? base_json_root(doc) : fe_tokenizer_json_vocabulary(base_json_root(doc));
    if (fine) return doc;
    base_json_free(doc);
    return NULL;
}

static bool read_merges(source *s) {
    if (s->merges_path) return read_text(s->d, s->merges_path, &s->merges);
    base_str lines = {0};
    bool fine = fe_tokenizer_json_merges(base_json_root(s->doc), &lines);
    s->merges = (fe_bytes){lines.data, lines.len};
    return fine;
}

static unsigned char *make_blob(base_diag *d, const ir_module *m, const char *name, bool warns,
                                size_t *bytes) {
    const char *path = ir_meta_string(m, fe_tokenizer_key(m, name, FE_TOKEN_VOCAB), NULL);
    *bytes = 0;
    if (!path) return NULL;
    source s = {.d = d,
                .m = m,
                .name = name,
                .merges_path = ir_meta_string(m, fe_tokenizer_key(m, name, FE_TOKEN_MERGES), NULL),
                .added = fe_added_new()};
    unsigned char *blob = NULL;
    s.doc = fe_tokenizer_vocabulary(d, m, name, &s.vocab);
    bool fine = s.doc && read_vocabulary(s.vocab, &s.entries);
    fine = fine && read_merges(&s) && added_tokens(d, m, name, &s.added);
    const char *shown = s.merges_path ? s.merges_path : path;
    if (fine && check_merges(d, &s.entries, &s.merges, shown, warns)) blob = build(&s, bytes);
    base_free(s.entries.items);
    fe_bytes_free(&s.merges);
    fe_added_free(&s.added);
    base_json_free(s.doc);
    return blob;
}

bool fe_tokenizer_check(base_diag *d, const ir_module *m, const char *name) {
    size_t bytes;
    unsigned char *blob = make_blob(d, m, name, true, &bytes);
    base_free(blob);
    return blob != NULL;
}

bool fe_tokenizers_check(base_diag *d, const ir_module *m) {
    static const char *const names[] = {"tokenizer", "tokenizer_2"};
    bool fine = true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *vocab = fe_tokenizer_key(m, names[i], FE_TOKEN_VOCAB),
                   *merges = fe_tokenizer_key(m, names[i], FE_TOKEN_MERGES);
        if (ir_meta_get(m, vocab)) {
            fine &= fe_tokenizer_check(d, m, names[i]);
        } else if (ir_meta_get(m, merges)) {
            base_error(d, NULL, "the model has the property '%s' without '%s'", merges, vocab);
            fine = false;
        }
    }
    return fine;
}

unsigned char *fe_tokenizer_blob(base_diag *d, const ir_module *m, const char *name,
                                 size_t *bytes) {
    return make_blob(d, m, name, false, bytes);
}
