/* What the verifier's files and the parser share; not for other folders. */
#ifndef EBRU_IR_CHECK_VERIFY_H
#define EBRU_IR_CHECK_VERIFY_H

#include "ir/ir.h"

/* Where faults go. `f` is NULL for faults of the module, `node` IR_NONE for faults of a function.
 */
typedef struct ir_fault_sink {
    void (*report)(void *user, const ir_func *f, ir_ref node, const char *message);
    void *user;
    uint32_t count;
} ir_fault_sink;

/* ir_verify with faults reported one by one; true when there are none. */
bool ir_verify_into(const ir_module *m, ir_fault_sink *sink);

/* verify.c: a fault of node r, named with its op; always false. */
bool verify_fault(ir_fault_sink *sink, const ir_func *f, ir_ref r, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* verify_place.c: bindings from KERNEL on, places at PLACED, for functions of sound structure. */
void verify_bindings(ir_fault_sink *sink, const ir_func *f);
void verify_places(ir_fault_sink *sink, const ir_func *f);
void verify_weight_places(ir_fault_sink *sink, const ir_module *m);

#endif
