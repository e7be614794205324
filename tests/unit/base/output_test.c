/* Outputs that are complete or absent, whatever happens on the way, and folders that vanish. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/system/output.h"
#include "tests/unit/support/temp_dir.h"

/* ---- a file ---- */

static void expect_content(const temp_dir *t, const char *name, const char *text) {
    FILE *in = fopen(temp_path(t, name), "rb");
    assert_non_null(in);
    char data[256] = {0};
    size_t n = fread(data, 1, sizeof data - 1, in);
    fclose(in);
    assert_int_equal(n, strlen(text));
    assert_string_equal(data, text);
}

static void commit_replaces_and_abort_does_not(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    temp_write(&t, "out", "old", 3);
    base_output *o = base_output_begin(temp_path(&t, "out"), 0666);
    base_output_write(o, "new", 3);
    fprintf(base_output_file(o), " %d", 7);
    expect_content(&t, "out", "old");
    assert_int_equal(count_files(t.path), 2);
    assert_int_equal(base_output_commit(o), 0);
    expect_content(&t, "out", "new 7");
    o = base_output_begin(temp_path(&t, "out"), 0666);
    base_output_write(o, "gone", 4);
    base_output_abort(o);
    base_output_abort(NULL);
    expect_content(&t, "out", "new 7");
    assert_int_equal(count_files(t.path), 1);
    temp_dir_end(&t);
}

