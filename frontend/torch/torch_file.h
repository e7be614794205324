/* Files of torch.save (.pt, .bin, .ckpt of PyTorch 1.6 and later): a zip archive of stored members,
 * a pickle that describes the objects and one member a storage.
 *
 * A pickle is a program. This reader runs no code of it: it knows the opcodes that build numbers,
 * texts, tuples, lists and dictionaries, and the few names by which PyTorch rebuilds a tensor; any
 * other opcode or name is refused by what it is. Work and memory are proportional to the file. */
#ifndef EBRU_FRONTEND_TORCH_TORCH_FILE_H
#define EBRU_FRONTEND_TORCH_TORCH_FILE_H

#include "frontend/safetensors/safetensors.h"

/* The tensors of such a file as a table like that of a safetensors file. A tensor is called by the
 * keys that lead to it, joined by dots ("string_to_param.*"), a file's only object "tensor"; texts
 * and integers among the values are the metadata. NULL after reporting; fe_st_close. */
fe_st *fe_torch_open(base_diag *d, const char *path);

/* Opens a safetensors file, or one of torch.save, by what it holds. NULL after reporting. */
fe_st *fe_tensors_open(base_diag *d, const char *path);

/* ---- zip.c ---- */

typedef struct zip_member {
    const char *name; /* in the file, not NUL-terminated */
    size_t name_length;
    const uint8_t *data;
    size_t size;
    bool stored; /* false: compressed, data is not to be used */
} zip_member;

typedef BASE_VEC(zip_member) zip_members;

/* The members of an archive in memory, in its own order, checked against its bounds. False, with
 * the reason, when it is damaged. */
bool zip_read(const uint8_t *data, size_t size, zip_members *out, const char **why);

/* ---- pickle.c ---- */

typedef enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_FLOAT,
    PICKLE_TEXT,
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,    /* items: key, value, key, value ... */
    PICKLE_NAME,    /* text: "torch.FloatStorage" */
    PICKLE_STORAGE, /* items: the tuple that stands for it */
    PICKLE_TENSOR   /* items: storage, offset, size, stride */
} pickle_kind;

typedef struct pickle_value pickle_value;
struct pickle_value {
    pickle_kind kind;
    int64_t number;   /* BOOL, INT */
    const char *text; /* TEXT, NAME: NUL-terminated, UTF-8 */
    BASE_VEC(pickle_value *) items;
};

typedef struct pickle {
    base_arena *arena;
    BASE_VEC(pickle_value *) values; /* all, to be freed */
} pickle;

/* Reads a pickle; *root is its object. False with the reason in `why`; pickle_free in any case. */
bool pickle_read(pickle *p, const uint8_t *data, size_t size, pickle_value **root, base_str *why);
void pickle_free(pickle *p);

#endif
