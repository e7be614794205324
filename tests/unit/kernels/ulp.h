/* Errors of the elementwise functions in units of the last place of the true value (what libm
 * computes in double), over any part of the 2^32 floats. Shared by the test, which strides, and
 * bench/kernel_ulp.c, which does not. */
#ifndef EBRU_TESTS_UNIT_KERNELS_ULP_H
#define EBRU_TESTS_UNIT_KERNELS_ULP_H

#include "tests/unit/kernels/kernel_levels.h"

#include <stdbool.h>
#include <stdint.h>

enum { ULP_LEVELS = KT_F32_COUNT };

typedef void ulp_ew(float *, const float *); /* sixteen floats */

typedef struct ulp_function {
    const char *name;
    ulp_ew *f[ULP_LEVELS]; /* by ulp_level_name */
    double (*ref)(double);
    double bound;        /* in ulp, for every input and level */
    double flushed;      /* true values smaller than this may come out as 0 */
    bool not_above_zero; /* defined for x <= 0 only */
} ulp_function;

extern const ulp_function ulp_functions[];
extern const int ulp_function_count;
extern const char *const ulp_level_name[ULP_LEVELS];
bool ulp_level_runs(int level); /* on this CPU */

/* What one level's function did over the inputs of ulp_scan. */
typedef struct ulp_result {
    /* ulp, of results that are neither correctly rounded (half a unit at most) nor flushed */
    double worst;
    uint32_t at;              /* bits of the input where */
    uint64_t inputs, correct; /* numbers looked at; correctly rounded ones */
    uint64_t flushed;
    double largest_flushed; /* magnitude of the true value */
    uint64_t wrong;         /* NaN where there is a value, a value where there is none */
    uint32_t wrong_at;
} ulp_result;

/* Adds to out[ULP_LEVELS] the inputs with bits first, first + stride, ... below end (at most 2^32).
 * Infinities are left out (ulp_function's limits are the test's business); NaN must give NaN.
 * Levels this CPU has not stay as they are. */
void ulp_scan(const ulp_function *f, uint64_t first, uint64_t end, uint64_t stride,
              ulp_result out[ULP_LEVELS]);
/* Adds b to a. */
void ulp_join(ulp_result *a, const ulp_result *b);

float ulp_float(uint32_t bits);

#endif
