/* Binding of weights: everything that is missing, mis-shaped, of a wrong type or left over, in one
 * report; random weights; modules from text. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/frontend.h"
#include "frontend/safetensors/tensor_ref.h"
#include "frontend/safetensors/weights.h"
#include "tests/unit/support/captured_diag.h"
#include "tests/unit/support/temp_dir.h"

static float zeros[4096];

static fe_st_tensor tensor(const char *name, fe_st_dtype dtype, uint32_t rank, int64_t a,
                           int64_t b) {
    fe_st_tensor t = {
        .name = name, .dtype = dtype, .rank = rank, .dims = {a, b}, .data = (const uint8_t *)zeros};
    if (rank == 4) t.dims[2] = t.dims[3] = 1;
    return t;
}

static void write_tensors(const temp_dir *t, const char *name, const fe_st_tensor *tensors,
                          size_t n) {
    base_diag *d = base_diag_new(NULL);
    assert_true(fe_st_write(d, temp_path(t, name), tensors, n, NULL, 0));
    base_diag_free(d);
}

static fe_tensor_spec spec(const char *name, uint32_t rank, int64_t a, int64_t b) {
    return (fe_tensor_spec){.scope = "net",
                            .names = {name},
                            .rank = rank,
                            .dim = {a, b, 1, 1},
                            .init = FE_INIT_FILTER,
                            .fan_in = b ? b : 1};
}

typedef struct fixture {
    temp_dir dir;
    capture c;
    ir_module *m;
    fe_weights *w;
} fixture;

static void begin(fixture *x, const fe_st_tensor *tensors, size_t n) {
    temp_dir_begin(&x->dir);
    write_tensors(&x->dir, "w.safetensors", tensors, n);
    capture_begin(&x->c, (base_diag_options){0});
    x->m = ir_module_new();
    fe_st *table = fe_st_open(x->c.diag, temp_path(&x->dir, "w.safetensors"));
    if (!table) fail_msg("%s", captured(&x->c));
    x->w = fe_weights_table(x->c.diag, x->m, table);
}

static void end(fixture *x) {
    fe_weights_free(x->w);
    ir_module_free(x->m);
    capture_end(&x->c);
    temp_dir_end(&x->dir);
}

static void expect(fixture *x, const char *message) {
    if (!strstr(captured(&x->c), message))
        fail_msg("expected <%s> in <%s>", message, captured(&x->c));
}

static void binds(void **state) {
    (void)state;
    const fe_st_tensor tensors[] = {
        tensor("a", FE_ST_F16, 2, 3, 5), tensor("b", FE_ST_BF16, 1, 7, 0),
        tensor("c", FE_ST_F32, 4, 3, 5),
        tensor("text_model.embeddings.position_ids", FE_ST_I64, 2, 1, 7)};
    fixture x;
    begin(&x, tensors, 4);
    fe_tensor_spec a = spec("a", 2, 3, 5), b = spec("b", 1, 7, 0), c = spec("c", 2, 3, 5);
    uint32_t ia = fe_weights_declare(x.w, &a), ib = fe_weights_declare(x.w, &b);
    c.either_rank = true;
    uint32_t ic = fe_weights_declare(x.w, &c);
    assert_int_equal(fe_weights_declare(x.w, &a), ia);
    if (!fe_weights_check(x.w)) fail_msg("%s", captured(&x.c));
    const ir_weight *w = x.m->weights.items;
    assert_string_equal(w[ia].name, "net/a");
    assert_int_equal(w[ia].type.dtype, IR_f16);
    assert_int_equal(w[ib].type.dtype, IR_bf16);
    assert_int_equal(w[ic].type.rank, 4); /* as in the file */
    assert_int_equal(w[ia].kind, IR_WEIGHT_FILE);
    assert_string_equal(w[ia].tensor, "a");
    assert_non_null(w[ia].data);
    end(&x);
}

