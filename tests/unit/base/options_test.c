/* A command line by a table, on a table of the test's own with every kind of row. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/options.h"

enum { PAINT = 1, LOOK = 2, BOTH = 3 };

typedef struct settings {
    bool quiet, report, report_json, analyze, bench, help;
    const char *output, *depth, *cpu, *bench_form;
    int steps;
    int64_t level;
    double scale;
    const char *left_out[4], *operands[4];
    int left_out_count, operand_count;
} settings;

static bool leave_out(void *options, const base_option *row, const char *value, char *error) {
    settings *s = options;
    if (!*value) return base_option_expects(row, "a pass", value, error);
    s->left_out[s->left_out_count++] = value;
    return true;
}

static bool set_bench(void *options, const base_option *row, const char *value, char *error) {
    settings *s = options;
    (void)row, (void)error;
    s->bench = true;
    s->bench_form = value;
    return true;
}

static bool operand(void *options, const char *word, char *error) {
    settings *s = options;
    if (s->operand_count == 2) {
        snprintf(error, BASE_OPTION_ERROR_MAX, "unexpected argument '%s'", word);
        return false;
    }
    s->operands[s->operand_count++] = word;
    return true;
}

#define AT(field) .offset = offsetof(settings, field)
static const base_option rows[] = {
    {"--output", "-o", "FILE", "where to", BOTH, BASE_OPTION_TEXT, AT(output)},
    {"--steps", NULL, "N", "how many", PAINT, BASE_OPTION_INT, .least = 1, .most = 1000, AT(steps)},
    {"--scale", "-s", "X", "how much", PAINT, BASE_OPTION_REAL, .most = 10, AT(scale)},
    {"-O", NULL, "N", "effort", BOTH, BASE_OPTION_INT64, true, 0, 3, AT(level)},
    {"-mcpu=", NULL, "LEVEL", "which CPU", BOTH, BASE_OPTION_TEXT, AT(cpu)},
    {"-fno-", NULL, "PASS", "leave out", BOTH, BASE_OPTION_OWN, .set = leave_out},
    {"--analyze", NULL, NULL, "analyze", LOOK, BASE_OPTION_FLAG, AT(analyze)},
    {"--analyze=", NULL, "DEPTH", "analyze to a depth", LOOK, BASE_OPTION_TEXT, AT(depth)},
    {"--report", NULL, NULL, "report", LOOK, BASE_OPTION_FLAG, AT(report)},
    {"--report=json", NULL, NULL, "report as JSON", LOOK, BASE_OPTION_FLAG, AT(report_json)},
    {"--bench", NULL, NULL, "time it", PAINT, BASE_OPTION_OWN, .set = set_bench},
    {"--file=", NULL, "FILE", NULL, BOTH, BASE_OPTION_NAME, AT(output)},
    {"--plant", NULL, "FAULT", NULL, BOTH, BASE_OPTION_TEXT, AT(output)},
    {"--quiet", "-q", NULL, "say nothing", BOTH, BASE_OPTION_FLAG, AT(quiet)},
    {"-h", NULL, NULL, "this text", BOTH, BASE_OPTION_FLAG, AT(help)},
    {"--help", NULL, NULL, "this text", BOTH, BASE_OPTION_FLAG, AT(help)},
    {"--retries", NULL, "N", NULL, LOOK, BASE_OPTION_INT, .least = 1, .most = BASE_OPTION_ANY,
     AT(steps)},
};
static const char *command_name(unsigned bit) {
    return bit == PAINT ? "paint" : bit == LOOK ? "look" : NULL;
}

static const base_option_advice advice[] = {{"--num-steps", "--steps says how many"}};
static const base_option_table table = {.rows = rows,
                                        .count = sizeof rows / sizeof *rows,
                                        .operand = operand,
                                        .advice = advice,
                                        .advice_count = 1};

static char error[BASE_OPTION_ERROR_MAX];
static bool parse(settings *s, unsigned commands, const char *line) {
    static char words[500];
    char *argv[20];
    int argc = 0;
    *s = (settings){0};
    snprintf(words, sizeof words, "%s", line);
    for (char *w = strtok(words, " "); w; w = strtok(NULL, " ")) argv[argc++] = w;
    return base_options_parse(&table, commands, s, argc, argv, error);
}

static void every_spelling_of_a_value(void **state) {
    (void)state;
    static const char *const lines[] = {"--output x --steps 7 -s 2.5 -O 2 -mcpu a -q",
                                        "--output=x --steps=7 -s2.5 -O2 -mcpu=a --quiet",
                                        "-o x --steps=7 --scale 2.5 -O2 -mcpu=a -q",
                                        "-ox --steps=9 --steps=7 --scale=2.5 -O1 -O2 -mcpu a -q"};
    settings s;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (!parse(&s, BOTH, lines[i])) fail_msg("%s: %s", lines[i], error);
        assert_string_equal(s.output, "x");
        assert_int_equal(s.steps, 7);
        assert_true(s.scale == 2.5);
        assert_int_equal(s.level, 2);
        assert_string_equal(s.cpu, "a");
        assert_true(s.quiet);
    }
    assert_true(parse(&s, BOTH, "-fno-dce -fno-cse -mcpu= --output="));
    assert_int_equal(s.left_out_count, 2);
    assert_string_equal(s.left_out[1], "cse");
    assert_string_equal(s.cpu, "");
    assert_string_equal(s.output, "");
}

static void a_flag_beside_an_option_of_its_name(void **state) {
    (void)state;
    settings s;
    assert_true(parse(&s, LOOK, "--analyze --report"));
    assert_true(s.analyze && !s.depth && s.report && !s.report_json);
    assert_true(parse(&s, LOOK, "--analyze=3 --report=json"));
    assert_true(!s.analyze && !s.report && s.report_json);
    assert_string_equal(s.depth, "3");
    assert_true(parse(&s, PAINT, "--bench"));
    assert_true(s.bench && !s.bench_form);
    assert_true(parse(&s, PAINT, "--bench=json"));
    assert_string_equal(s.bench_form, "json");
}

static void operands_and_the_end_of_options(void **state) {
    (void)state;
    settings s;
    assert_true(parse(&s, BOTH, "a -q -"));
    assert_int_equal(s.operand_count, 2);
    assert_string_equal(s.operands[1], "-");
    assert_true(parse(&s, BOTH, "-- -q --"));
    assert_true(!s.quiet && s.operand_count == 2);
    assert_string_equal(s.operands[0], "-q");
    assert_string_equal(s.operands[1], "--");
    assert_true(base_options_parse(&table, BOTH, &s, 0, NULL, error));
}

static void owners_are_named(void **state) {
    (void)state;
    base_option_table named = table;
    named.command = command_name;
    settings s = {0};
    char *steps[] = {"--steps=3"}, *analyze[] = {"--analyze"}, *version[] = {"--output=x"};
    assert_false(base_options_parse(&named, LOOK, &s, 1, steps, error));
    assert_string_equal(error, "unknown option '--steps=3'; paint has it");
    assert_false(base_options_parse(&named, PAINT, &s, 1, analyze, error));
    assert_string_equal(error, "unknown option '--analyze'; look has it");
    assert_false(base_options_parse(&named, 1u << 20, &s, 1, version, error));
    assert_string_equal(error, "unknown option '--output=x'; paint, look have it");
}

static void what_is_wrong_is_said(void **state) {
    (void)state;
    static const struct {
        unsigned commands;
        const char *line, *says;
    } cases[] = {
        {BOTH, "--stesp=3", "unknown option '--stesp=3'; did you mean '--steps'?"},
        {BOTH, "--outptu x", "unknown option '--outptu'; did you mean '--output'?"},
        {BOTH, "-mcpo=x", "unknown option '-mcpo=x'; did you mean '-mcpu='?"},
        {BOTH, "--plan", "unknown option '--plan'; see --help"}, /* for tests: not suggested */
        {PAINT, "--analyze", "unknown option '--analyze'; other commands have it"},
        {LOOK, "--steps 3", "unknown option '--steps'; other commands have it"},
        {BOTH, "--num-steps=3", "unknown option '--num-steps=3'; --steps says how many"},
        {BOTH, "--num-step", "unknown option '--num-step'; see --help"},
        {BOTH, "-x", "unknown option '-x'; see --help"},
        {BOTH, "-qq", "unknown option '-qq'; see --help"},
        {BOTH, "--steps", "--steps expects a value: N"},
        {BOTH, "--steps 0", "--steps expects a whole number from 1 to 1000, not '0'"},
        {BOTH, "--steps 1001", "from 1 to 1000, not '1001'"},
        {BOTH, "--steps 3x", "not '3x'"},
        {BOTH, "--steps=", "not ''"},
        {BOTH, "--steps 99999999999999999999", "not '99999999999999999999'"},
        {BOTH, "--file=", "--file= expects FILE, not ''"},
        {BOTH, "-O 4", "-O expects a whole number from 0 to 3, not '4'"},
        {BOTH, "-s nan", "--scale expects a number from 0 to 10, not 'nan'"},
        {BOTH, "-s -1", "not '-1'"},
        {BOTH, "-s1e999", "not '1e999'"},
        {BOTH, "-fno-", "-fno- expects a value: PASS"},
        {BOTH, "--quiet=1", "--quiet takes no value"},
        {BOTH, "--report=xml", "--report= expects json, not 'xml'"},
        {BOTH, "a b c", "unexpected argument 'c'"},
    };
    settings s;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (parse(&s, cases[i].commands, cases[i].line)) fail_msg("%s is taken", cases[i].line);
        if (!strstr(error, cases[i].says))
            fail_msg("%s: '%s' lacks '%s'", cases[i].line, error, cases[i].says);
    }
    char line[400]; /* words of any length fit into the message */
    snprintf(line, sizeof line, "--%0390d", 7);
    assert_false(parse(&s, BOTH, line));
}

