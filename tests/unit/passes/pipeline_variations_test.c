/* The whole pipeline on a small network: stages, layouts, kernels, places; every optional pass off
 * in turn; the manager itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/passes/pass_case.h"

/* A network with one of everything: time MLP, class embedding, res block with time bias,
 * cross-attention over a context, skip concat, upsampling. B: batch; C: class labels are added when
 * it is not empty. */
#define NET(B, CLASS, EMB)                                                                         \
    "ebru ir 3 graph\n"                                                                            \
    "weight @n/t1.weight : f32[32,16] = random 1 0.3 0.0\nweight @n/t1.bias : f32[32] = random 2 " \
    "0.3 0.0\n"                                                                                    \
    "weight @n/classes.weight : f32[5,32] = random 3 0.3 0.0\n"                                    \
    "weight @n/in.weight : f32[16,3,3,3] = random 4 0.3 0.0\nweight @n/in.bias : f32[16] = "       \
    "random 5 0.3 "                                                                                \
    "0.0\n"                                                                                        \
    "weight @n/g : f32[16] = random 6 0.3 1.0\nweight @n/b : f32[16] = random 7 0.3 0.0\n"         \
    "weight @n/c1.weight : f32[20,16,3,3] = random 8 0.1 0.0\nweight @n/c1.bias : f32[20] = "      \
    "random 9 0.3 "                                                                                \
    "0.0\n"                                                                                        \
    "weight @n/temb.weight : f32[20,32] = random 10 0.3 0.0\nweight @n/temb.bias : f32[20] = "     \
    "random 11 0.3 "                                                                               \
    "0.0\n"                                                                                        \
    "weight @n/g2 : f32[20] = random 12 0.3 1.0\nweight @n/b2 : f32[20] = random 13 0.3 0.0\n"     \
    "weight @n/c2.weight : f32[16,20,3,3] = random 14 0.1 0.0\n"                                   \
    "weight @n/q.weight : f16[16,16] = random 15 0.3 0.0\nweight @n/k.weight : f32[16,12] = "      \
    "random 16 0.3 "                                                                               \
    "0.0\n"                                                                                        \
    "weight @n/v.weight : f32[16,12] = random 17 0.3 0.0\nweight @n/o.weight : f32[16,16,1,1] = "  \
    "random 18 "                                                                                   \
    "0.3 0.0\n"                                                                                    \
    "weight @n/o.bias : f32[16] = random 19 0.3 0.0\n"                                             \
    "weight @n/down.weight : f32[16,16,3,3] = random 20 0.1 0.0\nweight @n/up.weight : "           \
    "f32[16,16,3,3] = "                                                                            \
    "random 21 0.1 0.0\n"                                                                          \
    "weight @n/g3 : f32[32] = random 22 0.3 1.0\nweight @n/b3 : f32[32] = random 23 0.3 0.0\n"     \
    "weight @n/c3.weight : f32[16,32,3,3] = random 24 0.1 0.0\nweight @n/short.weight : "          \
    "f32[16,32,1,1] = "                                                                            \
    "random 25 0.3 0.0\n"                                                                          \
    "weight @n/out.weight : f32[3,16,3,3] = random 26 0.1 0.0\n"                                   \
    "func @n(%x sample: f32[" B ",3,6,4] step, %t timestep: f32[1] schedule, %c context: f32[" B   \
    ",7,12] prompt" CLASS ") {\n"                                                                  \
    "%t0 = timestep_embedding %t {dim=16} : f32[1,16]\n%t1 = linear %t0, @n/t1.weight, "           \
    "@n/t1.bias : "                                                                                \
    "f32[1,32]\n" EMB "%t4 = linear %t3, @n/temb.weight, @n/temb.bias : f32[" EB                   \
    ",20]\n%t5 = reshape %t4 {shape=[" EB ",20,1,1]} : f32[" EB ",20,1,1]\n"                       \
    "%0 = conv2d %x, @n/in.weight, @n/in.bias {pad=[1,1,1,1]} : f32[" B ",16,6,4]\n"               \
    "%1 = group_norm %0, @n/g, @n/b {groups=4} : f32[" B ",16,6,4]\n%2 = silu %1 : f32[" B         \
    ",16,6,4]\n"                                                                                   \
    "%3 = conv2d %2, @n/c1.weight, @n/c1.bias {pad=[1,1,1,1]} : f32[" B                            \
    ",20,6,4]\n%4 = add %3, %t5 : f32[" B ",20,6,4]\n"                                             \
    "%5 = group_norm %4, @n/g2, @n/b2 {groups=5} : f32[" B ",20,6,4]\n%6 = sigmoid %5 : f32[" B    \
    ",20,6,4]\n"                                                                                   \
    "%7 = mul %5, %6 : f32[" B ",20,6,4]\n%8 = conv2d %7, @n/c2.weight {pad=[1,1,1,1]} : f32[" B   \
    ",16,6,4]\n"                                                                                   \
    "%9 = add %8, %0 : f32[" B ",16,6,4]\n"                                                        \
    "%10 = conv2d %9, @n/down.weight {stride=[2,2], pad=[1,1,1,1]} : f32[" B ",16,3,2]\n"          \
    "%11 = reshape %10 {shape=[" B ",16,6]} : f32[" B                                              \
    ",16,6]\n%12 = transpose %11 {perm=[0,2,1]} : f32[" B ",6,16]\n"                               \
    "%13 = layer_norm %12, @n/g, @n/b : f32[" B ",6,16]\n%14 = linear %13, @n/q.weight : f32[" B   \
    ",6,16]\n"                                                                                     \
    "%15 = linear %c, @n/k.weight : f32[" B ",7,16]\n%16 = linear %c, @n/v.weight : f32[" B        \
    ",7,16]\n"                                                                                     \
    "%17 = reshape %14 {shape=[" B ",6,2,8]} : f32[" B                                             \
    ",6,2,8]\n%18 = transpose %17 {perm=[0,2,1,3]} : f32[" B ",2,6,8]\n"                           \
    "%19 = reshape %15 {shape=[" B ",7,2,8]} : f32[" B                                             \
    ",7,2,8]\n%20 = transpose %19 {perm=[0,2,1,3]} : f32[" B ",2,7,8]\n"                           \
    "%21 = reshape %16 {shape=[" B ",7,2,8]} : f32[" B                                             \
    ",7,2,8]\n%22 = transpose %21 {perm=[0,2,1,3]} : f32[" B ",2,7,8]\n"                           \
    "%23 = matmul %18, %20 {transpose_b=true, scale=0.35} : f32[" B                                \
    ",2,6,7]\n%24 = softmax %23 : f32[" B ",2,6,7]\n"                                              \
    "%25 = matmul %24, %22 : f32[" B ",2,6,8]\n%26 = transpose %25 {perm=[0,2,1,3]} : f32[" B      \
    ",6,2,8]\n"                                                                                    \
    "%27 = reshape %26 {shape=[" B ",6,16]} : f32[" B                                              \
    ",6,16]\n%28 = linear %27, @n/o.weight, @n/o.bias : f32[" B ",6,16]\n"                         \
    "%29 = add %28, %12 : f32[" B ",6,16]\n%30 = transpose %29 {perm=[0,2,1]} : f32[" B ",16,6]\n" \
    "%31 = reshape %30 {shape=[" B ",16,3,2]} : f32[" B ",16,3,2]\n"                               \
    "%32 = resize_nearest %31 {size=[6,4]} : f32[" B                                               \
    ",16,6,4]\n%33 = conv2d %32, @n/up.weight {pad=[1,1,1,1]} : f32[" B ",16,6,4]\n"               \
    "%34 = concat %33, %9 {axis=1} : f32[" B                                                       \
    ",32,6,4]\n%35 = group_norm %34, @n/g3, @n/b3 {groups=8} : f32[" B ",32,6,4]\n"                \
    "%36 = silu %35 : f32[" B ",32,6,4]\n%37 = conv2d %36, @n/c3.weight {pad=[1,1,1,1]} : f32[" B  \
    ",16,6,4]\n"                                                                                   \
    "%38 = conv2d %34, @n/short.weight : f32[" B ",16,6,4]\n%39 = add %37, %38 : f32[" B           \
    ",16,6,4]\n"                                                                                   \
    "%40 = affine %39 {mul=0.5, add=0.125} : f32[" B ",16,6,4]\n%41 = tanh %40 : f32[" B           \
    ",16,6,4]\n"                                                                                   \
    "%42 = conv2d %41, @n/out.weight {pad=[1,1,1,1]} : f32[" B ",3,6,4]\n"                         \
    "return sample=%42, mid=%31 }\n"
