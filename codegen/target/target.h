/* The architectures and CPU levels that programs are compiled for. Needs no LLVM. */
#ifndef EBRU_CODEGEN_TARGET_TARGET_H
#define EBRU_CODEGEN_TARGET_TARGET_H

#include "base/diag.h"
#include "ir/target.h"

/* Architectures, by the triple that --target= takes, NULL the machine's own: all are compiled for
 * everywhere. NULL with a diagnostic when unknown. */
typedef struct cg_arch cg_arch;
const cg_arch *cg_arch_find(base_diag *d, const char *triple);
const char *cg_arch_triple(const cg_arch *a);
/* Targets of an architecture, one for each of its CPU levels (base/cpu/levels.def); of the
 * machine's own also "native", the best of them this CPU runs and the system grants to programs.
 * NULL with a diagnostic when unknown. The target is static or lives as long as the process. */
const ir_target *cg_arch_target(base_diag *d, const cg_arch *a, const char *name);
uint32_t cg_arch_target_count(const cg_arch *a);
const char *cg_arch_target_name(const cg_arch *a, uint32_t index); /* lowest first */
const char *
cg_arch_default(const cg_arch *a); /* "native", or another architecture's lowest level */
/* Whether this machine runs a target's code; if not, appends to `missing` (may be NULL) what it
 * lacks, as "amx-tile, amx-bf16". */
bool cg_target_runs_here(const ir_target *t, base_str *missing);
/* Holds the bindings of a module that was read from text to its nodes and to what is legal at a
 * target (an ir_target *). What is not is reported; tasks and scratch that are not those of the
 * tiles are set right, with a remark. `hold` of ir_text_rules. */
void cg_hold_bindings(void *target, ir_module *m, const ir_text_report *to);
/* Changes tiles of a bound node: `list` is "NB=1,TH=4". Tasks and scratch of node and function
 * follow. False, with the reason appended and nothing changed, where the list is none of the
 * kernel's tiles or they are not legal at the target. */
bool cg_set_tiles(const ir_target *t, ir_func *f, ir_ref r, const char *list, base_str *why);
/* Targets of the machine's own architecture. */
const ir_target *cg_target(base_diag *d, const char *name);
uint32_t cg_target_count(void);
const char *cg_target_name(uint32_t index);

#endif
