/* The multiply's inner loops, one function a register tile (tile.h). They stay functions: a call costs
 * nothing beside a reduction, and every convolution and attention of a module shares them. */
#include "runtime/kernels/tile.h"

#if defined(__aarch64__)
#include "runtime/kernels/tile_neon.h"
#else
/* Steps of the innermost loop. Half a tap: sixteen steps of twenty-four multiplies are 4 KiB of code, and
 * from there on it depends on how the function happens to be aligned whether the loop runs at 95 % of peak
 * or, decoded anew each time round, at 70. */
enum { STEPS = 8 };

INLINE void tile_body(const struct tile *t, const int32_t mr, const int32_t nb) {
    v16 acc[32];
    const float *a[TILE_ROWS];
    const float *b = t->b, *next = t->next;
    float *sum = t->sum;
    const int64_t b_step = t->b_step, sum_step = t->sum_step, sum_row = t->sum_row, a_row = t->a_row,
                  a_cb = t->a_cb, a_next = t->a_next;
    const int32_t kh = t->kh, kw = t->kw;
    int64_t at = 0;
    UNROLL for (int32_t m = 0; m < mr; m++) a[m] = t->a[m];
    UNROLL for (int32_t i = 0; i < mr * nb; i++) acc[i] = splat16(0.0f);
    if (t->add) {
        UNROLL for (int32_t m = 0; m < mr; m++) {
            UNROLL for (int32_t n = 0; n < nb; n++) acc[m * nb + n] =
                load16(sum + n * sum_step + m * sum_row);
        }
    }
    for (int32_t cb = t->cbs; cb > 0; cb--) {
        for (int32_t y = kh; y > 0; y--) {
            for (int32_t x = kw * (16 / STEPS); x > 0; x--) {
                UNROLL for (int32_t m = 0; m < mr; m++) __builtin_prefetch(a[m] + at + a_next);
                UNROLL for (int32_t c = 0; c < STEPS; c++) {
                    v16 w[8];
                    if (c % (16 / TILE_NEXT) == 0) __builtin_prefetch(next + c / (16 / TILE_NEXT) * 16, 0, 2);
                    UNROLL for (int32_t n = 0; n < nb; n++) {
                        w[n] = load16(b + n * b_step + c * 16);
                        if (TILE_AHEAD > 0) __builtin_prefetch(b + n * b_step + c * 16 + TILE_AHEAD);
                    }
                    UNROLL for (int32_t m = 0; m < mr; m++) {
                        v16 v = splat16(a[m][at + c]);
                        UNROLL for (int32_t n = 0; n < nb; n++) acc[m * nb + n] += v * w[n];
                    }
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
        UNROLL for (int32_t c = 0; c < 4; c++) {
            v16 w[8];
            UNROLL for (int32_t n = 0; n < nb; n++) w[n] = load16(b + n * b_step + c * 16);
            UNROLL for (int32_t m = 0; m < mr; m++) {
                v16 v = splat16(a[m][at + c]);
                UNROLL for (int32_t n = 0; n < nb; n++) acc[m * nb + n] += v * w[n];
            }
        }
    }
    for (; rest > 0; rest--, at++, b += 16) {
        v16 w[8];
        UNROLL for (int32_t n = 0; n < nb; n++) w[n] = load16(b + n * b_step);
        UNROLL for (int32_t m = 0; m < mr; m++) {
            v16 v = splat16(a[m][at]);
            UNROLL for (int32_t n = 0; n < nb; n++) acc[m * nb + n] += v * w[n];
        }
    }
    UNROLL for (int32_t m = 0; m < mr; m++) {
        UNROLL for (int32_t n = 0; n < nb; n++) store16(sum + n * sum_step + m * sum_row, acc[m * nb + n]);
    }
}
#endif

#define TILE_DEFINE(m, n)                                                                                    \
    __attribute__((noinline)) void EBRU_NAME(ebru_tile_##m##x##n)(const struct tile *t) {                    \
        tile_body(t, m, n);                                                                                  \
    }
#define TILE_DEFINE_ALL(n, rows) rows(TILE_DEFINE, n)
TILE_PANELS(TILE_DEFINE_ALL)
