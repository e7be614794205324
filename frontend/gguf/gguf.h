/* GGUF files: the tables of tensors that ggml's programs read (specification: ggml-org/ggml,
 * docs/gguf.md). Their elements are numbers or blocks of quantized ones, which are read as numbers
 * wherever a weight is read; nothing is converted before. */
#ifndef EBRU_FRONTEND_GGUF_GGUF_H
#define EBRU_FRONTEND_GGUF_GGUF_H

#include "frontend/safetensors/safetensors_table.h"

/* Checks a whole file in memory, of version 2 or 3, and appends its tensors to the table, sorted by
 * name among themselves; texts of its metadata become the table's. Dimensions are in PyTorch's
 * order, the reverse of ggml's, or those that comfy.gguf.orig_shape.NAME gives for tensors that were
 * flattened. False after reporting all bad tensors; the table is then good for fe_st_close only. */
bool gguf_add_file(fe_st *st, const char *shown, const uint8_t *data, size_t size);

#endif
