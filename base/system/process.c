#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/system/process.h"
#include "base/system/io.h"
#include "base/system/output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a child. The parent may have ended before the kernel was asked to tell. */
static void follow(pid_t parent, int number) {
    prctl(PR_SET_PDEATHSIG, number);
    if (getppid() != parent) _exit(128 + number);
}

#ifdef EBRU_COVERAGE
void __gcov_dump(void);
void __gcov_reset(void);
#endif

/* Neither _exit() nor a program that takes this one's place writes the counts of lines. */
static void write_counts(void) {
#ifdef EBRU_COVERAGE
    __gcov_dump();
    __gcov_reset(); /* without which they are not written a second time */
#endif
}

void base_exit_child(int status) {
    write_counts();
    _exit(status);
}

pid_t base_fork(void) {
    fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid != 0) return pid;
    follow(parent, SIGKILL);
    base_output_forked();
    return 0;
}

int base_wait(pid_t pid, int *status) {
    while (waitpid(pid, status, 0) < 0)
        if (errno != EINTR) return -1;
    return 0;
}

/* ---- programs ---- */

/* In the leader of a group: its parent has ended, or somebody ends it. */
static void end_group(int number) {
    kill(0, number); /* this handler's own number is blocked until it returns */
    _exit(128 + number);
}

static void report_and_exit(int report) {
    int error = errno;
    (void)base_write_all(report, &error, sizeof error);
    base_exit_child(127);
}

static void execute(const char *const *argv, const int streams[3], const char *without,
                    int report) {
    signal(SIGTERM, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    for (int i = 0; i < 3; i++)
        if (streams[i] >= 0 && dup2(streams[i], i) < 0) report_and_exit(report);
    if (without) unsetenv(without);
    write_counts();
    execvp(argv[0], (char *const *)argv);
    report_and_exit(report);
}

/* Ends as the program has ended: who waits for this process sees no difference. */
static void end_like(pid_t pid) {
    int status;
    if (base_wait(pid, &status) != 0) base_exit_child(127);
    if (WIFEXITED(status)) base_exit_child(WEXITSTATUS(status));
    write_counts();
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
    _exit(128 + WTERMSIG(status));
}

/* The leader of the group. It executes nothing itself, because only it can tell the others. */
static void lead(pid_t parent, const char *const *argv, const int streams[3], const char *without,
                 int report) {
    struct sigaction act = {.sa_handler = end_group};
    setpgid(0, 0);
    sigaction(SIGTERM, &act, NULL);
    follow(parent, SIGTERM);
    pid_t pid = fork();
    if (pid < 0) report_and_exit(report);
    if (pid == 0) execute(argv, streams, without, report);
    /* ends of pipes whose closing others wait for */
    if (close_range(3, ~0u, 0) != 0)
        for (int fd = 3; fd < 1024; fd++) close(fd);
    end_like(pid);
}

pid_t base_spawn(const char *const *argv, const int streams[3], const char *without) {
    int report[2], error;
    if (pipe2(report, O_CLOEXEC) != 0) return -1;
    fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        base_output_forked();
        close(report[0]);
        lead(parent, argv, streams, without, report[1]);
    }
    error = errno;
    close(report[1]);
    ssize_t n = -1;
    while (pid > 0 && (n = read(report[0], &error, sizeof error)) < 0 && errno == EINTR) {
    }
    if (n == (ssize_t)sizeof error) {
        base_wait(pid, &(int){0});
        pid = -1;
    }
    close(report[0]);
    errno = error;
    return pid;
}
