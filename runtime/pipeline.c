#include "runtime/pipeline.h"

#include "runtime/net.h"
#include "runtime/png_writer.h"
#include "runtime/rng.h"
#include "runtime/samplers.h"
#include "runtime/tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* Everything one call of rt_paint holds; freed in one place. */
struct painter {
    rt_engine *engine;
    const rt_pipeline_info *info;
    const rt_settings *settings;
    rt_net *denoiser, *decoder, *text;
    rt_tokenizer tokenizer;
    rt_sampler *sampler;
    bool guided;
    int batch;     /* pictures a call of the denoiser */
    size_t latent; /* elements of one picture's latent */
    float *x, *scaled, *noise, *mixed;
    float *context, *uncond; /* text embeddings [batch][tokens][width] */
    size_t context_size;     /* elements of one picture's */
    char phase[48];          /* "denoise", with the picture's number where there are several */
    rt_rng *rng;             /* one generator a picture, so that a batch equals its single pictures */
};

static void painter_free(struct painter *p) {
    rt_net_free(p->denoiser);
    rt_net_free(p->decoder);
    rt_net_free(p->text);
    rt_sampler_free(p->sampler);
    rt_buffer_free(p->x);
    rt_buffer_free(p->scaled);
    rt_buffer_free(p->noise);
    rt_buffer_free(p->mixed);
    rt_buffer_free(p->context);
    rt_buffer_free(p->uncond);
    free(p->rng);
}

static size_t elements_per_image(const struct ebru_tensor_desc *d) {
    size_t n = 1;
    for (int32_t i = 1; i < d->rank; i++) n *= (size_t)d->dim[i];
    return n;
}

/* Guidance runs both halves in one batch: "NAME@2" is the network for twice the pictures. */
static rt_status open_networks(struct painter *p, rt_error *err) {
    const rt_pipeline_info *info = p->info;
    p->guided = info->guidance_pair && p->settings->guidance != 1.0;
    char name[300];
    snprintf(name, sizeof name, "%s%s", info->denoiser, p->guided ? "@2" : "");
    rt_status s = rt_net_open(&p->denoiser, p->engine, name, err);
    if (!s && info->decoder) s = rt_net_open(&p->decoder, p->engine, info->decoder, err);
    if (!s && info->kind == RT_PIPELINE_TEXT) {
        s = rt_net_open(&p->text, p->engine, info->text_encoder ? info->text_encoder : "text_encoder", err);
        const struct ebru_model *t = p->engine->model->tables;
        if (!s) s = rt_tokenizer_open(&p->tokenizer, t->tokenizer, (size_t)t->tokenizer_bytes, err);
    }
    return s;
}

static rt_status allocate(struct painter *p, rt_error *err) {
    const struct ebru_tensor_desc *sample = rt_net_input(p->denoiser, "sample");
    if (!sample) return rt_fail(err, RT_ERR_INTERNAL, "the denoiser has no input 'sample'");
    int halves = p->guided ? 2 : 1;
    p->batch = (int)sample->dim[0] / halves;
    if (p->batch < 1) return rt_fail(err, RT_ERR_INTERNAL, "the denoiser takes no picture");
    p->latent = elements_per_image(sample);
    size_t bytes = p->latent * (size_t)p->batch * sizeof(float);
    p->x = rt_buffer(bytes);
    p->scaled = rt_buffer(bytes);
    p->noise = rt_buffer(bytes);
    p->mixed = rt_buffer(bytes);
    p->rng = calloc((size_t)p->batch, sizeof *p->rng);
    bool ok = p->x && p->scaled && p->noise && p->mixed && p->rng;
    if (p->text) {
        const struct ebru_tensor_desc *context = rt_net_input(p->denoiser, "encoder_hidden_states");
        if (!context)
            return rt_fail(err, RT_ERR_INTERNAL, "the denoiser has no input 'encoder_hidden_states'");
        p->context_size = elements_per_image(context);
        p->context = rt_buffer(p->context_size * (size_t)p->batch * sizeof(float));
        p->uncond = rt_buffer(p->context_size * (size_t)p->batch * sizeof(float));
        ok = ok && p->context && p->uncond;
    }
    return ok ? RT_OK : rt_fail(err, RT_ERR_SYSTEM, "out of memory");
}

/* Text embeddings of `count` prompts into out[batch][tokens][width]; the text network may have another batch.
 */
