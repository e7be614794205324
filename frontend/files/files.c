/* Safe opening, reading and mapping; see files.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "frontend/files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/system/output.h"
#include "frontend/files/formats.h"
#include "frontend/files/memory_folder.h"

/* ---- names and paths ---- */

enum { NAME_LIMIT = 255 };

/* What is wrong with a name that should be a plain basename, or NULL. */
static const char *name_fault(const char *name, size_t length) {
    if (length == 0) return "it is empty";
    if (length > NAME_LIMIT) return "it is longer than 255 bytes";
    if (name[0] == '.') return "it begins with '.'";
    if (memchr(name, '\0', length)) return "it contains a NUL character";
    if (memchr(name, '/', length)) return "it contains '/'";
    if (memchr(name, '\\', length)) return "it contains '\\'";
    return NULL;
}

bool fe_name_is_plain(const char *name, size_t length) {
    return name_fault(name, length) == NULL;
}

bool fe_check_name(base_diag *d, const base_loc *loc, const char *what, const char *name,
                   size_t length) {
    const char *fault = name_fault(name, length);
    if (!fault) return true;
    base_error(d, loc, "%s '%s' must be a plain file name: %s", what, base_escape(name, length),
               fault);
    return false;
}

bool fe_path_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

bool fe_path_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool fe_path_is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

char *fe_path_join(base_arena *a, const char *dir, const char *name) {
    size_t n = strlen(dir);
    if (n == 0 || strcmp(dir, ".") == 0) return base_arena_strdup(a, name);
    return base_arena_printf(a, "%s%s%s", dir, dir[n - 1] == '/' ? "" : "/", name);
}

char *fe_path_base(base_arena *a, const char *path) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') start--;
    if (start == end) start = 0; /* the root itself */
    return base_arena_strndup(a, path + start, end - start);
}

char *fe_path_absolute(base_arena *a, const char *path) {
    char here[PATH_MAX];
    if (path[0] == '/' || !fe_path_exists(path) || !getcwd(here, sizeof here))
        return base_arena_strdup(a, path);
    while (path[0] == '.' && path[1] == '/') path += 2;
    return fe_path_join(a, here, path);
}

const char *fe_path_beside(base_arena *a, const char *beside, const char *path) {
    if (path[0] == '/') return path;
    const char *slash = strrchr(beside, '/');
    const char *folder = slash ? base_arena_strndup(a, beside, (size_t)(slash - beside) + 1) : "";
    const char *there = fe_path_join(a, folder, path);
    if (fe_path_exists(there)) return fe_path_absolute(a, there);
    return fe_path_exists(path) ? fe_path_absolute(a, path) : path;
}

/* ---- opening ---- */

static void report_kind(base_diag *d, const char *path, mode_t mode) {
    base_loc loc = {.source = base_diag_source(d, path, NULL, 0)};
    const char *kind = S_ISDIR(mode)    ? "a folder"
                       : S_ISFIFO(mode) ? "a FIFO"
                       : S_ISSOCK(mode) ? "a socket"
                                        : "a device";
    base_error(d, &loc, "is %s, not a regular file", kind);
}

/* Opens a regular file for reading; `shown` is its path in messages. Returns the descriptor or -1
 * after reporting. O_NONBLOCK keeps open() from waiting for the writer of a FIFO. */
static int open_regular(base_diag *d, int dirfd, const char *name, const char *shown,
                        size_t *size) {
    int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        base_error_file(d, shown, "open", errno);
        return -1;
    }
    struct stat st;
    if (fstat(fd, &st) != 0) {
        base_error_file(d, shown, "examine", errno);
    } else if (!S_ISREG(st.st_mode)) {
        report_kind(d, shown, st.st_mode);
    } else if ((uintmax_t)st.st_size > SIZE_MAX) {
        errno = EFBIG;
        base_error_file(d, shown, "read", errno);
    } else {
        *size = (size_t)st.st_size;
        base_output_keep_open(fd);
        return fd;
    }
    close(fd);
    return -1;
}

/* ---- folders ---- */

struct fe_dir {
    int fd; /* -1 in memory */
    char *path;
    base_arena *arena;
    memory_folder *memory; /* NULL on disk */
};

static fe_dir *new_dir(int fd, memory_folder *memory, const char *shown) {
    fe_dir *dir = base_alloc(sizeof *dir);
    dir->fd = fd;
    dir->memory = memory;
    dir->arena = base_arena_new();
    dir->path = base_arena_strdup(dir->arena, shown);
    return dir;
}

