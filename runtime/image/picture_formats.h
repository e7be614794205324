/* Which picture formats a program writes, by the endings of names: a table with a row a format. */
#ifndef EBRU_RUNTIME_IMAGE_PICTURE_FORMATS_H
#define EBRU_RUNTIME_IMAGE_PICTURE_FORMATS_H

#include "runtime/cli/output.h"
#include "runtime/image/png_writer.h"

typedef struct rt_picture_format {
    const char *name;
    const char *endings; /* in small letters, a blank behind each */
    /* RT_OK if such a picture can be, RT_ERR_INPUT if not */
    rt_status (*check)(uint32_t width, uint32_t height, int channels, rt_error *err);
    /* as rt_png_encode; NULL: this format is not written */
    rt_status (*encode)(rt_output *to, const uint8_t *pixels, uint32_t width, uint32_t height,
                        int channels, const rt_png_text *texts, size_t text_count, rt_error *err);
} rt_picture_format;

/* The format that a name's ending says, in letters of any size; PNG where it says none or nothing
 * of pictures. Never NULL. */
const rt_picture_format *rt_picture_format_of(const char *path);

#endif
