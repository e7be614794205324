/* UNet2DConditionModel and UNet2DModel: from a config to calls of the block builder, in the order
 * of diffusers' forward; see diffusers.h. */
#include <string.h>

#include "base/text.h"
#include "frontend/build/layers.h"
#include "frontend/diffusers/diffusers.h"
#include "frontend/ip_adapter/ip_adapter.h"

/* One build: the builder, the config, and the values every block needs. */
typedef struct unet {
    fe_builder *b;
    const fe_unet_config *c;
    const fe_sizes *s;
    ir_ref emb;                /* time embedding and what is added to it */
    ir_ref text;               /* encoder_hidden_states; IR_NONE when nothing reads them */
    ir_ref context;            /* the same, projected: what blocks attend to */
    size_t feature;            /* of down_intrablock_additional_residuals: the next one */
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
    return embedding_mlp(u, fe_unet_time(u->b, c, labels), "class_embedding",
                         c->conditional && !c->encoder_only ? c->act : IR_ACT_SILU);
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
    ir_ref t = fe_unet_time(u->b, c, timestep);
    if (c->time_cond) { /* distilled models: the guidance, embedded by the pipeline */
        at_key(u, "time_cond_proj_dim");
        ir_ref cond = fe_input(u->b, "timestep_cond", IR_f32, 2,
                               (int64_t[]){u->s->batch, c->time_cond}, IR_PROMPT);
        cond = fe_linear(u->b, cond, "time_embedding.cond_proj",
                         &(fe_linear_options){.out = c->time_input});
        t = fe_add(u->b, t, cond);
    }
    u->emb = embedding_mlp(u, t, "time_embedding", c->conditional ? c->act : IR_ACT_SILU);
    u->emb = fe_activation(u->b, u->emb, c->time_post);
    if (c->class_kind != FE_CLASS_NONE) {
        at_key(u, c->class_kind == FE_CLASS_TABLE ? "num_class_embeds" : "class_embed_type");
        u->emb = (c->class_concat ? fe_concat : fe_add)(u->b, u->emb, class_embedding(u));
    }
    if (c->added_input) {
        at_key(u, "addition_embed_type");
        u->emb = fe_add(u->b, u->emb, text_time_embedding(u));
    }
    if (c->added_heads) {
        at_key(u, "addition_embed_type");
        u->emb = fe_add(u->b, u->emb, fe_unet_text_embedding(u->b, c, u->text));
    }
    u->emb = fe_activation(u->b, u->emb, c->emb_act);
}

/* What makes tokens of GLIGEN's boxes. */
static void ignore_boxes(unet *u) {
    static const char *const nets[] = {"linears", "linears_text", "linears_image"},
                             *const nulls[] = {"positive", "position", "text", "image"};
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
        for (int k = 0; k <= 4; k += 2)
            for (int bias = 0; bias < 2; bias++)
                fe_weights_ignore(u->b->weights, fe_name(u->b, "position_net.%s.%d.%s", nets[i], k,
                                                         bias ? "bias" : "weight"));
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++)
        fe_weights_ignore(u->b->weights, fe_name(u->b, "position_net.null_%s_feature", nulls[i]));
}

static void build_context(unet *u) {
    if (u->c->gated) ignore_boxes(u);
    int64_t width = fe_unet_context(u->c);
    bool unused = !width || u->c->encoder_only;
    u->text = u->context = IR_NONE;
    if (unused && u->c->encoder_hid_dim) { /* a projection that the network does not look at */
        fe_weights_ignore(u->b->weights, "encoder_hid_proj.weight");
        fe_weights_ignore(u->b->weights, "encoder_hid_proj.bias");
    }
    if (!width) return;
    at_key(u, "cross_attention_dim");
    u->text = u->context = fe_input(u->b, "encoder_hidden_states", IR_f32, 3,
                                    (int64_t[]){u->s->batch, u->s->tokens, width}, IR_PROMPT);
    if (unused || !u->c->encoder_hid_dim) return;
    at_key(u, "encoder_hid_dim");
    u->context = fe_linear(u->b, u->context, "encoder_hid_proj",
                           &(fe_linear_options){.out = u->c->context[0], .bias = true});
}

