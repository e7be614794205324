#include "driver/cli/write_text.h"
#include "base/io.h"
#include "base/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool drv_write_text(base_diag *d, const char *path, const char *text, size_t length) {
    if (!strcmp(path, "-")) {
        fwrite(text, 1, length, stdout);
        if (!fflush(stdout) && !ferror(stdout)) return true;
        /* who stops reading (head, a pager) has seen what was wanted */
        if (!base_is_broken_pipe(STDOUT_FILENO))
            base_error(d, NULL, "cannot write to standard output");
        return false;
    }
    base_output *out = base_output_begin(path, 0666);
    int error = errno;
    if (out) {
        base_output_write(out, text, length);
        error = base_output_commit(out);
    }
    if (!out || error) base_error_file(d, path, out ? "write" : "create", error);
    return out && !error;
}
