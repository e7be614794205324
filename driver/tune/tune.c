/* ebru tune: measures the kernels of a model on this machine and writes what was best as tuning
 * records.
 *
 * The model is lowered several times: as the rules say, and once for each form there is to compute
 * a convolution or a feed-forward, in each precision of the class, so that every kernel it might be
 * made of is seen. All are timed
 * with the rules' tiles; then, those with the largest share first, other tiles are tried. The model
 * is lowered once more by the records. */
#include "driver/tune/tune.h"
#include "driver/commands/commands.h"
#include "driver/commands/lower.h"
#include "driver/driver.h"
#include "driver/tune/tuning_file.h"

#include "frontend/files/files.h"
#include "runtime/engine/threads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEFAULT_BUDGET = 300 };
/* Another form than the rules' is searched for tiles when it is at most this much slower with the
 * rules' tiles. */
static const double OTHER_WAY = 1.25;

struct tuner {
    const drv_options *o;
    base_diag *d;
    const ir_target *target; /* as the rules have it */
    cg_machine machine;
    const char *path;               /* of the records */
    drv_quantization *quantization; /* NULL: none is named */
    tune_kernels kernels;
    tune_lowered rules, tuned; /* the model by the rules, and by the records */
    tune_timer *timer;
    double until;
    bool bar;
};

/* ---- lowering ---- */

/* The model lowered for a target; no module with diagnostics. */
static tune_lowered lower(struct tuner *u, const ir_target *target) {
    const tune_lowered none = {0};
    fe_options fe = drv_fe_options(&u->o->load);
    ir_module *m = drv_load(u->d, u->o->model, &fe);
    if (m && drv_is_ir(u->o->model) && !fe_bind_ir_weights(u->d, m)) {
        ir_module_free(m);
        return none;
    }
    if (!m) return none;
    pass_context *c = pass_context_new(m, target);
    pass_options p = drv_pass_options(u->o, u->quantization);
    bool fine = drv_quantization_apply(u->d, u->o, u->quantization, m) && pass_run(c, &p, u->d);
    const tune_lowered lowered = {m, c->memory.weights_bytes};
    pass_context_free(c);
    if (fine) return lowered;
    ir_module_free(m);
    return none;
}

/* Collects what a lowering with these records has; force: as cg_tuning_use's. keep: the lowering
 * counts and is kept there; NULL: it does not. */
static bool collect(struct tuner *u, const cg_tuning *table, ir_way force, tune_lowered *keep) {
    cg_tuning_log log = {.diag = u->d};
    const cg_tuning_use use = {
        .table = table, .log = &log, .forms = true, .force = force, .machine = u->machine};
    ir_target *t = cg_target_tuned(u->target, &use);
    tune_lowered lowered = lower(u, t);
    bool fine = lowered.module != NULL;
    if (fine) tune_collect(&u->kernels, lowered.module, keep != NULL, keep == &u->tuned);
    if (keep)
        *keep = lowered;
    else
        ir_module_free(lowered.module);
    base_free(t);
    cg_tuning_log_free(&log);
    return fine;
}

static const ir_way FREE = {IR_FORM_NONE, IR_PRECISION_F32};

static bool collect_all(struct tuner *u) {
    bool fine = collect(u, NULL, FREE, &u->rules);
    if (u->o->tune.keep_bits) return fine;
    const ir_precision class = u->o->code.products;
    for (ir_precision p = IR_PRECISION_F32; p < IR_PRECISION_COUNT && fine; p++)
        for (ir_form form = IR_FORM_DIRECT; form <= IR_FORM_FUSED && fine; form++)
            if (pass_class_allows(class, p)) fine = collect(u, NULL, (ir_way){form, p}, NULL);
    return fine;
}

/* ---- what earlier runs measured ---- */

static bool same_machine(const cg_machine *a, const cg_machine *b) {
    return a->l1d == b->l1d && a->l2 == b->l2 && a->l3 == b->l3 && a->threads == b->threads;
}