static void mode_and_umask(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    mode_t old = umask(027);
    base_output *o = base_output_begin(temp_path(&t, "program"), 0777);
    assert_int_equal(base_output_commit(o), 0);
    umask(old);
    struct stat st;
    assert_int_equal(stat(temp_path(&t, "program"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0750);
    temp_dir_end(&t);
}

/* A linker may replace the temporary by a file of its own. */
static void the_temporary_may_be_replaced(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    base_output *o = base_output_begin(temp_path(&t, "out"), 0777);
    unlink(base_output_temp(o));
    FILE *linker = fopen(base_output_temp(o), "wb");
    fputs("linked", linker);
    fclose(linker);
    assert_int_equal(base_output_commit(o), 0);
    expect_content(&t, "out", "linked");
    assert_int_equal(count_files(t.path), 1);
    temp_dir_end(&t);
}

static void links_are_followed_and_kept(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    mkdir(temp_path(&t, "real"), 0777);
    temp_write(&t, "real/file", "old", 3);
    symlink("real/file", temp_path(&t, "link"));
    base_output *o = base_output_begin(temp_path(&t, "link"), 0666);
    base_output_write(o, "new", 3);
    assert_int_equal(base_output_commit(o), 0);
    struct stat st;
    assert_int_equal(lstat(temp_path(&t, "link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    expect_content(&t, "real/file", "new");
    temp_dir_end(&t);
}

static void impossible_outputs_say_why(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    mkdir(temp_path(&t, "folder"), 0777);
    assert_null(base_output_begin(temp_path(&t, "folder"), 0666));
    assert_int_equal(errno, EISDIR);
    assert_null(base_output_begin(temp_path(&t, "none/out"), 0666));
    assert_int_equal(errno, ENOENT);
    assert_null(base_output_begin(temp_path(&t, "new/"), 0666));
    assert_null(base_output_begin("", 0666));
    if (geteuid() != 0) {
        chmod(temp_path(&t, "folder"), 0500);
        assert_null(base_output_begin(temp_path(&t, "folder/out"), 0666));
        assert_int_equal(errno, EACCES);
    }
    temp_dir_end(&t);
}

/* With a FIFO and a device of the test's own: a fault in the code under test, run as root, would
 * replace the machine's /dev/null by a file. */
static void what_is_no_regular_file_is_written_directly(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    assert_int_equal(mkfifo(temp_path(&t, "fifo"), 0666), 0);
    int reader = open(temp_path(&t, "fifo"), O_RDONLY | O_NONBLOCK);
    base_output *o = base_output_begin(temp_path(&t, "fifo"), 0666);
    assert_non_null(o);
    base_output_write(o, "x", 1);
    assert_int_equal(base_output_commit(o), 0);
    char byte = 0;
    assert_int_equal(read(reader, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    close(reader);
    struct stat st;
    assert_int_equal(stat(temp_path(&t, "fifo"), &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_int_equal(count_files(t.path), 1);

    const char *full = temp_path(&t, "full"); /* needs root and a file system that allows devices */
    if (mknod(full, S_IFCHR | 0666, makedev(1, 7)) == 0 && access(full, W_OK) == 0) {
        o = base_output_begin(full, 0666);
        assert_non_null(o);
        base_output_write(o, "x", 1);
        assert_int_equal(base_output_commit(o), ENOSPC);
        assert_int_equal(stat(full, &st), 0);
        assert_true(S_ISCHR(st.st_mode));
    }
    temp_dir_end(&t);
}

static void a_committed_temporary_is_forgotten(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    char temp[1024];
    base_output *o = base_output_begin(temp_path(&t, "out"), 0666);
    snprintf(temp, sizeof temp, "%s", base_output_temp(o));
    assert_int_equal(base_output_commit(o), 0);
    fclose(fopen(temp, "wb")); /* somebody else's by now */
    base_output_remove_all();
    assert_int_equal(access(temp, F_OK), 0);
    temp_dir_end(&t);
}

/* Failures that only the flush meets, and failures of the caller's own stdio calls. */
static void late_and_foreign_failures_count(void **state) {
    (void)state;
    for (int foreign = 0; foreign < 2; foreign++) {
        temp_dir t;
        temp_dir_begin(&t);
        pid_t child = fork();
        if (child == 0) {
            signal(SIGXFSZ, SIG_IGN);
            base_output *o = base_output_begin(temp_path(&t, "out"), 0666);
            setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, RLIM_INFINITY});
            if (foreign) {
                fputs("x", base_output_file(o));
                fflush(base_output_file(o));
                setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
            } else {
                base_output_write(o, "x", 1);
            }
            _exit(base_output_commit(o) == EFBIG ? 0 : 1);
        }
        int status;
        waitpid(child, &status, 0);
        assert_int_equal(status, 0);
        assert_int_equal(count_files(t.path), 0);
        temp_dir_end(&t);
    }
}

/* A limit on the file size plays the full disk: the old file stays, no temporary is left, the
 * reason is told. */
static void a_failed_write_leaves_the_old_file(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    temp_write(&t, "out", "old", 3);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){10000, 10000});
        static char block[4096];
        base_output *o = base_output_begin(temp_path(&t, "out"), 0666);
        for (int i = 0; i < 100; i++) base_output_write(o, block, sizeof block);
        _exit(base_output_commit(o) == EFBIG ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    expect_content(&t, "out", "old");
    assert_int_equal(count_files(t.path), 1);
    temp_dir_end(&t);
}

/* Starts a child that stops in the middle of an output. */
static pid_t start_writer(temp_dir *t, bool with_handler) {
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        base_output *o = base_output_begin(temp_path(t, "out"), 0666);
        base_output_write(o, "half", 4);
        if (with_handler) {
            base_output_remove_all(); /* what the handler of SIGTERM calls */
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
    temp_dir t;
    temp_dir_begin(&t);
    temp_write(&t, "out", "old", 3);
    finish(start_writer(&t, false));
    expect_content(&t, "out", "old");
    assert_int_equal(count_files(t.path), 2);
    pid_t living = start_writer(&t, false); /* also removes the dead one's temporary */
    assert_int_equal(count_files(t.path), 2);
    base_output *o = base_output_begin(temp_path(&t, "out"), 0666);
    assert_int_equal(count_files(t.path), 3); /* the living writer's is left alone */
    assert_int_equal(base_output_commit(o), 0);
    finish(living);
    temp_dir_end(&t);
}

static void the_signal_handler_removes_temporaries(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    finish(start_writer(&t, true));
    assert_int_equal(count_files(t.path), 0);
    temp_dir_end(&t);
}

/* Out of memory and internal errors leave by exit(); a forked helper's exit() is none of the
 * parent's business. */
static void exit_removes_temporaries_of_its_own_process_only(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    int status;
    pid_t child = fork();
    if (child == 0) {
        static base_output *o; /* still reachable at exit: not a leak */
        o = base_output_begin(temp_path(&t, "out"), 0666);
        pid_t helper = fork();
        if (helper == 0) exit(0);
        waitpid(helper, NULL, 0);
        if (access(base_output_temp(o), F_OK) != 0) _exit(1);
        exit(0);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(count_files(t.path), 0);
    temp_dir_end(&t);
}

/* Two runs were killed beside each other: the next one finds both. */
static void all_stale_temporaries_go(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    pid_t first = start_writer(&t, false), second = start_writer(&t, false);
    assert_int_equal(count_files(t.path), 2);
    finish(first);
    finish(second);
    base_output_abort(base_output_begin(temp_path(&t, "out"), 0666));
    assert_int_equal(count_files(t.path), 0);
    temp_dir_end(&t);
}

static void a_signal_ends_the_process_and_removes_its_temporaries(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    static const int numbers[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGXCPU,
                                  SIGPIPE, SIGUSR1, SIGALRM, SIGSYS,  SIGFPE};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            signal(numbers[i], SIG_DFL); /* cmocka has handlers of its own */
            base_output_catch_signals();
            static base_output *o;
            static base_temp_dir *d; /* and one folder in the other */
            o = base_output_begin(temp_path(&t, "out"), 0666);
            d = base_temp_dir_new(temp_path(&t, "program"));
            char inner[1024];
            snprintf(inner, sizeof inner, "%s/inner", base_temp_dir_path(d));
            d = base_temp_dir_new(inner);
            if (!o || !d || count_files(t.path) != 2) _exit(1);
            setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
            raise(numbers[i]);
        }
        waitpid(child, &status, 0);
        /* a fault of the process's own stays one for who waits for it */
        if (numbers[i] == SIGSYS || numbers[i] == SIGFPE)
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == numbers[i]);
        else
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 128 + numbers[i]);
        assert_int_equal(count_files(t.path), 0);
    }
    temp_dir_end(&t);
}

static void ignored_signals_stay_ignored(void **state) {
    (void)state;
    int status;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGHUP, SIG_IGN); /* as nohup does */
        base_output_catch_signals();
        raise(SIGHUP);
        _exit(7);
    }
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

/* ---- a folder ---- */

static void put(const base_temp_dir *d, const char *name, char path[1024]) {
    snprintf(path, 1024, "%s/%s", base_temp_dir_path(d), name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(name, f);
    fclose(f);
}

static void a_folder_goes_with_its_files(void **state) {
    (void)state;
    temp_dir t;
    char path[1024], name[200];
    temp_dir_begin(&t);
    base_temp_dir *d = base_temp_dir_new(temp_path(&t, "program"));
    assert_non_null(d);
    for (int i = 0; i < 40; i++) { /* more than one call lists */
        snprintf(name, sizeof name, "%0150d", i);
        put(d, name, path);
    }
    assert_int_equal(count_files(base_temp_dir_path(d)), 40);
    base_temp_dir_free(d);
    base_temp_dir_free(NULL);
    assert_int_equal(count_files(t.path), 0);
    temp_dir_end(&t);
}

static void without_a_file_to_stand_beside_a_folder_is_the_systems(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    setenv("TMPDIR", t.path, 1);
    mkfifo(temp_path(&t, "fifo"), 0666);
    const char *const targets[] = {NULL, "-", temp_path(&t, "fifo")};
    for (size_t i = 0; i < 3; i++) {
        base_temp_dir *d = base_temp_dir_new(targets[i]);
        assert_non_null(d);
        assert_memory_equal(base_temp_dir_path(d), t.path, strlen(t.path));
        assert_non_null(strstr(base_temp_dir_path(d), "/ebru-"));
        struct stat st;
        assert_int_equal(stat(base_temp_dir_path(d), &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
        base_temp_dir_free(d);
    }
    assert_int_equal(count_files(t.path), 1);
    unsetenv("TMPDIR");
    assert_null(base_temp_dir_new(t.path));
    assert_int_equal(errno, EISDIR);
    assert_null(base_temp_dir_new(temp_path(&t, "none/program")));
    assert_int_equal(errno, ENOENT);
    temp_dir_end(&t);
}

static void the_folder_of_a_killed_process_goes_with_the_next(void **state) {
    (void)state;
    temp_dir t;
    char path[1024];
    int status;
    temp_dir_begin(&t);
    pid_t child = fork();
    if (child == 0) {
        put(base_temp_dir_new(temp_path(&t, "program")), "part", path);
        raise(SIGKILL);
    }
    waitpid(child, &status, 0);
    assert_int_equal(count_files(t.path), 1);
    base_temp_dir *d = base_temp_dir_new(temp_path(&t, "program"));
    assert_int_equal(count_files(t.path), 1);
    assert_int_equal(count_files(base_temp_dir_path(d)), 0);
    base_temp_dir_free(d);
    assert_int_equal(count_files(t.path), 0);
    temp_dir_end(&t);
}

static void publishing_replaces_files_and_fills_fifos(void **state) {
    (void)state;
    temp_dir t;
    char path[1024];
    temp_dir_begin(&t);
    temp_write(&t, "old", "old", 3);
    symlink("old", temp_path(&t, "link"));
    base_temp_dir *d = base_temp_dir_new(temp_path(&t, "link"));
    char *target = base_output_target(temp_path(&t, "link"));
    assert_non_null(strstr(target, "/old"));
    free(target);
    put(d, "product", path);
    assert_int_equal(base_output_publish(path, temp_path(&t, "link")), 0);
    expect_content(&t, "old", "product");
    struct stat st;
    assert_int_equal(lstat(temp_path(&t, "link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));

    mkfifo(temp_path(&t, "fifo"), 0666);
    int reader = open(temp_path(&t, "fifo"), O_RDONLY | O_NONBLOCK);
    put(d, "again", path);
    assert_int_equal(base_output_publish(path, temp_path(&t, "fifo")), 0);
    char got[8] = {0};
    assert_int_equal(read(reader, got, sizeof got), 5);
    assert_string_equal(got, "again");
    close(reader);
    assert_int_equal(stat(temp_path(&t, "fifo"), &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_int_equal(base_output_publish(path, "/dev/full"), ENOSPC);
    assert_int_equal(base_output_publish(path, t.path), EISDIR);
    base_temp_dir_free(d);
    assert_int_equal(count_files(t.path), 3);
    temp_dir_end(&t);
}

/* The killed ones' numbers need not follow each other. */
static void stale_temporaries_behind_a_gap_go(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    temp_write(&t, ".out.ebru-tmp.7", "half", 4);
    temp_write(&t, ".out.ebru-tmp.x", "not ours", 8);
    temp_write(&t, ".out2.ebru-tmp.0", "another's", 9);
    base_output_abort(base_output_begin(temp_path(&t, "out"), 0666));
    assert_int_equal(count_files(t.path), 2);
    assert_int_not_equal(access(temp_path(&t, ".out.ebru-tmp.7"), F_OK), 0);
    temp_dir_end(&t);
}

static void a_dangling_link_makes_its_target(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    mkdir(temp_path(&t, "real"), 0777);
    symlink("real/new", temp_path(&t, "second"));
    symlink("second", temp_path(&t, "first"));
    base_output *o = base_output_begin(temp_path(&t, "first"), 0666);
    base_output_write(o, "new", 3);
    assert_int_equal(base_output_commit(o), 0);
    expect_content(&t, "real/new", "new");
    struct stat st;
    assert_int_equal(lstat(temp_path(&t, "first"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    symlink("round", temp_path(&t, "round"));
    assert_null(base_output_begin(temp_path(&t, "round"), 0666));
    assert_int_equal(errno, ELOOP);
    temp_dir_end(&t);
}

static void names_are_checked_before_the_work(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    char name[300];
    memset(name, 'n', sizeof name);
    name[255] = '\0';
    assert_int_equal(base_output_check(temp_path(&t, name)), 0);
    base_output *o = base_output_begin(temp_path(&t, name), 0666);
    assert_non_null(o);
    assert_int_equal(base_output_commit(o), 0);
    name[255] = 'n';
    name[256] = '\0';
    assert_int_equal(base_output_check(temp_path(&t, name)), ENAMETOOLONG);
    mkdir(temp_path(&t, "folder"), 0777);
    assert_int_equal(base_output_check(temp_path(&t, "folder")), EISDIR);
    assert_int_equal(base_output_check(temp_path(&t, "none/out")), ENOENT);
    assert_int_equal(base_output_check(temp_path(&t, "new")), 0);
    assert_int_equal(base_output_check("/dev/null"), 0);
    symlink("none/out", temp_path(&t, "link"));
    assert_int_equal(base_output_check(temp_path(&t, "link")), ENOENT);
    temp_dir_end(&t);
}

/* By any name of the file, at the check, at the beginning and at publishing. */
static void what_is_read_is_not_replaced(void **state) {
    (void)state;
    static const char *const names[] = {"read", "hard", "soft"};
    temp_dir t;
    temp_dir_begin(&t);
    temp_write(&t, "read", "kept", 4);
    /* never closed: no file of the other tests gets its number */
    assert_true(open(temp_path(&t, "read"), O_RDONLY | O_CLOEXEC) >= 0);
    temp_write(&t, "other", "new", 3);
    assert_int_equal(link(temp_path(&t, "read"), temp_path(&t, "hard")), 0);
    assert_int_equal(symlink("read", temp_path(&t, "soft")), 0);
    base_output_keep(temp_path(&t, "read"));
    base_output_keep(temp_path(&t, "none"));
    base_output_keep("/dev/null");
    for (size_t i = 0; i < 3; i++) {
        const char *path = temp_path(&t, names[i]);
        assert_int_equal(base_output_check(path), BASE_OUTPUT_IS_INPUT);
        assert_null(base_output_begin(path, 0666));
        assert_int_equal(errno, BASE_OUTPUT_IS_INPUT);
        assert_int_equal(base_output_publish(temp_path(&t, "other"), path), BASE_OUTPUT_IS_INPUT);
    }
    assert_int_equal(base_output_check("/dev/null"), 0);
    expect_content(&t, "hard", "kept");
    expect_content(&t, "other", "new");
    assert_int_equal(count_files(t.path), 4);
    temp_dir_end(&t);
}

/* Written, read, written again: as a loop over one name does. */
static void what_was_written_is_replaced(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    for (int i = 0; i < 3; i++) {
        base_output *o = base_output_begin(temp_path(&t, "mine"), 0666);
        assert_non_null(o);
        assert_int_equal(base_output_commit(o), 0);
        base_output_keep(temp_path(&t, "mine"));
    }
    temp_dir_end(&t);
}

static void two_names_of_one_output(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    temp_write(&t, "old", "x", 1);
    mkdir(temp_path(&t, "folder"), 0777);
    assert_int_equal(link(temp_path(&t, "old"), temp_path(&t, "hard")), 0);
    assert_int_equal(symlink("folder/new", temp_path(&t, "soft")), 0);
    assert_true(base_output_same(temp_path(&t, "old"), temp_path(&t, "hard")));
    assert_true(base_output_same(temp_path(&t, "new"), temp_path(&t, "folder/../new")));
    assert_true(base_output_same(temp_path(&t, "folder/new"), temp_path(&t, "soft")));
    assert_true(base_output_same("-", "/dev/stdout"));
    assert_false(base_output_same(temp_path(&t, "new"), temp_path(&t, "folder/new")));
    assert_false(base_output_same(temp_path(&t, "old"), temp_path(&t, "new")));
    assert_false(base_output_same(temp_path(&t, "none/a"), temp_path(&t, "none/b")));
    assert_false(base_output_same("/dev/null", "/dev/null"));
    temp_dir_end(&t);
}

static void new_names_are_never_replaced(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    temp_write(&t, "taken", "old", 3);
    symlink("none", temp_path(&t, "link"));
    base_output *o = base_output_begin(temp_path(&t, "free"), 0666);
    base_output_write(o, "new", 3);
    assert_int_equal(base_output_commit_new(o, temp_path(&t, "taken")), EEXIST);
    assert_int_equal(base_output_commit_new(o, temp_path(&t, "link")), EEXIST);
    assert_int_equal(base_output_commit_new(o, temp_path(&t, "free")), 0);
    expect_content(&t, "taken", "old");
    expect_content(&t, "free", "new");
    o = base_output_begin(temp_path(&t, "other"), 0666);
    assert_int_equal(base_output_commit_new(o, temp_path(&t, "taken")), EEXIST);
    base_output_abort(o);
    assert_int_equal(count_files(t.path), 3);
    temp_dir_end(&t);
}

/* Who reads from a FIFO may come a moment later. */
static void a_fifo_is_waited_for(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    assert_int_equal(mkfifo(temp_path(&t, "fifo"), 0666), 0);
    pid_t child = fork();
    if (child == 0) {
        usleep(200000);
        int fd = open(temp_path(&t, "fifo"), O_RDONLY);
        char byte = 0;
        _exit(read(fd, &byte, 1) == 1 && byte == 'x' ? 0 : 1);
    }
    base_output *o = base_output_begin(temp_path(&t, "fifo"), 0666);
    assert_non_null(o);
    base_output_write(o, "x", 1);
    assert_int_equal(base_output_commit(o), 0);
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    temp_dir_end(&t);
}

/* Others may have written to what a descriptor leads to, and go on. */
static void a_descriptor_is_written_where_it_stands(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    int fd = open(temp_path(&t, "log"), O_WRONLY | O_CREAT | O_APPEND, 0666);
    char name[40];
    assert_int_equal(write(fd, "a", 1), 1);
    snprintf(name, sizeof name, "/dev/fd/%d", fd);
    base_output *o = base_output_begin(name, 0666);
    assert_non_null(o);
    base_output_write(o, "b", 1);
    assert_int_equal(base_output_commit(o), 0);
    assert_int_equal(write(fd, "c", 1), 1);
    close(fd);
    expect_content(&t, "log", "abc");
    temp_dir_end(&t);
}

/* Folders of the system's: those of killed processes go with the next one, others stay. */
static void stale_folders_of_the_system_go(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    setenv("TMPDIR", t.path, 1);
    mkdir(temp_path(&t, "ebru-tmp-abcdef"), 0700);
    temp_write(&t, "ebru-tmp-abcdef/program", "x", 1);
    mkdir(temp_path(&t, "ebru-tmp-mine"), 0700);
    base_temp_dir *living = base_temp_dir_new(NULL);
    assert_int_equal(count_files(t.path), 2);
    base_temp_dir *other = base_temp_dir_new(NULL);
    assert_int_equal(count_files(t.path), 3);
    base_temp_dir_free(other);
    base_temp_dir_free(living);
    assert_int_equal(count_files(t.path), 1);
    unsetenv("TMPDIR");
    temp_dir_end(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        /* first: later its files have numbers of files that were written and removed */
        cmocka_unit_test(what_is_read_is_not_replaced),
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
        cmocka_unit_test(all_stale_temporaries_go),
        cmocka_unit_test(a_signal_ends_the_process_and_removes_its_temporaries),
        cmocka_unit_test(ignored_signals_stay_ignored),
        cmocka_unit_test(a_folder_goes_with_its_files),
        cmocka_unit_test(without_a_file_to_stand_beside_a_folder_is_the_systems),
        cmocka_unit_test(the_folder_of_a_killed_process_goes_with_the_next),
        cmocka_unit_test(publishing_replaces_files_and_fills_fifos),
        cmocka_unit_test(stale_temporaries_behind_a_gap_go),
        cmocka_unit_test(a_dangling_link_makes_its_target),
        cmocka_unit_test(names_are_checked_before_the_work),
        cmocka_unit_test(what_was_written_is_replaced),
        cmocka_unit_test(two_names_of_one_output),
        cmocka_unit_test(new_names_are_never_replaced),
        cmocka_unit_test(a_fifo_is_waited_for),
        cmocka_unit_test(a_descriptor_is_written_where_it_stands),
        cmocka_unit_test(stale_folders_of_the_system_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
