/* The fusion passes: each on its pattern and on the pattern in contexts where it must refuse. The
 * evaluator computes every case before and after. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/passes/pass_case.h"

/* What a case must show afterwards: text that stands in the IR, text that does not, text in the
 * report. */
typedef struct look {
    const char *passes, *text, *has, *has_not, *report;
} look;

static void check(const look *l) {
    base_str report = {0};
    ir_module *m = case_same(l->text, l->passes, &report);
    if (l->has) case_has(m, l->has);
    if (l->has_not) case_has_not(m, l->has_not);
    if (l->report && !strstr(report.data ? report.data : "", l->report))
        fail_msg("not in the report: %s\n%s", l->report, report.data ? report.data : "(empty)");
    base_str_free(&report);
    ir_module_free(m);
}
#define CHECK(...) check(&(look){__VA_ARGS__})

/* ---- dce ---- */

static void test_dce(void **state) {
    (void)state;
    CHECK("dce",
          HEAD("graph") "func @f(%0 x: f32[1,8,4,4] step, %1 unused: f32[1] step) {\n"
                        "%2 = relu %0 : f32[1,8,4,4]\n%3 = silu %2 : f32[1,8,4,4]\n%4 = exp %3 : "
                        "f32[1,8,4,4]\n"
                        "return y=%2 }\n",
          .has = "unused", .has_not = "silu");
}

/* ---- canonicalize ---- */

#define EW8(body, out)                                                                             \
    HEAD("graph")                                                                                  \
    "func @f(%0 x: f32[1,8,4,4] step, %1 z: f32[1,8,4,4] step) {\n" body "return y=" out " }"      \
    "\n"

static void test_canonicalize_gates(void **state) {
    (void)state;
    CHECK("canonicalize",
          EW8("%2 = sigmoid %0 : f32[1,8,4,4]\n%3 = mul %0, %2 : f32[1,8,4,4]\n", "%3"),
          .has = "silu", .has_not = "sigmoid");
    CHECK("canonicalize",
          EW8("%2 = sigmoid %0 : f32[1,8,4,4]\n%3 = mul %2, %0 : f32[1,8,4,4]\n", "%3"),
          .has = "silu");
    CHECK("canonicalize",
          EW8("%2 = affine %0 {mul=1.702} : f32[1,8,4,4]\n%3 = sigmoid %2 : f32[1,8,4,4]\n"
              "%4 = mul %0, %3 : f32[1,8,4,4]\n",
              "%4"),
          .has = "quick_gelu", .has_not = "sigmoid");
    /* another x: no gate */
    CHECK("canonicalize",
          EW8("%2 = sigmoid %1 : f32[1,8,4,4]\n%3 = mul %0, %2 : f32[1,8,4,4]\n", "%3"),
          .has_not = "silu");
    /* the sigmoid is an output too: it stays beside the silu */
    CHECK("canonicalize",
          EW8("%2 = sigmoid %0 : f32[1,8,4,4]\n%3 = mul %0, %2 : f32[1,8,4,4]\n", "%3, s=%2"),
          .has = "silu");
}

static void test_canonicalize_algebra(void **state) {
    (void)state;
    CHECK("canonicalize",
          EW8("%2 = affine %0 {mul=2.0, add=1.0} : f32[1,8,4,4]\n%3 = affine %2 {mul=3.0, "
              "add=-1.0} : "
              "f32[1,8,4,4]\n",
              "%3"),
          .has = "affine %0 {mul=6.0, add=2.0}");
    CHECK("canonicalize",
          EW8("%2 = affine %0 {mul=2.0} : f32[1,8,4,4]\n%3 = affine %2 {mul=0.5} : f32[1,8,4,4]\n"
              "%4 = relu %3 : f32[1,8,4,4]\n",
              "%4"),
          .has = "relu %0", .has_not = "affine");
    CHECK(
        "canonicalize",
        EW8("%2 = neg %0 : f32[1,8,4,4]\n%3 = neg %2 : f32[1,8,4,4]\n%4 = relu %3 : f32[1,8,4,4]\n",
            "%4"),
        .has = "relu %0", .has_not = "neg");
    CHECK("canonicalize", EW8("%2 = neg %0 : f32[1,8,4,4]\n%3 = add %1, %2 : f32[1,8,4,4]\n", "%3"),
          .has = "sub %1, %0");
    CHECK("canonicalize", EW8("%2 = neg %0 : f32[1,8,4,4]\n%3 = sub %1, %2 : f32[1,8,4,4]\n", "%3"),
          .has = "add %0, %1");
    /* operands in one order: larger first, then older first */
    CHECK("canonicalize", EW8("%2 = add %1, %0 : f32[1,8,4,4]\n", "%2"), .has = "add %0, %1");
    CHECK("canonicalize", EW8("%2 = mul @one, %0 : f32[1,8,4,4]\n", "%2"), .has = "mul %0, @one");
    CHECK("canonicalize", EW8("%2 = sub %1, %0 : f32[1,8,4,4]\n", "%2"), .has = "sub %1, %0");
}

