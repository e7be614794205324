/* Components of a diffusers folder: their folders, configs, weights and functions; see pipeline.h.
 */
#include <string.h>

#include "frontend/diffusers/pipeline.h"
#include "frontend/files/hub_cache.h"
#include "frontend/ip_adapter/ip_adapter.h"
#include "frontend/tokenizer/tokenizer.h"
#include "frontend/upscaler/upscaler.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

const char *fe_indexed_class(base_jval index, const char *name, base_jval *at) {
    base_jval v = base_json_get(index, name), item = base_json_item(v, 1);
    const char *word = NULL;
    if (base_json_length(v) == 2 && base_json_is(item, BASE_JSON_STRING))
        base_json_string(item, &word);
    if (at) *at = item;
    return word;
}

fe_dir *fe_component_dir(fe_pipeline *p, const char *name) {
    return fe_dir_has_dir(p->root, name) ? fe_dir_open_in(p->d, p->root, name) : p->root;
}

bool fe_component_there(fe_pipeline *p, const char *name, const char *file) {
    if (fe_dir_has_dir(p->root, name) || fe_dir_has_name(p->root, file)) return true;
    base_loc loc = {.source = base_diag_source(p->d, fe_dir_path(p->root), NULL, 0)};
    base_error_missing(p->d, &loc,
                       "there is no folder '%s', which model_index.json names: the model is not "
                       "complete",
                       name);
    return false;
}

void fe_component_dir_close(fe_pipeline *p, fe_dir *dir) {
    if (dir != p->root) fe_dir_close(dir);
}

const char *fe_component_folder(const fe_pipeline *p, fe_component_kind kind) {
    const char *name = fe_component_names[kind], *other = "vqvae";
    base_jval root = base_json_root(p->index);
    bool renamed = kind == FE_COMPONENT_VAE && !base_json_present(base_json_get(root, name)) &&
                   base_json_present(base_json_get(root, other));
    return renamed ? other : name;
}

const char *fe_component_given(const fe_options *o, fe_component_kind kind) {
    switch (kind) {
    case FE_COMPONENT_UNET: return o->unet && fe_path_is_dir(o->unet) ? o->unet : NULL;
    case FE_COMPONENT_VAE: return o->vae;
    case FE_COMPONENT_TEXT: return o->text_encoder;
    case FE_COMPONENT_TEXT_2: return o->text_encoder_2;
    default: return NULL; /* named by other options, or by none */
    }
}

const char *fe_component_option(base_arena *a, fe_component_kind kind) {
    char *name = base_arena_strdup(a, fe_component_names[kind]);
    for (char *c = name; *c; c++)
        if (*c == '_') *c = '-';
    return name;
}

/* The folder itself, or the component's in the folder of a model. NULL after reporting. */
static fe_dir *open_given(fe_pipeline *p, fe_component_kind kind, const char *path) {
    const char *name = fe_component_names[kind];
    if (fe_is_hub_cache(path)) path = fe_hub_snapshot(p->d, p->m->arena, path);
    fe_dir *dir = path ? fe_dir_open(p->d, path) : NULL;
    if (!dir && path && !fe_path_exists(path)) fe_hub_advice(p->d, path, FE_HUB_COMPONENT);
    if (!dir || fe_dir_has_name(dir, "config.json")) return dir;
    if (fe_dir_has_dir(dir, name)) {
        fe_dir *inner = fe_dir_open_in(p->d, dir, name);
        fe_dir_close(dir);
        return inner;
    }
    base_loc loc = {.source = base_diag_source(p->d, fe_dir_path(dir), NULL, 0)};
    base_error(p->d, &loc, "--%s: the folder has neither a config.json nor a folder '%s'",
               fe_component_option(p->m->arena, kind), name);
    fe_dir_close(dir);
    return NULL;
}

/* The class that model_index.json gives a component must be one that can stand there; NULL after
 * reporting. */
