/* The model's functions: NAME(const struct ebru_call *, i32 thread, i32 threads), run by every
 * thread. A node's wrapper takes this thread's part of its tasks. */
#include "base/cpu/cpu.h"
#include "codegen/llvm/cg.h"
#include "runtime/abi/abi.h"

typedef struct emitter {
    cg *c;
    const cg_func_plan *plan;
    LLVMValueRef call, thread, threads; /* arguments */
    LLVMValueRef arena, inputs, outputs, weights, scratch;
    LLVMTypeRef barrier_type, mark_type, check_type;
    LLVMValueRef barrier, mark, poison, check; /* functions; poison and check NULL when off */
    int32_t done; /* index of the last node before this point, -1 at first */
} emitter;

static LLVMValueRef address(const emitter *e, ir_ref value) {
    const ir_place *p = &ir_get(e->plan->f, value)->place;
    switch (p->kind) {
    case IR_AT_INPUT: return cg_load_ptr(e->c, e->inputs, 8 * p->offset);
    case IR_AT_OUTPUT: return cg_load_ptr(e->c, e->outputs, 8 * p->offset);
    case IR_AT_WEIGHT: return cg_bytes_at(e->c, e->weights, p->offset);
    case IR_AT_ARENA:
    case IR_UNPLACED: break;
    }
    return cg_bytes_at(e->c, e->arena, p->offset);
}

static void barrier(const emitter *e) {
    LLVMValueRef args[] = {e->call, e->thread, e->threads, cg_i32(e->c, e->done < 0 ? 0 : e->done)};
    LLVMBuildCall2(e->c->builder, e->barrier_type, e->barrier, args, 4, "");
}

static void mark(const emitter *e) {
    LLVMValueRef args[] = {e->call, e->thread, cg_i32(e->c, e->done)};
    LLVMBuildCall2(e->c->builder, e->mark_type, e->mark, args, 3, "");
}

/* Op number `index`. */
static void run_node(const emitter *e, uint32_t index, const cg_wrapper *w, LLVMValueRef fn) {
    cg *c = e->c;
    const cg_op *op = &e->plan->ops.items[index];
    const ir_node *n = ir_get(e->plan->f, op->node);
    LLVMValueRef args[CG_MAX_BUFS + 4];
    uint32_t count = 0;
    cg_operands slots = cg_operand_slots(e->plan->f, n);
    for (uint32_t i = 0; i < slots.count; i++)
        if (w->present >> i & 1)
            args[count++] =
                address(e, slots.slot[i] == CG_SLOT_RESULT ? op->node : n->operand[slots.slot[i]]);
    args[count++] = e->scratch;
    args[count++] = e->call;
    args[count++] = e->thread;
    args[count++] = cg_i32(c, index);
    LLVMBuildCall2(c->builder, LLVMGlobalGetValueType(fn), fn, args, count, "");
}

/* ---- poison: buffers hold signalling NaN before they are written and after their last use ---- */

/* ebru.LEVEL.poison(ptr, i64 words), once a module. */
static LLVMValueRef poison_function(cg *c) {
    char name[32];
    snprintf(name, sizeof name, "ebru.%s.poison", base_isa_suffix(c->target->isa));
    LLVMValueRef fn = LLVMGetNamedFunction(c->module, name);
    if (fn) return fn;
    LLVMTypeRef types[] = {c->ptr, c->i64};
    fn = cg_function(c, name, LLVMFunctionType(c->void_, types, 2, 0), true);
    cg_set_flag(c, fn, "noinline");
    LLVMBasicBlockRef resume = LLVMGetInsertBlock(c->builder);
    LLVMPositionBuilderAtEnd(c->builder, LLVMAppendBasicBlockInContext(c->context, fn, ""));
    cg_loop l = cg_loop_begin(c, cg_i64(c, 0), LLVMGetParam(fn, 1), "word");
    LLVMBuildStore(c->builder, cg_i32(c, 0x7FA00000), cg_float_at(c, LLVMGetParam(fn, 0), l.index));
    cg_loop_end(c, &l);
    LLVMBuildRetVoid(c->builder);
    LLVMPositionBuilderAtEnd(c->builder, resume);
    return fn;
}

/* Everybody waits; what is built up to thread_0_end is run by thread 0 alone. */
static LLVMBasicBlockRef thread_0_begin(const emitter *e) {
    cg *c = e->c;
    barrier(e);
    LLVMBasicBlockRef work = cg_block(c, ""), after = cg_block(c, "");
    LLVMBuildCondBr(c->builder, LLVMBuildICmp(c->builder, LLVMIntEQ, e->thread, cg_i32(c, 0), ""),
                    work, after);
    LLVMPositionBuilderAtEnd(c->builder, work);
    return after;
}

