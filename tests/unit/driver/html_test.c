/* JSON paths of source locations, which the page shows. */
#include "driver/analyze/json_paths.h"
#include "tests/unit/support/temp_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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
        cmocka_unit_test(places_have_json_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
