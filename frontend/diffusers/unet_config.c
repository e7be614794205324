/* Reading the configs of UNet2DConditionModel and UNet2DModel; see diffusers.h. Every key of the
 * constructors is either used, or known to make no difference, or refused by name when it asks for
 * something that is not built. */
#include <string.h>

#include "frontend/diffusers/diffusers.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- block types ---- */

typedef struct block_type {
    const char *name;
    fe_resolution_kind kind;
    bool conditional; /* only in UNet2DConditionModel */
} block_type;

static const block_type down_types[] = {{"DownBlock2D", FE_RESOLUTION_PLAIN, false},
                                        {"AttnDownBlock2D", FE_RESOLUTION_ATTENTION, false},
                                        {"ResnetDownsampleBlock2D", FE_RESOLUTION_RESNET, false},
                                        {"CrossAttnDownBlock2D", FE_RESOLUTION_CROSS, true},
                                        {"SimpleCrossAttnDownBlock2D", FE_RESOLUTION_SIMPLE, true}};
static const block_type up_types[] = {{"UpBlock2D", FE_RESOLUTION_PLAIN, false},
                                      {"AttnUpBlock2D", FE_RESOLUTION_ATTENTION, false},
                                      {"ResnetUpsampleBlock2D", FE_RESOLUTION_RESNET, false},
                                      {"CrossAttnUpBlock2D", FE_RESOLUTION_CROSS, true},
                                      {"SimpleCrossAttnUpBlock2D", FE_RESOLUTION_SIMPLE, true}};

static bool read_type(base_jval v, const block_type *types, bool conditional,
                      fe_resolution_kind *kind) {
    const char *names[COUNT(down_types)];
    size_t n = 0, i;
    for (size_t k = 0; k < COUNT(down_types); k++)
        if (conditional || !types[k].conditional) names[n++] = types[k].name;
    if (!fe_config_block(v, "block type", names, n, &i)) return false;
    *kind = types[i].kind;
    return true;
}

/* An array of block types; defaults when the key is missing. */
static bool read_types(fe_unet_config *c, const char *key, const block_type *types,
                       const fe_resolution_kind *fallback, size_t fallback_count,
                       fe_resolution_kind *out, base_jval *at) {
    base_jval v = base_json_get(c->root, key);
    for (size_t i = 0; i < FE_MAX_RESOLUTIONS; i++) at[i] = c->root;
    if (!base_json_present(v)) {
        if (c->resolutions != fallback_count) {
            base_json_error(c->root, "'%s' is missing and its default has %zu entries, not %zu",
                            key, fallback_count, c->resolutions);
            return false;
        }
        memcpy(out, fallback, fallback_count * sizeof *out);
        return true;
    }
    if (!base_json_expect(v, BASE_JSON_ARRAY)) return false;
    bool fine = true;
    if (base_json_length(v) != c->resolutions) {
        base_json_error(v, "'%s' has %zu entries, 'block_out_channels' has %zu", key,
                        base_json_length(v), c->resolutions);
        fine = false;
    }
    for (size_t i = 0; i < base_json_length(v) && i < FE_MAX_RESOLUTIONS; i++) {
        at[i] = base_json_item(v, i);
        fine &= read_type(at[i], types, c->conditional, &out[i]);
    }
    return fine;
}

static bool read_resolutions(fe_unet_config *c) {
    static const int64_t conditional[] = {320, 640, 1280, 1280}, plain[] = {224, 448, 672, 896};
    base_jval v = base_json_get(c->root, "block_out_channels");
    c->resolutions = 4;
    if (!base_json_present(v)) {
        memcpy(c->channels, c->conditional ? conditional : plain, sizeof plain);
        return true;
    }
    if (!base_json_ints(v, c->channels, FE_MAX_RESOLUTIONS, &c->resolutions, 1, FE_MAX_CHANNELS))
        return false;
    if (c->resolutions) return true;
    base_json_error(v, "'block_out_channels' is empty");
    return false;
}

