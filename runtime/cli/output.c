#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime/cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char temp_path[PATH_MAX];
static volatile sig_atomic_t temp_active;

void rt_output_remove_temp(void) {
    if (temp_active) unlink(temp_path);
}

const char *rt_output_temp_path(void) {
    return temp_active ? temp_path : NULL;
}

static rt_status cannot(const rt_output *o, rt_error *err) {
    return rt_fail(err, RT_ERR_SYSTEM, "cannot write %s: %s", o->path, strerror(errno));
}

static rt_status take(rt_output *o, int fd, rt_error *err) {
    o->file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (o->file) return RT_OK;
    rt_status s = cannot(o, err);
    if (fd >= 0) close(fd);
    return s;
}

/* Creates ".NAME.ebru-tmp.PID-N" beside `path`; -1 with errno set. O_CREAT applies the umask, as
 * for any new file. */
static int create_temp(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    int folder = slash ? (int)(slash - path) + 1 : 0;
    for (unsigned attempt = 0; attempt < 1000; attempt++) {
        if (snprintf(temp_path, sizeof temp_path, "%.*s.%.200s.ebru-tmp.%ld-%u", folder, path, name,
                     (long)getpid(), attempt) >= (int)sizeof temp_path) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int fd = open(temp_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

static rt_status begin_temporary(rt_output *o, rt_error *err) {
    sigset_t stop, old; /* between creating the file and knowing its name no handler may run */
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGHUP);
    sigprocmask(SIG_BLOCK, &stop, &old);
    int fd = create_temp(o->path), create_errno = errno;
    temp_active = fd >= 0;
    sigprocmask(SIG_SETMASK, &old, NULL);
    errno = create_errno;
    rt_status s = take(o, fd, err);
    o->temporary = !s;
    if (s) {
        rt_output_remove_temp();
        temp_active = 0;
    }
    return s;
}

rt_status rt_output_begin(rt_output *o, const char *path, rt_error *err) {
    struct stat st;
    *o = (rt_output){.file = NULL};
    snprintf(o->path, sizeof o->path, "%s", !strcmp(path, "-") ? "standard output" : path);
    if (!strcmp(path, "-")) {
        if (isatty(STDOUT_FILENO))
            return rt_fail(err, RT_ERR_USAGE,
                           "standard output is a terminal; redirect it or name a file with -o");
        fflush(stdout);
        return take(o, dup(STDOUT_FILENO), err);
    }
    if (strlen(path) >= sizeof o->path) {
        errno = ENAMETOOLONG;
        return cannot(o, err);
    }
    bool exists = !stat(path, &st);
    if (exists && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return cannot(o, err);
    }
    /* renaming over devices and pipes would replace them */
    if (exists && !S_ISREG(st.st_mode))
        return take(o, open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY), err);
    if (!lstat(path, &st) && S_ISLNK(st.st_mode)) { /* a link's target is replaced, not the link */
        char *target = realpath(path, NULL);
        if (target) snprintf(o->path, sizeof o->path, "%s", target);
        free(target);
    }
    return begin_temporary(o, err);
}

rt_status rt_output_abandon(rt_output *o, int code, const char *why, rt_error *err) {
    if (o->file) fclose(o->file);
    if (o->temporary) rt_output_remove_temp();
    temp_active = 0;
    o->file = NULL;
    return rt_fail(err, RT_ERR_SYSTEM, "cannot write %s: %s", o->path, code ? strerror(code) : why);
}

rt_status rt_output_commit(rt_output *o, rt_error *err) {
    int code = ferror(o->file) ? (errno ? errno : EIO)
                               : 0; /* whoever wrote in vain has just left its errno */
    errno = 0;
    if (fclose(o->file) && !code) code = errno ? errno : EIO;
    o->file = NULL;
    if (code) return rt_output_abandon(o, code, "", err);
    if (o->temporary && rename(temp_path, o->path)) return rt_output_abandon(o, errno, "", err);
    temp_active = 0;
    return RT_OK;
}
