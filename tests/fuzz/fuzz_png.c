/* Fuzz entry: any bytes as a PNG file. Whatever is accepted has the promised size, and the ways to
 * RGB, gray and 16-bit gray agree on whether it is; whatever is refused has a printable reason. */
#include "tests/fuzz/fuzz.h"

#include "runtime/image/png_reader.h"

typedef struct size2 {
    uint32_t width, height;
} size2;

static rt_status read_as(const uint8_t *data, size_t size, int channels, int bits, size2 *s) {
    FILE *f = fmemopen((void *)(uintptr_t)data, size, "rb"); /* only read */
    if (!f) return RT_ERR_SYSTEM;
    void *pixels = f;
    rt_error err = {""};
    rt_status status =
        rt_png_decode(f, size, "fuzz.png", channels, bits, &pixels, &s->width, &s->height, &err);
    fclose(f);
    PROMISE((status == RT_OK) == (pixels != NULL));
    if (status == RT_OK) {
        PROMISE(s->width > 0 && s->width <= RT_PNG_MAX_SIDE && s->height > 0 &&
                s->height <= RT_PNG_MAX_SIDE);
        size_t bytes = (size_t)s->width * s->height * (size_t)(channels * bits / 8);
        unsigned sum = 0; /* a sanitizer sees every byte that is not there */
        for (size_t i = 0; i < bytes; i++) sum += ((const uint8_t *)pixels)[i];
        PROMISE(sum <= 255 * bytes);
    } else {
        PROMISE(err.message[0] && s->width == 0 && s->height == 0);
        for (const char *c = err.message; *c; c++) PROMISE((unsigned char)*c >= 0x20 && *c != 0x7f);
    }
    free(pixels);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size2 rgb, gray, wide;
    if (size == 0) return 0;
    rt_status status = read_as(data, size, 3, 8, &rgb);
    PROMISE(read_as(data, size, 1, 8, &gray) == status &&
            read_as(data, size, 1, 16, &wide) == status);
    PROMISE(memcmp(&rgb, &gray, sizeof rgb) == 0 && memcmp(&rgb, &wide, sizeof rgb) == 0);
    return 0;
}
