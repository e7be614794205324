/* Blocks of ggml's quantized types as numbers; see ir/stored.def.
 *
 * What a block's bytes mean is what dequantize_row_* of ggml says (ggml-org/ggml,
 * src/ggml-quants.c, with the structs of src/ggml-common.h; the GGUF specification, docs/gguf.md,
 * refers to them). d, m and the like are binary16. A number is taken in binary64 and rounded once;
 * ggml rounds products and sums in binary32. */
#include <string.h>

#include "ir/build.h"

enum { MOST = 256 /* elements of a block */ };

static double half(const uint8_t *p) {
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return (double)ir_f16_value(h);
}

/* The lower (first half of the block) and upper (second half) four bits of byte i % 16. */
static int nibble(const uint8_t *qs, int i) {
    return i < 16 ? qs[i] & 15 : qs[i - 16] >> 4;
}

static int bit(const uint8_t *bits, int i) {
    return bits[i / 8] >> i % 8 & 1;
}

/* d, 16 bytes */
static void read_q4_0(const uint8_t *b, float *out) {
    for (int i = 0; i < 32; i++) out[i] = (float)(half(b) * (nibble(b + 2, i) - 8));
}

/* d, m, 16 bytes */
static void read_q4_1(const uint8_t *b, float *out) {
    for (int i = 0; i < 32; i++) out[i] = (float)(half(b) * nibble(b + 4, i) + half(b + 2));
}

/* d, the fifth bits, 16 bytes */
static void read_q5_0(const uint8_t *b, float *out) {
    for (int i = 0; i < 32; i++)
        out[i] = (float)(half(b) * (nibble(b + 6, i) + 16 * bit(b + 2, i) - 16));
}

/* d, m, the fifth bits, 16 bytes */
static void read_q5_1(const uint8_t *b, float *out) {
    for (int i = 0; i < 32; i++)
        out[i] = (float)(half(b) * (nibble(b + 8, i) + 16 * bit(b + 4, i)) + half(b + 2));
}

/* d, 32 signed bytes */
static void read_q8_0(const uint8_t *b, float *out) {
    for (int i = 0; i < 32; i++) out[i] = (float)(half(b) * (int8_t)b[2 + i]);
}

/* Two bits of element i of 256: halves of 128, in each of which a byte has elements l, l + 32,
 * l + 64 and l + 96. */
static int pair(const uint8_t *qs, int i) {
    return qs[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
}

/* 16 bytes of four bits of scale and of minimum, 64 bytes, d, dmin */
static void read_q2_k(const uint8_t *b, float *out) {
    const double d = half(b + 80), least = half(b + 82);
    for (int i = 0; i < 256; i++)
        out[i] = (float)(d * (b[i / 16] & 15) * pair(b + 16, i) - least * (b[i / 16] >> 4));
}

/* Scale j of 16, of six bits: four in the first 8 bytes, two in the last 4. */
static int scale_q3_k(const uint8_t *s, int j) {
    int low = j < 8 ? s[j] & 15 : s[j - 8] >> 4, high = s[8 + j % 4] >> j / 4 * 2 & 3;
    return (low | high << 4) - 32;
}

/* 32 bytes of third bits, where a missing one takes 4 away; 64 bytes; 12 bytes of scales; d */
static void read_q3_k(const uint8_t *b, float *out) {
    const double d = half(b + 108);
    for (int i = 0; i < 256; i++) {
        int high = b[i % 32] >> i / 32 & 1;
        out[i] = (float)(d * scale_q3_k(b + 96, i / 16) * (pair(b + 32, i) - (high ? 0 : 4)));
    }
}

/* Scale and minimum j of 8, of six bits each, in 12 bytes. */
static void scale_q4_k(const uint8_t *s, int j, int *scale, int *least) {
    if (j < 4) {
        *scale = s[j] & 63;
        *least = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        *least = s[j + 4] >> 4 | s[j] >> 6 << 4;
    }
}

/* d, dmin, 12 bytes of scales, 32 bytes of fifth bits where `fifth`, 128 bytes: of each 32 the
 * lower halves are 32 elements, the upper ones the next 32. */
static void read_k(const uint8_t *b, bool fifth, float *out) {
    const uint8_t *high = b + 16, *qs = fifth ? b + 48 : b + 16;
    for (int i = 0; i < 256; i++) {
        int j = i / 32, scale, least;
        scale_q4_k(b + 4, j, &scale, &least);
        int q = qs[j / 2 * 32 + i % 32] >> j % 2 * 4 & 15;
        if (fifth) q += (high[i % 32] >> j & 1) * 16;
        out[i] = (float)(half(b) * scale * q - half(b + 2) * least);
    }
}

static void read_q4_k(const uint8_t *b, float *out) {
    read_k(b, false, out);
}

static void read_q5_k(const uint8_t *b, float *out) {
    read_k(b, true, out);
}

/* 128 bytes of lower four bits, 64 of upper two, 16 signed scales, d: halves of 128 elements; of
 * the 64 bytes of one the lower halves are 64 elements, the upper ones the next 64. */
static void read_q6_k(const uint8_t *b, float *out) {
    const uint8_t *high = b + 128, *scales = b + 192;
    for (int i = 0; i < 256; i++) {
        int low = b[i / 128 * 64 + i % 64] >> i % 128 / 64 * 4 & 15;
        out[i] =
            (float)(half(b + 208) * (int8_t)scales[i / 16] * ((low | pair(high, i) << 4) - 32));
    }
}

static const struct {
    const char *word;
    int elements, bytes;
} forms[IR_STORED_COUNT] = {
#define STORED(ID, word, elements, bytes) [IR_STORED_##ID] = {word, elements, bytes},
#include "ir/stored.def"
};

const char *ir_stored_name(ir_stored form) {
    return forms[form].word;
}

int ir_stored_block(ir_stored form) {
    return form == IR_STORED_PLAIN ? 1 : forms[form].elements;
}

uint64_t ir_stored_bytes(ir_stored form, uint64_t elements) {
    return elements / (uint64_t)forms[form].elements * (uint64_t)forms[form].bytes;
}

void ir_stored_read(ir_stored form, const void *data, float *out, int64_t first, int64_t count) {
    static void (*const read[IR_STORED_COUNT])(const uint8_t *, float *) = {
        [IR_STORED_Q4_0] = read_q4_0, [IR_STORED_Q4_1] = read_q4_1, [IR_STORED_Q5_0] = read_q5_0,
        [IR_STORED_Q5_1] = read_q5_1, [IR_STORED_Q8_0] = read_q8_0, [IR_STORED_Q2_K] = read_q2_k,
        [IR_STORED_Q3_K] = read_q3_k, [IR_STORED_Q4_K] = read_q4_k, [IR_STORED_Q5_K] = read_q5_k,
        [IR_STORED_Q6_K] = read_q6_k,
    };
    const int64_t n = forms[form].elements;
    float block[MOST];
    for (int64_t i = first; i < first + count;) {
        int64_t at = i % n, some = n - at < first + count - i ? n - at : first + count - i;
        read[form]((const uint8_t *)data + i / n * forms[form].bytes, block);
        memcpy(out + (i - first), block + at, (size_t)some * sizeof *out);
        i += some;
    }
}
