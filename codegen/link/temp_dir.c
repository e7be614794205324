#include "codegen/link/temp_dir.h"
#include "base/system/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool cannot(base_diag *d, const char *what, const char *path, int error) {
    base_error(d, NULL, "cannot %s '%s': %s", what, base_escape(path, strlen(path)),
               base_output_why(error));
    return false;
}

/* Is there a folder of its own, where files that lead to it can stand? */
static bool is_file(const char *output) {
    struct stat st;
    int error = errno;
    bool other = strcmp(output, "-") == 0 ||
                 (stat(output, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode));
    errno = error;
    return !other;
}

bool cg_files_open(base_diag *d, cg_files *f, const char *output) {
    *f = (cg_files){.dir = base_temp_dir_new(output)};
    if (!f->dir && !is_file(output)) {
        const char *dir = getenv("TMPDIR");
        return cannot(d, "make a folder in", dir && *dir ? dir : "/tmp", errno);
    }
    if (!f->dir)
        return cannot(d, errno == EISDIR ? "write" : "write to the folder of", output, errno);
    f->arena = base_arena_new();
    char *target = base_output_target(output);
    f->target = base_arena_strdup(f->arena, target ? target : output);
    free(target);
    return true;
}

const char *cg_files_add(cg_files *f, const char *name) {
    return base_arena_printf(f->arena, "%s/%s", base_temp_dir_path(f->dir), name);
}

void cg_files_close(cg_files *f) {
    base_temp_dir_free(f->dir);
    base_arena_free(f->arena);
    *f = (cg_files){0};
}

bool cg_files_publish(base_diag *d, const char *from, const char *to) {
    int error = base_output_publish(from, to);
    return !error || cannot(d, "write", to, error);
}

bool cg_files_write(base_diag *d, const char *path, const void *bytes, size_t count) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return cannot(d, "create", path, errno);
    bool fine = base_write_all(fd, bytes, count) || cannot(d, "write", path, errno);
    if (close(fd) != 0 && fine) fine = cannot(d, "write", path, errno);
    return fine;
}

bool cg_files_append(base_diag *d, int fd, const char *from) {
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0) return cannot(d, "read", from, errno);
    bool fine = base_copy_all(in, fd);
    if (!fine) base_error(d, NULL, "cannot write the output: %s", strerror(errno));
    close(in);
    return fine;
}
