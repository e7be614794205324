/* The block builder: the one place where blocks of networks become GRAPH nodes. The model
 * description language and the diffusers configs both end in calls of these functions.
 *
 * Values are image tensors [B,C,H,W], token tensors [B,T,C] or vectors [B,C]. A block's tensors are
 * named PREFIX.SUBNAME in the weight file; the prefix is also the `block` of the origin of its
 * nodes. Input is checked here, not in ir_build: what does not fit is reported at the builder's
 * place (fe_at), naming block and shapes, and the result is IR_NONE. A block that is given IR_NONE
 * returns IR_NONE without a word, so that one mistake is reported once.
 *
 * Form of the result (passes count on it): conv2d and linear carry their bias; group_norm and silu
 * are separate nodes; the time bias is add(conv2d, reshape(linear(silu(emb)), [B,C,1,1])); a
 * residual is add(new, old), for attention blocks on tokens; attention is matmul(q, k^T, scale),
 * softmax, matmul over heads split by reshape [B,T,H,d] and transpose [0,2,1,3]; images become
 * tokens by reshape [B,C,HW] and transpose [0,2,1]; projections of attention are linear whatever
 * rank their weight has. */
#ifndef EBRU_FRONTEND_BUILD_BLOCKS_H
#define EBRU_FRONTEND_BUILD_BLOCKS_H

#include "frontend/files/json_file.h"
#include "frontend/safetensors/weights.h"
#include "ir/ir.h"

/* Bounds on what a model file can make us build. */
enum {
    FE_MAX_CHANNELS = 1 << 20, /* channels, widths, vocabulary */
    FE_MAX_SIDE = 1 << 16,     /* height, width, tokens */
    FE_MAX_BATCH = 4096,
    FE_MAX_KERNEL = 64,    /* conv and pooling windows, strides, padding */
    FE_MAX_NODES = 200000, /* of one function */
    FE_MAX_DEPTH = 512     /* repeats, layers, levels */
};
#define FE_MAX_WEIGHT ((int64_t)1 << 32) /* elements of one weight */

/* One entry of the skip stack and where it was pushed. */
typedef struct fe_skip {
    ir_ref value;
    base_loc loc;
} fe_skip;

typedef struct fe_builder {
    base_diag *d;
    ir_module *m;
    ir_func *f; /* under construction */
    fe_weights *weights;
    const char *scope;   /* component, the first part of weight names */
    base_arena *arena;   /* names and places; lives as long as the builder */
    base_loc loc;        /* place in the description of what is being built */
    const char *block;   /* prefix of the block being built, for messages */
    unsigned nested;     /* blocks open */
    ir_origin_id origin; /* of new nodes: loc and block */
    BASE_VEC(fe_skip) skips;
    bool full; /* the node limit was reported */
} fe_builder;

void fe_builder_init(fe_builder *b, base_diag *d, ir_module *m, fe_weights *weights,
                     const char *scope);
