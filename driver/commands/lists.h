/* Tables of what there is: --list-ops, --list-properties, --list-cpu-levels. */
#ifndef EBRU_DRIVER_COMMANDS_LISTS_H
#define EBRU_DRIVER_COMMANDS_LISTS_H

#include "driver/cli/options.h"

/* The ops of the IR with operands, attributes and levels, appended to `out`. */
void drv_list_ops(base_str *out);
/* The properties a model may carry (runtime/abi/meta_keys.def) as the list of docs/program.md,
 * appended to `out`. */
void drv_list_properties(base_str *out);
/* The CPU levels of a target (as --target= names it; NULL: this machine's) as a table, appended to
 * `out`; false with a diagnostic. */
bool drv_list_cpu_levels(base_diag *d, const char *target, base_str *out);

/* `text` as an entry of a list in Markdown, wrapped at 100 columns; what hangs below is indented by
 * two. */
void drv_list_entry(const char *text, base_str *out);

#endif
