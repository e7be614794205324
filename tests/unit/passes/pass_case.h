/* A pass test: a module from text, values of its inputs, passes run over it, and the evaluator's
 * word that nothing changed. */
#ifndef EBRU_TESTS_UNIT_PASSES_PASS_CASE_H
#define EBRU_TESTS_UNIT_PASSES_PASS_CASE_H

#include "passes/passes.h"

/* Head of a module with weights every case may use: wNxC are filters, vN vectors, all random. */
#define HEAD(level)                                                                                \
    "ebru ir 3 " level "\n"                                                                        \
    "weight @w8x8 : f32[8,8,3,3] = random 1 0.2 0.0\n"                                             \
    "weight @w8x8b : f32[8,8,3,3] = random 2 0.2 0.0\n"                                            \
    "weight @w8x16 : f32[8,16,3,3] = random 3 0.2 0.0\n"                                           \
    "weight @w8x24 : f32[8,24,3,3] = random 4 0.2 0.0\n"                                           \
    "weight @p8x24 : f32[8,24,1,1] = random 5 0.2 0.0\n"                                           \
    "weight @l8x8 : f32[8,8] = random 6 0.3 0.0\n"                                                 \
    "weight @l20x8 : f32[20,8] = random 7 0.3 0.0\n"                                               \
    "weight @h8x8 : f16[8,8] = random 8 0.3 0.0\n"                                                 \
    "weight @v8 : f32[8] = random 9 0.5 0.5\n"                                                     \
    "weight @u8 : f32[8] = random 10 0.5 0.0\n"                                                    \
    "weight @v24 : f32[24] = random 11 0.5 0.5\n"                                                  \
    "weight @u24 : f32[24] = random 12 0.5 0.0\n"                                                  \
    "weight @v20 : f32[20] = random 13 0.5 0.0\n"                                                  \
    "weight @table : f32[5,20] = random 14 1.0 0.0\n"                                              \
    "weight @places : f32[6,20] = random 15 1.0 0.0\n"                                             \
    "weight @one : f32[1] = random 16 1.0 0.0\n"

ir_module *case_parse(const char *text);
/* A target that binds every node to a kernel of its op's name. */
const ir_target *case_target(void);

/* Values of inputs and outputs by name: what programs pass from one function to the next. */
typedef struct case_value {
    char name[200];
    ir_tensor tensor;
} case_value;
enum { CASE_MOST_VALUES = 300 };
typedef struct case_values {
    case_value items[CASE_MOST_VALUES];
    uint32_t count;
} case_values;
ir_tensor *case_find(case_values *v, const char *name);
/* The latest of that name: an output whose function has an input called like it. */
ir_tensor *case_find_output(case_values *v, const char *name);
void case_free_values(case_values *v);
/* Evaluates f; inputs that are not in v yet are made (deterministic, depending on the name);
 * outputs are added. When an input's first axis is shorter than the value's, it gets row `row`. */
void case_eval(const ir_func *f, case_values *v, uint32_t row);

/* Runs passes (a list) with everything verified; the report is returned as text (base_str_free). */
base_str case_run(ir_module *m, const char *passes);
/* Text of the module contains / does not contain a string. */
void case_has(const ir_module *m, const char *text);
void case_has_not(const ir_module *m, const char *text);
/* The whole case: parse, evaluate all functions, run, evaluate again, compare. Returns the module
 * for a closer look. */
ir_module *case_same(const char *text, const char *passes, base_str *report);
void case_compare(const ir_tensor *a, const ir_tensor *b, const char *what);

#endif
