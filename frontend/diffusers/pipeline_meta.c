/* The properties of a whole pipeline (docs/properties.md), schedulers and tokenizers among them;
 * see pipeline.h. */
#include <stdlib.h>
#include <string.h>

#include "frontend/defaults.h"
#include "frontend/diffusers/pipeline.h"
#include "frontend/files/formats.h"
#include "frontend/files/hub_cache.h"
#include "frontend/tokenizer/tokenizer.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- constructors ---- */

/* Pipelines of diffusers before 0.9 said 32 and meant 64. The depth model's file says 32, too,
 * which its class never reads: the picture brings its size. */
static void correct_sample_size(fe_pipeline *p) {
    fe_unet_config *c = &p->parts[FE_COMPONENT_UNET].config.unet;
    const char *version = base_json_opt_string(c->root, "_diffusers_version", "99");
    char *end;
    long major = strtol(version, &end, 10), minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
    bool old = fe_pipeline_fixes(p) & FE_FIX_SAMPLE_SIZE && major == 0 && minor < 9;
    if ((old || p->condition == EBRU_CONDITION_DEPTH) && c->sample_height < 64 &&
        c->sample_width < 64)
        c->sample_height = c->sample_width = 64;
}

static void correct_scaling(fe_pipeline *p) {
    static const double scaling = 0.08333;
    fe_vae_config *c = &p->parts[FE_COMPONENT_VAE].config.vae;
    base_jval given = base_json_get(c->root, "scaling_factor");
    if (fe_pipeline_fixes(p) & FE_FIX_UNSCALED) c->scaling_factor = 1;
    if (!(fe_pipeline_fixes(p) & FE_FIX_SCALING)) return;
    if (base_json_present(given) && c->scaling_factor != scaling)
        base_json_warning(given, "a %s takes %g for 'scaling_factor', whatever is written here",
                          p->c->name, scaling);
    c->scaling_factor = scaling;
}

/* Statistics of latents that the class does not read. */
static void drop_statistics(fe_pipeline *p) {
    static const char *const keys[] = {"shift_factor", "latents_mean", "latents_std"};
    fe_vae_config *c = &p->parts[FE_COMPONENT_VAE].config.vae;
    bool reads = fe_pipeline_fixes(p) & FE_READS_STATISTICS;
    for (size_t i = 0; i < COUNT(keys); i++) {
        base_jval v = base_json_get(c->root, keys[i]);
        bool differs = i == 0 ? c->shift_factor != 0 : !reads && c->normalised;
        if (base_json_present(v) && differs)
            base_json_warning(v, "a %s does not read '%s'", p->c->name, keys[i]);
    }
    c->shift_factor = 0;
    if (!reads) c->normalised = false;
}

/* ---- schedulers and tokenizers ---- */

/* `name`: the component; its keys become PREFIX.KEY. */
static bool load_scheduler(fe_pipeline *p, const char *name, const char *prefix,
                           fe_scheduler_choice choice) {
    if (!fe_indexed_class(base_json_root(p->index), name, &choice.indexed))
        choice.indexed = (base_jval){0};
    fe_dir *dir = fe_component_dir(p, name);
    if (!dir) return false;
    base_json *doc = fe_json_load_in(p->d, dir, "scheduler_config.json", NULL);
    bool fine = doc && fe_scheduler_folder_meta(p->m, prefix, base_json_root(doc), &choice);
    base_json_free(doc);
    fe_component_dir_close(p, dir);
    return fine;
}

static bool sampler_meta(fe_pipeline *p) {
    fe_scheduler_choice choice = {
        .sampler = p->o->sampler, .forced = p->c->scheduler, .pipeline = p->c->name};
    bool fine;
    if (p->o->scheduler_config) {
        base_json_limits python = {.python_numbers = true};
        base_json *doc = fe_json_load(p->d, p->o->scheduler_config, &python);
        if (!doc && !fe_path_exists(p->o->scheduler_config))
            fe_hub_advice(p->d, p->o->scheduler_config, FE_HUB_SCHEDULER);
        fine = doc && fe_scheduler_folder_meta(p->m, "sampler", base_json_root(doc), &choice);
        base_json_free(doc);
    } else {
        fine = load_scheduler(p, "scheduler", "sampler", choice);
    }
    unsigned fixes = fe_pipeline_fixes(p);
    if (fixes & FE_FIX_OFFSET) ir_meta_set_int(p->m, EBRU_META_SAMPLER_STEPS_OFFSET.name, 1);
    if (fixes & FE_FIX_CLIP) ir_meta_set_int(p->m, EBRU_META_SAMPLER_CLIP_SAMPLE.name, 0);
    if (fixes & FE_FIX_PRK) ir_meta_set_int(p->m, EBRU_META_SAMPLER_SKIP_PRK_STEPS.name, 1);
    return fine;
}

