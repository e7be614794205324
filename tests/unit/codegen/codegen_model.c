#include "tests/unit/codegen/codegen_model.h"

#include "base/cpu/cpu.h"
#include "passes/passes.h"
#include "runtime/abi/kernel_abi.h"

#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAIL(...) (fprintf(stderr, __VA_ARGS__), fprintf(stderr, "\n"), abort())

/* ---- building ---- */

ir_ref model_input(ir_func *f, const char *name, uint32_t rank, const int64_t *dim) {
    ir_type t = ir_type_make(IR_f32, rank, dim);
    return ir_input(f, name, &t, IR_STEP, 0);
}

ir_ref model_ids(ir_func *f, const char *name, uint32_t rank, const int64_t *dim) {
    ir_type t = ir_type_make(IR_i32, rank, dim);
    return ir_input(f, name, &t, IR_STEP, 0);
}

ir_ref model_weight(ir_func *f, const char *name, double center, double bound, uint32_t rank,
                    const int64_t *dim) {
    char full[128];
    snprintf(full, sizeof full, "%s/%s", f->name, name);
    ir_type t = ir_type_make(IR_f32, rank, dim);
    uint32_t index = ir_weight_add(f->module, full, &t);
    ir_weight *w = &f->module->weights.items[index];
    w->kind = IR_WEIGHT_RANDOM;
    w->seed = 7;
    w->center = center;
    w->bound = bound;
    return ir_weight_ref(f, index, 0);
}

ir_ref model_op(ir_func *f, ir_op op, const void *attrs, uint32_t count, const ir_ref *operands) {
    return ir_build(f, op, operands, count, attrs, IR_PLAIN, 0);
}

ir_module *model_build(const model_case *cases, uint32_t count) {
    ir_module *m = ir_module_new();
    m->level = cases[0].level;
    for (uint32_t i = 0; i < count; i++) cases[i].build(ir_func_new(m, cases[i].name));
    base_str faults = {0};
    if (!ir_verify(m, &faults)) FAIL("test model: %s", faults.data);
    base_str_free(&faults);
    return m;
}

/* ---- reference ---- */

static float pseudo_random(uint64_t i) {
    uint64_t x = (i + 1) * 0x9e3779b97f4a7c15U;
    x = (x ^ x >> 31) * 0xbf58476d1ce4e5b9U;
    return (float)((double)(x >> 40) / (1 << 23) - 1.0);
}

static ir_tensor make_input(const ir_node *n, uint64_t salt) {
    ir_tensor t = {n->type, base_alloc((size_t)ir_type_elements(&n->type) * sizeof(float))};
    for (int64_t i = 0; i < ir_type_elements(&n->type); i++) {
        float x = pseudo_random((uint64_t)i + salt * 1000003);
        t.data[i] = n->type.dtype == IR_i32 ? floorf(fabsf(x) * 9.99f) : x;
        if (strcmp(IR_ATTRS(n, input)->name, "timestep") == 0)
            t.data[i] = floorf(fabsf(x) * 1000.0f);
    }
    return t;
}

model_data model_reference(const ir_module *m) {
    model_data d = {(uint32_t)m->funcs.count, base_alloc(m->funcs.count * sizeof *d.values)};
    for (uint32_t i = 0; i < d.count; i++) {
        const ir_func *f = m->funcs.items[i];
        struct model_values *v = &d.values[i];
        v->inputs = (uint32_t)f->inputs.count;
        v->outputs = (uint32_t)f->outputs.count;
        if (v->inputs > MODEL_MOST_VALUES || v->outputs > MODEL_MOST_VALUES) {
            fprintf(stderr, "%s has more than %d inputs or outputs\n", f->name, MODEL_MOST_VALUES);
            exit(1);
        }
        for (uint32_t k = 0; k < v->inputs; k++)
            v->in[k] = make_input(ir_get(f, f->inputs.items[k]), k + 1);
        ir_eval(f, v->in, v->out, NULL);
    }
    return d;
}

void model_data_free(model_data *d) {
    for (uint32_t i = 0; i < d->count; i++) {
        for (uint32_t k = 0; k < d->values[i].inputs; k++) ir_tensor_free(&d->values[i].in[k]);
        for (uint32_t k = 0; k < d->values[i].outputs; k++) ir_tensor_free(&d->values[i].out[k]);
    }
    base_free(d->values);
}

void model_passes(ir_module *m, const ir_target *target, ir_level from) {
    model_lower(m, target, from, IR_PRECISION_F32);
}

void model_lower(ir_module *m, const ir_target *target, ir_level from, ir_precision precision) {
    base_diag *d = base_diag_new(NULL);
    pass_context *c = pass_context_new(m, target);
    pass_options o = {
        .bisect_limit = -1, .verify_each = true, .print_to = stderr, .precision = precision};
    if (from == IR_FUSED)
        o.passes = "lay_out,pack_weights,lower_int8,lower_precision,tile_attention,dce_fused,"
                   "select_kernels,plan_memory";
    bool fine = pass_run(c, &o, d);
    base_diag_flush(d);
    if (!fine) FAIL("the passes failed");
    pass_context_free(c);
    base_diag_free(d);
}

