/* Elementwise groups as loops over vectors of 16 lanes, straight from the expression. One loop nest
 * (ew_plan.h): tasks, outer indices, vectors; plain tensors end in a masked vector, c16 tensors
 * keep the lanes past the last channel at zero. Functions like silu are calls of ebru_ew_NAME of
 * the kernels' bitcode, inlined to registers. */
#include "codegen/link/jobs.h"
#include "codegen/llvm/cg.h"
#include "codegen/target/elementwise_plan.h"

#include <string.h>

typedef struct emitter {
    cg *c;
    const cg_ew_plan *p;
    LLVMValueRef fn;
    LLVMValueRef base[IR_MAX_OPERANDS], out; /* at the current outer index */
    /* operands that do not move in the inner loop, loaded before it */
    LLVMValueRef fixed[IR_MAX_OPERANDS];
    LLVMValueRef buffer; /* 16 floats: argument and result of functions */
    LLVMValueRef keep;   /* c16 padding: lanes to keep, or NULL */
} emitter;

static LLVMValueRef splat(const emitter *e, LLVMValueRef x) {
    cg *c = e->c;
    LLVMTypeRef mask = LLVMVectorType(c->i32, 16);
    LLVMValueRef one =
        LLVMBuildInsertElement(c->builder, LLVMGetPoison(c->v16f), x, cg_i32(c, 0), "");
    return LLVMBuildShuffleVector(c->builder, one, LLVMGetPoison(c->v16f), LLVMConstNull(mask), "");
}

static LLVMValueRef splat_number(const emitter *e, double v) {
    LLVMValueRef lanes[16];
    for (int i = 0; i < 16; i++) lanes[i] = LLVMConstReal(e->c->f32, v);
    return LLVMConstVector(lanes, 16);
}

/* <16 x i1> with the first n lanes set. */
static LLVMValueRef first_lanes(const emitter *e, uint32_t n) {
    LLVMValueRef lanes[16];
    for (uint32_t i = 0; i < 16; i++) lanes[i] = LLVMConstInt(e->c->i1, i < n, 0);
    return LLVMConstVector(lanes, 16);
}

/* ---- memory ---- */

static LLVMValueRef masked(const emitter *e, const char *name, LLVMValueRef *args, uint32_t count,
                           LLVMTypeRef *types) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(e->c->module, id, types, 2);
    return LLVMBuildCall2(e->c->builder, LLVMGlobalGetValueType(fn), fn, args, count, "");
}

/* Sixteen lanes at p, the first `lanes` of them (16: all). */
static LLVMValueRef load(const emitter *e, const cg_ew_stream *s, LLVMValueRef p, uint32_t lanes) {
    cg *c = e->c;
    if (s->splat) return splat(e, LLVMBuildLoad2(c->builder, c->f32, p, ""));
    if (lanes == 16) {
        LLVMValueRef v = LLVMBuildLoad2(c->builder, c->v16f, p, "");
        LLVMSetAlignment(v, s->aligned ? 64 : 4);
        return v;
    }
    LLVMTypeRef types[] = {c->v16f, c->ptr};
    LLVMValueRef args[] = {p, cg_i32(c, 4), first_lanes(e, lanes), LLVMConstNull(c->v16f)};
    return masked(e, "llvm.masked.load", args, 4, types);
}

static void store(const emitter *e, LLVMValueRef v, LLVMValueRef p, uint32_t lanes) {
    cg *c = e->c;
    if (lanes == 16) {
        LLVMSetAlignment(LLVMBuildStore(c->builder, v, p), e->p->out.aligned ? 64 : 4);
        return;
    }
    LLVMTypeRef types[] = {c->v16f, c->ptr};
    LLVMValueRef args[] = {v, p, cg_i32(c, 4), first_lanes(e, lanes)};
    masked(e, "llvm.masked.store", args, 4, types);
}

/* ---- the expression ---- */

/* y = ebru_ew_NAME(x) through a buffer that SROA removes. */
static LLVMValueRef call_function(const emitter *e, const char *op, LLVMValueRef x) {
    cg *c = e->c;
    char name[64];
    snprintf(name, sizeof name, "ew_%s", op);
    LLVMValueRef fn = cg_bitcode_function(c, name);
    if (!fn) cg_job_broken("level %s has no elementwise function %s", c->target->base.level, op);
    LLVMSetAlignment(LLVMBuildStore(c->builder, x, e->buffer), 64);
    LLVMValueRef args[] = {e->buffer, e->buffer};
    LLVMBuildCall2(c->builder, LLVMGlobalGetValueType(fn), fn, args, 2, "");
    LLVMValueRef y = LLVMBuildLoad2(c->builder, c->v16f, e->buffer, "");
    LLVMSetAlignment(y, 64);
    return y;
}

