#include "codegen/link/pack_weights.h"
#include "base/digest.h"
#include "base/system/io.h"
#include "codegen/target/bind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A value in the blob. Functions may share it: the first in function order stands for all. */
typedef struct entry {
    uint64_t offset, bytes;
    uint32_t func, node;
} entry;
typedef struct entries {
    BASE_VEC(entry) list;
} entries;

static int by_offset(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    if (x->func != y->func) return x->func < y->func ? -1 : 1;
    return x->node < y->node ? -1 : x->node > y->node;
}

static entries collect(const ir_module *m) {
    entries e = {{0}};
    for (uint32_t i = 0; i < m->funcs.count; i++) {
        const ir_func *f = m->funcs.items[i];
        for (uint32_t k = 0; k < f->nodes.count; k++) {
            const ir_node *n = &f->nodes.items[k];
            if (n->place.kind == IR_AT_WEIGHT)
                BASE_PUSH(&e.list, ((entry){n->place.offset, ir_type_bytes(&n->type), i, k}));
        }
    }
    if (e.list.count) qsort(e.list.items, e.list.count, sizeof *e.list.items, by_offset);
    size_t n = 0;
    for (size_t i = 0; i < e.list.count; i++)
        if (n == 0 || e.list.items[i].offset != e.list.items[n - 1].offset)
            e.list.items[n++] = e.list.items[i];
    e.list.count = n;
    return e;
}

bool cg_same_weights(const ir_module *a, const ir_module *b) {
    entries x = collect(a), y = collect(b);
    bool same = x.list.count == y.list.count;
    for (size_t i = 0; i < x.list.count && same; i++)
        same = x.list.items[i].offset == y.list.items[i].offset &&
               x.list.items[i].bytes == y.list.items[i].bytes;
    base_free(x.list.items);
    base_free(y.list.items);
    return same;
}

/* ---- bytes of a value ---- */

/* Row-major [B,C,...] or [B,T,C] to blocks of 16 channels, pad lanes zero. */
static void to_c16(const ir_type *t, const float *from, float *to) {
    cg_bcp s = cg_bcp_of(t);
    bool tokens = t->rank == 3;
    int64_t sc = tokens ? 1 : s.p, sp = tokens ? s.c : 1, plane = (int64_t)s.p * IR_BLOCK;
    for (int64_t b = 0; b < s.b; b++)
        for (int64_t cb = 0; cb < ebru_blocks16(s.c); cb++)
            for (int64_t p = 0; p < s.p; p++)
                for (int64_t lane = 0; lane < IR_BLOCK; lane++) {
                    int64_t c = cb * IR_BLOCK + lane,
                            at = (b * ebru_blocks16(s.c) + cb) * plane + p * IR_BLOCK + lane;
                    to[at] = c < s.c ? from[b * s.c * s.p + c * sc + p * sp] : 0.0f;
                }
}

/* The value as it lies in memory; base_free'd by the caller. Takes the tensor's data. */
static void *lay_out(ir_tensor *v, uint64_t bytes) {
    float *data = v->data;
    if (v->type.dtype == IR_i32) {
        int32_t *ints = base_alloc(bytes);
        for (int64_t i = 0; i < ir_type_elements(&v->type); i++) ints[i] = (int32_t)data[i];
        ir_tensor_free(v);
        return ints;
    }
    if (v->type.dtype == IR_bf16) { /* in place: the value is gone that was read */
        uint16_t *narrow = (uint16_t *)(void *)data;
        for (int64_t i = 0; i < ir_type_elements(&v->type); i++) {
            uint16_t bits = ir_bf16_bits(data[i]);
            memcpy(&narrow[i], &bits, sizeof bits);
        }
        return data;
    }
    if (v->type.dtype == IR_i8) { /* the same */
        int8_t *narrow = (int8_t *)(void *)data;
        for (int64_t i = 0; i < ir_type_elements(&v->type); i++) {
            int8_t q = (int8_t)data[i];
            memcpy(&narrow[i], &q, sizeof q);
        }
        return data;
    }
    if (v->type.layout == IR_PLAIN) return data; /* ownership passes on */
    float *blocked = base_alloc(bytes);
    to_c16(&v->type, data, blocked);
    ir_tensor_free(v);
    return blocked;
}

/* ---- the blob ---- */

typedef struct sink {
    int fd;
    uint64_t base, at; /* at: bytes written so far */
    base_digest digest;
} sink;

static bool put(sink *s, const void *bytes, uint64_t count) {
    base_digest_add(&s->digest, bytes, count);
    if (!base_pwrite_all(s->fd, bytes, count, s->base + s->at)) return false;
    s->at += count;
    return true;
}

static bool put_zeros(sink *s, uint64_t until) {
    static const char zeros[4096];
    bool fine = true;
    while (fine && s->at < until)
        fine = put(s, zeros, until - s->at < sizeof zeros ? until - s->at : sizeof zeros);
    return fine;
}

static bool put_entry(base_diag *d, sink *s, const ir_module *m, const entry *e) {
    const ir_func *f = m->funcs.items[e->func];
    const ir_node *n = &f->nodes.items[e->node];
    const ir_type *t = &n->type;
    bool packed =
        (t->dtype == IR_bf16 || t->dtype == IR_i8) && (ir_op_get(n->op)->flags & IR_FLAG_PACK);
    if (t->dtype != IR_f32 && t->dtype != IR_i32 && !packed) {
        base_error(d, NULL,
                   "function '%s' reads a weight of %s at run time, where f32, i32 and packed "
                   "weights can be read",
                   base_escape(f->name, strlen(f->name)), ir_dtype_name[t->dtype]);
        return false;
    }
    if (e->offset < s->at) /* the verifier has seen to that */
        ICE("weights overlap at byte %llu of '%s'", (unsigned long long)e->offset, f->name);
    ir_tensor v = ir_eval_constant(f, (ir_ref){e->node});
    v.type = *t;
    void *bytes = lay_out(&v, e->bytes);
    bool fine = put_zeros(s, e->offset) && put(s, bytes, e->bytes);
    if (!fine) base_error(d, NULL, "cannot write the weights: %s", strerror(errno));
    base_free(bytes);
    return fine;
}

bool cg_write_weights(base_diag *d, const ir_module *m, int fd, uint64_t base,
                      const cg_options *options, uint64_t *bytes, unsigned char id[16]) {
    entries e = collect(m);
    sink s = {.fd = fd, .base = base};
    bool fine = true;
    base_digest_begin(&s.digest);
    for (size_t i = 0; i < e.list.count && fine; i++) {
        fine = put_entry(d, &s, m, &e.list.items[i]);
        if (options->progress)
            options->progress(options->user, "weights", (uint32_t)i + 1, (uint32_t)e.list.count);
    }
    if (fine && !put_zeros(&s, (s.at + IR_ARENA_ALIGN - 1) / IR_ARENA_ALIGN * IR_ARENA_ALIGN)) {
        base_error(d, NULL, "cannot write the weights: %s", strerror(errno));
        fine = false;
    }
    *bytes = s.at;
    base_digest_end(&s.digest, id);
    base_free(e.list.items);
    return fine;
}