static bool read_mid_type(fe_unet_config *c) {
    static const char *const names[] = {"UNetMidBlock2DCrossAttn", "UNetMidBlock2D",
                                        "UNetMidBlock2DSimpleCrossAttn"};
    base_jval v = base_json_get(c->root, "mid_block_type");
    size_t i = c->conditional ? 0 : 1;
    c->mid = FE_MID_NONE;
    if (base_json_is_null(v) && !c->encoder_only) return true;
    if (base_json_present(v) && !fe_config_block(v, "mid block type", names, COUNT(names), &i))
        return false;
    if (i != 1 && !c->conditional) {
        base_json_error(v, "a UNet2DModel has no cross-attention");
        return false;
    }
    /* In the conditional U-Net the plain mid block is one residual block; in the other it is two
     * with attention between. */
    c->mid = i == 0           ? FE_MID_CROSS
             : i == 2         ? FE_MID_SIMPLE
             : c->conditional ? FE_MID_PLAIN
                              : FE_MID_ATTENTION;
    return true;
}

/* ---- the rest ---- */

/* A key with two possible words; missing and null are the first. */
static bool read_word(base_jval root, const char *key, const char *first, const char *second,
                      bool *is_second) {
    base_jval v = base_json_get(root, key);
    size_t i = 0;
    *is_second = false;
    if (!base_json_present(v) || base_json_is_null(v)) return true;
    if (!base_json_choice(v, key, (const char *const[]){first, second}, 2, &i)) return false;
    *is_second = i == 1;
    return true;
}

/* What a timestep becomes before the first layer, and the width of the embedding. In the conditional
 * U-Net there are half as many random frequencies as the embedding is wide, as they are. In the
 * other they are of the logarithm of a noise level, and the result is divided by that, which no
 * sampler here has. */
static bool read_time(fe_unet_config *c) {
    static const char *const kinds[] = {"positional", "fourier", "learned"};
    static const char key[] = "time_embedding_type";
    base_jval r = c->root, v = base_json_get(r, key);
    size_t i = 0;
    if (base_json_present(v) && !base_json_choice(v, key, kinds, c->conditional ? 2 : 3, &i))
        return false;
    c->time_kind = (fe_time_kind)i;
    bool fourier = c->time_kind == FE_TIME_FOURIER;
    c->time_dim = base_json_opt_int(r, "time_embedding_dim", (fourier ? 2 : 4) * c->channels[0], 1,
                                    FE_MAX_CHANNELS);
    c->time_input = fourier ? c->time_dim : c->channels[0];
    if (fourier && !c->conditional) {
        base_json_error(v,
                        "unsupported: 'time_embedding_type' is 'fourier' in a UNet2DModel, whose "
                        "timesteps are noise levels of ScoreSdeVeScheduler");
        return false;
    }
    if (fourier && c->time_dim % 2) {
        base_json_error(fe_config_at(r, "time_embedding_dim"),
                        "'time_embedding_dim' must be even with random frequencies");
        return false;
    }
    if (c->time_kind != FE_TIME_LEARNED) return true;
    c->train_timesteps = base_json_opt_int(r, "num_train_timesteps", 0, 1, FE_MAX_CHANNELS);
    if (!c->train_timesteps)
        base_json_error(v, "'time_embedding_type' is 'learned', which needs 'num_train_timesteps'");
    return c->train_timesteps != 0;
}

