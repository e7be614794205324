/* PNG by libpng's row interface (never its simplified one). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime/image/png_writer.h"
#include "runtime/cli/output.h"
#include "runtime/image/png_fault.h"
#include "runtime/text/unicode.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- text chunks ---- */

static bool keyword_allowed(const char *k) {
    size_t n = strlen(k);
    if (n < 1 || n > 79 || k[0] == ' ' || k[n - 1] == ' ' || strstr(k, "  ")) return false;
    for (size_t i = 0; i < n; i++)
        if (k[i] < 0x20 || k[i] > 0x7e) return false;
    return true;
}

/* Text as Latin-1 if that can hold it and there are no control characters, which tEXt has no room
 * for but line ends (*latin1), else as UTF-8; malloc'ed. */
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
                return rt_fail(err, RT_ERR_INPUT, "PNG text '%s' is not UTF-8 at byte %zu",
                               text->keyword, at);
            }
            bool control = (code < 0x20 && code != '\n') || (code >= 0x7f && code < 0xa0);
            if (pass == 0) {
                *latin1 = *latin1 && code <= 0xff && !control;
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
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &e->fault, png_fault_error,
                                              png_fault_warning);
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
    static const int types[] = {0, PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA,
                                PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA};
    png_set_IHDR(png, info, p->width, p->height, 8, types[p->channels], PNG_INTERLACE_NONE,
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

rt_status rt_png_available(rt_error *err) {
    (void)err;
    return RT_OK;
}

rt_status rt_png_check(uint32_t width, uint32_t height, int channels, rt_error *err) {
    if (width == 0 || height == 0 || width > 1000000 || height > 1000000)
        return rt_fail(err, RT_ERR_INPUT,
                       "a PNG of %ux%u pixels is not possible (1 to 1000000 a side)",
                       (unsigned)width, (unsigned)height);
    if (channels < 1 || channels > 4)
        return rt_fail(err, RT_ERR_INPUT, "a PNG of %d channels is not possible (1 to 4)",
                       channels);
    return RT_OK;
}

/* With texts[] converted, and everything checked. */
static rt_status encode_to(rt_output *to, const struct picture *p, rt_error *err) {
    struct encoder e = {.file = to->file};
    if (encode(&e, p)) return RT_OK;
    return rt_output_abandon(to, e.saved_errno, e.fault.message, err);
}

/* p->texts is to be freed. */
static rt_status prepare(struct picture *p, const rt_png_text *texts, png_text **converted,
                         rt_error *err) {
    rt_status status = rt_png_check(p->width, p->height, p->channels, err);
    if (status) return status;
    if (p->text_count > 1000)
        return rt_fail(err, RT_ERR_INPUT, "%zu PNG texts are too many", p->text_count);
    status = make_texts(texts, p->text_count, converted, err);
    p->texts = *converted;
    return status;
}

rt_status rt_png_encode(rt_output *to, const uint8_t *pixels, uint32_t width, uint32_t height,
                        int channels, const rt_png_text *texts, size_t text_count, rt_error *err) {
    struct picture p = {pixels, width, height, channels, NULL, text_count};
    png_text *converted = NULL;
    rt_status status = prepare(&p, texts, &converted, err);
    if (status)
        rt_output_abandon(to, 0, "", NULL);
    else
        status = encode_to(to, &p, err);
    free_texts(converted, text_count);
    return status;
}

rt_status rt_png_write(const char *path, const uint8_t *pixels, uint32_t width, uint32_t height,
                       int channels, const rt_png_text *texts, size_t text_count, rt_error *err) {
    struct picture p = {pixels, width, height, channels, NULL, text_count};
    png_text *converted = NULL;
    rt_output to;
    rt_status status = prepare(&p, texts, &converted, err);
    if (!status) status = rt_output_begin(&to, path, err);
    if (!status && !(status = encode_to(&to, &p, err))) status = rt_output_commit(&to, err);
    free_texts(converted, text_count);
    return status;
}