/* a where `better` holds or a is NaN, else b: NaN operands come through, as in the evaluator. */
static LLVMValueRef pick(const emitter *e, LLVMRealPredicate better, LLVMValueRef a,
                         LLVMValueRef b) {
    LLVMBuilderRef g = e->c->builder;
    LLVMValueRef take = LLVMBuildFCmp(g, better, a, b, "");
    if (!LLVMIsConstant(a))
        take = LLVMBuildOr(g, take, LLVMBuildFCmp(g, LLVMRealUNO, a, a, ""), "");
    return LLVMBuildSelect(g, take, a, b, "");
}

static LLVMValueRef unary(const emitter *e, ir_op op, LLVMValueRef x) {
    if (op == IR_OP_neg) return LLVMBuildFNeg(e->c->builder, x, "");
    return call_function(e, ir_op_get(op)->name, x);
}

static LLVMValueRef binary(const emitter *e, ir_op op, LLVMValueRef a, LLVMValueRef b) {
    LLVMBuilderRef g = e->c->builder;
    switch ((int)op) {
    case IR_OP_add: return LLVMBuildFAdd(g, a, b, "");
    case IR_OP_sub: return LLVMBuildFSub(g, a, b, "");
    case IR_OP_mul: return LLVMBuildFMul(g, a, b, "");
    case IR_OP_div: return LLVMBuildFDiv(g, a, b, "");
    case IR_OP_max: return pick(e, LLVMRealOGT, a, b);
    case IR_OP_min: return pick(e, LLVMRealOLT, a, b);
    default: cg_job_broken("%s is not a binary elementwise op", ir_op_get(op)->name);
    }
}

/* The expression on one vector; operand[k] holds operand k's lanes. */
static LLVMValueRef evaluate(const emitter *e, const LLVMValueRef *operand) {
    LLVMValueRef stack[IR_EXPR_MAX] = {0};
    uint32_t depth = 0;
    for (uint32_t i = 0; i < e->p->step_count; i++) {
        const ir_expr_step *s = &e->p->steps[i];
        if (s->kind == IR_EXPR_OPERAND) {
            stack[depth++] = operand[s->operand];
        } else if (s->kind == IR_EXPR_NUMBER) {
            stack[depth++] = splat_number(e, s->number);
        } else if (ir_op_get(s->op)->max_operands == 1) {
            stack[depth - 1] = unary(e, s->op, stack[depth - 1]);
        } else {
            depth--;
            stack[depth - 1] = binary(e, s->op, stack[depth - 1], stack[depth]);
        }
    }
    return stack[0];
}

/* ---- the nest ---- */

/* One vector at index v of the inner loop (NULL: 0). */
static void vector(const emitter *e, LLVMValueRef v, uint32_t lanes) {
    cg *c = e->c;
    LLVMValueRef operand[IR_MAX_OPERANDS];
    for (uint32_t k = 0; k < e->p->operands; k++) {
        const cg_ew_stream *s = &e->p->in[k];
        operand[k] = e->fixed[k];
        if (operand[k]) continue;
        LLVMValueRef at =
            cg_float_at(c, e->base[k], LLVMBuildNSWMul(c->builder, v, cg_i64(c, s->vector), ""));
        operand[k] = load(e, s, at, lanes);
    }
    LLVMValueRef y = evaluate(e, operand);
    if (e->keep) y = LLVMBuildSelect(c->builder, e->keep, y, LLVMConstNull(c->v16f), "");
    store(e, y,
          cg_float_at(c, e->out, LLVMBuildNSWMul(c->builder, v, cg_i64(c, e->p->out.vector), "")),
          lanes);
}

/* The smaller of v and a constant. */
static LLVMValueRef at_most(const cg *c, LLVMValueRef v, int64_t limit) {
    LLVMValueRef l = cg_i64(c, limit);
    return LLVMBuildSelect(c->builder, LLVMBuildICmp(c->builder, LLVMIntSLT, v, l, ""), v, l, "");
}

