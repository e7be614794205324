/* Programs for one use: compiled into a fresh directory, run over pipes, removed. */
#ifndef EBRU_DRIVER_COMMANDS_RUN_PROGRAM_H
#define EBRU_DRIVER_COMMANDS_RUN_PROGRAM_H

#include "base/diag.h"
#include "base/system/output.h"

/* A program for one use: compiled into a fresh directory, removed by drv_temp_free (also
 * on signals). */
typedef struct drv_temp {
    base_temp_dir *dir;
    base_str program; /* its path */
} drv_temp;
bool drv_temp_new(base_diag *d, drv_temp *t);
void drv_temp_free(drv_temp *t);
/* Runs argv[0] with `input` on its standard input; *out (base_alloc'd) receives its standard
 * output, NULL `out`: it goes to ours. The child's exit code, or -1 with a diagnostic. */
int drv_run(base_diag *d, const char *const *argv, const void *input, size_t input_bytes,
            char **out, size_t *out_bytes);

/* Runs `COMMAND PATH` in a shell and drops what it prints on standard output. Its exit code; -1
 * when it was killed or cannot be started. */
int drv_run_test(const char *command, const char *path);

#endif
