/* The segment of a linked program that holds its packed weights.
 *
 * The linker sees a stub of 64 bytes where the weights will be, in the section of large read-only
 * data, which GNU ld places last in the address space and in a segment of its own. After linking,
 * program header and section header are turned to bytes behind the linked file's end. So gigabytes
 * of weights pass through no linker, the kernel maps them when the program starts and reads them
 * when they are used, and strip and objcopy take them for what they are: a section. */
#ifndef EBRU_CODEGEN_LINK_WEIGHTS_SEGMENT_H
#define EBRU_CODEGEN_LINK_WEIGHTS_SEGMENT_H

#include "codegen/target/arch.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct cg_weights_segment {
    uint64_t program_header, section_header; /* where in the file the two stand */
    uint64_t address;
} cg_weights_segment;

/* Writes the object with the stub, whose symbol is `symbol` and stands at a multiple of `align`.
 * False with errno set. */
bool cg_weights_segment_stub(int fd, const cg_arch *arch, const char *symbol, uint64_t align);
/* Finds the stub, made with `align`, in a linked file. False with errno 0 when this linker put it
 * where it cannot grow: beside something else, or in front of another segment; with errno set when
 * the file cannot be read. */
bool cg_weights_segment_find(int fd, uint64_t align, cg_weights_segment *s);
/* Makes the segment `bytes` bytes from `offset` on, a multiple of `align`. False with errno set. */
bool cg_weights_segment_set(int fd, const cg_weights_segment *s, uint64_t offset, uint64_t bytes,
                            uint64_t align);

#endif
