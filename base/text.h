/* Questions about text. */
#ifndef EBRU_BASE_TEXT_H
#define EBRU_BASE_TEXT_H

#include <stdbool.h>
#include <string.h>

static inline bool base_ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), k = strlen(end);
    return n >= k && strcmp(text + n - k, end) == 0;
}

#endif