#define EB "1"
static const char plain_net[] = NET("1", "", "%t3 = silu %t1 : f32[1,32]\n");
static const char batch_net[] = NET("2", "", "%t3 = silu %t1 : f32[1,32]\n");
static const char class_net[] =
    NET("1", ", %y class_labels: i32[1] prompt",
        "%y1 = embedding %y, @n/classes.weight : f32[1,32]\n%t2 = add %t1, %y1 : f32[1,32]\n"
        "%t3 = silu %t2 : f32[1,32]\n");
#undef EB
#define EB "2"
static const char class_batch_net[] =
    NET("2", ", %y class_labels: i32[2] prompt",
        "%y1 = embedding %y, @n/classes.weight : f32[2,32]\n%t2 = add %t1, %y1 : f32[2,32]\n"
        "%t3 = silu %t2 : f32[2,32]\n");
static const char *const nets[] = {plain_net, batch_net, class_net, class_batch_net};
enum { NETS = 4 };

/* ---- the values of a whole step, whatever functions there are ---- */

static void give_input(case_values *to, case_values *from, const char *name) {
    ir_tensor *t = case_find(from, name);
    if (!t) return;
    case_value *v = &to->items[to->count++];
    snprintf(v->name, sizeof v->name, "%s", name);
    v->tensor.type = t->type;
    size_t bytes = (size_t)ir_type_elements(&t->type) * sizeof(float);
    v->tensor.data = base_alloc(bytes);
    memcpy(v->tensor.data, t->data, bytes);
}

/* Runs prompt, schedule and step (those that are there), the step on `row` of the schedule. */
static void run_stages(const ir_module *m, case_values *v, uint32_t row) {
    static const char *const names[] = {"n.prompt", "n.schedule", "n.step", "n"};
    for (int i = 0; i < 4; i++)
        if (ir_func_find(m, names[i])) case_eval(ir_func_find(m, names[i]), v, row);
}

