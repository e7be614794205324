/* Files of a model folder: which names and kinds are refused, and outputs that are complete or
 * absent. */
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

/* ---- writing ---- */

static void expect_content(const fixture *f, const char *name, const char *text) {
    FILE *in = fopen(temp_path(&f->t, name), "rb");
    assert_non_null(in);
    char data[256] = {0};
    size_t n = fread(data, 1, sizeof data - 1, in);
    fclose(in);
    assert_int_equal(n, strlen(text));
    assert_string_equal(data, text);
}

static void commit_replaces_and_abort_does_not(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    temp_write(&f.t, "out", "old", 3);
    fe_output *o = fe_output_begin(f.c.diag, temp_path(&f.t, "out"), 0666);
    fe_output_write(o, "new", 3);
    fprintf(fe_output_file(o), " %d", 7);
    expect_content(&f, "out", "old");
    assert_int_equal(count_files(f.t.path), 2);
    assert_true(fe_output_commit(o));
    expect_content(&f, "out", "new 7");
    o = fe_output_begin(f.c.diag, temp_path(&f.t, "out"), 0666);
    fe_output_write(o, "gone", 4);
    fe_output_abort(o);
    fe_output_abort(NULL);
    expect_content(&f, "out", "new 7");
    assert_int_equal(count_files(f.t.path), 1);
    assert_int_equal(base_diag_errors(f.c.diag), 0);
    end(&f);
}