static bool load_tokenizer(fe_pipeline *p, fe_component_kind kind, const char *name) {
    static const char *const known[] = {"CLIPTokenizer", "CLIPTokenizerFast"};
    base_jval at;
    size_t i;
    if (!p->parts[kind].wanted) return true;
    if (fe_indexed_class(base_json_root(p->index), name, &at) &&
        !base_json_choice(at, "tokenizer", known, COUNT(known), &i))
        return false;
    fe_dir *dir = fe_component_dir(p, name);
    if (!dir) return false;
    const fe_clip_config *text = &p->parts[kind].config.text;
    bool fine = fe_tokenizer_meta(p->d, p->m, name, dir, text->positions, text->vocabulary);
    fe_component_dir_close(p, dir);
    return fine;
}

/* ---- the rest ---- */

/* Components that a program has no use for: what they check or make comes from elsewhere (a depth
 * model's map is a picture that the user gives). */
static bool is_used(const fe_pipeline *p, const char *name) {
    bool reader = p->parts[FE_COMPONENT_IMAGE_ENCODER].wanted,
         checked = p->parts[FE_COMPONENT_SAFETY].wanted;
    if (strcmp(name, "feature_extractor") == 0) return reader || checked;
    return (reader && strcmp(name, "image_encoder") == 0) ||
           (checked && strcmp(name, "safety_checker") == 0);
}

static void note_ignored(fe_pipeline *p) {
    static const char *const names[] = {"safety_checker", "feature_extractor", "image_encoder",
                                        "watermarker", "depth_estimator"};
    base_str s = {0};
    for (size_t i = 0; i < COUNT(names); i++)
        if (fe_indexed_class(base_json_root(p->index), names[i], NULL) && !is_used(p, names[i]))
            base_str_addf(&s, "%s%s", s.len ? ", " : "", names[i]);
    if (s.len) ir_meta_set_string(p->m, EBRU_META_PIPELINE_IGNORED.name, s.data);
    base_str_free(&s);
}

static bool size_meta(fe_pipeline *p) {
    ir_module *m = p->m;
    const fe_unet_config *unet = &p->parts[FE_COMPONENT_UNET].config.unet;
    int64_t scale = fe_pixel_scale(p);
    fe_sizes s;
    if (!fe_unet_sizes(p, &s)) return false;
    ir_meta_set_int(m, EBRU_META_LATENT_CHANNELS.name, unet->out_channels);
    ir_meta_set_int(m, EBRU_META_LATENT_HEIGHT.name, s.height);
    ir_meta_set_int(m, EBRU_META_LATENT_WIDTH.name, s.width);
    ir_meta_set_int(m, EBRU_META_VAE_SCALE.name, scale);
    ir_meta_set_int(m, EBRU_META_IMAGE_CHANNELS.name, fe_pipeline_image_channels(p));
    ir_meta_set_int(m, EBRU_META_IMAGE_HEIGHT.name, s.height * scale);
    ir_meta_set_int(m, EBRU_META_IMAGE_WIDTH.name, s.width * scale);
    return true;
}

static void vae_meta(fe_pipeline *p) {
    fe_vae_config *c = &p->parts[FE_COMPONENT_VAE].config.vae;
    if (!p->parts[FE_COMPONENT_VAE].wanted) return;
    ir_meta_set_string(p->m, EBRU_META_PIPELINE_DECODER.name, "vae.decode");
    if (fe_pipeline_encodes(p))
        ir_meta_set_string(p->m, EBRU_META_PIPELINE_ENCODER.name, "vae.encode");
    drop_statistics(p);
    ir_meta_set_float(p->m, EBRU_META_VAE_SCALING_FACTOR.name, c->scaling_factor);
    c->fold_statistics = true;
    c->plain_moments = fe_pipeline_fixes(p) & FE_DECODES_STATISTICS;
}

/* diffusers' clip_skip is for the prompt alone: the negative prompt's state is an output of its own.
 */
