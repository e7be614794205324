/* A network that is run op by op. The exact values of all ops are kept, so that a changed run only
 * computes what a change reaches. */
#include "driver/quantize/op_network.h"
#include "base/system/clock.h"
#include "base/text.h"
#include "driver/quantize/op_functions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const ir_node *node_of(const quant_network *w, uint32_t entry) {
    const net_entry *e = &w->net->entries.items[entry];
    return ir_get(e->f, e->node);
}

/* ---- what the entries are ---- */

static void show(quant_network *w, uint32_t i, uint32_t of) {
    w->entries[i].kind = QUANT_SHOWN;
    w->entries[i].root = w->entries[of].root;
}

static void classify(quant_network *w, const bool *constant, uint32_t i) {
    const net_entry *e = &w->net->entries.items[i];
    quant_entry *q = &w->entries[i];
    const ir_node *n = node_of(w, i);
    q->root = i;
    q->kind = QUANT_OP;
    for (int p = 0; p < IR_PRECISION_COUNT; p++) q->code[p].function = -1;
    /* what an earlier run of the schedule gave stands in the recorded call of the step */
    const bool from_schedule =
        e->operand[0] != NET_NONE &&
        base_ends_with(w->net->entries.items[e->operand[0]].f->name, ".schedule");
    if (base_ends_with(e->f->name, ".schedule") || constant[e->node.id])
        q->kind = QUANT_SKIPPED;
    else if (n->op == IR_OP_input && (e->operand[0] == NET_NONE || from_schedule))
        q->kind = QUANT_GIVEN;
    else if (n->op == IR_OP_input || ir_is_view(e->f, e->node))
        show(w, i, e->operand[0]);
}

static void note_uses(quant_network *w) {
    for (uint32_t i = 0; i < w->net->entries.count; i++) {
        if (w->entries[i].kind != QUANT_OP) continue;
        const net_entry *e = &w->net->entries.items[i];
        for (int k = 0; k < IR_MAX_OPERANDS; k++)
            if (e->operand[k] != NET_NONE) w->entries[w->entries[e->operand[k]].root].last_use = i;
    }
    for (size_t i = 0; i < w->net->outputs.count; i++)
        w->entries[w->entries[w->net->outputs.items[i]].root].last_use = NET_NONE;
}

/* The powers of a value and of its difference from another one, pads left out. */
static void powers(const ir_type *t, const float *x, const float *exact, double *signal,
                   double *noise) {
    const int axis = t->layout == IR_C16 ? ir_channel_axis(t) : -1;
    const int64_t count = (int64_t)(ir_type_bytes(t) / sizeof *x),
                  channels = axis < 0 ? 1 : t->dim[axis], blocks = ir_round_block(channels) / 16;
    int64_t pixels = 1;
    for (int k = 1; k < (int)t->rank; k++) pixels *= k == axis ? 1 : t->dim[k];
    for (int64_t i = 0; i < count; i++) {
        if (axis >= 0 && i / (16 * pixels) % blocks * 16 + i % 16 >= channels) continue;
        const double s = (double)exact[i], e = (double)x[i] - s;
        *signal += s * s;
        *noise += e * e;
    }
}

static void note_powers(quant_network *w) {
    w->power = base_alloc((w->net->outputs.count + 1) * sizeof *w->power);
    for (size_t k = 0; k < w->net->outputs.count; k++)
        for (size_t i = 0; i < w->samples.count; i++) {
            const quant_value *v =
                quant_call_output(w->samples.items[i].step, w->net->output_names.items[k]);
            double signal = 0, noise = 0;
            if (v)
                powers(&node_of(w, w->net->outputs.items[k])->type, v->data, v->data, &signal,
                       &noise);
            w->power[k] += signal * w->samples.items[i].share;
        }
}

static void find_samples(quant_network *w, const quant_recording *r) {
    const quant_call *prompt = NULL;
    char first[340], step[340];
    snprintf(first, sizeof first, "%s.prompt", w->net->name);
    snprintf(step, sizeof step, "%s.step", w->net->name);
    for (size_t i = 0; i < r->calls.count; i++) {
        const quant_call *c = &r->calls.items[i];
        if (!strcmp(c->function, first)) prompt = c;
        if (strcmp(c->function, step) != 0 && strcmp(c->function, w->net->name) != 0) continue;
        BASE_PUSH(&w->samples, ((quant_sample){prompt, c, c->weight}));
    }
    double sum = 0;
    for (size_t i = 0; i < w->samples.count; i++) sum += w->samples.items[i].share;
    for (size_t i = 0; i < w->samples.count; i++)
        w->samples.items[i].share =
            sum > 0 ? w->samples.items[i].share / sum : 1 / (double)w->samples.count;
}

