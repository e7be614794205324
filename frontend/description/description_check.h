/* The parts of the model description language around the building of functions: the first walk,
 * which checks the document's form (description_check.c), and the pipeline section
 * (description_pipeline.c). */
#ifndef EBRU_FRONTEND_DESCRIPTION_DESCRIPTION_CHECK_H
#define EBRU_FRONTEND_DESCRIPTION_DESCRIPTION_CHECK_H

#include "frontend/description/expression.h"
#include "frontend/files/json_file.h"
#include "frontend/frontend.h"

/* Looks at every key and every block of the document once; false after reporting all that is
 * unknown, missing or of the wrong kind. */
bool fe_desc_check(base_jval root);

/* A number: an integer or a string with an expression. False after reporting. */
bool fe_desc_expression(const fe_variables *vars, base_jval v, int64_t *out, int64_t min,
                        int64_t max);

/* The denoiser's name, "unet" unless the pipeline section says otherwise; NULL without a sampling
 * loop. */
const char *fe_desc_denoiser(base_jval pipeline);
/* Whether the loop runs with guidance (the denoiser at twice the batch). */
bool fe_desc_guidance(base_jval pipeline);
/* Sets the meta of the pipeline section after the functions were built; false after reporting what
 * does not fit. */
bool fe_desc_pipeline(base_diag *d, ir_module *m, base_jval root, const char *path,
                      const fe_options *o);

#endif