static bool read_common(fe_unet_config *c) {
    base_jval r = c->root;
    int64_t io = c->conditional ? 4 : 3;
    bool fine = fe_config_size(r, "sample_size", &c->sample_height, &c->sample_width);
    c->in_channels = base_json_opt_int(r, "in_channels", io, 1, FE_MAX_CHANNELS);
    c->out_channels = base_json_opt_int(r, "out_channels", io, 1, FE_MAX_CHANNELS);
    c->center_input = base_json_opt_bool(r, "center_input_sample", false);
    c->flip = base_json_opt_bool(r, "flip_sin_to_cos", true);
    c->freq_shift = base_json_opt_double(r, "freq_shift", 0);
    c->asymmetric = base_json_opt_int(r, "downsample_padding", 1, 0, 1) == 0;
    c->groups = base_json_opt_int(r, "norm_num_groups", 32, 1, FE_MAX_CHANNELS);
    if (base_json_is_null(base_json_get(r, "norm_num_groups"))) {
        base_json_error(fe_config_at(r, "norm_num_groups"),
                        "unsupported: 'norm_num_groups' is null");
        fine = false;
    }
    c->eps = base_json_opt_double(r, "norm_eps", 1e-5);
    c->mid_scale = base_json_opt_double(r, "mid_block_scale_factor", 1);
    fine &= read_time(c);
    fine &= read_word(r, "resnet_time_scale_shift", "default", "scale_shift", &c->scale_shift);
    fine &= fe_config_activation(r, "act_fn", IR_ACT_SILU, &c->act);
    fine &=
        fe_config_resolutions(r, "layers_per_block", c->resolutions, 2, FE_MAX_DEPTH, c->layers);
    for (size_t i = 0; i < c->resolutions; i++)
        c->up_layers[i] = c->layers[c->resolutions - 1 - i] + 1;
    if (!(c->mid_scale > 0)) {
        base_json_error(fe_config_at(r, "mid_block_scale_factor"),
                        "'mid_block_scale_factor' must be positive");
        fine = false;
    }
    return fine;
}

static bool read_class(fe_unet_config *c) {
    static const char *const words[] = {"timestep", "identity", "projection", "simple_projection"};
    static const fe_class_kind kinds[] = {FE_CLASS_TIMESTEP, FE_CLASS_IDENTITY, FE_CLASS_PROJECTION,
                                          FE_CLASS_LINEAR};
    base_jval v = base_json_get(c->root, "class_embed_type");
    size_t i;
    c->classes = base_json_opt_int(c->root, "num_class_embeds", 0, 1, FE_MAX_CHANNELS);
    c->class_kind = c->classes ? FE_CLASS_TABLE : FE_CLASS_NONE;
    if (!base_json_present(v) || base_json_is_null(v)) return true;
    /* Projections are the conditional U-Net's alone. */
    if (!base_json_choice(v, "class embedding", words, c->conditional ? COUNT(words) : 2, &i))
        return false;
    c->class_kind = kinds[i];
    if (c->encoder_only && c->class_kind == FE_CLASS_LINEAR) {
        /* which the constructor does not know, and takes for none */
        c->class_kind = FE_CLASS_NONE;
        base_json_warning(v, "a ControlNetModel has no '%s': it is built without class embedding",
                          words[i]);
        return true;
    }
    if (c->class_kind == FE_CLASS_TIMESTEP) return true;
    c->class_input = c->time_dim;
    if (c->class_kind == FE_CLASS_IDENTITY) return true;
    const char *width = "projection_class_embeddings_input_dim";
    c->class_input = base_json_opt_int(c->root, width, 0, 1, FE_MAX_CHANNELS);
    if (!c->class_input)
        base_json_error(v, "'class_embed_type' is '%s', which needs '%s'", words[i], width);
    return c->class_input != 0;
}

/* SDXL: text_embeds and sinusoids of six numbers, projected and added to the time embedding. Or the
 * context, pooled to one vector by attention (DeepFloyd IF). */
static bool read_addition(fe_unet_config *c) {
    static const char *const unsupported[] = {"addition_embed_type=text_time"};
    static const char heads[] = "addition_embed_type_num_heads";
    const char *word;
    base_jval v = base_json_get(c->root, "addition_embed_type"), root = c->root;
    int64_t width =
        base_json_opt_int(root, "projection_class_embeddings_input_dim", 0, 1, FE_MAX_CHANNELS);
    int64_t dim = base_json_opt_int(root, "addition_time_embed_dim", 0, 1, FE_MAX_CHANNELS);
    int64_t pool = base_json_opt_int(root, heads, 64, 1, FE_MAX_CHANNELS);
    if (!base_json_present(v) || base_json_is_null(v)) return true;
    if (base_json_is(v, BASE_JSON_STRING) && base_json_string(v, &word) &&
        strcmp(word, "text") == 0) {
        c->added_heads = pool;
        return true;
    }
    if (!fe_config_unsupported(root, unsupported, 1)) return false;
    if (!width || !dim || width <= 6 * dim) {
        base_json_error(v, "'text_time' needs 'addition_time_embed_dim' and a "
                           "'projection_class_embeddings_input_dim' of more than "
                           "six times that");
        return false;
    }
    c->added_time_dim = dim;
    c->added_input = width;
    return true;
}