/* Vectors [first, last) of one outer index, then the tail if it is in the range. */
static void inner(const emitter *e, LLVMValueRef first, LLVMValueRef last) {
    cg *c = e->c;
    LLVMValueRef full = at_most(c, last, e->p->vectors);
    cg_loop l = cg_loop_begin(c, first, full, "vector");
    vector(e, l.index, 16);
    cg_loop_end(c, &l);
    if (!e->p->tail) return;
    LLVMBasicBlockRef tail = cg_block(c, "tail"), after = cg_block(c, "");
    LLVMValueRef whole = LLVMBuildICmp(c->builder, LLVMIntSGT, last, cg_i64(c, e->p->vectors), "");
    LLVMBuildCondBr(c->builder, whole, tail, after);
    LLVMPositionBuilderAtEnd(c->builder, tail);
    vector(e, cg_i64(c, e->p->vectors), e->p->tail);
    LLVMBuildBr(c->builder, after);
    LLVMPositionBuilderAtEnd(c->builder, after);
}

/* Pointers of outer index o, and the lanes that count. */
static void enter(emitter *e, LLVMValueRef o) {
    cg *c = e->c;
    const cg_ew_plan *p = e->p;
    LLVMValueRef index[CG_EW_AXES], rest = o;
    for (uint32_t i = p->axes; i-- > 0;) {
        index[i] = i == 0 ? rest : LLVMBuildURem(c->builder, rest, cg_i64(c, p->extent[i]), "");
        if (i > 0) rest = LLVMBuildUDiv(c->builder, rest, cg_i64(c, p->extent[i]), "");
    }
    for (uint32_t s = 0; s <= p->operands; s++) {
        const cg_ew_stream *st = s < p->operands ? &p->in[s] : &p->out;
        LLVMValueRef offset = cg_i64(c, 0);
        for (uint32_t i = 0; i < p->axes; i++)
            if (st->outer[i])
                offset = LLVMBuildAdd(
                    c->builder, offset,
                    LLVMBuildMul(c->builder, index[i], cg_i64(c, st->outer[i]), ""), "");
        LLVMValueRef base = cg_float_at(c, LLVMGetParam(e->fn, s), offset);
        if (s == p->operands)
            e->out = base;
        else
            e->base[s] = base;
        if (s < p->operands && st->vector == 0 && (st->splat || !p->tail))
            e->fixed[s] = load(e, st, base, 16);
    }
    if (p->lanes == IR_BLOCK) return;
    e->keep = first_lanes(e, p->lanes);
    if (p->block_axis < 0) return;
    LLVMValueRef last = LLVMBuildICmp(c->builder, LLVMIntEQ, index[p->block_axis],
                                      cg_i64(c, p->extent[p->block_axis] - 1), "");
    e->keep = LLVMBuildSelect(c->builder, last, e->keep, first_lanes(e, 16), "");
}

bool cg_ew_body(cg *c, LLVMValueRef fn, const cg_ew_plan *p) {
    emitter e = {.c = c, .p = p, .fn = fn};
    LLVMBuilderRef g = c->builder;
    LLVMPositionBuilderAtEnd(g, LLVMAppendBasicBlockInContext(c->context, fn, ""));
    e.buffer = LLVMBuildAlloca(g, c->v16f, "");
    LLVMSetAlignment(e.buffer, 64);
    uint32_t argument = p->operands + 2; /* after the operands, the result and the scratch */
    const cg_tasks taken = cg_tasks_begin(c, fn, argument, cg_i32(c, p->tasks), cg_i32(c, 1));
    LLVMValueRef begin = LLVMBuildSExt(g, taken.begin, c->i64, "");
    LLVMValueRef end = LLVMBuildSExt(g, taken.end, c->i64, "");
    cg_loop task = cg_loop_begin(c, begin, end, "task");
    LLVMValueRef group = LLVMBuildUDiv(g, task.index, cg_i64(c, p->chunks), "");
    LLVMValueRef chunk = LLVMBuildURem(g, task.index, cg_i64(c, p->chunks), "");
    LLVMValueRef first = LLVMBuildMul(g, group, cg_i64(c, p->group), "");
    LLVMValueRef last = at_most(c, LLVMBuildAdd(g, first, cg_i64(c, p->group), ""), p->outer);
    LLVMValueRef v0 = LLVMBuildMul(g, chunk, cg_i64(c, p->chunk), "");
    LLVMValueRef v1 =
        at_most(c, LLVMBuildAdd(g, v0, cg_i64(c, p->chunk), ""), p->vectors + (p->tail > 0));
    cg_loop outer = cg_loop_begin(c, first, last, "outer");
    enter(&e, outer.index);
    inner(&e, v0, v1);
    cg_loop_end(c, &outer);
    cg_loop_end(c, &task);
    cg_tasks_end(c, &taken);
    return !c->failed;
}
