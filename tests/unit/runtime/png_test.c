/* Pictures: bytes from floats, grids, PNG files read back, failures that must leave nothing behind.
 */
#include "runtime/image/png_writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/ebru-png-test-XXXXXX";
static char path[256];

static int setup(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/out.png", folder);
    return 0;
}

/* Files in the folder, hidden ones too. */
static int files(void) {
    int count = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return count;
}

static int teardown(void **state) {
    (void)state;
    char link[256];
    snprintf(link, sizeof link, "%s/link.png", folder);
    unlink(link);
    unlink(path);
    return rmdir(folder);
}

static uint8_t *noise(size_t n) {
    uint8_t *p = malloc(n);
    assert_non_null(p);
    uint32_t x = 1;
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)((x = x * 1664525u + 1013904223u) >> 24);
    return p;
}

static size_t read_all(const char *name, uint8_t *out, size_t room) {
    FILE *f = fopen(name, "rb");
    assert_non_null(f);
    size_t n = fread(out, 1, room, f);
    fclose(f);
    return n;
}

static void expect_pixels(const char *name, const uint8_t *pixels, uint32_t w, uint32_t h,
                          int channels) {
    png_image image = {.version = PNG_IMAGE_VERSION};
    assert_true(png_image_begin_read_from_file(&image, name));
    assert_int_equal(image.width, w);
    assert_int_equal(image.height, h);
    static const png_uint_32 formats[] = {0, PNG_FORMAT_GRAY, PNG_FORMAT_GA, PNG_FORMAT_RGB,
                                          PNG_FORMAT_RGBA};
    assert_int_equal(image.format, formats[channels]);
    size_t n = (size_t)w * h * (size_t)channels;
    uint8_t *got = malloc(n);
    assert_non_null(got);
    assert_true(png_image_finish_read(&image, NULL, got, 0, NULL));
    assert_memory_equal(got, pixels, n);
    free(got);
}

