/* The tokenizer of a folder: either vocab.json and merges.txt, as CLIPTokenizer writes them, or
 * tokenizer.json alone, as fast tokenizers are saved; with tokenizer_config.json,
 * special_tokens_map.json and added_tokens.json. Loading a model notes the files, the special and
 * the added tokens in the properties; the blob for the program (runtime/text/tokenizer.h) is built
 * from them when it is needed, also for modules read from text. */
#ifndef EBRU_FRONTEND_TOKENIZER_TOKENIZER_H
#define EBRU_FRONTEND_TOKENIZER_TOKENIZER_H

#include "frontend/files/json_file.h"
#include "frontend/frontend.h"

/* ---- tokenizer_files.c ---- */

/* Properties of a tokenizer, NAME.KEY each: TOKENIZER rows of meta_keys.def. */
typedef enum fe_token_key {
#define TOKENIZER(ID, ...) FE_TOKEN_##ID,
#include "runtime/abi/meta_keys.def"
} fe_token_key;

/* Text of "NAME.KEY" ("tokenizer.bos"), from the module's arena. */
const char *fe_tokenizer_key(const ir_module *m, const char *name, fe_token_key key);

/* The four special tokens that have a part of their own: start, end, padding, unknown. */
enum { FE_TOKENIZER_ROLES = 4 };
extern const fe_token_key fe_tokenizer_roles[FE_TOKENIZER_ROLES][2]; /* id, text */

/* Finds the tokenizers' files that a text's properties name: fe_path_beside. */
void fe_tokenizer_find_files(ir_module *m, const char *text);

/* Sets the properties NAME.* ("tokenizer") for the files in `dir`, whose text encoder takes
 * `max_length` tokens and has embeddings for `rows` (0: not known). A token beyond these is an
 * error; embeddings that no token leads to are warned of. False after reporting. */
bool fe_tokenizer_meta(base_diag *d, ir_module *m, const char *name, fe_dir *dir,
                       int64_t max_length, int64_t rows);

/* ---- added_tokens.c: tokens beside the vocabulary ---- */

typedef struct fe_added_token {
    const char *text;   /* in the list's arena */
    uint32_t id, flags; /* flags: RT_ADDED_... of runtime/text/tokenizer.h */
} fe_added_token;

typedef struct fe_added_tokens {
    base_arena *arena;
    BASE_VEC(fe_added_token) tokens;
} fe_added_tokens;

fe_added_tokens fe_added_new(void);
void fe_added_free(fe_added_tokens *a);
void fe_added_push(fe_added_tokens *a, const char *text, uint32_t id, uint32_t flags);
const fe_added_token *fe_added_find(const fe_added_tokens *a, const char *text); /* NULL: none */
/* The flags of a token as transformers' files describe it; what is not said is as for transformers'
 * AddedToken. False after reporting. */
bool fe_added_flags(base_jval token, uint32_t *flags);
/* Whether CLIP's tokenizer finds the token in any case of letters: its start and its end. */
bool fe_added_any_case(const char *text);

/* The property NAME.added, as JSON. False after reporting. */
bool fe_added_read(base_diag *d, const ir_module *m, const char *name, fe_added_tokens *a);
void fe_added_write(ir_module *m, const char *name, const fe_added_tokens *a);

/* ---- tokenizer_json.c: tokenizer.json ---- */

/* Is it CLIP's tokenizer: byte-level BPE with CLIP's normalizer and its division into words?
 * *lower: letters are made small. False after reporting what is of another kind. */
bool fe_tokenizer_json_check(base_jval root, bool *lower);
base_jval fe_tokenizer_json_vocabulary(base_jval root);
/* The merges as lines of merges.txt, with its first line; merge k is line k + 2. False after
 * reporting. */
bool fe_tokenizer_json_merges(base_jval root, base_str *lines);

/* ---- tokenizer_blob.c ---- */

/* The vocabulary that the properties name; NULL after reporting, and when they name none.
 * *vocabulary: the object from texts to ids. */
base_json *fe_tokenizer_vocabulary(base_diag *d, const ir_module *m, const char *name,
                                   base_jval *vocabulary);
/* Builds the program's tokenizer, so that its faults are told before other work; what is odd is
 * warned of. */
bool fe_tokenizer_check(base_diag *d, const ir_module *m, const char *name);

#endif
