/* The PNG reader: every kind of PNG against samples that are known, files that are no PNG, are cut,
 * damaged or too large, names that must not reach a terminal as they are. */
#include "runtime/image/png_reader.h"
#include "runtime/text/unicode.h"

#include <fcntl.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/ebru-png-reader-test-XXXXXX";
static char path[256];

static int setup(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/in.png", folder);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder);
}

/* ---- PNG files of every kind ---- */

struct picture {
    int type, depth, channels; /* of the file */
    uint32_t w, h;
    bool interlaced, transparent;
    uint16_t *samples; /* [h][w][channels], palette indices for palettes */
    png_color palette[256];
    int colours;
};

static uint32_t seed;
static uint32_t random_bits(void) {
    return (seed = seed * 1664525u + 1013904223u) >> 8;
}

static struct picture make_picture(int type, int depth, uint32_t w, uint32_t h) {
    struct picture p = {.type = type, .depth = depth, .w = w, .h = h};
    p.channels = type == PNG_COLOR_TYPE_RGB          ? 3
                 : type == PNG_COLOR_TYPE_RGB_ALPHA  ? 4
                 : type == PNG_COLOR_TYPE_GRAY_ALPHA ? 2
                                                     : 1;
    p.colours = type == PNG_COLOR_TYPE_PALETTE ? 1 << depth : 0;
    for (int i = 0; i < p.colours; i++)
        p.palette[i] =
            (png_color){(png_byte)random_bits(), (png_byte)random_bits(), (png_byte)random_bits()};
    size_t n = (size_t)w * h * (size_t)p.channels;
    p.samples = malloc(n * sizeof *p.samples);
    assert_non_null(p.samples);
    for (size_t i = 0; i < n; i++) p.samples[i] = (uint16_t)(random_bits() & ((1u << depth) - 1));
    return p;
}

/* The rubbish in ancillary chunks would be errors or warnings to whoever looks into them. */
static void add_rubbish(png_structp png) {
    png_write_chunk(png, (png_const_bytep) "iCCP", (png_const_bytep) "no\0\0profile", 11);
    png_write_chunk(png, (png_const_bytep) "zTXt", (png_const_bytep) "x\0\0\x78\x9c\xff\xff", 7);
    png_write_chunk(png, (png_const_bytep) "gAMA", (png_const_bytep) "\0\0\0\0", 4);
    png_write_chunk(png, (png_const_bytep) "prVt", (png_const_bytep) "?", 1);
}

static void write_png(const struct picture *p) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, f);
    png_set_IHDR(png, info, p->w, p->h, p->depth, p->type,
                 p->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (p->colours) png_set_PLTE(png, info, p->palette, p->colours);
    png_byte alpha[2] = {7, 200};
    png_color_16 clear = {0, p->samples[0], p->samples[0], p->samples[0], p->samples[0]};
    if (p->transparent) png_set_tRNS(png, info, alpha, p->colours ? 2 : 0, &clear);
    png_write_info_before_PLTE(png, info);
    add_rubbish(png);
    png_write_info(png, info);
    if (p->depth < 8) png_set_packing(png);
    if (p->depth == 16) png_set_swap(png);
    size_t row = p->w * (size_t)p->channels * (p->depth == 16 ? 2 : 1);
    uint8_t *bytes = malloc(row * p->h);
    png_bytep *rows = malloc(p->h * sizeof *rows);
    assert_non_null(bytes);
    assert_non_null(rows);
    for (uint32_t y = 0; y < p->h; y++) {
        rows[y] = bytes + y * row;
        const uint16_t *from = p->samples + (size_t)y * p->w * (size_t)p->channels;
        if (p->depth == 16) memcpy(rows[y], from, row);
        for (size_t i = 0; i < row && p->depth != 16; i++) rows[y][i] = (uint8_t)from[i];
    }
    png_write_image(png, rows);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    free(rows);
    free(bytes);
    fclose(f);
}

/* Red, green and blue of pixel i in 8 or 16 bits. */
static void colour(const struct picture *p, size_t i, int bits, uint32_t rgb[3]) {
    const uint16_t *s = p->samples + i * (size_t)p->channels;
    for (int c = 0; c < 3; c++) {
        uint32_t v = p->channels >= 3 ? s[c] : s[0], max = (1u << p->depth) - 1;
        if (p->colours) {
            const png_color *k = &p->palette[v];
            v = c == 0 ? k->red : c == 1 ? k->green : k->blue;
            max = 255;
        }
        rgb[c] = bits == 16 ? v * (65535 / max) : max == 65535 ? v >> 8 : v * (255 / max);
    }
}

