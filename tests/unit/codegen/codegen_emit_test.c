/* What cg_emit makes: levels in one file, the same bytes twice, the three places for weights, text,
 * and clean refusals. */
#include "tests/unit/codegen/codegen_model.h"
#include "tests/unit/support/captured_diag.h"
#include "tests/unit/support/temp_dir.h"

#include "codegen/link/jobs.h"
#include "codegen/llvm/emission_plan.h"
#include "codegen/target/arch.h"

#include <elf.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const ir_target *best; /* the highest level this CPU runs */

/* ---- the model ---- */

static void network(ir_func *f) {
    struct ir_attrs_conv2d a = IR_DEFAULTS(conv2d);
    a.pad = IR_I4(1, 1, 1, 1);
    ir_ref x = model_input(f, "x", DIMS(1, 3, 8, 8));
    ir_ref y =
        model_op(f, IR_OP_conv2d, &a, OPERANDS(x, model_weight(f, "w", 0, 0.1, DIMS(20, 3, 3, 3))));
    y = model_op(f, IR_OP_silu, NULL, OPERANDS(y));
    y = model_op(f, IR_OP_conv2d, &a,
                 OPERANDS(y, model_weight(f, "w2", 0, 0.1, DIMS(5, 20, 3, 3))));
    ir_set_output(f, "y", y);
}
static const model_case model[] = {{"net.step", network, IR_GRAPH, 0}};

static ir_module *placed(const ir_target *target) {
    ir_module *m = model_build(model, 1);
    ir_meta_set_string(m, "pipeline.kind", "none");
    ir_meta_set_int(m, "classes.count", 3);
    ir_meta_set_float(m, "vae.scaling_factor", 0.5);
    ir_meta_set_string(m, "tokenizer.vocab", "/somewhere/vocab.json");
    model_passes(m, target, IR_GRAPH);
    return m;
}

/* Emits one level; the text of the diagnostics when it failed, NULL when it did not (free it). */
static char *emit(ir_module *m, cg_options options, const char *name) {
    capture c;
    cg_level level = {best, m};
    capture_begin(&c, (base_diag_options){0});
    options.output = temp_path(temp_shared(), name);
    options.opt_level = 1;
    bool fine = cg_emit(c.diag, &level, 1, &options, NULL);
    char *text = fine ? NULL : strdup(captured(&c));
    capture_end(&c);
    return text;
}

static unsigned char *read_file(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    unsigned char *bytes = malloc(*size + 1);
    assert_int_equal(fread(bytes, 1, *size, f), *size);
    bytes[*size] = 0;
    fclose(f);
    return bytes;
}

static void check_runs(const char *path, int level, const model_data *data) {
    model_loaded l = model_load(path);
    void *out[MODEL_MOST_VALUES];
    model_run(&l, level, 0, 2, &data->values[0], out);
    assert_true(model_error(&l.tables->functions[0].outputs[0], out[0], &data->values[0].out[0]) <
                3e-6);
    free(out[0]);
    model_unload(&l);
}

/* ---- tests ---- */

static void all_levels_in_one(void **state) {
    (void)state;
    cg_level levels[8];
    uint32_t count = cg_target_count();
    ir_module *graph = model_build(model, 1);
    model_data data = model_reference(graph);
    for (uint32_t i = 0; i < count; i++) {
        levels[i].target = cg_target(NULL, cg_target_name(i));
        levels[i].module = placed(levels[i].target);
    }
    cg_options o = {
        .kind = CG_LIB, .opt_level = 1, .output = temp_path(temp_shared(), "levels.so")};
    cg_result result;
    base_diag *d = base_diag_new(NULL);
    assert_true(cg_emit(d, levels, count, &o, &result));
    base_diag_free(d);
    model_loaded l = model_load(o.output);
    assert_int_equal(l.tables->level_count, count);
    assert_int_equal(l.tables->weights_bytes, result.weights_bytes);
    model_unload(&l);
    for (uint32_t i = 0; i < count; i++) {
        if (model_runs(cg_target_name(i)))
            check_runs(temp_path(temp_shared(), "levels.so"), (int)i, &data);
        ir_module_free(levels[i].module);
    }
    model_data_free(&data);
    ir_module_free(graph);
}