/* After `options` the module computes what it did before, for two rows of the schedule. */
static void same_values(const char *text, const ir_module *after) {
    for (uint32_t row = 0; row < 2; row++) {
        ir_module *m = case_parse(text);
        case_values got = {0}, want = {0};
        run_stages(after, &got, row);
        static const char *const inputs[] = {"sample", "timestep", "context", "class_labels"};
        for (int i = 0; i < 4; i++) give_input(&want, &got, inputs[i]);
        ir_tensor *t = case_find(&want, "timestep");
        run_stages(m, &want, t->type.dim[0] > 1 ? row : 0);
        case_compare(case_find_output(&want, "sample"), case_find_output(&got, "sample"), "sample");
        case_compare(case_find(&want, "mid"), case_find(&got, "mid"), "mid");
        case_free_values(&got);
        case_free_values(&want);
        ir_module_free(m);
    }
}

static bool run(ir_module *m, const pass_options *o, base_str *report) {
    base_diag *d = base_diag_new(&(base_diag_options){.out = stderr});
    pass_context *c = pass_context_new(m, case_target());
    bool fine = pass_run(c, o, d);
    base_diag_flush(d);
    assert_int_equal(fine, base_diag_errors(d) == 0);
    if (report) pass_report(c, report);
    pass_context_free(c);
    base_diag_free(d);
    return fine;
}

static pass_options checked(void) {
    pass_options o = PASS_OPTIONS_DEFAULT;
    o.verify_each = true;
    return o;
}

/* ---- tests ---- */

static void test_road(void **state) {
    (void)state;
    for (int i = 0; i < NETS; i++) {
        ir_module *m = case_parse(nets[i]);
        pass_options o = checked();
        assert_true(run(m, &o, NULL));
        assert_int_equal(m->level, IR_PLACED);
        same_values(nets[i], m);
        ir_module_free(m);
    }
}

static void test_every_pass_off(void **state) {
    (void)state;
    for (uint32_t p = 0; p < pass_count(); p++) {
        const char *name = pass_get(p)->name;
        ir_module *m = case_parse(class_net);
        pass_options o = checked();
        o.disabled = &name;
        o.disabled_count = 1;
        bool optional = !(pass_get(p)->flags & PASS_REQUIRED);
        if (optional) {
            assert_true(run(m, &o, NULL));
            assert_int_equal(m->level, IR_PLACED);
            same_values(class_net, m);
        } else { /* refused before anything runs */
            base_diag *d = base_diag_new(&(base_diag_options){.out = fopen("/dev/null", "w")});
            pass_context *c = pass_context_new(m, case_target());
            assert_false(pass_run(c, &o, d));
            assert_int_equal(m->level, IR_GRAPH);
            pass_context_free(c);
            base_diag_free(d);
        }
        ir_module_free(m);
    }
}

static void test_all_optional_passes_off(void **state) {
    (void)state;
    const char *names[64];
    uint32_t n = 0;
    for (uint32_t p = 0; p < pass_count(); p++)
        if (!(pass_get(p)->flags & PASS_REQUIRED)) names[n++] = pass_get(p)->name;
    for (int i = 0; i < NETS; i++) {
        ir_module *m = case_parse(nets[i]);
        pass_options o = checked();
        o.disabled = names;
        o.disabled_count = n;
        assert_true(run(m, &o, NULL));
        same_values(nets[i], m);
        ir_module_free(m);
    }
}

static void test_bisect(void **state) {
    (void)state;
    for (int64_t limit = 0; limit < 16; limit += 3) {
        ir_module *m = case_parse(batch_net);
        pass_options o = checked();
        o.print_to = fopen("/dev/null", "w");
        o.bisect_limit = limit;
        assert_true(run(m, &o, NULL));
        same_values(batch_net, m);
        fclose(o.print_to);
        ir_module_free(m);
    }
}

/* Stopping after any pass, printing, reading back and going on ends where an uninterrupted run
 * ends. */
static void test_stop_and_go(void **state) {
    (void)state;
    ir_module *straight = case_parse(plain_net);
    pass_options o = checked();
    assert_true(run(straight, &o, NULL));
    base_str want = {0};
    ir_print(straight, &want);
    for (uint32_t p = 0; p < pass_count(); p++) {
        ir_module *m = case_parse(plain_net);
        o = checked();
        o.stop_after = pass_get(p)->name;
        assert_true(run(m, &o, NULL));
        base_str dump = {0}, got = {0};
        ir_print(m, &dump);
        ir_module_free(m);
        m = case_parse(dump.data);
        o = checked();
        assert_true(run(m, &o, NULL));
        ir_print(m, &got);
        assert_string_equal(want.data, got.data);
        base_str_free(&dump);
        base_str_free(&got);
        ir_module_free(m);
    }
    base_str_free(&want);
    ir_module_free(straight);
}

static void test_stages(void **state) {
    (void)state;
    ir_module *m = case_parse(plain_net);
    base_str report = case_run(m, "canonicalize,split_stages");
    assert_int_equal(m->funcs.count, 3);
    case_has(m, "func @n.prompt(%0 context : f32[1,7,12] prompt)");
    case_has(m, "func @n.schedule(%0 timestep : f32[8] schedule)");
    case_has(m, "\"%temb\" : f32[1,20] schedule");
    assert_non_null(strstr(report.data, "moved: k: linear to n.prompt"));
    assert_non_null(strstr(report.data, "moved: temb: linear to n.schedule"));
    same_values(plain_net, m);
    base_str_free(&report);
    ir_module_free(m);

    /* with the class of one image rows broadcast; of two they do not, and the schedule stays at one
     * row */
    m = case_parse(class_net);
    report = case_run(m, "split_stages");
    case_has(m, "timestep : f32[8] schedule");
    case_has(m, "classes");
    base_str_free(&report);
    ir_module_free(m);
    m = case_parse(class_batch_net);
    report = case_run(m, "split_stages");
    case_has(m, "timestep : f32[1] schedule");
    case_has(m, "\"%temb\" : f32[2,20] schedule");
    same_values(class_batch_net, m);
    base_str_free(&report);
    ir_module_free(m);
}

