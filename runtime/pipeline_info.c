/* The model's properties (docs/program.md) as a pipeline description and a sampler configuration. */
#include "runtime/pipeline.h"

#include <stdio.h>
#include <string.h>

/* Every property "sampler.KEY" is a key of scheduler_config.json; class, steps and guidance are the
 * pipeline's. */
static rt_status read_sampler(rt_sampler_config *c, const struct ebru_model *t, rt_error *err) {
    const char *cls = rt_meta_string(t, "sampler.class", "ddim");
    int id = rt_sampler_by_name(cls);
    if (id < 0) return rt_fail(err, RT_ERR_INTERNAL, "unknown sampler '%s'", cls);
    *c = rt_sampler_defaults((rt_sampler_id)id);
    for (int32_t i = 0; i < t->meta_count; i++) {
        const struct ebru_meta_desc *m = &t->meta[i];
        if (strncmp(m->key, "sampler.", 8) != 0) continue;
        const char *key = m->key + 8;
        if (!strcmp(key, "class") || !strcmp(key, "steps") || !strcmp(key, "guidance")) continue;
        rt_status s = rt_sampler_config_set(c, key, m->kind == 2 ? m->s : NULL,
                                            m->kind == 1 ? m->f : (double)m->i, err);
        if (s) return s;
    }
    return RT_OK;
}

rt_status rt_pipeline_read(rt_pipeline_info *info, const struct ebru_model *t, rt_error *err) {
    static const char *const kinds[] = {"none", "text_to_image", "class_to_image", "unconditional"};
    memset(info, 0, sizeof *info);
    const char *kind = rt_meta_string(t, "pipeline.kind", "none");
    for (int i = 0; i < 4; i++)
        if (!strcmp(kind, kinds[i])) info->kind = (rt_pipeline_kind)i;
    info->denoiser = rt_meta_string(t, "pipeline.denoiser", NULL);
    info->decoder = rt_meta_string(t, "pipeline.decoder", NULL);
    info->text_encoder = rt_meta_string(t, "pipeline.text_encoder", NULL);
    info->width = (int)rt_meta_int(t, "image.width", 0);
    info->height = (int)rt_meta_int(t, "image.height", 0);
    info->channels = (int)rt_meta_int(t, "image.channels", 3);
    info->default_steps = (int)rt_meta_int(t, "sampler.steps", 20);
    info->default_guidance = rt_meta_float(t, "sampler.guidance", info->kind == RT_PIPELINE_TEXT ? 7.5 : 1.0);
    info->guidance_pair = rt_meta_int(t, "pipeline.guidance", 0) != 0;
    info->text_output = rt_meta_string(t, "pipeline.text_output", "last_hidden_state");
    info->scaling_factor = rt_meta_float(t, "vae.scaling_factor", 1.0);
    info->shift_factor = rt_meta_float(t, "vae.shift_factor", 0.0);
    info->classes = (int)rt_meta_int(t, "classes.count", 0);
    if (info->kind == RT_PIPELINE_NONE) return RT_OK;
    if (!info->denoiser || info->width < 1 || info->height < 1 ||
        (info->channels != 1 && info->channels != 3))
        return rt_fail(err, RT_ERR_INTERNAL, "the model's properties name no denoiser or no picture size");
    return read_sampler(&info->sampler, t, err);
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
