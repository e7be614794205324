/* The defaults of a program's options by what its model is: steps, guidance, strength, noise level.
 */
#ifndef EBRU_FRONTEND_DEFAULTS_H
#define EBRU_FRONTEND_DEFAULTS_H

#include "frontend/frontend.h"

/* What pipelines of a class begin with when the model says nothing else. */
typedef struct fe_defaults {
    int64_t steps;
    double guidance;
    const char *of; /* the class, for the note; NULL: none is written */
} fe_defaults;

enum { FE_DEFAULT_NAMES = 3 };

/* Sets sampler.steps and sampler.guidance of a module whose sampler's properties are set, and
 * changes sampler.strength where there is one: by the first rule that the model fits (the table in
 * defaults.c), else to `otherwise`. A rule that changes something is told in a note, unless the
 * options set the values. `names`: what the model's files call it; NULL where they do not. */
void fe_defaults_choose(base_diag *d, ir_module *m, const fe_options *o,
                        const fe_defaults *otherwise, const char *const names[FE_DEFAULT_NAMES]);

/* Sets what the options --default-... say. False after reporting each that the model has no use
 * for, or whose value it cannot run. */
bool fe_defaults_override(base_diag *d, ir_module *m, const fe_options *o);

#endif
