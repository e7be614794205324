/* Inside of a safetensors table, shared by the header reader, the shard merger and the writer. */
#ifndef EBRU_FRONTEND_SAFETENSORS_SAFETENSORS_TABLE_H
#define EBRU_FRONTEND_SAFETENSORS_SAFETENSORS_TABLE_H

#include "frontend/safetensors/safetensors.h"

typedef struct st_entry {
    fe_st_tensor t;
    uint64_t begin, end; /* data_offsets */
    uint32_t at;         /* header byte of the name */
    uint8_t dtype;       /* row of st_dtypes, which may be an unsupported one */
} st_entry;

typedef struct st_pair {
    const char *key, *value;
} st_pair;

struct fe_st {
    base_diag *diag;
    base_arena *arena; /* names, metadata, paths of places */
    const char *path;
    BASE_VEC(st_entry) entries; /* sorted by name once the table is complete */
    BASE_VEC(st_pair) metadata;
    BASE_VEC(fe_map) maps;
};

/* All dtype names of the format; those up to FE_ST_BOOL are in the order of fe_st_dtype and
 * supported. */
typedef struct st_dtype_info {
    const char *name;
    unsigned bits;
} st_dtype_info;
extern const st_dtype_info st_dtypes[];
extern const size_t st_dtype_count;

fe_st *st_new(base_diag *d, const char *path);
/* Checks a whole file in memory and appends its tensors to the table, sorted by name among
 * themselves. False after reporting; the table is then good for fe_st_close only. */
bool st_add_file(fe_st *st, const char *shown, const uint8_t *data, size_t size);
/* Orders entries [first, count) by name. */
void st_sort_names(fe_st *st, size_t first);

#endif