static bool read_encoder_projection(fe_unet_config *c) {
    base_jval type = base_json_get(c->root, "encoder_hid_dim_type");
    const char *word = "text_proj";
    c->encoder_hid_dim = base_json_opt_int(c->root, "encoder_hid_dim", 0, 1, FE_MAX_CHANNELS);
    if (!base_json_present(type) || base_json_is_null(type)) return true;
    if (!base_json_string(type, &word)) return false;
    if (strcmp(word, "text_proj") == 0 && c->encoder_hid_dim) return true;
    base_json_error(type, "unsupported: 'encoder_hid_dim_type' is '%s'%s",
                    base_escape(word, strlen(word)),
                    c->encoder_hid_dim ? "" : " without 'encoder_hid_dim'");
    return false;
}

/* One entry of transformer_layers_per_block: a number, or a list with one for each of `blocks`
 * attention blocks. 0 is a block of projections alone. */
static bool read_depth(base_jval v, int64_t blocks, fe_depths *out) {
    out->all = 1;
    if (!base_json_is(v, BASE_JSON_ARRAY)) return base_json_int(v, &out->all, 0, FE_MAX_DEPTH);
    size_t n = base_json_length(v);
    if (n < (size_t)blocks) {
        base_json_error(v, "%zu numbers for %lld attention blocks", n, (long long)blocks);
        return false;
    }
    if (n > (size_t)blocks)
        base_json_warning(v, "%zu numbers for %lld attention blocks: the last ones do nothing", n,
                          (long long)blocks);
    bool fine = true;
    int64_t ignored;
    for (size_t i = 0; i < n; i++)
        fine &= base_json_int(base_json_item(v, i), &ignored, 0, FE_MAX_DEPTH);
    out->each = v;
    return fine;
}

/* `kinds` and `blocks` a resolution in the order of the key. What stands where no transformers are is
 * not looked at; `mid`: the mid block takes the last entry, or the first number of it. */
static bool read_depths(const fe_unet_config *c, const char *key, const fe_resolution_kind *kinds,
                        const int64_t *blocks, bool mid, fe_depths *out) {
    base_jval v = base_json_get(c->root, key);
    size_t n = c->resolutions;
    for (size_t i = 0; i < n; i++) out[i] = (fe_depths){.all = 1};
    if (!base_json_present(v)) return true;
    if (!base_json_is(v, BASE_JSON_ARRAY)) {
        if (!base_json_int(v, &out[0].all, 0, FE_MAX_DEPTH)) return false;
        for (size_t i = 1; i < n; i++) out[i] = out[0];
        return true;
    }
    if (base_json_length(v) != n) {
        base_json_error(v, "%zu values for %zu resolutions", base_json_length(v), n);
        return false;
    }
    bool fine = true;
    for (size_t i = 0; i < n; i++) {
        bool cross = kinds[i] == FE_RESOLUTION_CROSS, middle = mid && i + 1 == n;
        if (cross || middle)
            fine &= read_depth(base_json_item(v, i), cross ? blocks[i] : 1, &out[i]);
    }
    return fine;
}

