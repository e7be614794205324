/* What the manager does with the IR between passes: verify, round trip, dump, and the end of a broken
 * one. */
#include "passes/manager/manager.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* print -> parse -> print must be the identity: a dump that cannot be read back is worth nothing. */
static void check_round_trip(const ir_module *m, ir_str *faults) {
    ir_str text = {0}, again = {0};
    ir_print(m, &text);
    char *messages = NULL;
    size_t length = 0;
    FILE *sink = open_memstream(&messages, &length);
    if (!sink) ICE("open_memstream: %s", strerror(errno));
    ir_diag *d = ir_diag_new(&(ir_diag_options){.out = sink});
    ir_module *copy = ir_parse(d, "round-trip", text.data, text.len);
    if (copy) {
        ir_print(copy, &again);
        if (again.len != text.len || memcmp(again.data, text.data, text.len))
            ir_str_add(faults, "the text form does not read back identically\n");
    }
    ir_module_free(copy);
    ir_diag_flush(d);
    ir_diag_free(d);
    fclose(sink);
    if (!again.data) {
        ir_str_add(faults, "the text form does not read back:\n");
        ir_str_add(faults, messages ? messages : "");
    }
    free(messages);
    ir_str_free(&again);
    ir_str_free(&text);
}

void pass_check(const ir_module *m, ir_str *faults) {
    if (ir_verify(m, faults)) check_round_trip(m, faults);
}

static bool write_text(const char *path, const ir_module *m) {
    FILE *out = fopen(path, "w");
    if (!out) return false;
    ir_str text = {0};
    ir_print(m, &text);
    bool fine = fwrite(text.data, 1, text.len, out) == text.len;
    ir_str_free(&text);
    if (fclose(out)) fine = false;
    return fine;
}

_Noreturn void pass_broken(const ir_module *m, const char *pass, const char *faults, const char *dir) {
    ir_str path = {0};
    ir_str_addf(&path, "%s/ebru-bad.ir", dir ? dir : ".");
    bool written = write_text(path.data, m);
    ICE("the IR is broken after pass %s%s%s:\n%s", pass, written ? "; it is in " : "",
        written ? path.data : "", faults);
}

bool pass_dump(ir_diag *d, const ir_module *m, const char *dir, uint32_t number, const char *pass) {
    ir_str path = {0};
    ir_str_addf(&path, "%s/%02u-%s.ir", dir, number, pass);
    bool fine = write_text(path.data, m);
    if (!fine) ir_error(d, NULL, "cannot write '%s': %s", ir_escape(path.data, path.len), strerror(errno));
    ir_str_free(&path);
    return fine;
}
