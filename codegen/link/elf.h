/* A relocatable ELF file with one read-only section of data and one symbol at its start: how packed
 * weights reach the linker without passing through an assembler. For x86-64 the section is marked
 * large (.lrodata), so programs of more than 2 GiB link. */
#ifndef EBRU_CODEGEN_LINK_ELF_H
#define EBRU_CODEGEN_LINK_ELF_H

#include "codegen/target/arch.h"

#include <stdbool.h>
#include <stdint.h>

#define CG_ELF_DATA_OFFSET 4096 /* in front of it the file has room for the header */

/* Writes header and tables around `bytes` bytes that the caller puts (or has put) at `offset`,
 * which is CG_ELF_DATA_OFFSET or more. The symbol is hidden, and where a program has it a multiple
 * of `align`. False with errno set. */
bool cg_elf_finish(int fd, const cg_arch *arch, const char *symbol, uint64_t offset, uint64_t bytes,
                   uint64_t align);

#endif
