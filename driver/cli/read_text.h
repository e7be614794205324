/* Reading text in one piece: a file, standard input or a pipe. */
#ifndef EBRU_DRIVER_CLI_READ_TEXT_H
#define EBRU_DRIVER_CLI_READ_TEXT_H

#include "base/diag.h"
#include "frontend/files/files.h"

/* The whole of `path`, of at most `limit` bytes: "-" is standard input; a FIFO or a device is read
 * to its end, so that `<(command)` of a shell will do. data[size] is a NUL that does not count.
 * Free with fe_bytes_free. False with a diagnostic. */
bool drv_read_text(base_diag *d, const char *path, size_t limit, fe_bytes *out);

#endif
