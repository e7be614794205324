/* The block builder's blocks: residual block, attention, transformers, time embedding, down- and
 * upsampling; see blocks.h.
 *
 * Sources: what the networks compute is defined by the papers (Ho et al. 2020, Rombach et al. 2022,
 * Radford et al. 2021); the names of tensors and the order of operations are those of diffusers and
 * transformers, which the goldens pin down. */
#include "frontend/build/blocks.h"

#include <math.h>

#include "frontend/build/layers.h"

/* ---- residual block ---- */

fe_res_options fe_res_defaults(int64_t out, int64_t groups, double eps) {
    return (fe_res_options){.out = out,
                            .groups = groups,
                            .eps = eps,
                            .output_scale = 1.0,
                            .act = IR_ACT_SILU,
                            .norm1 = "norm1",
                            .conv1 = "conv1",
                            .emb = "time_emb_proj",
                            .norm2 = "norm2",
                            .conv2 = "conv2",
                            .shortcut = "conv_shortcut"};
}

/* linear(act(emb)): [B,width] */
static ir_ref project_embedding(fe_builder *b, ir_ref emb, const char *prefix, int64_t width,
                                const fe_res_options *o) {
    ir_type t;
    if (!fe_of_rank(b, emb, 2, "the embedding of a residual block", &t)) return IR_NONE;
    if (!o->plain_emb) emb = fe_activation(b, emb, o->act);
    return fe_linear(b, emb, fe_sub(b, prefix, o->emb),
                     &(fe_linear_options){.out = width, .bias = true});
}

/* [B,C] -> [B,C,1,1], one value a channel of an image. */
static ir_ref per_channel(fe_builder *b, ir_ref x) {
    if (!ir_ref_ok(x)) return IR_NONE;
    const ir_type t = *ir_typeof(b->f, x);
    return fe_reshape(b, x, 4, (int64_t[]){t.dim[0], t.dim[1], 1, 1});
}

static ir_ref scale_and_shift(fe_builder *b, ir_ref h, ir_ref emb, const char *prefix,
                              const fe_res_options *o) {
    struct ir_attrs_slice first = {.axis = 1, .start = 0, .count = o->out},
                          second = {.axis = 1, .start = o->out, .count = o->out};
    ir_ref both = project_embedding(b, emb, prefix, 2 * o->out, o);
    ir_ref scale = fe_affine(b, fe_emit1(b, IR_OP_slice, both, &first), 1.0, 1.0);
    ir_ref shift = fe_emit1(b, IR_OP_slice, both, &second);
    return fe_add(b, fe_mul(b, h, per_channel(b, scale)), per_channel(b, shift));
}

static ir_ref resample(fe_builder *b, ir_ref x, fe_resample how) {
    ir_type t;
    if (how == FE_RESAMPLE_NONE || !fe_of_rank(b, x, 4, "resampling", &t)) return x;
    if (how == FE_RESAMPLE_DOUBLE) return fe_resize(b, x, 2 * t.dim[2], 2 * t.dim[3]);
    struct ir_attrs_pool a = IR_DEFAULTS(pool);
    return fe_pool(b, x, IR_OP_avg_pool2d, &a);
}

static ir_ref res_norm(fe_builder *b, ir_ref x, const char *prefix, const fe_res_options *o) {
    return o->spatial ? fe_spatial_norm(b, x, o->latent, prefix)
                      : fe_group_norm(b, x, prefix, o->groups, o->eps);
}

