/* Intermediate files of one compilation: a hidden directory beside the output, so that the finished
 * file is renamed into place and a failure leaves nothing (base/system/output.h). */
#ifndef EBRU_CODEGEN_LINK_TEMP_DIR_H
#define EBRU_CODEGEN_LINK_TEMP_DIR_H

#include "base/arena.h"
#include "base/diag.h"
#include "base/system/output.h"

typedef struct cg_files {
    base_arena *arena; /* NULL: not open */
    base_temp_dir *dir;
    const char *target; /* the file itself where `output` was a link */
} cg_files;

/* `output`: the file it is all for; "-" uses the system's temporary directory. False with a
 * diagnostic. */
bool cg_files_open(base_diag *d, cg_files *f, const char *output);
/* Path of a file of that name in the directory; removed by cg_files_close. */
const char *cg_files_add(cg_files *f, const char *name);
void cg_files_close(cg_files *f);
/* Moves a finished file to its place. */
bool cg_files_publish(base_diag *d, const char *from, const char *to);
/* Writes bytes to a new file. */
bool cg_files_write(base_diag *d, const char *path, const void *bytes, size_t count);
/* Appends the file `from` to fd at its current position. */
bool cg_files_append(base_diag *d, int fd, const char *from);

#endif