static const fe_class *indexed_class(fe_pipeline *p, fe_component_kind kind) {
    base_jval index = base_json_root(p->index), at;
    const char *word = fe_indexed_class(index, fe_component_folder(p, kind), &at);
    if (!word) {
        base_json_error(index, "the pipeline needs a component '%s'", fe_component_names[kind]);
        base_note(p->d, NULL, "--%s=DIR takes one from elsewhere",
                  fe_component_option(p->m->arena, kind));
        return NULL;
    }
    const fe_class *class = fe_class_find(fe_component_family[kind], word);
    if (class) return class;
    base_str list = {0};
    fe_class_list(fe_component_family[kind], &list);
    base_json_error(at, "unsupported: a '%s' of class '%s'", fe_component_names[kind],
                    base_escape(word, strlen(word)));
    base_note(p->d, NULL, "supported are %s", list.data);
    base_str_free(&list);
    return NULL;
}

bool fe_component_open(fe_pipeline *p, fe_component_kind kind) {
    fe_component *part = &p->parts[kind];
    const char *name = fe_component_folder(p, kind), *given = fe_component_given(p->o, kind);
    const fe_class *indexed = given ? NULL : indexed_class(p, kind);
    if (!given && !indexed) return false;
    if (!given && !p->ldm && !fe_component_there(p, name, "config.json")) return false;
    *part = (fe_component){.kind = kind,
                           .wanted = true,
                           .given = given != NULL,
                           .name = fe_component_names[kind],
                           .dir = given ? open_given(p, kind, given) : fe_component_dir(p, name)};
    if (!part->dir) return false;
    part->doc = fe_json_load_in(p->d, part->dir, "config.json", NULL);
    if (!part->doc) return false;
    base_jval root = base_json_root(part->doc);
    /* a config that names no class is of the one that the index says: diffusers asks no other */
    part->class = !indexed || fe_config_names_class(root) ? fe_class_of_config(root) : indexed;
    if (!part->class || !base_json_expect(root, BASE_JSON_OBJECT)) return false;
    if (fe_class_family(part->class) != fe_component_family[kind]) {
        base_json_error(root, "this is not the config of a component '%s'",
                        fe_component_names[kind]);
        return false;
    }
    return fe_class_read(part->class, root, &part->config);
}

bool fe_image_encoder_open(fe_pipeline *p) {
    fe_component *part = &p->parts[FE_COMPONENT_IMAGE_ENCODER];
    const char *name = fe_component_names[FE_COMPONENT_IMAGE_ENCODER], *given = p->o->image_encoder;
    if (!given && (p->ldm || !fe_dir_has_dir(p->root, name))) {
        base_error(p->d, NULL,
                   "--ip-adapter: the model has no folder '%s': name one with --image-encoder=DIR",
                   name);
        return false;
    }
    *part = (fe_component){.kind = FE_COMPONENT_IMAGE_ENCODER,
                           .wanted = true,
                           .name = fe_component_names[FE_COMPONENT_IMAGE_ENCODER],
                           .dir = given ? fe_dir_open(p->d, given)
                                        : fe_dir_open_in(p->d, p->root, name)};
    if (!part->dir) return false;
    part->doc = fe_json_load_in(p->d, part->dir, "config.json", NULL);
    if (!part->doc) return false;
    base_jval root = base_json_root(part->doc);
    part->class = fe_class_of_config(root);
    if (!part->class) return false;
    if (fe_class_family(part->class) != FE_FAMILY_VISION) {
        base_json_error(root, "this is not the config of an image encoder, a "
                              "CLIPVisionModelWithProjection");
        return false;
    }
    return fe_class_read(part->class, root, &part->config);
}

/* ---- functions ---- */

static fe_weights *open_weights(fe_pipeline *p, fe_component *part) {
    static const char *const bases[] = {"diffusion_pytorch_model", "model"};
    if (p->o->random_weights) return fe_weights_random(p->d, p->m, p->o->random_seed);
    bool unet = part->kind == FE_COMPONENT_UNET, file = unet && p->o->unet && !part->given;
    bool own = part->kind == FE_COMPONENT_IMAGE_ENCODER; /* no checkpoint has one */
    if (p->ldm && !file && !own && !part->given) return fe_ldm_weights(p->ldm, p->m, part->name);
    fe_st *table =
        file ? fe_st_open(p->d, p->o->unet) : fe_st_open_in(p->d, part->dir, bases, COUNT(bases));
    if (!table) return NULL;
    return unet ? fe_ldm_unet_weights(p->d, p->m, table) : fe_weights_table(p->d, p->m, table);
}