ir_ref fe_res_block(fe_builder *b, ir_ref x, ir_ref emb, const char *prefix,
                    const fe_res_options *o) {
    const char *outer = fe_open(b, prefix);
    ir_type t;
    if (!fe_of_rank(b, x, 4, "a residual block", &t)) return fe_close(b, outer, IR_NONE);
    fe_conv_options conv = fe_conv_same(o->out, 3, 1);

    ir_ref h = res_norm(b, x, fe_sub(b, prefix, o->norm1), o);
    h = resample(b, fe_activation(b, h, o->act), o->resample);
    x = resample(b, x, o->resample);
    h = fe_conv(b, h, fe_sub(b, prefix, o->conv1), &conv);
    if (ir_ref_ok(emb) && !o->scale_shift)
        h = fe_add(b, h, per_channel(b, project_embedding(b, emb, prefix, o->out, o)));
    ir_ref shortcut = x; /* here, where x is needed for the last time: it can be overwritten */
    if (t.dim[1] != o->out) {
        fe_conv_options one = fe_conv_same(o->out, 1, 1);
        shortcut = fe_conv(b, x, fe_sub(b, prefix, o->shortcut), &one);
    }
    h = res_norm(b, h, fe_sub(b, prefix, o->norm2), o);
    if (ir_ref_ok(emb) && o->scale_shift) h = scale_and_shift(b, h, emb, prefix, o);
    h = fe_conv(b, fe_activation(b, h, o->act), fe_sub(b, prefix, o->conv2), &conv);

    h = fe_affine(b, fe_add(b, h, shortcut), 1.0 / o->output_scale, 0.0);
    return fe_close(b, outer, h);
}

/* ---- attention ---- */

fe_attention_options fe_attention_defaults(int64_t heads) {
    return (fe_attention_options){
        .heads = heads, .out_bias = true, .q = "to_q", .k = "to_k", .v = "to_v", .out = "to_out.0"};
}

/* [B,T,H*d] -> [B,H,T,d] */
static ir_ref split_heads(fe_builder *b, ir_ref x, int64_t heads) {
    if (!ir_ref_ok(x)) return IR_NONE;
    const ir_type t = *ir_typeof(b->f, x);
    x = fe_reshape(b, x, 4, (int64_t[]){t.dim[0], t.dim[1], heads, t.dim[2] / heads});
    return fe_transpose(b, x, 4, (int64_t[]){0, 2, 1, 3});
}

typedef struct qkv {
    ir_ref q, k, v;
} qkv;

static qkv separate_projections(fe_builder *b, ir_ref x, ir_ref context, int64_t width,
                                const char *prefix, const fe_attention_options *o) {
    static const char *const old[] = {"query", "key", "value"};
    const char *names[] = {o->q, o->k, o->v};
    fe_linear_options l = {.out = width, .bias = o->qkv_bias, .conv_weight = o->conv_weight};
    ir_ref r[3];
    for (int i = 0; i < 3; i++)
        r[i] = fe_linear_named(b, i ? context : x, fe_sub(b, prefix, names[i]),
                               o->old_names ? fe_sub(b, prefix, old[i]) : NULL, &l);
    return (qkv){r[0], r[1], r[2]};
}

/* One tensor [3C,C(,1,1)]: three linear layers on slices of it. */
static qkv fused_projections(fe_builder *b, ir_ref x, int64_t width, const char *prefix,
                             const fe_attention_options *o) {
    const char *name = fe_sub(b, prefix, o->qkv);
    fe_tensor_spec s = {.names = {fe_sub(b, name, "weight")},
                        .rank = o->conv_weight ? 4u : 2u,
                        .dim = {3 * width, width, 1, 1},
                        .either_rank = true,
                        .init = FE_INIT_FILTER,
                        .fan_in = width};
    ir_ref w = fe_weight(b, &s), bias = o->qkv_bias ? fe_bias(b, name, 3 * width, width) : IR_NONE,
           r[3];
    for (int i = 0; i < 3; i++) {
        struct ir_attrs_slice part = {.axis = 0, .start = i * width, .count = width};
        ir_ref wi = fe_emit1(b, IR_OP_slice, w, &part);
        ir_ref bi = o->qkv_bias ? fe_emit1(b, IR_OP_slice, bias, &part) : IR_NONE;
        r[i] = fe_emit(b, IR_OP_linear, (ir_ref[]){x, wi, bi}, 3, NULL);
    }
    return (qkv){r[0], r[1], r[2]};
}

