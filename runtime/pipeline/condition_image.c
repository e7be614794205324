/* Where the denoising loop begins, and what the denoiser is shown at each evaluation. The draws of
 * a picture are made in the order of diffusers' pipelines: for a given picture first its latent,
 * then the noise, then the latent of its unmasked part; for one to be painted larger first its own
 * noise. */
#include "runtime/image/resize.h"
#include "runtime/pipeline/condition.h"
#include "runtime/pipeline/denoise.h"

#include <string.h>

static float *floats(size_t n) {
    return rt_buffer(n * sizeof(float));
}

/* Moments (or the latent) of one picture, image[channels][height][width] in -1..1, into a new
 * buffer. */
static rt_status encode(struct rt_denoiser *p, rt_network *net, const float *image, float **out,
                        rt_error *err) {
    const char *name = p->image.exact ? "latent" : "moments";
    const struct ebru_tensor_desc *in = rt_network_input(net, "image"),
                                  *from = rt_network_output(net, name);
    size_t plane = (size_t)p->info->width * (size_t)p->info->height * (size_t)p->info->channels;
    size_t n = (p->image.exact ? 1 : 2) * p->latent;
    if (!in || !from || rt_denoiser_elements(in) != plane || rt_denoiser_elements(from) != n)
        return rt_fail(err, RT_ERR_INTERNAL, "encoder and denoiser do not fit together");
    *out = floats(n);
    if (!*out) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    float *to = rt_network_input_buffer(net, "image");
    for (int64_t i = 0; i < in->dim[0]; i++)
        memcpy(to + (size_t)i * plane, image, plane * sizeof *to);
    rt_status s = rt_network_begin(net, NULL, 1, err);
    if (s) return s;
    rt_network_step(net, 0);
    memcpy(*out, rt_network_output_buffer(net, name), n * sizeof **out);
    return RT_OK;
}

/* The given picture, and for inpainting its part to be kept, through the encoder. `image` is
 * changed. */
static rt_status encode_given(struct rt_denoiser *p, float *image, const float *mask,
                              rt_error *err) {
    struct rt_image_state *im = &p->image;
    size_t area = (size_t)p->info->width * (size_t)p->info->height;
    rt_network *net;
    rt_status s = rt_network_open(&net, p->engine, p->info->encoder, err);
    if (s) return s;
    im->exact = !rt_network_output(net, "moments");
    rt_progress_phase(p->settings->progress, "vae-encode", 0);
    s = encode(p, net, image, &im->moments, err);
    if (!s && mask && p->info->condition == EBRU_CONDITION_INPAINT) {
        for (size_t i = 0; i < area * (size_t)p->info->channels; i++)
            image[i] *= (float)(mask[i % area] < 0.5f);
        s = encode(p, net, image, &im->masked_moments, err);
    }
    rt_network_free(net);
    return s;
}

static rt_status open_given(struct rt_denoiser *p, rt_error *err) {
    const rt_pipeline_info *info = p->info;
    const rt_pictures *given = &p->settings->pictures;
    struct rt_image_state *im = &p->image;
    size_t area = (size_t)info->width * (size_t)info->height;
    float *image = floats(area * (size_t)info->channels), *mask = given->mask ? floats(area) : NULL;
    rt_status s = RT_OK;
    if (!image || (given->mask && !mask)) s = rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    if (!s) rt_picture_to_float(given->init, area, (size_t)info->channels, image);
    if (!s && mask) {
        rt_mask_to_float(given->mask, area, mask);
        im->mask = floats(p->area);
        if (!im->mask) s = rt_fail(err, RT_ERR_SYSTEM, "out of memory");
        if (!s)
            rt_resize_nearest_f32(mask, (uint32_t)info->width, (uint32_t)info->height, im->mask,
                                  (uint32_t)info->latent_width, (uint32_t)info->latent_height);
    }
    if (!s && info->encoder) {
        s = encode_given(p, image, mask, err);
    } else if (!s && area * (size_t)info->channels != p->latent) {
        s = rt_fail(err, RT_ERR_INTERNAL, "the sample is not a picture and there is no encoder");
    } else if (!s) {
        im->clean = image;
        image = NULL;
    }
    rt_buffer_free(image);
    rt_buffer_free(mask);
    return s;
}

