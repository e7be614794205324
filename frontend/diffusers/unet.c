/* UNet2DConditionModel and UNet2DModel: from a config to calls of the block builder, in the order
 * of diffusers' forward; see diffusers.h. */
#include "frontend/build/layers.h"
#include "frontend/diffusers/diffusers.h"
#include "frontend/ip_adapter/ip_adapter.h"

/* One build: the builder, the config, and the values every block needs. */
typedef struct unet {
    fe_builder *b;
    const fe_unet_config *c;
    const fe_sizes *s;
    ir_ref emb;                /* time embedding and what is added to it */
    ir_ref context;            /* encoder_hidden_states; IR_NONE without cross-attention */
    fe_image_contexts *images; /* that cross-attention attends to, too; NULL: none */
} unet;

static void at_key(unet *u, const char *key) {
    fe_at(u->b, fe_config_at(u->c->root, key));
}

/* ---- embeddings ---- */

static ir_ref sinusoid(unet *u, ir_ref t, int64_t dim) {
    struct ir_attrs_timestep a = IR_DEFAULTS(timestep);
    a.dim = dim;
    a.flip = u->c->flip;
    a.shift = u->c->freq_shift;
    return fe_sinusoid(u->b, t, &a);
}

static ir_ref embedding_mlp(unet *u, ir_ref x, const char *prefix, ir_act act) {
    fe_mlp_options o = {u->c->time_dim, u->c->time_dim, act, "linear_1", "linear_2"};
    return fe_mlp(u->b, x, prefix, &o);
}

/* class_labels that are vectors [B, width]. */
static ir_ref class_vectors(unet *u) {
    const fe_unet_config *c = u->c;
    ir_ref x = fe_input(u->b, "class_labels", IR_f32, 2, (int64_t[]){u->s->batch, c->class_input},
                        IR_PROMPT);
    if (c->class_kind == FE_CLASS_PROJECTION)
        return embedding_mlp(u, x, "class_embedding", IR_ACT_SILU);
    if (c->class_kind == FE_CLASS_LINEAR)
        return fe_linear(u->b, x, "class_embedding",
                         &(fe_linear_options){.out = c->time_dim, .bias = true});
    return x;
}

static ir_ref class_embedding(unet *u) {
    const fe_unet_config *c = u->c;
    if (c->class_input) return class_vectors(u);
    if (c->class_kind == FE_CLASS_TABLE) {
        ir_ref labels = fe_input(u->b, "class_labels", IR_i32, 1, &u->s->batch, IR_PROMPT);
        fe_embedding_options o = {.count = c->classes, .width = c->time_dim};
        return fe_embedding(u->b, labels, "class_embedding", &o);
    }
    ir_ref labels = fe_input(u->b, "class_labels", IR_f32, 1, &u->s->batch, IR_PROMPT);
    return embedding_mlp(u, sinusoid(u, labels, c->channels[0]), "class_embedding",
                         c->conditional ? c->act : IR_ACT_SILU);
}

/* SDXL: [text_embeds, sinusoids of the time_ids] through an MLP. There are six numbers; five in
 * refiners. */
static ir_ref text_time_embedding(unet *u) {
    const fe_unet_config *c = u->c;
    int64_t batch = u->s->batch, dim = c->added_time_dim,
            count = u->s->time_ids ? u->s->time_ids : 6;
    ir_ref text = fe_input(u->b, "text_embeds", IR_f32, 2,
                           (int64_t[]){batch, c->added_input - count * dim}, IR_PROMPT);
    ir_ref ids = fe_input(u->b, "time_ids", IR_f32, 2, (int64_t[]){batch, count}, IR_PROMPT);
    ir_ref e = sinusoid(u, fe_reshape(u->b, ids, 1, (int64_t[]){count * batch}), dim);
    e = fe_reshape(u->b, e, 2, (int64_t[]){batch, count * dim});
    return embedding_mlp(u, fe_concat(u->b, text, e), "add_embedding", IR_ACT_SILU);
}