quant_network *quant_network_new(const ir_module *m, const char *name, const quant_recording *r) {
    quant_network *w = base_alloc(sizeof *w);
    w->net = net_new(m, name);
    if (w->net) find_samples(w, r);
    if (!w->samples.count) {
        quant_network_free(w);
        return NULL;
    }
    const ir_func *f = NULL;
    bool *constant = NULL;
    w->entries = base_alloc((w->net->entries.count + 1) * sizeof *w->entries);
    for (uint32_t i = 0; i < w->net->entries.count; i++) {
        if (w->net->entries.items[i].f != f) {
            f = w->net->entries.items[i].f;
            base_free(constant);
            constant = ir_constants(f);
        }
        classify(w, constant, i);
    }
    base_free(constant);
    note_uses(w);
    note_powers(w);
    return w;
}

void quant_network_free(quant_network *w) {
    if (!w) return;
    for (size_t i = 0; w->entries && i < w->net->entries.count; i++) {
        rt_buffer_free(w->entries[i].exact);
        rt_buffer_free(w->entries[i].changed);
        for (int p = 0; p < IR_PRECISION_COUNT; p++) base_free(w->entries[i].code[p].input);
    }
    base_free(w->entries);
    base_free(w->power);
    base_free(w->samples.items);
    net_free(w->net);
    base_free(w);
}

/* ---- code ---- */

/* Entry of node `id` of a function; the entries of a function follow each other. */
static uint32_t entry_of(const quant_network *w, const ir_func *f, uint32_t id) {
    for (uint32_t i = 0; i < w->net->entries.count; i++)
        if (w->net->entries.items[i].f == f && w->net->entries.items[i].node.id == id) return i;
    ICE("node %u of %s is computed from weights only", id, f->name);
}

static void bind_op(quant_network *w, const quant_code *code, uint32_t i, quant_op_code *out) {
    const net_entry *e = &w->net->entries.items[i];
    char name[360];
    snprintf(name, sizeof name, "%s.%u", e->f->name, e->node.id);
    out->function = code->handle ? rt_model_function(&code->model, name) : -1;
    if (out->function < 0) return;
    const struct ebru_function_desc *f = &code->model.tables->functions[out->function];
    out->input = base_alloc(((size_t)f->input_count + 1) * sizeof *out->input);
    for (int32_t k = 0; k < f->input_count; k++)
        out->input[k] = entry_of(w, e->f, (uint32_t)strtoul(f->inputs[k].name + 1, NULL, 10));
}

void quant_network_bind(quant_network *w, const quant_codes *codes) {
    for (uint32_t i = 0; i < w->net->entries.count; i++) {
        quant_entry *q = &w->entries[i];
        for (ir_precision p = 0; p < IR_PRECISION_COUNT && q->kind == QUANT_OP; p++)
            bind_op(w, &codes->of[p], i, &q->code[p]);
        if (q->kind == QUANT_OP && q->code[IR_PRECISION_F32].function < 0)
            ICE("an op of %s has no code", w->net->name);
    }
}

/* What the op is computed by in a class: of int8 what bf16 has, where int8 does not take it. */
static ir_precision effective(const quant_entry *e, ir_precision class) {
    if (class == IR_PRECISION_INT8 && e->code[class].function < 0) class = IR_PRECISION_BF16;
    return e->code[class].function < 0 ? IR_PRECISION_F32 : class;
}

bool quant_is_open(const quant_entry *e, ir_precision p) {
    return p != IR_PRECISION_F32 && e->code[p].function >= 0;
}

/* ---- running ---- */

enum { MOST_INPUTS = 64 };

static void *buffer_for(const quant_network *w, uint32_t i) {
    const size_t bytes = (size_t)ir_type_bytes(&node_of(w, i)->type);
    void *p = rt_buffer(bytes);
    if (!p) base_out_of_memory(bytes, w->net->name);
    return p;
}

/* The op into `out`, from changed operands where there are some and they are wanted. */
static void run(quant_network *w, const quant_codes *codes, uint32_t i, ir_precision class,
                bool changed, void *out) {
    const quant_entry *q = &w->entries[i];
    const ir_precision p = effective(q, class);
    rt_engine *engine = (rt_engine *)(uintptr_t)&codes->of[p].engine;
    const struct ebru_function_desc *f = &engine->model->tables->functions[q->code[p].function];
    const void *in[MOST_INPUTS];
    if (f->input_count > MOST_INPUTS) ICE("an op with %d inputs", f->input_count);
    for (int32_t k = 0; k < f->input_count; k++) {
        const quant_entry *from = &w->entries[w->entries[q->code[p].input[k]].root];
        in[k] = changed && from->changed ? from->changed : from->exact;
    }
    rt_engine_run(engine, q->code[p].function, in, &out);
}

static bool load_sample(quant_network *w, const quant_sample *s) {
    for (uint32_t i = 0; i < w->net->entries.count; i++) {
        const net_entry *e = &w->net->entries.items[i];
        quant_entry *q = &w->entries[i];
        if (q->kind != QUANT_GIVEN) continue;
        const quant_call *c = base_ends_with(e->f->name, ".prompt") ? s->prompt : s->step;
        const quant_value *v = c ? quant_call_input(c, IR_ATTRS(node_of(w, i), input)->name) : NULL;
        if (!v || v->bytes != ir_type_bytes(&node_of(w, i)->type)) return false;
        if (!q->exact) q->exact = buffer_for(w, i);
        memcpy(q->exact, v->data, (size_t)v->bytes);
    }
    return true;
}

