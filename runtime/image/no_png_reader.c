/* Linked into the programs that take no pictures, before everything else, so that no decoder gets
 * into them. They write PNG files and never read one, but what libpng keeps in one object with what
 * every writer needs refers to the reader's destructor and to zlib's inflate, and through them to
 * the whole decoder; and the runtime refers to its own reader behind options that such a program
 * refuses. */
#include "runtime/image/png_reader.h"
#include "runtime/text/unicode.h"

#include <stdlib.h>

void png_destroy_read_struct(void **png, void **info, void **end);
void png_destroy_read_struct(void **png, void **info, void **end) {
    (void)png, (void)info, (void)end;
    abort(); /* nobody calls these two */
}

int inflateReset(void *stream);
int inflateReset(void *stream) {
    (void)stream;
    abort();
}

static rt_status refuse(const char *path, rt_error *err) {
    char shown[RT_PRINTABLE_MAX];
    return rt_fail(err, RT_ERR_USAGE,
                   "cannot read '%s': this program was compiled without picture input",
                   rt_printable(path, shown));
}

rt_status rt_png_read(const char *path, int channels, uint8_t **pixels, uint32_t *width,
                      uint32_t *height, rt_error *err) {
    (void)channels;
    *pixels = NULL;
    *width = *height = 0;
    return refuse(path, err);
}

rt_status rt_png_read_gray16(const char *path, uint16_t **samples, uint32_t *width,
                             uint32_t *height, rt_error *err) {
    *samples = NULL;
    *width = *height = 0;
    return refuse(path, err);
}

uint32_t rt_png_frames(const char *path) {
    (void)path;
    return 1;
}
