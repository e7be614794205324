/* What the readers of diffusers' component configs share: config getters, and one read/build pair a
 * component. For the files behind frontend/diffusers/pipeline.h, which know about folders and
 * pipelines, and for tests. */
#ifndef EBRU_FRONTEND_DIFFUSERS_DIFFUSERS_H
#define EBRU_FRONTEND_DIFFUSERS_DIFFUSERS_H

#include "frontend/build/blocks.h"
#include "frontend/files/json_file.h"
#include "frontend/frontend.h"

enum { FE_MAX_RESOLUTIONS = 16, FE_MAX_LATENT = 64 };

/* Shapes of one call of a component. */
typedef struct fe_sizes {
    int64_t batch;
    int64_t height, width; /* of the U-Net's sample; of the autoencoder's image */
    int64_t tokens;        /* of the context or the text */
    int64_t latent_batch, latent_height, latent_width; /* 0: of the latent that the image becomes */
    int64_t time_ids;                                  /* of text_time: how many numbers; 0: 6 */
    bool shared_timestep;
    /* of what ControlNets and T2I-Adapters add to the U-Net's values, which are inputs of it:
     * down_block_additional_residuals.K, mid_block_additional_residual,
     * down_intrablock_additional_residuals.K */
    const fe_shape *added;
    uint32_t added_count;
    int64_t control_batch, control_height,
        control_width; /* of a ControlNet's picture; 0: as fits */
} fe_sizes;

/* ---- config.c: keys of a config ---- */

/* The place to speak of a key: its value, or the whole config when the key is missing (its default
 * is meant). */
base_jval fe_config_at(base_jval root, const char *key);

/* The name of a class of blocks: which of `names`. False after reporting; classes that diffusers has
 * and that are not built are told from misspelt ones. */
bool fe_config_block(base_jval v, const char *what, const char *const *names, size_t n,
                     size_t *index);
/* "one value, or one a resolution": an integer or an array of n of them; null and missing give
 * `fallback`. */
bool fe_config_resolutions(base_jval root, const char *key, size_t n, int64_t fallback, int64_t max,
                           int64_t *out);
bool fe_config_resolution_flags(base_jval root, const char *key, size_t n, bool fallback,
                                bool *out);
/* An activation's name as diffusers and transformers write it. */
bool fe_config_activation(base_jval root, const char *key, ir_act fallback, ir_act *out);
/* sample_size: an integer or [height, width]; 0, 0 when it is not given. */
bool fe_config_size(base_jval root, const char *key, int64_t *height, int64_t *width);
/* Refuses by name every key of `keys` whose value is neither missing, null, false, "default" nor,
 * where one is given after a '=', that word or number: {"attention_type=default",
 * "dual_cross_attention"}. */
bool fe_config_unsupported(base_jval root, const char *const *keys, size_t n);
/* Warns of keys that were not asked for and are not in `ignored`; keys beginning with '_' are
 * silent. */
void fe_config_unknown(base_jval root, const char *const *ignored, size_t n);

/* ---- unet_config.c, unet.c: UNet2DConditionModel and UNet2DModel ---- */

/* FE_RESOLUTION_RESNET: plain, with residual blocks that halve or double the picture.
 * FE_RESOLUTION_SIMPLE: such ones with attention to pixels and context at once. */
typedef enum fe_resolution_kind {
    FE_RESOLUTION_PLAIN,
    FE_RESOLUTION_ATTENTION,
    FE_RESOLUTION_CROSS,
    FE_RESOLUTION_RESNET,
    FE_RESOLUTION_SIMPLE
} fe_resolution_kind;
typedef enum fe_mid_kind {
    FE_MID_NONE,
    FE_MID_PLAIN,
    FE_MID_ATTENTION,
    FE_MID_CROSS,
    FE_MID_SIMPLE
} fe_mid_kind;
/* What a timestep is before the first layer. */
typedef enum fe_time_kind { FE_TIME_SINUSOIDS, FE_TIME_FOURIER, FE_TIME_LEARNED } fe_time_kind;
/* What class_labels are: indices into a table, or numbers that become sinusoids and go through an
 * MLP; or vectors that are added as they are, after an MLP, after one linear layer. */
typedef enum fe_class_kind {
    FE_CLASS_NONE,
    FE_CLASS_TABLE,
    FE_CLASS_TIMESTEP,
    FE_CLASS_IDENTITY,
    FE_CLASS_PROJECTION,
    FE_CLASS_LINEAR
} fe_class_kind;

/* Transformer layers of the attention blocks of a resolution: `all` of each, or one number for each
 * block where `each` is a list. */
typedef struct fe_depths {
    int64_t all;
    base_jval each;
} fe_depths;

