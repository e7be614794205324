/* ebru tune --check: whole programs, by the rules and by the records, timed in turns. */
#include "driver/commands/lower.h"
#include "driver/commands/run_program.h"
#include "driver/tune/tune.h"

#include "frontend/files/json_file.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS = 4, MOST_FUNCTIONS = 32 };
/* Milliseconds below which a ratio says something about the clock, not about the function. */
static const double SHORTEST = 0.05;

struct times {
    char *function;
    double ms[2][ROUNDS]; /* by the rules, by the records */
};

struct check {
    const drv_options *o;
    base_diag *d;
    struct times of[MOST_FUNCTIONS];
    uint32_t count;
};

static bool compile(struct check *c, const char *tuning, const char *program) {
    drv_options o = *c->o;
    drv_build b = {0};
    cg_result result = {0};
    fe_options fe = drv_fe_options(&o.load);
    o.code.tuning = tuning;
    o.common.quiet = true;
    const bool fine =
        drv_lower(c->d, &o, &fe, &b) && drv_emit(c->d, &o, &b, program, CG_EXE, &result);
    drv_build_free(&b);
    return fine;
}

static struct times *times_of(struct check *c, const char *component, const char *function) {
    base_str name = {0};
    base_str_addf(&name, "%s%s%s", component, strcmp(component, function) ? "." : "",
                  strcmp(component, function) ? function : "");
    for (uint32_t i = 0; i < c->count; i++)
        if (!strcmp(c->of[i].function, name.data)) {
            base_str_free(&name);
            return &c->of[i];
        }
    if (c->count == MOST_FUNCTIONS) {
        base_str_free(&name);
        return NULL;
    }
    c->of[c->count].function = name.data;
    return &c->of[c->count++];
}

/* The medians of one run of --bench=json: an object a line. */
static void take_times(struct check *c, char *text, int which, int round) {
    for (char *line = text, *end; line && *line; line = end ? end + 1 : NULL) {
        end = strchr(line, '\n');
        base_json *doc = base_json_parse(c->d, "--bench=json", line,
                                         end ? (size_t)(end - line) : strlen(line), NULL);
        if (!doc) return;
        base_jval root = base_json_root(doc);
        struct times *t = times_of(c, base_json_opt_string(root, "component", ""),
                                   base_json_opt_string(root, "function", ""));
        if (t) t->ms[which][round] = base_json_opt_double(root, "median_ms", 0);
        base_json_free(doc);
    }
}

static bool run(struct check *c, const char *program, int which, int round) {
    char threads[24];
    const char *argv[5] = {program, "--bench=json", "--runs=5"};
    if (c->o->run.threads) {
        snprintf(threads, sizeof threads, "-t%lld", (long long)c->o->run.threads);
        argv[3] = threads;
    }
    char *text = NULL;
    size_t length = 0;
    const bool fine = drv_run(c->d, argv, NULL, 0, &text, &length) == 0 && text;
    if (fine) take_times(c, text, which, round);
    if (!fine)
        base_error(c->d, NULL, "the program that was compiled %s did not run",
                   which ? "by the records" : "by the rules");
    base_free(text);
    return fine;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print(struct check *c) {
    printf("%-36s %10s %10s %10s %10s %7s\n", "whole functions, ms in turns", "rules", "least",
           "records", "least", "least %");
    for (uint32_t i = 0; i < c->count; i++) {
        struct times *t = &c->of[i];
        for (int which = 0; which < 2; which++)
            qsort(t->ms[which], ROUNDS, sizeof(double), ascending);
        printf("%-36s %10.3f %10.3f %10.3f %10.3f", t->function, t->ms[0][ROUNDS / 2], t->ms[0][0],
               t->ms[1][ROUNDS / 2], t->ms[1][0]);
        if (t->ms[0][0] >= SHORTEST)
            printf(" %7.1f\n", 100 * (t->ms[1][0] / t->ms[0][0] - 1));
        else
            printf(" %7s\n", "-");
    }
}

bool tune_check(base_diag *d, const drv_options *o, const char *records) {
    struct check c = {.o = o, .d = d};
    drv_temp temp = {0};
    char tuned[PATH_MAX];
    if (!drv_temp_new(d, &temp)) return false;
    snprintf(tuned, sizeof tuned, "%s/tuned", base_temp_dir_path(temp.dir));
    bool fine = compile(&c, "none", temp.program.data) && compile(&c, records, tuned);
    for (int round = 0; round < ROUNDS && fine; round++)
        fine = run(&c, temp.program.data, 0, round) && run(&c, tuned, 1, round);
    if (fine) print(&c);
    for (uint32_t i = 0; i < c.count; i++) base_free(c.of[i].function);
    unlink(tuned);
    drv_temp_free(&temp);
    return fine;
}
