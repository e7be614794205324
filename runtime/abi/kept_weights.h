/* Weights of a program whose place others are about to take: `.NAME.ID` beside NAME (--weights=
 * external), with the id of their trailer. The compiler makes the name while it replaces a program
 * and its weights, and a program that does not find its weights under NAME looks there. */
#ifndef EBRU_RUNTIME_ABI_KEPT_WEIGHTS_H
#define EBRU_RUNTIME_ABI_KEPT_WEIGHTS_H

#include <stdint.h>
#include <stdio.h>

enum { EBRU_KEPT_WEIGHTS_MAX = 256 };

static inline void ebru_kept_weights(char out[EBRU_KEPT_WEIGHTS_MAX], const char *name,
                                     const uint8_t id[16]) {
    int n = snprintf(out, EBRU_KEPT_WEIGHTS_MAX, ".%.200s.", name);
    for (int i = 0; i < 16; i++, n += 2)
        snprintf(out + n, (size_t)(EBRU_KEPT_WEIGHTS_MAX - n), "%02x", id[i]);
}

#endif
