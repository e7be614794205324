#include "driver/cli/write_text.h"
#include "base/system/io.h"
#include "base/system/output.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void cannot(base_diag *d, const char *path, int error) {
    bool standard = strcmp(path, "-") == 0;
    if (standard && error == EPIPE) raise(SIGPIPE); /* ends without a word, as when it is written */
    if (standard)
        base_error(d, NULL, "cannot write to standard output: %s", strerror(error));
    else
        base_error(d, NULL, "cannot write '%s': %s", base_escape(path, strlen(path)),
                   base_output_why(error));
}

bool drv_can_write(base_diag *d, const char *path) {
    int error = path ? base_output_check(path) : 0;
    if (error && (error == EISDIR || error == BASE_OUTPUT_IS_INPUT || strcmp(path, "-") == 0))
        cannot(d, path, error);
    else if (error)
        base_error_file(d, path, "create", error);
    return !error;
}

bool drv_are_apart(base_diag *d, const char *first, const char *a, const char *second,
                   const char *b) {
    if (!a || !b || !base_output_same(a, b)) return true;
    base_error(d, NULL, "%s and %s are written to the same file, '%s'", first, second,
               base_escape(b, strlen(b)));
    return false;
}

bool drv_write_text(base_diag *d, const char *path, const char *text, size_t length) {
    if (!strcmp(path, "-")) {
        fwrite(text, 1, length, stdout);
        if (!fflush(stdout) && !ferror(stdout)) return true;
        cannot(d, path, errno);
        return false;
    }
    base_output *out = base_output_begin(path, 0666);
    int error = errno;
    if (out) {
        base_output_write(out, text, length);
        error = base_output_commit(out);
    }
    if (error == ENXIO || error == BASE_OUTPUT_IS_INPUT)
        cannot(d, path, error);
    else if (!out || error)
        base_error_file(d, path, out ? "write" : "create", error);
    return out && !error;
}
