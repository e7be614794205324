/* Arenas, growable arrays, strings and the allocation hook. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"

static void blocks_are_zeroed_aligned_and_apart(void **state) {
    (void)state;
    base_arena *a = base_arena_new();
    static const size_t sizes[] = {0, 1, 15, 16, 17, 100, 5000, 20000, 70000, 3, 64 * 1024, 16};
    enum { N = sizeof sizes / sizeof *sizes };
    unsigned char *p[N];
    for (size_t i = 0; i < N; i++) {
        p[i] = base_arena_alloc(a, sizes[i]);
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(p[i][k], 0);
        memset(p[i], (int)i + 1, sizes[i]);
    }
    for (size_t i = 0; i < N; i++) {
        for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(p[i][k], i + 1);
    }
    base_arena_free(a);
    base_arena_free(NULL);
}

static void many_small_blocks(void **state) {
    (void)state;
    base_arena *a = base_arena_new();
    uint32_t *all[20000];
    for (uint32_t i = 0; i < 20000; i++) {
        all[i] = base_arena_alloc(a, sizeof(uint32_t) * (1 + i % 7));
        *all[i] = i;
    }
    for (uint32_t i = 0; i < 20000; i++) assert_int_equal(*all[i], i);
    base_arena_free(a);
}

static void arena_strings(void **state) {
    (void)state;
    base_arena *a = base_arena_new();
    assert_string_equal(base_arena_strdup(a, "ebru"), "ebru");
    assert_string_equal(base_arena_strndup(a, "marbling", 6), "marbli");
    assert_string_equal(base_arena_strndup(a, "", 0), "");
    assert_string_equal(base_arena_printf(a, "%s:%d", "line", 42), "line:42");
    assert_string_equal(base_arena_printf(a, "%s", ""), "");
    for (int n = 250; n < 262; n++) { /* around the size of the first attempt */
        char *s = base_arena_printf(a, "%*d", n, 7);
        assert_int_equal(strlen(s), n);
        assert_int_equal(s[n - 1], '7');
    }
    base_arena_free(a);
}

static void vectors_grow(void **state) {
    (void)state;
    BASE_VEC(uint64_t) v = {0};
    for (uint64_t i = 0; i < 1000; i++) BASE_PUSH(&v, i * i);
    assert_int_equal(v.count, 1000);
    assert_true(v.cap >= v.count);
    for (uint64_t i = 0; i < 1000; i++) assert_int_equal(v.items[i], i * i);
    base_free(v.items);
}

static void strings_grow(void **state) {
    (void)state;
    base_str s = {0};
    base_str_add(&s, "");
    assert_string_equal(s.data, "");
    for (int i = 0; i < 300; i++) base_str_addf(&s, "%03d,", i);
    assert_int_equal(s.len, 1200);
    assert_memory_equal(s.data, "000,001,002,", 12);
    assert_string_equal(s.data + 1196, "299,");
    base_str_addn(&s, "abcdef", 3);
    assert_string_equal(s.data + 1200, "abc");
    base_str_addf(&s, "%s", "");
    assert_int_equal(s.len, 1203);
    base_str_free(&s);
    assert_null(s.data);
    base_str_addf(&s, "%s", "");
    assert_string_equal(s.data, "");
    base_str_free(&s);
}

static void checked_sizes(void **state) {
    (void)state;
    size_t r = 7;
    assert_true(base_mul_size(SIZE_MAX, 1, &r) && r == SIZE_MAX);
    r = 7;
    assert_false(base_mul_size(SIZE_MAX / 2 + 1, 2, &r));
    assert_int_equal(r, 7);
    assert_true(base_add_size(SIZE_MAX - 1, 1, &r) && r == SIZE_MAX);
    r = 7;
    assert_false(base_add_size(SIZE_MAX, 1, &r));
    assert_int_equal(r, 7);
}

static jmp_buf escape;

static void leave(void) {
    longjmp(escape, 1);
}

/* Allocations until a run of `work` succeeds when the n-th fails, n = 1, 2, ... */
static void failing_allocations_reach_the_handler(void **state) {
    (void)state;
    volatile unsigned failed = 0;
    base_set_oom_handler(leave);
    for (volatile uint64_t n = 1;; n++) {
        base_arena *volatile a = NULL;
        base_str s = {0};
        char *volatile *data = (char *volatile *)&s.data;
        base_fail_allocation(n);
        if (setjmp(escape) == 0) {
            a = base_arena_new();
            base_arena_alloc(a, 100);
            base_arena_alloc(a, 100000);
            base_str_add(&s, "text");
            base_fail_allocation(0);
            base_arena_free(a);
            base_free(*data);
            break;
        }
        failed++;
        base_arena_free(a);
        base_free(*data);
    }
    assert_true(failed >= 4);
    base_set_oom_handler(NULL);
}

static void impossible_sizes_are_out_of_memory(void **state) {
    (void)state;
    volatile int reached = 0;
    base_arena *volatile a = base_arena_new();
    base_set_oom_handler(leave);
    if (setjmp(escape) == 0)
        base_arena_alloc(a, SIZE_MAX);
    else
        reached++;
    if (setjmp(escape) == 0)
        base_arena_alloc(a, SIZE_MAX - 20);
    else
        reached++;
    size_t cap = SIZE_MAX / 4;
    if (setjmp(escape) == 0)
        base_grow(NULL, &cap, 8);
    else
        reached++;
    assert_int_equal(reached, 3);
    base_set_oom_handler(NULL);
    base_arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zeroed_aligned_and_apart),
        cmocka_unit_test(many_small_blocks),
        cmocka_unit_test(arena_strings),
        cmocka_unit_test(vectors_grow),
        cmocka_unit_test(strings_grow),
        cmocka_unit_test(checked_sizes),
        cmocka_unit_test(failing_allocations_reach_the_handler),
        cmocka_unit_test(impossible_sizes_are_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