static void test_canonicalize_moves(void **state) {
    (void)state;
    CHECK("canonicalize",
          EW8("%2 = reshape %0 {shape=[1,8,16]} : f32[1,8,16]\n%3 = reshape %2 {shape=[8,16]} : "
              "f32[8,16]\n",
              "%3"),
          .has = "reshape %0 {shape=[8,16]}");
    CHECK("canonicalize",
          EW8("%2 = reshape %0 {shape=[1,8,16]} : f32[1,8,16]\n%3 = reshape %2 {shape=[1,8,4,4]} : "
              "f32[1,8,4,4]\n"
              "%4 = relu %3 : f32[1,8,4,4]\n",
              "%4"),
          .has_not = "reshape");
    CHECK("canonicalize",
          EW8("%2 = transpose %0 {perm=[0,2,3,1]} : f32[1,4,4,8]\n%3 = transpose %2 "
              "{perm=[0,3,1,2]} : "
              "f32[1,8,4,4]\n"
              "%4 = relu %3 : f32[1,8,4,4]\n",
              "%4"),
          .has_not = "transpose");
    CHECK("canonicalize",
          EW8("%2 = transpose %0 {perm=[1,0,2,3]} : f32[8,1,4,4]\n%3 = transpose %2 "
              "{perm=[0,3,2,1]} : "
              "f32[8,4,4,1]\n",
              "%3"),
          .has = "perm=[1,3,2,0]");
    CHECK("canonicalize",
          EW8("%2 = slice %0 {axis=1, start=0, count=8} : f32[1,8,4,4]\n%3 = concat %2 {axis=1} : "
              "f32[1,8,4,4]\n"
              "%4 = resize_nearest %3 {size=[4,4]} : f32[1,8,4,4]\n%5 = relu %4 : f32[1,8,4,4]\n",
              "%5"),
          .has = "relu %0");
    /* the scale of scores becomes the product's, wherever it stands */
    CHECK("canonicalize",
          EW8("%2 = affine %0 {mul=0.5} : f32[1,8,4,4]\n%3 = matmul %2, %1 {transpose_b=true} : "
              "f32[1,8,4,4]\n"
              "%4 = affine %3 {mul=3.0} : f32[1,8,4,4]\n",
              "%4"),
          .has = "matmul %0, %1 {transpose_b=true, scale=1.5}", .has_not = "affine");
    CHECK("canonicalize",
          EW8("%2 = matmul %0, %1 : f32[1,8,4,4]\n%3 = affine %2 {mul=3.0} : f32[1,8,4,4]\n",
              "%3, z=%2"),
          .has = "affine");
}

static void test_canonicalize_is_idempotent(void **state) {
    (void)state;
    ir_module *m = case_parse(
        EW8("%2 = affine %0 {mul=2.0} : f32[1,8,4,4]\n%3 = neg %2 : f32[1,8,4,4]\n%4 = sigmoid %3 "
            ": f32[1,8,4,4]\n"
            "%5 = mul %4, %3 : f32[1,8,4,4]\n%6 = reshape %5 {shape=[8,16]} : f32[8,16]\n",
            "%6"));
    pass_context *c = pass_context_new(m, NULL);
    assert_true(pass_canonicalize(c, m->funcs.items[0]));
    assert_false(pass_canonicalize(c, m->funcs.items[0]));
    pass_context_free(c);
    ir_module_free(m);
}

/* ---- fold_constants ---- */

static void test_fold_constants(void **state) {
    (void)state;
    CHECK("fold_constants",
          EW8("%2 = exp @one : f32[1]\n%3 = affine %2 {mul=2.0} : f32[1]\n%4 = mul %0, %3 : "
              "f32[1,8,4,4]\n",
              "%4"),
          .has = "mul %0, @folded/", .has_not = "exp", .report = "1 matched, 0 refused");
    /* a part of a weight in a weight's place stays what it is; elsewhere it is folded */
    CHECK("fold_constants",
          HEAD("graph") "func @f(%0 x: f32[2,8] step) {\n%1 = slice @l20x8 {axis=0, start=4, "
                        "count=8} : "
                        "f32[8,8]\n"
                        "%2 = slice @v20 {axis=0, start=4, count=8} : f32[8]\n%3 = linear %0, %1, "
                        "%2 : "
                        "f32[2,8]\n"
                        "%4 = add %3, %2 : f32[2,8]\nreturn y=%4 }\n",
          .has = "slice @l20x8", .has_not = "slice @v20");
    /* a computed weight is folded even there */
    CHECK("fold_constants",
          HEAD("graph") "func @f(%0 x: f32[2,8] step) {\n%1 = neg @h8x8 : f32[8,8]\n%2 = linear "
                        "%0, %1 : "
                        "f32[2,8]\nreturn y=%2 }\n",
          .has_not = "neg");
    CHECK("fold_constants",
          "ebru ir 3 graph\nweight @big : f32[200,100] = random 1 1.0 0.0\n"
          "func @f(%0 x: f32[200,100] step) {\n%1 = exp @big : f32[200,100]\n%2 = add %0, %1 : "
          "f32[200,100]\nreturn y=%2 }\n",
          .has = "exp", .report = "its 80000 bytes are beyond the budget");
    /* weights that are not there are no reason to fail */
    ir_module *m = case_parse("ebru ir 3 graph\nweight @far : f32[3]\n"
                              "func @f(%0 x: f32[3] step) {\n%1 = exp @far : f32[3]\n%2 = add %0, "
                              "%1 : f32[3]\nreturn y=%2 }\n");
    base_str report = case_run(m, "fold_constants");
    assert_non_null(strstr(report.data, "weight @far is not bound"));
    base_str_free(&report);
    ir_module_free(m);
}

