/* Integer expressions of model descriptions: "base * 2", "channels[i]", "{i + 3}" within a prefix.
 *
 *   expr    = sum [ ("==" | "!=" | "<" | "<=" | ">" | ">=") sum ]        1 or 0
 *   sum     = product { ("+" | "-") product }
 *   product = factor { ("*" | "/" | "%") factor }                         "/" rounds toward zero
 *   factor  = NUMBER | NAME [ "[" expr "]" ] | "(" expr ")" | "-" factor
 *
 * All arithmetic is checked. */
#ifndef EBRU_FRONTEND_DESCRIPTION_EXPRESSION_H
#define EBRU_FRONTEND_DESCRIPTION_EXPRESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

/* A name and its value: one number, or (values not NULL) a list. */
typedef struct fe_variable {
    const char *name;
    int64_t value;
    const int64_t *values;
    size_t count;
} fe_variable;

/* Later entries hide earlier ones of the same name. */
typedef struct fe_variables {
    BASE_VEC(fe_variable) list;
} fe_variables;

/* False with the reason appended to `why`. */
bool fe_arith(const fe_variables *v, const char *text, size_t length, int64_t *out, base_str *why);
/* `text` with every "{expr}" replaced by its value, appended to `out`; "{{" is a brace. False with
 * the reason in `why`. */
bool fe_arith_substitute(const fe_variables *v, const char *text, base_str *out, base_str *why);

#endif
