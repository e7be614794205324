/* The first walk over a model description: form, known keys, known blocks; see description_check.h.
 * Every block is seen once, whatever repeats and conditions say. */
#include "frontend/description/description_check.h"

#include <string.h>

#include "frontend/description/description.h"

enum { MAX_NESTING = 16, MAX_FUNCTIONS = 64, MAX_WORDS = 48, MAX_BLOCK_NAMES = 128 };

bool fe_desc_expression(const fe_variables *vars, base_jval v, int64_t *out, int64_t min,
                        int64_t max) {
    const char *text;
    int64_t n;
    if (!base_json_is(v, BASE_JSON_STRING)) return base_json_int(v, out, min, max);
    if (!base_json_string(v, &text)) return false;
    base_str why = {0};
    bool fine = fe_arith(vars, text, strlen(text), &n, &why);
    if (!fine)
        base_json_error(v, "'%s': %s", base_escape(text, strlen(text)), why.data);
    else if (n < min || n > max)
        base_json_error(v, "'%s' is %lld, which is out of range (%lld to %lld)",
                        base_escape(text, strlen(text)), (long long)n, (long long)min,
                        (long long)max);
    base_str_free(&why);
    if (!fine || n < min || n > max) return false;
    *out = n;
    return true;
}

/* ---- keys ---- */

/* Space-separated words of several lists. */
typedef struct words {
    char text[512];
    const char *list[MAX_WORDS];
    size_t count;
} words;

static void add_words(words *w, const char *text) {
    char *p = w->text;
    if (w->count)
        p = w->text + (w->list[w->count - 1] - w->text) + strlen(w->list[w->count - 1]) + 1;
    size_t n = strlen(text);
    if (p + n + 1 > w->text + sizeof w->text) ICE("too many words in '%s'", text);
    memcpy(p, text, n + 1);
    for (char *word = strtok(p, " "); word; word = strtok(NULL, " ")) {
        if (w->count == MAX_WORDS) ICE("too many words in '%s'", text);
        w->list[w->count++] = word;
    }
}

static bool only_keys(base_jval object, const char *keys) {
    words w = {.count = 0};
    add_words(&w, keys);
    return base_json_report_unknown_keys(object, w.list, w.count, BASE_ERROR) == 0;
}

/* An optional member of a kind. */
static bool member(base_jval object, const char *key, base_json_kind kind) {
    base_jval v = base_json_get(object, key);
    return !base_json_present(v) || base_json_expect(v, kind);
}

/* Names of values, functions and parameters: letters, digits, '_', and for functions one '.'. */
static bool plain_name(base_jval v, const char *name, bool dot) {
    size_t dots = 0, n = strlen(name);
    bool fine = n > 0 && n <= 64 && !(name[0] >= '0' && name[0] <= '9') && name[0] != '.' &&
                name[n - (n > 0)] != '.';
    for (const char *s = name; *s && fine; s++) {
        bool letter = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                      (*s >= '0' && *s <= '9') || *s == '_';
        if (*s == '.') dots++;
        fine = letter || (*s == '.' && dot && dots == 1);
    }
    if (!fine)
        base_json_error(v, "'%s' is no name: letters, digits and '_' are possible",
                        base_escape(name, n));
    return fine;
}

static bool name_member(base_jval object, const char *key) {
    base_jval v = base_json_get(object, key);
    const char *name;
    return !base_json_present(v) || (base_json_string(v, &name) && plain_name(v, name, false));
}

/* ---- blocks ---- */

static const desc_row *known_block(base_jval v) {
    const char *names[MAX_BLOCK_NAMES];
    size_t n = desc_names(NULL), i;
    if (n > MAX_BLOCK_NAMES) ICE("too many blocks");
    desc_names(names);
    return base_json_choice(v, "block", names, n, &i) ? desc_find(names[i]) : NULL;
}

/* Keys of a block or of the defaults for a kind of block. */
static bool check_keys(base_jval v, const desc_row *row, const char *common) {
    words w = {.count = 0};
    add_words(&w, common);
    add_words(&w, row->keys);
    bool fine = base_json_report_unknown_keys(v, w.list, w.count, BASE_ERROR) == 0;
    base_jval names = base_json_get(v, "names");
    if (!base_json_present(names) || !*row->names) return fine;
    if (!base_json_expect(names, BASE_JSON_OBJECT)) return false;
    fine &= only_keys(names, row->names);
    const char *word;
    for (base_jval part = base_json_first(names); base_json_present(part);
         part = base_json_next(part))
        fine &= base_json_string(part, &word);
    return fine;
}

static bool check_list(base_jval list, unsigned depth);

static bool check_repeat(base_jval v, unsigned depth) {
    base_jval blocks = base_json_require(v, "blocks");
    bool fine = base_json_present(base_json_require(v, "count"));
    fine &= name_member(v, "index");
    if (depth >= MAX_NESTING) {
        base_json_error(v, "repeats are nested more than %d deep", MAX_NESTING);
        return false;
    }
    return base_json_present(blocks) && check_list(blocks, depth + 1) && fine;
}

