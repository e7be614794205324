/* A temporary folder for a test, and small helpers to fill it. */
#ifndef EBRU_TESTS_UNIT_SUPPORT_TEMP_DIR_H
#define EBRU_TESTS_UNIT_SUPPORT_TEMP_DIR_H

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct temp_dir {
    char path[512];
} temp_dir;

static inline void temp_dir_begin(temp_dir *t) {
    const char *base = getenv("TMPDIR");
    snprintf(t->path, sizeof t->path, "%s/ebru-test-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(t->path)) abort();
}

/* Path of a member, in a ring of eight buffers. */
static inline const char *temp_path(const temp_dir *t, const char *name) {
    static char ring[8][1024];
    static unsigned next;
    char *slot = ring[next++ % 8];
    snprintf(slot, sizeof ring[0], "%s/%s", t->path, name);
    return slot;
}

static inline void temp_write(const temp_dir *t, const char *name, const void *data, size_t size) {
    FILE *f = fopen(temp_path(t, name), "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) abort();
}

static inline size_t count_files(const char *path) {
    size_t n = 0;
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    if (d) closedir(d);
    return n;
}

static inline int remove_entry(const char *path, const struct stat *st, int kind,
                               struct FTW *where) {
    (void)st, (void)kind, (void)where;
    return remove(path);
}

static inline void temp_dir_end(temp_dir *t) {
    nftw(t->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* One folder for all tests of a program: cmocka_run_group_tests(tests, temp_shared_begin,
 * temp_shared_end). */
static inline temp_dir *temp_shared(void) {
    static temp_dir t;
    return &t;
}

static inline int temp_shared_begin(void **state) {
    (void)state;
    temp_dir_begin(temp_shared());
    return 0;
}

static inline int temp_shared_end(void **state) {
    (void)state;
    temp_dir_end(temp_shared());
    return 0;
}

#endif
