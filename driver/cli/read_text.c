#include "driver/cli/read_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool is_stream(const char *path) {
    struct stat s;
    return !stat(path, &s) && (S_ISFIFO(s.st_mode) || S_ISCHR(s.st_mode));
}

bool drv_read_text(base_diag *d, const char *path, size_t limit, fe_bytes *out) {
    bool standard = !strcmp(path, "-");
    if (!standard && !is_stream(path)) return fe_file_read(d, path, limit, out);
    const char *shown = standard ? "standard input" : path;
    FILE *f = standard ? stdin : fopen(path, "r");
    if (!f) {
        base_error_file(d, path, "open", errno);
        return false;
    }
    base_str text = {0};
    char buffer[65536];
    size_t n;
    base_str_add(&text, "");
    while (text.len <= limit && (n = fread(buffer, 1, sizeof buffer, f)) > 0)
        base_str_addn(&text, buffer, n);
    int why = ferror(f) ? errno : 0;
    if (!standard) fclose(f);
    if (!why && text.len <= limit) {
        *out = (fe_bytes){text.data, text.len};
        return true;
    }
    if (why)
        base_error(d, NULL, "cannot read %s: %s", base_escape(shown, strlen(shown)), strerror(why));
    else
        base_error(d, NULL, "%s has more than %zu bytes", base_escape(shown, strlen(shown)), limit);
    base_str_free(&text);
    return false;
}
