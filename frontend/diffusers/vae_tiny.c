/* AutoencoderTiny: config and the functions NAME.encode and NAME.decode; see diffusers.h.
 *
 * Both halves are one list of layers, `encoder.layers.N` and `decoder.layers.N`, where activations
 * and enlargements take a number, too. No norms, no attention; the encoder makes the latent itself,
 * not moments. */
#include "frontend/diffusers/diffusers.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- config ---- */

/* The channels of one half: any number a config gives, but the same at every resolution, since the
 * layers that change the size have as many outputs as inputs. */
static bool read_channels(fe_vae_config *c, const char *key, size_t *resolutions, int64_t *out) {
    base_jval v = base_json_get(c->root, key);
    int64_t list[FE_MAX_RESOLUTIONS] = {64, 64, 64, 64};
    *resolutions = 4;
    if (base_json_present(v) &&
        !base_json_ints(v, list, FE_MAX_RESOLUTIONS, resolutions, 1, FE_MAX_CHANNELS))
        return false;
    if (!*resolutions) {
        base_json_error(v, "'%s' is empty", key);
        return false;
    }
    for (size_t i = 1; i < *resolutions; i++) {
        if (list[i] == list[0]) continue;
        base_json_error(v, "unsupported: resolutions of '%s' with different channels", key);
        return false;
    }
    *out = list[0];
    return true;
}

static bool read_counts(fe_vae_config *c, const char *key, const int64_t *fallback, int64_t *out) {
    base_jval v = base_json_get(c->root, key);
    size_t n = 4;
    for (size_t i = 0; i < n; i++) out[i] = fallback[i];
    if (base_json_present(v) && !base_json_ints(v, out, FE_MAX_RESOLUTIONS, &n, 0, FE_MAX_DEPTH))
        return false;
    if (n == c->resolutions) return true;
    base_json_error(fe_config_at(c->root, key), "'%s' has %zu entries for %zu resolutions", key, n,
                    c->resolutions);
    return false;
}

bool fe_vae_tiny_read(base_jval root, fe_vae_config *c) {
    static const int64_t encoder_blocks[] = {1, 3, 3, 3}, decoder_blocks[] = {3, 3, 3, 1};
    static const char *const unsupported[] = {"upsample_fn=nearest", "upsampling_scaling_factor=2"};
    /* The last two are for latents kept as 8-bit pictures; encode and decode do not read them. */
    static const char *const ignored[] = {"force_upcast", "block_out_channels", "latent_magnitude",
                                          "latent_shift"};
    *c = (fe_vae_config){.root = root};
    unsigned before = base_diag_errors(base_json_diag(root.doc));
    if (!base_json_expect(root, BASE_JSON_OBJECT)) return false;
    size_t decoder_levels;
    bool fine =
        read_channels(c, "encoder_block_out_channels", &c->resolutions, &c->encoder_channels);
    fine &= read_channels(c, "decoder_block_out_channels", &decoder_levels, &c->decoder_channels);
    if (!fine) return false;
    if (c->resolutions != decoder_levels) {
        base_json_error(fe_config_at(root, "decoder_block_out_channels"),
                        "the decoder has %zu resolutions, the encoder %zu", decoder_levels,
                        c->resolutions);
        return false;
    }
    fine &= read_counts(c, "num_encoder_blocks", encoder_blocks, c->encoder_blocks);
    fine &= read_counts(c, "num_decoder_blocks", decoder_blocks, c->decoder_blocks);
    fine &= fe_config_unsupported(root, unsupported, COUNT(unsupported));
    fine &= fe_config_activation(root, "act_fn", IR_ACT_RELU, &c->act);
    c->in_channels = base_json_opt_int(root, "in_channels", 3, 1, FE_MAX_CHANNELS);
    c->out_channels = base_json_opt_int(root, "out_channels", 3, 1, FE_MAX_CHANNELS);
    c->latent_channels = base_json_opt_int(root, "latent_channels", 4, 1, FE_MAX_CHANNELS);
    c->scaling_factor = base_json_opt_double(root, "scaling_factor", 1.0);
    c->shift_factor = base_json_opt_double(root, "shift_factor", 0.0);
    if (!(c->scaling_factor > 0)) {
        base_json_error(fe_config_at(root, "scaling_factor"), "'scaling_factor' must be positive");
        fine = false;
    }
    fe_config_unknown(root, ignored, COUNT(ignored));
    return fine && base_diag_errors(base_json_diag(root.doc)) == before;
}

