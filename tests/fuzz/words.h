/* Inputs that stand for a command line: a word a line. */
#ifndef EBRU_TESTS_FUZZ_WORDS_H
#define EBRU_TESTS_FUZZ_WORDS_H

#include "tests/fuzz/fuzz.h"

enum { FUZZ_MOST_WORDS = 100 };

typedef struct fuzz_words {
    char *argv[FUZZ_MOST_WORDS + 2]; /* argv[0] is the program; NULL behind the last */
    int argc;
} fuzz_words;

/* Words have no NUL; the strings are base_alloc'd, each alone, so that a sanitizer sees a read
 * behind one. */
static inline void fuzz_words_begin(fuzz_words *w, const uint8_t *data, size_t size) {
    const char *text = (const char *)data, *end = text + size;
    *w = (fuzz_words){.argc = 1};
    w->argv[0] = base_alloc(8);
    strcpy(w->argv[0], "program");
    while (text < end && w->argc <= FUZZ_MOST_WORDS) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        const size_t n = strnlen(text, (size_t)((stop ? stop : end) - text));
        char *word = base_alloc(n + 1);
        memcpy(word, text, n);
        word[n] = '\0';
        w->argv[w->argc++] = word;
        text = stop ? stop + 1 : end;
    }
}

static inline void fuzz_words_end(fuzz_words *w) {
    for (int i = 0; i < w->argc; i++) base_free(w->argv[i]);
}

#endif
