#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/system/output.h"
#include "base/system/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LIVE_MAX = 32, TEMP_TRIES = 1000 };

/* Unfinished temporaries, for the signal handler and for exit(). A forked child inherits the table
 * but must not remove its parent's files. */
static struct {
    char *volatile path;
    pid_t owner;
    int lock;
} live[LIVE_MAX];

struct base_output {
    char *target; /* links resolved */
    char *temp;   /* the target itself when it is written directly */
    FILE *file;
    int lock;  /* holds the lock on the temporary until it has its name; -1: direct */
    int error; /* errno of the first failed write */
    bool direct;
};

struct base_temp_dir {
    char *path;
    int lock; /* a descriptor that holds the lock on the folder */
};

/* ---- removing ---- */

/* Removes the files in an open folder. Where readdir() would do, a signal handler may not call it:
 * it allocates. */
static void empty_folder(int fd) {
    struct {
        unsigned long ino, off;
        unsigned short length;
        unsigned char type;
        char name[];
    } *e;
    _Alignas(8) char buffer[2048];
    for (bool more = true; more;) { /* names may be skipped where others are removed */
        long n;
        more = false;
        lseek(fd, 0, SEEK_SET);
        while ((n = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0)
            for (long at = 0; at < n; at += e->length) {
                e = (void *)(buffer + at);
                more |= unlinkat(fd, e->name, 0) == 0; /* "." and ".." refuse */
            }
    }
}

/* Removes a file, or a folder of files. `held`: an open descriptor of it, for when there are no more
 * to be had; or -1. */
static void remove_temp(const char *path, int held) {
    if (unlink(path) == 0 || (errno != EISDIR && errno != EPERM)) return;
    int fd = held >= 0 ? held : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return;
    empty_folder(fd);
    if (fd != held) close(fd);
    rmdir(path);
}

void base_output_remove_all(void) {
    int saved = errno;
    for (size_t i = 0; i < 2 * LIVE_MAX; i++) { /* twice: a folder may stand in another */
        const char *path = live[i % LIVE_MAX].path;
        if (path && live[i % LIVE_MAX].owner == getpid())
            remove_temp(path, live[i % LIVE_MAX].lock);
    }
    errno = saved;
}

/* Takes a path out of the table and frees it. */
static void forget(char *path) {
    for (size_t i = 0; i < LIVE_MAX; i++)
        if (live[i].path == path) live[i].path = NULL;
    free(path);
}

/* Puts a path into the table. A full table costs only the removal by signals and exit(). */
static void remember(char *path, int lock) {
    static bool registered;
    if (!registered) registered = atexit(base_output_remove_all) == 0;
    for (size_t i = 0; i < LIVE_MAX; i++) {
        if (live[i].path) continue;
        live[i].owner = getpid();
        live[i].lock = lock;
        live[i].path = path; /* last: a handler that finds it finds all of it */
        return;
    }
}

void base_output_forked(void) {
    for (size_t i = 0; i < LIVE_MAX; i++)
        if (live[i].path && live[i].owner != getpid() && live[i].lock >= 0) {
            close(live[i].lock);
            live[i].lock = -1;
        }
}

/* What others send, and limits. */
static const int ending[] = {SIGHUP,  SIGINT,  SIGQUIT,   SIGPIPE, SIGALRM, SIGTERM,   SIGUSR1,
                             SIGUSR2, SIGXCPU, SIGVTALRM, SIGPROF, SIGPOLL, SIGSTKFLT, SIGPWR};
/* Faults of the process's own: what is found of it later must tell where. */
static const int crashing[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
enum {
    ENDING = sizeof ending / sizeof *ending,
    CRASHING = sizeof crashing / sizeof *crashing,
};

static void on_signal(int number) {
    base_output_remove_all();
    _exit(128 + number);
}

static void on_crash(int number) {
    base_output_remove_all();
    raise(
        number); /* as it would have ended: the handler is gone, and the signal waits for its end */
}

/* The handlers of sanitizers and what nohup ignores stay. */
static void catch_by_default(int number, const struct sigaction *act) {
    struct sigaction old;
    if (sigaction(number, NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) &&
        old.sa_handler == SIG_DFL)
        sigaction(number, act, NULL);
}

void base_output_catch_signals(void) {
    struct sigaction act = {.sa_handler = on_signal},
                     crash = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND | SA_ONSTACK};
    for (int i = 0; i < ENDING; i++) catch_by_default(ending[i], &act);
    for (int i = 0; i < CRASHING; i++) catch_by_default(crashing[i], &crash);
    for (int i = SIGRTMIN; i <= SIGRTMAX; i++) catch_by_default(i, &act);
    signal(SIGXFSZ, SIG_IGN); /* so that the write fails, which is told with the file's name */
    static _Alignas(16) char own_stack[1 << 16]; /* a stack that has overflowed is of no use */
    stack_t stack = {.ss_sp = own_stack, .ss_size = sizeof own_stack}, old;
    if (sigaltstack(NULL, &old) == 0 && (old.ss_flags & SS_DISABLE)) sigaltstack(&stack, NULL);
}

/* No handler may run between the creation of a temporary and its entry in the table. */
static void hold_signals(sigset_t *old) {
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < ENDING; i++) sigaddset(&set, ending[i]);
    pthread_sigmask(SIG_BLOCK, &set, old);
}

