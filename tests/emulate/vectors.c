/* AVX512-BF16 and VNNI on saved vector registers. Elements that the mask leaves out keep the destination's
 * value, or become zero; bytes of the destination above the vector length become zero. */
#include "tests/emulate/perform.h"

#include <string.h>

/* The last operand: a register, memory, or one word of memory for all. Only elements of `mask` are
 * read. */
static void read_source(const em_frame *f, const em_inst *i, uint64_t mask, uint32_t source[16]) {
    memset(source, 0, 64);
    if (!i->memory) {
        em_read_vector(f, i->rm, source);
        return;
    }
    const char *p = em_base_address(f, i) + em_index(f, i);
    for (unsigned n = 0; n < i->bytes / 4; n++)
        if (mask >> n & 1) memcpy(&source[n], i->broadcast ? p : p + n * 4, 4);
}

static uint64_t mask_of(const em_frame *f, const em_inst *i, unsigned elements) {
    uint64_t all = (UINT64_C(1) << elements) - 1;
    return i->mask ? em_read_mask(f, i->mask) & all : all;
}

static void dot(const em_frame *f, const em_inst *i) {
    uint32_t a[16], b[16], old[16], sum[16], out[16] = {0};
    unsigned elements = i->bytes / 4;
    uint64_t mask = mask_of(f, i, elements);
    em_read_vector(f, i->reg, old);
    em_read_vector(f, i->vvvv, a);
    read_source(f, i, mask, b);
    if (i->op == EM_VPDPBUSD) {
        for (unsigned n = 0; n < 16; n++) sum[n] = em_dot_bytes(old[n], a[n], b[n]);
    } else {
        float f32[16];
        memcpy(f32, old, sizeof f32);
        em_dot_vector(f32, a, b);
        memcpy(sum, f32, sizeof sum);
    }
    for (unsigned n = 0; n < elements; n++) {
        if (mask >> n & 1)
            out[n] = sum[n];
        else if (!i->zeroing)
            out[n] = old[n];
    }
    em_write_vector(f, i->reg, out);
}

/* `pair`: the first operand's elements behind the last one's; else the last one's alone, into half
 * a register. */
static void convert(const em_frame *f, const em_inst *i, bool pair) {
    uint32_t first[16], last[16];
    uint16_t old[32], out[32] = {0};
    unsigned half = i->bytes / 4, elements = pair ? 2 * half : half;
    uint64_t mask = mask_of(f, i, elements), every = (UINT64_C(1) << half) - 1;
    em_read_vector(f, i->reg, old);
    em_read_vector(f, i->vvvv, first);
    read_source(f, i, pair ? every : mask, last);
    for (unsigned n = 0; n < elements; n++) {
        if (mask >> n & 1)
            out[n] = em_to_bf16(n < half ? last[n] : first[n - half]);
        else if (!i->zeroing)
            out[n] = old[n];
    }
    em_write_vector(f, i->reg, out);
}

const char *em_perform_vector(const em_frame *f, const em_inst *i) {
    if (i->op == EM_VDPBF16PS || i->op == EM_VPDPBUSD)
        dot(f, i);
    else
        convert(f, i, i->op == EM_VCVTNE2PS2BF16);
    return NULL;
}
