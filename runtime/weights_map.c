/* Packed weights: inside the program, behind it, or in a file beside it. Mapped, never copied. */
#include "runtime/model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char trailer_magic[16] = "ebru weights 01\n";

/* Directory of the running program with its trailing slash. */
static rt_status program_directory(char *out, size_t size, rt_error *err) {
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    if (n <= 0 || (size_t)n >= size - 1)
        return rt_fail(err, RT_ERR_SYSTEM, "cannot find this program's own path: %s", strerror(errno));
    out[n] = '\0';
    char *slash = strrchr(out, '/');
    if (slash) slash[1] = '\0';
    return RT_OK;
}

/* Maps the blob that the trailer at the end of the file describes. */
static rt_status map_file(rt_model *m, const char *path, const char *shown, rt_error *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rt_fail(err, RT_ERR_SYSTEM, "cannot open the weights '%s': %s", shown, strerror(errno));
    struct stat st;
    struct ebru_trailer trailer;
    rt_status status = RT_OK;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        status = rt_fail(err, RT_ERR_SYSTEM, "'%s' is not a regular file", shown);
    } else if ((uint64_t)st.st_size < sizeof trailer ||
               pread(fd, &trailer, sizeof trailer, st.st_size - (off_t)sizeof trailer) !=
                   (ssize_t)sizeof trailer ||
               memcmp(trailer.magic, trailer_magic, sizeof trailer_magic) != 0) {
        status = rt_fail(
            err, RT_ERR_INPUT,
            "'%s' ends without its weights: the file is truncated, or was stripped after it was compiled",
            shown);
    } else if (trailer.bytes != m->tables->weights_bytes ||
               memcmp(trailer.weights_id, m->tables->weights_id, sizeof trailer.weights_id) != 0) {
        status = rt_fail(err, RT_ERR_INPUT, "the weights in '%s' belong to another program", shown);
    } else if (trailer.offset % 64 != 0 || trailer.offset > (uint64_t)st.st_size - sizeof trailer ||
               trailer.bytes > (uint64_t)st.st_size - sizeof trailer - trailer.offset) {
        status = rt_fail(err, RT_ERR_INPUT, "'%s' is truncated: its weights need %llu bytes", shown,
                         (unsigned long long)trailer.bytes);
    }
    if (!status && trailer.bytes) {
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
        uint64_t begin = trailer.offset / page * page;
        m->mapping_bytes = (size_t)(trailer.offset - begin + trailer.bytes);
        m->mapping = mmap(NULL, m->mapping_bytes, PROT_READ, MAP_PRIVATE, fd, (off_t)begin);
        if (m->mapping == MAP_FAILED) {
            m->mapping = NULL;
            status =
                rt_fail(err, RT_ERR_SYSTEM, "cannot map the weights of '%s': %s", shown, strerror(errno));
        } else {
            m->weights = (const char *)m->mapping + (trailer.offset - begin);
        }
    }
    close(fd);
    return status;
}

rt_status rt_weights_map(rt_model *m, rt_error *err) {
    const struct ebru_model *t = m->tables;
    if (t->weights_bytes == 0) return RT_OK;
    if (t->weights_embedded) {
        m->weights = t->weights_embedded;
        return RT_OK;
    }
    if (!t->weights_external) return map_file(m, "/proc/self/exe", "/proc/self/exe", err);
    char path[4096 + 256];
    rt_status s = program_directory(path, 4096, err);
    if (s) return s;
    size_t n = strlen(path);
    if (strlen(t->weights_external) >= sizeof path - n)
        return rt_fail(err, RT_ERR_INPUT, "the name of the weights file is too long");
    strcpy(path + n, t->weights_external);
    return map_file(m, path, path, err);
}

void rt_model_close(rt_model *m) {
    if (m->mapping) munmap(m->mapping, m->mapping_bytes);
    m->mapping = NULL;
    m->weights = NULL;
}
