#include "codegen/link/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* For the signal handler: an interrupted compilation leaves nothing behind either. What the process
 * had arranged for the signal happens afterwards. */
static cg_files *volatile live;
static struct sigaction saved[3];
static const int caught[3] = {SIGINT, SIGTERM, SIGHUP};

static void on_signal(int number) {
    cg_files *f = live;
    for (size_t i = 0; f && i < f->paths.count; i++) unlink(f->paths.items[i]);
    if (f) rmdir(f->dir);
    for (int i = 0; i < 3; i++)
        if (caught[i] == number) sigaction(number, &saved[i], NULL);
    raise(number);
}

static void catch_signals(cg_files *f) {
    live = f;
    for (int i = 0; i < 3; i++) {
        struct sigaction a = {.sa_handler = on_signal};
        sigaction(caught[i], NULL, &saved[i]);
        if (saved[i].sa_handler != SIG_IGN) sigaction(caught[i], &a, NULL);
    }
}

bool cg_files_open(base_diag *d, cg_files *f, const char *output) {
    *f = (cg_files){.arena = base_arena_new()};
    const char *slash = strrchr(output, '/');
    char *dir;
    if (strcmp(output, "-") == 0) {
        const char *tmp = getenv("TMPDIR");
        dir = base_arena_printf(f->arena, "%s/ebru-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    } else {
        dir = base_arena_printf(f->arena, "%.*s.%s.XXXXXX", slash ? (int)(slash + 1 - output) : 0,
                                output, slash ? slash + 1 : output);
    }
    if (!mkdtemp(dir)) {
        base_error(d, NULL, "cannot write to the folder of '%s': %s",
                   base_escape(output, strlen(output)), strerror(errno));
        base_arena_free(f->arena);
        f->arena = NULL;
        return false;
    }
    f->dir = dir;
    catch_signals(f);
    return true;
}

const char *cg_files_add(cg_files *f, const char *name) {
    const char *path = base_arena_printf(f->arena, "%s/%s", f->dir, name);
    BASE_PUSH(&f->paths, path);
    return path;
}

void cg_files_close(cg_files *f) {
    if (!f->arena) return;
    live = NULL;
    for (int i = 0; i < 3; i++) sigaction(caught[i], &saved[i], NULL);
    for (size_t i = 0; i < f->paths.count; i++) unlink(f->paths.items[i]);
    rmdir(f->dir);
    base_free(f->paths.items);
    base_arena_free(f->arena);
    f->arena = NULL;
}

bool cg_files_publish(base_diag *d, const char *from, const char *to) {
    if (rename(from, to) == 0) return true;
    base_error(d, NULL, "cannot write '%s': %s", base_escape(to, strlen(to)), strerror(errno));
    return false;
}

static bool write_all(int fd, const char *p, size_t count) {
    while (count > 0) {
        ssize_t n = write(fd, p, count);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        p += n;
        count -= (size_t)n;
    }
    return true;
}

static bool cannot(base_diag *d, const char *what, const char *path) {
    base_error(d, NULL, "cannot %s '%s': %s", what, base_escape(path, strlen(path)),
               strerror(errno));
    return false;
}

bool cg_files_write(base_diag *d, const char *path, const void *bytes, size_t count) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return cannot(d, "create", path);
    bool fine = write_all(fd, bytes, count);
    if (!fine) cannot(d, "write", path);
    if (close(fd) != 0 && fine) fine = cannot(d, "write", path);
    return fine;
}

bool cg_files_append(base_diag *d, int fd, const char *from) {
    enum { CHUNK = 1 << 20 };
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0) return cannot(d, "read", from);
    char *buffer = base_alloc(CHUNK);
    ssize_t n;
    bool fine = true;
    while (fine && (n = read(in, buffer, CHUNK)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        fine = n > 0 && write_all(fd, buffer, (size_t)n);
    }
    if (!fine) base_error(d, NULL, "cannot write the output: %s", strerror(errno));
    base_free(buffer);
    close(in);
    return fine;
}
