/* The lexer of the text form; see lex.h. */
#include "ir/text/lex.h"

#include <string.h>

base_loc ir_token_loc(const base_source *source, const ir_token *t) {
    return (base_loc){.source = source, .line = t->line, .col = t->col, .length = t->length};
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_word_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' ||
           c == '.' || c == '/' || c == '-';
}

static bool at_comment(const ir_lexer *lx) {
    return *lx->p == '#' || (*lx->p == '/' && lx->end - lx->p > 1 && lx->p[1] == '/');
}

static void skip_blanks(ir_lexer *lx) {
    while (lx->p < lx->end) {
        if (*lx->p == '\n') {
            lx->p++;
            lx->line++;
            lx->line_start = lx->p;
            lx->first = true;
        } else if (*lx->p == ' ' || *lx->p == '\t' || *lx->p == '\r') {
            lx->p++;
        } else if (at_comment(lx)) {
            while (lx->p < lx->end && *lx->p != '\n') lx->p++;
        } else {
            return;
        }
    }
}

static void set_text(ir_lexer *lx, ir_token *t, const char *from, const char *to) {
    t->text_length = (size_t)(to - from);
    t->text = base_arena_strndup(lx->arena, from, t->text_length);
}

static void lexical_error(ir_lexer *lx, ir_token *t, const char *at, const char *message) {
    base_loc loc = {.source = lx->source,
                    .line = lx->line,
                    .col = (uint32_t)(at - lx->line_start) + 1,
                    .length = 1};
    base_error(lx->d, &loc, "%s", message);
    t->kind = TOK_BAD;
    t->text = "";
}

static int hex_digit(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* One escape after the backslash at p; the number of characters it takes, 0 when it is none. */
static size_t read_escape(const char *p, const char *end, char *out) {
    if (end - p < 2) return 0;
    switch (p[1]) {
    case 'n': *out = '\n'; return 2;
    case 't': *out = '\t'; return 2;
    case '"':
    case '\\': *out = p[1]; return 2;
    case 'x': {
        int hi = end - p >= 4 ? hex_digit(p[2]) : -1, lo = end - p >= 4 ? hex_digit(p[3]) : -1;
        if (hi < 0 || lo < 0 || (hi == 0 && lo == 0)) return 0;
        *out = (char)(unsigned char)(hi * 16 + lo);
        return 4;
    }
    default: return 0;
    }
}

/* A string from the quote at lx->p. */
static void read_string(ir_lexer *lx, ir_token *t) {
    const char *start = lx->p + 1, *close = start;
    while (close < lx->end && *close != '"' && (unsigned char)*close >= 0x20) {
        bool escape = *close == '\\' && lx->end - close > 1 && (unsigned char)close[1] >= 0x20;
        close += escape ? 2 : 1;
    }
    if (close >= lx->end || *close != '"') {
        const char *at = lx->p;
        while (lx->p < lx->end && *lx->p != '\n') lx->p++;
        lexical_error(lx, t, at,
                      "the string does not end on its line, or holds a control character");
        return;
    }
    char *text = base_arena_alloc(lx->arena, (size_t)(close - start) + 1);
    size_t n = 0;
    for (const char *p = start; p < close;) {
        if (*p != '\\') {
            text[n++] = *p++;
            continue;
        }
        size_t taken = read_escape(p, close, &text[n++]);
        if (taken == 0) {
            lx->p = close + 1;
            lexical_error(lx, t, p, "unknown escape in a string");
            return;
        }
        p += taken;
    }
    lx->p = close + 1;
    t->text = text;
    t->text_length = n;
}

static void read_word(ir_lexer *lx, ir_token *t) {
    const char *start = lx->p;
    while (lx->p < lx->end && is_word_char(*lx->p)) lx->p++;
    set_text(lx, t, start, lx->p);
}

static void read_number(ir_lexer *lx, ir_token *t) {
    const char *start = lx->p;
    while (lx->p < lx->end && (is_word_char(*lx->p) || *lx->p == '+')) lx->p++;
    set_text(lx, t, start, lx->p);
}

/* After '%' or '@'. */
static void read_name(ir_lexer *lx, ir_token *t) {
    lx->p++;
    if (t->kind == TOK_REF && lx->p < lx->end && *lx->p == '"') {
        read_string(lx, t);
    } else {
        read_word(lx, t);
    }
    if (t->kind != TOK_BAD && t->text_length == 0)
        lexical_error(lx, t, lx->p - 1, "a name must follow '%' and '@'");
}

ir_token ir_lex(ir_lexer *lx) {
    skip_blanks(lx);
    ir_token t = {.text = "",
                  .line = lx->line,
                  .col = (uint32_t)(lx->p - lx->line_start) + 1,
                  .first = lx->first};
    const char *start = lx->p;
    lx->first = false;
    if (lx->p >= lx->end) {
        t.first = true; /* everything may end here */
        return t;
    }
    char c = *lx->p;
    if (c == '"') {
        t.kind = TOK_STRING;
        read_string(lx, &t);
    } else if (c == '%' || c == '@') {
        t.kind = c == '%' ? TOK_LABEL : TOK_REF;
        read_name(lx, &t);
    } else if (is_digit(c) || c == '-') {
        t.kind = TOK_NUMBER;
        read_number(lx, &t);
    } else if (is_word_char(c)) {
        t.kind = TOK_WORD;
        read_word(lx, &t);
    } else if (strchr("=:,()[]{}+", c) && c) {
        t.kind = TOK_PUNCT;
        lx->p++;
        set_text(lx, &t, start, lx->p);
    } else {
        lx->p++;
        lexical_error(lx, &t, start, "unexpected character");
    }
    t.length = (uint32_t)(lx->p - start);
    return t;
}
