/* Output files that are complete or absent: a locked temporary beside the target, then rename; see
 * files.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frontend/files/files.h"

#define TEMP_MARK ".ebru-tmp."

enum { LIVE_MAX = 32, TEMP_TRIES = 100 };

/* Unfinished temporaries, for the signal handler and for exit(): a path is set only after its
 * string is complete. A forked child inherits the table but must not remove its parent's files. */
static struct {
    const char *volatile path;
    pid_t owner;
} live[LIVE_MAX];

struct fe_output {
    base_diag *diag;
    base_arena *arena;
    const char *path;   /* as the user wrote it */
    const char *target; /* links resolved */
    const char *temp;   /* the target itself when it is written directly */
    FILE *file;
    int error; /* errno of the first failed write */
    bool direct;
};

static void report(const fe_output *o, const char *action, int error) {
    base_loc loc = {.source = base_diag_source(o->diag, o->path, NULL, 0)};
    base_error(o->diag, &loc, "cannot %s: %s", action, strerror(error));
}

static void live_add(const char *path) {
    static bool registered;
    if (!registered)
        registered = atexit(fe_output_remove_all) == 0; /* out of memory, internal error */
    for (size_t i = 0; i < LIVE_MAX; i++) {
        if (!live[i].path) {
            live[i].owner = getpid();
            live[i].path = path;
            return;
        }
    }
}

static void live_remove(const char *path) {
    for (size_t i = 0; i < LIVE_MAX; i++) {
        if (live[i].path == path) live[i].path = NULL;
    }
}

void fe_output_remove_all(void) {
    for (size_t i = 0; i < LIVE_MAX; i++) {
        const char *path = live[i].path;
        if (path && live[i].owner == getpid()) unlink(path);
    }
}

/* Folder and name of a path; the folder of a bare name is ".". */
static void split_path(base_arena *a, const char *path, const char **dir, const char **name) {
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    *dir = !slash ? "." : slash == path ? "/" : base_arena_strndup(a, path, (size_t)(slash - path));
}

/* Removes temporaries of this target whose writer is gone. A live writer holds a lock on its
 * temporary, which the kernel drops however the process ends. */
static void remove_stale(base_arena *a, const char *dir, const char *name) {
    DIR *handle = opendir(dir);
    if (!handle) return;
    const char *prefix = base_arena_printf(a, ".%s" TEMP_MARK, name);
    size_t n = strlen(prefix);
    for (struct dirent *e; (e = readdir(handle)) != NULL;) {
        if (strncmp(e->d_name, prefix, n) != 0) continue;
        int fd = openat(dirfd(handle), e->d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
        if (fd < 0) continue;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) unlinkat(dirfd(handle), e->d_name, 0);
        close(fd);
    }
    closedir(handle);
}

/* Creates the temporary and its stream; false with errno set. */
static bool create_temp(fe_output *o, const char *dir, const char *name, unsigned mode) {
    static unsigned serial;
    int fd = -1;
    for (int i = 0; i < TEMP_TRIES && fd < 0; i++) {
        const char *base =
            base_arena_printf(o->arena, ".%s" TEMP_MARK "%ld-%u", name, (long)getpid(), serial++);
        o->temp = fe_path_join(o->arena, dir, base);
        fd = open(o->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
        if (fd < 0 && errno != EEXIST) return false;
    }
    if (fd < 0) return false;
    flock(fd, LOCK_EX |
                  LOCK_NB); /* a file system without locks costs only the removal of stale files */
    live_add(o->temp);
    o->file = fdopen(fd, "w+b");
    if (o->file) return true;
    int error = errno;
    close(fd);
    unlink(o->temp);
    live_remove(o->temp);
    errno = error;
    return false;
}

static void release(fe_output *o) {
    base_arena_free(o->arena);
    base_free(o);
}

/* Opens the target or a temporary; false with errno set. */
static bool start(fe_output *o, unsigned mode) {
    struct stat st;
    const char *dir, *name;
    if (stat(o->path, &st) == 0) {
        if (S_ISDIR(st.st_mode)) {
            errno = EISDIR;
            return false;
        }
        if (!S_ISREG(st.st_mode)) {
            o->direct = true;
            o->temp = o->path;
            o->file = fopen(o->path, "wb");
            return o->file != NULL;
        }
        /* Through a link the file it names is replaced, not the link. */
        char *real = realpath(o->path, NULL);
        if (real) o->target = base_arena_strdup(o->arena, real);
        free(real);
    }
    split_path(o->arena, o->target, &dir, &name);
    if (!*name) {
        errno = EISDIR;
        return false;
    }
    remove_stale(o->arena, dir, name);
    return create_temp(o, dir, name, mode);
}

fe_output *fe_output_begin(base_diag *d, const char *path, unsigned mode) {
    fe_output *o = base_alloc(sizeof *o);
    o->diag = d;
    o->arena = base_arena_new();
    o->path = o->target = base_arena_strdup(o->arena, path);
    if (start(o, mode)) return o;
    report(o, "create", errno);
    release(o);
    return NULL;
}

FILE *fe_output_file(fe_output *o) {
    return o->file;
}

const char *fe_output_temp(const fe_output *o) {
    return o->temp;
}

void fe_output_write(fe_output *o, const void *data, size_t size) {
    if (o->error || !size) return;
    if (fwrite(data, 1, size, o->file) != size) o->error = errno ? errno : EIO;
}

bool fe_output_commit(fe_output *o) {
    if (!o->error && ferror(o->file))
        o->error = EIO; /* the caller's own stdio call failed, reason unknown */
    if (fflush(o->file) != 0 && (!o->error || o->error == EIO)) o->error = errno;
    if (fclose(o->file) != 0 && !o->error) o->error = errno;
    if (o->error) {
        report(o, "write", o->error);
    } else if (!o->direct && rename(o->temp, o->target) != 0) {
        o->error = errno;
        report(o, "write", o->error);
    }
    bool good = o->error == 0;
    if (!o->direct) {
        if (!good) unlink(o->temp);
        live_remove(o->temp);
    }
    release(o);
    return good;
}

void fe_output_abort(fe_output *o) {
    if (!o) return;
    fclose(o->file);
    if (!o->direct) {
        unlink(o->temp);
        live_remove(o->temp);
    }
    release(o);
}
