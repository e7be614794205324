/* The classes of components; see components.h. */
#include "frontend/diffusers/components.h"

#include <string.h>

#include "base/suggest.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

const char *const fe_component_names[] = {
#define COMPONENT(ID, name, FAMILY, kohya) name,
#include "frontend/diffusers/components.def"
};

const fe_family fe_component_family[] = {
#define COMPONENT(ID, name, FAMILY, kohya) FE_FAMILY_##FAMILY,
#include "frontend/diffusers/components.def"
};

enum library { DIFFUSERS, TRANSFORMERS };

/* The member of `of` is named as the family, so that a row with another family's functions does not
 * compile. */
struct fe_class {
    const char *name;
    fe_family family;
    enum library library;
    union {
        struct {
            bool (*read)(base_jval root, fe_unet_config *c);
            bool (*build)(fe_builder *b, const fe_unet_config *c, const char *name,
                          const fe_sizes *s);
        } UNET;
        struct {
            bool (*read)(base_jval root, fe_vae_config *c);
            bool (*build)(fe_builder *b, const fe_vae_config *c, const char *name,
                          const fe_sizes *s);
        } VAE;
        struct {
            bool (*read)(base_jval root, fe_clip_config *c);
            bool (*build)(fe_builder *b, const fe_clip_config *c, const char *name,
                          const fe_sizes *s);
        } TEXT;
        struct {
            bool (*read)(base_jval root, fe_control_config *c);
            bool (*build)(fe_builder *b, const fe_control_config *c, const char *name,
                          const fe_sizes *s);
        } CONTROL;
        struct {
            bool (*read)(base_jval root, fe_adapter_config *c);
            bool (*build)(fe_builder *b, const fe_adapter_config *c, const char *name,
                          const fe_sizes *s);
        } ADAPTER;
        struct {
            bool (*read)(base_jval root, fe_vision_config *c);
            bool (*build)(fe_builder *b, const fe_vision_config *c, const char *name,
                          const fe_sizes *s);
        } VISION, SAFETY;
        struct {
            bool (*read)(base_jval root, fe_upscaler_config *c);
            bool (*build)(fe_builder *b, const fe_upscaler_config *c, const char *name,
                          const fe_sizes *s);
        } UPSCALER;
    } of;
};

