/* Work in forked children: LLVM may abort or exit on its own errors, and two cores compile faster
 * than one. */
#ifndef EBRU_CODEGEN_LINK_JOBS_H
#define EBRU_CODEGEN_LINK_JOBS_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct cg_job {
    const char *what; /* for messages: "x86-64-v4 code, part 2" */
    /* Runs in the child; false with a message in `fault`. */
    bool (*run)(void *arg, base_str *fault);
    void *arg;
    /* The parent's */
    enum { CG_JOB_WAITING, CG_JOB_RUNNING, CG_JOB_DONE, CG_JOB_FAILED, CG_JOB_CRASHED } state;
    pid_t pid;
    int pipe;
    base_str fault; /* base_str_free'd by the owner */
} cg_job;

/* Starts waiting jobs while fewer than `parallel` run and takes up the results of finished ones;
 * waits for one to finish when `block`. True while jobs wait or run. */
bool cg_jobs_advance(cg_job *jobs, uint32_t count, uint32_t parallel, bool block);
/* Ends running jobs. */
void cg_jobs_kill(cg_job *jobs, uint32_t count);
/* In a child: the end of the job with a crash's message (LLVM's fatal errors). */
_Noreturn void cg_job_abort(const char *reason);
/* In a child: a broken invariant of ours ends the job as a crash, and so the compiler with 70. */
_Noreturn void cg_job_broken(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
uint32_t cg_jobs_finished(const cg_job *jobs, uint32_t count);

#endif