/* Arrays are indexed by the resolution, finest first, for the way down and, where two are
 * given, the way up in its own order. */
typedef struct fe_unet_config {
    base_jval root;
    bool conditional;
    bool encoder_only; /* a ControlNetModel: a conditional U-Net without its way up */
    size_t resolutions;
    int64_t sample_height, sample_width; /* 0: not given */
    int64_t in_channels, out_channels, channels[FE_MAX_RESOLUTIONS], layers[FE_MAX_RESOLUTIONS],
        up_layers[FE_MAX_RESOLUTIONS];
    fe_resolution_kind down[FE_MAX_RESOLUTIONS], up[FE_MAX_RESOLUTIONS];
    /* places of the block types */
    base_jval down_at[FE_MAX_RESOLUTIONS], up_at[FE_MAX_RESOLUTIONS];
    fe_mid_kind mid;
    int64_t heads[FE_MAX_RESOLUTIONS];    /* of the cross-attention blocks */
    int64_t head_dim[FE_MAX_RESOLUTIONS]; /* of the group-norm attention; 0: one head */
    int64_t context[FE_MAX_RESOLUTIONS];
    fe_depths depth[FE_MAX_RESOLUTIONS], up_depth[FE_MAX_RESOLUTIONS];
    bool only_cross[FE_MAX_RESOLUTIONS], mid_only_cross; /* the latter of FE_MID_SIMPLE */
    bool plain_embedding; /* simple and resnet blocks project the embedding without activation */
    bool gated;           /* GLIGEN's layers are there */
    bool class_concat;    /* the class is joined to the embedding, not added */
    fe_context_norm context_norm; /* of simple blocks */
    bool center_input, asymmetric, linear_projection, mid_attention, scale_shift;
    /* resolutions with group-norm attention change the size by residual blocks */
    bool resnet_down, resnet_up;
    int64_t groups, mid_attention_groups; /* the latter 0: the mid block's attention has no norm */
    double eps, mid_scale;
    double resnet_scale;          /* output scale of FE_RESOLUTION_RESNET */
    ir_act act, out_act, emb_act; /* emb_act: of the finished embedding */
    int64_t conv_in_kernel, conv_out_kernel;
    bool flip;
    double freq_shift;
    fe_time_kind time_kind;
    int64_t time_input, train_timesteps; /* width of what a timestep becomes; rows of the table */
    int64_t time_dim, time_cond;         /* time_cond: width of timestep_cond; 0: none */
    ir_act time_post;                    /* after the time's MLP */
    fe_class_kind class_kind;
    int64_t classes, class_input;        /* class_input: width of the vectors */
    int64_t added_time_dim, added_input; /* SDXL's text_time; 0: none */
    int64_t added_heads;                 /* of the attention that pools the text; 0: none */
    int64_t encoder_hid_dim;             /* 0: none */
    struct fe_ip_adapters *ip_adapters;  /* not from the config; NULL: none */
} fe_unet_config;

/* Reads and checks a config; false after reporting everything that is wrong or not supported.
 * `root` must outlive *c. */
bool fe_unet_read(base_jval root, fe_unet_config *c);
/* The same of the half that a ControlNetModel is a copy of. Keys that are no U-Net's are the
 * caller's, and so are those that nobody asked for. */
bool fe_unet_read_encoder(base_jval root, fe_unet_config *c);
/* The way down and the mid block in the function that is begun: their inputs, with `entry` added to
 * what conv_in gives (IR_NONE: nothing). Returns the mid block's output; the outputs of the way down
 * are on the skip stack, the finest first. */
ir_ref fe_unet_encode(fe_builder *b, const fe_unet_config *c, const fe_sizes *s, ir_ref entry);
/* Adds the function `name`: sample, timestep ... -> sample. */
bool fe_unet_build(fe_builder *b, const fe_unet_config *c, const char *name, const fe_sizes *s);
/* Transformer layers of attention block `layer` of a resolution. */
int64_t fe_unet_depth(const fe_depths *d, int64_t layer);
/* unet_embedding.c: of timesteps [B] what goes into the first layer, [B, time_input]; and of a text
 * [B,T,K] what is added to the embedding, [B, time_dim]. */
ir_ref fe_unet_time(fe_builder *b, const fe_unet_config *c, ir_ref t);
ir_ref fe_unet_text_embedding(fe_builder *b, const fe_unet_config *c, ir_ref text);
/* Width of the context (encoder_hidden_states) it expects; 0 when it takes none. */
int64_t fe_unet_context(const fe_unet_config *c);

/* ---- vae.c, vae_tiny.c, vae_latents.c: autoencoders ---- */

