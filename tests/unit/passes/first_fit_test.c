/* Offsets of buffers beside those of a search that looks at every buffer. */
#include "passes/memory/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 3000 };

/* The lowest offset at which x meets none of the first `count` in `order`: 0, or an end of one. */
static uint64_t lowest(const pass_buffer *b, const uint32_t *order, size_t count,
                       const pass_buffer *x) {
    uint64_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < count; i++) {
            const pass_buffer *y = &b[order[i]];
            if (y->last < x->first || x->last < y->first) continue;
            if (y->offset >= at + x->bytes || at >= y->offset + y->bytes) continue;
            at = y->offset + y->bytes;
            moved = true;
        }
    }
    return at;
}

/* Lives of up to `longest` nodes; COUNT of them: all are alive at once somewhere. */
static void compare(uint32_t seed, uint32_t longest, uint32_t sizes) {
    static pass_buffer b[COUNT];
    static uint32_t order[COUNT];
    srand(seed);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t first = (uint32_t)rand() % COUNT;
        b[i] = (pass_buffer){.first = first,
                             .last = first + (uint32_t)rand() % longest,
                             .bytes = (1 + (uint64_t)rand() % sizes) * IR_ARENA_ALIGN};
        order[i] = i;
    }
    for (uint32_t i = COUNT - 1; i > 0; i--) {
        uint32_t k = (uint32_t)rand() % (i + 1), swap = order[i];
        order[i] = order[k];
        order[k] = swap;
    }
    uint64_t end = 0, bytes = pass_first_fit(b, order, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        const pass_buffer *x = &b[order[i]];
        if (x->offset != lowest(b, order, i, x))
            fail_msg("seed %u: buffer %zu is at %llu", seed, i, (unsigned long long)x->offset);
        if (x->offset + x->bytes > end) end = x->offset + x->bytes;
    }
    assert_true(bytes == end);
}

static void lowest_offsets(void **state) {
    (void)state;
    compare(1, 5, 40);
    compare(2, 300, 7);
    compare(3, COUNT, 1);
    compare(4, COUNT, 100);
}

static void nothing_to_place(void **state) {
    (void)state;
    assert_true(pass_first_fit(NULL, NULL, 0) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lowest_offsets),
        cmocka_unit_test(nothing_to_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