/* A change of shape inside the schedule keeps its rows; an op that mixes rows keeps the schedule at
 * one. */
static void test_rows(void **state) {
    (void)state;
    static const char text[] =
        "ebru ir 3 graph\nfunc @n(%0 sample: f32[1,6] step, %1 timestep: f32[1] schedule, %2 mid: "
        "f32[1,6] "
        "step) {\n"
        "%3 = timestep_embedding %1 {dim=6} : f32[1,6]\n%4 = reshape %3 {shape=[1,2,3]} : "
        "f32[1,2,3]\n"
        "%5 = OP\n%6 = reshape %5 {shape=[1,6]} : f32[1,6]\n%7 = add %0, %6 : f32[1,6]\n"
        "%8 = add %2, %0 : f32[1,6]\nreturn sample=%7, mid=%8 }\n";
    /* the third: rows of a value of lower rank would be taken for columns */
    static const char *const ops[] = {"exp %4 : f32[1,2,3]", "softmax %4 : f32[1,2,3]",
                                      "add %4, %1 : f32[1,2,3]"};
    for (int i = 0; i < 3; i++) {
        base_str full = {0};
        const char *mark = strstr(text, "OP");
        base_str_addn(&full, text, (size_t)(mark - text));
        base_str_add(&full, ops[i]);
        base_str_add(&full, mark + 2);
        ir_module *m = case_parse(full.data);
        base_str report = case_run(m, "split_stages");
        case_has(m, i ? "timestep : f32[1] schedule" : "reshape %1 {shape=[8,2,3]}");
        case_values got = {0}, want = {0};
        run_stages(m, &got, 1);
        ir_module *whole = case_parse(full.data);
        run_stages(whole, &want, 0);
        if (i)
            case_compare(case_find_output(&want, "sample"), case_find_output(&got, "sample"),
                         "sample");
        case_free_values(&got);
        case_free_values(&want);
        base_str_free(&report);
        base_str_free(&full);
        ir_module_free(whole);
        ir_module_free(m);
    }
}

/* Nothing to move: the function keeps its name. */
static void test_stages_of_one_stage(void **state) {
    (void)state;
    static const char *const whole[] = {
        "ebru ir 3 graph\nfunc @n(%0 x: f32[2,3] step) { %1 = relu %0 : f32[2,3] return y=%1 }\n",
        "ebru ir 3 graph\nfunc @n(%0 x: f32[2,3] prompt, %1 z: f32[2,3] schedule) { %2 = relu %0 : "
        "f32[2,3] "
        "return y=%2 }\n",
        /* a change of shape is no work */
        "ebru ir 3 graph\nfunc @n(%0 x: f32[2,3] step, %1 z: f32[6] prompt) { %2 = reshape %1 "
        "{shape=[2,3]} "
        ": f32[2,3]\n"
        "%3 = add %0, %2 : f32[2,3] return y=%3 }\n",
        "ebru ir 3 graph\nweight @w : f32[3] = random 1 1.0 0.0\n"
        "func @n(%0 x: f32[2,3] step) { %1 = relu @w : f32[3] %2 = add %0, %1 : f32[2,3] return "
        "y=%2 }\n"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        ir_module *m = case_same(whole[i], "split_stages", NULL);
        assert_int_equal(m->funcs.count, 1);
        assert_string_equal(m->funcs.items[0]->name, "n");
        ir_module_free(m);
    }
}

/* Only silu(x) is shipped when only that is read, and a reshape stays with its reader. */
static void test_cheap_frontier(void **state) {
    (void)state;
    ir_module *m = case_parse("ebru ir 3 graph\nfunc @n(%0 x: f32[1,6] step, %1 z: f32[2,3] "
                              "prompt, %9 unread: f32[1] prompt) {\n"
                              "%2 = exp %1 : f32[2,3]\n%3 = silu %2 : f32[2,3]\n%4 = reshape %3 "
                              "{shape=[1,6]} : f32[1,6]\n"
                              "%5 = add %0, %4 : f32[1,6]\nreturn y=%5, early=%3 }\n");
    base_str report = case_run(m, "split_stages");
    case_has(m, "return \"%silu\" = %2");
    case_has(m, "reshape %2 {shape=[1,6]}");
    case_has(m, "%1 unread : f32[1] prompt"); /* the signature stays */
    base_str_free(&report);
    ir_module_free(m);
}

static void test_packing_leaves(void **state) {
    (void)state;
    ir_module *m = case_parse(plain_net);
    base_str report = {0};
    pass_options o = checked();
    o.stop_after = "dce_fused";
    assert_true(run(m, &o, &report));
    const ir_func *step = ir_func_find(m, "n.step"), *prompt = ir_func_find(m, "n.prompt");
    uint32_t packs = 0;
    for (size_t i = 0; i < step->nodes.count; i++)
        if (step->nodes.items[i].op == IR_OP_pack_k || step->nodes.items[i].op == IR_OP_pack_v)
            fail();
    for (size_t i = 0; i < prompt->nodes.count; i++)
        packs +=
            prompt->nodes.items[i].op == IR_OP_pack_k || prompt->nodes.items[i].op == IR_OP_pack_v;
    assert_int_equal(packs, 2);
    assert_int_equal(prompt->outputs.count,
                     2); /* the keys and values themselves are shipped no more */
    assert_non_null(strstr(report.data, "pack_k to n.prompt"));
    base_str_free(&report);
    ir_module_free(m);
}

