/* Edges of a picture, for control pictures. */
#ifndef EBRU_RUNTIME_IMAGE_CANNY_H
#define EBRU_RUNTIME_IMAGE_CANNY_H

#include <stdbool.h>
#include <stdint.h>

/* pixels[height][width][channels] -> edges[height][width], 255 on an edge and 0 elsewhere, bit for
 * bit as OpenCV's Canny(image, low, high): gradients by Sobel's 3x3 filters with the border
 * repeated, of the channel where |dx| + |dy| is largest, which is the magnitude; kept where it is
 * largest across the edge; edges begin above `high` and go on above `low` to all eight neighbours.
 * The thresholds are rounded down, and change places when low > high. False: out of memory. */
bool rt_canny(const uint8_t *pixels, uint32_t width, uint32_t height, int channels, double low,
              double high, uint8_t *edges);

#endif
