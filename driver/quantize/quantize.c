/* ebru quantize: which filters of a model can be int8 or bf16, and which have to stay in f32.
 *
 * The model is compiled in f32 and paints; what its functions are given is kept (recording.c). Then
 * the networks that took part are taken apart (op_functions.c) and compiled three times, op by op:
 * in f32, in the class bf16 and in the class int8, by the passes that compile them otherwise. With
 * that code each filter's rounding is measured (measure.c), and a class is chosen for each
 * (choose.c). */
#include "driver/cli/write_text.h"
#include "driver/commands/commands.h"
#include "driver/driver.h"
#include "driver/quantize/measure.h"
#include "driver/quantize/op_functions.h"
#include "driver/quantize/quantization_file.h"
#include "runtime/abi/meta_keys.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Without --budget= a network's error is to be half of what int8 leaves wherever it is fastest, so
 * that the file is better than none; but where that is above what products in bf16 leave (55 to 60
 * dB of trained networks), no more than that is asked for. In dB. */
static const double BETTER = 6, ENOUGH = 55;
enum { LEAST_SAMPLES = 3, MOST_SAMPLES = 12, MOST_NETWORKS = 64 };
/* Work of all measuring that the default number of samples is chosen for: about an hour of two
 * cores with AVX-512. */
static const double DEFAULT_FLOPS = 7e14;

typedef struct command {
    drv_options o;
    base_diag *d;
    double budget;   /* dB; 0: by what int8 leaves */
    drv_build parts; /* the model with packed weights; its structure */
    quant_prompts prompts;
    quant_recording recording;
    quant_measurement m;
} command;

/* ---- compiling ---- */

/* Passes that would give functions other inputs than those recorded, or ops results in other
 * places. Winograd's f32 forms have filters of up to four times the size, and nothing to
 * measure. */
static bool leave_out(command *c, drv_options *o, bool f32) {
    static const char *const passes[] = {"split_packing", "overwrite_input", "choose_winograd"};
    const uint32_t count = f32 ? 3 : 2;
    if (o->passes.disabled_count + count > DRV_MAX_DISABLED) {
        base_error(c->d, NULL, "too many -fno- options: ebru quantize leaves out %u passes itself",
                   count);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) o->passes.disabled[o->passes.disabled_count++] = passes[i];
    return true;
}

/* The model after a pass (NULL: placed); its functions are those of all other calls. */
static bool lower(command *c, const drv_options *given, const char *stop_after, bool told,
                  drv_build *b) {
    drv_options o = *given;
    fe_options fe = drv_fe_options(&o.load);
    fe.told = told;
    o.passes.stop_after = stop_after;
    if (!drv_lower(c->d, &o, &fe, b)) return false;
    if (b->count == 1) return true;
    base_error(c->d, NULL, "rounding is measured at one CPU level; name one with -mcpu=");
    return false;
}

static bool runs_here(command *c) {
    base_str missing = {0};
    const ir_target *t = c->parts.levels[0].target;
    const bool runs = cg_target_runs_here(t, &missing);
    if (!runs)
        base_error(c->d, NULL, "this machine cannot run code for %s (%s), so it cannot measure it",
                   t->level, missing.data);
    base_str_free(&missing);
    return runs;
}

/* ---- painting ---- */

static double filters_of(const ir_func *f) {
    double count = 0;
    ir_ref w;
    for (size_t i = 0; i < f->nodes.count; i++) count += quant_has_filter(&f->nodes.items[i], &w);
    return count;
}

/* As many samples as the largest network can be measured with in reasonable time. */
static uint32_t samples_for(const command *c) {
    if (c->o.quantize.samples) return (uint32_t)c->o.quantize.samples;
    double most = 0;
    ir_module *m = c->parts.levels[0].module;
    for (size_t i = 0; i < m->funcs.count; i++) {
        const double work =
            filters_of(m->funcs.items[i]) * ir_func_cost(m->funcs.items[i]).flops / 2;
        if (work > most) most = work;
    }
    const double samples = most > 0 ? DEFAULT_FLOPS / most : 1 / 0.0;
    if (samples >= (double)MOST_SAMPLES) return MOST_SAMPLES;
    return samples < (double)LEAST_SAMPLES ? LEAST_SAMPLES : (uint32_t)samples;
}

