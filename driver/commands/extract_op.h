/* One op of a lowered model as a module of its own. */
#ifndef EBRU_DRIVER_COMMANDS_EXTRACT_OP_H
#define EBRU_DRIVER_COMMANDS_EXTRACT_OP_H

#include "base/diag.h"
#include "ir/target.h"

/* Node `op` ("%41", numbered as in the text form) of a module whose nodes are bound to `target`, as
 * a module of its own at KERNEL level, with one function @op; `function` names where it is, NULL:
 * the only one with such a node. `set`, if not NULL, are tiles to take instead of its own
 * (cg_set_tiles). *text receives its line. NULL with diagnostics. `m` must live longer than the
 * result. */
ir_module *drv_extract(base_diag *d, const ir_module *m, const ir_target *target,
                       const char *function, const char *op, const char *set, base_str *text);

/* The same node, where it stands. False with diagnostics. */
bool drv_find_op(base_diag *d, const ir_module *m, const char *function, const char *op,
                 const ir_func **f, ir_ref *node);

#endif
