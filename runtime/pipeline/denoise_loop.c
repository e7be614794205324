/* The painting loop: conditioning, denoising, decoding. */
#include "runtime/image/png_writer.h"
#include "runtime/pipeline/condition.h"
#include "runtime/pipeline/denoise.h"
#include "runtime/pipeline/safety.h"
#include "runtime/pipeline/upscale.h"

#include <stdlib.h>
#include <string.h>

static void denoiser_free(struct rt_denoiser *p) {
    rt_network_free(p->denoiser);
    rt_network_free(p->decoder);
    rt_network_free(p->upscaler);
    rt_network_free(p->checker);
    rt_condition_text_close(p);
    rt_condition_image_close(p);
    rt_condition_control_close(p);
    rt_sampler_free(p->sampler);
    rt_buffer_free(p->x);
    rt_buffer_free(p->scaled);
    rt_buffer_free(p->noise);
    rt_buffer_free(p->mixed);
    free(p->rng);
}

size_t rt_denoiser_elements(const struct ebru_tensor_desc *d) {
    size_t n = 1;
    for (int32_t i = 1; i < d->rank; i++) n *= (size_t)d->dim[i];
    return n;
}

void rt_denoiser_draw(struct rt_denoiser *p, float *out) {
    for (int i = 0; i < p->batch; i++)
        rt_rng_randn(&p->rng[i], out + (size_t)i * p->latent, p->latent);
}

/* Guidance runs both halves in one batch: "NAME@2" is the network for twice the pictures. At 1 and
 * below there is none, as in diffusers. */
static rt_status open_networks(struct rt_denoiser *p, rt_error *err) {
    const rt_pipeline_info *info = p->info;
    p->guided = info->guidance_pair && p->settings->guidance > 1;
    char name[300];
    snprintf(name, sizeof name, "%s%s", info->denoiser, p->guided ? "@2" : "");
    rt_status s = rt_network_open(&p->denoiser, p->engine, name, err);
    if (!s && info->decoder) s = rt_network_open(&p->decoder, p->engine, info->decoder, err);
    if (!s && info->safety_checker)
        s = rt_network_open(&p->checker, p->engine, info->safety_checker, err);
    if (!s && p->settings->upscale) s = rt_upscaler_open(&p->upscaler, p->engine, info, err);
    return s;
}

static rt_status allocate(struct rt_denoiser *p, rt_error *err) {
    const struct ebru_tensor_desc *sample = rt_network_input(p->denoiser, "sample");
    const struct ebru_tensor_desc *result = rt_network_output(p->denoiser, "sample");
    if (!sample || !result || sample->rank != 4 || result->rank != 4)
        return rt_fail(err, RT_ERR_INTERNAL, "the denoiser has no 'sample'");
    int halves = p->guided ? 2 : 1;
    p->batch = (int)sample->dim[0] / halves;
    if (p->batch < 1) return rt_fail(err, RT_ERR_INTERNAL, "the denoiser takes no picture");
    p->latent = rt_denoiser_elements(result);
    p->area = (size_t)(result->dim[2] * result->dim[3]);
    size_t bytes = p->latent * (size_t)p->batch * sizeof(float);
    p->x = rt_buffer(bytes);
    p->scaled = rt_buffer(bytes);
    p->noise = rt_buffer(bytes);
    p->mixed = rt_buffer(bytes);
    p->rng = calloc((size_t)p->batch, sizeof *p->rng);
    bool ok = p->x && p->scaled && p->noise && p->mixed && p->rng;
    return ok ? RT_OK : rt_fail(err, RT_ERR_SYSTEM, "out of memory");
}

/* What the sampler gets: the first half of the batch is the unconditional one. */
static const float *guide(struct rt_denoiser *p, const float *e) {
    if (!p->guided) return e;
    const float *conditional = e + p->latent * (size_t)p->batch;
    for (int i = 0; i < p->batch; i++) {
        size_t at = (size_t)i * p->latent;
        rt_guide(e + at, conditional + at, p->latent, (float)p->settings->guidance,
                 (float)p->settings->guidance_rescale, p->mixed + at);
    }
    return p->mixed;
}