/* ---- blocks ---- */

static ir_ref resampling_block(unet *u, ir_ref x, const char *prefix, int64_t out, double scale,
                               fe_resample how, bool plain_emb) {
    fe_res_options o = fe_res_defaults(out, u->c->groups, u->c->eps);
    o.act = u->c->act;
    o.output_scale = scale;
    o.scale_shift = u->c->scale_shift;
    o.resample = how;
    o.plain_emb = plain_emb;
    return fe_res_block(u->b, x, u->emb, prefix, &o);
}

/* resnet_out_scale_factor and resnet_skip_time_act are for these alone. */
static bool resamples_by_blocks(fe_resolution_kind kind) {
    return kind == FE_RESOLUTION_RESNET || kind == FE_RESOLUTION_SIMPLE;
}

static double resolution_scale(const unet *u, fe_resolution_kind kind) {
    return resamples_by_blocks(kind) ? u->c->resnet_scale : 1.0;
}

static ir_ref resolution_block(unet *u, ir_ref x, const char *prefix, fe_resolution_kind kind,
                               int64_t out, fe_resample how) {
    return resampling_block(u, x, prefix, out, resolution_scale(u, kind), how,
                            resamples_by_blocks(kind) && u->c->plain_embedding);
}

static ir_ref simple_attention(unet *u, ir_ref x, const char *prefix, int64_t channels,
                               int64_t head_dim, bool only_cross) {
    fe_added_attention_options o = {.heads = channels / head_dim,
                                    .head_dim = head_dim,
                                    .groups = u->c->groups,
                                    .only_cross = only_cross,
                                    .context_norm = u->c->context_norm};
    fe_enter(u->b, prefix);
    if (o.heads < 1)
        return fe_fail(u->b, "heads of %lld are wider than %lld channels", (long long)head_dim,
                       (long long)channels);
    return fe_added_attention(u->b, x, u->context, prefix, &o);
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
    if (kind == FE_RESOLUTION_SIMPLE)
        return simple_attention(u, x, prefix, c->channels[at], head_dim, only_cross);
    fe_transformer_options o = {.heads = c->heads[at],
                                .depth = depth,
                                .groups = c->groups,
                                .eps = 1e-6,
                                .linear_projection = c->linear_projection,
                                .only_cross = only_cross,
                                .images = u->images,
                                .gated = c->gated};
    return fe_spatial_transformer(u->b, x, u->context, prefix, &o);
}

static ir_ref halve(unet *u, ir_ref x, size_t i) {
    const fe_unet_config *c = u->c;
    fe_resolution_kind kind = c->down[i];
    if (resamples_by_blocks(kind) || (kind == FE_RESOLUTION_ATTENTION && c->resnet_down))
        return resolution_block(u, x, fe_name(u->b, "down_blocks.%zu.downsamplers.0", i), kind,
                                c->channels[i], FE_RESAMPLE_HALF);
    return fe_downsample(u->b, x, fe_name(u->b, "down_blocks.%zu.downsamplers.0.conv", i),
                         c->channels[i], c->asymmetric);
}

static ir_ref enlarge(unet *u, ir_ref x, size_t i, int64_t channels) {
    const fe_unet_config *c = u->c;
    fe_resolution_kind kind = c->up[i];
    if (resamples_by_blocks(kind) || (kind == FE_RESOLUTION_ATTENTION && c->resnet_up))
        return resolution_block(u, x, fe_name(u->b, "up_blocks.%zu.upsamplers.0", i), kind,
                                channels, FE_RESAMPLE_DOUBLE);
    int64_t height, width;
    fe_upsample_size(u->b, x, &height, &width);
    return fe_upsample(u->b, x, fe_name(u->b, "up_blocks.%zu.upsamplers.0.conv", i), channels,
                       height, width);
}

