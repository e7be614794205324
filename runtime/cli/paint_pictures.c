#include "runtime/cli/paint_pictures.h"

#include "runtime/image/png_reader.h"
#include "runtime/image/resize.h"
#include "runtime/pipeline/condition.h"
#include "runtime/text/unicode.h"

#include <stdlib.h>
#include <string.h>

static rt_status check_complete(const rt_options *o, const rt_pipeline_info *info, rt_error *err) {
    static const char *const what[] = {"", "repaints a part of a picture",
                                       "paints after a picture and its depth map",
                                       "paints a picture larger"};
    if (info->condition && !o->init_image)
        return rt_fail(err, RT_ERR_USAGE, "this model %s: give the picture with -i",
                       what[info->condition]);
    if (info->condition == EBRU_CONDITION_INPAINT && !o->mask)
        return rt_fail(err, RT_ERR_USAGE,
                       "this model repaints a part of a picture: give the part with --mask");
    if (info->condition == EBRU_CONDITION_DEPTH && !o->depth)
        return rt_fail(err, RT_ERR_USAGE,
                       "this model paints after a depth map: give it with --depth");
    return RT_OK;
}

rt_status rt_pictures_check(const rt_options *o, const rt_pipeline_info *info, rt_error *err) {
    rt_status s = check_complete(o, info, err);
    if (s) return s;
    if (o->strength == 0)
        return rt_fail(err, RT_ERR_USAGE,
                       "--strength 0 would leave the picture as it is; above 0 to 1");
    if (info->condition == EBRU_CONDITION_LOW_RESOLUTION && o->noise_level > info->max_noise_level)
        return rt_fail(err, RT_ERR_USAGE, "--noise-level: this model knows 0 to %d",
                       info->max_noise_level);
    return RT_OK;
}

/* One picture of width x height, read and resized. */
static rt_status read_picture(uint8_t **out, const char *path, int channels,
                              rt_resize_filter filter, int width, int height, bool quiet,
                              rt_error *err) {
    char shown[RT_PRINTABLE_MAX];
    uint32_t w, h, to_w = (uint32_t)width, to_h = (uint32_t)height;
    uint8_t *pixels;
    rt_status s = rt_png_read(path, channels, &pixels, &w, &h, err);
    if (s) return s;
    if (w == to_w && h == to_h) {
        *out = pixels;
        return RT_OK;
    }
    *out = malloc((size_t)to_w * to_h * (size_t)channels);
    s = *out ? rt_resize_u8(filter, pixels, w, h, channels, *out, to_w, to_h, err)
             : rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    free(pixels);
    if (!s && !quiet)
        fprintf(stderr, "note: '%s' is %ux%u pixels, resized to %dx%d\n", rt_printable(path, shown),
                w, h, width, height);
    return s;
}

static rt_status read_depth(float **out, const char *path, int width, int height, rt_error *err) {
    char shown[RT_PRINTABLE_MAX];
    uint32_t w, h;
    uint16_t *samples;
    rt_status s = rt_png_read_gray16(path, &samples, &w, &h, err);
    if (s) return s;
    size_t n = (size_t)w * h;
    float *map = malloc(n * sizeof *map);
    *out = malloc((size_t)width * (size_t)height * sizeof **out);
    if (!map || !*out) s = rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    for (size_t i = 0; !s && i < n; i++) map[i] = (float)samples[i] / 65535.0f;
    if (!s) s = rt_resize_bicubic_f32(map, w, h, *out, (uint32_t)width, (uint32_t)height, err);
    if (!s && !rt_depth_normalise(*out, (size_t)width * (size_t)height))
        s = rt_fail(err, RT_ERR_INPUT, "the depth map '%s' is the same everywhere",
                    rt_printable(path, shown));
    free(samples);
    free(map);
    return s;
}

rt_status rt_pictures_read(rt_pictures *pictures, const rt_options *o, const rt_pipeline_info *info,
                           rt_error *err) {
    bool larger = info->condition == EBRU_CONDITION_LOW_RESOLUTION;
    rt_status s = RT_OK;
    if (o->init_image)
        s = read_picture(&pictures->init, o->init_image, info->channels,
                         larger ? RT_RESIZE_BICUBIC : RT_RESIZE_LANCZOS,
                         larger ? info->latent_width : info->width,
                         larger ? info->latent_height : info->height, o->quiet, err);
    if (!s && o->mask)
        s = read_picture(&pictures->mask, o->mask, 1, RT_RESIZE_LANCZOS, info->width, info->height,
                         o->quiet, err);
    if (!s && o->depth)
        s = read_depth(&pictures->depth, o->depth, info->latent_width, info->latent_height, err);
    return s;
}

void rt_pictures_free(rt_pictures *pictures) {
    free(pictures->init);
    free(pictures->mask);
    free(pictures->depth);
    memset(pictures, 0, sizeof *pictures);
}