static void mode_and_umask(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    mode_t old = umask(027);
    fe_output *o = fe_output_begin(f.c.diag, temp_path(&f.t, "program"), 0777);
    assert_true(fe_output_commit(o));
    umask(old);
    struct stat st;
    assert_int_equal(stat(temp_path(&f.t, "program"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0750);
    end(&f);
}

/* A linker may replace the temporary by a file of its own. */
static void the_temporary_may_be_replaced(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    fe_output *o = fe_output_begin(f.c.diag, temp_path(&f.t, "out"), 0777);
    unlink(fe_output_temp(o));
    FILE *linker = fopen(fe_output_temp(o), "wb");
    fputs("linked", linker);
    fclose(linker);
    assert_true(fe_output_commit(o));
    expect_content(&f, "out", "linked");
    assert_int_equal(count_files(f.t.path), 1);
    end(&f);
}

static void links_are_followed_and_kept(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    mkdir(temp_path(&f.t, "real"), 0777);
    temp_write(&f.t, "real/file", "old", 3);
    symlink("real/file", temp_path(&f.t, "link"));
    fe_output *o = fe_output_begin(f.c.diag, temp_path(&f.t, "link"), 0666);
    fe_output_write(o, "new", 3);
    assert_true(fe_output_commit(o));
    struct stat st;
    assert_int_equal(lstat(temp_path(&f.t, "link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    expect_content(&f, "real/file", "new");
    end(&f);
}

static void impossible_outputs_say_why(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    mkdir(temp_path(&f.t, "folder"), 0777);
    assert_null(fe_output_begin(f.c.diag, temp_path(&f.t, "folder"), 0666));
    assert_non_null(strstr(captured(&f.c), "folder: error: cannot create: Is a directory"));
    assert_null(fe_output_begin(f.c.diag, temp_path(&f.t, "none/out"), 0666));
    assert_non_null(
        strstr(captured(&f.c), "none/out: error: cannot create: No such file or directory"));
    assert_null(fe_output_begin(f.c.diag, temp_path(&f.t, "new/"), 0666));
    assert_null(fe_output_begin(f.c.diag, "", 0666));
    if (geteuid() != 0) {
        chmod(temp_path(&f.t, "folder"), 0500);
        assert_null(fe_output_begin(f.c.diag, temp_path(&f.t, "folder/out"), 0666));
        assert_non_null(strstr(captured(&f.c), "Permission denied"));
    }
    end(&f);
}

/* With a FIFO and a device of the test's own: a fault in the code under test, run as root, would
 * replace the machine's /dev/null by a file. */
static void what_is_no_regular_file_is_written_directly(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    assert_int_equal(mkfifo(temp_path(&f.t, "fifo"), 0666), 0);
    int reader = open(temp_path(&f.t, "fifo"), O_RDONLY | O_NONBLOCK);
    fe_output *o = fe_output_begin(f.c.diag, temp_path(&f.t, "fifo"), 0666);
    assert_non_null(o);
    fe_output_write(o, "x", 1);
    assert_true(fe_output_commit(o));
    char byte = 0;
    assert_int_equal(read(reader, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    close(reader);
    struct stat st;
    assert_int_equal(stat(temp_path(&f.t, "fifo"), &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_int_equal(count_files(f.t.path), 1);

    const char *full =
        temp_path(&f.t, "full"); /* needs root and a file system that allows devices */
    if (mknod(full, S_IFCHR | 0666, makedev(1, 7)) == 0 && access(full, W_OK) == 0) {
        o = fe_output_begin(f.c.diag, full, 0666);
        assert_non_null(o);
        fe_output_write(o, "x", 1);
        assert_false(fe_output_commit(o));
        assert_non_null(
            strstr(captured(&f.c), "full: error: cannot write: No space left on device"));
        assert_int_equal(stat(full, &st), 0);
        assert_true(S_ISCHR(st.st_mode));
    }
    end(&f);
}

static void a_committed_temporary_is_forgotten(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    char temp[1024];
    fe_output *o = fe_output_begin(f.c.diag, temp_path(&f.t, "out"), 0666);
    snprintf(temp, sizeof temp, "%s", fe_output_temp(o));
    assert_true(fe_output_commit(o));
    fclose(fopen(temp, "wb")); /* somebody else's by now */
    fe_output_remove_all();
    assert_int_equal(access(temp, F_OK), 0);
    end(&f);
}

/* Failures that only the flush meets, and failures of the caller's own stdio calls. */
static void late_and_foreign_failures_count(void **state) {
    (void)state;
    for (int foreign = 0; foreign < 2; foreign++) {
        fixture f;
        begin(&f);
        pid_t child = fork();
        if (child == 0) {
            signal(SIGXFSZ, SIG_IGN);
            fe_output *o = fe_output_begin(f.c.diag, temp_path(&f.t, "out"), 0666);
            setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, RLIM_INFINITY});
            if (foreign) {
                fputs("x", fe_output_file(o));
                fflush(fe_output_file(o));
                setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
            } else {
                fe_output_write(o, "x", 1);
            }
            _exit(fe_output_commit(o) ? 1 : 0);
        }
        int status;
        waitpid(child, &status, 0);
        assert_int_equal(status, 0);
        assert_int_equal(count_files(f.t.path), 0);
        end(&f);
    }
}

/* A limit on the file size plays the full disk: the old file stays, no temporary is left, the
 * reason is told. */
static void a_failed_write_leaves_the_old_file(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    temp_write(&f.t, "out", "old", 3);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){10000, 10000});
        static char block[4096];
        fe_output *o = fe_output_begin(f.c.diag, temp_path(&f.t, "out"), 0666);
        for (int i = 0; i < 100; i++) fe_output_write(o, block, sizeof block);
        bool failed = !fe_output_commit(o);
        bool said = strstr(captured(&f.c), "out: error: cannot write: File too large") != NULL;
        _exit(failed && said && base_diag_errors(f.c.diag) == 1 ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    expect_content(&f, "out", "old");
    assert_int_equal(count_files(f.t.path), 1);
    end(&f);
}

/* Starts a child that stops in the middle of an output. */
static pid_t start_writer(fixture *f, bool with_handler) {
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        fe_output *o = fe_output_begin(f->c.diag, temp_path(&f->t, "out"), 0666);
        fe_output_write(o, "half", 4);
        if (with_handler) {
            fe_output_remove_all(); /* what the handler of SIGTERM calls */
        }
        (void)!write(pipes[1], "x", 1);
        for (;;) pause();
    }
    char ready;
    close(pipes[1]);
    assert_int_equal(read(pipes[0], &ready, 1), 1);
    close(pipes[0]);
    return child;
}

static void finish(pid_t child) {
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void killed_writers_leave_the_old_file_and_the_next_run_cleans_up(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    temp_write(&f.t, "out", "old", 3);
    finish(start_writer(&f, false));
    expect_content(&f, "out", "old");
    assert_int_equal(count_files(f.t.path), 2);
    pid_t living = start_writer(&f, false); /* also removes the dead one's temporary */
    assert_int_equal(count_files(f.t.path), 2);
    fe_output *o = fe_output_begin(f.c.diag, temp_path(&f.t, "out"), 0666);
    assert_int_equal(count_files(f.t.path), 3); /* the living writer's is left alone */
    assert_true(fe_output_commit(o));
    finish(living);
    end(&f);
}

static void the_signal_handler_removes_temporaries(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    finish(start_writer(&f, true));
    assert_int_equal(count_files(f.t.path), 0);
    end(&f);
}

/* Out of memory and internal errors leave by exit(); a forked helper's exit() is none of the
 * parent's business. */
static void exit_removes_temporaries_of_its_own_process_only(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    int status;
    pid_t child = fork();
    if (child == 0) {
        static fe_output *o; /* still reachable at exit: not a leak */
        o = fe_output_begin(f.c.diag, temp_path(&f.t, "out"), 0666);
        pid_t helper = fork();
        if (helper == 0) exit(0);
        waitpid(helper, NULL, 0);
        if (access(fe_output_temp(o), F_OK) != 0) _exit(1);
        exit(0);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(count_files(f.t.path), 0);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_names),
        cmocka_unit_test(bad_names_are_reported_with_the_reason),
        cmocka_unit_test(paths),
        cmocka_unit_test(reads_and_maps),
        cmocka_unit_test(only_regular_files),
        cmocka_unit_test(folders_open_plain_members_only),
        cmocka_unit_test(hugging_face_cache_layout),
        cmocka_unit_test(commit_replaces_and_abort_does_not),
        cmocka_unit_test(mode_and_umask),
        cmocka_unit_test(the_temporary_may_be_replaced),
        cmocka_unit_test(links_are_followed_and_kept),
        cmocka_unit_test(impossible_outputs_say_why),
        cmocka_unit_test(what_is_no_regular_file_is_written_directly),
        cmocka_unit_test(a_committed_temporary_is_forgotten),
        cmocka_unit_test(late_and_foreign_failures_count),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
        cmocka_unit_test(killed_writers_leave_the_old_file_and_the_next_run_cleans_up),
        cmocka_unit_test(the_signal_handler_removes_temporaries),
        cmocka_unit_test(exit_removes_temporaries_of_its_own_process_only),
        cmocka_unit_test(folders_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
