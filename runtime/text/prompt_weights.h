/* Weighted prompts: the notation of AUTOMATIC1111's web UI, which stable-diffusion.cpp reads too.
 *
 *   (text)       weight x 1.1             [text]   weight / 1.1
 *   (text:1.5)   weight x 1.5             BREAK    the tokens behind it start a new chunk
 *   \( \) \[ \] \\                        the character itself
 *
 * Brackets nest and their weights multiply; round and square ones are independent, so "(a[b)c]" is
 * allowed. Unbalanced brackets: one that is never closed reaches to the end of the prompt ("(a" is
 * "(a)"); a closing one that closes nothing is text, as ":1.5)" is. A weight is a decimal number
 * with an optional sign, spaces around it are allowed; ":1.5" without the closing bracket right
 * behind it is text.
 *
 * Where the two programs differ from each other, this is the reading: all five escapes (the web UI;
 * sd-cli documents them but unescapes only "\("), a backslash before anything else is text (sd-cli;
 * the web UI drops it), spaces around a weight and ":1.5)" that closes nothing as above (the web
 * UI). Where both go wrong: BREAK inside of brackets is a break like any other (there: the word
 * "break" at a negative weight), and a "weight" that is no number, (a:1.2.3), is an error (there:
 * an exception). */
#ifndef EBRU_RUNTIME_TEXT_PROMPT_WEIGHTS_H
#define EBRU_RUNTIME_TEXT_PROMPT_WEIGHTS_H

#include "runtime/engine/status.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    RT_PROMPT_MAX_OPEN = 100,      /* brackets of a kind that are open at the same place */
    RT_PROMPT_MAX_WEIGHT = 1000000 /* magnitude of a segment's weight */
};

/* A piece of text of one weight; neighbours differ in weight or are separated by a break. */
typedef struct rt_prompt_segment {
    const char *text; /* unescaped, NUL-terminated; may hold NUL itself. "" for a break */
    size_t length;
    float weight; /* 1 for a break */
    bool is_break;
} rt_prompt_segment;

typedef struct rt_prompt {
    rt_prompt_segment *segments; /* no empty ones, but an empty prompt is one empty segment */
    size_t count;                /* >= 1 */
    char *storage;
} rt_prompt;

/* Reads text[length] into *p; the caller frees it with rt_prompt_free. Time and memory are
 * proportional to the length. RT_ERR_INPUT with a byte offset: a weight that is no number or too
 * large, too many open brackets; RT_ERR_SYSTEM: out of memory. On failure *p is empty and needs no
 * freeing.
 *
 * What sd-cli does with the result: every segment is tokenised on its own, its ids have the
 * segment's weight (start, end and padding have 1), a break fills up to a multiple of 75 ids with
 * the end token; the text encoder's hidden state of a chunk is multiplied by its ids' weights, then
 * by the mean of all its values before / after. */
rt_status rt_prompt_parse(const char *text, size_t length, rt_prompt *p, rt_error *err);
void rt_prompt_free(rt_prompt *p);

#endif
