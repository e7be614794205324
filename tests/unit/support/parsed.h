/* A module from text that must be right. Included after cmocka.h. */
#ifndef EBRU_TESTS_UNIT_SUPPORT_PARSED_H
#define EBRU_TESTS_UNIT_SUPPORT_PARSED_H

#include <string.h>

#include "ir/ir.h"

static inline ir_module *parse(const char *text) {
    base_diag *d = base_diag_new(NULL);
    ir_module *m = ir_parse(d, "t.ir", text, strlen(text));
    base_diag_free(d);
    assert_non_null(m);
    return m;
}

#endif
