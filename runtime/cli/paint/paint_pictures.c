#include "runtime/cli/paint/paint_pictures.h"

#include "runtime/image/canny.h"
#include "runtime/image/mask.h"
#include "runtime/image/png_reader.h"
#include "runtime/image/resize.h"
#include "runtime/pipeline/condition.h"
#include "runtime/text/unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
    if (o->control_count && o->control_count != info->control_count)
        return rt_fail(err, RT_ERR_USAGE,
                       "this program has %d networks for control pictures, and --control was given "
                       "%d times (one with a scale of 0, FILE:0, is not run)",
                       info->control_count, o->control_count);
    if (o->strength == 0)
        return rt_fail(err, RT_ERR_USAGE,
                       "--strength 0 would leave the picture as it is; above 0 to 1");
    if (info->condition == EBRU_CONDITION_LOW_RESOLUTION && o->noise_level > info->max_noise_level)
        return rt_fail(err, RT_ERR_USAGE, "--noise-level: this model knows 0 to %d",
                       info->max_noise_level);
    return RT_OK;
}

/* A file to read, and what messages call it. */
struct source {
    const char *path;
    char shown[RT_PRINTABLE_MAX];
    bool quiet;
};

static struct source source_of(const char *path, bool quiet) {
    struct source from = {.path = path, .quiet = quiet};
    rt_printable(path, from.shown);
    return from;
}

/* Colours times alpha and back, in place, n pixels of `channels`, the alpha last: colours that
 * nobody sees do not run into those beside them. In bytes as Pillow rounds them. */
static void multiply_alpha(uint8_t *pixels, size_t n, size_t channels) {
    for (size_t i = 0; i < n; i++, pixels += channels)
        for (size_t c = 0; c + 1 < channels; c++) {
            const unsigned product = (unsigned)pixels[c] * pixels[channels - 1] + 128;
            pixels[c] = (uint8_t)(((product >> 8) + product) >> 8);
        }
}

static void divide_alpha(uint8_t *pixels, size_t n, size_t channels) {
    for (size_t i = 0; i < n; i++, pixels += channels) {
        const unsigned alpha = pixels[channels - 1];
        for (size_t c = 0; alpha && c + 1 < channels; c++) {
            const unsigned whole = 255u * pixels[c] / alpha;
            pixels[c] = (uint8_t)(whole > 255 ? 255 : whole);
        }
    }
}

/* Pixels of w x h become width x height ones in *out. Frees `pixels`. */
static rt_status resize(uint8_t **out, const struct source *from, uint8_t *pixels, uint32_t w,
                        uint32_t h, int channels, rt_resize_filter filter, int width, int height,
                        rt_error *err) {
    uint32_t to_w = (uint32_t)width, to_h = (uint32_t)height;
    *out = pixels;
    if (w == to_w && h == to_h) return RT_OK;
    *out = malloc((size_t)to_w * to_h * (size_t)channels);
    const bool alpha = channels % 2 == 0;
    if (alpha) multiply_alpha(pixels, (size_t)w * h, (size_t)channels);
    rt_status s = *out ? rt_resize_u8(filter, pixels, w, h, channels, *out, to_w, to_h, err)
                       : rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    free(pixels);
    if (!s && alpha) divide_alpha(*out, (size_t)to_w * to_h, (size_t)channels);
    if (!s && !from->quiet)
        fprintf(stderr, "note: '%s' is %ux%u pixels, resized to %dx%d\n", from->shown, w, h, width,
                height);
    return s;
}

/* pixels[n][channels + 1] without the last channel, the alpha; true when it was not opaque. */
static bool drop_alpha(uint8_t *pixels, size_t n, size_t channels) {
    bool transparent = false;
    for (size_t i = 0; i < n; i++) {
        transparent |= pixels[i * (channels + 1) + channels] != 255;
        memmove(pixels + i * channels, pixels + i * (channels + 1), channels);
    }
    return transparent;
}

static void tell_hidden(const struct source *from, bool transparent) {
    if (transparent && !from->quiet)
        fprintf(stderr, "note: '%s' has transparent parts; the colours that they hide are used\n",
                from->shown);
}

