#include "runtime/image/mask.h"

#include <stdbool.h>

enum { HALF = 128 };

rt_mask_kind rt_mask_of(const uint8_t *pixels, size_t n, uint8_t *out) {
    uint8_t first = n ? pixels[0] : 0;
    bool flat = true, bright = false, opaque = false, clear = false;
    bool as_opaque = true, as_clear = true; /* whether the alpha draws the same mask */
    for (size_t i = 0; i < n; i++) {
        bool white = pixels[2 * i] >= HALF, solid = pixels[2 * i + 1] >= HALF;
        flat &= pixels[2 * i] == first;
        bright |= white;
        opaque |= solid;
        clear |= !solid;
        as_opaque &= white == solid;
        as_clear &= white != solid;
    }
    bool by_alpha = flat && opaque && clear, strokes = first >= HALF;
    for (size_t i = 0; i < n; i++) {
        uint8_t alpha = pixels[2 * i + 1];
        out[i] = !by_alpha ? pixels[2 * i] : strokes ? alpha : (uint8_t)(255 - alpha);
    }
    if (by_alpha) return strokes ? RT_MASK_STROKES : RT_MASK_HOLES;
    if (flat) return bright ? RT_MASK_ALL : RT_MASK_NOTHING;
    if (!bright) return RT_MASK_BELOW_HALF;
    return opaque && clear && !as_opaque && !as_clear ? RT_MASK_GRAY_ALPHA : RT_MASK_GRAY;
}
