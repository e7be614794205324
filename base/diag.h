/* Diagnostics: what is wrong with the user's input, where, and what was probably meant.
 *
 * Problems are collected, not thrown: a loader reports everything it finds and the caller asks
 * base_diag_errors() afterwards. Text form is clang's: `path:line:col: error: message`, the source
 * line, a caret, notes below. Strings that come from files are escaped (control characters, ESC,
 * bidi overrides, invalid UTF-8 as \xNN), so a hostile name cannot drive the terminal. */
#ifndef EBRU_BASE_DIAG_H
#define EBRU_BASE_DIAG_H

#include "base/arena.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* One text file that diagnostics can quote. Owned by the base_diag it was registered with. */
typedef struct base_source {
    char *path;
    char *text; /* may be NULL: then no line is quoted */
    size_t length;
} base_source;

/* A place: file, 1-based line and column (0 = whole file), length of the marked range in bytes, and
 * the JSON path of the value ("$.down_block_types[1]") or another logical place; any part may be
 * absent. */
typedef struct base_loc {
    const base_source *source;
    uint32_t line, col, length;
    const char *path;
} base_loc;

typedef enum base_severity { BASE_ERROR, BASE_WARNING, BASE_NOTE } base_severity;

typedef struct base_diag base_diag;

typedef struct base_diag_options {
    FILE *out; /* default stderr */
    /* one JSON object a line: {severity, message, file, line, col, length, path, notes} */
    bool json;
    bool color;     /* ANSI colours in the text form */
    unsigned limit; /* errors printed before "too many errors" (they are still counted); 0 = 20 */
} base_diag_options;

base_diag *base_diag_new(const base_diag_options *options); /* NULL: defaults */
void base_diag_free(base_diag *d);

/* Registers a file's text (copied) so that its lines can be quoted; `text` may be NULL. */
const base_source *base_diag_source(base_diag *d, const char *path, const char *text,
                                    size_t length);

/* Reports. `loc` may be NULL. A note attaches to the last error or warning. Errors of one frame are
 * printed at once. */
void base_error(base_diag *d, const base_loc *loc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void base_warning(base_diag *d, const base_loc *loc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void base_note(base_diag *d, const base_loc *loc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void base_vreport(base_diag *d, base_severity severity, const base_loc *loc, const char *fmt,
                  va_list ap);
/* "PATH: error: cannot ACTION: reason of the errno `code`"; also base_system_refused(). */
void base_error_file(base_diag *d, const char *path, const char *action, int code);
/* An error that is the absence of a file, in other words; also base_system_refused(). */
void base_error_missing(base_diag *d, const base_loc *loc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Remembers that something could not be had from the system: a file that is not there, a limit,
 * memory, a disk that fails. */
void base_system_refused(void);
/* Was there such a thing? Then what could not be read is not called unusable. */
bool base_diag_system_failed(void);
/* Prints what is pending (the last frame waits for its notes) and a summary line when errors were
 * suppressed. */
void base_diag_flush(base_diag *d);
unsigned base_diag_errors(const base_diag *d);
unsigned base_diag_warnings(const base_diag *d);

/* Printable form of untrusted bytes, in a ring of static buffers (valid until eight more calls). At
 * most 200 bytes, then "...". */
const char *base_escape(const char *bytes, size_t length);
static inline const char *base_shown(const char *text) {
    return base_escape(text, strlen(text));
}
/* Appends all of a text in that form, however long it is. */
void base_str_add_shown(base_str *out, const char *text);

/* Our own bug: prints "internal error" with place and message, asks for a report, exits with 70. */
_Noreturn void base_ice(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define ICE(...) base_ice(__FILE__, __LINE__, __VA_ARGS__)

#endif