static void tell_frames(const struct source *from) {
    const uint32_t frames = rt_png_frames(from->path);
    if (frames > 1 && !from->quiet)
        fprintf(stderr, "note: '%s' is an animation of %u frames; its still picture is used\n",
                from->shown, frames);
}

/* One picture of width x height. */
static rt_status read_picture(uint8_t **out, const char *path, int channels,
                              rt_resize_filter filter, int width, int height, bool quiet,
                              rt_error *err) {
    struct source from = source_of(path, quiet);
    uint32_t w, h;
    uint8_t *pixels;
    const bool alpha = channels % 2 == 0; /* opaque where the file has none */
    rt_status s = rt_png_read(path, alpha ? channels : channels + 1, &pixels, &w, &h, err);
    if (s) return s;
    tell_frames(&from);
    if (!alpha) tell_hidden(&from, drop_alpha(pixels, (size_t)w * h, (size_t)channels));
    return resize(out, &from, pixels, w, h, channels, filter, width, height, err);
}

static rt_status check_mask(const struct source *from, rt_mask_kind kind, rt_error *err) {
    static const char *const notes[] = {
        [RT_MASK_GRAY_ALPHA] = ("is transparent in other places than it is white; what is white is "
                                "repainted, transparency is not looked at"),
        [RT_MASK_HOLES] = "is drawn as transparency: what is transparent is repainted",
        [RT_MASK_STROKES] = "is drawn as transparency: what is opaque is repainted",
        [RT_MASK_ALL] = "is white everywhere: everything is repainted",
        [RT_MASK_BELOW_HALF] = "is nowhere white (half and above): nothing is repainted"};
    if (kind == RT_MASK_NOTHING)
        return rt_fail(err, RT_ERR_INPUT,
                       "the mask '%s' is dark everywhere: nothing would be repainted", from->shown);
    if (kind != RT_MASK_GRAY && !from->quiet)
        fprintf(stderr, "note: the mask '%s' %s\n", from->shown, notes[kind]);
    return RT_OK;
}

/* The mask of the latent takes one pixel for each of its cells. */
static void tell_small_mask(const struct source *from, const uint8_t *mask,
                            const rt_pipeline_info *info) {
    size_t area = (size_t)info->width * (size_t)info->height,
           cells = (size_t)info->latent_width * (size_t)info->latent_height;
    float *full = malloc(area * sizeof *full), *small = malloc(cells * sizeof *small);
    bool white = false, any = !full || !small;
    if (!any) {
        rt_mask_to_float(mask, area, full);
        rt_resize_nearest_f32(full, (uint32_t)info->width, (uint32_t)info->height, small,
                              (uint32_t)info->latent_width, (uint32_t)info->latent_height);
        for (size_t i = 0; i < area; i++) white |= full[i] > 0;
        for (size_t i = 0; i < cells; i++) any |= small[i] > 0;
    }
    if (white && !any && !from->quiet)
        fprintf(stderr,
                "note: what is white in the mask '%s' is smaller than a cell of the latent: "
                "nothing is repainted\n",
                from->shown);
    free(full);
    free(small);
}

static rt_status read_mask(uint8_t **out, const char *path, const rt_pipeline_info *info,
                           bool quiet, rt_error *err) {
    struct source from = source_of(path, quiet);
    uint32_t w, h;
    uint8_t *pixels;
    rt_status s = rt_png_read(path, 2, &pixels, &w, &h, err);
    if (s) return s;
    tell_frames(&from);
    s = check_mask(&from, rt_mask_of(pixels, (size_t)w * h, pixels), err);
    if (s) {
        free(pixels);
        return s;
    }
    s = resize(out, &from, pixels, w, h, 1, RT_RESIZE_LANCZOS, info->width, info->height, err);
    if (!s) tell_small_mask(&from, *out, info);
    return s;
}

static rt_status read_depth(float **out, const char *path, int width, int height, bool quiet,
                            rt_error *err) {
    struct source from = source_of(path, quiet);
    uint32_t w, h;
    uint16_t *samples;
    rt_status s = rt_png_read_gray16(path, &samples, &w, &h, err);
    if (s) return s;
    tell_frames(&from);
    size_t n = (size_t)w * h;
    float *map = malloc(n * sizeof *map);
    *out = malloc((size_t)width * (size_t)height * sizeof **out);
    if (!map || !*out) s = rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    for (size_t i = 0; !s && i < n; i++) map[i] = (float)samples[i] / 65535.0f;
    if (!s) s = rt_resize_bicubic_f32(map, w, h, *out, (uint32_t)width, (uint32_t)height, err);
    if (!s && !rt_depth_normalise(*out, (size_t)width * (size_t)height))
        s = rt_fail(err, RT_ERR_INPUT, "the depth map '%s' is the same everywhere", from.shown);
    free(samples);
    free(map);
    return s;
}

