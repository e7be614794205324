/* The packed weights: every value of frequency program that the plan placed, in offset order, as
 * the kernels read them. They stream to a file; LLVM never sees them. */
#ifndef EBRU_CODEGEN_LINK_PACK_WEIGHTS_H
#define EBRU_CODEGEN_LINK_PACK_WEIGHTS_H

#include "codegen/codegen.h"

/* Writes the weights of m to fd from `base` on; *bytes gets their size, id their digest. False with
 * diagnostics. */
bool cg_write_weights(base_diag *d, const ir_module *m, int fd, uint64_t base,
                      const cg_options *options, uint64_t *bytes, unsigned char id[16]);
/* True when two modules have the same weights at the same places (levels share one blob). */
bool cg_same_weights(const ir_module *a, const ir_module *b);

#endif
