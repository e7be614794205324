/* Progress on standard error: a bar on a terminal, otherwise a line at each phase and at most one
 * per 5 s. */
#ifndef EBRU_RUNTIME_CLI_PROGRESS_H
#define EBRU_RUNTIME_CLI_PROGRESS_H

#include <stdbool.h>

typedef enum rt_progress_mode {
    RT_PROGRESS_AUTO, /* bar if fd is a terminal, TERM is not "dumb"; else plain */
    RT_PROGRESS_BAR,
    RT_PROGRESS_PLAIN,
    RT_PROGRESS_NONE /* -q */
} rt_progress_mode;

typedef struct rt_progress {
    int fd;
    rt_progress_mode mode; /* never AUTO once opened */
    bool color;
    double (*clock)(void); /* seconds, monotonic */
    const char *phase;
    int done, total;
    double phase_start, first_step_end, last_print;
    int line_width; /* columns of the bar line on the screen */
} rt_progress;

/* fd is 2 in the program. Color only in bar mode and without a non-empty NO_COLOR. */
void rt_progress_open(rt_progress *p, int fd, rt_progress_mode mode);
/* Begins a phase of `total` steps (0 or 1 = no count): "text-encode", "denoise", "vae-decode",
 * "write". Ends the one before. `name` must stay valid. */
void rt_progress_phase(rt_progress *p, const char *name, int total);
/* `done` steps of the phase are finished. */
void rt_progress_step(rt_progress *p, int done);
/* Ends the last phase, leaving the cursor at the start of a line. Also to be called before an error
 * message. */
void rt_progress_close(rt_progress *p);

#endif
