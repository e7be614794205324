/* Files of a model folder, read and mapped safely.
 *
 * Whatever the user names on the command line is trusted and may be a symbolic link (the Hugging
 * Face cache is made of links to ../../blobs/HASH). A name that stands inside a model file is not:
 * it must be a plain basename and is opened relative to the folder's descriptor. Only regular files
 * are read, and they are opened without blocking, so that a FIFO or a device cannot hang or feed
 * the compiler. */
#ifndef EBRU_FRONTEND_FILES_FILES_H
#define EBRU_FRONTEND_FILES_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"

/* ---- names and paths ---- */

/* True for a plain basename: 1 to 255 bytes, no '/', '\\' or NUL, no leading '.'. */
bool fe_name_is_plain(const char *name, size_t length);
/* The same, reporting at `loc` (may be NULL) what is wrong with `name`; `what` is "shard name" or
 * similar. */
bool fe_check_name(base_diag *d, const base_loc *loc, const char *what, const char *name,
                   size_t length);

bool fe_path_exists(const char *path);
bool fe_path_is_dir(const char *path);
bool fe_path_is_file(const char *path); /* a regular file, links followed */
/* "dir/name" (no doubled slash; just `name` when dir is "" or "."), in the arena. */
char *fe_path_join(base_arena *a, const char *dir, const char *name);
/* Last component of a path without trailing slashes, in the arena. */
char *fe_path_base(base_arena *a, const char *path);

/* The same file from any working directory, in the arena: for paths that are written down. What is
 * no file on disk stays as it is. */
char *fe_path_absolute(base_arena *a, const char *path);
/* What a path that was written down in the file `beside` names: it is relative to that file's
 * folder, or, where there is nothing, to the working directory. Absolute, in the arena; `path`
 * itself where neither has it. */
const char *fe_path_beside(base_arena *a, const char *beside, const char *path);

/* ---- a model folder ---- */

typedef struct fe_dir fe_dir;

/* Opens a folder the user named. NULL after reporting. */
fe_dir *fe_dir_open(base_diag *d, const char *path);
/* Opens the folder `name` (a plain basename) inside `parent`, which may be closed first. */
fe_dir *fe_dir_open_in(base_diag *d, const fe_dir *parent, const char *name);
void fe_dir_close(fe_dir *dir); /* NULL is allowed; paths from fe_dir_join die with it */
const char *fe_dir_path(const fe_dir *dir);
/* Path of a member, for messages and for tools that want a path. Lives as long as the fe_dir. */
const char *fe_dir_join(fe_dir *dir, const char *name);
/* False also for names that are not plain. */
bool fe_dir_has_file(const fe_dir *dir, const char *name);
bool fe_dir_has_dir(const fe_dir *dir, const char *name);
/* True when something has that name, be it a link to nowhere. */
bool fe_dir_has_name(const fe_dir *dir, const char *name);

/* A folder that exists only in memory, called `path` in messages; read like the others. fe_dir_map
 * finds nothing in it. */
fe_dir *fe_dir_new_memory(const char *path);
/* Adds a file to it, or a folder with a file ("unet/config.json"); the text is copied. */
void fe_dir_add_text(fe_dir *dir, const char *name, const char *text);
/* The same for data that outlives all folders and is called `path` instead of the folder's and its
 * own name. */
void fe_dir_add_data(fe_dir *dir, const char *name, const char *path, const void *data,
                     size_t size);

/* ---- reading ---- */

enum { FE_TEXT_LIMIT = 16 * 1024 * 1024 }; /* default limit of configs and other small text files */

/* Whole content of a file; data[size] is a NUL that does not count. Free with fe_bytes_free. */
typedef struct fe_bytes {
    char *data;
    size_t size;
} fe_bytes;

/* Read a text file of at most `limit` bytes (0: FE_TEXT_LIMIT), without a byte order mark. False
 * after reporting, also of a file that is known to be something else (formats.h). */
bool fe_file_read(base_diag *d, const char *path, size_t limit, fe_bytes *out);
bool fe_dir_read(base_diag *d, fe_dir *dir, const char *name, size_t limit, fe_bytes *out);
void fe_bytes_free(fe_bytes *bytes);

/* Read-only private mapping of a whole file; an empty file has data == NULL. A file that
 * shrinks while it is mapped ends the process (fe_mapped_path). */
typedef struct fe_map {
    const uint8_t *data;
    size_t size;
} fe_map;

bool fe_file_map(base_diag *d, const char *path, fe_map *out);
bool fe_dir_map(base_diag *d, fe_dir *dir, const char *name, fe_map *out);
void fe_unmap(fe_map *map);
/* Path, fit for a terminal, of the file that is mapped at an address; NULL: none is. For the handler
 * of SIGBUS, which ends who reads behind the end of a file that became shorter: it may be called in
 * signal handlers. */
const char *fe_mapped_path(const void *address);

#endif
