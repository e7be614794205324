#include "driver/debug/eval_network.h"

#include <math.h>
#include <string.h>
#include <time.h>

static const char *const suffix[] = {".prompt", ".schedule", ".step"};
enum { STAGES = 3 };

/* ---- networks of a module ---- */

static size_t base_length(const char *name) {
    size_t n = strlen(name);
    for (int s = 0; s < STAGES; s++) {
        size_t k = strlen(suffix[s]);
        if (n > k && !strcmp(name + n - k, suffix[s])) return n - k;
    }
    return n;
}

uint32_t net_names(ir_module *m, const char **names, uint32_t room) {
    uint32_t count = 0;
    for (size_t i = 0; i < m->funcs.count && count < room; i++) {
        const char *name = m->funcs.items[i]->name;
        size_t n = base_length(name);
        bool known = false;
        for (uint32_t k = 0; k < count; k++)
            known |= strlen(names[k]) == n && !memcmp(names[k], name, n);
        if (!known) names[count++] = base_arena_printf(m->arena, "%.*s", (int)n, name);
    }
    return count;
}

/* The entry of the latest earlier stage's output of that name. */
static uint32_t produced(const net *n, const uint32_t *const *entry_of,
                         const ir_func *const *stages, int stage, const char *name) {
    (void)n;
    for (int s = stage; s-- > 0;)
        for (size_t i = 0; stages[s] && i < stages[s]->outputs.count; i++)
            if (!strcmp(stages[s]->outputs.items[i].name, name))
                return entry_of[s][stages[s]->outputs.items[i].value.id];
    return NET_NONE;
}

static void add_stage(net *n, uint32_t **entry_of, const ir_func *const *stages, int s) {
    const ir_func *f = stages[s];
    bool *constant = ir_constants(f);
    entry_of[s] = base_alloc((f->nodes.count + 1) * sizeof **entry_of);
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *node = &f->nodes.items[i];
        bool output = false;
        for (size_t k = 0; k < f->outputs.count; k++) output |= f->outputs.items[k].value.id == i;
        entry_of[s][i] = NET_NONE;
        if (constant[i] && !output) continue;
        net_entry e = {.f = f, .node = {i}};
        for (int k = 0; k < IR_MAX_OPERANDS; k++) e.operand[k] = NET_NONE;
        if (node->op == IR_OP_input)
            e.operand[0] = produced(n, (const uint32_t *const *)entry_of, stages, s,
                                    IR_ATTRS(node, input)->name);
        else
            for (uint32_t k = 0; k < node->operand_count; k++)
                if (ir_ref_ok(node->operand[k])) e.operand[k] = entry_of[s][node->operand[k].id];
        entry_of[s][i] = (uint32_t)n->entries.count;
        BASE_PUSH(&n->entries, e);
    }
    base_free(constant);
}

net *net_new(const ir_module *m, const char *name) {
    const ir_func *stages[STAGES];
    uint32_t *entry_of[STAGES] = {NULL};
    char full[320];
    for (int s = 0; s < STAGES; s++) {
        snprintf(full, sizeof full, "%s%s", name, suffix[s]);
        stages[s] = ir_func_find(m, full);
    }
    if (!stages[STAGES - 1]) stages[STAGES - 1] = ir_func_find(m, name);
    const ir_func *last = stages[STAGES - 1];
    if (!last) return NULL;
    net *n = base_alloc(sizeof *n);
    snprintf(n->name, sizeof n->name, "%s", name);
    n->module = m;
    for (int s = 0; s < STAGES; s++)
        if (stages[s]) add_stage(n, entry_of, stages, s);
    const uint32_t *entry = entry_of[STAGES - 1];
    if (!entry) ICE("the last stage of %s was not added", name);
    for (size_t i = 0; i < last->outputs.count; i++) {
        BASE_PUSH(&n->outputs, entry[last->outputs.items[i].value.id]);
        BASE_PUSH(&n->output_names, last->outputs.items[i].name);
    }
    for (int s = 0; s < STAGES; s++) base_free(entry_of[s]);
    return n;
}

void net_free(net *n) {
    if (!n) return;
    for (size_t i = 0; i < n->entries.count; i++) ir_tensor_free(&n->entries.items[i].value);
    base_free(n->entries.items);
    base_free(n->outputs.items);
    base_free(n->output_names.items);
    base_free(n);
}

/* ---- inputs ---- */

bool net_is_external(const net_entry *e) {
    return ir_get(e->f, e->node)->op == IR_OP_input && e->operand[0] == NET_NONE;
}