static void help_shows_the_rows_of_a_command(void **state) {
    (void)state;
    char *text = NULL, head[BASE_OPTION_HEAD_MAX];
    size_t n;
    FILE *out = open_memstream(&text, &n);
    base_options_print(out, &table, LOOK, 20);
    fclose(out);
    assert_string_equal(text, "  -o, --output FILE    where to\n"
                              "      -ON              effort\n"
                              "      -mcpu=LEVEL      which CPU\n"
                              "      -fno-PASS        leave out\n"
                              "      --analyze        analyze\n"
                              "      --analyze=DEPTH  analyze to a depth\n"
                              "      --report         report\n"
                              "      --report=json    report as JSON\n"
                              "  -q, --quiet          say nothing\n"
                              "      -h               this text\n");
    free(text);
    assert_string_equal(base_option_head(&rows[2], head), "-s, --scale X");
    assert_true(base_option_is_glued(&rows[3]) && base_option_is_glued(&rows[5]));
    assert_false(base_option_is_glued(&rows[0]));
}

/* Who reads the number knows the limit; what does not fit becomes the largest that does. */
static void numbers_without_a_limit(void **state) {
    (void)state;
    static const struct {
        const char *line;
        int value;
    } cases[] = {{"--retries 1", 1},
                 {"--retries=2147483647", INT_MAX},
                 {"--retries=2147483648", INT_MAX},
                 {"--retries=99999999999999999999", INT_MAX}};
    settings s;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(parse(&s, LOOK, cases[i].line));
        assert_int_equal(s.steps, cases[i].value);
    }
    static const char *const wrong[] = {"0", "-1", "-99999999999999999999", "1.5", "3x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char line[60], expected[100];
        snprintf(line, sizeof line, "--retries=%s", wrong[i]);
        snprintf(expected, sizeof expected, "--retries expects a whole number from 1 on, not '%s'",
                 wrong[i]);
        assert_false(parse(&s, LOOK, line));
        assert_string_equal(error, expected);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_without_a_limit),
        cmocka_unit_test(every_spelling_of_a_value),
        cmocka_unit_test(a_flag_beside_an_option_of_its_name),
        cmocka_unit_test(operands_and_the_end_of_options),
        cmocka_unit_test(owners_are_named),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(help_shows_the_rows_of_a_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
