/* tokenizer.json, the one file of a fast tokenizer; see tokenizer.h. It can describe tokenizers of
 * many kinds, each part by a type: what CLIP's has is taken, everything else is refused by name. */
#include <string.h>

#include "frontend/tokenizer/tokenizer.h"

static const char *type_of(base_jval v) {
    const char *type = NULL;
    base_jval said = base_json_get(v, "type");
    return base_json_is(said, BASE_JSON_STRING) && base_json_string(said, &type) ? type : NULL;
}

/* "unsupported: pre-tokenizer 'Whitespace'; CLIP's ..." */
static bool refuse(base_jval at, const char *what, const char *name, const char *wanted) {
    base_json_error(at, "unsupported: %s%s%s%s of a tokenizer; CLIP's is %s", what,
                    name ? " '" : " without a type", name ? base_escape(name, strlen(name)) : "",
                    name ? "'" : "", wanted);
    return false;
}

static bool given(base_jval v) {
    return base_json_present(v) && !base_json_is_null(v);
}

/* ---- the model ---- */

/* A key that may be missing, null or `expected`. */
static bool text_is(base_jval object, const char *key, const char *expected) {
    base_jval v = base_json_get(object, key);
    const char *text;
    if (!given(v)) return true;
    if (!base_json_string(v, &text)) return false;
    if (strcmp(text, expected) == 0) return true;
    base_json_error(v, "unsupported: '%s' is '%s'; CLIP's tokenizer has '%s'", key,
                    base_escape(text, strlen(text)), expected);
    return false;
}

static bool check_model(base_jval model) {
    static const char *const off[] = {"fuse_unk", "byte_fallback", "ignore_merges"};
    static const char suffix[] = "end_of_word_suffix";
    const char *type = type_of(model);
    if (!base_json_expect(model, BASE_JSON_OBJECT)) return false;
    if (given(base_json_get(model, "type")) && (!type || strcmp(type, "BPE") != 0))
        return refuse(base_json_get(model, "type"), "model", type, "BPE");
    bool fine = base_json_expect(base_json_require(model, "vocab"), BASE_JSON_OBJECT);
    fine &= base_json_expect(base_json_require(model, "merges"), BASE_JSON_ARRAY);
    fine &= text_is(model, "continuing_subword_prefix", "");
    fine &= given(base_json_require(model, suffix)) && text_is(model, suffix, "</w>");
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        base_jval v = base_json_get(model, off[i]);
        bool on = false;
        if (!given(v)) continue;
        fine &= base_json_bool(v, &on);
        if (on) base_json_error(v, "unsupported: '%s' of a tokenizer's model", off[i]);
        fine &= !on;
    }
    base_jval dropout = base_json_get(model, "dropout");
    double share = 0;
    if (given(dropout) && (!base_json_double(dropout, &share) || share != 0)) {
        base_json_error(dropout, "unsupported: 'dropout' of a tokenizer's model");
        fine = false;
    }
    return fine;
}

/* ---- the normalizer and the pre-tokenizer ---- */

/* A part, or the parts of a sequence. */
static base_jval first_part(base_jval v, const char *list, bool *sequence) {
    const char *type = type_of(v);
    *sequence = type && strcmp(type, "Sequence") == 0;
    return *sequence ? base_json_first(base_json_require(v, list)) : v;
}

static base_jval next_part(base_jval v, bool sequence) {
    return sequence ? base_json_next(v) : (base_jval){0};
}

static bool pattern_is(base_jval part, const char *const *patterns, size_t n) {
    base_jval v = base_json_get(base_json_get(part, "pattern"), "Regex");
    const char *text = NULL;
    if (base_json_is(v, BASE_JSON_STRING)) base_json_string(v, &text);
    for (size_t i = 0; text && i < n; i++)
        if (strcmp(text, patterns[i]) == 0) return true;
    return false;
}

static bool check_normalizer(base_jval v, bool *lower) {
    static const char wanted[] = "NFC, Replace of white space by one blank, and Lowercase";
    static const char *const space[] = {"\\s+"};
    bool sequence, composed = false;
    *lower = true;
    if (!given(v)) return true;
    if (!base_json_expect(v, BASE_JSON_OBJECT)) return false;
    *lower = false;
    for (base_jval part = first_part(v, "normalizers", &sequence); base_json_present(part);
         part = next_part(part, sequence)) {
        const char *type = type_of(part), *content;
        if (type && strcmp(type, "NFC") == 0) {
            composed = true;
        } else if (type && strcmp(type, "Lowercase") == 0) {
            *lower = true;
        } else if (type && strcmp(type, "Replace") == 0 && pattern_is(part, space, 1)) {
            if (!base_json_string(base_json_require(part, "content"), &content)) return false;
            if (strcmp(content, " ") != 0) return refuse(part, "normalizer", type, wanted);
        } else {
            return refuse(part, "normalizer", type, wanted);
        }
    }
    if (!composed)
        base_json_error(v, "unsupported: a normalizer without NFC; CLIP's is %s", wanted);
    return composed;
}

