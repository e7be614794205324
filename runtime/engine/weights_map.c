/* Packed weights: in a segment of the program that the kernel has mapped, at the end of its file,
 * or in a file beside it. Mapped, never copied, and not touched before it is known that the file
 * has them all: a page beyond the end of a file is a bus error. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/system/output.h"
#include "runtime/abi/kept_weights.h"
#include "runtime/engine/model.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, NAME_BYTES = 256 };

/* The file of the running program, links followed. */
static rt_status program_path(char out[PATH_BYTES], rt_error *err) {
    ssize_t n = readlink("/proc/self/exe", out, PATH_BYTES - 1);
    if (n > 0 && n < PATH_BYTES - 1) {
        out[n] = '\0';
        return RT_OK;
    }
    /* without /proc what exec was given does */
    const char *name = (const char *)getauxval(AT_EXECFN);
    char *path = name ? realpath(name, NULL) : NULL;
    bool fits = path && strlen(path) < PATH_BYTES;
    if (fits) strcpy(out, path);
    free(path);
    if (fits) return RT_OK;
    return rt_fail(err, RT_ERR_SYSTEM, "cannot find this program's own file");
}

static bool is_ours(const struct ebru_model *t, const struct ebru_trailer *trailer) {
    return trailer->bytes == t->weights_bytes &&
           memcmp(trailer->weights_id, t->weights_id, sizeof trailer->weights_id) == 0;
}

static rt_status belongs_elsewhere(const char *path, rt_error *err) {
    return rt_fail(err, RT_ERR_INPUT, "the weights in '%.300s' belong to another program", path);
}

static rt_status is_truncated(const char *path, uint64_t size, uint64_t needed, rt_error *err) {
    return rt_fail(err, RT_ERR_INPUT,
                   "'%.300s' is truncated: it has %llu bytes, with its weights %llu", path,
                   (unsigned long long)size, (unsigned long long)needed);
}

/* ---- a file that ends with the weights ---- */

static rt_status open_weights(const char *path, int *fd, uint64_t *size, rt_error *err) {
    struct stat st;
    *size = 0;
    *fd = open(path,
               O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO in its place would wait for a writer */
    if (*fd < 0)
        return rt_fail(err, RT_ERR_SYSTEM, "cannot open the weights '%.300s': %s", path,
                       strerror(errno));
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(*fd);
        return rt_fail(err, RT_ERR_SYSTEM, "'%.300s' is not a regular file", path);
    }
    *size = (uint64_t)st.st_size;
    base_output_keep_open(*fd);
    return RT_OK;
}

/* Maps the file from `begin`, a multiple of a huge page, at an address that is one, too: only so
 * can the kernel map what it holds in huge pages as such. NULL with errno set. */
static void *map_aligned(size_t bytes, int fd, uint64_t begin) {
    char *room = mmap(NULL, bytes + EBRU_HUGE_PAGE, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) return NULL;
    size_t before = (EBRU_HUGE_PAGE - (uintptr_t)room % EBRU_HUGE_PAGE) % EBRU_HUGE_PAGE;
    char *at = room + before;
    char *map = mmap(at, bytes, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, (off_t)begin);
    if (map == MAP_FAILED) {
        int saved = errno;
        munmap(room, bytes + EBRU_HUGE_PAGE);
        errno = saved;
        return NULL;
    }
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE),
              end = ((uintptr_t)at + bytes + page - 1) / page * page;
    if (before) munmap(room, before);
    munmap((void *)end, (uintptr_t)room + bytes + EBRU_HUGE_PAGE - end);
    return map;
}

static rt_status map_open_file(rt_model *m, int fd, uint64_t size, const char *path,
                               rt_error *err) {
    struct ebru_trailer trailer;
    uint64_t needed = m->tables->weights_bytes + sizeof trailer;
    if (size < needed) return is_truncated(path, size, needed, err);
    if (pread(fd, &trailer, sizeof trailer, (off_t)(size - sizeof trailer)) !=
            (ssize_t)sizeof trailer ||
        memcmp(trailer.magic, EBRU_TRAILER_MAGIC, sizeof trailer.magic) != 0)
        return rt_fail(
            err, RT_ERR_INPUT,
            "'%.300s' does not end with the weights: it is truncated, or was changed after it was "
            "compiled",
            path);
    if (!is_ours(m->tables, &trailer)) return belongs_elsewhere(path, err);
    uint64_t offset = size - needed, begin = offset / EBRU_HUGE_PAGE * EBRU_HUGE_PAGE;
    m->mapping_bytes = (size_t)(size - begin);
    m->mapping = map_aligned(m->mapping_bytes, fd, begin);
    if (!m->mapping)
        return rt_fail(err, RT_ERR_SYSTEM, "cannot map the weights of '%.300s': %s", path,
                       strerror(errno));
    m->weights = (const char *)m->mapping + (offset - begin);
    return RT_OK;
}

