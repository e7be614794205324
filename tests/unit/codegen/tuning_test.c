/* The table of tuning records: which record a lookup finds, keys, legal tiles, what binders and
 * passes make of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codegen/target/arch.h"
#include "codegen/target/default_tiles/default_tiles.h"
#include "codegen/target/tiles.h"
#include "passes/passes.h"
#include "tests/unit/support/captured_diag.h"

static const cg_machine HERE = {"x86-64-v3", 32768, 524288, 1 << 25, 2};

static cg_record record(const char *level, uint64_t l2, uint32_t threads, bool shipped,
                        int32_t value) {
    cg_record r = {
        .kernel = "conv2d", .key = "B=1", .shipped = shipped, .choice_count = 1, .ns = {9, 10}};
    r.machine = HERE;
    r.machine.level = level;
    r.machine.l2 = l2;
    r.machine.threads = threads;
    r.choice[0] = (cg_tile){"TH", value};
    return r;
}

static int32_t found(const cg_tuning *t, const char *kernel, const char *key) {
    const cg_record *r = cg_tuning_find(t, &HERE, kernel, key);
    return r ? r->choice[0].value : -1;
}

/* Worst fit first; each record that is added fits better, whatever follows it. */
static void lookup_order(void **state) {
    (void)state;
    cg_tuning *t = cg_tuning_new();
    const cg_record rows[] = {
        record("x86-64-v3", 524288, 2, true, 1),   record("x86-64-v3", 1 << 20, 4, false, 2),
        record("x86-64-v3", 1 << 20, 2, false, 3), record("x86-64-v3", 524288, 4, false, 4),
        record("x86-64-v3", 524288, 2, false, 5),
    };
    assert_int_equal(found(t, "conv2d", "B=1"), -1);
    for (int i = 0; i < 5; i++) {
        cg_tuning_add(t, &rows[i]);
        assert_int_equal(found(t, "conv2d", "B=1"), i + 1);
    }
    for (int i = 0; i < 4; i++) cg_tuning_add(t, &rows[i]);
    assert_int_equal(found(t, "conv2d", "B=1"), 5);
    cg_record other = record("x86-64-v4", 524288, 2, false, 6);
    cg_tuning_add(t, &other);
    assert_int_equal(found(t, "conv2d", "B=1"), 5);
    assert_int_equal(found(t, "conv2d", "B=2"), -1);
    assert_int_equal(found(t, "attention", "B=1"), -1);
    assert_int_equal(cg_tuning_count(t), 10);
    cg_tuning_free(t);
}

/* Those that come with the compiler are for the kind of CPU that was measured: no other caches of a
 * core, but any last cache and any number of threads. */
static void shipped_fit(void **state) {
    (void)state;
    cg_tuning *t = cg_tuning_new();
    cg_record r = record("x86-64-v3", 1 << 20, 2, true, 1);
    cg_tuning_add(t, &r);
    assert_int_equal(found(t, "conv2d", "B=1"), -1);
    r = record("x86-64-v3", 524288, 64, true, 2);
    r.machine.l3 = 1 << 20;
    cg_tuning_add(t, &r);
    assert_int_equal(found(t, "conv2d", "B=1"), 2);
    cg_tuning_free(t);
}

/* Files are merged by concatenation: of equals the last counts. Strings are the table's own. */
static void last_counts(void **state) {
    (void)state;
    cg_tuning *t = cg_tuning_new();
    char key[] = "B=1", level[] = "x86-64-v3";
    for (int i = 1; i <= 3; i++) {
        cg_record r = record(level, 524288, 2, false, i);
        r.key = key;
        cg_tuning_add(t, &r);
    }
    key[0] = level[0] = '?';
    assert_int_equal(found(t, "conv2d", "B=1"), 3);
    for (int i = 0; i < 5000; i++) { /* many keys a bucket */
        char name[16];
        snprintf(name, sizeof name, "N=%d", i);
        cg_record r = record("x86-64-v3", 524288, 2, false, i);
        r.key = name;
        cg_tuning_add(t, &r);
    }
    assert_int_equal(found(t, "conv2d", "N=4711"), 4711);
    assert_int_equal(found(t, "conv2d", "B=1"), 3);
    cg_tuning_free(t);
}

/* ---- parameters ---- */

#define NET                                                                                        \
    "ebru ir 3 graph\nweight @w : f32[64,64,3,3] = random 1 0.1 0.0\n"                             \
    "func @n(%x x: f32[1,64,16,16] step) {\n"                                                      \
    "%0 = conv2d %x, @w {pad=[1,1,1,1]} : f32[1,64,16,16]\nreturn y = %0\n}\n"