bool quant_run_exact(base_diag *d, quant_network *w, const quant_codes *codes, uint32_t sample) {
    static const double most = 1e-6; /* a power: 1e-3 of the result */
    const quant_sample *s = &w->samples.items[sample];
    if (!load_sample(w, s)) ICE("a call of %s was recorded otherwise than it is", w->net->name);
    for (uint32_t i = 0; i < w->net->entries.count; i++) {
        quant_entry *q = &w->entries[i];
        if (q->kind != QUANT_OP) continue;
        if (!q->exact) q->exact = buffer_for(w, i);
        const double start = base_now();
        run(w, codes, i, IR_PRECISION_F32, false, q->exact);
        q->seconds = base_now() - start;
    }
    for (size_t k = 0; k < w->net->outputs.count; k++) {
        const uint32_t out = w->net->outputs.items[k];
        const quant_value *v = quant_call_output(s->step, w->net->output_names.items[k]);
        double signal = 0, noise = 0;
        if (!v || w->entries[out].kind == QUANT_SKIPPED) continue;
        powers(&node_of(w, out)->type, w->entries[w->entries[out].root].exact, v->data, &signal,
               &noise);
        if (noise <= most * signal) continue;
        base_error(d, NULL,
                   "network %s: output '%s' is no number, or op by op another than as a whole "
                   "(error %.1e of its size)",
                   w->net->name, w->net->output_names.items[k], sqrt(noise / signal));
        return false;
    }
    return true;
}

void quant_run_op(quant_network *w, const quant_codes *codes, uint32_t entry, ir_precision p,
                  double *signal, double *noise) {
    void *out = buffer_for(w, entry);
    run(w, codes, entry, p, false, out);
    powers(&node_of(w, entry)->type, out, w->entries[entry].exact, signal, noise);
    rt_buffer_free(out);
}

/* A changed value equals the exact one: nothing behind it changes. */
static void drop_equal(const quant_network *w, uint32_t i) {
    quant_entry *q = &w->entries[i];
    if (memcmp(q->changed, q->exact, (size_t)ir_type_bytes(&node_of(w, i)->type)) != 0) return;
    rt_buffer_free(q->changed);
    q->changed = NULL;
}

static bool reads_changed(const quant_network *w, uint32_t i) {
    const net_entry *e = &w->net->entries.items[i];
    for (int k = 0; k < IR_MAX_OPERANDS; k++)
        if (e->operand[k] != NET_NONE && w->entries[w->entries[e->operand[k]].root].changed)
            return true;
    return false;
}

static void drop_used(const quant_network *w, uint32_t i) {
    const net_entry *e = &w->net->entries.items[i];
    for (int k = 0; k < IR_MAX_OPERANDS; k++) {
        if (e->operand[k] == NET_NONE) continue;
        quant_entry *from = &w->entries[w->entries[e->operand[k]].root];
        if (from->last_use != i) continue;
        rt_buffer_free(from->changed);
        from->changed = NULL;
    }
}

static double result_error(const quant_network *w) {
    double worst = 0;
    for (size_t k = 0; k < w->net->outputs.count; k++) {
        const uint32_t out = w->net->outputs.items[k];
        const quant_entry *q = &w->entries[w->entries[out].root];
        double signal = 0, noise = 0;
        if (!q->changed) continue;
        powers(&node_of(w, out)->type, q->changed, q->exact, &signal, &noise);
        const double ratio = w->power[k] > 0 ? noise / w->power[k] : noise > 0 ? INFINITY : 0;
        if (!(ratio <= worst)) worst = ratio;
    }
    return worst;
}

double quant_run_changed(quant_network *w, const quant_codes *codes) {
    for (uint32_t i = 0; i < w->net->entries.count; i++) {
        quant_entry *q = &w->entries[i];
        if (q->kind != QUANT_OP) continue;
        if (effective(q, q->precision) != IR_PRECISION_F32 || reads_changed(w, i)) {
            q->changed = buffer_for(w, i);
            run(w, codes, i, q->precision, true, q->changed);
            drop_equal(w, i);
        }
        drop_used(w, i);
    }
    const double error = result_error(w);
    for (uint32_t i = 0; i < w->net->entries.count; i++) {
        rt_buffer_free(w->entries[i].changed);
        w->entries[i].changed = NULL;
    }
    return error;
}

double quant_changed_seconds(const quant_network *w, const uint32_t *entries, size_t count) {
    double seconds = 0;
    bool *reached = base_alloc(w->net->entries.count + 1);
    for (size_t i = 0; i < count; i++) reached[entries[i]] = true;
    for (uint32_t i = 0; i < w->net->entries.count; i++) {
        const net_entry *e = &w->net->entries.items[i];
        for (int k = 0; k < IR_MAX_OPERANDS; k++)
            if (e->operand[k] != NET_NONE) reached[i] |= reached[e->operand[k]];
        if (reached[i]) seconds += w->entries[i].seconds;
    }
    base_free(reached);
    return seconds;
}
