/* Builder shorthands: constants, addresses, loops. */
#include "codegen/llvm/cg.h"

LLVMValueRef cg_i32(const cg *c, int64_t v) {
    return LLVMConstInt(c->i32, (unsigned long long)v, 1);
}
LLVMValueRef cg_i64(const cg *c, int64_t v) {
    return LLVMConstInt(c->i64, (unsigned long long)v, 1);
}

LLVMValueRef cg_bytes_at(const cg *c, LLVMValueRef base, uint64_t offset) {
    if (offset == 0) return base;
    LLVMValueRef index = cg_i64(c, (int64_t)offset);
    return LLVMBuildInBoundsGEP2(c->builder, LLVMInt8TypeInContext(c->context), base, &index, 1,
                                 "");
}

LLVMValueRef cg_float_at(const cg *c, LLVMValueRef base, LLVMValueRef index) {
    return LLVMBuildInBoundsGEP2(c->builder, c->f32, base, &index, 1, "");
}

LLVMValueRef cg_load_ptr(const cg *c, LLVMValueRef base, uint64_t offset) {
    return LLVMBuildLoad2(c->builder, c->ptr, cg_bytes_at(c, base, offset), "");
}

LLVMBasicBlockRef cg_block(const cg *c, const char *name) {
    LLVMValueRef fn = LLVMGetBasicBlockParent(LLVMGetInsertBlock(c->builder));
    return LLVMAppendBasicBlockInContext(c->context, fn, name);
}

cg_loop cg_loop_begin(const cg *c, LLVMValueRef first, LLVMValueRef last, const char *name) {
    LLVMBasicBlockRef before = LLVMGetInsertBlock(c->builder);
    cg_loop l = {cg_block(c, name), NULL, NULL, last};
    l.exit = cg_block(c, "");
    LLVMValueRef some = LLVMBuildICmp(c->builder, LLVMIntSLT, first, last, "");
    LLVMBuildCondBr(c->builder, some, l.head, l.exit);
    LLVMPositionBuilderAtEnd(c->builder, l.head);
    l.index = LLVMBuildPhi(c->builder, LLVMTypeOf(first), "");
    LLVMAddIncoming(l.index, &first, &before, 1);
    return l;
}

void cg_loop_end(const cg *c, cg_loop *l) {
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(c->builder);
    LLVMValueRef next =
        LLVMBuildNSWAdd(c->builder, l->index, LLVMConstInt(LLVMTypeOf(l->index), 1, 0), "");
    LLVMAddIncoming(l->index, &next, &latch, 1);
    LLVMValueRef again = LLVMBuildICmp(c->builder, LLVMIntSLT, next, l->last, "");
    LLVMBuildCondBr(c->builder, again, l->head, l->exit);
    LLVMPositionBuilderAtEnd(c->builder, l->exit);
}