/* ---- fuse_groupnorm_silu ---- */

static void test_groupnorm_silu(void **state) {
    (void)state;
#define GN                                                                                         \
    EW8("%2 = group_norm %0, @v8, @u8 {groups=4} : f32[1,8,4,4]\n%3 = silu %2 : f32[1,8,4,4]\n",   \
        "%3")
    CHECK("fuse_groupnorm_silu", GN, .has = "act=silu", .has_not = "= silu",
          .report = "1 matched, 0 refused");
    CHECK("fuse_groupnorm_silu",
          EW8("%2 = group_norm %0, @v8, @u8 {groups=4, eps=0.1} : f32[1,8,4,4]\n%3 = silu %2 : "
              "f32[1,8,4,4]\n"
              "%4 = add %3, %2 : f32[1,8,4,4]\n",
              "%4"),
          .has = "= silu", .report = "group_norm has 2 users");
    CHECK(
        "fuse_groupnorm_silu",
        EW8("%2 = group_norm %0, @v8, @u8 {groups=8} : f32[1,8,4,4]\n%3 = silu %2 : f32[1,8,4,4]\n",
            "%3, n=%2"),
        .has = "= silu", .report = "group_norm is output 'n'");
    CHECK(
        "fuse_groupnorm_silu",
        EW8("%2 = group_norm %0, @v8, @u8 {groups=1} : f32[1,8,4,4]\n%3 = silu %2 : f32[1,8,4,4]\n"
            "%4 = relu %3 : f32[1,8,4,4]\n",
            "%4"),
        .has = "relu", .report = "group_norm has activation silu already");
}

/* ---- fuse_conv_epilogue ---- */

#define CONV(params, body, out)                                                                    \
    HEAD("graph") "func @f(%0 x: f32[2,8,5,3] step" params ") {\n" body "return y=" out " }\n"
#define CONV_X "%9 = conv2d %0, @w8x8, @v8 {pad=[1,1,1,1]} : f32[2,8,5,3]\n"

static void test_conv_epilogue(void **state) {
    (void)state;
    CHECK(
        "fuse_conv_epilogue",
        CONV(", %1 t: f32[2,8] step, %2 r: f32[2,8,5,3] step",
             CONV_X
             "%10 = reshape %1 {shape=[2,8,1,1]} : f32[2,8,1,1]\n%11 = add %9, %10 : f32[2,8,5,3]\n"
             "%12 = add %2, %11 : f32[2,8,5,3]\n%13 = relu %12 : f32[2,8,5,3]\n",
             "%13"),
        .has = "@v8, _, _, %1, %2 {pad=[1,1,1,1], act=relu}", .has_not = "add",
        .report = "3 matched, 0 refused");
    /* one row for the whole batch */
    CHECK(
        "fuse_conv_epilogue",
        CONV(
            ", %1 t: f32[1,8] step",
            CONV_X
            "%10 = reshape %1 {shape=[1,8,1,1]} : f32[1,8,1,1]\n%11 = add %10, %9 : f32[2,8,5,3]\n",
            "%11"),
        .has = "_, _, %1 {", .has_not = "add");
    /* a channel vector that was never flat */
    CHECK("fuse_conv_epilogue",
          CONV(", %1 t: f32[2,8,1,1] step", CONV_X "%10 = add %9, %1 : f32[2,8,5,3]\n", "%10"),
          .has = "reshape %1 {shape=[2,8]}", .has_not = "add");
    /* a constant vector is the bias when there is none */
    CHECK("fuse_conv_epilogue",
          CONV("",
               "%9 = conv2d %0, @w8x8 {pad=[1,1,1,1]} : f32[2,8,5,3]\n%10 = reshape @u8 "
               "{shape=[1,8,1,1]} : "
               "f32[1,8,1,1]\n"
               "%11 = add %9, %10 : f32[2,8,5,3]\n",
               "%11"),
          .has_not = "add", .report = "1 matched");
    /* two convs: the later takes the other */
    CHECK("fuse_conv_epilogue",
          CONV("",
               CONV_X "%10 = conv2d %0, @w8x8b {pad=[1,1,1,1]} : f32[2,8,5,3]\n%11 = add %9, %10 : "
                      "f32[2,8,5,3]\n",
               "%11"),
          .has = "@w8x8b, _, _, _, _, %1", .has_not = "add");
}

