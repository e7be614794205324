/* Tokens of the text form (grammar: ir/text/print.c); not for other folders. */
#ifndef EBRU_IR_TEXT_LEX_H
#define EBRU_IR_TEXT_LEX_H

#include "ir/ir.h"

typedef enum ir_token_kind {
    TOK_END,
    TOK_WORD,
    TOK_NUMBER,
    TOK_STRING, /* text: what it means, escapes resolved; holds no NUL */
    TOK_LABEL,  /* %word; text without the '%' */
    TOK_REF,    /* @word or @"string"; text without the '@' */
    TOK_PUNCT,  /* one character */
    TOK_BAD     /* already reported */
} ir_token_kind;

typedef struct ir_token {
    ir_token_kind kind;
    const char *text; /* terminated; in the lexer's arena */
    size_t text_length;
    uint32_t line, col, length; /* where it stands; length in bytes of the source */
    bool first;                 /* of its line */
} ir_token;

typedef struct ir_lexer {
    base_arena *arena;
    base_diag *d;
    const base_source *source;
    const char *p, *end, *line_start;
    uint32_t line;
    bool first;
} ir_lexer;

ir_token ir_lex(ir_lexer *lx);
base_loc ir_token_loc(const base_source *source, const ir_token *t);

#endif
