/* plan_memory: every value gets its place: input, output, packed weight, or bytes of one arena.
 *
 *   before   %1 = layout_cast %0 : f32[1,3,8,8]:c16 kernel pack {...}
 *   after    %1 = layout_cast %0 : f32[1,3,8,8]:c16 kernel pack {...} at arena+0
 *
 * A buffer lives from the node that writes it to the last node that reads it or a view of it.
 * Buffers are placed largest first at the lowest offset that is free all their life (the "greedy by
 * size" of Pisarchyk and Lee 2020); a second try in order of birth is kept when it is smaller. A
 * node may overwrite an operand that dies there where its kernel allows it: elementwise, the
 * residual of conv2d, linear and feed_forward, norm_apply, layer_norm, softmax, what conv2d
 * {overwrite} reads. Whether a smaller result may take a larger buffer is tried both ways. Outputs
 * are computed in place: their node writes the caller's buffer. Lifetimes are counted in nodes:
 * emitted code must have finished all nodes before node i when it starts i, or at least those whose
 * buffers i overwrites.
 *
 * Packed weights lie one behind the other in order of first use, functions in module order, each
 * expression once: the offsets do not depend on the CPU level, and functions that use the same
 * packed weight share it.
 *
 * here    last: everything that changes buffers has run
 * not     reordering nodes to shorten lifetimes
 * tests   tests/lit/passes/plan_memory/, tests/unit/passes/first_fit_test.c,
 *         tests/unit/passes/pipeline_variations_test.c */
#include "passes/memory/plan.h"

#include <stdlib.h>
#include <string.h>

typedef struct plan {
    pass_context *c;
    ir_func *f;
    bool *constant;
    uint32_t *last;      /* of each node: ir_last_uses */
    uint32_t *buffer_of; /* of each node: its buffer, UINT32_MAX when not in the arena */
    BASE_VEC(pass_buffer) buffers;
    bool larger; /* a result may take a larger buffer than it needs */
} plan;

static uint64_t aligned(uint64_t bytes) {
    return (bytes + IR_ARENA_ALIGN - 1) / IR_ARENA_ALIGN * IR_ARENA_ALIGN;
}

/* ---- lifetimes ---- */

/* The buffer of an operand that dies at node i and that i may overwrite; UINT32_MAX when there is
 * none. */
static uint32_t reusable(const plan *p, uint32_t i) {
    const ir_node *n = &p->f->nodes.items[i];
    uint32_t bits = p->c->options->separate_buffers ? 0 : ir_overwritable(p->f, (ir_ref){i});
    for (uint32_t k = 0; k < n->operand_count; k++) {
        if (!(bits >> k & 1) || !ir_ref_ok(n->operand[k])) continue;
        ir_ref root = ir_view_root(p->f, n->operand[k]);
        uint32_t b = p->buffer_of[root.id];
        if (b == UINT32_MAX || p->last[root.id] != i) continue;
        uint64_t has = p->buffers.items[b].bytes, needs = aligned(ir_type_bytes(&n->type));
        if (p->larger ? has < needs : has != needs) continue;
        bool alone = true;
        for (uint32_t j = 0; j < n->operand_count; j++)
            if (!(bits >> j & 1) && ir_ref_ok(n->operand[j]) &&
                p->buffer_of[ir_view_root(p->f, n->operand[j]).id] == b)
                alone = false;
        if (alone) return b;
    }
    return UINT32_MAX;
}

/* Buffers of the nodes that have no other place yet. */
static void make_buffers(plan *p) {
    for (uint32_t i = 0; i < p->f->nodes.count; i++) {
        const ir_node *n = &p->f->nodes.items[i];
        p->buffer_of[i] = UINT32_MAX;
        if (p->constant[i] || n->place.kind != IR_UNPLACED || ir_is_view(p->f, (ir_ref){i}))
            continue;
        uint32_t b = reusable(p, i);
        if (b == UINT32_MAX) {
            b = (uint32_t)p->buffers.count;
            BASE_PUSH(&p->buffers,
                      ((pass_buffer){.first = i, .bytes = aligned(ir_type_bytes(&n->type))}));
        }
        p->buffers.items[b].last = p->last[i];
        p->buffer_of[i] = b;
    }
}

/* ---- offsets ---- */

static int by_size(const void *x, const void *y, void *buffers) {
    const pass_buffer *a = (pass_buffer *)buffers + *(const uint32_t *)x,
                      *b = (pass_buffer *)buffers + *(const uint32_t *)y;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
    return (a->first > b->first) - (a->first < b->first);
}

static int by_birth(const void *x, const void *y, void *buffers) {
    const pass_buffer *a = (pass_buffer *)buffers + *(const uint32_t *)x,
                      *b = (pass_buffer *)buffers + *(const uint32_t *)y;
    if (a->first != b->first) return a->first < b->first ? -1 : 1;
    return (a->bytes < b->bytes) - (a->bytes > b->bytes);
}