static rt_status encode_text(struct painter *p, const char *const *texts, const size_t *lengths, int count,
                             float *out, rt_error *err) {
    const struct ebru_tensor_desc *ids = rt_net_input(p->text, "input_ids");
    const struct ebru_tensor_desc *hidden = rt_net_output(p->text, p->info->text_output);
    if (!ids || !hidden || elements_per_image(hidden) != p->context_size ||
        (uint32_t)ids->dim[1] != p->tokenizer.max_length)
        return rt_fail(err, RT_ERR_INTERNAL, "text encoder, tokenizer and denoiser do not fit together");
    int32_t *buffer = rt_net_input_buffer(p->text, "input_ids");
    int batch = (int)ids->dim[0];
    for (int first = 0; first < count; first += batch) {
        for (int i = 0; i < batch; i++) {
            int k = first + i < count ? first + i : count - 1;
            size_t used, cut;
            rt_status s =
                rt_tokenizer_encode_prompt(&p->tokenizer, texts[k], lengths[k],
                                           buffer + (size_t)i * (size_t)ids->dim[1], &used, &cut, err);
            if (s) return s;
            if (cut && first + i < count && !p->settings->quiet) {
                rt_progress_close(p->settings->progress);
                fprintf(stderr,
                        "note: the prompt has %zu tokens more than the %u the model reads; they are cut\n",
                        cut, p->tokenizer.max_length - 2);
            }
        }
        rt_status s = rt_net_begin(p->text, NULL, 1, err);
        if (s) return s;
        rt_net_step(p->text, 0);
        int n = count - first < batch ? count - first : batch;
        memcpy(out + (size_t)first * p->context_size, rt_net_output_buffer(p->text, p->info->text_output),
               (size_t)n * p->context_size * sizeof(float));
    }
    return RT_OK;
}

/* Fills the denoiser's conditioning inputs for the pictures of one batch. */
static rt_status condition(struct painter *p, const rt_request *r, rt_error *err) {
    size_t n = (size_t)p->batch;
    if (p->text) {
        const char *texts[64], *negatives[64];
        size_t lengths[64], negative_lengths[64];
        if (p->batch > 64) return rt_fail(err, RT_ERR_INTERNAL, "batch above 64");
        for (size_t i = 0; i < n; i++) {
            texts[i] = r[i].prompt, lengths[i] = r[i].prompt_length;
            negatives[i] = r[i].negative, negative_lengths[i] = r[i].negative_length;
        }
        rt_progress_phase(p->settings->progress, "text-encode", 0);
        rt_status s = encode_text(p, texts, lengths, p->batch, p->context, err);
        if (!s && p->guided) s = encode_text(p, negatives, negative_lengths, p->batch, p->uncond, err);
        if (s) return s;
        float *context = rt_net_input_buffer(p->denoiser, "encoder_hidden_states");
        size_t half = p->context_size * n;
        if (p->guided) memcpy(context, p->uncond, half * sizeof(float));
        memcpy(context + (p->guided ? half : 0), p->context, half * sizeof(float));
    }
    int32_t *labels = rt_net_input_buffer(p->denoiser, "class_labels");
    if (labels)
        for (size_t i = 0; i < n; i++) labels[i] = r[i].class_label;
    return RT_OK;
}

static void draw(struct painter *p, float *out) {
    for (int i = 0; i < p->batch; i++) rt_rng_randn(&p->rng[i], out + (size_t)i * p->latent, p->latent);
}

/* e = e0 + g (e1 - e0), the first half of the batch being the unconditional one. */
static const float *guide(struct painter *p, const float *e) {
    if (!p->guided) return e;
    size_t n = p->latent * (size_t)p->batch;
    float g = (float)p->settings->guidance;
    for (size_t i = 0; i < n; i++) p->mixed[i] = e[i] + g * (e[n + i] - e[i]);
    return p->mixed;
}

