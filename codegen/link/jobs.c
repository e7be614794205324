#include "codegen/link/jobs.h"
#include "base/system/io.h"
#include "base/system/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Exit codes of a child: 0 done, CHILD_FAULT a message stands in the pipe, CHILD_SYSTEM no memory
 * (base/arena.h) or weights that went away, anything else is a crash. */
enum { CHILD_FAULT = 1, CHILD_SYSTEM = 3, CHILD_ABORT = 70 };

static int report_to = 2; /* in a child: the pipe to the parent */

static void report(const char *text) {
    (void)base_write_all(report_to, text, strlen(text));
}

_Noreturn void cg_job_abort(const char *reason) {
    report(reason);
    base_exit_child(CHILD_ABORT);
}

_Noreturn void cg_job_broken(const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cg_job_abort(text);
}

static _Noreturn void child(cg_job *j, int out) {
    base_str fault = {0};
    report_to = out;
    dup2(out, STDERR_FILENO); /* last words of LLVM, of libc and of ours */
    bool fine = j->run(j->arg, &fault);
    if (!fine) report(fault.data ? fault.data : "unknown fault");
    base_exit_child(fine ? 0 : CHILD_FAULT);
}

static void start(cg_job *jobs, uint32_t count, cg_job *j) {
    int ends[2];
    j->state = CG_JOB_FAILED;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        base_str_addf(&j->fault, "cannot make a pipe: %s", strerror(errno));
        return;
    }
    pid_t pid = base_fork();
    if (pid == 0) {
        close(ends[0]);
        for (uint32_t i = 0; i < count; i++)
            if (jobs[i].state == CG_JOB_RUNNING) close(jobs[i].pipe);
        child(j, ends[1]);
    }
    int error = errno;
    close(ends[1]);
    if (pid < 0) {
        base_str_addf(&j->fault, "cannot start a process: %s", strerror(error));
        close(ends[0]);
        return;
    }
    j->state = CG_JOB_RUNNING;
    j->pid = pid;
    j->pipe = ends[0];
}

/* The system's doing, not a fault of ebru: somebody ended the child, perhaps the kernel for want of
 * memory, or it said itself that there was none, as we and LLVM do. */
static bool is_systems(const cg_job *j, int status) {
    static const char *const words[] = {"out of memory", "Out of memory", "bad_alloc",
                                        "Cannot allocate memory"};
    if (WIFEXITED(status) &&
        (WEXITSTATUS(status) == CHILD_FAULT || WEXITSTATUS(status) == CHILD_SYSTEM))
        return true;
    if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM))
        return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (j->fault.len && strstr(j->fault.data, words[i])) return true;
    return false;
}

static void finish(cg_job *j) {
    int status;
    close(j->pipe);
    if (base_wait(j->pid, &status) != 0) {
        j->state = CG_JOB_FAILED;
        base_str_addf(&j->fault, "%scannot wait for a process: %s", j->fault.len ? "; " : "",
                      strerror(errno));
        return;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        j->state = CG_JOB_DONE;
        return;
    }
    j->state = is_systems(j, status) ? CG_JOB_FAILED : CG_JOB_CRASHED;
    while (j->fault.len && j->fault.data[j->fault.len - 1] == '\n')
        j->fault.data[--j->fault.len] = '\0';
    if (WIFSIGNALED(status))
        base_str_addf(&j->fault, "%sended by signal %d (%s)", j->fault.len ? "; " : "",
                      WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (!j->fault.len)
        base_str_addf(&j->fault, "ended with code %d",
                      WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

/* Reads what is there; a closed pipe is the end of the child. */
static void take(cg_job *j) {
    char text[4096];
    ssize_t n = read(j->pipe, text, sizeof text);
    if (n > 0) base_str_addn(&j->fault, text, (size_t)n);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) finish(j);
}

bool cg_jobs_advance(cg_job *jobs, uint32_t count, uint32_t parallel, bool block) {
    struct pollfd fds[64];
    uint32_t who[64], running = 0;
    for (uint32_t i = 0; i < count; i++) running += jobs[i].state == CG_JOB_RUNNING;
    for (uint32_t i = 0; i < count && running < parallel && running < 64; i++) {
        if (jobs[i].state != CG_JOB_WAITING) continue;
        start(jobs, count, &jobs[i]);
        running += jobs[i].state == CG_JOB_RUNNING;
    }
    nfds_t n = 0;
    for (uint32_t i = 0; i < count && n < 64; i++) {
        if (jobs[i].state != CG_JOB_RUNNING) continue;
        who[n] = i;
        fds[n++] = (struct pollfd){.fd = jobs[i].pipe, .events = POLLIN};
    }
    if (n == 0) return false;
    if (poll(fds, n, block ? -1 : 0) > 0)
        for (nfds_t i = 0; i < n; i++)
            if (fds[i].revents) take(&jobs[who[i]]);
    return true;
}

void cg_jobs_kill(cg_job *jobs, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (jobs[i].state != CG_JOB_RUNNING) continue;
        kill(jobs[i].pid, SIGKILL);
        finish(&jobs[i]);
    }
}

uint32_t cg_jobs_finished(const cg_job *jobs, uint32_t count) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) n += jobs[i].state >= CG_JOB_DONE;
    return n;
}
