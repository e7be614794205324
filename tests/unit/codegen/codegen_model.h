/* Small models for code generation tests: build functions, run the passes, emit a shared object,
 * call it, compare with the evaluator. */
#ifndef EBRU_TESTS_UNIT_CODEGEN_CODEGEN_MODEL_H
#define EBRU_TESTS_UNIT_CODEGEN_CODEGEN_MODEL_H

#include "codegen/codegen.h"
#include "ir/ir.h"
#include "runtime/abi/abi.h"

typedef void model_builder(ir_func *f);

/* One function of a test model. */
typedef struct model_case {
    const char *name;
    model_builder *build;
    /* GRAPH or FUSED: where its ops are legal; all cases of a model have the same */
    ir_level level;
    double tolerance; /* of rms(difference) / rms(reference); 0 = 3e-6 */
} model_case;

/* ---- building ---- */

#define DIMS(...)                                                                                  \
    (uint32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) {            \
        __VA_ARGS__                                                                                \
    }
ir_ref model_input(ir_func *f, const char *name, uint32_t rank, const int64_t *dim);
ir_ref model_ids(ir_func *f, const char *name, uint32_t rank, const int64_t *dim); /* i32 */
/* A random weight "FUNC/NAME" around `center`. */
ir_ref model_weight(ir_func *f, const char *name, double center, double bound, uint32_t rank,
                    const int64_t *dim);
ir_ref model_op(ir_func *f, ir_op op, const void *attrs, uint32_t count, const ir_ref *operands);
#define OPERANDS(...)                                                                              \
    (uint32_t)(sizeof((ir_ref[]){__VA_ARGS__}) / sizeof(ir_ref)), (const ir_ref[]) {               \
        __VA_ARGS__                                                                                \
    }

/* ---- running ---- */

enum { MODEL_MOST_VALUES = 16 }; /* inputs of a case, and outputs */

/* Values of inputs and of the reference's outputs, for all cases. */
typedef struct model_data {
    uint32_t count;
    struct model_values {
        uint32_t inputs, outputs;
        int32_t cut; /* threads that the work is cut for; 0: those that run */
        ir_tensor in[MODEL_MOST_VALUES], out[MODEL_MOST_VALUES];
    } *values;
} model_data;

ir_module *model_build(const model_case *cases, uint32_t count);
model_data model_reference(const ir_module *m);
void model_data_free(model_data *d);
/* The default passes from the cases' level on. */
void model_passes(ir_module *m, const ir_target *target, ir_level from);
/* With products of that precision. */
void model_lower(ir_module *m, const ir_target *target, ir_level from, ir_precision precision);
/* True when this CPU runs the level. */
bool model_runs(const char *level);

/* An emitted shared object. */
typedef struct model_loaded {
    void *handle;
    const struct ebru_model *tables;
    const char *weights;
} model_loaded;
model_loaded model_load(const char *path);
void model_unload(model_loaded *l);
/* Runs function i of a level on `threads` threads; out[k] are buffers of the tables' sizes,
 * calloc'd here. */
void model_run(const model_loaded *l, int level, int function, int threads,
               const struct model_values *v, void *out[MODEL_MOST_VALUES]);
/* rms(difference) / rms(reference) of one output as the program left it (plain layout); 1e30 for
 * NaN. */
double model_error(const struct ebru_tensor_desc *d, const void *got, const ir_tensor *want);

#endif
