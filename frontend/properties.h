/* Whether a module's properties are ones that a model may have. */
#ifndef EBRU_FRONTEND_PROPERTIES_H
#define EBRU_FRONTEND_PROPERTIES_H

#include "ir/ir.h"

/* Holds the properties to the rows of runtime/abi/meta_keys.def. Of a module that was read from the
 * IR text `text` called `name`: false after reporting every key that is unknown, with the one that
 * was probably meant, and every value of the wrong kind. `text` NULL: the module is our own, and
 * such a key ends in ICE. */
bool fe_properties_check(base_diag *d, const ir_module *m, const char *name, const char *text,
                         size_t length);

#endif
