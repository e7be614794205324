/* The code generation context. One cg is one LLVM module: the kernels of one CPU level, wrappers
 * specialising them, the model's functions. It lives in a forked child only; cg.h is the only
 * header that sees LLVM. */
#ifndef EBRU_CODEGEN_LLVM_CG_H
#define EBRU_CODEGEN_LLVM_CG_H

#include "codegen/codegen.h"
#include "codegen/llvm/emission_plan.h"
#include "codegen/target/arch.h"

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

/* What of a level an object holds: everything a model needs; the functions that kernels call as
 * they are (register tiles); the kernels as they are; or a model's wrappers, which call those of
 * other objects. */
typedef enum cg_role { CG_WHOLE, CG_TILES, CG_KERNELS, CG_WRAPPERS } cg_role;

/* The call of a kernel whose params vary with the cut; the fields that do, a bit each. */
typedef struct cg_kernel_call {
    LLVMValueRef call, params; /* the params as a constant */
    uint64_t varying;
} cg_kernel_call;

typedef struct cg {
    const cg_arch *arch;
    const cg_target_info *target; /* NULL for the tables, which belong to no level */
    cg_role role;
    int opt_level; /* 0: wrappers call the kernels as they are; above: kernels are specialised */
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMModuleRef library[4]; /* the level's kernels and tiles, unread but for their names */
    uint32_t library_count;
    BASE_VEC(cg_kernel_call) calls; /* until cg_split_params */
    LLVMBuilderRef builder;
    LLVMTargetMachineRef machine;
    LLVMTypeRef void_, ptr, i1, i32, i64, f32, v16f;
    base_str *fault; /* messages of LLVM and ours */
    bool failed;
} cg;

/* module.c: life of a module. cg_open makes an empty one, with the level's library at hand; those
 * of roles CG_TILES and CG_KERNELS begin with all of it that is the level's own. opt_level: 0..3.
 */
bool cg_open(cg *c, const cg_arch *arch, const cg_target_info *target, cg_role role, int opt_level,
             const char *name, base_str *fault);
void cg_close(cg *c);
/* Takes what is called from the library, verifies, makes all but the entry functions internal, runs
 * LLVM's pipeline. */
bool cg_optimize(cg *c);
/* Writes object code, assembly or IR to a file. */
bool cg_write(cg *c, cg_emit_kind kind, const char *path);
bool cg_fail(cg *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A function of ours with the level's target attributes; hidden unless internal. */
LLVMValueRef cg_function(cg *c, const char *name, LLVMTypeRef type, bool internal);
void cg_set_flag(cg *c, LLVMValueRef fn, const char *attribute);
void cg_set_align(cg *c, LLVMValueRef fn, uint32_t argument, uint64_t bytes);
/* Everything of this process's LLVM fails through `report` (never returns). */
void cg_on_fatal_error(void (*report)(const char *reason));
const char *cg_llvm_version(void);

/* library.c: bitcode of the kernels. cg_bitcode_open looks into the level's without reading bodies;
 * cg_bitcode_link puts what the module calls (all, in the roles that begin so) into it. */
bool cg_bitcode_open(cg *c);
bool cg_bitcode_link(cg *c);
/* The function ebru_k_NAME or ebru_ew_NAME ("k_conv2d"), declared in the module; NULL when the
 * level has none. With opt_level 0 kernels are those of the level's CG_KERNELS object. */
LLVMValueRef cg_bitcode_function(cg *c, const char *name);
/* Any function of the library, for the attributes it was compiled with. */
LLVMValueRef cg_bitcode_any(const cg *c);
/* Isa of the level whose library has the function; -1 for functions of other origin. */
int32_t cg_bitcode_level(LLVMValueRef fn);
/* What kernels call but is never specialised (the register tiles). */
bool cg_bitcode_is_tile(LLVMValueRef fn);
/* Name of a function that is shared between objects: levels can live in one program. */
void cg_bitcode_symbol(int32_t isa, const char *function, char *to, size_t size);

/* Builder shorthands with explicit types. */
LLVMValueRef cg_i32(const cg *c, int64_t v);
LLVMValueRef cg_i64(const cg *c, int64_t v);
LLVMValueRef cg_bytes_at(const cg *c, LLVMValueRef base, uint64_t offset); /* base + offset bytes */
LLVMValueRef cg_float_at(const cg *c, LLVMValueRef base,
                         LLVMValueRef index); /* (float *)base + index */
LLVMValueRef cg_load_ptr(const cg *c, LLVMValueRef base,
                         uint64_t offset);                 /* pointer at base + offset */
LLVMBasicBlockRef cg_block(const cg *c, const char *name); /* appended to the current function */
/* for (i = first; i < last; i++): cg_loop opens, body follows, cg_loop_end closes. */
typedef struct cg_loop {
    LLVMBasicBlockRef head, exit;
    LLVMValueRef index, last;
} cg_loop;
cg_loop cg_loop_begin(const cg *c, LLVMValueRef first, LLVMValueRef last, const char *name);
void cg_loop_end(const cg *c, cg_loop *loop);

/* specialize.c: the wrapper of plan->wrappers[index]: a definition when this part owns it, else a
 * declaration. Arguments: present operands in buf order, scratch, call, thread, op. */
bool cg_emit_wrappers(cg *c, const cg_plan *plan, uint32_t part, LLVMValueRef *wrappers);
/* split_params.c, after linking and before inlining: kernels read from a constant all params that
 * their cut does not decide; those that it does from the wrapper's copy, so far behind the operands.
 */
enum { CG_PARAMS_AT = 8 * CG_MAX_BUFS };
void cg_split_params(cg *c);
/* A loop in a wrapper over the tasks [begin, end) that ebru_take gives it for the wrapper's call,
 * thread and op, which are the arguments from `argument` on; `step` as there. The end returns from
 * the wrapper. */
typedef struct cg_tasks {
    LLVMBasicBlockRef next, done;
    LLVMValueRef begin, end; /* i32 */
} cg_tasks;
cg_tasks cg_tasks_begin(cg *c, LLVMValueRef fn, uint32_t argument, LLVMValueRef tasks,
                        LLVMValueRef step);
void cg_tasks_end(cg *c, const cg_tasks *t);
/* elementwise.c: body of an elementwise wrapper; arguments: operands, result, scratch, call, thread,
 * op. */
bool cg_ew_body(cg *c, LLVMValueRef fn, const cg_ew_plan *plan);
/* func.c: the model's functions. */
bool cg_emit_functions(cg *c, const cg_plan *plan, const LLVMValueRef *wrappers,
                       const cg_options *options);

/* tables.c: the constant tables of runtime/abi/abi.h in a module of their own. */
typedef struct cg_table_input {
    const cg_level *levels;
    uint32_t level_count;
    const cg_plan *plans; /* one a level */
    const cg_options *options;
    uint64_t weights_bytes;
    unsigned char weights_id[16];
    const char *external; /* file name of the weights beside the program, or NULL */
} cg_table_input;
bool cg_emit_tables(cg *c, const cg_table_input *in);

#endif
