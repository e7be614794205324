/* latents_mean and latents_std of an AutoencoderKL: pipelines keep normalised latents, so in a
 * program the encoder's mean and deviation are normalised and the decoder's input is brought back,
 * a channel at a time, by 1x1 convolutions with constant weights; see diffusers.h. */
#include <math.h>
#include <string.h>

#include "frontend/build/layers.h"
#include "frontend/diffusers/diffusers.h"

/* One number a channel of the latent. */
static bool read_numbers(base_jval v, int64_t n, double *out) {
    if (!base_json_expect(v, BASE_JSON_ARRAY)) return false;
    if ((int64_t)base_json_length(v) != n || n > FE_MAX_LATENT) {
        base_json_error(v, "%zu numbers for %lld channels of the latent (at most %d)",
                        base_json_length(v), (long long)n, FE_MAX_LATENT);
        return false;
    }
    bool fine = true;
    for (size_t i = 0; i < (size_t)n; i++) fine &= base_json_double(base_json_item(v, i), &out[i]);
    return fine;
}

bool fe_vae_read_statistics(fe_vae_config *c) {
    base_jval mean = base_json_get(c->root, "latents_mean"),
              std = base_json_get(c->root, "latents_std");
    bool given = base_json_present(mean) && !base_json_is_null(mean);
    if (given != (base_json_present(std) && !base_json_is_null(std))) {
        base_json_warning(given ? mean : std, "'%s' does nothing without '%s'",
                          given ? "latents_mean" : "latents_std",
                          given ? "latents_std" : "latents_mean");
        return true;
    }
    if (!given) return true;
    c->normalised = true;
    if (!read_numbers(mean, c->latent_channels, c->latents_mean) ||
        !read_numbers(std, c->latent_channels, c->latents_std))
        return false;
    for (int64_t i = 0; i < c->latent_channels; i++) {
        if (c->latents_std[i] > 0) continue;
        base_json_error(base_json_item(std, (size_t)i), "'latents_std' must be positive");
        return false;
    }
    return true;
}

/* x * mul + add, for n channels. */
static ir_ref scale_channels(fe_builder *b, ir_ref x, const char *name, int64_t n,
                             const double *mul, const double *add) {
    float diagonal[4 * FE_MAX_LATENT * FE_MAX_LATENT] = {0}, shift[2 * FE_MAX_LATENT];
    for (int64_t i = 0; i < n; i++) {
        diagonal[i * n + i] = (float)mul[i];
        shift[i] = (float)add[i];
    }
    fe_enter(b, name);
    ir_type w = {.dtype = IR_f32, .layout = IR_PLAIN, .rank = 4, .dim = {n, n, 1, 1}};
    ir_type v = {.dtype = IR_f32, .layout = IR_PLAIN, .rank = 1, .dim = {n}};
    ir_ref operands[] = {x, fe_constant(b, fe_name(b, "%s.weight", name), &w, diagonal),
                         fe_constant(b, fe_name(b, "%s.bias", name), &v, shift)};
    struct ir_attrs_conv2d a = IR_DEFAULTS(conv2d);
    return fe_emit(b, IR_OP_conv2d, operands, 3, &a);
}

ir_ref fe_vae_denormalise(fe_builder *b, const fe_vae_config *c, ir_ref latent) {
    if (!c->fold_statistics || !c->normalised || !ir_ref_ok(latent)) return latent;
    return scale_channels(b, latent, "latents_to_data", c->latent_channels, c->latents_std,
                          c->latents_mean);
}

/* The logarithm of the variance loses 2 log(std). */
ir_ref fe_vae_normalise(fe_builder *b, const fe_vae_config *c, ir_ref moments) {
    double mul[2 * FE_MAX_LATENT] = {0}, add[2 * FE_MAX_LATENT] = {0};
    int64_t n = c->latent_channels;
    if (!c->fold_statistics || c->plain_moments || !c->normalised || !ir_ref_ok(moments))
        return moments;
    for (int64_t i = 0; i < n; i++) {
        mul[i] = 1 / c->latents_std[i];
        add[i] = -c->latents_mean[i] / c->latents_std[i];
        mul[n + i] = 1;
        add[n + i] = -2 * log(c->latents_std[i]);
    }
    return scale_channels(b, moments, "latents_from_data", 2 * n, mul, add);
}