static void thread_0_end(const emitter *e, LLVMBasicBlockRef after) {
    LLVMBuildBr(e->c->builder, after);
    LLVMPositionBuilderAtEnd(e->c->builder, after);
    barrier(e);
}

/* Thread 0 fills the value's bytes; everybody waits before and after. */
static void fill(const emitter *e, ir_ref value) {
    cg *c = e->c;
    LLVMBasicBlockRef after = thread_0_begin(e);
    uint64_t bytes = ir_type_bytes(ir_typeof(e->plan->f, value));
    LLVMValueRef args[] = {address(e, value), cg_i64(c, (int64_t)(bytes / 4))};
    LLVMBuildCall2(c->builder, LLVMGlobalGetValueType(e->poison), e->poison, args, 2, "");
    thread_0_end(e, after);
}

/* The result shares bytes with an operand (computed in place). */
static bool in_place(const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    cg_range out = cg_range_of(f, r);
    for (uint32_t k = 0; k < n->operand_count; k++) {
        if (!ir_ref_ok(n->operand[k])) continue;
        cg_range in = cg_range_of(f, n->operand[k]);
        if (cg_ranges_overlap(&in, &out)) return true;
    }
    return false;
}

/* Fills what op i was the last to read (last: ir_last_uses), unless something that lives on has
 * taken the bytes over. */
static void fill_dead(const emitter *e, const uint32_t *last, uint32_t i) {
    const ir_func *f = e->plan->f;
    ir_ref here = e->plan->ops.items[i].node;
    const ir_node *n = ir_get(f, here);
    for (uint32_t k = 0; k < n->operand_count; k++) {
        if (!ir_ref_ok(n->operand[k])) continue;
        ir_ref root = ir_view_root(f, n->operand[k]);
        if (last[root.id] != here.id || ir_get(f, root)->place.kind != IR_AT_ARENA) continue;
        cg_range dead = cg_range_of(f, root);
        bool taken = false;
        for (uint32_t j = 0; j <= i && !taken; j++) {
            ir_ref other = e->plan->ops.items[j].node;
            cg_range range = cg_range_of(f, other);
            taken =
                other.id != root.id && last[other.id] > here.id && cg_ranges_overlap(&range, &dead);
        }
        if (!taken) fill(e, root);
    }
}

/* ---- the sentinel: no op may leave a NaN or an infinity ---- */

static void check(const emitter *e, ir_ref value) {
    cg *c = e->c;
    const ir_type *t = ir_typeof(e->plan->f, value);
    if (t->dtype == IR_i32 || ir_is_quantized(t->dtype)) return; /* not floats */
    LLVMBasicBlockRef after = thread_0_begin(e);
    LLVMValueRef args[] = {e->call, cg_i32(c, e->done), address(e, value),
                           cg_i64(c, (int64_t)ir_type_bytes(t))};
    LLVMBuildCall2(c->builder, e->check_type, e->check, args, 4, "");
    thread_0_end(e, after);
}

/* ---- functions ---- */

/* Ops [from, to). */
static void body(emitter *e, const cg_plan *plan, const LLVMValueRef *wrappers, uint32_t from,
                 uint32_t to) {
    uint32_t *last = e->poison ? ir_last_uses(e->plan->f) : NULL;
    for (uint32_t i = from; i < to; i++) {
        const cg_op *op = &e->plan->ops.items[i];
        if (op->barrier)
            barrier(e);
        else if (i)
            mark(e);
        if (e->poison && !in_place(e->plan->f, op->node)) fill(e, op->node);
        run_node(e, i, &plan->wrappers.items[op->wrapper], wrappers[op->wrapper]);
        e->done = (int32_t)i;
        if (e->check) check(e, op->node);
        if (e->poison) fill_dead(e, last, i);
    }
    base_free(last);
    if (to == e->plan->ops.count) barrier(e);
}

/* A service of the runtime (abi.h), declared once a module. */
static LLVMValueRef service(cg *c, const char *name, LLVMTypeRef type) {
    LLVMValueRef fn = LLVMGetNamedFunction(c->module, name);
    return fn ? fn : LLVMAddFunction(c->module, name, type);
}

