/* The model's properties (docs/properties.md) as a pipeline description and the configuration of
 * its samplers. */
#include "runtime/pipeline/pipeline.h"

#include <string.h>

/* PREFIX.KEY of every setting of a sampler (meta_keys.def) into the sampler's configuration. */
static rt_status read_settings(rt_sampler_config *c, const struct ebru_model *t, const char *prefix,
                               rt_error *err) {
    size_t n = strlen(prefix);
    for (int32_t i = 0; i < t->meta_count; i++) {
        const struct ebru_meta_desc *m = &t->meta[i];
        if (strncmp(m->key, prefix, n) != 0 || !rt_sampler_config_knows(m->key + n)) continue;
        rt_status s =
            rt_sampler_config_set(c, m->key + n, m->kind == EBRU_META_KIND_STRING ? m->s : NULL,
                                  m->kind == EBRU_META_KIND_FLOAT ? m->f : (double)m->i, err);
        if (s) return s;
    }
    return RT_OK;
}

static rt_status read_sampler(rt_sampler_config *c, const struct ebru_model *t,
                              ebru_string_key class_key, const char *prefix, rt_error *err) {
    const char *cls = rt_meta_string(t, class_key);
    int id = rt_sampler_by_name(cls);
    if (id < 0) return rt_fail(err, RT_ERR_INTERNAL, "unknown sampler '%s'", cls);
    *c = rt_sampler_defaults((rt_sampler_id)id);
    return read_settings(c, t, prefix, err);
}

/* Which of its words the property is; they have been checked. */
static int choice(const struct ebru_model *t, ebru_string_key key) {
    return ebru_meta_choice(ebru_meta_find(key.name)->words, rt_meta_string(t, key));
}

static void read_text(rt_pipeline_info *info, const struct ebru_model *t) {
    info->text_encoder = rt_meta_string(t, EBRU_META_PIPELINE_TEXT_ENCODER);
    info->text_encoder_2 = rt_meta_string(t, EBRU_META_PIPELINE_TEXT_ENCODER_2);
    if (info->kind == EBRU_PIPELINE_TEXT && !info->text_encoder && !info->text_encoder_2)
        info->text_encoder = "text_encoder";
    info->text_output = rt_meta_string(t, EBRU_META_PIPELINE_TEXT_OUTPUT);
    info->text_output_2 = rt_meta_string(t, EBRU_META_PIPELINE_TEXT_OUTPUT_2);
    info->negative_text_output = rt_meta_string(t, EBRU_META_PIPELINE_NEGATIVE_TEXT_OUTPUT);
    info->negative_text_output_2 = rt_meta_string(t, EBRU_META_PIPELINE_NEGATIVE_TEXT_OUTPUT_2);
    info->pooled_output = rt_meta_string(t, EBRU_META_PIPELINE_POOLED_OUTPUT);
    info->chunks = (int)rt_meta_int(t, EBRU_META_TEXT_CHUNKS);
    info->force_zeros = rt_meta_int(t, EBRU_META_TEXT_FORCE_ZEROS) != 0;
}

static void read_picture_input(rt_pipeline_info *info, const struct ebru_model *t) {
    info->image_input = rt_meta_int(t, EBRU_META_PIPELINE_IMAGE_INPUT) != 0;
    info->encoder = rt_meta_string(t, EBRU_META_PIPELINE_ENCODER);
    info->default_strength = rt_meta_float(t, EBRU_META_SAMPLER_STRENGTH);
    if (info->condition == EBRU_CONDITION_INPAINT &&
        !rt_meta_has(t, EBRU_META_SAMPLER_STRENGTH.name))
        info->default_strength = 1.0;
    info->noise_level = (int)rt_meta_int(t, EBRU_META_LOW_RES_NOISE_LEVEL);
    info->max_noise_level = (int)rt_meta_int(t, EBRU_META_LOW_RES_MAX_NOISE_LEVEL);
}

/* Key of row `row` for number i. */
static const char *numbered(const char *row, int i, char out[64]) {
    ebru_meta_numbered((ebru_string_key){row, NULL}, i, out);
    return out;
}

/* The picture that the network takes, from the inputs of its first function that has one. */
static bool find_picture(rt_control_info *c, const struct ebru_model *t) {
    size_t n = strlen(c->function);
    for (int32_t i = 0; i < t->function_count; i++) {
        const struct ebru_function_desc *f = &t->functions[i];
        if (strncmp(f->name, c->function, n) != 0 || (f->name[n] && f->name[n] != '.')) continue;
        for (int32_t k = 0; k < f->input_count; k++) {
            const struct ebru_tensor_desc *d = &f->inputs[k];
            bool each = !strcmp(d->name, "controlnet_cond");
            if (d->rank != 4 || !(each || !strcmp(d->name, "image"))) continue;
            c->every_step = each;
            c->channels = (int)d->dim[1];
            c->height = (int)d->dim[2];
            c->width = (int)d->dim[3];
            return c->channels == 1 || c->channels == 3;
        }
    }
    return false;
}

