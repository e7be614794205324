/* Time that passes. */
#ifndef EBRU_BASE_SYSTEM_CLOCK_H
#define EBRU_BASE_SYSTEM_CLOCK_H

#include <time.h>

/* Seconds since some moment; does not follow changes of the date. */
static inline double base_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
