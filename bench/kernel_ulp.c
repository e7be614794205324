/* Errors of the elementwise functions over every float, at every level this CPU has, and what they
 * cost.
 *
 *   kernel_ulp [--every=N] [--threads=N] [FUNCTION ...]     rows of a Markdown table; exit code 1 beyond a
 * stated bound kernel_ulp --speed [FUNCTION ...]                       nanoseconds for sixteen floats, one
 * thread
 *   kernel_ulp --limits [FUNCTION ...]                      values at the ends of the range, at zero and for
 * NaN
 *
 * All 2^32 inputs of a function take about a minute on two cores. */
#include "tests/unit/kernels/ulp.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHUNK ((uint64_t)1 << 20)

struct job {
    const ulp_function *f;
    uint64_t every;
    _Atomic uint64_t next;
};
struct worker {
    struct job *job;
    ulp_result result[ULP_LEVELS];
};

static void *work(void *arg) {
    struct worker *w = arg;
    const uint64_t every = w->job->every, all = (uint64_t)1 << 32;
    for (;;) {
        const uint64_t begin = atomic_fetch_add(&w->job->next, CHUNK);
        if (begin >= all) return NULL;
        ulp_scan(w->job->f, (begin + every - 1) / every * every, begin + CHUNK, every, w->result);
    }
}

static bool run(const ulp_function *f, uint64_t every, int threads) {
    struct job job = {.f = f, .every = every};
    struct worker workers[64] = {0};
    pthread_t id[64];
    for (int i = 0; i < threads; i++) workers[i].job = &job;
    for (int i = 1; i < threads; i++)
        if (pthread_create(&id[i], NULL, work, &workers[i]) != 0) abort();
    work(&workers[0]);
    bool fine = true;
    for (int i = 1; i < threads; i++) {
        pthread_join(id[i], NULL);
        for (int l = 0; l < ULP_LEVELS; l++) ulp_join(&workers[0].result[l], &workers[i].result[l]);
    }
    for (int l = 0; l < ULP_LEVELS; l++) {
        const ulp_result *r = &workers[0].result[l];
        if (!ulp_level_runs(l)) continue;
        printf("| %s | %s | %.3f | %.9g | %.3f | %.2f %% | ", f->name, ulp_level_name[l] + 7,
               r->worst, (double)ulp_float(r->at), f->bound,
               100 * (double)r->correct / (double)r->inputs);
        if (r->flushed)
            printf("%.2g |", r->largest_flushed);
        else
            printf("- |");
        if (r->wrong)
            printf(" %llu wrong, at %a", (unsigned long long)r->wrong,
                   (double)ulp_float(r->wrong_at));
        if (r->wrong || r->worst > f->bound) fine = false, printf(" BEYOND THE BOUND");
        printf("\n");
    }
    fflush(stdout);
    return fine;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best of many passes over floats in L1 from -4 to 0, a call for every sixteen. */
static void time_function(const ulp_function *f) {
    enum { FLOATS = 2048, ROUNDS = 2000 };
    _Alignas(64) static float x[FLOATS], y[FLOATS];
    for (int i = 0; i < FLOATS; i++) x[i] = -4.0f * (float)i / (float)FLOATS;
    printf("| %s |", f->name);
    for (int l = 0; l < ULP_LEVELS; l++) {
        double best = 1;
        for (int r = 0; r < ROUNDS && ulp_level_runs(l); r++) {
            const double begin = now();
            for (int i = 0; i < FLOATS; i += 16) f->f[l](y + i, x + i);
            const double t = now() - begin;
            if (t < best) best = t;
        }
        if (best < 1)
            printf(" %.2f |", best / (FLOATS / 16) * 1e9);
        else
            printf(" - |");
    }
    printf("\n");
}

/* The highest level's values; a level that gives another is named beside it. */
static void print_limits(const ulp_function *f) {
    static const uint32_t at[] = {0xff800000u, 0xff7fffffu, 0x80000001u, 0x80000000u, 0u,
                                  1u,          0x7f7fffffu, 0x7f800000u, 0x7fc00000u};
    printf("| %s |", f->name);
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        const float v = ulp_float(at[i]);
        if (f->not_above_zero && v > 0) {
            printf(" |");
            continue;
        }
        char text[ULP_LEVELS][32];
        int last = 0;
        for (int l = 0; l < ULP_LEVELS; l++) {
            if (!ulp_level_runs(l)) continue;
            _Alignas(64) float x[16], y[16];
            for (int k = 0; k < 16; k++) x[k] = v;
            f->f[l](y, x);
            last = l;
            if (y[0] != y[0])
                snprintf(text[l], sizeof text[l], "NaN");
            else
                snprintf(text[l], sizeof text[l], "%.6g", (double)y[0]);
        }
        printf(" %s", text[last]);
        for (int l = 0; l < last; l++)
            if (strcmp(text[l], text[last]) != 0)
                printf(" (%s: %s)", ulp_level_name[l] + 7, text[l]);
        printf(" |");
    }
    printf("\n");
}

enum mode { ERRORS, SPEED, LIMITS };
static const char *const heads[] = {
    "| function | level | max ulp | at | bound | correctly rounded | flushed to 0: below |\n"
    "| --- | --- | --- | --- | --- | --- | --- |\n",
    "| function | v2 | v3 | v4 |\n| --- | --- | --- | --- |\n",
    "| function | -inf | largest negative | least denormal, negative | -0 | +0 | least denormal | "
    "largest | "
    "+inf | NaN "
    "|\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
};

int main(int argc, char **argv) {
    uint64_t every = 1;
    int threads = 2, named = 0;
    bool fine = true;
    enum mode mode = ERRORS;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--every=", 8) == 0)
            every = strtoull(argv[i] + 8, NULL, 10);
        else if (strncmp(argv[i], "--threads=", 10) == 0)
            threads = atoi(argv[i] + 10);
        else if (strcmp(argv[i], "--speed") == 0)
            mode = SPEED;
        else if (strcmp(argv[i], "--limits") == 0)
            mode = LIMITS;
        else
            argv[++named] = argv[i];
    }
    if (every < 1 || threads < 1 || threads > 64) {
        fprintf(
            stderr,
            "usage: kernel_ulp [--every=N] [--threads=N] [--speed | --limits] [FUNCTION ...]\n");
        return 2;
    }
    for (int i = 1; i <= named; i++) {
        bool known = false;
        for (int k = 0; k < ulp_function_count; k++)
            known |= strcmp(argv[i], ulp_functions[k].name) == 0;
        if (!known) {
            fprintf(stderr, "kernel_ulp: no function '%s'\n", argv[i]);
            return 2;
        }
    }
    fputs(heads[mode], stdout);
    for (int k = 0; k < ulp_function_count; k++) {
        const ulp_function *f = &ulp_functions[k];
        bool wanted = named == 0;
        for (int i = 1; i <= named; i++) wanted |= strcmp(argv[i], f->name) == 0;
        if (!wanted) continue;
        if (mode == SPEED)
            time_function(f);
        else if (mode == LIMITS)
            print_limits(f);
        else
            fine &= run(f, every, threads);
    }
    return fine ? 0 : 1;
}
