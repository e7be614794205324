/* The page's C side: hashes for its policy, JSON paths of places. */
#include "base/sha256.h"
#include "driver/analyze/json_paths.h"
#include "tests/unit/support/temp_dir.h"

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
        cmocka_unit_test(places_have_json_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
