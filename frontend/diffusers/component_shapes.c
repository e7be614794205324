/* Shapes of one call of a component: from the options, the configs, and what stands beside it; see
 * pipeline.h. */
#include <string.h>

#include "frontend/diffusers/pipeline.h"

static const fe_shape *given_shape(const fe_options *o, const char *name, uint32_t rank) {
    for (uint32_t i = 0; i < o->shape_count; i++)
        if (strcmp(o->shapes[i].name, name) == 0 && o->shapes[i].rank == rank) return &o->shapes[i];
    return NULL;
}

static bool in_range(base_diag *d, const char *what, int64_t value, int64_t max) {
    if (value >= 1 && value <= max) return true;
    base_error(d, NULL, "%s of %lld: 1 to %lld is possible", what, (long long)value,
               (long long)max);
    return false;
}

static bool check_sizes(base_diag *d, const fe_sizes *s) {
    bool fine = in_range(d, "a batch", s->batch, FE_MAX_BATCH);
    fine &= in_range(d, "a height", s->height, FE_MAX_SIDE);
    fine &= in_range(d, "a width", s->width, FE_MAX_SIDE);
    return in_range(d, "a number of tokens", s->tokens, FE_MAX_SIDE) && fine;
}

static void take_image_shape(const fe_options *o, const char *name, int64_t scale, fe_sizes *s) {
    const fe_shape *shape = given_shape(o, name, 4);
    if (!shape) return;
    s->batch = shape->dim[0];
    if (__builtin_mul_overflow(shape->dim[2], scale, &s->height)) s->height = 0;
    if (__builtin_mul_overflow(shape->dim[3], scale, &s->width)) s->width = 0;
}

static int64_t or_else(int64_t value, int64_t otherwise) {
    return value ? value : otherwise;
}

static fe_sizes base_sizes(const fe_pipeline *p) {
    return (fe_sizes){.batch = or_else(p->o->batch, 1),
                      .height = 1,
                      .width = 1,
                      .tokens = 1,
                      .shared_timestep = p->o->shared_timestep};
}

/* Pictures a call of what is not the denoiser: a program encodes and decodes one at a time. */
static int64_t side_batch(const fe_pipeline *p, const fe_sizes *s) {
    return p->c && p->o->guidance_pair ? 1 : s->batch;
}

int64_t fe_pixel_scale(const fe_pipeline *p) {
    return p->parts[FE_COMPONENT_VAE].doc ? fe_vae_scale(&p->parts[FE_COMPONENT_VAE].config.vae)
                                          : 1;
}

/* Tokens of the context: one text after the other where a prompt may take several. */
static int64_t context_tokens(const fe_pipeline *p) {
    const fe_clip_config *text = fe_pipeline_last_text(p);
    int64_t tokens = or_else(p->o->sequence, text ? text->positions : 77);
    return tokens * or_else(p->o->prompt_chunks, 1);
}

bool fe_unet_sizes(const fe_pipeline *p, fe_sizes *s) {
    const fe_unet_config *c = &p->parts[FE_COMPONENT_UNET].config.unet;
    int64_t scale = fe_pixel_scale(p);
    *s = base_sizes(p);
    s->tokens = context_tokens(p);
    s->time_ids = fe_pipeline_time_ids(p);
    if (p->o->width % scale || p->o->height % scale) {
        base_error(p->d, NULL, "a picture of %lld x %lld: both sides must be multiples of %lld",
                   (long long)p->o->width, (long long)p->o->height, (long long)scale);
        return false;
    }
    s->height = or_else(p->o->height / scale, c->sample_height);
    s->width = or_else(p->o->width / scale, c->sample_width);
    take_image_shape(p->o, "sample", 1, s);
    s->added = p->o->shapes; /* of which the builder takes those that it knows */
    s->added_count = p->o->shape_count;
    const fe_shape *context = given_shape(p->o, "encoder_hidden_states", 3),
                   *ids = given_shape(p->o, "time_ids", 2);
    if (context) s->tokens = context->dim[1];
    if (ids) s->time_ids = ids->dim[1];
    if (!s->height || !s->width) {
        base_json_error(
            c->root, "the config has no 'sample_size', so the picture size must be given (--size)");
        return false;
    }
    return check_sizes(p->d, s);
}

bool fe_vae_sizes(const fe_pipeline *p, fe_sizes *s) {
    const fe_vae_config *c = &p->parts[FE_COMPONENT_VAE].config.vae;
    const fe_component *unet = &p->parts[FE_COMPONENT_UNET];
    int64_t scale = fe_vae_scale(c);
    *s = base_sizes(p);
    s->batch = side_batch(p, s);
    s->height = or_else(p->o->height,
                        unet->doc ? unet->config.unet.sample_height * scale : c->sample_height);
    s->width =
        or_else(p->o->width, unet->doc ? unet->config.unet.sample_width * scale : c->sample_width);
    if (!s->height || !s->width) s->height = s->width = 32 * scale;
    take_image_shape(p->o, "latent", scale, s);
    const fe_sizes decoded = *s;
    take_image_shape(p->o, "image", 1, s);
    if (given_shape(p->o, "latent", 4)) {
        s->latent_batch = decoded.batch;
        s->latent_height = decoded.height / scale;
        s->latent_width = decoded.width / scale;
    }
    if (!given_shape(p->o, "image", 4) && (s->height % scale || s->width % scale)) {
        base_error(p->d, NULL,
                   "a picture of %lld x %lld does not fit the autoencoder: both sides must be "
                   "multiples of %lld",
                   (long long)s->width, (long long)s->height, (long long)scale);
        return false;
    }
    return check_sizes(p->d, s) && check_sizes(p->d, &decoded);
}

