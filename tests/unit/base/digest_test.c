/* The digests: SHA-256 against its standard, the fast one against itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/sha256.h"

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

static void every_byte_counts_and_no_cut_does(void **state) {
    (void)state;
    unsigned char bytes[100], one[16], two[16];
    for (int i = 0; i < 100; i++) bytes[i] = (unsigned char)(i * 7);
    base_digest d;
    base_digest_begin(&d);
    base_digest_add(&d, bytes, 100);
    base_digest_end(&d, one);
    base_digest_begin(&d);
    for (int i = 0; i < 100; i += 3)
        base_digest_add(&d, bytes + i, i + 3 <= 100 ? 3 : 1); /* in pieces: the same */
    base_digest_end(&d, two);
    assert_memory_equal(one, two, 16);
    for (size_t n = 0; n < 100; n++) { /* a prefix, or one bit: another */
        base_digest_begin(&d);
        base_digest_add(&d, bytes, n);
        base_digest_end(&d, two);
        assert_memory_not_equal(one, two, 16);
        bytes[n] ^= 1;
        base_digest_begin(&d);
        base_digest_add(&d, bytes, 100);
        base_digest_end(&d, two);
        assert_memory_not_equal(one, two, 16);
        bytes[n] ^= 1;
    }
}

static void expect(const void *bytes, size_t count, const char *text) {
    base_digest d;
    unsigned char id[16];
    char got[33];
    base_digest_begin(&d);
    base_digest_add(&d, bytes, count);
    base_digest_end(&d, id);
    for (int i = 0; i < 16; i++) snprintf(got + 2 * i, 3, "%02x", id[i]);
    assert_string_equal(got, text);
}

/* Weights files of programs made before must still be found to be theirs. */
static void values_stay(void **state) {
    (void)state;
    static const unsigned char zeros[64];
    expect("", 0, "b76eda32baeff341f5c3b069f8bab109");
    expect("ebru", 4, "cf79f6f7212d8ac9d488cdbf71e32b88");
    expect(zeros, 32, "230af460446baf4a397c2b43126e8f60");
    expect(zeros, 64, "ec60463c0d6a674011ae48c16592377e");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_those_of_fips_180),
        cmocka_unit_test(every_byte_counts_and_no_cut_does),
        cmocka_unit_test(values_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
