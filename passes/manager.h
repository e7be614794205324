/* Inside of the pass manager: what manager.c and check.c share. */
#ifndef EBRU_PASSES_MANAGER_H
#define EBRU_PASSES_MANAGER_H

#include "passes/passes.h"

/* Verifier and print/parse round trip; faults are appended. */
void pass_check(const ir_module *m, ir_str *faults);
/* Our bug: writes <dir or .>/ebru-bad.ir and ends the process with 70. */
_Noreturn void pass_broken(const ir_module *m, const char *pass, const char *faults, const char *dir);
/* The module's text behind a comment line that names the pass. */
void pass_print(const ir_module *m, const char *pass, bool changed, FILE *out);
/* <dir>/NN-PASS.ir; false with a diagnostic when it cannot be written. */
bool pass_dump(ir_diag *d, const ir_module *m, const char *dir, uint32_t number, const char *pass);

#endif
