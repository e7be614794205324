/* The table of properties; see meta_keys.h. */
#include "runtime/abi/meta_keys.h"

#include <stdio.h>
#include <string.h>

#define WORD(ID, word) word,
const char *const ebru_pipeline_kind_name[] = {EBRU_PIPELINE_KINDS(WORD)};
const char *const ebru_condition_name[] = {EBRU_CONDITIONS(WORD)};

enum { COMPILER, PROGRAM }; /* column SCOPE */

static const ebru_meta_key table[] = {
#define META(ID, key, TYPE, otherwise, words, SCOPE, writer, doc)                                  \
    {key, EBRU_META_TYPE_##TYPE, SCOPE, words},
#include "runtime/abi/meta_keys.def"
};
enum { ROWS = sizeof table / sizeof *table };

size_t ebru_meta_count(void) {
    return ROWS;
}

const ebru_meta_key *ebru_meta_at(size_t index) {
    return &table[index];
}

/* Whether the row is of this key: its own, or with a number for the N at its end (0, 1 ... without
 * zeros in front). */
static bool is_of(const char *row, const char *name) {
    size_t n = strlen(row);
    if (n < 2 || strcmp(row + n - 2, ".N") != 0) return strcmp(row, name) == 0;
    if (strncmp(row, name, n - 1) != 0) return false;
    const char *digits = name + n - 1;
    size_t count = strspn(digits, "0123456789");
    return count && !digits[count] && (count == 1 || digits[0] != '0');
}

const ebru_meta_key *ebru_meta_find(const char *name) {
    for (size_t i = 0; i < ROWS; i++)
        if (is_of(table[i].name, name)) return &table[i];
    return NULL;
}

void ebru_meta_numbered(ebru_string_key row, int64_t number, char out[64]) {
    snprintf(out, 64, "%.*s%lld", (int)strlen(row.name) - 1, row.name, (long long)number);
}

int ebru_meta_choice(const char *words, const char *text) {
    size_t length = strlen(text);
    if (words && *words == '|') words++;
    for (int index = 0; words; index++) {
        const char *bar = strchr(words, '|');
        size_t n = bar ? (size_t)(bar - words) : strlen(words);
        if (n == length && memcmp(words, text, n) == 0) return index;
        words = bar ? bar + 1 : NULL;
    }
    return -1;
}

/* "one of a, b, c" */
static const char *one_of(const char *words, char out[EBRU_META_EXPECTS]) {
    int n = snprintf(out, EBRU_META_EXPECTS, "one of ");
    for (const char *w = *words == '|' ? words + 1 : words; *w && n < EBRU_META_EXPECTS - 2; w++) {
        if (*w == '|') out[n++] = ',';
        out[n++] = *w == '|' ? ' ' : *w;
    }
    out[n] = '\0';
    return out;
}

const char *ebru_meta_expects(const ebru_meta_key *key, ebru_meta_kind kind, int64_t number,
                              const char *text, char out[EBRU_META_EXPECTS]) {
    switch (key->type) {
    case EBRU_META_TYPE_INT: return kind == EBRU_META_KIND_INT ? NULL : "an integer";
    case EBRU_META_TYPE_FLAG:
        return kind == EBRU_META_KIND_INT && (number == 0 || number == 1) ? NULL : "0 or 1";
    case EBRU_META_TYPE_FLOAT: return kind == EBRU_META_KIND_STRING ? "a number" : NULL;
    case EBRU_META_TYPE_CHOICE:
        return kind == EBRU_META_KIND_STRING && ebru_meta_choice(key->words, text) >= 0
                   ? NULL
                   : one_of(key->words, out);
    case EBRU_META_TYPE_STRING: return kind == EBRU_META_KIND_STRING ? NULL : "a string";
    case EBRU_META_TYPE_NUMBERS: break;
    }
    return kind == EBRU_META_KIND_STRING ? NULL : "a string of numbers";
}
