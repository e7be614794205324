/* Resizing, against values of Pillow 9.4 (Image.resize) and torch 1.13 (functional.interpolate) on
 * bytes of the same congruential generator: some in full, more as FNV-1a-64 of the result. */
#include "base/hash.h"
#include "runtime/image/resize.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint8_t *noise(size_t n) {
    uint8_t *p = malloc(n);
    assert_non_null(p);
    uint32_t x = 1;
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)((x = x * 1664525u + 1013904223u) >> 24);
    return p;
}

/* The same as floats in -1 .. 1. */
static float *plane(size_t n) {
    uint8_t *bytes = noise(n);
    float *p = malloc(n * sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) p[i] = (float)bytes[i] / 128 - 1;
    free(bytes);
    return p;
}

static uint8_t *resized(rt_resize_filter filter, uint32_t w, uint32_t h, int channels,
                        uint32_t out_w, uint32_t out_h) {
    uint8_t *in = noise((size_t)w * h * (size_t)channels);
    uint8_t *out =
        malloc((size_t)out_w * out_h * (size_t)channels); /* exact: a sanitizer sees a byte more */
    rt_error err = {"?"};
    assert_non_null(out);
    if (rt_resize_u8(filter, in, w, h, channels, out, out_w, out_h, &err) != RT_OK)
        fail_msg("%s", err.message);
    free(in);
    return out;
}

