/* A prompt as a text encoder reads it: token ids in chunks of the encoder's length. */
#ifndef EBRU_RUNTIME_TEXT_PROMPT_TOKENS_H
#define EBRU_RUNTIME_TEXT_PROMPT_TOKENS_H

#include "runtime/text/tokenizer.h"

#include <stdbool.h>

/* Tokens of a prompt without bos, eos and padding. */
typedef struct rt_token_list {
    uint32_t *ids;
    float *weights; /* of the tokens; 1 where nothing is said */
    size_t count, room;
} rt_token_list;

/* Tokens of text[length] appended to *list, which begins as zeros and is freed with
 * rt_token_list_free, also after a failure. `weighted`: read the notation of prompt_weights.h; else
 * the text is taken literally. A break in it fills the chunk that is begun, of max_length - 2
 * tokens, with eos. RT_ERR_INPUT: no UTF-8, or a weight that is none. */
rt_status rt_prompt_tokens(const rt_tokenizer *t, const char *text, size_t length, bool weighted,
                           rt_token_list *list, rt_error *err);
void rt_token_list_free(rt_token_list *list);

/* Lays the tokens out in `chunks` chunks of max_length ids each: bos, up to max_length - 2 tokens,
 * eos, pad ...; a chunk without tokens is the empty prompt. ids[chunks][max_length], and weights of
 * the same shape (may be NULL), 1 for bos, eos and padding. Returns how many tokens did not fit. */
size_t rt_prompt_frame(const rt_tokenizer *t, const rt_token_list *list, size_t chunks,
                       int32_t *ids, float *weights);

#endif