static rt_status read_controls(rt_pipeline_info *info, const struct ebru_model *t, rt_error *err) {
    int64_t count = rt_meta_int(t, EBRU_META_PIPELINE_CONTROLS);
    bool first = true;
    if (count < 0 || count > RT_MAX_CONTROLS)
        return rt_fail(err, RT_ERR_INTERNAL, "the model's properties name too many controls");
    for (int i = 0; i < (int)count; i++) {
        rt_control_info *c = &info->controls[info->control_count++];
        char key[64];
        c->function =
            rt_meta_string(t, (ebru_string_key){numbered(EBRU_META_CONTROL.name, i, key), NULL});
        c->source = rt_meta_string(
            t, (ebru_string_key){numbered(EBRU_META_CONTROL_SOURCE.name, i, key), NULL});
        c->scale = rt_meta_float(t, (ebru_float_key){numbered(EBRU_META_CONTROL_SCALE.name, i, key),
                                                     EBRU_META_CONTROL_SCALE.otherwise});
        c->pooled =
            rt_meta_int(t, (ebru_int_key){numbered(EBRU_META_CONTROL_POOLED.name, i, key), 0}) != 0;
        if (!c->function || !find_picture(c, t))
            return rt_fail(err, RT_ERR_INTERNAL, "control %d is no function with a picture", i);
        if (c->every_step && first) info->guesses = c->pooled;
        first &= !c->every_step;
    }
    return RT_OK;
}

static void read_references(rt_pipeline_info *info, const struct ebru_model *t) {
    rt_image_processor *p = &info->image_processor;
    info->reference_adapters = (int)rt_meta_int(t, EBRU_META_IP_ADAPTER_COUNT);
    info->reference_images = (int)rt_meta_int(t, EBRU_META_IP_ADAPTER_IMAGES);
    info->image_encoder = rt_meta_string(t, EBRU_META_PIPELINE_IMAGE_ENCODER);
    info->default_reference_scale[0] = rt_meta_float(t, EBRU_META_IP_ADAPTER_SCALE);
    info->default_reference_scale[1] = rt_meta_float(t, EBRU_META_IP_ADAPTER_SCALE_2);
    info->default_reference_scale[2] = rt_meta_float(t, EBRU_META_IP_ADAPTER_SCALE_3);
    info->default_reference_scale[3] = rt_meta_float(t, EBRU_META_IP_ADAPTER_SCALE_4);
    p->shortest_edge = (int)rt_meta_int(t, EBRU_META_IMAGE_PROCESSOR_SHORTEST_EDGE);
    p->width = (int)rt_meta_int(t, EBRU_META_IMAGE_PROCESSOR_WIDTH);
    p->height = (int)rt_meta_int(t, EBRU_META_IMAGE_PROCESSOR_HEIGHT);
    p->crop_width = (int)rt_meta_int(t, EBRU_META_IMAGE_PROCESSOR_CROP_WIDTH);
    p->crop_height = (int)rt_meta_int(t, EBRU_META_IMAGE_PROCESSOR_CROP_HEIGHT);
    p->filter =
        choice(t, EBRU_META_IMAGE_PROCESSOR_RESAMPLE) ? RT_RESIZE_BICUBIC : RT_RESIZE_LANCZOS;
    p->rescale = rt_meta_float(t, EBRU_META_IMAGE_PROCESSOR_RESCALE);
    p->mean[0] = rt_meta_float(t, EBRU_META_IMAGE_PROCESSOR_MEAN_0);
    p->mean[1] = rt_meta_float(t, EBRU_META_IMAGE_PROCESSOR_MEAN_1);
    p->mean[2] = rt_meta_float(t, EBRU_META_IMAGE_PROCESSOR_MEAN_2);
    p->std[0] = rt_meta_float(t, EBRU_META_IMAGE_PROCESSOR_STD_0);
    p->std[1] = rt_meta_float(t, EBRU_META_IMAGE_PROCESSOR_STD_1);
    p->std[2] = rt_meta_float(t, EBRU_META_IMAGE_PROCESSOR_STD_2);
}