bool fe_text_sizes(const fe_pipeline *p, const fe_component *part, fe_sizes *s) {
    *s = base_sizes(p);
    s->batch = side_batch(p, s);
    s->tokens = or_else(p->o->sequence, part->config.text.positions);
    const fe_shape *ids = given_shape(p->o, "input_ids", 2),
                   *one = given_shape(p->o, "input_ids", 1);
    if (ids) {
        s->batch = ids->dim[0];
        s->tokens = ids->dim[1];
    } else if (one) {
        s->batch = 1;
        s->tokens = one->dim[0];
    }
    return check_sizes(p->d, s);
}

/* A network that has no size of its own. */
static bool needs_size(const fe_pipeline *p, const base_jval *config, int64_t scale) {
    if (p->o->width && p->o->height)
        base_error(p->d, NULL, "a picture of %lld x %lld: both sides must be multiples of %lld",
                   (long long)p->o->width, (long long)p->o->height, (long long)scale);
    else
        base_json_error(*config, "the config says no picture size, so it must be given (--size)");
    return false;
}

/* The cells of the U-Net's sample where its config stands beside the component; 0, 0: it does not. */
static fe_sizes beside_unet(const fe_pipeline *p) {
    const fe_component *unet = &p->parts[FE_COMPONENT_UNET];
    if (!unet->doc) return (fe_sizes){0};
    return (fe_sizes){.height = unet->config.unet.sample_height,
                      .width = unet->config.unet.sample_width};
}

/* In a pipeline it is the U-Net's sample that it takes. */
bool fe_control_sizes(const fe_pipeline *p, const fe_component *part, fe_sizes *s) {
    if (p->c) {
        bool fine = fe_unet_sizes(p, s);
        s->added_count = 0;
        return fine;
    }
    *s = base_sizes(p);
    s->tokens = or_else(p->o->sequence, 77);
    s->time_ids = 6;
    int64_t scale = fe_control_scale(&part->config.control);
    s->height = or_else(p->o->height / scale, beside_unet(p).height);
    s->width = or_else(p->o->width / scale, beside_unet(p).width);
    take_image_shape(p->o, "sample", 1, s);
    const fe_shape *context = given_shape(p->o, "encoder_hidden_states", 3),
                   *ids = given_shape(p->o, "time_ids", 2),
                   *picture = given_shape(p->o, "controlnet_cond", 4);
    if (context) s->tokens = context->dim[1];
    if (ids) s->time_ids = ids->dim[1];
    if (picture) {
        s->control_batch = picture->dim[0];
        s->control_height = picture->dim[2];
        s->control_width = picture->dim[3];
    }
    if (p->o->width % scale || p->o->height % scale || !s->height || !s->width)
        return needs_size(p, &part->config.control.unet.root, scale);
    return check_sizes(p->d, s);
}

bool fe_adapter_sizes(const fe_pipeline *p, const fe_component *part, fe_sizes *s) {
    const fe_adapter_config *c = &part->config.adapter;
    *s = base_sizes(p);
    if (p->c) {
        fe_sizes unet;
        if (!fe_unet_sizes(p, &unet)) return false;
        s->batch = side_batch(p, &unet);
        s->height = unet.height * fe_pixel_scale(p);
        s->width = unet.width * fe_pixel_scale(p);
    } else {
        s->height = or_else(p->o->height, beside_unet(p).height * fe_pixel_scale(p));
        s->width = or_else(p->o->width, beside_unet(p).width * fe_pixel_scale(p));
        take_image_shape(p->o, "image", 1, s);
        if (!s->height || !s->width) return needs_size(p, &c->root, c->factor);
    }
    return check_sizes(p->d, s);
}

bool fe_vision_sizes(const fe_pipeline *p, const fe_component *part, fe_sizes *s) {
    const fe_vision_config *c = &part->config.vision;
    *s = base_sizes(p);
    s->batch = side_batch(p, s);
    take_image_shape(p->o, c->checks ? "clip_input" : "pixel_values", 1, s);
    return check_sizes(p->d, s);
}

bool fe_upscaler_sizes(const fe_pipeline *p, fe_sizes *s) {
    enum { SIDE = 128 };
    *s = base_sizes(p);
    if (p->o->guidance_pair) s->batch = 1; /* a program has one picture at a time */
    s->height = or_else(p->o->height, SIDE);
    s->width = or_else(p->o->width, SIDE);
    take_image_shape(p->o, "image", 1, s);
    return check_sizes(p->d, s);
}