static void test_conv_epilogue_refuses(void **state) {
    (void)state;
    CHECK(
        "fuse_conv_epilogue",
        CONV("", CONV_X "%10 = silu %9 : f32[2,8,5,3]\n%11 = mul %10, %9 : f32[2,8,5,3]\n", "%11"),
        .has = "= silu", .report = "conv2d has 2 users");
    CHECK("fuse_conv_epilogue", CONV("", CONV_X "%10 = silu %9 : f32[2,8,5,3]\n", "%10, z=%9"),
          .has = "= silu", .report = "conv2d is output 'z'");
    /* nothing is added behind an activation, and no second activation */
    CHECK("fuse_conv_epilogue",
          CONV(", %1 r: f32[2,8,5,3] step",
               CONV_X "%10 = relu %9 : f32[2,8,5,3]\n%11 = add %10, %1 : f32[2,8,5,3]\n", "%11"),
          .has = "add", .report = "conv2d has activation relu already");
    CHECK("fuse_conv_epilogue",
          CONV("", CONV_X "%10 = relu %9 : f32[2,8,5,3]\n%11 = silu %10 : f32[2,8,5,3]\n", "%11"),
          .has = "= silu", .report = "has activation relu already");
    /* other broadcasts: rows, one number, a larger operand */
    CHECK("fuse_conv_epilogue",
          CONV(", %1 r: f32[2,1,5,3] step", CONV_X "%10 = add %9, %1 : f32[2,8,5,3]\n", "%10"),
          .has = "add", .report = "the other operand broadcasts: f32[2,1,5,3]");
    CHECK("fuse_conv_epilogue",
          CONV(", %1 r: f32[3] step", CONV_X "%10 = add %9, %1 : f32[2,8,5,3]\n", "%10"),
          .has = "add");
    CHECK("fuse_conv_epilogue",
          HEAD("graph") "func @f(%0 x: f32[1,8,1,1] step, %1 r: f32[2,8,5,3] step) {\n"
                        "%2 = conv2d %0, @w8x8 {pad=[1,1,1,1]} : f32[1,8,1,1]\n%3 = add %2, %1 : "
                        "f32[2,8,5,3]\nreturn y=%3 }\n",
          .has = "add", .report = "conv2d broadcasts");
    /* each slot once */
    CHECK("fuse_conv_epilogue",
          CONV(", %1 r: f32[2,8,5,3] step, %2 q: f32[2,8,5,3] step",
               CONV_X "%10 = add %9, %1 : f32[2,8,5,3]\n%11 = add %10, %2 : f32[2,8,5,3]\n", "%11"),
          .has = "add", .report = "conv2d has a residual already");
    /* the conv's own value beside it */
    CHECK("fuse_conv_epilogue", CONV("", CONV_X "%10 = add %9, %9 : f32[2,8,5,3]\n", "%10"),
          .has = "add", .report = "conv2d has 2 users");
}

static void test_linear_epilogue(void **state) {
    (void)state;
#define LINEAR(params, body, out)                                                                  \
    HEAD("graph") "func @f(%0 x: f32[2,7,8] step" params ") {\n" body "return y=" out " }\n"
    CHECK("fuse_conv_epilogue",
          LINEAR(", %1 r: f32[2,7,20] step",
                 "%2 = linear %0, @l20x8 : f32[2,7,20]\n%3 = add %2, @v20 : f32[2,7,20]\n%4 = add "
                 "%3, %1 : "
                 "f32[2,7,20]\n"
                 "%5 = quick_gelu %4 : f32[2,7,20]\n",
                 "%5"),
          .has = "linear %0, @l20x8, @v20, %1 {act=quick_gelu}", .report = "3 matched, 0 refused");
    CHECK("fuse_conv_epilogue",
          LINEAR(", %1 r: f32[1,7,20] step",
                 "%2 = linear %0, @l20x8, @v20 : f32[2,7,20]\n%3 = add %2, %1 : f32[2,7,20]\n",
                 "%3"),
          .has = "add", .report = "the other operand broadcasts: f32[1,7,20]");
    CHECK("fuse_conv_epilogue",
          LINEAR("", "%2 = linear %0, @h8x8 : f32[2,7,8]\n%3 = add %2, %0 : f32[2,7,8]\n", "%3"),
          .has = "linear %0, @h8x8, _, %0", .has_not = "add");
}

/* ---- eliminate_concat, fuse_norm_prologue, fuse_upsample ---- */

#define CAT(params, body, out)                                                                     \
    HEAD("fused")                                                                                  \
    "func @f(%0 x: f32[2,16,5,3] step, %1 s: f32[2,8,5,3] step" params ") {\n"                     \
    "%8 = concat %0, %1 {axis=1} : f32[2,24,5,3]\n" body "return y=" out " }\n"
#define CAT_NORM "%9 = group_norm %8, @v24, @u24 {groups=6, act=silu} : f32[2,24,5,3]\n"
#define CAT_CONV "%10 = conv2d %9, @w8x24, @v8 {pad=[1,1,1,1]} : f32[2,8,5,3]\n"