rt_status rt_pipeline_read(rt_pipeline_info *info, const struct ebru_model *t, rt_error *err) {
    memset(info, 0, sizeof *info);
    rt_status s = rt_meta_check(t, err);
    if (s) return s;
    info->kind = (ebru_pipeline_kind)choice(t, EBRU_META_PIPELINE_KIND);
    info->condition = (ebru_condition)choice(t, EBRU_META_PIPELINE_CONDITION);
    info->denoiser = rt_meta_string(t, EBRU_META_PIPELINE_DENOISER);
    info->decoder = rt_meta_string(t, EBRU_META_PIPELINE_DECODER);
    info->width = (int)rt_meta_int(t, EBRU_META_IMAGE_WIDTH);
    info->height = (int)rt_meta_int(t, EBRU_META_IMAGE_HEIGHT);
    info->channels = (int)rt_meta_int(t, EBRU_META_IMAGE_CHANNELS);
    info->default_steps = (int)rt_meta_int(t, EBRU_META_SAMPLER_STEPS);
    info->default_guidance = rt_meta_float(t, EBRU_META_SAMPLER_GUIDANCE);
    if (info->kind == EBRU_PIPELINE_TEXT && !rt_meta_has(t, EBRU_META_SAMPLER_GUIDANCE.name))
        info->default_guidance = 7.5;
    info->guidance_pair = rt_meta_int(t, EBRU_META_PIPELINE_GUIDANCE) != 0;
    info->guidance_embedding = rt_meta_int(t, EBRU_META_PIPELINE_GUIDANCE_EMBEDDING) != 0;
    info->scaling_factor = rt_meta_float(t, EBRU_META_VAE_SCALING_FACTOR);
    info->shift_factor = rt_meta_float(t, EBRU_META_VAE_SHIFT_FACTOR);
    info->classes = (int)rt_meta_int(t, EBRU_META_CLASSES_COUNT);
    if (info->kind == EBRU_PIPELINE_NONE) return RT_OK;
    info->upscaler = rt_meta_string(t, EBRU_META_PIPELINE_UPSCALER);
    info->upscale = info->upscaler ? (int)rt_meta_int(t, EBRU_META_UPSCALER_SCALE) : 1;
    if (info->upscale < 1 || info->upscale > 16 ||
        (info->kind == EBRU_PIPELINE_UPSCALE &&
         (!info->upscaler || info->width < 1 || info->height < 1 || info->channels < 1 ||
          info->channels > 4)))
        return rt_fail(err, RT_ERR_INTERNAL, "the properties of the upscaler do not fit together");
    if (info->kind == EBRU_PIPELINE_UPSCALE) {
        info->image_input = rt_meta_int(t, EBRU_META_PIPELINE_IMAGE_INPUT) != 0;
        return RT_OK;
    }
    info->latent_width = (int)rt_meta_int(t, EBRU_META_LATENT_WIDTH);
    info->latent_height = (int)rt_meta_int(t, EBRU_META_LATENT_HEIGHT);
    if (!info->latent_width) info->latent_width = info->width;
    if (!info->latent_height) info->latent_height = info->height;
    read_text(info, t);
    read_picture_input(info, t);
    read_references(info, t);
    info->safety_checker = rt_meta_string(t, EBRU_META_PIPELINE_SAFETY_CHECKER);
    info->safety_black = choice(t, EBRU_META_SAFETY_ACTION) == 1;
    if (info->reference_adapters < 0 || info->reference_adapters > RT_REFERENCE_ADAPTERS ||
        info->reference_images < 1 || (info->reference_adapters && !info->image_encoder))
        return rt_fail(err, RT_ERR_INTERNAL,
                       "the model's properties about IP-Adapters do not fit together");
    if (!info->denoiser || info->width < 1 || info->height < 1 || info->latent_width < 1 ||
        info->latent_height < 1 || info->channels < 1 || info->channels > 4 || info->chunks < 1)
        return rt_fail(err, RT_ERR_INTERNAL,
                       "the model's properties name no denoiser or no picture size");
    s = read_controls(info, t, err);
    if (s) return s;
    s = read_sampler(&info->sampler, t, EBRU_META_SAMPLER_CLASS, "sampler.", err);
    if (!s && info->condition == EBRU_CONDITION_LOW_RESOLUTION)
        s = read_sampler(&info->low_res, t, EBRU_META_LOW_RES_CLASS, "low_res.", err);
    /* It only adds noise, at any trained timestep: its schedule is all of them. */
    info->low_res.sampler = RT_SAMPLER_DDPM;
    info->low_res.timestep_spacing = RT_SPACING_LEADING;
    info->low_res.steps_offset = 0;
    return s;
}

int rt_class_by_name(const struct ebru_model *t, const char *name, size_t length) {
    int classes = (int)rt_meta_int(t, EBRU_META_CLASSES_COUNT);
    for (int i = 0; i < classes; i++) {
        const char *s = rt_meta_class_name(t, i);
        if (s && strlen(s) == length && !memcmp(s, name, length)) return i;
    }
    return -1;
}
