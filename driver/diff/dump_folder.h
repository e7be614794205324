/* A folder that --dump-dir= has written. */
#ifndef EBRU_DRIVER_DIFF_DUMP_FOLDER_H
#define EBRU_DRIVER_DIFF_DUMP_FOLDER_H

#include "base/arena.h"
#include "base/diag.h"

typedef struct dump {
    unsigned long number;
    const char *pass; /* after which it was written: "input", "dce" */
    const char *name; /* "03-dce": as the file's without its suffix */
    const char *path;
} dump;

typedef struct dump_folder {
    base_arena *arena;
    BASE_VEC(dump) dumps; /* by number */
} dump_folder;

/* Lists the files NN-PASS.ir of a folder. False with a diagnostic when it cannot be read or has
 * fewer than `least` of them; free it all the same. */
bool drv_dump_folder_read(base_diag *d, const char *path, size_t least, dump_folder *out);
void drv_dump_folder_free(dump_folder *f);

#endif
