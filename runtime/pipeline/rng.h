/* The noise of torch's CPU generator: mt19937 and torch.randn's normal transform, for the same
 * picture from a seed.
 *
 * All arithmetic is our own (no libm log/sin/cos), so the bits are the same on every machine. */
#ifndef EBRU_RUNTIME_PIPELINE_RNG_H
#define EBRU_RUNTIME_PIPELINE_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rt_rng {
    uint32_t mt[624];
    uint32_t next; /* index of the next unused word of mt; 624 = refill */
    bool has_cached;
    double cached; /* the second normal of a pair, when n < 16 */
} rt_rng;

/* As torch.Generator().manual_seed(seed): only the low 32 bits of the seed count (mt19937's own
 * rule). */
void rt_rng_seed(rt_rng *rng, uint64_t seed);
uint32_t rt_rng_u32(rt_rng *rng);

/* As torch.randn(n, generator=g) in float32. n >= 16 and n < 16 take different code paths in torch,
 * and so here: draw a tensor with one call, as torch does. */
void rt_rng_randn(rt_rng *rng, float *out, size_t n);

/* As torch.empty(n).uniform_(lo, hi, generator=g) in float32. */
void rt_rng_uniform(rt_rng *rng, float lo, float hi, float *out, size_t n);

#endif