static void old_names(void **state) {
    (void)state;
    const fe_st_tensor tensors[] = {tensor("attn.query.weight", FE_ST_F32, 4, 3, 3)};
    fixture x;
    begin(&x, tensors, 1);
    fe_tensor_spec q = spec("attn.to_q.weight", 2, 3, 3);
    q.names[1] = "attn.query.weight";
    q.either_rank = true;
    uint32_t i = fe_weights_declare(x.w, &q);
    assert_true(fe_weights_check(x.w));
    assert_string_equal(x.m->weights.items[i].name, "net/attn.to_q.weight");
    assert_string_equal(x.m->weights.items[i].tensor, "attn.query.weight");
    end(&x);
}

static void one_report(void **state) {
    (void)state;
    const fe_st_tensor tensors[] = {tensor("extra", FE_ST_F32, 1, 3, 0),
                                    tensor("ids", FE_ST_I64, 1, 3, 0),
                                    tensor("shape", FE_ST_F32, 2, 3, 4)};
    fixture x;
    begin(&x, tensors, 3);
    fe_tensor_spec specs[] = {spec("zz", 1, 3, 0), spec("shape", 2, 4, 3), spec("ids", 1, 3, 0),
                              spec("aa", 2, 1, 2)};
    for (size_t i = 0; i < 4; i++) fe_weights_declare(x.w, &specs[i]);
    assert_false(fe_weights_check(x.w));
    assert_int_equal(base_diag_errors(x.c.diag), 1);
    expect(
        &x,
        "w.safetensors: error: the weights do not fit the model: tensors 2 missing, 1 of the wrong "
        "shape, 1 of an "
        "unsupported element type, 1 unexpected");
    const char *aa = strstr(captured(&x.c), "missing: 'aa' [1, 2]"),
               *zz = strstr(captured(&x.c), "missing: 'zz' [3]");
    assert_non_null(aa);
    assert_true(zz > aa); /* sorted */
    expect(&x, "wrong shape: 'shape' is [3, 4], the model needs [4, 3]");
    expect(&x, "element type: 'ids' is I64; weights may be F32, F16 or BF16");
    expect(&x, "unexpected: 'extra' [3] is not part of the model");
    end(&x);
}

static void capped(void **state) {
    (void)state;
    const fe_st_tensor tensors[] = {tensor("x", FE_ST_F32, 1, 3, 0)};
    fixture x;
    begin(&x, tensors, 1);
    fe_tensor_spec used = spec("x", 1, 3, 0);
    fe_weights_declare(x.w, &used);
    for (int i = 0; i < 57; i++) {
        char name[32];
        snprintf(name, sizeof name, "t%02d", i);
        fe_tensor_spec s = spec(name, 1, 3, 0);
        fe_weights_declare(x.w, &s);
    }
    assert_false(fe_weights_check(x.w));
    expect(&x, "57 missing");
    expect(&x, "'t19'");
    expect(&x, "note: and 37 more");
    assert_null(strstr(captured(&x.c), "'t20'"));
    end(&x);
}

/* A name from the file cannot drive the terminal. */
/* No kind hides another. */
static void every_kind_is_shown(void **state) {
    (void)state;
    fe_st_tensor tensors[40];
    char names[40][32];
    fixture x;
    for (int i = 0; i < 40; i++) {
        snprintf(names[i], sizeof names[i], "left%02d", i);
        tensors[i] = tensor(names[i], FE_ST_F32, 1, 3, 0);
    }
    begin(&x, tensors, 40);
    for (int i = 0; i < 40; i++) {
        snprintf(names[i], sizeof names[i], "wanted%02d", i);
        fe_tensor_spec s = spec(names[i], 1, 3, 0);
        fe_weights_declare(x.w, &s);
    }
    assert_false(fe_weights_check(x.w));
    expect(&x, "40 missing, 40 unexpected");
    expect(&x, "missing: 'wanted09'");
    expect(&x, "unexpected: 'left09'");
    expect(&x, "note: and 60 more");
    assert_null(strstr(captured(&x.c), "in front"));
    end(&x);
}

