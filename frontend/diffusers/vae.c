/* AutoencoderKL and VQModel: config and the functions NAME.encode and NAME.decode; see diffusers.h. All its
 * normalisations have eps 1e-6, its downsampling pads one row below and one column to the right. */
#include <string.h>

#include "frontend/build/layers.h"
#include "frontend/diffusers/diffusers.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const double vae_eps = 1e-6;

/* ---- config ---- */

/* `names`: the plain block and the one with attention. */
static bool read_types(const fe_vae_config *c, const char *key, const char *const names[2],
                       bool *attention, base_jval *at) {
    base_jval v = base_json_get(c->root, key);
    for (size_t i = 0; i < FE_MAX_RESOLUTIONS; i++) at[i] = c->root;
    size_t n = base_json_present(v) ? base_json_length(v) : 1, which;
    if (base_json_present(v) && !base_json_expect(v, BASE_JSON_ARRAY)) return false;
    bool fine = true;
    if (n != c->resolutions) {
        base_json_error(base_json_present(v) ? v : c->root,
                        "'%s' has %zu entries, 'block_out_channels' has %zu", key, n,
                        c->resolutions);
        fine = false;
    }
    for (size_t i = 0; i < n && i < FE_MAX_RESOLUTIONS && base_json_present(v); i++) {
        at[i] = base_json_item(v, i);
        if (fe_config_block(at[i], "block type", names, 2, &which))
            attention[i] = which == 1;
        else
            fine = false;
    }
    return fine;
}

/* What the encoders and decoders of AutoencoderKL and VQModel have in common. */
static bool read_layers(base_jval root, fe_vae_config *c, int64_t latent) {
    static const char *const down[] = {"DownEncoderBlock2D", "AttnDownEncoderBlock2D"},
                             *const up[] = {"UpDecoderBlock2D", "AttnUpDecoderBlock2D"};
    *c = (fe_vae_config){.root = root, .resolutions = 1, .channels = {64}};
    if (!base_json_expect(root, BASE_JSON_OBJECT)) return false;
    base_jval channels = base_json_get(root, "block_out_channels");
    if (base_json_present(channels) && !base_json_ints(channels, c->channels, FE_MAX_RESOLUTIONS,
                                                       &c->resolutions, 1, FE_MAX_CHANNELS))
        return false;
    if (!c->resolutions) {
        base_json_error(channels, "'block_out_channels' is empty");
        return false;
    }
    bool fine = read_types(c, "down_block_types", down, c->down_attention, c->down_at);
    fine &= read_types(c, "up_block_types", up, c->up_attention, c->up_at);
    fine &= fe_config_activation(root, "act_fn", IR_ACT_SILU, &c->act);
    fine &= fe_config_size(root, "sample_size", &c->sample_height, &c->sample_width);
    c->in_channels = base_json_opt_int(root, "in_channels", 3, 1, FE_MAX_CHANNELS);
    c->out_channels = base_json_opt_int(root, "out_channels", 3, 1, FE_MAX_CHANNELS);
    c->latent_channels = base_json_opt_int(root, "latent_channels", latent, 1, FE_MAX_CHANNELS / 2);
    c->layers = base_json_opt_int(root, "layers_per_block", 1, 1, FE_MAX_DEPTH);
    c->groups = base_json_opt_int(root, "norm_num_groups", 32, 1, FE_MAX_CHANNELS);
    c->mid_attention = base_json_opt_bool(root, "mid_block_add_attention", true);
    c->scaling_factor = base_json_opt_double(root, "scaling_factor", 0.18215);
    if (!(c->scaling_factor > 0)) {
        base_json_error(fe_config_at(root, "scaling_factor"), "'scaling_factor' must be positive");
        fine = false;
    }
    return fine;
}

bool fe_vae_kl_read(base_jval root, fe_vae_config *c) {
    static const char *const ignored[] = {"force_upcast", "dropout"};
    unsigned before = base_diag_errors(base_json_diag(root.doc));
    if (!read_layers(root, c, 4)) return false;
    c->quant_conv = base_json_opt_bool(root, "use_quant_conv", true);
    c->post_quant_conv = base_json_opt_bool(root, "use_post_quant_conv", true);
    c->shift_factor = base_json_opt_double(root, "shift_factor", 0.0);
    bool fine = fe_vae_read_statistics(c);
    fe_config_unknown(root, ignored, COUNT(ignored));
    return fine && base_diag_errors(base_json_diag(root.doc)) == before;
}

