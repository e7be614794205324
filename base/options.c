#include "base/options.h"
#include "base/suggest.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 256 };

static char last(const char *s) {
    size_t n = strlen(s);
    return n ? s[n - 1] : '\0';
}

/* Length of the name without the '=' that only help texts show. */
static size_t bare_length(const base_option *o) {
    size_t n = strlen(o->name);
    return n && o->name[n - 1] == '=' ? n - 1 : n;
}

/* ---- matching ---- */

/* How well a word fits a row: 0 not at all, more is better. *value receives what is glued on, NULL
 * where nothing is. */
static int fits(const base_option *o, const char *word, const char **value) {
    size_t n = bare_length(o);
    *value = NULL;
    if (!strcmp(word, o->name)) { /* `--emit=`: an empty value */
        if (o->name[n]) *value = word + n + 1;
        return 4;
    }
    if (o->shorthand && word[1] != '-' && !strncmp(word, o->shorthand, 2)) {
        if (word[2] && !o->argument) return 0;
        if (word[2]) *value = word + 2;
        return 3;
    }
    if (strncmp(word, o->name, n) != 0) return 0;
    if (!word[n]) return 3; /* `--size`, where the name is `--size=` */
    if (word[n] == '=' && n > 2) {
        *value = word + n + 1;
        return 2;
    }
    if (o->argument && (n == 2 || last(o->name) == '-')) {
        *value = word + n;
        return 1;
    }
    return 0;
}

static const base_option *match(const base_option_table *t, unsigned commands, const char *word,
                                const char **value) {
    const base_option *best = NULL;
    const char *glued;
    int most = 0;
    for (size_t i = 0; i < t->count; i++) {
        int fit = t->rows[i].commands & commands ? fits(&t->rows[i], word, &glued) : 0;
        /* of rows that fit equally, as --analyze and --analyze=, the one with an argument */
        if (fit < most || (fit == most && (!fit || !t->rows[i].argument))) continue;
        most = fit;
        best = &t->rows[i];
        *value = glued;
    }
    return best;
}

/* "; inspect, bench have it"; "; other commands have it" where they have no names */
static void add_owners(const base_option_table *t, unsigned commands, char *error) {
    size_t used = strlen(error), names = 0;
    for (unsigned i = 0; i < 32 && t->command; i++) {
        const char *name = commands >> i & 1 ? t->command(1u << i) : NULL;
        if (!name || used >= BASE_OPTION_ERROR_MAX) continue;
        snprintf(error + used, BASE_OPTION_ERROR_MAX - used, "%s%s", names++ ? ", " : "; ", name);
        used += strlen(error + used);
    }
    if (used >= BASE_OPTION_ERROR_MAX) return;
    snprintf(error + used, BASE_OPTION_ERROR_MAX - used, "%s",
             !names       ? "; other commands have it"
             : names == 1 ? " has it"
                          : " have it");
}

static bool has(const base_option_table *t, const char *word, size_t n) {
    for (size_t i = 0; t && i < t->count; i++) {
        const base_option *o = &t->rows[i];
        if (!o->help) continue;
        if (bare_length(o) == n && !strncmp(word, o->name, n)) return true;
        if (o->shorthand && (n == 2 || o->argument) && !strncmp(word, o->shorthand, 2)) return true;
    }
    return false;
}

/* What the table says about a word in front of its '='; NULL: nothing. */
static const char *advice_on(const base_option_table *t, const char *word, size_t n) {
    for (size_t i = 0; i < t->advice_count; i++)
        if (strlen(t->advice[i].word) == n && !strncmp(t->advice[i].word, word, n))
            return t->advice[i].advice;
    return NULL;
}

/* What is near the word in front of its '='; options of other commands only say where they belong.
 */
static bool unknown(const base_option_table *t, unsigned commands, const char *word, char *error) {
    const char *own[MAX_ROWS];
    char name[64], hint[BASE_HINT_MAX];
    size_t count = 0, n = strcspn(word, "=");
    unsigned elsewhere = 0;
    const char *advice = advice_on(t, word, n);
    if (advice) {
        snprintf(error, BASE_OPTION_ERROR_MAX, "unknown option '%.80s'; %s", word, advice);
        return false;
    }
    snprintf(name, sizeof name, "%.*s", n < sizeof name - 1 ? (int)n + (word[n] == '=') : 62, word);
    for (size_t i = 0; i < t->count && count < MAX_ROWS; i++) {
        const base_option *o = &t->rows[i];
        if (!o->help) continue;
        if (o->commands & commands)
            own[count++] = o->name;
        else if (bare_length(o) == n && !strncmp(word, o->name, n))
            elsewhere |= o->commands;
    }
    bool others = !elsewhere && has(t->others, word, n);
    /* one letter is near to every other */
    bool guess = !elsewhere && !others && strlen(name) > 2;
    base_hint(guess ? base_suggest(name, own, count) : NULL, hint);
    snprintf(error, BASE_OPTION_ERROR_MAX, "unknown option '%.80s'%s", word,
             *hint       ? hint
             : elsewhere ? ""
             : others    ? "; "
                         : "; see --help");
    if (others) {
        size_t used = strlen(error);
        snprintf(error + used, BASE_OPTION_ERROR_MAX - used, "%s have it", t->others_owner);
    }
    if (elsewhere) add_owners(t, elsewhere, error);
    return false;
}

/* ---- values ---- */

bool base_option_expects(const base_option *o, const char *expected, const char *value,
                         char error[BASE_OPTION_ERROR_MAX]) {
    snprintf(error, BASE_OPTION_ERROR_MAX, "%s expects %s, not '%.80s'", o->name, expected, value);
    return false;
}