/* The kernel's times and tiles from the records of this machine. */
static void recall(const struct tuner *u, const cg_tuning *table, tune_kernel *k) {
    const cg_record *r = cg_tuning_find(table, &u->machine, k->kernel->name, k->key);
    if (!r || !same_machine(&r->machine, &u->machine)) return;
    for (uint32_t i = 0; i < r->choice_count; i++)
        cg_params_set(k->kernel, &k->best, r->choice[i].field, r->choice[i].value);
    k->known = cg_tiles_legal(k->kernel, &k->best, cg_target_isa(u->target), k->overwrite, NULL) &&
               cg_tiles_bearable(k->kernel, &k->best, NULL);
    if (!k->known) {
        k->best = k->rules;
        return;
    }
    memcpy(k->rules_ns, r->default_ns, sizeof k->rules_ns);
    memcpy(k->best_ns, r->ns, sizeof k->best_ns);
    k->candidates = r->tried;
}

static bool recall_all(struct tuner *u) {
    if (u->o->tune.again || !fe_path_is_file(u->path)) return true;
    cg_tuning *table = cg_tuning_new();
    const bool fine = drv_tuning_read_file(u->d, u->path, true, table);
    for (size_t i = 0; i < u->kernels.count && fine; i++) recall(u, table, &u->kernels.items[i]);
    cg_tuning_free(table);
    return fine;
}

/* ---- measuring ---- */

static void show(const struct tuner *u, size_t done, size_t all, const tune_kernel *k,
                 const char *result) {
    if (u->o->common.quiet) return;
    fprintf(stderr, "%s%zu/%zu %s%s%s%s", u->bar ? "\r\033[K" : "", done, all, k->shape,
            *result ? ": " : "", result, u->bar ? "" : "\n");
}

static uint64_t largest_weights(const tune_kernels *all) {
    uint64_t most = 0;
    for (size_t i = 0; i < all->count; i++) {
        uint64_t bytes = 0;
        for (uint32_t b = 0; b < all->items[i].buf_count; b++)
            if (all->items[i].is_weight[b]) bytes += all->items[i].bytes[b];
        if (bytes > most) most = bytes;
    }
    return most;
}

static double share(const tune_kernel *k) {
    return k->calls * k->rules_ns[0];
}

static int by_share(const void *a, const void *b) {
    const double x = share(*(tune_kernel *const *)a), y = share(*(tune_kernel *const *)b);
    return (x < y) - (x > y);
}

/* A kernel that the rules do not choose stands for the one whose place it would take: of the same
 * work, that is nodes with the same result and operands. Its time counts as often. */
static void share_calls(tune_kernels *all, double *calls) {
    for (size_t i = 0; i < all->count; i++) {
        const tune_kernel *k = &all->items[i];
        calls[i] = k->calls;
        for (size_t j = 0; j < all->count && k->calls == 0; j++) {
            const tune_kernel *other = &all->items[j];
            const bool same = other->calls > 0 && other->flops > 0 &&
                              other->bytes[other->buf_count - 1] == k->bytes[k->buf_count - 1] &&
                              other->bytes[0] == k->bytes[0];
            if (same && k->rules_ns[0] < OTHER_WAY * other->rules_ns[0] && other->calls > calls[i])
                calls[i] = other->calls;
        }
    }
}

/* Looks for better tiles, the largest share of time first; each kernel may take its share of what
 * is left. */
