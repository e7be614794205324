/* The published systems that come as single files, and what no tensor says about them; see ldm.h.
 */
#include <string.h>

#include "frontend/ldm/ldm.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* Schedulers as the systems' diffusers folders have them, without what ldm_config.c adds. */
#define SAME                                                                                       \
    "\"beta_schedule\": \"scaled_linear\", \"num_train_timesteps\": 1000, \"set_alpha_to_one\": "  \
    "false, "                                                                                      \
    "\"clip_sample\": false, \"steps_offset\": 1"
#define BETAS ", \"beta_start\": 0.00085, \"beta_end\": 0.012"
#define PNDM  "\"_class_name\": \"PNDMScheduler\", \"skip_prk_steps\": true, " SAME BETAS
#define DDIM  "\"_class_name\": \"DDIMScheduler\", " SAME BETAS
#define EULER                                                                                      \
    "\"_class_name\": \"EulerDiscreteScheduler\", \"interpolation_type\": \"linear\", " SAME BETAS
#define UPSCALER                                                                                   \
    "\"_class_name\": \"DDIMScheduler\", " SAME ", \"beta_start\": 0.0001, \"beta_end\": 0.02"
#define DEPTH ", \"depth_estimator\": [\"transformers\", \"DPTForDepthEstimation\"]"
#define LOW_RES                                                                                    \
    ", \"low_res_scheduler\": [\"diffusers\", \"DDPMScheduler\"], \"max_noise_level\": 350"
#define ZEROS   ", \"force_zeros_for_empty_prompt\": true"
#define REFINER ", \"force_zeros_for_empty_prompt\": false, \"requires_aesthetics_score\": true"
#define SD      "StableDiffusion"

/* Of two rows for the same shapes, the one that predicts what the checkpoint predicts. */
static const ldm_system systems[] = {
    {"Stable Diffusion 1", LDM_SD1, 0, NULL, SD "Pipeline", 64, "0.18215", PNDM, ""},
    {"Stable Diffusion 1 inpainting", LDM_SD1, 5, NULL, SD "InpaintPipeline", 64, "0.18215", PNDM,
     ""},
    {"Stable Diffusion 2 base", LDM_SD2, 0, "epsilon", SD "Pipeline", 64, "0.18215", PNDM, ""},
    {"Stable Diffusion 2 (768x768)", LDM_SD2, 0, "v_prediction", SD "Pipeline", 96, "0.18215", DDIM,
     ""},
    {"Stable Diffusion 2 inpainting", LDM_SD2, 5, NULL, SD "InpaintPipeline", 64, "0.18215", DDIM,
     ""},
    {"Stable Diffusion 2 depth", LDM_SD2, 1, NULL, SD "Depth2ImgPipeline", 64, "0.18215", PNDM,
     DEPTH},
    {"Stable Diffusion x4 upscaler", LDM_SD2, 3, NULL, SD "UpscalePipeline", 128, "0.08333",
     UPSCALER, LOW_RES},
    {"Stable Diffusion XL", LDM_XL, 0, NULL, SD "XLPipeline", 128, "0.13025", EULER, ZEROS},
    {"Stable Diffusion XL inpainting", LDM_XL, 5, NULL, SD "XLInpaintPipeline", 128, "0.13025",
     EULER, ZEROS},
    {"Stable Diffusion XL refiner", LDM_REFINER, 0, NULL, SD "XLImg2ImgPipeline", 128, "0.13025",
     EULER, REFINER},
};

static base_loc place(const ldm_file *f) {
    return (base_loc){.source = base_diag_source(f->d, f->path, NULL, 0)};
}

/* By the text encoders; a U-Net that comes without any is told by the width of its context. */
static bool find_family(const ldm_file *f, ldm_family *family) {
    static const struct {
        int64_t context;
        ldm_family family;
    } widths[] = {{768, LDM_SD1}, {1024, LDM_SD2}, {2048, LDM_XL}, {1280, LDM_REFINER}};
    bool first = f->text[0].prefix, second = f->text[1].prefix;
    if (first || second) {
        *family = !second ? (f->text[0].open ? LDM_SD2 : LDM_SD1) : first ? LDM_XL : LDM_REFINER;
        return true;
    }
    for (size_t i = 0; i < COUNT(widths); i++) {
        *family = widths[i].family;
        if (widths[i].context == f->unet.context) return true;
    }
    /* no published width: by the encoders that are given, and what their U-Nets are like */
    first = f->text[0].given;
    second = f->text[1].given;
    *family = !second ? (f->unet.linear ? LDM_SD2 : LDM_SD1) : first ? LDM_XL : LDM_REFINER;
    return first || second;
}