static bool read_all_depths(fe_unet_config *c) {
    static const char down[] = "transformer_layers_per_block",
                      up[] = "reverse_transformer_layers_per_block";
    base_jval v = base_json_get(c->root, down), own = base_json_get(c->root, up);
    size_t n = c->resolutions;
    bool fine = read_depths(c, down, c->down, c->layers, c->mid == FE_MID_CROSS, c->depth);
    if (c->encoder_only) return fine; /* it has no way up */
    if (base_json_present(own) && !base_json_is_null(own))
        return read_depths(c, up, c->up, c->up_layers, false, c->up_depth) && fine;
    for (size_t i = 0; i < n; i++) {
        c->up_depth[i] = c->depth[n - 1 - i];
        if (!base_json_is(base_json_item(v, i), BASE_JSON_ARRAY)) continue;
        base_json_error(base_json_item(v, i),
                        "a list within '%s' is for the way down: the way up, which has one block "
                        "more, needs '%s'",
                        down, up);
        fine = false;
    }
    return fine;
}

static bool read_context_norm(fe_unet_config *c) {
    static const char *const norms[] = {"layer_norm", "group_norm"};
    base_jval v = base_json_get(c->root, "cross_attention_norm");
    size_t i;
    c->context_norm = FE_CONTEXT_PLAIN;
    if (!base_json_present(v) || base_json_is_null(v)) return true;
    if (!base_json_choice(v, "cross_attention_norm", norms, COUNT(norms), &i)) return false;
    c->context_norm = i ? FE_CONTEXT_GROUP_NORM : FE_CONTEXT_LAYER_NORM;
    return true;
}

/* GLIGEN: layers that boxes go through. Without boxes diffusers runs the rest alone. */
static bool read_attention_type(fe_unet_config *c) {
    static const char *const types[] = {"default", "gated", "gated-text-image"};
    static const char key[] = "attention_type";
    base_jval v = base_json_get(c->root, key);
    size_t i = 0;
    if (base_json_present(v) && !base_json_is_null(v) &&
        !base_json_choice(v, key, types, COUNT(types), &i))
        return false;
    c->gated = i != 0;
    if (c->gated)
        base_json_warning(v, "'%s' is '%s': boxes are not built, and their layers do nothing", key,
                          types[i]);
    return true;
}

/* Classes that are joined to the time's embedding instead of added: both are equally wide, and
 * nothing can be added to the two. */
static bool read_class_concat(fe_unet_config *c) {
    static const char key[] = "class_embeddings_concat";
    base_jval at = fe_config_at(c->root, key);
    c->class_concat = base_json_opt_bool(c->root, key, false);
    if (!c->class_concat) return true;
    if (c->class_kind != FE_CLASS_NONE && !c->added_input && !c->added_heads) return true;
    base_json_error(at,
                    c->class_kind == FE_CLASS_NONE
                        ? "'%s' joins a class, and the U-Net has none"
                        : "'%s' and 'addition_embed_type' exclude each other",
                    key);
    return false;
}

/* Heads: attention_head_dim is the number of heads (an old misnomer that the format keeps). A
 * ControlNetModel may say it by its right name, too. */
static bool read_attention(fe_unet_config *c) {
    base_jval r = c->root, heads = base_json_get(r, "num_attention_heads");
    size_t n = c->resolutions;
    bool fine = fe_config_resolutions(r, "attention_head_dim", n, 8, FE_MAX_CHANNELS, c->heads);
    memcpy(c->head_dim, c->heads, sizeof c->heads);
    if (c->encoder_only && base_json_present(heads) && !base_json_is_null(heads))
        fine &= fe_config_resolutions(r, "num_attention_heads", n, 8, FE_MAX_CHANNELS, c->heads);
    fine &= fe_config_resolutions(r, "cross_attention_dim", n, 1280, FE_MAX_CHANNELS, c->context);
    fine &= read_all_depths(c);
    fine &= fe_config_resolution_flags(r, "only_cross_attention", n, false, c->only_cross);
    /* of simple blocks: as all resolutions where these have one word */
    bool same = !base_json_is(base_json_get(r, "only_cross_attention"), BASE_JSON_ARRAY);
    base_jval mid = base_json_get(r, "mid_block_only_cross_attention");
    c->mid_only_cross = same && c->only_cross[0];
    if (base_json_present(mid) && !base_json_is_null(mid))
        fine &= base_json_bool(mid, &c->mid_only_cross);
    fine &= read_context_norm(c);
    c->linear_projection = base_json_opt_bool(r, "use_linear_projection", false);
    for (size_t i = 1; fine && i < n; i++) {
        if (c->context[i] == c->context[0]) continue;
        base_json_error(fe_config_at(r, "cross_attention_dim"),
                        "unsupported: resolutions with contexts of different width");
        fine = false;
    }
    return fine;
}

