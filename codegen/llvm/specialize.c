/* Wrappers: one function a distinct kernel and parameters. It takes tasks of the op until there are
 * none (ebru_take). The parameters are constants but for the cut's, the kernel is inlined into it,
 * so LLVM folds what the graph knows; every layer of the same shape class calls the same wrapper.
 * At -O0 it is called instead: the same bits, later, but compiled in no time. */
#include "codegen/link/jobs.h"
#include "codegen/llvm/cg.h"
#include "codegen/target/tiles.h"
#include "runtime/abi/abi.h"

static LLVMValueRef constant_of(const cg *c, LLVMValueRef value, const char *name) {
    LLVMValueRef global = LLVMAddGlobal(c->module, LLVMTypeOf(value), name);
    LLVMSetInitializer(global, value);
    LLVMSetGlobalConstant(global, 1);
    LLVMSetLinkage(global, LLVMInternalLinkage);
    LLVMSetUnnamedAddress(global, LLVMGlobalUnnamedAddr);
    return global;
}

static LLVMValueRef params_constant(cg *c, const cg_wrapper *w) {
    const ir_binding *b = w->node->binding;
    LLVMValueRef *fields = base_alloc((b->param_count + 1) * sizeof *fields);
    for (uint32_t i = 0; i < b->param_count; i++) {
        const ir_param *p = &b->params[i];
        fields[i] = w->kernel->types[i] == 'f'
                        ? LLVMConstReal(c->f32, p->is_float ? p->f : (double)p->i)
                        : cg_i32(c, p->i);
    }
    LLVMValueRef value = LLVMConstStructInContext(c->context, fields, b->param_count, 0);
    base_free(fields);
    return value;
}

/* ---- the cut ---- */

/* A wrapper's tasks: how many, and how many neighbours share what they read. */
typedef struct work {
    LLVMValueRef tasks, step;
} work;

/* The table of cuts: rows {tasks, step, fields}, behind them the row of each column. */
static LLVMValueRef cuts_constant(const cg *c, const cg_cuts *t) {
    LLVMTypeRef byte = LLVMInt8TypeInContext(c->context);
    LLVMValueRef *numbers = base_alloc(t->rows * (2 + t->fields) * sizeof *numbers);
    LLVMValueRef at[EBRU_CUTS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->rows; i++) {
        numbers[n++] = cg_i32(c, t->row[i].tasks);
        numbers[n++] = cg_i32(c, t->row[i].step);
        for (uint32_t k = 0; k < t->fields; k++) numbers[n++] = cg_i32(c, t->row[i].value[k]);
    }
    for (uint32_t i = 0; i < EBRU_CUTS; i++) at[i] = LLVMConstInt(byte, t->at[i], 0);
    LLVMValueRef parts[] = {LLVMConstArray2(c->i32, numbers, n),
                            LLVMConstArray2(byte, at, EBRU_CUTS)};
    base_free(numbers);
    return constant_of(c, LLVMConstStructInContext(c->context, parts, 2, 0), "cuts");
}

static LLVMValueRef load_i32(const cg *c, LLVMValueRef base, uint64_t offset) {
    return LLVMBuildLoad2(c->builder, c->i32, cg_bytes_at(c, base, offset), "");
}

/* Loads a number of the row that the program's threads have; what all rows say of it is known: it is
 * positive, so divisions by it need no care for signs. */
static LLVMValueRef load_number(const cg *c, const cg_cuts *t, LLVMValueRef row, uint32_t number) {
    int32_t least = INT32_MAX, most = 0;
    for (uint32_t i = 0; i < t->rows; i++) {
        const struct cg_cut_row *r = &t->row[i];
        const int32_t n = number == 0 ? r->tasks : number == 1 ? r->step : r->value[number - 2];
        least = n < least ? n : least;
        most = n > most ? n : most;
    }
    LLVMValueRef loaded = load_i32(c, row, 4 * (uint64_t)number);
    if (most == INT32_MAX) return loaded;
    LLVMMetadataRef bounds[] = {LLVMValueAsMetadata(cg_i32(c, least)),
                                LLVMValueAsMetadata(cg_i32(c, (int64_t)most + 1))};
    LLVMSetMetadata(loaded, LLVMGetMDKindIDInContext(c->context, "range", 5),
                    LLVMMetadataAsValue(c->context, LLVMMDNodeInContext2(c->context, bounds, 2)));
    return loaded;
}

