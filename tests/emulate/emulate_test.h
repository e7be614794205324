/* What the emulator's tests share: naive arithmetic, random operands, the tests of the tiles. */
#ifndef EBRU_TESTS_EMULATE_EMULATE_TEST_H
#define EBRU_TESTS_EMULATE_EMULATE_TEST_H

#include "tests/emulate/emulate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

static inline uint32_t bits_of(float x) {
    uint32_t b;
    memcpy(&b, &x, sizeof b);
    return b;
}
static inline float float_of(uint32_t b) {
    float x;
    memcpy(&x, &b, sizeof x);
    return x;
}
/* Denormals are zeros. */
static inline float flush(float x) {
    return fpclassify(x) == FP_SUBNORMAL ? copysignf(0.0f, x) : x;
}
static inline float widen(uint16_t x) {
    return flush(float_of((uint32_t)x << 16));
}
static inline float multiply_add(float a, float b, float c) {
    return flush(fmaf(flush(a), flush(b), flush(c)));
}
static inline float add(float a, float b) {
    return flush(flush(a) + flush(b));
}

/* c and the products of four unsigned by four signed bytes, with 32 bits. */
static inline uint32_t dot_bytes(uint32_t c, uint32_t a, uint32_t b) {
    uint8_t u[4];
    int8_t s[4];
    int64_t sum = (int32_t)c;
    memcpy(u, &a, 4);
    memcpy(s, &b, 4);
    for (int i = 0; i < 4; i++) sum += (int64_t)u[i] * s[i];
    return (uint32_t)sum;
}

/* Equal bits, or both no number. */
static inline bool same(float a, float b) {
    return bits_of(a) == bits_of(b) || (isnan(a) && isnan(b));
}

static inline uint32_t random_word(void) {
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}
/* fp32 of moderate size; now and then a denormal, an infinity, a NaN, the largest or a zero. */
static inline uint32_t random_float(void) {
    static const uint32_t odd[] = {0x00000001, 0x80400000, 0x7f800000, 0xff800000, 0x7fc12345,
                                   0x7f812345, 0x7f7fffff, 0xff7fffff, 0x80000000, 0x00800001};
    uint32_t r = random_word();
    if (r % 64 == 0) return odd[r / 64 % 10];
    return (r & 0x807fffff) | (120 + (r >> 24) % 16) << 23;
}
/* Two bf16 in a word. */
static inline uint32_t random_pair(void) {
    return random_float() >> 16 | (random_float() & 0xffff0000);
}

/* emulate_tiles_test.c */
void tiles_multiply(void **state);
void tiles_multiply_bytes(void **state);
void tiles_are_addressed(void **state);
void tiles_are_configured(void **state);
void tiles_belong_to_threads(void **state);
void what_the_cpu_refuses_ends_the_process(void **state);

#endif