/* The strength leaves nothing to run; says which steps would. */
static rt_status no_step(const rt_settings *settings, rt_error *err) {
    const double strength = settings->strength;
    const int most = rt_sampler_most_steps(&settings->sampler);
    char least[40] = "a greater --strength";
    if (strength * most >= 1) {
        int steps = settings->steps;
        while ((int)(steps * strength) < 1) steps++;
        snprintf(least, sizeof least, "--steps %d or more", steps);
    }
    return rt_fail(err, RT_ERR_USAGE, "strength %g of %d steps is less than one step; take %s",
                   strength, settings->steps, least);
}

/* The sampler, and where it begins: with a given picture not at its first evaluation. */
static rt_status open_sampler(struct rt_denoiser *p, rt_error *err) {
    const rt_settings *settings = p->settings;
    rt_sampler_config config = settings->sampler;
    bool given = settings->pictures.init && p->info->condition != EBRU_CONDITION_LOW_RESOLUTION;
    /* Latent consistency models shorten their own schedule and run all steps. */
    bool shorten = given && p->info->guidance_embedding && config.sampler == RT_SAMPLER_LCM;
    if (shorten) config.strength = settings->strength;
    rt_status s =
        rt_sampler_new(&p->sampler, &config, settings->steps, p->latent * (size_t)p->batch, err);
    if (!s) rt_sampler_set_images(p->sampler, (size_t)p->batch);
    if (s || !given || shorten) return s;
    p->first = rt_sampler_first_evaluation(p->sampler, settings->strength);
    /* Inpainting asks for a whole step, image to image for an evaluation: PNDM can have one where
     * there is no step. */
    bool whole = settings->pictures.mask && settings->steps * settings->strength < 1;
    if (whole || p->first >= rt_sampler_evaluations(p->sampler)) return no_step(settings, err);
    return RT_OK;
}

static rt_status denoise(struct rt_denoiser *p, rt_error *err) {
    int evaluations = rt_sampler_evaluations(p->sampler), count = evaluations - p->first;
    rt_profile_phase(p->engine->profile, p->phase);
    rt_profile_step(p->engine->profile, "prepare");
    rt_sampler_reset(p->sampler);
    rt_condition_image_begin(p);
    const float *timesteps = rt_sampler_timesteps(p->sampler) + p->first;
    rt_status s = rt_condition_control_begin(p, timesteps, count, err);
    if (!s) s = rt_network_begin(p->denoiser, timesteps, count, err);
    if (s) return s;
    rt_progress_phase(p->settings->progress, p->phase, count);
    for (int k = p->first; k < evaluations; k++) {
        if (p->settings->stop && *p->settings->stop) return rt_fail(err, RT_ERR_SYSTEM, "stopped");
        rt_profile_step(p->engine->profile, "step %d/%d", k + 1 - p->first, count);
        rt_condition_image_input(p, k);
        rt_condition_control_step(p, k - p->first, count);
        rt_network_step(p->denoiser, k - p->first);
        bool noisy = rt_sampler_needs_noise(p->sampler, k);
        if (noisy) rt_denoiser_draw(p, p->noise);
        s = rt_sampler_step(p->sampler, k, p->x,
                            guide(p, rt_network_output_buffer(p->denoiser, "sample")),
                            noisy ? p->noise : NULL, err);
        if (s) return s;
        rt_condition_image_after(p, k);
        rt_progress_step(p->settings->progress, k + 1 - p->first);
    }
    return RT_OK;
}

/* Latent i of p->x to a picture of 8 bits. */
static rt_status decode(struct rt_denoiser *p, int i, uint8_t *out, rt_error *err) {
    const rt_pipeline_info *info = p->info;
    size_t plane = (size_t)info->width * (size_t)info->height * (size_t)info->channels;
    const float *picture = p->x + (size_t)i * p->latent;
    if (p->decoder) {
        float *latent = rt_network_input_buffer(p->decoder, "latent");
        const struct ebru_tensor_desc *d = rt_network_input(p->decoder, "latent");
        if (!latent || rt_denoiser_elements(d) != p->latent)
            return rt_fail(err, RT_ERR_INTERNAL, "denoiser and decoder do not fit together");
        float factor = (float)info->scaling_factor, shift = (float)info->shift_factor;
        for (size_t k = 0; k < p->latent; k++) latent[k] = picture[k] / factor + shift;
        rt_status s = rt_network_begin(p->decoder, NULL, 1, err);
        if (s) return s;
        rt_network_step(p->decoder, 0);
        d = rt_network_output(p->decoder, "image");
        if (!d || rt_denoiser_elements(d) != plane)
            return rt_fail(err, RT_ERR_INTERNAL,
                           "the decoder gives no picture of the program's size");
        picture = rt_network_output_buffer(p->decoder, "image");
    } else if (p->latent != plane) {
        return rt_fail(err, RT_ERR_INTERNAL, "the sample is not a picture and there is no decoder");
    }
    return rt_image_from_float(picture, info->channels, (uint32_t)info->height,
                               (uint32_t)info->width, out, err);
}