static bool check_words(base_jval part) {
#define WORDS "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"
    static const char *const patterns[] = {WORDS, "<\\|startoftext\\|>|<\\|endoftext\\|>|" WORDS};
#undef WORDS
    if (!pattern_is(part, patterns, 2)) {
        base_jval at = base_json_get(part, "pattern");
        base_json_error(base_json_present(at) ? at : part,
                        "unsupported: a tokenizer that divides text into other words than CLIP's; "
                        "its pattern is %s",
                        patterns[0]);
        return false;
    }
    bool inverted = base_json_opt_bool(part, "invert", false);
    if (!inverted)
        base_json_error(part,
                        "unsupported: a Split that is not inverted; CLIP's keeps what matches");
    return text_is(part, "behavior", "Removed") && inverted;
}

static bool check_pre_tokenizer(base_jval v) {
    static const char wanted[] = "a Split into words, then ByteLevel";
    bool sequence, words = false, bytes = false;
    if (!given(v)) return true;
    if (!base_json_expect(v, BASE_JSON_OBJECT)) return false;
    for (base_jval part = first_part(v, "pretokenizers", &sequence); base_json_present(part);
         part = next_part(part, sequence)) {
        const char *type = type_of(part);
        if (type && strcmp(type, "Split") == 0 && !words && !bytes) {
            if (!check_words(part)) return false;
            words = true;
        } else if (type && strcmp(type, "ByteLevel") == 0 && words && !bytes) {
            bytes = true;
            if (!base_json_opt_bool(part, "add_prefix_space", false)) continue;
            base_json_error(part, "unsupported: 'add_prefix_space' of a pre-tokenizer");
            return false;
        } else {
            return refuse(part, "pre-tokenizer", type, wanted);
        }
    }
    if (!words || !bytes)
        base_json_error(v, "unsupported: an unfinished pre-tokenizer; CLIP's is %s", wanted);
    return words && bytes;
}

bool fe_tokenizer_json_check(base_jval root, bool *lower) {
    *lower = true;
    if (!base_json_expect(root, BASE_JSON_OBJECT)) return false;
    base_jval model = base_json_require(root, "model");
    bool fine = base_json_present(model) && check_model(model);
    fine &= check_normalizer(base_json_get(root, "normalizer"), lower);
    return check_pre_tokenizer(base_json_get(root, "pre_tokenizer")) && fine;
}

/* ---- the contents ---- */

base_jval fe_tokenizer_json_vocabulary(base_jval root) {
    return base_json_get(base_json_get(root, "model"), "vocab");
}

/* One symbol of a pair; in a line it must be one word. */
static bool add_symbol(base_jval v, base_str *lines, const char *behind) {
    const char *text;
    if (!base_json_string(v, &text)) return false;
    if (!*text || strpbrk(text, " \r\n")) {
        base_json_error(v, "'%s' is no symbol of a merge", base_escape(text, strlen(text)));
        return false;
    }
    base_str_addf(lines, "%s%s", text, behind);
    return true;
}

static bool add_merge(base_jval v, base_str *lines) {
    const char *text;
    if (base_json_is(v, BASE_JSON_ARRAY)) {
        if (base_json_length(v) == 2)
            return add_symbol(base_json_item(v, 0), lines, " ") &&
                   add_symbol(base_json_item(v, 1), lines, "\n");
        base_json_error(v, "a merge is a pair, not a list of %zu", base_json_length(v));
        return false;
    }
    if (!base_json_string(v, &text)) return false;
    const char *blank = strchr(text, ' ');
    if (!blank || blank == text || !blank[1] || strchr(blank + 1, ' ') || strpbrk(text, "\r\n")) {
        base_json_error(v, "'%s' is not a pair", base_escape(text, strlen(text)));
        return false;
    }
    base_str_addf(lines, "%s\n", text);
    return true;
}

bool fe_tokenizer_json_merges(base_jval root, base_str *lines) {
    base_jval list = base_json_get(base_json_get(root, "model"), "merges");
    bool fine = base_json_expect(list, BASE_JSON_ARRAY);
    base_str_add(lines, "#version: 0.2\n");
    for (base_jval v = base_json_first(list); fine && base_json_present(v); v = base_json_next(v))
        fine = add_merge(v, lines);
    return fine;
}
