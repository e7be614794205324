/* The multiply's inner loops, one function a register tile (tile.h). They stay functions: a call
 * costs nothing beside a reduction, and every convolution and attention of a module shares them. */
#include "runtime/kernels/tile/tile.h"

#if defined(__aarch64__)
#include "runtime/kernels/tile/tile_neon.h"
#else
/* Steps of the innermost loop. Half a tap: sixteen steps of twenty-four multiplies are 4 KiB of
 * code, and from there on it depends on how the function happens to be aligned whether the loop
 * runs at 95 % of peak or, decoded anew each time round, at 70. */
enum { STEPS = 8 };

/* Before step c: half a tap's share of `next` to L2, the weights one tap on to L1. */
INLINE void prefetch_weights(const float *b, int64_t b_step, const float *next, const int32_t c,
                             const int32_t nb) {
    if (c % (16 / TILE_NEXT) == 0) __builtin_prefetch(next + c / (16 / TILE_NEXT) * 16, 0, 2);
    if (TILE_AHEAD == 0) return;
    UNROLL for (int32_t n = 0; n < nb; n++)
        __builtin_prefetch(b + n * b_step + c * 16 + TILE_AHEAD);
}

/* Step c: a row of weights times every pixel's channel. */
INLINE void tile_step(v16 *acc, const float *const *a, int64_t at, const float *b, int64_t b_step,
                      const int32_t c, const int32_t mr, const int32_t nb) {
    v16 w[8];
    UNROLL for (int32_t n = 0; n < nb; n++) w[n] = load16(b + n * b_step + c * 16);
    UNROLL for (int32_t m = 0; m < mr; m++) {
        const v16 v = splat16(a[m][at + c]);
        UNROLL for (int32_t n = 0; n < nb; n++) acc[m * nb + n] += v * w[n];
    }
}

INLINE void load_sums(const struct tile *t, v16 *acc, const int32_t mr, const int32_t nb) {
    UNROLL for (int32_t i = 0; i < mr * nb; i++) acc[i] = splat16(0.0f);
    if (!t->add) return;
    UNROLL for (int32_t m = 0; m < mr; m++) {
        UNROLL for (int32_t n = 0; n < nb; n++) acc[m * nb + n] =
            load16(t->sum + n * t->sum_step + m * t->sum_row);
    }
}

INLINE void store_sums(const struct tile *t, const v16 *acc, const int32_t mr, const int32_t nb) {
    UNROLL for (int32_t m = 0; m < mr; m++) {
        UNROLL for (int32_t n = 0; n < nb; n++)
            store16(t->sum + n * t->sum_step + m * t->sum_row, acc[m * nb + n]);
    }
}

/* line: pixels side by side. One pointer serves them all: six in registers leave none for anything
 * else, and loading them again and again were 8 of 100 instructions where the front end is what a
 * thread has least of. */
INLINE void tile_body(const struct tile *t, const int32_t mr, const int32_t nb,
                      const int32_t line) {
    v16 acc[32];
    const float *a[TILE_ROWS];
    const float *b = t->b, *next = t->next;
    const int64_t b_step = t->b_step, a_row = t->a_row, a_cb = t->a_cb, a_next = t->a_next;
    const int32_t kh = t->kh, kw = t->kw;
    int64_t at = 0;
    UNROLL for (int32_t m = 0; m < mr; m++) a[m] = line ? t->line + m * 16 : t->a[m];
    load_sums(t, acc, mr, nb);
    for (int32_t cb = t->cbs; cb > 0; cb--) {
        for (int32_t y = kh; y > 0; y--) {
            for (int32_t x = kw * (16 / STEPS); x > 0; x--) {
                UNROLL for (int32_t m = 0; m < mr; m++) __builtin_prefetch(a[m] + at + a_next);
                UNROLL for (int32_t c = 0; c < STEPS; c++) {
                    prefetch_weights(b, b_step, next, c, nb);
                    tile_step(acc, a, at, b, b_step, c, mr, nb);
                }
                at += STEPS;
                b += STEPS * 16;
                next += TILE_NEXT * STEPS;
            }
            at += a_row;
        }
        at += a_cb;
    }
    int32_t rest = t->rest;
    for (; rest >= 4; rest -= 4, at += 4, b += 64) {
        UNROLL for (int32_t c = 0; c < 4; c++) tile_step(acc, a, at, b, b_step, c, mr, nb);
    }
    for (; rest > 0; rest--, at++, b += 16) tile_step(acc, a, at, b, b_step, 0, mr, nb);
    store_sums(t, acc, mr, nb);
}
#endif

/* clang-format off */
#define TILE_DEFINE(m, n) \
    __attribute__((noinline)) void TILE_POINTERS(m, n)(const struct tile *t) { \
        tile_body(t, m, n, 0); \
    } \
    __attribute__((noinline)) void TILE_LINE(m, n)(const struct tile *t) { \
        tile_body(t, m, n, 1); \
    }
#define TILE_DEFINE_ALL(n, rows) rows(TILE_DEFINE, n)
TILE_PANELS(TILE_DEFINE_ALL)