/* A denoiser, and what runs with it, is built for both halves of guidance, too. */
static bool build_pair(fe_pipeline *p, fe_builder *b, const fe_component *part, fe_sizes s) {
    bool unet = part->kind == FE_COMPONENT_UNET && p->control_count;
    for (int halves = 1; halves <= 1 + p->guided; halves++, s.batch *= 2) {
        const char *name = halves == 1 ? part->name : fe_name(b, "%s@2", part->name);
        if (unet && !fe_controls_added(p, &s)) return false;
        if (!fe_class_build(part->class, b, &part->config, name, &s)) return false;
    }
    return true;
}

/* Configs that say 2 mean the largest id, which the end of the text is as long as no tokens are
 * added behind it. Where some are, the end is said by the tokenizer; a component alone has none,
 * and there it is the last token. */
static void correct_eos(fe_pipeline *p, const fe_component *part, fe_clip_config *c) {
    const char *name = part->kind == FE_COMPONENT_TEXT_2 ? "tokenizer_2" : "tokenizer";
    bool added = ir_meta_get(p->m, fe_tokenizer_key(p->m, name, FE_TOKEN_ADDED));
    if (c->eos == 2 && (added || p->o->embedding_count))
        c->eos = ir_meta_int(p->m, fe_tokenizer_key(p->m, name, FE_TOKEN_EOS), c->vocabulary - 1);
}

/* Alone it is a whole program: a picture in, a larger one out. */
static bool build_upscaler(fe_pipeline *p, fe_builder *b, const fe_component *part) {
    fe_sizes s;
    const fe_upscaler_config *c = &part->config.upscaler;
    if (!fe_upscaler_sizes(p, &s) ||
        !fe_class_build(part->class, b, &part->config, fe_component_names[part->kind], &s))
        return false;
    fe_upscaler_meta(p->m, c, fe_path_base(p->m->arena, fe_dir_path(part->dir)));
    if (p->o->guidance_pair && !p->o->no_image_input) fe_upscaler_alone(p->m, c, &s);
    return true;
}

static bool build_functions(fe_pipeline *p, fe_builder *b, fe_component *part) {
    const char *name = part->name;
    fe_sizes s;
    switch (fe_class_family(part->class)) {
    case FE_FAMILY_UNET: return fe_unet_sizes(p, &s) && build_pair(p, b, part, s);
    case FE_FAMILY_VAE:
        return fe_vae_sizes(p, &s) && fe_class_build(part->class, b, &part->config, name, &s);
    case FE_FAMILY_TEXT:
        part->config.text.skip = p->o->clip_skip;
        correct_eos(p, part, &part->config.text);
        return fe_text_sizes(p, part, &s) &&
               fe_class_build(part->class, b, &part->config, name, &s);
    case FE_FAMILY_CONTROL: return fe_control_sizes(p, part, &s) && build_pair(p, b, part, s);
    case FE_FAMILY_ADAPTER:
        return fe_adapter_sizes(p, part, &s) &&
               fe_class_build(part->class, b, &part->config, name, &s);
    case FE_FAMILY_UPSCALER: return build_upscaler(p, b, part);
    case FE_FAMILY_VISION:
    case FE_FAMILY_SAFETY:
        return fe_vision_sizes(p, part, &s) &&
               fe_class_build(part->class, b, &part->config, name, &s);
    }
    return false;
}

/* The adapters of a U-Net: opened before it is built, unless a whole pipeline did so. */
static bool open_adapters(fe_pipeline *p, const fe_component *part) {
    if (part->kind != FE_COMPONENT_UNET || !p->o->ip_adapter_count || p->adapters) return true;
    p->adapters = fe_ip_adapters_open(p->d, p->m, p->o);
    return p->adapters != NULL;
}

bool fe_component_build(fe_pipeline *p, fe_component *part) {
    if (!open_adapters(p, part)) return false;
    if (part->kind == FE_COMPONENT_UNET) part->config.unet.ip_adapters = p->adapters;
    fe_weights *w = open_weights(p, part);
    if (!w) return false;
    fe_builder b;
    fe_builder_init(&b, p->d, p->m, w, part->name);
    bool fine = build_functions(p, &b, part) && fe_weights_check(w);
    if (part->kind == FE_COMPONENT_UNET && p->adapters && fine)
        fine = fe_ip_adapters_check(p->adapters);
    fe_builder_free(&b);
    fe_weights_free(w);
    return fine;
}
