/* Diagnostics captured as a string, for tests: CAPTURE(c) ... assert on captured(&c) ...
 * capture_end(&c). */
#ifndef EBRU_TESTS_UNIT_SUPPORT_CAPTURED_DIAG_H
#define EBRU_TESTS_UNIT_SUPPORT_CAPTURED_DIAG_H

#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"

typedef struct capture {
    base_diag *diag;
    FILE *out;
    char *text;
    size_t length;
} capture;

static inline void capture_begin(capture *c, base_diag_options options) {
    c->text = NULL;
    c->out = open_memstream(&c->text, &c->length);
    options.out = c->out;
    c->diag = base_diag_new(&options);
}

/* Everything reported so far; valid until the next report. */
static inline const char *captured(capture *c) {
    base_diag_flush(c->diag);
    fflush(c->out);
    return c->text;
}

static inline void capture_end(capture *c) {
    base_diag_free(c->diag);
    fclose(c->out);
    free(c->text);
}

#endif
