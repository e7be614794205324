/* What the functions of a model are given while it paints: the values that rounding is measured
 * with. */
#ifndef EBRU_DRIVER_QUANTIZE_RECORDING_H
#define EBRU_DRIVER_QUANTIZE_RECORDING_H

#include "driver/quantize/op_code.h"
#include "frontend/files/files.h"
#include "runtime/samplers/samplers.h"

typedef struct quant_value {
    char *name;
    void *data; /* as it lies in the program */
    uint64_t bytes;
} quant_value;

/* A call of one function, with copies of what it read and gave. */
typedef struct quant_call {
    char *function;
    double weight; /* of an error of its result, as a power, in the sample */
    BASE_VEC(quant_value) in;
    BASE_VEC(quant_value) out;
} quant_call;

typedef struct quant_recording {
    BASE_VEC(quant_call) calls; /* in order */
    uint32_t paintings, steps;  /* 0: the model paints nothing, and its inputs were made up */
    bool pictures_made_up;      /* it begins with a picture, which nobody gave */
} quant_recording;

typedef struct quant_prompts {
    BASE_VEC(const char *) items;
    bool given; /* by the user */
    fe_bytes text;
} quant_prompts;

/* The prompts of a file, a line each; `path` NULL: ones that ebru has. False with diagnostics. */
bool quant_prompts_read(base_diag *d, const char *path, quant_prompts *out);
void quant_prompts_free(quant_prompts *p);

/* Records a painting of each prompt (class, seed) in turn, until there are `samples` calls of the
 * denoiser, taken from the first to the last step of the sampler; of other networks up to two calls
 * a painting. A model without a pipeline is called as often with made-up inputs; `m` is its placed
 * module. False with diagnostics. */
bool quant_record(base_diag *d, quant_code *code, const ir_module *m, const quant_prompts *prompts,
                  uint32_t samples, bool quiet, quant_recording *out);
void quant_recording_free(quant_recording *r);

/* For each evaluation of a sampler the power that an error of the denoiser's result, of power 1,
 * has in the sample that the step gives, as the denoiser is shown it next. `out` has room for
 * rt_sampler_evaluations(). False when the sampler cannot be run. */
bool quant_step_weights(const rt_sampler_config *config, int steps, double *out);

/* The value of that name; NULL: there is none. */
const quant_value *quant_call_input(const quant_call *c, const char *name);
const quant_value *quant_call_output(const quant_call *c, const char *name);

#endif
