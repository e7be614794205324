/* Life of an LLVM module: created from a level's kernels, optimised, written. All that depends on LLVM's
 * version is here. */
#include "codegen/cg.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/BitReader.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Linker.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#if LLVM_VERSION_MAJOR != 19
#error "the kernels' bitcode and this file are for LLVM 19"
#endif

#define FUNCTION ((LLVMAttributeIndex)LLVMAttributeFunctionIndex) /* attributes of the function itself */

/* Bitcode of the kernels a level, put into the compiler by runtime/kernels/CMakeLists.txt. */
#define BITCODE(name) extern const char ebru_bc_##name[], ebru_bc_##name##_end[];
BITCODE(x86_64_v2)
BITCODE(x86_64_v3)
BITCODE(x86_64_v4)
BITCODE(bf16_x86_64_v2)
BITCODE(bf16_x86_64_v3)
BITCODE(bf16_x86_64_v4)
BITCODE(bf16_x86_64_v4_bf16)
BITCODE(bf16_x86_64_v4_amx)
BITCODE(aarch64_neon)
BITCODE(bf16_aarch64_neon)
BITCODE(bf16_aarch64_neon_bf16)
#undef BITCODE

const char *cg_llvm_version(void) {
    return LLVM_VERSION_STRING;
}

bool cg_fail(cg *c, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (c->fault->len) ir_str_add(c->fault, "; ");
    ir_str_add(c->fault, text);
    c->failed = true;
    return false;
}

static bool take_error(cg *c, LLVMErrorRef error, const char *what) {
    if (!error) return true;
    char *message = LLVMGetErrorMessage(error);
    cg_fail(c, "%s: %s", what, message);
    LLVMDisposeErrorMessage(message);
    return false;
}

static void on_diagnostic(LLVMDiagnosticInfoRef info, void *context) {
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError) return;
    char *text = LLVMGetDiagInfoDescription(info);
    cg_fail(context, "%s", text);
    LLVMDisposeMessage(text);
}

void cg_on_fatal_error(void (*report)(const char *reason)) {
    LLVMInstallFatalErrorHandler(report);
}

/* ---- functions of the bitcode ---- */

#define LEVEL_KEY "ebru-level" /* attribute of shared functions: the level they were compiled for */

static void set_text(cg *c, LLVMValueRef fn, const char *key, const char *value) {
    LLVMAttributeRef a =
        LLVMCreateStringAttribute(c->context, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(fn, FUNCTION, a);
}

static bool starts(LLVMValueRef v, const char *prefix) {
    size_t length;
    return strncmp(LLVMGetValueName2(v, &length), prefix, strlen(prefix)) == 0;
}

/* What kernels call but is never specialised (the register tiles): a definition of the bitcode that is
 * neither a kernel nor private. */
static bool is_shared(LLVMValueRef f) {
    return !LLVMIsDeclaration(f) && LLVMGetLinkage(f) == LLVMExternalLinkage && !starts(f, "ebru_k_") &&
           !starts(f, "ebru_ew_") && !starts(f, "ebru.");
}

/* ---- opening ---- */

static bool open_machine(cg *c) {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    const char *triple = c->arch->llvm_triple;
    LLVMTargetRef target;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(triple, &target, &message)) {
        cg_fail(c, "%s", message);
        LLVMDisposeMessage(message);
        return false;
    }
    c->machine = LLVMCreateTargetMachine(target, triple, c->target ? c->target->cpu : c->arch->cpu,
                                         c->target ? c->target->features : "", LLVMCodeGenLevelAggressive,
                                         LLVMRelocPIC, LLVMCodeModelSmall);
    return c->machine || cg_fail(c, "LLVM has no machine for %s", triple);
}