static uint32_t gray_of(const struct picture *p, const uint32_t rgb[3]) {
    bool gray = p->channels < 3 && !p->colours;
    return gray ? rgb[0] : (rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 32768) >> 16;
}

static uint32_t alpha_of(const struct picture *p, size_t i) {
    const uint16_t *s = p->samples + i * (size_t)p->channels;
    if (p->channels % 2 == 0) return p->depth == 16 ? s[p->channels - 1] >> 8 : s[p->channels - 1];
    if (!p->transparent) return 255;
    if (p->colours) return s[0] == 0 ? 7 : s[0] == 1 ? 200 : 255;
    for (int c = 0; c < p->channels; c++)
        if (s[c] != p->samples[0]) return 255;
    return 0;
}

/* The ways with alpha: what those without give, and alpha behind it. */
static void expect_alpha(const struct picture *p, const uint8_t *rgb, const uint8_t *gray) {
    uint8_t *rgba = NULL, *both = NULL;
    uint32_t w, h;
    rt_error err = {"?"};
    if (rt_png_read(path, 4, &rgba, &w, &h, &err) != RT_OK ||
        rt_png_read(path, 2, &both, &w, &h, &err) != RT_OK)
        fail_msg("type %d, %d bits: %s", p->type, p->depth, err.message);
    for (size_t i = 0; i < (size_t)w * h; i++) {
        uint32_t alpha = alpha_of(p, i);
        if (memcmp(rgba + 4 * i, rgb + 3 * i, 3) != 0 || both[2 * i] != gray[i] ||
            rgba[4 * i + 3] != alpha || both[2 * i + 1] != alpha)
            fail_msg("alpha of type %d, %d bits, interlaced %d, transparent %d, pixel %zu", p->type,
                     p->depth, p->interlaced, p->transparent, i);
    }
    free(rgba);
    free(both);
}

static void expect_picture(const struct picture *p) {
    uint8_t *rgb = NULL, *gray = NULL;
    uint16_t *wide = NULL;
    uint32_t w = 0, h = 0;
    rt_error err = {"?"};
    if (rt_png_read(path, 3, &rgb, &w, &h, &err) != RT_OK ||
        rt_png_read(path, 1, &gray, &w, &h, &err) != RT_OK ||
        rt_png_read_gray16(path, &wide, &w, &h, &err) != RT_OK)
        fail_msg("type %d, %d bits: %s", p->type, p->depth, err.message);
    assert_int_equal(w, p->w);
    assert_int_equal(h, p->h);
    for (size_t i = 0; i < (size_t)w * h; i++) {
        uint32_t low[3], high[3];
        colour(p, i, 8, low);
        colour(p, i, 16, high);
        if (rgb[3 * i] != low[0] || rgb[3 * i + 1] != low[1] || rgb[3 * i + 2] != low[2] ||
            gray[i] != gray_of(p, low) || wide[i] != gray_of(p, high))
            fail_msg("type %d, %d bits, interlaced %d, transparent %d, pixel %zu", p->type,
                     p->depth, p->interlaced, p->transparent, i);
    }
    expect_alpha(p, rgb, gray);
    free(rgb);
    free(gray);
    free(wide);
}

static void every_kind(void **state) {
    (void)state;
    static const struct {
        int type, depth;
    } kinds[] = {{0, 1}, {0, 2}, {0, 4}, {0, 8}, {0, 16}, {2, 8}, {2, 16}, {3, 1},
                 {3, 2}, {3, 4}, {3, 8}, {4, 8}, {4, 16}, {6, 8}, {6, 16}};
    static const uint32_t sizes[][2] = {{1, 1}, {7, 5}, {3, 33}, {33, 18}};
    seed = 1;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t s = 0; s < 4; s++)
            for (int how = 0; how < 4; how++) {
                struct picture p =
                    make_picture(kinds[k].type, kinds[k].depth, sizes[s][0], sizes[s][1]);
                p.interlaced = how & 1;
                p.transparent = (how & 2) && p.type < 4;
                write_png(&p);
                expect_picture(&p);
                free(p.samples);
            }
}

