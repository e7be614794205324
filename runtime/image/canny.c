/* Canny (1986) as OpenCV defines it; see canny.h. */
#include "runtime/image/canny.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

enum { NO_EDGE, MAYBE, EDGE };

/* One picture with a frame of one pixel, where there is no gradient. */
struct canny {
    size_t width, height, stride; /* stride: of a row with its frame */
    int32_t *dx, *dy, *magnitude;
    uint8_t *kind;
    size_t *found; /* edges whose neighbours have not been looked at */
    size_t count;
};

static size_t inside(size_t i, int step, size_t n) {
    if (step < 0) return i ? i - 1 : 0;
    return step && i + 1 < n ? i + 1 : i;
}

static void find_gradients(struct canny *c, const uint8_t *pixels, size_t channels) {
    for (size_t y = 0; y < c->height; y++)
        for (size_t x = 0; x < c->width; x++) {
            const uint8_t *row[3] = {pixels + inside(y, -1, c->height) * c->width * channels,
                                     pixels + y * c->width * channels,
                                     pixels + inside(y, 1, c->height) * c->width * channels};
            size_t left = inside(x, -1, c->width) * channels, here = x * channels,
                   right = inside(x, 1, c->width) * channels, at = (y + 1) * c->stride + x + 1;
            int32_t most = -1;
            for (size_t k = 0; k < channels; k++) {
                int32_t dx = row[0][right + k] - row[0][left + k] +
                             2 * (row[1][right + k] - row[1][left + k]) + row[2][right + k] -
                             row[2][left + k];
                int32_t dy = row[2][left + k] + 2 * row[2][here + k] + row[2][right + k] -
                             row[0][left + k] - 2 * row[0][here + k] - row[0][right + k];
                int32_t magnitude = abs(dx) + abs(dy);
                if (magnitude <= most) continue;
                most = magnitude;
                c->dx[at] = dx;
                c->dy[at] = dy;
                c->magnitude[at] = magnitude;
            }
        }
}

/* Whether the gradient is largest across the edge, in one of four directions: 22.5 and 67.5 degrees
 * part them. Of two equal ones the first along the row or column counts. */
static bool is_ridge(const struct canny *c, size_t at) {
    enum { SHIFT = 15, TAN_22 = 13573 }; /* tan 22.5 degrees in 15 bits; tan 67.5 is 2 more */
    const int32_t *m = &c->magnitude[at];
    const ptrdiff_t down = (ptrdiff_t)c->stride;
    int32_t x = abs(c->dx[at]), y = abs(c->dy[at]) << SHIFT, low = x * TAN_22,
            high = low + (x << (SHIFT + 1));
    if (y < low) return m[0] > m[-1] && m[0] >= m[1];
    if (y > high) return m[0] > m[-down] && m[0] >= m[down];
    int aside = (c->dx[at] ^ c->dy[at]) < 0 ? -1 : 1;
    return m[0] > m[-down - aside] && m[0] > m[down + aside];
}

static void find(struct canny *c, size_t at) {
    c->kind[at] = EDGE;
    c->found[c->count++] = at;
}

static void follow(struct canny *c) {
    while (c->count) {
        size_t at = c->found[--c->count];
        for (int i = 0; i < 9; i++) {
            size_t next = at + (size_t)(i / 3) * c->stride + (size_t)(i % 3) - c->stride - 1;
            if (c->kind[next] == MAYBE) find(c, next);
        }
    }
}

bool rt_canny(const uint8_t *pixels, uint32_t width, uint32_t height, int channels, double low,
              double high, uint8_t *edges) {
    struct canny c = {.width = width, .height = height, .stride = (size_t)width + 2};
    size_t n = c.stride * ((size_t)height + 2);
    double least = floor(low < high ? low : high), strong = floor(low < high ? high : low);
    c.dx = calloc(n, sizeof *c.dx);
    c.dy = calloc(n, sizeof *c.dy);
    c.magnitude = calloc(n, sizeof *c.magnitude);
    c.kind = calloc(n, sizeof *c.kind);
    c.found = malloc(n * sizeof *c.found);
    bool fine = c.dx && c.dy && c.magnitude && c.kind && c.found;
    if (fine) find_gradients(&c, pixels, (size_t)channels);
    for (size_t i = 0; fine && i < (size_t)width * height; i++) {
        size_t at = (i / width + 1) * c.stride + i % width + 1;
        double magnitude = c.magnitude[at];
        if (!(magnitude > least) || !is_ridge(&c, at)) continue;
        c.kind[at] = MAYBE;
        if (magnitude > strong) find(&c, at);
    }
    if (fine) follow(&c);
    for (size_t i = 0; fine && i < (size_t)width * height; i++)
        edges[i] = c.kind[(i / width + 1) * c.stride + i % width + 1] == EDGE ? 255 : 0;
    free(c.dx);
    free(c.dy);
    free(c.magnitude);
    free(c.kind);
    free(c.found);
    return fine;
}