/* One emitted function: a part of the model's, or all of it. */
static LLVMValueRef part(cg *c, const cg_plan *plan, const cg_func_plan *fp, uint32_t index,
                         const LLVMValueRef *wrappers, const cg_options *options) {
    const uint32_t count = (uint32_t)fp->ops.count, from = index * CG_PART_OPS;
    const bool whole = cg_part_count(fp) == 1;
    LLVMTypeRef types[] = {c->ptr, c->i32, c->i32},
                barrier_types[] = {c->ptr, c->i32, c->i32, c->i32};
    char symbol[CG_SYMBOL_SIZE];
    cg_part_symbol(fp, index, symbol);
    LLVMValueRef fn = cg_function(c, symbol, LLVMFunctionType(c->void_, types, 3, 0), !whole);
    if (!whole) cg_set_flag(c, fn, "noinline");
    LLVMPositionBuilderAtEnd(c->builder, LLVMAppendBasicBlockInContext(c->context, fn, ""));
    emitter e = {.c = c, .plan = fp, .done = (int32_t)from - 1};
    e.call = LLVMGetParam(fn, 0);
    e.thread = LLVMGetParam(fn, 1);
    e.threads = LLVMGetParam(fn, 2);
    e.barrier_type = LLVMFunctionType(c->void_, barrier_types, 4, 0);
    e.barrier = service(c, "ebru_barrier", e.barrier_type);
    e.mark_type = LLVMFunctionType(c->void_, barrier_types, 3, 0);
    e.mark = service(c, "ebru_mark", e.mark_type);
    if (options->check_finite) {
        LLVMTypeRef check_types[] = {c->ptr, c->i32, c->ptr, c->i64};
        e.check_type = LLVMFunctionType(c->void_, check_types, 4, 0);
        e.check = service(c, "ebru_check_finite", e.check_type);
    }
    e.inputs = cg_load_ptr(c, e.call, offsetof(struct ebru_call, inputs));
    e.outputs = cg_load_ptr(c, e.call, offsetof(struct ebru_call, outputs));
    e.arena = cg_load_ptr(c, e.call, offsetof(struct ebru_call, arena));
    e.weights = cg_load_ptr(c, e.call, offsetof(struct ebru_call, weights));
    LLVMValueRef thread64 = LLVMBuildSExt(c->builder, e.thread, c->i64, "");
    LLVMValueRef stride = LLVMBuildLoad2(
        c->builder, c->i64, cg_bytes_at(c, e.call, offsetof(struct ebru_call, scratch_stride)), "");
    LLVMValueRef offset = LLVMBuildMul(c->builder, stride, thread64, "");
    e.scratch = LLVMBuildInBoundsGEP2(c->builder, LLVMInt8TypeInContext(c->context),
                                      cg_load_ptr(c, e.call, offsetof(struct ebru_call, scratch)),
                                      &offset, 1, "");
    if (options->poison) e.poison = poison_function(c);
    body(&e, plan, wrappers, from,
         whole || count - from < CG_PART_OPS ? count : from + CG_PART_OPS);
    LLVMBuildRetVoid(c->builder);
    return fn;
}

static void function(cg *c, const cg_plan *plan, const cg_func_plan *fp,
                     const LLVMValueRef *wrappers, const cg_options *options) {
    const uint32_t parts = cg_part_count(fp);
    LLVMValueRef *called = base_alloc(parts * sizeof *called);
    for (uint32_t i = 0; i < parts; i++) called[i] = part(c, plan, fp, i, wrappers, options);
    if (parts > 1) {
        LLVMTypeRef types[] = {c->ptr, c->i32, c->i32},
                    type = LLVMFunctionType(c->void_, types, 3, 0);
        LLVMValueRef fn = cg_function(c, fp->symbol, type, false);
        LLVMPositionBuilderAtEnd(c->builder, LLVMAppendBasicBlockInContext(c->context, fn, ""));
        LLVMValueRef args[] = {LLVMGetParam(fn, 0), LLVMGetParam(fn, 1), LLVMGetParam(fn, 2)};
        for (uint32_t i = 0; i < parts; i++)
            LLVMBuildCall2(c->builder, type, called[i], args, 3, "");
        LLVMBuildRetVoid(c->builder);
    }
    base_free(called);
}

bool cg_emit_functions(cg *c, const cg_plan *plan, const LLVMValueRef *wrappers,
                       const cg_options *options) {
    for (size_t i = 0; i < plan->funcs.count && !c->failed; i++)
        function(c, plan, &plan->funcs.items[i], wrappers, options);
    return !c->failed;
}