/* ---- orientation ---- */

/* Writes a gray picture of 3x2 with this Exif data, before or behind the pixels. */
static void write_exif(const uint8_t *exif, size_t size, bool behind) {
    static const png_byte rows[2][3] = {{0, 1, 2}, {3, 4, 5}};
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, f);
    png_set_IHDR(png, info, 3, 2, 8, PNG_COLOR_TYPE_GRAY, 0, 0, 0);
    png_write_info(png, info);
    if (!behind) png_write_chunk(png, (png_const_bytep) "eXIf", exif, size);
    for (int y = 0; y < 2; y++) png_write_row(png, rows[y]);
    if (behind) png_write_chunk(png, (png_const_bytep) "eXIf", exif, size);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(f);
}

static void expect_gray(const char *wanted, uint32_t width, uint32_t height) {
    uint8_t *gray;
    uint32_t w, h;
    rt_error err = {""};
    if (rt_png_read(path, 1, &gray, &w, &h, &err)) fail_msg("%s", err.message);
    assert_int_equal(w, width);
    assert_int_equal(h, height);
    for (size_t i = 0; i < 6; i++) assert_int_equal(gray[i], wanted[i] - '0');
    free(gray);
}

/* As Pillow's ImageOps.exif_transpose. */
static void orientations(void **state) {
    (void)state;
    static const char *const upright[] = {"012345", "012345", "210543", "543210", "345012",
                                          "031425", "304152", "524130", "251403", "012345"};
    for (int i = 0; i < 40; i++) {
        uint8_t o = (uint8_t)(i % 10), big = i / 10 % 2;
        const uint8_t little[] = {'I', 'I', 42, 0, 8, 0,    0, 0, 2, 0, 0, 1, 4, 0, 1, 0, 0,
                                  0,   9,   9,  9, 9, 0x12, 1, 3, 0, 1, 0, 0, 0, o, 0, 0, 0};
        const uint8_t motorola[] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0,
                                    3,   0,   0, 0,  1, 0, o, 0, 0, 0, 0, 0,    0};
        write_exif(big ? motorola : little, big ? sizeof motorola : sizeof little, i >= 20);
        bool turned = o >= 5 && o <= 8;
        expect_gray(upright[o], turned ? 2 : 3, turned ? 3 : 2);
    }
}

/* Data that lead out of the chunk are no orientation, and no fault of the picture. */
static void broken_exif(void **state) {
    (void)state;
    static const uint8_t far[] = {'I', 'I', 42, 0, 0xf0, 0xff, 0xff, 0xff, 1, 0};
    static const uint8_t many[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 0xff, 0xff, 0x12, 1, 3, 0, 1};
    static const uint8_t nothing[] = {'x', 'x', 0, 0};
    write_exif(far, sizeof far, false);
    expect_gray("012345", 3, 2);
    write_exif(many, sizeof many, false);
    expect_gray("012345", 3, 2);
    write_exif(nothing, sizeof nothing, true);
    expect_gray("012345", 3, 2);
}

/* ---- what is refused ---- */

static void write_bytes(const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static size_t read_bytes(uint8_t *bytes, size_t room) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(bytes, 1, room, f);
    fclose(f);
    return n;
}

static void refuse(const char *name, rt_status status, const char *want) {
    uint8_t byte = 0, *pixels = &byte;
    uint16_t *wide = NULL;
    uint32_t w = 1, h = 1;
    rt_error err = {""};
    rt_status got = rt_png_read(name, 3, &pixels, &w, &h, &err);
    if (got != status) fail_msg("'%s': status %d, expected %d", err.message, got, status);
    if (!strstr(err.message, want)) fail_msg("'%s' does not say '%s'", err.message, want);
    assert_null(pixels);
    assert_int_equal(w, 0);
    assert_int_equal(h, 0);
    for (const char *c = err.message; *c; c++) assert_true((unsigned char)*c >= 0x20);
    assert_int_equal(rt_png_read(name, 1, &pixels, &w, &h, NULL), status);
    assert_int_equal(rt_png_read_gray16(name, &wide, &w, &h, NULL), status);
    assert_null(wide);
}

