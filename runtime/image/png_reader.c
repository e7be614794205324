/* PNG by libpng's row interface. The file may be anything: its type and its size are looked at
 * before libpng sees a byte, chunks that are not needed are skipped unread. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime/image/png_reader.h"
#include "runtime/image/png_fault.h"
#include "runtime/text/unicode.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEADER_BYTES =
        26, /* signature, length and name of the first chunk, its width, height, depth and type */
    MAX_CHUNKS = 64,
    MAX_CHUNK_BYTES = 16 << 20, /* bounds what is skipped, too */
    MAX_DEFLATE_RATIO = 1032    /* the most that a byte of deflate can stand for */
};

/* ---- what the file is ---- */

/* The name of a format that is not PNG, NULL if unknown. */
static const char *other_format(const uint8_t *head, size_t n) {
    static const struct {
        uint32_t at, length;
        const char *magic, *what;
    } formats[] = {
        {0, 3, "\xff\xd8\xff", "a JPEG picture"},
        {8, 4, "WEBP", "a WebP picture"},
        {0, 4, "GIF8", "a GIF picture"},
        {0, 4, "II*\0", "a TIFF picture"},
        {0, 4, "MM\0*", "a TIFF picture"},
        {4, 7, "ftypavi", "an AVIF picture"},
        {4, 7, "ftyphei", "a HEIF picture"},
        {4, 8, "ftypmif1", "a HEIF picture"},
        {0, 2, "\xff\x0a", "a JPEG XL picture"},
        {4, 4, "JXL ", "a JPEG XL picture"},
        {4, 4, "jP  ", "a JPEG 2000 picture"},
        {0, 4, "qoif", "a QOI picture"},
        {0, 4, "\x76\x2f\x31\x01", "an OpenEXR picture"},
        {0, 4, "8BPS", "a Photoshop picture"},
        {0, 4, "\0\0\1\0", "a Windows icon"},
        {0, 23, "version https://git-lfs", "a git-lfs pointer (run `git lfs pull`)"},
        {0, 9, "<!DOCTYPE", "a web page"},
        {0, 9, "<!doctype", "a web page"},
        {0, 5, "<html", "a web page"},
        {0, 4, "%PDF", "a PDF document"},
        {0, 4, "<svg", "an SVG picture"},
        {0, 5, "<?xml", "an XML (perhaps SVG) file"},
        {0, 2, "\x1f\x8b", "a file packed by gzip"},
        {0, 4, "PK\3\4", "a zip archive"},
        {0, 4, "\x8aMNG", "an MNG animation"},
        {0, 4, "\x8bJNG", "a JNG picture"},
        {0, 4, "\x89PNG", "a PNG picture damaged by a transfer in text mode"},
        {0, 4,
         "\x7f"
         "ELF",
         "a program"},
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (n >= formats[i].at + formats[i].length &&
            memcmp(head + formats[i].at, formats[i].magic, formats[i].length) == 0)
            return formats[i].what;
    if (n >= 6 && memcmp(head, "BM", 2) == 0) return "a BMP picture";
    if (n >= 3 && head[0] == 'P' && head[1] >= '1' && head[1] <= '7' && strchr(" \n\r\t#", head[2]))
        return "a PNM picture";
    return NULL;
}

static uint32_t big_endian(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static rt_status too_short(const char *name, rt_error *err) {
    return rt_fail(err, RT_ERR_INPUT, "the PNG file '%s' is truncated", name);
}

/* Looks at the first bytes: a PNG whose size can be accepted and can be in a file of `size` bytes.
 */
static rt_status check_header(const uint8_t *head, size_t n, size_t size, const char *name,
                              rt_error *err) {
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    if (n == 0) return rt_fail(err, RT_ERR_INPUT, "'%s' is empty", name);
    if (n < 8 && memcmp(head, signature, n) == 0) return too_short(name, err);
    if (n < 8 || memcmp(head, signature, 8) != 0) {
        const char *what = other_format(head, n);
        return what ? rt_fail(err, RT_ERR_INPUT, "'%s' is %s; only PNG is read", name, what)
                    : rt_fail(err, RT_ERR_INPUT, "'%s' is not a PNG picture", name);
    }
    if (n < HEADER_BYTES) return too_short(name, err);
    if (memcmp(head + 12, "IHDR", 4) != 0)
        return rt_fail(err, RT_ERR_INPUT,
                       "the PNG file '%s' is damaged: it does not begin with IHDR", name);
    uint32_t width = big_endian(head + 16), height = big_endian(head + 20);
    if (width == 0 || height == 0 || width > INT32_MAX || height > INT32_MAX)
        return rt_fail(err, RT_ERR_INPUT, "the PNG file '%s' is damaged: it has %ux%u pixels", name,
                       (unsigned)width, (unsigned)height);
    if (width > RT_PNG_MAX_SIDE || height > RT_PNG_MAX_SIDE ||
        (uint64_t)width * height > RT_PNG_MAX_PIXELS)
        return rt_fail(err, RT_ERR_INPUT,
                       "'%s' has %ux%u pixels; at most %d a side and %d in all are read", name,
                       (unsigned)width, (unsigned)height, RT_PNG_MAX_SIDE, RT_PNG_MAX_PIXELS);
    uint64_t channels = head[25] == 2 ? 3 : head[25] == 6 ? 4 : head[25] == 4 ? 2 : 1;
    uint64_t bits = head[24] <= 16 ? head[24] : 0; /* libpng refuses what is not allowed */
    uint64_t bytes = (uint64_t)width * height * channels * bits / 8;
    return bytes / MAX_DEFLATE_RATIO > size ? too_short(name, err) : RT_OK;
}

/* ---- decoding ---- */

/* libpng reports errors by longjmp; everything it may touch lives here. */
struct decoder {
    struct png_fault fault;
    FILE *file;
    int channels, bits; /* wanted */
    uint8_t *pixels;
    uint32_t width, height;
    int saved_errno; /* of a failed read, 0 if libpng itself complained */
    bool truncated, no_memory;
};

static void on_read(png_structp png, png_bytep data, png_size_t length) {
    struct decoder *d = png_get_io_ptr(png);
    errno = 0;
    if (fread(data, 1, length, d->file) == length) return;
    if (ferror(d->file))
        d->saved_errno = errno ? errno : EIO;
    else
        d->truncated = true;
    png_error(png, "read failed");
}

static bool wants_alpha(const struct decoder *d) {
    return d->channels % 2 == 0;
}

static bool wants_gray(const struct decoder *d) {
    return d->channels < 3;
}

/* Asks libpng for gray or RGB of the wanted depth, with alpha (opaque where the file has none) or
 * without; gray only stays gray where that is wanted. Returns the number of interlace passes. */
static int set_transforms(struct decoder *d, png_structp png, png_infop info) {
    int type = png_get_color_type(png, info);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    else if (type == PNG_COLOR_TYPE_GRAY)
        png_set_expand_gray_1_2_4_to_8(png);
    if (d->bits == 16) {
        png_set_expand_16(png);
        png_set_swap(png); /* files are big-endian */
    } else {
        png_set_strip_16(png);
    }
    if (!wants_alpha(d))
        png_set_strip_alpha(png);
    else if (png_get_valid(png, info, PNG_INFO_tRNS))
        png_set_tRNS_to_alpha(png);
    else if (!(type & PNG_COLOR_MASK_ALPHA))
        png_set_add_alpha(png, d->bits == 16 ? 65535 : 255, PNG_FILLER_AFTER);
    if (!wants_gray(d)) png_set_gray_to_rgb(png);
    return png_set_interlace_handling(png);
}

static void read_rows(struct decoder *d, png_structp png, png_infop info, int passes) {
    size_t row = png_get_rowbytes(png, info), depth = png_get_channels(png, info);
    size_t wanted = (size_t)d->channels; /* gray may come as colours: make_gray */
    if (png_get_bit_depth(png, info) != d->bits ||
        (depth != wanted && (!wants_gray(d) || depth != wanted + 2)) ||
        row != d->width * depth * (size_t)d->bits / 8)
        png_error(png, "unknown layout of its pixels");
    d->pixels = calloc(d->height, row);
    if (!d->pixels) {
        d->no_memory = true;
        png_error(png, "out of memory");
    }
    for (int pass = 0; pass < passes; pass++)
        for (uint32_t y = 0; y < d->height; y++) png_read_row(png, d->pixels + y * row, NULL);
}

/* ITU-R BT.601, as Pillow rounds it; of 8 or 16 bits. */
static uint32_t gray_of(uint32_t red, uint32_t green, uint32_t blue) {
    return (19595u * red + 38470u * green + 7471u * blue + 32768u) >> 16;
}

/* RGB or RGBA to gray or gray and alpha in place: the results are behind what is still to be read.
 */
static void make_gray(struct decoder *d) {
    size_t count = (size_t)d->width * d->height, to = (size_t)d->channels, from = to + 2;
    uint16_t *wide = (uint16_t *)(void *)d->pixels;
    uint8_t *p = d->pixels;
    for (size_t i = 0; i < count && d->bits == 8; i++) {
        const uint8_t *s = p + from * i;
        uint8_t alpha = from == 4 ? s[3] : 0;
        p[to * i] = (uint8_t)gray_of(s[0], s[1], s[2]);
        if (to == 2) p[to * i + 1] = alpha;
    }
    for (size_t i = 0; i < count && d->bits == 16; i++) {
        const uint16_t *s = wide + from * i;
        uint16_t alpha = from == 4 ? s[3] : 0;
        wide[to * i] = (uint16_t)gray_of(s[0], s[1], s[2]);
        if (to == 2) wide[to * i + 1] = alpha;
    }
    uint8_t *smaller = realloc(d->pixels, count * to * (size_t)d->bits / 8);
    if (smaller) d->pixels = smaller;
}

/* ---- orientation ---- */

static uint32_t exif_number(const uint8_t *p, size_t bytes, bool big) {
    uint32_t v = 0;
    for (size_t i = 0; i < bytes; i++) v |= (uint32_t)p[i] << 8 * (big ? bytes - 1 - i : i);
    return v;
}

/* Tag 0x112 of the first directory of Exif data, which may be anything: 1 to 8; 1, as it is, where
 * there is none. */
static int exif_orientation(const uint8_t *exif, size_t size) {
    enum { ENTRY = 12, TAG = 0x112, SHORT = 3 };
    if (size < 8 || (memcmp(exif, "II*\0", 4) != 0 && memcmp(exif, "MM\0*", 4) != 0)) return 1;
    bool big = exif[0] == 'M';
    uint64_t at = exif_number(exif + 4, 4, big);
    if (at + 2 > size) return 1;
    uint32_t count = exif_number(exif + at, 2, big);
    at += 2;
    for (uint32_t i = 0; i < count && at + ENTRY <= size; i++, at += ENTRY) {
        const uint8_t *e = exif + at;
        if (exif_number(e, 2, big) != TAG || exif_number(e + 2, 2, big) != SHORT) continue;
        uint32_t value = exif_number(e + 8, 2, big);
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

static int orientation_of(png_structp png, png_infop info) {
    png_uint_32 size = 0;
    png_bytep exif = NULL;
    return png_get_eXIf_1(png, info, &size, &exif) && exif ? exif_orientation(exif, size) : 1;
}

/* Turns and mirrors the picture as Pillow's ImageOps.exif_transpose does. False without memory. */
static bool orient(struct decoder *d, int orientation) {
    bool swaps = orientation >= 5;
    bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    size_t pixel = (size_t)d->channels * (size_t)d->bits / 8, w = d->width, h = d->height;
    size_t out_w = swaps ? h : w, out_h = swaps ? w : h;
    if (orientation == 1) return true;
    uint8_t *out = malloc(w * h * pixel);
    if (!out) return false;
    for (size_t y = 0; y < out_h; y++)
        for (size_t x = 0; x < out_w; x++) {
            size_t sx = swaps ? y : x, sy = swaps ? x : y;
            if (from_right) sx = w - 1 - sx;
            if (from_below) sy = h - 1 - sy;
            memcpy(out + (y * out_w + x) * pixel, d->pixels + (sy * w + sx) * pixel, pixel);
        }
    free(d->pixels);
    d->pixels = out;
    d->width = (uint32_t)out_w;
    d->height = (uint32_t)out_h;
    return true;
}

/* False with why in d. */
static bool decode(struct decoder *d) {
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &d->fault, png_fault_error,
                                             png_fault_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        png_destroy_read_struct(&png, NULL, NULL);
        d->no_memory = true;
        return false;
    }
    if (setjmp(d->fault.jump)) {
        png_destroy_read_struct(&png, &info, NULL);
        return false;
    }
    png_set_read_fn(png, d, on_read);
    png_set_user_limits(png, RT_PNG_MAX_SIDE, RT_PNG_MAX_SIDE);
    png_set_chunk_cache_max(png, MAX_CHUNKS);
    png_set_chunk_malloc_max(png, MAX_CHUNK_BYTES);
    /* -1: all that are unknown and all known ones that do not change the pixels (text, profiles, times)
     */
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_AS_DEFAULT, (png_const_bytep) "eXIf", 1);
    png_read_info(png, info);
    d->width = png_get_image_width(png, info);
    d->height = png_get_image_height(png, info);
    int passes = set_transforms(d, png, info);
    png_read_update_info(png, info);
    read_rows(d, png, info, passes);
    if (png_get_channels(png, info) > d->channels) make_gray(d);
    png_read_end(png, info); /* the rest must be whole, too, and may hold the orientation */
    d->no_memory = !orient(d, orientation_of(png, info));
    png_destroy_read_struct(&png, &info, NULL);
    return !d->no_memory;
}

rt_status rt_png_decode(FILE *file, size_t size, const char *name, int channels, int bits,
                        void **pixels, uint32_t *width, uint32_t *height, rt_error *err) {
    char shown[RT_PRINTABLE_MAX];
    uint8_t head[HEADER_BYTES] = {0};
    struct decoder d = {.file = file, .channels = channels, .bits = bits};
    *pixels = NULL;
    *width = *height = 0;
    rt_printable(name, shown);
    errno = 0;
    size_t n = fread(head, 1, sizeof head, file);
    if (ferror(file) || fseek(file, 0, SEEK_SET) != 0)
        return rt_fail(err, RT_ERR_SYSTEM, "cannot read '%s': %s", shown,
                       strerror(errno ? errno : EIO));
    rt_status status = check_header(head, n, size, shown, err);
    if (status != RT_OK) return status;
    if (decode(&d)) {
        *pixels = d.pixels;
        *width = d.width;
        *height = d.height;
        return RT_OK;
    }
    free(d.pixels);
    if (d.saved_errno)
        return rt_fail(err, RT_ERR_SYSTEM, "cannot read '%s': %s", shown, strerror(d.saved_errno));
    if (d.no_memory)
        return rt_fail(err, RT_ERR_SYSTEM, "out of memory for the picture '%s'", shown);
    if (d.truncated) return too_short(shown, err);
    return rt_fail(err, RT_ERR_INPUT, "the PNG file '%s' is damaged: %s", shown, d.fault.message);
}

/* ---- files ---- */

/* Without waiting for the other end of a pipe, and without a device becoming the terminal. */
static FILE *open_regular(const char *path, size_t *size, rt_status *status, rt_error *err) {
    char shown[RT_PRINTABLE_MAX];
    struct stat st;
    rt_printable(path, shown);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    FILE *file = NULL;
    if (fd < 0 || fstat(fd, &st) != 0) {
        *status = rt_fail(err, RT_ERR_SYSTEM, "cannot read '%s': %s", shown, strerror(errno));
    } else if (S_ISDIR(st.st_mode)) {
        *status = rt_fail(err, RT_ERR_SYSTEM, "cannot read '%s': %s", shown, strerror(EISDIR));
    } else if (!S_ISREG(st.st_mode)) {
        *status = rt_fail(err, RT_ERR_SYSTEM, "cannot read '%s': not a regular file", shown);
    } else if (st.st_size > RT_PNG_MAX_FILE) {
        *status =
            rt_fail(err, RT_ERR_INPUT, "'%s' has %lld bytes; pictures of at most %d MiB are read",
                    shown, (long long)st.st_size, RT_PNG_MAX_FILE >> 20);
    } else if (!(file = fdopen(fd, "rb"))) {
        *status = rt_fail(err, RT_ERR_SYSTEM, "cannot read '%s': %s", shown, strerror(errno));
    } else {
        *size = (size_t)st.st_size;
        return file;
    }
    if (fd >= 0) close(fd);
    return NULL;
}

static rt_status read_file(const char *path, int channels, int bits, void **pixels, uint32_t *width,
                           uint32_t *height, rt_error *err) {
    size_t size = 0;
    rt_status status = RT_OK;
    *pixels = NULL;
    *width = *height = 0;
    if (strcmp(path, "-") == 0)
        return rt_fail(err, RT_ERR_USAGE,
                       "pictures are not read from standard input; name a PNG file");
    FILE *file = open_regular(path, &size, &status, err);
    if (!file) return status;
    status = rt_png_decode(file, size, path, channels, bits, pixels, width, height, err);
    fclose(file);
    return status;
}

/* Chunk acTL, in front of the pixels, begins with the number of frames. */
uint32_t rt_png_frames(const char *path) {
    enum { SIGNATURE = 8, CHUNK = 8, CHECKSUM = 4 };
    size_t size = 0;
    rt_status status;
    rt_error err;
    uint8_t head[CHUNK + 4];
    uint32_t frames = 1;
    FILE *file = open_regular(path, &size, &status, &err);
    if (!file) return 1;
    uint64_t at = SIGNATURE;
    for (int i = 0; i < MAX_CHUNKS && at < size; i++) {
        if (fseek(file, (long)at, SEEK_SET) != 0 || fread(head, 1, sizeof head, file) < sizeof head)
            break;
        if (memcmp(head + 4, "acTL", 4) == 0) frames = big_endian(head + CHUNK);
        if (memcmp(head + 4, "acTL", 4) == 0 || memcmp(head + 4, "IDAT", 4) == 0) break;
        at += (uint64_t)big_endian(head) + CHUNK + CHECKSUM;
    }
    fclose(file);
    return frames ? frames : 1;
}

rt_status rt_png_read(const char *path, int channels, uint8_t **pixels, uint32_t *width,
                      uint32_t *height, rt_error *err) {
    void *p;
    rt_status status = read_file(path, channels, 8, &p, width, height, err);
    *pixels = p;
    return status;
}

rt_status rt_png_read_gray16(const char *path, uint16_t **samples, uint32_t *width,
                             uint32_t *height, rt_error *err) {
    void *p;
    rt_status status = read_file(path, 1, 16, &p, width, height, err);
    *samples = p;
    return status;
}
