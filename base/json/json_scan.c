/* The grammar of RFC 8259 as a pull reader; see json_scan.h. Messages name the usual mistakes. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/json/json_scan.h"

#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

/* What may come next. */
enum { VALUE, FIRST_ITEM, FIRST_KEY, KEY, COLON, AFTER_ITEM, AFTER_MEMBER, AFTER_DOCUMENT, OVER };

void base_jscan_init(base_jscan *s, const char *text, size_t length) {
    *s = (base_jscan){.text = text, .length = length, .expect = VALUE};
}

__attribute__((format(printf, 3, 4))) static base_jevent fail(base_jscan *s, size_t at,
                                                              const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->message, sizeof s->message, fmt, ap);
    va_end(ap);
    s->begin = at;
    s->end = at < s->length ? at + 1 : at;
    s->expect = OVER;
    return BASE_JSCAN_ERROR;
}

/* ---- UTF-8 ---- */

/* Bytes of the well-formed sequence at p (Unicode table 3-7), 0 if there is none in the n bytes
 * left. */
static size_t utf8_length(const unsigned char *p, size_t n) {
    unsigned c = p[0];
    if (c < 0x80) return 1;
    if (c < 0xc2 || c > 0xf4) return 0;
    size_t len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (n < len) return 0;
    unsigned low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80; /* no overlong forms */
    unsigned high = c == 0xed   ? 0x9f
                    : c == 0xf4 ? 0x8f
                                : 0xbf; /* no surrogates, nothing over U+10FFFF */
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
    }
    return len;
}

size_t base_utf8_check(const char *text, size_t length) {
    const unsigned char *p = (const unsigned char *)text;
    size_t i = 0;
    while (i < length) {
        uint64_t eight;
        while (length - i >= 8) {
            memcpy(&eight, p + i, 8);
            if (eight & 0x8080808080808080u) break;
            i += 8;
        }
        if (i == length) break;
        size_t n = utf8_length(p + i, length - i);
        if (!n) return i;
        i += n;
    }
    return length;
}

static size_t utf8_encode(uint32_t c, char *out) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00u >> len & 0xff) | c);
    return len;
}

/* ---- strings ---- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Four hex digits at p, or -1. */
static long hex4(const char *p, size_t left) {
    if (left < 4) return -1;
    long v = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0) return -1;
        v = v << 4 | digit;
    }
    return v;
}

/* Checks the escape at text[at] == '\\'; its length, or 0 after failing. */
static size_t check_escape(base_jscan *s, size_t at) {
    size_t left = s->length - at;
    const char *p = s->text + at;
    if (left < 2) {
        fail(s, at, "the text ends inside a string");
        return 0;
    }
    if (memchr("\"\\/bfnrt", p[1], 8)) return 2;
    if (p[1] != 'u') {
        fail(s, at,
             "unknown escape in a string (JSON has \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX)");
        return 0;
    }
    long unit = hex4(p + 2, left - 2);
    if (unit < 0) {
        fail(s, at, "\\u needs four hexadecimal digits");
    } else if (unit == 0) {
        fail(s, at, "a NUL character (\\u0000) is not allowed in strings");
    } else if (unit >= 0xdc00 && unit <= 0xdfff) {
        fail(s, at, "lone low surrogate \\u%04lx", unit);
    } else if (unit >= 0xd800 && unit <= 0xdbff) {
        long low = left >= 12 && p[6] == '\\' && p[7] == 'u' ? hex4(p + 8, left - 8) : -1;
        if (low >= 0xdc00 && low <= 0xdfff) return 12;
        fail(s, at, "high surrogate \\u%04lx is not followed by a low one", unit);
    } else {
        return 6;
    }
    return 0;
}

/* Scans the string that begins at s->at; false after failing. */
static bool scan_string(base_jscan *s) {
    const unsigned char *p = (const unsigned char *)s->text;
    size_t i = s->at + 1;
    s->begin = s->at;
    s->escaped = false;
    while (i < s->length) {
        unsigned c = p[i];
        if (c == '"') {
            s->at = s->end = i + 1;
            return true;
        }
        size_t n = 1;
        if (c == '\\') {
            s->escaped = true;
            n = check_escape(s, i);
            if (!n) return false;
        } else if (c < 0x20) {
            if (c == '\n' || c == '\r') {
                fail(s, i, "line break inside a string (is the closing quote missing?)");
            } else {
                fail(s, i, "control character 0x%02x inside a string; write it as \\u%04x", c, c);
            }
            return false;
        } else if (c >= 0x80) {
            n = utf8_length(p + i, s->length - i);
            if (!n) {
                fail(s, i, "invalid UTF-8 in a string (byte 0x%02x)", c);
                return false;
            }
        }
        i += n;
    }
    fail(s, s->begin, "string without a closing quote");
    return false;
}