/* Vectors of the codebook may be narrower or wider than the layers beside them. */
bool fe_vae_vq_read(base_jval root, fe_vae_config *c) {
    static const char *const ignored[] = {"force_upcast", "lookup_from_codebook"},
                             *const norms[] = {"group", "spatial"};
    unsigned before = base_diag_errors(base_json_diag(root.doc));
    size_t norm = 0;
    if (!read_layers(root, c, 3)) return false;
    c->quant_conv = c->post_quant_conv = true;
    c->inner_channels = c->latent_channels;
    c->latent_channels =
        base_json_opt_int(root, "vq_embed_dim", c->inner_channels, 1, FE_MAX_CHANNELS);
    c->codes = base_json_opt_int(root, "num_vq_embeddings", 256, 1, FE_MAX_CHANNELS);
    base_jval at = base_json_get(root, "norm_type");
    if (base_json_present(at)) base_json_choice(at, "norm_type", norms, COUNT(norms), &norm);
    c->spatial_norm = norm == 1;
    if (c->spatial_norm && c->latent_channels != c->inner_channels)
        base_json_error(at, "'norm_type' is 'spatial', which needs a 'vq_embed_dim' of %lld",
                        (long long)c->inner_channels);
    fe_config_unknown(root, ignored, COUNT(ignored));
    return base_diag_errors(base_json_diag(root.doc)) == before;
}

int64_t fe_resolution_scale(size_t resolutions) {
    int64_t scale = 1;
    for (size_t i = 1; i < resolutions; i++) scale *= 2;
    return scale;
}

int64_t fe_vae_scale(const fe_vae_config *c) {
    return fe_resolution_scale(c->resolutions);
}

bool fe_vae_fits(fe_builder *b, const fe_vae_config *c, const fe_sizes *s) {
    int64_t scale = fe_vae_scale(c);
    fe_at(b, c->root);
    if (s->height >= scale && s->width >= scale) return true;
    base_error(b->d, NULL,
               "a picture of %lld x %lld is too small for the autoencoder: both sides must be "
               "at least %lld",
               (long long)s->width, (long long)s->height, (long long)scale);
    return false;
}

void fe_vae_latent(const fe_vae_config *c, const fe_sizes *s, int64_t dim[4]) {
    int64_t scale = fe_vae_scale(c);
    dim[0] = s->latent_batch ? s->latent_batch : s->batch;
    dim[1] = c->latent_channels;
    dim[2] = s->latent_height ? s->latent_height : s->height / scale;
    dim[3] = s->latent_width ? s->latent_width : s->width / scale;
}

/* ---- blocks ---- */

typedef struct vae {
    fe_builder *b;
    const fe_vae_config *c;
    const char *side; /* "encoder" or "decoder" */
    ir_ref latent;    /* what the decoder's norms look at, where they do */
} vae;

static bool looks_at_latent(const vae *v) {
    return v->c->spatial_norm && strcmp(v->side, "decoder") == 0;
}

static void at_key(const vae *v, const char *key) {
    fe_at(v->b, fe_config_at(v->c->root, key));
}

static ir_ref res_block(const vae *v, ir_ref x, const char *prefix, int64_t out) {
    fe_res_options o = fe_res_defaults(out, v->c->groups, vae_eps);
    o.act = v->c->act;
    o.spatial = looks_at_latent(v);
    o.latent = v->latent;
    return fe_res_block(v->b, x, IR_NONE, prefix, &o);
}

/* One head over all pixels. */
static ir_ref attention(const vae *v, ir_ref x, const char *prefix) {
    fe_image_attention_options o = fe_image_attention_defaults(1, v->c->groups, vae_eps);
    o.spatial = looks_at_latent(v);
    o.latent = v->latent;
    if (o.spatial) o.norm = "spatial_norm";
    return fe_image_attention(v->b, x, prefix, &o);
}

