/* How the lowered IR computes an op: which form, in which precision, and what a quantization file
 * says of the error. For the fusion report, the metafile, the page and `ebru report`. */
#ifndef EBRU_DRIVER_ANALYZE_OP_FORMS_H
#define EBRU_DRIVER_ANALYZE_OP_FORMS_H

#include "driver/json_writer.h"
#include "driver/quantize/quantization_file.h"

typedef struct drv_op_form {
    const char *form; /* "direct", "F(2,3)" */
    ir_precision precision;
    const char *weight;        /* of those its filter is made of, the first; NULL: it has none */
    double signal_to_noise_dB; /* in this precision, of its worst weight; NAN: not known */
} drv_op_form;

/* Whether the op multiplies in one of several forms; then *out. `constant`: ir_constants of the
 * function. `q` may be NULL. */
bool drv_op_form_of(const ir_func *f, ir_ref node, const bool *constant, const drv_quantization *q,
                    drv_op_form *out);
/* As members "form", "precision", "filter" and "signal_to_noise_dB"; what is not known is left
 * out. */
void drv_add_op_form(cJSON *to, const drv_op_form *form);

#endif