static void other_formats(void **state) {
    (void)state;
#define KIND(bytes, what) {bytes, sizeof(bytes) - 1, what}
    static const struct {
        const char *bytes;
        size_t n;
        const char *what;
    } kinds[] = {
        KIND("", "is empty"),
        KIND("\xff\xd8\xff\xe0\0\x10JFIF", "in.png' is a JPEG picture; only PNG is read"),
        KIND("RIFF\x10\0\0\0WEBPVP8 ", "a WebP picture"),
        KIND("GIF89a\1\0\1\0", "a GIF picture"),
        KIND("version https://git-lfs.github.com/spec/v1\noid", "a git-lfs pointer"),
        KIND("<!DOCTYPE html>", "a web page"),
        KIND("BM\x46\0\0\0\0\0", "a BMP picture"),
        KIND("II*\0\x08\0\0\0", "a TIFF picture"),
        KIND("MM\0*\0\0\0\x08", "a TIFF picture"),
        KIND("\0\0\0\x1c"
             "ftypavif\0\0",
             "an AVIF picture"),
        KIND("\0\0\0\x1c"
             "ftypheic\0\0",
             "a HEIF picture"),
        KIND("\xff\x0a\x00\x10zzzzzz", "a JPEG XL picture"),
        KIND("P6\n1 1\n255\nabc", "a PNM picture"),
        KIND("<svg xmlns=\"\">", "an SVG picture"),
        KIND("\x1f\x8b\x08\0\0\0\0\0\0", "packed by gzip"),
        KIND("\x89PNG\n\x1a\n\0\0\0\rIHDR", "damaged by a transfer in text mode"),
        KIND("a picture of a cat\n", "is not a PNG picture"),
        KIND("P6", "is not a PNG picture"),
        KIND("\0", "is not a PNG picture"),
        KIND("\x89PN", "is truncated"),
        KIND("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", "is truncated"),
        KIND("\x89PNG\r\n\x1a\n\0\0\0\rIDAT\0\0\0\1\0\0\0\1\x08\0\0\0\0",
             "does not begin with IHDR"),
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        write_bytes(kinds[i].bytes, kinds[i].n);
        refuse(path, RT_ERR_INPUT, kinds[i].what);
    }
}

