/* Progress lines on standard error. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime/cli/progress.h"
#include "base/system/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PLAIN_SECONDS 5.0
#define BAR_SECONDS   0.1
#define BAR_CELLS     24

static double monotonic(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Progress is a courtesy: what cannot be written is dropped. */
static void put(const rt_progress *p, const char *text, size_t length) {
    (void)base_write_all(p->fd, text, length);
}

void rt_progress_open(rt_progress *p, int fd, rt_progress_mode mode) {
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    memset(p, 0, sizeof *p);
    p->fd = fd;
    p->clock = monotonic;
    p->mode = mode;
    if (mode == RT_PROGRESS_AUTO)
        p->mode =
            isatty(fd) && term && strcmp(term, "dumb") != 0 ? RT_PROGRESS_BAR : RT_PROGRESS_PLAIN;
    p->color = p->mode == RT_PROGRESS_BAR && !(no_color && *no_color);
}

static void format_time(double seconds, char *text, size_t size) {
    if (!(seconds < 360000)) seconds = 359999;
    long s = (long)(seconds + 0.5);
    if (s >= 3600)
        snprintf(text, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(text, size, "%ld:%02ld", s / 60, s % 60);
}

/* "12/25  1.23 s/it  ETA 0:16", as far as it is known. */
static void describe(const rt_progress *p, double now, const char *gap, char *text, size_t size) {
    int n = snprintf(text, size, "%d/%d", p->done, p->total);
    if (n < 0 || p->done < 1) return;
    size_t used = (size_t)n;
    double each = (now - p->phase_start) / p->done;
    if (each >= 1)
        n = snprintf(text + used, size - used, "%s%.2f s/it", gap, each);
    else
        n = snprintf(text + used, size - used, "%s%.2f it/s", gap, 1 / (each > 1e-6 ? each : 1e-6));
    used += n > 0 ? (size_t)n : 0;
    if (p->done < 2 || p->done >= p->total) return;
    /* the first step also warms up: it does not count for the forecast */
    double later = (now - p->first_step_end) / (p->done - 1);
    char eta[24];
    format_time(later * (p->total - p->done), eta, sizeof eta);
    snprintf(text + used, size - used, "%sETA %s", gap, eta);
}

/* Replaces the bar line on the screen; `end` leaves it there. */
static void draw(rt_progress *p, double now, bool end) {
    char line[256], facts[96] = "", seconds[24];
    size_t n = 0;
    int width = 0;
    line[n++] = '\r';
    n += (size_t)snprintf(line + n, sizeof line - n, p->color ? "\x1b[36m%.24s\x1b[0m" : "%.24s",
                          p->phase);
    width += (int)strnlen(p->phase, 24);
    size_t begin = n;
    if (p->total > 1) {
        char bar[BAR_CELLS + 1];
        int filled = (int)((double)p->done / p->total * BAR_CELLS);
        for (int i = 0; i < BAR_CELLS; i++) bar[i] = i < filled ? '#' : '.';
        bar[BAR_CELLS] = 0;
        describe(p, now, "  ", facts, sizeof facts);
        n += (size_t)snprintf(line + n, sizeof line - n, " [%s] %s", bar, facts);
    }
    if (end) {
        format_time(now - p->phase_start, seconds, sizeof seconds);
        if (now - p->phase_start < 60)
            snprintf(seconds, sizeof seconds, "%.2f s", now - p->phase_start);
        n += (size_t)snprintf(line + n, sizeof line - n, "  %s", seconds);
    }
    width += (int)(n - begin);
    for (int i = width; i < p->line_width && n < sizeof line - 1; i++)
        line[n++] = ' '; /* rub out what was longer */
    if (end) line[n++] = '\n';
    put(p, line, n);
    p->line_width = end ? 0 : width;
    p->last_print = now;
}

static void print_line(rt_progress *p, double now) {
    char line[160], facts[96] = "";
    if (p->done > 0) describe(p, now, ", ", facts, sizeof facts);
    int n = p->done > 0    ? snprintf(line, sizeof line, "%.24s %s\n", p->phase, facts)
            : p->total > 1 ? snprintf(line, sizeof line, "%.24s: %d steps\n", p->phase, p->total)
                           : snprintf(line, sizeof line, "%.24s\n", p->phase);
    if (n > 0) put(p, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
    p->last_print = now;
}

void rt_progress_close(rt_progress *p) {
    if (p->phase && p->mode == RT_PROGRESS_BAR) draw(p, p->clock(), true);
    p->phase = NULL;
}

void rt_progress_phase(rt_progress *p, const char *name, int total) {
    rt_progress_close(p);
    if (p->mode == RT_PROGRESS_NONE) return;
    double now = p->clock();
    p->phase = name;
    p->total = total;
    p->done = 0;
    p->phase_start = p->first_step_end = now;
    if (p->mode == RT_PROGRESS_BAR)
        draw(p, now, false);
    else
        print_line(p, now);
}

void rt_progress_step(rt_progress *p, int done) {
    if (!p->phase || p->mode == RT_PROGRESS_NONE) return;
    double now = p->clock();
    if (p->done < 1) p->first_step_end = now;
    p->done = done < 0 ? 0 : p->total > 0 && done > p->total ? p->total : done;
    if (p->mode == RT_PROGRESS_BAR) {
        if (now - p->last_print >= BAR_SECONDS) draw(p, now, false);
    } else if (now - p->last_print >= PLAIN_SECONDS) {
        print_line(p, now);
    }
}
