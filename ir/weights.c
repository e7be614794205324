/* Reading weights as f32, whatever they are stored as and wherever they come from.
 *
 * RANDOM weights are a function of (seed, name, element index), so that any range can be read in
 * any order and by any number of readers: with h = splitmix64(seed + splitmix64(FNV-1a-64(name)))
 * and x = splitmix64(h + index), the upper 24 bits of x are a number u in [0, 1) and the value is
 * center + bound * (2u - 1), computed in binary64 and rounded once. splitmix64 is the finalizer of
 * Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014). */
#include <string.h>

#include "base/hash.h"
#include "ir/build.h"
#include "ir/ir.h"

static uint64_t splitmix64(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void read_random(const ir_weight *w, float *out, int64_t first, int64_t count) {
    uint64_t h = splitmix64(w->seed + splitmix64(base_hash64_text(w->name)));
    for (int64_t i = 0; i < count; i++) {
        uint64_t x = splitmix64(h + (uint64_t)(first + i));
        double u = (double)(x >> 40) * 0x1p-24;
        out[i] = (float)(w->center + w->bound * (2.0 * u - 1.0));
    }
}

static float from_bits(uint32_t bits) {
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* IEEE binary16, denormals, infinities and NaNs included. */
float ir_f16_value(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 31u,
             mantissa = h & 0x3ffu;
    if (exponent == 31) return from_bits(sign | 0x7f800000u | mantissa << 13);
    if (exponent) return from_bits(sign | (exponent + 112u) << 23 | mantissa << 13);
    float v = (float)mantissa * 0x1p-24f; /* exact */
    return sign ? -v : v;
}

/* Stored elements may lie at any address. */
static void read_stored(const ir_weight *w, float *out, int64_t first, int64_t count) {
    if (w->stored != IR_STORED_PLAIN) {
        ir_stored_read(w->stored, w->data, out, first, count);
        return;
    }
    const unsigned char *p =
        (const unsigned char *)w->data + (size_t)first * ir_dtype_bytes[w->type.dtype];
    switch (w->type.dtype) {
    case IR_f32: memcpy(out, p, (size_t)count * sizeof *out); return;
    case IR_f16:
        for (int64_t i = 0; i < count; i++) {
            uint16_t h;
            memcpy(&h, p + 2 * i, sizeof h);
            out[i] = ir_f16_value(h);
        }
        return;
    case IR_bf16:
        for (int64_t i = 0; i < count; i++) {
            uint16_t h;
            memcpy(&h, p + 2 * i, sizeof h);
            out[i] = from_bits((uint32_t)h << 16);
        }
        return;
    case IR_i32:
        for (int64_t i = 0; i < count; i++) {
            int32_t v;
            memcpy(&v, p + 4 * i, sizeof v);
            out[i] = (float)v;
        }
        return;
    case IR_u8:
    case IR_i8:
    case IR_DTYPE_COUNT: break;
    }
    ICE("weight %s has no element type", w->name);
}

ir_type ir_weight_stored_type(const ir_weight *w) {
    ir_type type = w->type;
    for (const ir_rows *r = w->rows; r; r = r->next) type.dim[0] -= r->values.type.dim[0];
    return type;
}

void ir_weight_append(ir_module *m, uint32_t weight, const ir_weight *rows) {
    ir_weight *w = &m->weights.items[weight];
    if (w->type.rank != 2 || rows->type.rank != 2 || w->type.dim[1] != rows->type.dim[1])
        ICE("weight %s: no rows of it", w->name);
    ir_rows *added = base_arena_alloc(m->arena, sizeof *added), **end = &w->rows;
    while (*end) end = &(*end)->next;
    *end = added;
    added->values = *rows;
    added->values.name = "rows"; /* what the random numbers of rows without a file depend on */
    w->type.dim[0] += rows->type.dim[0];
    for (size_t i = 0; i < m->funcs.count; i++) {
        ir_func *f = m->funcs.items[i];
        for (size_t k = 0; k < f->nodes.count; k++) {
            ir_node *n = &f->nodes.items[k];
            if (n->op == IR_OP_weight && IR_ATTRS(n, weight)->index == weight) n->type = w->type;
        }
    }
}

/* The part of [first, first + count) that `part`, whose elements begin at *begin, has; *begin moves
 * behind it. */
static void read_part(const ir_weight *part, int64_t *begin, float *out, int64_t first,
                      int64_t count) {
    int64_t n = ir_type_elements(&part->type), lo = first > *begin ? first - *begin : 0,
            hi = first + count - *begin < n ? first + count - *begin : n;
    if (lo < hi) ir_weight_read(part, out + (*begin + lo - first), lo, hi - lo);
    *begin += n;
}

static void read_parts(const ir_weight *w, float *out, int64_t first, int64_t count) {
    ir_weight stored = *w;
    int64_t begin = 0;
    stored.type = ir_weight_stored_type(w);
    stored.rows = NULL;
    read_part(&stored, &begin, out, first, count);
    for (const ir_rows *r = w->rows; r; r = r->next)
        read_part(&r->values, &begin, out, first, count);
}

void ir_weight_read_stored(const ir_weight *w, float *out, int64_t first, int64_t count) {
    if (first < 0 || count < 0 || first > ir_type_elements(&w->type) - count)
        ICE("weight %s: elements %lld + %lld are out of range", w->name, (long long)first,
            (long long)count);
    if (count == 0) return;
    if (!ir_weight_bound(w)) ICE("weight %s is not bound", w->name);
    if (w->kind == IR_WEIGHT_RANDOM)
        read_random(w, out, first, count);
    else
        read_stored(w, out, first, count);
}

void ir_weight_read(const ir_weight *w, float *out, int64_t first, int64_t count) {
    if (w->rows) {
        read_parts(w, out, first, count);
        return;
    }
    ir_weight_read_stored(w, out, first, count);
    if (count && w->loras) ir_lora_apply(w, out, first, count);
}

uint64_t ir_weight_bytes(const ir_weight *w) {
    const ir_type type = ir_weight_stored_type(w);
    if (w->stored == IR_STORED_PLAIN) return ir_type_bytes(&type);
    return ir_stored_bytes(w->stored, (uint64_t)ir_type_elements(&type));
}

static bool elements_there(const ir_weight *w) {
    return w->kind == IR_WEIGHT_RANDOM || (w->kind != IR_WEIGHT_UNBOUND && w->data);
}

bool ir_weight_bound(const ir_weight *w) {
    bool there = elements_there(w);
    for (const ir_lora *l = w->loras; l && there; l = l->next)
        IR_LORA_EACH(l, k) there &= elements_there(&l->factor[k]);
    for (const ir_rows *r = w->rows; r && there; r = r->next) there = elements_there(&r->values);
    return there;
}