/* An op of a small network is done before a second thread has woken up. */
static void choose_threads(command *c) {
    static const double SMALL = 2e7; /* flops of an op: a third of a millisecond */
    const ir_module *m = c->parts.levels[0].module;
    double most = 0;
    if (c->o.run.threads) return;
    for (size_t i = 0; i < m->funcs.count; i++) {
        const double op =
            ir_func_cost(m->funcs.items[i]).flops / (filters_of(m->funcs.items[i]) + 1);
        if (op > most) most = op;
    }
    if (most < SMALL) c->o.run.threads = 1;
}

static void say(const command *c, const char *text) {
    if (!c->o.common.quiet) fprintf(stderr, "%s\n", text);
}

static bool record(command *c) {
    drv_options o = c->o;
    drv_build b = {0};
    quant_code code = {0};
    say(c, "compiling in f32");
    bool fine = leave_out(c, &o, true) && lower(c, &o, NULL, true, &b) &&
                quant_code_open(c->d, &o, &b, &code) &&
                quant_record(c->d, &code, b.levels[0].module, &c->prompts, samples_for(c),
                             c->o.common.quiet, &c->recording);
    quant_code_close(&code);
    drv_build_free(&b);
    return fine;
}

static bool find_networks(command *c) {
    const char *names[MOST_NETWORKS];
    ir_module *m = c->parts.levels[0].module;
    const uint32_t count = net_names(m, names, MOST_NETWORKS);
    c->m.module = m;
    for (uint32_t i = 0; i < count; i++) {
        quant_network *w = quant_network_new(m, names[i], &c->recording);
        if (w) BASE_PUSH(&c->m.networks, ((quant_result){.name = names[i], .network = w}));
    }
    quant_find_filters(&c->m);
    if (c->m.filters.count) return true;
    base_error(c->d, NULL, "there is nothing to choose: the model has no filters that run");
    return false;
}

/* ---- op by op ---- */

static bool is_measured(const command *c, const ir_func *f) {
    for (size_t i = 0; i < c->m.networks.count; i++) {
        const net *n = c->m.networks.items[i].network->net;
        for (size_t k = 0; k < n->entries.count; k++)
            if (!strcmp(n->entries.items[k].f->name, f->name)) return true;
    }
    return false;
}

/* Whether an op's function is there in a class: in f32 all are, in a lower one those that it
 * computes otherwise. */
static bool differs(const ir_func *f, ir_precision class) {
    for (size_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        ir_precision p = IR_PRECISION_F32;
        if (n->op == IR_OP_conv2d_i8) p = IR_PRECISION_INT8;
        if (n->op == IR_OP_conv2d) p = IR_ATTRS(n, conv2d)->precision;
        if (n->op == IR_OP_linear) p = IR_ATTRS(n, linear)->precision;
        if (n->op == IR_OP_attention) p = IR_ATTRS(n, attention)->precision;
        if (p == class) return true;
    }
    return class == IR_PRECISION_F32;
}

/* Functions of the model become functions of their ops. */
static void take_apart(const command *c, ir_module *m) {
    const size_t whole = m->funcs.count;
    for (size_t i = 0; i < whole; i++)
        if (is_measured(c, m->funcs.items[i])) quant_add_op_functions(m->funcs.items[i]);
    for (size_t i = 0; i < whole; i++) ir_func_remove(m, m->funcs.items[0]);
}

/* Why the passes left an op as it is, for the filters it is a use of. */
static void note_reasons(command *c, const pass_context *from, const char *pass, ir_precision p) {
    for (size_t i = 0; i < from->matches.count; i++) {
        const pass_match *match = &from->matches.items[i];
        if (!match->reason || strcmp(match->pass, pass) != 0) continue;
        for (size_t k = 0; k < c->m.filters.count; k++) {
            quant_filter *f = &c->m.filters.items[k];
            const net_entry *e =
                &c->m.networks.items[f->network].network->net->entries.items[f->uses.items[0]];
            char name[360];
            snprintf(name, sizeof name, "%s.%u", e->f->name, e->node.id);
            if (!strcmp(name, match->func))
                f->reason[p] = base_arena_strdup(c->parts.levels[0].module->arena, match->reason);
        }
    }
}

