/* What was probably meant by a misspelled word. */
#ifndef EBRU_BASE_SUGGEST_H
#define EBRU_BASE_SUGGEST_H

#include <stddef.h>

/* The candidate nearest to `word`: at most max(1, length / 3) letters are inserted, deleted,
 * replaced or swapped with a neighbour, case does not count. NULL when none is near; candidates may
 * be NULL, and words beyond 128 bytes are near to nothing. */
const char *base_suggest(const char *word, const char *const *candidates, size_t count);

/* The same for names of classes, which are made of words: letters within a word may be wrong, but
 * the capitals and digits are the same (StableDiffusion3Pipeline is no misspelling of
 * StableDiffusionPipeline), or all letters are but for their case. */
const char *base_suggest_class(const char *word, const char *const *candidates, size_t count);

enum { BASE_HINT_MAX = 160 };
/* For the end of a message: "; did you mean 'NEAR'?", or "" where near is NULL. Returns `out`. */
const char *base_hint(const char *near, char out[BASE_HINT_MAX]);

#endif