static void negative_meta(fe_pipeline *p, bool penultimate) {
    if (!p->guided || !p->o->clip_skip) return;
    for (int i = 0; i < 2; i++) {
        fe_component *part = &p->parts[i ? FE_COMPONENT_TEXT_2 : FE_COMPONENT_TEXT];
        if (!part->wanted) continue;
        part->config.text.negative = penultimate ? FE_NEGATIVE_PENULTIMATE : FE_NEGATIVE_LAST;
        ir_meta_set_string(p->m,
                           i ? EBRU_META_PIPELINE_NEGATIVE_TEXT_OUTPUT_2.name
                             : EBRU_META_PIPELINE_NEGATIVE_TEXT_OUTPUT.name,
                           "negative_hidden_state");
    }
}

static bool text_meta(fe_pipeline *p) {
    const fe_clip_config *text = fe_pipeline_last_text(p);
    const fe_unet_config *unet = &p->parts[FE_COMPONENT_UNET].config.unet;
    base_jval index = base_json_root(p->index);
    ir_module *m = p->m;
    if (!text) return true;
    bool two = p->parts[FE_COMPONENT_TEXT_2].wanted;
    const char *output = two ? "penultimate_hidden_state" : "last_hidden_state";
    if (p->parts[FE_COMPONENT_TEXT].wanted) {
        ir_meta_set_string(m, EBRU_META_PIPELINE_TEXT_ENCODER.name,
                           fe_component_names[FE_COMPONENT_TEXT]);
        ir_meta_set_string(m, EBRU_META_PIPELINE_TEXT_OUTPUT.name, output);
    }
    if (two) {
        ir_meta_set_string(m, EBRU_META_PIPELINE_TEXT_ENCODER_2.name,
                           fe_component_names[FE_COMPONENT_TEXT_2]);
        ir_meta_set_string(m, EBRU_META_PIPELINE_TEXT_OUTPUT_2.name, output);
        ir_meta_set_int(m, EBRU_META_TEXT_FORCE_ZEROS.name,
                        base_json_opt_bool(index, "force_zeros_for_empty_prompt", true));
    }
    negative_meta(p, two);
    if (unet->added_input) {
        ir_meta_set_string(m, EBRU_META_PIPELINE_POOLED_OUTPUT.name, "text_embeds");
        ir_meta_set_int(m, EBRU_META_TIME_IDS_COUNT.name, fe_pipeline_time_ids(p));
    }
    if (unet->time_cond)
        ir_meta_set_int(m, EBRU_META_PIPELINE_GUIDANCE_EMBEDDING.name, unet->time_cond);
    ir_meta_set_int(m, EBRU_META_TEXT_MAX_LENGTH.name, text->positions);
    ir_meta_set_int(m, EBRU_META_TEXT_WIDTH.name, fe_pipeline_context(p));
    if (p->o->prompt_chunks > 1)
        ir_meta_set_int(m, EBRU_META_TEXT_CHUNKS.name, p->o->prompt_chunks);
    bool fine = load_tokenizer(p, FE_COMPONENT_TEXT, "tokenizer");
    return load_tokenizer(p, FE_COMPONENT_TEXT_2, "tokenizer_2") && fine;
}

static bool condition_meta(fe_pipeline *p) {
    const fe_unet_config *unet = &p->parts[FE_COMPONENT_UNET].config.unet;
    ir_module *m = p->m;
    if (fe_pipeline_image_input(p)) ir_meta_set_int(m, EBRU_META_PIPELINE_IMAGE_INPUT.name, 1);
    if (p->condition != EBRU_CONDITION_NONE)
        ir_meta_set_string(m, EBRU_META_PIPELINE_CONDITION.name, ebru_condition_name[p->condition]);
    if (p->condition == EBRU_CONDITION_LOW_RESOLUTION && unet->class_kind == FE_CLASS_NONE) {
        /* shown as it is */
        ir_meta_set_int(m, EBRU_META_LOW_RES_NOISE_LEVEL.name, -1);
        ir_meta_set_int(m, EBRU_META_LOW_RES_MAX_NOISE_LEVEL.name, -1);
        return true;
    }
    if (p->condition == EBRU_CONDITION_LOW_RESOLUTION) {
        int64_t most =
            base_json_opt_int(base_json_root(p->index), "max_noise_level",
                              EBRU_META_LOW_RES_MAX_NOISE_LEVEL.otherwise, 0, FE_MAX_CHANNELS);
        if (most >= unet->classes) most = unet->classes - 1;
        ir_meta_set_int(m, EBRU_META_LOW_RES_NOISE_LEVEL.name, most < 20 ? most : 20);
        ir_meta_set_int(m, EBRU_META_LOW_RES_MAX_NOISE_LEVEL.name, most);
        return load_scheduler(p, "low_res_scheduler", "low_res", (fe_scheduler_choice){0});
    }
    double strength = p->c->strength;
    if (p->condition == EBRU_CONDITION_INPAINT && strength < 0.99)
        strength = 1.0; /* a plain class with a U-Net for inpainting */
    if (fe_pipeline_image_input(p)) ir_meta_set_float(m, EBRU_META_SAMPLER_STRENGTH.name, strength);
    return true;
}

