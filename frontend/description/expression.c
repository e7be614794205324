/* Integer expressions of model descriptions, by recursive descent; see arith.h. */
#include "frontend/description/expression.h"

#include <string.h>

#include "base/diag.h"
#include "base/suggest.h"

enum { MAX_NESTING = 64 };

typedef struct parser {
    const fe_variables *v;
    const char *at, *end;
    unsigned depth;
    base_str *why; /* filled by the first fault */
    bool failed;
} parser;

static int64_t fail(parser *p, const char *what) {
    if (!p->failed) base_str_add(p->why, what);
    p->failed = true;
    return 0;
}

static void skip_blanks(parser *p) {
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t')) p->at++;
}

static bool take(parser *p, const char *token) {
    skip_blanks(p);
    size_t n = strlen(token);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, token, n) != 0) return false;
    p->at += n;
    return true;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static int64_t sum(parser *p);
static int64_t comparison(parser *p);

static int64_t number(parser *p) {
    int64_t n = 0;
    while (p->at < p->end && is_digit(*p->at))
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *p->at++ - '0', &n))
            return fail(p, "a number is too large");
    return n;
}

static const fe_variable *lookup(const fe_variables *v, const char *name, size_t length) {
    for (size_t i = v->list.count; i-- > 0;) {
        const fe_variable *x = &v->list.items[i];
        if (strlen(x->name) == length && memcmp(x->name, name, length) == 0) return x;
    }
    return NULL;
}

static int64_t unknown_name(parser *p, const char *name, size_t length) {
    if (p->failed) return 0;
    p->failed = true;
    const char **names = base_alloc((p->v->list.count + 1) * sizeof *names);
    char word[64] = {0};
    memcpy(word, name, length < sizeof word - 1 ? length : sizeof word - 1);
    for (size_t i = 0; i < p->v->list.count; i++) names[i] = p->v->list.items[i].name;
    char hint[BASE_HINT_MAX];
    base_str_addf(p->why, "there is no parameter '%s'%s", word,
                  base_hint(base_suggest(word, names, p->v->list.count), hint));
    base_free(names);
    return 0;
}

static int64_t variable(parser *p) {
    const char *name = p->at;
    while (p->at < p->end && (is_letter(*p->at) || is_digit(*p->at))) p->at++;
    size_t length = (size_t)(p->at - name);
    const fe_variable *x = lookup(p->v, name, length);
    if (!x) return unknown_name(p, name, length);
    if (!take(p, "[")) return x->values ? fail(p, "a list needs an index") : x->value;
    int64_t i = comparison(p);
    if (!take(p, "]")) return fail(p, "expected ']'");
    if (!x->values) return fail(p, "only a list can be indexed");
    if (p->failed) return 0;
    if (i < 0 || (uint64_t)i >= x->count) return fail(p, "the index is outside of the list");
    return x->values[i];
}

static int64_t factor(parser *p) {
    if (p->failed) return 0;
    if (++p->depth > MAX_NESTING) return fail(p, "too deeply nested");
    int64_t n;
    if (take(p, "(")) {
        n = comparison(p);
        if (!take(p, ")")) n = fail(p, "expected ')'");
    } else if (take(p, "-")) {
        n = factor(p);
        if (__builtin_sub_overflow((int64_t)0, n, &n)) n = fail(p, "a number is too large");
    } else if (p->at < p->end && is_digit(*p->at)) {
        n = number(p);
    } else if (p->at < p->end && is_letter(*p->at)) {
        n = variable(p);
    } else {
        n = fail(p, "expected a number or a name");
    }
    p->depth--;
    return n;
}

static int64_t product(parser *p) {
    int64_t n = factor(p), r;
    while (!p->failed) {
        if (take(p, "*")) {
            if (__builtin_mul_overflow(n, factor(p), &n)) return fail(p, "a number is too large");
        } else if (take(p, "/") || take(p, "%")) {
            bool division = p->at[-1] == '/';
            r = factor(p);
            if (r == 0) return fail(p, "division by zero");
            if (r == -1) return fail(p, "division by a negative number");
            n = division ? n / r : n % r;
        } else {
            break;
        }
    }
    return n;
}

static int64_t sum(parser *p) {
    int64_t n = product(p);
    while (!p->failed) {
        if (take(p, "+")) {
            if (__builtin_add_overflow(n, product(p), &n)) return fail(p, "a number is too large");
        } else if (take(p, "-")) {
            if (__builtin_sub_overflow(n, product(p), &n)) return fail(p, "a number is too large");
        } else {
            break;
        }
    }
    return n;
}

static int64_t comparison(parser *p) {
    int64_t n = sum(p);
    if (take(p, "==")) return n == sum(p);
    if (take(p, "!=")) return n != sum(p);
    if (take(p, "<=")) return n <= sum(p);
    if (take(p, ">=")) return n >= sum(p);
    if (take(p, "<")) return n < sum(p);
    if (take(p, ">")) return n > sum(p);
    return n;
}

bool fe_arith(const fe_variables *v, const char *text, size_t length, int64_t *out, base_str *why) {
    parser p = {.v = v, .at = text, .end = text + length, .why = why};
    int64_t n = comparison(&p);
    skip_blanks(&p);
    if (!p.failed && p.at != p.end) fail(&p, "there is something left after the expression");
    if (p.failed) return false;
    *out = n;
    return true;
}

bool fe_arith_substitute(const fe_variables *v, const char *text, base_str *out, base_str *why) {
    for (const char *s = text; *s; s++) {
        if (*s != '{') {
            base_str_addn(out, s, 1);
            continue;
        }
        if (s[1] == '{') {
            base_str_add(out, "{");
            s++;
            continue;
        }
        const char *close = strchr(s, '}');
        int64_t n;
        if (!close) {
            base_str_add(why, "there is a '{' without a '}'");
            return false;
        }
        if (!fe_arith(v, s + 1, (size_t)(close - s - 1), &n, why)) return false;
        base_str_addf(out, "%lld", (long long)n);
        s = close;
    }
    base_str_add(out, "");
    return true;
}