/* A level's kernels: those without bf16 arithmetic, whose code levels may share, and those with. */
struct bitcode {
    int32_t isa;
    const char *plain, *plain_end, *bf16, *bf16_end;
};
#define PIECE(name) ebru_bc_##name, ebru_bc_##name##_end
static const struct bitcode bitcode[] = {
    {EBRU_LEVEL_V2, PIECE(x86_64_v2), PIECE(bf16_x86_64_v2)},
    {EBRU_LEVEL_V3, PIECE(x86_64_v3), PIECE(bf16_x86_64_v3)},
    {EBRU_LEVEL_V4, PIECE(x86_64_v4), PIECE(bf16_x86_64_v4)},
    {EBRU_LEVEL_V4_BF16, PIECE(x86_64_v4), PIECE(bf16_x86_64_v4_bf16)},
    {EBRU_LEVEL_V4_AMX, PIECE(x86_64_v4), PIECE(bf16_x86_64_v4_amx)},
    {EBRU_LEVEL_NEON, PIECE(aarch64_neon), PIECE(bf16_aarch64_neon)},
    {EBRU_LEVEL_NEON_BF16, PIECE(aarch64_neon), PIECE(bf16_aarch64_neon_bf16)},
};
#undef PIECE

/* Parses a module and writes into its shared functions which level's they are. NULL when it is none. */
static LLVMModuleRef parse_bitcode(cg *c, const char *begin, const char *end, int32_t isa) {
    LLVMModuleRef m;
    LLVMMemoryBufferRef bytes =
        LLVMCreateMemoryBufferWithMemoryRange(begin, (size_t)(end - begin), "kernels", 0);
    bool fine = !LLVMParseBitcodeInContext2(c->context, bytes, &m);
    LLVMDisposeMemoryBuffer(bytes);
    if (!fine) return NULL;
    char level[2] = {(char)('0' + isa), 0};
    for (LLVMValueRef f = LLVMGetFirstFunction(m); f; f = LLVMGetNextFunction(f))
        if (is_shared(f)) set_text(c, f, LEVEL_KEY, level);
    return m;
}

static bool parse_kernels(cg *c) {
    const struct bitcode *b = bitcode;
    while (b->isa != c->target->isa) b++;
    c->module = parse_bitcode(c, b->plain, b->plain_end, cg_plain_level(b->isa));
    bool fine = c->module != NULL;
    if (fine && b->bf16 != b->bf16_end) {
        LLVMModuleRef more = parse_bitcode(c, b->bf16, b->bf16_end, b->isa);
        fine = more && !LLVMLinkModules2(c->module, more);
    }
    return fine || cg_fail(c, "the kernels of %s cannot be read", c->target->base.level);
}

static void make_types(cg *c) {
    c->void_ = LLVMVoidTypeInContext(c->context);
    c->ptr = LLVMPointerTypeInContext(c->context, 0);
    c->i1 = LLVMInt1TypeInContext(c->context);
    c->i32 = LLVMInt32TypeInContext(c->context);
    c->i64 = LLVMInt64TypeInContext(c->context);
    c->f32 = LLVMFloatTypeInContext(c->context);
    c->v16f = LLVMVectorType(c->f32, 16);
}

bool cg_open(cg *c, const cg_arch *arch, const cg_target_info *target, const char *name, ir_str *fault) {
    *c = (cg){.arch = arch, .target = target, .fault = fault};
    c->context = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(c->context, on_diagnostic, c);
    if (!open_machine(c)) return false;
    if (!target)
        c->module = LLVMModuleCreateWithNameInContext(name, c->context);
    else if (!parse_kernels(c))
        return false;
    /* Names that end up in the object: never a path. */
    LLVMSetModuleIdentifier(c->module, name, strlen(name));
    LLVMSetSourceFileName(c->module, name, strlen(name));
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(c->machine);
    LLVMSetModuleDataLayout(c->module, layout);
    LLVMDisposeTargetData(layout);
    LLVMSetTarget(c->module, c->arch->llvm_triple);
    c->builder = LLVMCreateBuilderInContext(c->context);
    make_types(c);
    return true;
}

