/* The words of the text form, ops with their operands and attributes, types, enumerations and
 * properties, beside those that a golden has of the version. Who changes them decides about the
 * version by the rule in ir/ir.h and writes the golden anew:
 *
 *   build/release/bin/text_version_test --write >tests/goldens/text-form.txt */
#include "ir/ir.h"
#include "runtime/abi/meta_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void add_op(ir_op id, base_str *out) {
    const ir_op_info *op = ir_op_get(id);
    const ir_node n = {.op = id, .attrs = op->attr_default};
    base_str_addf(out, "op %s", op->name);
    for (uint32_t k = 0; k < op->max_operands; k++)
        base_str_addf(out, " %s%s", op->operand_name[k],
                      k >= op->graph_operands ? "+"
                      : k >= op->min_operands ? "?"
                                              : "");
    for (uint32_t i = 0; i < op->attr_count; i++) {
        base_str_addf(out, "%s%s=", i ? ", " : " {", op->attrs[i].name);
        ir_print_attr(&n, i, out);
        base_str_addf(out, " from %s", ir_level_name[op->attrs[i].level]);
    }
    base_str_add(out, op->attr_count ? "}" : "");
    for (int l = 0; l < IR_LEVEL_COUNT; l++)
        if (op->levels & 1u << l) base_str_addf(out, " %s", ir_level_name[l]);
    base_str_add(out, "\n");
}

static void add_words(const char *what, const char *const *names, int count, base_str *out) {
    base_str_addf(out, "%s", what);
    for (int i = 0; i < count; i++) base_str_addf(out, " %s", names[i]);
    base_str_add(out, "\n");
}

static void vocabulary(base_str *out) {
    static const char *const types[] = {"integer", "flag", "float", "string", "choice", "numbers"};
    base_str_addf(out, "version %d, reads from %d on\n", IR_TEXT_VERSION, IR_TEXT_OLDEST);
    add_words("level", ir_level_name, IR_LEVEL_COUNT, out);
    add_words("type", ir_dtype_name, IR_DTYPE_COUNT, out);
    add_words("layout", ir_layout_name, IR_LAYOUT_COUNT, out);
    add_words("frequency", ir_freq_name, IR_FREQ_COUNT, out);
    add_words("activation", ir_act_name, IR_ACT_COUNT, out);
    add_words("precision", ir_precision_name, IR_PRECISION_COUNT, out);
    add_words("update", ir_lora_method_name, IR_LORA_METHODS, out);
    add_words("factor", ir_lora_factor_name, IR_LORA_FACTORS, out);
    for (int op = 0; op < IR_OP_COUNT; op++) add_op((ir_op)op, out);
    for (size_t i = 0; i < ebru_meta_count(); i++) {
        const ebru_meta_key *k = ebru_meta_at(i);
        base_str_addf(out, "property %s %s%s%s\n", k->name, types[k->type], k->words ? " " : "",
                      k->words ? k->words : "");
    }
}

static char *golden(void) {
    FILE *f = fopen(EBRU_GOLDENS_DIR "/text-form.txt", "r");
    char *text = calloc(1, 1 << 20);
    if (!f || !text) fail_msg("cannot read tests/goldens/text-form.txt");
    size_t n = fread(text, 1, (1 << 20) - 1, f);
    text[n] = '\0';
    fclose(f);
    return text;
}

static void words_are_those_of_the_version(void **state) {
    (void)state;
    base_str now = {0};
    char *then = golden();
    vocabulary(&now);
    const char *a = then, *b = now.data;
    while (*a || *b) { /* line by line */
        size_t n = strcspn(a, "\n"), m = strcspn(b, "\n");
        if (n != m || memcmp(a, b, n) != 0)
            fail_msg("the text form has changed:\n  was: %.*s\n  is:  %.*s\n"
                     "If this is its first change since the last release (CHANGELOG.md says which "
                     "version each "
                     "wrote), raise IR_TEXT_VERSION by "
                     "the rule in ir/ir.h;\nthen: build/release/bin/text_version_test --write "
                     ">tests/goldens/text-form.txt",
                     (int)n, a, (int)m, b);
        a += n + (a[n] == '\n');
        b += m + (b[m] == '\n');
    }
    base_str_free(&now);
    free(then);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--write") == 0) {
        base_str now = {0};
        vocabulary(&now);
        fputs(now.data, stdout);
        base_str_free(&now);
        return 0;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(words_are_those_of_the_version)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
