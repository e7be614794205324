/* Folders that exist only in memory, for models whose configs are known or derived instead of read.
 * Used through fe_dir (files.h): fe_dir_new_memory and its fe_dir_add_... */
#ifndef EBRU_FRONTEND_FILES_MEMORY_FOLDER_H
#define EBRU_FRONTEND_FILES_MEMORY_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

typedef struct memory_file {
    const char *name; /* relative to the folder, '/' between parts */
    const char *path; /* what messages call it; NULL: folder and name joined */
    const char *data;
    size_t size;
    bool lasting; /* the data outlives every folder; otherwise it is in the folder's arena */
} memory_file;

typedef struct memory_folder {
    base_arena *arena;
    BASE_VEC(memory_file) files;
} memory_folder;

memory_folder *memory_folder_new(void);
void memory_folder_free(memory_folder *f); /* NULL is allowed */
/* Adds a file; name, path and data that is not `lasting` are copied. */
void memory_folder_add(memory_folder *f, const memory_file *file);
/* NULL when there is no such file in the folder itself. */
const memory_file *memory_folder_find(const memory_folder *f, const char *name);
bool memory_folder_has_dir(const memory_folder *f, const char *name);
/* A folder with copies of what is inside `name`. */
memory_folder *memory_folder_sub(const memory_folder *f, const char *name);

#endif
