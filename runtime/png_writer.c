/* PNG by libpng's row interface (never its simplified one), into a temporary file that is renamed when
 * complete. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime/png_writer.h"
#include "runtime/png_fault.h"
#include "runtime/unicode.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the temporary file, also for signal handlers ---- */

static char temp_path[PATH_MAX];
static volatile sig_atomic_t temp_active;

void rt_png_remove_temp(void) {
    if (temp_active) unlink(temp_path);
}

const char *rt_png_temp_path(void) {
    return temp_active ? temp_path : NULL;
}

/* ---- text chunks ---- */

static bool keyword_allowed(const char *k) {
    size_t n = strlen(k);
    if (n < 1 || n > 79 || k[0] == ' ' || k[n - 1] == ' ' || strstr(k, "  ")) return false;
    for (size_t i = 0; i < n; i++)
        if (k[i] < 0x20 || k[i] > 0x7e) return false;
    return true;
}

/* Text without control characters, as Latin-1 if that can hold it (*latin1), else as UTF-8; malloc'ed. */
static rt_status convert_text(const rt_png_text *text, char **out, bool *latin1, rt_error *err) {
    size_t length = strlen(text->text), n = 0;
    char *buffer = malloc(length + 4);
    if (!buffer) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    *latin1 = true;
    for (int pass = 0; pass < 2; pass++) { /* the first only looks */
        for (size_t at = 0; at < length;) {
            uint32_t code;
            if (!rt_utf8_next(text->text, length, &at, &code)) {
                free(buffer);
                return rt_fail(err, RT_ERR_INPUT, "PNG text '%s' is not UTF-8 at byte %zu", text->keyword,
                               at);
            }
            if ((code < 0x20 && code != '\n') || (code >= 0x7f && code < 0xa0)) continue;
            if (pass == 0) {
                *latin1 = *latin1 && code <= 0xff;
            } else if (*latin1) {
                buffer[n++] = (char)code;
            } else {
                n += rt_utf8_put(code, buffer + n);
            }
        }
    }
    buffer[n] = 0;
    *out = buffer;
    return RT_OK;
}

static void free_texts(png_text *t, size_t count) {
    for (size_t i = 0; t && i < count; i++) free(t[i].text);
    free(t);
}

static rt_status make_texts(const rt_png_text *texts, size_t count, png_text **out, rt_error *err) {
    static char none[] = "";
    png_text *t = calloc(count + 1, sizeof *t);
    if (!t) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        bool latin1 = true;
        rt_status status =
            keyword_allowed(texts[i].keyword)
                ? convert_text(&texts[i], &t[i].text, &latin1, err)
                : rt_fail(err, RT_ERR_INPUT, "'%.79s' cannot be a PNG keyword", texts[i].keyword);
        if (status != RT_OK) {
            free_texts(t, count);
            return status;
        }
        t[i].key = (char *)(uintptr_t)texts[i].keyword; /* libpng copies it */
        t[i].compression = latin1 ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
        t[i].lang = t[i].lang_key = none;
    }
    *out = t;
    return RT_OK;
}

/* ---- encoding ---- */

/* libpng reports errors by longjmp; everything it may touch lives here. */
struct encoder {
    struct png_fault fault;
    FILE *file;
    int saved_errno; /* of a failed write, 0 if libpng itself complained */
};

static void on_write(png_structp png, png_bytep data, png_size_t length) {
    struct encoder *e = png_get_io_ptr(png);
    errno = 0;
    if (fwrite(data, 1, length, e->file) == length) return;
    e->saved_errno = errno ? errno : EIO;
    png_error(png, "write failed");
}

static void on_flush(png_structp png) {
    (void)png;
}

struct picture {
    const uint8_t *pixels;
    uint32_t width, height;
    int channels;
    const png_text *texts;
    size_t text_count;
};

/* False with e->fault.message or e->saved_errno set. */
static bool encode(struct encoder *e, const struct picture *p) {
    png_structp png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, &e->fault, png_fault_error, png_fault_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        png_destroy_write_struct(&png, NULL);
        snprintf(e->fault.message, sizeof e->fault.message, "out of memory");
        return false;
    }
    if (setjmp(e->fault.jump)) {
        png_destroy_write_struct(&png, &info);
        return false;
    }
    png_set_write_fn(png, e, on_write, on_flush);
    png_set_IHDR(png, info, p->width, p->height, 8,
                 p->channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_sRGB(png, info, PNG_sRGB_INTENT_PERCEPTUAL);
    if (p->text_count) png_set_text(png, info, p->texts, (int)p->text_count);
    png_write_info(png, info);
    for (uint32_t y = 0; y < p->height; y++)
        png_write_row(png, p->pixels + (size_t)y * p->width * (size_t)p->channels);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return true;
}