static void test_layout(void **state) {
    (void)state;
    ir_module *m = case_parse(plain_net);
    base_str report = case_run(
        m, "canonicalize,fuse_groupnorm_silu,fuse_attention,fuse_conv_epilogue,eliminate_concat,"
           "fuse_norm_prologue,fuse_upsample,fuse_elementwise,lay_out,pack_weights,dce_fused");
    const ir_func *f = m->funcs.items[0];
    uint32_t casts = 0, moves = 0;
    for (size_t i = 0; i < f->nodes.count; i++) {
        casts += f->nodes.items[i].op == IR_OP_layout_cast;
        moves += f->nodes.items[i].op == IR_OP_transpose || f->nodes.items[i].op == IR_OP_reshape;
    }
    assert_int_equal(moves, 0); /* images become tokens, and back, for nothing */
    assert_int_equal(casts,
                     4); /* sample and context on the way in, sample and mid on the way out */
    base_str again = case_run(m, "lay_out,pack_weights");
    base_str_free(&again);
    base_str_free(&report);
    ir_module_free(m);
}

/* Shapes that have no c16 kernel of their own, narrow weights, constants at outputs. */
static void test_layout_corners(void **state) {
    (void)state;
    static const char rest[] =
        "lay_out,pack_weights,tile_attention,dce_fused,select_kernels,plan_memory";
    static const char *const cases[] = {
        HEAD("fused") "func @f(%0 x: f32[8] step, %1 z: f32[2,3,2,8] step) {\n%2 = linear %0, "
                      "@l20x8, @v20 : "
                      "f32[20]\n"
                      "%3 = linear %1, @h8x8 : f32[2,3,2,8]\n%4 = layer_norm %3, @v8, @u8 : "
                      "f32[2,3,2,8]\n"
                      "%5 = geglu %4 : f32[2,3,2,4]\nreturn a=%2, b=%5 }\n",
        HEAD("fused") "func @f(%0 x: f32[2,8,5] step, %1 z: f32[2,8] step) {\n"
                      "%2 = group_norm %0, @v8, @u8 {groups=2, act=silu} : f32[2,8,5]\n"
                      "%3 = group_norm %1, @v8, @u8 {groups=2} : f32[2,8]\nreturn a=%2, b=%3 }\n",
        HEAD("fused") "func @f(%0 x: f32[2,16,5,3] step, %1 s: f32[2,8,5,3] step) {\n"
                      "%2 = group_norm %0, @v24, @u24, %1 {groups=6} : f32[2,24,5,3]\nreturn a=%2 "
                      "}\n",
        HEAD("fused") "func @f(%0 i: i32[2,6] prompt, %1 j: i32[3] prompt) {\n%2 = embedding %0, "
                      "@table, "
                      "@places : f32[2,6,20]\n"
                      "%3 = embedding %1, @table : f32[3,20]\n%4 = add %2, %2 : "
                      "f32[2,6,20]\nreturn a=%4, "
                      "b=%3 }\n",
        /* outputs: an input, one value twice, a view of an input */
        HEAD("fused") "func @f(%0 x: f32[2,16] step) {\n%1 = relu %0 : f32[2,16]\n%2 = reshape %0 "
                      "{shape=[32]} : f32[32]\n"
                      "return a=%0, d=%1, e=%1, g=%2 }\n",
        /* broadcasts of every kind beside a c16 value, and constants that are computed */
        HEAD("fused") "func @f(%0 x: f32[2,8,5,3] step, %1 c: f32[8,1,1] step, %2 r: f32[2,1,5,3] "
                      "step, %3 "
                      "w: f32[3] step) {\n"
                      "%4 = conv2d %0, @w8x8 {pad=[1,1,1,1]} : f32[2,8,5,3]\n%5 = mul %4, %1 : "
                      "f32[2,8,5,3]\n"
                      "%6 = add %5, %2 : f32[2,8,5,3]\n%7 = sub %3, %6 : f32[2,8,5,3]\n%8 = mul "
                      "@one, %7 : "
                      "f32[2,8,5,3]\n"
                      "%9 = reshape @v8 {shape=[8,1,1]} : f32[8,1,1]\n%10 = exp %9 : f32[8,1,1]\n"
                      "%11 = div %8, %10 : f32[2,8,5,3]\nreturn a=%11 }\n",
        /* channels cut and joined; a batch axis joined */
        HEAD("fused") "func @f(%0 x: f32[2,8,5,3] step) {\n%1 = conv2d %0, @w8x8 {pad=[1,1,1,1]} : "
                      "f32[2,8,5,3]\n"
                      "%2 = slice %1 {axis=1, start=3, count=5} : f32[2,5,5,3]\n%3 = slice %1 "
                      "{axis=2, "
                      "start=1, count=2} : f32[2,8,2,3]\n"
                      "%4 = concat %1, %2, %1 {axis=1} : f32[2,21,5,3]\n%5 = concat %3, %3 "
                      "{axis=0} : "
                      "f32[4,8,2,3]\n"
                      "return a=%4, b=%5 }\n",
        /* pools, and reshapes between vectors, tokens and images of one pixel */
        HEAD("fused") "func @f(%0 x: f32[2,8,4,4] step) {\n%1 = max_pool2d %0 : f32[2,8,2,2]\n%2 = "
                      "avg_pool2d %1 : f32[2,8,1,1]\n"
                      "%3 = reshape %2 {shape=[2,8]} : f32[2,8]\n%4 = linear %3, @l8x8 : f32[2,8]\n"
                      "%5 = reshape %4 {shape=[2,1,8]} : f32[2,1,8]\n%6 = linear %5, @l20x8 : "
                      "f32[2,1,20]\n"
                      "%7 = reshape %6 {shape=[2,20,1,1]} : f32[2,20,1,1]\n%8 = relu %7 : "
                      "f32[2,20,1,1]\n"
                      "%9 = reshape %6 {shape=[40]} : f32[40]\nreturn a=%8, b=%9 }\n",
        /* images of one element */
        HEAD("fused") "func @f(%0 x: f32[1,8,4,4] step) {\n%1 = avg_pool2d %0 {kernel=[4,4]} : "
                      "f32[1,8,1,1]\n"
                      "%2 = slice %1 {axis=1, start=0, count=1} : f32[1,1,1,1]\n%3 = tanh %2 : "
                      "f32[1,1,1,1]\n"
                      "%4 = add %3, %2 : f32[1,1,1,1]\n%5 = mul %0, %4 : f32[1,8,4,4]\nreturn "
                      "a=%5, b=%3 }\n",
        /* attention over one query, and keys for the whole batch */
        HEAD("fused") "func @f(%0 q: f32[2,1,8] step, %1 k: f32[1,3,8] prompt) {\n"
                      "%2 = attention %0, %1, %1 {heads=2, scale=0.5} : f32[2,1,8]\nreturn a=%2 "
                      "}\n"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ir_module_free(case_same(cases[i], rest, NULL));
}

static void test_image_to_tokens_both_ways(void **state) {
    (void)state;
    ir_module *m = case_same(
        HEAD("fused") "func @f(%0 x: f32[2,8,2,3] step) {\n%1 = conv2d %0, @w8x8 {pad=[1,1,1,1]} : "
                      "f32[2,8,2,3]\n"
                      "%2 = transpose %1 {perm=[0,2,3,1]} : f32[2,2,3,8]\n%3 = reshape %2 "
                      "{shape=[2,6,8]} : "
                      "f32[2,6,8]\n"
                      "%4 = linear %3, @l8x8 : f32[2,6,8]\n%5 = reshape %4 {shape=[2,2,3,8]} : "
                      "f32[2,2,3,8]\n"
                      "%6 = transpose %5 {perm=[0,3,1,2]} : f32[2,8,2,3]\n%7 = conv2d %6, @w8x8b "
                      "{pad=[1,1,1,1]} : f32[2,8,2,3]\n"
                      "return a=%7 }\n",
        "lay_out,pack_weights", NULL);
    case_has_not(m, "transpose");
    ir_module_free(m);
    /* the look-alike that splits channels instead of pixels must move data */
    m = case_same(
        HEAD("fused") "func @f(%0 x: f32[2,8,2,2] step) {\n%1 = conv2d %0, @w8x8 {pad=[1,1,1,1]} : "
                      "f32[2,8,2,2]\n"
                      "%2 = reshape %1 {shape=[2,4,8]} : f32[2,4,8]\n%3 = transpose %2 "
                      "{perm=[0,2,1]} : f32[2,8,4]\n"
                      "return a=%3 }\n",
        "lay_out,pack_weights", NULL);
    case_has(m, "transpose");
    ir_module_free(m);
}

static void test_plan(void **state) {
    (void)state;
    ir_module *m = case_parse(plain_net);
    pass_options o = checked();
    pass_context *c = pass_context_new(m, case_target());
    base_diag *d = base_diag_new(NULL);
    assert_true(pass_run(c, &o, d));
    for (size_t i = 0; i < c->memory.funcs.count; i++) {
        const pass_plan *p = &c->memory.funcs.items[i];
        assert_true(p->bound <= p->arena_bytes && p->arena_bytes <= p->total);
        assert_int_equal(p->arena_bytes, ir_func_find(m, p->func)->arena_bytes);
    }
    uint64_t weights = c->memory.weights_bytes;
    pass_context_free(c);
    ir_module_free(m);

    /* one buffer a tensor: the same network needs more, and the same weights */
    m = case_parse(plain_net);
    c = pass_context_new(m, case_target());
    o.separate_buffers = true;
    assert_true(pass_run(c, &o, d));
    const pass_plan *step = &c->memory.funcs.items[c->memory.funcs.count - 1];
    assert_int_equal(step->arena_bytes, step->total);
    assert_true(step->bound < step->total);
    assert_int_equal(c->memory.weights_bytes, weights);
    same_values(plain_net, m);
    pass_context_free(c);
    ir_module_free(m);
    base_diag_free(d);
}

/* Two functions over the same weights share their packed form; a chain of elementwise ops stays in
 * one buffer. */
static void test_plan_shares(void **state) {
    (void)state;
    ir_module *m = case_parse(HEAD("fused") "func @f(%0 x: f32[1,4,8] step) {\n%1 = linear %0, "
                                            "@l8x8, @v8 : f32[1,4,8]\nreturn y=%1 }\n"
                                            "func @g(%0 x: f32[2,4,8] step) {\n%1 = linear %0, "
                                            "@l8x8, @v8 : f32[2,4,8]\nreturn y=%1 "
                                            "}\n");
    base_str report = case_run(m, "lay_out,pack_weights,tile_attention,select_kernels,plan_memory");
    assert_non_null(strstr(report.data, "packed weights 1088 bytes")); /* 16x16 and 16 floats */
    base_str_free(&report);
    ir_module_free(m);
    m = case_parse(HEAD("fused") "func @f(%0 x: f32[1,16,8,8] step) {\n%1 = max_pool2d %0 "
                                 "{kernel=[1,1], stride=[1,1]} "
                                 ": f32[1,16,8,8]\n"
                                 "%2 = relu %1 : f32[1,16,8,8]\n%3 = silu %2 : f32[1,16,8,8]\n"
                                 "%4 = max_pool2d %3 {kernel=[1,1], stride=[1,1]} : "
                                 "f32[1,16,8,8]\nreturn y=%4 }\n");
    report = case_run(m, "lay_out,pack_weights,tile_attention,select_kernels,plan_memory");
    assert_non_null(strstr(report.data, "f: arena 8192 bytes, lower bound 8192"));
    base_str_free(&report);
    ir_module_free(m);
    /* two parts of one weight are two packed weights; one value at two outputs is copied */
    m = case_parse(
        HEAD("fused") "func @f(%0 x: f32[1,4,8] step) {\n%1 = slice @l20x8 {start=0, count=8} : "
                      "f32[8,8]\n"
                      "%2 = slice @l20x8 {start=8, count=8} : f32[8,8]\n%3 = linear %0, %1 : "
                      "f32[1,4,8]\n"
                      "%4 = linear %0, %2 : f32[1,4,8]\nreturn y=%3, z=%4, again=%4 }\n");
    report = case_run(m, "lay_out,pack_weights,tile_attention,select_kernels,plan_memory");
    assert_non_null(strstr(report.data, "packed weights 2048 bytes"));
    case_has(m, "= copy %");
    base_str_free(&report);
    ir_module_free(m);
}

/* ---- what the user gets wrong ---- */

static char *errors_of(const char *text, const pass_options *o) {
    char *messages = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&messages, &n);
    base_diag *d = base_diag_new(&(base_diag_options){.out = out});
    ir_module *m = case_parse(text);
    pass_context *c = pass_context_new(m, case_target());
    assert_false(pass_run(c, o, d));
    pass_context_free(c);
    ir_module_free(m);
    base_diag_flush(d);
    base_diag_free(d);
    fclose(out);
    return messages;
}

