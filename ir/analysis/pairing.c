/* Pairing the nodes of two functions by structure; see pairing.h. */
#include "ir/analysis/pairing.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "ir/build.h"

enum {
    MOST_CANDIDATES = 64
}; /* looked at for one node: bounds the work where hundreds of nodes are alike */

/* ---- hashes ---- */

static uint64_t mix(uint64_t h, uint64_t x) {
    h = (h ^ x) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static const char *block_of(const ir_func *f, const ir_node *n) {
    const char *block = f->module->origins.items[n->origin].block;
    return block ? block : "";
}

static const char *weight_name(const ir_func *f, const ir_node *n) {
    return f->module->weights.items[IR_ATTRS(n, weight)->index].name;
}

/* Op, attributes, type and block. */
static uint64_t local_hash(const ir_func *f, const ir_node *n) {
    uint64_t h = mix(base_hash64_text(block_of(f, n)), (uint64_t)n->op);
    if (n->op == IR_OP_weight) return mix(h, base_hash64_text(weight_name(f, n)));
    h = mix(h, ir_attrs_hash(n->op, n->attrs, BASE_HASH_START));
    h = mix(h, (uint64_t)n->type.dtype << 8 | (uint64_t)n->type.layout);
    for (uint32_t i = 0; i < n->type.rank; i++) h = mix(h, (uint64_t)n->type.dim[i]);
    return h;
}

/* Everything a value is made of. */
static uint64_t *full_hashes(const ir_func *f) {
    uint64_t *hash = base_alloc(f->nodes.count * sizeof *hash + 1);
    for (size_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        hash[i] = local_hash(f, n);
        for (uint32_t k = 0; k < n->operand_count; k++)
            hash[i] = mix(hash[i], ir_ref_ok(n->operand[k]) ? hash[n->operand[k].id] : k);
    }
    return hash;
}

static uint64_t *local_hashes(const ir_func *f) {
    uint64_t *hash = base_alloc(f->nodes.count * sizeof *hash + 1);
    for (size_t i = 0; i < f->nodes.count; i++) hash[i] = local_hash(f, &f->nodes.items[i]);
    return hash;
}

/* Op and block; 0, which pairs with nothing, for what has a name. */
static uint64_t *block_hashes(const ir_func *f) {
    uint64_t *hash = base_alloc(f->nodes.count * sizeof *hash + 1);
    for (size_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        if (!(ir_op_get(n->op)->flags & IR_FLAG_LEAF))
            hash[i] = mix(base_hash64_text(block_of(f, n)), (uint64_t)n->op);
    }
    return hash;
}

/* Op and the first weight behind its operands; 0 where there is none. */
static uint64_t *weight_hashes(const ir_func *f) {
    uint64_t *hash = base_alloc(f->nodes.count * sizeof *hash + 1);
    uint64_t *behind =
        base_alloc(f->nodes.count * sizeof *behind + 1); /* of constants: the name's hash */
    bool *constant = ir_constants(f);
    for (size_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        uint64_t found = n->op == IR_OP_weight ? base_hash64_text(weight_name(f, n)) : 0;
        for (uint32_t k = 0; !found && k < n->operand_count; k++)
            if (ir_ref_ok(n->operand[k]) && constant[n->operand[k].id])
                found = behind[n->operand[k].id];
        behind[i] = found;
        hash[i] = found ? mix(found, (uint64_t)n->op) : 0;
    }
    base_free(constant);
    base_free(behind);
    return hash;
}

/* ---- pairing ---- */

struct slot {
    uint64_t key;
    uint32_t id;
};

static int by_key(const void *x, const void *y) {
    const struct slot *a = x, *b = y;
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static void join(ir_pairing *p, uint32_t a, uint32_t b) {
    p->to_b[a] = (ir_ref){b};
    p->to_a[b] = (ir_ref){a};
}

static ir_ref operand(const ir_node *n, uint32_t k) {
    return k < n->operand_count ? n->operand[k] : IR_NONE;
}

static bool same_operand(const ir_pairing *p, const ir_node *a, const ir_node *b, uint32_t k) {
    ir_ref x = operand(a, k), y = operand(b, k);
    if (!ir_ref_ok(x) || !ir_ref_ok(y)) return !ir_ref_ok(x) && !ir_ref_ok(y);
    return ir_ref_eq(p->to_b[x.id], y);
}

static uint32_t operands_in_common(const ir_pairing *p, const ir_node *a, const ir_node *b) {
    uint32_t same = 0;
    for (uint32_t k = 0; k < a->operand_count && k < b->operand_count; k++)
        same += ir_ref_ok(a->operand[k]) && same_operand(p, a, b, k);
    return same;
}

/* Pairs what is left by equal keys of the same op (frees the keys; 0 is no key), in b's order. */
static void pair_by(ir_pairing *p, uint64_t *key_a, uint64_t *key_b) {
    struct slot *slots = base_alloc(p->a->nodes.count * sizeof *slots + 1);
    size_t count = 0;
    for (uint32_t i = 0; i < p->a->nodes.count; i++)
        if (!ir_ref_ok(p->to_b[i]) && key_a[i]) slots[count++] = (struct slot){key_a[i], i};
    if (count) qsort(slots, count, sizeof *slots, by_key);
    for (uint32_t i = 0; i < p->b->nodes.count; i++) {
        if (ir_ref_ok(p->to_a[i]) || !key_b[i]) continue;
        const ir_node *n = &p->b->nodes.items[i];
        size_t low = 0, high = count;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (slots[middle].key < key_b[i])
                low = middle + 1;
            else
                high = middle;
        }
        uint32_t best = UINT32_MAX, most = 0, looked = 0;
        for (; low < count && slots[low].key == key_b[i] && looked < MOST_CANDIDATES; low++) {
            uint32_t a = slots[low].id;
            const ir_node *candidate = &p->a->nodes.items[a];
            if (ir_ref_ok(p->to_b[a]) || candidate->op != n->op) continue;
            looked++;
            uint32_t same = operands_in_common(p, candidate, n);
            if (best != UINT32_MAX && same <= most) continue;
            best = a;
            most = same;
        }
        if (best != UINT32_MAX) join(p, best, i);
    }
    base_free(slots);
    base_free(key_a);
    base_free(key_b);
}

static void pair_inputs(ir_pairing *p) {
    for (size_t i = 0; i < p->a->inputs.count; i++) {
        const ir_node *a = ir_get(p->a, p->a->inputs.items[i]);
        for (size_t k = 0; k < p->b->inputs.count; k++) {
            const ir_node *b = ir_get(p->b, p->b->inputs.items[k]);
            if (strcmp(IR_ATTRS(a, input)->name, IR_ATTRS(b, input)->name)) continue;
            join(p, p->a->inputs.items[i].id, p->b->inputs.items[k].id);
            break;
        }
    }
}

ir_pairing ir_pair_nodes(const ir_func *a, const ir_func *b) {
    ir_pairing p = {.a = a, .b = b};
    p.to_b = base_alloc(a->nodes.count * sizeof *p.to_b + 1);
    p.to_a = base_alloc(b->nodes.count * sizeof *p.to_a + 1);
    for (size_t i = 0; i < a->nodes.count; i++) p.to_b[i] = IR_NONE;
    for (size_t i = 0; i < b->nodes.count; i++) p.to_a[i] = IR_NONE;
    pair_inputs(&p);
    pair_by(&p, full_hashes(a), full_hashes(b)); /* weights have names, blocks and nothing else */
    pair_by(&p, local_hashes(a), local_hashes(b));
    pair_by(&p, weight_hashes(a), weight_hashes(b));
    pair_by(&p, block_hashes(a), block_hashes(b));
    return p;
}

void ir_pairing_free(ir_pairing *p) {
    base_free(p->to_a);
    base_free(p->to_b);
    *p = (ir_pairing){0};
}

/* ---- what differs ---- */

bool ir_pair_operand_same(const ir_pairing *p, ir_ref in_a, ir_ref in_b, uint32_t k) {
    return same_operand(p, ir_get(p->a, in_a), ir_get(p->b, in_b), k);
}

uint32_t ir_pair_differs(const ir_pairing *p, ir_ref in_a, ir_ref in_b) {
    const ir_node *a = ir_get(p->a, in_a), *b = ir_get(p->b, in_b);
    uint32_t bits = 0;
    if (a->op != IR_OP_weight && !ir_attrs_equal(a->op, a->attrs, b->attrs))
        bits |= IR_DIFFERS_ATTRS;
    if (!ir_type_equal(&a->type, &b->type)) bits |= IR_DIFFERS_TYPE;
    for (uint32_t k = 0; k < IR_MAX_OPERANDS; k++)
        if (!same_operand(p, a, b, k)) bits |= IR_DIFFERS_OPERANDS;
    if (!ir_binding_equal(a->binding, b->binding)) bits |= IR_DIFFERS_KERNEL;
    if (strcmp(block_of(p->a, a), block_of(p->b, b))) bits |= IR_DIFFERS_BLOCK;
    if (a->place.kind != b->place.kind || a->place.offset != b->place.offset)
        bits |= IR_DIFFERS_PLACE;
    return bits;
}