static void tables(void **state) {
    (void)state;
    ir_module *m = placed(best);
    const unsigned char tokenizer[] = {1, 2, 3, 0, 5};
    cg_options o = {.kind = CG_LIB,
                    .tokenizer = tokenizer,
                    .tokenizer_bytes = 5,
                    .build_info = "ebru\nversion\nhere"};
    assert_null(emit(m, o, "tables.so"));
    model_loaded l = model_load(temp_path(temp_shared(), "tables.so"));
    const struct ebru_model *t = l.tables;
    assert_string_equal(t->levels[0].name, best->level);
    assert_int_equal(strncmp(t->build_info, "ebru\nversion\nbuild: ", 20), 0);
    assert_int_equal(strspn(t->build_info + 20, "0123456789abcdef"), 32);
    assert_string_equal(t->build_info + 52, "\nhere");
    assert_int_equal(t->tokenizer_bytes, 5);
    assert_memory_equal(t->tokenizer, tokenizer, 5);
    assert_true((uintptr_t)t->weights_embedded % 4096 == 0);
    assert_null(t->weights_external);
    /* sorted, and without the paths of this machine */
    assert_int_equal(t->meta_count, 3);
    assert_string_equal(t->meta[0].key, "classes.count");
    assert_int_equal(t->meta[0].i, 3);
    assert_string_equal(t->meta[1].s, "none");
    assert_true(t->meta[2].kind == 1 && t->meta[2].f == 0.5);
    const struct ebru_function_desc *f = &t->functions[0];
    assert_string_equal(f->name, "net.step");
    assert_int_equal(f->arena_bytes, m->funcs.items[0]->arena_bytes);
    assert_int_equal(f->scratch_bytes, m->funcs.items[0]->scratch_bytes);
    assert_string_equal(f->inputs[0].name, "x");
    assert_int_equal(f->inputs[0].freq, EBRU_STEP);
    assert_int_equal(f->inputs[0].dim[1], 3);
    assert_int_equal(f->outputs[0].bytes, 5 * 64 * 4);
    int convolutions = 0;
    for (int32_t i = 0; i < f->op_count; i++)
        convolutions += !strcmp(f->ops[i].name, "conv2d") && f->ops[i].flops > 0;
    assert_int_equal(convolutions, 2);
    model_unload(&l);
    ir_module_free(m);
}

static void same_bytes_twice(void **state) {
    (void)state;
    size_t a_size, b_size;
    for (int i = 0; i < 2; i++) { /* another module, another temporary directory */
        ir_module *m = placed(best);
        assert_null(emit(m, (cg_options){.kind = CG_LIB}, i ? "second.so" : "first.so"));
        ir_module_free(m);
    }
    unsigned char *a = read_file(temp_path(temp_shared(), "first.so"), &a_size);
    unsigned char *b = read_file(temp_path(temp_shared(), "second.so"), &b_size);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a, b, a_size);
    assert_null(memmem(a, a_size, temp_shared()->path, strlen(temp_shared()->path)));
    free(a);
    free(b);
}

/* The blob at a file's end as its trailer describes it. */
static const unsigned char *blob_of(const unsigned char *file, size_t size,
                                    const struct ebru_model *t) {
    struct ebru_trailer trailer;
    memcpy(&trailer, file + size - sizeof trailer, sizeof trailer);
    assert_memory_equal(trailer.magic, EBRU_TRAILER_MAGIC, 16);
    assert_memory_equal(trailer.weights_id, t->weights_id, 16);
    assert_int_equal(trailer.bytes, t->weights_bytes);
    assert_int_equal((size - sizeof trailer - trailer.bytes) % 4096, 0);
    return file + size - sizeof trailer - trailer.bytes;
}

/* Embedded and appended weights are a segment that the loader maps; all three are the same bytes.
 */
