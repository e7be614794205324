/* What progress prints, with a clock of our own. */
#include "runtime/cli/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static double now;
static double clock_of_test(void) {
    return now;
}

static int pipe_end[2];
static char text[4096];

static rt_progress begin(rt_progress_mode mode) {
    rt_progress p;
    assert_int_equal(pipe(pipe_end), 0);
    rt_progress_open(&p, pipe_end[1], mode);
    p.clock = clock_of_test;
    now = 100;
    return p;
}

static const char *printed(void) {
    close(pipe_end[1]);
    ssize_t n = read(pipe_end[0], text, sizeof text - 1);
    close(pipe_end[0]);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static void plain(void **state) {
    (void)state;
    rt_progress p = begin(RT_PROGRESS_AUTO); /* a pipe is no terminal */
    assert_int_equal(p.mode, RT_PROGRESS_PLAIN);
    rt_progress_phase(&p, "text-encode", 0);
    now += 1;
    rt_progress_phase(&p, "denoise", 10);
    for (int i = 1; i <= 10; i++) {
        now += 2;
        rt_progress_step(&p, i);
    }
    rt_progress_phase(&p, "vae-decode", 1);
    rt_progress_close(&p);
    assert_string_equal(printed(), "text-encode\n"
                                   "denoise: 10 steps\n"
                                   "denoise 3/10, 2.00 s/it, ETA 0:14\n"
                                   "denoise 6/10, 2.00 s/it, ETA 0:08\n"
                                   "denoise 9/10, 2.00 s/it, ETA 0:02\n"
                                   "vae-decode\n");
}

static void fast_steps_are_per_second(void **state) {
    (void)state;
    rt_progress p = begin(RT_PROGRESS_PLAIN);
    rt_progress_phase(&p, "denoise", 1000000);
    now += 5;
    rt_progress_step(&p, 20);
    rt_progress_close(&p);
    assert_non_null(strstr(printed(), "4.00 it/s"));
}

static void bar(void **state) {
    (void)state;
    unsetenv("NO_COLOR");
    rt_progress p = begin(RT_PROGRESS_BAR);
    assert_true(p.color);
    setenv("NO_COLOR", "1", 1);
    p.color = false;
    rt_progress_phase(&p, "denoise", 4);
    for (int i = 1; i <= 4; i++) {
        now += 1.5;
        rt_progress_step(&p, i);
    }
    rt_progress_close(&p);
    const char *out = printed();
    assert_non_null(strstr(out, "\rdenoise [........................] 0/4"));
    assert_non_null(strstr(out, "\rdenoise [######..................] 1/4  1.50 s/it"));
    assert_non_null(strstr(out, "\rdenoise [############............] 2/4  1.50 s/it  ETA 0:03"));
    assert_non_null(strstr(out, "[########################] 4/4  1.50 s/it  6.00 s"));
    assert_int_equal(out[strlen(out) - 1], '\n');
    assert_null(strchr(out, '\x1b'));
}

static void no_color(void **state) {
    (void)state;
    setenv("NO_COLOR", "1", 1);
    rt_progress p = begin(RT_PROGRESS_BAR);
    assert_false(p.color);
    printed();
    setenv("NO_COLOR", "", 1); /* empty does not count */
    p = begin(RT_PROGRESS_BAR);
    assert_true(p.color);
    rt_progress_phase(&p, "write", 0);
    rt_progress_close(&p);
    assert_non_null(strstr(printed(), "\x1b[36mwrite\x1b[0m"));
}

static void quiet(void **state) {
    (void)state;
    rt_progress p = begin(RT_PROGRESS_NONE);
    rt_progress_phase(&p, "denoise", 4);
    now += 60;
    rt_progress_step(&p, 1);
    rt_progress_close(&p);
    assert_string_equal(printed(), "");
}

/* Odd calls must not divide by zero or run past the bar. */
static void odd_calls(void **state) {
    (void)state;
    rt_progress p = begin(RT_PROGRESS_BAR);
    rt_progress_step(&p, 3);
    rt_progress_close(&p);
    rt_progress_phase(&p, "a phase with a name that is much longer than a line should be, really",
                      3);
    rt_progress_step(&p, 99);
    now += 1e9;
    rt_progress_step(&p, -5);
    rt_progress_phase(&p, "x", -1);
    now += 1;
    rt_progress_step(&p, 1);
    rt_progress_close(&p);
    rt_progress_close(&p);
    printed();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain), cmocka_unit_test(fast_steps_are_per_second),
        cmocka_unit_test(bar),   cmocka_unit_test(no_color),
        cmocka_unit_test(quiet), cmocka_unit_test(odd_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
