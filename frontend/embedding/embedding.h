/* Textual inversion: embeddings of new tokens, as files hold them (docs/embeddings.md). */
#ifndef EBRU_FRONTEND_EMBEDDING_EMBEDDING_H
#define EBRU_FRONTEND_EMBEDDING_EMBEDDING_H

#include "frontend/frontend.h"

/* Puts the vectors of the files `o->embeddings`, each FILE or FILE:TOKEN, behind the token
 * embeddings of a module that was built from a model, and their tokens into the tokenizers'
 * properties. A token of n vectors is the tokens T, T_1 ... T_(n-1). False after reporting
 * everything that cannot be used: tensors of another width or shape, tokens that there are already,
 * files of another kind. */
bool fe_embeddings_apply(base_diag *d, ir_module *m, const fe_options *o);

/* text_table.c: the table that a text encoder looks its input_ids up in: index of a weight of the
 * module; UINT32_MAX when the function has none. */
uint32_t fe_text_table(const ir_func *f);

#endif