/* Queries of x, and keys and values of the context from one tensor [2 width, K]. */
static qkv paired_projections(fe_builder *b, ir_ref x, ir_ref context, int64_t width,
                              const char *prefix, const fe_attention_options *o) {
    ir_type t;
    if (!fe_of_rank(b, context, 3, "attention", &t)) return (qkv){IR_NONE, IR_NONE, IR_NONE};
    fe_linear_options l = {.out = width, .bias = o->qkv_bias};
    fe_tensor_spec s = {.names = {fe_sub(b, fe_sub(b, prefix, o->kv), "weight")},
                        .rank = 2,
                        .dim = {2 * width, t.dim[2]},
                        .init = FE_INIT_FILTER,
                        .fan_in = t.dim[2]};
    ir_ref w = fe_weight(b, &s), r[2];
    for (int i = 0; i < 2; i++) {
        struct ir_attrs_slice part = {.axis = 0, .start = i * width, .count = width};
        ir_ref wi = fe_emit1(b, IR_OP_slice, w, &part);
        r[i] = fe_emit(b, IR_OP_linear, (ir_ref[]){context, wi, IR_NONE}, 3, NULL);
    }
    return (qkv){fe_linear_named(b, x, fe_sub(b, prefix, o->q), NULL, &l), r[0], r[1]};
}

static ir_ref scaled_dot_product(fe_builder *b, qkv p, const ir_type *t, int64_t width,
                                 const fe_attention_options *o) {
    ir_ref q = split_heads(b, p.q, o->heads), k = split_heads(b, p.k, o->heads),
           v = split_heads(b, p.v, o->heads);
    struct ir_attrs_matmul qk = IR_DEFAULTS(matmul), pv = IR_DEFAULTS(matmul);
    struct ir_attrs_softmax sm = IR_DEFAULTS(softmax);
    qk.transpose_b = true;
    qk.scale = 1.0 / sqrt((double)(width / o->heads));
    sm.causal = o->causal;
    ir_ref h = fe_emit2(b, IR_OP_matmul, q, k, &qk);
    h = fe_emit1(b, IR_OP_softmax, h, &sm);
    h = fe_emit2(b, IR_OP_matmul, h, v, &pv);
    h = fe_transpose(b, h, 4, (int64_t[]){0, 2, 1, 3});
    return fe_reshape(b, h, 3, (int64_t[]){t->dim[0], t->dim[1], width});
}

/* h and what the same queries find in the tokens of one adapter's pictures. The scale goes into the
 * values, which are made once a prompt. */
static ir_ref add_image(fe_builder *b, ir_ref h, ir_ref q, const ir_type *t, int64_t width,
                        const fe_attention_options *o, const fe_image_context *image) {
    static const char *const names[] = {"to_k_ip", "to_v_ip"};
    fe_weights *weights = b->weights;
    const char *scope = b->scope;
    fe_linear_options l = {.out = width};
    ir_ref r[2];
    b->weights = image->weights;
    b->scope = image->scope;
    for (int i = 0; i < 2; i++)
        r[i] = fe_linear_named(
            b, image->tokens,
            fe_name(b, "ip_adapter.%lld.%s", (long long)(2 * o->images->layer + 1), names[i]), NULL,
            &l);
    b->weights = weights;
    b->scope = scope;
    r[1] = ir_ref_ok(image->scale) ? fe_mul(b, r[1], image->scale)
                                   : fe_affine(b, r[1], image->otherwise, 0.0);
    return fe_add(b, h, scaled_dot_product(b, (qkv){q, r[0], r[1]}, t, width, o));
}

ir_ref fe_attention(fe_builder *b, ir_ref tokens, ir_ref context, const char *prefix,
                    const fe_attention_options *o) {
    const char *outer = fe_open(b, prefix);
    ir_type t;
    if (!fe_of_rank(b, tokens, 3, "attention", &t)) return fe_close(b, outer, IR_NONE);
    int64_t width = o->inner ? o->inner : t.dim[2];
    if (o->heads < 1 || width % o->heads)
        return fe_close(b, outer,
                        fe_fail(b, "%lld heads do not divide %lld channels", (long long)o->heads,
                                (long long)width));
    if (o->qkv && ir_ref_ok(context))
        return fe_close(b, outer,
                        fe_fail(b, "a fused '%s' cannot attend to another sequence", o->qkv));

    ir_ref other = ir_ref_ok(context) ? context : tokens;
    qkv p = o->qkv  ? fused_projections(b, tokens, t.dim[2], prefix, o)
            : o->kv ? paired_projections(b, tokens, other, width, prefix, o)
                    : separate_projections(b, tokens, other, width, prefix, o);
    ir_ref h = scaled_dot_product(b, p, &t, width, o);
    for (uint32_t i = 0; o->images && i < o->images->count; i++)
        h = add_image(b, h, p.q, &t, width, o, &o->images->items[i]);
    if (o->images) o->images->layer++;
    if (!o->out) return fe_close(b, outer, h);
    h = fe_linear_named(
        b, h, fe_sub(b, prefix, o->out), o->old_names ? fe_sub(b, prefix, "proj_attn") : NULL,
        &(fe_linear_options){.out = t.dim[2], .bias = o->out_bias, .conv_weight = o->conv_weight});
    return fe_close(b, outer, h);
}