/* pixels[n] once more for every channel; NULL without memory. */
static uint8_t *repeat(const uint8_t *pixels, size_t n, size_t channels) {
    uint8_t *out = malloc(n * channels);
    for (size_t i = 0; out && i < n * channels; i++) out[i] = pixels[i / channels];
    return out;
}

/* Edges take the picture's place. */
static rt_status find_edges(uint8_t **pixels, uint32_t w, uint32_t h, const rt_control_option *c,
                            int channels, rt_error *err) {
    size_t n = (size_t)w * h;
    uint8_t *edges = malloc(n), *picture = NULL;
    if (edges && rt_canny(*pixels, w, h, 3, c->low, c->high, edges))
        picture = repeat(edges, n, (size_t)channels);
    free(edges);
    free(*pixels);
    *pixels = picture;
    return picture ? RT_OK : rt_fail(err, RT_ERR_SYSTEM, "out of memory");
}

/* Edges are found in the file's own pixels, then the map is resized, as diffusers' users do. */
static rt_status read_control(float **out, const rt_control_option *c, const rt_control_info *to,
                              bool quiet, rt_error *err) {
    struct source from = source_of(c->file, quiet);
    int channels = c->canny ? 3 : to->channels;
    size_t area = (size_t)to->width * (size_t)to->height;
    uint32_t w, h;
    uint8_t *pixels, *sized = NULL;
    rt_status s = rt_png_read(c->file, channels + 1, &pixels, &w, &h, err);
    if (s) return s;
    tell_frames(&from);
    tell_hidden(&from, drop_alpha(pixels, (size_t)w * h, (size_t)channels));
    if (c->canny) s = find_edges(&pixels, w, h, c, to->channels, err);
    if (!s)
        s = resize(&sized, &from, pixels, w, h, to->channels, RT_RESIZE_LANCZOS, to->width,
                   to->height, err);
    *out = s ? NULL : malloc(area * (size_t)to->channels * sizeof **out);
    if (!s && !*out) s = rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    if (!s) rt_control_to_float(sized, area, (size_t)to->channels, *out);
    free(sized);
    return s;
}

static void tell_no_control(const rt_options *o, const rt_pipeline_info *info) {
    if (!info->control_count || o->control_count || o->quiet) return;
    fprintf(stderr, "note: no control picture was given (--control): the model paints without\n");
}

/* FILE[:SCALE]: a name that there is, is a file's whole name; else the scale is what follows the
 * last colon, when that is a number. True when there was one. */
static bool split_scale(const char *given, char *path, size_t size, double *scale) {
    struct stat st;
    char *end = NULL;
    int n = snprintf(path, size, "%s", given);
    char *colon = n >= 0 && (size_t)n < size ? strrchr(path, ':') : NULL;
    if (!colon || !colon[1] || !stat(path, &st)) return false;
    double value = strtod(colon + 1, &end);
    if (*end || !isfinite(value)) return false;
    *colon = '\0';
    *scale = value;
    return true;
}

/* How many pictures each adapter gets, and that all of it fits. */
static rt_status check_references(const rt_options *o, const rt_pipeline_info *info,
                                  rt_error *err) {
    int adapters = info->reference_adapters, most = info->reference_images;
    int each = adapters ? o->reference_count / adapters : 0;
    if (o->reference_count % (adapters ? adapters : 1))
        return rt_fail(err, RT_ERR_USAGE,
                       "--ip-image: %d pictures for %d IP-Adapters; give each as many",
                       o->reference_count, adapters);
    if (each && (each > most || most % each))
        return rt_fail(err, RT_ERR_USAGE,
                       "--ip-image: an IP-Adapter of this program looks at %d picture%s, or at a "
                       "number that divides that; %d were given (ebru compile --ip-images=N)",
                       most, most == 1 ? "" : "s", each);
    return RT_OK;
}

