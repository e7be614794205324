/* Whether the components of a pipeline fit together, and what follows from them together; see
 * pipeline.h. */
#include <string.h>

#include "frontend/diffusers/pipeline.h"
#include "frontend/ip_adapter/ip_adapter.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- what follows ---- */

static const fe_clip_config *text_config(const fe_pipeline *p, fe_component_kind kind) {
    return p->parts[kind].wanted ? &p->parts[kind].config.text : NULL;
}

const fe_clip_config *fe_pipeline_last_text(const fe_pipeline *p) {
    const fe_clip_config *second = text_config(p, FE_COMPONENT_TEXT_2);
    return second ? second : text_config(p, FE_COMPONENT_TEXT);
}

int64_t fe_pipeline_context(const fe_pipeline *p) {
    const fe_clip_config *first = text_config(p, FE_COMPONENT_TEXT),
                         *second = text_config(p, FE_COMPONENT_TEXT_2);
    return (first ? first->width : 0) + (second ? second->width : 0);
}

int64_t fe_pipeline_time_ids(const fe_pipeline *p) {
    const fe_unet_config *c = &p->parts[FE_COMPONENT_UNET].config.unet;
    if (!c->added_input) return 0;
    if (p->index)
        return base_json_opt_bool(base_json_root(p->index), "requires_aesthetics_score", false) ? 5
                                                                                                : 6;
    /* A U-Net alone: the refiner's text_embeds are as wide as its context, which comes from one
     * encoder. */
    return c->added_input - 5 * c->added_time_dim == fe_unet_context(c) ? 5 : 6;
}

int64_t fe_pipeline_image_channels(const fe_pipeline *p) {
    return p->parts[FE_COMPONENT_VAE].wanted ? p->parts[FE_COMPONENT_VAE].config.vae.out_channels
                                             : p->parts[FE_COMPONENT_UNET].config.unet.out_channels;
}

bool fe_pipeline_image_input(const fe_pipeline *p) {
    return p->c && !p->o->no_image_input;
}

/* The small picture of an upscaler goes to the denoiser as it is. */
bool fe_pipeline_encodes(const fe_pipeline *p) {
    return fe_pipeline_image_input(p) && p->parts[FE_COMPONENT_VAE].wanted &&
           p->condition != EBRU_CONDITION_LOW_RESOLUTION;
}

/* ---- the denoiser's channels ---- */

static const char *const inputs[EBRU_CONDITION_COUNT] = {
    [EBRU_CONDITION_NONE] = "a latent alone",
    [EBRU_CONDITION_INPAINT] = "a latent, a mask and a masked picture",
    [EBRU_CONDITION_DEPTH] = "a latent and a depth map",
    [EBRU_CONDITION_LOW_RESOLUTION] = "a latent and a small picture",
};

static int64_t extra_channels(const fe_pipeline *p, ebru_condition condition) {
    const fe_vae_config *vae = &p->parts[FE_COMPONENT_VAE].config.vae;
    switch (condition) {
    case EBRU_CONDITION_NONE: return 0;
    case EBRU_CONDITION_INPAINT: return vae->latent_channels + 1;
    case EBRU_CONDITION_DEPTH: return 1;
    case EBRU_CONDITION_LOW_RESOLUTION: return vae->out_channels;
    case EBRU_CONDITION_COUNT: break;
    }
    return -1;
}

static bool find_condition(fe_pipeline *p) {
    const fe_unet_config *unet = &p->parts[FE_COMPONENT_UNET].config.unet;
    int64_t extra = unet->in_channels - unet->out_channels;
    const char *instead = NULL;
    for (unsigned i = 0; i < EBRU_CONDITION_COUNT; i++) {
        bool matches = extra_channels(p, (ebru_condition)i) == extra;
        if (matches && p->c->conditions & 1u << i) {
            p->condition = (ebru_condition)i;
            return true;
        }
        if (matches && p->parts[FE_COMPONENT_VAE].wanted) instead = inputs[i];
    }
    base_json_error(fe_config_at(unet->root, "in_channels"),
                    "unsupported in a %s: a U-Net that takes %lld channels and gives %lld%s%s",
                    p->c->name, (long long)unet->in_channels, (long long)unet->out_channels,
                    instead ? ", that is " : "", instead ? instead : "");
    return false;
}

