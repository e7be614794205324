#include "runtime/cli/paint/picture_names.h"
#include "runtime/text/unicode.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NUMBERS = 100000 }; /* of names without -o */

/* Conversions %d, %4d, %04d in a name: how many, and the last. A "%%" begins none. */
static int conversions(const char *s, const char **found) {
    int count = 0;
    for (const char *p = s; (p = strchr(p, '%')); p++) {
        if (p[1] == '%') {
            p++;
        } else if (p[1 + strspn(p + 1, "0123456789")] == 'd') {
            *found = p;
            count++;
        }
    }
    return count;
}

enum { MOST_DIGITS = 2 }; /* of a conversion's width */

static bool too_wide(const char *conversion) {
    return strspn(conversion + 1, "0123456789") > MOST_DIGITS;
}

/* A device, which has no folder of its own for more names. */
static bool is_device(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static void numbered(const rt_names *n, int number, char out[RT_NAME_MAX]) {
    if (number == 1 && n->count == 1)
        snprintf(out, RT_NAME_MAX, "output.png");
    else
        snprintf(out, RT_NAME_MAX, "output-%04d.png", number);
}

/* The next free name from `number` on; its number, or NUMBERS. */
static int next_free(const rt_names *n, int number, char out[RT_NAME_MAX]) {
    struct stat st;
    for (; number < NUMBERS; number++) {
        numbered(n, number, out);
        if (lstat(out, &st) != 0 && errno == ENOENT) break;
    }
    return number;
}

void rt_names_get(const rt_names *n, int i, char out[RT_NAME_MAX]) {
    const char *o = n->output, *p;
    if (!o) {
        next_free(n, 1, out);
    } else if (conversions(o, &p) == 1 && !too_wide(p)) {
        size_t digits = strspn(p + 1, "0123456789");
        int width = digits ? atoi(p + 1) : 0;
        snprintf(out, RT_NAME_MAX, "%.*s%0*d%s", (int)(p - o), o, width, i + 1, p + 2 + digits);
    } else if (n->count > 1 && strcmp(o, "-") != 0 && !is_device(o)) {
        const char *dot = strrchr(o, '.'), *slash = strrchr(o, '/');
        if (!dot || (slash && dot < slash) || dot == o) dot = o + strlen(o);
        snprintf(out, RT_NAME_MAX, "%.*s-%04d%s", (int)(dot - o), o, i + 1, dot);
    } else {
        snprintf(out, RT_NAME_MAX, "%s", o);
    }
}

const rt_picture_format *rt_names_format(const rt_names *n) {
    return rt_picture_format_of(n->output ? n->output : "output.png");
}

/* ---- before the work ---- */

static rt_status check_stream(const rt_names *n, rt_error *err) {
    if (n->count > 1)
        return rt_fail(err, RT_ERR_USAGE,
                       "standard output takes one picture; give --grid, or a name with -o");
    if (isatty(STDOUT_FILENO))
        return rt_fail(err, RT_ERR_USAGE, "standard output is a terminal; not writing a PNG to it");
    return rt_output_check("-", err);
}

static rt_status check_fifo(const rt_names *n, rt_error *err) {
    struct stat st;
    if (n->count > 1 && stat(n->output, &st) == 0 && S_ISFIFO(st.st_mode))
        return rt_fail(err, RT_ERR_USAGE,
                       "a FIFO takes one picture; give --grid, or another name with -o");
    return RT_OK;
}

rt_status rt_names_check(const rt_names *n, rt_error *err) {
    char name[RT_NAME_MAX], shown[RT_PRINTABLE_MAX];
    const rt_picture_format *f = rt_names_format(n);
    if (!n->output) {
        if (next_free(n, 1, name) == NUMBERS)
            return rt_fail(err, RT_ERR_SYSTEM, "all names up to %s are taken; give one with -o",
                           name);
        return rt_output_check(name, err);
    }
    if (!*n->output) return rt_fail(err, RT_ERR_USAGE, "the name of the output is empty");
    if (!strcmp(n->output, "-")) return check_stream(n, err);
    const char *conversion;
    const int numbers = conversions(n->output, &conversion);
    if (numbers > 1)
        return rt_fail(err, RT_ERR_USAGE, "-o '%s' has %d numbers; a picture has one",
                       rt_printable(n->output, shown), numbers);
    if (numbers == 1 && too_wide(conversion))
        return rt_fail(err, RT_ERR_USAGE, "-o '%s': a number has at most %d digits of width",
                       rt_printable(n->output, shown), MOST_DIGITS);
    if (!f->encode)
        return rt_fail(err, RT_ERR_USAGE,
                       "'%s' is the name of a %s picture, and only PNG is written; end the name "
                       "with .png",
                       rt_printable(n->output, shown), f->name);
    rt_status s = check_fifo(n, err);
    if (!s && strlen(n->output) >= PATH_MAX) s = rt_output_check(n->output, err);
    for (int i = 0; i < n->count && !s; i++) {
        rt_names_get(n, i, name);
        s = rt_output_check(name, err);
    }
    return s;
}

/* ---- after it ---- */

rt_status rt_names_commit(const rt_names *n, rt_output *to, char name[RT_NAME_MAX], rt_error *err) {
    if (n->output) return rt_output_commit(to, err);
    for (int number = next_free(n, 1, name); number < NUMBERS;
         number = next_free(n, number + 1, name)) {
        bool taken;
        rt_status s = rt_output_commit_new(to, name, &taken, err);
        if (!taken) return s;
    }
    return rt_output_abandon(to, EEXIST, NULL, err);
}
