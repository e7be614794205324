/* Life of an LLVM module: created from a level's kernels, optimised, written. All that depends on LLVM's
 * version is here. */
#include "codegen/cg.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/BitReader.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#if LLVM_VERSION_MAJOR != 19
#error "the kernels' bitcode and this file are for LLVM 19"
#endif

#define TRIPLE   "x86_64-pc-linux-gnu"
#define FUNCTION ((LLVMAttributeIndex)LLVMAttributeFunctionIndex) /* attributes of the function itself */

/* Bitcode of the kernels a level, put into the compiler by runtime/kernels/CMakeLists.txt. */
extern const char ebru_bc_x86_64_v2[], ebru_bc_x86_64_v2_end[];
extern const char ebru_bc_x86_64_v3[], ebru_bc_x86_64_v3_end[];
extern const char ebru_bc_x86_64_v4[], ebru_bc_x86_64_v4_end[];

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

/* ---- opening ---- */

static bool open_machine(cg *c) {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMTargetRef target;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(TRIPLE, &target, &message)) {
        cg_fail(c, "%s", message);
        LLVMDisposeMessage(message);
        return false;
    }
    c->machine = LLVMCreateTargetMachine(target, TRIPLE, c->target ? c->target->cpu : "x86-64", "",
                                         LLVMCodeGenLevelAggressive, LLVMRelocPIC, LLVMCodeModelSmall);
    return c->machine || cg_fail(c, "LLVM has no machine for %s", TRIPLE);
}

static bool parse_kernels(cg *c) {
    const char *begin = c->target->isa == EBRU_LEVEL_V4   ? ebru_bc_x86_64_v4
                        : c->target->isa == EBRU_LEVEL_V3 ? ebru_bc_x86_64_v3
                                                          : ebru_bc_x86_64_v2;
    const char *end = c->target->isa == EBRU_LEVEL_V4   ? ebru_bc_x86_64_v4_end
                      : c->target->isa == EBRU_LEVEL_V3 ? ebru_bc_x86_64_v3_end
                                                        : ebru_bc_x86_64_v2_end;
    LLVMMemoryBufferRef bytes =
        LLVMCreateMemoryBufferWithMemoryRange(begin, (size_t)(end - begin), "kernels", 0);
    bool fine = !LLVMParseBitcodeInContext2(c->context, bytes, &c->module);
    LLVMDisposeMemoryBuffer(bytes);
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

bool cg_open(cg *c, const cg_target_info *target, const char *name, ir_str *fault) {
    *c = (cg){.target = target, .fault = fault};
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
    LLVMSetTarget(c->module, TRIPLE);
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

static void set_text(cg *c, LLVMValueRef fn, const char *key, const char *value) {
    LLVMAttributeRef a =
        LLVMCreateStringAttribute(c->context, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(fn, FUNCTION, a);
}

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

/* The kernels carry the level's features as attributes; ours must carry the same, or nothing can be inlined.
 */
static void copy_target_attributes(cg *c, LLVMValueRef to) {
    static const char *const keys[] = {"target-cpu", "target-features", "tune-cpu"};
    LLVMValueRef from = LLVMGetNamedFunction(c->module, "ebru_k_conv2d");
    for (size_t i = 0; from && i < sizeof keys / sizeof *keys; i++) {
        LLVMAttributeRef a =
            LLVMGetStringAttributeAtIndex(from, FUNCTION, keys[i], (unsigned)strlen(keys[i]));
        if (a) LLVMAddAttributeAtIndex(to, FUNCTION, a);
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

/* Shared functions get the level into their name, so that levels can live in one program, and a section each,
 * so that the linker can drop those nobody calls. Only the shared object defines them. */
static void share(cg *c, LLVMValueRef f, cg_role role) {
    char name[128], section[144];
    size_t length;
    snprintf(name, sizeof name, "ebru.v%d.%s", c->target->isa, LLVMGetValueName2(f, &length));
    snprintf(section, sizeof section, ".text.%s", name);
    LLVMSetValueName2(f, name, strlen(name));
    LLVMSetVisibility(f, LLVMHiddenVisibility);
    if (role == CG_SHARED)
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