static void expect_error(const char *text, const pass_options *o, const char *want) {
    char *messages = errors_of(text, o);
    if (!strstr(messages, want)) fail_msg("expected: %s\nfound: %s", want, messages);
    free(messages);
}

static void test_errors(void **state) {
    (void)state;
    pass_options o = PASS_OPTIONS_DEFAULT;
    o.passes = "dce,lay_ou";
    expect_error(plain_net, &o, "unknown pass 'lay_ou'");
    expect_error(plain_net, &o, "did you mean 'lay_out'?");
    o.passes = "tile_attention";
    expect_error(plain_net, &o,
                 "'tile_attention' needs IR with property LAID_OUT: run pass 'lay_out' before it");
    o.passes = "lay_out,canonicalize";
    expect_error(
        plain_net, &o,
        "pass 'canonicalize' works at level graph, but the module is at level fused already");
    o.passes = "lay_out,fuse_elementwise";
    expect_error(plain_net, &o,
                 "pass 'fuse_elementwise' comes too late: needed is IR where every value is plain");
    o.passes = "plan_memory";
    expect_error(plain_net, &o, "needs the module at level kernel");
    o = PASS_OPTIONS_DEFAULT;
    o.stop_after = "nothing";
    expect_error(plain_net, &o, "--stop-after: unknown pass 'nothing'");
    o = PASS_OPTIONS_DEFAULT;
    const char *off[] = {"lay_out"};
    o.disabled = off;
    o.disabled_count = 1;
    expect_error(plain_net, &o, "pass 'lay_out' is required");
    o = PASS_OPTIONS_DEFAULT;
    o.dump_dir = "/nonexistent/dir";
    expect_error(plain_net, &o, "cannot write '/nonexistent/dir/00-input.ir'");
    o = PASS_OPTIONS_DEFAULT;
    expect_error(
        HEAD("graph") "func @f(%0 a: f32[2,3] step, %1 b: f32[3,4] step) {\n%2 = matmul %0, %1 : "
                      "f32[2,4]\nreturn y=%2 }\n",
        &(pass_options){.passes = "lay_out,pack_weights,tile_attention,select_kernels",
                        .bisect_limit = -1},
        "test has no kernel for this node: the test target has no product");
    expect_error(
        HEAD("fused") "func @f(%0 x: f32[2] step) {\n%1 = relu %0 : f32[2]\nreturn y=%1, b=@v8 }\n",
        &(pass_options){.passes = "lay_out,pack_weights,tile_attention,select_kernels",
                        .bisect_limit = -1},
        "output 'b' does not depend on any input");
}

