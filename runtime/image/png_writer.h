/* Pictures out: float tensor -> bytes, several pictures side by side, PNG file. */
#ifndef EBRU_RUNTIME_IMAGE_PNG_WRITER_H
#define EBRU_RUNTIME_IMAGE_PNG_WRITER_H

#include "runtime/cli/output.h"
#include "runtime/engine/status.h"

#include <stddef.h>
#include <stdint.h>

/* A PNG text chunk. Keyword: 1..79 printable ASCII. Text: UTF-8; written as tEXt where Latin-1 can
 * hold it, else as iTXt, and so with control characters other than newline: none is dropped. */
typedef struct rt_png_text {
    const char *keyword, *text;
} rt_png_text;

/* RT_OK, or RT_ERR_USAGE in a program that has no writer (no_png_writer.c). To be asked before the
 * work. */
rt_status rt_png_available(rt_error *err);

/* RT_OK if a PNG of that size can be, else RT_ERR_INPUT. To be asked before the work. */
rt_status rt_png_check(uint32_t width, uint32_t height, int channels, rt_error *err);

/* What rt_png_write writes, to an output that was begun and is committed by the caller. On failure
 * it is abandoned. */
rt_status rt_png_encode(rt_output *to, const uint8_t *pixels, uint32_t width, uint32_t height,
                        int channels, const rt_png_text *texts, size_t text_count, rt_error *err);

/* Writes 8-bit pixels [height][width][channels] (channels 1 = gray, 2 = gray and alpha, 3 = RGB, 4 =
 * RGB and alpha) with an sRGB chunk and
 * no time stamp. `path` "-" is standard output (refused, RT_ERR_USAGE, if that is a terminal).
 * Otherwise the file appears whole or not at all: a temporary file in the same directory, mode 0666
 * less umask, renamed over `path`. On any failure: RT_ERR_SYSTEM (or RT_ERR_INPUT for sizes and
 * texts PNG cannot hold) with path and reason; the temporary file is gone and an existing `path`
 * untouched. */
rt_status rt_png_write(const char *path, const uint8_t *pixels, uint32_t width, uint32_t height,
                       int channels, const rt_png_text *texts, size_t text_count, rt_error *err);

/* planes[channels][height][width] in -1..1 -> out[height][width][channels]: clamp(x / 2 + 0.5, 0,
 * 1) * 255 rounded half to even, as diffusers does. A NaN or an infinity is RT_ERR_INPUT; the
 * message has the channel, row and column of the first and how many there are. */
rt_status rt_image_from_float(const float *planes, int channels, uint32_t height, uint32_t width,
                              uint8_t *out, rt_error *err);

/* Places `count` pictures [height][width][channels], stored one after another, into a grid with
 * `columns` columns, row by row; unused cells are black. out holds columns * ceil(count / columns)
 * pictures. */
void rt_image_grid(const uint8_t *pictures, size_t count, uint32_t height, uint32_t width,
                   int channels, size_t columns, uint8_t *out);

#endif
