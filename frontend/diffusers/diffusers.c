/* diffusers folders: a whole pipeline behind its model_index.json, one component of it, or the
 * folder of one component; and single files, which are read as such folders; see pipeline.h. */
#include "frontend/diffusers/diffusers.h"

#include <string.h>

#include "base/suggest.h"
#include "frontend/diffusers/pipeline.h"
#include "frontend/ip_adapter/ip_adapter.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static bool keeps(const fe_pipeline *p, const char *name) {
    if (p->o->function) {
        const char *dot = strchr(name, '.');
        return strcmp(name, p->o->function) == 0 || (dot && strcmp(dot + 1, p->o->function) == 0);
    }
    bool program = p->c && p->o->guidance_pair;
    return !(program && strcmp(name, "vae.encode") == 0) || fe_pipeline_encodes(p);
}

static bool keep_functions(fe_pipeline *p) {
    for (size_t i = p->m->funcs.count; i-- > 0;)
        if (!keeps(p, p->m->funcs.items[i]->name)) ir_func_remove(p->m, p->m->funcs.items[i]);
    if (p->m->funcs.count) return true;
    base_error(p->d, NULL, "the model has no function '%s'", p->o->function);
    return false;
}

static void pipeline_free(fe_pipeline *p) {
    for (size_t i = 0; i < FE_COMPONENT_COUNT; i++) {
        base_json_free(p->parts[i].doc);
        fe_component_dir_close(p, p->parts[i].dir);
    }
    for (size_t i = 0; i < p->control_count; i++) {
        base_json_free(p->controls[i].doc);
        fe_dir_close(p->controls[i].dir);
    }
    fe_ip_adapters_free(p->adapters);
    base_json_free(p->index);
    fe_dir_close(p->root);
}

/* ---- one component ---- */

/* Options that mean nothing to this component alone. */
static bool options_fit(const fe_pipeline *p, fe_component_kind kind) {
    const fe_options *o = p->o;
    bool text = fe_component_family[kind] == FE_FAMILY_TEXT, fine = true;
    if (o->clip_skip && !text) {
        base_error(p->d, NULL, "--clip-skip: the component '%s' is no text encoder",
                   fe_component_names[kind]);
        fine = false;
    }
    if (o->prompt_chunks && kind != FE_COMPONENT_UNET) {
        base_error(p->d, NULL, "--prompt-chunks: the component '%s' has no context",
                   fe_component_names[kind]);
        fine = false;
    }
    if (o->sampler || o->scheduler_config) {
        base_error(p->d, NULL, "--%s: the component '%s' alone has no scheduler",
                   o->sampler ? "sampler" : "scheduler-config", fe_component_names[kind]);
        fine = false;
    }
    if (o->controlnet_count || o->adapter_count) {
        base_error(p->d, NULL, "--%s: the component '%s' alone has no sampling loop",
                   o->controlnet_count ? "controlnet" : "t2i-adapter", fe_component_names[kind]);
        fine = false;
    }
    if (o->ip_adapter_count && kind != FE_COMPONENT_UNET) {
        base_error(p->d, NULL, "--ip-adapter: the component '%s' is no U-Net",
                   fe_component_names[kind]);
        fine = false;
    }
    if (o->safety) {
        base_error(p->d, NULL, "--safety-checker: the component '%s' alone paints no pictures",
                   fe_component_names[kind]);
        fine = false;
    }
    if (o->image_encoder) {
        base_error(p->d, NULL, "--image-encoder: a component alone reads no pictures");
        fine = false;
    }
    if (o->no_image_input) {
        base_error(p->d, NULL, "--no-image-input: the component '%s' alone paints no pictures",
                   fe_component_names[kind]);
        fine = false;
    }
    return fine;
}

/* Options that give a component's folder have to give one that is built: `kinds`, as bits. */
static bool givens_fit(const fe_pipeline *p, unsigned kinds, const char *what) {
    bool fine = true;
    for (unsigned i = 0; i < FE_COMPONENT_COUNT; i++) {
        if (kinds & 1u << i || !fe_component_given(p->o, (fe_component_kind)i)) continue;
        base_error(p->d, NULL, "--%s: %s has no use for a '%s'",
                   fe_component_option(p->m->arena, (fe_component_kind)i), what,
                   fe_component_names[i]);
        fine = false;
    }
    return fine;
}

/* Which component a folder of that class is. One of a text model does not say which of a pipeline's
 * text encoders: the one asked for, else the first. */
