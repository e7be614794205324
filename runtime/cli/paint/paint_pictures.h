/* The pictures that a run begins from: what of the command line suits the model, and the files
 * themselves. */
#ifndef EBRU_RUNTIME_CLI_PAINT_PAINT_PICTURES_H
#define EBRU_RUNTIME_CLI_PAINT_PAINT_PICTURES_H

#include "runtime/cli/options.h"
#include "runtime/pipeline/pipeline.h"

/* Whether the pictures are there that the model cannot do without, and values are within its
 * limits; that the options suit it is option_effects.h's. RT_ERR_USAGE with a sentence. */
rt_status rt_pictures_check(const rt_options *o, const rt_pipeline_info *info, rt_error *err);

/* Reads the pictures named by the options into *pictures (freed with rt_pictures_free, also after a
 * failure). Those of another size are resized as diffusers does, Lanczos of 8 bits for picture and
 * mask, which is said on standard error unless `quiet`; depth maps of any size go to the latent's
 * by cubic interpolation and are spread over -1..1. RT_ERR_SYSTEM and RT_ERR_INPUT as rt_png_read;
 * RT_ERR_INPUT for a depth map without depth and a mask that repaints nothing. What of a file is
 * read otherwise than it looks (transparency, masks that say nothing) is told likewise. scales[4]:
 * of each IP-Adapter. */
rt_status rt_pictures_read(rt_pictures *pictures, double *scales, const rt_options *o,
                           const rt_pipeline_info *info, rt_error *err);
/* The picture of -i as it is, for an upscaler: pixels[height][width][channels], to be freed. */
rt_status rt_picture_as_it_is(uint8_t **pixels, uint32_t *width, uint32_t *height,
                              const rt_options *o, int channels, rt_error *err);
void rt_pictures_free(rt_pictures *pictures);

#endif
