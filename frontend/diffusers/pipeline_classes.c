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
    {"LatentConsistencyModelPipeline", TEXT, SD, PLAIN, 0, NULL, true, 4, 8.5, 0.8},
    {"LatentConsistencyModelImg2ImgPipeline", TEXT, SD, PLAIN, 0, NULL, true, 4, 8.5, 0.8},
    {"DDPMPipeline", FREE, UNET, PLAIN, 0, NULL, true, 1000, 1.0, 0.8},
    {"DDIMPipeline", FREE, UNET, PLAIN, 0, "DDIMScheduler", true, 50, 1.0, 0.8},
    {"PNDMPipeline", FREE, UNET, PLAIN, 0, "PNDMScheduler", true, 50, 1.0, 0.8},
};

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

/* Pipelines of diffusers that are not built here and have names near to those that are: no
 * misspellings. */
static const char *const not_built[] = {"AltDiffusionImg2ImgPipeline",
                                        "AltDiffusionPipeline",
                                        "DiTPipeline",
                                        "LDMPipeline",
                                        "LDMTextToImagePipeline",
                                        "StableDiffusion3ControlNetPipeline",
                                        "StableDiffusion3Img2ImgPipeline",
                                        "StableDiffusion3InpaintPipeline",
                                        "StableDiffusion3Pipeline",
                                        "StableDiffusionAdapterPipeline",
                                        "StableDiffusionAttendAndExcitePipeline",
                                        "StableDiffusionControlNetImg2ImgPipeline",
                                        "StableDiffusionControlNetInpaintPipeline",
                                        "StableDiffusionControlNetPipeline",
                                        "StableDiffusionDiffEditPipeline",
                                        "StableDiffusionGLIGENPipeline",
                                        "StableDiffusionImageVariationPipeline",
                                        "StableDiffusionInstructPix2PixPipeline",
                                        "StableDiffusionKDiffusionPipeline",
                                        "StableDiffusionLDM3DPipeline",
                                        "StableDiffusionLatentUpscalePipeline",
                                        "StableDiffusionPanoramaPipeline",
                                        "StableDiffusionPipelineSafe",
                                        "StableDiffusionPix2PixZeroPipeline",
                                        "StableDiffusionSAGPipeline",
                                        "StableDiffusionXLAdapterPipeline",
                                        "StableDiffusionXLControlNetImg2ImgPipeline",
                                        "StableDiffusionXLControlNetInpaintPipeline",
                                        "StableDiffusionXLControlNetPipeline",
                                        "StableDiffusionXLInstructPix2PixPipeline",
                                        "StableDiffusionXLKDiffusionPipeline",
                                        "StableUnCLIPImg2ImgPipeline",
                                        "StableUnCLIPPipeline"};

unsigned fe_pipeline_fixes(const fe_pipeline *p) {
    const char *name = p->c->name;
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
    char hint[BASE_HINT_MAX];
    const char *near = base_suggest(word, names, COUNT(names));
    if (near && strncmp(near, word, 4) != 0)
        near = NULL; /* FluxPipeline is no misspelling of DDPMPipeline */
    for (size_t i = 0; i < COUNT(not_built); i++)
        if (strcmp(word, not_built[i]) == 0) near = NULL;
    base_json_error(v, "unsupported: pipeline '%s'%s", base_escape(word, strlen(word)),
                    base_hint(near, hint));
    base_str list = {0};
    for (size_t i = 0; i < COUNT(names); i++) base_str_addf(&list, "%s%s", i ? ", " : "", names[i]);
    base_note(base_json_diag(v.doc), NULL, "supported are %s", list.data);
    base_note(base_json_diag(v.doc), NULL,
              "its components can be loaded one by one (--component=unet)");
    base_str_free(&list);
    return NULL;
}
