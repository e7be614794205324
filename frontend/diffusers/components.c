/* Components of a diffusers folder: which there are, their configs, their functions; see
 * pipeline.h. */
#include <string.h>

#include "frontend/diffusers/pipeline.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

const char *const fe_component_names[FE_COMPONENT_COUNT] = {"unet", "vae", "text_encoder",
                                                            "text_encoder_2"};

/* Classes of diffusers' and of transformers' that are built. */
static const struct {
    const char *name;
    fe_component_kind kind;
    bool has_class_name; /* its config says so under _class_name */
} classes[] = {{"UNet2DConditionModel", FE_COMPONENT_UNET, true},
               {"UNet2DModel", FE_COMPONENT_UNET, true},
               {"AutoencoderKL", FE_COMPONENT_VAE, true},
               {"AutoencoderTiny", FE_COMPONENT_VAE, true},
               {"CLIPTextModel", FE_COMPONENT_TEXT, false},
               {"CLIPTextModelWithProjection", FE_COMPONENT_TEXT, false}};

/* Both text encoders are of the same classes. */
static fe_component_kind class_kind(fe_component_kind kind) {
    return kind == FE_COMPONENT_TEXT_2 ? FE_COMPONENT_TEXT : kind;
}

bool fe_component_of_config(base_jval root, fe_component_kind *kind) {
    const char *names[COUNT(classes)];
    fe_component_kind kinds[COUNT(classes)];
    size_t n = 0, i;
    if (!base_json_expect(root, BASE_JSON_OBJECT)) return false;
    base_jval v = base_json_get(root, "_class_name");
    if (base_json_present(v)) {
        for (i = 0; i < COUNT(classes); i++) {
            if (!classes[i].has_class_name) continue;
            names[n] = classes[i].name;
            kinds[n++] = classes[i].kind;
        }
        if (!base_json_choice(v, "model class", names, n, &i)) return false;
        *kind = kinds[i];
        return true;
    }
    *kind = FE_COMPONENT_TEXT;
    if (base_json_present(base_json_get(root, "architectures")) ||
        base_json_present(base_json_get(root, "model_type")))
        return true;
    base_json_error(
        root, "this is no config of a model: it has neither '_class_name' nor 'architectures'");
    return false;
}

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

void fe_component_dir_close(fe_pipeline *p, fe_dir *dir) {
    if (dir != p->root) fe_dir_close(dir);
}

bool fe_component_read(fe_component *part) {
    base_jval root = base_json_root(part->doc);
    switch (part->kind) {
    case FE_COMPONENT_UNET: return fe_unet_read(root, &part->config.unet);
    case FE_COMPONENT_VAE: return fe_vae_read(root, &part->config.vae);
    case FE_COMPONENT_TEXT:
    case FE_COMPONENT_TEXT_2: return fe_clip_read(root, &part->config.text);
    case FE_COMPONENT_COUNT: break;
    }
    return false;
}

/* The class that model_index.json gives a component must be one that can stand there. */
static bool check_class(fe_pipeline *p, fe_component_kind kind) {
    base_jval index = base_json_root(p->index), at;
    const char *word = fe_indexed_class(index, fe_component_names[kind], &at);
    if (!word) {
        base_json_error(index, "the pipeline needs a component '%s'", fe_component_names[kind]);
        return false;
    }
    base_str list = {0};
    bool known = false;
    for (size_t i = 0; i < COUNT(classes); i++) {
        if (classes[i].kind != class_kind(kind)) continue;
        known |= strcmp(classes[i].name, word) == 0;
        base_str_addf(&list, "%s%s", list.len ? ", " : "", classes[i].name);
    }
    if (!known) {
        base_json_error(at, "unsupported: a '%s' of class '%s'", fe_component_names[kind],
                        base_escape(word, strlen(word)));
        base_note(p->d, NULL, "supported are %s", list.data);
    }
    base_str_free(&list);
    return known;
}

bool fe_component_open(fe_pipeline *p, fe_component_kind kind) {
    fe_component *part = &p->parts[kind];
    fe_component_kind found;
    if (!check_class(p, kind)) return false;
    *part = (fe_component){
        .kind = kind, .wanted = true, .dir = fe_component_dir(p, fe_component_names[kind])};
    if (!part->dir) return false;
    part->doc = fe_json_load_in(p->d, part->dir, "config.json", NULL);
    if (!part->doc || !fe_component_of_config(base_json_root(part->doc), &found)) return false;
    if (found != class_kind(kind)) {
        base_json_error(base_json_root(part->doc), "this is not the config of a component '%s'",
                        fe_component_names[kind]);
        return false;
    }
    return fe_component_read(part);
}

/* ---- functions ---- */

static fe_weights *open_weights(fe_pipeline *p, fe_component *part) {
    static const char *const bases[] = {"diffusion_pytorch_model", "model"};
    if (p->o->random_weights) return fe_weights_random(p->d, p->m, p->o->random_seed);
    if (p->ldm) return fe_ldm_weights(p->ldm, p->m, fe_component_names[part->kind]);
    fe_st *table = fe_st_open_in(p->d, part->dir, bases, COUNT(bases));
    return table ? fe_weights_table(p->d, p->m, table) : NULL;
}

static bool build_unet(fe_pipeline *p, fe_builder *b, const fe_unet_config *c) {
    fe_sizes s;
    if (!fe_unet_sizes(p, &s) || !fe_unet_build(b, c, "unet", &s)) return false;
    if (!p->guided) return true;
    s.batch *= 2;
    return fe_unet_build(b, c, "unet@2", &s);
}

static bool build_functions(fe_pipeline *p, fe_builder *b, fe_component *part) {
    fe_sizes s;
    switch (part->kind) {
    case FE_COMPONENT_UNET: return build_unet(p, b, &part->config.unet);
    case FE_COMPONENT_VAE:
        return fe_vae_sizes(p, &s) && fe_vae_build(b, &part->config.vae, "vae", &s);
    case FE_COMPONENT_TEXT:
    case FE_COMPONENT_TEXT_2:
        part->config.text.skip = p->o->clip_skip;
        return fe_text_sizes(p, part, &s) &&
               fe_clip_build(b, &part->config.text, fe_component_names[part->kind], &s);
    case FE_COMPONENT_COUNT: break;
    }
    return false;
}

bool fe_component_build(fe_pipeline *p, fe_component *part) {
    fe_weights *w = open_weights(p, part);
    if (!w) return false;
    fe_builder b;
    fe_builder_init(&b, p->d, p->m, w, fe_component_names[part->kind]);
    bool fine = build_functions(p, &b, part) && fe_weights_check(w);
    fe_builder_free(&b);
    fe_weights_free(w);
    return fine;
}