static void test_eliminate_concat(void **state) {
    (void)state;
    CHECK("eliminate_concat",
          CAT("",
              CAT_NORM CAT_CONV
              "%11 = conv2d %8, @p8x24 : f32[2,8,5,3]\n%12 = add %10, %11 : f32[2,8,5,3]\n",
              "%12"),
          .has = "conv2d %0, @p8x24, _, %1", .has_not = "concat", .report = "1 matched, 0 refused");
    CHECK("eliminate_concat",
          CAT("", CAT_NORM CAT_CONV "%11 = relu %8 : f32[2,24,5,3]\n", "%10, z=%11"),
          .has = "concat", .report = "user relu takes one input");
    CHECK("eliminate_concat", CAT("", CAT_NORM CAT_CONV, "%10, z=%8"), .has = "concat",
          .report = "it is output 'z'");
    CHECK("eliminate_concat",
          HEAD("fused") "func @f(%0 x: f32[2,8,5,3] step, %1 s: f32[2,8,5,3] step) {\n"
                        "%8 = concat %0, %1 {axis=1} : f32[2,16,5,3]\n%9 = conv2d %8, @w8x16 : "
                        "f32[2,8,3,1]\nreturn y=%9 }\n",
          .has = "concat", .report = "the first part has 8 channels");
    CHECK("eliminate_concat",
          HEAD("fused") "func @f(%0 x: f32[2,16,5,3] step, %1 s: f32[2,4,5,3] step) {\n"
                        "%8 = concat %0, %1, %1 {axis=1} : f32[2,24,5,3]\n%9 = conv2d %8, @w8x24 : "
                        "f32[2,8,3,1]\nreturn y=%9 }\n",
          .has = "concat", .report = "it has 3 parts");
    CHECK("eliminate_concat",
          HEAD("fused") "func @f(%0 x: f32[2,8,2,3] step, %1 s: f32[2,8,3,3] step) {\n"
                        "%8 = concat %0, %1 {axis=2} : f32[2,8,5,3]\n%9 = conv2d %8, @w8x8 : "
                        "f32[2,8,3,1]\nreturn y=%9 }\n",
          .has = "concat", .report = "it does not join channels");
}

static void test_norm_prologue(void **state) {
    (void)state;
    CHECK("eliminate_concat,fuse_norm_prologue", CAT("", CAT_NORM CAT_CONV, "%10"),
          .has = "pre_act=silu", .has_not = "group_norm",
          .report = "fuse_norm_prologue: 1 matched, 0 refused");
    CHECK("fuse_norm_prologue", CAT("", CAT_NORM CAT_CONV, "%10"), .has = "group_stats",
          .has_not = "group_norm");
    /* two convs behind one norm share the statistics */
    CHECK("fuse_norm_prologue",
          CAT("",
              CAT_NORM CAT_CONV
              "%11 = conv2d %9, @p8x24 : f32[2,8,5,3]\n%12 = add %10, %11 : f32[2,8,5,3]\n",
              "%12"),
          .has = "conv2d %2, @p8x24, _, _, %", .has_not = "group_norm");
    CHECK("fuse_norm_prologue",
          CAT("", CAT_NORM CAT_CONV "%11 = relu %9 : f32[2,24,5,3]\n", "%10, z=%11"),
          .has = "group_norm", .report = "user relu is not a conv2d");
    CHECK("fuse_norm_prologue", CAT("", CAT_NORM CAT_CONV, "%10, z=%9"), .has = "group_norm",
          .report = "it is output 'z'");
    CHECK("fuse_norm_prologue",
          CAT("", "%9 = group_norm %8, @v24, @u24 {groups=6, act=gelu} : f32[2,24,5,3]\n" CAT_CONV,
              "%10"),
          .has = "group_norm", .report = "no conv kernel applies gelu");
    CHECK("fuse_norm_prologue",
          HEAD("fused") "func @f(%0 x: f32[2,8,1,1] step) {\n%1 = group_norm %0, @v8, @u8 "
                        "{groups=8} : "
                        "f32[2,8,1,1]\n"
                        "%2 = conv2d %1, @w8x8 {pad=[1,1,1,1], stride=[2,2]} : "
                        "f32[2,8,1,1]\nreturn y=%2 }\n",
          .has = "group_stats", .has_not = "pre_act");
    /* the norm is the conv's residual as well */
    CHECK("fuse_norm_prologue",
          HEAD("fused") "func @f(%0 x: f32[2,8,5,3] step) {\n%1 = group_norm %0, @v8, @u8 "
                        "{groups=8} : "
                        "f32[2,8,5,3]\n"
                        "%2 = conv2d %1, @w8x8, _, _, _, _, %1 {pad=[1,1,1,1]} : "
                        "f32[2,8,5,3]\nreturn y=%2 }\n",
          .has = "group_norm", .report = "user conv2d reads it as operand 'residual'");
}

