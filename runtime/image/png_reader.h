/* Pictures in: PNG files, which may come from anybody. */
#ifndef EBRU_RUNTIME_IMAGE_PNG_READER_H
#define EBRU_RUNTIME_IMAGE_PNG_READER_H

#include "runtime/engine/status.h"

#include <stddef.h>
#include <stdint.h>

enum {
    RT_PNG_MAX_SIDE = 16384,      /* pixels */
    RT_PNG_MAX_PIXELS = 64 << 20, /* 8192 x 8192 */
    RT_PNG_MAX_FILE = 512 << 20   /* bytes */
};

/* Reads the PNG file `path`: every bit depth and colour type of the format, interlaced ones too.
 * The result is [height][width][channels] bytes, malloc'ed (the caller frees *pixels), as Pillow
 * gives it:
 *   channels 3: convert("RGB"): gray is repeated, palettes are looked up, transparency is dropped (not
 *               composited);
 *   channels 1: convert("L"): gray stays, colours become (19595 R + 38470 G + 7471 B + 32768) >> 16 (ITU-R
 *               BT.601);
 *   channels 2 and 4: gray or RGB as above with alpha behind it, 255 where the file has none.
 * A picture that is turned or mirrored by its Exif orientation (chunk eXIf) is put upright, as
 * diffusers' load_image does: width and height are those of the upright picture.
 * Of 16-bit samples the high byte counts. Gamma and colour profiles are not applied, text is not
 * read.
 *
 * Only regular files are read, never standard input ("-" is RT_ERR_USAGE; "./-" is a file).
 * RT_ERR_SYSTEM: cannot be opened or read, no memory. RT_ERR_INPUT: not a PNG (the message says
 * what it is instead, if that is known), truncated, corrupt, larger than the limits above. The
 * message names the file, printable whatever the name holds. On failure *pixels is NULL and the
 * sizes are 0. Nothing is printed.
 *
 * In a program compiled without picture input this function only refuses (RT_ERR_USAGE): the
 * decoder is not in it. */
rt_status rt_png_read(const char *path, int channels, uint8_t **pixels, uint32_t *width,
                      uint32_t *height, rt_error *err);

/* The same for a depth map: one channel at its full 16 bits, [height][width]. Samples of fewer bits
 * are spread over the range (8 bits: v * 257); colours become gray by the formula above, on 16
 * bits. */
rt_status rt_png_read_gray16(const char *path, uint16_t **samples, uint32_t *width,
                             uint32_t *height, rt_error *err);

/* Frames of the file: more than 1 for an animation, of which rt_png_read reads the still picture (its
 * first frame, as a rule). 1 for whatever cannot be read. */
uint32_t rt_png_frames(const char *path);

/* What both are made of, for tests: reads from an open stream of `size` bytes that messages call
 * `name`. bits 8 or 16 (uint16_t samples). The stream stays open. */
rt_status rt_png_decode(FILE *file, size_t size, const char *name, int channels, int bits,
                        void **pixels, uint32_t *width, uint32_t *height, rt_error *err);

#endif
