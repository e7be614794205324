/* Loaded in front of the C library (LD_PRELOAD): makes the N-th call of a kind fail as it does when
 * the system has no more of something, so that what ebru and its programs do then can be looked at.
 * Only calls from the executable itself count, not those of LLVM or of the C library.
 *
 *   EBRU_FAIL=KIND:N          the N-th call fails; KIND:N+ it and all behind it
 *   EBRU_FAIL_IN=NAME         in processes of that name only
 *   EBRU_FAIL_COUNT=FILE      nothing fails; how often each kind is called is written there at exit
 *
 * Kinds: memory (malloc, calloc, realloc, aligned_alloc, posix_memalign, mmap of memory), open, read,
 * map (mmap of files), write, rename, process (fork, pipe), thread. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define KINDS(K) K(memory) K(open) K(read) K(map) K(write) K(rename) K(process) K(thread)

enum kind {
#define KIND(name) KIND_##name,
    KINDS(KIND) KIND_COUNT
};
static const char *const kind_name[] = {
#define NAME(name) #name,
    KINDS(NAME)};

static atomic_long calls[KIND_COUNT];
static long fail_at;
static bool from_there_on;
static int fail_kind = -1;
static uintptr_t begin, end; /* of the executable */

/* The first object is the executable. */
static int find_executable(struct dl_phdr_info *info, size_t size, void *user) {
    (void)size, (void)user;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        if (h->p_type != PT_LOAD || !(h->p_flags & PF_X)) continue;
        begin = info->dlpi_addr + h->p_vaddr;
        end = begin + h->p_memsz;
    }
    return 1;
}

static void write_counts(void) {
    FILE *f = fopen(getenv("EBRU_FAIL_COUNT"), "w");
    if (!f) return;
    for (int k = 0; k < KIND_COUNT; k++) fprintf(f, "%s %ld\n", kind_name[k], calls[k]);
    fclose(f);
}

__attribute__((constructor)) static void begin_counting(void) {
    const char *what = getenv("EBRU_FAIL"), *in = getenv("EBRU_FAIL_IN");
    if (in && strcmp(in, program_invocation_short_name) != 0) return;
    if (getenv("EBRU_FAIL_COUNT")) atexit(write_counts);
    for (int k = 0; what && k < KIND_COUNT; k++) {
        size_t n = strlen(kind_name[k]);
        if (strncmp(what, kind_name[k], n) != 0 || what[n] != ':') continue;
        char *rest;
        fail_at = strtol(what + n + 1, &rest, 10);
        from_there_on = *rest == '+';
        fail_kind = k;
    }
    dl_iterate_phdr(find_executable, NULL);
}

static bool fails(enum kind kind, const void *caller) {
    uintptr_t at = (uintptr_t)caller;
    if (at < begin || at >= end) return false;
    long n = ++calls[kind];
    return fail_kind == (int)kind && (n == fail_at || (from_there_on && n > fail_at));
}
#define FAILS(kind) fails(KIND_##kind, __builtin_return_address(0))

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) {
    return dlsym(RTLD_NEXT, name);
}

/* ---- memory ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static void *no_memory(void) {
    errno = ENOMEM;
    return NULL;
}

void *malloc(size_t size) {
    return FAILS(memory) ? no_memory() : __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
    return FAILS(memory) ? no_memory() : __libc_calloc(count, size);
}
void *realloc(void *p, size_t size) {
    return FAILS(memory) ? no_memory() : __libc_realloc(p, size);
}
void *aligned_alloc(size_t alignment, size_t size) {
    return FAILS(memory) ? no_memory() : __libc_memalign(alignment, size);
}
int posix_memalign(void **out, size_t alignment, size_t size) {
    if (FAILS(memory)) return ENOMEM;
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
    if (flags & MAP_ANONYMOUS ? FAILS(memory) : FAILS(map)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return REAL(mmap)(at, size, protection, flags, fd, offset);
}

/* ---- files ---- */

