/* Programs for one use: compiled into a fresh directory, run over pipes, removed. */
#include "driver/commands/run_program.h"
#include "base/system/process.h"
#include "driver/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

bool drv_temp_new(base_diag *d, drv_temp *t) {
    *t = (drv_temp){.dir = base_temp_dir_new(NULL)};
    if (!t->dir) {
        const char *dir = getenv("TMPDIR");
        dir = dir && *dir ? dir : "/tmp";
        base_system_refused();
        base_error(d, NULL, "cannot make a folder in %s: %s", base_escape(dir, strlen(dir)),
                   strerror(errno));
        return false;
    }
    base_str_addf(&t->program, "%s/program", base_temp_dir_path(t->dir));
    return true;
}

void drv_temp_free(drv_temp *t) {
    base_temp_dir_free(t->dir);
    base_str_free(&t->program);
    *t = (drv_temp){0};
}

static int reap(base_diag *d, pid_t pid, const char *program) {
    int status;
    if (base_wait(pid, &status) != 0) {
        base_system_refused();
        base_error(d, NULL, "cannot wait for '%s': %s", program, strerror(errno));
        return -1;
    }
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    base_error(d, NULL, "'%s' was killed by signal %d", program, WTERMSIG(status));
    return -1;
}

/* Feeds and drains at once, so that neither side can block the other. */
static void pump(int in, const char *input, size_t input_bytes, int out, base_str *text) {
    size_t sent = 0;
    if (in >= 0) fcntl(in, F_SETFL, O_NONBLOCK);
    while (in >= 0 || out >= 0) {
        struct pollfd p[2] = {{in, POLLOUT, 0}, {out, POLLIN, 0}};
        if (in >= 0 && sent == input_bytes) {
            close(in);
            in = -1;
            continue;
        }
        if (poll(p, 2, -1) < 0 && errno != EINTR) break;
        if (in >= 0 && p[0].revents) {
            ssize_t n = write(in, input + sent, input_bytes - sent);
            if (n > 0)
                sent += (size_t)n;
            else if (n < 0 && errno != EAGAIN && errno != EINTR)
                sent = input_bytes;
        }
        if (out >= 0 && p[1].revents) {
            char buffer[65536];
            ssize_t n = read(out, buffer, sizeof buffer);
            if (n > 0)
                base_str_addn(text, buffer, (size_t)n);
            else if (n == 0 || errno != EINTR) {
                close(out);
                out = -1;
            }
        }
    }
}

int drv_run(base_diag *d, const char *const *argv, const void *input, size_t input_bytes,
            char **out, size_t *out_bytes) {
    int in_pipe[2], out_pipe[2];
    bool piped = !pipe2(in_pipe, O_CLOEXEC);
    if (piped && pipe2(out_pipe, O_CLOEXEC)) {
        int why = errno;
        close(in_pipe[0]);
        close(in_pipe[1]);
        errno = why;
        piped = false;
    }
    if (!piped) {
        base_system_refused();
        base_error(d, NULL, "cannot start '%s': %s", argv[0], strerror(errno));
        return -1;
    }
    pid_t pid = base_spawn(argv, (int[3]){in_pipe[0], out ? out_pipe[1] : -1, -1}, NULL);
    int error = errno;
    close(in_pipe[0]);
    close(out_pipe[1]);
    if (pid < 0) {
        base_system_refused();
        base_error(d, NULL, "cannot start '%s': %s", argv[0], strerror(error));
        close(in_pipe[1]);
        close(out_pipe[0]);
        return -1;
    }
    base_str text = {0};
    if (!out) {
        close(out_pipe[0]);
        out_pipe[0] = -1;
    }
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    sigaction(SIGPIPE, &ignore, &before); /* a program that does not read all of its input */
    pump(in_pipe[1], input, input_bytes, out_pipe[0], &text);
    sigaction(SIGPIPE, &before, NULL);
    int code = reap(d, pid, argv[0]);
    if (out) {
        *out = text.data;
        *out_bytes = text.len;
    }
    return code;
}

int drv_run_test(const char *command, const char *path) {
    base_str line = {0};
    base_str_addf(&line, "%s \"$1\"", command);
    const char *argv[] = {"/bin/sh", "-c", line.data, "sh", path, NULL};
    char *out = NULL;
    size_t bytes = 0;
    FILE *nowhere = fopen("/dev/null", "w"); /* a test that is killed is an answer, no error */
    base_diag_options quiet = {.out = nowhere};
    base_diag *d = base_diag_new(&quiet);
    int code = drv_run(d, argv, NULL, 0, &out, &bytes);
    base_diag_free(d);
    if (nowhere) fclose(nowhere);
    base_free(out);
    base_str_free(&line);
    return code;
}
