/* Children that end with their parent, and programs that are told from the group that runs them. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/system/output.h"
#include "base/system/process.h"
#include "tests/unit/support/temp_dir.h"

static const int ours[3] = {-1, -1, -1};

/* True when the last writer of the pipe is gone, within some seconds. */
static bool all_gone(int reader) {
    char byte;
    signal(SIGALRM, SIG_DFL);
    alarm(20); /* a test that hangs would be ended without a word */
    bool gone = read(reader, &byte, 1) == 0;
    alarm(0);
    return gone;
}

static void a_status_is_the_programs(void **state) {
    (void)state;
    int status;
    const char *code[] = {"sh", "-c", "exit 7", NULL};
    pid_t pid = base_spawn(code, ours, NULL);
    assert_int_equal(base_wait(pid, &status), 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    const char *killed[] = {"sh", "-c", "kill -9 $$", NULL};
    pid = base_spawn(killed, ours, NULL);
    assert_int_equal(base_wait(pid, &status), 0);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), 9);
    const char *none[] = {"/nowhere/program", NULL};
    assert_int_equal(base_spawn(none, ours, NULL), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(base_wait(pid, &status), -1);
    assert_int_equal(errno, ECHILD);
}

static void streams_and_environment(void **state) {
    (void)state;
    int in[2], out[2], status;
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    setenv("EBRU_TEST_VARIABLE", "set", 1);
    const char *argv[] = {"sh", "-c", "cat; echo ${EBRU_TEST_VARIABLE:-unset}", NULL};
    pid_t pid = base_spawn(argv, (int[3]){in[0], out[1], -1}, "EBRU_TEST_VARIABLE");
    close(in[0]);
    close(out[1]);
    assert_int_equal(write(in[1], "x", 1), 1);
    close(in[1]); /* nobody else holds that end: cat comes to its end */
    char text[32] = {0};
    size_t n = 0;
    for (ssize_t got; (got = read(out[0], text + n, sizeof text - 1 - n)) > 0;) n += (size_t)got;
    assert_string_equal(text, "xunset\n");
    close(out[0]);
    assert_int_equal(base_wait(pid, &status), 0);
    assert_int_equal(status, 0);
}

/* The parent is killed, and cannot do anything about it: its children, and what the programs among
 * them have started, end. */
static void children_end_with_their_parent(void **state) {
    (void)state;
    for (int program = 0; program < 2; program++) {
        int life[2], ready[2];
        char byte;
        assert_int_equal(pipe(life) | pipe(ready), 0);
        pid_t parent = fork();
        if (parent == 0) {
            const char *argv[] = {"sh", "-c", "sleep 60 & sleep 61 & echo; wait", NULL};
            close(life[0]);
            if (program) {
                base_spawn(argv, (int[3]){-1, ready[1], -1}, NULL);
            } else if (base_fork() == 0) {
                (void)!write(ready[1], "x", 1);
                for (;;) pause();
            }
            for (;;) pause();
        }
        close(life[1]); /* the others hold it as long as they live */
        assert_int_equal(read(ready[0], &byte, 1), 1);
        kill(parent, SIGKILL);
        waitpid(parent, NULL, 0);
        assert_true(all_gone(life[0]));
        close(life[0]);
        close(ready[0]);
        close(ready[1]);
    }
}

/* A child that lives on for a moment does not make its parent's temporary look used. */
static void children_hold_no_locks(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t parent = fork();
    if (parent == 0) {
        base_output_begin(temp_path(&t, "out"), 0666);
        pid_t child = fork(); /* not base_fork(): it is to outlive its parent */
        if (child == 0) {
            base_output_forked();
            (void)!write(ready[1], &(pid_t){getpid()}, sizeof(pid_t));
            for (;;) pause();
        }
        for (;;) pause();
    }
    pid_t child;
    assert_int_equal(read(ready[0], &child, sizeof child), sizeof child);
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    base_output_abort(base_output_begin(temp_path(&t, "out"), 0666));
    assert_int_equal(count_files(t.path), 0);
    kill(child, SIGKILL);
    temp_dir_end(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_is_the_programs),
        cmocka_unit_test(streams_and_environment),
        cmocka_unit_test(children_end_with_their_parent),
        cmocka_unit_test(children_hold_no_locks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