/* A reader of the report is told what to change: of every pass that may refuse something. */
static void test_advice(void **state) {
    (void)state;
    for (uint32_t i = 0; i < pass_count(); i++)
        if (pass_get(i)->flags & PASS_FUSION) {
            const char *advice = pass_get(i)->advice;
            if (!advice || strlen(advice) < 30) fail_msg("%s has no advice", pass_get(i)->name);
        }
    assert_null(pass_find("dce")->advice);
}

static uint32_t times_asked;
static double asked(const ir_target *t, ir_func *f, ir_ref node, ir_way way) {
    (void)t, (void)f, (void)node, (void)way;
    times_asked++;
    return 0;
}

/* The IR behind the last pass that decides for all CPU levels alike. */
static base_str decided_alike(const ir_target *target, const ir_target *widest) {
    base_diag *d = base_diag_new(&(base_diag_options){.out = stderr});
    ir_module *m = case_parse(plain_net);
    pass_context *c = pass_context_new(m, target);
    pass_options o = checked();
    o.stop_after = "fuse_feed_forward";
    o.widest = widest;
    assert_true(pass_run(c, &o, d));
    assert_ptr_equal(c->target, target);
    base_str text = {0};
    ir_print(m, &text);
    pass_context_free(c);
    ir_module_free(m);
    base_diag_free(d);
    return text;
}

