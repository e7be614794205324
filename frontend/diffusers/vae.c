/* AutoencoderKL: config and the functions NAME.encode and NAME.decode; see diffusers.h. All its
 * normalisations have eps 1e-6, its downsampling pads one row below and one column to the right. */
#include <string.h>

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

bool fe_vae_kl_read(base_jval root, fe_vae_config *c) {
    static const char *const ignored[] = {"force_upcast", "dropout"};
    static const char *const down[] = {"DownEncoderBlock2D", "AttnDownEncoderBlock2D"},
                             *const up[] = {"UpDecoderBlock2D", "AttnUpDecoderBlock2D"};
    *c = (fe_vae_config){.root = root, .resolutions = 1, .channels = {64}};
    unsigned before = base_diag_errors(base_json_diag(root.doc));
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
    c->latent_channels = base_json_opt_int(root, "latent_channels", 4, 1, FE_MAX_CHANNELS / 2);
    c->layers = base_json_opt_int(root, "layers_per_block", 1, 1, FE_MAX_DEPTH);
    c->groups = base_json_opt_int(root, "norm_num_groups", 32, 1, FE_MAX_CHANNELS);
    c->quant_conv = base_json_opt_bool(root, "use_quant_conv", true);
    c->post_quant_conv = base_json_opt_bool(root, "use_post_quant_conv", true);
    c->mid_attention = base_json_opt_bool(root, "mid_block_add_attention", true);
    c->scaling_factor = base_json_opt_double(root, "scaling_factor", 0.18215);
    c->shift_factor = base_json_opt_double(root, "shift_factor", 0.0);
    if (!(c->scaling_factor > 0)) {
        base_json_error(fe_config_at(root, "scaling_factor"), "'scaling_factor' must be positive");
        fine = false;
    }
    fine &= fe_vae_read_statistics(c);
    fe_config_unknown(root, ignored, COUNT(ignored));
    return fine && base_diag_errors(base_json_diag(root.doc)) == before;
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
} vae;

static void at_key(const vae *v, const char *key) {
    fe_at(v->b, fe_config_at(v->c->root, key));
}

static ir_ref res_block(const vae *v, ir_ref x, const char *prefix, int64_t out) {
    fe_res_options o = fe_res_defaults(out, v->c->groups, vae_eps);
    o.act = v->c->act;
    return fe_res_block(v->b, x, IR_NONE, prefix, &o);
}

/* One head over all pixels. */
static ir_ref attention(const vae *v, ir_ref x, const char *prefix) {
    fe_image_attention_options o = fe_image_attention_defaults(1, v->c->groups, vae_eps);
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
    x = fe_group_norm(v->b, x, fe_name(v->b, "%s.conv_norm_out", v->side), v->c->groups, vae_eps);
    x = fe_activation(v->b, x, IR_ACT_SILU);
    return conv(v, x, fe_name(v->b, "%s.conv_out", v->side), out, 3);
}

static bool build_encoder(const vae *v, const char *name, const fe_sizes *s) {
    const fe_vae_config *c = v->c;
    fe_builder *b = v->b;
    fe_begin(b, name);
    at_key(v, "in_channels");
    ir_ref x = fe_input(b, "image", IR_f32, 4,
                        (int64_t[]){s->batch, c->in_channels, s->height, s->width}, IR_STEP);
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
    x = last_layers(v, x, 2 * c->latent_channels);
    if (c->quant_conv) x = conv(v, x, "quant_conv", 2 * c->latent_channels, 1);
    fe_result(b, "moments", fe_vae_normalise(b, c, x));
    return fe_end(b);
}

static bool build_decoder(const vae *v, const char *name, const fe_sizes *s) {
    const fe_vae_config *c = v->c;
    fe_builder *b = v->b;
    int64_t dim[4], height, width;
    fe_vae_latent(c, s, dim);
    fe_begin(b, name);
    at_key(v, "latent_channels");
    ir_ref x = fe_input(b, "latent", IR_f32, 4, dim, IR_STEP);
    x = fe_vae_denormalise(b, c, x);
    if (c->post_quant_conv) x = conv(v, x, "post_quant_conv", c->latent_channels, 1);
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
    x = last_layers(v, x, c->out_channels);
    fe_result(b, "image", x);
    return fe_end(b);
}

bool fe_vae_kl_build(fe_builder *b, const fe_vae_config *c, const char *name, const fe_sizes *s) {
    bool fine = build_encoder(&(vae){b, c, "encoder"}, fe_name(b, "%s.encode", name), s);
    return build_decoder(&(vae){b, c, "decoder"}, fe_name(b, "%s.decode", name), s) && fine;
}
