/* Writes single-file checkpoints for tests: the weights of a diffusers folder's module, put
 * together as a map says (tests/goldens/ldm/make.py). */
#ifndef EBRU_TESTS_UNIT_FRONTEND_LDM_FIXTURE_H
#define EBRU_TESTS_UNIT_FRONTEND_LDM_FIXTURE_H

#include "frontend/safetensors/safetensors.h"
#include "ir/ir.h"

/* Tensors in the order of the map, with values of their own; count and items may be changed before
 * writing. */
typedef struct ldm_fixture {
    base_arena *arena;
    BASE_VEC(fe_st_tensor) tensors;
} ldm_fixture;

/* Aborts with a message when the map does not fit the module: every weight of the module must be
 * named once. */
void ldm_fixture_begin(ldm_fixture *f, const ir_module *m, const char *map_path);
void ldm_fixture_end(ldm_fixture *f);
/* The tensor of that name; aborts when there is none. */
fe_st_tensor *ldm_fixture_tensor(ldm_fixture *f, const char *name);
/* Adds a tensor of zeros (at most a few hundred bytes). */
void ldm_fixture_add(ldm_fixture *f, const char *name, fe_st_dtype dtype, uint32_t rank,
                     const int64_t *dims);
void ldm_fixture_remove(ldm_fixture *f, const char *name);
/* `metadata` may be NULL. */
void ldm_fixture_write(const ldm_fixture *f, const char *path, const char *const (*metadata)[2],
                       size_t n);

#endif
