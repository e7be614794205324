#include "driver/diff/node_fates.h"

#include <string.h>

static const node_fate NOWHERE = {UINT32_MAX, {UINT32_MAX}, false, false};

typedef BASE_VEC(uint32_t) weights;
typedef struct new_reader {
    uint32_t func;
    ir_ref node;
    bool constant;
    uint32_t votes;
} new_reader;
typedef BASE_VEC(new_reader) new_readers;

typedef struct search {
    const ir_module *a, *b;
    node_fates *fates;
    ir_ref **from;            /* by function and node of b: the node of a it is a pair of */
    uint32_t **from_at;       /* and its function */
    new_readers *new_readers; /* by weight of b */
} search;

static bool is_weight(const ir_func *f, uint32_t i) {
    return f->nodes.items[i].op == IR_OP_weight;
}

static uint32_t operands(const ir_node *n) {
    uint32_t count = 0;
    for (uint32_t k = 0; k < n->operand_count; k++) count += ir_ref_ok(n->operand[k]);
    return count;
}

static void take(search *s, uint32_t fa, uint32_t i, uint32_t fb, ir_ref to, bool same) {
    s->fates->of[fa][i] = (node_fate){fb, to, .pair = true, .same = same};
    s->from[fb][to.id] = (ir_ref){i};
    s->from_at[fb][to.id] = fa;
}

/* ---- 1: within a function ---- */

static bool computes_the_same(const ir_pairing *p, ir_ref a, ir_ref b) {
    return !(ir_pair_differs(p, a, b) & IR_DIFFERS_ATTRS) &&
           operands(ir_get(p->a, a)) == operands(ir_get(p->b, b));
}

static void pair_within(search *s, uint32_t fa) {
    const ir_func *a = s->a->funcs.items[fa];
    for (uint32_t fb = 0; fb < s->b->funcs.count; fb++) {
        const ir_func *b = s->b->funcs.items[fb];
        if (strcmp(a->name, b->name) != 0) continue;
        ir_pairing p = ir_pair_nodes(a, b);
        for (uint32_t i = 0; i < a->nodes.count; i++)
            if (!is_weight(a, i) && ir_ref_ok(p.to_b[i]))
                take(s, fa, i, fb, p.to_b[i], computes_the_same(&p, (ir_ref){i}, p.to_b[i]));
        ir_pairing_free(&p);
    }
}

/* ---- 2: over functions ---- */

/* Operands that are weights are the same; others may be inputs on one side. */
static bool same_weights(const ir_pairing *p, ir_ref a, ir_ref b) {
    const ir_node *x = ir_get(p->a, a), *y = ir_get(p->b, b);
    if (x->operand_count != y->operand_count) return false;
    for (uint32_t k = 0; k < x->operand_count; k++) {
        bool wx = ir_ref_ok(x->operand[k]) && is_weight(p->a, x->operand[k].id),
             wy = ir_ref_ok(y->operand[k]) && is_weight(p->b, y->operand[k].id);
        if (wx != wy || (wx && !ir_pair_operand_same(p, a, b, k))) return false;
    }
    return true;
}

static void pair_over(search *s, uint32_t fa, uint32_t fb, uint32_t allowed) {
    const ir_func *a = s->a->funcs.items[fa], *b = s->b->funcs.items[fb];
    if (!strcmp(a->name, b->name)) return;
    ir_pairing p = ir_pair_nodes(a, b);
    for (uint32_t i = 0; i < a->nodes.count; i++) {
        ir_ref to = p.to_b[i];
        if (is_weight(a, i) || s->fates->of[fa][i].pair || !ir_ref_ok(to)) continue;
        if (ir_ref_ok(s->from[fb][to.id])) continue;
        if (ir_pair_differs(&p, (ir_ref){i}, to) & ~allowed) continue;
        if (same_weights(&p, (ir_ref){i}, to)) take(s, fa, i, fb, to, false);
    }
    ir_pairing_free(&p);
}

