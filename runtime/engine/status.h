/* Status codes and error text shared by the host parts of the runtime.
 *
 * A function that can fail returns rt_status and writes one sentence (no newline, no "error:") into
 * an rt_error that the caller owns. The numbers are the exit codes of the emitted program, so main
 * can return them as is. */
#ifndef EBRU_RUNTIME_ENGINE_STATUS_H
#define EBRU_RUNTIME_ENGINE_STATUS_H

#include <stdarg.h>
#include <stdio.h>

typedef enum rt_status {
    RT_OK = 0,
    RT_ERR_INPUT = 1,    /* the prompt, an image or embedded data is not acceptable */
    RT_ERR_USAGE = 2,    /* the caller asked for something that does not exist */
    RT_ERR_SYSTEM = 3,   /* I/O, memory, threads */
    RT_ERR_CPU = 4,      /* this CPU cannot run what is needed */
    RT_ERR_INTERNAL = 70 /* a bug */
} rt_status;

typedef struct rt_error {
    char message[400];
} rt_error;

/* Writes the message (cut if too long; err may be NULL). */
__attribute__((format(printf, 2, 3))) static inline void rt_say(rt_error *err, const char *fmt,
                                                                ...) {
    if (!err) return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->message, sizeof err->message, fmt, ap);
    va_end(ap);
}

/* Says so and has the value `status`: `return rt_fail(err, RT_ERR_..., ...)`. A macro, so that
 * compilers and static checks see that it is not RT_OK. */
#define rt_fail(err, status, ...) (rt_say(err, __VA_ARGS__), (rt_status)(status))

#endif
