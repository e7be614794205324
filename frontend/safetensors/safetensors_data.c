/* Element types of safetensors and their conversion; see safetensors.h. The loops are free of
 * branches, so that the compiler turns them into vector code. */
#include <math.h>
#include <string.h>

#include "frontend/safetensors/safetensors_table.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensor data is used in place, which needs a little-endian machine"
#endif

const st_dtype_info st_dtypes[] = {
    [FE_ST_F64] = {"F64", 64},
    [FE_ST_F32] = {"F32", 32},
    [FE_ST_F16] = {"F16", 16},
    [FE_ST_BF16] = {"BF16", 16},
    [FE_ST_I64] = {"I64", 64},
    [FE_ST_I32] = {"I32", 32},
    [FE_ST_I16] = {"I16", 16},
    [FE_ST_I8] = {"I8", 8},
    [FE_ST_U8] = {"U8", 8},
    [FE_ST_BOOL] = {"BOOL", 8},
    /* known to the format, refused by name */
    {"U16", 16},
    {"U32", 32},
    {"U64", 64},
    {"C64", 64},
    {"F8_E5M2", 8},
    {"F8_E4M3", 8},
    {"F8_E8M0", 8},
    {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8},
    {"F6_E2M3", 6},
    {"F6_E3M2", 6},
    {"F4", 4},
};
const size_t st_dtype_count = sizeof st_dtypes / sizeof *st_dtypes;

ir_stored fe_st_stored(fe_st_dtype dtype) {
    return dtype > FE_ST_BLOCKS ? (ir_stored)(dtype - FE_ST_BLOCKS) : IR_STORED_PLAIN;
}

const char *fe_st_dtype_name(fe_st_dtype dtype) {
    ir_stored blocks = fe_st_stored(dtype);
    return blocks == IR_STORED_PLAIN ? st_dtypes[dtype].name : ir_stored_name(blocks);
}

size_t fe_st_dtype_size(fe_st_dtype dtype) {
    return fe_st_stored(dtype) == IR_STORED_PLAIN ? st_dtypes[dtype].bits / 8 : 0;
}

static float float_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t bits_of_float(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* IEEE binary16 to binary32, exact. The 15 bits below the sign move to binary32's place; the
 * exponent bias differs by 112. Exponent 31 (infinity, NaN) needs 112 more to reach 255. Exponent 0
 * (zero, denormal) is read as 1.f * 2^-14 by one more exponent step, and the 1 subtracted again in
 * floating point, exactly. */
static float float_of_half(uint16_t h) {
    const uint32_t bias = 112u << 23, one = 113u << 23;
    uint32_t magnitude = (h & 0x7fffu) << 13;
    uint32_t exponent = h & 0x7c00u;
    uint32_t normal = magnitude + bias + (exponent == 0x7c00u ? bias : 0u);
    uint32_t tiny = bits_of_float(float_of_bits(magnitude + one) - float_of_bits(one));
    return float_of_bits((exponent ? normal : tiny) | (h & 0x8000u) << 16);
}

/* Elements may lie at any address, hence memcpy. */
#define CONVERT(T, EXPRESSION)                                                                     \
    for (size_t i = 0; i < count; i++) {                                                           \
        T x;                                                                                       \
        memcpy(&x, in + i * sizeof x, sizeof x);                                                   \
        out[i] = EXPRESSION;                                                                       \
    }                                                                                              \
    break

/* Beyond float the result is the infinity IEEE 754 rounds to, said explicitly because C leaves it
 * undefined. */
static float float_of_double(double x) {
    const double limit = 0x1.ffffffp127; /* FLT_MAX and half a unit */
    return x >= limit ? INFINITY : x <= -limit ? -INFINITY : (float)x;
}

void fe_st_to_f32(const fe_st_tensor *t, float *out, size_t first, size_t count) {
    if (count == 0) return;
    if (fe_st_stored(t->dtype) != IR_STORED_PLAIN) {
        ir_stored_read(fe_st_stored(t->dtype), t->data, out, (int64_t)first, (int64_t)count);
        return;
    }
    const uint8_t *in = t->data + first * fe_st_dtype_size(t->dtype);
    switch (t->dtype) {
    case FE_ST_F32: memcpy(out, in, count * sizeof *out); break;
    case FE_ST_F16: CONVERT(uint16_t, float_of_half(x));
    case FE_ST_BF16: CONVERT(uint16_t, float_of_bits((uint32_t)x << 16));
    case FE_ST_F64: CONVERT(double, float_of_double(x));
    case FE_ST_I64: CONVERT(int64_t, (float)x);
    case FE_ST_I32: CONVERT(int32_t, (float)x);
    case FE_ST_I16: CONVERT(int16_t, (float)x);
    case FE_ST_I8: CONVERT(int8_t, (float)x);
    case FE_ST_U8: CONVERT(uint8_t, (float)x);
    case FE_ST_BOOL: CONVERT(uint8_t, x ? 1.0f : 0.0f);
    case FE_ST_BLOCKS: break;
    }
}

bool fe_st_to_i64(const fe_st_tensor *t, int64_t *out, size_t first, size_t count) {
    const uint8_t *in = count ? t->data + first * fe_st_dtype_size(t->dtype) : NULL;
    switch (t->dtype) {
    case FE_ST_I64: CONVERT(int64_t, x);
    case FE_ST_I32: CONVERT(int32_t, x);
    case FE_ST_I16: CONVERT(int16_t, x);
    case FE_ST_I8: CONVERT(int8_t, x);
    case FE_ST_U8: CONVERT(uint8_t, x);
    case FE_ST_BOOL: CONVERT(uint8_t, x != 0);
    default: return false;
    }
    return true;
}