static void build_embedding(unet *u, ir_ref timestep) {
    const fe_unet_config *c = u->c;
    at_key(u, "block_out_channels");
    ir_ref t = sinusoid(u, timestep, c->channels[0]);
    if (c->time_cond) { /* distilled models: the guidance, embedded by the pipeline */
        at_key(u, "time_cond_proj_dim");
        ir_ref cond = fe_input(u->b, "timestep_cond", IR_f32, 2,
                               (int64_t[]){u->s->batch, c->time_cond}, IR_PROMPT);
        cond = fe_linear(u->b, cond, "time_embedding.cond_proj",
                         &(fe_linear_options){.out = c->channels[0]});
        t = fe_add(u->b, t, cond);
    }
    u->emb = embedding_mlp(u, t, "time_embedding", c->conditional ? c->act : IR_ACT_SILU);
    if (c->class_kind != FE_CLASS_NONE) {
        at_key(u, c->class_kind == FE_CLASS_TABLE ? "num_class_embeds" : "class_embed_type");
        u->emb = fe_add(u->b, u->emb, class_embedding(u));
    }
    if (c->added_input) {
        at_key(u, "addition_embed_type");
        u->emb = fe_add(u->b, u->emb, text_time_embedding(u));
    }
    u->emb = fe_activation(u->b, u->emb, c->emb_act);
}

static void build_context(unet *u) {
    int64_t width = fe_unet_context(u->c);
    u->context = IR_NONE;
    if (!width && u->c->encoder_hid_dim) { /* a projection of what nothing attends to */
        fe_weights_ignore(u->b->weights, "encoder_hid_proj.weight");
        fe_weights_ignore(u->b->weights, "encoder_hid_proj.bias");
    }
    if (!width) return;
    at_key(u, "cross_attention_dim");
    u->context = fe_input(u->b, "encoder_hidden_states", IR_f32, 3,
                          (int64_t[]){u->s->batch, u->s->tokens, width}, IR_PROMPT);
    if (!u->c->encoder_hid_dim) return;
    at_key(u, "encoder_hid_dim");
    u->context = fe_linear(u->b, u->context, "encoder_hid_proj",
                           &(fe_linear_options){.out = u->c->context[0], .bias = true});
}

/* ---- blocks ---- */

static ir_ref resampling_block(unet *u, ir_ref x, const char *prefix, int64_t out, double scale,
                               fe_resample how) {
    fe_res_options o = fe_res_defaults(out, u->c->groups, u->c->eps);
    o.act = u->c->act;
    o.output_scale = scale;
    o.scale_shift = u->c->scale_shift;
    o.resample = how;
    return fe_res_block(u->b, x, u->emb, prefix, &o);
}

static ir_ref res_block(unet *u, ir_ref x, const char *prefix, int64_t out, double scale) {
    return resampling_block(u, x, prefix, out, scale, FE_RESAMPLE_NONE);
}

/* resnet_out_scale_factor is for the resolutions of residual blocks alone. */
static double resolution_scale(const unet *u, fe_resolution_kind kind) {
    return kind == FE_RESOLUTION_RESNET ? u->c->resnet_scale : 1.0;
}

static ir_ref image_attention(unet *u, ir_ref x, const char *prefix, int64_t channels,
                              int64_t head_dim, int64_t groups, double scale) {
    /* Heads of this width, as many as fit: where they do not fill the channels, the queries, keys
     * and values are narrower. */
    int64_t heads = head_dim ? channels / head_dim : 1;
    fe_enter(u->b, prefix);
    if (heads < 1)
        return fe_fail(u->b, "heads of %lld are wider than %lld channels", (long long)head_dim,
                       (long long)channels);
    fe_image_attention_options o = fe_image_attention_defaults(heads, groups, u->c->eps);
    o.attention.inner = heads * head_dim;
    o.output_scale = scale;
    if (!groups) o.norm = NULL;
    return fe_image_attention(u->b, x, prefix, &o);
}

/* The attention of one layer of a resolution; `at` is the resolution counted from the finest.
 * `head_dim`: of group-norm attention. */
