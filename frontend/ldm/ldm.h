/* Single-file checkpoints in the layout of the latent diffusion code base (CompVis/latent-diffusion
 * and its descendants generative-models and OpenCLIP), as Stable Diffusion 1.x, 2.x and XL were
 * published: one safetensors file with a U-Net (`model.diffusion_model.`), an autoencoder
 * (`first_stage_model.`) and text encoders (`cond_stage_model.`, `conditioner.embedders.N.`).
 *
 *   ldm.c          the door (diffusers.h): opens a file, says what it is, hands out weights
 *   ldm_unet.c     the weights of a U-Net that comes without the rest
 *   ldm_shape.c    sizes of the networks, from the names and shapes of their tensors
 *   ldm_system.c   which published system it is, and what no tensor says: heads, sampler, picture size
 *   ldm_config.c   the diffusers folder that would hold the same model, without its weights
 *   ldm_names.c    where the file keeps the tensor that diffusers calls so
 *
 * The rules are those of diffusers' `from_single_file` (huggingface/diffusers,
 * src/diffusers/loaders/single_file_utils.py), except that sizes come from the tensors. */
#ifndef EBRU_FRONTEND_LDM_LDM_H
#define EBRU_FRONTEND_LDM_LDM_H

#include "frontend/diffusers/diffusers.h"
#include "frontend/safetensors/weights.h"

/* What the names of a checkpoint's U-Net begin with. */
#define LDM_UNET "model.diffusion_model."

/* Arrays are indexed by the resolution, finest first. Nothing is checked against anything
 * else: tensors that contradict what was derived are reported when they are bound. */
typedef struct ldm_unet {
    const char *prefix; /* NULL: none */
    size_t resolutions;
    int64_t blocks; /* residual blocks a resolution on the way down; one more on the way up */
    int64_t in_channels, out_channels, time_dim, channels[FE_MAX_RESOLUTIONS];
    /* transformer layers of a resolution's first block; 0: no attention */
    int64_t depth[FE_MAX_RESOLUTIONS], up_depth[FE_MAX_RESOLUTIONS];
    int64_t mid_depth;
    bool mid;                            /* there is a middle */
    bool only_cross[FE_MAX_RESOLUTIONS]; /* no self-attention */
    bool linear;         /* projections around transformers are matrices, not 1x1 filters */
    int64_t context;     /* 0: no attention anywhere */
    int64_t classes;     /* rows of the class table; 0: none */
    int64_t label_width; /* width of vectors that go through the label MLP; 0: none */
} ldm_unet;

typedef struct ldm_vae {
    const char *prefix; /* NULL: none */
    size_t resolutions;
    int64_t blocks, in_channels, out_channels, latent_channels, channels[FE_MAX_RESOLUTIONS];
    bool mid_attention, quant, post_quant;
} ldm_vae;

typedef struct ldm_text {
    const char *prefix; /* NULL: none */
    const char *folder; /* the component's name: "text_encoder", "text_encoder_2" */
    bool given;         /* the file has none, and the options name one */
    bool open;          /* OpenCLIP's names, else those of transformers */
    bool bare;          /* transformers' names without "text_model." */
    int64_t vocabulary, positions, width, inner, layers;
    int64_t projection; /* 0: none */
} ldm_text;

enum { LDM_TEXTS = 2 };

typedef enum ldm_family { LDM_SD1, LDM_SD2, LDM_XL, LDM_REFINER } ldm_family;

/* A published system: a row of the table in ldm_system.c. */
typedef struct ldm_system {
    const char *title;
    ldm_family family;
    int64_t extra;          /* input channels of the U-Net beyond its output's */
    const char *prediction; /* of systems that differ in nothing else; else NULL */
    const char *pipeline;   /* diffusers' class */
    int64_t sample;         /* side of the latent in cells */
    const char *scaling_factor;
    const char *scheduler; /* members of its JSON object */
    const char *index;     /* further members of model_index.json, each after a comma */
} ldm_system;

typedef struct ldm_file {
    base_diag *d;
    const char *path;
    fe_st *table;
    ldm_unet unet;
    ldm_vae vae;
    ldm_text text[LDM_TEXTS]; /* in the order text_encoder, text_encoder_2 */
    const ldm_system *system;
    const char *prediction; /* "epsilon", "v_prediction" */
    bool zero_snr;
} ldm_file;

/* ---- ldm_shape.c ---- */

/* Reads what the tensors say about the networks. False after reporting a U-Net, autoencoder or text
 * encoder whose parts do not hang together. */
bool ldm_read_shapes(ldm_file *f);
/* The same of a U-Net alone, whose prefix is set; other parts are not looked at. */
bool ldm_read_unet(ldm_file *f);
/* Transformer layers of the attention of one block, `up` or down; 0 when it has none. */
int64_t ldm_depth(const ldm_file *f, bool up, size_t resolution, int64_t block);
/* Tensors by name, printf-like. */
const fe_st_tensor *ldm_tensor(const ldm_file *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- ldm_system.c ---- */

/* Sets system, prediction (unless the options say it) and zero_snr. False after reporting what is
 * recognised. */
bool ldm_find_system(ldm_file *f, const fe_options *o);
/* Members of the scheduler's JSON object, without what depends on the checkpoint. */
const char *ldm_scheduler(const ldm_file *f);
/* Heads of attention in a resolution of `channels`. */
int64_t ldm_heads(const ldm_file *f, int64_t channels);

/* ---- ldm_config.c ---- */

/* The folder: model_index.json and configs of the components that are there. Close with
 * fe_dir_close. */
fe_dir *ldm_folder(const ldm_file *f);

/* ---- ldm_names.c ---- */

/* Where the file keeps tensor `name` of a component ("unet"): a reference (tensor_ref.h) in `a`. */
const char *ldm_place(const ldm_file *f, const char *component, base_arena *a, const char *name);
/* Whether a tensor is one of the component's. */
bool ldm_owns(const ldm_file *f, const char *component, const char *tensor);
/* Whether a tensor is known to be of no use for making pictures: buffers of training, averages,
 * losses. */
bool ldm_is_surplus(const ldm_file *f, const char *tensor);

#endif