void fe_builder_free(fe_builder *b);
/* Begins a function; the skip stack is emptied. */
void fe_begin(fe_builder *b, const char *function);
/* Ends it: reports what is left on the skip stack. False when that is the case. */
bool fe_end(fe_builder *b);
/* The place of what is built next: a JSON value. */
void fe_at(fe_builder *b, base_jval v);
/* Reports at the builder's place, naming the block; returns IR_NONE. */
ir_ref fe_fail(fe_builder *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* printf into the builder's arena: prefixes. */
const char *fe_name(fe_builder *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

ir_ref fe_input(fe_builder *b, const char *name, ir_dtype dtype, uint32_t rank, const int64_t *dim,
                ir_freq freq);
void fe_result(fe_builder *b, const char *name, ir_ref value);

/* ---- layers ---- */

typedef struct fe_conv_options {
    int64_t out;
    int64_t kernel[2], stride[2]; /* y, x */
    int64_t pad[4];               /* top, left, bottom, right */
    bool bias;
} fe_conv_options;
/* kernel k, stride s, k/2 zeros around, with bias */
fe_conv_options fe_conv_same(int64_t out, int64_t kernel, int64_t stride);

ir_ref fe_conv(fe_builder *b, ir_ref x, const char *prefix, const fe_conv_options *o);
/* Over the last axis. `conv_weight`: the weight is that of a 1x1 convolution, [N,K,1,1] (both ranks
 * are accepted in files). */
typedef struct fe_linear_options {
    int64_t out;
    bool bias, conv_weight;
} fe_linear_options;
ir_ref fe_linear(fe_builder *b, ir_ref x, const char *prefix, const fe_linear_options *o);
ir_ref fe_group_norm(fe_builder *b, ir_ref x, const char *prefix, int64_t groups, double eps);
/* Group norm of 32 groups, scaled and shifted at each pixel by 1x1 convolutions of a latent that is
 * resized to the image. diffusers' SpatialNorm. */
ir_ref fe_spatial_norm(fe_builder *b, ir_ref x, ir_ref latent, const char *prefix);
ir_ref fe_layer_norm(fe_builder *b, ir_ref x, const char *prefix, double eps);
/* IR_ACT_NONE gives x. */
ir_ref fe_activation(fe_builder *b, ir_ref x, ir_act act);
ir_ref fe_affine(fe_builder *b, ir_ref x, double mul, double add);
ir_ref fe_add(fe_builder *b, ir_ref x, ir_ref y);
ir_ref fe_mul(fe_builder *b, ir_ref x, ir_ref y);
/* Joined along the channels (images), the last axis (tokens, vectors). */
ir_ref fe_concat(fe_builder *b, ir_ref x, ir_ref y);
/* Of tokens [B,T,C] the numbers [B,T] of the nearest rows of a table [count, C], and with
 * *row (NULL: not wanted) these rows. */
ir_ref fe_nearest(fe_builder *b, ir_ref x, const char *prefix, int64_t count, ir_ref *row);
/* ids [B] or [B,T] -> rows of the table PREFIX.weight [count, width]; `position` (NULL: none) names
 * a table [positions, width] whose rows are added in order. */
typedef struct fe_embedding_options {
    int64_t count, width;
    const char *position;
    int64_t positions;
} fe_embedding_options;
ir_ref fe_embedding(fe_builder *b, ir_ref ids, const char *prefix, const fe_embedding_options *o);
/* Of tokens [B,T,C] the row where ids [B,T] first is `id`; -1: where ids is first largest. */
ir_ref fe_select_row(fe_builder *b, ir_ref x, ir_ref ids, int64_t id);
/* Sinusoids of t [B] -> [B, dim]; attributes as of the op timestep_embedding. */
ir_ref fe_sinusoid(fe_builder *b, ir_ref t, const struct ir_attrs_timestep *a);
ir_ref fe_pool(fe_builder *b, ir_ref x, ir_op op, const struct ir_attrs_pool *a);
/* A constant of the network; the values are copied. Its name is the component's, a slash and
 * `name`. */
ir_ref fe_constant(fe_builder *b, const char *name, const ir_type *type, const float *values);
/* Nearest neighbour to height x width. */
ir_ref fe_resize(fe_builder *b, ir_ref x, int64_t height, int64_t width);
ir_ref fe_to_tokens(fe_builder *b, ir_ref image);
ir_ref fe_to_image(fe_builder *b, ir_ref tokens, int64_t height, int64_t width);

/* ---- the skip stack ---- */

void fe_push(fe_builder *b, ir_ref x);
/* concat(x, popped) along the channels; reports an empty stack and sizes that differ. */
ir_ref fe_concat_pop(fe_builder *b, ir_ref x);

/* ---- blocks ---- */

/* h = conv1(act(norm1(x))) [+ linear(act(emb))]; h = conv2(act(norm2(h))); (h + shortcut(x)) /
 * output_scale, where shortcut is a 1x1 convolution when the channels differ. `emb` IR_NONE: no
 * embedding. With `scale_shift` the embedding is not added: it is projected to 2 out, and h =
 * norm2(h) (1 + first half) + second half. With a `resample`, act(norm1(x)) and x are halved (means
 * of 2x2) or doubled (nearest neighbour) before conv1 and shortcut. diffusers' ResnetBlock2D. */
typedef enum fe_resample { FE_RESAMPLE_NONE, FE_RESAMPLE_HALF, FE_RESAMPLE_DOUBLE } fe_resample;
typedef struct fe_res_options {
    int64_t out, groups;
    double eps, output_scale;
    ir_act act;
    bool scale_shift, plain_emb; /* plain_emb: the embedding is projected without activation */
    fe_resample resample;
    const char *norm1, *conv1, *emb, *norm2, *conv2, *shortcut; /* names of the parts */
    bool spatial; /* the norms are spatial ones, of `latent` */
    ir_ref latent;
} fe_res_options;
fe_res_options fe_res_defaults(int64_t out, int64_t groups,
                               double eps); /* diffusers' names, silu, scale 1 */
ir_ref fe_res_block(fe_builder *b, ir_ref x, ir_ref emb, const char *prefix,
                    const fe_res_options *o);

/* Multi-head attention of tokens [B,T,C] on context [B,S,K] (IR_NONE: on themselves): projections,
 * softmax(q k^T / sqrt(d)) v, output projection (`out` NULL: none); no norm, no residual. `qkv` (not NULL): one fused
 * tensor [3C, C(,1,1)] instead of three. `inner` (not 0): width of queries, keys and values. The old names query, key, value, proj_attn are accepted
 * where `old_names` says so. */
/* Tokens of pictures that cross-attention attends to beside its context (IP-Adapter). Their keys and
 * values have weights of their own, ip_adapter.N.to_k_ip and to_v_ip: N = 1, 3, 5 ... in the order
 * of the layers down, up and in the middle. */
typedef struct fe_image_context {
    ir_ref tokens;       /* [B,T,C] */
    ir_ref scale;        /* [1,1,1]; IR_NONE: `otherwise` */
    double otherwise;    /* scale of the result */
    fe_weights *weights; /* of the adapter's file */
    const char *scope;
    int64_t layers; /* that it has keys for */
} fe_image_context;
typedef struct fe_image_contexts {
    fe_image_context *items;
    uint32_t count;
    int64_t layer; /* the next cross-attention's place in their order, from 0 */
} fe_image_contexts;

/* `kv` (not NULL): one tensor [2 inner, K] for keys and values. `images` (NULL: none) are attended
 * to with the same queries, and what comes of it is added before the output projection. */
typedef struct fe_attention_options {
    int64_t heads, inner;
    bool qkv_bias, out_bias, causal, conv_weight, old_names;
    const char *q, *k, *v, *out, *qkv, *kv;
    fe_image_contexts *images;
} fe_attention_options;
fe_attention_options
fe_attention_defaults(int64_t heads); /* to_q, to_k, to_v without bias, to_out.0 */
ir_ref fe_attention(fe_builder *b, ir_ref tokens, ir_ref context, const char *prefix,
                    const fe_attention_options *o);

/* Group norm (none where `norm` is NULL), attention over the pixels, residual; (x + h) /
 * output_scale. diffusers' Attention in AttnDownBlock2D and the VAE. */
typedef struct fe_image_attention_options {
    int64_t groups;
    double eps, output_scale;
    const char *norm;
    bool spatial; /* the norm is a spatial one, of `latent` */
    ir_ref latent;
    fe_attention_options attention;
} fe_image_attention_options;
fe_image_attention_options
fe_image_attention_defaults(int64_t heads, int64_t groups,
                            double eps); /* group_norm, biases, old names */
ir_ref fe_image_attention(fe_builder *b, ir_ref x, const char *prefix,
                          const fe_image_attention_options *o);

/* Group norm of an image, attention of its pixels to a context [B,S,K] and to themselves
 * (`only_cross`: to the context alone), whose keys and values have projections of their own,
 * residual. The context may be normed first. diffusers' Attention with AttnAddedKVProcessor. */
typedef enum fe_context_norm {
    FE_CONTEXT_PLAIN,
    FE_CONTEXT_LAYER_NORM,
    FE_CONTEXT_GROUP_NORM
} fe_context_norm;
typedef struct fe_added_attention_options {
    int64_t heads, head_dim, groups;
    bool only_cross;
    fe_context_norm context_norm;
} fe_added_attention_options;
ir_ref fe_added_attention(fe_builder *b, ir_ref x, ir_ref context, const char *prefix,
                          const fe_added_attention_options *o);

/* linear to `inner` (geglu: to 2 inner), activation, linear back. Names as diffusers: net.0.proj,
 * net.2. */
typedef struct fe_feed_forward_options {
    int64_t inner;
    bool geglu;
    ir_act act; /* when not geglu */
    const char *in, *out;
} fe_feed_forward_options;
ir_ref fe_feed_forward(fe_builder *b, ir_ref x, const char *prefix,
                       const fe_feed_forward_options *o);

/* Group norm, projection, `depth` transformer blocks (self-attention, attention to the context,
 * GEGLU feed-forward, each behind a layer norm and added), projection, residual. diffusers'
 * Transformer2DModel. */
typedef enum fe_second_attention {
    FE_SECOND_CONTEXT, /* attn2 attends to the context */
    /* there is no context (IR_NONE): attn2 attends to the tokens themselves, too */
    FE_SECOND_TOKENS,
    FE_SECOND_NONE /* neither context nor attn2: cross_attention_dim null */
} fe_second_attention;
typedef struct fe_transformer_options {
    int64_t heads, depth, groups;
    double eps;             /* of the group norm */
    bool linear_projection; /* proj_in and proj_out are [C,C], not [C,C,1,1] */
    bool only_cross;        /* attn1 attends to the context, too */
    bool gated;             /* GLIGEN's fuser is there; without boxes it does nothing */
    fe_second_attention second;
    fe_image_contexts *images; /* that attn2 attends to, too; NULL: none */
} fe_transformer_options;
ir_ref fe_spatial_transformer(fe_builder *b, ir_ref x, ir_ref context, const char *prefix,
                              const fe_transformer_options *o);

/* One layer of CLIP's text transformer: x + attn(ln1(x)), then x + fc2(act(fc1(ln2(x)))). */
typedef struct fe_text_layer_options {
    int64_t heads, inner;
    double eps;
    ir_act act;
    bool causal;
} fe_text_layer_options;
ir_ref fe_text_layer(fe_builder *b, ir_ref x, const char *prefix, const fe_text_layer_options *o);

/* linear_2(act(linear_1(x))); `post` after it. diffusers' TimestepEmbedding. */
typedef struct fe_mlp_options {
    int64_t inner, out;
    ir_act act;
    const char *first, *second;
} fe_mlp_options;
ir_ref fe_mlp(fe_builder *b, ir_ref x, const char *prefix, const fe_mlp_options *o);

/* 3x3 convolution of stride 2; padding 1 all around, or, asymmetric, one row below and one column
 * to the right. The tensors are PREFIX.weight and PREFIX.bias. */
ir_ref fe_downsample(fe_builder *b, ir_ref x, const char *prefix, int64_t out, bool asymmetric);
/* Nearest-neighbour enlargement to height x width, then a 3x3 convolution. */
ir_ref fe_upsample(fe_builder *b, ir_ref x, const char *prefix, int64_t out, int64_t height,
                   int64_t width);
/* Size the next upsampling goes to: twice x, or that of the top of the skip stack if there is one.
 */
void fe_upsample_size(const fe_builder *b, ir_ref x, int64_t *height, int64_t *width);

#endif
