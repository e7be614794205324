/* What `inspect` finds in a program, for others that look into one. */
#ifndef EBRU_DRIVER_COMMANDS_INSPECT_H
#define EBRU_DRIVER_COMMANDS_INSPECT_H

#include "frontend/files/files.h"
#include "ir/ir.h"

/* The text of --build-info in a program's file, not terminated; NULL when there is none.
 */
const char *drv_build_info(const fe_map *map, size_t *length);

/* Functions with their inputs and outputs, a line each. */
void drv_describe_functions(const ir_module *m, base_str *out);

#endif
