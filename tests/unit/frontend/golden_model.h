/* A model under tests/goldens or models/, evaluated by the reference evaluator on the tensors
 * `in.NAME` of its io.safetensors and compared with `out.NAME`. */
#ifndef EBRU_TESTS_UNIT_FRONTEND_GOLDEN_MODEL_H
#define EBRU_TESTS_UNIT_FRONTEND_GOLDEN_MODEL_H

#include "frontend/frontend.h"
#include "frontend/safetensors/safetensors.h"
#include "ir/ir.h"

typedef struct golden_result {
    int outputs;      /* compared */
    double worst;     /* largest rms error / rms of the reference */
    double worst_max; /* largest absolute error */
} golden_result;

/* Loads `model` (a path) for the shapes in `io`, evaluates the functions whose inputs and outputs
 * the file holds. Exits with a message when something cannot be loaded. */
golden_result golden_model_check(const char *model, const char *io);
/* The same with these options; shapes are the file's. */
golden_result golden_model_check_with(const char *model, const char *io, fe_options o);

#endif