/* ---- 3, 4: nodes that are gone ---- */

/* The node that is a pair of `to` changed: it took something in. */
static bool changed(const search *s, uint32_t fb, ir_ref to) {
    ir_ref from = s->from[fb][to.id];
    if (!ir_ref_ok(from)) return true;
    return !s->fates->of[s->from_at[fb][to.id]][from.id].same;
}

static const char *weight_name(const ir_func *f, ir_ref r) {
    return f->module->weights.items[IR_ATTRS(ir_get(f, r), weight)->index].name;
}

/* Node r of b reads the weight, itself or through nodes that were not there before. */
static bool reads_weight(const search *s, uint32_t fb, ir_ref r, const char *name, int depth) {
    const ir_func *b = s->b->funcs.items[fb];
    const ir_node *n = ir_get(b, r);
    for (uint32_t k = 0; k < n->operand_count; k++) {
        ir_ref x = n->operand[k];
        if (!ir_ref_ok(x)) continue;
        if (is_weight(b, x.id) && !strcmp(weight_name(b, x), name)) return true;
        if (is_weight(b, x.id) || ir_ref_ok(s->from[fb][x.id]) || !depth) continue;
        if (reads_weight(s, fb, x, name, depth - 1)) return true;
    }
    return false;
}

/* How many operands of a node that is gone the node of b reads, `but` not counted. */
static uint32_t evidence(const search *s, uint32_t fa, uint32_t gone, uint32_t fb, ir_ref by,
                         ir_ref but) {
    const ir_func *a = s->a->funcs.items[fa];
    const ir_node *n = &a->nodes.items[gone], *reader = ir_get(s->b->funcs.items[fb], by);
    uint32_t count = 0;
    for (uint32_t k = 0; k < n->operand_count; k++) {
        ir_ref x = n->operand[k];
        if (!ir_ref_ok(x)) continue;
        if (is_weight(a, x.id)) {
            count += reads_weight(s, fb, by, weight_name(a, x), 3);
            continue;
        }
        const node_fate *fate = &s->fates->of[fa][x.id];
        if (!fate->pair || fate->func != fb || ir_ref_eq(fate->node, but)) continue;
        for (uint32_t i = 0; i < reader->operand_count; i++)
            count += ir_ref_ok(reader->operand[i]) && ir_ref_eq(reader->operand[i], fate->node);
    }
    return count;
}

/* What a reader of a node that is gone says: it reads the node as operand k. Where something that
 * was there before stands in the node's place, one of the two has taken the node in: the one that
 * reads what the node read, else the one that changed. */
static node_fate ask_reader(const search *s, uint32_t fa, uint32_t gone, const node_fate *reader,
                            uint32_t k) {
    if (!reader->pair) return *reader;
    uint32_t fb = reader->func;
    const ir_func *b = s->b->funcs.items[fb];
    const ir_node *n = ir_get(b, reader->node);
    node_fate taken_in = {fb, reader->node, false, false};
    ir_ref x = k < n->operand_count ? n->operand[k] : IR_NONE;
    if (!ir_ref_ok(x)) return taken_in;
    node_fate replaced = {fb, x, false, false};
    if (is_weight(b, x.id) || !ir_ref_ok(s->from[fb][x.id])) return replaced;
    uint32_t by_reader = evidence(s, fa, gone, fb, reader->node, x),
             by_x = evidence(s, fa, gone, fb, x, x);
    if (by_reader != by_x) return by_reader > by_x ? taken_in : replaced;
    return !changed(s, fb, x) && !reader->same ? taken_in : replaced;
}

/* ---- 4: by weights ---- */

/* The weights behind an operand, through what is computed from weights alone (packing, slices). */
static void add_weights(const ir_func *f, const bool *constant, ir_ref r, weights *out) {
    if (!ir_ref_ok(r) || !constant[r.id]) return;
    const ir_node *n = ir_get(f, r);
    if (n->op == IR_OP_weight)
        BASE_PUSH(out, (uint32_t)IR_ATTRS(n, weight)->index);
    else
        for (uint32_t k = 0; k < n->operand_count; k++)
            add_weights(f, constant, n->operand[k], out);
}

