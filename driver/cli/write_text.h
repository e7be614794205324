/* Where commands write texts to. */
#ifndef EBRU_DRIVER_CLI_WRITE_TEXT_H
#define EBRU_DRIVER_CLI_WRITE_TEXT_H

#include "base/diag.h"

/* Writes text to a path, which then has all of it or is as it was, or to "-". False with a
 * diagnostic; without one when standard output is a pipe that nobody reads any more. */
bool drv_write_text(base_diag *d, const char *path, const char *text, size_t length);
/* Can the file be written, as far as that is known before the work? NULL: none is wanted. False
 * with a diagnostic. */
bool drv_can_write(base_diag *d, const char *path);
/* Outputs of one run need files of their own; NULL: not wanted. `first` and `second` are the options
 * that name them. False with a diagnostic. */
bool drv_are_apart(base_diag *d, const char *first, const char *a, const char *second,
                   const char *b);

#endif