static bool open_class(command *c, ir_precision class) {
    drv_options o = c->o;
    drv_build b = {0};
    if (!leave_out(c, &o, class == IR_PRECISION_F32) || !lower(c, &o, "pack_weights", true, &b)) {
        drv_build_free(&b);
        return false;
    }
    ir_module *m = b.levels[0].module;
    take_apart(c, m);
    o.code.products = class;
    pass_options p = drv_pass_options(&o, NULL);
    p.stop_after = "lower_precision";
    bool fine = pass_run(b.contexts[0], &p, c->d);
    for (size_t i = m->funcs.count; i-- > 0 && fine;)
        if (!differs(m->funcs.items[i], class)) ir_func_remove(m, m->funcs.items[i]);
    if (class == IR_PRECISION_INT8) note_reasons(c, b.contexts[0], "lower_int8", class);
    if (class == IR_PRECISION_BF16) note_reasons(c, b.contexts[0], "lower_precision", class);
    p.stop_after = NULL;
    if (fine && m->funcs.count) {
        if (!c->o.common.quiet)
            fprintf(stderr, "compiling %zu ops in %s\n", m->funcs.count, ir_precision_name[class]);
        fine = pass_run(b.contexts[0], &p, c->d) &&
               quant_code_open(c->d, &o, &b, &c->m.codes.of[class]);
    }
    drv_build_free(&b);
    return fine;
}

static void note_costs(command *c) {
    drv_options o = c->o;
    o.code.products = IR_PRECISION_INT8;
    const pass_options p = drv_pass_options(&o, NULL);
    for (size_t i = 0; i < c->m.filters.count; i++) {
        quant_filter *f = &c->m.filters.items[i];
        for (size_t k = 0; k < f->uses.count; k++) {
            const net_entry *e =
                &c->m.networks.items[f->network].network->net->entries.items[f->uses.items[k]];
            for (ir_precision class = 0; class < IR_PRECISION_COUNT; class ++)
                if (class != IR_PRECISION_BF16X3)
                    f->choice.cost[class] += pass_class_cost(
                        c->parts.contexts[0], &p, (ir_func *)(uintptr_t)e->f, e->node, class);
        }
    }
}

static bool measure(command *c) {
    static const ir_precision classes[] = {IR_PRECISION_F32, IR_PRECISION_BF16, IR_PRECISION_INT8};
    for (int i = 0; i < 3; i++)
        if (!open_class(c, classes[i])) return false;
    for (size_t i = 0; i < c->m.networks.count; i++)
        quant_network_bind(c->m.networks.items[i].network, &c->m.codes);
    note_costs(c);
    return quant_measure(&c->m);
}

/* ---- what is told ---- */

static uint32_t count_chosen(const command *c, uint32_t network, ir_precision p) {
    uint32_t count = 0;
    for (size_t i = 0; i < c->m.filters.count; i++) {
        const quant_filter *f = &c->m.filters.items[i];
        count += f->network == network && f->choice.chosen == p;
    }
    return count;
}

static const char *dB(double power, char out[24]) {
    const double x = quant_dB(power);
    if (isinf(x))
        snprintf(out, 24, "exact");
    else
        snprintf(out, 24, "%.1f", x);
    return out;
}

static double damage(const quant_filter *f) {
    const double *e = f->choice.error;
    return fmax(e[IR_PRECISION_INT8], e[IR_PRECISION_BF16]);
}

static int by_damage(const void *a, const void *b) {
    const quant_filter *x = *(const quant_filter *const *)a, *y = *(const quant_filter *const *)b;
    if (damage(x) != damage(y)) return damage(x) < damage(y) ? 1 : -1;
    return (x > y) - (x < y);
}

static const char *weight_name(const command *c, const quant_filter *f) {
    return c->m.module->weights.items[f->weights.items[0]].name;
}

static void cell(bool open, double power) {
    char text[24];
    printf(" %6s", open ? dB(power, text) : "-");
}

static void print_row(const command *c, const quant_filter *f) {
    const quant_choice *k = &f->choice;
    static const ir_precision lower[] = {IR_PRECISION_INT8, IR_PRECISION_BF16};
    printf("%-5s", ir_precision_name[k->chosen]);
    for (int i = 0; i < 2; i++)
        cell(k->open[lower[i]], f->signal > 0 ? f->noise[lower[i]] / f->signal : 0);
    for (int i = 0; i < 2; i++) cell(k->open[lower[i]], k->error[lower[i]]);
    printf(" %5.1f  %-10s %s\n",
           100 * (k->cost[IR_PRECISION_F32] - k->cost[k->chosen]) /
               c->m.networks.items[f->network].cost_f32,
           f->op, base_shown(weight_name(c, f)));
}

static void print_network(const command *c, uint32_t k) {
    const quant_result *r = &c->m.networks.items[k];
    char everywhere[24], chosen[24], expected[24];
    printf("%s: %s dB with int8 wherever it is fastest, %s dB as chosen (expected %s)\n",
           base_shown(r->name), dB(r->everywhere, everywhere), dB(r->chosen, chosen),
           dB(r->expected, expected));
    printf("    %u filters int8, %u bf16, %u f32: %.0f %% of their time in f32 (int8: %.0f %%)\n",
           count_chosen(c, k, IR_PRECISION_INT8), count_chosen(c, k, IR_PRECISION_BF16),
           count_chosen(c, k, IR_PRECISION_F32), 100 * r->cost_chosen / r->cost_f32,
           100 * r->cost_everywhere / r->cost_f32);
}