static void places_for_weights(void **state) {
    (void)state;
    static const char *const names[] = {"embed.so", "append.so", "external.so"};
    ir_module *m = placed(best);
    const unsigned char *first = NULL;
    unsigned char *files[3];
    model_loaded l[3];
    for (int i = 0; i < 3; i++) {
        size_t size;
        assert_null(emit(m, (cg_options){.kind = CG_LIB, .weights = (cg_weights)i}, names[i]));
        l[i] = model_load(temp_path(temp_shared(), names[i]));
        const struct ebru_model *t = l[i].tables;
        const char *file = i == CG_WEIGHTS_EXTERNAL ? "external.so.weights" : names[i];
        files[i] = read_file(temp_path(temp_shared(), file), &size);
        const unsigned char *blob = blob_of(files[i], size, t);
        if (!first) first = blob;
        assert_int_equal(t->weights_place, i);
        assert_memory_equal(blob, first, t->weights_bytes);
        if (i == CG_WEIGHTS_EXTERNAL) {
            assert_null(t->weights_embedded);
            assert_string_equal(t->weights_external, "external.so.weights");
            assert_ptr_equal(blob, files[i]);
        } else {
            assert_true((uintptr_t)t->weights_embedded % 4096 == 0);
            assert_memory_equal(t->weights_embedded, blob,
                                t->weights_bytes + sizeof(struct ebru_trailer));
        }
    }
    for (int i = 0; i < 3; i++) {
        model_unload(&l[i]);
        free(files[i]);
    }
    char *text = emit(m, (cg_options){.kind = CG_OBJ, .weights = CG_WEIGHTS_APPEND}, "append.o");
    assert_non_null(strstr(text, "--weights=embed"));
    free(text);
    ir_module_free(m);
}

/* A linker that puts the stub where it cannot grow gets the weights themselves. */
static void another_linker(void **state) {
    (void)state;
    FILE *f = fopen(temp_path(temp_shared(), "lld"), "w");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\nexec clang-19 -fuse-ld=lld-19 \"$@\"\n");
    fclose(f);
    assert_int_equal(chmod(temp_path(temp_shared(), "lld"), 0777), 0);
    ir_module *graph = model_build(model, 1), *m = placed(best);
    model_data data = model_reference(graph);
    const char *linker = temp_path(temp_shared(), "lld");
    assert_null(emit(m, (cg_options){.kind = CG_LIB, .linker = linker}, "lld.so"));
    check_runs(temp_path(temp_shared(), "lld.so"), 0, &data);
    model_data_free(&data);
    ir_module_free(graph);
    ir_module_free(m);
}

static void text_and_objects(void **state) {
    (void)state;
    size_t size;
    ir_module *m = placed(best);
    assert_null(emit(m, (cg_options){.kind = CG_ASM}, "out.s"));
    char *text = (char *)read_file(temp_path(temp_shared(), "out.s"), &size);
    assert_non_null(strstr(text, ".f0.net.step:"));
    assert_non_null(strstr(text, "ebru_barrier"));
    free(text);
    assert_null(emit(m, (cg_options){.kind = CG_LLVM_IR, .poison = true}, "out.ll"));
    text = (char *)read_file(temp_path(temp_shared(), "out.ll"), &size);
    assert_non_null(strstr(text, "define hidden void @ebru."));
    assert_non_null(strstr(
        text, ".poison(")); /* every buffer is filled before it is written and after its last use */
    assert_null(strstr(text, "ebru_check_finite"));
    free(text);
    assert_null(emit(m, (cg_options){.kind = CG_LLVM_IR, .check_finite = true}, "out.ll"));
    text = (char *)read_file(temp_path(temp_shared(), "out.ll"), &size);
    assert_non_null(strstr(text, "call void @ebru_check_finite("));
    free(text);
    assert_null(emit(m, (cg_options){.kind = CG_OBJ}, "out.o"));
    Elf64_Ehdr *elf = (Elf64_Ehdr *)read_file(temp_path(temp_shared(), "out.o"), &size);
    assert_memory_equal(elf->e_ident, ELFMAG, SELFMAG);
    assert_int_equal(elf->e_type, ET_REL);
    free(elf);
    cg_level two[] = {{best, m}, {best, m}};
    cg_options o = {.kind = CG_ASM, .output = temp_path(temp_shared(), "two.s")};
    capture c;
    capture_begin(&c, (base_diag_options){0});
    assert_false(cg_emit(c.diag, two, 2, &o, NULL));
    assert_non_null(strstr(captured(&c), "one CPU level"));
    capture_end(&c);
    ir_module_free(m);
}

