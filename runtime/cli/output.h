/* Where a program writes to: a file that is complete or absent (base/system/output.h), a device or FIFO,
 * or standard output. */
#ifndef EBRU_RUNTIME_CLI_OUTPUT_H
#define EBRU_RUNTIME_CLI_OUTPUT_H

#include "base/system/output.h"
#include "runtime/engine/status.h"

typedef struct rt_output {
    FILE *file;        /* to write to */
    base_output *temp; /* NULL: standard output */
    const char *path;  /* as shown in messages */
} rt_output;

/* Whether a file of this name can be written, said before minutes of work instead of after them; "-"
 * is standard output. RT_ERR_SYSTEM if not. */
rt_status rt_output_check(const char *path, rt_error *err);
/* Two outputs of one run, named by options, need files of their own; NULL: not wanted. RT_ERR_USAGE
 * if one would be lost in the other. */
rt_status rt_output_apart(const char *first, const char *a, const char *second, const char *b,
                          rt_error *err);
/* `path` "-" is standard output (RT_ERR_USAGE if that is a terminal); it must live as long as o. A
 * new file has mode 0666 less umask. On any failure RT_ERR_SYSTEM with path and reason. */
rt_status rt_output_begin(rt_output *o, const char *path, rt_error *err);
/* Closes and renames over the path. On failure (RT_ERR_SYSTEM, also when something could not be
 * written before) the temporary file is gone and an existing file untouched. */
rt_status rt_output_commit(rt_output *o, rt_error *err);
/* The same under the name `path` in the folder of the other, which is never replaced: if it exists
 * already, *taken is true and o lives on, for another name. */
rt_status rt_output_commit_new(rt_output *o, const char *path, bool *taken, rt_error *err);
/* Gives up: removes the temporary file; the message has `code` (an errno, or 0) or else `why`. */
rt_status rt_output_abandon(rt_output *o, int code, const char *why, rt_error *err);

#endif
