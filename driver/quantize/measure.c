/* How much each filter's rounding does.
 *
 * For each sample the network runs once in f32, op by op, and all values are kept. Then, for each
 * filter:
 *
 *   own      its ops run in each lower class, on exact operands: the power of the error of their
 *            results
 *   result   its ops run in the lowest class that is open to it, and behind them whatever reads
 *            what has changed, in f32: the power of the error of the network's result
 *
 * Of the classes in between only the own error is measured. What a filter's error becomes on its
 * way to the result is the network's affair: the same gain is taken for all classes. So a filter
 * costs half a run on average.
 *
 * An error in an early step of a picture counts otherwise than one in a late step: samples have
 * shares, by what the sampler makes of an error of the step's result (quant_step_weights).
 *
 * Errors of different ops are independent, and small enough that the network is linear in them:
 * their powers add up at the result. This is how signal to noise of quantized networks is budgeted
 * (Lin, Talathi, Annapureddy: Fixed point quantization of deep convolutional networks, ICML 2016).
 * What is chosen by that rule is measured as a whole, by a run with all choices, and mended. */
#include "driver/quantize/measure.h"
#include "base/system/clock.h"
#include "driver/quantize/op_functions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- filters ---- */

typedef BASE_VEC(uint32_t) indices;

static void collect_weights(const ir_func *f, ir_ref r, indices *out) {
    if (!ir_ref_ok(r)) return;
    const ir_node *n = ir_get(f, r);
    if (n->op == IR_OP_weight) {
        const uint32_t index = (uint32_t)IR_ATTRS(n, weight)->index;
        for (size_t i = 0; i < out->count; i++)
            if (out->items[i] == index) return;
        BASE_PUSH(out, index);
    }
    for (uint32_t k = 0; k < n->operand_count; k++) collect_weights(f, n->operand[k], out);
}

static bool shares_weight(const quant_filter *f, const indices *weights) {
    for (size_t i = 0; i < f->weights.count; i++)
        for (size_t k = 0; k < weights->count; k++)
            if (f->weights.items[i] == weights->items[k]) return true;
    return false;
}

static void add_use(quant_measurement *q, uint32_t network, uint32_t entry, const indices *weights,
                    const char *op) {
    quant_filter *f = NULL;
    for (size_t i = 0; i < q->filters.count && !f; i++)
        if (shares_weight(&q->filters.items[i], weights)) f = &q->filters.items[i];
    if (!f) {
        BASE_PUSH(&q->filters, ((quant_filter){.network = network, .op = op}));
        f = &q->filters.items[q->filters.count - 1];
    }
    if (f->network != network) return; /* measured where it was met first */
    for (size_t k = 0; k < weights->count; k++) {
        bool known = false;
        for (size_t i = 0; i < f->weights.count; i++)
            known |= f->weights.items[i] == weights->items[k];
        if (!known) BASE_PUSH(&f->weights, weights->items[k]);
    }
    BASE_PUSH(&f->uses, entry);
}

static const char *op_text(const quant_measurement *q, const ir_func *f, const ir_node *n,
                           ir_ref w) {
    if (n->op != IR_OP_conv2d) return "linear";
    const ir_type *t = ir_typeof(f, w);
    return base_arena_printf(q->module->arena, "conv2d %lldx%lld", (long long)t->dim[2],
                             (long long)t->dim[3]);
}

void quant_find_filters(quant_measurement *q) {
    for (uint32_t k = 0; k < q->networks.count; k++) {
        const quant_network *w = q->networks.items[k].network;
        for (uint32_t i = 0; i < w->net->entries.count; i++) {
            const net_entry *e = &w->net->entries.items[i];
            const ir_node *n = ir_get(e->f, e->node);
            indices weights = {0};
            ir_ref filter;
            if (!quant_has_filter(n, &filter)) continue;
            collect_weights(e->f, filter, &weights);
            if (weights.count && w->entries[i].kind == QUANT_OP)
                add_use(q, k, i, &weights, op_text(q, e->f, n, filter));
            base_free(weights.items);
        }
    }
}

void quant_measurement_free(quant_measurement *q) {
    for (size_t i = 0; i < q->filters.count; i++) {
        base_free(q->filters.items[i].weights.items);
        base_free(q->filters.items[i].uses.items);
    }
    for (size_t i = 0; i < q->networks.count; i++) quant_network_free(q->networks.items[i].network);
    for (int p = 0; p < IR_PRECISION_COUNT; p++) quant_code_close(&q->codes.of[p]);
    base_free(q->filters.items);
    base_free(q->networks.items);
}