static ir_ref attention(unet *u, ir_ref x, const char *prefix, fe_resolution_kind kind, size_t at,
                        int64_t head_dim, int64_t depth, bool only_cross) {
    const fe_unet_config *c = u->c;
    if (kind == FE_RESOLUTION_PLAIN || kind == FE_RESOLUTION_RESNET) return x;
    if (kind == FE_RESOLUTION_ATTENTION)
        return image_attention(u, x, prefix, c->channels[at], head_dim, c->groups, 1.0);
    fe_transformer_options o = {.heads = c->heads[at],
                                .depth = depth,
                                .groups = c->groups,
                                .eps = 1e-6,
                                .linear_projection = c->linear_projection,
                                .only_cross = only_cross,
                                .images = u->images};
    return fe_spatial_transformer(u->b, x, u->context, prefix, &o);
}

static ir_ref halve(unet *u, ir_ref x, size_t i) {
    const fe_unet_config *c = u->c;
    fe_resolution_kind kind = c->down[i];
    if (kind == FE_RESOLUTION_RESNET || (kind == FE_RESOLUTION_ATTENTION && c->resnet_down))
        return resampling_block(u, x, fe_name(u->b, "down_blocks.%zu.downsamplers.0", i),
                                c->channels[i], resolution_scale(u, kind), FE_RESAMPLE_HALF);
    return fe_downsample(u->b, x, fe_name(u->b, "down_blocks.%zu.downsamplers.0.conv", i),
                         c->channels[i], c->asymmetric);
}

static ir_ref enlarge(unet *u, ir_ref x, size_t i, int64_t channels) {
    const fe_unet_config *c = u->c;
    fe_resolution_kind kind = c->up[i];
    if (kind == FE_RESOLUTION_RESNET || (kind == FE_RESOLUTION_ATTENTION && c->resnet_up))
        return resampling_block(u, x, fe_name(u->b, "up_blocks.%zu.upsamplers.0", i), channels,
                                resolution_scale(u, kind), FE_RESAMPLE_DOUBLE);
    int64_t height, width;
    fe_upsample_size(u->b, x, &height, &width);
    return fe_upsample(u->b, x, fe_name(u->b, "up_blocks.%zu.upsamplers.0.conv", i), channels,
                       height, width);
}

static ir_ref build_down(unet *u, ir_ref x) {
    const fe_unet_config *c = u->c;
    fe_builder *b = u->b;
    for (size_t i = 0; i < c->resolutions; i++) {
        fe_at(b, c->down_at[i]);
        for (int64_t j = 0; j < c->layers[i]; j++) {
            x = res_block(u, x, fe_name(b, "down_blocks.%zu.resnets.%lld", i, (long long)j),
                          c->channels[i], resolution_scale(u, c->down[i]));
            x = attention(u, x, fe_name(b, "down_blocks.%zu.attentions.%lld", i, (long long)j),
                          c->down[i], i, c->head_dim[i], c->depth[i], c->only_cross[i]);
            fe_push(b, x);
        }
        if (i + 1 == c->resolutions) break;
        x = halve(u, x, i);
        fe_push(b, x);
    }
    return x;
}

static ir_ref build_mid(unet *u, ir_ref x) {
    const fe_unet_config *c = u->c;
    size_t last = c->resolutions - 1;
    int64_t channels = c->channels[last];
    if (c->mid == FE_MID_NONE) return x;
    at_key(u, "mid_block_type");
    x = res_block(u, x, "mid_block.resnets.0", channels, c->mid_scale);
    if (c->mid == FE_MID_PLAIN) return x;
    if (c->mid == FE_MID_CROSS)
        x = attention(u, x, "mid_block.attentions.0", FE_RESOLUTION_CROSS, last, 0, c->depth[last],
                      false);
    else if (c->mid_attention)
        x = image_attention(u, x, "mid_block.attentions.0", channels, c->head_dim[last],
                            c->mid_attention_groups, c->mid_scale);
    return res_block(u, x, "mid_block.resnets.1", channels, c->mid_scale);
}

/* Of lists that go from the finest resolution to the coarsest, all are reversed here but
 * attention_head_dim of group-norm attention, which diffusers reads in its own order. */
