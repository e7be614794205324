/* Registers as the kernel saved them on the stack when the signal came: what is written here is in
 * the CPU's registers when the handler returns. */
#ifndef EBRU_TESTS_EMULATE_FRAME_H
#define EBRU_TESTS_EMULATE_FRAME_H

#include "tests/emulate/decode.h"

#include <ucontext.h>

typedef struct em_frame {
    greg_t *general;
    uint8_t *area; /* XSAVE area in standard form */
} em_frame;

/* Reads where CPUID says the components lie. False when AVX-512's are not saved. */
bool em_frame_layout(void);
/* False when the context has no extended state. */
bool em_frame_of(em_frame *f, ucontext_t *context);

/* Registers zmm0 to zmm31, 64 bytes. */
void em_read_vector(const em_frame *f, unsigned n, void *to);
void em_write_vector(const em_frame *f, unsigned n, const void *from);
/* k0 to k7. */
uint64_t em_read_mask(const em_frame *f, unsigned n);
/* Of the instruction's memory operand without its index; the index register's value times its
 * scale. */
char *em_base_address(const em_frame *f, const em_inst *i);
int64_t em_index(const em_frame *f, const em_inst *i);

#endif
