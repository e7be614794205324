/* Output files that are complete or absent. One is written at a time. */
#ifndef EBRU_RUNTIME_CLI_OUTPUT_H
#define EBRU_RUNTIME_CLI_OUTPUT_H

#include "runtime/engine/status.h"

#include <limits.h>
#include <stdbool.h>

typedef struct rt_output {
    FILE *file;          /* to write to */
    bool temporary;      /* renamed to `path` when it is complete */
    char path[PATH_MAX]; /* as shown in messages; the target of a link */
} rt_output;

/* `path` "-" is standard output (RT_ERR_USAGE if that is a terminal); devices and pipes are written
 * to. Otherwise a temporary file in the same directory, mode 0666 less umask. On any failure
 * RT_ERR_SYSTEM with path and reason. */
rt_status rt_output_begin(rt_output *o, const char *path, rt_error *err);
/* Closes and renames over the path. On failure (RT_ERR_SYSTEM, also when something could not be
 * written before) the temporary file is gone and an existing file untouched. */
rt_status rt_output_commit(rt_output *o, rt_error *err);
/* Gives up: removes the temporary file; the message has `code` (an errno, or 0) or else `why`. */
rt_status rt_output_abandon(rt_output *o, int code, const char *why, rt_error *err);

/* Removes the temporary file being written, if any. Async-signal-safe: for handlers of SIGINT and
 * SIGTERM. */
void rt_output_remove_temp(void);
/* Its path, NULL if none is being written. */
const char *rt_output_temp_path(void);

#endif
