/* FNV-1a (Fowler, Noll and Vo) in 32 and in 64 bits. Header only, so that a program links no object
 * for it.
 *
 * The 64-bit values must stay what they are: random weights are a function of the hash of their
 * name (ir/weights.c), and a tokenizer blob holds the hash of its contents
 * (runtime/text/tokenizer.h). */
#ifndef EBRU_BASE_HASH_H
#define EBRU_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BASE_HASH_START   UINT32_C(0x811c9dc5)
#define BASE_HASH64_START UINT64_C(0xcbf29ce484222325)

/* The hash `h` continued over n bytes; begin with BASE_HASH_START. */
static inline uint32_t base_hash_bytes(uint32_t h, const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * UINT32_C(0x01000193);
    return h;
}

/* Spreads a finished 32-bit hash, because base_index uses its low bits only. */
static inline uint32_t base_hash_finish(uint32_t h) {
    h ^= h >> 16;
    h *= UINT32_C(0x7feb352d);
    h ^= h >> 15;
    return h;
}

/* The finished 32-bit hash of a string. */
static inline uint32_t base_hash_text(const char *s) {
    return base_hash_finish(base_hash_bytes(BASE_HASH_START, s, strlen(s)));
}

/* The hash `h` continued over n bytes; begin with BASE_HASH64_START. */
static inline uint64_t base_hash64_bytes(uint64_t h, const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

/* The 64-bit hash of a string. */
static inline uint64_t base_hash64_text(const char *s) {
    return base_hash64_bytes(BASE_HASH64_START, s, strlen(s));
}

#endif
