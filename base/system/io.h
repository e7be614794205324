/* Descriptors: writing all of something, and the three standard ones. */
#ifndef EBRU_BASE_SYSTEM_IO_H
#define EBRU_BASE_SYSTEM_IO_H

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

/* Opens /dev/null in place of standard streams that are closed: the next file to be opened would
 * get their number, and messages would end up in it. Of standard output it is opened such that
 * writing fails. Call it first in main(). */
void base_keep_standard_streams(void);

/* Can something be written to it, as far as that is known before? 0 or the reason: it is closed or
 * open for reading only, or nobody reads from the pipe any more. */
int base_check_standard_output(void);

#endif