/* Encodes into the open file and closes it; the message names `path`. */
static rt_status write_and_close(FILE *file, const struct picture *p, const char *path, rt_error *err) {
    struct encoder e = {.file = file};
    bool good = encode(&e, p);
    errno = 0;
    if (fclose(file) != 0 && good) {
        good = false;
        e.saved_errno = errno ? errno : EIO;
    }
    if (good) return RT_OK;
    return rt_fail(err, RT_ERR_SYSTEM, "cannot write %s: %s", path,
                   e.saved_errno ? strerror(e.saved_errno) : e.fault.message);
}

/* ---- where to ---- */

static rt_status cannot(const char *what, const char *path, rt_error *err) {
    return rt_fail(err, RT_ERR_SYSTEM, "cannot %s %s: %s", what, path, strerror(errno));
}

static rt_status write_stdout(const struct picture *p, rt_error *err) {
    if (isatty(STDOUT_FILENO))
        return rt_fail(err, RT_ERR_USAGE,
                       "standard output is a terminal; redirect it or name a file with -o");
    fflush(stdout);
    int fd = dup(STDOUT_FILENO);
    FILE *file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (!file) {
        rt_status status = cannot("write", "standard output", err);
        if (fd >= 0) close(fd);
        return status;
    }
    return write_and_close(file, p, "standard output", err);
}

/* Devices and pipes are written to; renaming over them would replace them. */
static rt_status write_special(const char *path, const struct picture *p, rt_error *err) {
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    FILE *file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (!file) {
        rt_status status = cannot("write", path, err);
        if (fd >= 0) close(fd);
        return status;
    }
    return write_and_close(file, p, path, err);
}

/* Creates ".NAME.ebru-tmp.PID-N" beside `path`; -1 with errno set. O_CREAT applies the umask, as for any new
 * file. */
static int create_temp(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    int folder = slash ? (int)(slash - path) + 1 : 0;
    for (unsigned attempt = 0; attempt < 1000; attempt++) {
        if (snprintf(temp_path, sizeof temp_path, "%.*s.%.200s.ebru-tmp.%ld-%u", folder, path, name,
                     (long)getpid(), attempt) >= (int)sizeof temp_path) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int fd = open(temp_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

static rt_status write_file(const char *path, const struct picture *p, rt_error *err) {
    sigset_t stop, old; /* between creating the file and knowing its name no handler may run */
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGHUP);
    sigprocmask(SIG_BLOCK, &stop, &old);
    int fd = create_temp(path), create_errno = errno;
    temp_active = fd >= 0;
    sigprocmask(SIG_SETMASK, &old, NULL);
    errno = create_errno;
    if (fd < 0) return cannot("write", path, err);

    FILE *file = fdopen(fd, "wb");
    rt_status status;
    if (file) {
        status = write_and_close(file, p, path, err);
    } else {
        status = cannot("write", path, err);
        close(fd);
    }
    if (status == RT_OK && rename(temp_path, path) != 0) status = cannot("write", path, err);
    if (status != RT_OK) unlink(temp_path);
    temp_active = 0;
    return status;
}

rt_status rt_png_available(rt_error *err) {
    (void)err;
    return RT_OK;
}

rt_status rt_png_write(const char *path, const uint8_t *pixels, uint32_t width, uint32_t height, int channels,
                       const rt_png_text *texts, size_t text_count, rt_error *err) {
    if (width == 0 || height == 0 || width > 1000000 || height > 1000000)
        return rt_fail(err, RT_ERR_INPUT, "a PNG of %ux%u pixels is not possible", (unsigned)width,
                       (unsigned)height);
    if (channels != 1 && channels != 3)
        return rt_fail(err, RT_ERR_INPUT, "a PNG of %d channels is not possible (1 or 3)", channels);
    if (text_count > 1000) return rt_fail(err, RT_ERR_INPUT, "%zu PNG texts are too many", text_count);
    struct picture p = {pixels, width, height, channels, NULL, text_count};
    png_text *converted = NULL;
    rt_status status = make_texts(texts, text_count, &converted, err);
    if (status != RT_OK) return status;
    p.texts = converted;

    struct stat st;
    char *target = NULL;
    if (strcmp(path, "-") == 0) {
        status = write_stdout(&p, err);
    } else if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        status = cannot("write", path, err);
    } else if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        status = write_special(path, &p, err);
    } else { /* a link's target is replaced, not the link */
        target = lstat(path, &st) == 0 && S_ISLNK(st.st_mode) ? realpath(path, NULL) : NULL;
        status = write_file(target ? target : path, &p, err);
    }
    free(target);
    free_texts(converted, text_count);
    return status;
}
