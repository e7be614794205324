/* The page's C side: hashes for its policy, escapes that keep hostile text harmless, JSON paths of
 * places. */
#include "base/sha256.h"
#include "driver/html/html.h"
#include "driver/analyze/json_paths.h"
#include "tests/unit/support/temp_dir.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void hashes_are_those_of_fips_180(void **state) {
    (void)state;
    static const struct {
        const char *text, *hash;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char out[32];
        char text[65];
        base_sha256(rows[i].text, strlen(rows[i].text), out);
        for (int k = 0; k < 32; k++) snprintf(text + 2 * k, 3, "%02x", out[k]);
        assert_string_equal(text, rows[i].hash);
    }
    base_str csp = {0};
    base_csp_hash("abc", 3, &csp);
    assert_string_equal(csp.data, "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    base_str_free(&csp);
}

static void text_cannot_leave_its_string(void **state) {
    (void)state;
    static const struct {
        const char *text, *json;
    } rows[] = {
        {"conv1", "\"conv1\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"</script><!--", "\"\\u003c/script\\u003e\\u003c!--\""},
        {"&amp;", "\"\\u0026amp;\""},
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8e\xa8",
         "\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8e\xa8\""},
        {"\x1b[2J\n\t", "\"\\\\u{001b}[2J\\\\u{000a}\\\\u{0009}\""},
        {"\xe2\x80\xae"
         "abc",
         "\"\\\\u{202e}abc\""}, /* right to left */
        {"\xe2\x80\xa8\xe2\x80\xa9", "\"\\\\u{2028}\\\\u{2029}\""},
        {"\xef\xbb\xbf", "\"\\\\u{feff}\""},
        {"\xff\xc0\xaf\xed\xa0\x80",
         "\"\\\\xff\\\\xc0\\\\xaf\\\\xed\\\\xa0\\\\x80\""}, /* no UTF-8 */
        {"\xe2\x82", "\"\\\\xe2\\\\x82\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        base_str out = {0};
        html_add_text(&out, rows[i].text);
        assert_string_equal(out.data, rows[i].json);
        base_str_free(&out);
    }
}

static void numbers_are_json(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *json;
    } rows[] = {{0, "0"},     {-3, "-3"},         {1e12, "1000000000000"},
                {0.5, "0.5"}, {INFINITY, "null"}, {NAN, "null"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        base_str out = {0};
        html_add_number(&out, rows[i].value);
        assert_string_equal(out.data, rows[i].json);
        base_str_free(&out);
    }
}

static void strings_stand_once(void **state) {
    (void)state;
    html_json *j = html_json_new();
    assert_int_equal(html_string(j, NULL), -1);
    char name[16];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 300; i++) {
            snprintf(name, sizeof name, "s%d", i);
            assert_int_equal(html_string(j, name), i);
        }
    html_json_free(j);
}

static void places_have_json_paths(void **state) {
    (void)state;
    static const char text[] = "{\"blocks\": [\n  {\"type\": \"a\"},\n  \"b\"\n]}";
    temp_dir t;
    temp_dir_begin(&t);
    temp_write(&t, "model.json", text, sizeof text - 1);
    temp_write(&t, "broken.json", "{", 1);
    drv_json_paths *p = drv_json_paths_new();
    const char *path = temp_path(&t, "model.json");
    assert_string_equal(drv_json_paths_path(p, path, 1, 1), "$");
    assert_string_equal(drv_json_paths_path(p, path, 1, 2), "$.blocks"); /* a key */
    assert_string_equal(drv_json_paths_path(p, path, 2, 3), "$.blocks[0]");
    assert_string_equal(drv_json_paths_path(p, path, 2, 12), "$.blocks[0].type");
    assert_string_equal(drv_json_paths_path(p, path, 3, 3), "$.blocks[1]");
    assert_null(drv_json_paths_path(p, path, 3, 4));
    assert_null(drv_json_paths_path(p, path, 0, 0));
    assert_null(drv_json_paths_path(p, temp_path(&t, "broken.json"), 1, 1));
    assert_null(drv_json_paths_path(p, "/no/such/file.json", 1, 1));
    assert_null(drv_json_paths_path(p, NULL, 1, 1));
    drv_json_paths_free(p);
    temp_dir_end(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_those_of_fips_180),
        cmocka_unit_test(text_cannot_leave_its_string),
        cmocka_unit_test(numbers_are_json),
        cmocka_unit_test(strings_stand_once),
        cmocka_unit_test(places_have_json_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