static void test_upsample(void **state) {
    (void)state;
#define UP(body, out)                                                                              \
    HEAD("fused")                                                                                  \
    "func @f(%0 x: f32[2,8,5,3] step) {\n%1 = resize_nearest %0 {size=[9,6]} : "                   \
    "f32[2,8,9,6]\n" body "return y=" out " }\n"
#define UP_CONV "%2 = conv2d %1, @w8x8, @v8 {pad=[1,1,1,1]} : f32[2,8,9,6]\n"
    CHECK("fuse_upsample", UP(UP_CONV, "%2"), .has = "upsample=[9,6]", .has_not = "resize_nearest",
          .report = "1 matched, 0 refused");
    CHECK("fuse_upsample", UP(UP_CONV "%3 = relu %1 : f32[2,8,9,6]\n", "%2, z=%3"),
          .has = "resize_nearest", .report = "resize_nearest has 2 users");
    CHECK("fuse_upsample", UP(UP_CONV, "%2, z=%1"), .has = "resize_nearest",
          .report = "resize_nearest is output 'z'");
    /* a norm in front of the resize joins the same conv; one behind it keeps the resized image */
    CHECK(
        "fuse_norm_prologue,fuse_upsample",
        HEAD("fused") "func @f(%0 x: f32[2,8,5,3] step) {\n%1 = resize_nearest %0 {size=[10,6]} : "
                      "f32[2,8,10,6]\n"
                      "%2 = group_norm %1, @v8, @u8 {groups=4, act=silu} : f32[2,8,10,6]\n"
                      "%3 = conv2d %2, @w8x8 {pad=[1,1,1,1]} : f32[2,8,10,6]\nreturn y=%3 }\n",
        .has = "resize_nearest", .report = "resize_nearest has 2 users");
}

/* ---- fuse_elementwise ---- */

static void test_elementwise(void **state) {
    (void)state;
#define CHAIN                                                                                      \
    "%2 = sigmoid %0 : f32[1,8,4,4]\n%3 = mul %2, %1 : f32[1,8,4,4]\n%4 = affine %3 {mul=0.5, "    \
    "add=2.0} : "                                                                                  \
    "f32[1,8,4,4]\n"
    CHECK("fuse_elementwise", EW8(CHAIN, "%4"),
          .has = "expr=\"add(mul(mul(sigmoid(a),b),0.5),2.0)\"", .has_not = "= sigmoid");
    CHECK("fuse_elementwise", EW8(CHAIN, "%4, z=%3"), .has = "affine",
          .report = "mul is output 'z'");
    CHECK("fuse_elementwise",
          EW8("%2 = clamp %0 {lo=-0.5, hi=0.25} : f32[1,8,4,4]\n%3 = max %1, %2 : f32[1,8,4,4]\n",
              "%3"),
          .has = "max(a,min(max(b,-0.5),0.25))");
    /* a shared operand is read once */
    CHECK("fuse_elementwise",
          EW8("%2 = tanh %0 : f32[1,8,4,4]\n%3 = sub %2, %0 : f32[1,8,4,4]\n", "%3"),
          .has = "ew %0 {expr=\"sub(tanh(a),a)\"}");
    /* what would be computed once a pixel instead of once a channel stays outside */
    CHECK(
        "fuse_elementwise",
        HEAD(
            "fused") "func @f(%0 x: f32[2,8,5,3] step, %1 v: f32[2,8,1,1] step) {\n%2 = exp %1 : "
                     "f32[2,8,1,1]\n"
                     "%3 = mul %0, %2 : f32[2,8,5,3]\n%4 = relu %3 : f32[2,8,5,3]\nreturn y=%4 }\n",
        .has = "= exp", .report = "exp is broadcast");
    /* a ninth operand does not fit */
    CHECK("fuse_elementwise",
          HEAD("fused") "func @f(%0 a: f32[3] step, %1 b: f32[3] step, %2 c: f32[3] step, %3 d: "
                        "f32[3] step, "
                        "%4 e: f32[3] step,"
                        " %5 g: f32[3] step, %6 h: f32[3] step, %7 i: f32[3] step, %8 j: f32[3] "
                        "step) {\n"
                        "%10 = add %0, %1 : f32[3]\n%11 = add %10, %2 : f32[3]\n%12 = add %11, %3 "
                        ": f32[3]\n"
                        "%13 = add %12, %4 : f32[3]\n%14 = add %13, %5 : f32[3]\n%15 = add %14, %6 "
                        ": f32[3]\n"
                        "%16 = add %15, %7 : f32[3]\n%17 = mul %16, %8 : f32[3]\nreturn y=%17 }\n",
          .has = "= mul", .report = "more than eight operands");
}

/* ---- fuse_attention ---- */

#define SPLIT(to, from, t)                                                                         \
    "%" #to "0 = reshape %" from " {shape=[2," #t ",2,4]} : f32[2," #t ",2,4]\n"                   \
    "%" #to " = transpose %" #to "0 {perm=[0,2,1,3]} : f32[2,2," #t ",4]\n"
#define QKV                                                                                        \
    HEAD("fused")                                                                                  \
    "func @f(%0 q: f32[2,5,8] step, %1 k: f32[2,3,8] step, %2 v: f32[2,3,8] step) "                \
    "{\n"
#define JOIN                                                                                       \
    "%8 = transpose %7 {perm=[0,2,1,3]} : f32[2,5,2,4]\n%9 = reshape %8 {shape=[2,5,8]} : "        \
    "f32[2,5,8]\nreturn y=%9 }\n"