/* Sizes are checked before anything is allocated or handed to libpng: no checksum is right here. */
static void sizes(void **state) {
    (void)state;
    static const struct {
        uint32_t w, h;
        uint8_t depth, type;
        const char *want;
    } cases[] = {
        {16385, 1, 8, 2, "has 16385x1 pixels; at most 16384 a side and 67108864 in all"},
        {1, 16385, 8, 2, "at most"},
        {16384, 16384, 1, 0, "at most"},
        {8193, 8192, 8, 6, "at most"},
        {0x7fffffff, 0x7fffffff, 16, 6, "at most"},
        {0, 1, 8, 2, "is damaged: it has 0x1 pixels"},
        {1, 0, 8, 2, "is damaged"},
        {0x80000000u, 1, 8, 2, "is damaged"},
        {0xffffffffu, 0xffffffffu, 8, 2, "is damaged"},
        {8192, 8192, 16, 6, "is truncated"}, /* more than this file can hold */
        {300, 300, 8, 2, "is truncated"},
        {1, 1, 255, 255, "is damaged"},
        {1, 1, 3, 2, "is damaged"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t bytes[200] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        for (int k = 0; k < 4; k++) {
            bytes[16 + k] = (uint8_t)(cases[i].w >> (24 - 8 * k));
            bytes[20 + k] = (uint8_t)(cases[i].h >> (24 - 8 * k));
        }
        bytes[24] = cases[i].depth;
        bytes[25] = cases[i].type;
        write_bytes(bytes, sizeof bytes);
        refuse(path, RT_ERR_INPUT, cases[i].want);
    }
}

/* Every prefix is refused, and every bit flipped in what holds the pixels; what came before the
 * fault is not delivered. Damage in a chunk that is skipped harms nobody. */
static void cut_and_damaged(void **state) {
    (void)state;
    static const struct {
        int type, depth;
    } kinds[] = {{2, 8}, {3, 2}};
    static uint8_t bytes[4096];
    for (size_t k = 0; k < 2; k++) {
        seed = 5;
        struct picture p = make_picture(kinds[k].type, kinds[k].depth, 9, 4);
        p.interlaced = k == 1;
        write_png(&p);
        free(p.samples);
        size_t n = read_bytes(bytes, sizeof bytes);
        for (size_t cut = 1; cut < n; cut++) {
            write_bytes(bytes, cut);
            refuse(path, RT_ERR_INPUT, cut < 8 || cut >= 33 ? "" : "is truncated");
        }
        size_t idat = 0;
        while (memcmp(bytes + idat, "IDAT", 4) != 0) idat++;
        for (size_t at = 0; at < n; at++) {
            bytes[at] ^= (uint8_t)(1u << (at % 8));
            write_bytes(bytes, n);
            uint8_t *pixels = NULL;
            uint32_t w, h;
            rt_error err = {""};
            if (rt_png_read(path, 3, &pixels, &w, &h, &err) == RT_OK) {
                if (at >= idat - 4) fail_msg("byte %zu is damaged and nobody noticed", at);
                free(pixels);
            } else {
                assert_true(!pixels && err.message[0]);
            }
            bytes[at] ^= (uint8_t)(1u << (at % 8));
        }
        bytes[idat + 8] ^= 0x10;
        write_bytes(bytes, n);
        refuse(path, RT_ERR_INPUT, "in.png' is damaged: ");
    }
}

static void behind_the_end(void **state) {
    (void)state;
    static uint8_t bytes[4096];
    struct picture p = make_picture(PNG_COLOR_TYPE_GRAY, 8, 4, 4);
    write_png(&p);
    size_t n = read_bytes(bytes, 2048);
    memset(bytes + n, 'x', 100);
    write_bytes(bytes, n + 100);
    expect_picture(&p);
    free(p.samples);
}

static void what_is_no_file(void **state) {
    (void)state;
    char name[300];
    refuse("-", RT_ERR_USAGE, "not read from standard input");
    refuse("", RT_ERR_SYSTEM, "cannot read '': No such file");
    refuse(folder, RT_ERR_SYSTEM, "Is a directory");
    refuse("/dev/null", RT_ERR_SYSTEM, "not a regular file");
    refuse("/dev/zero", RT_ERR_SYSTEM, "not a regular file");
    snprintf(name, sizeof name, "%s/none.png", folder);
    refuse(name, RT_ERR_SYSTEM, "none.png': No such file");
    snprintf(name, sizeof name, "%s/pipe", folder);
    assert_int_equal(mkfifo(name, 0600), 0);
    refuse(name, RT_ERR_SYSTEM, "not a regular file"); /* and does not wait for a writer */
    unlink(name);
    write_bytes("x", 1);
    assert_int_equal(truncate(path, (off_t)RT_PNG_MAX_FILE + 1), 0); /* sparse */
    refuse(path, RT_ERR_INPUT, "at most 512 MiB");
}

static void names_are_printable(void **state) {
    (void)state;
    char name[600];
    snprintf(name, sizeof name, "%s/\x1b[31m\n\xe2\x80\xae\xff\xc3\xa9.png", folder);
    refuse(name, RT_ERR_SYSTEM, "/\\x1b[31m\\x0a\\xe2\\x80\\xae\\xff\xc3\xa9.png': No such file");
    int fd = open(name, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    refuse(name, RT_ERR_INPUT, "\\x1b[31m\\x0a");
    unlink(name);
    snprintf(name, sizeof name, "%s/%0500d", folder, 7);
    refuse(name, RT_ERR_SYSTEM, "000...': File name too long");

    char out[RT_PRINTABLE_MAX];
    assert_string_equal(rt_printable("a\\x\t\xc3", out), "a\\x\\x09\\xc3");
    for (size_t n = 200; n < 300; n++) { /* the last characters are wide: never cut within one */
        memset(name, 'a', n);
        strcpy(name + n, "\xe6\x97\xa5\xe6\x9c\xac\x01\x02");
        rt_printable(name, out);
        size_t length = strlen(out);
        assert_true(length < sizeof out);
        for (size_t at = 0; at < length;) {
            uint32_t code;
            assert_true(rt_utf8_next(out, length, &at, &code));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind),
        cmocka_unit_test(orientations),
        cmocka_unit_test(broken_exif),
        cmocka_unit_test(other_formats),
        cmocka_unit_test(sizes),
        cmocka_unit_test(cut_and_damaged),
        cmocka_unit_test(behind_the_end),
        cmocka_unit_test(what_is_no_file),
        cmocka_unit_test(names_are_printable),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
