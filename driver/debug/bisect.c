/* ebru bisect: the application of an optional pass at fault, by a command that looks at what is
 * compiled.
 *
 * Optional passes are applied in an order that does not depend on the limit, so what the model is
 * compiled to with the first N applications is well defined (--opt-bisect-limit=N). The test is
 * asked about none of them and about all; where it ends otherwise, the interval between is halved.
 * Which of 0 and another exit code means a fault does not matter, so a test for `ebru reduce` and
 * one written for `git bisect run` both do. A candidate that does not compile is a third answer:
 * so a pass that makes the compiler itself end is found, too.
 *
 * Each candidate is compiled in a child. What the child says goes to a file, since the list of
 * applications is in it. */
#include "base/system/io.h"
#include "base/system/process.h"
#include "driver/commands/commands.h"
#include "driver/commands/lower.h"
#include "driver/commands/run_program.h"
#include "driver/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How a candidate does. */
typedef enum answer { ENDS_0, ENDS_OTHERWISE, DOES_NOT_COMPILE } answer;

enum { MOST_LIMIT = 1000000000 };

typedef struct bisection {
    drv_options o; /* of `ebru compile` */
    const char *test;
    base_diag *d;
    drv_temp temp;
    char log[PATH_MAX]; /* what the child that compiled said */
    uint32_t tests;
    /* applications of all optional passes, "PASS on FUNCTION", in order */
    BASE_VEC(char *) applications;
} bisection;

/* Compiles with the first `limit` applications, in a child; what it says goes to the log. */
static bool compiles(bisection *b, int64_t limit) {
    int status = 0;
    pid_t pid = base_fork();
    if (pid == 0) {
        int log = open(b->log, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        if (log < 0 || dup2(log, STDERR_FILENO) < 0) base_exit_child(DRV_IO);
        drv_options o = b->o;
        o.passes.bisect_limit = limit;
        int code = drv_compile(&o);
        fflush(NULL);
        base_exit_child(code);
    }
    return pid > 0 && base_wait(pid, &status) == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* False with a diagnostic when the test itself cannot be run. */
static bool ask(bisection *b, int64_t limit, answer *out) {
    *out = DOES_NOT_COMPILE;
    b->tests++;
    if (!compiles(b, limit)) return true;
    int code = drv_run_test(b->test, b->o.common.output);
    if (code == 126 || code == 127) {
        base_error(b->d, NULL, "the test '%s' cannot be run: it ends with %d",
                   base_escape(b->test, strlen(b->test)), code);
        return false;
    }
    *out = code ? ENDS_OTHERWISE : ENDS_0;
    return true;
}

static const char *words(answer a) {
    return a == ENDS_0           ? "the test ends with 0"
           : a == ENDS_OTHERWISE ? "the test does not end with 0"
                                 : "it does not compile";
}

static void progress(const bisection *b, int64_t limit, answer a) {
    if (!b->o.common.quiet)
        fprintf(stderr, "%lld of %zu applications: %s\n", (long long)limit, b->applications.count,
                words(a));
}

/* The applications that the log lists; the rest of it to standard error where it is wanted. */
static bool read_log(bisection *b, bool show_rest) {
    FILE *log = fopen(b->log, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    while (log && (n = getline(&line, &room, log)) > 0) {
        unsigned long number;
        int name = 0;
        if (line[n - 1] == '\n') line[n - 1] = '\0';
        if (sscanf(line, "BISECT: running pass (%lu) %n", &number, &name) != 1 || !name) {
            if (show_rest) fprintf(stderr, "%s\n", line);
            continue;
        }
        /* the modules of further CPU levels begin with 1 again */
        if (number != b->applications.count + 1) continue;
        char *copy = base_alloc(strlen(line + name) + 1);
        memcpy(copy, line + name, strlen(line + name) + 1);
        BASE_PUSH(&b->applications, copy);
    }
    free(line);
    if (log) fclose(log);
    return log != NULL;
}

static int same(bisection *b, answer a) {
    if (a == DOES_NOT_COMPILE) {
        read_log(b, true);
        base_error(b->d, NULL, "%s does not compile, with or without optional passes", b->o.model);
    } else {
        base_error(b->d, NULL, "no pass is at fault: %s without optional passes and with all %zu",
                   words(a), b->applications.count);
        base_note(b->d, NULL, "applications of required passes are not counted");
    }
    return DRV_INPUT;
}

/* Between `low` applications and `high` the answer changes. */
static int report(const bisection *b, int64_t high, answer low, answer at, time_t start) {
    const char *what = b->applications.items[high - 1];
    printf("application %lld of %zu: %s\n", (long long)high, b->applications.count, what);
    printf("  with the first %lld: %s\n  with the first %lld: %s\n", (long long)high - 1,
           words(low), (long long)high, words(at));
    fflush(stdout);
    if (!b->o.common.quiet)
        fprintf(
            stderr, "%u tests, %ld s; what it did: --opt-bisect-limit=%lld --print-after=%.*s\n",
            b->tests, (long)(time(NULL) - start), (long long)high, (int)strcspn(what, " "), what);
    return DRV_OK;
}

static int run(bisection *b) {
    time_t start = time(NULL);
    answer none, all;
    if (!ask(b, MOST_LIMIT, &all)) return DRV_INPUT;
    if (!read_log(b, false)) {
        base_error(b->d, NULL, "cannot read '%s': %s", b->log, strerror(errno));
        return DRV_IO;
    }
    int64_t low = 0, high = (int64_t)b->applications.count;
    progress(b, high, all);
    if (!ask(b, 0, &none)) return DRV_INPUT;
    progress(b, 0, none);
    if (none == all) return same(b, none);
    while (high - low > 1) { /* `none` at low, another answer at high */
        int64_t middle = (low + high) / 2;
        answer a;
        if (!ask(b, middle, &a)) return DRV_INPUT;
        progress(b, middle, a);
        if (a == none) {
            low = middle;
        } else {
            high = middle;
            all = a;
        }
    }
    return report(b, high, none, all, start);
}

int drv_bisect(const drv_options *o) {
    if (!o->reduce.test) {
        fprintf(stderr, "ebru: error: bisect: name the test with --test=COMMAND\n");
        return DRV_USAGE;
    }
    bisection b = {.o = *o, .test = o->reduce.test, .d = drv_diag(&o->common)};
    char path[PATH_MAX];
    int code = DRV_IO;
    if (drv_temp_new(b.d, &b.temp)) {
        const char *dir = base_temp_dir_path(b.temp.dir);
        snprintf(path, sizeof path, "%s/candidate", dir);
        snprintf(b.log, sizeof b.log, "%s/log", dir);
        b.o.command = DRV_COMPILE;
        b.o.common.output = path;
        code = run(&b);
        drv_temp_free(&b.temp);
    }
    for (size_t i = 0; i < b.applications.count; i++) base_free(b.applications.items[i]);
    base_free(b.applications.items);
    base_diag_flush(b.d);
    base_diag_free(b.d);
    return code;
}
