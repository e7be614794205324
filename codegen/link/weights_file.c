#include "codegen/link/weights_file.h"
#include "base/system/io.h"
#include "codegen/link/elf.h"
#include "codegen/link/pack_weights.h"
#include "codegen/link/weights_segment.h"
#include "runtime/abi/abi.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool cannot(base_diag *d, const char *what) {
    base_error(d, NULL, "cannot %s the weights: %s", what, strerror(errno));
    return false;
}

uint64_t cg_weights_file_size(const cg_weights_file *b) {
    return b->bytes + sizeof(struct ebru_trailer);
}

static bool put_trailer(const cg_weights_file *b, int fd) {
    struct ebru_trailer t = {.bytes = b->bytes};
    memcpy(t.weights_id, b->id, sizeof t.weights_id);
    memcpy(t.magic, EBRU_TRAILER_MAGIC, sizeof t.magic);
    return base_pwrite_all(fd, &t, sizeof t, b->head + b->bytes);
}

bool cg_weights_file_pack(base_diag *d, const ir_module *m, const cg_options *options,
                          cg_weights_file *b) {
    int fd = open(b->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return cannot(d, "create a file for");
    bool fine = cg_write_weights(d, m, fd, b->head, options, &b->bytes, b->id);
    if (fine && !put_trailer(b, fd)) fine = cannot(d, "write");
    if (close(fd) != 0 && fine) fine = cannot(d, "write");
    return fine;
}

bool cg_weights_file_wrap(base_diag *d, const cg_weights_file *b) {
    int fd = open(b->path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return cannot(d, "open");
    bool fine =
        cg_elf_finish(fd, b->arch, "ebru_weights", b->head, cg_weights_file_size(b), b->align) ||
        cannot(d, "write");
    if (close(fd) != 0 && fine) fine = cannot(d, "write");
    return fine;
}

/* Copies `bytes` bytes within the kernel, which on some file systems only shares them. */
static bool copy(int from, uint64_t from_at, int to, uint64_t to_at, uint64_t bytes) {
    off_t in = (off_t)from_at, out = (off_t)to_at;
    while (bytes > 0) {
        ssize_t n =
            copy_file_range(from, &in, to, &out, bytes < 1u << 30 ? (size_t)bytes : 1u << 30, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 &&
            (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)) {
            static char buffer[1 << 20]; /* a file system that cannot: by hand */
            n = pread(from, buffer, bytes < sizeof buffer ? (size_t)bytes : sizeof buffer, in);
            if (n > 0 && !base_pwrite_all(to, buffer, (size_t)n, (uint64_t)out)) return false;
            in += n > 0 ? n : 0;
            out += n > 0 ? n : 0;
        }
        if (n <= 0) return false;
        bytes -= (uint64_t)n;
    }
    return true;
}

bool cg_weights_file_join(base_diag *d, const cg_weights_file *b, const char *program,
                          const char **product) {
    struct stat st;
    cg_weights_segment segment;
    int linked = open(program, O_RDWR | O_CLOEXEC), blob = open(b->path, O_RDWR | O_CLOEXEC);
    bool fine = linked >= 0 && blob >= 0 && fstat(linked, &st) == 0;
    if (fine) {
        uint64_t size = (uint64_t)st.st_size, offset = b->head;
        int to = blob;
        bool grows = cg_weights_segment_find(linked, b->align, &segment);
        fine = grows || errno == 0;
        if (!fine) {
            /* told below */
        } else if (size <= b->head) {
            *product = b->path;
            fine = copy(linked, 0, blob, 0, size) && fchmod(blob, st.st_mode & 07777) == 0;
        } else {
            *product = program;
            to = linked;
            offset = (size + b->align - 1) / b->align * b->align;
            fine = copy(blob, b->head, linked, offset, cg_weights_file_size(b));
        }
        fine = fine && (!grows || cg_weights_segment_set(to, &segment, offset,
                                                         cg_weights_file_size(b), b->align));
    }
    if (!fine) cannot(d, "write");
    if (linked >= 0 && close(linked) != 0 && fine) fine = cannot(d, "write");
    if (blob >= 0 && close(blob) != 0 && fine) fine = cannot(d, "write");
    return fine;
}