static rt_status denoise(struct painter *p, rt_error *err) {
    size_t n = p->latent * (size_t)p->batch;
    int evaluations = rt_sampler_evaluations(p->sampler);
    const float *timesteps = rt_sampler_timesteps(p->sampler);
    rt_sampler_reset(p->sampler);
    draw(p, p->x);
    float sigma = rt_sampler_init_noise_sigma(p->sampler);
    for (size_t i = 0; i < n; i++) p->x[i] *= sigma;
    rt_status s = rt_net_begin(p->denoiser, timesteps, evaluations, err);
    if (s) return s;
    float *input = rt_net_input_buffer(p->denoiser, "sample");
    rt_progress_phase(p->settings->progress, p->phase, evaluations);
    for (int k = 0; k < evaluations; k++) {
        rt_sampler_scale_input(p->sampler, k, p->x, p->scaled);
        memcpy(input, p->scaled, n * sizeof(float));
        if (p->guided) memcpy(input + n, p->scaled, n * sizeof(float));
        rt_net_step(p->denoiser, k);
        bool noisy = rt_sampler_needs_noise(p->sampler, k);
        if (noisy) draw(p, p->noise);
        s = rt_sampler_step(p->sampler, k, p->x, guide(p, rt_net_output_buffer(p->denoiser, "sample")),
                            noisy ? p->noise : NULL, err);
        if (s) return s;
        rt_progress_step(p->settings->progress, k + 1);
    }
    return RT_OK;
}

/* Latents in p->x to pictures of 8 bits. */
static rt_status decode(struct painter *p, int count, uint8_t *out, rt_error *err) {
    const rt_pipeline_info *info = p->info;
    size_t plane = (size_t)info->width * (size_t)info->height * (size_t)info->channels;
    for (int i = 0; i < count; i++) {
        const float *picture = p->x + (size_t)i * p->latent;
        if (p->decoder) {
            float *latent = rt_net_input_buffer(p->decoder, "latent");
            const struct ebru_tensor_desc *d = rt_net_input(p->decoder, "latent");
            if (!latent || elements_per_image(d) != p->latent)
                return rt_fail(err, RT_ERR_INTERNAL, "denoiser and decoder do not fit together");
            float factor = (float)info->scaling_factor, shift = (float)info->shift_factor;
            for (size_t k = 0; k < p->latent; k++) latent[k] = picture[k] / factor + shift;
            rt_status s = rt_net_begin(p->decoder, NULL, 1, err);
            if (s) return s;
            rt_net_step(p->decoder, 0);
            picture = rt_net_output_buffer(p->decoder, "image");
            if (!picture) return rt_fail(err, RT_ERR_INTERNAL, "the decoder has no output 'image'");
        } else if (p->latent != plane) {
            return rt_fail(err, RT_ERR_INTERNAL, "the sample is not a picture and there is no decoder");
        }
        rt_status s = rt_image_from_float(picture, info->channels, (uint32_t)info->height,
                                          (uint32_t)info->width, out + (size_t)i * plane, err);
        if (s) return s;
    }
    return RT_OK;
}

static rt_status paint_batch(struct painter *p, const rt_request *requests, int count, uint8_t *out,
                             rt_error *err) {
    rt_request *batch = calloc((size_t)p->batch, sizeof *batch);
    if (!batch) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    for (int i = 0; i < p->batch; i++) {
        batch[i] = requests[i < count ? i : count - 1];
        rt_rng_seed(&p->rng[i], batch[i].seed);
    }
    rt_status s = condition(p, batch, err);
    free(batch);
    if (!s) s = denoise(p, err);
    if (s) return s;
    if (p->decoder) rt_progress_phase(p->settings->progress, "vae-decode", 0);
    return decode(p, count, out, err);
}

rt_status rt_paint(rt_engine *e, const rt_pipeline_info *info, const rt_request *requests, int count,
                   const rt_settings *settings, uint8_t *out, rt_error *err) {
    struct painter p = {.engine = e, .info = info, .settings = settings, .phase = "denoise"};
    rt_status s = open_networks(&p, err);
    if (!s) s = allocate(&p, err);
    if (!s)
        s = rt_sampler_new(&p.sampler, &settings->sampler, settings->steps, p.latent * (size_t)p.batch, err);
    size_t plane = (size_t)info->width * (size_t)info->height * (size_t)info->channels;
    for (int first = 0; !s && first < count; first += p.batch) {
        int n = count - first < p.batch ? count - first : p.batch;
        if (count > p.batch) snprintf(p.phase, sizeof p.phase, "denoise picture %d of %d", first + n, count);
        s = paint_batch(&p, requests + first, n, out + (size_t)first * plane, err);
    }
    painter_free(&p);
    return s;
}