static fe_dir *open_dir(base_diag *d, int dirfd, const char *name, const char *shown) {
    int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (fd < 0) {
        base_error_file(d, shown, "open folder", errno);
        return NULL;
    }
    return new_dir(fd, NULL, shown);
}

fe_dir *fe_dir_open(base_diag *d, const char *path) {
    return open_dir(d, AT_FDCWD, path, path);
}

fe_dir *fe_dir_open_in(base_diag *d, const fe_dir *parent, const char *name) {
    base_loc loc = {.source = base_diag_source(d, parent->path, NULL, 0)};
    if (!fe_check_name(d, &loc, "folder name", name, strlen(name))) return NULL;
    base_arena *a = base_arena_new();
    const char *shown = fe_path_join(a, parent->path, name);
    fe_dir *dir = parent->memory ? new_dir(-1, memory_folder_sub(parent->memory, name), shown)
                                 : open_dir(d, parent->fd, name, shown);
    base_arena_free(a);
    return dir;
}

void fe_dir_close(fe_dir *dir) {
    if (!dir) return;
    if (dir->fd >= 0) close(dir->fd);
    memory_folder_free(dir->memory);
    base_arena_free(dir->arena);
    base_free(dir);
}

const char *fe_dir_path(const fe_dir *dir) {
    return dir->path;
}

fe_dir *fe_dir_new_memory(const char *path) {
    return new_dir(-1, memory_folder_new(), path);
}

void fe_dir_add_text(fe_dir *dir, const char *name, const char *text) {
    memory_folder_add(dir->memory,
                      &(memory_file){.name = name, .data = text, .size = strlen(text)});
}

void fe_dir_add_data(fe_dir *dir, const char *name, const char *path, const void *data,
                     size_t size) {
    memory_folder_add(dir->memory, &(memory_file){name, path, data, size, true});
}

const char *fe_dir_join(fe_dir *dir, const char *name) {
    const memory_file *file = dir->memory ? memory_folder_find(dir->memory, name) : NULL;
    if (file && file->path) return file->path;
    return fe_path_join(dir->arena, dir->path, name);
}

static bool has_kind(const fe_dir *dir, const char *name, mode_t kind) {
    struct stat st;
    if (dir->memory && kind == S_IFDIR) return memory_folder_has_dir(dir->memory, name);
    if (dir->memory) return memory_folder_find(dir->memory, name) != NULL;
    return fe_name_is_plain(name, strlen(name)) && fstatat(dir->fd, name, &st, 0) == 0 &&
           (st.st_mode & S_IFMT) == kind;
}

bool fe_dir_has_file(const fe_dir *dir, const char *name) {
    return has_kind(dir, name, S_IFREG);
}

bool fe_dir_has_dir(const fe_dir *dir, const char *name) {
    return has_kind(dir, name, S_IFDIR);
}