/* ---- what others add: ControlNets and T2I-Adapters ---- */

static const fe_shape *given_shape(const unet *u, const char *name) {
    for (uint32_t i = 0; i < u->s->added_count; i++)
        if (strcmp(u->s->added[i].name, name) == 0) return &u->s->added[i];
    return NULL;
}

/* x plus the input `name`, whose shape is given: that of x, or one that is repeated to it. */
static ir_ref add_given(unet *u, ir_ref x, const char *name, ir_freq freq) {
    const fe_shape *shape = given_shape(u, name);
    ir_type t;
    if (!shape || !fe_of_rank(u->b, x, 4, "what is added to", &t)) return x;
    bool fits = shape->rank == 4 && shape->dim[1] == t.dim[1];
    for (int i = 0; fits && i < 4; i++) fits = shape->dim[i] == t.dim[i] || shape->dim[i] == 1;
    ir_ref added = fe_input(u->b, name, IR_f32, shape->rank, shape->dim, freq);
    if (fits) return fe_add(u->b, x, added);
    if (!ir_ref_ok(added)) return IR_NONE;
    return fe_fail(u->b, "'%s' is %s, and what it is added to %s: it was made for another U-Net",
                   name, fe_type_text(u->b, added), fe_type_text(u->b, x));
}

static const char *feature_name(const unet *u, size_t k) {
    return fe_name(u->b, "down_intrablock_additional_residuals.%zu", k);
}

/* One feature of an adapter belongs to each resolution. */
static ir_ref add_feature(unet *u, ir_ref x) {
    return add_given(u, x, feature_name(u, u->feature++), IR_PROMPT);
}

/* One more than there are resolutions is the mid block's, if it is of the size; diffusers does not
 * look at others either. */
static ir_ref add_last_feature(unet *u, ir_ref x) {
    const char *name = feature_name(u, u->feature);
    const fe_shape *shape = given_shape(u, name);
    ir_type t;
    if (!shape || !fe_of_rank(u->b, x, 4, "what is added to", &t)) return x;
    bool same = shape->rank == 4;
    for (int i = 0; same && i < 4; i++) same = shape->dim[i] == t.dim[i];
    if (same) return add_feature(u, x);
    if (!base_ends_with(u->b->f->name, "@2")) /* told once */
        base_warning(u->b->d, NULL, "'%s' is not of the mid block's size and is left out", name);
    return x;
}

/* A ControlNet's residuals are added to what the way up reads, not to what the way down goes on
 * with. */
static void add_residuals(unet *u) {
    size_t count = 0, skips = u->b->skips.count;
    while (given_shape(u, fe_name(u->b, "down_block_additional_residuals.%zu", count))) count++;
    if (!count && !given_shape(u, "mid_block_additional_residual")) return;
    at_key(u, "down_block_types");
    if (count != skips || !given_shape(u, "mid_block_additional_residual")) {
        fe_fail(u->b,
                "a ControlNet gives %zu residuals of the way down%s, and there are %zu places: it "
                "was made for another U-Net",
                count,
                given_shape(u, "mid_block_additional_residual") ? "" : " and none of the mid block",
                skips);
        return;
    }
    for (size_t k = 0; k < skips; k++) {
        fe_skip *skip = &u->b->skips.items[k];
        skip->value = add_given(u, skip->value,
                                fe_name(u->b, "down_block_additional_residuals.%zu", k), IR_STEP);
    }
}

/* ---- the network ---- */