static void release_signals(const sigset_t *old) {
    int saved = errno;
    pthread_sigmask(SIG_SETMASK, old, NULL);
    errno = saved;
}

/* ---- names of temporaries ---- */

static int make_file(const char *path, unsigned mode) {
    return open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, (mode_t)mode);
}

static int make_folder(const char *path, unsigned mode) {
    if (mkdir(path, (mode_t)mode) != 0) return -1;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) rmdir(path);
    return fd;
}

/* Removes a temporary whose writer is gone; false when there is none or its writer lives. */
static bool remove_stale(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0) return false;
    bool stale = flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (stale) remove_temp(path, fd);
    close(fd);
    return stale;
}

/* Locks a temporary that was just made. False when remove_stale() of another process came between:
 * the name is lost. On a file system without locks nothing is ever found stale. */
static bool hold(int fd) {
    struct stat st;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) return errno != EWOULDBLOCK;
    return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

/* NULL when memory is out. A name of 255 bytes has no room for more. */
static char *temp_name(const char *target, int folder, const char *name, int number) {
    char *path;
    int n = asprintf(&path, "%.*s.%.200s.ebru-tmp.%d", folder, target, name, number);
    return n < 0 ? NULL : path;
}

/* Removes what killed runs have left in a folder ("" is the current one) under names that begin
 * with `prefix` and go on with `more` digits or letters; 0: any number of digits. */
static void remove_all_stale(const char *folder, const char *prefix, size_t more) {
    DIR *dir = opendir(*folder ? folder : ".");
    if (!dir) return;
    for (struct dirent *e; (e = readdir(dir));) {
        const char *rest = e->d_name + strlen(prefix);
        char *path;
        if (strncmp(e->d_name, prefix, strlen(prefix)) != 0) continue;
        size_t digits = strspn(rest, "0123456789"), all = strlen(rest);
        if (more ? all != more : !digits || digits != all) continue;
        if (asprintf(&path, "%s%s%s", folder, *folder ? "/" : "", e->d_name) < 0) break;
        remove_stale(path);
        free(path);
    }
    closedir(dir);
}

static void remove_stale_of(const char *target, int folder, const char *name) {
    char *dir, *prefix = NULL;
    /* "/" remains of a file in the root */
    int n = asprintf(&dir, "%.*s", folder > 1 ? folder - 1 : folder, target);
    if (n < 0) return;
    if (asprintf(&prefix, ".%.200s.ebru-tmp.", name) >= 0) remove_all_stale(dir, prefix, 0);
    free(prefix);
    free(dir);
}

