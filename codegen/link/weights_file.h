/* The file of packed weights on its way into, behind or beside the program. */
#ifndef EBRU_CODEGEN_LINK_WEIGHTS_FILE_H
#define EBRU_CODEGEN_LINK_WEIGHTS_FILE_H

#include "codegen/codegen.h"
#include "codegen/link/temp_dir.h"
#include "codegen/target/arch.h"

typedef struct cg_weights_file {
    const cg_arch *arch; /* of the program */
    const char *path;
    /* where in the file the weights begin, a multiple of align (in an object of 4096) */
    uint64_t head;
    uint64_t align; /* of the weights in memory */
    uint64_t bytes; /* of the weights; their trailer (runtime/abi/abi.h) follows */
    unsigned char id[16];
} cg_weights_file;

/* Packs the weights of m into b->path, `b->head` bytes from its start on, with the trailer behind
 * them. False with a diagnostic. */
bool cg_weights_file_pack(base_diag *d, const ir_module *m, const cg_options *options,
                          cg_weights_file *b);
/* Makes the file an object for the linker, with the symbol `ebru_weights`. */
bool cg_weights_file_wrap(base_diag *d, const cg_weights_file *b);
/* Joins the linked program with the weights into one file and gives its path in *product: the
 * program moves into the room in front of the weights where it fits there, else the weights are
 * copied behind it. Where the program has a segment for them (codegen/link/weights_segment.h) the
 * kernel will map them; where not, the trailer at the file's end tells where they are. */
bool cg_weights_file_join(base_diag *d, const cg_weights_file *b, const char *program,
                          const char **product);
/* Bytes of weights with their trailer. */
uint64_t cg_weights_file_size(const cg_weights_file *b);

#endif
