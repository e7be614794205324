#include "driver/diff/dump_folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int by_number(const void *x, const void *y) {
    const dump *a = x, *b = y;
    if (a->number != b->number) return a->number < b->number ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* NN-PASS.ir */
static void add(dump_folder *f, const char *folder, const char *file) {
    size_t digits = strspn(file, "0123456789"), n = strlen(file);
    if (!digits || digits > 6 || file[digits] != '-' || n < digits + 5 ||
        strcmp(file + n - 3, ".ir") != 0)
        return;
    dump e = {.number = strtoul(file, NULL, 10),
              .name = base_arena_strndup(f->arena, file, n - 3),
              .path = base_arena_printf(f->arena, "%s/%s", folder, file)};
    e.pass = e.name + digits + 1;
    BASE_PUSH(&f->dumps, e);
}

bool drv_dump_folder_read(base_diag *d, const char *path, size_t least, dump_folder *out) {
    *out = (dump_folder){.arena = base_arena_new()};
    DIR *dir = opendir(path);
    if (!dir) {
        base_error_file(d, path, "open", errno);
        return false;
    }
    for (const struct dirent *e; (e = readdir(dir));) add(out, path, e->d_name);
    closedir(dir);
    if (out->dumps.count)
        qsort(out->dumps.items, out->dumps.count, sizeof *out->dumps.items, by_number);
    if (out->dumps.count >= least) return true;
    base_error(d, NULL, "'%s' has %s of IR (files like 03-dce.ir)", base_escape(path, strlen(path)),
               out->dumps.count ? "only one dump" : "no dumps");
    base_note(d, NULL, "ebru compile MODEL --emit=ir -o /dev/null --dump-dir=DIR writes them");
    return false;
}

void drv_dump_folder_free(dump_folder *f) {
    base_free(f->dumps.items);
    base_arena_free(f->arena);
    *f = (dump_folder){0};
}