/* Makes `.NAME.ebru-tmp.N` beside the target, with the least N that no living writer has, and
 * remembers its path. A locked descriptor; -1 with errno set, and *path as it was. */
static int find_name(const char *target, unsigned mode, int (*make)(const char *, unsigned),
                     char **path) {
    const char *slash = strrchr(target, '/'), *name = slash ? slash + 1 : target;
    int folder = (int)(name - target), number = 0, error = EEXIST;
    remove_stale_of(target, folder, name);
    for (int tries = 0; tries < TEMP_TRIES && error == EEXIST; tries++) {
        char *temp = temp_name(target, folder, name, number);
        int fd = temp ? make(temp, mode) : -1;
        error = temp ? errno : ENOMEM;
        if (fd >= 0 && hold(fd)) {
            remember(*path = temp, fd);
            return fd;
        }
        if (fd >= 0) {
            close(fd);
            error = EEXIST; /* again */
        } else if (error == EEXIST && !remove_stale(temp)) {
            number++;
        }
        free(temp);
    }
    errno = error;
    return -1;
}

static int make_temp(const char *target, unsigned mode, int (*make)(const char *, unsigned),
                     char **path) {
    sigset_t old;
    hold_signals(&old);
    int fd = find_name(target, mode, make, path);
    release_signals(&old);
    return fd;
}

/* ---- targets ---- */

/* The descriptor that a name stands for; -1: it is the name of a file. What the descriptor leads to
 * is written as it was opened: it may be a file that others have appended to, or still do. */
static int descriptor_of(const char *path) {
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    if (strcmp(path, "/dev/stdout") == 0) return STDOUT_FILENO;
    if (strcmp(path, "/dev/stderr") == 0) return STDERR_FILENO;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        const char *digits = path + strlen(folders[i]);
        if (strncmp(path, folders[i], strlen(folders[i])) != 0) continue;
        size_t n = strspn(digits, "0123456789");
        if (n && n < 10 && !digits[n]) return atoi(digits);
    }
    return -1;
}

enum { LINKS_MAX = 40 }; /* as the kernel follows */

/* Replaces *path by what the link that it names contains. False with errno set. */
static bool follow_link(char **path) {
    char content[PATH_MAX], *next;
    ssize_t n = readlink(*path, content, sizeof content);
    if (n < 0) return false;
    const char *slash = strrchr(*path, '/');
    int folder = *content == '/' || !slash ? 0 : (int)(slash + 1 - *path);
    if (asprintf(&next, "%.*s%.*s", folder, *path, (int)n, content) < 0) {
        errno = ENOMEM;
        return false;
    }
    free(*path);
    *path = next;
    return true;
}

/* The file that a name leads to that leads to none yet: itself, or what is to be made at the end of
 * its links. Takes the path; NULL with errno set. */
static char *resolve_new(char *path) {
    struct stat st;
    for (int links = 0; links < LINKS_MAX; links++) {
        const char *slash = strrchr(path, '/');
        if (slash && !slash[1]) {
            errno = EISDIR;
            break;
        }
        if (lstat(path, &st) != 0) {
            if (errno == ENOENT) return path;
            break;
        }
        if (!S_ISLNK(st.st_mode)) return path;
        if (!follow_link(&path)) break;
        errno = ELOOP;
    }
    int error = errno;
    free(path);
    errno = error;
    return NULL;
}

/* The file that `path` names, through links; *direct: it is there and no regular file. NULL with
 * errno set. */
static char *resolve(const char *path, bool *direct) {
    struct stat st;
    *direct = false;
    char *copy;
    /* no tool takes it for an option, or for a file of options */
    if (asprintf(&copy, "%s%s", *path == '-' || *path == '@' ? "./" : "", path) < 0) {
        errno = ENOMEM;
        return NULL;
    }
    int error = !*path ? ENOENT : stat(copy, &st) != 0 ? errno : S_ISDIR(st.st_mode) ? EISDIR : 0;
    if (*path && error == ENOENT) return resolve_new(copy);
    if (error) {
        free(copy);
        errno = error;
        return NULL;
    }
    *direct = !S_ISREG(st.st_mode) || descriptor_of(copy) >= 0;
    char *real = *direct ? NULL : realpath(copy, NULL);
    if (!real) return copy;
    free(copy);
    return real;
}