size_t base_jscan_decode(const char *text, size_t begin, size_t end, char *out) {
    const char *p = text + begin + 1, *stop = text + end - 1;
    char *w = out;
    while (p < stop) {
        if (*p != '\\') {
            *w++ = *p++;
            continue;
        }
        char c = p[1];
        p += 2;
        if (c != 'u') {
            *w++ = c == 'b'   ? '\b'
                   : c == 'f' ? '\f'
                   : c == 'n' ? '\n'
                   : c == 'r' ? '\r'
                   : c == 't' ? '\t'
                              : c;
            continue;
        }
        uint32_t code = (uint32_t)hex4(p, 4);
        p += 4;
        if (code >= 0xd800 && code <= 0xdbff) {
            code = 0x10000 + ((code - 0xd800) << 10) + ((uint32_t)hex4(p + 2, 4) - 0xdc00);
            p += 6;
        }
        w += utf8_encode(code, w);
    }
    return (size_t)(w - out);
}

/* ---- numbers ---- */

static bool is_digit(const base_jscan *s, size_t i) {
    return i < s->length && s->text[i] >= '0' && s->text[i] <= '9';
}

/* True for a byte that cannot follow a number or a word directly ("12abc", "truely"). */
static bool joins_word(const base_jscan *s, size_t i) {
    if (i >= s->length) return false;
    unsigned char c = (unsigned char)s->text[i];
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '.' || c == '+' || c == '-' || c >= 0x80;
}

static bool starts_with(const base_jscan *s, const char *word) {
    size_t n = strlen(word);
    return s->length - s->at >= n && memcmp(s->text + s->at, word, n) == 0;
}

/* Takes one of the three words that Python's json has for what is no finite number. */
static bool python_number(base_jscan *s) {
    static const char *const words[] = {"Infinity", "-Infinity", "NaN"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t end = s->at + strlen(words[i]);
        if (!starts_with(s, words[i]) || joins_word(s, end)) continue;
        s->begin = s->at;
        s->at = s->end = end;
        return true;
    }
    return false;
}

static base_jevent scan_number(base_jscan *s) {
    size_t i = s->begin = s->at;
    bool real = false;
    if (s->text[i] == '-') i++;
    if (!is_digit(s, i))
        return fail(s, s->begin, "a digit must follow '-' (JSON has no infinities)");
    if (s->text[i] == '0' && is_digit(s, i + 1))
        return fail(s, s->begin, "number with a leading zero");
    while (is_digit(s, i)) i++;
    if (i < s->length && s->text[i] == '.') {
        real = true;
        i++;
        if (!is_digit(s, i)) return fail(s, s->begin, "a digit must follow the decimal point");
        while (is_digit(s, i)) i++;
    }
    if (i < s->length && (s->text[i] == 'e' || s->text[i] == 'E')) {
        real = true;
        i++;
        if (i < s->length && (s->text[i] == '+' || s->text[i] == '-')) i++;
        if (!is_digit(s, i)) return fail(s, s->begin, "a digit must follow the exponent's 'e'");
        while (is_digit(s, i)) i++;
    }
    if (joins_word(s, i)) return fail(s, s->begin, "malformed number");
    s->at = s->end = i;
    return real ? BASE_JSCAN_REAL : BASE_JSCAN_INT;
}

bool base_jscan_int(const char *text, size_t begin, size_t end, int64_t *out) {
    bool negative = text[begin] == '-';
    int64_t v = 0;
    for (size_t i = begin + negative; i < end; i++) {
        int digit = text[i] - '0';
        /* Built on the negative side, which reaches one further. */
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, digit, &v)) return false;
    }
    if (!negative && __builtin_sub_overflow(0, v, &v)) return false;
    *out = v;
    return true;
}

double base_jscan_double(const char *text, size_t begin, size_t end) {
    enum { SHORT = 64 };
    static locale_t c_locale;
    if (!c_locale) c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    size_t n = end - begin;
    char local[SHORT], *copy = n < SHORT ? local : base_alloc(n + 1);
    memcpy(copy, text + begin, n);
    copy[n] = '\0';
    double v = strtod_l(copy, NULL, c_locale);
    if (copy != local) base_free(copy);
    return v;
}

/* ---- values ---- */

static base_jevent scan_word(base_jscan *s, const char *word, base_jevent event) {
    size_t n = strlen(word);
    s->begin = s->at;
    if (!starts_with(s, word) || joins_word(s, s->at + n)) {
        return fail(s, s->at, "unknown word (JSON has true, false and null)");
    }
    s->at = s->end = s->begin + n;
    return event;
}

/* An unexpected byte where `wanted` should stand, with the reason if it is a known habit. */
static base_jevent unexpected(base_jscan *s, const char *wanted) {
    if (s->at >= s->length) return fail(s, s->at, "the text ends where %s should stand", wanted);
    unsigned char c = (unsigned char)s->text[s->at];
    if (c == '/' || c == '#') return fail(s, s->at, "comments are not allowed in JSON");
    if (c == '\'') return fail(s, s->at, "strings need double quotes");
    if (c == '+') return fail(s, s->at, "a number may not begin with '+'");
    if (c == '.') return fail(s, s->at, "a number may not begin with '.'");
    if (starts_with(s, "NaN") || starts_with(s, "Infinity")) {
        return fail(s, s->at, "NaN and Infinity are not JSON numbers");
    }
    if (starts_with(s, "True") || starts_with(s, "False") || starts_with(s, "None")) {
        return fail(s, s->at, "JSON writes true, false and null");
    }
    if (c >= 0x20 && c < 0x7f) return fail(s, s->at, "expected %s, found '%c'", wanted, c);
    return fail(s, s->at, "expected %s, found byte 0x%02x", wanted, c);
}