/* Levels of one program share weights and functions: only what they have in common decides. */
static void test_levels_decide_alike(void **state) {
    (void)state;
    ir_target low = *case_target(), wide = low;
    low.level = "low";
    low.threads = 99;
    low.l1d = low.l2 = low.l3 = 1;
    low.lanes = 4;
    wide.lanes = 16;
    low.measured = wide.measured = asked;
    times_asked = 0;
    base_str a = decided_alike(&low, &wide), b = decided_alike(&wide, &wide);
    assert_string_equal(a.data, b.data);
    assert_int_equal(times_asked, 0);
    base_str_free(&a);
    base_str_free(&b);
    a = decided_alike(&low, NULL); /* a program of one level knows its times */
    assert_true(times_asked > 0);
    base_str_free(&a);
}

/* IR that is laid out already and does not say which passes it has seen: what comes too late is
 * left out. */
static void test_laid_out_input(void **state) {
    (void)state;
    ir_module *m = case_parse(plain_net);
    base_str report = case_run(m, "canonicalize,lay_out,pack_weights"), text = {0};
    ir_print(m, &text);
    ir_module_free(m);
    m = case_parse(text.data);
    pass_options o = checked();
    assert_true(run(m, &o, NULL));
    assert_int_equal(m->level, IR_PLACED);
    same_values(plain_net, m);
    ir_module_free(m);
    base_str_free(&text);
    base_str_free(&report);
}

/* A target that binds nonsense stands for a broken pass: the IR is kept, the process ends with 70.
 */
static bool bind_nonsense(const ir_target *t, ir_func *f, ir_ref node, ir_binding **out,
                          base_str *reason) {
    bool fine = case_target()->bind(t, f, node, out, reason);
    if (fine) (*out)->tasks = 0;
    return fine;
}

static void test_broken_pass(void **state) {
    (void)state;
    char dir[] = "/tmp/passes_test_XXXXXX";
    assert_non_null(mkdtemp(dir));
    pid_t child = fork();
    if (!child) {
        if (!freopen("/dev/null", "w", stderr)) _exit(1);
        ir_module *m = case_parse(plain_net);
        ir_target target = *case_target();
        target.bind = bind_nonsense;
        pass_context *c = pass_context_new(m, &target);
        pass_options o = checked();
        o.dump_dir = dir;
        pass_run(c, &o, base_diag_new(NULL));
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 70);
    base_str command = {0};
    base_str_addf(&command, "grep -q 'tasks=0' %s/ebru-bad.ir && rm -r %s", dir, dir);
    assert_int_equal(system(command.data), 0);
    base_str_free(&command);
}

static void test_dumps_and_times(void **state) {
    (void)state;
    char dir[] = "/tmp/passes_test_XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *text = NULL;
    size_t n = 0;
    ir_module *m = case_parse(plain_net);
    pass_options o = checked();
    o.dump_dir = dir;
    o.time_passes = true;
    o.print_after = "all";
    o.print_changed = true;
    o.print_to = open_memstream(&text, &n);
    assert_true(run(m, &o, NULL));
    fclose(o.print_to);
    assert_non_null(strstr(text, "after lay_out"));
    assert_non_null(strstr(text, "plan_memory"));
    free(text);
    ir_module_free(m);
    base_str path = {0};
    for (uint32_t i = 0; i <= pass_count(); i++) {
        path.len = 0;
        base_str_addf(&path, "%s/%02u-%s.ir", dir, i, i ? pass_get(i - 1)->name : "input");
        assert_int_equal(access(path.data, R_OK), 0);
        unlink(path.data);
    }
    base_str_free(&path);
    assert_int_equal(rmdir(dir), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_road),
        cmocka_unit_test(test_every_pass_off),
        cmocka_unit_test(test_all_optional_passes_off),
        cmocka_unit_test(test_bisect),
        cmocka_unit_test(test_stop_and_go),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_stages_of_one_stage),
        cmocka_unit_test(test_cheap_frontier),
        cmocka_unit_test(test_packing_leaves),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_layout_corners),
        cmocka_unit_test(test_image_to_tokens_both_ways),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_plan_shares),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_advice),
        cmocka_unit_test(test_levels_decide_alike),
        cmocka_unit_test(test_laid_out_input),
        cmocka_unit_test(test_broken_pass),
        cmocka_unit_test(test_dumps_and_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