static bool selected(const fe_pipeline *p, const fe_class *class, fe_component_kind *kind) {
    const char *wanted = p->o->component;
    bool found = false;
    for (unsigned i = FE_COMPONENT_COUNT; i-- > 0;) {
        if (fe_component_family[i] != fe_class_family(class)) continue;
        *kind = (fe_component_kind)i;
        found |= wanted && strcmp(wanted, fe_component_names[i]) == 0;
        if (found) return true;
    }
    if (!wanted) return true;
    base_error(p->d, NULL, "the folder holds the component '%s', not '%s'",
               fe_component_names[*kind], wanted);
    return false;
}

bool fe_load_component(base_diag *d, ir_module *m, const char *path, const fe_options *o) {
    fe_pipeline p = {.d = d, .m = m, .o = o, .root = fe_dir_open(d, path)};
    if (!p.root) return false;
    fe_component_kind kind = FE_COMPONENT_COUNT;
    base_json *doc = fe_json_load_in(d, p.root, "config.json", NULL);
    const fe_class *class = doc ? fe_class_of_config(base_json_root(doc)) : NULL;
    bool fine = class && selected(&p, class, &kind);
    if (fine) {
        fe_component *part = &p.parts[kind];
        base_jval root = base_json_root(doc);
        *part = (fe_component){.kind = kind,
                               .wanted = true,
                               .name = fe_component_names[kind],
                               .dir = p.root,
                               .doc = doc,
                               .class = class};
        doc = NULL;
        ir_meta_set_string(m, EBRU_META_PIPELINE_KIND.name,
                           ebru_pipeline_kind_name[EBRU_PIPELINE_NONE]);
        fine = options_fit(&p, kind) &&
               givens_fit(&p, 0, "a model that is the folder of one component") &&
               fe_class_read(class, root, &part->config) && fe_component_build(&p, part) &&
               keep_functions(&p);
    }
    base_json_free(doc);
    pipeline_free(&p);
    return fine;
}

/* ---- pipelines ---- */

/* The refiner of XL has the second text encoder alone. */
static bool has_part(const fe_pipeline *p, fe_component_kind kind) {
    if (!(p->c->parts & 1u << kind)) return false;
    bool other = kind == FE_COMPONENT_TEXT && p->c->parts & 1u << FE_COMPONENT_TEXT_2;
    return !other || fe_component_given(p->o, kind) ||
           fe_indexed_class(base_json_root(p->index), fe_component_names[kind], NULL);
}

/* Keys of model_index.json that nobody asked for: what is ignored, or of no use here. */
static void unknown_entries(const fe_pipeline *p) {
    static const char *const ignored[] = {"requires_safety_checker",
                                          "requires_aesthetics_score",
                                          "force_zeros_for_empty_prompt",
                                          "max_noise_level",
                                          "low_res_scheduler",
                                          "scheduler",
                                          "tokenizer",
                                          "tokenizer_2",
                                          "text_encoder",
                                          "text_encoder_2",
                                          "vae",
                                          "vqvae",
                                          "unet"};
    base_jval root = base_json_root(p->index);
    for (base_jval v = base_json_first(root); base_json_present(v); v = base_json_next(v)) {
        bool absent = base_json_is(v, BASE_JSON_ARRAY) && base_json_is_null(base_json_item(v, 1));
        if (absent || base_json_is_null(v)) base_json_get(root, base_json_key(v)); /* known */
    }
    fe_config_unknown(root, ignored, COUNT(ignored));
}

/* What is no component: of a download of some folders only all that are missing are told at once. */
static bool others_there(fe_pipeline *p) {
    static const char *const others[][2] = {{"tokenizer", "vocab.json"},
                                            {"tokenizer_2", "vocab.json"},
                                            {"scheduler", "scheduler_config.json"}};
    bool fine = true;
    for (size_t i = p->ldm ? COUNT(others) : 0; i < COUNT(others); i++) {
        bool replaced = p->o->scheduler_config && strcmp(others[i][0], "scheduler") == 0;
        if (!replaced && fe_indexed_class(base_json_root(p->index), others[i][0], NULL))
            fine &= fe_component_there(p, others[i][0], others[i][1]);
    }
    return fine;
}

/* --safety-checker: the folder's own. */
static bool open_checker(fe_pipeline *p) {
    const char *name = fe_component_names[FE_COMPONENT_SAFETY];
    if (!p->ldm && fe_indexed_class(base_json_root(p->index), name, NULL))
        return fe_component_open(p, FE_COMPONENT_SAFETY);
    base_error(p->d, NULL, "--safety-checker: the model has no '%s'", name);
    return false;
}