static ir_ref mid_block(const vae *v, ir_ref x) {
    int64_t channels = v->c->channels[v->c->resolutions - 1];
    at_key(v, "block_out_channels");
    x = res_block(v, x, fe_name(v->b, "%s.mid_block.resnets.0", v->side), channels);
    if (v->c->mid_attention)
        x = attention(v, x, fe_name(v->b, "%s.mid_block.attentions.0", v->side));
    return res_block(v, x, fe_name(v->b, "%s.mid_block.resnets.1", v->side), channels);
}

/* Layer j of a resolution. */
static ir_ref layer(const vae *v, ir_ref x, const char *prefix, int64_t j, int64_t out,
                    bool attends) {
    x = res_block(v, x, fe_name(v->b, "%s.resnets.%lld", prefix, (long long)j), out);
    return attends ? attention(v, x, fe_name(v->b, "%s.attentions.%lld", prefix, (long long)j)) : x;
}

static ir_ref conv(const vae *v, ir_ref x, const char *prefix, int64_t out, int64_t kernel) {
    fe_conv_options o = fe_conv_same(out, kernel, 1);
    return fe_conv(v->b, x, prefix, &o);
}

static ir_ref last_layers(const vae *v, ir_ref x, int64_t out) {
    const char *norm = fe_name(v->b, "%s.conv_norm_out", v->side);
    x = looks_at_latent(v) ? fe_spatial_norm(v->b, x, v->latent, norm)
                           : fe_group_norm(v->b, x, norm, v->c->groups, vae_eps);
    x = fe_activation(v->b, x, IR_ACT_SILU);
    return conv(v, x, fe_name(v->b, "%s.conv_out", v->side), out, 3);
}

/* The encoder's layers: image -> what `quant_conv` makes of the last convolution. */
static ir_ref encoder_layers(const vae *v, ir_ref x) {
    const fe_vae_config *c = v->c;
    fe_builder *b = v->b;
    x = conv(v, x, "encoder.conv_in", c->channels[0], 3);
    for (size_t i = 0; i < c->resolutions; i++) {
        fe_at(b, c->down_at[i]);
        for (int64_t j = 0; j < c->layers; j++)
            x = layer(v, x, fe_name(b, "encoder.down_blocks.%zu", i), j, c->channels[i],
                      c->down_attention[i]);
        if (i + 1 < c->resolutions)
            x = fe_downsample(b, x, fe_name(b, "encoder.down_blocks.%zu.downsamplers.0.conv", i),
                              c->channels[i], true);
    }
    x = mid_block(v, x);
    at_key(v, "latent_channels");
    /* mean and logarithm of the variance, or the latent itself */
    int64_t out = c->codes ? c->latent_channels : 2 * c->latent_channels;
    x = last_layers(v, x, c->codes ? c->inner_channels : out);
    return c->quant_conv ? conv(v, x, "quant_conv", out, 1) : x;
}

static ir_ref image_input(const vae *v, const fe_sizes *s) {
    at_key(v, "in_channels");
    return fe_input(v->b, "image", IR_f32, 4,
                    (int64_t[]){s->batch, v->c->in_channels, s->height, s->width}, IR_STEP);
}

/* The decoder's layers: latent -> image. */
static ir_ref decoder_layers(const vae *v, ir_ref x) {
    const fe_vae_config *c = v->c;
    fe_builder *b = v->b;
    int64_t height, width;
    if (c->post_quant_conv)
        x = conv(v, x, "post_quant_conv", c->codes ? c->inner_channels : c->latent_channels, 1);
    x = conv(v, x, "decoder.conv_in", c->channels[c->resolutions - 1], 3);
    x = mid_block(v, x);
    for (size_t i = 0; i < c->resolutions; i++) {
        int64_t out = c->channels[c->resolutions - 1 - i];
        fe_at(b, c->up_at[i]);
        for (int64_t j = 0; j < c->layers + 1; j++)
            x = layer(v, x, fe_name(b, "decoder.up_blocks.%zu", i), j, out, c->up_attention[i]);
        if (i + 1 == c->resolutions) break;
        fe_upsample_size(b, x, &height, &width);
        x = fe_upsample(b, x, fe_name(b, "decoder.up_blocks.%zu.upsamplers.0.conv", i), out, height,
                        width);
    }
    at_key(v, "out_channels");
    return last_layers(v, x, c->out_channels);
}

