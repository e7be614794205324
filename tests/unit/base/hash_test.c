/* FNV-1a against the values its authors publish, and properties that stored data rely on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"

/* From the test vectors of the reference distribution (fnv-5, test_fnv.c). */
static void published_values(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint32_t h32;
        uint64_t h64;
    } cases[] = {
        {"", 0x811c9dc5u, 0xcbf29ce484222325u},       {"a", 0xe40c292cu, 0xaf63dc4c8601ec8cu},
        {"b", 0xe70c2de5u, 0xaf63df4c8601f1a5u},      {"foo", 0xa9f37ed7u, 0xdcb27518fed9d577u},
        {"foobar", 0xbf9cf968u, 0x85944171f73967e8u},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *s = cases[i].text;
        assert_int_equal(base_hash_bytes(BASE_HASH_START, s, strlen(s)), cases[i].h32);
        assert_int_equal(base_hash64_text(s), cases[i].h64);
    }
}

static void a_hash_may_be_continued(void **state) {
    (void)state;
    uint32_t h = base_hash_bytes(BASE_HASH_START, "foo", 3);
    assert_int_equal(base_hash_bytes(h, "bar", 3), 0xbf9cf968u);
    uint64_t h64 = base_hash64_bytes(BASE_HASH64_START, "foo", 3);
    assert_int_equal(base_hash64_bytes(h64, "bar", 3), base_hash64_text("foobar"));
}

static void bytes_above_127_count_unsigned(void **state) {
    (void)state;
    const char text[] = "\xff";
    assert_int_equal(base_hash_bytes(BASE_HASH_START, text, 1),
                     (0x811c9dc5u ^ 0xffu) * 0x01000193u);
    assert_int_equal(base_hash64_text(text), (0xcbf29ce484222325u ^ 0xffu) * 0x100000001b3u);
}

/* What base_hash_finish is for: the low bits of similar names differ. */
static void low_bits_are_spread(void **state) {
    (void)state;
    unsigned used[64] = {0}, slots = 0;
    for (int i = 0; i < 256; i++) {
        char name[8] = {'w', (char)('0' + i / 100), (char)('0' + i / 10 % 10),
                        (char)('0' + i % 10)};
        slots += used[base_hash_text(name) % 64]++ == 0;
    }
    assert_true(slots >= 60);
    for (int i = 0; i < 64; i++) assert_true(used[i] <= 14);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_values),
        cmocka_unit_test(a_hash_may_be_continued),
        cmocka_unit_test(bytes_above_127_count_unsigned),
        cmocka_unit_test(low_bits_are_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