static void search(struct tuner *u) {
    const size_t n = u->kernels.count;
    tune_kernel **order = base_alloc((n + 1) * sizeof *order);
    double *calls = base_alloc((n + 1) * sizeof *calls), left = 0;
    share_calls(&u->kernels, calls);
    for (size_t i = 0; i < n; i++) {
        order[i] = &u->kernels.items[i];
        double own = order[i]->calls;
        order[i]->calls = calls[i]; /* until they are sorted and searched */
        calls[i] = own;
        if (!order[i]->known || !order[i]->candidates) left += share(order[i]);
    }
    tune_kernel *first = u->kernels.items;
    qsort(order, n, sizeof *order, by_share);
    for (size_t i = 0; i < n; i++) {
        tune_kernel *k = order[i];
        const double rest = u->until - base_now(), mine = share(k);
        const bool done = k->known && k->candidates > 0;
        if (mine > 0 && rest > 0 && !done && tune_timer_load(u->timer, k)) {
            k->known = false;
            show(u, i + 1, n, k, "");
            tune_search(u->timer, k, cg_target_isa(u->target), fmax(rest * mine / left * 1.5, 0.2),
                        u->o->tune.keep_bits);
            char result[80];
            snprintf(result, sizeof result, "%.3f -> %.3f ms, %u tried", k->rules_ns[0] * 1e-6,
                     k->best_ns[0] * 1e-6, k->candidates);
            show(u, i + 1, n, k, result);
        }
        if (!done) left -= mine;
    }
    for (size_t i = 0; i < n; i++) first[i].calls = calls[i];
    base_free(order);
    base_free(calls);
}

static bool measure(struct tuner *u) {
    const int threads = (int)u->machine.threads;
    u->timer = tune_timer_new(u->d, cg_target_isa(u->target), threads, u->machine.l3,
                              largest_weights(&u->kernels));
    if (!u->timer) return false;
    for (size_t i = 0; i < u->kernels.count; i++) {
        tune_kernel *k = &u->kernels.items[i];
        if (k->known) continue;
        if (!tune_timer_load(u->timer, k)) {
            base_error(u->d, NULL, "out of memory for the operands of %s", k->shape);
            return false;
        }
        tune_first_look(u->timer, k);
    }
    search(u);
    if (u->bar && !u->o->common.quiet) fprintf(stderr, "\r\033[K");
    return true;
}

/* ---- records ---- */

static cg_record record_of(const struct tuner *u, const tune_kernel *k) {
    cg_record r = {.machine = u->machine, .kernel = k->kernel->name, .key = k->key};
    tune_choice(k, &r);
    memcpy(r.ns, k->best_ns, sizeof r.ns);
    memcpy(r.default_ns, k->rules_ns, sizeof r.default_ns);
    r.tried = k->candidates;
    return r;
}

/* The records as a table, and as lines. With bits to keep no times are recorded of kernels that
 * were not changed: they would choose between forms. */
static cg_tuning *records(const struct tuner *u, base_str *lines) {
    cg_tuning *t = cg_tuning_new();
    for (size_t i = 0; i < u->kernels.count; i++) {
        const cg_record r = record_of(u, &u->kernels.items[i]);
        if (u->o->tune.keep_bits && !r.choice_count) continue;
        cg_tuning_add(t, &r);
        if (!u->kernels.items[i].known) drv_record_print(&r, lines);
    }
    return t;
}

/* ---- what to type next ---- */

static void add_option(base_str *out, const char *name, const char *value) {
    if (value) base_str_addf(out, " %s%s", name, base_escape(value, strlen(value)));
}

static void print_next(const struct tuner *u) {
    const drv_options *o = u->o;
    base_str model = {0};
    base_str_add(&model, base_escape(o->model, strlen(o->model)));
    add_option(&model, "--component=", o->load.component);
    add_option(&model, "--size=", o->load.size);
    add_option(&model, "--precision=", o->code.precision);
    add_option(&model, "--quantization=", o->code.quantization);
    add_option(&model, "-mcpu=", o->code.cpu);
    if (o->load.batch) base_str_addf(&model, " --batch=%lld", (long long)o->load.batch);
    if (o->load.random_weights)
        base_str_addf(&model, " --weights=random:%llu", (unsigned long long)o->load.random_seed);
    printf("next:");
    if (!o->tune.check) {
        printf(" ebru tune %s --budget=1 --check", model.data);
        if (o->common.output) printf(" -o %s", base_escape(u->path, strlen(u->path)));
        printf("\n      whole programs, by the rules and by the records, in turns; then\n     ");
    }
    /* the cache folder's records are for -mcpu=native, and taken without a word */
    bool file = o->common.output || o->code.cpu;
    printf(" ebru compile %s", model.data);
    if (file) printf(" --tuning=%s", base_escape(u->path, strlen(u->path)));
    printf(" -o PROGRAM\n");
    base_str_free(&model);
}