#define KEY          "B=1 H=16 W=16 UH=16 UW=16 C0=64 N=64"
#define DIRECT_KEY   KEY " KH=3 KW=3 SH=1 SW=1 PT=1 PL=1 OH=16 OW=16"
#define I8_KEY       "B=1 H=18 W=18 C=64 N=64 KH=3 KW=3 SH=1 SW=1 OH=16 OW=16"
#define WINOGRAD_KEY KEY " PT=1 PL=1 OH=16 OW=16 M="

/* A key is made of the list of parameters: tiles, zeros and scales left out. The list, its
 * struct and single fields agree. */
static void keys(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    ir_module *m = ir_parse(c.diag, "net", NET, strlen(NET));
    ir_binding out = {0};
    cg_bind b = {.f = m->funcs.items[0], .out = &out};
    struct ebru_attention_params a = {
        .B = 2, .T = 90, .Bk = 1, .S = 70, .heads = 2, .d = 24, .C = 48, .scale = 0.2f};
    a.QB = 48;
    a.KB = 80;
    base_str key = {0};
    assert_true(cg_done_attention(&b, &a));
    cg_kernel_key(&out, false, &key);
    assert_string_equal(key.data, "B=2 T=90 Bk=1 S=70 heads=2 d=24 C=48");
    base_str_free(&key);

    const cg_kernel *k = cg_kernel_find("attention");
    cg_params p;
    k->read(out.params, &p);
    assert_memory_equal(&p, &a, sizeof a);
    assert_int_equal(k->tasks(&p), out.tasks);
    assert_int_equal(cg_params_get(k, &p, "KB"), 80);
    assert_int_equal(cg_params_get(k, &p, "scale"), 0); /* no integer */
    cg_params_set(k, &p, "KB", 96);
    cg_params_set(k, &p, "no such", 1);
    a.KB = 96;
    assert_memory_equal(&p, &a, sizeof a);
    /* a list that was read from text: a whole number in a field of floats */
    out.params[cg_kernel_field(k, "scale")] = (ir_param){.name = "scale", .i = 1};
    k->read(out.params, &p);
    assert_true(p.attention.scale == 1.0f);

    struct ebru_conv2d_params linear;
    ebru_conv2d_set_linear(&linear, 1, 8, 32, 64);
    cg_default_tiles_conv2d(&linear, EBRU_ISA_V3, 0, 0);
    assert_true(cg_done_conv2d(&b, &linear));
    key = (base_str){0};
    cg_kernel_key(&out, true, &key);
    assert_string_equal(
        key.data, "B=1 H=1 W=8 UH=1 UW=8 C0=32 N=64 KH=1 KW=1 SH=1 SW=1 OH=1 OW=8 overwrite=1");
    base_str_free(&key);
    ir_module_free(m);
    capture_end(&c);
}

/* ---- through a target ---- */

static void add(cg_tuning *t, const char *kernel, const char *key, double ns, const char *field,
                int32_t value) {
    cg_record r = {
        .kernel = kernel, .key = key, .machine = HERE, .ns = {ns, ns}, .default_ns = {ns, ns}};
    if (field) r.choice[r.choice_count++] = (cg_tile){field, value};
    cg_tuning_add(t, &r);
}

static ir_precision class = IR_PRECISION_F32; /* of `lowered` */

/* The net lowered for x86-64-v3 by these rules, as text. Memory is so dear that the rules take the
 * direct sum. */
static char *lowered(const cg_tuning_use *use, capture *c) {
    ir_target *target = cg_target_tuned(&cg_targets_x86_64[1].base, use);
    ir_module *m = ir_parse(c->diag, "net", NET, strlen(NET));
    assert_non_null(m);
    pass_context *p = pass_context_new(m, target);
    static const char *const knobs[] = {"choose_winograd=memory:100"};
    pass_options o = PASS_OPTIONS_DEFAULT;
    o.knobs = knobs;
    o.knob_count = 1;
    o.precision = class;
    assert_true(pass_run(p, &o, c->diag));
    base_str text = {0};
    ir_print(m, &text);
    pass_context_free(p);
    ir_module_free(m);
    base_free(target);
    return text.data;
}

static void expect_use(const cg_tuning_use *use, const char *there) {
    capture c;
    capture_begin(&c, (base_diag_options){0});
    char *text = lowered(use, &c);
    if (!strstr(text, there)) fail_msg("no '%s' in\n%s", there, text);
    base_free(text);
    capture_end(&c);
}