typedef struct fe_vae_config {
    base_jval root;
    size_t resolutions;
    int64_t in_channels, out_channels, latent_channels, channels[FE_MAX_RESOLUTIONS], layers,
        groups;
    int64_t sample_height, sample_width; /* 0: not given */
    ir_act act;
    bool quant_conv, post_quant_conv, mid_attention;
    /* attention behind every residual block of the resolution, in the order of the way */
    bool down_attention[FE_MAX_RESOLUTIONS], up_attention[FE_MAX_RESOLUTIONS];
    double scaling_factor, shift_factor;
    bool normalised; /* latents have these means and deviations a channel */
    double latents_mean[FE_MAX_LATENT], latents_std[FE_MAX_LATENT];
    /* not from the config: the functions take and give normalised latents, as pipelines keep them
     */
    bool fold_statistics;
    bool plain_moments; /* and yet the encoder gives them as the network does */
    base_jval down_at[FE_MAX_RESOLUTIONS], up_at[FE_MAX_RESOLUTIONS];
    /* VQModel: vectors in the codebook (0: none) and the channels of the layers around it, where
     * latent_channels are those of a vector; the decoder's norms may look at the latent */
    int64_t codes, inner_channels;
    bool spatial_norm;
    /* AutoencoderTiny, which has no layers, groups and mid block: */
    int64_t encoder_channels, decoder_channels, encoder_blocks[FE_MAX_RESOLUTIONS],
        decoder_blocks[FE_MAX_RESOLUTIONS];
} fe_vae_config;

/* Pixels a latent cell: 2^(resolutions - 1). */
int64_t fe_vae_scale(const fe_vae_config *c);
/* How much wider the finest of so many resolutions is than the coarsest: each halves. */
int64_t fe_resolution_scale(size_t resolutions);
/* Whether a picture of that size has a latent; false after reporting. */
bool fe_vae_fits(fe_builder *b, const fe_vae_config *c, const fe_sizes *s);
/* Shape of the latent that the decoder takes: the given one, else that of the image. */
void fe_vae_latent(const fe_vae_config *c, const fe_sizes *s, int64_t dim[4]);
/* vae_latents.c: reads latents_mean and latents_std; and with `fold_statistics`, moments as of
 * normalised latents, and latents from normalised ones. */
bool fe_vae_read_statistics(fe_vae_config *c);
ir_ref fe_vae_normalise(fe_builder *b, const fe_vae_config *c, ir_ref moments);
ir_ref fe_vae_denormalise(fe_builder *b, const fe_vae_config *c, ir_ref latent);
/* Every class sets root, resolutions (of which the scale follows), in_, out_ and latent_channels,
 * scaling_factor, shift_factor and what its builder needs. The builders add NAME.encode (image ->
 * moments, mean and then logarithm of the variance; or -> latent) and NAME.decode (latent -> image).
 * The sizes are the image's. */
bool fe_vae_kl_read(base_jval root, fe_vae_config *c);
bool fe_vae_kl_build(fe_builder *b, const fe_vae_config *c, const char *name, const fe_sizes *s);
/* VQModel has the encoder's result as latents (a component alone) or latent; alone also indices and
 * quantized of it, NAME.reconstruct (image -> reconstruction), the decoder's latent_indices and
 * latent_quantized, and NAME.decode_exactly (latent -> image_not_quantized). */
bool fe_vae_vq_read(base_jval root, fe_vae_config *c);
bool fe_vae_vq_build(fe_builder *b, const fe_vae_config *c, const char *name, const fe_sizes *s);
bool fe_vae_tiny_read(base_jval root, fe_vae_config *c);
bool fe_vae_tiny_build(fe_builder *b, const fe_vae_config *c, const char *name, const fe_sizes *s);

/* ---- clip.c: CLIPTextModel, CLIPTextModelWithProjection ---- */

/* Which state of all layers a negative prompt is, where layers are left out of the prompt's. */
typedef enum fe_negative {
    FE_NEGATIVE_NONE,
    FE_NEGATIVE_LAST,
    FE_NEGATIVE_PENULTIMATE
} fe_negative;

typedef struct fe_clip_config {
    base_jval root;
    int64_t vocabulary, width, inner, layers, heads, positions;
    int64_t projection; /* width of text_embeds; 0: none */
    int64_t eos;        /* id of the end of the text; 2: the largest id */
    int64_t skip; /* last layers whose states are not looked at (clip_skip); not from the config */
    fe_negative negative; /* of a guided pipeline; not from the config */
    double eps;
    ir_act act;
} fe_clip_config;

bool fe_clip_read(base_jval root, fe_clip_config *c);
/* Adds NAME: input_ids -> last_hidden_state, penultimate_hidden_state, and text_embeds with a
 * projection. The first two are states of `skip` layers earlier: the final norm of
 * hidden_states[-(skip + 1)], and hidden_states[-(skip + 2)] as it is; text_embeds always come from
 * the last layer. With `negative` and a skip there is negative_hidden_state, too: one of the first
 * two of all layers. */
