/* What the compiler writes as JSON: exact numbers in every locale, harmless text, two layouts; it
 * is read back by the strict reader, which knows nothing of cJSON. */
#include "driver/json_writer.h"

#include "base/json/json.h"
#include "tests/unit/support/captured_diag.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void writes(cJSON *document, drv_json_layout layout, const char *expected) {
    base_str out = {0};
    drv_json_write(document, layout, &out);
    assert_string_equal(out.data, expected);
    base_str_free(&out);
}

static void whole_numbers_are_exact(void **state) {
    (void)state;
    cJSON *list = drv_json_array(NULL, NULL);
    drv_json_int(list, NULL, 0);
    drv_json_int(list, NULL, -7);
    drv_json_int(list, NULL, 1000000000000000); /* cJSON: 1e+15 */
    drv_json_int(list, NULL, 9007199254740993); /* 2^53 + 1 */
    drv_json_int(list, NULL, INT64_MIN);
    drv_json_uint(list, NULL, UINT64_MAX);
    writes(list, DRV_JSON_LINE,
           "[0,-7,1000000000000000,9007199254740993,-9223372036854775808,18446744073709551615]\n");
}

/* One that writes a comma, or NULL where none is installed. */
static const char *comma_locale(void) {
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (setlocale(LC_NUMERIC, names[i])) return names[i];
    return NULL;
}

static void numbers_read_back(void **state) {
    (void)state;
    static const double values[] = {0.1,  1.0 / 3, 1e300, 5e-324,   -2.5,
                                    1e15, 123456., 0.0,   1e22 / 7, 1 + 2.220446e-16};
    enum { COUNT = sizeof values / sizeof *values };
    for (int round = 0; round < 2; round++) {
        if (round && !comma_locale()) break;
        capture c;
        capture_begin(&c, (base_diag_options){0});
        cJSON *list = drv_json_array(NULL, NULL);
        for (size_t i = 0; i < COUNT; i++) drv_json_real(list, NULL, values[i]);
        base_str out = {0};
        drv_json_write(list, DRV_JSON_LINE, &out);
        base_json *doc = base_json_parse(c.diag, "t.json", out.data, out.len, NULL);
        assert_non_null(doc);
        assert_int_equal(base_json_length(base_json_root(doc)), COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            double x = NAN;
            assert_true(base_json_double(base_json_item(base_json_root(doc), i), &x));
            assert_true(x == values[i]);
        }
        base_json_free(doc);
        base_str_free(&out);
        capture_end(&c);
    }
    setlocale(LC_NUMERIC, "C");
}

static void what_is_no_number_is_text(void **state) {
    (void)state;
    cJSON *list = drv_json_array(NULL, NULL);
    drv_json_real(list, NULL, (double)NAN);
    drv_json_real(list, NULL, -(double)INFINITY);
    drv_json_text(list, NULL, NULL);
    drv_json_bool(list, NULL, true);
    writes(list, DRV_JSON_LINE, "[\"nan\",\"-inf\",null,true]\n");
}

static void text_is_harmless(void **state) {
    (void)state;
    static const struct {
        const char *text, *json;
    } rows[] = {
        {"", "\"\""},
        {"conv1", "\"conv1\""},
        {"a\"b\\c\\\"", "\"a\\\"b\\\\c\\\\\\\"\""},
        {"</script><!--", "\"\\u003c/script\\u003e\\u003c!--\""},
        {"\\<", "\"\\\\\\u003c\""},
        {"&amp;", "\"\\u0026amp;\""},
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8e\xa8", "\"caf\\u00e9 \\u20ac \\ud83c\\udfa8\""},
        {"\x1b[2J\n\t\x7f", "\"\\u001b[2J\\n\\t\\u007f\""},
        {"\xe2\x80\xae\xe2\x80\xa8", "\"\\u202e\\u2028\""},
        {"\xff", "\"\\ufffd\""},
        {"a\xc0\xaf", "\"a\\ufffd\\ufffd\""},
        {"\xed\xa0\x80z", "\"\\ufffd\\ufffd\\ufffdz\""}, /* a surrogate */
        {"\xe2\x82", "\"\\ufffd\\ufffd\""},              /* cut short */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char expected[200];
        snprintf(expected, sizeof expected, "{%s:%s}\n", rows[i].json, rows[i].json);
        cJSON *o = drv_json_object(NULL, NULL);
        drv_json_text(o, rows[i].text, rows[i].text);
        writes(o, DRV_JSON_LINE, expected);
    }
}

/* Braces, commas and quotes of texts are no structure. */
static void objects_in_lists_begin_lines(void **state) {
    (void)state;
    cJSON *doc = drv_json_object(NULL, NULL), *list, *o, *numbers;
    drv_json_text(doc, "a", "[{\",{\\");
    list = drv_json_array(doc, "list");
    for (int i = 0; i < 2; i++) {
        o = drv_json_object(list, NULL);
        drv_json_int(o, "i", i);
        numbers = drv_json_array(o, "n");
        drv_json_int(numbers, NULL, 1);
        drv_json_int(numbers, NULL, 2);
        drv_json_object(drv_json_array(drv_json_object(drv_json_array(o, "deep"), NULL), "x"),
                        NULL);
    }
    drv_json_array(doc, "none");
    drv_json_bool(drv_json_object(doc, "o"), "yes", true);
    writes(doc, DRV_JSON_LINES,
           "{\"a\": \"[{\\\",{\\\\\", \"list\": [\n"
           "  {\"i\": 0, \"n\": [1, 2], \"deep\": [\n    {\"x\": [{}]}]},\n"
           "  {\"i\": 1, \"n\": [1, 2], \"deep\": [\n    {\"x\": [{}]}]}],\n"
           " \"none\": [],\n"
           " \"o\": {\"yes\": true}}\n");
}

/* Four times as many items take about four times as long, never sixteen. */
static void time_is_linear(void **state) {
    (void)state;
    double seconds[2];
    for (int round = 0; round < 2; round++) {
        clock_t start = clock();
        cJSON *list = drv_json_array(NULL, NULL);
        for (int i = 0; i < 50000 << (2 * round); i++) drv_json_int(list, NULL, i);
        base_str out = {0};
        drv_json_write(list, DRV_JSON_LINES, &out);
        base_str_free(&out);
        seconds[round] = (double)(clock() - start) / CLOCKS_PER_SEC;
    }
    assert_true(seconds[1] < 10 * seconds[0] + 0.1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_exact),      cmocka_unit_test(numbers_read_back),
        cmocka_unit_test(what_is_no_number_is_text),    cmocka_unit_test(text_is_harmless),
        cmocka_unit_test(objects_in_lists_begin_lines), cmocka_unit_test(time_is_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
