/* Masks drawn in brightness and as transparency. */
#include "runtime/image/mask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { N = 4 };

static void expect(const uint8_t pixels[2 * N], rt_mask_kind kind, const uint8_t mask[N]) {
    uint8_t out[N], in_place[2 * N];
    assert_int_equal(rt_mask_of(pixels, N, out), kind);
    assert_memory_equal(out, mask, N);
    memcpy(in_place, pixels, 2 * N);
    assert_int_equal(rt_mask_of(in_place, N, in_place), kind);
    assert_memory_equal(in_place, mask, N);
}
#define P(...) ((const uint8_t[2 *N]){__VA_ARGS__})
#define M(...) ((const uint8_t[N]){__VA_ARGS__})

static void kinds(void **state) {
    (void)state;
    expect(P(0, 255, 255, 255, 9, 255, 200, 255), RT_MASK_GRAY, M(0, 255, 9, 200));
    expect(P(0, 255, 0, 0, 0, 255, 0, 90), RT_MASK_HOLES, M(0, 255, 0, 165));
    expect(P(255, 255, 255, 0, 255, 255, 255, 90), RT_MASK_STROKES, M(255, 0, 255, 90));
    expect(P(0, 255, 0, 255, 0, 255, 0, 255), RT_MASK_NOTHING, M(0, 0, 0, 0));
    expect(P(0, 0, 0, 0, 0, 0, 0, 0), RT_MASK_NOTHING, M(0, 0, 0, 0));
    expect(P(127, 255, 127, 255, 127, 255, 127, 255), RT_MASK_NOTHING, M(127, 127, 127, 127));
    expect(P(128, 255, 128, 255, 128, 255, 128, 255), RT_MASK_ALL, M(128, 128, 128, 128));
    expect(P(0, 255, 76, 255, 0, 255, 76, 255), RT_MASK_BELOW_HALF, M(0, 76, 0, 76));
    /* white strokes on transparent black say the same twice, a photograph with a hole does not */
    expect(P(0, 0, 255, 255, 0, 0, 255, 255), RT_MASK_GRAY, M(0, 255, 0, 255));
    expect(P(0, 255, 255, 0, 0, 255, 255, 0), RT_MASK_GRAY, M(0, 255, 0, 255));
    expect(P(10, 255, 200, 0, 180, 255, 20, 0), RT_MASK_GRAY_ALPHA, M(10, 200, 180, 20));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(kinds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