/* Picture `index`, which becomes black where it is flagged and the program is to do that. */
static rt_status check_safety(struct rt_denoiser *p, int index, uint8_t *pixels, rt_error *err) {
    const rt_pipeline_info *info = p->info;
    bool flagged = false;
    rt_profile_phase(p->engine->profile, "safety-check");
    rt_status s = rt_safety_check(p->checker, info, pixels, &flagged, err);
    if (s) return s;
    if (p->settings->flagged) p->settings->flagged[index] = flagged;
    if (flagged && info->safety_black)
        memset(pixels, 0, (size_t)info->width * (size_t)info->height * (size_t)info->channels);
    return RT_OK;
}

/* A painted picture, enlarged behind it in the same memory. */
static rt_status enlarge(struct rt_denoiser *p, uint8_t *pixels, const uint8_t **out,
                         rt_error *err) {
    const rt_pipeline_info *info = p->info;
    uint8_t *to = pixels + (size_t)info->width * (size_t)info->height * (size_t)info->channels;
    rt_progress_phase(p->settings->progress, "upscale", 0);
    rt_profile_phase(p->engine->profile, "upscale");
    *out = to;
    return rt_upscale(p->upscaler, info, pixels, info->width, info->height, to, err);
}

/* Pictures `first` to `first + count`; the rows of the batch behind them repeat the last. */
static rt_status paint_batch(struct rt_denoiser *p, const rt_request *requests, int first,
                             int count, uint8_t *pixels, rt_error *err) {
    rt_request *batch = calloc((size_t)p->batch, sizeof *batch);
    if (!batch) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    for (int i = 0; i < p->batch; i++) {
        batch[i] = requests[first + (i < count ? i : count - 1)];
        rt_rng_seed(&p->rng[i], batch[i].seed);
    }
    rt_status s = rt_condition_text(p, batch, err);
    free(batch);
    if (!s) s = denoise(p, err);
    for (int i = 0; i < count && !s; i++) {
        if (p->decoder) rt_progress_phase(p->settings->progress, "vae-decode", 0);
        rt_profile_phase(p->engine->profile, "vae-decode");
        s = decode(p, i, pixels, err);
        const uint8_t *finished = pixels;
        if (!s && p->checker) s = check_safety(p, first + i, pixels, err);
        if (!s && p->upscaler) s = enlarge(p, pixels, &finished, err);
        if (!s) s = p->settings->finished(p->settings->user, first + i, finished, err);
    }
    return s;
}

rt_status rt_denoise(rt_engine *e, const rt_pipeline_info *info, const rt_request *requests,
                     int count, const rt_settings *settings, rt_error *err) {
    struct rt_denoiser p = {.engine = e, .info = info, .settings = settings, .phase = "denoise"};
    size_t plane = (size_t)info->width * (size_t)info->height * (size_t)info->channels;
    size_t enlarged = settings->upscale ? plane * (size_t)(info->upscale * info->upscale) : 0;
    uint8_t *pixels = malloc(plane + enlarged);
    rt_status s = pixels ? open_networks(&p, err) : rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    if (!s) s = allocate(&p, err);
    if (!s) s = open_sampler(&p, err);
    if (!s) s = rt_condition_text_open(&p, err);
    if (!s) s = rt_condition_reference_open(&p, err);
    if (!s) s = rt_condition_image_open(&p, err);
    if (!s) s = rt_condition_control_open(&p, err);
    for (int first = 0; !s && first < count; first += p.batch) {
        int n = count - first < p.batch ? count - first : p.batch;
        if (count > p.batch)
            snprintf(p.phase, sizeof p.phase, "denoise picture %d of %d", first + n, count);
        s = paint_batch(&p, requests, first, n, pixels, err);
    }
    denoiser_free(&p);
    free(pixels);
    return s;
}
