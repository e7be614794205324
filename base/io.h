/* Descriptors: writing all of something, and the three standard ones. */
#ifndef EBRU_BASE_IO_H
#define EBRU_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes all bytes, however often the system takes only some of them or a signal comes between.
 * False with errno set; how much has been written is unknown then. Async-signal-safe. */
bool base_write_all(int fd, const void *bytes, size_t count);
/* The same at byte `at` of a file; its position stays. */
bool base_pwrite_all(int fd, const void *bytes, size_t count, uint64_t at);

/* Copies what is left of `from` to `to`. False with errno set. */
bool base_copy_all(int from, int to);

/* True when nobody is left to read what is written to a pipe (or socket): `ebru ... | head`. */
bool base_is_broken_pipe(int fd);

/* Opens /dev/null in place of standard streams that are closed: the next file to be opened would
 * get their number, and messages would end up in it. Call it first in main(). */
void base_keep_standard_streams(void);

#endif
