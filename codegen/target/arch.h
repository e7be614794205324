/* The architectures that programs are compiled for, and what of an architecture stands in object
 * files and on linkers' command lines. Needs no LLVM. */
#ifndef EBRU_CODEGEN_TARGET_ARCH_H
#define EBRU_CODEGEN_TARGET_ARCH_H

#include "codegen/target/bind.h"
#include "codegen/target/target.h"

struct cg_arch {
    const char *triple;      /* as --target= takes it */
    const char *llvm_triple; /* the same for LLVM */
    const char *cpu;         /* LLVM's name of the architecture's baseline */
    uint16_t elf_machine;
    /* Where packed weights go: a section that GNU ld keeps out of reach of near addresses, where
     * there is one. */
    const char *data_section;
    uint64_t data_flags; /* of it, beside SHF_ALLOC */
    const char *linker,
        *packages; /* compiler driver that links; Debian's packages with it and its libraries */
    const char *debian;            /* Debian's name of the architecture */
    const cg_target_info *targets; /* lowest level first */
    uint32_t target_count;
};

/* The architecture of the machine that compiles; that of a target of ours. */
const cg_arch *cg_arch_host(void);
const cg_arch *cg_arch_of(const ir_target *t);
/* target.c: the rows, and the best of them this machine runs, with its caches. */
extern const cg_target_info cg_targets_x86_64[EBRU_LEVEL_COUNT_x86_64],
    cg_targets_aarch64[EBRU_LEVEL_COUNT_aarch64];
const ir_target *cg_target_native(base_diag *d, const cg_arch *a);

#endif
