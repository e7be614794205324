/* A diffusers folder while it is read: its components, what its pipeline class asks of them, and
 * what they mean together. Shared by the files that read whole folders:
 *
 *   diffusers.c         the doors: a pipeline's folder, one component of it, one component's folder
 *   components.c        components: folder, config, functions
 *   component_classes.c the table of classes that components may be of (components.def)
 *   component_shapes.c  shapes of one call of a component
 *   pipeline_classes.c  the table of pipeline classes
 *   pipeline_check.c    whether the components fit together and what the denoiser is conditioned on
 *   pipeline_meta.c     the module's properties (docs/properties.md)
 *   control/controls.c  ControlNets and adapters beside its U-Net */
#ifndef EBRU_FRONTEND_DIFFUSERS_PIPELINE_H
#define EBRU_FRONTEND_DIFFUSERS_PIPELINE_H

#include "frontend/diffusers/components.h"
#include "runtime/abi/meta_keys.h"

enum { FE_MAX_CONTROLS = 8 };

/* One component: its folder, its config, and what the config says. */
typedef struct fe_component {
    fe_component_kind kind;
    bool wanted;        /* part of what is built */
    bool given;         /* the options name its folder, which is another than the pipeline's */
    const char *name;   /* of its functions and weights: that of the kind, maybe with a number */
    const char *source; /* of a ControlNet or adapter: its folder's name */
    fe_dir *dir;        /* may be the pipeline's root */
    base_json *doc;
    const fe_class *class;
    fe_config config;
} fe_component;

/* What the constructors of pipelines change whatever the files say, as bits. */
enum {
    FE_FIX_OFFSET = 1,      /* scheduler: steps_offset 1 */
    FE_FIX_CLIP = 2,        /* scheduler: clip_sample false */
    FE_FIX_PRK = 4,         /* scheduler: skip_prk_steps true */
    FE_FIX_SAMPLE_SIZE = 8, /* U-Net of diffusers before 0.9: a sample_size below 64 is 64 */
    FE_FIX_SCALING = 16,    /* autoencoder: scaling_factor 0.08333 */
    /* autoencoder: latents_mean and latents_std are read, as other classes do not */
    FE_READS_STATISTICS = 32,
    FE_FIX_UNSCALED = 128,     /* autoencoder: scaling_factor 1 */
    FE_DECODES_STATISTICS = 64 /* of these the decoder alone: XL's inpainting encodes without */
};

typedef struct fe_pipeline_class {
    const char *name;
    ebru_pipeline_kind kind;
    /* bits 1 << fe_component_kind; FE_COMPONENT_TEXT may be absent beside FE_COMPONENT_TEXT_2 */
    unsigned parts;
    unsigned conditions; /* bits 1 << ebru_condition: what its U-Net may take beside the latent */
    unsigned fixes;      /* FE_FIX_ bits */
    /* the scheduler's class that the constructor makes of any; NULL: as the file says */
    const char *scheduler;
    bool unguided; /* never runs an unconditional half */
    int64_t steps; /* defaults of diffusers' __call__ */
    double guidance, strength;
} fe_pipeline_class;

/* A model on its way from the folder to the module. */
typedef struct fe_pipeline {
    base_diag *d;
    ir_module *m;
    const fe_options *o;
    fe_dir *root;
    /* the single file that holds the weights; NULL: they are in the components' folders */
    const fe_ldm *ldm;
    base_json *index; /* model_index.json; NULL for a single component */
    fe_component parts[FE_COMPONENT_COUNT];
    struct fe_ip_adapters *adapters;        /* --ip-adapter; NULL until they are opened, or none */
    fe_component controls[FE_MAX_CONTROLS]; /* ControlNets, then adapters */
    size_t control_count;
    const fe_pipeline_class *c; /* NULL when one component is built */
    ebru_condition condition;   /* from fe_pipeline_check on */
    bool guided;                /* the denoiser is built for both halves of the batch, too */
} fe_pipeline;

/* ---- pipeline_classes.c ---- */

/* The class of a model_index.json; NULL after reporting its name and what is supported. */
const fe_pipeline_class *fe_pipeline_find(base_jval index);
/* FE_FIX_ bits of the class that runs the model in diffusers. A U-Net for inpainting or depth in
 * the folder of a plain class is run by the class for that; p->condition is known. */
unsigned fe_pipeline_fixes(const fe_pipeline *p);
/* Whether folders of the class have ControlNets or adapters: which, and their scale by default. */
bool fe_pipeline_controlled(const fe_pipeline *p, fe_component_kind *kind, double *scale);

/* ---- components.c ---- */

/* The class of an entry of model_index.json ("name": ["library", "Class"]) with its place in *at
 * (may be NULL); NULL when the entry is absent or [null, null]. */
