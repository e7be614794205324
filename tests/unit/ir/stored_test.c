/* Blocks of ggml's quantized types against numbers that were computed by hand from the definitions in
 * ggml-quants.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ir/ir.h"

enum { MOST = 256, HALF = 0x38 /* 0.5 as binary16, upper byte */, QUARTER = 0x34, TWO = 0x40 };

typedef struct byte_at {
    int at, value;
} byte_at;
typedef struct number_at {
    int at;
    float value;
} number_at;

/* A block of zeros with these bytes has these numbers, read whole, one by one, and as the second of
 * three. */
static void check(ir_stored form, const byte_at *bytes, size_t n, const number_at *want, size_t k) {
    unsigned char data[3 * 256] = {0}; /* the largest block has 210 bytes */
    float whole[MOST], three[3 * MOST], one;
    const int elements = ir_stored_block(form),
              size = (int)ir_stored_bytes(form, (uint64_t)elements);
    for (size_t i = 0; i < n; i++) data[size + bytes[i].at] = (unsigned char)bytes[i].value;
    ir_stored_read(form, data + size, whole, 0, elements);
    for (size_t i = 0; i < k; i++)
        if (whole[want[i].at] != want[i].value)
            fail_msg("%s: element %d is %g, not %g", ir_stored_name(form), want[i].at,
                     (double)whole[want[i].at], (double)want[i].value);
    for (int i = 0; i < elements; i++) {
        ir_stored_read(form, data, &one, elements + i, 1);
        assert_true(one == whole[i]);
    }
    ir_stored_read(form, data, three, 3, 3 * elements - 5);
    assert_memory_equal(three + elements - 3, whole, (size_t)elements * sizeof *whole);
}
#define CHECK(form, bytes, ...)                                                                    \
    do {                                                                                           \
        const number_at want_[] = {__VA_ARGS__};                                                   \
        check(IR_STORED_##form, bytes, sizeof bytes / sizeof *bytes, want_,                        \
              sizeof want_ / sizeof *want_);                                                       \
    } while (0)

static void simple_blocks(void **state) {
    (void)state;
    const byte_at q4_0[] = {{1, HALF}, {2, 0x91}};
    CHECK(Q4_0, q4_0, {0, -3.5f}, {16, 0.5f}, {1, -4.0f});
    const byte_at q4_1[] = {{1, HALF}, {3, TWO}, {4, 0x91}};
    CHECK(Q4_1, q4_1, {0, 2.5f}, {16, 6.5f}, {1, 2.0f});
    /* fifth bits of elements 0 and 17 */
    const byte_at q5_0[] = {{1, HALF}, {2, 1}, {4, 2}, {6, 0x91}, {7, 0x91}};
    CHECK(Q5_0, q5_0, {0, 0.5f}, {16, -3.5f}, {1, -7.5f}, {17, 4.5f});
    const byte_at q5_1[] = {{1, HALF}, {3, TWO}, {4, 1}, {6, 2}, {8, 0x91}, {9, 0x91}};
    CHECK(Q5_1, q5_1, {0, 10.5f}, {16, 6.5f}, {1, 2.5f}, {17, 14.5f});
    const byte_at q8_0[] = {{1, HALF}, {2, 0xfd}, {33, 127}};
    CHECK(Q8_0, q8_0, {0, -1.5f}, {31, 63.5f}, {5, 0.0f});
}

static void super_blocks(void **state) {
    (void)state;
    /* of the first 16 scale 3, minimum 2; of 96 to 111 scale 2, minimum 1; numbers 0 1 2 3 */
    const byte_at q2[] = {{0, 0x23}, {6, 0x12}, {16, 0xe4}, {81, HALF}, {83, QUARTER}};
    CHECK(Q2_K, q2, {0, -0.5f}, {96, 2.75f}, {16, 0.0f});
    /* scale 0 is 5 | 2 << 4, scale 14 is 15 | 2 << 4; 32 is taken off */
    const byte_at q3[] = {{0, 1},   {32, 3},     {64, 0x40},  {96, 5},
                          {104, 2}, {102, 0xf0}, {106, 0x80}, {109, HALF}};
    CHECK(Q3_K, q3, {0, 7.5f}, {224, -22.5f});
    /* scale and minimum 0: 3 and 2; 5: 1 | 1 << 4 and 2 | 2 << 4 */
    const byte_at q4[] = {{1, HALF}, {3, QUARTER}, {4, 3},  {8, 2},    {13, 0x21},
                          {5, 0x40}, {9, 0x80},    {16, 7}, {80, 0x50}};
    CHECK(Q4_K, q4, {0, 10.0f}, {160, 34.0f}, {32, 0.0f});
    const byte_at q5[] = {{1, HALF}, {3, QUARTER}, {4, 3},     {8, 2},  {13, 0x21},
                          {5, 0x40}, {9, 0x80},    {16, 0x21}, {48, 7}, {112, 0x50}};
    CHECK(Q5_K, q5, {0, 34.0f}, {160, 170.0f}, {161, -8.5f});
    const byte_at q6[] = {{0, 5},   {96, 0xa0},  {128, 2},   {160, 0x40},
                          {192, 3}, {206, 0xfe}, {209, HALF}};
    CHECK(Q6_K, q6, {0, 7.5f}, {224, 6.0f}, {1, -48.0f});
}

/* A weight that is stored so is read like any other. */
static void weights(void **state) {
    (void)state;
    unsigned char data[2 * 34] = {0, HALF, 2, 4, 0xfe};
    ir_module *m = ir_module_new();
    ir_type t = ir_type_make(IR_f32, 2, (int64_t[]){2, 32});
    uint32_t index = ir_weight_add(m, "w", &t);
    ir_weight *w = &m->weights.items[index];
    w->kind = IR_WEIGHT_FILE;
    w->data = data;
    w->stored = IR_STORED_Q8_0;
    float v[3];
    ir_weight_read(w, v, 0, 3);
    assert_memory_equal(v, ((float[]){1.0f, 2.0f, -1.0f}), sizeof v);
    assert_int_equal(ir_weight_bytes(w), sizeof data);
    ir_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simple_blocks),
        cmocka_unit_test(super_blocks),
        cmocka_unit_test(weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
