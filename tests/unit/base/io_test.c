/* Writing all of something: calls that write less, signals in between, full disks. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/system/io.h"
#include "tests/unit/support/temp_dir.h"

enum { SIZE = 1 << 20 };
static unsigned char data[SIZE], got[SIZE];

static void fill(void) {
    for (size_t i = 0; i < SIZE; i++) data[i] = (unsigned char)(i * 2654435761u >> 13);
}

static volatile sig_atomic_t alarms;
static void on_alarm(int number) {
    (void)number;
    alarms++;
}

/* A slow reader and a timer without SA_RESTART: the pipe takes less than it is given, and a call
 * that has written nothing yet ends with EINTR. */
static void a_pipe_gets_all_in_spite_of_signals(void **state) {
    (void)state;
    int ends[2], status;
    fill();
    assert_int_equal(pipe(ends), 0);
    pid_t reader = fork();
    if (reader == 0) {
        close(ends[1]);
        size_t n = 0;
        usleep(50000); /* meanwhile the pipe is full */
        for (ssize_t k; (k = read(ends[0], got + n, SIZE - n < 5000 ? SIZE - n : 5000)) > 0;) {
            n += (size_t)k;
            usleep(300);
        }
        _exit(n == SIZE && memcmp(got, data, SIZE) == 0 ? 0 : 1);
    }
    close(ends[0]);
    struct sigaction act = {.sa_handler = on_alarm}, old;
    sigaction(SIGALRM, &act, &old);
    struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &often, NULL);
    bool fine = base_write_all(ends[1], data, SIZE);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &old, NULL);
    close(ends[1]);
    waitpid(reader, &status, 0);
    assert_true(fine);
    assert_int_equal(status, 0);
    assert_true(alarms > 0);
}

static void a_full_device_says_so(void **state) {
    (void)state;
    int fd = open("/dev/full", O_WRONLY);
    assert_true(fd >= 0);
    assert_false(base_write_all(fd, "x", 1));
    assert_int_equal(errno, ENOSPC);
    assert_false(base_pwrite_all(fd, "x", 1, 0));
    assert_int_equal(errno, ENOSPC);
    assert_true(base_write_all(fd, NULL, 0)); /* nothing always fits */
    close(fd);
    assert_false(base_write_all(-1, "x", 1));
    assert_int_equal(errno, EBADF);
}

/* A limit on the file's size: the call in front of the failing one writes a part. */
static void a_part_that_fits_is_no_success(void **state) {
    (void)state;
    temp_dir t;
    int status;
    temp_dir_begin(&t);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){10000, 10000});
        int fd = open(temp_path(&t, "file"), O_RDWR | O_CREAT, 0666);
        bool bad = base_write_all(fd, data, SIZE) || errno != EFBIG;
        _exit(bad || base_pwrite_all(fd, data, SIZE, 0) || errno != EFBIG);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    temp_dir_end(&t);
}

static void positions(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    fill();
    int fd = open(temp_path(&t, "file"), O_RDWR | O_CREAT, 0666);
    assert_true(base_write_all(fd, "head", 4));
    assert_true(base_pwrite_all(fd, data, SIZE, 4096));
    assert_true(base_write_all(fd, "er", 2)); /* the position has stayed */
    assert_int_equal(pread(fd, got, SIZE, 4096), SIZE);
    assert_memory_equal(got, data, SIZE);
    assert_int_equal(pread(fd, got, 6, 0), 6);
    assert_memory_equal(got, "header", 6);
    close(fd);
    temp_dir_end(&t);
}

static void copies(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    fill();
    temp_write(&t, "from", data, SIZE);
    int from = open(temp_path(&t, "from"), O_RDONLY),
        to = open(temp_path(&t, "to"), O_RDWR | O_CREAT, 0666);
    lseek(from, 1, SEEK_SET);
    assert_true(base_copy_all(from, to));
    assert_int_equal(pread(to, got, SIZE, 0), SIZE - 1);
    assert_memory_equal(got, data + 1, SIZE - 1);
    assert_true(base_copy_all(from, to)); /* nothing is left */
    lseek(from, 0, SEEK_SET);
    int full = open("/dev/full", O_WRONLY);
    assert_false(base_copy_all(from, full));
    assert_int_equal(errno, ENOSPC);
    assert_false(base_copy_all(-1, to));
    close(full);
    close(from);
    close(to);
    temp_dir_end(&t);
}

/* Descriptors 0 to 2 are taken, whichever of them were closed, and can be used as such. */
static void closed_standard_streams_are_opened(void **state) {
    (void)state;
    for (int closed = 0; closed < 8; closed++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            for (int fd = 0; fd < 3; fd++)
                if (closed >> fd & 1) close(fd);
            base_keep_standard_streams();
            for (int fd = 0; fd < 3; fd++) {
                if (fcntl(fd, F_GETFD) < 0) _exit(1);
                if (fd == 2 && closed >> fd & 1 && write(fd, "x", 1) != 1) _exit(2);
                /* what was to be written is not lost without a word */
                if (fd == 1 && closed >> fd & 1 && write(fd, "x", 1) == 1) _exit(4);
            }
            if (base_check_standard_output() != (closed & 2 ? EBADF : 0)) _exit(5);
            int next = open("/dev/null", O_RDONLY);
            _exit(next > 2 ? 0 : 3);
        }
        waitpid(child, &status, 0);
        assert_int_equal(status, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipe_gets_all_in_spite_of_signals),
        cmocka_unit_test(a_full_device_says_so),
        cmocka_unit_test(a_part_that_fits_is_no_success),
        cmocka_unit_test(positions),
        cmocka_unit_test(copies),
        cmocka_unit_test(closed_standard_streams_are_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