static void after_value(base_jscan *s) {
    if (s->depth == 0)
        s->expect = AFTER_DOCUMENT;
    else
        /* NOLINTNEXTLINE(clang-analyzer-core.BitwiseShift): depth is 1 to 64 here */
        s->expect = s->objects >> (s->depth - 1) & 1 ? AFTER_MEMBER : AFTER_ITEM;
}

static base_jevent open_container(base_jscan *s, bool object) {
    if (s->depth == BASE_JSCAN_MAX_DEPTH) {
        return fail(s, s->at, "nested deeper than %d levels", BASE_JSCAN_MAX_DEPTH);
    }
    uint64_t bit = (uint64_t)1 << s->depth++;
    s->objects = object ? s->objects | bit : s->objects & ~bit;
    s->begin = s->at++;
    s->end = s->at;
    s->expect = object ? FIRST_KEY : FIRST_ITEM;
    return object ? BASE_JSCAN_OBJECT : BASE_JSCAN_ARRAY;
}

static base_jevent close_container(base_jscan *s, bool object) {
    s->depth--;
    s->begin = s->at++;
    s->end = s->at;
    after_value(s);
    return object ? BASE_JSCAN_OBJECT_END : BASE_JSCAN_ARRAY_END;
}

static base_jevent scan_value(base_jscan *s) {
    char c = s->at < s->length ? s->text[s->at] : '\0';
    base_jevent event;
    if (c == '{' || c == '[') return open_container(s, c == '{');
    if (c == '"')
        event = scan_string(s) ? BASE_JSCAN_STRING : BASE_JSCAN_ERROR;
    else if (s->python_numbers && python_number(s))
        event = BASE_JSCAN_REAL;
    else if (c == '-' || (c >= '0' && c <= '9'))
        event = scan_number(s);
    else if (c == 't')
        event = scan_word(s, "true", BASE_JSCAN_TRUE);
    else if (c == 'f')
        event = scan_word(s, "false", BASE_JSCAN_FALSE);
    else if (c == 'n')
        event = scan_word(s, "null", BASE_JSCAN_NULL);
    else
        return unexpected(s, "a value");
    if (event != BASE_JSCAN_ERROR) after_value(s);
    return event;
}

static void skip_space(base_jscan *s) {
    while (s->at < s->length) {
        char c = s->text[s->at];
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r') break;
        s->at++;
    }
}

static base_jevent scan_key(base_jscan *s) {
    if (s->at >= s->length || s->text[s->at] != '"') return unexpected(s, "a key in double quotes");
    if (!scan_string(s)) return BASE_JSCAN_ERROR;
    s->expect = COLON;
    return BASE_JSCAN_KEY;
}

base_jevent base_jscan_next(base_jscan *s) {
    if (s->at == 0 && s->depth == 0 && s->expect == VALUE) {
        if (starts_with(s, "\xef\xbb\xbf")) {
            return fail(s, 0,
                        "the file begins with a byte order mark; save it as UTF-8 without BOM");
        }
        if (starts_with(s, "\xff\xfe") || starts_with(s, "\xfe\xff")) {
            return fail(s, 0, "the file is UTF-16; JSON must be UTF-8");
        }
    }
    skip_space(s);
    char c = s->at < s->length ? s->text[s->at] : '\0';
    switch (s->expect) {
    case VALUE:
        return s->at < s->length || s->depth ? scan_value(s) : fail(s, s->at, "the text is empty");
    case FIRST_ITEM: return c == ']' ? close_container(s, false) : scan_value(s);
    case FIRST_KEY: return c == '}' ? close_container(s, true) : scan_key(s);
    case KEY: return c == '}' ? fail(s, s->at, "trailing comma before '}'") : scan_key(s);
    case COLON:
        if (c != ':') return unexpected(s, "':' after the key");
        s->at++;
        s->expect = VALUE;
        skip_space(s);
        return scan_value(s);
    case AFTER_ITEM:
        if (c == ']') return close_container(s, false);
        if (c != ',') return unexpected(s, "',' or ']'");
        s->at++;
        skip_space(s);
        if (s->at < s->length && s->text[s->at] == ']')
            return fail(s, s->at, "trailing comma before ']'");
        return scan_value(s);
    case AFTER_MEMBER:
        if (c == '}') return close_container(s, true);
        if (c != ',') return unexpected(s, "',' or '}'");
        s->at++;
        s->expect = KEY;
        return base_jscan_next(s);
    case AFTER_DOCUMENT:
        if (s->at < s->length)
            return fail(s, s->at, "unexpected text after the end of the document");
        s->begin = s->end = s->at;
        return BASE_JSCAN_END;
    default: return BASE_JSCAN_ERROR;
    }
}
