/* The library of a level: bitcode of its kernels and of the register tiles they call, in pieces
 * with and without bf16 arithmetic. Pieces are opened lazily: a job reads the bodies of the
 * functions it calls, which are a few of many. */
#include "base/cpu/cpu.h"
#include "codegen/llvm/cg.h"

#include <llvm-c/BitReader.h>
#include <llvm-c/Linker.h>

#include <string.h>

#define FUNCTION                                                                                   \
    ((LLVMAttributeIndex)LLVMAttributeFunctionIndex) /* attributes of the function itself */
#define LEVEL_KEY "ebru-level" /* attribute of functions: the level they were compiled for */

/* Put into the compiler by runtime/kernels/CMakeLists.txt. */
#define BITCODE(name)                                                                              \
    extern const char ebru_bc_##name[], ebru_bc_##name##_end[];                                    \
    extern const char ebru_bc_tiles_##name[], ebru_bc_tiles_##name##_end[];
#define OWN(a, ID, suffix, ...)    BITCODE(suffix) BITCODE(bf16_##suffix)
#define SHARES(a, ID, suffix, ...) BITCODE(bf16_##suffix)
EBRU_LEVELS(OWN, SHARES, 0)
#undef OWN
#undef SHARES
#undef BITCODE

/* A level's pieces: those without bf16 arithmetic, whose code levels may share (base_isa_plain),
 * and those with. */
typedef struct piece {
    const char *kernels, *kernels_end, *tiles, *tiles_end;
} piece;
#define PIECE(name)                                                                                \
    {ebru_bc_##name, ebru_bc_##name##_end, ebru_bc_tiles_##name, ebru_bc_tiles_##name##_end}
#define ROW(a, ID, suffix, name, PLAIN, plain, ...)                                                \
    [EBRU_ISA_##ID] = {PIECE(plain), PIECE(bf16_##suffix)},
static const struct bitcode {
    piece plain, bf16;
} bitcode[EBRU_ISA_COUNT] = {EBRU_LEVELS(ROW, ROW, 0)};
#undef ROW
#undef PIECE

static bool starts(LLVMValueRef v, const char *prefix) {
    size_t length;
    return strncmp(LLVMGetValueName2(v, &length), prefix, strlen(prefix)) == 0;
}

int32_t cg_bitcode_level(LLVMValueRef fn) {
    unsigned length;
    LLVMAttributeRef key =
        LLVMGetStringAttributeAtIndex(fn, FUNCTION, LEVEL_KEY, sizeof LEVEL_KEY - 1);
    return key ? *LLVMGetStringAttributeValue(key, &length) - '0' : -1;
}

bool cg_bitcode_is_tile(LLVMValueRef fn) {
    return LLVMGetLinkage(fn) != LLVMInternalLinkage && cg_bitcode_level(fn) >= 0 &&
           !starts(fn, "ebru_k_") && !starts(fn, "ebru_ew_");
}

void cg_bitcode_symbol(int32_t isa, const char *function, char *to, size_t size) {
    snprintf(to, size, "ebru.%s.%s", base_isa_suffix(isa), function);
}

static bool cannot_read(cg *c) {
    return cg_fail(c, "the kernels of %s cannot be read", c->target->base.level);
}

/* Opens a module, writes into its functions which level's they are, and lets the linker of modules
 * take them when they are called only. */
static bool open_piece(cg *c, const char *begin, const char *end, int32_t isa) {
    LLVMModuleRef m;
    if (begin == end) return true;
    LLVMMemoryBufferRef bytes =
        LLVMCreateMemoryBufferWithMemoryRange(begin, (size_t)(end - begin), "kernels", 0);
    if (LLVMGetBitcodeModuleInContext2(c->context, bytes, &m)) return cannot_read(c);
    c->library[c->library_count++] = m;
    bool all = c->role == CG_TILES || c->role == CG_KERNELS;
    char level = (char)('0' + isa);
    LLVMAttributeRef key =
        LLVMCreateStringAttribute(c->context, LEVEL_KEY, sizeof LEVEL_KEY - 1, &level, 1);
    for (LLVMValueRef f = LLVMGetFirstFunction(m); f; f = LLVMGetNextFunction(f)) {
        if (LLVMGetIntrinsicID(f)) continue;
        LLVMAddAttributeAtIndex(f, FUNCTION, key);
        if (!all && !LLVMIsDeclaration(f) && LLVMGetLinkage(f) == LLVMExternalLinkage)
            LLVMSetLinkage(f, LLVMLinkOnceODRLinkage);
    }
    return true;
}

bool cg_bitcode_open(cg *c) {
    const int32_t isa = c->target->isa, level[] = {base_isa_plain(isa), isa};
    const piece *pieces[] = {&bitcode[isa].plain, &bitcode[isa].bf16};
    bool fine = true;
    for (int i = 0; i < 2 && fine; i++) {
        const piece *p = pieces[i];
        if (c->role == CG_TILES ||
            c->role == CG_KERNELS) { /* the other level's are in its own object */
            if (level[i] != isa) continue;
        }
        if (c->role != CG_TILES) fine = open_piece(c, p->kernels, p->kernels_end, level[i]);
        if (c->role == CG_TILES || c->role == CG_WHOLE)
            fine = fine && open_piece(c, p->tiles, p->tiles_end, level[i]);
    }
    return fine;
}

bool cg_bitcode_link(cg *c) {
    bool fine = true;
    /* kernels stand in front of the tiles they call */
    for (uint32_t i = 0; i < c->library_count && fine; i++) {
        fine = !LLVMLinkModules2(c->module, c->library[i]);
        c->library[i] = NULL;
    }
    c->library_count = 0;
    return (fine && !c->failed) || cannot_read(c);
}

LLVMValueRef cg_bitcode_any(const cg *c) {
    LLVMValueRef found = NULL;
    for (uint32_t i = 0; i < c->library_count && !found; i++)
        found = LLVMGetNamedFunction(c->library[i], "ebru_k_conv2d");
    return found;
}

LLVMValueRef cg_bitcode_function(cg *c, const char *name) {
    char bare[80], symbol[128];
    LLVMValueRef found = NULL;
    snprintf(bare, sizeof bare, "ebru_%s", name);
    for (uint32_t i = 0; i < c->library_count && !found; i++)
        found = LLVMGetNamedFunction(c->library[i], bare);
    if (!found) return NULL;
    bool apart = c->role == CG_WRAPPERS && c->opt_level == 0 && starts(found, "ebru_k_");
    if (apart)
        cg_bitcode_symbol(cg_bitcode_level(found), bare, symbol, sizeof symbol);
    else
        snprintf(symbol, sizeof symbol, "%s", bare);
    LLVMValueRef fn = LLVMGetNamedFunction(c->module, symbol);
    if (fn) return fn;
    fn = LLVMAddFunction(c->module, symbol, LLVMGlobalGetValueType(found));
    if (apart) LLVMSetVisibility(fn, LLVMHiddenVisibility);
    return fn;
}