bool model_runs(const char *level) {
    base_cpu cpu;
    base_cpu_detect(&cpu);
    const int32_t isa = base_isa_by_name(level);
    return base_cpu_runs(&cpu, isa) && base_cpu_permit(&cpu, isa);
}

/* ---- running ---- */

static pthread_barrier_t barrier;
static _Thread_local int32_t last_op; /* what this thread told of last, -1 at first */

/* Every op is told of when it is done, none is skipped; poison repeats some. */
static void done(int32_t op) {
    if (op != last_op && op != last_op + 1) FAIL("op %d is told of after op %d", op, last_op);
    last_op = op;
}

/* The services emitted code asks of its host. */
void ebru_mark(const struct ebru_call *call, int32_t thread, int32_t op) {
    (void)call, (void)thread;
    done(op);
}

void ebru_barrier(const struct ebru_call *call, int32_t thread, int32_t threads, int32_t op) {
    (void)call, (void)thread, (void)threads;
    done(op);
    pthread_barrier_wait(&barrier);
}

static int host_threads;
static _Thread_local int32_t op_taken; /* the op whose tasks this thread has got, -1 at first */

uint64_t ebru_take(const struct ebru_call *call, int32_t thread, int32_t op, int32_t tasks,
                   int32_t step) {
    (void)call, (void)step;
    if (op_taken == op) return 0;
    op_taken = op;
    return (uint64_t)((int64_t)tasks * (thread + 1) / host_threads) << 32 |
           (uint64_t)((int64_t)tasks * thread / host_threads);
}

model_loaded model_load(const char *path) {
    model_loaded l = {.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL)};
    if (!l.handle) FAIL("%s", dlerror());
    l.tables = dlsym(l.handle, "ebru_model");
    if (!l.tables || l.tables->abi_version != EBRU_ABI_VERSION) FAIL("no tables in %s", path);
    l.weights = l.tables->weights_embedded;
    return l;
}

void model_unload(model_loaded *l) {
    dlclose(l->handle);
}

struct share {
    ebru_run_fn fn;
    const struct ebru_call *call;
    int thread, threads;
    int32_t ops;
};
static void *run_share(void *arg) {
    const struct share *s = arg;
    last_op = op_taken = -1;
    s->fn(s->call, s->thread, s->threads);
    if (last_op != s->ops - 1) FAIL("%d of %d ops were told of", last_op + 1, s->ops);
    return NULL;
}

static void *buffer(uint64_t bytes) {
    size_t size = (size_t)(bytes + 127) / 64 * 64;
    void *p = aligned_alloc(64, size);
    memset(p, 0xff, size); /* NaN: what nobody writes shows */
    return p;
}

void model_run(const model_loaded *l, int level, int function, int threads,
               const struct model_values *v, void *out[MODEL_MOST_VALUES]) {
    const struct ebru_function_desc *f = &l->tables->functions[function];
    const void *in[MODEL_MOST_VALUES];
    void *owned[MODEL_MOST_VALUES];
    for (int32_t i = 0; i < f->input_count; i++) {
        in[i] = owned[i] = buffer(f->inputs[i].bytes);
        int64_t n = ir_type_elements(&v->in[i].type);
        memcpy(owned[i], v->in[i].data, (size_t)n * 4);
        for (int64_t k = 0; k < n && f->inputs[i].dtype == EBRU_I32; k++)
            ((int32_t *)owned[i])[k] = (int32_t)v->in[i].data[k];
    }
    for (int32_t i = 0; i < f->output_count; i++) out[i] = buffer(f->outputs[i].bytes);
    uint64_t stride = (f->scratch_bytes + 4095) / 4096 * 4096 + 64;
    void *arena = buffer(f->arena_bytes), *scratch = buffer(stride * (uint64_t)threads);
    struct ebru_call call = {in,     out,        arena, scratch,
                             stride, l->weights, NULL,  ebru_cut_column(v->cut ? v->cut : threads),
                             0};
    host_threads = threads;
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    pthread_t thread[16];
    struct share share[16];
    for (int t = 0; t < threads; t++) {
        share[t] =
            (struct share){l->tables->levels[level].run[function], &call, t, threads, f->op_count};
        if (t > 0) pthread_create(&thread[t], NULL, run_share, &share[t]);
    }
    run_share(&share[0]);
    for (int t = 1; t < threads; t++) pthread_join(thread[t], NULL);
    pthread_barrier_destroy(&barrier);
    for (int32_t i = 0; i < f->input_count; i++) free(owned[i]);
    free(arena);
    free(scratch);
}

double model_error(const struct ebru_tensor_desc *d, const void *got, const ir_tensor *want) {
    const float *g = got;
    double sum = 0, reference = 0;
    if (d->layout != EBRU_PLAIN || d->dtype != EBRU_F32)
        FAIL("output '%s' is not plain f32", d->name);
    for (int64_t i = 0; i < ir_type_elements(&want->type); i++) {
        double e = (double)g[i] - (double)want->data[i];
        if (!isfinite(g[i]) && isfinite(want->data[i])) return 1e30;
        if (!isfinite(g[i])) continue;
        sum += e * e;
        reference += (double)want->data[i] * (double)want->data[i];
    }
    return reference > 0 ? sqrt(sum / reference) : sqrt(sum);
}
