/* Readers of a file, each fault by itself: a good text with one place changed is refused. */
#ifndef EBRU_TESTS_UNIT_SUPPORT_REFUSAL_H
#define EBRU_TESTS_UNIT_SUPPORT_REFUSAL_H

#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/captured_diag.h"

/* Reads a text of the file `name`: NULL when it is refused. */
typedef void *refusal_reader(base_diag *d, const char *name, const char *text, size_t length);

/* `good` with its first `from` replaced is refused by `message`, which tells the place in `name`. */
static inline void expect_refusal(refusal_reader *read, const char *name, const char *good,
                                  const char *from, const char *to, const char *message) {
    capture c;
    const char *at = strstr(good, from);
    assert_non_null(at);
    const size_t size = strlen(good) + strlen(to) + 1;
    char *text = malloc(size);
    assert_non_null(text);
    snprintf(text, size, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    capture_begin(&c, (base_diag_options){0});
    const bool refused = !read(c.diag, name, text, strlen(text));
    const char *said = captured(&c);
    if (!refused || !strstr(said, message) || strncmp(said, name, strlen(name)) != 0 ||
        said[strlen(name)] != ':')
        fail_msg("'%s' for '%s': expected '%s', got: %s", to, from, message, said);
    capture_end(&c);
    free(text);
}

#endif
