/* Fuzz entry for the text form: whatever the bytes are, reading ends in a valid module or in
 * diagnostics; what was read prints, reads back and prints identically.
 * tests/unit/ir/print_parse_test.c runs it on mutations of a valid text. */
#include "tests/fuzz/fuzz.h"

#include "ir/ir.h"

static ir_module *parse(const char *text, size_t length) {
    base_diag *d = fuzz_diag(false);
    ir_module *m = ir_parse(d, "fuzz.ir", text, length);
    PROMISE((m != NULL) == (base_diag_errors(d) == 0));
    base_diag_free(d);
    return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ir_module *m = parse((const char *)data, size);
    if (!m) return 0;
    base_str first = {0}, second = {0};
    ir_print(m, &first);
    ir_module *again = parse(first.data, first.len);
    PROMISE(again != NULL);
    ir_print(again, &second);
    PROMISE(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    base_str_free(&first);
    base_str_free(&second);
    ir_module_free(again);
    ir_module_free(m);
    return 0;
}