/* ---- layers ---- */

/* One half under construction: `next` is the number of the next layer of its list. */
typedef struct half {
    fe_builder *b;
    const fe_vae_config *c;
    const char *side;
    int64_t next;
} half;

static ir_ref conv(half *h, ir_ref x, int64_t out, int64_t stride, bool bias) {
    fe_conv_options o = fe_conv_same(out, 3, stride);
    o.bias = bias;
    return fe_conv(h->b, x, fe_name(h->b, "%s.layers.%lld", h->side, (long long)h->next++), &o);
}

/* relu(x + conv(act(conv(act(conv(x)))))), AutoencoderTinyBlock. */
static ir_ref block(half *h, ir_ref x, int64_t channels) {
    fe_builder *b = h->b;
    fe_conv_options o = fe_conv_same(channels, 3, 1);
    int64_t n = h->next++;
    ir_ref y = x;
    for (int i = 0; i < 3; i++) {
        y = fe_conv(b, y, fe_name(b, "%s.layers.%lld.conv.%d", h->side, (long long)n, 2 * i), &o);
        if (i < 2) y = fe_activation(b, y, h->c->act);
    }
    return fe_activation(b, fe_add(b, y, x), IR_ACT_RELU);
}

static bool build_encoder(fe_builder *b, const fe_vae_config *c, const char *name,
                          const fe_sizes *s) {
    half h = {b, c, "encoder", 0};
    fe_begin(b, name);
    fe_at(b, fe_config_at(c->root, "in_channels"));
    ir_ref x = fe_input(b, "image", IR_f32, 4,
                        (int64_t[]){s->batch, c->in_channels, s->height, s->width}, IR_STEP);
    x = fe_affine(b, x, 0.5, 0.5); /* the layers were trained on pictures from 0 to 1 */
    fe_at(b, fe_config_at(c->root, "encoder_block_out_channels"));
    for (size_t i = 0; i < c->resolutions; i++) {
        x = conv(&h, x, c->encoder_channels, i ? 2 : 1, i == 0);
        for (int64_t j = 0; j < c->encoder_blocks[i]; j++) x = block(&h, x, c->encoder_channels);
    }
    fe_at(b, fe_config_at(c->root, "latent_channels"));
    fe_result(b, "latent", conv(&h, x, c->latent_channels, 1, true));
    return fe_end(b);
}

static bool build_decoder(fe_builder *b, const fe_vae_config *c, const char *name,
                          const fe_sizes *s) {
    half h = {b, c, "decoder", 0};
    int64_t dim[4];
    fe_vae_latent(c, s, dim);
    fe_begin(b, name);
    fe_at(b, fe_config_at(c->root, "latent_channels"));
    ir_ref x = fe_input(b, "latent", IR_f32, 4, dim, IR_STEP);
    x = fe_affine(b, fe_activation(b, fe_affine(b, x, 1.0 / 3, 0), IR_ACT_TANH), 3, 0);
    fe_at(b, fe_config_at(c->root, "decoder_block_out_channels"));
    x = fe_activation(b, conv(&h, x, c->decoder_channels, 1, true), c->act);
    h.next++;
    for (size_t i = 0; i + 1 < c->resolutions; i++) {
        int64_t height, width;
        for (int64_t j = 0; j < c->decoder_blocks[i]; j++) x = block(&h, x, c->decoder_channels);
        fe_upsample_size(b, x, &height, &width);
        x = fe_resize(b, x, height, width);
        h.next++;
        x = conv(&h, x, c->decoder_channels, 1, false);
    }
    for (int64_t j = 0; j < c->decoder_blocks[c->resolutions - 1]; j++)
        x = block(&h, x, c->decoder_channels);
    fe_at(b, fe_config_at(c->root, "out_channels"));
    x = conv(&h, x, c->out_channels, 1, true);
    fe_result(b, "image", fe_affine(b, x, 2, -1));
    return fe_end(b);
}

bool fe_vae_tiny_build(fe_builder *b, const fe_vae_config *c, const char *name, const fe_sizes *s) {
    bool fine = build_encoder(b, c, fe_name(b, "%s.encode", name), s);
    return build_decoder(b, c, fe_name(b, "%s.decode", name), s) && fine;
}
