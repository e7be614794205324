/* Passes give nodes new numbers, other ops and other shapes; what they may not change are values.
 * So nodes are told apart by values: a node behind the pass has a counterpart when some node before
 * it has the same value. What a pass makes from scratch (statistics, packed keys) has none and is
 * right all the same, so a node is a suspect only if neither it nor anything computed from it has a
 * counterpart. Of the suspects, the first is named that can be repaired, or that something it is
 * computed from can repair: with a value of the IR before in its place, what follows finds
 * counterparts again. */
#include "driver/debug/find_culprit.h"

#include <math.h>
#include <string.h>

enum {
    MOST_REPAIRS = 16, /* nodes computed behind a repaired one before it is given up */
    MOST_LEADS = 4     /* ops back from a node without a counterpart */
};

typedef struct search {
    const net *before, *after;
    double tolerance;
    double *norm; /* of the entries before */
    bool *found;  /* an entry before has a counterpart */
    bool *right;  /* an entry after has a counterpart, or something computed from it has */
    bool *leads;  /* an entry after lies on the way to the one that is looked at (try_entry) */
} search;

static double norm_of(const ir_tensor *t) {
    double sum = 0;
    for (int64_t i = 0, n = ir_type_elements(&t->type); i < n; i++)
        sum += (double)t->data[i] * (double)t->data[i];
    return sqrt(sum);
}

/* The entry before with this value; NET_NONE. A schedule's function may compute several equal rows.
 */
static uint32_t counterpart(const search *s, const ir_tensor *t, bool rows) {
    int64_t count = ir_type_elements(&t->type);
    double norm = norm_of(t);
    for (uint32_t j = 0; j < s->before->entries.count; j++) {
        const ir_tensor *b = &s->before->entries.items[j].value;
        int64_t n = ir_type_elements(&b->type);
        if (n != count && !(rows && count % n == 0)) continue;
        if (n == count && !(fabs(norm - s->norm[j]) <= 2 * s->tolerance * s->norm[j])) continue;
        if (net_distance(t->data, b->data, n, NULL) <= s->tolerance) return j;
    }
    return NET_NONE;
}

static bool has_rows(const net_entry *e) {
    const char *dot = strrchr(e->f->name, '.');
    return dot && !strcmp(dot, ".schedule");
}

static void match(search *s) {
    const net *a = s->after;
    for (uint32_t j = 0; j < s->before->entries.count; j++)
        s->norm[j] = norm_of(&s->before->entries.items[j].value);
    for (uint32_t i = 0; i < a->entries.count; i++) {
        uint32_t j = counterpart(s, &a->entries.items[i].value, has_rows(&a->entries.items[i]));
        if (j == NET_NONE) continue;
        s->found[j] = true;
        s->right[i] = true;
    }
    for (uint32_t i = (uint32_t)a->entries.count; i-- > 0;)
        for (int k = 0; k < IR_MAX_OPERANDS && s->right[i]; k++) {
            uint32_t operand = a->entries.items[i].operand[k];
            if (operand != NET_NONE) s->right[operand] = true;
        }
}

/* The output of `before` that output entry i of `after` should be has the value of entry j. */
static bool repairs_output(const search *s, uint32_t i, uint32_t j) {
    for (size_t o = 0; o < s->after->outputs.count; o++)
        for (size_t p = 0; s->after->outputs.items[o] == i && p < s->before->outputs.count; p++) {
            const ir_tensor *b = &s->before->entries.items[s->before->outputs.items[p]].value;
            const ir_tensor *x = &s->before->entries.items[j].value;
            int64_t n = ir_type_elements(&b->type);
            if (!strcmp(s->after->output_names.items[o], s->before->output_names.items[p]) &&
                ir_type_elements(&x->type) == n &&
                net_distance(x->data, b->data, n, NULL) <= s->tolerance)
                return true;
        }
    return false;
}

/* With the value of before's entry j in place of after's entry i, something computed from it is
 * right: entry `goal`, or any when that is NET_NONE. */