static void test_attention(void **state) {
    (void)state;
    CHECK("fuse_attention",
          QKV SPLIT(3, "0", 5) SPLIT(4, "1", 3) SPLIT(
              50, "2", 3) "%60 = matmul %3, %4 {transpose_b=true, scale=0.5} : f32[2,2,5,3]\n%6 = "
                          "softmax %60 : f32[2,2,5,3]\n"
                          "%7 = matmul %6, %50 : f32[2,2,5,4]\n" JOIN,
          .has = "attention %0, %1, %2 {heads=2, scale=0.5}", .has_not = "softmax",
          .report = "1 matched, 0 refused");
    /* keys transposed by hand, causal */
    CHECK("fuse_attention",
          HEAD("fused") "func @f(%0 q: f32[2,5,8] step) {\n" SPLIT(
              3, "0",
              5) "%4 = transpose %30 {perm=[0,2,3,1]} : f32[2,2,4,5]\n"
                 "%60 = matmul %3, %4 {scale=0.5} : f32[2,2,5,5]\n%6 = softmax %60 {causal=true} : "
                 "f32[2,2,5,5]\n"
                 "%7 = matmul %6, %3 : f32[2,2,5,4]\n" JOIN,
          .has = "causal=true", .has_not = "softmax");
    /* heads merged with the batch */
    CHECK("fuse_attention",
          QKV SPLIT(3, "0", 5) SPLIT(4, "1", 3)
              SPLIT(50, "2",
                    3) "%51 = reshape %3 {shape=[4,5,4]} : f32[4,5,4]\n%52 = reshape %4 "
                       "{shape=[4,3,4]} : f32[4,3,4]\n"
                       "%53 = reshape %50 {shape=[4,3,4]} : f32[4,3,4]\n%54 = transpose %52 "
                       "{perm=[0,2,1]} : f32[4,4,3]\n"
                       "%60 = matmul %51, %54 : f32[4,5,3]\n%6 = softmax %60 : f32[4,5,3]\n%61 = "
                       "matmul %6, %53 : f32[4,5,4]\n"
                       "%7 = reshape %61 {shape=[2,2,5,4]} : f32[2,2,5,4]\n" JOIN,
          .has = "attention %0, %1, %2 {heads=2}", .has_not = "softmax");
    /* one head, not split */
    CHECK("fuse_attention",
          QKV "%3 = matmul %0, %1 {transpose_b=true} : f32[2,5,3]\n%4 = softmax %3 : f32[2,5,3]\n"
              "%5 = matmul %4, %2 : f32[2,5,8]\nreturn y=%5 }\n",
          .has = "attention %0, %1, %2 :", .has_not = "softmax");
    /* channels first, as a 1x1 conv leaves them: v p^T */
    CHECK("fuse_attention",
          HEAD("fused") "func @f(%0 q: f32[2,8,1,5] step, %1 k: f32[2,8,5,1] step) {\n"
                        "%2 = reshape %0 {shape=[2,2,4,5]} : f32[2,2,4,5]\n%3 = transpose %2 "
                        "{perm=[0,1,3,2]} "
                        ": f32[2,2,5,4]\n"
                        "%4 = reshape %1 {shape=[2,2,4,5]} : f32[2,2,4,5]\n%5 = matmul %3, %4 "
                        "{scale=0.5} : "
                        "f32[2,2,5,5]\n"
                        "%6 = softmax %5 : f32[2,2,5,5]\n%7 = matmul %4, %6 {transpose_b=true} : "
                        "f32[2,2,4,5]\n"
                        "%8 = reshape %7 {shape=[2,8,1,5]} : f32[2,8,1,5]\nreturn y=%8 }\n",
          .has = "attention", .has_not = "softmax");
    /* keys and values for the whole batch */
    CHECK("fuse_attention",
          HEAD("fused") "func @f(%0 q: f32[2,5,8] step, %1 k: f32[1,3,8] prompt) {\n" SPLIT(
              3, "0", 5) "%4 = reshape %1 {shape=[1,3,2,4]} : f32[1,3,2,4]\n%5 = transpose %4 "
                         "{perm=[0,2,1,3]} : "
                         "f32[1,2,3,4]\n"
                         "%60 = matmul %3, %5 {transpose_b=true} : f32[2,2,5,3]\n%6 = softmax %60 "
                         ": f32[2,2,5,3]\n"
                         "%7 = matmul %6, %5 : f32[2,2,5,4]\n" JOIN,
          .has = "attention %0, %1, %1 {heads=2}", .has_not = "softmax");
}

