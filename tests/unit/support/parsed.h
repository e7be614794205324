/* A module from text that must be right. Included after cmocka.h. */
#ifndef EBRU_TESTS_PARSED_H
#define EBRU_TESTS_PARSED_H

#include <string.h>

#include "ir/ir.h"

static inline ir_module *parse(const char *text) {
    ir_diag *d = ir_diag_new(NULL);
    ir_module *m = ir_parse(d, "t.ir", text, strlen(text));
    ir_diag_free(d);
    assert_non_null(m);
    return m;
}

#endif