/* ---- progress ---- */

typedef struct progress {
    const quant_measurement *q;
    const char *network;
    double start, shown, done, all; /* done, all: seconds of work as estimated */
} progress;

static void add_seconds(double seconds, char *out, size_t room) {
    if (seconds < 90)
        snprintf(out, room, "%.0f s", ceil(seconds));
    else
        snprintf(out, room, "%.0f min", ceil(seconds / 60));
}

static void tell(progress *p, double seconds) {
    const double t = base_now();
    p->done += seconds;
    if (p->q->quiet || t < p->shown + 5) return;
    char left[40];
    const double done = fmin(p->done / p->all, 0.99); /* all is an estimate */
    add_seconds((t - p->start) * (1 - done) / done, left, sizeof left);
    fprintf(stderr, "%s: %.0f %%, %s left\n", base_shown(p->network), 100 * done, left);
    p->shown = t;
}

/* ---- measuring ---- */

static void set_uses(const quant_result *r, const quant_filter *f, ir_precision p) {
    for (size_t i = 0; i < f->uses.count; i++) r->network->entries[f->uses.items[i]].precision = p;
}

static void set_all(const quant_result *r, ir_precision p) {
    for (size_t i = 0; i < r->network->net->entries.count; i++)
        r->network->entries[i].precision = p;
}

static ir_precision lowest(const quant_filter *f) {
    return f->choice.open[IR_PRECISION_INT8]   ? IR_PRECISION_INT8
           : f->choice.open[IR_PRECISION_BF16] ? IR_PRECISION_BF16
                                               : IR_PRECISION_F32;
}

/* What has no filter is computed as in the class int8; filters as they are chosen. */
static void set_choice(const quant_measurement *q, uint32_t network, bool chosen) {
    const quant_result *r = &q->networks.items[network];
    set_all(r, IR_PRECISION_INT8);
    for (size_t i = 0; i < q->filters.count; i++) {
        const quant_filter *f = &q->filters.items[i];
        if (f->network == network) set_uses(r, f, chosen ? f->choice.chosen : IR_PRECISION_F32);
    }
}

static void find_open(const quant_measurement *q, quant_filter *f) {
    const quant_network *w = q->networks.items[f->network].network;
    for (ir_precision p = 0; p < IR_PRECISION_COUNT; p++)
        for (size_t i = 0; i < f->uses.count; i++)
            f->choice.open[p] |= quant_is_open(&w->entries[f->uses.items[i]], p);
    f->choice.open[IR_PRECISION_F32] = true;
}

static void measure_filter(quant_measurement *q, quant_filter *f, double share) {
    quant_result *r = &q->networks.items[f->network];
    const ir_precision low = lowest(f);
    if (low == IR_PRECISION_F32) return;
    for (ir_precision p = 0; p < IR_PRECISION_COUNT; p++)
        for (size_t i = 0; f->choice.open[p] && p != IR_PRECISION_F32 && i < f->uses.count; i++) {
            double signal = 0;
            quant_run_op(r->network, &q->codes, f->uses.items[i], p, &signal, &f->noise[p]);
            if (p == low) f->signal += signal;
        }
    set_uses(r, f, low);
    f->choice.error[low] += quant_run_changed(r->network, &q->codes) * share;
    set_uses(r, f, IR_PRECISION_F32);
}

/* The gain of the lowest class, for the others. */
static void infer_errors(quant_filter *f) {
    const ir_precision low = lowest(f);
    for (ir_precision p = 0; p < IR_PRECISION_COUNT; p++)
        if (p != low && p != IR_PRECISION_F32 && f->choice.open[p])
            f->choice.error[p] =
                f->noise[low] > 0 ? f->choice.error[low] * (f->noise[p] / f->noise[low]) : 0;
}

static double estimate(const quant_measurement *q, uint32_t network) {
    const quant_network *w = q->networks.items[network].network;
    double all = 0;
    for (size_t i = 0; i < q->filters.count; i++) {
        const quant_filter *f = &q->filters.items[i];
        if (f->network == network && lowest(f) != IR_PRECISION_F32)
            all += quant_changed_seconds(w, f->uses.items, f->uses.count);
    }
    return all * (double)w->samples.count;
}

