/* A 128-bit digest of byte streams: the names of weights and of programs. It tells one from
 * another; it does not stand against somebody who makes two that look alike.
 *
 * Four 64-bit lanes take 32 bytes a round, little endian, zero padded at the end: lane =
 * rotl(lane ^ word, 29) * K. The length and the lanes are then folded into two words by the
 * 64-bit finaliser of MurmurHash3. Programs only compare digests; they never compute one.
 *
 * Why not SHA-256 (base/sha256.h) alone: the weights of Stable Diffusion 1.5 are 2.8 GiB, and one
 * thread digests them while they are packed. On an EPYC (Zen 4), 2026: 1.9 s this way, 29 s by
 * base_sha256, 12 s by libmd; only a library that uses the CPU's SHA instructions is as fast (2.1 s
 * by OpenSSL), where the CPU has them. */
#ifndef EBRU_BASE_DIGEST_H
#define EBRU_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

typedef struct base_digest {
    uint64_t lane[4], length;
    unsigned char part[32];
} base_digest;
/* begin, any number of adds, end: the same digest however the bytes are cut. */
void base_digest_begin(base_digest *d);
void base_digest_add(base_digest *d, const void *bytes, size_t count);
void base_digest_end(const base_digest *d, unsigned char out[16]);

#endif