/* What all names have in front of them, or lack, is said. */
static void prefixes(void **state) {
    (void)state;
    static const struct {
        const char *in_file, *wanted, *says;
    } cases[] = {
        {"_orig_mod.conv%d.weight", "conv%d.weight",
         "3 of the missing tensors are there with '_orig_mod.' in front of their names, as of "
         "torch.compile"},
        {"module.conv%d.weight", "conv%d.weight", "'module.' in front of their names"},
        {"a.b.conv%d.weight", "conv%d.weight", "'a.b.' in front of their names; save"},
        {"conv%d.weight", "unet.conv%d.weight",
         "3 of the unexpected tensors are missing ones whose names lack 'unet.' in front"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        fe_st_tensor tensors[3];
        char names[6][64];
        fixture x;
        for (int i = 0; i < 3; i++) {
            snprintf(names[i], sizeof names[i], cases[k].in_file, i);
            snprintf(names[3 + i], sizeof names[i], cases[k].wanted, i);
            tensors[i] = tensor(names[i], FE_ST_F32, 1, 3, 0);
        }
        begin(&x, tensors, 3);
        for (int i = 0; i < 3; i++) {
            fe_tensor_spec s = spec(names[3 + i], 1, 3, 0);
            fe_weights_declare(x.w, &s);
        }
        assert_false(fe_weights_check(x.w));
        expect(&x, cases[k].says);
        end(&x);
    }
}

/* CLIPTextModel of transformers 5 has no inner part "text_model". */
static void flat_text_encoders(void **state) {
    (void)state;
    const fe_st_tensor tensors[] = {tensor("final_layer_norm.bias", FE_ST_F32, 1, 3, 0)};
    fixture x;
    begin(&x, tensors, 1);
    fe_tensor_spec s = spec("text_model.final_layer_norm.bias", 1, 3, 0);
    uint32_t i = fe_weights_declare(x.w, &s);
    assert_true(fe_weights_check(x.w));
    assert_string_equal(x.m->weights.items[i].name, "net/text_model.final_layer_norm.bias");
    assert_string_equal(x.m->weights.items[i].tensor, "final_layer_norm.bias");
    end(&x);
}

/* Another for other elements, another name or another LoRA, the same for the same. */
static void digests(void **state) {
    (void)state;
    char texts[4][FE_DIGEST_TEXT];
    for (int i = 0; i < 4; i++) {
        zeros[2] = i == 1 ? 1.0f : 0.0f;
        const char *name = i == 2 ? "b" : "a";
        const fe_st_tensor tensors[] = {tensor(name, FE_ST_F32, 1, 3, 0)};
        fixture x;
        begin(&x, tensors, 1);
        fe_tensor_spec s = spec(name, 1, 3, 0);
        fe_weights_declare(x.w, &s);
        fe_weights_digest(x.m, texts[i]);
        assert_int_equal(strlen(texts[i]), 16);
        end(&x);
    }
    zeros[2] = 0.0f;
    assert_string_equal(texts[0], texts[3]);
    assert_string_not_equal(texts[0], texts[1]);
    assert_string_not_equal(texts[0], texts[2]);
}

static void hostile_name(void **state) {
    (void)state;
    const fe_st_tensor tensors[] = {tensor("a\x1b[31m\n", FE_ST_F32, 1, 3, 0)};
    fixture x;
    begin(&x, tensors, 1);
    assert_false(fe_weights_check(x.w));
    expect(&x, "\\x1b");
    assert_null(strchr(captured(&x.c), 0x1b));
    end(&x);
}

static double spread(const ir_module *m, uint32_t index, double *mean) {
    float v[64];
    double most = 0;
    ir_weight_read(&m->weights.items[index], v, 0, 64);
    *mean = 0;
    for (int i = 0; i < 64; i++) *mean += (double)v[i] / 64;
    for (int i = 0; i < 64; i++)
        most = fmax(most, fabs((double)v[i] - m->weights.items[index].center));
    return most;
}

static void random_weights(void **state) {
    (void)state;
    base_diag *d = base_diag_new(NULL);
    ir_module *m = ir_module_new();
    fe_weights *w = fe_weights_random(d, m, 7);
    fe_tensor_spec a = spec("a", 2, 8, 16), b = spec("b", 2, 8, 16), s = spec("s", 1, 64, 0);
    s.init = FE_INIT_SCALE;
    uint32_t ia = fe_weights_declare(w, &a), ib = fe_weights_declare(w, &b),
             is = fe_weights_declare(w, &s);
    assert_true(fe_weights_check(w));
    double mean;
    assert_true(spread(m, ia, &mean) <= 0.25 && spread(m, ia, &mean) > 0.2); /* 1 / sqrt(16) */
    assert_true(spread(m, is, &mean) <= 0.1 && fabs(mean - 1.0) < 0.05);
    float va[8], vb[8];
    ir_weight_read(&m->weights.items[ia], va, 0, 8);
    ir_weight_read(&m->weights.items[ib], vb, 0, 8);
    assert_memory_not_equal(va, vb, sizeof va); /* a tensor's values depend on its name */
    fe_weights_free(w);
    ir_module_free(m);
    base_diag_free(d);
}

/* Through IR text: weights are found again, and what does not fit is said. */
static void modules_from_text(void **state) {
    (void)state;
    const fe_st_tensor tensors[] = {tensor("a", FE_ST_F16, 2, 3, 5)};
    temp_dir t;
    temp_dir_begin(&t);
    write_tensors(&t, "w.safetensors", tensors, 1);
    static const struct {
        const char *type, *tensor, *message;
    } cases[] = {{"f16[3,5]", "a", NULL},
                 {"f16[2,5]", "a[1:3]", NULL},
                 {"f16[5,3]", "a.T", NULL},
                 {"f16[3,5]", "a.T", "does not have the type"},
                 {"f16[2,5]", "a[2:4]", "there is no tensor 'a[2:4]'"},
                 {"f16[5,3]", "a", "does not have the type"},
                 {"f32[3,5]", "a", "does not have the type"},
                 {"f16[3,5]", "b", "there is no tensor 'b'"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048];
        snprintf(text, sizeof text,
                 "ebru ir 3 graph\nweight @a : %s = file \"%s\" \"%s\"\nfunc @f(%%0 x: f32[1,5] "
                 "step) {\n"
                 "  return y=%%0\n}\n",
                 cases[i].type, temp_path(&t, "w.safetensors"), cases[i].tensor);
        capture c;
        capture_begin(&c, (base_diag_options){0});
        ir_module *m = ir_parse(c.diag, "x.ir", text, strlen(text));
        if (!m) fail_msg("%s", captured(&c));
        assert_int_equal(fe_bind_ir_weights(c.diag, m), cases[i].message == NULL);
        if (cases[i].message)
            assert_non_null(strstr(captured(&c), cases[i].message));
        else
            assert_non_null(m->weights.items[0].data);
        ir_module_free(m);
        capture_end(&c);
    }
    temp_dir_end(&t);
}

/* ---- parts of tensors, and files with names of their own ---- */

static const float counted[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

static void parts_of_tensors(void **state) {
    (void)state;
    fe_st_tensor tensors[] = {tensor("qkv", FE_ST_F32, 2, 6, 2),
                              tensor("odd[0:1]", FE_ST_F32, 2, 1, 12),
                              tensor("row.T", FE_ST_F32, 1, 12, 0)};
    for (size_t i = 0; i < 3; i++) tensors[i].data = (const uint8_t *)counted;
    fixture x;
    begin(&x, tensors, 3);
    fe_st *table = fe_st_open(x.c.diag, temp_path(&x.dir, "w.safetensors"));
    static const struct {
        const char *reference;
        uint32_t rank;
        int64_t rows, columns;
        float first, second;
    } good[] = {{"qkv", 2, 6, 2, 0, 1},       {"qkv[0:6]", 2, 6, 2, 0, 1},
                {"qkv[2:4]", 2, 2, 2, 4, 5},  {"qkv.T", 2, 2, 6, 0, 2},
                {"odd[0:1]", 2, 1, 12, 0, 1}, {"row.T", 1, 12, 0, 0, 1},
                {"row.T[3:5]", 1, 2, 0, 3, 4}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        fe_tensor_view v;
        if (!fe_tensor_find(table, good[i].reference, &v)) fail_msg("%s", good[i].reference);
        assert_int_equal(v.rank, good[i].rank);
        assert_int_equal(v.dims[0], good[i].rows);
        if (v.rank == 2) assert_int_equal(v.dims[1], good[i].columns);
        float values[2];
        memcpy(values, v.data, sizeof values);
        assert_true(values[0] == good[i].first && values[1] == good[i].second);
        base_free((void *)(uintptr_t)v.copy);
    }
    static const char *const bad[] = {"qkv[4:7]",
                                      "qkv[2:2]",
                                      "qkv[3:2]",
                                      "qkv[:2]",
                                      "qkv[0:2",
                                      "qkv[0:2]x",
                                      "qkv[-1:2]",
                                      "none.T",
                                      "row.T.T",
                                      ".T",
                                      "[0:1]",
                                      "",
                                      "qkv[0:99999999999999999999]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fe_tensor_view v;
        if (fe_tensor_find(table, bad[i], &v)) fail_msg("found <%s>", bad[i]);
    }
    fe_st_close(table);
    end(&x);
}

/* A file "f.X" for X, whose q and k are rows of one tensor and whose projection is transposed. */
static const char *place(const void *ctx, base_arena *a, const char *name) {
    (void)ctx;
    if (strcmp(name, "q") == 0) return "f.qkv[0:2]";
    if (strcmp(name, "k") == 0) return "f.qkv[2:4]";
    if (strcmp(name, "projection") == 0) return "f.projection.T";
    return base_arena_printf(a, "f.%s", name);
}

static bool owns(const void *ctx, const char *name) {
    (void)ctx;
    return strncmp(name, "f.", 2) == 0;
}

static void other_names(void **state) {
    (void)state;
    static const fe_naming naming = {NULL, place, owns};
    fe_st_tensor tensors[] = {
        tensor("f.qkv", FE_ST_F32, 2, 4, 2), tensor("f.projection", FE_ST_F32, 2, 2, 6),
        tensor("g.other", FE_ST_F32, 2, 1, 12), tensor("f.left", FE_ST_F32, 2, 1, 12)};
    for (size_t i = 0; i < 4; i++) tensors[i].data = (const uint8_t *)counted;
    fixture x;
    begin(&x, tensors, 4);
    fe_weights_free(x.w);
    fe_st *table = fe_st_open(x.c.diag, temp_path(&x.dir, "w.safetensors"));
    x.w = fe_weights_named(x.c.diag, x.m, table, &naming);
    fe_tensor_spec q = spec("q", 2, 2, 2), k = spec("k", 2, 2, 2), p = spec("projection", 2, 6, 2),
                   bad = spec("projection", 2, 2, 6), lost = spec("lost", 2, 3, 4);
    uint32_t ik = fe_weights_declare(x.w, &k), ip = fe_weights_declare(x.w, &p);
    fe_weights_declare(x.w, &q);
    float values[3];
    ir_weight_read(&x.m->weights.items[ik], values, 0, 1);
    assert_true(values[0] == 4);
    ir_weight_read(&x.m->weights.items[ip], values, 0, 3);
    assert_true(values[0] == 0 && values[1] == 6 && values[2] == 1);
    assert_string_equal(x.m->weights.items[ip].name, "net/projection");
    assert_string_equal(x.m->weights.items[ip].tensor, "f.projection.T");
    bad.scope = "again";
    fe_weights_declare(x.w, &bad);
    fe_weights_declare(x.w, &lost);
    assert_false(fe_weights_check(x.w));
    const char *text = captured(&x.c);
    static const char *const said[] = {
        "missing: 'f.lost' [3, 4] ('lost')",
        "wrong shape: 'f.projection.T' is [6, 2], the model needs [2, 6]", "unexpected: 'f.left'"};
    for (size_t i = 0; i < 3; i++)
        if (!strstr(text, said[i])) fail_msg("no <%s> in <%s>", said[i], text);
    assert_null(strstr(text, "g.other"));
    end(&x);
    fe_st_close(table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(binds),
        cmocka_unit_test(old_names),
        cmocka_unit_test(one_report),
        cmocka_unit_test(capped),
        cmocka_unit_test(every_kind_is_shown),
        cmocka_unit_test(prefixes),
        cmocka_unit_test(flat_text_encoders),
        cmocka_unit_test(digests),
        cmocka_unit_test(hostile_name),
        cmocka_unit_test(random_weights),
        cmocka_unit_test(modules_from_text),
        cmocka_unit_test(parts_of_tensors),
        cmocka_unit_test(other_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