/* What a U-Net may ask for beyond sample, timestep and context: only what its pipeline makes. */
static bool only_known_inputs(const fe_pipeline *p) {
    static const char message[] = "unsupported in a %s: '%s' (the component alone can be loaded)";
    const fe_unet_config *c = &p->parts[FE_COMPONENT_UNET].config.unet;
    bool text = p->c->parts & 1u << FE_COMPONENT_TEXT, xl = p->c->parts & 1u << FE_COMPONENT_TEXT_2;
    bool small = p->condition == EBRU_CONDITION_LOW_RESOLUTION;
    bool labels = text == small, fine = true;
    if (c->class_kind != FE_CLASS_NONE && !(labels && c->class_kind == FE_CLASS_TABLE)) {
        const char *key = c->class_kind == FE_CLASS_TABLE ? "num_class_embeds" : "class_embed_type";
        base_json_error(fe_config_at(c->root, key), message, p->c->name, key);
        fine = false;
    }
    if (text && p->condition == EBRU_CONDITION_LOW_RESOLUTION && c->class_kind == FE_CLASS_NONE) {
        base_json_error(c->root, "a %s needs a U-Net with 'num_class_embeds', for the noise level",
                        p->c->name);
        fine = false;
    }
    if (c->time_cond && !text) {
        base_json_error(fe_config_at(c->root, "time_cond_proj_dim"), message, p->c->name,
                        "time_cond_proj_dim");
        fine = false;
    }
    if (c->added_input && !xl) {
        base_json_error(fe_config_at(c->root, "addition_embed_type"), message, p->c->name,
                        "addition_embed_type");
        fine = false;
    }
    return fine;
}

/* ---- what one component hands to another ---- */

static bool latent_fits(const fe_pipeline *p) {
    const fe_unet_config *unet = &p->parts[FE_COMPONENT_UNET].config.unet;
    const fe_vae_config *vae = &p->parts[FE_COMPONENT_VAE].config.vae;
    bool fine = true;
    if (!p->parts[FE_COMPONENT_VAE].wanted) return true;
    if (vae->latent_channels != unet->out_channels) {
        base_json_error(fe_config_at(unet->root, "out_channels"),
                        "the U-Net makes %lld channels, the autoencoder's latent has %lld",
                        (long long)unet->out_channels, (long long)vae->latent_channels);
        base_loc loc = base_json_loc(fe_config_at(vae->root, "latent_channels"));
        base_note(p->d, &loc, "the autoencoder is this one");
        fine = false;
    }
    if (vae->in_channels != vae->out_channels) {
        base_json_error(
            fe_config_at(vae->root, "in_channels"),
            "the autoencoder reads pictures of %lld channels and makes pictures of %lld",
            (long long)vae->in_channels, (long long)vae->out_channels);
        fine = false;
    }
    return fine;
}

static bool context_fits(const fe_pipeline *p) {
    const fe_unet_config *unet = &p->parts[FE_COMPONENT_UNET].config.unet;
    const fe_clip_config *first = text_config(p, FE_COMPONENT_TEXT),
                         *second = text_config(p, FE_COMPONENT_TEXT_2);
    int64_t wanted = fe_unet_context(unet), made = fe_pipeline_context(p);
    bool fine = true;
    if (wanted != made) {
        base_json_error(fe_config_at(unet->root, "cross_attention_dim"),
                        "the U-Net attends to a context of width %lld, the text encoder%s %lld",
                        (long long)wanted, first && second ? "s make" : " makes", (long long)made);
        fine = false;
    }
    if (first && second && first->positions != second->positions) {
        base_json_error(fe_config_at(second->root, "max_position_embeddings"),
                        "the text encoders take different numbers of tokens: %lld and %lld",
                        (long long)first->positions, (long long)second->positions);
        fine = false;
    }
    return fine;
}

/* XL: [text_embeds, sinusoids of time_ids] must be as wide as what is projected. */
static bool addition_fits(const fe_pipeline *p) {
    const fe_unet_config *unet = &p->parts[FE_COMPONENT_UNET].config.unet;
    const fe_clip_config *text = fe_pipeline_last_text(p);
    int64_t ids = fe_pipeline_time_ids(p), dim = unet->added_time_dim;
    if (!unet->added_input || !text) return true;
    if (!text->projection) {
        base_json_error(text->root, "the U-Net needs this text encoder's 'text_embeds': a "
                                    "CLIPTextModelWithProjection");
        return false;
    }
    if (text->projection + ids * dim == unet->added_input) return true;
    base_json_error(
        fe_config_at(unet->root, "projection_class_embeddings_input_dim"),
        "the U-Net projects %lld numbers, but text_embeds of %lld and %lld time_ids of %lld are "
        "%lld ('requires_aesthetics_score' in model_index.json makes the time_ids 5 or 6)",
        (long long)unet->added_input, (long long)text->projection, (long long)ids, (long long)dim,
        (long long)(text->projection + ids * dim));
    return false;
}

