#include "base/digest.h"

#include <string.h>

static uint64_t rotl(uint64_t x, int n) {
    return x << n | x >> (64 - n);
}

static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdU;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53U;
    return x ^ x >> 33;
}

static uint64_t word(const unsigned char *p) {
    uint64_t w = 0;
    for (int i = 7; i >= 0; i--) w = w << 8 | p[i];
    return w;
}

static void absorb(uint64_t lane[4], const unsigned char *p) {
    static const uint64_t k[4] = {0x9e3779b97f4a7c15U, 0xc2b2ae3d27d4eb4fU, 0x165667b19e3779f9U,
                                  0x27d4eb2f165667c5U};
    for (int i = 0; i < 4; i++) lane[i] = rotl(lane[i] ^ word(p + 8 * i), 29) * k[i];
}

void base_digest_begin(base_digest *d) {
    *d = (base_digest){.lane = {0x6562727577656967U, 0x2718281828459045U, 0x3141592653589793U,
                                0x1618033988749895U}};
}

void base_digest_add(base_digest *d, const void *bytes, size_t count) {
    const unsigned char *p = bytes;
    size_t filled = d->length % 32;
    d->length += count;
    if (filled) {
        size_t take = 32 - filled < count ? 32 - filled : count;
        memcpy(d->part + filled, p, take);
        p += take;
        count -= take;
        if (filled + take < 32) return;
        absorb(d->lane, d->part);
    }
    for (; count >= 32; p += 32, count -= 32) absorb(d->lane, p);
    memcpy(d->part, p, count);
}

void base_digest_end(const base_digest *d, unsigned char out[16]) {
    uint64_t lane[4], h[2];
    memcpy(lane, d->lane, sizeof lane);
    unsigned char rest[32] = {0};
    memcpy(rest, d->part, d->length % 32);
    absorb(lane, rest);
    h[0] = mix(lane[0] + mix(lane[1] ^ d->length));
    h[1] = mix(lane[2] + mix(lane[3] ^ h[0]));
    h[0] = mix(h[0] ^ h[1]);
    for (int i = 0; i < 16; i++) out[i] = (unsigned char)(h[i / 8] >> i % 8 * 8);
}