const char *fe_indexed_class(base_jval index, const char *name, base_jval *at);
/* NAME/ inside the folder if there is one, else the folder itself, as in older repositories. Close
 * with fe_component_dir_close. */
fe_dir *fe_component_dir(fe_pipeline *p, const char *name);
/* True when one of these folders has the component's `file`; else reports that it is missing. */
bool fe_component_there(fe_pipeline *p, const char *name, const char *file);
void fe_component_dir_close(fe_pipeline *p, fe_dir *dir);
/* What a component is called in the pipeline's folder and index: LDM pipelines call the autoencoder
 * vqvae. */
const char *fe_component_folder(const fe_pipeline *p, fe_component_kind kind);
/* The folder that the options give for a component; NULL: the model's own. */
const char *fe_component_given(const fe_options *o, fe_component_kind kind);
/* The option that gives it, without dashes: "text-encoder"; in `a`. */
const char *fe_component_option(base_arena *a, fe_component_kind kind);
/* Opens a component that model_index.json or an option names and reads its config; its class must be
 * one that is built. */
bool fe_component_open(fe_pipeline *p, fe_component_kind kind);
/* The image encoder of the adapters: --image-encoder, or the folder's own. */
bool fe_image_encoder_open(fe_pipeline *p);
/* All functions of a component, so that its weights are bound in full whatever is kept of it. */
bool fe_component_build(fe_pipeline *p, fe_component *part);

/* ---- component_shapes.c: false after reporting a size that is not possible ---- */

bool fe_unet_sizes(const fe_pipeline *p, fe_sizes *s);
bool fe_vae_sizes(const fe_pipeline *p, fe_sizes *s);
bool fe_text_sizes(const fe_pipeline *p, const fe_component *part, fe_sizes *s);
bool fe_control_sizes(const fe_pipeline *p, const fe_component *part, fe_sizes *s);
bool fe_adapter_sizes(const fe_pipeline *p, const fe_component *part, fe_sizes *s);
bool fe_upscaler_sizes(const fe_pipeline *p, fe_sizes *s);
bool fe_vision_sizes(const fe_pipeline *p, const fe_component *part, fe_sizes *s);
/* Pixels a cell of the U-Net's sample: the autoencoder's, when it stands beside; else 1. */
int64_t fe_pixel_scale(const fe_pipeline *p);

/* ---- pipeline_check.c ---- */

/* Sets p->condition from the U-Net's channels. False after reporting everything that does not fit:
 * between the components, with the class, or with the options. */
bool fe_pipeline_check(fe_pipeline *p);
/* Text embeddings a prompt: the width of the text encoders' states together; 0 without a text
 * encoder. */
int64_t fe_pipeline_context(const fe_pipeline *p);
/* The text encoder whose projection the denoiser takes: the last; NULL without a text encoder. */
const fe_clip_config *fe_pipeline_last_text(const fe_pipeline *p);
/* Numbers of time_ids: 6, or 5 for a refiner (requires_aesthetics_score); 0 when the U-Net takes
 * none. */
int64_t fe_pipeline_time_ids(const fe_pipeline *p);
/* Channels of the pictures it makes. */
int64_t fe_pipeline_image_channels(const fe_pipeline *p);
/* Whether the program reads pictures, and whether it needs the encoder for that. */
bool fe_pipeline_image_input(const fe_pipeline *p);
bool fe_pipeline_encodes(const fe_pipeline *p);

/* ---- control/controls.c ---- */

/* Opens the ControlNets and adapters of the folder and of the options; false after reporting. */
bool fe_controls_open(fe_pipeline *p);
/* Whether they fit the U-Net and the latent, as far as their configs say; false after reporting. */
bool fe_controls_check(const fe_pipeline *p);
/* Their functions and weights; before the U-Net's. */
bool fe_controls_build(fe_pipeline *p);
/* What they give the U-Net, for a call at s->batch, into s->added. False after reporting networks
 * that do not fit each other. */
bool fe_controls_added(const fe_pipeline *p, fe_sizes *s);
/* Their properties. */
void fe_controls_meta(fe_pipeline *p);
/* Whether `name` is that of one such network of a folder: controlnet_1; then opens it alone. */
bool fe_controls_find(const fe_pipeline *p, const char *name, fe_component_kind *kind);
bool fe_controls_open_one(fe_pipeline *p, fe_component_kind kind, const char *name);
/* ---- vision/image_processor.c ---- */

/* The properties image_processor.*: of feature_extractor/ in the folder, or where there is none, as
 * diffusers makes one for an encoder that reads side x side. `reader` is the component's name. */
bool fe_image_processor_meta(fe_pipeline *p, int64_t side, const char *reader);

/* ---- pipeline_meta.c ---- */

/* Sets all properties of the pipeline; schedulers and tokenizers are read for it. */
bool fe_pipeline_meta(fe_pipeline *p);

#endif