static ir_ref latent_input(const vae *v, const fe_sizes *s) {
    int64_t dim[4];
    fe_vae_latent(v->c, s, dim);
    at_key(v, "latent_channels");
    return fe_input(v->b, "latent", IR_f32, 4, dim, IR_STEP);
}

static bool build_encoder(const vae *v, const char *name, const fe_sizes *s) {
    fe_begin(v->b, name);
    ir_ref x = encoder_layers(v, image_input(v, s));
    fe_result(v->b, "moments", fe_vae_normalise(v->b, v->c, x));
    return fe_end(v->b);
}

static bool build_decoder(const vae *v, const char *name, const fe_sizes *s) {
    fe_begin(v->b, name);
    ir_ref x = fe_vae_denormalise(v->b, v->c, latent_input(v, s));
    fe_result(v->b, "image", decoder_layers(v, x));
    return fe_end(v->b);
}

bool fe_vae_kl_build(fe_builder *b, const fe_vae_config *c, const char *name, const fe_sizes *s) {
    bool fine =
        build_encoder(&(vae){.b = b, .c = c, .side = "encoder"}, fe_name(b, "%s.encode", name), s);
    return build_decoder(&(vae){.b = b, .c = c, .side = "decoder"}, fe_name(b, "%s.decode", name),
                         s) &&
           fine;
}

/* ---- VQModel ---- */

/* The nearest vectors of the codebook; *ids (NULL: not wanted) their numbers. */
static ir_ref quantize(const vae *v, ir_ref x, ir_ref *ids) {
    ir_type t;
    at_key(v, "num_vq_embeddings");
    if (!fe_of_rank(v->b, x, 4, "quantisation", &t)) return IR_NONE;
    ir_ref row = IR_NONE,
           found = fe_nearest(v->b, fe_to_tokens(v->b, x), "quantize.embedding", v->c->codes, &row);
    if (ids) *ids = found;
    return fe_to_image(v->b, row, t.dim[2], t.dim[3]);
}

static ir_ref decode_exactly(vae *v, ir_ref latent) {
    v->side = "decoder";
    v->latent = latent;
    return decoder_layers(v, latent);
}

/* Decoding quantises first. A component alone gives what diffusers' class lets one see on the way,
 * and decodes without (force_not_quantize). */
bool fe_vae_vq_build(fe_builder *b, const fe_vae_config *c, const char *name, const fe_sizes *s) {
    bool alone = !c->fold_statistics, fine;
    vae v = {.b = b, .c = c, .side = "encoder"};
    ir_ref ids = IR_NONE, x, q;
    fe_begin(b, fe_name(b, "%s.encode", name));
    x = encoder_layers(&v, image_input(&v, s));
    fe_result(b, alone ? "latents" : "latent", x);
    if (alone) {
        q = quantize(&v, x, &ids);
        fe_result(b, "indices", ids);
        fe_result(b, "quantized", q);
    }
    fine = fe_end(b);

    fe_begin(b, fe_name(b, "%s.decode", name));
    q = quantize(&v, latent_input(&v, s), &ids);
    if (alone) {
        fe_result(b, "latent_indices", ids);
        fe_result(b, "latent_quantized", q);
    }
    fe_result(b, "image", decode_exactly(&v, q));
    fine &= fe_end(b);
    if (!alone) return fine;

    v.side = "encoder";
    fe_begin(b, fe_name(b, "%s.reconstruct", name));
    x = quantize(&v, encoder_layers(&v, image_input(&v, s)), NULL);
    fe_result(b, "reconstruction", decode_exactly(&v, x));
    fine &= fe_end(b);
    fe_begin(b, fe_name(b, "%s.decode_exactly", name));
    fe_result(b, "image_not_quantized", decode_exactly(&v, latent_input(&v, s)));
    return fe_end(b) && fine;
}
