/* A module as code in this process: compiled, loaded, run function by function. */
#ifndef EBRU_DRIVER_QUANTIZE_OP_CODE_H
#define EBRU_DRIVER_QUANTIZE_OP_CODE_H

#include "driver/commands/lower.h"
#include "runtime/engine/engine.h"

typedef struct quant_code {
    void *handle; /* of the shared object; NULL: there is no code */
    rt_model model;
    rt_engine engine;
} quant_code;

/* Compiles a module that is placed and loads it; `o` says how. False with diagnostics; the code is
 * closed in any case with quant_code_close. */
bool quant_code_open(base_diag *d, const drv_options *o, drv_build *b, quant_code *code);
void quant_code_close(quant_code *code);

#endif