static bool set_whole(const base_option *o, char *field, const char *value, char *error) {
    char *end, expected[80];
    errno = 0;
    long long n = strtoll(value, &end, 10);
    const bool open = o->most == BASE_OPTION_ANY;
    if (open && errno == ERANGE && n > 0) errno = 0; /* the largest there is */
    if (errno || *end || end == value || n < o->least || n > o->most) {
        if (open)
            snprintf(expected, sizeof expected, "a whole number from %lld on", (long long)o->least);
        else
            snprintf(expected, sizeof expected, "a whole number from %lld to %lld",
                     (long long)o->least, (long long)o->most);
        return base_option_expects(o, expected, value, error);
    }
    int64_t wide = n;
    int narrow = n > INT_MAX ? INT_MAX : (int)n;
    if (o->kind == BASE_OPTION_INT)
        memcpy(field, &narrow, sizeof narrow);
    else
        memcpy(field, &wide, sizeof wide);
    return true;
}

static bool set_real(const base_option *o, char *field, const char *value, char *error) {
    char *end, expected[80];
    errno = 0;
    double x = strtod(value, &end);
    if (errno || *end || end == value || !(x >= (double)o->least && x <= (double)o->most)) {
        snprintf(expected, sizeof expected, "a number from %lld to %lld", (long long)o->least,
                 (long long)o->most);
        return base_option_expects(o, expected, value, error);
    }
    memcpy(field, &x, sizeof x);
    return true;
}

static bool set(const base_option *o, void *options, const char *value, char *error) {
    char *field = (char *)options + o->offset;
    const bool on = true;
    switch (o->kind) {
    case BASE_OPTION_FLAG: memcpy(field, &on, sizeof on); return true;
    case BASE_OPTION_NAME:
        if (!*value) return base_option_expects(o, o->argument, value, error);
        /* fall through */
    case BASE_OPTION_TEXT: memcpy(field, &value, sizeof value); return true;
    case BASE_OPTION_INT:
    case BASE_OPTION_INT64: return set_whole(o, field, value ? value : "", error);
    case BASE_OPTION_REAL: return set_real(o, field, value ? value : "", error);
    case BASE_OPTION_OWN: break;
    }
    return o->set(options, o, value, error);
}

/* A flag with a value it does not have: rows --layers, --layers=passes, --layers=kernels are a flag
 * with two. */
static bool no_such_value(const base_option_table *t, unsigned commands, const base_option *flag,
                          const char *value, char *error) {
    char words[120] = "";
    size_t n = bare_length(flag), at = 0;
    for (size_t i = 0; i < t->count; i++) {
        const base_option *o = &t->rows[i];
        if (!o->help || !(o->commands & commands) || strncmp(o->name, flag->name, n) != 0 ||
            o->name[n] != '=' || !o->name[n + 1] || at >= sizeof words)
            continue;
        at += (size_t)snprintf(words + at, sizeof words - at, "%s%s", at ? " or " : "",
                               o->name + n + 1);
    }
    if (*words)
        snprintf(error, BASE_OPTION_ERROR_MAX, "%.*s= expects %s, not '%.80s'", (int)n, flag->name,
                 words, value);
    else
        snprintf(error, BASE_OPTION_ERROR_MAX, "%s takes no value", flag->name);
    return false;
}

bool base_options_parse(const base_option_table *t, unsigned commands, void *options, int argc,
                        char *const *argv, char error[BASE_OPTION_ERROR_MAX]) {
    bool only_operands = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i], *value = NULL;
        if (!only_operands && !strcmp(word, "--")) {
            only_operands = true;
            continue;
        }
        if (only_operands || word[0] != '-' || !word[1]) {
            if (!t->operand(options, word, error)) return false;
            continue;
        }
        const base_option *o = match(t, commands, word, &value);
        if (!o) return unknown(t, commands, word, error);
        if (!o->argument && value && o->kind == BASE_OPTION_FLAG)
            return no_such_value(t, commands, o, value, error);
        if (o->argument && !value) {
            if (++i == argc) {
                snprintf(error, BASE_OPTION_ERROR_MAX, "%s expects a value: %s", o->name,
                         o->argument);
                return false;
            }
            value = argv[i];
        }
        if (!set(o, options, value, error)) return false;
        if (t->given) t->given(options, (size_t)(o - t->rows));
    }
    return true;
}

/* ---- help ---- */

bool base_option_is_glued(const base_option *o) {
    return o->glued || last(o->name) == '=' || last(o->name) == '-';
}

const char *base_option_head(const base_option *o, char out[BASE_OPTION_HEAD_MAX]) {
    snprintf(out, BASE_OPTION_HEAD_MAX, "%s%s%s%s%s", o->shorthand ? o->shorthand : "",
             o->shorthand ? ", " : "", o->name, o->argument && !base_option_is_glued(o) ? " " : "",
             o->argument ? o->argument : "");
    return out;
}

void base_options_print(FILE *out, const base_option_table *t, unsigned commands, int width) {
    const char *before = NULL;
    bool shorthands = false;
    for (size_t i = 0; i < t->count; i++) shorthands |= t->rows[i].shorthand != NULL;
    for (size_t i = 0; i < t->count; i++) {
        const base_option *o = &t->rows[i];
        char head[BASE_OPTION_HEAD_MAX];
        if (!o->help || !(o->commands & commands)) continue;
        if (before && !strcmp(before, o->help)) continue;
        const char *margin = shorthands && !o->shorthand ? "    " : "";
        fprintf(out, "  %s%-*s %s\n", margin, width - (int)strlen(margin),
                base_option_head(o, head), o->help);
        before = o->help;
    }
}
