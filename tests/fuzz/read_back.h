/* A module that was accepted: its text reads back. */
#ifndef EBRU_TESTS_FUZZ_READ_BACK_H
#define EBRU_TESTS_FUZZ_READ_BACK_H

#include "frontend/frontend.h"
#include "tests/fuzz/fuzz.h"

static inline void fuzz_read_back(const ir_module *m) {
    base_str text = {0};
    ir_print(m, &text);
    base_diag *d = fuzz_diag(false);
    ir_module *again = fe_parse_ir(d, "again.ir", text.data, text.len, NULL);
    PROMISE(again != NULL);
    ir_module_free(again);
    base_diag_free(d);
    base_str_free(&text);
}

#endif
