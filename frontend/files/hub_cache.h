/* The folder a repository has in the Hugging Face cache: models--ORG--NAME with refs/main (a
 * revision), snapshots/REVISION (links to ../../blobs/HASH) and blobs. */
#ifndef EBRU_FRONTEND_FILES_HUB_CACHE_H
#define EBRU_FRONTEND_FILES_HUB_CACHE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/diag.h"

/* True when `path` is such a folder: it holds a folder 'snapshots' and none of a model's files. */
bool fe_is_hub_cache(const char *path);
/* The snapshot to read, a path in the arena: the one refs/main names, else the only one. NULL after
 * reporting. */
char *fe_hub_snapshot(base_diag *d, base_arena *a, const char *path);
/* "NAME" of a path .../models--ORG--NAME or .../models--ORG--NAME/snapshots/REVISION, in the arena;
 * NULL for other paths. */
char *fe_hub_name(base_arena *a, const char *path);
typedef enum fe_hub_use {
    FE_HUB_MODEL,
    FE_HUB_COMPONENT,
    FE_HUB_LORA,
    FE_HUB_SCHEDULER,
    FE_HUB_TENSORS
} fe_hub_use;
/* For a path that is not there: if it may be a name on the Hugging Face Hub, ORG/NAME, notes behind
 * the last error that say how to get what is wanted of it, or where its copy lies. */
void fe_hub_advice(base_diag *d, const char *word, fe_hub_use use);
/* For a folder that was named where a file is wanted, or that holds no model: a note with a
 * safetensors file in it, if there is one. `option` stands before the file's name. */
void fe_folder_advice(base_diag *d, const char *path, const char *option);

#endif
