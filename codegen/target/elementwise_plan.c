/* Loop nests of elementwise nodes; see ew_plan.h. Axes along which all operands move evenly become
 * one, so that the usual case (same shapes) is a single loop over vectors. */
#include "codegen/target/elementwise_plan.h"
#include "codegen/target/bind.h"

#include <string.h>

/* Vectors a task should have: enough to pay for itself, few enough to share out. */
enum { TASK_VECTORS = 256, FEW = 16 };

/* ---- strides ---- */

static bool refuse(base_str *reason, uint32_t operand, const char *why) {
    if (reason) base_str_addf(reason, "operand '%c' %s", 'a' + (int)operand, why);
    return false;
}

/* Extents of t right-aligned to `rank` axes. */
static void align_right(const ir_type *t, uint32_t rank, int64_t *dim) {
    for (uint32_t i = 0; i < rank; i++)
        dim[i] = i + t->rank < rank ? 1 : t->dim[i + t->rank - rank];
}

static void steps_over(uint32_t n, const int64_t *dim, int64_t *stride) {
    int64_t s = 1;
    for (uint32_t i = n; i-- > 0; s *= dim[i]) stride[i] = dim[i] == 1 ? 0 : s;
}

/* Result and operand plain: strides of the result's axes in elements. */
static bool plain_strides(const ir_type *t, const ir_type *y, uint32_t k, int64_t *stride,
                          base_str *reason) {
    int64_t dim[IR_MAX_RANK] = {0};
    if (t->layout != IR_PLAIN && ir_type_elements(t) != 1 &&
        !(t->rank == 2 && cg_is_c16(t) && t->dim[1] % IR_BLOCK == 0))
        return refuse(reason, k, "is c16, the result plain");
    align_right(t, y->rank, dim);
    steps_over(y->rank, dim, stride);
    return true;
}

/* Result c16: strides of [B][blocks][spatial...] in elements; the operand is c16 too, or has one
 * channel, or is a plain vector whose bytes are c16. */
static bool c16_strides(const ir_type *t, const ir_type *y, uint32_t k, int64_t *stride,
                        bool *splat, base_str *reason) {
    uint32_t axis = (uint32_t)ir_channel_axis(y), n = 0;
    int64_t dim[IR_MAX_RANK] = {0}, physical[IR_MAX_RANK + 1], s = 1;
    align_right(t, y->rank, dim);
    int64_t channels = dim[axis];
    bool flat = true; /* nothing but batch and channels */
    for (uint32_t i = 1; i < y->rank; i++)
        if (i != axis && dim[i] != 1) flat = false;
    bool blocked = t->layout == IR_C16 || (channels % IR_BLOCK == 0 && flat);
    if (t->layout == IR_C16 && t->rank != y->rank && !(flat && channels == 1))
        return refuse(reason, k, "is c16 of another rank than the result");
    if (!blocked && channels != 1) return refuse(reason, k, "is plain, the result c16");
    *splat = channels == 1 && y->dim[axis] != 1;
    physical[n++] = dim[0];
    physical[n++] = (channels + IR_BLOCK - 1) / IR_BLOCK;
    for (uint32_t i = 1; i < y->rank; i++)
        if (i != axis) physical[n++] = dim[i];
    s = blocked ? IR_BLOCK : 1;
    for (uint32_t i = n; i-- > 0; s *= physical[i]) stride[i] = physical[i] == 1 ? 0 : s;
    /* A plain operand with one channel of a one-channel result: its single lane serves all. */
    if (!blocked) *splat = true;
    return true;
}

/* ---- the nest ---- */

typedef struct nest {
    uint32_t axes, streams; /* streams: operands, then the result */
    int64_t extent[CG_EW_AXES];
    int64_t stride[IR_MAX_OPERANDS + 1][CG_EW_AXES];
} nest;

/* Neighbouring axes become one where every stream runs on; the axis `keep` stays by itself. Axes of
 * extent 1 go. Returns the new number of `keep` (-1 when gone or none). */
static int merge(nest *t, int keep) {
    uint32_t m = 0;
    int kept = -1;
    for (uint32_t i = 0; i < t->axes; i++) {
        int64_t extent = t->extent[i];
        if (extent == 1) continue;
        bool joins = m > 0 && (int)i != keep && (int)m - 1 != kept;
        for (uint32_t s = 0; s < t->streams && joins; s++)
            joins = t->stride[s][m - 1] == t->stride[s][i] * extent;
        if (!joins) {
            if ((int)i == keep) kept = (int)m;
            t->extent[m++] = 1;
        }
        t->extent[m - 1] *= extent;
        for (uint32_t s = 0; s < t->streams; s++) t->stride[s][m - 1] = t->stride[s][i];
    }
    t->axes = m;
    return kept;
}

