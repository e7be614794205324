/* A 128-bit digest of byte streams, to tell one weights blob from another (not against an
 * adversary).
 *
 * Four 64-bit lanes take 32 bytes a round, little endian, zero padded at the end: lane = rotl(lane ^ word,
 * 29) * K. The length and the lanes are then folded into two words by the 64-bit finaliser of MurmurHash3.
 * The runtime only compares digests; it never computes one. */
#ifndef EBRU_CODEGEN_LINK_DIGEST_H
#define EBRU_CODEGEN_LINK_DIGEST_H

#include <stddef.h>
#include <stdint.h>

typedef struct cg_digest {
    uint64_t lane[4], length;
    unsigned char part[32];
} cg_digest;
void cg_digest_begin(cg_digest *d);
void cg_digest_add(cg_digest *d, const void *bytes, size_t count);
void cg_digest_end(const cg_digest *d, unsigned char out[16]);

#endif