/* Opens a device or a FIFO. Nothing waits for ever for somebody who reads from a FIFO. */
static int open_direct(const char *path) {
    static const struct timespec pause = {0, 50000000};
    enum { TRIES = 200 };
    int fd = descriptor_of(path);
    if (fd >= 0) return fcntl(fd, F_DUPFD_CLOEXEC, 0);
    for (int i = 0; i < TRIES; i++) {
        fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd >= 0 || errno != ENXIO) break;
        nanosleep(&pause, NULL);
        errno = ENXIO;
    }
    int flags = fd >= 0 ? fcntl(fd, F_GETFL) : -1;
    if (flags >= 0) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    return fd;
}

const char *base_output_why(int error) {
    return error == ENXIO                  ? "nobody reads from it"
           : error == BASE_OUTPUT_IS_INPUT ? "it is read by this run"
                                           : strerror(error);
}

/* ---- the files of a run ---- */

/* By number, which all names of a file share. A file that was written here is entered as such: its
 * number may be one that a file had which was read and removed. */
static struct {
    struct used {
        dev_t device;
        ino_t number;
        bool written;
    } *items;
    size_t count, room;
} used;

static struct used *find_used(const struct stat *st) {
    for (size_t i = 0; i < used.count; i++)
        if (used.items[i].device == st->st_dev && used.items[i].number == st->st_ino)
            return &used.items[i];
    return NULL;
}

/* Without memory a file is not kept, and nothing else is lost. */
static void enter(const struct stat *st, bool written) {
    struct used *u = S_ISREG(st->st_mode) ? find_used(st) : NULL;
    if (u) u->written |= written;
    if (u || !S_ISREG(st->st_mode)) return;
    if (used.count == used.room) {
        size_t room = used.room ? 2 * used.room : 16;
        struct used *items = realloc(used.items, room * sizeof *items);
        if (!items) return;
        used.items = items;
        used.room = room;
    }
    used.items[used.count++] = (struct used){st->st_dev, st->st_ino, written};
}

void base_output_keep(const char *path) {
    struct stat st;
    if (stat(path, &st) == 0) enter(&st, false);
}

void base_output_keep_open(int fd) {
    struct stat st;
    if (fstat(fd, &st) == 0) enter(&st, false);
}

/* Before a file gets its name. */
static void enter_written(const char *path) {
    struct stat st;
    if (stat(path, &st) == 0) enter(&st, true);
}

/* 0, or BASE_OUTPUT_IS_INPUT. */
static int check_kept(const char *target) {
    struct stat st;
    const struct used *u = stat(target, &st) == 0 ? find_used(&st) : NULL;
    return u && !u->written ? BASE_OUTPUT_IS_INPUT : 0;
}

static bool look(const char *path, struct stat *st) {
    int fd = strcmp(path, "-") == 0 ? STDOUT_FILENO : descriptor_of(path);
    return (fd >= 0 ? fstat(fd, st) : stat(path, st)) == 0;
}

/* Two names of files that are not there yet: they are the same in the same folder. */
static bool same_new(const char *a, const char *b) {
    const char *const paths[2] = {a, b};
    char *targets[2] = {NULL}, *folders[2] = {NULL};
    const char *names[2] = {NULL};
    for (int i = 0; i < 2; i++) {
        bool direct;
        char *t = targets[i] = resolve(paths[i], &direct);
        char *slash = t ? strrchr(t, '/') : NULL;
        names[i] = slash ? slash + 1 : t;
        folders[i] = !t || direct ? NULL : slash == t ? strdup("/") : NULL;
        if (!t || direct || folders[i]) continue;
        if (slash) *slash = 0;
        folders[i] = realpath(slash ? t : ".", NULL);
    }
    bool same =
        folders[0] && folders[1] && !strcmp(folders[0], folders[1]) && !strcmp(names[0], names[1]);
    for (int i = 0; i < 2; i++) {
        free(targets[i]);
        free(folders[i]);
    }
    return same;
}