static void pillow_values(void **state) {
    (void)state;
    static const struct {
        rt_resize_filter filter;
        uint32_t w, h;
        int channels;
        uint32_t out_w, out_h;
        uint8_t want[48];
    } cases[] = {
        {RT_RESIZE_LANCZOS,
         9,
         7,
         1,
         4,
         3,
         {105, 95, 123, 145, 140, 154, 120, 142, 106, 129, 127, 106}},
        {RT_RESIZE_LANCZOS, 3, 2, 3, 5, 3, {33,  114, 132, 92,  47,  132, 184, 0,   98,
                                            202, 73,  25,  189, 152, 0,   108, 78,  122,
                                            124, 84,  109, 166, 113, 77,  211, 162, 51,
                                            226, 188, 44,  183, 41,  112, 155, 120, 85,
                                            147, 239, 56,  219, 251, 76,  255, 223, 98}},
        {RT_RESIZE_BICUBIC,
         9,
         7,
         1,
         4,
         3,
         {104, 109, 121, 142, 137, 149, 121, 139, 109, 125, 121, 111}},
        {RT_RESIZE_BICUBIC, 2, 3, 1, 5, 4, {54, 58, 73,  88,  92,  107, 114, 133, 151, 158,
                                            84, 94, 122, 150, 160, 0,   11,  48,  84,  98}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *out = resized(cases[i].filter, cases[i].w, cases[i].h, cases[i].channels,
                               cases[i].out_w, cases[i].out_h);
        assert_memory_equal(out, cases[i].want,
                            (size_t)cases[i].out_w * cases[i].out_h * (size_t)cases[i].channels);
        free(out);
    }
}

static void pillow_hashes(void **state) {
    (void)state;
    static const struct {
        rt_resize_filter filter;
        uint32_t w, h;
        int channels;
        uint32_t out_w, out_h;
        uint64_t want;
    } cases[] = {
        {RT_RESIZE_LANCZOS, 1, 1, 3, 8, 8, 0x5709e8ae4e763565u},
        {RT_RESIZE_LANCZOS, 8, 8, 3, 1, 1, 0x2fac3b1ae17112afu},
        {RT_RESIZE_LANCZOS, 64, 48, 3, 64, 20, 0xe83a935323ce6937u},
        {RT_RESIZE_LANCZOS, 64, 48, 3, 20, 48, 0x4c13feb59da6d2b3u},
        {RT_RESIZE_LANCZOS, 100, 75, 3, 64, 64, 0xd4d994ccf56b4790u},
        {RT_RESIZE_LANCZOS, 64, 64, 1, 100, 75, 0xd7580b3ac1d7082fu},
        {RT_RESIZE_LANCZOS, 128, 128, 3, 32, 32, 0xbb6093b9bcd2bff8u},
        {RT_RESIZE_LANCZOS, 33, 57, 1, 131, 7, 0x7c0561b11ba69d4eu},
        {RT_RESIZE_LANCZOS, 500, 3, 1, 7, 9, 0x6f48cd9f640e71a2u},
        {RT_RESIZE_LANCZOS, 40, 40, 3, 40, 40, 0x30f3a32e27fc7452u},
        {RT_RESIZE_BICUBIC, 1, 1, 3, 8, 8, 0x5709e8ae4e763565u},
        {RT_RESIZE_BICUBIC, 8, 8, 3, 1, 1, 0x2fac3b1ae17112afu},
        {RT_RESIZE_BICUBIC, 64, 48, 3, 64, 20, 0xfb55f3dfe7378b61u},
        {RT_RESIZE_BICUBIC, 64, 48, 3, 20, 48, 0x3548c128e00130b2u},
        {RT_RESIZE_BICUBIC, 100, 75, 3, 64, 64, 0xfefa34efe9548640u},
        {RT_RESIZE_BICUBIC, 64, 64, 1, 100, 75, 0x9df83e4d8539478au},
        {RT_RESIZE_BICUBIC, 128, 128, 3, 32, 32, 0x11f7bedbd84f6731u},
        {RT_RESIZE_BICUBIC, 33, 57, 1, 131, 7, 0x385dc5c0bc42a384u},
        {RT_RESIZE_BICUBIC, 500, 3, 1, 7, 9, 0x69b3c5069b825975u},
        {RT_RESIZE_BICUBIC, 40, 40, 3, 40, 40, 0x30f3a32e27fc7452u},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *out = resized(cases[i].filter, cases[i].w, cases[i].h, cases[i].channels,
                               cases[i].out_w, cases[i].out_h);
        size_t n = (size_t)cases[i].out_w * cases[i].out_h * (size_t)cases[i].channels;
        if (base_hash64_bytes(BASE_HASH64_START, out, n) != cases[i].want)
            fail_msg("case %zu differs from Pillow", i);
        free(out);
    }
}

/* A constant stays, black and white edges overshoot into the clamp: what holds without any
 * reference. */
static void flat_and_edges(void **state) {
    (void)state;
    uint8_t flat[12 * 10], out[31 * 29];
    memset(flat, 201, sizeof flat);
    assert_int_equal(rt_resize_u8(RT_RESIZE_LANCZOS, flat, 12, 10, 1, out, 31, 29, NULL), RT_OK);
    for (size_t i = 0; i < sizeof out; i++) assert_int_equal(out[i], 201);
    for (size_t i = 0; i < sizeof flat; i++) flat[i] = i % 12 < 6 ? 0 : 255;
    assert_int_equal(rt_resize_u8(RT_RESIZE_LANCZOS, flat, 12, 10, 1, out, 31, 29, NULL), RT_OK);
    for (size_t y = 0; y < 29; y++)
        for (size_t x = 0; x < 31; x++) {
            if (x < 7) assert_in_range(out[y * 31 + x], 0, 12);
            if (x > 23) assert_in_range(out[y * 31 + x], 243, 255);
        }
}

static void torch_bicubic(void **state) {
    (void)state;
    static const struct {
        uint32_t w, h, out_w, out_h;
        float want[24];
    } cases[] = {
        {5,
         4,
         3,
         2,
         {-0.184339687f, 0.0520019531f, -0.329128712f, 0.227019131f, -0.0793457031f,
          0.0400663465f}},
        {3, 2, 5, 4, {-0.671605527f, -0.479383588f, -0.198059082f, -0.02330737f,  0.0591838323f,
                      -0.310023487f, -0.380189389f, -0.410766602f, -0.199128196f, -0.0199018773f,
                      0.285523415f,  -0.216810673f, -0.761108398f, -0.48871541f,  -0.1501607f,
                      0.647105455f,  -0.117616467f, -0.973815918f, -0.664536238f, -0.229246408f}},
        {16,
         12,
         4,
         3,
         {0.215782166f, 0.0304946899f, 0.372627258f, 0.372375488f, 0.180557251f, -0.194320679f,
          -0.452545166f, 0.121910095f, -0.521881104f, -0.926124573f, -0.084777832f, -0.359161377f}},
        {7, 3, 7, 3, {-0.53125f,  -0.265625f, 0.0078125f, 0.40625f,   -0.90625f, -0.265625f,
                      0.546875f,  0.109375f,  -0.96875f,  0.2734375f, -0.5f,     -0.15625f,
                      0.1796875f, 0.671875f,  -0.53125f,  0.9609375f, 0.71875f,  -0.3515625f,
                      0.359375f,  0.0625f,    -0.5703125f}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = (size_t)cases[i].out_w * cases[i].out_h;
        float *in = plane((size_t)cases[i].w * cases[i].h), *out = malloc(n * sizeof *out);
        assert_non_null(out);
        assert_int_equal(rt_resize_bicubic_f32(in, cases[i].w, cases[i].h, out, cases[i].out_w,
                                               cases[i].out_h, NULL),
                         RT_OK);
        for (size_t k = 0; k < n; k++)
            if (!(fabsf(out[k] - cases[i].want[k]) < 2e-6f))
                fail_msg("case %zu, value %zu: %g, torch has %g", i, k, (double)out[k],
                         (double)cases[i].want[k]);
        free(in);
        free(out);
    }
}

static void torch_nearest(void **state) {
    (void)state;
    static const struct {
        uint32_t w, h, out_w, out_h;
        uint8_t want[36];
    } cases[] = {
        {16, 12, 2, 2, {60, 4, 169, 169}},
        {5, 4, 3, 2, {60, 94, 180, 64, 108, 214}},
        {3, 2, 7, 5, {60,  60,  60, 94, 94,  129, 129, 60,  60,  60,  94,  94,
                      129, 129, 60, 60, 60,  94,  94,  129, 129, 180, 180, 180,
                      12,  12,  94, 94, 180, 180, 180, 12,  12,  94,  94}},
        {7, 7, 6, 6, {60, 94,  129, 180, 12,  94,  142, 4,   163, 64,  108, 151,
                      60, 251, 220, 83,  174, 136, 26,  18,  81,  33,  181, 149,
                      67, 192, 238, 45,  85,  251, 140, 119, 254, 224, 182, 245}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = (size_t)cases[i].out_w * cases[i].out_h;
        float *in = plane((size_t)cases[i].w * cases[i].h), *out = malloc(n * sizeof *out);
        assert_non_null(out);
        rt_resize_nearest_f32(in, cases[i].w, cases[i].h, out, cases[i].out_w, cases[i].out_h);
        for (size_t k = 0; k < n; k++)
            assert_int_equal((int)(out[k] * 128 + 128), cases[i].want[k]);
        free(in);
        free(out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pillow_values),  cmocka_unit_test(pillow_hashes),
        cmocka_unit_test(flat_and_edges), cmocka_unit_test(torch_bicubic),
        cmocka_unit_test(torch_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
