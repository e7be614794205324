/* The little of Unicode that a CLIP tokenizer needs. */
#ifndef EBRU_RUNTIME_TEXT_UNICODE_H
#define EBRU_RUNTIME_TEXT_UNICODE_H

#include "runtime/engine/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { RT_LETTER = 1, RT_NUMBER = 2, RT_SPACE = 4 }; /* \p{L}, \p{N}, White_Space */

/* Kind of a code point, 0 for everything else. */
unsigned rt_unicode_kind_of(uint32_t code);

/* Lower case of a single code point, without context: one code, or two for U+0130 (i and U+0307).
 */
int rt_unicode_lower_of(uint32_t code, uint32_t out[2]);

/* Decodes the scalar value at text[*at] (*at < length) and advances *at. False, *at untouched, if
 * the bytes there are not UTF-8 as of RFC 3629 (overlong forms, surrogates, values above U+10FFFF
 * and cut sequences are not). */
bool rt_utf8_next(const char *text, size_t length, size_t *at, uint32_t *code);
/* Appends the UTF-8 of `code` to out, returns its length 1..4. */
size_t rt_utf8_put(uint32_t code, char out[4]);

enum { RT_PRINTABLE_MAX = 240 };

/* Text from outside for a message, in one line: what is not UTF-8, or would move the cursor, hide
 * or reorder the text around it, becomes \xNN a byte; what does not fit is cut and ends in "...".
 * Backslashes stay, so that doing it twice changes nothing. Returns `out`. */
const char *rt_printable(const char *text, char out[RT_PRINTABLE_MAX]);
/* Prints all of it in that form. */
void rt_print(FILE *out, const char *text);

/* Normalization form C of codes[count], in time proportional to count. *out is malloc'ed. */
rt_status rt_unicode_nfc(const uint32_t *codes, size_t count, uint32_t **out, size_t *out_count,
                         rt_error *err);

/* UTF-8 text -> NFC, then lower case if asked for; *out is malloc'ed and NUL-terminated.
 * RT_ERR_INPUT with the byte offset for text that is not UTF-8. */
rt_status rt_unicode_normalize(const char *text, size_t length, bool lower, char **out,
                               size_t *out_length, rt_error *err);

#endif
