/* CLIPImageProcessor: preprocessor_config.json as properties, by which the program makes of a
 * picture what an image encoder reads; see pipeline.h. */
#include <string.h>

#include "frontend/diffusers/pipeline.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static base_jval given(base_jval root, const char *key) {
    base_jval v = base_json_get(root, key);
    return base_json_is_null(v) ? (base_jval){0} : v;
}

/* A size: a number (the shortest edge, or with `square` both), [height, width], or an object with
 * either. What is absent stays 0. */
static bool read_size(base_jval v, bool square, int64_t *edge, int64_t *height, int64_t *width) {
    if (!base_json_present(v)) return true;
    *edge = *height = *width = 0;
    if (base_json_is(v, BASE_JSON_OBJECT)) {
        static const char *const keys[] = {"shortest_edge", "height", "width"};
        int64_t *const to[] = {edge, height, width};
        for (int i = 0; i < 3; i++) {
            base_jval part = given(v, keys[i]);
            if (base_json_present(part) && !base_json_int(part, to[i], 1, FE_MAX_SIDE))
                return false;
        }
        bool fine = (*edge && !*height && !*width && !square) || (!*edge && *height && *width);
        if (!fine)
            base_json_error(v, "unsupported: a size that is not %s",
                            square ? "'height' and 'width'"
                                   : "'shortest_edge', or 'height' and 'width'");
        return fine;
    }
    if (base_json_is(v, BASE_JSON_ARRAY)) {
        int64_t both[2];
        size_t n;
        if (!base_json_ints(v, both, 2, &n, 1, FE_MAX_SIDE)) return false;
        if (n != 2) base_json_error(v, "a height and a width are expected");
        *height = both[0];
        *width = both[1];
        return n == 2;
    }
    int64_t side;
    if (!base_json_int(v, &side, 1, FE_MAX_SIDE)) return false;
    if (square)
        *height = *width = side;
    else
        *edge = side;
    return true;
}

/* A number a colour, or one for all. */
static bool read_colours(base_jval root, const char *key, double out[3]) {
    base_jval v = given(root, key);
    if (!base_json_present(v)) return true;
    bool list = base_json_is(v, BASE_JSON_ARRAY), fine = true;
    if (list && base_json_length(v) != 3) {
        base_json_error(v, "'%s': three numbers are expected, one a colour", key);
        return false;
    }
    for (size_t i = 0; i < 3; i++)
        fine = fine && base_json_double(list ? base_json_item(v, i) : v, &out[i]);
    return fine;
}

typedef struct processor {
    int64_t edge, height, width, crop_height, crop_width;
    const char *resample;
    double rescale, mean[3], std[3];
} processor;

static bool read_filter(base_jval root, const char **out) {
    base_jval v = given(root, "resample");
    int64_t filter = 3;
    if (base_json_present(v) && !base_json_int(v, &filter, 0, 5)) return false;
    *out = filter == 1 ? "lanczos" : "bicubic";
    if (filter == 1 || filter == 3) return true;
    base_json_error(v, "unsupported: 'resample' %lld (1, Lanczos, and 3, bicubic, are supported)",
                    (long long)filter);
    return false;
}

static bool read_config(base_jval root, processor *p) {
    static const char *const classes[] = {"CLIPImageProcessor", "CLIPFeatureExtractor",
                                          "CLIPImageProcessorFast"};
    static const char *const ignored[] = {"processor_class",   "do_convert_rgb",  "return_tensors",
                                          "data_format",       "device",          "do_pad",
                                          "input_data_format", "disable_grouping"};
    static const char *const types[] = {"image_processor_type", "feature_extractor_type"};
    bool fine = true;
    size_t which;
    for (size_t i = 0; i < COUNT(types); i++) {
        base_jval v = given(root, types[i]);
        if (base_json_present(v))
            fine &= base_json_choice(v, "image processor", classes, COUNT(classes), &which);
    }
    fine &= read_size(given(root, "size"), false, &p->edge, &p->height, &p->width);
    int64_t none = 0;
    fine &= read_size(given(root, "crop_size"), true, &none, &p->crop_height, &p->crop_width);
    if (!base_json_opt_bool(root, "do_resize", true)) p->edge = p->height = p->width = 0;
    if (!base_json_opt_bool(root, "do_center_crop", true)) p->crop_height = p->crop_width = 0;
    fine &= read_filter(root, &p->resample);
    p->rescale = base_json_opt_double(root, "rescale_factor", 1.0 / 255);
    if (!base_json_opt_bool(root, "do_rescale", true)) p->rescale = 1;
    fine &= read_colours(root, "image_mean", p->mean);
    fine &= read_colours(root, "image_std", p->std);
    if (!base_json_opt_bool(root, "do_normalize", true))
        for (int i = 0; i < 3; i++) p->mean[i] = 0, p->std[i] = 1;
    for (int i = 0; i < 3; i++)
        if (p->std[i] == 0) {
            base_json_error(fe_config_at(root, "image_std"), "a deviation of 0");
            fine = false;
        }
    fe_config_unknown(root, ignored, COUNT(ignored));
    return fine;
}