static bool read_conditional(fe_unet_config *c) {
    static const char *const unsupported[] = {"dual_cross_attention", "num_attention_heads"};
    static const char *const ignored[] = {"dropout", "upcast_attention"};
    base_jval r = c->root;
    bool fine = fe_config_unsupported(r, unsupported, COUNT(unsupported));
    fine &= read_attention(c);
    fine &= read_addition(c);
    fine &= read_class_concat(c);
    fine &= read_attention_type(c);
    c->plain_embedding = base_json_opt_bool(r, "resnet_skip_time_act", false);
    fine &= fe_config_activation(r, "timestep_post_act", IR_ACT_NONE, &c->time_post);
    fine &= read_encoder_projection(c);
    c->out_act = c->act;
    c->time_cond = base_json_opt_int(r, "time_cond_proj_dim", 0, 1, FE_MAX_CHANNELS);
    fine &= fe_config_activation(r, "time_embedding_act_fn", IR_ACT_NONE, &c->emb_act);
    c->resnet_scale = base_json_opt_double(r, "resnet_out_scale_factor", 1);
    if (!(c->resnet_scale > 0)) {
        base_json_error(fe_config_at(r, "resnet_out_scale_factor"),
                        "'resnet_out_scale_factor' must be positive");
        fine = false;
    }
    c->conv_in_kernel = base_json_opt_int(r, "conv_in_kernel", 3, 1, FE_MAX_KERNEL);
    c->conv_out_kernel = base_json_opt_int(r, "conv_out_kernel", 3, 1, FE_MAX_KERNEL);
    if (c->conv_in_kernel % 2 == 0 || c->conv_out_kernel % 2 == 0) {
        base_json_error(r, "'conv_in_kernel' and 'conv_out_kernel' must be odd");
        fine = false;
    }
    fe_config_unknown(r, ignored, COUNT(ignored));
    return fine;
}

static bool read_plain(fe_unet_config *c) {
    static const char *const ignored[] = {"dropout", "num_train_timesteps"};
    base_jval r = c->root;
    bool fine = true;
    /* Here attention_head_dim is what it says; null means one head. */
    base_jval head_dim = base_json_get(r, "attention_head_dim");
    if (base_json_is_null(head_dim))
        memset(c->head_dim, 0, sizeof c->head_dim);
    else
        fine &= fe_config_resolutions(r, "attention_head_dim", c->resolutions, 8, FE_MAX_CHANNELS,
                                      c->head_dim);
    fine &= read_word(r, "downsample_type", "conv", "resnet", &c->resnet_down);
    fine &= read_word(r, "upsample_type", "conv", "resnet", &c->resnet_up);
    c->mid_attention = base_json_opt_bool(r, "add_attention", true);
    /* Where the embedding scales and shifts, the mid block's attention has a norm only if its
     * groups are given. */
    c->mid_attention_groups = base_json_opt_int(r, "attn_norm_num_groups",
                                                c->scale_shift ? 0 : c->groups, 1, FE_MAX_CHANNELS);
    c->out_act = IR_ACT_SILU;
    c->emb_act = c->time_post = IR_ACT_NONE;
    c->resnet_scale = 1;
    c->conv_in_kernel = c->conv_out_kernel = 3;
    fe_config_unknown(r, ignored, COUNT(ignored));
    return fine;
}