/* Returns how many kernels took tiles of a record. */
static uint32_t expect(const cg_tuning *t, bool forms, const char *there) {
    cg_tuning_log log = {0};
    expect_use(&(cg_tuning_use){.table = t, .log = &log, .forms = forms, .machine = HERE}, there);
    assert_int_equal(log.refused.count, 0);
    return log.used;
}

static void tiles_are_taken(void **state) {
    (void)state;
    cg_tuning *t = cg_tuning_new();
    assert_int_equal(expect(t, true, "TB=1, TH=16, TW=16, PG=1, KC=4"), 0);
    add(t, "conv2d", DIRECT_KEY, 100, "KC", 3);
    assert_int_equal(expect(t, true, "KC=3"), 1);
    add(t, "conv2d", DIRECT_KEY, 100, "TH", 5); /* tasks and scratch follow */
    expect(t, true, "TH=5, TW=16, PG=1, KC=4, order=0, phases=0, pack=0} tasks=16");
    expect_use(&(cg_tuning_use){.table = t, .machine = HERE}, "TH=5"); /* without a log */
    cg_tuning_free(t);
}

/* A record whose choice is not legal for its key is a warning, once, and nothing else. */
static void illegal_is_ignored(void **state) {
    (void)state;
    static const struct {
        const char *field;
        int32_t value;
        const char *why;
    } rows[] = {{"TH", 17, "TH=17 is not from 1 to 16"},
                {"MR", 0, "MR=0 is not from 1 to 6"},
                {"MR", 7, "MR=7 is not from 1 to 6"},
                {"KC", 5, "KC=5 is not from 1 to 4"},
                {"pack", 1, "pack=1, but nothing is read in place"},
                {"order", 2, "order=2 is not from 0 to 1"},
                {"PG", 9, "PG=9 is not from 1 to 4"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        capture c;
        capture_begin(&c, (base_diag_options){0});
        cg_tuning *t = cg_tuning_new();
        add(t, "conv2d", DIRECT_KEY, 100, rows[i].field, rows[i].value);
        cg_tuning_log log = {.diag = c.diag};
        const cg_tuning_use use = {.table = t, .log = &log, .forms = true, .machine = HERE};
        base_free(lowered(&use, &c));
        char *text = lowered(&use, &c);
        assert_non_null(strstr(text, "TB=1, TH=16, TW=16, PG=1, KC=4"));
        assert_int_equal(log.used, 0);
        assert_int_equal(base_diag_warnings(c.diag), 1);
        if (!strstr(captured(&c), rows[i].why))
            fail_msg("expected '%s' in: %s", rows[i].why, captured(&c));
        base_free(text);
        cg_tuning_log_free(&log);
        cg_tuning_free(t);
        capture_end(&c);
    }
}

/* Forms are chosen by time when all three were measured and the program has one level; else by the
 * estimate. */
static void forms_by_time(void **state) {
    (void)state;
    cg_tuning *t = cg_tuning_new();
    add(t, "conv2d", DIRECT_KEY, 1000, NULL, 0);
    add(t, "conv2d_winograd", WINOGRAD_KEY "2", 600, NULL, 0);
    expect(t, true, "= conv2d %"); /* not all are measured */
    add(t, "conv2d_winograd", WINOGRAD_KEY "4", 700, NULL, 0);
    expect(t, true, "{tile=2");
    expect(t, false, "= conv2d %");
    add(t, "conv2d_winograd", WINOGRAD_KEY "4", 500, "TT", 5);
    expect(t, true, "TT=5");
    add(t, "conv2d", DIRECT_KEY, 690, NULL,
        0); /* less than two fifths slower: weights stay small */
    expect(t, true, "= conv2d %");
    cg_tuning_free(t);
}

/* A tuner asks for a form whatever is faster, with records or without. */
static void forced_forms(void **state) {
    (void)state;
    cg_tuning *t = cg_tuning_new();
    add(t, "conv2d", DIRECT_KEY, 1, NULL, 0);
    add(t, "conv2d_winograd", WINOGRAD_KEY "2", 1000, NULL, 0);
    add(t, "conv2d_winograd", WINOGRAD_KEY "4", 1000, NULL, 0);
    for (int with = 0; with < 2; with++) {
        cg_tuning_use use = {.table = with ? t : NULL, .forms = true, .machine = HERE};
        use.force = (ir_way){IR_FORM_WINOGRAD_2, IR_PRECISION_F32};
        expect_use(&use, "{tile=2");
        use.force = (ir_way){IR_FORM_WINOGRAD_4, IR_PRECISION_F32};
        expect_use(&use, "conv2d_winograd %");
        use.force = (ir_way){IR_FORM_DIRECT, IR_PRECISION_F32};
        expect_use(&use, "= conv2d %");
    }
    cg_tuning_free(t);
}

/* Within a class, times of all its ways choose, for form and precision at once: what is not faster
 * than the best way in f32 is not taken, though it is of smaller weights. */
static void precisions_by_time(void **state) {
    (void)state;
    cg_tuning *t = cg_tuning_new();
    class = IR_PRECISION_BF16;
    add(t, "conv2d", DIRECT_KEY, 1000, NULL, 0);
    add(t, "conv2d_winograd", WINOGRAD_KEY "2", 600, NULL, 0);
    add(t, "conv2d_winograd", WINOGRAD_KEY "4", 700, NULL, 0);
    add(t, "conv2d_winograd_bf16", WINOGRAD_KEY "2 parts=1", 900, NULL, 0);
    expect(t, true, "n=64, precision=bf16} : f32[1,64,16,16]:c16 kernel conv2d_bf16"); /* rules */
    add(t, "conv2d_bf16", DIRECT_KEY " parts=1", 650, NULL, 0);
    expect(t, true, "{tile=2, n=64} : ");
    add(t, "conv2d_bf16", DIRECT_KEY " parts=1", 590, NULL, 0);
    expect(t, true, "kernel conv2d_bf16");
    add(t, "conv2d_winograd_bf16", WINOGRAD_KEY "2 parts=1", 400, NULL, 0);
    expect(t, true, "{tile=2, n=64, precision=bf16}");
    cg_tuning_use use = {.table = t, .forms = true, .machine = HERE};
    use.force = (ir_way){IR_FORM_WINOGRAD_4, IR_PRECISION_F32};
    expect_use(&use, "conv2d_winograd %");
    use.force = (ir_way){IR_FORM_WINOGRAD_4, IR_PRECISION_BF16}; /* there is none */
    expect_use(&use, "kernel conv2d_bf16");
    class = IR_PRECISION_F32;
    cg_tuning_free(t);
}

/* Products in int8 are a way like the others of their class. A record has their time without that
 * of making the bytes, which is added. */
static void int8_by_time(void **state) {
    (void)state;
    cg_tuning *t = cg_tuning_new();
    class = IR_PRECISION_INT8;
    add(t, "conv2d", DIRECT_KEY, 1000, NULL, 0);
    add(t, "conv2d_winograd", WINOGRAD_KEY "2", 900, NULL, 0);
    add(t, "conv2d_winograd", WINOGRAD_KEY "4", 900, NULL, 0);
    add(t, "conv2d_bf16", DIRECT_KEY " parts=1", 800, NULL, 0);
    add(t, "conv2d_winograd_bf16", WINOGRAD_KEY "2 parts=1", 900, NULL, 0);
    add(t, "conv2d_i8", I8_KEY, 810, NULL, 0);
    expect(t, true, "kernel conv2d_bf16");
    add(t, "conv2d_i8", I8_KEY, 795, NULL, 0); /* the bytes cost more than is saved */
    expect(t, true, "kernel conv2d_bf16");
    add(t, "conv2d_i8", I8_KEY, 500, NULL, 0);
    expect(t, true, "kernel conv2d_i8");
    cg_tuning_use use = {.table = t, .forms = true, .machine = HERE};
    use.force = (ir_way){IR_FORM_DIRECT, IR_PRECISION_BF16};
    expect_use(&use, "kernel conv2d_bf16");
    use.force = (ir_way){IR_FORM_WINOGRAD_2, IR_PRECISION_F32};
    expect_use(&use, "conv2d_winograd %");
    use.force = (ir_way){IR_FORM_WINOGRAD_2, IR_PRECISION_INT8}; /* there is none */
    expect_use(&use, "kernel conv2d_i8");
    class = IR_PRECISION_F32;
    cg_tuning_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookup_order), cmocka_unit_test(shipped_fit),
        cmocka_unit_test(last_counts),
        cmocka_unit_test(keys),
        cmocka_unit_test(tiles_are_taken),
        cmocka_unit_test(illegal_is_ignored),
        cmocka_unit_test(forms_by_time),
        cmocka_unit_test(forced_forms),
        cmocka_unit_test(precisions_by_time),
        cmocka_unit_test(int8_by_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
