/* Lists of added tokens; see tokenizer.h. */
#include <string.h>

#include "frontend/tokenizer/tokenizer.h"
#include "runtime/text/tokenizer.h"

static const struct {
    const char *key;
    uint32_t flag;
} flag_keys[] = {
    {"normalized", RT_ADDED_NORMALIZED},
    {"single_word", RT_ADDED_SINGLE_WORD},
    {"lstrip", RT_ADDED_LSTRIP},
    {"rstrip", RT_ADDED_RSTRIP},
};
enum { FLAGS = sizeof flag_keys / sizeof *flag_keys };

fe_added_tokens fe_added_new(void) {
    return (fe_added_tokens){.arena = base_arena_new()};
}

void fe_added_free(fe_added_tokens *a) {
    base_free(a->tokens.items);
    base_arena_free(a->arena);
    *a = (fe_added_tokens){0};
}

void fe_added_push(fe_added_tokens *a, const char *text, uint32_t id, uint32_t flags) {
    fe_added_token t = {base_arena_strdup(a->arena, text), id, flags};
    BASE_PUSH(&a->tokens, t);
}

const fe_added_token *fe_added_find(const fe_added_tokens *a, const char *text) {
    for (size_t i = 0; i < a->tokens.count; i++)
        if (strcmp(a->tokens.items[i].text, text) == 0) return &a->tokens.items[i];
    return NULL;
}

bool fe_added_flags(base_jval token, uint32_t *flags) {
    base_diag *d = base_json_diag(token.doc);
    unsigned before = base_diag_errors(d);
    bool special = base_json_opt_bool(token, "special", false);
    *flags = 0;
    for (int i = 0; i < FLAGS; i++) {
        bool fallback = flag_keys[i].flag == RT_ADDED_NORMALIZED && !special;
        if (base_json_opt_bool(token, flag_keys[i].key, fallback)) *flags |= flag_keys[i].flag;
    }
    return base_diag_errors(d) == before;
}

bool fe_added_any_case(const char *text) {
    return strcmp(text, "<|startoftext|>") == 0 || strcmp(text, "<|endoftext|>") == 0;
}

/* ---- the property ---- */

static bool read_token(base_jval v, fe_added_tokens *a) {
    int64_t id;
    const char *text;
    uint32_t flags = 0;
    bool fine = base_json_expect(v, BASE_JSON_OBJECT) &&
                base_json_int(base_json_require(v, "id"), &id, 0, INT32_MAX) &&
                base_json_string(base_json_require(v, "content"), &text);
    for (int i = 0; fine && i < FLAGS; i++)
        if (base_json_opt_bool(v, flag_keys[i].key, false)) flags |= flag_keys[i].flag;
    if (fine) fe_added_push(a, text, (uint32_t)id, flags);
    return fine;
}

bool fe_added_read(base_diag *d, const ir_module *m, const char *name, fe_added_tokens *a) {
    const char *key = fe_tokenizer_key(m, name, FE_TOKEN_ADDED),
               *text = ir_meta_string(m, key, NULL);
    if (!text) return true;
    base_json *doc = base_json_parse(d, key, text, strlen(text), NULL);
    if (!doc) return false;
    unsigned before = base_diag_errors(d);
    base_jval root = base_json_root(doc);
    if (base_json_expect(root, BASE_JSON_ARRAY))
        for (base_jval v = base_json_first(root); base_json_present(v); v = base_json_next(v))
            read_token(v, a);
    base_json_free(doc);
    return base_diag_errors(d) == before;
}

/* A string of JSON; the text is UTF-8. */
static void write_string(const char *text, base_str *out) {
    base_str_add(out, "\"");
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ')
            base_str_addf(out, "\\u%04x", (unsigned)(unsigned char)*c);
        else
            base_str_addf(out, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
    }
    base_str_add(out, "\"");
}

void fe_added_write(ir_module *m, const char *name, const fe_added_tokens *a) {
    base_str s = {0};
    for (size_t i = 0; i < a->tokens.count; i++) {
        const fe_added_token *t = &a->tokens.items[i];
        base_str_addf(&s, "%s{\"id\": %u, \"content\": ", i ? ", " : "[", (unsigned)t->id);
        write_string(t->text, &s);
        for (int k = 0; k < FLAGS; k++)
            if (t->flags & flag_keys[k].flag) base_str_addf(&s, ", \"%s\": true", flag_keys[k].key);
        base_str_add(&s, "}");
    }
    if (!s.len) return;
    base_str_add(&s, "]");
    ir_meta_set_string(m, fe_tokenizer_key(m, name, FE_TOKEN_ADDED), s.data);
    base_str_free(&s);
}
