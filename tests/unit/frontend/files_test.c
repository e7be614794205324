/* Files of a model folder: which names and kinds are refused. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "frontend/files/files.h"
#include "frontend/files/formats.h"
#include "tests/unit/support/fixture.h"

/* ---- names and paths ---- */

static void plain_names(void **state) {
    (void)state;
    static const char *const good[] = {
        "a", "model.safetensors", "model-00001-of-00002.safetensors", "a b", "x..y", "\xc3\xa9"};
    static const char *const bad[] = {
        "", ".", "..", ".hidden", "a/b", "/etc/passwd", "../x", "sub/../../x", "a\\b", "..\\x"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(fe_name_is_plain(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(fe_name_is_plain(bad[i], strlen(bad[i])));
    assert_false(fe_name_is_plain("a\0b", 3));
    char name[257];
    memset(name, 'n', sizeof name);
    assert_true(fe_name_is_plain(name, 255));
    assert_false(fe_name_is_plain(name, 256));
}

static void bad_names_are_reported_with_the_reason(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    assert_false(fe_check_name(c.diag, NULL, "shard name", "../x\x1b", 5));
    assert_string_equal(
        captured(&c),
        "error: shard name '../x\\x1b' must be a plain file name: it begins with '.'\n");
    assert_true(fe_check_name(c.diag, NULL, "shard name", "x", 1));
    capture_end(&c);
}

static void paths(void **state) {
    (void)state;
    base_arena *a = base_arena_new();
    assert_string_equal(fe_path_join(a, "dir", "x"), "dir/x");
    assert_string_equal(fe_path_join(a, "dir/", "x"), "dir/x");
    assert_string_equal(fe_path_join(a, "/", "x"), "/x");
    assert_string_equal(fe_path_join(a, "", "x"), "x");
    assert_string_equal(fe_path_join(a, ".", "x"), "x");
    assert_string_equal(fe_path_base(a, "a/b/c"), "c");
    assert_string_equal(fe_path_base(a, "a/b/c//"), "c");
    assert_string_equal(fe_path_base(a, "c"), "c");
    assert_string_equal(fe_path_base(a, "/"), "/");
    assert_string_equal(fe_path_base(a, ""), "");
    base_arena_free(a);
}

/* ---- reading ---- */

static void reads_and_maps(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    temp_write(&f.t, "a.txt", "hello", 5);
    temp_write(&f.t, "empty", "", 0);
    fe_bytes bytes;
    fe_map map;
    assert_true(fe_file_read(f.c.diag, temp_path(&f.t, "a.txt"), 0, &bytes));
    assert_int_equal(bytes.size, 5);
    assert_string_equal(bytes.data, "hello");
    fe_bytes_free(&bytes);
    assert_true(fe_file_map(f.c.diag, temp_path(&f.t, "a.txt"), &map));
    assert_int_equal(map.size, 5);
    assert_memory_equal(map.data, "hello", 5);
    fe_unmap(&map);
    assert_null(map.data);
    assert_true(fe_file_map(f.c.diag, temp_path(&f.t, "empty"), &map));
    assert_int_equal(map.size, 0);
    fe_unmap(&map);
    assert_true(fe_file_read(f.c.diag, temp_path(&f.t, "empty"), 0, &bytes));
    assert_int_equal(bytes.size, 0);
    assert_string_equal(bytes.data, "");
    fe_bytes_free(&bytes);
    assert_int_equal(base_diag_errors(f.c.diag), 0);
    assert_false(fe_file_read(f.c.diag, temp_path(&f.t, "a.txt"), 4, &bytes));
    assert_non_null(strstr(captured(&f.c), "too large: 5 bytes, the limit is 4"));
    assert_false(fe_file_read(f.c.diag, temp_path(&f.t, "none"), 0, &bytes));
    assert_non_null(strstr(captured(&f.c), "none: error: cannot open: No such file or directory"));
    end(&f);
}

/* None of these may be read, and above all none may block. */
static void only_regular_files(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    mkfifo(temp_path(&f.t, "fifo"), 0666);
    mkdir(temp_path(&f.t, "folder"), 0777);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", temp_path(&f.t, "socket"));
    assert_int_equal(bind(s, (struct sockaddr *)&address, sizeof address), 0);
    symlink("/dev/zero", temp_path(&f.t, "zero"));
    symlink("loop", temp_path(&f.t, "loop"));
    static const char *const names[][2] = {{"fifo", "is a FIFO"},
                                           {"folder", "is a folder"},
                                           {"socket", "cannot open"},
                                           {"zero", "is a device"},
                                           {"loop", "cannot open"}};
    for (size_t i = 0; i < 5; i++) {
        fe_bytes bytes;
        fe_map map;
        char expected[64];
        snprintf(expected, sizeof expected, "%s: error: %s", names[i][0], names[i][1]);
        assert_false(fe_file_read(f.c.diag, temp_path(&f.t, names[i][0]), 0, &bytes));
        assert_non_null(strstr(captured(&f.c), expected));
        assert_false(fe_file_map(f.c.diag, temp_path(&f.t, names[i][0]), &map));
    }
    close(s);
    end(&f);
}

static void folders_open_plain_members_only(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    temp_write(&f.t, "secret", "s", 1);
    mkdir(temp_path(&f.t, "model"), 0777);
    mkdir(temp_path(&f.t, "model/unet"), 0777);
    temp_write(&f.t, "model/config.json", "{}", 2);
    fe_dir *dir = fe_dir_open(f.c.diag, temp_path(&f.t, "model"));
    assert_non_null(dir);
    assert_string_equal(fe_dir_path(dir), temp_path(&f.t, "model"));
    assert_string_equal(fe_dir_join(dir, "x"), temp_path(&f.t, "model/x"));
    assert_true(fe_dir_has_file(dir, "config.json"));
    assert_false(fe_dir_has_file(dir, "unet"));
    assert_true(fe_dir_has_dir(dir, "unet"));
    assert_false(fe_dir_has_file(dir, "../secret"));
    assert_false(fe_dir_has_dir(dir, ".."));
    fe_bytes bytes;
    fe_map map;
    assert_true(fe_dir_read(f.c.diag, dir, "config.json", 0, &bytes));
    assert_string_equal(bytes.data, "{}");
    fe_bytes_free(&bytes);
    assert_int_equal(base_diag_errors(f.c.diag), 0);
    assert_false(fe_dir_read(f.c.diag, dir, "../secret", 0, &bytes));
    assert_false(fe_dir_map(f.c.diag, dir, temp_path(&f.t, "secret"), &map));
    assert_null(fe_dir_open_in(f.c.diag, dir, ".."));
    assert_null(fe_dir_open_in(f.c.diag, dir, "config.json"));
    assert_null(fe_dir_open_in(f.c.diag, dir, "none"));
    assert_int_equal(base_diag_errors(f.c.diag), 5);
    fe_dir *unet = fe_dir_open_in(f.c.diag, dir, "unet");
    fe_dir_close(dir);
    assert_string_equal(fe_dir_path(unet), temp_path(&f.t, "model/unet"));
    fe_dir_close(unet);
    fe_dir_close(NULL);
    assert_null(fe_dir_open(f.c.diag, temp_path(&f.t, "secret")));
    assert_non_null(strstr(captured(&f.c), "cannot open folder: Not a directory"));
    end(&f);
}

/* Snapshot folders of the Hugging Face cache are made of links that leave the folder. */
static void hugging_face_cache_layout(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    mkdir(temp_path(&f.t, "blobs"), 0777);
    mkdir(temp_path(&f.t, "snapshots"), 0777);
    mkdir(temp_path(&f.t, "snapshots/abc"), 0777);
    temp_write(&f.t, "blobs/0f3a", "{\"a\":1}", 7);
    symlink("../../blobs/0f3a", temp_path(&f.t, "snapshots/abc/config.json"));
    symlink("snapshots/abc", temp_path(&f.t, "main"));
    fe_dir *dir = fe_dir_open(f.c.diag, temp_path(&f.t, "main"));
    fe_bytes bytes;
    assert_true(fe_dir_has_file(dir, "config.json"));
    assert_true(fe_dir_read(f.c.diag, dir, "config.json", 0, &bytes));
    assert_string_equal(bytes.data, "{\"a\":1}");
    fe_bytes_free(&bytes);
    fe_dir_close(dir);
    assert_true(fe_path_is_dir(temp_path(&f.t, "main")));
    assert_false(fe_path_is_file(temp_path(&f.t, "main")));
    assert_true(fe_path_is_file(temp_path(&f.t, "main/config.json")));
    assert_false(fe_path_exists(temp_path(&f.t, "main/none")));
    end(&f);
}

/* ---- folders in memory ---- */

static void folders_in_memory(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    fe_dir *dir = fe_dir_new_memory("model");
    char text[] = "{}";
    fe_dir_add_text(dir, "index.json", text);
    fe_dir_add_text(dir, "unet/config.json", "{ }");
    fe_dir_add_data(dir, "unet/vocabulary", "built in", "words", 5);
    text[0] = '!';
    assert_true(fe_dir_has_file(dir, "index.json") && fe_dir_has_dir(dir, "unet"));
    assert_false(fe_dir_has_file(dir, "unet") || fe_dir_has_file(dir, "config.json"));
    assert_false(fe_dir_has_dir(dir, "une") || fe_dir_has_dir(dir, "index.json"));
    fe_bytes bytes;
    assert_true(fe_dir_read(c.diag, dir, "index.json", 0, &bytes));
    assert_string_equal(bytes.data, "{}");
    fe_bytes_free(&bytes);
    fe_dir *unet = fe_dir_open_in(c.diag, dir, "unet");
    fe_dir_close(dir);
    assert_true(fe_dir_read(c.diag, unet, "vocabulary", 0, &bytes));
    assert_int_equal(bytes.size, 5);
    assert_string_equal(bytes.data, "words");
    fe_bytes_free(&bytes);
    assert_string_equal(fe_dir_join(unet, "vocabulary"), "built in");
    assert_string_equal(fe_dir_join(unet, "config.json"), "model/unet/config.json");
    assert_int_equal(base_diag_errors(c.diag), 0);
    fe_map map;
    assert_false(fe_dir_read(c.diag, unet, "none", 0, &bytes) ||
                 fe_dir_map(c.diag, unet, "config.json", &map));
    assert_int_equal(base_diag_errors(c.diag), 2);
    fe_dir_close(unet);
    capture_end(&c);
}

/* ---- what files are ---- */

static void formats(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        fe_format format;
    } cases[] = {
        {"", 0, FE_FORMAT_EMPTY},
        {"{\"ebru\": 1}", 11, FE_FORMAT_UNKNOWN},
        {"\x10\0\0\0\0\0\0\0{\"x\":", 13, FE_FORMAT_SAFETENSORS},
        {"\x10\0\0\0\0\0\0\x10{\"x\":", 13, FE_FORMAT_UNKNOWN},
        {"ebru ir 3 graph\n", 16, FE_FORMAT_IR},
        {"# RUN: x\n\n  # y\nebru ir 3 graph\n", 33, FE_FORMAT_IR},
        {"# RUN: ebru ir 3", 16, FE_FORMAT_UNKNOWN},
        {"\177ELF\2\1", 6, FE_FORMAT_PROGRAM},
        {"PK\3\4", 4, FE_FORMAT_FOREIGN},
        {"<a", 2, FE_FORMAT_UNKNOWN},
        {"\x80\2c", 3, FE_FORMAT_PICKLE},
        {"GGUF\3", 5, FE_FORMAT_GGUF},
        {"version https://git-lfs.github.com/spec/v1\noid", 46, FE_FORMAT_FOREIGN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *what;
        fe_format format = fe_format_of(cases[i].bytes, cases[i].size, &what);
        if (format != cases[i].format) fail_msg("case %zu: %d", i, (int)format);
        assert_true((what != NULL) == (format == FE_FORMAT_PICKLE || format == FE_FORMAT_FOREIGN ||
                                       format == FE_FORMAT_GGUF));
    }
    assert_int_equal(fe_stem_length("a.SafeTensors"), 1);
    assert_int_equal(fe_stem_length("a-Q8_0.gguf"), 6);
    assert_int_equal(fe_stem_length("a.safetensors.txt"), 17);
}

/* Texts that other programs have changed. */
static void texts(void **state) {
    (void)state;
    static const struct {
        const char *text, *says; /* NULL: it is read as "{}" */
    } cases[] = {{"{}", NULL},
                 {"\xef\xbb\xbf{}", NULL},
                 {"\xff\xfe{", "the text is UTF-16; it must be UTF-8"},
                 {"version https://git-lfs.github.com/spec/v1\n", "run `git lfs pull`"},
                 {"<!DOCTYPE html>", "this is a web page"}};
    fixture f;
    begin(&f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fe_bytes bytes;
        temp_write(&f.t, "config.json", cases[i].text, strlen(cases[i].text));
        bool fine = fe_file_read(f.c.diag, temp_path(&f.t, "config.json"), 0, &bytes);
        assert_int_equal(fine, cases[i].says == NULL);
        if (cases[i].says) assert_non_null(strstr(captured(&f.c), cases[i].says));
        if (!fine) continue;
        assert_int_equal(bytes.size, 2);
        assert_string_equal(bytes.data, "{}");
        fe_bytes_free(&bytes);
    }
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_names),
        cmocka_unit_test(bad_names_are_reported_with_the_reason),
        cmocka_unit_test(paths),
        cmocka_unit_test(reads_and_maps),
        cmocka_unit_test(only_regular_files),
        cmocka_unit_test(folders_open_plain_members_only),
        cmocka_unit_test(hugging_face_cache_layout),
        cmocka_unit_test(folders_in_memory),
        cmocka_unit_test(formats),
        cmocka_unit_test(texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
