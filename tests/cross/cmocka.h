/* What the kernels' unit tests use of cmocka, for cross-built programs: there need not be a cmocka
 * of the target. One file a program; the lines it prints are cmocka's. */
#ifndef EBRU_TESTS_CROSS_CMOCKA_H
#define EBRU_TESTS_CROSS_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* All of a cross-built program is emulated: tests try fewer ways to the same bits. */
#define EBRU_TESTS_EMULATED

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};
#define cmocka_unit_test(f) {#f, f}

static struct {
    jmp_buf back;
    bool skipped;
} cross_test;

#define print_message(...) (void)printf(__VA_ARGS__)
#define print_error(...)   (void)printf(__VA_ARGS__)

_Noreturn static inline void cross_fail(const char *file, int line) {
    printf("\n%s:%d: error: Failure!\n", file, line);
    longjmp(cross_test.back, 1);
}
#define fail_msg(...) (printf("ERROR: " __VA_ARGS__), cross_fail(__FILE__, __LINE__))
#define skip()        (cross_test.skipped = true, longjmp(cross_test.back, 1))

#define assert_true(x)  ((x) ? (void)0 : fail_msg("%s is false", #x))
#define assert_false(x) ((x) ? fail_msg("%s is true", #x) : (void)0)
#define assert_int_equal(a, b)                                                                     \
    ((a) == (b) ? (void)0 : fail_msg("%s is %lld, not %lld", #a, (long long)(a), (long long)(b)))
#define assert_memory_equal(a, b, n)                                                               \
    (memcmp(a, b, n) == 0 ? (void)0 : fail_msg("%s and %s differ", #a, #b))

static inline bool cross_passes(const struct CMUnitTest *test) {
    void *state = NULL;
    if (setjmp(cross_test.back)) return false;
    test->run(&state);
    return true;
}

static inline int cross_run(const struct CMUnitTest *tests, size_t count) {
    int failed = 0;
    for (size_t i = 0; i < count; i++) {
        cross_test.skipped = false;
        printf("[ RUN      ] %s\n", tests[i].name);
        fflush(stdout);
        bool fine = cross_passes(&tests[i]);
        printf("[%s] %s\n",
               fine                 ? "       OK "
               : cross_test.skipped ? "  SKIPPED "
                                    : "  FAILED  ",
               tests[i].name);
        failed += !fine && !cross_test.skipped;
    }
    return failed;
}
#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    cross_run(tests, sizeof(tests) / sizeof *(tests))

#endif
