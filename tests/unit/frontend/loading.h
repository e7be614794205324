/* Loading models in tests: accepted without a word, or refused with a message. */
#ifndef EBRU_TESTS_UNIT_FRONTEND_LOADING_H
#define EBRU_TESTS_UNIT_FRONTEND_LOADING_H

#include "frontend/frontend.h"
#include "tests/unit/support/captured_diag.h"

static inline ir_module *accept(const char *path, const fe_options *o) {
    capture c;
    capture_begin(&c, (base_diag_options){0});
    ir_module *m = fe_load(c.diag, path, o);
    if (!m || base_diag_errors(c.diag) || base_diag_warnings(c.diag)) fail_msg("%s", captured(&c));
    capture_end(&c);
    return m;
}

static inline void refuse(const char *path, const fe_options *o, const char *message) {
    capture c;
    capture_begin(&c, (base_diag_options){0});
    ir_module *m = fe_load(c.diag, path, o);
    if (m) fail_msg("accepted, expected <%s>", message);
    if (!strstr(captured(&c), message)) fail_msg("expected <%s> in <%s>", message, captured(&c));
    capture_end(&c);
}

#endif