/* ---- the command ---- */

static bool find_machine(struct tuner *u) {
    const drv_options *o = u->o;
    const cg_arch *arch = cg_arch_find(u->d, NULL);
    const char *cpu = o->code.cpu ? o->code.cpu : "native";
    if (strchr(cpu, ',')) {
        base_error(u->d, NULL, "tiles are tuned for one CPU level, not for '%s'",
                   base_escape(cpu, strlen(cpu)));
        return false;
    }
    const ir_target *here = cg_arch_target(u->d, arch, "native");
    u->target = here ? cg_arch_target(u->d, arch, cpu) : NULL;
    if (!u->target) return false;
    base_str missing = {0};
    const bool runs = cg_target_runs_here(u->target, &missing);
    if (!runs)
        base_error(u->d, NULL, "this machine cannot run code for %s (%s), so it cannot time it",
                   u->target->level, missing.data);
    base_str_free(&missing);
    if (!runs) return false;
    u->machine = cg_machine_of(
        here, (uint32_t)(o->run.threads ? o->run.threads : rt_threads_default(NULL, 0)));
    u->machine.level = u->target->level;
    return true;
}

static bool tune(struct tuner *u) {
    const double start = base_now();
    base_str place = {0}, lines = {0};
    if (!u->o->common.output && !drv_tuning_place(&place)) {
        base_error(u->d, NULL, "nothing says where records are kept; name a file with -o");
        return false;
    }
    u->path = u->o->common.output ? u->o->common.output : place.data;
    u->until = start + (double)(u->o->tune.budget ? u->o->tune.budget : DEFAULT_BUDGET);
    bool fine = find_machine(u) && drv_quantization_open(u->d, u->o, &u->quantization) &&
                collect_all(u) && recall_all(u) && measure(u);
    if (fine) {
        base_str_add(&lines, "");
        cg_tuning *table = records(u, &lines);
        fine = drv_tuning_append(u->d, u->path, &lines) && collect(u, table, FREE, &u->tuned);
        cg_tuning_free(table);
    }
    if (fine) {
        tune_print_table(&u->kernels, &u->rules, &u->tuned, &u->machine, base_now() - start);
        if (!u->o->common.quiet) {
            print_next(u);
            fflush(stdout); /* in front of what goes to standard error */
            fprintf(stderr, "records: %s\n", u->path);
        }
        fflush(stdout);
        if (u->o->tune.check) fine = tune_check(u->d, u->o, u->path);
    }
    base_str_free(&place);
    base_str_free(&lines);
    return fine;
}

int drv_tune(const drv_options *given) {
    drv_options o = *given;
    o.passes.list = o.passes.stop_after = o.passes.start_after = NULL;
    const char *term = getenv("TERM");
    struct tuner u = {.o = &o, .d = drv_diag(&o.common)};
    u.bar = isatty(2) && term && strcmp(term, "dumb") != 0;
    const bool fine = tune(&u);
    tune_timer_free(u.timer);
    tune_kernels_free(&u.kernels);
    ir_module_free(u.rules.module);
    ir_module_free(u.tuned.module);
    drv_quantization_free(u.quantization);
    base_diag_flush(u.d);
    base_diag_free(u.d);
    return fine ? DRV_OK : DRV_INPUT;
}
