/* The verifier's checks of bindings and places.
 *
 * The strong one: no two values that are alive at the same time share bytes of the arena. A value
 * is alive from the node that computes it to the last node that reads it, both included; a view
 * keeps alive what it views; outputs stay alive to the end. The one exception is a node that
 * overwrites, byte for byte, an operand that dies there and that its kernel reads where it writes
 * (ir_overwritable). */
#include <stdlib.h>
#include <string.h>

#include "ir/check/verify.h"

/* ---- bindings ---- */

static void check_binding(ir_fault_sink *sink, const ir_func *f, ir_ref r) {
    const ir_binding *b = ir_get(f, r)->binding;
    if (!b->kernel || !*b->kernel) verify_fault(sink, f, r, "its kernel has no name");
    if (b->tasks < 1)
        verify_fault(sink, f, r, "it has %lld tasks, expected 1 or more", (long long)b->tasks);
    if (b->scratch > f->scratch_bytes)
        verify_fault(sink, f, r, "it needs %llu bytes of scratch, the function has %llu",
                     (unsigned long long)b->scratch, (unsigned long long)f->scratch_bytes);
    for (uint32_t i = 0; i < b->param_count; i++) {
        const char *name = b->params[i].name;
        if (!name || !*name) {
            verify_fault(sink, f, r, "parameter %u of its kernel has no name", i);
            continue;
        }
        for (uint32_t k = 0; k < i; k++)
            if (b->params[k].name && strcmp(b->params[k].name, name) == 0)
                verify_fault(sink, f, r, "parameter '%s' of its kernel appears twice",
                             base_escape(name, strlen(name)));
    }
}

void verify_bindings(ir_fault_sink *sink, const ir_func *f) {
    bool bound = f->module->level >= IR_KERNEL;
    if (!bound && f->scratch_bytes)
        verify_fault(sink, f, IR_NONE, "scratch is legal from level kernel on");
    bool *constant = ir_constants(f);
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        ir_ref r = {i};
        const ir_node *n = ir_get(f, r);
        bool leaf = ir_op_get(n->op)->flags & IR_FLAG_LEAF;
        if (!bound) {
            if (n->binding) verify_fault(sink, f, r, "a kernel is legal from level kernel on");
        } else if (leaf || ir_is_view(f, r)) {
            if (n->binding) verify_fault(sink, f, r, "it does no work, but has a kernel");
        } else if (n->binding) {
            check_binding(sink, f, r);
        } else if (!constant[i]) {
            verify_fault(sink, f, r, "it has no kernel");
        }
    }
    base_free(constant);
}

/* ---- places ---- */

/* Constants are computed at compile time and lie in the packed weights, as f32. */
static void check_constant_place(ir_fault_sink *sink, const ir_func *f, ir_ref r, bool needed) {
    const ir_place *p = &ir_get(f, r)->place;
    if (p->kind == IR_UNPLACED) {
        if (needed)
            verify_fault(sink, f, r,
                         "its value is used at run time, but it has no place in the weights");
    } else if (p->kind != IR_AT_WEIGHT) {
        verify_fault(sink, f, r, "a constant's place is in the weights");
    } else if (p->offset % IR_ARENA_ALIGN != 0) {
        verify_fault(sink, f, r, "its place is not aligned to %d bytes", IR_ARENA_ALIGN);
    }
}

static bool in_arena(ir_fault_sink *sink, const ir_func *f, ir_ref r) {
    const ir_place *p = &ir_get(f, r)->place;
    uint64_t bytes = ir_type_bytes(ir_typeof(f, r));
    if (p->offset % IR_ARENA_ALIGN != 0)
        return verify_fault(sink, f, r, "its place is not aligned to %d bytes", IR_ARENA_ALIGN);
    if (bytes > f->arena_bytes || p->offset > f->arena_bytes - bytes)
        return verify_fault(sink, f, r, "its %llu bytes at %llu leave the arena of %llu",
                            (unsigned long long)bytes, (unsigned long long)p->offset,
                            (unsigned long long)f->arena_bytes);
    return true;
}

static void check_place(ir_fault_sink *sink, const ir_func *f, ir_ref r, const uint32_t *root) {
    const ir_node *n = ir_get(f, r);
    const ir_place *p = &n->place;
    if (n->op == IR_OP_input) {
        if (p->kind != IR_AT_INPUT || p->offset >= f->inputs.count ||
            f->inputs.items[p->offset].id != r.id)
            verify_fault(sink, f, r, "an input's place is its own index among the inputs");
    } else if (root[r.id] != r.id) {
        const ir_place *viewed = &f->nodes.items[root[r.id]].place;
        if (p->kind != viewed->kind || p->offset != viewed->offset)
            verify_fault(sink, f, r, "a view's place is that of what it views");
    } else if (p->kind == IR_AT_ARENA) {
        in_arena(sink, f, r);
    } else if (p->kind == IR_AT_OUTPUT) {
        if (p->offset >= f->outputs.count || root[f->outputs.items[p->offset].value.id] != r.id)
            verify_fault(sink, f, r, "it is not the value of output %llu, where it is placed",
                         (unsigned long long)p->offset);
    } else {
        verify_fault(sink, f, r, "it has no place in the arena or an output");
    }
}