/* Indices into a table are below its extent; other whole numbers below 4. */
static int64_t index_limit(const ir_func *f, ir_ref input) {
    for (size_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        if (n->op == IR_OP_embedding && ir_ref_eq(n->operand[IR_IN(embedding, ids)], input))
            return ir_typeof(f, n->operand[IR_IN(embedding, table)])->dim[0];
    }
    return 4;
}

/* SplitMix64: a number in [0, 1). */
static double next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static float rounded_to_bf16(float x) {
    const uint32_t bits = (uint32_t)ir_bf16_bits(x) << 16;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Quantized pixels end with a scale and a zero point, in bytes. */
static void put_records(float *x, int64_t count, int64_t size) {
    const float scale = 0.0078125f;
    const int32_t zero = 128;
    unsigned char record[IR_I8_RECORD] = {0};
    memcpy(record, &scale, sizeof scale);
    memcpy(record + sizeof scale, &zero, sizeof zero);
    for (int64_t end = size; end <= count && size >= IR_I8_RECORD; end += size)
        for (int k = 0; k < IR_I8_RECORD; k++) x[end - IR_I8_RECORD + k] = record[k];
}

static void make_up(const net_entry *e, uint64_t seed, float *x, int64_t count) {
    const ir_node *n = ir_get(e->f, e->node);
    const struct ir_attrs_input *a = IR_ATTRS(n, input);
    uint64_t state = seed;
    for (const char *p = a->name; *p; p++) state = state * 31 + (unsigned char)*p;
    int64_t limit = index_limit(e->f, e->node), own = a->paired ? count / 2 : count;
    for (int64_t i = 0; i < own; i++) {
        double u = next(&state);
        if (n->type.dtype == IR_i32)
            x[i] = (float)floor(u * (double)limit);
        else if (a->freq == IR_SCHEDULE)
            x[i] = i ? x[0] : (float)(1 + floor(u * 999));
        else
            x[i] = (float)((2 * u - 1) * 1.7320508075688772);
    }
    for (int64_t i = own; i < count; i++) x[i] = x[i - own];
    if (n->type.dtype == IR_bf16)
        for (int64_t i = 0; i < count; i++) x[i] = rounded_to_bf16(x[i]);
    for (int64_t i = 0; n->type.dtype == IR_u8 && i < count; i++) x[i] = floorf(x[i] * 70 + 128);
    if (n->type.dtype == IR_u8) put_records(x, count, n->type.dim[n->type.rank - 1]);
}

bool net_input_value(base_diag *d, const net *n, const net_entry *e, const net_inputs *in,
                     ir_tensor *out) {
    const ir_node *node = ir_get(e->f, e->node);
    const struct ir_attrs_input *a = IR_ATTRS(node, input);
    int64_t count = ir_type_elements(&node->type);
    char key[300];
    snprintf(key, sizeof key, "in.%s", a->name);
    const fe_st_tensor *t = in->file ? fe_st_find(in->file, key) : NULL;
    *out = (ir_tensor){node->type, base_alloc((size_t)count * sizeof(float))};
    out->type.layout = IR_PLAIN;
    if (!t) {
        make_up(e, in->seed, out->data, count);
        return true;
    }
    int64_t have = (int64_t)t->count;
    bool repeats = have == 1 || (a->freq == IR_SCHEDULE && have > 0 && count % have == 0);
    if (have != count && !repeats) {
        base_error(d, NULL, "%s: tensor '%s' has %lld elements, network %s expects %lld", in->why,
                   key, (long long)have, n->name, (long long)count);
        ir_tensor_free(out);
        return false;
    }
    fe_st_to_f32(t, out->data, 0, (size_t)have);
    for (int64_t i = have; i < count; i++) out->data[i] = out->data[i % have];
    return true;
}

/* ---- evaluation ---- */

static const ir_tensor *value_of(const net *n, uint32_t entry, const ir_tensor *override) {
    if (override && override[entry].data) return &override[entry];
    return &n->entries.items[entry].value;
}

/* What an earlier stage computed, as this stage sees it: a step gets the first row of a schedule's
 * values. */
static ir_tensor handed_on(const ir_tensor *from, const ir_type *type) {
    ir_tensor t = {*type, NULL};
    t.type.layout = IR_PLAIN;
    size_t count = (size_t)ir_type_elements(type);
    t.data = base_alloc(count * sizeof *t.data);
    memcpy(t.data, from->data, count * sizeof *t.data);
    return t;
}

ir_tensor net_eval_entry(const net *n, uint32_t entry, const ir_tensor *override) {
    const net_entry *e = &n->entries.items[entry];
    const ir_node *node = ir_get(e->f, e->node);
    if (node->op == IR_OP_input)
        return handed_on(value_of(n, e->operand[0], override), &node->type);
    const ir_tensor *in[IR_MAX_OPERANDS] = {NULL};
    ir_tensor constant[IR_MAX_OPERANDS] = {0};
    for (uint32_t k = 0; k < node->operand_count; k++) {
        if (!ir_ref_ok(node->operand[k])) continue;
        if (e->operand[k] == NET_NONE)
            in[k] = &constant[k], constant[k] = ir_eval_constant(e->f, node->operand[k]);
        else
            in[k] = value_of(n, e->operand[k], override);
    }
    ir_tensor t = ir_eval_node(e->f, e->node, in);
    for (uint32_t k = 0; k < IR_MAX_OPERANDS; k++) ir_tensor_free(&constant[k]);
    return t;
}

static uint32_t *count_uses(const net *n) {
    uint32_t *uses = base_alloc((n->entries.count + 1) * sizeof *uses);
    for (size_t i = 0; i < n->entries.count; i++)
        for (int k = 0; k < IR_MAX_OPERANDS; k++)
            if (n->entries.items[i].operand[k] != NET_NONE) uses[n->entries.items[i].operand[k]]++;
    for (size_t i = 0; i < n->outputs.count; i++) uses[n->outputs.items[i]]++;
    return uses;
}

bool net_eval(base_diag *d, net *n, const net_inputs *in, bool keep, const char *what) {
    uint32_t *uses = count_uses(n);
    bool fine = true;
    time_t shown = 0;
    for (uint32_t i = 0; i < n->entries.count && fine; i++) {
        net_entry *e = &n->entries.items[i];
        if (net_is_external(e))
            fine = net_input_value(d, n, e, in, &e->value);
        else
            e->value = net_eval_entry(n, i, NULL);
        for (int k = 0; k < IR_MAX_OPERANDS && !keep; k++)
            if (e->operand[k] != NET_NONE && --uses[e->operand[k]] == 0)
                ir_tensor_free(&n->entries.items[e->operand[k]].value);
        if (what && time(NULL) >= shown + 5) {
            if (shown)
                fprintf(stderr, "%s, %s: %u of %zu ops\n", what, base_shown(n->name), i,
                        n->entries.count);
            shown = time(NULL);
        }
    }
    base_free(uses);
    return fine;
}

/* ---- comparing ---- */

double net_distance(const float *x, const float *ref, int64_t count, double *max) {
    double sum = 0, norm = 0, most = 0;
    for (int64_t i = 0; i < count; i++) {
        bool finite = isfinite(x[i]), expected = isfinite(ref[i]);
        if (!finite || !expected) {
            if (finite != expected || isnan(x[i]) != isnan(ref[i])) most = sum = INFINITY;
            continue;
        }
        double e = (double)x[i] - (double)ref[i];
        if (fabs(e) > most) most = fabs(e);
        sum += e * e;
        norm += (double)ref[i] * (double)ref[i];
    }
    if (max) *max = most;
    if (norm > 0) return sqrt(sum / norm);
    return count ? sqrt(sum / (double)count) : 0;
}

double net_outputs_distance(const net *n, const net *ref) {
    double worst = 0;
    for (size_t i = 0; i < ref->outputs.count; i++) {
        const ir_tensor *theirs = &ref->entries.items[ref->outputs.items[i]].value, *ours = NULL;
        for (size_t k = 0; k < n->outputs.count; k++)
            if (!strcmp(n->output_names.items[k], ref->output_names.items[i]))
                ours = &n->entries.items[n->outputs.items[k]].value;
        int64_t count = ir_type_elements(&theirs->type);
        if (!ours || ir_type_elements(&ours->type) != count) return INFINITY;
        double distance = net_distance(ours->data, theirs->data, count, NULL);
        if (distance > worst) worst = distance;
    }
    return worst;
}

void net_entry_text(const net_entry *e, base_str *out) {
    ir_print_ref(e->f, e->node, out);
    base_str_addf(out, " %s", ir_op_get(ir_get(e->f, e->node)->op)->name);
}

void net_entry_place(const net_entry *e, base_str *out) {
    const ir_origin *o = &e->f->module->origins.items[ir_get(e->f, e->node)->origin];
    if (o->block && *o->block) base_str_addf(out, "block %s", base_shown(o->block));
    if (!o->file || !*o->file) return;
    base_str_addf(out, "%s%s:%u:%u", out->len ? ", " : "", base_escape(o->file, strlen(o->file)),
                  o->line, o->col);
}