static void print_table(const command *c) {
    const size_t n = c->m.filters.count;
    const quant_filter **sorted = base_alloc((n + 1) * sizeof *sorted);
    for (size_t i = 0; i < n; i++) sorted[i] = &c->m.filters.items[i];
    qsort(sorted, n, sizeof *sorted, by_damage);
    for (uint32_t k = 0; k < c->m.networks.count; k++) print_network(c, k);
    printf("\n%-5s %13s %13s %5s\n", "", "own, dB", "result, dB", "saved");
    printf("%-5s %6s %6s %6s %6s %5s  %-10s %s\n", "class", "int8", "bf16", "int8", "bf16", "%",
           "op", "filter, worst first");
    for (size_t i = 0; i < n; i++) print_row(c, sorted[i]);
    base_free(sorted);
}

/* ---- the file ---- */

static const char *why(const command *c, const quant_filter *f, base_arena *arena) {
    const quant_choice *k = &f->choice;
    char text[24], share[24];
    const double budget = c->m.networks.items[f->network].budget;
    if (!k->open[IR_PRECISION_INT8] && !k->open[IR_PRECISION_BF16])
        return base_arena_printf(arena, "no lower class changes it: %s",
                                 f->reason[IR_PRECISION_BF16]   ? f->reason[IR_PRECISION_BF16]
                                 : f->reason[IR_PRECISION_INT8] ? f->reason[IR_PRECISION_INT8]
                                                                : "it runs once per schedule");
    if (k->chosen == IR_PRECISION_INT8 ||
        (k->chosen == IR_PRECISION_BF16 && !k->open[IR_PRECISION_INT8])) {
        snprintf(share, sizeof share, "%.2g", 100 * k->error[k->chosen] / budget);
        return base_arena_printf(
            arena, "the fastest%s%s; alone it leaves %s dB, %s %% of the budget's error",
            k->chosen == IR_PRECISION_BF16 && f->reason[IR_PRECISION_INT8] ? " that int8 leaves: "
                                                                           : "",
            k->chosen == IR_PRECISION_BF16 && f->reason[IR_PRECISION_INT8]
                ? f->reason[IR_PRECISION_INT8]
                : "",
            dB(k->error[k->chosen], text), share);
    }
    const ir_precision left = k->open[IR_PRECISION_INT8] ? IR_PRECISION_INT8 : IR_PRECISION_BF16;
    if (k->chosen == IR_PRECISION_BF16 && k->cost[left] >= k->cost[k->chosen])
        return "as fast as int8, and nearer";
    snprintf(share, sizeof share, "%.2g", 100 * k->error[left] / budget);
    return base_arena_printf(arena, "%s would leave %s dB alone, %s %% of the budget's error",
                             ir_precision_name[left], dB(k->error[left], text), share);
}

static void add_filter(const command *c, const quant_filter *f, drv_quantization *q) {
    for (size_t i = 0; i < f->weights.count; i++) {
        const ir_weight *w = &c->m.module->weights.items[f->weights.items[i]];
        drv_quantized_filter *to = drv_quantization_add(q, w->name);
        to->precision = f->choice.chosen;
        to->why = why(c, f, q->arena);
        for (ir_precision p = 0; p < IR_PRECISION_COUNT; p++) {
            if (!drv_quantization_has_ratio(p) || !f->choice.open[p]) continue;
            to->signal_to_noise_dB[p] = quant_dB(f->signal > 0 ? f->noise[p] / f->signal : 0);
            to->result_dB[p] = quant_dB(f->choice.error[p]);
        }
    }
}

static bool write_file(command *c) {
    drv_quantization *q = drv_quantization_new();
    ir_module *m = c->parts.levels[0].module;
    base_str text = {0};
    q->model = ir_meta_string(m, EBRU_META_MODEL_NAME.name, EBRU_META_MODEL_NAME.otherwise);
    q->weights = ir_meta_string(m, EBRU_META_MODEL_DIGEST.name, "");
    double budget = 0, worst = 0;
    for (size_t i = 0; i < c->m.networks.count; i++) {
        budget = fmax(budget, c->m.networks.items[i].budget);
        worst = fmax(worst, c->m.networks.items[i].chosen);
    }
    q->budget_dB = quant_dB(budget);
    q->result_dB = quant_dB(worst);
    for (size_t i = 0; i < c->m.filters.count; i++) add_filter(c, &c->m.filters.items[i], q);
    drv_quantization_print(q, &text);
    const bool fine = drv_write_text(c->d, c->o.common.output, text.data, text.len);
    base_str_free(&text);
    drv_quantization_free(q);
    return fine;
}

