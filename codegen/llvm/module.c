/* Life of an LLVM module: created, optimised, written. All that depends on LLVM's version is here
 * and in library.c. */
#include "codegen/link/jobs.h"
#include "codegen/llvm/cg.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#if LLVM_VERSION_MAJOR != 19
#error "the kernels' bitcode and this file are for LLVM 19"
#endif

#define FUNCTION                                                                                   \
    ((LLVMAttributeIndex)LLVMAttributeFunctionIndex) /* attributes of the function itself */

const char *cg_llvm_version(void) {
    return LLVM_VERSION_STRING;
}

bool cg_fail(cg *c, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (c->fault->len) base_str_add(c->fault, "; ");
    base_str_add(c->fault, text);
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

static void set_text(cg *c, LLVMValueRef fn, const char *key, const char *value) {
    LLVMAttributeRef a = LLVMCreateStringAttribute(c->context, key, (unsigned)strlen(key), value,
                                                   (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(fn, FUNCTION, a);
}

static bool starts(LLVMValueRef v, const char *prefix) {
    size_t length;
    return strncmp(LLVMGetValueName2(v, &length), prefix, strlen(prefix)) == 0;
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
    c->machine =
        LLVMCreateTargetMachine(target, triple, c->target ? c->target->cpu : c->arch->cpu,
                                c->target ? c->target->features : "", LLVMCodeGenLevelAggressive,
                                LLVMRelocPIC, LLVMCodeModelSmall);
    return c->machine || cg_fail(c, "LLVM has no machine for %s", triple);
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

bool cg_open(cg *c, const cg_arch *arch, const cg_target_info *target, cg_role role, int opt_level,
             const char *name, base_str *fault) {
    *c = (cg){.arch = arch, .target = target, .role = role, .opt_level = opt_level, .fault = fault};
    c->context = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(c->context, on_diagnostic, c);
    if (!open_machine(c)) return false;
    /* A name that ends up in the object: never a path. */
    c->module = LLVMModuleCreateWithNameInContext(name, c->context);
    if (target && !cg_bitcode_open(c)) return false;
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
    for (uint32_t i = 0; i < c->library_count; i++)
        if (c->library[i]) LLVMDisposeModule(c->library[i]);
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

/* The kernels carry their level's features as attributes; ours must carry at least the same, or
 * nothing can be inlined. */
static void copy_target_attributes(cg *c, LLVMValueRef to) {
    static const char *const keys[] = {"target-cpu", "tune-cpu", "target-features"};
    LLVMValueRef from = cg_bitcode_any(c);
    LLVMAttributeRef a = NULL;
    for (size_t i = 0; from && i < sizeof keys / sizeof *keys; i++) {
        a = LLVMGetStringAttributeAtIndex(from, FUNCTION, keys[i], (unsigned)strlen(keys[i]));
        if (a) LLVMAddAttributeAtIndex(to, FUNCTION, a);
    }
    if (a && *c->target->features) {
        unsigned length;
        const char *base = LLVMGetStringAttributeValue(a, &length);
        base_str all = {0};
        base_str_addf(&all, "%.*s,%s", (int)length, base, c->target->features);
        set_text(c, to, "target-features", all.data);
        base_str_free(&all);
    }
    if (c->target->base.lanes == 16) set_text(c, to, "prefer-vector-width", "512");
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

/* Shared functions get the level into their name, so that levels can live in one program, and a
 * section each, so that the linker can drop those nobody calls. */
static void share(LLVMValueRef f) {
    char name[128], section[144];
    size_t length;
    cg_bitcode_symbol(cg_bitcode_level(f), LLVMGetValueName2(f, &length), name, sizeof name);
    LLVMSetValueName2(f, name, strlen(name));
    LLVMSetVisibility(f, LLVMHiddenVisibility);
    if (LLVMIsDeclaration(f)) return;
    snprintf(section, sizeof section, ".text.%s", name);
    LLVMSetSection(f, section);
}

/* Kernels become parts of their wrappers; what nobody calls goes. */
static void prepare(cg *c) {
    for (LLVMValueRef f = LLVMGetFirstFunction(c->module); f; f = LLVMGetNextFunction(f)) {
        bool kernel = starts(f, "ebru_k_"), defined = !LLVMIsDeclaration(f);
        drop_flag(f, "optnone");
        if (c->role != CG_WHOLE && (cg_bitcode_is_tile(f) || (c->role == CG_KERNELS && kernel))) {
            share(f);
        } else if (defined && !starts(f, "ebru.")) {
            bool called = kernel && c->opt_level == 0;
            drop_flag(f, called ? "alwaysinline" : "noinline");
            if (kernel || starts(f, "ebru_ew_"))
                cg_set_flag(c, f, called ? "noinline" : "alwaysinline");
            LLVMSetLinkage(f, LLVMInternalLinkage);
        }
    }
    for (LLVMValueRef g = LLVMGetFirstGlobal(c->module); g; g = LLVMGetNextGlobal(g))
        if (!LLVMIsDeclaration(g) && !starts(g, "llvm.") && !starts(g, "ebru."))
            LLVMSetLinkage(g, LLVMInternalLinkage);
}

static const char *pipeline(const cg *c) {
    if (c->role == CG_TILES || c->role == CG_KERNELS) return "globaldce"; /* optimised as C */
    switch (c->opt_level) {
    case 0: return "always-inline,globaldce,function(sroa,early-cse)";
    case 1: return "always-inline,globaldce,default<O1>";
    case 2: return "always-inline,globaldce,default<O2>";
    default: return "always-inline,globaldce,default<O3>";
    }
}

bool cg_optimize(cg *c) {
    if (c->failed || !cg_bitcode_link(c)) return false;
    char *message = NULL;
    cg_split_params(c);
    prepare(c);
    if (LLVMVerifyModule(c->module, LLVMReturnStatusAction, &message))
        cg_job_broken("broken module: %s", message);
    LLVMDisposeMessage(message);
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    /* Kernels are written in vectors; what is scalar in them is scalar on purpose. */
    LLVMPassBuilderOptionsSetSLPVectorization(options, 0);
    LLVMPassBuilderOptionsSetLoopVectorization(options, 0);
    LLVMPassBuilderOptionsSetLoopInterleaving(options, 0);
    LLVMPassBuilderOptionsSetLoopUnrolling(options, 0);
    LLVMErrorRef error = LLVMRunPasses(c->module, pipeline(c), c->machine, options);
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
    bool fine =
        !c->failed && write_bytes(c, path, LLVMGetBufferStart(bytes), LLVMGetBufferSize(bytes));
    LLVMDisposeMemoryBuffer(bytes);
    return fine;
}
