/* Wrappers: one function a distinct kernel and parameters. The parameters are a constant, the
 * kernel is inlined into it, so LLVM folds what the graph knows; every layer of the same shape
 * class calls the same wrapper. At -O0 it is called instead: the same bits, later, but compiled in
 * no time. */
#include "codegen/link/jobs.h"
#include "codegen/llvm/cg.h"

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
    LLVMValueRef global = LLVMAddGlobal(c->module, LLVMTypeOf(value), "params");
    LLVMSetInitializer(global, value);
    LLVMSetGlobalConstant(global, 1);
    LLVMSetLinkage(global, LLVMInternalLinkage);
    LLVMSetUnnamedAddress(global, LLVMGlobalUnnamedAddr);
    LLVMSetAlignment(global, 64);
    return global;
}

/* Operands become the array the kernel takes; absent ones are NULL. After inlining the array is
 * gone. */
static void kernel_body(cg *c, LLVMValueRef fn, const cg_wrapper *w) {
    char name[64];
    snprintf(name, sizeof name, "k_%s", w->kernel->name);
    LLVMValueRef kernel = cg_bitcode_function(c, name);
    if (!kernel) cg_job_broken("level %s has no kernel %s", c->target->base.level, w->kernel->name);
    LLVMPositionBuilderAtEnd(c->builder, LLVMAppendBasicBlockInContext(c->context, fn, ""));
    LLVMValueRef array = LLVMBuildAlloca(c->builder, LLVMArrayType2(c->ptr, w->operands.count), "");
    uint32_t argument = 0;
    for (uint32_t i = 0; i < w->operands.count; i++) {
        LLVMValueRef value =
            w->present >> i & 1 ? LLVMGetParam(fn, argument++) : LLVMConstNull(c->ptr);
        LLVMBuildStore(c->builder, value, cg_bytes_at(c, array, 8 * i));
    }
    LLVMValueRef args[] = {params_constant(c, w), array, LLVMGetParam(fn, argument),
                           LLVMGetParam(fn, argument + 1), LLVMGetParam(fn, argument + 2)};
    LLVMBuildCall2(c->builder, LLVMGlobalGetValueType(kernel), kernel, args, 5, "");
    LLVMBuildRetVoid(c->builder);
}

static LLVMValueRef declare(cg *c, const cg_wrapper *w, bool internal) {
    LLVMTypeRef types[CG_MAX_BUFS + 3];
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->operands.count; i++)
        if (w->present >> i & 1) types[n++] = c->ptr;
    uint32_t pointers = n;
    types[n++] = c->ptr; /* scratch */
    types[n++] = c->i32;
    types[n++] = c->i32;
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
            kernel_body(c, wrappers[i], w);
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