static void refusals_leave_nothing(void **state) {
    (void)state;
    size_t before = count_files(temp_shared()->path);
    ir_module *m = placed(best);
    char *text = emit(m, (cg_options){.kind = CG_LIB, .linker = "no-such-linker"}, "no.so");
    assert_non_null(strstr(text, "no-such-linker"));
    assert_non_null(strstr(text, "apt install gcc"));
    free(text);
    text = emit(m, (cg_options){.kind = CG_LIB, .linker = "false"}, "no.so");
    assert_non_null(strstr(text, "linking failed"));
    free(text);
    text = emit(m, (cg_options){.kind = CG_LIB}, "no/such/folder/no.so");
    assert_non_null(strstr(text, "cannot write"));
    free(text);
    mkdir(temp_path(temp_shared(), "taken"),
          0777); /* the program cannot take its place: its weights go, too */
    text = emit(m, (cg_options){.kind = CG_LIB, .weights = CG_WEIGHTS_EXTERNAL}, "taken");
    assert_non_null(strstr(text, "cannot write"));
    free(text);
    rmdir(temp_path(temp_shared(), "taken"));
    cg_level level = {best, m};
    cg_options to_stdout = {.kind = CG_EXE, .output = "-"};
    capture c;
    capture_begin(&c, (base_diag_options){0});
    assert_false(cg_emit(c.diag, &level, 1, &to_stdout, NULL));
    assert_non_null(strstr(captured(&c), "standard output"));
    capture_end(&c);
    ir_func *f = m->funcs.items[0];
    ir_binding *conv = NULL;
    for (size_t i = 0; i < f->nodes.count; i++)
        if (f->nodes.items[i].op == IR_OP_conv2d) conv = f->nodes.items[i].binding;
    ir_param *rows = &conv->params[cg_kernel_field(cg_kernel_find("conv2d"), "MR")];
    const int64_t legal = rows->i;
    rows->i = 64; /* there is no code for such a register tile */
    text = emit(m, (cg_options){.kind = CG_LIB}, "no.so");
    assert_non_null(strstr(text, "conv2d has no such tiles at "));
    assert_non_null(strstr(text, ": MR=64 is not from 1 to "));
    free(text);
    rows->i = legal;
    conv->params[0].name = "wrong";
    text = emit(m, (cg_options){.kind = CG_LIB}, "no.so");
    assert_non_null(strstr(text, "other parameters than the kernel"));
    free(text);
    ir_module_free(m);
    m = model_build(model, 1);
    text = emit(m, (cg_options){.kind = CG_LIB}, "no.so");
    assert_non_null(strstr(text, "placed level"));
    free(text);
    ir_module_free(m);
    assert_int_equal(count_files(temp_shared()->path), before);
}

static bool good_job(void *arg, base_str *fault) {
    (void)fault;
    return arg == NULL;
}
static bool bad_job(void *arg, base_str *fault) {
    base_str_add(fault, arg);
    return false;
}
static bool crashing_job(void *arg, base_str *fault) {
    (void)arg, (void)fault;
    raise(SIGABRT);
    return true;
}
static bool aborting_job(void *arg, base_str *fault) {
    (void)arg, (void)fault;
    cg_job_abort("LLVM ERROR: out of registers");
}

static bool broken_job(void *arg, base_str *fault) {
    (void)arg, (void)fault;
    cg_job_broken("%d kernels are missing", 3);
}

/* Two levels whose modules differ: not the user's fault, so the compiler ends with 70. */
static void levels_differ(void **state) {
    (void)state;
    const ir_target *low = &cg_targets_x86_64[0].base, *high = &cg_targets_x86_64[1].base;
    ir_module *a = placed(low), *b = placed(high);
    b->funcs.items[0]->name = "another";
    cg_level two[] = {{low, a}, {high, b}};
    cg_options options = {.kind = CG_LIB, .output = temp_path(temp_shared(), "two.so")};
    size_t before = count_files(temp_shared()->path);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (!freopen(temp_path(temp_shared(), "stderr"), "w", stderr)) _exit(2);
        _exit(cg_emit(base_diag_new(NULL), two, 2, &options, NULL) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 70);
    size_t size;
    char *said = (char *)read_file(temp_path(temp_shared(), "stderr"), &size);
    assert_non_null(strstr(said, "internal error"));
    assert_non_null(strstr(said, "the modules of x86-64-v2 and x86-64-v3 differ"));
    free(said);
    unlink(temp_path(temp_shared(), "stderr"));
    assert_int_equal(count_files(temp_shared()->path), before);
    ir_module_free(a);
    ir_module_free(b);
}

