/* The model's properties (docs/program.md) as a pipeline description and a sampler configuration.
 */
#include "runtime/pipeline/pipeline.h"

#include <stdio.h>
#include <string.h>

/* Keys of sampler. and low_res. that are the pipeline's, not the scheduler's. */
static bool pipeline_key(const char *key) {
    static const char *const keys[] = {"class",    "steps",       "guidance",
                                       "strength", "noise_level", "max_noise_level"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(key, keys[i])) return true;
    return false;
}

/* Every other property PREFIX.KEY is a key of scheduler_config.json. */
static rt_status read_sampler(rt_sampler_config *c, const struct ebru_model *t, const char *prefix,
                              const char *otherwise, rt_error *err) {
    char name[40];
    snprintf(name, sizeof name, "%sclass", prefix);
    const char *cls = rt_meta_string(t, name, otherwise);
    int id = rt_sampler_by_name(cls);
    if (id < 0) return rt_fail(err, RT_ERR_INTERNAL, "unknown sampler '%s'", cls);
    *c = rt_sampler_defaults((rt_sampler_id)id);
    size_t n = strlen(prefix);
    for (int32_t i = 0; i < t->meta_count; i++) {
        const struct ebru_meta_desc *m = &t->meta[i];
        if (strncmp(m->key, prefix, n) != 0 || pipeline_key(m->key + n)) continue;
        rt_status s = rt_sampler_config_set(c, m->key + n, m->kind == 2 ? m->s : NULL,
                                            m->kind == 1 ? m->f : (double)m->i, err);
        if (s) return s;
    }
    return RT_OK;
}

static int choice(const char *word, const char *const *words, int count) {
    for (int i = 0; i < count; i++)
        if (!strcmp(word, words[i])) return i;
    return -1;
}

static void read_text(rt_pipeline_info *info, const struct ebru_model *t) {
    info->text_encoder = rt_meta_string(t, "pipeline.text_encoder", NULL);
    info->text_encoder_2 = rt_meta_string(t, "pipeline.text_encoder_2", NULL);
    if (info->kind == RT_PIPELINE_TEXT && !info->text_encoder && !info->text_encoder_2)
        info->text_encoder = "text_encoder";
    info->text_output = rt_meta_string(t, "pipeline.text_output", "last_hidden_state");
    info->text_output_2 = rt_meta_string(t, "pipeline.text_output_2", "penultimate_hidden_state");
    info->pooled_output = rt_meta_string(t, "pipeline.pooled_output", NULL);
    info->chunks = (int)rt_meta_int(t, "text.chunks", 1);
    info->force_zeros = rt_meta_int(t, "text.force_zeros", 0) != 0;
}

static void read_picture_input(rt_pipeline_info *info, const struct ebru_model *t) {
    info->image_input = rt_meta_int(t, "pipeline.image_input", 0) != 0;
    info->encoder = rt_meta_string(t, "pipeline.encoder", NULL);
    info->default_strength =
        rt_meta_float(t, "sampler.strength", info->condition == RT_CONDITION_INPAINT ? 1.0 : 0.8);
    info->noise_level = (int)rt_meta_int(t, "low_res.noise_level", 20);
    info->max_noise_level = (int)rt_meta_int(t, "low_res.max_noise_level", 350);
}

rt_status rt_pipeline_read(rt_pipeline_info *info, const struct ebru_model *t, rt_error *err) {
    static const char *const kinds[] = {"none", "text_to_image", "class_to_image", "unconditional"};
    static const char *const conditions[] = {"none", "inpaint", "depth", "low_resolution"};
    memset(info, 0, sizeof *info);
    int kind = choice(rt_meta_string(t, "pipeline.kind", "none"), kinds, 4);
    int condition = choice(rt_meta_string(t, "pipeline.condition", "none"), conditions, 4);
    info->kind = kind < 0 ? RT_PIPELINE_NONE : (rt_pipeline_kind)kind;
    info->denoiser = rt_meta_string(t, "pipeline.denoiser", NULL);
    info->decoder = rt_meta_string(t, "pipeline.decoder", NULL);
    info->width = (int)rt_meta_int(t, "image.width", 0);
    info->height = (int)rt_meta_int(t, "image.height", 0);
    info->channels = (int)rt_meta_int(t, "image.channels", 3);
    info->default_steps = (int)rt_meta_int(t, "sampler.steps", 20);
    info->default_guidance =
        rt_meta_float(t, "sampler.guidance", info->kind == RT_PIPELINE_TEXT ? 7.5 : 1.0);
    info->guidance_pair = rt_meta_int(t, "pipeline.guidance", 0) != 0;
    info->guidance_embedding = rt_meta_int(t, "pipeline.guidance_embedding", 0) != 0;
    info->scaling_factor = rt_meta_float(t, "vae.scaling_factor", 1.0);
    info->shift_factor = rt_meta_float(t, "vae.shift_factor", 0.0);
    info->classes = (int)rt_meta_int(t, "classes.count", 0);
    if (info->kind == RT_PIPELINE_NONE) return RT_OK;
    if (condition < 0) return rt_fail(err, RT_ERR_INTERNAL, "unknown pipeline.condition");
    info->condition = (rt_condition_kind)condition;
    info->latent_width = (int)rt_meta_int(t, "latent.width", info->width);
    info->latent_height = (int)rt_meta_int(t, "latent.height", info->height);
    read_text(info, t);
    read_picture_input(info, t);
    if (!info->denoiser || info->width < 1 || info->height < 1 || info->latent_width < 1 ||
        info->latent_height < 1 || (info->channels != 1 && info->channels != 3) || info->chunks < 1)
        return rt_fail(err, RT_ERR_INTERNAL,
                       "the model's properties name no denoiser or no picture size");
    rt_status s = read_sampler(&info->sampler, t, "sampler.", "ddim", err);
    if (!s && info->condition == RT_CONDITION_LOW_RESOLUTION)
        s = read_sampler(&info->low_res, t, "low_res.", "ddpm", err);
    /* It only adds noise, at any trained timestep: its schedule is all of them. */
    info->low_res.sampler = RT_SAMPLER_DDPM;
    info->low_res.timestep_spacing = RT_SPACING_LEADING;
    info->low_res.steps_offset = 0;
    return s;
}

int rt_class_by_name(const struct ebru_model *t, const char *name, size_t length) {
    int classes = (int)rt_meta_int(t, "classes.count", 0);
    for (int i = 0; i < classes; i++) {
        char key[32];
        snprintf(key, sizeof key, "class.%d", i);
        const char *s = rt_meta_string(t, key, NULL);
        if (s && strlen(s) == length && !memcmp(s, name, length)) return i;
    }
    return -1;
}
