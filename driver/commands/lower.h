/* From a command line to modules, and on to a program: loading, passes, code generation. */
#ifndef EBRU_DRIVER_COMMANDS_LOWER_H
#define EBRU_DRIVER_COMMANDS_LOWER_H

#include "codegen/codegen.h"
#include "driver/cli/options.h"
#include "driver/quantize/quantization_file.h"
#include "driver/tune/tuning_file.h"
#include "passes/passes.h"

#define DRV_MAX_LEVELS 8 /* CPU levels of one program */

/* A model on its way: a module for each CPU level asked for. */
typedef struct drv_build {
    drv_tuning tuning;
    drv_quantization *quantization;   /* NULL: none is named */
    ir_target *tuned[DRV_MAX_LEVELS]; /* targets of `levels` that consult it */
    cg_level levels[DRV_MAX_LEVELS];
    pass_context *contexts[DRV_MAX_LEVELS];
    uint32_t count;
} drv_build;
/* A module at the level it was found: the model at `path`, or IR text. NULL with diagnostics. */
ir_module *drv_load(base_diag *d, const char *path, const fe_options *fe);
/* The same, to be compiled for `target`: drv_load_ir. */
ir_module *drv_load_for(base_diag *d, const char *path, const fe_options *fe,
                        const ir_target *target);
/* What the command line says of loading. */
fe_options drv_fe_options(const drv_load_options *o);
/* True when a path names IR text. */
bool drv_is_ir(const char *path);
/* IR text from a file or "-"; weights stay unbound. Bindings are held to `target`; where it is NULL
 * they are taken as they stand, to be shown or evaluated. */
ir_module *drv_load_ir(base_diag *d, const char *path, const ir_target *target);
/* Runs the passes for every level asked for. `fe` as for drv_load. False with diagnostics. */
bool drv_lower(base_diag *d, const drv_options *o, const fe_options *fe, drv_build *b);
/* The same; `loaded` sees each level's module before its first pass. */
bool drv_lower_observed(base_diag *d, const drv_options *o, const fe_options *fe, drv_build *b,
                        void (*loaded)(void *user, const ir_module *m), void *user);
void drv_build_free(drv_build *b);
/* Emits a lowered model as a program (or what --emit says) to `output`. */
bool drv_emit(base_diag *d, const drv_options *o, drv_build *b, const char *output,
              cg_emit_kind kind, cg_result *result);
/* What the command line says of passes; `q`: what --quantization= names, or NULL. */
pass_options drv_pass_options(const drv_options *o, const drv_quantization *q);
/* Reads what --quantization= names. *q: that, or NULL. False with diagnostics. */
bool drv_quantization_open(base_diag *d, const drv_options *o, drv_quantization **q);
/* Holds it to a module that was loaded and bound, and notes it in the module's properties; q may be
 * NULL. False with diagnostics. */
bool drv_quantization_apply(base_diag *d, const drv_options *o, drv_quantization *q, ir_module *m);
/* Makes the folder of --dump-dir if it is not there; NULL: none is wanted. False with a
 * diagnostic. */
bool drv_make_dump_dir(base_diag *d, const char *path);
/* Removes the dumps of an earlier run (NN-PASS.ir that are IR text) from a --dump-dir, so that the
 * folder holds one run; `model`, what is compiled, stays if it is one of them. False with a
 * diagnostic. NULL: nothing. */
bool drv_clear_dumps(base_diag *d, const char *dir, const char *model);

#endif