fe_image_attention_options fe_image_attention_defaults(int64_t heads, int64_t groups, double eps) {
    fe_image_attention_options o = {.groups = groups,
                                    .eps = eps,
                                    .output_scale = 1.0,
                                    .norm = "group_norm",
                                    .attention = fe_attention_defaults(heads)};
    o.attention.qkv_bias = true;
    o.attention.old_names = true;
    return o;
}

ir_ref fe_image_attention(fe_builder *b, ir_ref x, const char *prefix,
                          const fe_image_attention_options *o) {
    const char *outer = fe_open(b, prefix);
    ir_type t;
    if (!fe_of_rank(b, x, 4, "attention over an image", &t)) return fe_close(b, outer, IR_NONE);
    ir_ref h = x;
    if (o->norm && o->spatial)
        h = fe_spatial_norm(b, x, o->latent, fe_sub(b, prefix, o->norm));
    else if (o->norm)
        h = fe_group_norm(b, x, fe_sub(b, prefix, o->norm), o->groups, o->eps);
    h = fe_attention(b, fe_to_tokens(b, h), IR_NONE, prefix, &o->attention);
    h = fe_affine(b, fe_add(b, h, fe_to_tokens(b, x)), 1.0 / o->output_scale, 0.0);
    return fe_close(b, outer, fe_to_image(b, h, t.dim[2], t.dim[3]));
}

static ir_ref norm_context(fe_builder *b, ir_ref context, const char *prefix,
                           fe_context_norm norm) {
    enum { GROUPS = 32 };
    static const double eps = 1e-5;
    const char *name = fe_sub(b, prefix, "norm_cross");
    ir_type t;
    if (norm == FE_CONTEXT_PLAIN || !fe_of_rank(b, context, 3, "the norm of a context", &t))
        return context;
    if (norm == FE_CONTEXT_LAYER_NORM) return fe_layer_norm(b, context, name, eps);
    /* over all tokens, as over the pixels of an image */
    return fe_to_tokens(b,
                        fe_group_norm(b, fe_to_image(b, context, 1, t.dim[1]), name, GROUPS, eps));
}

/* Tokens of the context, then those of the image. */
static ir_ref join_tokens(fe_builder *b, ir_ref added, ir_ref own) {
    struct ir_attrs_axis a = {.axis = 1};
    return fe_emit2(b, IR_OP_concat, added, own, &a);
}

ir_ref fe_added_attention(fe_builder *b, ir_ref x, ir_ref context, const char *prefix,
                          const fe_added_attention_options *o) {
    static const double eps = 1e-5;
    const char *outer = fe_open(b, prefix);
    ir_type t, c;
    if (!fe_of_rank(b, x, 4, "attention over an image", &t) ||
        !fe_of_rank(b, context, 3, "the context of attention over an image", &c))
        return fe_close(b, outer, IR_NONE);
    int64_t width = o->heads * o->head_dim;
    fe_linear_options l = {.out = width, .bias = true};
    context = norm_context(b, context, prefix, o->context_norm);
    ir_ref h =
        fe_to_tokens(b, fe_group_norm(b, x, fe_sub(b, prefix, "group_norm"), o->groups, eps));
    qkv p = {.q = fe_linear(b, h, fe_sub(b, prefix, "to_q"), &l),
             .k = fe_linear(b, context, fe_sub(b, prefix, "add_k_proj"), &l),
             .v = fe_linear(b, context, fe_sub(b, prefix, "add_v_proj"), &l)};
    if (!o->only_cross) {
        p.k = join_tokens(b, p.k, fe_linear(b, h, fe_sub(b, prefix, "to_k"), &l));
        p.v = join_tokens(b, p.v, fe_linear(b, h, fe_sub(b, prefix, "to_v"), &l));
    }
    fe_attention_options heads = {.heads = o->heads};
    ir_type tokens = ir_type_make(IR_f32, 3, (int64_t[]){t.dim[0], t.dim[2] * t.dim[3], t.dim[1]});
    h = scaled_dot_product(b, p, &tokens, width, &heads);
    l.out = t.dim[1];
    h = fe_linear(b, h, fe_sub(b, prefix, "to_out.0"), &l);
    h = fe_add(b, h, fe_to_tokens(b, x));
    return fe_close(b, outer, fe_to_image(b, h, t.dim[2], t.dim[3]));
}