/* Pictures beside the prompt. */
static bool adapters_meta(fe_pipeline *p) {
    static const char *const scales[FE_MAX_IP_ADAPTERS] = {
        EBRU_META_IP_ADAPTER_SCALE.name, EBRU_META_IP_ADAPTER_SCALE_2.name,
        EBRU_META_IP_ADAPTER_SCALE_3.name, EBRU_META_IP_ADAPTER_SCALE_4.name};
    const fe_component *part = &p->parts[FE_COMPONENT_IMAGE_ENCODER];
    base_str s = {0};
    if (!p->adapters) return true;
    for (uint32_t i = 0; i < p->o->ip_adapter_count; i++) {
        const char *name = fe_path_base(p->m->arena, p->o->ip_adapters[i].path);
        base_str_addf(&s, "%s%.*s", i ? ", " : "", (int)fe_stem_length(name), name);
        ir_meta_set_float(p->m, scales[i], p->o->ip_adapters[i].scale);
    }
    ir_meta_set_string(p->m, EBRU_META_IP_ADAPTER_NAMES.name, s.data);
    base_str_free(&s);
    ir_meta_set_string(p->m, EBRU_META_PIPELINE_IMAGE_ENCODER.name, fe_component_names[part->kind]);
    ir_meta_set_int(p->m, EBRU_META_IP_ADAPTER_COUNT.name, p->o->ip_adapter_count);
    ir_meta_set_int(p->m, EBRU_META_IP_ADAPTER_IMAGES.name, p->o->ip_images ? p->o->ip_images : 1);
    return fe_image_processor_meta(p, part->config.vision.image, fe_component_names[part->kind]);
}

static bool safety_meta(fe_pipeline *p) {
    const fe_component *part = &p->parts[FE_COMPONENT_SAFETY];
    if (!part->wanted) return true;
    const char *name = fe_component_names[part->kind];
    ir_meta_set_string(p->m, EBRU_META_PIPELINE_SAFETY_CHECKER.name, name);
    ir_meta_set_string(p->m, EBRU_META_SAFETY_ACTION.name, p->o->safety);
    return fe_image_processor_meta(p, part->config.vision.image, name);
}

/* Behind all other properties, which the rules look at. */
static void defaults_meta(fe_pipeline *p) {
    const char *key = "_name_or_path", *path = fe_dir_path(p->root);
    const char *folder = fe_hub_name(p->m->arena, path);
    const char *const names[FE_DEFAULT_NAMES] = {
        base_json_opt_string(base_json_root(p->index), key, NULL),
        base_json_opt_string(p->parts[FE_COMPONENT_UNET].config.unet.root, key, NULL),
        folder ? folder : fe_path_base(p->m->arena, path),
    };
    fe_defaults otherwise = {p->c->steps, p->c->guidance, p->c->name};
    fe_defaults_choose(p->d, p->m, p->o, &otherwise, names);
}

bool fe_pipeline_meta(fe_pipeline *p) {
    const fe_unet_config *unet = &p->parts[FE_COMPONENT_UNET].config.unet;
    bool labels = !fe_pipeline_last_text(p) && unet->class_kind == FE_CLASS_TABLE;
    p->guided = p->o->guidance_pair && !p->c->unguided && !unet->time_cond;
    correct_sample_size(p);
    correct_scaling(p);
    ir_meta_set_string(p->m, EBRU_META_PIPELINE_KIND.name,
                       ebru_pipeline_kind_name[labels ? EBRU_PIPELINE_CLASS : p->c->kind]);
    ir_meta_set_string(p->m, EBRU_META_PIPELINE_CLASS.name, p->c->name);
    ir_meta_set_string(p->m, EBRU_META_PIPELINE_DENOISER.name, "unet");
    ir_meta_set_int(p->m, EBRU_META_PIPELINE_GUIDANCE.name, p->guided);
    if (labels) ir_meta_set_int(p->m, EBRU_META_CLASSES_COUNT.name, unet->classes);
    note_ignored(p);
    bool fine = sampler_meta(p);
    fine &= size_meta(p);
    vae_meta(p);
    fine &= text_meta(p);
    fine &= condition_meta(p);
    fine &= adapters_meta(p);
    fine &= safety_meta(p);
    defaults_meta(p);
    return fine;
}