void cg_close(cg *c) {
    if (c->builder) LLVMDisposeBuilder(c->builder);
    if (c->machine) LLVMDisposeTargetMachine(c->machine);
    if (c->module) LLVMDisposeModule(c->module);
    if (c->context) LLVMContextDispose(c->context);
}

/* ---- attributes ---- */

void cg_set_flag(cg *c, LLVMValueRef fn, const char *attribute) {
    unsigned kind = LLVMGetEnumAttributeKindForName(attribute, strlen(attribute));
    LLVMAddAttributeAtIndex(fn, FUNCTION, LLVMCreateEnumAttribute(c->context, kind, 0));
}

void cg_set_align(cg *c, LLVMValueRef fn, uint32_t argument, uint64_t bytes) {
    unsigned kind = LLVMGetEnumAttributeKindForName("align", 5);
    LLVMAddAttributeAtIndex(fn, argument + 1, LLVMCreateEnumAttribute(c->context, kind, bytes));
}

static void drop_flag(LLVMValueRef fn, const char *attribute) {
    LLVMRemoveEnumAttributeAtIndex(fn, FUNCTION,
                                   LLVMGetEnumAttributeKindForName(attribute, strlen(attribute)));
}

/* The kernels carry their level's features as attributes; ours must carry at least the same, or nothing can
 * be inlined. */
static void copy_target_attributes(cg *c, LLVMValueRef to) {
    static const char *const keys[] = {"target-cpu", "tune-cpu", "target-features"};
    LLVMValueRef from = LLVMGetNamedFunction(c->module, "ebru_k_conv2d");
    LLVMAttributeRef a = NULL;
    for (size_t i = 0; from && i < sizeof keys / sizeof *keys; i++) {
        a = LLVMGetStringAttributeAtIndex(from, FUNCTION, keys[i], (unsigned)strlen(keys[i]));
        if (a) LLVMAddAttributeAtIndex(to, FUNCTION, a);
    }
    if (a && *c->target->features) {
        unsigned length;
        const char *base = LLVMGetStringAttributeValue(a, &length);
        ir_str all = {0};
        ir_str_addf(&all, "%.*s,%s", (int)length, base, c->target->features);
        set_text(c, to, "target-features", all.data);
        ir_str_free(&all);
    }
    if (c->target->isa >= EBRU_LEVEL_V4) set_text(c, to, "prefer-vector-width", "512");
}

LLVMValueRef cg_function(cg *c, const char *name, LLVMTypeRef type, bool internal) {
    LLVMValueRef fn = LLVMAddFunction(c->module, name, type);
    if (internal)
        LLVMSetLinkage(fn, LLVMInternalLinkage);
    else
        LLVMSetVisibility(fn, LLVMHiddenVisibility);
    cg_set_flag(c, fn, "nounwind");
    copy_target_attributes(c, fn);
    return fn;
}

/* ---- optimising ---- */

/* Shared functions get the level into their name, so that levels can live in one program, and a section each,
 * so that the linker can drop those nobody calls. Only that level's shared object defines them. */
static void share(cg *c, LLVMValueRef f, cg_role role) {
    char name[128], section[144];
    size_t length;
    unsigned digits;
    LLVMAttributeRef key = LLVMGetStringAttributeAtIndex(f, FUNCTION, LEVEL_KEY, sizeof LEVEL_KEY - 1);
    int level = *LLVMGetStringAttributeValue(key, &digits) - '0';
    snprintf(name, sizeof name, "ebru.v%d.%s", level, LLVMGetValueName2(f, &length));
    snprintf(section, sizeof section, ".text.%s", name);
    LLVMSetValueName2(f, name, strlen(name));
    LLVMSetVisibility(f, LLVMHiddenVisibility);
    if (role == CG_SHARED && level == c->target->isa)
        LLVMSetSection(f, section);
    else
        LLVMSetLinkage(f, LLVMAvailableExternallyLinkage); /* becomes a declaration */
}

