#include "codegen/link/publish_pair.h"
#include "base/system/output.h"
#include "codegen/link/temp_dir.h"
#include "runtime/abi/abi.h"
#include "runtime/abi/kept_weights.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEX = 2 * sizeof((struct ebru_trailer *)0)->weights_id };

/* The path's folder with its slash, and the name. */
static int folder_bytes(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (int)(slash + 1 - path) : 0;
}

/* Where the weights with the trailer of the file `path` are kept; NULL where it has none. */
static char *kept_path(base_arena *a, const char *path) {
    struct ebru_trailer t;
    struct stat st;
    char name[EBRU_KEPT_WEIGHTS_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), folder = folder_bytes(path);
    bool ours = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
                st.st_size >= (off_t)sizeof t &&
                pread(fd, &t, sizeof t, st.st_size - (off_t)sizeof t) == (ssize_t)sizeof t &&
                memcmp(t.magic, EBRU_TRAILER_MAGIC, sizeof t.magic) == 0;
    if (fd >= 0) close(fd);
    if (!ours) return NULL;
    ebru_kept_weights(name, path + folder, t.weights_id);
    return base_arena_printf(a, "%.*s%s", folder, path, name);
}

/* The file under a second name, or, where the file system has no such, under that one alone. */
static bool keep(const char *file, const char *kept) {
    return link(file, kept) == 0 || errno == EEXIST || rename(file, kept) == 0;
}

static bool publish(base_diag *d, const char *program, const char *to, const char *weights,
                    const char *weights_to, const char *kept) {
    if (!cg_files_publish(d, weights, weights_to)) {
        if (kept) (void)!rename(kept, weights_to);
        return false;
    }
    if (cg_files_publish(d, program, to)) return true;
    if (!kept || rename(kept, weights_to) != 0) unlink(weights_to);
    return false;
}

bool cg_publish_pair(base_diag *d, const char *program, const char *to, const char *weights,
                     const char *weights_to) {
    base_arena *a = base_arena_new();
    char *target = base_output_target(weights_to);
    const char *kept = target ? kept_path(a, weights_to) : NULL;
    /* the link's file, which may be elsewhere: then there is no second name, and no way back */
    if (kept && !keep(target, kept)) kept = NULL;
    bool fine = publish(d, program, to, weights, target ? target : weights_to, kept);
    if (fine)
        cg_drop_old_weights(weights_to);
    else if (kept)
        unlink(kept);
    free(target);
    base_arena_free(a);
    return fine;
}

void cg_drop_old_weights(const char *weights_to) {
    static const unsigned char none[HEX / 2];
    char prefix[EBRU_KEPT_WEIGHTS_MAX];
    int folder = folder_bytes(weights_to);
    ebru_kept_weights(prefix, weights_to + folder, none);
    size_t length = strlen(prefix) - HEX;
    base_arena *a = base_arena_new();
    const char *path = base_arena_printf(a, "%.*s", folder, weights_to);
    DIR *dir = opendir(folder ? path : ".");
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (strncmp(e->d_name, prefix, length) == 0 &&
            strspn(e->d_name + length, "0123456789abcdef") == HEX && !e->d_name[length + HEX])
            /* NOLINTNEXTLINE(clang-analyzer-unix.StdCLibraryFunctions): it is open */
            unlinkat(dirfd(dir), e->d_name, 0);
    if (dir) closedir(dir);
    base_arena_free(a);
}