/* ---- transformers ---- */

ir_ref fe_feed_forward(fe_builder *b, ir_ref x, const char *prefix,
                       const fe_feed_forward_options *o) {
    const char *outer = fe_open(b, prefix);
    if (!ir_ref_ok(x)) return fe_close(b, outer, IR_NONE);
    const ir_type t = *ir_typeof(b->f, x);
    if (!t.rank)
        return fe_close(b, outer,
                        fe_fail(b, "a feed-forward block cannot take %s", fe_type_text(b, x)));
    ir_ref h =
        fe_linear(b, x, fe_sub(b, prefix, o->in),
                  &(fe_linear_options){.out = o->geglu ? 2 * o->inner : o->inner, .bias = true});
    h = o->geglu ? fe_emit1(b, IR_OP_geglu, h, NULL) : fe_activation(b, h, o->act);
    h = fe_linear(b, h, fe_sub(b, prefix, o->out),
                  &(fe_linear_options){.out = t.dim[t.rank - 1], .bias = true});
    return fe_close(b, outer, h);
}

/* The layers of GLIGEN that only boxes go through. */
static void ignore_fuser(fe_builder *b, const char *prefix) {
    static const char *const names[] = {
        "linear.weight",      "linear.bias",          "attn.to_q.weight",   "attn.to_k.weight",
        "attn.to_v.weight",   "attn.to_out.0.weight", "attn.to_out.0.bias", "ff.net.0.proj.weight",
        "ff.net.0.proj.bias", "ff.net.2.weight",      "ff.net.2.bias",      "norm1.weight",
        "norm1.bias",         "norm2.weight",         "norm2.bias",         "alpha_attn",
        "alpha_dense"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        fe_weights_ignore(b->weights, fe_name(b, "%s.fuser.%s", prefix, names[i]));
}

static ir_ref transformer_block(fe_builder *b, ir_ref x, ir_ref context, const char *prefix,
                                int64_t width, const fe_transformer_options *o) {
    const double eps = 1e-5;
    const char *outer = fe_open(b, prefix);
    fe_attention_options attention = fe_attention_defaults(o->heads);
    fe_feed_forward_options ff = {
        .inner = 4 * width, .geglu = true, .in = "net.0.proj", .out = "net.2"};

    if (o->gated) ignore_fuser(b, prefix);
    ir_ref h = fe_layer_norm(b, x, fe_sub(b, prefix, "norm1"), eps);
    x = fe_add(b,
               fe_attention(b, h, o->only_cross ? context : IR_NONE, fe_sub(b, prefix, "attn1"),
                            &attention),
               x);
    if (o->second != FE_SECOND_NONE) {
        h = fe_layer_norm(b, x, fe_sub(b, prefix, "norm2"), eps);
        attention.images = o->images;
        x = fe_add(b, fe_attention(b, h, context, fe_sub(b, prefix, "attn2"), &attention), x);
    }
    h = fe_layer_norm(b, x, fe_sub(b, prefix, "norm3"), eps);
    x = fe_add(b, fe_feed_forward(b, h, fe_sub(b, prefix, "ff"), &ff), x);
    return fe_close(b, outer, x);
}

ir_ref fe_spatial_transformer(fe_builder *b, ir_ref x, ir_ref context, const char *prefix,
                              const fe_transformer_options *o) {
    const char *outer = fe_open(b, prefix);
    ir_type t, c;
    if (!fe_of_rank(b, x, 4, "a spatial transformer", &t) ||
        (o->second == FE_SECOND_CONTEXT &&
         !fe_of_rank(b, context, 3, "the context of a spatial transformer", &c)))
        return fe_close(b, outer, IR_NONE);
    if (o->second == FE_SECOND_CONTEXT && c.dim[0] != t.dim[0] && c.dim[0] != 1) {
        fe_fail(b, "the context is of %lld pictures, the image of %lld", (long long)c.dim[0],
                (long long)t.dim[0]);
        return fe_close(b, outer, IR_NONE);
    }
    /* Heads of equal width, rounded down: where they do not fill the channels, the tokens are
     * narrower than the image. */
    int64_t width = o->heads >= 1 ? t.dim[1] / o->heads * o->heads : 0;
    if (width < 1) {
        fe_fail(b, "%lld heads for %lld channels", (long long)o->heads, (long long)t.dim[1]);
        return fe_close(b, outer, IR_NONE);
    }
    fe_linear_options in = {.out = width, .bias = true, .conv_weight = !o->linear_projection},
                      out = in;
    out.out = t.dim[1];

    ir_ref h = fe_to_tokens(b, fe_group_norm(b, x, fe_sub(b, prefix, "norm"), o->groups, o->eps));
    h = fe_linear(b, h, fe_sub(b, prefix, "proj_in"), &in);
    for (int64_t i = 0; i < o->depth; i++) {
        const char *name = fe_name(b, "%s.transformer_blocks.%lld", prefix, (long long)i);
        h = transformer_block(b, h, context, name, width, o);
    }
    h = fe_linear(b, h, fe_sub(b, prefix, "proj_out"), &out);
    h = fe_add(b, h, fe_to_tokens(b, x));
    return fe_close(b, outer, fe_to_image(b, h, t.dim[2], t.dim[3]));
}

ir_ref fe_text_layer(fe_builder *b, ir_ref x, const char *prefix, const fe_text_layer_options *o) {
    const char *outer = fe_open(b, prefix);
    fe_attention_options attention = {.heads = o->heads,
                                      .qkv_bias = true,
                                      .out_bias = true,
                                      .causal = o->causal,
                                      .q = "q_proj",
                                      .k = "k_proj",
                                      .v = "v_proj",
                                      .out = "out_proj"};
    fe_feed_forward_options mlp = {.inner = o->inner, .act = o->act, .in = "fc1", .out = "fc2"};

    ir_ref h = fe_layer_norm(b, x, fe_sub(b, prefix, "layer_norm1"), o->eps);
    x = fe_add(b, fe_attention(b, h, IR_NONE, fe_sub(b, prefix, "self_attn"), &attention), x);
    h = fe_layer_norm(b, x, fe_sub(b, prefix, "layer_norm2"), o->eps);
    x = fe_add(b, fe_feed_forward(b, h, fe_sub(b, prefix, "mlp"), &mlp), x);
    return fe_close(b, outer, x);
}

/* ---- embeddings, sizes ---- */

ir_ref fe_mlp(fe_builder *b, ir_ref x, const char *prefix, const fe_mlp_options *o) {
    const char *outer = fe_open(b, prefix);
    ir_ref h = fe_linear(b, x, fe_sub(b, prefix, o->first),
                         &(fe_linear_options){.out = o->inner, .bias = true});
    h = fe_activation(b, h, o->act);
    h = fe_linear(b, h, fe_sub(b, prefix, o->second),
                  &(fe_linear_options){.out = o->out, .bias = true});
    return fe_close(b, outer, h);
}

ir_ref fe_downsample(fe_builder *b, ir_ref x, const char *prefix, int64_t out, bool asymmetric) {
    fe_conv_options conv = fe_conv_same(out, 3, 2);
    if (asymmetric) conv.pad[0] = conv.pad[1] = 0;
    return fe_conv(b, x, prefix, &conv);
}

ir_ref fe_upsample(fe_builder *b, ir_ref x, const char *prefix, int64_t out, int64_t height,
                   int64_t width) {
    const char *outer = fe_open(b, prefix);
    fe_conv_options conv = fe_conv_same(out, 3, 1);
    return fe_close(b, outer, fe_conv(b, fe_resize(b, x, height, width), prefix, &conv));
}
