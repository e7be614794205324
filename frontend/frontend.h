/* Front ends: from a model on disk to a module at GRAPH level.
 *
 * Four kinds of input, one result: a model description (JSON in ebru's language,
 * docs/model-language.md), a diffusers folder (model_index.json), one component folder (config.json
 * + safetensors), or a single-file checkpoint (safetensors or GGUF in the layout of the latent
 * diffusion code, docs/checkpoints.md). IR text comes from ir_parse; only its weights are bound here.
 * Everything in the folder is untrusted. */
#ifndef EBRU_FRONTEND_FRONTEND_H
#define EBRU_FRONTEND_FRONTEND_H

#include "ir/ir.h"

/* The exact shape of an external input, as `ebru verify` finds it in a file. */
typedef struct fe_shape {
    const char *name; /* "sample", "encoder_hidden_states", "input_ids", "latent", "image" ... */
    uint32_t rank;
    int64_t dim[IR_MAX_RANK];
} fe_shape;

/* A LoRA file (safetensors) to merge into the weights, and how strongly. */
typedef struct fe_lora {
    const char *path;
    double scale;
} fe_lora;

/* An IP-Adapter file, and the scale of its pictures where none is given. */
enum { FE_MAX_IP_ADAPTERS = 4, FE_MAX_IP_IMAGES = 64 };
typedef fe_lora fe_ip_adapter;

/* A LoRA file whose factors are kept beside the weights, for programs to apply; NAME stands for it
 * there. */
typedef struct fe_lora_slot {
    const char *name; /* NULL: the file's, without folders and ending */
    const char *path;
} fe_lora_slot;

typedef struct fe_options {
    /* Shapes of inputs, for single components: they override batch (dim 0), width and height (the
     * last two dims of sample, latent or image, in that tensor's own cells, not in pixels) and
     * sequence (dim 1 of encoder_hidden_states or input_ids). */
    const fe_shape *shapes;
    uint32_t shape_count;
    const char *component; /* NULL = all; "unet", "vae", "text_encoder" ... */
    const char *function;  /* NULL = all; e.g. "decode" of an autoencoder */
    int64_t batch;         /* images a call; 0 = 1 */
    int64_t width,
        height; /* picture size in pixels (a U-Net's folder alone: cells of its sample); 0 = the
                              model's own */
    int64_t sequence;    /* tokens of a text model; 0 = max_position_embeddings */
    bool random_weights; /* --weights=random:SEED: no weight file is needed or read */
    uint64_t random_seed;
    /* --unet: the U-Net's weights (a file), or the folder of another U-Net; NULL */
    const char *unet;
    /* folders of components, or of models that have one, instead of the model's own; NULL */
    const char *vae, *text_encoder, *text_encoder_2;
    const fe_lora *loras; /* merged in this order; docs/lora.md */
    uint32_t lora_count;
    const fe_lora_slot *slots; /* kept beside the weights; docs/lora.md */
    uint32_t slot_count;
    const char *const *embeddings; /* FILE[:TOKEN], textual inversion; docs/embeddings.md */
    uint32_t embedding_count;
    /* folders of ControlNets and T2I-Adapters, beside the folder's own; docs/controlnet.md */
    const char *const *controlnets;
    uint32_t controlnet_count;
    const char *const *adapters;
    uint32_t adapter_count;
    const fe_ip_adapter *ip_adapters; /* at most FE_MAX_IP_ADAPTERS; docs/ip-adapter.md */
    uint32_t ip_adapter_count;
    int64_t ip_images;         /* pictures an adapter; 0 = 1 */
    const char *safety; /* --safety-checker: "flag", "black"; "off" or NULL: none */
    const char *upscaler;      /* --upscaler: a file, behind a pipeline; NULL */
    const char *image_encoder; /* --image-encoder: a folder instead of the model's; NULL */
    /* Programs run the step function with and without guidance: two functions, batch and 2*batch
     * ("unet" and "unet@2"). When false (verify, bench) a component has one function at `batch`. */
    bool guidance_pair;
    /* The timestep input is [1], shared by the batch (programs), instead of [B] (component calls).
     */
    bool shared_timestep;
    /* last layers of the text encoders to leave out, as diffusers counts; 0: none */
    int64_t clip_skip;
    int64_t prompt_chunks; /* texts of the text encoder's length that make the context; 0 = 1 */
    bool no_image_input;   /* the program reads no pictures */
    const char *sampler;   /* --sampler: runs the settings of the model's scheduler; NULL */
    const char *scheduler_config; /* --scheduler-config: this file instead of the folder's; NULL */
    /* "epsilon", "v_prediction" or "sample": what the network predicts, whatever its folder says;
     * NULL: what that says */
    const char *prediction;
    bool told; /* the model was loaded before: what is only worth a note is not told again */
    /* Defaults of the program's --steps, --cfg-scale, --strength and --noise-level; 0 and NULL: by
     * what the model is. */
    int64_t default_steps;
    const double *default_guidance, *default_strength;
    const int64_t *default_noise_level;
} fe_options;

/* Loads a model. NULL with diagnostics in `d` when anything is wrong (all problems that can be
 * found at once). The module is verified at GRAPH level and all its weights are bound. Also sets
 * the properties (rows of runtime/abi/meta_keys.def). */
ir_module *fe_load(base_diag *d, const char *path, const fe_options *options);

/* Reads a module's text form, whose properties must be ones a model may have, and holds it to
 * `rules` (NULL: none). NULL with diagnostics. Its weights are not bound. */
ir_module *fe_parse_ir(base_diag *d, const char *name, const char *text, size_t length,
                       const ir_text_rules *rules);

/* Binds the FILE weights of a module that was parsed from text (opens the files it names). False
 * with diagnostics. */
bool fe_bind_ir_weights(base_diag *d, ir_module *m);

/* Builds the tokenizers that the module's properties name, as fe_tokenizer_blob will: what is wrong
 * with their files is told before the work. False with diagnostics. */
bool fe_tokenizers_check(base_diag *d, const ir_module *m);

/* Notes the digest of the module's weights in its properties (model.digest), unless it has one: for
 * programs, before passes change the weights. It reads them all. */
void fe_note_digest(ir_module *m);

/* Reads the files that the meta NAME.vocab and NAME.merges name ("tokenizer", "tokenizer_2"), adds
 * the tokens of NAME.added, and builds the tokenizer blob for the program (format:
 * runtime/text/tokenizer.h). Returned bytes are base_alloc'd; NULL with diagnostics on failure;
 * *bytes = 0 and NULL when the model has no such tokenizer. */
unsigned char *fe_tokenizer_blob(base_diag *d, const ir_module *m, const char *name, size_t *bytes);

#endif
