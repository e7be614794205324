/* From bytes to an instruction of emulate.h. */
#ifndef EBRU_TESTS_EMULATE_DECODE_H
#define EBRU_TESTS_EMULATE_DECODE_H

#include "tests/emulate/emulate.h"

enum { EM_NO_REGISTER = -1, EM_RIP = 16 };

typedef struct em_inst {
    em_op op;
    unsigned length; /* bytes */
    unsigned reg, rm,
        vvvv;        /* registers of the ModRM and prefix fields; rm only when not `memory` */
    bool memory;     /* the operand is memory at base + index * scale + disp */
    int base, index; /* 0 to 15, EM_RIP or EM_NO_REGISTER */
    unsigned scale;  /* of the index: 1, 2, 4, 8 */
    int64_t disp;    /* bytes */
    unsigned bytes;  /* vector length: 16, 32, 64 */
    unsigned mask;   /* k1 to k7, 0: none */
    bool zeroing, broadcast;
} em_inst;

/* False when the bytes are none of ours. Reads at most 15. */
bool em_decode(const uint8_t *code, em_inst *out);

#endif