static bool load_whole(fe_pipeline *p) {
    bool fine = givens_fit(p, p->c->parts, base_arena_printf(p->m->arena, "a %s", p->c->name));
    for (size_t i = 0; i < FE_COMPONENT_COUNT; i++)
        if (has_part(p, (fe_component_kind)i)) fine &= fe_component_open(p, (fe_component_kind)i);
    fine &= fe_controls_open(p);
    if (p->o->ip_adapter_count) {
        fine &= fe_image_encoder_open(p);
        p->adapters = fe_ip_adapters_open(p->d, p->m, p->o);
        fine &= p->adapters != NULL;
    }
    if (p->o->safety) fine &= open_checker(p);
    fine &= others_there(p);
    if (!fine || !fe_pipeline_check(p) || !fe_controls_check(p) || !fe_pipeline_meta(p))
        return false;
    fe_controls_meta(p);
    fine &= fe_controls_build(p);
    if (!fine) return false;
    /* in the order of use: text, autoencoder, U-Net */
    for (size_t i = FE_COMPONENT_COUNT; i-- > 0;)
        if (p->parts[i].wanted) fine &= fe_component_build(p, &p->parts[i]);
    unknown_entries(p);
    return fine && keep_functions(p);
}

/* A U-Net taken out of a latent pipeline still has its size in pixels: the autoencoder's config
 * says how many a cell has. */
static bool open_scale(fe_pipeline *p, fe_component_kind kind) {
    const char *vae =
        fe_indexed_class(base_json_root(p->index), fe_component_folder(p, FE_COMPONENT_VAE), NULL);
    bool known =
        fe_component_given(p->o, FE_COMPONENT_VAE) || (vae && fe_class_find(FE_FAMILY_VAE, vae));
    if (kind != FE_COMPONENT_UNET || !known) return true;
    return fe_component_open(p, FE_COMPONENT_VAE);
}

static bool load_one(fe_pipeline *p, const char *name) {
    ir_meta_set_string(p->m, EBRU_META_PIPELINE_KIND.name,
                       ebru_pipeline_kind_name[EBRU_PIPELINE_NONE]);
    fe_component_kind control;
    if (fe_controls_find(p, name, &control))
        return options_fit(p, control) && fe_controls_open_one(p, control, name) &&
               fe_component_build(p, &p->parts[control]) && keep_functions(p);
    for (size_t i = 0; i < FE_COMPONENT_COUNT; i++)
        if (strcmp(name, fe_component_names[i]) == 0)
            return options_fit(p, (fe_component_kind)i) &&
                   givens_fit(p, 1u << i | (i == FE_COMPONENT_UNET ? 1u << FE_COMPONENT_VAE : 0),
                              base_arena_printf(p->m->arena, "the component '%s'", name)) &&
                   (p->ldm || fe_component_given(p->o, (fe_component_kind)i) ||
                    fe_component_there(p, fe_component_folder(p, (fe_component_kind)i),
                                       "config.json")) &&
                   open_scale(p, (fe_component_kind)i) &&
                   fe_component_open(p, (fe_component_kind)i) &&
                   fe_component_build(p, &p->parts[i]) && keep_functions(p);
    const char *near = base_suggest(name, fe_component_names, FE_COMPONENT_COUNT);
    base_str list = {0};
    for (size_t i = 0; i < FE_COMPONENT_COUNT; i++)
        base_str_addf(&list, "%s%s",
                      !i                           ? ""
                      : i + 1 < FE_COMPONENT_COUNT ? ", "
                                                   : " and ",
                      fe_component_names[i]);
    base_error(p->d, NULL, "unknown component '%s': %s are known", base_escape(name, strlen(name)),
               list.data);
    base_str_free(&list);
    if (near) base_note(p->d, NULL, "did you mean '%s'?", near);
    return false;
}

/* Everything behind the root folder. */
static bool load(fe_pipeline *p) {
    p->index = fe_json_load_in(p->d, p->root, "model_index.json", NULL);
    bool fine = p->index && base_json_expect(base_json_root(p->index), BASE_JSON_OBJECT);
    if (fine && p->o->component) {
        fine = load_one(p, p->o->component);
    } else if (fine) {
        p->c = fe_pipeline_find(base_json_root(p->index));
        fine = p->c && load_whole(p);
    }
    pipeline_free(p);
    return fine;
}

bool fe_load_pipeline(base_diag *d, ir_module *m, const char *path, const fe_options *o) {
    fe_pipeline p = {.d = d, .m = m, .o = o, .root = fe_dir_open(d, path)};
    return p.root && load(&p);
}

bool fe_load_checkpoint(base_diag *d, ir_module *m, const char *path, const fe_options *o) {
    fe_ldm *ldm = fe_ldm_open(d, m, path, o);
    if (!ldm) return false;
    fe_pipeline p = {.d = d, .m = m, .o = o, .root = fe_ldm_folder(ldm), .ldm = ldm};
    bool fine = load(&p);
    fe_ldm_free(ldm);
    return fine;
}