static rt_status map_file(rt_model *m, const char *path, rt_error *err) {
    int fd;
    uint64_t size;
    rt_status s = open_weights(path, &fd, &size, err);
    if (s) return s;
    s = map_open_file(m, fd, size, path, err);
    close(fd);
    return s;
}

/* ---- a segment of the program ---- */

struct segment {
    const char *address; /* asked for */
    uint64_t behind;     /* bytes of the segment from the address on */
    uint64_t end;        /* of the segment, in the file */
    const char *file;    /* NULL: the program itself */
    bool found;
};

static int find_segment(struct dl_phdr_info *info, size_t size, void *arg) {
    struct segment *s = arg;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + p->p_vaddr, at = (uintptr_t)s->address;
        if (p->p_type != PT_LOAD || at < from || at - from >= p->p_filesz) continue;
        s->behind = p->p_filesz - (at - from);
        s->end = p->p_offset + p->p_filesz;
        s->file = info->dlpi_name && *info->dlpi_name ? info->dlpi_name : NULL;
        s->found = true;
        return 1;
    }
    return 0;
}

/* Bytes the file must have: to the end of the segment and of its table of sections. */
static uint64_t needed_bytes(int fd, const struct segment *s) {
    ElfW(Ehdr) e;
    uint64_t needed = s->end;
    if (pread(fd, &e, sizeof e, 0) == (ssize_t)sizeof e && e.e_shnum &&
        e.e_shoff + (uint64_t)e.e_shnum * e.e_shentsize > needed)
        needed = e.e_shoff + (uint64_t)e.e_shnum * e.e_shentsize;
    return needed;
}

/* Holds the file's size to its own headers. What cannot be asked (a program without /proc, or one
 * that may be run but not read) is taken as it is. */
static rt_status check_size(const struct segment *s, const char *path, rt_error *err) {
    struct stat st;
    rt_status status = RT_OK;
    int fd = open(s->file ? s->file : "/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return RT_OK;
    if (fstat(fd, &st) == 0) {
        uint64_t needed = needed_bytes(fd, s);
        if ((uint64_t)st.st_size < needed)
            status = is_truncated(path, (uint64_t)st.st_size, needed, err);
    }
    close(fd);
    return status;
}

static rt_status use_segment(rt_model *m, const struct segment *s, const char *path,
                             rt_error *err) {
    const struct ebru_model *t = m->tables;
    const struct ebru_trailer *trailer = (const void *)(t->weights_embedded + t->weights_bytes);
    rt_status status = check_size(s, path, err);
    if (status) return status;
    if (memcmp(trailer->magic, EBRU_TRAILER_MAGIC, sizeof trailer->magic) != 0 ||
        !is_ours(t, trailer))
        return rt_fail(err, RT_ERR_INPUT,
                       "'%.300s' is damaged: what stands behind its weights is not their "
                       "trailer",
                       path);
    m->weights = t->weights_embedded;
    return RT_OK;
}

static rt_status map_weights(rt_model *m, rt_error *err) {
    const struct ebru_model *t = m->tables;
    char path[PATH_BYTES + NAME_BYTES];
    if (t->weights_bytes == 0) return RT_OK;
    rt_status s = program_path(path, err);
    if (t->weights_embedded) {
        struct segment segment = {.address = t->weights_embedded};
        dl_iterate_phdr(find_segment, &segment);
        if (s) strcpy(path, "the program");
        if (segment.found && segment.behind >= t->weights_bytes + sizeof(struct ebru_trailer))
            return use_segment(m, &segment, segment.file ? segment.file : path, err);
        return map_file(m, s ? "/proc/self/exe" : path,
                        err); /* the linker left no segment for them */
    }
    if (s) return s;
    char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (strlen(t->weights_external) >= NAME_BYTES)
        return rt_fail(err, RT_ERR_INPUT, "the name of the weights file is too long");
    strcpy(name, t->weights_external);
    s = map_file(m, path, err);
    if (!s) return s;
    /* a compiler that was about to replace this program did not come to its end */
    char kept[EBRU_KEPT_WEIGHTS_MAX];
    rt_error first = *err, second;
    ebru_kept_weights(kept, t->weights_external, t->weights_id);
    strcpy(name, kept);
    if (access(path, F_OK) == 0 && !map_file(m, path, &second)) return RT_OK;
    *err = first;
    return s;
}

rt_status rt_weights_map(rt_model *m, rt_error *err) {
    rt_status s = map_weights(m, err);
    if (s || !m->weights) return s;
    /* what is read from now on, into huge pages where the file system has them */
    if ((uintptr_t)m->weights % EBRU_HUGE_PAGE == 0)
        madvise((void *)(uintptr_t)m->weights, m->tables->weights_bytes, MADV_HUGEPAGE);
    return RT_OK;
}

void rt_model_close(rt_model *m) {
    if (m->mapping) munmap(m->mapping, m->mapping_bytes);
    m->mapping = NULL;
    m->weights = NULL;
}