/* The picture that is painted larger, and the noise schedule it is dimmed with. */
static rt_status open_small(struct rt_denoiser *p, rt_error *err) {
    struct rt_image_state *im = &p->image;
    im->small = floats(3 * p->area);
    if (!im->small) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    rt_picture_to_float(p->settings->pictures.init, p->area, 3, im->small);
    return rt_sampler_new(&im->small_sampler, &p->info->low_res,
                          p->info->low_res.num_train_timesteps, 3 * p->area, err);
}

rt_status rt_condition_image_open(struct rt_denoiser *p, rt_error *err) {
    static const size_t extra[] = {0, 1, 1, 3}; /* an inpainting model sees a latent too */
    const rt_pictures *given = &p->settings->pictures;
    struct rt_image_state *im = &p->image;
    ebru_condition condition = p->info->condition;
    size_t input = rt_denoiser_elements(rt_network_input(p->denoiser, "sample")),
           n = (size_t)p->batch;
    im->channels =
        extra[condition] + (condition == EBRU_CONDITION_INPAINT ? p->latent / p->area : 0);
    if (p->area != (size_t)p->info->latent_width * (size_t)p->info->latent_height ||
        input != p->latent + im->channels * p->area)
        return rt_fail(err, RT_ERR_INTERNAL,
                       "the denoiser's sample is not what the model's properties say");
    size_t draw = condition == EBRU_CONDITION_LOW_RESOLUTION ? 3 * p->area : p->latent;
    im->condition = im->channels ? floats(n * im->channels * p->area) : NULL;
    im->draw = floats(draw > p->latent ? draw : p->latent);
    if (!im->draw || (im->channels && !im->condition))
        return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    if (condition == EBRU_CONDITION_INPAINT && !p->info->encoder)
        return rt_fail(err, RT_ERR_INTERNAL, "no encoder for the part of the picture that is kept");
    if ((condition && !given->init) || (condition == EBRU_CONDITION_INPAINT && !given->mask) ||
        (condition == EBRU_CONDITION_DEPTH && !given->depth))
        return rt_fail(err, RT_ERR_INTERNAL, "a picture that this model needs was not read");
    if (!given->init) return RT_OK;
    if (condition == EBRU_CONDITION_LOW_RESOLUTION) return open_small(p, err);
    im->blend = given->mask && condition == EBRU_CONDITION_NONE;
    im->known = floats(n * p->latent);
    im->noise = floats(n * p->latent);
    if (!im->known || !im->noise) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    return open_given(p, err);
}

void rt_condition_image_close(struct rt_denoiser *p) {
    struct rt_image_state *im = &p->image;
    float *buffers[] = {im->clean, im->moments, im->masked_moments, im->mask, im->known,
                        im->noise, im->small,   im->condition,      im->draw};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) rt_buffer_free(buffers[i]);
    rt_sampler_free(im->small_sampler);
}

/* One picture's latent, in the denoiser's scale: drawn from the moments, or as it is. */
static void draw_latent(struct rt_denoiser *p, int i, const float *moments, float *out) {
    struct rt_image_state *im = &p->image;
    const rt_pipeline_info *info = p->info;
    if (im->clean) {
        memcpy(out, im->clean, p->latent * sizeof *out);
        return;
    }
    if (!im->exact) {
        rt_rng_randn(&p->rng[i], im->draw, p->latent);
        rt_posterior_sample(moments, im->draw, p->latent, out);
        moments = out;
    }
    for (size_t k = 0; k < p->latent; k++)
        out[k] = (float)info->scaling_factor * (moments[k] - (float)info->shift_factor);
}