bool base_output_same(const char *a, const char *b) {
    struct stat sa, sb;
    bool there = look(a, &sa);
    if (there != look(b, &sb)) return false;
    if (!there) return same_new(a, b);
    return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino && !S_ISCHR(sa.st_mode);
}

/* ---- before the work ---- */

/* Is the folder of a file there and writable, and has it room for the file's name? 0 or errno. */
static int check_folder(const char *target) {
    const char *slash = strrchr(target, '/'), *name = slash ? slash + 1 : target;
    char *folder =
        slash ? strndup(target, slash == target ? 1 : (size_t)(slash - target)) : strdup(".");
    if (!folder) return ENOMEM;
    int error = access(folder, W_OK | X_OK) ? errno : 0;
    long most = error ? 0 : pathconf(folder, _PC_NAME_MAX);
    if (most > 0 && strlen(name) > (size_t)most) error = ENAMETOOLONG;
    free(folder);
    return error;
}

int base_output_check(const char *path) {
    if (strcmp(path, "-") == 0) return base_check_standard_output();
    bool direct;
    char *target = resolve(path, &direct);
    if (!target) return errno;
    int error = direct ? (access(target, W_OK) ? errno : 0) : check_folder(target);
    if (!error && !direct) error = check_kept(target);
    free(target);
    return error;
}

/* ---- a file ---- */

static void release(base_output *o) {
    if (o->temp != o->target) forget(o->temp);
    if (o->lock >= 0) close(o->lock);
    free(o->target);
    free(o);
}

