/* The pipeline classes of diffusers that become programs: one row each; see pipeline.h. Defaults
 * are those of the classes' __call__, fixes those of their constructors. */
#include <string.h>

#include "base/suggest.h"
#include "frontend/diffusers/pipeline.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

enum {
    UNET = 1 << FE_COMPONENT_UNET,
    LATENT = UNET | 1 << FE_COMPONENT_VAE,
    SD = LATENT | 1 << FE_COMPONENT_TEXT,
    XL = SD | 1 << FE_COMPONENT_TEXT_2,
    FIX_SD = FE_FIX_OFFSET | FE_FIX_CLIP | FE_FIX_SAMPLE_SIZE,
    PLAIN = 1 << EBRU_CONDITION_NONE,
    DEPTH = 1 << EBRU_CONDITION_DEPTH,
    SMALL = 1 << EBRU_CONDITION_LOW_RESOLUTION,
    MASK = PLAIN | 1 << EBRU_CONDITION_INPAINT,
    /* Checkpoints were published under the plain class whatever their U-Net was trained for. */
    ANY = MASK | DEPTH
};
#define TEXT EBRU_PIPELINE_TEXT
#define FREE EBRU_PIPELINE_UNCONDITIONAL

static const fe_pipeline_class classes[] = {
    {"StableDiffusionPipeline", TEXT, SD, ANY, FIX_SD, NULL, false, 50, 7.5, 0.8},
    {"StableDiffusionImg2ImgPipeline", TEXT, SD, ANY, FIX_SD, NULL, false, 50, 7.5, 0.8},
    {"StableDiffusionInpaintPipeline", TEXT, SD, MASK,
     FE_FIX_OFFSET | FE_FIX_PRK | FE_FIX_SAMPLE_SIZE, NULL, false, 50, 7.5, 1.0},
    {"StableDiffusionInpaintPipelineLegacy", TEXT, SD, PLAIN, FIX_SD, NULL, false, 50, 7.5, 0.8},
    {"StableDiffusionDepth2ImgPipeline", TEXT, SD, DEPTH, FE_FIX_SAMPLE_SIZE, NULL, false, 50, 7.5,
     0.8},
    {"StableDiffusionUpscalePipeline", TEXT, SD, SMALL, FE_FIX_SCALING, NULL, false, 75, 9.0, 1.0},
    {"StableDiffusionXLPipeline", TEXT, XL, MASK, FE_READS_STATISTICS, NULL, false, 50, 5.0, 0.3},
    {"StableDiffusionXLImg2ImgPipeline", TEXT, XL, MASK, FE_READS_STATISTICS, NULL, false, 50, 5.0,
     0.3},
    {"StableDiffusionXLInpaintPipeline", TEXT, XL, MASK,
     FE_READS_STATISTICS | FE_DECODES_STATISTICS, NULL, false, 50, 7.5, 0.9999},
    {"StableDiffusionControlNetPipeline", TEXT, SD, PLAIN, 0, NULL, false, 50, 7.5, 0.8},
    {"StableDiffusionControlNetImg2ImgPipeline", TEXT, SD, PLAIN, 0, NULL, false, 50, 7.5, 0.8},
    {"StableDiffusionControlNetInpaintPipeline", TEXT, SD, MASK, 0, NULL, false, 50, 7.5, 1.0},
    {"StableDiffusionXLControlNetPipeline", TEXT, XL, PLAIN, FE_READS_STATISTICS, NULL, false, 50,
     5.0, 0.3},
    {"StableDiffusionXLControlNetImg2ImgPipeline", TEXT, XL, PLAIN, FE_READS_STATISTICS, NULL,
     false, 50, 5.0, 0.8},
    {"StableDiffusionXLControlNetInpaintPipeline", TEXT, XL, MASK, 0, NULL, false, 50, 5.0, 0.9999},
    {"StableDiffusionAdapterPipeline", TEXT, SD, PLAIN, 0, NULL, false, 50, 7.5, 0.8},
    {"StableDiffusionXLAdapterPipeline", TEXT, XL, PLAIN, 0, NULL, false, 50, 5.0, 0.3},
    {"LatentConsistencyModelPipeline", TEXT, SD, PLAIN, 0, NULL, true, 4, 8.5, 0.8},
    {"LatentConsistencyModelImg2ImgPipeline", TEXT, SD, PLAIN, 0, NULL, true, 4, 8.5, 0.8},
    {"LDMPipeline", FREE, LATENT, PLAIN, 0, NULL, true, 50, 1.0, 0.8},
    {"LDMSuperResolutionPipeline", FREE, LATENT, SMALL, FE_FIX_UNSCALED, NULL, true, 100, 1.0, 1.0},
    {"DDPMPipeline", FREE, UNET, PLAIN, 0, NULL, true, 1000, 1.0, 0.8},
    {"DDIMPipeline", FREE, UNET, PLAIN, 0, "DDIMScheduler", true, 50, 1.0, 0.8},
    {"PNDMPipeline", FREE, UNET, PLAIN, 0, "PNDMScheduler", true, 50, 1.0, 0.8},
};

