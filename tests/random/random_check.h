/* A random module through a pipeline: does the evaluator compute the same before and after? */
#ifndef EBRU_TESTS_RANDOM_RANDOM_CHECK_H
#define EBRU_TESTS_RANDOM_RANDOM_CHECK_H

#include "passes/passes.h"
#include "tests/random/random_module.h"

typedef enum random_verdict {
    RANDOM_SAME,
    RANDOM_DIFFERENT,
    RANDOM_BROKEN,     /* the passes ended with a fault of their own */
    RANDOM_MISTRUSTED, /* most of the result is one number, or it is not finite: proves nothing */
    RANDOM_VERDICTS
} random_verdict;

/* Names of what a subset leaves out, for pass_options.disabled. */
typedef struct random_subset {
    const char *off[64];
    uint32_t count;
    bool separate_buffers;
} random_subset;

/* Subset 0 leaves nothing out, 1 all that may be left out; the others half of it, by a hash, so
 * that sixteen of them have every pair of passes in all four combinations. */
random_subset random_pass_subset(uint32_t index);

/* Whether the results behind the passes with a planted fault (pass_options.fault) are bit by bit
 * those without it: the fault is where it changes nothing, such as a limit that no value reaches.
 */
bool random_fault_is_idle(uint64_t seed, const random_options *o, const pass_options *passes);

/* Runs the passes with a target that has a kernel for everything. False when they refuse. */
bool random_run_passes(ir_module *m, const pass_options *passes);

/* Makes the module, evaluates it, runs the passes on it with everything verified, evaluates it
 * again. `why` gets the difference and the module when the verdict is DIFFERENT or BROKEN. */
random_verdict random_check(uint64_t seed, const random_options *o, const pass_options *passes,
                            base_str *why);

#endif
