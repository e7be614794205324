/* Outputs that diffusers' own tests print, reproduced without weights: inputs and initial weights
 * are drawn as torch draws them (torch_init.h), the network is built by the front end's block
 * builder, and both the reference evaluator and compiled code are held to the printed numbers. */
#ifndef EBRU_TESTS_UNIT_PUBLISHED_PUBLISHED_H
#define EBRU_TESTS_UNIT_PUBLISHED_PUBLISHED_H

#include "tests/unit/codegen/codegen_model.h"
#include "tests/unit/published/torch_init.h"

#include "frontend/build/blocks.h"

enum { PUBLISHED_INPUTS = 4, PUBLISHED_VALUES = 9 };

/* What a case draws. */
typedef struct published {
    torch_init init;
    uint32_t inputs;
    ir_tensor in[PUBLISHED_INPUTS];
} published;

/* Draws torch.randn(dim); the network gets element 0 of axis 0 as its next input, since pictures of
 * a batch do not depend on each other. */
void published_randn(published *p, uint32_t rank, const int64_t *dim);
/* An input with given values. */
void published_input(published *p, uint32_t rank, const int64_t *dim, const float *values);

/* `draw` draws inputs and weights; `build` builds the network from the inputs. `expected` are output[0, -1,
 * -3:, -3:] of an image. */
typedef struct published_case {
    const char *name;
    void (*draw)(published *p, const struct published_case *c);
    ir_ref (*build)(fe_builder *b, const ir_ref *in, const struct published_case *c);
    double expected[PUBLISHED_VALUES];
    int option; /* of draw and build */
} published_case;

/* Runs all cases: in the reference evaluator, and compiled for the best level of this CPU. Prints
 * the largest difference of each; fails the test when one differs in a printed digit. */
void published_check(const published_case *cases, uint32_t count);

/* The largest |ours - expected| of the last 3 x 3 values of an image [.., H, W]. */
double published_difference(const float *image, int64_t channels, int64_t height, int64_t width,
                            const double *expected);

/* ---- compiled code ---- */

/* A module at GRAPH level compiled and loaded; it is changed by that. */
typedef struct published_code {
    char path[512];
    model_loaded loaded;
} published_code;
published_code published_compile(ir_module *m, const char *file);
void published_unload(published_code *c);

#endif
