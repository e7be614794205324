/* The model's properties (docs/program.md) as a pipeline description and a sampler configuration. */
#include "runtime/pipeline.h"

#include <stdio.h>
#include <string.h>

/* An integer or a JSON boolean, both kept as integers. */
static void read_int(const struct ebru_model *t, const char *key, int32_t *field, uint32_t bit,
                     rt_sampler_config *c) {
    if (!rt_meta_has(t, key)) return;
    *field = (int32_t)rt_meta_int(t, key, *field);
    c->given |= bit;
}

static void read_double(const struct ebru_model *t, const char *key, double *field, uint32_t bit,
                        rt_sampler_config *c) {
    if (!rt_meta_has(t, key)) return;
    *field = rt_meta_float(t, key, *field);
    c->given |= bit;
}

static void read_flag(const struct ebru_model *t, const char *key, uint32_t flag, uint32_t bit,
                      rt_sampler_config *c) {
    if (!rt_meta_has(t, key)) return;
    c->flags = rt_meta_int(t, key, 0) ? c->flags | flag : c->flags & ~flag;
    c->given |= bit;
}

static rt_status read_name(const struct ebru_model *t, const char *key, const char *const *names, int count,
                           int32_t *field, uint32_t bit, rt_sampler_config *c, rt_error *err) {
    const char *s = rt_meta_string(t, key, NULL);
    if (!s) return RT_OK;
    for (int i = 0; i < count; i++)
        if (!strcmp(s, names[i])) {
            *field = i;
            c->given |= bit;
            return RT_OK;
        }
    return rt_fail(err, RT_ERR_INTERNAL, "property %s has the unknown value '%s'", key, s);
}

static rt_status read_sampler(rt_sampler_config *c, const struct ebru_model *t, rt_error *err) {
    static const char *const predictions[] = {"epsilon", "v_prediction", "sample"};
    static const char *const betas[] = {"linear", "scaled_linear", "squaredcos_cap_v2"};
    static const char *const spacings[] = {"linspace", "leading", "trailing"};
    static const char *const variances[] = {"fixed_small", "fixed_large"};
    const char *cls = rt_meta_string(t, "sampler.class", "DDIMScheduler");
    int id = rt_sampler_by_class(cls);
    if (id < 0) id = rt_sampler_by_name(cls);
    if (id < 0) return rt_fail(err, RT_ERR_INTERNAL, "unknown sampler '%s'", cls);
    *c = rt_sampler_defaults((rt_sampler_id)id);
    read_int(t, "sampler.num_train_timesteps", &c->num_train_timesteps, RT_GIVEN_NUM_TRAIN_TIMESTEPS, c);
    read_double(t, "sampler.beta_start", &c->beta_start, RT_GIVEN_BETA_START, c);
    read_double(t, "sampler.beta_end", &c->beta_end, RT_GIVEN_BETA_END, c);
    read_int(t, "sampler.steps_offset", &c->steps_offset, RT_GIVEN_STEPS_OFFSET, c);
    read_flag(t, "sampler.clip_sample", RT_SAMPLER_CLIP_SAMPLE, RT_GIVEN_CLIP_SAMPLE, c);
    read_double(t, "sampler.clip_sample_range", &c->clip_sample_range, RT_GIVEN_CLIP_SAMPLE_RANGE, c);
    read_flag(t, "sampler.set_alpha_to_one", RT_SAMPLER_SET_ALPHA_TO_ONE, RT_GIVEN_SET_ALPHA_TO_ONE, c);
    read_flag(t, "sampler.skip_prk_steps", RT_SAMPLER_SKIP_PRK_STEPS, RT_GIVEN_SKIP_PRK_STEPS, c);
    read_flag(t, "sampler.use_karras_sigmas", RT_SAMPLER_USE_KARRAS_SIGMAS, RT_GIVEN_USE_KARRAS_SIGMAS, c);
    read_flag(t, "sampler.lower_order_final", RT_SAMPLER_LOWER_ORDER_FINAL, RT_GIVEN_LOWER_ORDER_FINAL, c);
    read_flag(t, "sampler.euler_at_final", RT_SAMPLER_EULER_AT_FINAL, RT_GIVEN_EULER_AT_FINAL, c);
    read_flag(t, "sampler.rescale_betas_zero_snr", RT_SAMPLER_RESCALE_ZERO_SNR, RT_GIVEN_RESCALE_ZERO_SNR, c);
    read_double(t, "sampler.shift", &c->shift, RT_GIVEN_SHIFT, c);
    read_int(t, "sampler.original_inference_steps", &c->original_inference_steps, RT_GIVEN_ORIGINAL_STEPS, c);
    read_double(t, "sampler.timestep_scaling", &c->timestep_scaling, RT_GIVEN_TIMESTEP_SCALING, c);
    read_int(t, "sampler.solver_order", &c->solver_order, RT_GIVEN_SOLVER_ORDER, c);
    read_flag(t, "sampler.use_clipped_model_output", RT_SAMPLER_USE_CLIPPED_OUTPUT, 0, c);
    const char *final_sigmas = rt_meta_string(t, "sampler.final_sigmas_type", NULL);
    if (final_sigmas) {
        c->flags = strcmp(final_sigmas, "sigma_min") ? c->flags & ~(uint32_t)RT_SAMPLER_FINAL_SIGMA_MIN
                                                     : c->flags | RT_SAMPLER_FINAL_SIGMA_MIN;
        c->given |= RT_GIVEN_FINAL_SIGMAS;
    }
    rt_status s = read_name(t, "sampler.prediction_type", predictions, 3, &c->prediction_type,
                            RT_GIVEN_PREDICTION_TYPE, c, err);
    if (!s)
        s = read_name(t, "sampler.beta_schedule", betas, 3, &c->beta_schedule, RT_GIVEN_BETA_SCHEDULE, c,
                      err);
    if (!s)
        s = read_name(t, "sampler.timestep_spacing", spacings, 3, &c->timestep_spacing,
                      RT_GIVEN_TIMESTEP_SPACING, c, err);
    if (!s)
        s = read_name(t, "sampler.variance_type", variances, 2, &c->variance_type, RT_GIVEN_VARIANCE_TYPE, c,
                      err);
    return s;
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
