/* Fuzz entry: any text of a module as `ebru opt` reads it: held to what may be bound, then through
 * all passes for a CPU level, verified between them (a broken module ends the process). What is
 * refused, by the reader or by a pass, has a reason; what comes out reads back.
 *
 * Most changes of a text make it none. So every second mutation puts one number in the place of
 * another, once or wherever it stands: that is often a module of other sizes. */
#include "tests/fuzz/fuzz.h"

#include "codegen/target/target.h"
#include "frontend/frontend.h"
#include "passes/passes.h"

/* Larger modules take long and show nothing new. */
enum { MOST_TEXT = 16384, MOST_NODES = 300, MOST_ELEMENTS = 1 << 20 };

static const ir_target *target_of(size_t size) {
    static const char *const names[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4-amx"};
    base_diag *d = fuzz_diag(false);
    const cg_arch *arch = cg_arch_find(d, "x86_64-linux-gnu");
    const ir_target *t = arch ? cg_arch_target(d, arch, names[size % 4]) : NULL;
    PROMISE(t != NULL);
    base_diag_free(d);
    return t;
}

static bool small(const ir_module *m) {
    size_t nodes = 0;
    for (size_t i = 0; i < m->weights.count; i++)
        if (ir_type_elements(&m->weights.items[i].type) > MOST_ELEMENTS) return false;
    for (size_t i = 0; i < m->funcs.count; i++) nodes += m->funcs.items[i]->nodes.count;
    return nodes <= MOST_NODES;
}

static ir_module *parse(base_diag *d, const char *text, size_t length, const ir_target *target) {
    const ir_text_rules rules = {cg_hold_bindings, (void *)(uintptr_t)target};
    ir_module *m = fe_parse_ir(d, "fuzz.ir", text, length, &rules);
    PROMISE((m != NULL) == (base_diag_errors(d) == 0));
    return m;
}

/* A module that the passes made is one that the reader takes. */
static void read_back(const ir_module *m, const ir_target *target) {
    base_str text = {0};
    base_diag *d = fuzz_diag(false);
    ir_print(m, &text);
    ir_module_free(parse(d, text.data, text.len, target));
    PROMISE(base_diag_errors(d) == 0);
    base_diag_free(d);
    base_str_free(&text);
}

/* ---- mutations ---- */

/* libFuzzer's; the replay has none. */
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);

static bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

/* The length of the number at `at`, 0 where none begins; names (%3, @w8, f32) are none. */
static size_t number_at(const uint8_t *data, size_t size, size_t at) {
    static const char inside[] = "%@._abcdefghijklmnopqrstuvwxyz0123456789";
    size_t n = 0;
    if (at > 0 && data[at - 1] && strchr(inside, data[at - 1])) return 0;
    while (at + n < size && is_digit(data[at + n])) n++;
    return n;
}

static size_t put_number(uint8_t *data, size_t size, size_t most, unsigned seed) {
    static const char *const numbers[] = {"0",  "1",  "2",  "3",  "4",  "5",  "7",   "8",
                                          "15", "16", "17", "24", "32", "33", "512", "65536"};
    static uint8_t old[MOST_TEXT];
    const char *new = numbers[seed >> 2 & 15];
    const size_t width = strlen(new), start = size ? (seed >> 6) % size : 0;
    size_t at = start, n = 0, to = 0;
    if (size > sizeof old) return 0;
    while (at < size && !(n = number_at(data, size, at))) at++;
    if (!n) return 0;
    memcpy(old, data, size);
    for (size_t i = 0; i < size;) {
        const bool here = (i == at || !(seed & 2)) && number_at(old, size, i) == n &&
                          !memcmp(old + i, old + at, n);
        const size_t k = here ? width : 1;
        if (to + k > most) return 0; /* what was written stays: a text cut short */
        memcpy(data + to, here ? (const void *)new : old + i, k);
        to += k;
        i += here ? n : 1;
    }
    return to;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
    const size_t n = seed & 1 ? 0 : put_number(data, size, most, seed);
    return n ? n : LLVMFuzzerMutate(data, size, most);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const ir_target *target = target_of(size);
    base_diag *d = fuzz_diag(size % 2);
    ir_module *m = size <= MOST_TEXT ? parse(d, (const char *)data, size, target) : NULL;
    if (m && small(m)) {
        pass_options o = PASS_OPTIONS_DEFAULT;
        o.print_to = fuzz_sink();
        o.verify_each = true;
        o.quiet = true;
        o.precision = (ir_precision)(size % IR_PRECISION_COUNT);
        pass_context *c = pass_context_new(m, target);
        const bool fine = pass_run(c, &o, d);
        PROMISE(fine == (base_diag_errors(d) == 0));
        base_str report = {0};
        pass_report(c, &report);
        base_str_free(&report);
        pass_context_free(c);
        if (fine) read_back(m, target);
    }
    ir_module_free(m);
    base_diag_free(d);
    return 0;
}
