/* Params of kernels whose cut varies. The inliner leaves out what constants decide, as it copies a
 * kernel into its wrapper: what an op does not do is never optimised. It can do so with the params
 * only if they are a constant in memory, not a copy with the cut's fields in it. So the wrapper has
 * both. It calls the kernel with the copy, which stands behind the operands. Before inlining the
 * kernel is made to read the cut's fields there, and all others from the constant. */
#include "codegen/llvm/cg.h"

/* Whether an offset in the params is that of fields that do not vary only. */
static bool is_fixed_offset(LLVMValueRef offset, uint64_t varying) {
    if (LLVMIsAConstantInt(offset)) {
        const uint64_t at = LLVMConstIntGetZExtValue(offset);
        return at % 4 == 0 && at < 256 && !(varying >> at / 4 & 1);
    }
    return LLVMIsASelectInst(offset) && is_fixed_offset(LLVMGetOperand(offset, 1), varying) &&
           is_fixed_offset(LLVMGetOperand(offset, 2), varying);
}

/* Whether the address is for loads of one field only, maybe through a choice between two. */
static bool loads_a_field(const cg *c, LLVMValueRef address, bool chosen) {
    for (LLVMUseRef u = LLVMGetFirstUse(address); u; u = LLVMGetNextUse(u)) {
        LLVMValueRef user = LLVMGetUser(u);
        LLVMTypeRef type = LLVMTypeOf(user);
        if (LLVMIsALoadInst(user) && (type == c->i32 || type == c->f32)) continue;
        if (chosen || !LLVMIsASelectInst(user) || !loads_a_field(c, user, true)) return false;
    }
    return true;
}

static bool reads_fixed(const cg *c, LLVMValueRef user, LLVMValueRef params, uint64_t varying) {
    if (LLVMIsALoadInst(user))
        return !(varying & 1) && (LLVMTypeOf(user) == c->i32 || LLVMTypeOf(user) == c->f32);
    return LLVMIsAGetElementPtrInst(user) && LLVMGetNumOperands(user) == 2 &&
           LLVMGetOperand(user, 0) == params &&
           LLVMGetGEPSourceElementType(user) == LLVMInt8TypeInContext(c->context) &&
           is_fixed_offset(LLVMGetOperand(user, 1), varying) && loads_a_field(c, user, false);
}

/* Lets a kernel read what varies, and what is not seen to be fixed, behind its operands. */
static void split_kernel(cg *c, LLVMValueRef kernel, uint64_t varying) {
    LLVMValueRef params = LLVMGetParam(kernel, 0);
    LLVMBasicBlockRef entry = LLVMGetEntryBasicBlock(kernel);
    BASE_VEC(LLVMValueRef) moved = {0};
    for (LLVMUseRef u = LLVMGetFirstUse(params); u; u = LLVMGetNextUse(u))
        if (!reads_fixed(c, LLVMGetUser(u), params, varying)) BASE_PUSH(&moved, LLVMGetUser(u));
    LLVMPositionBuilderBefore(c->builder, LLVMGetFirstInstruction(entry));
    LLVMValueRef copy = cg_bytes_at(c, LLVMGetParam(kernel, 1), CG_PARAMS_AT);
    for (size_t i = 0; i < moved.count; i++)
        for (unsigned k = 0; k < (unsigned)LLVMGetNumOperands(moved.items[i]); k++)
            if (LLVMGetOperand(moved.items[i], k) == params)
                LLVMSetOperand(moved.items[i], k, copy);
    base_free(moved.items);
}

void cg_split_params(cg *c) {
    if (c->opt_level > 0)
        for (size_t i = 0; i < c->calls.count; i++) {
            const cg_kernel_call *of = &c->calls.items[i];
            LLVMValueRef kernel = LLVMGetCalledValue(of->call);
            bool seen = false;
            for (size_t k = 0; k < i; k++)
                seen |= LLVMGetCalledValue(c->calls.items[k].call) == kernel;
            if (!seen) split_kernel(c, kernel, of->varying);
            LLVMSetOperand(of->call, 0, of->params);
        }
    base_free(c->calls.items);
    c->calls.items = NULL;
    c->calls.count = 0;
}