static bool measure_network(quant_measurement *q, uint32_t k) {
    quant_result *r = &q->networks.items[k];
    const uint32_t samples = (uint32_t)r->network->samples.count;
    progress p = {.q = q, .network = r->name};
    set_all(r, IR_PRECISION_F32);
    for (uint32_t s = 0; s < samples; s++) {
        const double share = r->network->samples.items[s].share;
        if (!quant_run_exact(q->d, r->network, &q->codes, s)) return false;
        if (!s) {
            char text[40];
            /* the first run touched the weights' pages for the first time */
            if (!quant_run_exact(q->d, r->network, &q->codes, s)) return false;
            p.all = estimate(q, k);
            p.start = p.shown = base_now();
            add_seconds(p.all, text, sizeof text);
            if (!q->quiet)
                fprintf(stderr, "%s: %u samples, about %s\n", base_shown(r->name), samples, text);
        }
        set_choice(q, k, false);
        r->floor += quant_run_changed(r->network, &q->codes) * share;
        set_all(r, IR_PRECISION_F32);
        for (size_t i = 0; i < q->filters.count; i++) {
            quant_filter *f = &q->filters.items[i];
            if (f->network != k || lowest(f) == IR_PRECISION_F32) continue;
            measure_filter(q, f, share);
            tell(&p, quant_changed_seconds(r->network, f->uses.items, f->uses.count));
        }
        set_all(r, IR_PRECISION_INT8);
        r->everywhere += quant_run_changed(r->network, &q->codes) * share;
        set_all(r, IR_PRECISION_F32);
    }
    return true;
}

bool quant_measure(quant_measurement *q) {
    for (size_t i = 0; i < q->filters.count; i++) find_open(q, &q->filters.items[i]);
    for (uint32_t k = 0; k < q->networks.count; k++)
        if (!measure_network(q, k)) return false;
    for (size_t i = 0; i < q->filters.count; i++) infer_errors(&q->filters.items[i]);
    return true;
}

/* ---- the choice ---- */

static void choose(quant_measurement *q, uint32_t k, double budget) {
    quant_result *r = &q->networks.items[k];
    quant_choice *own = base_alloc((q->filters.count + 1) * sizeof *own);
    size_t count = 0;
    for (size_t i = 0; i < q->filters.count; i++)
        if (q->filters.items[i].network == k) own[count++] = q->filters.items[i].choice;
    r->expected = quant_choose(own, count, r->floor, budget);
    r->cost_f32 = r->cost_chosen = r->cost_everywhere = 0;
    count = 0;
    for (size_t i = 0; i < q->filters.count; i++) {
        quant_choice *c = &q->filters.items[i].choice;
        if (q->filters.items[i].network != k) continue;
        c->chosen = own[count++].chosen;
        r->cost_f32 += c->cost[IR_PRECISION_F32];
        r->cost_chosen += c->cost[c->chosen];
        r->cost_everywhere += c->cost[lowest(&q->filters.items[i])];
    }
    base_free(own);
}

static bool measure_choice(quant_measurement *q, uint32_t k) {
    quant_result *r = &q->networks.items[k];
    const uint32_t samples = (uint32_t)r->network->samples.count;
    r->chosen = 0;
    for (uint32_t s = 0; s < samples; s++) {
        if (!quant_run_exact(q->d, r->network, &q->codes, s)) return false;
        set_choice(q, k, true);
        r->chosen += quant_run_changed(r->network, &q->codes) * r->network->samples.items[s].share;
        set_all(r, IR_PRECISION_F32);
    }
    return true;
}

static bool settle(quant_measurement *q, uint32_t k) {
    enum { TRIES = 6 };
    quant_result *r = &q->networks.items[k];
    const double budget = r->budget;
    double aim = budget;
    for (int i = 0; i < TRIES; i++) {
        choose(q, k, aim);
        if (!measure_choice(q, k)) return false;
        if (r->chosen <= budget || r->expected <= r->floor) return true;
        /* what is measured beyond what was expected is there at the next choice, too */
        const double wrong = r->chosen / r->expected;
        aim = fmin(budget / wrong, aim * 0.9);
        if (!q->quiet)
            fprintf(stderr, "%s: the choice gives %.2f dB, expected were %.2f: once more\n",
                    base_shown(r->name), quant_dB(r->chosen), quant_dB(r->expected));
    }
    return true;
}

bool quant_settle(quant_measurement *q) {
    for (uint32_t k = 0; k < q->networks.count; k++)
        if (!settle(q, k)) return false;
    return true;
}
