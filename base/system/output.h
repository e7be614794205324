/* Output files that are complete or absent, and folders for the files that lead to them.
 *
 * A file is written as `.NAME.ebru-tmp.N` beside its target and renamed onto it when it is
 * complete: whatever happens, the target is the complete old file or the complete new one.
 * Through a link the file it names is replaced or made, not the link. A target that exists and is
 * no regular file (a device, a FIFO), or a descriptor's name (/dev/stdout), is written directly,
 * because a rename would replace what others have open. A FIFO
 * that nobody reads from is waited for, but not longer than ten seconds (ENXIO).
 *
 * Temporaries do not stay behind: exit() removes them, a signal handler does by
 * base_output_remove_all(), and what a killed process has left is removed by the next one that
 * writes the same target (a living writer holds a lock on its temporary, which the kernel drops
 * however the process ends).
 *
 * What the run has read is never replaced by what it writes (base_output_keep).
 *
 * Errors are numbers of errno.h and BASE_OUTPUT_IS_INPUT; base_output_why() has their words. Nothing
 * here prints. One thread of a process uses it. */
#ifndef EBRU_BASE_SYSTEM_OUTPUT_H
#define EBRU_BASE_SYSTEM_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum {
    BASE_OUTPUT_IS_INPUT = 1 << 16
}; /* no errno: the run reads the file that it would replace */

/* Can `path` be written, as far as that is known before the work: 0 or the reason. "-" is standard
 * output. */
int base_output_check(const char *path);
/* What an error means, in words, for an output. */
const char *base_output_why(int error);

/* ---- a file ---- */

typedef struct base_output base_output;

/* `mode`: permissions before umask, 0666 or 0777. NULL with errno set. */
base_output *base_output_begin(const char *path, unsigned mode);
/* The buffered stream to write to; commit and abort close it. */
FILE *base_output_file(base_output *o);
/* Path of the temporary (of the target where it is written directly), for who writes it without the
 * stream. Lives as long as o. */
const char *base_output_temp(const base_output *o);
/* Writes bytes to the stream; a failure is remembered for commit. */
void base_output_write(base_output *o, const void *data, size_t size);
/* Closes and renames. 0, or the reason of the first failure, a failed write on the stream included:
 * then the temporary is gone and the target as it was. Frees o. */
int base_output_commit(base_output *o);
/* The same under another name, of the folder of o's target, which is never replaced. EEXIST: the
 * name is taken, o lives, and another may be tried. Anything else frees o. */
int base_output_commit_new(base_output *o, const char *path);
/* Closes and removes the temporary. Frees o; NULL is allowed. */
void base_output_abort(base_output *o);

/* ---- the files of a run ---- */

/* The run reads this file: from now on it is no output of the same run, by whatever name. Files that
 * the run has written itself, and what is no regular file, are not kept. */
void base_output_keep(const char *path);
void base_output_keep_open(int fd);

/* Do two outputs lead to one file, FIFO or stream, so that one would be lost in the other? Devices
 * take everything. "-" is standard output. */
bool base_output_same(const char *a, const char *b);

/* ---- a folder of intermediate files ---- */

typedef struct base_temp_dir base_temp_dir;

/* A new folder beside `target`, so that a file in it can be renamed onto the target; where that is
 * NULL, "-" or no regular file, the folder is made in $TMPDIR or /tmp. NULL with errno set. */
base_temp_dir *base_temp_dir_new(const char *target);
const char *base_temp_dir_path(const base_temp_dir *t);
/* Removes the folder and the files in it (it has no folders). Frees t; NULL is allowed. */
void base_temp_dir_free(base_temp_dir *t);

/* The file that writing `path` writes: another where that is a link. free() it; NULL with errno set
 * where there can be no such file. */
char *base_output_target(const char *path);
/* Moves the finished file `from` to `to` by the rules above: renamed onto a file or a new name,
 * copied into a device or FIFO. 0 or the reason. */
int base_output_publish(const char *from, const char *to);

/* ---- the end of the process ---- */

/* Removes all temporaries of this process. Async-signal-safe. */
void base_output_remove_all(void);
/* In a forked child: it holds no locks of its parent's temporaries, which would seem to be in use
 * after the parent's end. */
void base_output_forked(void);
/* From now on every signal that can be caught removes all temporaries and ends the process: with
 * 128 + its number, or, where it tells a fault of the process (SIGSEGV), by the signal itself.
 * SIGXFSZ is ignored: a limit on the size of files is a write error. Signals that are ignored
 * (nohup) or have a handler stay as they are. */
void base_output_catch_signals(void);

#endif