/* Kernels become parts of their wrappers; what nobody calls goes. */
static void prepare(cg *c, cg_role role) {
    for (LLVMValueRef f = LLVMGetFirstFunction(c->module); f; f = LLVMGetNextFunction(f)) {
        if (LLVMIsDeclaration(f)) continue;
        if (starts(f, "ebru_k_") || starts(f, "ebru_ew_")) {
            drop_flag(f, "noinline");
            drop_flag(f, "optnone");
            cg_set_flag(c, f, "alwaysinline");
        }
        if (role != CG_WHOLE && is_shared(f))
            share(c, f, role);
        else if (!starts(f, "ebru."))
            LLVMSetLinkage(f, LLVMInternalLinkage);
    }
    for (LLVMValueRef g = LLVMGetFirstGlobal(c->module); g; g = LLVMGetNextGlobal(g))
        if (!LLVMIsDeclaration(g) && !starts(g, "llvm.") && !starts(g, "ebru."))
            LLVMSetLinkage(g, LLVMInternalLinkage);
}

static const char *pipeline(cg_role role, int opt_level) {
    if (role == CG_SHARED) return "globaldce"; /* optimised when the compiler was built */
    switch (opt_level) {
    case 0: return "elim-avail-extern,globaldce,always-inline,globaldce";
    case 1: return "elim-avail-extern,globaldce,always-inline,globaldce,default<O1>";
    case 2: return "elim-avail-extern,globaldce,always-inline,globaldce,default<O2>";
    default: return "elim-avail-extern,globaldce,always-inline,globaldce,default<O3>";
    }
}

bool cg_optimize(cg *c, cg_role role, int opt_level) {
    if (c->failed) return false;
    char *message = NULL;
    prepare(c, role);
    if (LLVMVerifyModule(c->module, LLVMReturnStatusAction, &message))
        cg_fail(c, "broken module: %s", message);
    LLVMDisposeMessage(message);
    if (c->failed) return false;
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    /* Kernels are written in vectors; what is scalar in them is scalar on purpose. */
    LLVMPassBuilderOptionsSetSLPVectorization(options, 0);
    LLVMPassBuilderOptionsSetLoopVectorization(options, 0);
    LLVMPassBuilderOptionsSetLoopInterleaving(options, 0);
    LLVMPassBuilderOptionsSetLoopUnrolling(options, 0);
    LLVMErrorRef error = LLVMRunPasses(c->module, pipeline(role, opt_level), c->machine, options);
    bool fine = take_error(c, error, "optimising");
    LLVMDisposePassBuilderOptions(options);
    return fine && !c->failed;
}

/* ---- writing ---- */

static bool write_bytes(cg *c, const char *path, const char *bytes, size_t size) {
    FILE *f = fopen(path, "wb");
    bool fine = f && fwrite(bytes, 1, size, f) == size;
    if (f && fclose(f) != 0) fine = false;
    return fine || cg_fail(c, "cannot write %s: %s", path, strerror(errno));
}

bool cg_write(cg *c, cg_emit_kind kind, const char *path) {
    if (c->failed) return false;
    if (kind == CG_LLVM_IR) {
        char *text = LLVMPrintModuleToString(c->module);
        bool fine = write_bytes(c, path, text, strlen(text));
        LLVMDisposeMessage(text);
        return fine;
    }
    char *message = NULL;
    LLVMMemoryBufferRef bytes = NULL;
    LLVMCodeGenFileType type = kind == CG_ASM ? LLVMAssemblyFile : LLVMObjectFile;
    if (LLVMTargetMachineEmitToMemoryBuffer(c->machine, c->module, type, &message, &bytes)) {
        cg_fail(c, "%s", message ? message : "cannot emit code");
        LLVMDisposeMessage(message);
        return false;
    }
    bool fine = !c->failed && write_bytes(c, path, LLVMGetBufferStart(bytes), LLVMGetBufferSize(bytes));
    LLVMDisposeMemoryBuffer(bytes);
    return fine;
}
