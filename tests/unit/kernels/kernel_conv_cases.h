/* The cases of conv2d that every kind of its arithmetic is held to. Who includes this writes
 * `run`, which checks one shape at every level; `CONV_CASES` lists the tests. */
#ifndef EBRU_TESTS_UNIT_KERNELS_KERNEL_CONV_CASES_H
#define EBRU_TESTS_UNIT_KERNELS_KERNEL_CONV_CASES_H

#include "tests/unit/kernels/kernel_conv_shapes.h"

static void run(const struct conv_shape *s, const char *what);

static void plain(void **state) {
    (void)state;
    CONV_EACH(s, conv_plain) run(s, "plain");
}

static void stride_and_padding(void **state) {
    (void)state;
    CONV_EACH(s, conv_stride_and_padding) run(s, "stride");
}

static void concat_and_prologue(void **state) {
    (void)state;
    CONV_EACH(s, conv_concat_and_prologue) run(s, "concat");
}

static void resized(void **state) {
    (void)state;
    CONV_EACH(s, conv_resized) run(s, "resized");
}

static void phases(void **state) {
    (void)state;
    CONV_EACH(s, conv_phases) run(s, "phases");
}

static void epilogues(void **state) {
    (void)state;
    for (int32_t act = EBRU_ACT_NONE; act < EBRU_ACT_GEGLU; act++) {
        const struct conv_shape s = conv_epilogue(act);
        run(&s, "epilogue");
    }
    CONV_EACH(s, conv_epilogues) run(s, "epilogue");
}

static void linear(void **state) {
    (void)state;
    CONV_EACH(s, conv_linear) run(s, "linear");
}

#define CONV_CASES                                                                                 \
    cmocka_unit_test(plain), cmocka_unit_test(stride_and_padding),                                 \
        cmocka_unit_test(concat_and_prologue), cmocka_unit_test(resized),                          \
        cmocka_unit_test(phases), cmocka_unit_test(epilogues), cmocka_unit_test(linear)

#endif