static ir_ref build_down(unet *u, ir_ref x) {
    const fe_unet_config *c = u->c;
    fe_builder *b = u->b;
    for (size_t i = 0; i < c->resolutions; i++) {
        bool cross = c->down[i] == FE_RESOLUTION_CROSS, last = i + 1 == c->resolutions;
        fe_at(b, c->down_at[i]);
        for (int64_t j = 0; j < c->layers[i]; j++) {
            x = resolution_block(u, x, fe_name(b, "down_blocks.%zu.resnets.%lld", i, (long long)j),
                                 c->down[i], c->channels[i], FE_RESAMPLE_NONE);
            x = attention(u, x, fe_name(b, "down_blocks.%zu.attentions.%lld", i, (long long)j),
                          c->down[i], i, c->head_dim[i], fe_unet_depth(&c->depth[i], j),
                          c->only_cross[i]);
            /* behind the last attention; without attention behind all of the resolution */
            if (j + 1 == c->layers[i] && (cross || last)) x = add_feature(u, x);
            fe_push(b, x);
        }
        if (last) break;
        x = halve(u, x, i);
        if (!cross) x = add_feature(u, x);
        fe_push(b, x);
    }
    return x;
}

static ir_ref mid_res_block(unet *u, ir_ref x, const char *prefix, int64_t channels,
                            bool plain_emb) {
    return resampling_block(u, x, prefix, channels, u->c->mid_scale, FE_RESAMPLE_NONE, plain_emb);
}

static ir_ref build_mid(unet *u, ir_ref x) {
    const fe_unet_config *c = u->c;
    size_t last = c->resolutions - 1;
    int64_t channels = c->channels[last];
    if (c->mid == FE_MID_NONE) return x;
    at_key(u, "mid_block_type");
    bool plain_emb = c->mid == FE_MID_SIMPLE && c->plain_embedding;
    x = mid_res_block(u, x, "mid_block.resnets.0", channels, plain_emb);
    if (c->mid == FE_MID_PLAIN) return x;
    if (c->mid == FE_MID_CROSS)
        x = attention(u, x, "mid_block.attentions.0", FE_RESOLUTION_CROSS, last, 0,
                      fe_unet_depth(&c->depth[last], 0), false);
    else if (c->mid == FE_MID_ATTENTION && c->mid_attention)
        x = image_attention(u, x, "mid_block.attentions.0", channels, c->head_dim[last],
                            c->mid_attention_groups, c->mid_scale);
    else if (c->mid == FE_MID_SIMPLE)
        x = simple_attention(u, x, "mid_block.attentions.0", channels, c->head_dim[last],
                             c->mid_only_cross);
    return mid_res_block(u, x, "mid_block.resnets.1", channels, plain_emb);
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
            x = resolution_block(u, x, resnet, c->up[i], c->channels[at], FE_RESAMPLE_NONE);
            x = attention(u, x, fe_name(b, "up_blocks.%zu.attentions.%lld", i, (long long)j),
                          c->up[i], at, c->head_dim[i], fe_unet_depth(&c->up_depth[i], j),
                          c->only_cross[at]);
        }
        if (i + 1 == c->resolutions) break;
        x = enlarge(u, x, i, c->channels[at]);
    }
    return x;
}

/* ---- pictures beside the prompt ---- */

/* Adapters are numbered down, up and then in the middle; here the middle is built before the way
 * up. */
static int64_t image_layers_of_mid(const unet *u) {
    return u->c->mid == FE_MID_CROSS ? fe_unet_depth(&u->c->depth[u->c->resolutions - 1], 0) : 0;
}

static ir_ref build_mid_for_images(unet *u, ir_ref x) {
    fe_image_contexts *images = u->images;
    if (!images) return build_mid(u, x);
    const int64_t down = images->layer;
    images->layer = images->items[0].layers - image_layers_of_mid(u);
    x = build_mid(u, x);
    images->layer = down;
    return x;
}