bool fe_clip_build(fe_builder *b, const fe_clip_config *c, const char *name, const fe_sizes *s);

/* ---- vision/vision.c: CLIPVisionModelWithProjection, StableDiffusionSafetyChecker ---- */

typedef struct fe_vision_config {
    base_jval root;
    const char *prefix; /* of the tower's tensors */
    int64_t width, inner, layers, heads, channels, image, patch, projection;
    double eps;
    ir_act act;
    bool checks; /* a safety checker */
} fe_vision_config;

bool fe_vision_read(base_jval root, fe_vision_config *c);
bool fe_safety_read(base_jval root, fe_vision_config *c);
/* Tokens of a picture: its patches and the class token. */
int64_t fe_vision_tokens(const fe_vision_config *c);
/* Adds NAME: pixel_values [B,channels,image,image] -> last_hidden_state (without the final norm),
 * penultimate_hidden_state, image_embeds. Of a safety checker clip_input -> image_embeds, the
 * cosines special_cos_dist and cos_dist, and how far they are above their thresholds,
 * special_margins and concept_margins. */
bool fe_vision_build(fe_builder *b, const fe_vision_config *c, const char *name, const fe_sizes *s);

/* ---- upscaler/rrdb.c: RRDBNet ---- */

typedef struct fe_upscaler_config {
    base_jval root;
    int64_t in, out, features, blocks, growth; /* in: of the picture */
    int64_t unshuffle;                         /* 1, 2, 4: pictures 4, 2, 1 times as large */
} fe_upscaler_config;

bool fe_rrdb_read(base_jval root, fe_upscaler_config *c);
/* Adds NAME: image [B,in,H,W] in 0..1 -> image [B,out,4 H / unshuffle,4 W / unshuffle]. */
bool fe_rrdb_build(fe_builder *b, const fe_upscaler_config *c, const char *name, const fe_sizes *s);

/* ---- scheduler.c ---- */

/* What decides beside the file which sampler runs. */
typedef struct fe_scheduler_choice {
    const char *sampler; /* --sampler: a name or class that runs the file's settings; NULL */
    /* the class that the pipeline's constructor makes of any scheduler, NULL: none; and the
     * pipeline's own class */
    const char *forced, *pipeline;
    base_jval indexed; /* the class that model_index.json gives; may be absent */
} fe_scheduler_choice;

/* Sets the meta PREFIX.* ("sampler") from a scheduler_config.json. Keys of other classes do nothing,
 * but are kept for the program's --sampling-method; keys of no class are warned of. */
bool fe_scheduler_folder_meta(ir_module *m, const char *prefix, base_jval root,
                              const fe_scheduler_choice *choice);
/* Sets the meta PREFIX.* from a section of a description, in which every key must be known: the
 * scheduler's or one of the n (at most 8) in `more`. */
bool fe_scheduler_section_meta(ir_module *m, const char *prefix, base_jval root,
                               const char *const *more, size_t n);

/* ---- ldm.c: single-file checkpoints (ldm.h) ---- */

typedef struct fe_ldm fe_ldm;

/* Opens a checkpoint and says what it is; the module owns the mapping. NULL after reporting. */
fe_ldm *fe_ldm_open(base_diag *d, ir_module *m, const char *path, const fe_options *o);
void fe_ldm_free(fe_ldm *ldm); /* NULL is allowed */
/* The diffusers folder that would hold the same model, in memory and without weights; fe_dir_close.
 */
fe_dir *fe_ldm_folder(const fe_ldm *ldm);
/* The weights of a component of it. */
fe_weights *fe_ldm_weights(const fe_ldm *ldm, ir_module *m, const char *component);
/* The weights of a U-Net alone, in diffusers' names or in the original ones; the module owns the
 * table. NULL after reporting. */
fe_weights *fe_ldm_unet_weights(base_diag *d, ir_module *m, fe_st *table);

/* ---- diffusers.c: folders (pipeline.h); description.c: the language ---- */

/* Fill an empty module; false after reporting. `path` is a folder with model_index.json, a
 * single-file checkpoint, a folder with config.json, a description file. */
bool fe_load_pipeline(base_diag *d, ir_module *m, const char *path, const fe_options *o);
bool fe_load_checkpoint(base_diag *d, ir_module *m, const char *path, const fe_options *o);
bool fe_load_component(base_diag *d, ir_module *m, const char *path, const fe_options *o);
bool fe_load_description(base_diag *d, ir_module *m, const char *path, base_json *doc,
                         const fe_options *o);

#endif