static void test_attention_refuses(void **state) {
    (void)state;
#define SCORES                                                                                     \
    "%60 = matmul %3, %4 {transpose_b=true} : f32[2,2,5,3]\n%6 = softmax %60 : f32[2,2,5,3]\n"
#define SPLITS QKV SPLIT(3, "0", 5) SPLIT(4, "1", 3) SPLIT(50, "2", 3)
    CHECK("fuse_attention",
          SPLITS SCORES
          "%7 = matmul %6, %50 : f32[2,2,5,4]\n"
          "%8 = transpose %7 {perm=[0,2,1,3]} : f32[2,5,2,4]\n%9 = reshape %8 {shape=[2,5,8]} "
          ": f32[2,5,8]\nreturn y=%9, p=%6 }\n",
          .has = "softmax", .report = "the weights have several users");
    CHECK("fuse_attention",
          SPLITS SCORES "%7 = matmul %6, %50 : f32[2,2,5,4]\n"
                        "%8 = reshape %7 {shape=[2,5,8]} : f32[2,5,8]\nreturn y=%8 }\n",
          .has = "softmax", .report = "the heads are not joined to tokens");
    CHECK("fuse_attention", SPLITS SCORES "%7 = matmul %6, %50 {scale=2.0} : f32[2,2,5,4]\n" JOIN,
          .has = "softmax", .report = "the product with v is scaled");
    CHECK("fuse_attention",
          SPLITS
          "%60 = matmul %3, %4 {transpose_b=true} : f32[2,2,5,3]\n%61 = relu %60 : f32[2,2,5,3]\n"
          "%6 = softmax %61 : f32[2,2,5,3]\n%7 = matmul %6, %50 : f32[2,2,5,4]\n" JOIN,
          .has = "softmax", .report = "the operand of softmax is not a matmul");
    CHECK(
        "fuse_attention",
        HEAD("fused") "func @f(%0 x: f32[2,7] step) {\n%1 = softmax %0 : f32[2,7]\nreturn y=%1 }\n",
        .has = "softmax", .report = "the operand of softmax is not a matmul");
}

/* ---- share_halves ---- */

#define PAIRED(body, out)                                                                          \
    HEAD("graph")                                                                                  \
    "func @f(%0 x: f32[2,24,5,3] step paired, %1 y: f32[2,8,5,3] prompt, %2 t: f32[1,8,1,1] "      \
    "schedule) {\n"                                                                                \
    "%3 = conv2d %0, @w8x24 {pad=[1,1,1,1]} : f32[2,8,5,3]\n" body "return y=" out " }\n"

static void test_share_halves(void **state) {
    (void)state;
    CHECK("share_halves",
          PAIRED("%4 = add %3, %2 : f32[2,8,5,3]\n%5 = silu %4 : f32[2,8,5,3]\n%6 = add %5, %1 : "
                 "f32[2,8,5,3]\n",
                 "%6"),
          .has = "= silu %5 : f32[1,8,5,3]", .has_not = "conv2d %0",
          .report = "1 matched, 0 refused");
    /* a transpose that moves the halves, a product over them, rows taken from both: not on one half
     */
    CHECK("share_halves",
          PAIRED("%4 = reshape %3 {shape=[2,120]} : f32[2,120]\n%5 = transpose %4 {perm=[1,0]} : "
                 "f32[120,2]\n"
                 "%6 = matmul %5, %4 : f32[120,120]\n%7 = slice %4 {axis=0, start=1, count=1} : "
                 "f32[1,120]\n",
                 "%6, z=%7"),
          .has = "conv2d %3, @w8x24 {pad=[1,1,1,1]} : f32[1,8,5,3]",
          .report = "1 matched, 0 refused");
    /* halves of memory are halves whatever the shape */
    CHECK("share_halves",
          PAIRED("%4 = reshape %3 {shape=[4,60]} : f32[4,60]\n%5 = softmax %4 : f32[4,60]\n", "%5"),
          .has = "softmax %5 : f32[2,60]", .report = "1 matched, 0 refused");
    CHECK("share_halves",
          HEAD("graph") "func @f(%0 x: f32[2,8,5,3] step paired, %1 y: f32[2,8,5,3] step) {\n%2 = "
                        "add %0, %1 "
                        ": f32[2,8,5,3]\n%3 = conv2d %2, @w8x8 : f32[2,8,3,1]\nreturn y=%3 }\n",
          .has = "f32[2,8,3,1]", .has_not = "slice", .report = "multiply-adds are saved");
}

/* ---- upsample_phases ---- */

static void test_upsample_phases(void **state) {
    (void)state;
    CHECK("pack_weights,upsample_phases",
          HEAD("fused") "func @f(%0 x: f32[2,8,5,3]:c16 step, %1 r: f32[2,8,10,6]:c16 step) {\n"
                        "%2 = pack_conv_weight @w8x8 : f32[1,1,3,3,16,16]\n"
                        "%3 = conv2d %0, %2, @v8, _, _, _, %1 {pad=[1,1,1,1], upsample=[10,6], "
                        "pre_act=silu, "
                        "n=8} : "
                        "f32[2,8,10,6]:c16\nreturn y=%3 }\n",
          .has = "conv2d_phases", .has_not = "conv2d ", .report = "1 matched, 0 refused");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dce),
        cmocka_unit_test(test_canonicalize_gates),
        cmocka_unit_test(test_canonicalize_algebra),
        cmocka_unit_test(test_canonicalize_moves),
        cmocka_unit_test(test_canonicalize_is_idempotent),
        cmocka_unit_test(test_fold_constants),
        cmocka_unit_test(test_groupnorm_silu),
        cmocka_unit_test(test_conv_epilogue),
        cmocka_unit_test(test_conv_epilogue_refuses),
        cmocka_unit_test(test_linear_epilogue),
        cmocka_unit_test(test_eliminate_concat),
        cmocka_unit_test(test_norm_prologue),
        cmocka_unit_test(test_upsample),
        cmocka_unit_test(test_elementwise),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_attention_refuses),
        cmocka_unit_test(test_share_halves),
        cmocka_unit_test(test_upsample_phases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