/* What picture i is shown beside its sample. */
static void begin_condition(struct rt_denoiser *p, int i) {
    struct rt_image_state *im = &p->image;
    float *to = im->condition + (size_t)i * im->channels * p->area;
    if (p->info->condition == EBRU_CONDITION_INPAINT) {
        memcpy(to, im->mask, p->area * sizeof *to);
        draw_latent(p, i, im->masked_moments, to + p->area);
    } else if (p->info->condition == EBRU_CONDITION_DEPTH) {
        memcpy(to, p->settings->pictures.depth, p->area * sizeof *to);
    } else if (p->info->condition == EBRU_CONDITION_LOW_RESOLUTION) {
        if (p->settings->noise_level < 0) {
            memcpy(to, im->small, 3 * p->area * sizeof *to);
            return;
        }
        /* the schedule has every timestep, from the last to the first */
        int k = p->info->low_res.num_train_timesteps - 1 - p->settings->noise_level;
        rt_rng_randn(&p->rng[i], im->draw, 3 * p->area);
        rt_sampler_add_noise(im->small_sampler, k, im->small, im->draw, to);
    }
}

void rt_condition_image_begin(struct rt_denoiser *p) {
    struct rt_image_state *im = &p->image;
    const rt_settings *settings = p->settings;
    bool given = im->known != NULL;
    /* Inpainting at full strength begins from noise alone, and a model with channels for what is
     * kept then needs no latent of the whole picture. Image to image never does: its first timestep
     * is not quite noise. */
    bool pure = !given || (settings->pictures.mask && settings->strength >= 1);
    bool latent = given && (!pure || im->blend);
    float sigma = rt_sampler_init_noise_sigma(p->sampler);
    for (int i = 0; i < p->batch; i++) {
        float *x = p->x + (size_t)i * p->latent;
        if (p->info->condition == EBRU_CONDITION_LOW_RESOLUTION) begin_condition(p, i);
        if (latent) draw_latent(p, i, im->moments, im->known + (size_t)i * p->latent);
        rt_rng_randn(&p->rng[i], x, p->latent);
        if (p->info->condition != EBRU_CONDITION_LOW_RESOLUTION && im->condition)
            begin_condition(p, i);
        /* diffusers draws the latent of the unmasked part here, whether the model takes it or not
         */
        if (im->blend && im->moments && !im->exact) rt_rng_randn(&p->rng[i], im->draw, p->latent);
    }
    size_t n = p->latent * (size_t)p->batch;
    if (im->noise) memcpy(im->noise, p->x, n * sizeof *p->x);
    if (!pure) rt_sampler_add_noise(p->sampler, p->first, im->known, p->x, p->x);
    for (size_t k = 0; pure && k < n; k++) p->x[k] *= sigma;
}

void rt_condition_image_input(struct rt_denoiser *p, int k) {
    size_t n = (size_t)p->batch, further = p->image.channels * p->area;
    float *input = rt_network_input_buffer(p->denoiser, "sample");
    rt_sampler_scale_input(p->sampler, k, p->x, p->scaled);
    for (size_t row = 0; row < (p->guided ? 2 * n : n); row++) {
        float *to = input + row * (p->latent + further);
        memcpy(to, p->scaled + row % n * p->latent, p->latent * sizeof *to);
        if (further)
            memcpy(to + p->latent, p->image.condition + row % n * further, further * sizeof *to);
    }
}

void rt_condition_image_after(struct rt_denoiser *p, int k) {
    struct rt_image_state *im = &p->image;
    if (!im->blend) return;
    const float *known = im->known;
    if (k + 1 < rt_sampler_evaluations(p->sampler)) {
        rt_sampler_add_noise(p->sampler, k + 1, im->known, im->noise, p->scaled);
        known = p->scaled;
    }
    for (int i = 0; i < p->batch; i++)
        rt_mask_blend(im->mask, p->area, p->latent / p->area, known + (size_t)i * p->latent,
                      p->x + (size_t)i * p->latent);
}