static void weights_of(const ir_func *f, const bool *constant, uint32_t node, weights *out) {
    const ir_node *n = &f->nodes.items[node];
    out->count = 0;
    for (uint32_t k = 0; k < n->operand_count; k++) add_weights(f, constant, n->operand[k], out);
}

/* For each weight of b the new nodes that read it. */
static void find_new_readers(search *s) {
    weights own = {0};
    s->new_readers = base_alloc((s->b->weights.count + 1) * sizeof *s->new_readers);
    for (uint32_t fb = 0; fb < s->b->funcs.count; fb++) {
        const ir_func *b = s->b->funcs.items[fb];
        bool *constant = ir_constants(b);
        for (uint32_t i = 0; i < b->nodes.count; i++) {
            if (is_weight(b, i) || ir_ref_ok(s->from[fb][i])) continue;
            weights_of(b, constant, i, &own);
            for (size_t k = 0; k < own.count; k++)
                BASE_PUSH(&s->new_readers[own.items[k]], ((new_reader){fb, {i}, constant[i], 0}));
        }
        base_free(constant);
    }
    base_free(own.items);
}

/* The new node that reads most weights of one that is gone; of what is computed from weights alone
 * it is such a node, too. */
static void ask_weights(search *s, uint32_t fa, const bool *constant, uint32_t gone) {
    weights own = {0};
    BASE_VEC(new_reader) found = {0};
    uint32_t most = 0;
    weights_of(s->a->funcs.items[fa], constant, gone, &own);
    for (size_t k = 0; k < own.count; k++) {
        uint32_t w = ir_weight_find(s->b, s->a->weights.items[own.items[k]].name);
        for (size_t i = 0; w != UINT32_MAX && i < s->new_readers[w].count; i++) {
            const new_reader *r = &s->new_readers[w].items[i];
            size_t at = 0;
            if (r->constant != constant[gone]) continue;
            while (at < found.count &&
                   (found.items[at].func != r->func || !ir_ref_eq(found.items[at].node, r->node)))
                at++;
            if (at == found.count) BASE_PUSH(&found, *r);
            if (++found.items[at].votes <= most) continue;
            most = found.items[at].votes;
            s->fates->of[fa][gone] = (node_fate){r->func, r->node, false, false};
        }
    }
    base_free(found.items);
    base_free(own.items);
}

static const ir_output *find_output(const ir_func *f, const char *name) {
    for (size_t i = 0; i < f->outputs.count; i++)
        if (!strcmp(f->outputs.items[i].name, name)) return &f->outputs.items[i];
    return NULL;
}

static void ask_outputs(search *s, uint32_t fa) {
    const ir_func *a = s->a->funcs.items[fa];
    for (size_t i = 0; i < a->outputs.count; i++) {
        node_fate *fate = &s->fates->of[fa][a->outputs.items[i].value.id];
        for (uint32_t fb = 0; fb < s->b->funcs.count && fate->func == UINT32_MAX; fb++) {
            const ir_output *o = find_output(s->b->funcs.items[fb], a->outputs.items[i].name);
            if (o) *fate = (node_fate){fb, o->value, false, false};
        }
    }
}

/* A gone node that has no reader which is there; asked from the end, so readers know already. */
static void follow_gone(search *s, uint32_t fa, const bool *constant, uint32_t gone,
                        const ir_node *const *reader, uint32_t count) {
    const ir_func *a = s->a->funcs.items[fa];
    node_fate *of = s->fates->of[fa];
    for (int round = 0; round < 2; round++) { /* readers that are there themselves, then others */
        for (uint32_t i = 0; i < count && of[gone].func == UINT32_MAX; i++) {
            const node_fate *fate = &of[reader[i] - a->nodes.items];
            if (fate->func == UINT32_MAX || (!round && !fate->pair)) continue;
            for (uint32_t k = 0; k < reader[i]->operand_count; k++)
                if (ir_ref_eq(reader[i]->operand[k], (ir_ref){gone}))
                    of[gone] = ask_reader(s, fa, gone, fate, k);
        }
        if (!round && of[gone].func == UINT32_MAX) ask_weights(s, fa, constant, gone);
    }
}