static void cut_tasks(cg_ew_plan *p) {
    int64_t inner = p->vectors + (p->tail > 0);
    p->chunk = inner;
    p->chunks = p->group = 1;
    if (inner > TASK_VECTORS) {
        p->chunks = (inner + TASK_VECTORS - 1) / TASK_VECTORS;
        if (p->chunks < FEW) p->chunks += p->chunks % 2; /* equal shares for two threads */
        p->chunk = (inner + p->chunks - 1) / p->chunks;
        p->chunks = (inner + p->chunk - 1) / p->chunk;
    } else {
        p->group = TASK_VECTORS / inner;
        if (p->group > p->outer) p->group = p->outer;
    }
    p->tasks = (p->outer + p->group - 1) / p->group * p->chunks;
}

static cg_ew_stream *stream(cg_ew_plan *p, uint32_t s) {
    return s < p->operands ? &p->in[s] : &p->out;
}

/* The innermost axis becomes the loop over vectors; the rest are the outer axes. */
static void split_inner(cg_ew_plan *p, nest *t, bool plain) {
    int64_t inner = 1;
    bool has_inner = t->axes > 0 && (plain || p->block_axis != (int)t->axes - 1);
    if (has_inner) inner = t->extent[--t->axes];
    p->axes = t->axes;
    p->outer = 1;
    for (uint32_t i = 0; i < t->axes; i++) p->outer *= p->extent[i] = t->extent[i];
    p->vectors = plain ? inner / IR_BLOCK : inner;
    p->tail = plain ? (uint32_t)(inner % IR_BLOCK) : 0;
    for (uint32_t s = 0; s <= p->operands; s++) {
        cg_ew_stream *e = stream(p, s);
        int64_t step = has_inner ? t->stride[s][t->axes] : 0;
        memcpy(e->outer, t->stride[s], t->axes * sizeof *e->outer);
        if (plain) {
            e->splat = step == 0 && inner > 1;
            e->vector = step * IR_BLOCK;
        } else {
            e->vector = step;
            e->aligned = !e->splat;
        }
    }
}

bool cg_ew_make_plan(const ir_func *f, const ir_node *node, cg_ew_plan *p, base_str *reason) {
    memset(p, 0, sizeof *p);
    const ir_type *y = &node->type;
    bool plain = y->layout == IR_PLAIN;
    p->step_count = ir_expr_of_node(node, p->steps, reason);
    if (!p->step_count) return false;
    p->operands = node->operand_count;
    p->lanes = IR_BLOCK;
    p->block_axis = -1;
    nest t = {0};
    t.streams = p->operands + 1;
    for (uint32_t s = 0; s <= p->operands; s++) {
        if (s < p->operands && !ir_ref_ok(node->operand[s])) return refuse(reason, s, "is missing");
        const ir_type *o = s < p->operands ? ir_typeof(f, node->operand[s]) : y;
        if (o->dtype != IR_f32) return refuse(reason, s, "is not f32");
        if (plain ? !plain_strides(o, y, s, t.stride[s], reason)
                  : !c16_strides(o, y, s, t.stride[s], &stream(p, s)->splat, reason))
            return false;
    }
    int keep = -1;
    if (plain) {
        t.axes = y->rank;
        memcpy(t.extent, y->dim, y->rank * sizeof *t.extent);
    } else {
        int64_t dim[CG_EW_AXES];
        t.axes = cg_physical(y, dim) - 1; /* the lanes are the vector */
        memcpy(t.extent, dim, t.axes * sizeof *dim);
        int64_t channels = y->dim[ir_channel_axis(y)];
        if (channels % IR_BLOCK) {
            p->lanes = (uint32_t)(channels % IR_BLOCK);
            if (channels > IR_BLOCK) keep = 1;
        }
    }
    p->block_axis = merge(&t, keep);
    split_inner(p, &t, plain);
    cut_tasks(p);
    return true;
}

bool cg_bind_ew(cg_bind *b) {
    cg_ew_plan plan;
    if (!cg_ew_make_plan(b->f, b->node, &plan, b->reason)) return false;
    b->out->kernel = "ew";
    b->out->tasks = plan.tasks;
    return true;
}