/* Whether cuts differ in the field; the others stay constants. */
static bool varies(const cg_cuts *t, uint32_t field) {
    for (uint32_t i = 1; i < t->rows; i++)
        if (t->row[i].value[field] != t->row[0].value[field]) return true;
    return false;
}

/* Writes the params at `to`: a constant's fields, and over them those of the cut that the program's
 * threads have. After inlining nothing is left of it: the cut's fields are variables, all else is
 * constant. */
static work work_of(cg *c, LLVMValueRef call, const cg_wrapper *w, LLVMValueRef params,
                    LLVMValueRef to) {
    const ir_binding *b = w->node->binding;
    const cg_cuts *t = b->cuts;
    LLVMBuilderRef g = c->builder;
    for (uint32_t i = 0; i < b->param_count; i++)
        LLVMBuildStore(g, LLVMGetAggregateElement(params, i), cg_bytes_at(c, to, 4 * i));
    if (!t) return (work){cg_i32(c, b->tasks), cg_i32(c, cg_step(b))};
    const uint64_t row_bytes = 4 * (uint64_t)(2 + t->fields);
    LLVMValueRef table = cuts_constant(c, t);
    LLVMTypeRef byte = LLVMInt8TypeInContext(c->context);
    LLVMValueRef column = LLVMBuildSExt(g, load_i32(c, call, offsetof(struct ebru_call, cut)),
                                        c->i64, ""),
                 of = LLVMBuildInBoundsGEP2(g, byte, cg_bytes_at(c, table, t->rows * row_bytes),
                                            &column, 1, "");
    LLVMValueRef at = LLVMBuildZExt(g, LLVMBuildLoad2(g, byte, of, ""), c->i64, "");
    at = LLVMBuildMul(g, at, cg_i64(c, (int64_t)row_bytes), "");
    LLVMValueRef row = LLVMBuildInBoundsGEP2(g, byte, table, &at, 1, "");
    for (uint32_t i = 0; i < t->fields; i++)
        if (varies(t, i))
            LLVMBuildStore(g, load_number(c, t, row, 2 + i),
                           cg_bytes_at(c, to, 4 * (uint64_t)t->field[i]));
    return (work){load_number(c, t, row, 0), load_number(c, t, row, 1)};
}

/* The fields of the kernel's params that cuts of its wrappers differ in, a bit each. */
static uint64_t varying_fields(const cg_plan *plan, const cg_kernel *kernel) {
    uint64_t fields = 0;
    if (kernel->field_count > 64) cg_job_broken("%s has too many fields", kernel->name);
    for (uint32_t i = 0; i < plan->wrappers.count; i++) {
        const cg_wrapper *w = &plan->wrappers.items[i];
        const cg_cuts *t = w->kernel == kernel ? w->node->binding->cuts : NULL;
        for (uint32_t k = 0; t && k < t->fields; k++)
            if (varies(t, k)) fields |= (uint64_t)1 << t->field[k];
    }
    return fields;
}

/* ---- tasks ---- */

cg_tasks cg_tasks_begin(cg *c, LLVMValueRef fn, uint32_t argument, LLVMValueRef tasks,
                        LLVMValueRef step) {
    LLVMTypeRef types[] = {c->ptr, c->i32, c->i32, c->i32, c->i32},
                type = LLVMFunctionType(c->i64, types, 5, 0);
    LLVMValueRef take = LLVMGetNamedFunction(c->module, "ebru_take");
    if (!take) take = LLVMAddFunction(c->module, "ebru_take", type);
    LLVMBuilderRef g = c->builder;
    cg_tasks t = {cg_block(c, "take"), cg_block(c, "done"), NULL, NULL};
    LLVMBasicBlockRef some = cg_block(c, "tasks");
    LLVMBuildBr(g, t.next);
    LLVMPositionBuilderAtEnd(g, t.next);
    LLVMValueRef args[] = {LLVMGetParam(fn, argument), LLVMGetParam(fn, argument + 1),
                           LLVMGetParam(fn, argument + 2), tasks, step};
    LLVMValueRef taken = LLVMBuildCall2(g, type, take, args, 5, "");
    /* numbers of tasks are not negative, which LLVM sees by the mask */
    t.begin = LLVMBuildAnd(g, LLVMBuildTrunc(g, taken, c->i32, ""), cg_i32(c, INT32_MAX), "");
    t.end = LLVMBuildTrunc(g, LLVMBuildLShr(g, taken, cg_i64(c, 32), ""), c->i32, "");
    LLVMBuildCondBr(g, LLVMBuildICmp(g, LLVMIntSLT, t.begin, t.end, ""), some, t.done);
    LLVMPositionBuilderAtEnd(g, some);
    return t;
}