static ir_ref build_up(unet *u, ir_ref x) {
    const fe_unet_config *c = u->c;
    fe_builder *b = u->b;
    for (size_t i = 0; i < c->resolutions; i++) {
        size_t at = c->resolutions - 1 - i;
        fe_at(b, c->up_at[i]);
        for (int64_t j = 0; j < c->up_layers[i]; j++) {
            const char *resnet = fe_name(b, "up_blocks.%zu.resnets.%lld", i, (long long)j);
            fe_enter(b, resnet); /* the skip is taken in by the block that reads it */
            x = fe_concat_pop(b, x);
            x = res_block(u, x, resnet, c->channels[at], resolution_scale(u, c->up[i]));
            x = attention(u, x, fe_name(b, "up_blocks.%zu.attentions.%lld", i, (long long)j),
                          c->up[i], at, c->head_dim[i], c->up_depth[i], c->only_cross[at]);
        }
        if (i + 1 == c->resolutions) break;
        x = enlarge(u, x, i, c->channels[at]);
    }
    return x;
}

/* ---- pictures beside the prompt ---- */

/* Adapters are numbered down, up and then in the middle; here the middle is built before the way
 * up. */
static ir_ref build_mid_and_up(unet *u, ir_ref x) {
    fe_image_contexts *images = u->images;
    int64_t last = u->c->mid == FE_MID_CROSS ? u->c->depth[u->c->resolutions - 1] : 0,
            down = images ? images->layer : 0;
    if (images) images->layer = images->items[0].layers - last;
    x = build_mid(u, x);
    if (images) images->layer = down;
    x = build_up(u, x);
    if (images && images->layer + last != images->items[0].layers)
        base_error(u->b->d, NULL,
                   "--ip-adapter: it has keys for %lld cross-attentions, the U-Net has %lld: it "
                   "belongs to another kind of model",
                   (long long)images->items[0].layers, (long long)(images->layer + last));
    return x;
}

/* diffusers has no adapters where attention is not to the text alone. */
static bool build_images(unet *u) {
    const fe_unet_config *c = u->c;
    int64_t width = fe_unet_context(c);
    bool other = false;
    u->images = NULL;
    if (!c->ip_adapters) return true;
    for (size_t i = 0; i < c->resolutions; i++)
        other |= c->only_cross[i] || c->down[i] == FE_RESOLUTION_ATTENTION ||
                 c->up[i] == FE_RESOLUTION_ATTENTION;
    if (!width || other) {
        base_error(u->b->d, NULL, "--ip-adapter: the U-Net %s",
                   !width ? "attends to no text" : "has other attention than to itself and a text");
        return false;
    }
    u->images = fe_ip_adapters_build(c->ip_adapters, u->b, u->s->batch, c->context[0]);
    return u->images != NULL;
}

bool fe_unet_build(fe_builder *b, const fe_unet_config *c, const char *name, const fe_sizes *s) {
    unet u = {.b = b, .c = c, .s = s};
    unsigned before = base_diag_errors(b->d);
    fe_at(b, c->root);
    fe_begin(b, name);

    at_key(&u, "in_channels");
    ir_ref x = fe_input(b, "sample", IR_f32, 4,
                        (int64_t[]){s->batch, c->in_channels, s->height, s->width}, IR_STEP);
    ir_ref t = fe_input(b, "timestep", IR_f32, 1, (int64_t[]){s->shared_timestep ? 1 : s->batch},
                        IR_SCHEDULE);
    if (c->center_input) x = fe_affine(b, x, 2.0, -1.0);
    build_context(&u);
    if (!build_images(&u)) return false;
    build_embedding(&u, t);

    at_key(&u, "in_channels");
    fe_conv_options conv = fe_conv_same(c->channels[0], c->conv_in_kernel, 1);
    x = fe_conv(b, x, "conv_in", &conv);
    fe_push(b, x);
    x = build_mid_and_up(&u, build_down(&u, x));

    at_key(&u, "out_channels");
    x = fe_group_norm(b, x, "conv_norm_out", c->groups, c->eps);
    conv = fe_conv_same(c->out_channels, c->conv_out_kernel, 1);
    x = fe_conv(b, fe_activation(b, x, c->out_act), "conv_out", &conv);
    fe_result(b, "sample", x);
    return fe_end(b) && base_diag_errors(b->d) == before;
}
