/* safetensors files: checked tables of named tensors in read-only mappings, and a writer. A GGUF file
 * is a table, too, wherever one is opened: what it is, is told by its first bytes (gguf.h).
 *
 * Format: 8 bytes little-endian header length n, n bytes of JSON, then the tensors' bytes without
 * gaps. Every check of the reference implementation is made, in its order, before a table exists;
 * all bad tensors of a file are reported, each by name. Tensor data has no particular alignment. */
#ifndef EBRU_FRONTEND_SAFETENSORS_SAFETENSORS_H
#define EBRU_FRONTEND_SAFETENSORS_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"
#include "frontend/files/files.h"
#include "ir/ir.h"

enum { FE_ST_MAX_RANK = 8, FE_ST_MAX_HEADER = 100000000 };

typedef enum fe_st_dtype {
    FE_ST_F64,
    FE_ST_F32,
    FE_ST_F16,
    FE_ST_BF16,
    FE_ST_I64,
    FE_ST_I32,
    FE_ST_I16,
    FE_ST_I8,
    FE_ST_U8,
    FE_ST_BOOL,
    FE_ST_BLOCKS, /* and on: blocks of GGUF files, FE_ST_BLOCKS + ir_stored */
} fe_st_dtype;

typedef struct fe_st_tensor {
    const char *name;
    fe_st_dtype dtype;
    uint32_t rank;                /* 0: a scalar of one element */
    int64_t dims[FE_ST_MAX_RANK]; /* any may be 0 */
    size_t count;                 /* elements */
    size_t bytes;                 /* of all elements */
    const uint8_t *data;          /* unaligned, little-endian; valid until fe_st_close */
    const base_source *source;    /* the file, for messages (valid as long as the base_diag) */
    bool gguf; /* of a GGUF file, where first dimensions of 1 are not written down */
} fe_st_tensor;

typedef struct fe_st fe_st;

/* Opens one file. NULL after reporting. */
fe_st *fe_st_open(base_diag *d, const char *path);
/* The same for bytes in memory, which must outlive the result. */
fe_st *fe_st_open_memory(base_diag *d, const char *name, const void *data, size_t size);
/* Opens the weights of a component folder: for each base name in turn ("diffusion_pytorch_model",
 * "model"), BASE.safetensors, BASE.fp16.safetensors, a sharded BASE.safetensors.index.json whose
 * shards become one table, or BASE.gguf. Pickled weights (.bin, .ckpt, .pt) are refused with advice. NULL after
 * reporting. */
fe_st *fe_st_open_dir(base_diag *d, const char *path, const char *const *bases, size_t n);
fe_st *fe_st_open_in(base_diag *d, fe_dir *dir, const char *const *bases, size_t n);
void fe_st_close(fe_st *st); /* NULL is allowed */

size_t fe_st_count(const fe_st *st);
const fe_st_tensor *fe_st_at(const fe_st *st, size_t i); /* in order of names (bytewise) */
const fe_st_tensor *fe_st_find(const fe_st *st, const char *name); /* NULL when absent */
/* Value of `key` in __metadata__ (of the first shard that has it), NULL when absent. */
const char *fe_st_metadata(const fe_st *st, const char *key);
size_t fe_st_metadata_count(const fe_st *st);
const char *fe_st_metadata_at(const fe_st *st, size_t i, const char **key); /* the value */
/* Path of the file or of the shard index, as messages show it. */
const char *fe_st_path(const fe_st *st);
/* Place for messages about a tensor: "file: tensor 'x'" (path in the table's arena). */
base_loc fe_st_loc(fe_st *st, const fe_st_tensor *t);

const char *fe_st_dtype_name(fe_st_dtype dtype); /* "F16" */
size_t fe_st_dtype_size(fe_st_dtype dtype);      /* bytes of an element; 0: there are blocks */
ir_stored fe_st_stored(fe_st_dtype dtype);       /* PLAIN or the form of the blocks */

/* Converts elements [first, first+count) to float. f16 and bf16 are exact (denormals, infinities
 * and NaN payloads included); blocks are dequantised; f64 and 32/64-bit integers round to nearest; BOOL gives 0 or 1. The
 * range must lie inside the tensor. */
void fe_st_to_f32(const fe_st_tensor *t, float *out, size_t first, size_t count);
/* Converts integer (or BOOL) elements to int64; false when the tensor is not of an integer type. */
bool fe_st_to_i64(const fe_st_tensor *t, int64_t *out, size_t first, size_t count);

/* Writes a file (complete or not at all): the tensors in the given order, `name`, `dtype`, `rank`,
 * `dims` and `data` set, the rest ignored. `metadata` are n_metadata pairs {key, value}, may be
 * NULL. False after reporting. */
bool fe_st_write(base_diag *d, const char *path, const fe_st_tensor *tensors, size_t n,
                 const char *const (*metadata)[2], size_t n_metadata);

#endif