/* The chunk types of a file, in order, and the data of the k-th chunk of a type. */
static size_t chunk(const char *name, const char *type, int k, uint8_t *data, size_t room) {
    static uint8_t bytes[1 << 20];
    size_t n = read_all(name, bytes, sizeof bytes);
    for (size_t at = 8; at + 12 <= n;) {
        size_t length = (size_t)bytes[at] << 24 | (size_t)bytes[at + 1] << 16 |
                        (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        if (memcmp(bytes + at + 4, type, 4) == 0 && k-- == 0) {
            assert_true(length <= room);
            memcpy(data, bytes + at + 8, length);
            return length;
        }
        at += 12 + length;
    }
    return SIZE_MAX;
}

static void reads_back(void **state) {
    (void)state;
    const struct {
        uint32_t w, h;
        int channels;
    } cases[] = {{1, 1, 3}, {37, 5, 3}, {128, 128, 3}, {7, 9, 1}, {5, 3, 2}, {6, 4, 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *pixels = noise((size_t)cases[i].w * cases[i].h * (size_t)cases[i].channels);
        rt_error err = {"?"};
        if (rt_png_write(path, pixels, cases[i].w, cases[i].h, cases[i].channels, NULL, 0, &err) !=
            RT_OK)
            fail_msg("%s", err.message);
        expect_pixels(path, pixels, cases[i].w, cases[i].h, cases[i].channels);
        assert_int_equal(files(), 1);
        free(pixels);
    }
    uint8_t data[64];
    assert_int_equal(chunk(path, "sRGB", 0, data, sizeof data), 1);
    assert_true(chunk(path, "tIME", 0, data, sizeof data) == SIZE_MAX);
    assert_true(chunk(path, "tEXt", 0, data, sizeof data) == SIZE_MAX);
}

static void texts(void **state) {
    (void)state;
    const uint8_t pixel[3] = {1, 2, 3};
    const rt_png_text all[] = {
        {"parameters", "a caf\xc3\xa9\nSteps: 20"},
        {"parameters", "\xe6\x97\xa5\xe6\x9c\xac\r\n"},
        {"parameters", "a\tcaf\xc3\xa9\x07\x1b[31m\xc2\x85"},
        {"ebru", "{}"},
        {"Comment", ""},
    };
    assert_int_equal(rt_png_write(path, pixel, 1, 1, 3, all, 5, NULL), RT_OK);
    uint8_t data[256];
    static const char latin[] = "parameters\0a caf\xe9\nSteps: 20";
    assert_int_equal(chunk(path, "tEXt", 0, data, sizeof data), sizeof latin - 1);
    assert_memory_equal(data, latin, sizeof latin - 1);
    static const char utf8[] = "parameters\0\0\0\0\0\xe6\x97\xa5\xe6\x9c\xac\r\n";
    assert_int_equal(chunk(path, "iTXt", 0, data, sizeof data), sizeof utf8 - 1);
    assert_memory_equal(data, utf8, sizeof utf8 - 1);
    /* control characters are kept, where there is room for them */
    static const char control[] = "parameters\0\0\0\0\0a\tcaf\xc3\xa9\x07\x1b[31m\xc2\x85";
    assert_int_equal(chunk(path, "iTXt", 1, data, sizeof data), sizeof control - 1);
    assert_memory_equal(data, control, sizeof control - 1);
    assert_int_equal(chunk(path, "tEXt", 1, data, sizeof data), 7);
    assert_memory_equal(data, "ebru\0{}", 7);

    rt_error err = {""};
    const rt_png_text bad[] = {
        {"ok", "caf\xe9"}, {"", "x"}, {" lead", "x"}, {"caf\xc3\xa9", "x"}, {"two  spaces", "x"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(rt_png_write(path, pixel, 1, 1, 3, bad + i, 1, &err), RT_ERR_INPUT);
    assert_int_equal(chunk(path, "tEXt", 1, data, sizeof data),
                     7); /* the file before is untouched */
}

static void same_bytes_every_time(void **state) {
    (void)state;
    static uint8_t first[1 << 16], second[1 << 16];
    uint8_t *pixels = noise(64 * 64 * 3);
    const rt_png_text text = {"parameters", "x"};
    assert_int_equal(rt_png_write(path, pixels, 64, 64, 3, &text, 1, NULL), RT_OK);
    size_t n = read_all(path, first, sizeof first);
    assert_int_equal(rt_png_write(path, pixels, 64, 64, 3, &text, 1, NULL), RT_OK);
    assert_int_equal(read_all(path, second, sizeof second), n);
    assert_memory_equal(first, second, n);
    free(pixels);
}

static void mode_and_links(void **state) {
    (void)state;
    const uint8_t pixel[3] = {9, 8, 7};
    char link[256];
    struct stat st;
    snprintf(link, sizeof link, "%s/link.png", folder);
    unlink(path);
    mode_t old = umask(027);
    assert_int_equal(rt_png_write(path, pixel, 1, 1, 3, NULL, 0, NULL), RT_OK);
    umask(old);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(symlink("out.png", link), 0);
    const uint8_t other[3] = {1, 1, 1};
    assert_int_equal(rt_png_write(link, other, 1, 1, 3, NULL, 0, NULL), RT_OK);
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    expect_pixels(path, other, 1, 1, 3);
    unlink(link);
}

static void refuse(const char *where, const char *want) {
    uint8_t *pixels = noise(256 * 256 * 3);
    rt_error err = {""};
    assert_int_equal(rt_png_write(where, pixels, 256, 256, 3, NULL, 0, &err), RT_ERR_SYSTEM);
    if (!strstr(err.message, where) || !strstr(err.message, want))
        fail_msg("'%s' does not say '%s' of %s", err.message, want, where);
    free(pixels);
}

static void failures_leave_nothing(void **state) {
    (void)state;
    const uint8_t pixel[3] = {5, 6, 7};
    char nowhere[300], long_name[512];
    assert_int_equal(rt_png_write(path, pixel, 1, 1, 3, NULL, 0, NULL), RT_OK);
    refuse("/dev/full", "No space left");
    rt_error err = {""}; /* so small that only closing the file writes it */
    assert_int_equal(rt_png_write("/dev/full", pixel, 1, 1, 3, NULL, 0, &err), RT_ERR_SYSTEM);
    struct stat st;
    assert_int_equal(stat("/dev/full", &st), 0);
    assert_true(S_ISCHR(st.st_mode)); /* written to, not replaced */
    refuse(folder, "Is a directory");
    snprintf(nowhere, sizeof nowhere, "%s/none/out.png", folder);
    refuse(nowhere, "No such file");
    snprintf(long_name, sizeof long_name, "%s/%0300d", folder, 7);
    refuse(long_name, "too long");

    /* the disk is full in the middle of the picture */
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit, old;
    getrlimit(RLIMIT_FSIZE, &old);
    for (rlim_t room = 0; room < 196000; room = room * 2 + 13) {
        limit = old;
        limit.rlim_cur = room;
        setrlimit(RLIMIT_FSIZE, &limit);
        refuse(path, "too large");
        setrlimit(RLIMIT_FSIZE, &old);
        assert_int_equal(files(), 1);
        expect_pixels(path, pixel, 1, 1, 3);
    }
    assert_int_equal(rt_png_write(path, pixel, 0, 1, 3, NULL, 0, &err), RT_ERR_INPUT);
    assert_int_equal(rt_png_write(path, pixel, 1, 1, 5, NULL, 0, &err), RT_ERR_INPUT);
    assert_int_equal(rt_png_write(path, pixel, 1, 2000000, 3, NULL, 0, &err), RT_ERR_INPUT);
}

static void standard_output(void **state) {
    (void)state;
    uint8_t *pixels = noise(16 * 16 * 3);
    int saved = dup(STDOUT_FILENO), fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(saved >= 0 && fd >= 0);
    fflush(stdout);
    dup2(fd, STDOUT_FILENO);
    rt_status status = rt_png_write("-", pixels, 16, 16, 3, NULL, 0, NULL);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(fd);
    assert_int_equal(status, RT_OK);
    expect_pixels(path, pixels, 16, 16, 3);
    free(pixels);
}

static void bytes_from_floats(void **state) {
    (void)state;
    /* 2 channels, 2 rows, 3 columns; -1 and 1 are the ends, what lies beyond is clamped. 1/255 * 2
     * - 1 + half steps: rounding half to even. */
    const float planes[2][6] = {{-1, 1, 0, -5, 5, -0.0f},
                                {0.5f, -0.5f, 1e30f, -1e30f, 0.25f, 2.0f / 255 - 1}};
    uint8_t out[12];
    assert_int_equal(rt_image_from_float(&planes[0][0], 2, 2, 3, out, NULL), RT_OK);
    const uint8_t want[12] = {0, 191, 255, 64, 128, 255, 0, 0, 255, 159, 128, 1};
    assert_memory_equal(out, want, sizeof want);
    const float halves[4] = {0.00392156886f - 1 /* 0.5 */, 3 * 0.00392156886f - 1, 0, -1};
    assert_int_equal(rt_image_from_float(halves, 1, 1, 3, out, NULL), RT_OK);
    assert_int_equal(out[2], 128); /* 127.5 */
}

static void not_a_number_is_located(void **state) {
    (void)state;
    float planes[3 * 4 * 5] = {0};
    uint8_t out[3 * 4 * 5];
    planes[1 * 20 + 2 * 5 + 3] = NAN;
    planes[2 * 20 + 1] = INFINITY;
    rt_error err = {""};
    assert_int_equal(rt_image_from_float(planes, 3, 4, 5, out, &err), RT_ERR_INPUT);
    assert_non_null(strstr(err.message, "2 values"));
    assert_non_null(strstr(err.message, "NaN"));
    assert_non_null(strstr(err.message, "channel 1, row 2, column 3"));
    planes[1 * 20 + 2 * 5 + 3] = 0;
    assert_int_equal(rt_image_from_float(planes, 3, 4, 5, out, &err), RT_ERR_INPUT);
    assert_non_null(strstr(err.message, "infinity"));
}

static void grid(void **state) {
    (void)state;
    /* three pictures of 1 row, 2 columns, gray, in a grid of two columns */
    const uint8_t pictures[] = {1, 2, 3, 4, 5, 6};
    uint8_t out[8];
    rt_image_grid(pictures, 3, 1, 2, 1, 2, out);
    const uint8_t want[8] = {1, 2, 3, 4, 5, 6, 0, 0};
    assert_memory_equal(out, want, sizeof want);
    const uint8_t tall[] = {1, 2, 3, 4,  5,  6,
                            7, 8, 9, 10, 11, 12}; /* two of 2 rows, 1 column, RGB */
    uint8_t side[12];
    rt_image_grid(tall, 2, 2, 1, 3, 2, side);
    const uint8_t beside[12] = {1, 2, 3, 7, 8, 9, 4, 5, 6, 10, 11, 12};
    assert_memory_equal(side, beside, sizeof beside);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back),
        cmocka_unit_test(texts),
        cmocka_unit_test(same_bytes_every_time),
        cmocka_unit_test(mode_and_links),
        cmocka_unit_test(failures_leave_nothing),
        cmocka_unit_test(standard_output),
        cmocka_unit_test(bytes_from_floats),
        cmocka_unit_test(not_a_number_is_located),
        cmocka_unit_test(grid),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
