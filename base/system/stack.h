/* The limit of the main thread's stack (ulimit -s), which a program cannot choose itself. */
#ifndef EBRU_BASE_SYSTEM_STACK_H
#define EBRU_BASE_SYSTEM_STACK_H

#include <stdbool.h>
#include <stddef.h>

/* Raises a low limit to 8 MiB, or as far as is allowed, for children, too. False when it stays below
 * `needed` bytes, which is told on standard error as an error of `program`, with what little stack
 * there is. */
bool base_stack_suffices(const char *program, size_t needed);

#endif
