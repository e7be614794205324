/* Where barriers are needed. Tasks of one node write disjoint bytes and never read them, so only
 * nodes can conflict: a node waits when it reads what was written since the last barrier, or writes
 * what was read or written since. Weights are never written. */
#include "codegen/llvm/emission_plan.h"

cg_range cg_range_of(const ir_func *f, ir_ref value) {
    const ir_node *n = ir_get(f, value);
    uint64_t bytes = ir_type_bytes(&n->type);
    if (n->place.kind == IR_AT_ARENA)
        return (cg_range){IR_AT_ARENA, 0, n->place.offset, n->place.offset + bytes};
    return (cg_range){n->place.kind, n->place.offset, 0, bytes};
}

bool cg_ranges_overlap(const cg_range *a, const cg_range *b) {
    return a->space == b->space && a->index == b->index && a->begin < b->end && b->begin < a->end;
}

static bool meets(const cg_range *r, const cg_range *set, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (cg_ranges_overlap(r, &set[i])) return true;
    return false;
}

bool cg_hazard(cg_hazards *h, const ir_func *f, const ir_node *node, ir_ref ref) {
    cg_range out = cg_range_of(f, ref), in[IR_MAX_OPERANDS];
    uint32_t reads = 0;
    for (uint32_t i = 0; i < node->operand_count; i++) {
        if (!ir_ref_ok(node->operand[i])) continue;
        in[reads] = cg_range_of(f, node->operand[i]);
        if (in[reads].space != IR_AT_WEIGHT) reads++;
    }
    bool wait = meets(&out, h->read.items, h->read.count) ||
                meets(&out, h->written.items, h->written.count);
    for (uint32_t i = 0; i < reads && !wait; i++)
        wait = meets(&in[i], h->written.items, h->written.count);
    if (wait) h->read.count = h->written.count = 0;
    for (uint32_t i = 0; i < reads; i++) BASE_PUSH(&h->read, in[i]);
    BASE_PUSH(&h->written, out);
    return wait;
}

void cg_hazards_free(cg_hazards *h) {
    base_free(h->read.items);
    base_free(h->written.items);
}