/* ---- the command ---- */

static void set_budgets(command *c) {
    for (size_t i = 0; i < c->m.networks.count; i++) {
        quant_result *r = &c->m.networks.items[i];
        const double left = quant_dB(r->everywhere);
        r->budget =
            quant_power(c->budget > 0 ? c->budget : fmax(left, fmin(left + BETTER, ENOUGH)));
        if (!(c->budget > 0)) r->budget = fmax(r->budget, r->floor);
    }
}

/* What no choice can reach is told before one is made, and what was missed by a hair after it. */
static bool check_reach(command *c) {
    bool any = false, fine = true;
    for (size_t i = 0; i < c->m.filters.count; i++)
        any |= c->m.filters.items[i].choice.open[IR_PRECISION_INT8] ||
               c->m.filters.items[i].choice.open[IR_PRECISION_BF16];
    if (!any) {
        base_error(c->d, NULL,
                   "there is nothing to choose: --precision=int8 leaves every filter in f32");
        return false;
    }
    for (size_t i = 0; i < c->m.networks.count; i++) {
        const quant_result *r = &c->m.networks.items[i];
        if (r->floor <= r->budget) continue;
        base_error(
            c->d, NULL,
            "a budget of %.4g dB is out of reach for %s: with every filter in f32 its attention, "
            "which --precision=int8 computes in bf16, leaves %.1f dB",
            quant_dB(r->budget), base_shown(r->name), quant_dB(r->floor));
        fine = false;
    }
    return fine;
}

static void tell_missed(const command *c) {
    for (size_t i = 0; i < c->m.networks.count; i++) {
        const quant_result *r = &c->m.networks.items[i];
        if (r->chosen > r->budget)
            base_warning(c->d, NULL, "%s: the best choice that was found leaves %.2f dB, not %.2f",
                         base_shown(r->name), quant_dB(r->chosen), quant_dB(r->budget));
    }
}

static int quantize(command *c) {
    drv_options o = c->o;
    if (!quant_prompts_read(c->d, c->o.quantize.prompts, &c->prompts)) return DRV_INPUT;
    if (!leave_out(c, &o, false) || !lower(c, &o, "pack_weights", false, &c->parts) ||
        !runs_here(c))
        return DRV_INPUT;
    /* now it is known which files the model consists of */
    if (!drv_can_write(c->d, c->o.common.output)) return DRV_IO;
    fe_note_digest(c->parts.levels[0].module);
    choose_threads(c);
    if (!record(c) || !find_networks(c) || !measure(c)) return DRV_INPUT;
    set_budgets(c);
    if (!check_reach(c)) return DRV_INPUT;
    if (!quant_settle(&c->m)) return DRV_INPUT;
    tell_missed(c);
    if (!write_file(c)) return DRV_IO;
    print_table(c);
    if (c->recording.pictures_made_up)
        say(c, "the pictures that the model begins with were made up");
    if (!c->recording.paintings)
        say(c, "the model paints nothing by itself: the inputs of its networks were made up");
    return DRV_OK;
}

int drv_quantize(const drv_options *given) {
    command c = {.o = *given, .d = drv_diag(&given->common)};
    c.m.d = c.d;
    c.m.quiet = given->common.quiet;
    c.budget = given->quantize.budget;
    c.o.passes.list = c.o.passes.stop_after = c.o.passes.start_after = NULL;
    c.o.code.products = IR_PRECISION_F32;
    int code;
    if (!given->common.output || !strcmp(given->common.output, "-")) {
        fputs("ebru: error: quantize: name the file to write with -o\n", stderr);
        code = DRV_USAGE;
    } else if (drv_is_ir(given->model)) {
        fprintf(stderr,
                "ebru: error: quantize works on a model; '%s' is IR, which may have been lowered\n",
                base_escape(given->model, strlen(given->model)));
        code = DRV_USAGE;
    } else {
        code = quantize(&c);
    }
    quant_measurement_free(&c.m);
    quant_recording_free(&c.recording);
    quant_prompts_free(&c.prompts);
    drv_build_free(&c.parts);
    base_diag_flush(c.d);
    base_diag_free(c.d);
    return code;
}