static uint64_t place_buffers(plan *p) {
    size_t count = p->buffers.count;
    pass_buffer *b = p->buffers.items;
    uint64_t end = 0;
    if (p->c->options->separate_buffers) {
        for (size_t i = 0; i < count; end += b[i++].bytes) b[i].offset = end;
        return end;
    }
    uint32_t *order = base_alloc(count * sizeof *order + 1);
    for (uint32_t i = 0; i < count; i++) order[i] = i;
    if (count) qsort_r(order, count, sizeof *order, by_birth, b);
    uint64_t birth = pass_first_fit(b, order, count);
    if (count) qsort_r(order, count, sizeof *order, by_size, b);
    end = pass_first_fit(b, order, count);
    if (birth < end) {
        qsort_r(order, count, sizeof *order, by_birth, b);
        end = pass_first_fit(b, order, count);
    }
    base_free(order);
    return end;
}

/* The most bytes that live at one node, and the sum of all buffers. */
static void measure(const plan *p, pass_plan *out) {
    uint64_t live = 0;
    uint64_t *ends = base_alloc((p->f->nodes.count + 1) * sizeof *ends);
    for (uint32_t i = 0, k = 0; i < p->f->nodes.count; i++) {
        for (; k < p->buffers.count && p->buffers.items[k].first == i;
             k++) { /* buffers are born in node order */
            live += p->buffers.items[k].bytes;
            ends[p->buffers.items[k].last + 1] += p->buffers.items[k].bytes;
        }
        if (p->buffer_of[i] != UINT32_MAX)
            out->total += aligned(ir_type_bytes(&p->f->nodes.items[i].type));
        live -= ends[i];
        if (live > out->bound) out->bound = live;
    }
    base_free(ends);
}

/* ---- places ---- */

static void place_edges(plan *p) {
    ir_func *f = p->f;
    for (uint32_t i = 0; i < f->nodes.count; i++) f->nodes.items[i].place = (ir_place){0};
    for (size_t i = 0; i < f->inputs.count; i++)
        f->nodes.items[f->inputs.items[i].id].place = (ir_place){IR_AT_INPUT, i};
    for (size_t i = 0; i < f->outputs.count; i++)
        f->nodes.items[ir_view_root(f, f->outputs.items[i].value).id].place =
            (ir_place){IR_AT_OUTPUT, i};
}

/* Constants that run-time nodes read lie in the packed weights. */
static void place_weights(plan *p) {
    ir_func *f = p->f;
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        if (p->constant[i]) continue;
        const ir_node *n = &f->nodes.items[i];
        for (uint32_t k = 0; k < n->operand_count; k++) {
            if (!ir_ref_ok(n->operand[k]) || !p->constant[n->operand[k].id]) continue;
            ir_node *w = &f->nodes.items[n->operand[k].id];
            if (w->place.kind == IR_UNPLACED)
                w->place = (ir_place){IR_AT_WEIGHT, pass_weight_offset(p->c, f, n->operand[k])};
        }
    }
}

/* Both ways of reusing buffers, and the one that needs less. */
static uint64_t plan_buffers(plan *p) {
    uint64_t bytes[2];
    for (int larger = 1; larger >= 0; larger--) {
        p->larger = larger;
        p->buffers.count = 0;
        make_buffers(p);
        bytes[larger] = place_buffers(p);
    }
    if (bytes[0] <= bytes[1]) return bytes[0];
    p->larger = true;
    p->buffers.count = 0;
    make_buffers(p);
    return place_buffers(p);
}

static void plan_function(pass_context *c, ir_func *f) {
    size_t nodes = f->nodes.count;
    plan p = {.c = c,
              .f = f,
              .constant = ir_constants(f),
              .last = ir_last_uses(f),
              .buffer_of = base_alloc(nodes * sizeof *p.buffer_of + 1)};
    place_edges(&p);
    place_weights(&p);
    pass_plan figures = {.func = base_arena_strdup(c->arena, f->name),
                         .arena_bytes = plan_buffers(&p)};
    measure(&p, &figures);
    BASE_PUSH(&c->memory.funcs, figures);
    f->arena_bytes = figures.arena_bytes;
    for (uint32_t i = 0; i < nodes; i++)
        if (p.buffer_of[i] != UINT32_MAX)
            f->nodes.items[i].place =
                (ir_place){IR_AT_ARENA, p.buffers.items[p.buffer_of[i]].offset};
    for (uint32_t i = 0; i < nodes; i++)
        if (!p.constant[i] && ir_is_view(f, (ir_ref){i}))
            f->nodes.items[i].place = f->nodes.items[ir_view_root(f, (ir_ref){i}).id].place;
    base_free(p.buffers.items);
    base_free(p.buffer_of);
    base_free(p.last);
    base_free(p.constant);
}

bool pass_plan_memory(pass_context *c, ir_module *m) {
    c->memory.funcs.count = c->memory.weights.count = 0;
    c->memory.weights_bytes = 0;
    for (size_t i = 0; i < m->funcs.count; i++) plan_function(c, m->funcs.items[i]);
    return m->funcs.count > 0;
}