static void check_image_layers(const unet *u) {
    const fe_image_contexts *images = u->images;
    const int64_t layers = images ? images->layer + image_layers_of_mid(u) : 0;
    if (images && layers != images->items[0].layers)
        base_error(u->b->d, NULL,
                   "--ip-adapter: it has keys for %lld cross-attentions, the U-Net has %lld: it "
                   "belongs to another kind of model",
                   (long long)images->items[0].layers, (long long)layers);
}

/* Attention to a text alone, or none. */
static bool takes_images(fe_resolution_kind kind) {
    return kind == FE_RESOLUTION_CROSS || kind == FE_RESOLUTION_PLAIN ||
           kind == FE_RESOLUTION_RESNET;
}

/* diffusers has no adapters where attention is not to the text alone. */
static bool build_images(unet *u) {
    const fe_unet_config *c = u->c;
    int64_t width = fe_unet_context(c);
    bool other = c->mid == FE_MID_SIMPLE;
    u->images = NULL;
    if (!c->ip_adapters) return true;
    for (size_t i = 0; i < c->resolutions; i++)
        other |= c->only_cross[i] || !takes_images(c->down[i]) || !takes_images(c->up[i]);
    if (!width || other) {
        base_error(u->b->d, NULL, "--ip-adapter: the U-Net %s",
                   !width ? "attends to no text" : "has other attention than to itself and a text");
        return false;
    }
    u->images = fe_ip_adapters_build(c->ip_adapters, u->b, u->s->batch, c->context[0]);
    return u->images != NULL;
}

/* Inputs, conv_in, to whose result `entry` is added, the way down and the mid block. */
static ir_ref build_encoder(unet *u, ir_ref entry) {
    const fe_unet_config *c = u->c;
    const fe_sizes *s = u->s;
    fe_builder *b = u->b;
    at_key(u, "in_channels");
    ir_ref x = fe_input(b, "sample", IR_f32, 4,
                        (int64_t[]){s->batch, c->in_channels, s->height, s->width}, IR_STEP);
    ir_ref t = fe_input(b, "timestep", IR_f32, 1, (int64_t[]){s->shared_timestep ? 1 : s->batch},
                        IR_SCHEDULE);
    if (c->center_input) x = fe_affine(b, x, 2.0, -1.0);
    build_context(u);
    if (!build_images(u)) return IR_NONE;
    build_embedding(u, t);

    at_key(u, "in_channels");
    fe_conv_options conv = fe_conv_same(c->channels[0], c->conv_in_kernel, 1);
    x = fe_conv(b, x, "conv_in", &conv);
    if (ir_ref_ok(entry)) x = fe_add(b, x, entry);
    fe_push(b, x);
    x = build_down(u, x);
    add_residuals(u);
    return build_mid_for_images(u, x);
}

ir_ref fe_unet_encode(fe_builder *b, const fe_unet_config *c, const fe_sizes *s, ir_ref entry) {
    unet u = {.b = b, .c = c, .s = s};
    return build_encoder(&u, entry);
}

bool fe_unet_build(fe_builder *b, const fe_unet_config *c, const char *name, const fe_sizes *s) {
    unet u = {.b = b, .c = c, .s = s};
    unsigned before = base_diag_errors(b->d);
    fe_at(b, c->root);
    fe_begin(b, name);

    ir_ref x = build_encoder(&u, IR_NONE);
    if (c->mid != FE_MID_NONE) x = add_last_feature(&u, x);
    x = build_up(&u, add_given(&u, x, "mid_block_additional_residual", IR_STEP));
    check_image_layers(&u);

    at_key(&u, "out_channels");
    fe_conv_options conv;
    x = fe_group_norm(b, x, "conv_norm_out", c->groups, c->eps);
    conv = fe_conv_same(c->out_channels, c->conv_out_kernel, 1);
    x = fe_conv(b, fe_activation(b, x, c->out_act), "conv_out", &conv);
    fe_result(b, "sample", x);
    return fe_end(b) && base_diag_errors(b->d) == before;
}