/* Readers stand behind what they read. */
static void follow_all(search *s, uint32_t fa) {
    const ir_func *a = s->a->funcs.items[fa];
    BASE_VEC(const ir_node *) readers = {0};
    bool *constant = ir_constants(a);
    for (uint32_t x = (uint32_t)a->nodes.count; x-- > 0;) {
        if (is_weight(a, x) || s->fates->of[fa][x].func != UINT32_MAX) continue;
        readers.count = 0;
        for (uint32_t u = x + 1; u < a->nodes.count; u++)
            for (uint32_t k = 0; k < a->nodes.items[u].operand_count; k++)
                if (ir_ref_eq(a->nodes.items[u].operand[k], (ir_ref){x})) {
                    BASE_PUSH(&readers, &a->nodes.items[u]);
                    break;
                }
        follow_gone(s, fa, constant, x, readers.items, (uint32_t)readers.count);
    }
    base_free(constant);
    base_free(readers.items);
}

node_fates drv_node_fates(const ir_module *a, const ir_module *b) {
    node_fates fates = {.count = (uint32_t)a->funcs.count,
                        .of = base_alloc((a->funcs.count + 1) * sizeof *fates.of)};
    search s = {.a = a, .b = b, .fates = &fates};
    s.from = base_alloc((b->funcs.count + 1) * sizeof *s.from);
    s.from_at = base_alloc((b->funcs.count + 1) * sizeof *s.from_at);
    for (uint32_t f = 0; f < a->funcs.count; f++) {
        size_t n = a->funcs.items[f]->nodes.count;
        fates.of[f] = base_alloc((n + 1) * sizeof **fates.of);
        for (size_t i = 0; i < n; i++) fates.of[f][i] = NOWHERE;
    }
    for (uint32_t f = 0; f < b->funcs.count; f++) {
        size_t n = b->funcs.items[f]->nodes.count;
        s.from[f] = base_alloc((n + 1) * sizeof **s.from);
        s.from_at[f] = base_alloc((n + 1) * sizeof **s.from_at);
        for (size_t i = 0; i < n; i++) s.from[f][i] = IR_NONE;
    }
    for (uint32_t f = 0; f < a->funcs.count; f++) pair_within(&s, f);
    static const uint32_t allowed[] = {IR_DIFFERS_PLACE, IR_DIFFERS_PLACE | IR_DIFFERS_OPERANDS,
                                       IR_DIFFERS_PLACE | IR_DIFFERS_OPERANDS | IR_DIFFERS_TYPE};
    for (int round = 0; round < 3; round++)
        for (uint32_t f = 0; f < a->funcs.count; f++)
            for (uint32_t to = 0; to < b->funcs.count; to++) pair_over(&s, f, to, allowed[round]);
    find_new_readers(&s);
    for (uint32_t f = 0; f < a->funcs.count; f++) ask_outputs(&s, f);
    for (uint32_t f = 0; f < a->funcs.count; f++) follow_all(&s, f);
    for (uint32_t f = 0; f < b->funcs.count; f++) {
        base_free(s.from[f]);
        base_free(s.from_at[f]);
    }
    for (size_t w = 0; w < b->weights.count; w++) base_free(s.new_readers[w].items);
    base_free(s.new_readers);
    base_free(s.from);
    base_free(s.from_at);
    return fates;
}

void drv_node_fates_free(node_fates *f) {
    for (uint32_t i = 0; i < f->count; i++) base_free(f->of[i]);
    base_free(f->of);
    *f = (node_fates){0};
}
