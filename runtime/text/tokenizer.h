/* CLIP's byte-level BPE tokenizer, as the `tokenizers` backend of transformers' CLIPTokenizer does
 * it: NFC, lower-casing of single code points, the word pattern of CLIP, bytes -> symbols, merges
 * by lowest rank. Tokens that were added to the vocabulary are taken out of the text before all
 * that, the leftmost first and of several at one place the longest: first those that are looked for
 * in the text as it is, then, in what is left between them, those that are looked for in the
 * normalised text.
 *
 * A token of several vectors, as textual inversion makes them, is several added tokens: T, T_1, T_2
 * ... Where a text has T in it, every T in the text becomes "T T_1 T_2 ..." before anything else,
 * as diffusers' pipelines do it.
 *
 * The vocabulary arrives as a blob made by rt_tokenizer_build_blob (tokenizer_build.h) and embedded
 * in the program.
 *
 * Blob, version 2. Little-endian u32 words; the blob must be 4-byte aligned:
 *   word  0..1   magic "EBRUTOK\0"
 *   word  2      version (2)
 *   word  3      size of the blob in bytes
 *   word  4..5   FNV-1a-64 hash (low, high word) of everything from word 6 on
 *   word  6      flags: bit 0 = lower-case the text
 *   word  7      number of ids (highest id + 1)
 *   word  8..11  bos, eos, pad, unk id
 *   word 12      maximum length of an encoded prompt, with bos and eos
 *   word 13      number of merges M
 *   word 14      number of added tokens S, special ones among them
 *   word 15      bytes of their texts T (padded to a multiple of 4 in the blob)
 *   then 256 words: id of the symbol of byte b inside a word (RT_TOKEN_NONE if the vocabulary lacks it)
 *        256 words: id of the symbol of byte b at the end of a word
 *        M x 4 words: left id, right id, rank, merged id; ascending by (left, right), no duplicates
 *        S x 7 words: offset and length of the token's own text in the text area, the same of the
 *                text that is looked for, id, flags (RT_ADDED_...), number of the tokens T_1, T_2
 *                ... that belong to it; those without RT_ADDED_NORMALIZED first, then ascending by
 *                the text that is looked for (bytewise) and by id
 *        T bytes: texts in UTF-8, then zero padding */
#ifndef EBRU_RUNTIME_TEXT_TOKENIZER_H
#define EBRU_RUNTIME_TEXT_TOKENIZER_H

#include "runtime/engine/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RT_TOKEN_NONE           0xffffffffu
#define RT_TOKENIZER_VERSION    2u
#define RT_TOKENIZER_HEADER     16u        /* words */
#define RT_TOKENIZER_MAX_LENGTH 65536u     /* most ids a blob may ask for in one prompt */
#define RT_TOKENIZER_TEXT_LIMIT (1u << 20) /* most bytes of one prompt */

enum {
    RT_ADDED_NORMALIZED = 1,  /* looked for in the normalised text, whatever the case of letters */
    RT_ADDED_SINGLE_WORD = 2, /* not beside a letter, a digit or an underscore */
    RT_ADDED_LSTRIP = 4,      /* takes the white space before it */
    RT_ADDED_RSTRIP = 8,      /* and behind it */
    RT_ADDED_FLAGS = 15
};

/* A row of the added tokens, as it stands in the blob. */
typedef struct rt_added_row {
    uint32_t own_offset, own_length, offset, length, id, flags, vectors;
} rt_added_row;

/* View of a checked blob: pointers into it, nothing owned. The blob must outlive the tokenizer. */
typedef struct rt_tokenizer {
    uint32_t flags, id_count, bos, eos, pad, unk, max_length;
    uint32_t merge_count, added_count, added_bytes;
    uint32_t added_raw; /* how many of the added tokens are looked for in the text as it is */
    bool multi_vector;  /* some have more than one vector */
    const uint32_t *byte_inside, *byte_final; /* 256 each */
    const uint32_t *merges;                   /* [merge_count][4] */
    const rt_added_row *added;                /* [added_count] */
    const char *added_text;
} rt_tokenizer;

/* Checks `blob` completely (sizes, hash, every id and offset) and fills *t. RT_ERR_INPUT with the
 * reason if bad. */
rt_status rt_tokenizer_open(rt_tokenizer *t, const void *blob, size_t size, rt_error *err);

/* Ids of `text` (UTF-8, `length` bytes, may hold NUL) without bos and eos and not truncated. *ids
 * is malloc'ed (the caller frees it; NULL when there are none). Invalid UTF-8: RT_ERR_INPUT, the
 * message names the byte offset. */
rt_status rt_tokenizer_encode(const rt_tokenizer *t, const char *text, size_t length,
                              uint32_t **ids, size_t *count, rt_error *err);

/* bos, ids cut to max_length - 2, eos, pad ... into ids[max_length]. *cut receives the number of
 * tokens that did not fit, *used the number of ids before padding (with bos and eos); both may be
 * NULL. */
rt_status rt_tokenizer_encode_prompt(const rt_tokenizer *t, const char *text, size_t length,
                                     int32_t *ids, size_t *used, size_t *cut, rt_error *err);

#endif
