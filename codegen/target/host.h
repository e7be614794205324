/* What the machine that compiles can run, for -mcpu=native. */
#ifndef EBRU_CODEGEN_TARGET_HOST_H
#define EBRU_CODEGEN_TARGET_HOST_H

#include <stdint.h>

/* The highest EBRU_ISA_* whose features this CPU has and this system lets programs use; 0 when it
 * is none of them. */
int32_t cg_host_level(void);

#endif