/* What comes out must be what the encoder reads, whatever the picture's size was. */
static bool size_fits(base_jval root, const processor *c, int64_t side, const char *reader) {
    int64_t height = c->crop_height ? c->crop_height : c->height,
            width = c->crop_width ? c->crop_width : c->width;
    if (height == side && width == side) return true;
    if (!height)
        base_json_error(root,
                        "unsupported: without a crop the picture's size is left open, and "
                        "'%s' reads %lld x %lld",
                        reader, (long long)side, (long long)side);
    else
        base_json_error(root, "it makes pictures of %lld x %lld, '%s' reads %lld x %lld",
                        (long long)width, (long long)height, reader, (long long)side,
                        (long long)side);
    return false;
}

static void set_meta(ir_module *m, const processor *c) {
    ir_meta_set_int(m, EBRU_META_IMAGE_PROCESSOR_SHORTEST_EDGE.name, c->edge);
    ir_meta_set_int(m, EBRU_META_IMAGE_PROCESSOR_HEIGHT.name, c->height);
    ir_meta_set_int(m, EBRU_META_IMAGE_PROCESSOR_WIDTH.name, c->width);
    ir_meta_set_string(m, EBRU_META_IMAGE_PROCESSOR_RESAMPLE.name, c->resample);
    ir_meta_set_int(m, EBRU_META_IMAGE_PROCESSOR_CROP_HEIGHT.name, c->crop_height);
    ir_meta_set_int(m, EBRU_META_IMAGE_PROCESSOR_CROP_WIDTH.name, c->crop_width);
    ir_meta_set_float(m, EBRU_META_IMAGE_PROCESSOR_RESCALE.name, c->rescale);
    ir_meta_set_float(m, EBRU_META_IMAGE_PROCESSOR_MEAN_0.name, c->mean[0]);
    ir_meta_set_float(m, EBRU_META_IMAGE_PROCESSOR_MEAN_1.name, c->mean[1]);
    ir_meta_set_float(m, EBRU_META_IMAGE_PROCESSOR_MEAN_2.name, c->mean[2]);
    ir_meta_set_float(m, EBRU_META_IMAGE_PROCESSOR_STD_0.name, c->std[0]);
    ir_meta_set_float(m, EBRU_META_IMAGE_PROCESSOR_STD_1.name, c->std[1]);
    ir_meta_set_float(m, EBRU_META_IMAGE_PROCESSOR_STD_2.name, c->std[2]);
}

bool fe_image_processor_meta(fe_pipeline *p, int64_t side, const char *reader) {
    static const char name[] = "feature_extractor", file[] = "preprocessor_config.json";
    processor c = {.edge = side,
                   .crop_height = side,
                   .crop_width = side,
                   .resample = "bicubic",
                   .rescale = 1.0 / 255,
                   .mean = {0.48145466, 0.4578275, 0.40821073},
                   .std = {0.26862954, 0.26130258, 0.27577711}};
    bool fine = true, there = !p->ldm && fe_dir_has_dir(p->root, name);
    if (there) {
        fe_dir *dir = fe_dir_open_in(p->d, p->root, name);
        base_json *doc = dir ? fe_json_load_in(p->d, dir, file, NULL) : NULL;
        fine = doc && base_json_expect(base_json_root(doc), BASE_JSON_OBJECT);
        if (fine) { /* the class's own defaults */
            c.edge = c.crop_height = c.crop_width = 224;
            fine = read_config(base_json_root(doc), &c) &&
                   size_fits(base_json_root(doc), &c, side, reader);
        }
        base_json_free(doc);
        fe_dir_close(dir);
    }
    if (fine) set_meta(p->m, &c);
    return fine;
}
