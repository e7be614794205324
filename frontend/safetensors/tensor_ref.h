/* References to tensors in files, and to parts of them, as text: what a weight of the module says
 * about where its elements are (ir_weight.tensor).
 *
 *   NAME            the tensor
 *   NAME[a:b]       its rows a to b - 1, as in Python
 *   NAME.T          its transpose (of a matrix)
 *
 * A tensor that has such a name itself comes first. */
#ifndef EBRU_FRONTEND_SAFETENSORS_TENSOR_REF_H
#define EBRU_FRONTEND_SAFETENSORS_TENSOR_REF_H

#include "frontend/safetensors/safetensors.h"

typedef struct fe_tensor_view {
    const fe_st_tensor *tensor; /* the whole one */
    fe_st_dtype dtype;          /* of the elements here: what is copied from blocks is F32 */
    uint32_t rank;
    int64_t dims[FE_ST_MAX_RANK];
    const uint8_t *data; /* of the first element */
    /* NULL, or a copy the elements were put in order in: data, to be freed with base_free */
    const uint8_t *copy;
} fe_tensor_view;

/* Finds what `reference` says. False when there is no such tensor or no such part of it. */
bool fe_tensor_find(const fe_st *table, const char *reference, fe_tensor_view *view);

/* Gives a view of a GGUF's tensor the first dimensions of 1 that such files do not write down, where
 * it has this shape then; any other view stays as it is. */
void fe_tensor_add_ones(fe_tensor_view *view, uint32_t rank, const int64_t *dims);

#endif
