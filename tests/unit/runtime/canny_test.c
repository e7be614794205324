/* Edges by OpenCV's definition, on pictures whose edges can be told by hand. */
#include "runtime/image/canny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { W = 8, H = 6 };

/* rows of '.' and '#' for 0 and 255 */
static void expect(const uint8_t *pixels, int channels, double low, double high,
                   const char *const rows[H]) {
    uint8_t edges[W * H];
    assert_true(rt_canny(pixels, W, H, channels, low, high, edges));
    for (int y = 0; y < H; y++) {
        char found[W + 1] = "";
        for (int x = 0; x < W; x++) found[x] = edges[y * W + x] ? '#' : '.';
        assert_string_equal(found, rows[y]);
        for (int x = 0; x < W; x++) assert_true(edges[y * W + x] == (found[x] == '#' ? 255 : 0));
    }
}

static const char *const left_of_4[H] = {"...#....", "...#....", "...#....",
                                         "...#....", "...#....", "...#...."};
static const char *const nothing[H] = {"........", "........", "........",
                                       "........", "........", "........"};

/* `to` from column 4 on. */
static const uint8_t *step_at_4(uint8_t to) {
    static uint8_t pixels[W * H];
    for (int i = 0; i < W * H; i++) pixels[i] = i % W < 4 ? 0 : to;
    return pixels;
}

/* A step has the same gradient on both sides; the first counts. The border repeats. */
static void steps(void **state) {
    (void)state;
    uint8_t rows[W * H];
    for (int i = 0; i < W * H; i++) rows[i] = i / W < 3 ? 0 : 90;
    expect(step_at_4(90), 1, 100, 200, left_of_4);
    expect(rows, 1, 100, 200,
           (const char *const[H]){"........", "........", "########", "........", "........",
                                  "........"});
    memset(rows, 77, sizeof rows);
    expect(rows, 1, 0, 0, nothing);
}

/* The gradient of a step is four times its height, and must be above a threshold. */
static void thresholds(void **state) {
    (void)state;
    expect(step_at_4(50), 1, 100, 200, nothing);
    expect(step_at_4(51), 1, 100, 200, left_of_4);
    expect(step_at_4(50), 1, 100, 199.9, left_of_4); /* rounded down */
    expect(step_at_4(51), 1, 200, 100, left_of_4);   /* they change places */
    expect(step_at_4(51), 1, 300, 204, nothing);
}

/* A weak edge counts where it goes on from a strong one. */
static void weak_edges_go_on(void **state) {
    (void)state;
    uint8_t pixels[W * H];
    for (int i = 0; i < W * H; i++) pixels[i] = i % W < 4 ? 0 : 30;
    expect(pixels, 1, 100, 200, nothing);
    for (int i = 0; i < W; i++) pixels[i] = i < 4 ? 0 : 200; /* the first row is strong */
    uint8_t edges[W * H];
    assert_true(rt_canny(pixels, W, H, 1, 100, 200, edges));
    for (int y = 2; y < H; y++) assert_int_equal(edges[y * W + 3], 255);
    assert_true(rt_canny(pixels, W, H, 1, 130, 200, edges));
    assert_int_equal(edges[4 * W + 3], 0);
}

/* Of colours the one counts that changes most. */
static void colours(void **state) {
    (void)state;
    uint8_t pixels[W * H * 3];
    for (int i = 0; i < W * H; i++) {
        pixels[3 * i] = 10;
        pixels[3 * i + 1] = i % W < 4 ? 0 : 40;
        pixels[3 * i + 2] = i % W < 4 ? 90 : 0;
    }
    expect(pixels, 3, 100, 200, left_of_4);
    expect(pixels, 3, 100, 359, left_of_4);
    expect(pixels, 3, 100, 360, nothing);
}

/* Across a slope the two neighbours along the gradient are compared, both strictly. */
static void diagonals(void **state) {
    (void)state;
    uint8_t pixels[W * H], edges[W * H];
    for (int i = 0; i < W * H; i++) pixels[i] = i % W > i / W + 1 ? 200 : 0;
    assert_true(rt_canny(pixels, W, H, 1, 100, 200, edges));
    for (int y = 1; y + 1 < H; y++) {
        /* gradients of 800 on both sides of the step have 800 and 400 as neighbours */
        int found = 0;
        for (int x = 0; x < W; x++) found += edges[y * W + x] != 0;
        assert_int_equal(found, 2);
        assert_int_equal(edges[y * W + y + 1], 255);
        assert_int_equal(edges[y * W + y + 2], 255);
    }
}

static void small_pictures(void **state) {
    (void)state;
    const uint8_t pixels[2] = {0, 255};
    uint8_t edges[2];
    assert_true(rt_canny(pixels, 1, 1, 1, 1, 2, edges));
    assert_int_equal(edges[0], 0);
    assert_true(rt_canny(pixels, 2, 1, 1, 100, 200, edges));
    assert_int_equal(edges[0], 255);
    assert_int_equal(edges[1], 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps),   cmocka_unit_test(thresholds), cmocka_unit_test(weak_edges_go_on),
        cmocka_unit_test(colours), cmocka_unit_test(diagonals),  cmocka_unit_test(small_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
