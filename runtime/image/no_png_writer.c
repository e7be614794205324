/* Takes the PNG writer's place in programs of an architecture that there was no libpng for when the
 * compiler was built: they run networks on tensors (--call, --bench) and paint nothing. */
#include "runtime/image/png_writer.h"

rt_status rt_png_available(rt_error *err) {
    return rt_fail(
        err, RT_ERR_USAGE,
        "this program was linked without libpng: it runs networks (--call, --bench) but writes no "
        "pictures");
}

rt_status rt_png_check(uint32_t width, uint32_t height, int channels, rt_error *err) {
    (void)width, (void)height, (void)channels;
    return rt_png_available(err);
}

rt_status rt_png_encode(rt_output *to, const uint8_t *pixels, uint32_t width, uint32_t height,
                        int channels, const rt_png_text *texts, size_t text_count, rt_error *err) {
    (void)to, (void)pixels, (void)width, (void)height, (void)channels, (void)texts,
        (void)text_count;
    return rt_png_available(err);
}

rt_status rt_png_write(const char *path, const uint8_t *pixels, uint32_t width, uint32_t height,
                       int channels, const rt_png_text *texts, size_t text_count, rt_error *err) {
    (void)path, (void)pixels, (void)width, (void)height, (void)channels, (void)texts,
        (void)text_count;
    return rt_png_available(err);
}
