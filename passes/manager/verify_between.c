/* What the manager does with the IR between passes: verify, round trip, dump, and the end of a
 * broken one. */
#include "passes/manager/manager.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* print -> parse -> print must be the identity: a dump that cannot be read back is worth nothing.
 */
static void check_round_trip(const ir_module *m, base_str *faults) {
    base_str text = {0}, again = {0};
    ir_print(m, &text);
    char *messages = NULL;
    size_t length = 0;
    FILE *sink = open_memstream(&messages, &length);
    if (!sink) ICE("open_memstream: %s", strerror(errno));
    base_diag *d = base_diag_new(&(base_diag_options){.out = sink});
    ir_module *copy = ir_parse(d, "round-trip", text.data, text.len);
    if (copy) {
        ir_print(copy, &again);
        if (again.len != text.len || memcmp(again.data, text.data, text.len))
            base_str_add(faults, "the text form does not read back identically\n");
    }
    ir_module_free(copy);
    base_diag_flush(d);
    base_diag_free(d);
    fclose(sink);
    if (!again.data) {
        base_str_add(faults, "the text form does not read back:\n");
        base_str_add(faults, messages ? messages : "");
    }
    free(messages);
    base_str_free(&again);
    base_str_free(&text);
}

void pass_check(const ir_module *m, base_str *faults) {
    if (ir_verify(m, faults)) check_round_trip(m, faults);
}

static bool write_text(const char *path, const ir_module *m, bool loc) {
    FILE *out = fopen(path, "w");
    if (!out) return false;
    base_str text = {0};
    ir_print_text(m, loc, &text);
    bool fine = fwrite(text.data, 1, text.len, out) == text.len;
    base_str_free(&text);
    if (fclose(out)) fine = false;
    return fine;
}

_Noreturn void pass_broken(const ir_module *m, const char *pass, const char *faults,
                           const char *dir) {
    base_str path = {0};
    base_str_addf(&path, "%s/ebru-bad.ir", dir ? dir : ".");
    bool written = write_text(path.data, m, true);
    ICE("the IR is broken after pass %s%s%s:\n%s", pass, written ? "; it is in " : "",
        written ? path.data : "", faults);
}

bool pass_dump(base_diag *d, const ir_module *m, const pass_options *o, uint32_t number,
               const char *pass) {
    base_str path = {0};
    base_str_addf(&path, "%s/%02u-%s.ir", o->dump_dir, number, pass);
    bool fine = write_text(path.data, m, !o->no_loc);
    if (!fine)
        base_error(d, NULL, "cannot write '%s': %s", base_escape(path.data, path.len),
                   strerror(errno));
    base_str_free(&path);
    return fine;
}
