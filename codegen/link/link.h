/* Linking: the system's compiler driver joins the model's objects with the runtime. */
#ifndef EBRU_CODEGEN_LINK_LINK_H
#define EBRU_CODEGEN_LINK_LINK_H

#include "codegen/codegen.h"
#include "codegen/link/temp_dir.h"
#include "codegen/target/arch.h"

/* Links objects into `to` as options->kind says: CG_EXE with the runtime (pictures: with its PNG
 * decoder), CG_LIB a shared object, CG_OBJ one relocatable object. False with a diagnostic. */
bool cg_link(base_diag *d, cg_files *files, const cg_arch *arch, const char *const *objects,
             uint32_t count, bool pictures, const cg_options *options, const char *to);
/* Can programs (CG_EXE) of the architecture be linked? False with a diagnostic. paints: they are
 * asked to write pictures. */
bool cg_link_possible(base_diag *d, const cg_arch *arch, bool paints);

#endif