/* A PNG has gray or colours, each with alpha or without. */
static bool picture_fits(const fe_pipeline *p) {
    bool latent = p->parts[FE_COMPONENT_VAE].wanted;
    int64_t channels = fe_pipeline_image_channels(p);
    bool small = p->condition == EBRU_CONDITION_LOW_RESOLUTION;
    if (small ? channels == 3 : channels <= 4) return true;
    base_json_error(fe_config_at(latent ? p->parts[FE_COMPONENT_VAE].config.vae.root
                                        : p->parts[FE_COMPONENT_UNET].config.unet.root,
                                 "out_channels"),
                    "unsupported: pictures of %lld channels (%s)", (long long)channels,
                    small ? "those that are painted larger have 3" : "a PNG has 1 to 4");
    return false;
}

/* What the image encoder gives is what the adapters read. */
static bool adapters_fit(const fe_pipeline *p) {
    const fe_vision_config *c = &p->parts[FE_COMPONENT_IMAGE_ENCODER].config.vision;
    bool fine = true;
    if (!p->adapters) return true;
    if (!fe_pipeline_image_input(p)) {
        base_error(p->d, NULL, "--ip-adapter: a program that reads no pictures has no use for it");
        return false;
    }
    if (c->channels != 3) {
        base_json_error(fe_config_at(c->root, "num_channels"),
                        "unsupported: an image encoder for pictures of %lld channels",
                        (long long)c->channels);
        fine = false;
    }
    for (uint32_t i = 0; i < fe_ip_adapters_count(p->adapters); i++) {
        bool tokens = fe_ip_adapter_reads_tokens(p->adapters, i);
        int64_t wanted = fe_ip_adapter_input_width(p->adapters, i),
                made = tokens ? c->width : c->projection;
        if (wanted == made) continue;
        base_json_error(fe_config_at(c->root, tokens ? "hidden_size" : "projection_dim"),
                        "--ip-adapter: '%s' reads vectors of %lld, the image encoder makes %lld: "
                        "it was trained with another one (--image-encoder=DIR)",
                        p->o->ip_adapters[i].path, (long long)wanted, (long long)made);
        fine = false;
    }
    fe_ip_adapters_set_tokens(p->adapters, fe_vision_tokens(c));
    return fine;
}

/* It looks at colours. */
static bool checker_fits(const fe_pipeline *p) {
    const fe_component *part = &p->parts[FE_COMPONENT_SAFETY];
    if (!part->wanted) return true;
    int64_t made = fe_pipeline_image_channels(p), read = part->config.vision.channels;
    if (made == 3 && read == 3) return true;
    base_error(p->d, NULL,
               "--safety-checker: pictures have %lld channels, the checker reads %lld; both must "
               "be 3",
               (long long)made, (long long)read);
    return false;
}

/* ---- options ---- */

static bool options_fit(const fe_pipeline *p) {
    bool text = p->c->parts & 1u << FE_COMPONENT_TEXT, fine = true;
    bool needs = p->condition != EBRU_CONDITION_NONE;
    if (p->o->no_image_input && needs) {
        base_error(p->d, NULL,
                   "--no-image-input: this model cannot do without a picture: its U-Net takes %s",
                   p->condition == EBRU_CONDITION_INPAINT ? "a masked picture"
                   : p->condition == EBRU_CONDITION_DEPTH ? "a depth map"
                                                          : "a small picture");
        fine = false;
    }
    if (!text && (p->o->clip_skip || p->o->prompt_chunks)) {
        base_error(p->d, NULL, "--%s: a %s reads no text",
                   p->o->clip_skip ? "clip-skip" : "prompt-chunks", p->c->name);
        fine = false;
    }
    return fine;
}

bool fe_pipeline_check(fe_pipeline *p) {
    if (!find_condition(p)) return false;
    bool fine = only_known_inputs(p);
    fine &= latent_fits(p);
    fine &= context_fits(p);
    fine &= addition_fits(p);
    fine &= picture_fits(p);
    fine &= adapters_fit(p);
    fine &= checker_fits(p);
    return options_fit(p) && fine;
}
