/* Folders in memory; see memory_folder.h. */
#include "frontend/files/memory_folder.h"

#include <string.h>

memory_folder *memory_folder_new(void) {
    memory_folder *f = base_alloc(sizeof *f);
    f->arena = base_arena_new();
    return f;
}

void memory_folder_free(memory_folder *f) {
    if (!f) return;
    base_free(f->files.items);
    base_arena_free(f->arena);
    base_free(f);
}

void memory_folder_add(memory_folder *f, const memory_file *file) {
    memory_file copy = *file;
    copy.name = base_arena_strdup(f->arena, file->name);
    if (file->path) copy.path = base_arena_strdup(f->arena, file->path);
    if (!file->lasting) copy.data = base_arena_strndup(f->arena, file->data, file->size);
    BASE_PUSH(&f->files, copy);
}

const memory_file *memory_folder_find(const memory_folder *f, const char *name) {
    for (size_t i = 0; i < f->files.count; i++)
        if (strcmp(f->files.items[i].name, name) == 0) return &f->files.items[i];
    return NULL;
}

/* What follows "folder/" in a file's name, NULL when the file is not inside. */
static const char *name_inside(const char *file, const char *folder) {
    size_t n = strlen(folder);
    return strncmp(file, folder, n) == 0 && file[n] == '/' ? file + n + 1 : NULL;
}

bool memory_folder_has_dir(const memory_folder *f, const char *name) {
    for (size_t i = 0; i < f->files.count; i++)
        if (name_inside(f->files.items[i].name, name)) return true;
    return false;
}

memory_folder *memory_folder_sub(const memory_folder *f, const char *name) {
    memory_folder *sub = memory_folder_new();
    for (size_t i = 0; i < f->files.count; i++) {
        memory_file file = f->files.items[i];
        file.name = name_inside(file.name, name);
        if (file.name) memory_folder_add(sub, &file);
    }
    return sub;
}