bool fe_dir_has_name(const fe_dir *dir, const char *name) {
    struct stat st;
    if (dir->memory) return memory_folder_find(dir->memory, name) != NULL;
    return fe_name_is_plain(name, strlen(name)) &&
           fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Opens a member whose name may come from a model file. */
static int open_member(base_diag *d, fe_dir *dir, const char *name, const char **shown,
                       size_t *size) {
    base_loc loc = {.source = base_diag_source(d, dir->path, NULL, 0)};
    if (!fe_check_name(d, &loc, "file name", name, strlen(name))) return -1;
    *shown = fe_dir_join(dir, name);
    if (dir->memory) {
        errno = ENOENT;
        base_error_file(d, *shown, "open", errno);
        return -1;
    }
    return open_regular(d, dir->fd, name, *shown, size);
}

/* ---- reading ---- */

/* What another program or a download has made of a text: a byte order mark is taken off, a file that
 * stands for another, or is one of another kind, is told by name. */
static bool clean_text(base_diag *d, const char *shown, fe_bytes *text) {
    base_loc loc = {.source = base_diag_source(d, shown, NULL, 0), .line = 1, .col = 1};
    const char *what;
    fe_format_of(text->data, text->size, &what);
    if (what) {
        base_error(d, &loc, "this is %s", what);
    } else if (text->size >= 2 &&
               (!memcmp(text->data, "\xff\xfe", 2) || !memcmp(text->data, "\xfe\xff", 2))) {
        base_error(d, &loc, "the text is UTF-16; it must be UTF-8");
    } else {
        if (text->size >= 3 && !memcmp(text->data, "\xef\xbb\xbf", 3)) {
            text->size -= 3;
            memmove(text->data, text->data + 3, text->size + 1);
        }
        return true;
    }
    fe_bytes_free(text);
    return false;
}

/* Reads and closes fd. The size is checked before anything is allocated, and the file may not
 * change its size while it is read. */
static bool read_all(base_diag *d, int fd, const char *shown, size_t size, size_t limit,
                     fe_bytes *out) {
    if (!limit) limit = FE_TEXT_LIMIT;
    if (size > limit) {
        base_loc loc = {.source = base_diag_source(d, shown, NULL, 0)};
        base_error(d, &loc, "file is too large: %zu bytes, the limit is %zu", size, limit);
        close(fd);
        return false;
    }
    char *data = base_alloc(size + 1);
    size_t done = 0;
    ssize_t n = 1;
    while (done < size && n > 0) {
        do n = read(fd, data + done, size - done);
        while (n < 0 && errno == EINTR);
        if (n > 0) done += (size_t)n;
    }
    if (done < size) {
        if (n == 0) errno = ESTALE; /* it became shorter under our hands */
        base_error_file(d, shown, "read", errno);
        base_free(data);
        close(fd);
        return false;
    }
    close(fd);
    data[size] = '\0';
    *out = (fe_bytes){data, size};
    return clean_text(d, shown, out);
}

bool fe_file_read(base_diag *d, const char *path, size_t limit, fe_bytes *out) {
    size_t size;
    int fd = open_regular(d, AT_FDCWD, path, path, &size);
    return fd >= 0 && read_all(d, fd, path, size, limit, out);
}

bool fe_dir_read(base_diag *d, fe_dir *dir, const char *name, size_t limit, fe_bytes *out) {
    size_t size;
    const char *shown;
    const memory_file *file = dir->memory ? memory_folder_find(dir->memory, name) : NULL;
    if (file) {
        *out = (fe_bytes){base_alloc(file->size + 1), file->size};
        memcpy(out->data, file->data, file->size);
        return true;
    }
    int fd = open_member(d, dir, name, &shown, &size);
    return fd >= 0 && read_all(d, fd, shown, size, limit, out);
}

void fe_bytes_free(fe_bytes *bytes) {
    base_free(bytes->data);
    *bytes = (fe_bytes){0};
}

/* ---- mapping ---- */

/* Files that are mapped now. */
typedef struct mapping {
    struct mapping *next;
    const uint8_t *data;
    size_t size;
    char path[256]; /* escaped */
} mapping;
static mapping *volatile mappings;

static void remember(const uint8_t *data, size_t size, const char *shown) {
    mapping *m = base_alloc(sizeof *m);
    *m = (mapping){.next = mappings, .data = data, .size = size};
    snprintf(m->path, sizeof m->path, "%s", base_escape(shown, strlen(shown)));
    mappings = m;
}

static void forget(const uint8_t *data) {
    mapping *before = NULL, *m = mappings;
    for (; m && m->data != data; m = m->next) before = m;
    if (!m) return;
    if (before)
        before->next = m->next;
    else
        mappings = m->next;
    base_free(m);
}

const char *fe_mapped_path(const void *address) {
    const uint8_t *at = address;
    for (const mapping *m = mappings; m; m = m->next)
        if (at >= m->data && (size_t)(at - m->data) < m->size) return m->path;
    return NULL;
}

static bool map_all(base_diag *d, int fd, const char *shown, size_t size, fe_map *out) {
    *out = (fe_map){0};
    if (size > 0) {
        void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            base_error_file(d, shown, "map", errno);
            close(fd);
            return false;
        }
        *out = (fe_map){p, size};
        remember(p, size, shown);
    }
    close(fd);
    return true;
}

bool fe_file_map(base_diag *d, const char *path, fe_map *out) {
    size_t size;
    int fd = open_regular(d, AT_FDCWD, path, path, &size);
    return fd >= 0 && map_all(d, fd, path, size, out);
}

bool fe_dir_map(base_diag *d, fe_dir *dir, const char *name, fe_map *out) {
    size_t size;
    const char *shown;
    int fd = open_member(d, dir, name, &shown, &size);
    return fd >= 0 && map_all(d, fd, shown, size, out);
}

void fe_unmap(fe_map *map) {
    if (map->data) {
        forget(map->data);
        munmap((void *)(uintptr_t)map->data, map->size);
    }
    *map = (fe_map){0};
}