/* A picture beside the prompt, as the image encoder reads it. */
static rt_status read_reference(rt_pictures *pictures, const char *path,
                                const rt_pipeline_info *info, bool quiet, rt_error *err) {
    struct source from = source_of(path, quiet);
    uint32_t w, h, to_w = 0, to_h = 0;
    uint8_t *pixels;
    float *out;
    rt_status s = rt_png_read(path, 4, &pixels, &w, &h, err);
    if (s) return s;
    tell_frames(&from);
    tell_hidden(&from, drop_alpha(pixels, (size_t)w * h, 3));
    s = rt_image_process(&info->image_processor, pixels, w, h, &out, &to_w, &to_h, err);
    free(pixels);
    if (s) return s;
    pictures->references[pictures->reference_count++] = out;
    pictures->reference_width = (int)to_w;
    pictures->reference_height = (int)to_h;
    return RT_OK;
}

static rt_status read_references(rt_pictures *pictures, double *scales, const rt_options *o,
                                 const rt_pipeline_info *info, rt_error *err) {
    rt_status s = check_references(o, info, err);
    if (s || !o->reference_count) return s;
    pictures->references = calloc((size_t)o->reference_count, sizeof *pictures->references);
    if (!pictures->references) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    int each = o->reference_count / info->reference_adapters;
    bool said[RT_REFERENCE_ADAPTERS] = {false};
    for (int i = 0; !s && i < o->reference_count; i++) {
        char path[4096];
        double scale = 0;
        bool given = split_scale(o->references[i], path, sizeof path, &scale);
        int adapter = i / each;
        if (given && said[adapter] && scale != scales[adapter])
            return rt_fail(err, RT_ERR_USAGE,
                           "--ip-image: pictures of one IP-Adapter have one scale; %g and %g were "
                           "given",
                           scales[adapter], scale);
        if (given) scales[adapter] = scale;
        said[adapter] |= given;
        s = read_reference(pictures, path, info, o->quiet, err);
    }
    return s;
}

rt_status rt_pictures_read(rt_pictures *pictures, double *scales, const rt_options *o,
                           const rt_pipeline_info *info, rt_error *err) {
    bool larger = info->condition == EBRU_CONDITION_LOW_RESOLUTION;
    rt_status s = RT_OK;
    if (o->init_image)
        s = read_picture(&pictures->init, o->init_image, info->channels,
                         larger ? RT_RESIZE_BICUBIC : RT_RESIZE_LANCZOS,
                         larger ? info->latent_width : info->width,
                         larger ? info->latent_height : info->height, o->quiet, err);
    if (!s && o->mask) s = read_mask(&pictures->mask, o->mask, info, o->quiet, err);
    if (!s && o->depth)
        s = read_depth(&pictures->depth, o->depth, info->latent_width, info->latent_height,
                       o->quiet, err);
    for (int i = 0; !s && i < o->control_count; i++)
        s = read_control(&pictures->controls[i], &o->controls[i], &info->controls[i], o->quiet,
                         err);
    tell_no_control(o, info);
    for (int i = 0; i < RT_REFERENCE_ADAPTERS; i++) scales[i] = info->default_reference_scale[i];
    if (!s) s = read_references(pictures, scales, o, info, err);
    return s;
}

rt_status rt_picture_as_it_is(uint8_t **pixels, uint32_t *width, uint32_t *height,
                              const rt_options *o, int channels, rt_error *err) {
    struct source from = source_of(o->init_image, o->quiet);
    rt_status s = rt_png_read(o->init_image, channels + 1, pixels, width, height, err);
    if (s) return s;
    tell_frames(&from);
    tell_hidden(&from, drop_alpha(*pixels, (size_t)*width * *height, (size_t)channels));
    return RT_OK;
}

void rt_pictures_free(rt_pictures *pictures) {
    free(pictures->init);
    free(pictures->mask);
    free(pictures->depth);
    for (int i = 0; i < RT_MAX_CONTROLS; i++) free(pictures->controls[i]);
    for (int i = 0; i < pictures->reference_count; i++) free(pictures->references[i]);
    free(pictures->references);
    memset(pictures, 0, sizeof *pictures);
}
