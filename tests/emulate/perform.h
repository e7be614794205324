/* What the instructions compute. */
#ifndef EBRU_TESTS_EMULATE_PERFORM_H
#define EBRU_TESTS_EMULATE_PERFORM_H

#include "tests/emulate/frame.h"

/* Each performs one decoded instruction on the saved registers; NULL, or what the CPU would raise a
 * fault for. */
const char *em_perform_tile(const em_frame *f, const em_inst *i);
const char *em_perform_vector(const em_frame *f, const em_inst *i);

/* arithmetic.c: fp32 with denormals taken and given as zeros, rounded to nearest even, whatever
 * MXCSR says. Rows of 16 elements or pairs; pairs (2k, 2k + 1) are the low and high half of a word.
 */
struct em_dot {
    float *c;              /* [rows][16] */
    const uint32_t *a, *b; /* pairs: [rows][16], [depth][16] */
    unsigned rows, depth;
};
/* c[m][n] += sum over k of both products of a[m][k] and b[k][n], in TDPBF16PS' order. */
void em_dot_tile(const struct em_dot *d);
/* c[n] = c[n] + a[n] high * b[n] high, + a[n] low * b[n] low: 16 lanes, VDPBF16PS. */
void em_dot_vector(float *c, const uint32_t *a, const uint32_t *b);
/* c + the four products of unsigned bytes of a by signed ones of b: TDPBUSD, VPDPBUSD. */
uint32_t em_dot_bytes(uint32_t c, uint32_t a, uint32_t b);
/* One element, VCVTNEPS2BF16. */
uint16_t em_to_bf16(uint32_t x);

#endif