/* ---- liveness ---- */

static bool share_bytes(const ir_func *f, ir_ref a, ir_ref b) {
    uint64_t pa = ir_get(f, a)->place.offset, pb = ir_get(f, b)->place.offset;
    return pa < pb + ir_type_bytes(ir_typeof(f, b)) && pb < pa + ir_type_bytes(ir_typeof(f, a));
}

/* Node r may replace the dying value `other`: every operand that shows it may be overwritten in
 * place. */
static bool may_replace(const ir_func *f, ir_ref r, ir_ref other, const uint32_t *root) {
    const ir_node *n = ir_get(f, r);
    uint32_t bits = ir_overwritable(f, r);
    if (n->place.offset != ir_get(f, other)->place.offset) return false;
    for (uint32_t k = 0; k < n->operand_count; k++)
        if (ir_ref_ok(n->operand[k]) && root[n->operand[k].id] == other.id && !(bits >> k & 1))
            return false;
    return true;
}

static void check_overlaps(ir_fault_sink *sink, const ir_func *f, const bool *constant,
                           const uint32_t *root) {
    uint32_t *last = ir_last_uses(f);
    BASE_VEC(ir_ref) alive = {0};
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        ir_ref r = {i};
        if (constant[i] || ir_get(f, r)->place.kind != IR_AT_ARENA || root[i] != i) continue;
        size_t kept = 0;
        for (size_t k = 0; k < alive.count; k++) {
            ir_ref other = alive.items[k];
            if (last[other.id] < i || (last[other.id] == i && may_replace(f, r, other, root)))
                continue;
            alive.items[kept++] = other;
            if (!share_bytes(f, r, other)) continue;
            base_str name = {0};
            ir_print_ref(f, other, &name);
            verify_fault(sink, f, r, "it is placed over %s, which is still alive", name.data);
            base_str_free(&name);
        }
        alive.count = kept;
        BASE_PUSH(&alive, r);
    }
    base_free(alive.items);
    base_free(last);
}

static void check_unplaced(ir_fault_sink *sink, const ir_func *f) {
    if (f->arena_bytes) verify_fault(sink, f, IR_NONE, "an arena is legal at level placed only");
    for (uint32_t i = 0; i < f->nodes.count; i++)
        if (f->nodes.items[i].place.kind != IR_UNPLACED)
            verify_fault(sink, f, (ir_ref){i}, "a place is legal at level placed only");
}

void verify_places(ir_fault_sink *sink, const ir_func *f) {
    if (f->module->level != IR_PLACED) {
        check_unplaced(sink, f);
        return;
    }
    uint32_t before = sink->count;
    uint32_t *root = ir_view_roots(f);
    bool *constant = ir_constants(f);
    bool *needed = base_alloc(f->nodes.count); /* constants that are read at run time */
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = ir_get(f, (ir_ref){i});
        for (uint32_t k = 0; !constant[i] && k < n->operand_count; k++)
            if (ir_ref_ok(n->operand[k])) needed[n->operand[k].id] = true;
    }
    for (size_t i = 0; i < f->outputs.count; i++) needed[f->outputs.items[i].value.id] = true;
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        if (constant[i])
            check_constant_place(sink, f, (ir_ref){i}, needed[i]);
        else
            check_place(sink, f, (ir_ref){i}, root);
    }
    if (sink->count == before) check_overlaps(sink, f, constant, root);
    base_free(needed);
    base_free(root);
    base_free(constant);
}

/* ---- the packed weights, over all functions ---- */

typedef struct extent {
    uint64_t offset, bytes;
    const ir_func *f;
    ir_ref r;
} extent;

static int by_offset(const void *a, const void *b) {
    const extent *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* Equal constants may share a place; a place never reaches into another. */
void verify_weight_places(ir_fault_sink *sink, const ir_module *m) {
    BASE_VEC(extent) all = {0};
    for (size_t i = 0; i < m->funcs.count; i++) {
        const ir_func *f = m->funcs.items[i];
        for (uint32_t k = 0; k < f->nodes.count; k++) {
            const ir_node *n = &f->nodes.items[k];
            if (n->place.kind != IR_AT_WEIGHT) continue;
            uint64_t bytes = ir_type_bytes(&n->type);
            if (!(ir_op_get(n->op)->flags & IR_FLAG_PACK)) /* as it is read: widened */
                bytes = bytes / ir_dtype_bytes[n->type.dtype] * sizeof(float);
            BASE_PUSH(&all, ((extent){n->place.offset, bytes, f, (ir_ref){k}}));
        }
    }
    if (all.count) qsort(all.items, all.count, sizeof all.items[0], by_offset);
    for (size_t i = 1; i < all.count; i++) {
        const extent *a = &all.items[i - 1], *b = &all.items[i];
        if (a->offset == b->offset ? a->bytes == b->bytes : a->bytes <= b->offset - a->offset)
            continue;
        base_str name = {0};
        ir_print_ref(a->f, a->r, &name);
        verify_fault(sink, b->f, b->r, "its place in the weights reaches into that of %s in %s",
                     name.data, base_escape(a->f->name, strlen(a->f->name)));
        base_str_free(&name);
    }
    base_free(all.items);
}