static bool repairs(const search *s, uint32_t i, uint32_t j, uint32_t goal) {
    const net *a = s->after;
    if (goal == NET_NONE && repairs_output(s, i, j)) return true;
    ir_tensor *override = base_alloc(a->entries.count * sizeof *override);
    bool repaired = false;
    override[i] =
        (ir_tensor){a->entries.items[i].value.type, s->before->entries.items[j].value.data};
    uint32_t left = MOST_REPAIRS, last = goal == NET_NONE ? (uint32_t)a->entries.count - 1 : goal;
    for (uint32_t k = i + 1; k <= last && left && !repaired; k++) {
        bool depends = false;
        for (int o = 0; o < IR_MAX_OPERANDS; o++) {
            uint32_t operand = a->entries.items[k].operand[o];
            depends |= operand != NET_NONE && override[operand].data;
        }
        if (!depends || (goal == NET_NONE ? s->right[k] : !s->leads[k])) continue;
        override[k] = net_eval_entry(a, k, override);
        left--;
        if (goal != NET_NONE && k != goal) continue;
        uint32_t found = counterpart(s, &override[k], has_rows(&a->entries.items[k]));
        repaired = found != NET_NONE && !s->found[found];
    }
    override[i].data = NULL;
    for (uint32_t k = 0; k < a->entries.count; k++) ir_tensor_free(&override[k]);
    base_free(override);
    return repaired;
}

static const char *block_of(const net_entry *e) {
    const char *block = e->f->module->origins.items[ir_get(e->f, e->node)->origin].block;
    return block ? block : "";
}

/* The lost value of before that, in place of entry i, repairs `goal` (see repairs): of its own
 * block first. */
static uint32_t repair_of(const search *s, uint32_t i, uint32_t goal) {
    const net_entry *e = &s->after->entries.items[i];
    int64_t count = ir_type_elements(&e->value.type);
    for (int own = 1; own >= 0; own--)
        for (uint32_t j = 0; j < s->before->entries.count; j++) {
            const net_entry *b = &s->before->entries.items[j];
            if (s->found[j] || ir_type_elements(&b->value.type) != count ||
                (strcmp(block_of(b), block_of(e)) == 0) != own)
                continue;
            if (repairs(s, i, j, goal)) return j;
        }
    return NET_NONE;
}

static uint32_t suspect_operand(const search *s, uint32_t i) {
    const net_entry *e = &s->after->entries.items[i];
    for (int k = 0; k < IR_MAX_OPERANDS; k++)
        if (e->operand[k] != NET_NONE && !s->right[e->operand[k]]) return e->operand[k];
    return NET_NONE;
}

/* Marks entry i and what it is computed from, as far as `depth` ops back. */
static void mark_leads(const search *s, uint32_t i, int depth) {
    const net_entry *e = &s->after->entries.items[i];
    s->leads[i] = true;
    for (int k = 0; k < IR_MAX_OPERANDS && depth; k++)
        if (e->operand[k] != NET_NONE) mark_leads(s, e->operand[k], depth - 1);
}

/* Entry i has no counterpart. A node that it is computed from may be at fault and have one by
 * accident: an op that lost its residual has the value of the op that once stood before the
 * addition. Such a one is named first. */
static bool try_entry(const search *s, uint32_t i, net_culprit *out) {
    memset(s->leads, 0, s->after->entries.count);
    mark_leads(s, i, MOST_LEADS);
    for (uint32_t v = 0; v < i; v++) {
        const net_entry *e = &s->after->entries.items[v];
        ir_op op = ir_get(e->f, e->node)->op;
        if (!s->leads[v] || op == IR_OP_input || op == IR_OP_reshape || op == IR_OP_transpose ||
            op == IR_OP_view)
            continue;
        uint32_t j = repair_of(s, v, i);
        if (j != NET_NONE) {
            *out = (net_culprit){v, j, NET_NONE};
            return true;
        }
    }
    uint32_t j = repair_of(s, i, NET_NONE);
    if (j == NET_NONE) return false;
    *out = (net_culprit){i, j, suspect_operand(s, i)};
    return true;
}

bool net_locate(const net *before, const net *after, double tolerance, net_culprit *out) {
    search s = {.before = before, .after = after, .tolerance = tolerance};
    s.norm = base_alloc((before->entries.count + 1) * sizeof *s.norm);
    s.found = base_alloc(before->entries.count + 1);
    s.right = base_alloc(after->entries.count + 1);
    s.leads = base_alloc(after->entries.count + 1);
    match(&s);
    *out = (net_culprit){NET_NONE, NET_NONE, NET_NONE};
    for (uint32_t i = 0; i < after->entries.count && out->expected == NET_NONE; i++) {
        if (s.right[i] || net_is_external(&after->entries.items[i])) continue;
        if (out->entry == NET_NONE) out->entry = i;
        try_entry(&s, i, out);
    }
    base_free(s.norm);
    base_free(s.found);
    base_free(s.right);
    base_free(s.leads);
    return out->entry != NET_NONE;
}