static void jobs(void **state) {
    (void)state;
    char long_text[100000];
    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = 0;
    cg_job j[] = {{.run = good_job},     {.run = bad_job, .arg = long_text},
                  {.run = crashing_job}, {.run = aborting_job},
                  {.run = good_job},     {.run = broken_job}};
    while (cg_jobs_advance(j, 6, 2, true)) assert_true(cg_jobs_finished(j, 6) <= 6);
    assert_int_equal(cg_jobs_finished(j, 6), 6);
    assert_int_equal(j[0].state, CG_JOB_DONE);
    assert_int_equal(j[1].state, CG_JOB_FAILED);
    assert_string_equal(j[1].fault.data, long_text);
    assert_int_equal(j[2].state, CG_JOB_CRASHED);
    assert_non_null(strstr(j[2].fault.data, "signal 6"));
    assert_int_equal(j[3].state, CG_JOB_CRASHED);
    assert_string_equal(j[3].fault.data, "LLVM ERROR: out of registers");
    assert_int_equal(j[5].state, CG_JOB_CRASHED);
    assert_string_equal(j[5].fault.data, "3 kernels are missing");
    for (int i = 0; i < 6; i++) base_str_free(&j[i].fault);
}

/* a -> b, c (independent) -> d: b and c need a, d needs both, nothing else waits. */
static void barriers(void **state) {
    (void)state;
    ir_module *m = ir_module_new();
    ir_func *f = ir_func_new(m, "f");
    ir_ref x = model_input(f, "x", DIMS(16, 16));
    ir_ref a = model_op(f, IR_OP_neg, NULL, OPERANDS(x)),
           b = model_op(f, IR_OP_silu, NULL, OPERANDS(a));
    ir_ref c = model_op(f, IR_OP_relu, NULL, OPERANDS(a)),
           d = model_op(f, IR_OP_add, NULL, OPERANDS(b, c));
    ir_ref e = model_op(f, IR_OP_exp, NULL, OPERANDS(x));
    const ir_ref order[] = {a, b, c, d, e};
    static const uint64_t disjoint[] = {0, 1024, 2048, 3072, 4096},
                          reused[] = {0, 1024, 2048, 3072, 1024};
    static const bool want[][5] = {{false, true, false, true, false},
                                   {false, true, false, true, true}};
    f->nodes.items[x.id].place = (ir_place){IR_AT_INPUT, 0};
    for (int reuse = 0; reuse < 2; reuse++) {
        cg_hazards h = {{0}, {0}};
        for (int i = 0; i < 5; i++)
            f->nodes.items[order[i].id].place =
                (ir_place){IR_AT_ARENA, (reuse ? reused : disjoint)[i]};
        for (int i = 0; i < 5; i++)
            assert_int_equal(cg_hazard(&h, f, ir_get(f, order[i]), order[i]), want[reuse][i]);
        cg_hazards_free(&h);
    }
    ir_module_free(m);
}

static int set_up(void **state) {
    for (uint32_t i = 0; i < cg_target_count(); i++)
        if (model_runs(cg_target_name(i))) best = cg_target(NULL, cg_target_name(i));
    return temp_shared_begin(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_levels_in_one),
        cmocka_unit_test(tables),
        cmocka_unit_test(same_bytes_twice),
        cmocka_unit_test(places_for_weights),
        cmocka_unit_test(another_linker),
        cmocka_unit_test(text_and_objects),
        cmocka_unit_test(refusals_leave_nothing),
        cmocka_unit_test(levels_differ),
        cmocka_unit_test(jobs),
        cmocka_unit_test(barriers),
    };
    return cmocka_run_group_tests(tests, set_up, temp_shared_end);
}