static void note_known(const ldm_file *f) {
    base_str s = {0};
    for (size_t i = 0; i < COUNT(systems); i++)
        base_str_addf(&s, "%s%s", i ? ", " : "", systems[i].title);
    base_note(f->d, NULL, "recognised are checkpoints of %s", s.data);
    base_str_free(&s);
}

/* Systems that are built from the same blocks and are not supported, by name. */
static const char *known_stranger(const ldm_file *f) {
    bool labels = f->unet.label_width != 0;
    if (ldm_tensor(f, "edm_mean")) return "Playground 2.5, whose sampler is not supported";
    if (ldm_tensor(f, "model.diffusion_model.time_embed.cond_proj.weight"))
        return "a latent consistency model; only its diffusers folder is supported";
    if (f->unet.in_channels - f->unet.out_channels == 4)
        return "InstructPix2Pix, whose pipeline is not supported";
    bool xl = f->text[1].prefix || (!f->text[0].prefix && f->unet.context > 1024);
    if (labels && !xl) return "Stable unCLIP, whose pipeline is not supported";
    return NULL;
}

static const ldm_system *find_system(const ldm_file *f) {
    base_loc loc = place(f);
    const char *stranger = known_stranger(f);
    ldm_family family;
    int64_t extra = f->unet.in_channels - f->unet.out_channels;
    if (stranger) {
        base_error(f->d, &loc, "unsupported: this is %s", stranger);
    } else if (!find_family(f, &family)) {
        base_error(
            f->d, &loc,
            "there is no text encoder in this checkpoint, and no known one has a width of %lld",
            (long long)f->unet.context);
    } else {
        for (size_t i = 0; i < COUNT(systems); i++)
            if (systems[i].family == family && systems[i].extra == extra) return &systems[i];
        base_error(f->d, &loc,
                   "unsupported: a U-Net that takes %lld channels and gives %lld, in this system",
                   (long long)f->unet.in_channels, (long long)f->unet.out_channels);
    }
    note_known(f);
    return NULL;
}

/* ---- what the network predicts ---- */

/* The training step of Stable Diffusion 2's base checkpoints, which predict epsilon. */
enum { BASE_STEP = 875000 };

static bool is_base(const ldm_file *f) {
    const fe_st_tensor *t = ldm_tensor(f, "global_step");
    int64_t step;
    return t && t->count == 1 && fe_st_to_i64(t, &step, 0, 1) && step == BASE_STEP;
}

/* The row that also predicts what was found out. */
static void refine_system(ldm_file *f) {
    const ldm_system *s = f->system;
    for (size_t i = 0; i < COUNT(systems); i++)
        if (systems[i].family == s->family && systems[i].extra == s->extra &&
            systems[i].prediction && strcmp(systems[i].prediction, f->prediction) == 0)
            f->system = &systems[i];
}

/* What programs that train and merge models write into a file's metadata (the "modelspec"
 * convention). */
static const char *said_by_metadata(const ldm_file *f) {
    const char *word = fe_st_metadata(f->table, "modelspec.prediction_type");
    if (!word) return NULL;
    return strcmp(word, "epsilon") == 0 ? "epsilon"
           : strcmp(word, "v") == 0     ? "v_prediction"
                                        : NULL;
}

static const char *find_prediction(const ldm_file *f, bool warn) {
    const char *said = said_by_metadata(f);
    if (ldm_tensor(f, "v_pred")) return "v_prediction";
    if (said) return said;
    if (f->system->family != LDM_SD2) return "epsilon";
    if (f->system->extra == 3) return "v_prediction"; /* the upscaler */
    if (f->system->extra || is_base(f)) return "epsilon";
    if (!warn) return "v_prediction";
    base_loc loc = place(f);
    base_warning(
        f->d, &loc,
        "nothing in the checkpoint says what it predicts: taken for Stable Diffusion 2 at 768x768, "
        "v_prediction");
    base_note(f->d, NULL, "for a base checkpoint (512x512) say --prediction=epsilon");
    return "v_prediction";
}

bool ldm_find_system(ldm_file *f, const fe_options *o) {
    f->system = find_system(f);
    if (!f->system) return false;
    f->prediction = o->prediction ? o->prediction : find_prediction(f, !o->component);
    f->zero_snr = ldm_tensor(f, "ztsnr") != NULL;
    refine_system(f);
    return true;
}

const char *ldm_scheduler(const ldm_file *f) {
    bool pndm = strcmp(f->system->scheduler, PNDM) == 0;
    return pndm && f->zero_snr ? DDIM : f->system->scheduler;
}

/* Stable Diffusion 1, and the upscaler after it, have eight heads everywhere; later systems heads
 * of 64. */
int64_t ldm_heads(const ldm_file *f, int64_t channels) {
    bool eight = f->system->family == LDM_SD1 || f->system->extra == 3;
    return eight ? 8 : channels < 64 ? 1 : channels / 64;
}
