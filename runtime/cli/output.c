#include "runtime/cli/output.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static rt_status cannot(const rt_output *o, const char *why, rt_error *err) {
    /* so much of a long name that there is room for the reason */
    return rt_fail(err, RT_ERR_SYSTEM, "cannot write %.330s: %s", o->path, why);
}

rt_status rt_output_check(const char *path, rt_error *err) {
    rt_output o = {.path = strcmp(path, "-") == 0 ? "standard output" : path};
    int code = base_output_check(path);
    if (code == EPIPE) raise(SIGPIPE); /* ends without a word, as when it is written */
    return code ? cannot(&o, base_output_why(code), err) : RT_OK;
}

rt_status rt_output_apart(const char *first, const char *a, const char *second, const char *b,
                          rt_error *err) {
    if (!a || !b || !base_output_same(a, b)) return RT_OK;
    return rt_fail(err, RT_ERR_USAGE, "%s and %s write to the same file, %.300s", first, second,
                   strcmp(b, "-") == 0 ? "standard output" : b);
}

static rt_status begin_standard_output(rt_output *o, rt_error *err) {
    if (isatty(STDOUT_FILENO))
        return rt_fail(err, RT_ERR_USAGE,
                       "standard output is a terminal; redirect it or name a file with -o");
    fflush(stdout);
    int fd = dup(STDOUT_FILENO);
    o->file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (o->file) return RT_OK;
    int code = errno;
    if (fd >= 0) close(fd);
    return cannot(o, strerror(code), err);
}

rt_status rt_output_begin(rt_output *o, const char *path, rt_error *err) {
    bool standard = strcmp(path, "-") == 0;
    *o = (rt_output){.path = standard ? "standard output" : path};
    if (standard) return begin_standard_output(o, err);
    o->temp = base_output_begin(path, 0666);
    if (!o->temp) return cannot(o, base_output_why(errno), err);
    o->file = base_output_file(o->temp);
    return RT_OK;
}

rt_status rt_output_abandon(rt_output *o, int code, const char *why, rt_error *err) {
    if (o->temp)
        base_output_abort(o->temp);
    else
        fclose(o->file);
    o->file = NULL;
    return cannot(o, code ? strerror(code) : why, err);
}

rt_status rt_output_commit_new(rt_output *o, const char *path, bool *taken, rt_error *err) {
    int code = base_output_commit_new(o->temp, path);
    o->file = NULL;
    o->path = path;
    *taken = code == EEXIST;
    return code && !*taken ? cannot(o, strerror(code), err) : RT_OK;
}

rt_status rt_output_commit(rt_output *o, rt_error *err) {
    int code;
    if (o->temp) {
        code = base_output_commit(o->temp);
    } else {
        code = ferror(o->file) ? (errno ? errno : EIO) : 0;
        if (fclose(o->file) && !code) code = errno;
    }
    o->file = NULL;
    return code ? cannot(o, strerror(code), err) : RT_OK;
}