static bool check_block(base_jval v, unsigned depth) {
    if (base_json_is(v, BASE_JSON_STRING)) {
        const desc_row *row = known_block(v);
        if (row && (row->prefix || !row->build)) {
            base_json_error(v, "block '%s' needs keys: write it as an object", row->name);
            return false;
        }
        return row != NULL;
    }
    if (!base_json_expect(v, BASE_JSON_OBJECT)) return false;
    base_jval name = base_json_require(v, "block");
    const desc_row *row = base_json_present(name) ? known_block(name) : NULL;
    if (!row) return false;
    bool fine = check_keys(v, row, desc_common_keys);
    fine &=
        member(v, "prefix", BASE_JSON_STRING) && name_member(v, "from") && name_member(v, "save");
    if (row->prefix && !base_json_present(base_json_get(v, "prefix"))) {
        base_json_error(
            v, "block '%s' needs a 'prefix', under which its tensors stand in the weight file",
            row->name);
        fine = false;
    }
    return (row->build || check_repeat(v, depth)) && fine;
}

static bool check_list(base_jval list, unsigned depth) {
    if (!base_json_expect(list, BASE_JSON_ARRAY)) return false;
    bool fine = true;
    for (base_jval v = base_json_first(list); base_json_present(v); v = base_json_next(v))
        fine &= check_block(v, depth);
    return fine;
}

/* ---- the document ---- */

static bool check_defaults(base_jval defaults) {
    if (!base_json_present(defaults)) return true;
    if (!base_json_expect(defaults, BASE_JSON_OBJECT)) return false;
    const char *names[MAX_BLOCK_NAMES];
    size_t n = desc_names(names);
    bool fine = base_json_report_unknown_keys(defaults, names, n, BASE_ERROR) == 0;
    for (base_jval v = base_json_first(defaults); base_json_present(v); v = base_json_next(v)) {
        const desc_row *row = desc_find(base_json_key(v));
        if (row) fine &= base_json_expect(v, BASE_JSON_OBJECT) && check_keys(v, row, "about");
    }
    return fine;
}

static bool check_inputs(base_jval inputs) {
    if (!base_json_present(inputs) || !base_json_expect(inputs, BASE_JSON_OBJECT)) return false;
    bool fine = true;
    for (base_jval in = base_json_first(inputs); base_json_present(in); in = base_json_next(in)) {
        fine &= plain_name(in, base_json_key(in), false);
        fine &=
            base_json_expect(in, BASE_JSON_OBJECT) && only_keys(in, "shape dtype frequency about");
    }
    if (!base_json_length(inputs)) base_json_error(inputs, "a function needs an input");
    return fine && base_json_length(inputs) > 0;
}

static bool check_function(base_jval f) {
    bool fine = plain_name(f, base_json_key(f), true);
    if (!base_json_expect(f, BASE_JSON_OBJECT)) return false;
    fine &= only_keys(f, "about inputs blocks outputs");
    fine &= check_inputs(base_json_require(f, "inputs"));
    base_jval blocks = base_json_require(f, "blocks");
    fine &= base_json_present(blocks) && check_list(blocks, 0);
    return base_json_present(base_json_require(f, "outputs")) && fine;
}

static bool check_functions(base_jval functions) {
    if (!base_json_present(functions) || !base_json_expect(functions, BASE_JSON_OBJECT))
        return false;
    size_t n = base_json_length(functions);
    bool fine = n >= 1 && n <= MAX_FUNCTIONS;
    if (!fine) base_json_error(functions, "a description has 1 to %d functions", MAX_FUNCTIONS);
    for (base_jval f = base_json_first(functions); base_json_present(f); f = base_json_next(f))
        fine &= check_function(f);
    return fine;
}

static bool check_params(base_jval params) {
    if (!base_json_present(params)) return true;
    if (!base_json_expect(params, BASE_JSON_OBJECT)) return false;
    bool fine = true;
    for (base_jval p = base_json_first(params); base_json_present(p); p = base_json_next(p)) {
        fine &= plain_name(p, base_json_key(p), false);
        if (strcmp(base_json_key(p), "B") != 0) continue;
        base_json_error(p, "'B' is the batch size, which the command line gives");
        fine = false;
    }
    return fine;
}

bool fe_desc_check(base_jval root) {
    int64_t version;
    if (!base_json_expect(root, BASE_JSON_OBJECT)) return false;
    if (!base_json_int(base_json_get(root, "ebru"), &version, 1, 1))
        return false; /* another language */
    bool fine = only_keys(root, "ebru name about params defaults weights functions pipeline");
    fine &= member(root, "name", BASE_JSON_STRING) && member(root, "about", BASE_JSON_STRING);
    fine &= member(root, "weights", BASE_JSON_STRING) && member(root, "pipeline", BASE_JSON_OBJECT);
    fine &= only_keys(base_json_get(root, "pipeline"),
                      "about kind denoiser decoder encoder condition low_res text_encoder "
                      "text_output tokenizer guidance "
                      "classes sampler scale scaling_factor shift_factor");
    fine &= check_params(base_json_get(root, "params"));
    fine &= check_defaults(base_json_get(root, "defaults"));
    return check_functions(base_json_require(root, "functions")) && fine;
}