static const fe_class classes[] = {
#define CLASS(FAMILY, name, LIBRARY, read, build)                                                  \
    {name, FE_FAMILY_##FAMILY, LIBRARY, {.FAMILY = {read, build}}},
#include "frontend/diffusers/components.def"
};

const char *fe_class_name(const fe_class *c) {
    return c->name;
}

fe_family fe_class_family(const fe_class *c) {
    return c->family;
}

const fe_class *fe_class_find(fe_family family, const char *name) {
    for (size_t i = 0; i < COUNT(classes); i++)
        if (classes[i].family == family && strcmp(classes[i].name, name) == 0) return &classes[i];
    return NULL;
}

void fe_class_list(fe_family family, base_str *out) {
    for (size_t i = 0, n = 0; i < COUNT(classes); i++)
        if (classes[i].family == family)
            base_str_addf(out, "%s%s", n++ ? ", " : "", classes[i].name);
}

static const fe_class *refuse_class(base_jval v, const char *word, const char *near) {
    char hint[BASE_HINT_MAX];
    base_str list = {0};
    for (size_t k = 0; k < COUNT(classes); k++)
        base_str_addf(&list, "%s%s", k ? ", " : "", classes[k].name);
    base_json_error(v, "%s model class '%s'%s",
                    near ? "unknown" : "unsupported:", base_escape(word, strlen(word)),
                    base_hint(near, hint));
    base_note(base_json_diag(v.doc), NULL, "supported are %s", list.data);
    base_str_free(&list);
    return NULL;
}

/* A config of diffusers. */
static const fe_class *class_named(base_jval v) {
    const char *names[COUNT(classes)], *word;
    size_t n = 0;
    if (!base_json_string(v, &word)) return NULL;
    for (size_t i = 0; i < COUNT(classes); i++) {
        if (strcmp(classes[i].name, word) == 0) return &classes[i];
        if (classes[i].library != DIFFUSERS) continue;
        names[n++] = classes[i].name;
    }
    return refuse_class(v, word, base_suggest_class(word, names, n));
}

/* A config of transformers: the first text model where its name is not known, since a folder may
 * hold a whole CLIP, or name no architecture at all. */
static const fe_class *architecture(base_jval list) {
    base_jval first = base_json_is(list, BASE_JSON_ARRAY) ? base_json_item(list, 0) : list;
    const fe_class *otherwise = NULL;
    const char *word = "";
    if (base_json_is(first, BASE_JSON_STRING)) base_json_string(first, &word);
    for (size_t i = 0; i < COUNT(classes); i++) {
        if (classes[i].library != TRANSFORMERS) continue;
        if (strcmp(classes[i].name, word) == 0) return &classes[i];
        if (!otherwise) otherwise = &classes[i];
    }
    return otherwise;
}

bool fe_config_names_class(base_jval root) {
    static const char *const keys[] = {"_class_name", "architectures", "model_type"};
    if (!base_json_is(root, BASE_JSON_OBJECT)) return true; /* which is a fault to be told */
    for (size_t i = 0; i < COUNT(keys); i++)
        if (base_json_present(base_json_get(root, keys[i]))) return true;
    return false;
}

const fe_class *fe_class_of_config(base_jval root) {
    if (!base_json_expect(root, BASE_JSON_OBJECT)) return NULL;
    base_jval name = base_json_get(root, "_class_name"),
              list = base_json_get(root, "architectures");
    if (base_json_present(name)) return class_named(name);
    if (base_json_present(list) || base_json_present(base_json_get(root, "model_type")))
        return architecture(list);
    base_json_error(
        root, "this is no config of a model: it has neither '_class_name' nor 'architectures'");
    base_note(base_json_diag(root.doc), NULL,
              "the model_index.json of a pipeline may say the class: name that folder, with "
              "--component=");
    return NULL;
}

bool fe_class_read(const fe_class *c, base_jval root, fe_config *config) {
    switch (c->family) {
    case FE_FAMILY_UNET: return c->of.UNET.read(root, &config->unet);
    case FE_FAMILY_VAE: return c->of.VAE.read(root, &config->vae);
    case FE_FAMILY_TEXT: return c->of.TEXT.read(root, &config->text);
    case FE_FAMILY_CONTROL: return c->of.CONTROL.read(root, &config->control);
    case FE_FAMILY_ADAPTER: return c->of.ADAPTER.read(root, &config->adapter);
    case FE_FAMILY_VISION: return c->of.VISION.read(root, &config->vision);
    case FE_FAMILY_UPSCALER: return c->of.UPSCALER.read(root, &config->upscaler);
    case FE_FAMILY_SAFETY: return c->of.SAFETY.read(root, &config->vision);
    }
    return false;
}

bool fe_class_build(const fe_class *c, fe_builder *b, const fe_config *config, const char *name,
                    const fe_sizes *s) {
    unsigned before = base_diag_errors(b->d);
    bool fine = false;
    switch (c->family) {
    case FE_FAMILY_UNET: fine = c->of.UNET.build(b, &config->unet, name, s); break;
    case FE_FAMILY_VAE:
        fine = fe_vae_fits(b, &config->vae, s) && c->of.VAE.build(b, &config->vae, name, s);
        break;
    case FE_FAMILY_TEXT: fine = c->of.TEXT.build(b, &config->text, name, s); break;
    case FE_FAMILY_CONTROL: fine = c->of.CONTROL.build(b, &config->control, name, s); break;
    case FE_FAMILY_ADAPTER: fine = c->of.ADAPTER.build(b, &config->adapter, name, s); break;
    case FE_FAMILY_VISION: fine = c->of.VISION.build(b, &config->vision, name, s); break;
    case FE_FAMILY_UPSCALER: fine = c->of.UPSCALER.build(b, &config->upscaler, name, s); break;
    case FE_FAMILY_SAFETY: fine = c->of.SAFETY.build(b, &config->vision, name, s); break;
    }
    return fine && base_diag_errors(b->d) == before;
}