void cg_tasks_end(cg *c, const cg_tasks *t) {
    LLVMBuildBr(c->builder, t->next);
    LLVMPositionBuilderAtEnd(c->builder, t->done);
    LLVMBuildRetVoid(c->builder);
}

/* Operands become the array the kernel takes; absent ones are NULL. After inlining the array is
 * gone. */
static void kernel_body(cg *c, LLVMValueRef fn, const cg_wrapper *w, uint64_t varying) {
    char name[64];
    snprintf(name, sizeof name, "k_%s", w->kernel->name);
    LLVMValueRef kernel = cg_bitcode_function(c, name);
    if (!kernel) cg_job_broken("level %s has no kernel %s", c->target->base.level, w->kernel->name);
    LLVMPositionBuilderAtEnd(c->builder, LLVMAppendBasicBlockInContext(c->context, fn, ""));
    LLVMValueRef fields = params_constant(c, w), params = constant_of(c, fields, "params");
    LLVMSetAlignment(params, 64);
    LLVMTypeRef parts[] = {LLVMArrayType2(c->ptr, CG_MAX_BUFS), LLVMTypeOf(fields)};
    LLVMValueRef array = LLVMBuildAlloca(
        c->builder, LLVMStructTypeInContext(c->context, parts, varying ? 2 : 1, 0), "");
    uint32_t argument = 0;
    for (uint32_t i = 0; i < w->operands.count; i++) {
        LLVMValueRef value =
            w->present >> i & 1 ? LLVMGetParam(fn, argument++) : LLVMConstNull(c->ptr);
        LLVMBuildStore(c->builder, value, cg_bytes_at(c, array, 8 * i));
    }
    LLVMValueRef scratch = LLVMGetParam(fn, argument++), copy = cg_bytes_at(c, array, CG_PARAMS_AT);
    const work all =
        varying ? work_of(c, LLVMGetParam(fn, argument), w, fields, copy)
                : (work){cg_i32(c, w->node->binding->tasks), cg_i32(c, cg_step(w->node->binding))};
    const cg_tasks t = cg_tasks_begin(c, fn, argument, all.tasks, all.step);
    LLVMValueRef args[] = {varying ? copy : params, array, scratch, t.begin, t.end};
    LLVMValueRef call =
        LLVMBuildCall2(c->builder, LLVMGlobalGetValueType(kernel), kernel, args, 5, "");
    if (varying) BASE_PUSH(&c->calls, ((cg_kernel_call){call, params, varying}));
    cg_tasks_end(c, &t);
}

static LLVMValueRef declare(cg *c, const cg_wrapper *w, bool internal) {
    LLVMTypeRef types[CG_MAX_BUFS + 4];
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->operands.count; i++)
        if (w->present >> i & 1) types[n++] = c->ptr;
    uint32_t pointers = n;
    types[n++] = c->ptr; /* scratch */
    types[n++] = c->ptr; /* call */
    types[n++] = c->i32; /* thread */
    types[n++] = c->i32; /* op */
    LLVMValueRef fn = cg_function(c, w->name, LLVMFunctionType(c->void_, types, n, 0), internal);
    for (uint32_t i = 0; i <= pointers; i++) cg_set_align(c, fn, i, IR_ARENA_ALIGN);
    cg_set_flag(c, fn, "noinline"); /* called once a layer */
    return fn;
}

bool cg_emit_wrappers(cg *c, const cg_plan *plan, uint32_t part, LLVMValueRef *wrappers) {
    for (uint32_t i = 0; i < plan->wrappers.count && !c->failed; i++) {
        const cg_wrapper *w = &plan->wrappers.items[i];
        bool ours = i % plan->parts == part;
        wrappers[i] = declare(c, w, plan->parts == 1);
        if (!ours) continue;
        if (w->kernel) {
            kernel_body(c, wrappers[i], w, varying_fields(plan, w->kernel));
            continue;
        }
        cg_ew_plan ew;
        base_str why = {0};
        if (!cg_ew_make_plan(w->f, w->node, &ew, &why))
            cg_job_broken("an elementwise node that was planned has no plan: %s", why.data);
        cg_ew_body(c, wrappers[i], &ew);
    }
    return !c->failed;
}