/* Classes whose folders have ControlNets or adapters beside the U-Net, and how strong they are. */
static const struct {
    const char *name;
    fe_component_kind kind;
    double scale;
} controlled[] = {
    {"StableDiffusionControlNetPipeline", FE_COMPONENT_CONTROLNET, 1.0},
    {"StableDiffusionControlNetImg2ImgPipeline", FE_COMPONENT_CONTROLNET, 0.8},
    {"StableDiffusionControlNetInpaintPipeline", FE_COMPONENT_CONTROLNET, 0.5},
    {"StableDiffusionXLControlNetPipeline", FE_COMPONENT_CONTROLNET, 1.0},
    {"StableDiffusionXLControlNetImg2ImgPipeline", FE_COMPONENT_CONTROLNET, 0.8},
    {"StableDiffusionXLControlNetInpaintPipeline", FE_COMPONENT_CONTROLNET, 1.0},
    {"StableDiffusionAdapterPipeline", FE_COMPONENT_ADAPTER, 1.0},
    {"StableDiffusionXLAdapterPipeline", FE_COMPONENT_ADAPTER, 1.0},
};

bool fe_pipeline_controlled(const fe_pipeline *p, fe_component_kind *kind, double *scale) {
    for (size_t i = 0; i < COUNT(controlled); i++) {
        if (strcmp(p->c->name, controlled[i].name) != 0) continue;
        *kind = controlled[i].kind;
        *scale = controlled[i].scale;
        return true;
    }
    return false;
}

/* An entry of model_index.json that names no class: absent components are [null, null]. */
static const char *class_of_entry(base_jval entry) {
    base_jval v = base_json_is(entry, BASE_JSON_ARRAY) ? base_json_item(entry, 1) : entry;
    const char *class = NULL;
    if (!base_json_is(entry, BASE_JSON_ARRAY) || !base_json_is(v, BASE_JSON_STRING)) return NULL;
    return base_json_string(v, &class) ? class : NULL;
}

/* What an index names: components that can be compiled, and what makes it another pipeline. */
static void list_entries(base_jval index, base_str *built, base_str *foreign) {
    static const char *const others[] = {"scheduler",       "safety_checker",   "feature_extractor",
                                         "image_encoder",   "watermarker",      "depth_estimator",
                                         "image_processor", "low_res_scheduler"};
    for (base_jval v = base_json_first(index); base_json_present(v); v = base_json_next(v)) {
        const char *key = base_json_key(v), *class = class_of_entry(v);
        bool known = !class || strncmp(key, "tokenizer", strlen("tokenizer")) == 0;
        for (size_t i = 0; i < COUNT(others); i++) known |= strcmp(key, others[i]) == 0;
        for (size_t i = 0; !known && i < FE_COMPONENT_COUNT; i++) {
            bool vqvae = i == FE_COMPONENT_VAE && strcmp(key, "vqvae") == 0;
            if (!vqvae && strcmp(key, fe_component_names[i]) != 0) continue;
            if (!fe_class_find(fe_component_family[i], class)) continue;
            base_str_addf(built, "%s%s", built->len ? ", " : "", key);
            known = true;
        }
        if (known) continue;
        base_str_addf(foreign, "%s%s", foreign->len ? ", " : "", base_escape(key, strlen(key)));
        base_str_addf(foreign, " (%s)", base_escape(class, strlen(class)));
    }
}

static void refuse(base_jval v, base_jval index, const char *word, const char *const *names) {
    base_diag *d = base_json_diag(v.doc);
    char hint[BASE_HINT_MAX];
    base_str built = {0}, foreign = {0}, list = {0};
    base_json_error(v, "unsupported: pipeline '%s'%s", base_escape(word, strlen(word)),
                    base_hint(base_suggest_class(word, names, COUNT(classes)), hint));
    list_entries(index, &built, &foreign);
    for (size_t i = 0; i < COUNT(classes); i++)
        base_str_addf(&list, "%s%s", i ? ", " : "", names[i]);
    if (foreign.len) base_note(d, NULL, "it is made of parts that are not built: %s", foreign.data);
    base_note(d, NULL, "supported are %s", list.data);
    if (built.len)
        base_note(d, NULL, "of its components --component=NAME compiles alone: %s", built.data);
    base_str_free(&built);
    base_str_free(&foreign);
    base_str_free(&list);
}

/* Who runs a U-Net that takes more than the latent. */
static const struct {
    ebru_condition condition;
    unsigned parts;
    const char *name;
} runs[] = {
    {EBRU_CONDITION_INPAINT, SD, "StableDiffusionInpaintPipeline"},
    {EBRU_CONDITION_INPAINT, XL, "StableDiffusionXLInpaintPipeline"},
    {EBRU_CONDITION_DEPTH, SD, "StableDiffusionDepth2ImgPipeline"},
};

unsigned fe_pipeline_fixes(const fe_pipeline *p) {
    const char *name = p->c->name;
    fe_component_kind kind;
    double scale;
    if (fe_pipeline_controlled(p, &kind, &scale)) return p->c->fixes;
    for (size_t i = 0; i < COUNT(runs); i++)
        if (p->condition == runs[i].condition && p->c->parts == runs[i].parts) name = runs[i].name;
    for (size_t i = 0; i < COUNT(classes); i++)
        if (strcmp(classes[i].name, name) == 0) return classes[i].fixes;
    return p->c->fixes;
}

const fe_pipeline_class *fe_pipeline_find(base_jval index) {
    base_jval v = base_json_require(index, "_class_name");
    const char *word, *names[COUNT(classes)];
    if (!base_json_present(v) || !base_json_string(v, &word)) return NULL;
    for (size_t i = 0; i < COUNT(classes); i++) {
        if (strcmp(word, classes[i].name) == 0) return &classes[i];
        names[i] = classes[i].name;
    }
    refuse(v, index, word, names);
    return NULL;
}
