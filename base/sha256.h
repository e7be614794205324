/* SHA-256 (FIPS 180-4), for the hashes by which a page's Content-Security-Policy names its script and style.
 */
#ifndef EBRU_DRIVER_SHA256_H
#define EBRU_DRIVER_SHA256_H

#include <stddef.h>

#include "base/arena.h"

void drv_sha256(const void *bytes, size_t count, unsigned char out[32]);
/* "sha256-" and the digest in base64, as CSP spells a source. */
void drv_csp_hash(const void *bytes, size_t count, ir_str *out);

#endif
