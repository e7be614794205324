/* One evaluator test: a module with one function, operands with values, and a value to check. */
#ifndef EBRU_TESTS_UNIT_IR_EVAL_CASE_H
#define EBRU_TESTS_UNIT_IR_EVAL_CASE_H

#include "ir/ir.h"

enum { CASE_MAX_INPUTS = 12 };

typedef struct eval_case {
    ir_module *m;
    ir_func *f;
    ir_tensor inputs[CASE_MAX_INPUTS];
} eval_case;

/* The type f32[...] of the given extents; T() is a scalar. */
#define T(...)                                                                                     \
    ir_type_make(IR_f32, (uint32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),           \
                 (const int64_t[]){__VA_ARGS__})
#define REFS(...)                                                                                  \
    (const ir_ref[]){__VA_ARGS__}, (uint32_t)(sizeof((ir_ref[]){__VA_ARGS__}) / sizeof(ir_ref))
#define VALUES(...) ((const float[]){__VA_ARGS__})

eval_case case_new(void);
/* Inputs of the function; the type's layout is kept. pattern(seed): P(seed, ...) of
 * eval_torch_values.h. */
ir_ref case_values(eval_case *c, ir_type type, const float *values);
ir_ref case_pattern(eval_case *c, ir_type type, int seed);
ir_ref case_ids(eval_case *c, ir_type type, const float *values); /* as i32 */
/* A weight of the module's table, kind DATA. */
ir_ref case_weight(eval_case *c, const char *name, ir_type type, const float *values);
float case_pattern_at(int seed, int64_t i);

/* The value of r, ir_tensor_free it. Its op counts as tested. */
ir_tensor case_eval(eval_case *c, ir_ref r);
/* Checks type (extents) and values of r against a relative or absolute difference of 2e-6 and frees
 * the module. */
void case_expect(eval_case *c, ir_ref r, ir_type type, const float *want);
void case_free(eval_case *c);
void check_values(const float *got, const float *want, int64_t count, double tolerance);

extern bool case_tested[IR_OP_COUNT];

#endif
