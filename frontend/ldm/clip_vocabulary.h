/* The vocabulary of CLIP's tokenizer (openai/clip-vit-large-patch14: vocab.json and merges.txt),
 * built into the compiler: single-file checkpoints come without it. All published text encoders of
 * Stable Diffusion use it. */
#ifndef EBRU_FRONTEND_LDM_CLIP_VOCABULARY_H
#define EBRU_FRONTEND_LDM_CLIP_VOCABULARY_H

#include <stddef.h>

enum { FE_CLIP_FILES = 2, FE_CLIP_WORDS = 49408 };

typedef struct fe_clip_file {
    const char *name; /* in a tokenizer's folder */
    const char *path; /* what the module's meta and messages call it; no file has that path */
    const unsigned char *data, *end;
} fe_clip_file;

extern const fe_clip_file fe_clip_files[FE_CLIP_FILES];

/* The file of that path; NULL for any other. */
const fe_clip_file *fe_clip_file_find(const char *path);

#endif