static bool read_block_types(fe_unet_config *c) {
    static const fe_resolution_kind down_cross[] = {FE_RESOLUTION_CROSS, FE_RESOLUTION_CROSS,
                                                    FE_RESOLUTION_CROSS, FE_RESOLUTION_PLAIN};
    static const fe_resolution_kind up_cross[] = {FE_RESOLUTION_PLAIN, FE_RESOLUTION_CROSS,
                                                  FE_RESOLUTION_CROSS, FE_RESOLUTION_CROSS};
    static const fe_resolution_kind down_plain[] = {FE_RESOLUTION_PLAIN, FE_RESOLUTION_ATTENTION,
                                                    FE_RESOLUTION_ATTENTION,
                                                    FE_RESOLUTION_ATTENTION};
    static const fe_resolution_kind up_plain[] = {FE_RESOLUTION_ATTENTION, FE_RESOLUTION_ATTENTION,
                                                  FE_RESOLUTION_ATTENTION, FE_RESOLUTION_PLAIN};
    bool fine = read_types(c, "down_block_types", down_types,
                           c->conditional ? down_cross : down_plain, 4, c->down, c->down_at);
    fine &= read_types(c, "up_block_types", up_types, c->conditional ? up_cross : up_plain, 4,
                       c->up, c->up_at);
    return fine;
}

bool fe_unet_read(base_jval root, fe_unet_config *c) {
    const char *class_name = base_json_opt_string(root, "_class_name", "UNet2DConditionModel");
    *c = (fe_unet_config){.root = root, .conditional = strcmp(class_name, "UNet2DModel") != 0};
    unsigned before = base_diag_errors(base_json_diag(root.doc));
    if (!base_json_expect(root, BASE_JSON_OBJECT) || !read_resolutions(c)) return false;
    bool fine = read_block_types(c);
    fine &= read_mid_type(c);
    fine &= read_common(c);
    fine &= read_class(c);
    fine &= c->conditional ? read_conditional(c) : read_plain(c);
    return fine && base_diag_errors(base_json_diag(root.doc)) == before;
}

bool fe_unet_read_encoder(base_jval root, fe_unet_config *c) {
    static const fe_resolution_kind down[] = {FE_RESOLUTION_CROSS, FE_RESOLUTION_CROSS,
                                              FE_RESOLUTION_CROSS, FE_RESOLUTION_PLAIN};
    *c = (fe_unet_config){.root = root, .conditional = true, .encoder_only = true};
    unsigned before = base_diag_errors(base_json_diag(root.doc));
    if (!base_json_expect(root, BASE_JSON_OBJECT) || !read_resolutions(c)) return false;
    bool fine = read_types(c, "down_block_types", down_types, down, 4, c->down, c->down_at);
    fine &= read_mid_type(c);
    fine &= read_common(c);
    fine &= read_class(c);
    fine &= read_attention(c);
    fine &= read_addition(c);
    fine &= read_encoder_projection(c);
    /* what the class has no key for */
    c->time_dim = 4 * c->channels[0];
    c->center_input = false;
    c->emb_act = IR_ACT_NONE;
    c->resnet_scale = 1;
    c->conv_in_kernel = 3;
    return fine && base_diag_errors(base_json_diag(root.doc)) == before;
}

int64_t fe_unet_depth(const fe_depths *d, int64_t layer) {
    int64_t depth = d->all;
    if (base_json_present(d->each))
        base_json_int(base_json_item(d->each, (size_t)layer), &depth, 0, FE_MAX_DEPTH);
    return depth;
}

static bool reads_context(fe_resolution_kind kind) {
    return kind == FE_RESOLUTION_CROSS || kind == FE_RESOLUTION_SIMPLE;
}

int64_t fe_unet_context(const fe_unet_config *c) {
    bool cross = c->mid == FE_MID_CROSS || c->mid == FE_MID_SIMPLE || c->added_heads;
    for (size_t i = 0; i < c->resolutions; i++)
        cross |= reads_context(c->down[i]) || reads_context(c->up[i]);
    if (!c->conditional || !cross) return 0;
    if (c->encoder_only) return c->context[0]; /* it does not look at its own projection */
    return c->encoder_hid_dim ? c->encoder_hid_dim : c->context[0];
}
