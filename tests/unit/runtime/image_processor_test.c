/* What image encoders read, and the safety checker's rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/image/image_processor.h"
#include "runtime/pipeline/safety.h"

static const rt_image_processor plain = {.rescale = 1, .std = {1, 1, 1}};

/* Gray rows of y, columns of 10 x. */
static float *process(const rt_image_processor *p, uint32_t w, uint32_t h, uint32_t *to_w,
                      uint32_t *to_h) {
    uint8_t pixels[64 * 3];
    float *out;
    rt_error err;
    for (uint32_t i = 0; i < w * h * 3; i++) pixels[i] = (uint8_t)(i / 3 / w + 10 * (i / 3 % w));
    assert_int_equal(rt_image_process(p, pixels, w, h, &out, to_w, to_h, &err), RT_OK);
    return out;
}

/* 7 / 5 of 3 is 4.2: int() drops the fraction. */
static void shortest_edge(void **state) {
    (void)state;
    rt_image_processor p = plain;
    uint32_t w, h;
    p.filter = RT_RESIZE_BICUBIC;
    p.shortest_edge = 3;
    free(process(&p, 7, 5, &w, &h));
    assert_int_equal(w, 4);
    assert_int_equal(h, 3);
    free(process(&p, 5, 7, &w, &h));
    assert_int_equal(w, 3);
    assert_int_equal(h, 4);
}

/* The cut begins at the half rounded down, also where the picture is smaller: black around it. */
static void middle(void **state) {
    (void)state;
    rt_image_processor p = plain;
    uint32_t w, h;
    p.crop_width = 4, p.crop_height = 3;
    float *out = process(&p, 7, 5, &w, &h);
    assert_int_equal(w, 4);
    assert_int_equal(h, 3);
    assert_true(out[0] == 11 && out[11] == 43);
    free(out);
    p.crop_width = 4, p.crop_height = 4;
    out = process(&p, 1, 1, &w, &h); /* a pixel of 0, then one further right */
    free(out);
    p.mean[0] = 1, p.std[0] = 2;
    out = process(&p, 3, 1, &w, &h); /* columns: one missing on the left of -1 / 2 rounded down */
    assert_true(out[4 * 2 + 0] == -0.5f && out[4 * 2 + 1] == -0.5f && out[4 * 2 + 2] == 4.5f &&
                out[4 * 2 + 3] == 9.5f);
    free(out);
}

static bool flags(float special, float concept) {
    const float specials[2] = {special, -1}, concepts[2] = {-1, concept};
    return rt_safety_flags(specials, 2, concepts, 2);
}

static void safety_rule(void **state) {
    (void)state;
    assert_false(flags(-1, 0.0004f)); /* 0.000 */
    assert_true(flags(-1, 0.0006f));  /* 0.001 */
    assert_false(flags(-1, -0.0094f));
    assert_true(flags(0.0006f, -0.0094f)); /* 0.01 more */
    assert_false(flags(0.0004f, -0.0094f));
    assert_false(flags(0.0006f, -0.0096f));
    const float first[2] = {-0.005f, 0.1f}, second[2] = {0.1f, -0.005f}, none[1] = {-0.005f};
    assert_true(rt_safety_flags(first, 2, none, 1));
    assert_true(rt_safety_flags(second, 2, none, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shortest_edge),
        cmocka_unit_test(middle),
        cmocka_unit_test(safety_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
