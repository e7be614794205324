/* SHA-256 (FIPS 180-4), for the hashes by which a page's Content-Security-Policy names its script
 * and style. Weights and programs are told apart by base/digest.h, which is many times faster. */
#ifndef EBRU_BASE_SHA256_H
#define EBRU_BASE_SHA256_H

#include <stddef.h>

#include "base/arena.h"

void base_sha256(const void *bytes, size_t count, unsigned char out[32]);
/* "sha256-" and the digest in base64, as CSP spells a source. */
void base_csp_hash(const void *bytes, size_t count, base_str *out);

#endif
