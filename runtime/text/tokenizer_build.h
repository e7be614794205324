/* Turns CLIP's vocab.json and merges.txt (already read by the caller) into the blob of tokenizer.h.
 * Used by the compiler and by tests; the emitted program does not need it. */
#ifndef EBRU_RUNTIME_TEXT_TOKENIZER_BUILD_H
#define EBRU_RUNTIME_TEXT_TOKENIZER_BUILD_H

#include "runtime/engine/status.h"
#include "runtime/text/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One vocabulary entry; the text is UTF-8 in CLIP's byte alphabet ("the</w>", "Ġ" ...), not
 * NUL-terminated. */
typedef struct rt_vocab_entry {
    const char *text;
    size_t length;
    uint32_t id;
} rt_vocab_entry;

/* A token beside the vocabulary, or a special one of it. Its id may be new. */
typedef struct rt_added_token {
    const char *text; /* UTF-8 as a prompt has it, not NUL-terminated */
    size_t length;    /* 1 .. RT_TOKENIZER_MAX_TOKEN */
    uint32_t id;
    uint32_t flags; /* RT_ADDED_... */
} rt_added_token;

enum { RT_TOKENIZER_MAX_TOKEN = 1024, RT_TOKENIZER_MAX_ADDED = 16384 };

typedef struct rt_tokenizer_options {
    uint32_t bos, eos, pad, unk; /* ids */
    uint32_t max_length; /* model_max_length, with bos and eos; 3 .. RT_TOKENIZER_MAX_LENGTH */
    bool lower_case;     /* CLIP: true */
    /* Tokens that are taken whole where their text occurs, each text once, special ones among them
     * (a tokenizer whose pad token is "!", as Stable Diffusion 2's, lists it here too, as
     * transformers does). NULL: the texts of bos and eos, in any case of letters. */
    const rt_added_token *added;
    size_t added_count; /* at most RT_TOKENIZER_MAX_ADDED */
} rt_tokenizer_options;

/* Which of the inputs a fault is in. */
typedef struct rt_tokenizer_fault {
    enum { RT_TOKENIZER_OPTIONS, RT_TOKENIZER_VOCABULARY, RT_TOKENIZER_MERGES } where;
    size_t entry; /* of the VOCABULARY; its count: no single one */
    size_t line;  /* of the MERGES, from 1; 0: no single one */
} rt_tokenizer_fault;

/* `merges`: the text of merges.txt, one "left right" a line; a first line beginning with "#version"
 * is skipped, and so are blank lines. `max_merges`: use only that many lines (0 = all; CLIP's own
 * file has unused ones only in its old form). On success *blob is malloc'ed (the caller frees it)
 * and *size its bytes. RT_ERR_INPUT: what is wrong: malformed line, a merge part or result
 * missing in the vocabulary, an id out of range or given twice, a special token missing, an added
 * token without text or given twice; *fault
 * (may be NULL) says where. */
rt_status rt_tokenizer_build_blob(const rt_vocab_entry *vocab, size_t vocab_count,
                                  const char *merges, size_t merges_length, size_t max_merges,
                                  const rt_tokenizer_options *options, void **blob, size_t *size,
                                  rt_tokenizer_fault *fault, rt_error *err);

#endif
