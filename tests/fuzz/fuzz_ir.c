/* Fuzz entry for the text form: whatever the bytes are, reading ends in a valid module or in
 * diagnostics; what was read prints, reads back and prints identically. Build by hand with
 *
 *   clang-19 -g -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. tests/fuzz/fuzz_ir.c \
 *       $(find base ir -name '*.c') -lm -o fuzz_ir
 *
 * tests/unit/ir/print_parse_test.c runs it on mutations of a valid text. */
#include <stdlib.h>
#include <string.h>

#include "ir/ir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ir_module *parse(const char *text, size_t length, FILE *sink) {
    base_diag *d = base_diag_new(&(base_diag_options){.out = sink});
    ir_module *m = ir_parse(d, "fuzz.ir", text, length);
    if (!m && base_diag_errors(d) == 0) abort(); /* a refusal without a reason */
    base_diag_free(d);
    return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static FILE *sink;
    if (!sink) sink = fopen("/dev/null", "w");
    if (!sink) return 0;
    ir_module *m = parse((const char *)data, size, sink);
    if (!m) return 0;
    base_str first = {0}, second = {0};
    ir_print(m, &first);
    ir_module *again = parse(first.data, first.len, sink);
    if (!again) abort();
    ir_print(again, &second);
    if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0) abort();
    base_str_free(&first);
    base_str_free(&second);
    ir_module_free(again);
    ir_module_free(m);
    return 0;
}