/* Opens the target or a temporary; false with errno set. */
static bool start(base_output *o, unsigned mode) {
    int fd;
    if (o->direct) {
        fd = open_direct(o->target);
    } else {
        o->lock = make_temp(o->target, mode, make_file, &o->temp);
        /* opened again: a child that has the stream's descriptor must not hold the lock by it */
        fd = o->lock >= 0 ? open(o->temp, O_WRONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
        if (fd < 0 && o->lock >= 0) fd = fcntl(o->lock, F_DUPFD_CLOEXEC, 0); /* umask 0777 */
    }
    o->file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (!o->file && fd >= 0) close(fd);
    return o->file != NULL;
}

base_output *base_output_begin(const char *path, unsigned mode) {
    base_output *o = calloc(1, sizeof *o);
    if (!o || !(o->target = resolve(path, &o->direct))) {
        free(o);
        return NULL;
    }
    o->lock = -1;
    o->temp = o->target;
    int error = o->direct ? 0 : check_kept(o->target);
    if (!error && start(o, mode)) return o;
    if (!error) error = errno;
    if (o->temp != o->target) unlink(o->temp);
    release(o);
    errno = error;
    return NULL;
}

FILE *base_output_file(base_output *o) {
    return o->file;
}

const char *base_output_temp(const base_output *o) {
    return o->temp;
}

void base_output_write(base_output *o, const void *data, size_t size) {
    if (o->error || !size) return;
    errno = 0;
    if (fwrite(data, 1, size, o->file) != size) o->error = errno ? errno : EIO;
}

/* Closes the stream. 0 or the reason of the first failure. */
static int close_stream(base_output *o) {
    int error = o->error, seen = errno;
    if (!o->file) return error; /* closed before */
    if (fflush(o->file) != 0 && !error) error = errno;
    /* the caller's own call has failed, and its reason is what errno still has, if anything */
    if (!error && ferror(o->file)) error = seen ? seen : EIO;
    if (fclose(o->file) != 0 && !error) error = errno;
    o->file = NULL;
    return error;
}

int base_output_commit(base_output *o) {
    int error = close_stream(o);
    if (!o->direct) enter_written(o->temp);
    if (!o->direct && !error && rename(o->temp, o->target) != 0) error = errno;
    if (!o->direct && error) unlink(o->temp);
    release(o);
    return error;
}

/* Gives a file a name unless that is taken: EEXIST. Where the file system has no such renaming, by a
 * second name, and where it has none of these either, by an empty file that is replaced. */
static int rename_new(const char *from, const char *to) {
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return errno;
    if (link(from, to) == 0) {
        unlink(from);
        return 0;
    }
    if (errno != EPERM && errno != EOPNOTSUPP && errno != EMLINK) return errno;
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return errno;
    close(fd);
    if (rename(from, to) == 0) return 0;
    int error = errno;
    unlink(to);
    return error;
}

int base_output_commit_new(base_output *o, const char *path) {
    int error = close_stream(o);
    if (!o->direct) enter_written(o->temp);
    if (!o->direct && !error && (error = rename_new(o->temp, path)) == EEXIST) return error;
    if (!o->direct && error) unlink(o->temp);
    release(o);
    return error;
}

void base_output_abort(base_output *o) {
    if (!o) return;
    if (o->file) fclose(o->file);
    if (!o->direct) unlink(o->temp);
    release(o);
}

/* ---- a folder ---- */

/* In the folder of temporary files, under a name nobody can know before. */
static int make_private(char **path) {
    static const char prefix[] = "ebru-tmp-";
    const char *dir = getenv("TMPDIR");
    char *name;
    int fd = -1, error = ENOMEM;
    sigset_t old;
    if (!dir || !*dir) dir = "/tmp";
    remove_all_stale(dir, prefix, 6);
    hold_signals(&old);
    for (int tries = 0; fd < 0 && tries < TEMP_TRIES; tries++) {
        if (asprintf(&name, "%s/%sXXXXXX", dir, prefix) < 0) break;
        fd = mkdtemp(name) ? open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        error = errno;
        bool lost = fd >= 0 && !hold(fd); /* another process has taken it for a killed one's */
        if (lost) {
            close(fd);
            fd = -1;
        }
        if (fd >= 0) {
            remember(*path = name, fd);
            break;
        }
        free(name);
        if (!lost) break;
    }
    release_signals(&old);
    if (fd < 0) errno = error;
    return fd;
}

base_temp_dir *base_temp_dir_new(const char *target) {
    bool private = !target || strcmp(target, "-") == 0;
    char *file = private ? NULL : resolve(target, &private);
    if (!file && !private) return NULL;
    base_temp_dir *t = calloc(1, sizeof *t);
    if (t)
        t->lock = private ? make_private(&t->path) : make_temp(file, 0700, make_folder, &t->path);
    int error = errno;
    bool fine = t && t->lock >= 0;
    free(file);
    if (!fine) free(t);
    errno = error;
    return fine ? t : NULL;
}

const char *base_temp_dir_path(const base_temp_dir *t) {
    return t->path;
}

void base_temp_dir_free(base_temp_dir *t) {
    if (!t) return;
    remove_temp(t->path, t->lock);
    close(t->lock);
    forget(t->path);
    free(t);
}

char *base_output_target(const char *path) {
    bool direct;
    return resolve(path, &direct);
}

/* Writes a file's bytes into a device or FIFO. 0 or the reason. */
static int copy_file(const char *from, const char *to) {
    int in = open(from, O_RDONLY | O_CLOEXEC), out = in < 0 ? -1 : open_direct(to);
    int error = out < 0 || !base_copy_all(in, out) ? errno : 0;
    if (in >= 0) close(in);
    if (out >= 0 && close(out) != 0 && !error) error = errno;
    return error;
}

int base_output_publish(const char *from, const char *to) {
    bool direct;
    char *target = resolve(to, &direct);
    if (!target) return errno;
    int error = direct ? 0 : check_kept(target);
    if (!direct && !error) enter_written(from);
    if (direct)
        error = copy_file(from, target);
    else if (!error && rename(from, target) != 0)
        error = errno;
    free(target);
    return error;
}
