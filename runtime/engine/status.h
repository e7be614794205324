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

/* Writes the message (cut if too long; err may be NULL) and returns `status`: `return rt_fail(err,
 * RT_ERR_..., ...)`. */
__attribute__((format(printf, 3, 4))) static inline rt_status
rt_fail(rt_error *err, rt_status status, const char *fmt, ...) {
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(err->message, sizeof err->message, fmt, ap);
        va_end(ap);
    }
    return status;
}

#endif
