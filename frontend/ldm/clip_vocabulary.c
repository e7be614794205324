/* CLIP's vocabulary; see clip_vocabulary.h. The files are put between these symbols when ebru is
 * built. */
#include "frontend/ldm/clip_vocabulary.h"

#include <string.h>

extern const unsigned char ebru_clip_vocab[], ebru_clip_vocab_end[], ebru_clip_merges[],
    ebru_clip_merges_end[];

const fe_clip_file fe_clip_files[FE_CLIP_FILES] = {
    {"vocab.json", "ebru:clip/vocab.json", ebru_clip_vocab, ebru_clip_vocab_end},
    {"merges.txt", "ebru:clip/merges.txt", ebru_clip_merges, ebru_clip_merges_end},
};

const fe_clip_file *fe_clip_file_find(const char *path) {
    for (size_t i = 0; i < FE_CLIP_FILES; i++)
        if (strcmp(fe_clip_files[i].path, path) == 0) return &fe_clip_files[i];
    return NULL;
}