static bool may_open(const void *caller) {
    if (!fails(KIND_open, caller)) return true;
    errno = EMFILE;
    return false;
}
/* The mode behind the flags, where there is one. */
#define MODE_BEHIND(flags, mode)                                                                   \
    mode_t mode = 0;                                                                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                         \
        va_list ap;                                                                                \
        va_start(ap, flags);                                                                       \
        mode = va_arg(ap, mode_t);                                                                 \
        va_end(ap);                                                                                \
    }

int open(const char *path, int flags, ...) {
    MODE_BEHIND(flags, mode)
    return may_open(__builtin_return_address(0)) ? REAL(open)(path, flags, mode) : -1;
}
int openat(int dir, const char *path, int flags, ...) {
    MODE_BEHIND(flags, mode)
    return may_open(__builtin_return_address(0)) ? REAL(openat)(dir, path, flags, mode) : -1;
}
FILE *fopen(const char *path, const char *how) {
    return may_open(__builtin_return_address(0)) ? REAL(fopen)(path, how) : NULL;
}
FILE *fdopen(int fd, const char *how) {
    return FAILS(memory) ? no_memory() : REAL(fdopen)(fd, how);
}

ssize_t read(int fd, void *to, size_t size) {
    if (FAILS(read)) {
        errno = EIO;
        return -1;
    }
    return REAL(read)(fd, to, size);
}
ssize_t pread(int fd, void *to, size_t size, off_t at) {
    if (FAILS(read)) {
        errno = EIO;
        return -1;
    }
    return REAL(pread)(fd, to, size, at);
}

ssize_t write(int fd, const void *from, size_t size) {
    if (fd > 2 && FAILS(write)) {
        errno = ENOSPC;
        return -1;
    }
    return REAL(write)(fd, from, size);
}
ssize_t pwrite(int fd, const void *from, size_t size, off_t at) {
    if (FAILS(write)) {
        errno = ENOSPC;
        return -1;
    }
    return REAL(pwrite)(fd, from, size, at);
}
size_t fwrite(const void *from, size_t size, size_t count, FILE *to) {
    if (fileno(to) > 2 && FAILS(write)) {
        errno = ENOSPC;
        return 0;
    }
    return REAL(fwrite)(from, size, count, to);
}
int ftruncate(int fd, off_t size) {
    if (FAILS(write)) {
        errno = ENOSPC;
        return -1;
    }
    return REAL(ftruncate)(fd, size);
}

#define REFUSED(errors)                                                                            \
    do {                                                                                           \
        if (FAILS(rename)) {                                                                       \
            errno = errors;                                                                        \
            return -1;                                                                             \
        }                                                                                          \
    } while (0)
int rename(const char *from, const char *to) {
    REFUSED(EACCES);
    return REAL(rename)(from, to);
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    REFUSED(EACCES);
    return REAL(renameat2)(a, from, b, to, flags);
}
int link(const char *from, const char *to) {
    REFUSED(EPERM);
    return REAL(link)(from, to);
}
int chmod(const char *path, mode_t mode) {
    REFUSED(EPERM);
    return REAL(chmod)(path, mode);
}
int fchmod(int fd, mode_t mode) {
    REFUSED(EPERM);
    return REAL(fchmod)(fd, mode);
}

/* ---- processes and threads ---- */

pid_t fork(void) {
    if (FAILS(process)) {
        errno = EAGAIN;
        return -1;
    }
    return REAL(fork)();
}
int pipe(int fd[2]) {
    if (FAILS(process)) {
        errno = EMFILE;
        return -1;
    }
    return REAL(pipe)(fd);
}
int pipe2(int fd[2], int flags) {
    if (FAILS(process)) {
        errno = EMFILE;
        return -1;
    }
    return REAL(pipe2)(fd, flags);
}
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument) {
    return FAILS(thread) ? EAGAIN : REAL(pthread_create)(thread, attributes, run, argument);
}
